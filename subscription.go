package convoy

import (
	"strings"
	"time"
)

// AnyEventType is the event type of a subscription that takes every event.
const AnyEventType = "*"

// Subscription joins an endpoint to the event types it wants.
type Subscription struct {
	ID         SubscriptionID
	ProjectID  ProjectID
	Name       string
	EndpointID EndpointID
	// EventTypes are exact names, "*", or a prefix of whole dot segments
	// followed by ".*".
	EventTypes []string
	Mode       DeliveryMode
	CreatedAt  time.Time
	UpdatedAt  time.Time
	DeletedAt  time.Time
}

// Matches reports whether the subscription wants events of type t.
func (s *Subscription) Matches(t string) bool {
	for _, p := range s.EventTypes {
		if MatchEventType(p, t) {
			return true
		}
	}
	return false
}

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
