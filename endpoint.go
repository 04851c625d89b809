package convoy

import (
	"encoding/json"
	"time"
)

// EndpointStatus says whether an endpoint takes deliveries.
type EndpointStatus string

const (
	EndpointActive EndpointStatus = "active"
	// EndpointPaused parks deliveries until a person resumes it.
	EndpointPaused EndpointStatus = "paused"
	// EndpointInactive was switched off because it kept failing.
	EndpointInactive EndpointStatus = "inactive"
)

// DefaultHTTPTimeout bounds one try when the endpoint sets no timeout.
const DefaultHTTPTimeout = 10 * time.Second

// MaxHTTPTimeout is the longest timeout an endpoint may set. It bounds the
// lease of a delivery and so the time a crash can hold one up.
const MaxHTTPTimeout = 5 * time.Minute

// Secret signs what is sent to an endpoint.
type Secret struct {
	ID    string `json:"uid"`
	Value string `json:"value"`
	// ExpiresAt is when a rotated secret stops signing; zero for a live one.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Live reports whether the secret signs at the given time.
func (s Secret) Live(now time.Time) bool {
	return s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)
}

// Authentication is what an endpoint asks of us, beside the signature.
type Authentication struct {
	// Type is "api_key", "basic_auth" or "oauth2"; empty for none.
	Type   string      `json:"type"`
	APIKey *APIKeyAuth `json:"api_key,omitempty"`
	Basic  *BasicAuth  `json:"basic_auth,omitempty"`
	OAuth2 *OAuth2Auth `json:"oauth2,omitempty"`
}

// APIKeyAuth sends one header.
type APIKeyAuth struct {
	HeaderName  string `json:"header_name"`
	HeaderValue string `json:"header_value"`
}

// BasicAuth sends RFC 7617 credentials.
type BasicAuth struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Ways to authenticate to an OAuth 2.0 token endpoint.
const (
	OAuth2SharedSecret    = "shared_secret"
	OAuth2ClientAssertion = "client_assertion"
)

// OAuth2Auth sends an access token got by the client credentials grant (RFC
// 6749 §4.4).
type OAuth2Auth struct {
	// URL is the token endpoint.
	URL      string `json:"url"`
	ClientID string `json:"client_id"`
	// AuthenticationType is [OAuth2SharedSecret], with ClientSecret; or
	// [OAuth2ClientAssertion] (RFC 7523), with a signed JWT.
	AuthenticationType string `json:"authentication_type"`
	GrantType          string `json:"grant_type,omitempty"`
	Scope              string `json:"scope,omitempty"`
	Audience           string `json:"audience,omitempty"`
	ClientSecret       string `json:"client_secret,omitempty"`
	// SigningKey is a private JSON Web Key (RFC 7517).
	SigningKey       json.RawMessage `json:"signing_key,omitempty"`
	SigningAlgorithm string          `json:"signing_algorithm,omitempty"`
	Issuer           string          `json:"issuer,omitempty"`
	Subject          string          `json:"subject,omitempty"`
	// FieldMapping names the fields of an answer that is not as RFC 6749 §5.1 says.
	FieldMapping *OAuth2Fields `json:"field_mapping,omitempty"`
	// ExpiryTimeUnit is the unit of expires_in: "seconds" unless it is
	// "milliseconds", "minutes" or "hours".
	ExpiryTimeUnit string `json:"expiry_time_unit,omitempty"`
}

// OAuth2Fields are names in a token endpoint's answer; empty ones are the
// standard's.
type OAuth2Fields struct {
	AccessToken string `json:"access_token,omitempty"`
	TokenType   string `json:"token_type,omitempty"`
	ExpiresIn   string `json:"expires_in,omitempty"`
}

// ClientCertificate is what we show an endpoint that asks who we are: PEM texts,
// both or neither.
type ClientCertificate struct {
	Cert string `json:"client_cert,omitempty"`
	Key  string `json:"client_key,omitempty"`
}

// Endpoint is a URL that takes deliveries.
type Endpoint struct {
	ID        EndpointID
	ProjectID ProjectID
	// OwnerID groups the endpoints of one customer.
	OwnerID     string
	URL         string
	Name        string
	Description string
	// Secrets are in the order they were made; every live one signs.
	Secrets []Secret
	// AdvancedSignatures adds a timestamp and every live secret to the
	// signature header.
	AdvancedSignatures bool
	SlackWebhookURL    string
	TeamsWebhookURL    string
	SupportEmail       string
	Status             EndpointStatus
	// HTTPTimeout bounds one try; zero means [DefaultHTTPTimeout].
	HTTPTimeout time.Duration
	// RateLimit is how many deliveries may start per RateLimitDuration; zero
	// means no limit.
	RateLimit         int
	RateLimitDuration time.Duration
	ContentType       string
	Authentication    Authentication
	ClientCertificate ClientCertificate
	// Damaged says why credentials could not be read from the store; nil for
	// almost every endpoint. Nothing may be sent then, and the endpoint cannot be
	// written.
	Damaged   error `json:"-"`
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time
}

// Timeout is the bound on one try.
func (e *Endpoint) Timeout() time.Duration {
	if e.HTTPTimeout <= 0 {
		return DefaultHTTPTimeout
	}
	return min(e.HTTPTimeout, MaxHTTPTimeout)
}
