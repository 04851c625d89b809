package api

import (
	"encoding/json"
	"net/mail"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"convoy"
	"convoy/internal/urltemplate"
)

const (
	maxSecret = 512
	// maxCredential bounds what authenticates us to an endpoint; it becomes a
	// header.
	maxCredential = 4096

	contentJSON = "application/json"
	contentForm = "application/x-www-form-urlencoded"
)

type endpointRequest struct {
	URL                string                `json:"url" maxLength:"2048"`
	Name               string                `json:"name" maxLength:"255"`
	Secret             string                `json:"secret,omitempty" maxLength:"512" doc:"Generated unless given; an update ignores it"`
	OwnerID            string                `json:"owner_id,omitempty" maxLength:"255"`
	Description        string                `json:"description,omitempty" maxLength:"4096"`
	AdvancedSignatures *bool                 `json:"advanced_signatures,omitempty"`
	SupportEmail       *string               `json:"support_email,omitempty"`
	SlackWebhookURL    *string               `json:"slack_webhook_url,omitempty"`
	TeamsWebhookURL    *string               `json:"teams_webhook_url,omitempty"`
	IsDisabled         *bool                 `json:"is_disabled,omitempty" doc:"Has no effect"`
	HTTPTimeout        seconds               `json:"http_timeout,omitempty"`
	RateLimit          int                   `json:"rate_limit,omitempty" doc:"Deliveries per rate_limit_duration; 0 for no limit"`
	RateLimitDuration  seconds               `json:"rate_limit_duration,omitempty"`
	ContentType        string                `json:"content_type,omitempty" enum:"application/json,application/x-www-form-urlencoded"`
	Authentication     *authenticationObject `json:"authentication,omitempty"`
	ClientCert         *clientCertObject     `json:"mtls_client_cert,omitempty" doc:"An update keeps what is absent; two empty texts remove it"`
	AppID              string                `json:"AppID,omitempty" hidden:"true"`
}

type authenticationObject struct {
	Type   string             `json:"type,omitempty" enum:"api_key,basic_auth,oauth2"`
	APIKey *convoy.APIKeyAuth `json:"api_key,omitempty"`
	Basic  *convoy.BasicAuth  `json:"basic_auth,omitempty"`
	OAuth2 *oauth2Object      `json:"oauth2,omitempty"`
}

// seconds is a duration in a request: a number of seconds, or for old versions
// of the API also a Go duration string.
type seconds struct {
	n uint64
	// text is set when it was a string.
	text bool
}

// Schema implements [huma.SchemaProvider].
func (seconds) Schema(huma.Registry) *huma.Schema {
	least := 0.0
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Description: "Seconds"}
}

// UnmarshalJSON takes both forms.
func (s *seconds) UnmarshalJSON(b []byte) error {
	*s = seconds{}
	if string(b) == "null" {
		return nil
	}
	wrong := &json.UnmarshalTypeError{Value: "value " + string(b[:min(len(b), 20)]), Type: reflect.TypeFor[uint64]()}
	if len(b) > 0 && b[0] == '"' {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return wrong
		}
		s.text = true
		if text == "" {
			return nil
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return wrong
		}
		s.n = uint64((d + time.Second - 1) / time.Second)
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return wrong
	}
	s.n = n
	return nil
}

func (s seconds) duration() time.Duration { return time.Duration(min(s.n, maxSeconds)) * time.Second }

// apply checks a request and sets e to what it asks for. What an absent key
// means differs between keys; see the comments below.
func (q *endpointRequest) apply(e *convoy.Endpoint, p *convoy.Project, version apiVersion, guard urlChecker) error {
	if err := q.checkForms(version); err != nil {
		return err
	}
	var found problems
	found.required("url", q.URL, maxURL, "please provide a url for your endpoint")
	found.required("name", q.Name, maxName, "please provide your endpointName")
	q.checkTexts(&found, guard)
	q.checkNumbers(&found)
	if q.ContentType != "" && q.ContentType != contentJSON && q.ContentType != contentForm {
		found.add("content_type", "must be "+contentJSON+" or "+contentForm)
	}
	if err := found.err(); err != nil {
		return err
	}
	if err := guard.CheckURL(q.URL, p.Config.SSL.EnforceSecureEndpoints); err != nil {
		return err
	}
	if urltemplate.Is(q.URL) {
		if _, err := urltemplate.Parse(q.URL); err != nil {
			return invalid("url", err.Error())
		}
	}
	authentication, err := q.Authentication.check(e.Authentication, guard)
	if err != nil {
		return err
	}
	if e.ClientCertificate, err = q.ClientCert.check(e.ClientCertificate); err != nil {
		return err
	}
	e.URL, e.Name, e.Description, e.Authentication = q.URL, q.Name, q.Description, authentication // absent clears
	e.RateLimitDuration = q.RateLimitDuration.duration()
	e.RateLimit = max(q.RateLimit, 0)
	if q.OwnerID != "" { // absent and empty keep, from here on
		e.OwnerID = q.OwnerID
	}
	if q.HTTPTimeout.n > 0 {
		e.HTTPTimeout = q.HTTPTimeout.duration()
	}
	if q.ContentType != "" {
		e.ContentType = q.ContentType
	}
	set(&e.AdvancedSignatures, q.AdvancedSignatures) // absent keeps, from here on
	set(&e.SupportEmail, q.SupportEmail)
	set(&e.SlackWebhookURL, q.SlackWebhookURL)
	set(&e.TeamsWebhookURL, q.TeamsWebhookURL)
	if p.Type == convoy.Incoming {
		e.AdvancedSignatures = true
	}
	return nil
}

// update is apply for an endpoint that exists: a negative limit keeps the old.
func (q *endpointRequest) update(e *convoy.Endpoint, p *convoy.Project, version apiVersion, guard urlChecker) error {
	limit := e.RateLimit
	keep := q.RateLimit < 0
	if keep {
		q.RateLimit = 0
	}
	if err := q.apply(e, p, version, guard); err != nil {
		return err
	}
	if keep {
		e.RateLimit = limit
	}
	return nil
}

// checkForms refuses duration strings from callers of a version without them.
func (q *endpointRequest) checkForms(version apiVersion) error {
	if version < durationsAsNumbers {
		return nil
	}
	switch {
	case q.HTTPTimeout.text:
		return wrongType("http_timeout")
	case q.RateLimitDuration.text:
		return wrongType("rate_limit_duration")
	}
	return nil
}

func (q *endpointRequest) checkTexts(found *problems, guard urlChecker) {
	found.text("secret", q.Secret, maxSecret)
	found.text("owner_id", q.OwnerID, maxName)
	found.text("description", q.Description, maxDescription)
	if s := q.SupportEmail; s != nil && *s != "" {
		if a, err := mail.ParseAddress(*s); err != nil || a.Address != *s || badText(*s, maxName) != "" {
			found.add("support_email", "please provide a valid email")
		}
	}
	for _, hook := range []struct {
		field, text string
		url         *string
	}{
		{"slack_webhook_url", "invalid slack webhook url", q.SlackWebhookURL},
		{"teams_webhook_url", "invalid teams webhook url", q.TeamsWebhookURL},
	} {
		if hook.url != nil && *hook.url != "" && guard.CheckURL(*hook.url, false) != nil {
			found.add(hook.field, hook.text)
		}
	}
}

func (q *endpointRequest) checkNumbers(found *problems) {
	if most := uint64(convoy.MaxHTTPTimeout / time.Second); q.HTTPTimeout.n > most {
		found.add("http_timeout", "must not be longer than "+strconv.FormatUint(most, 10)+" seconds")
	}
	checkCount(found, "rate_limit", q.RateLimit, maxCount)
	checkMost(found, "rate_limit_duration", q.RateLimitDuration.n, maxSeconds)
}
