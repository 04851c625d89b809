package convoy

import "time"

// ProjectType is the direction a project's events flow in.
type ProjectType string

const (
	// Outgoing projects send their owner's events to customers.
	Outgoing ProjectType = "outgoing"
	// Incoming projects take events from third-party providers.
	Incoming ProjectType = "incoming"
)

// Project is the tenant: it holds endpoints, subscriptions and events, and the
// settings that apply to them.
type Project struct {
	ID             ProjectID
	OrganisationID OrganisationID
	Name           string
	LogoURL        string
	Type           ProjectType
	Config         ProjectConfig
	CreatedAt      time.Time
	UpdatedAt      time.Time
	DeletedAt      time.Time
}

// ProjectConfig is stored and served as JSON with these names.
type ProjectConfig struct {
	MaxPayloadReadSize            int64            `json:"max_payload_read_size"`
	ReplayAttacksPrevention       bool             `json:"replay_attacks_prevention_enabled"`
	AddEventIDTraceHeaders        bool             `json:"add_event_id_trace_headers"`
	DisableEndpoint               bool             `json:"disable_endpoint"`
	MultipleEndpointSubscriptions bool             `json:"multiple_endpoint_subscriptions"`
	VerifyDynamicEvents           bool             `json:"verify_dynamic_events"`
	AllowUnmatchedDynamicURLs     bool             `json:"allow_unmatched_dynamic_urls"`
	SearchPolicy                  string           `json:"search_policy"`
	SSL                           SSLConfig        `json:"ssl"`
	RateLimit                     RateLimitConfig  `json:"ratelimit"`
	Strategy                      StrategyConfig   `json:"strategy"`
	Signature                     SignatureConfig  `json:"signature"`
	RequestIDHeader               string           `json:"request_id_header"`
	MetaEvent                     MetaEventConfig  `json:"meta_event"`
	CircuitBreaker                *CircuitBreakers `json:"circuit_breaker"`
	// EventTypeValidation is empty in projects older than the setting.
	EventTypeValidation EventTypeValidation `json:"event_type_validation"`
	// PortalFrameAncestors are the origins of the pages that may show the customer
	// portal in a frame, such as https://app.example.com; none may unless named.
	PortalFrameAncestors []string `json:"portal_frame_ancestors"`
}

// EventTypeValidation is what becomes of an event whose data does not match the
// JSON Schema of its event type. The names are wire values.
type EventTypeValidation string

const (
	// ValidationOff checks nothing.
	ValidationOff EventTypeValidation = "off"
	// ValidationFlag accepts the event, with [Event.SchemaError] set.
	ValidationFlag EventTypeValidation = "flag"
	// ValidationReject refuses it.
	ValidationReject EventTypeValidation = "reject"
)

// Checks reports whether data is checked at all.
func (v EventTypeValidation) Checks() bool { return v == ValidationFlag || v == ValidationReject }

// SSLConfig says whether endpoints must use https.
type SSLConfig struct {
	EnforceSecureEndpoints bool `json:"enforce_secure_endpoints"`
}

// RateLimitConfig is Count per Duration, in seconds.
type RateLimitConfig struct {
	Count    int    `json:"count"`
	Duration uint64 `json:"duration"`
}

// StrategyConfig is the retry policy of a project; Duration is in seconds and
// RetryCount counts all tries.
type StrategyConfig struct {
	Type       RetryType `json:"type"`
	Duration   uint64    `json:"duration"`
	RetryCount uint64    `json:"retry_count"`
}

// Policy is the strategy as the pipeline uses it.
func (s StrategyConfig) Policy() RetryPolicy {
	return RetryPolicy{
		Type:     s.Type,
		Interval: time.Duration(s.Duration) * time.Second,
		Limit:    int(s.RetryCount),
	}
}

// SignatureConfig names the signature header and the digests put into it.
type SignatureConfig struct {
	Header   string             `json:"header"`
	Versions []SignatureVersion `json:"versions"`
}

// SignatureVersion is one digest: a hash and the encoding of its result.
type SignatureVersion struct {
	ID        string    `json:"uid"`
	Hash      string    `json:"hash"`
	Encoding  string    `json:"encoding"`
	CreatedAt time.Time `json:"created_at"`
}

// MetaEventConfig asks for meta events: webhooks about webhooks.
type MetaEventConfig struct {
	Enabled bool `json:"is_enabled"`
	// Type is [MetaHTTP]; empty before meta events were first asked for.
	Type string `json:"type"`
	// EventType are of [MetaEventTypes].
	EventType []string `json:"event_type" nullable:"true"`
	URL       string   `json:"url"`
	Secret    string   `json:"secret"`
	// PubSub is never set: other software has settings here.
	PubSub *PubSub `json:"pub_sub"`
}

// CircuitBreakers are a project's breaker settings. Durations are in seconds
// (the window in minutes), thresholds in percent.
type CircuitBreakers struct {
	SampleRate                  uint64 `json:"sample_rate"`
	ErrorTimeout                uint64 `json:"error_timeout"`
	FailureThreshold            uint64 `json:"failure_threshold"`
	SuccessThreshold            uint64 `json:"success_threshold"`
	ObservabilityWindow         uint64 `json:"observability_window"`
	MinimumRequestCount         uint64 `json:"minimum_request_count"`
	ConsecutiveFailureThreshold uint64 `json:"consecutive_failure_threshold"`
}

// Header names that receivers rely on.
const (
	DefaultSignatureHeader = "X-Convoy-Signature"
	DefaultRequestIDHeader = "X-Convoy-Idempotency-Key"
)

// DefaultProjectConfig returns the settings of a new project.
func DefaultProjectConfig() ProjectConfig {
	return ProjectConfig{
		MaxPayloadReadSize: 51200,
		RateLimit:          RateLimitConfig{Count: 1000, Duration: 60},
		Strategy:           StrategyConfig{Type: RetryLinear, Duration: 100, RetryCount: 10},
		Signature: SignatureConfig{
			Header:   DefaultSignatureHeader,
			Versions: []SignatureVersion{{Hash: "SHA256", Encoding: "hex"}},
		},
		RequestIDHeader: DefaultRequestIDHeader,
		CircuitBreaker: &CircuitBreakers{
			SampleRate: 30, ErrorTimeout: 30, FailureThreshold: 70, SuccessThreshold: 5,
			ObservabilityWindow: 5, MinimumRequestCount: 10, ConsecutiveFailureThreshold: 10,
		},
		EventTypeValidation: ValidationOff,
	}
}
