package api

import (
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"convoy"
	"convoy/internal/filter"
)

// enabledAt is when a filter was switched on, in a request: absent, null for off,
// a time, or the object of a time and whether it is set that some clients send.
type enabledAt struct {
	given bool
	at    time.Time
}

// Schema implements [huma.SchemaProvider].
func (enabledAt) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true, Description: "Null switches the filter off; absent switches a new one on"}
}

// UnmarshalJSON takes all forms.
func (e *enabledAt) UnmarshalJSON(b []byte) error {
	*e = enabledAt{given: true}
	var object struct {
		Set  *bool      `json:"set"`
		Time *time.Time `json:"time"`
	}
	wrong := convoy.E(convoy.Invalid, "enabled_at:must be a time (RFC 3339) or null")
	switch {
	case string(b) == "null":
		return nil
	case len(b) > 0 && b[0] == '{':
		if err := json.Unmarshal(b, &object); err != nil {
			return wrong
		}
		if object.Time != nil && (object.Set == nil || *object.Set) {
			e.at = *object.Time
		}
	default:
		if err := json.Unmarshal(b, &e.at); err != nil {
			return wrong
		}
	}
	if y := e.at.Year(); y <= 1 {
		e.at = time.Time{}
	}
	e.at = e.at.UTC().Truncate(time.Microsecond)
	if e.at.IsZero() {
		e.at = time.Time{}
	}
	return nil
}

// FilterFields is what a create and an update have in common. It is exported
// because huma reads only exported fields.
type FilterFields struct {
	EnabledAt enabledAt  `json:"enabled_at,omitempty"`
	Headers   conditions `json:"headers,omitempty"`
	Body      conditions `json:"body,omitempty"`
	Query     conditions `json:"query,omitempty"`
	Path      conditions `json:"path,omitempty"`
	Flattened bool       `json:"is_flattened,omitempty" hidden:"true"`
}

// apply sets f to what is asked for; what is absent stays.
func (q *FilterFields) apply(f *convoy.Filter) error {
	for _, scope := range []struct {
		asked conditions
		into  *json.RawMessage
	}{{q.Headers, &f.Headers}, {q.Body, &f.Body}, {q.Query, &f.Query}, {q.Path, &f.Path}} {
		if len(scope.asked) > 0 && string(scope.asked) != "null" {
			*scope.into = json.RawMessage(scope.asked)
		}
	}
	if q.EnabledAt.given {
		f.EnabledAt = q.EnabledAt.at
	}
	_, err := filter.Compile(f)
	return err
}

type createFilterRequest struct {
	EventType string `json:"event_type" maxLength:"255" doc:"An exact name, * for all, or a.b.* for all below a.b"`
	FilterFields
}

type updateFilterRequest struct {
	UID       string `json:"uid,omitempty" doc:"Needed to update several at once"`
	EventType string `json:"event_type,omitempty" maxLength:"255"`
	FilterFields
}
