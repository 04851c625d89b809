package convoy

import "time"

// EventID and the other ids are ULIDs: 26 characters of upper-case Crockford
// base 32 whose first ten carry the creation time in milliseconds.
type (
	EventID        string
	DeliveryID     string
	AttemptID      string
	EndpointID     string
	SubscriptionID string
	ProjectID      string
	OrganisationID string
	UserID         string
	KeyID          string
	SessionID      string
	MembershipID   string
	InvitationID   string
	SourceID       string
	FilterID       string
)

// EventStatus is where an event is in its life. The names are wire values.
type EventStatus string

const (
	// EventPending is stored but not yet routed.
	EventPending EventStatus = "Pending"
	// EventProcessing is being routed.
	EventProcessing EventStatus = "Processing"
	// EventSuccess has its deliveries; it says nothing about their outcome. A
	// duplicate ends here too, with [Event.Duplicate] set and no deliveries.
	EventSuccess EventStatus = "Success"
	// EventFailure produced no delivery; FailureReason says why.
	EventFailure EventStatus = "Failure"
	// EventRetry could not be routed and will be tried again.
	EventRetry EventStatus = "Retry"
)

// EventKind says whom an event is for.
type EventKind string

const (
	// KindSingle is for its Endpoints, through their subscriptions.
	KindSingle EventKind = ""
	// KindFanout is for the endpoints of its OwnerID, through their subscriptions.
	KindFanout EventKind = "fanout"
	// KindBroadcast is for every endpoint of the project with a subscription that
	// wants it, once each.
	KindBroadcast EventKind = "broadcast"
	// KindDynamic is for its one endpoint, at its TargetURL, whatever the
	// subscription's filters say.
	KindDynamic EventKind = "dynamic"
	// KindSource is for the subscriptions to its SourceID.
	KindSource EventKind = "source"
)

// Event is one accepted message.
type Event struct {
	ID        EventID
	ProjectID ProjectID
	Kind      EventKind
	Type      string
	SourceID  SourceID
	// OwnerID is whose endpoints a fan-out is for.
	OwnerID string
	// TargetURL is where a dynamic event goes when that is not its endpoint's
	// URL.
	TargetURL string
	// Endpoints are the endpoints the event is addressed to when it is
	// accepted, and those it matched once it is routed.
	Endpoints []EndpointID
	// Headers are sent to every endpoint along with our own.
	Headers map[string][]string
	// Data is the payload, a JSON text kept and sent byte for byte.
	Data []byte
	// IdempotencyKey is unique within the project for a configured window.
	IdempotencyKey string
	// Duplicate marks a repeat of an idempotency key: kept, never delivered.
	Duplicate bool
	// URLQuery is the raw query of the request that brought the event in; it is
	// merged into each target URL.
	URLQuery string
	// URLPath is the path of that request, for filters.
	URLPath       string
	Status        EventStatus
	FailureReason string
	// SchemaError is what the data has against the schema of its event type,
	// where the project wants such events marked; empty for nothing.
	SchemaError string
	// AcknowledgedAt is when the producer was told the event is safe.
	AcknowledgedAt time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Size is the number of bytes the event's variable parts take, the unit in
// which batches and buffers are bounded.
func (e *Event) Size() int {
	n := 256 + len(e.Data) + len(e.Type) + len(e.IdempotencyKey) + len(e.URLQuery) + len(e.URLPath) + len(e.TargetURL) + len(e.SchemaError)
	for k, vs := range e.Headers {
		n += len(k)
		for _, v := range vs {
			n += len(v)
		}
	}
	return n
}
