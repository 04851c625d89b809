package convoy

import "time"

// SourceType is the way a source's events come in.
type SourceType string

const (
	// SourceHTTP takes webhooks at an ingest URL of its own.
	SourceHTTP SourceType = "http"
	// SourcePubSub reads a message broker.
	SourcePubSub SourceType = "pub_sub"
	// SourceRESTAPI and SourceDBChangeStream are names that clients may use;
	// nothing comes in through them.
	SourceRESTAPI        SourceType = "rest_api"
	SourceDBChangeStream SourceType = "db_change_stream"
)

// Source is where events of third parties come from.
type Source struct {
	ID        SourceID
	ProjectID ProjectID
	// MaskID is the public name: 16 letters and digits, the end of the ingest
	// URL. It never changes and is never used again.
	MaskID string
	Name   string
	Type   SourceType
	// Provider names a third party whose way of signing is built in; empty for
	// what Verifier says.
	Provider string
	// Disabled refuses whatever comes.
	Disabled       bool
	Verifier       Verifier
	CustomResponse CustomResponse
	// CRCVerifiedAt is when the provider last asked for proof that it reaches
	// us, and got it.
	CRCVerifiedAt time.Time
	// ForwardHeaders are the headers that go on to the endpoints; empty for all
	// that are fit to.
	ForwardHeaders []string
	// PubSub is the broker of a source of type pub_sub, nil otherwise.
	PubSub *PubSub
	// IdempotencyKeys say where in a request its idempotency key is, and
	// EventTypeLocation where its event type is, as package verify reads it;
	// without one the event type is the mask id.
	IdempotencyKeys   []string
	EventTypeLocation string
	// BodyFunction and HeaderFunction are the source texts of JavaScript
	// functions that change what comes in; empty for none.
	BodyFunction   string
	HeaderFunction string
	// Damaged says why credentials could not be read from the store; nil for
	// almost every source. Nothing may be taken from it then, and the source
	// cannot be written.
	Damaged   error `json:"-"`
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time
}

// Ways to check that a request comes from whom it seems to.
const (
	VerifierNone   = "noop"
	VerifierHMAC   = "hmac"
	VerifierBasic  = "basic_auth"
	VerifierAPIKey = "api_key"
)

// Verifier is what a source asks of requests. It is stored and served as JSON
// with these names.
type Verifier struct {
	// Type is one of the constants above.
	Type   string        `json:"type"`
	HMAC   *HMACVerifier `json:"hmac"`
	Basic  *BasicAuth    `json:"basic_auth"`
	APIKey *APIKeyAuth   `json:"api_key"`
}

// HMACVerifier asks for an HMAC (RFC 2104) of the body.
type HMACVerifier struct {
	Header   string `json:"header"`
	Hash     string `json:"hash"`
	Secret   string `json:"secret"`
	Encoding string `json:"encoding"`
	// Template is the signed text with {body}, {timestamp} and {header:Name} in
	// it; empty for the body alone.
	Template string `json:"template,omitempty"`
	// TimestampHeader has the {timestamp}; empty when the signature header has
	// it, as t=….
	TimestampHeader string `json:"timestamp_header,omitempty"`
	// Tolerance is how far the timestamp may be from now, in seconds; 0 for
	// [DefaultTolerance].
	Tolerance uint64 `json:"tolerance,omitempty"`
}

// DefaultTolerance is how old a signed request may be unless its source says.
const DefaultTolerance = 5 * time.Minute

// CustomResponse is what a producer gets for an event instead of the usual
// answer.
type CustomResponse struct {
	Body        string `json:"body"`
	ContentType string `json:"content_type"`
}

// SourceRefusal is a request that a source did not take, of those that are kept.
type SourceRefusal struct {
	ID       string
	SourceID SourceID
	// Status is what the request was answered with, Reason why.
	Status int
	Reason string
	// Unkept is how many refusals the process that keeps this one had not kept
	// since the one before.
	Unkept      int
	IP          string
	UserAgent   string
	ContentType string
	// Length is that of the body in bytes, as far as it was read or declared.
	Length    int64
	CreatedAt time.Time
}
