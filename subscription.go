package convoy

import (
	"encoding/json"
	"strings"
	"time"
)

// AnyEventType is the event type of a subscription that takes every event.
const AnyEventType = "*"

// Subscription joins an endpoint to the events it wants.
type Subscription struct {
	ID         SubscriptionID
	ProjectID  ProjectID
	Name       string
	EndpointID EndpointID
	// SourceID limits the subscription to the events of one source; empty for
	// events that come by the API.
	SourceID SourceID
	// Filters say which events it takes: one filter per event type.
	Filters []Filter
	// Function is the source text of a JavaScript function that makes the
	// payload; empty to send the event's.
	Function string
	Mode     DeliveryMode
	// Retry replaces the project's retry policy; nil keeps it.
	Retry *RetryPolicy
	// RateLimit bounds the deliveries of this subscription; a zero Count does not.
	RateLimit RateLimitConfig
	Alert     AlertConfig
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time
}

// AlertConfig asks for an alert when Count deliveries fail within Threshold.
type AlertConfig struct {
	Count     int           `json:"count,omitempty"`
	Threshold time.Duration `json:"threshold,omitempty"`
}

// Filter is one event type of a subscription and what its events must look like.
type Filter struct {
	ID FilterID `json:"uid"`
	// EventType is an exact name, "*", or a prefix of whole dot segments followed
	// by ".*"; no two filters of a subscription have the same.
	EventType string `json:"event_type"`
	// EnabledAt is zero for a filter that is switched off.
	EnabledAt time.Time `json:"enabled_at,omitzero"`
	// Body, Headers, Query and Path are JSON objects that the parts of an event
	// must match, as package filter says; empty ones match everything.
	Body    json.RawMessage `json:"body,omitempty"`
	Headers json.RawMessage `json:"headers,omitempty"`
	Query   json.RawMessage `json:"query,omitempty"`
	Path    json.RawMessage `json:"path,omitempty"`
}

// Conditional reports whether the filter asks for more than an event type.
func (f *Filter) Conditional() bool {
	for _, scope := range []json.RawMessage{f.Body, f.Headers, f.Query, f.Path} {
		if s := strings.TrimSpace(string(scope)); s != "" && s != "{}" && s != "null" {
			return true
		}
	}
	return false
}

// EventTypes are those of the filters, in their order.
func (s *Subscription) EventTypes() []string {
	types := make([]string, len(s.Filters))
	for i := range s.Filters {
		types[i] = s.Filters[i].EventType
	}
	return types
}

// Filter returns the filter that decides about events of type t, or nil when
// the subscription does not want them: of the filters that are switched on, the
// one with exactly this type, else the one with the longest prefix of it, else
// "*".
func (s *Subscription) Filter(t string) *Filter {
	var best *Filter
	for i := range s.Filters {
		f := &s.Filters[i]
		if f.EnabledAt.IsZero() || !MatchEventType(f.EventType, t) {
			continue
		}
		if f.EventType == t {
			return f
		}
		// "*" is shorter than any other pattern.
		if best == nil || len(f.EventType) > len(best.EventType) {
			best = f
		}
	}
	return best
}

// EventTypePattern reports whether an event type of a filter takes more than
// the events of that name; see [MatchEventType].
func EventTypePattern(t string) bool { return t == AnyEventType || strings.HasSuffix(t, ".*") }

// MatchEventType reports whether pattern takes events of type t. Patterns are
// an exact, case-sensitive name; "*" for every type; or "a.b.*" for every type
// below "a.b" ("a.b.c", "a.b.c.d", but not "a.b" itself).
func MatchEventType(pattern, t string) bool {
	if pattern == AnyEventType || pattern == t {
		return true
	}
	prefix, ok := strings.CutSuffix(pattern, ".*")
	return ok && len(t) > len(prefix)+1 && strings.HasPrefix(t, prefix) && t[len(prefix)] == '.'
}
