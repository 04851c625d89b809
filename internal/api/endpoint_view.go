package api

import (
	"encoding/json"
	"strings"
	"time"

	"convoy"
)

// endpointView is an endpoint as clients see it. Callers of older versions get
// other names and forms, with keys in alphabetical order.
type endpointView struct {
	UID                convoy.EndpointID     `json:"uid"`
	ProjectID          convoy.ProjectID      `json:"project_id"`
	OwnerID            string                `json:"owner_id,omitempty"`
	URL                string                `json:"url"`
	Name               string                `json:"name"`
	Secrets            []secretView          `json:"secrets"`
	AdvancedSignatures bool                  `json:"advanced_signatures"`
	Description        string                `json:"description"`
	SlackWebhookURL    string                `json:"slack_webhook_url,omitempty"`
	TeamsWebhookURL    string                `json:"teams_webhook_url,omitempty"`
	SupportEmail       string                `json:"support_email,omitempty"`
	Status             convoy.EndpointStatus `json:"status"`
	HTTPTimeout        int64                 `json:"http_timeout" doc:"Seconds"`
	Authentication     *authenticationObject `json:"authentication"`
	RateLimit          int                   `json:"rate_limit"`
	RateLimitDuration  int64                 `json:"rate_limit_duration" doc:"Seconds"`
	ContentType        string                `json:"content_type"`
	FailureRate        *float64              `json:"failure_rate"`
	BreakerState       *string               `json:"cb_state"`
	PeriodFailureRate  *float64              `json:"period_failure_rate"`
	SuccessCount       *int64                `json:"success_count"`
	FailureCount       *int64                `json:"failure_count"`
	RetryCount         *int64                `json:"retry_count"`
	ClientCert         *clientCertObject     `json:"mtls_client_cert,omitempty"`
	CreatedAt          time.Time             `json:"created_at"`
	UpdatedAt          time.Time             `json:"updated_at"`
	DeletedAt          *time.Time            `json:"deleted_at"`

	version apiVersion
}

type secretView struct {
	UID       string     `json:"uid"`
	Value     string     `json:"value"`
	ExpiresAt *time.Time `json:"expires_at"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	DeletedAt *time.Time `json:"deleted_at"`
}

func viewSecrets(secrets []convoy.Secret) []secretView {
	views := make([]secretView, len(secrets))
	for i, s := range secrets {
		views[i] = secretView{UID: s.ID, Value: s.Value, ExpiresAt: nullTime(s.ExpiresAt), CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
	}
	return views
}

func viewEndpoint(e *convoy.Endpoint, version apiVersion) *endpointView {
	return &endpointView{
		UID: e.ID, ProjectID: e.ProjectID, OwnerID: e.OwnerID, URL: e.URL, Name: e.Name, Secrets: viewSecrets(e.Secrets),
		AdvancedSignatures: e.AdvancedSignatures, Description: e.Description, SlackWebhookURL: e.SlackWebhookURL,
		TeamsWebhookURL: e.TeamsWebhookURL, SupportEmail: e.SupportEmail, Status: e.Status,
		HTTPTimeout: int64(e.Timeout() / time.Second), Authentication: viewAuthentication(e.Authentication),
		RateLimit: e.RateLimit, RateLimitDuration: int64(e.RateLimitDuration / time.Second), ContentType: e.ContentType,
		ClientCert: viewClientCert(e.ClientCertificate),
		CreatedAt:  e.CreatedAt, UpdatedAt: e.UpdatedAt, DeletedAt: nullTime(e.DeletedAt), version: version,
	}
}

// viewAuthentication hides the password. API keys and OAuth 2.0 secrets are shown,
// as they always were.
func viewAuthentication(a convoy.Authentication) *authenticationObject {
	v := &authenticationObject{Type: a.Type, APIKey: a.APIKey}
	if a.Basic != nil {
		v.Basic = &convoy.BasicAuth{Username: a.Basic.Username, Password: redacted}
	}
	if a.OAuth2 != nil {
		o := oauth2Object(*a.OAuth2)
		v.OAuth2 = &o
	}
	return v
}

// MarshalJSON writes the form of the caller's version.
func (v *endpointView) MarshalJSON() ([]byte, error) {
	type plain endpointView
	b, err := encode((*plain)(v))
	if err != nil || v.version >= plainNames {
		return b, err
	}
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	fields["target_url"], fields["title"] = fields["url"], fields["name"]
	delete(fields, "url")
	delete(fields, "name")
	if v.version < durationsAsNumbers {
		for field, n := range map[string]int64{"http_timeout": v.HTTPTimeout, "rate_limit_duration": v.RateLimitDuration} {
			fields[field] = appendString(nil, (time.Duration(n) * time.Second).String())
		}
	}
	return encode(fields)
}

// isTLS reports whether a URL that has been checked is https.
func isTLS(url string) bool { return len(url) > 8 && strings.EqualFold(url[:8], "https://") }
