package convoy

import "time"

// EventTypeID is the ULID of an event type.
type EventTypeID string

// MaxEventTypes is how many event types a project may have: lists of them have
// no pages.
const MaxEventTypes = 5000

// MaxEventTypeSchemas is how long the schemas of a project's event types may be
// together, in characters.
const MaxEventTypeSchemas = 8 << 20

// EventType describes the events of one name in a project's catalogue. Events
// may have names that are not in it. [AnyEventType] is in every catalogue.
type EventType struct {
	ID          EventTypeID
	ProjectID   ProjectID
	Name        string
	Description string
	Category    string
	// JSONSchema is a JSON Schema of the data, as JSON text; empty for none.
	JSONSchema string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	// DeprecatedAt is zero unless the type is deprecated.
	DeprecatedAt time.Time
}
