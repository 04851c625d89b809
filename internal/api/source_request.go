package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"convoy"
	"convoy/internal/verify"
)

// Limits of sources.
const (
	maxResponseBody    = 50 << 10
	maxForwardHeaders  = 64
	maxIdempotencyKeys = 16
	maxLocation        = 512
	maxToleranceS      = 365 * 24 * 3600
)

const textMissing = "non zero value required"

// sourceRequest is the body of a create and of an update, which leaves alone
// what is absent.
type sourceRequest struct {
	Name              string                 `json:"name" maxLength:"255"`
	Type              string                 `json:"type" enum:"http,pub_sub,rest_api,db_change_stream"`
	Provider          *string                `json:"provider,omitempty" enum:"github,shopify,slack,standard_webhooks,stripe,twitter," doc:"A third party whose way of signing is known: of the verifier only hmac.secret counts"`
	Verifier          *verifierRequest       `json:"verifier,omitempty" doc:"How requests are checked; not at all unless given"`
	CustomResponse    *customResponseRequest `json:"custom_response,omitempty" doc:"What a producer gets instead of the usual answer"`
	IdempotencyKeys   []string               `json:"idempotency_keys,omitempty" doc:"Where the parts of an event's idempotency key are: request.body.a.b, request.header.X or request.query.x"`
	EventTypeLocation *string                `json:"event_type_location,omitempty" doc:"Where the event type is; it is the mask id unless given"`
	BodyFunction      *string                `json:"body_function,omitempty" doc:"JavaScript that changes the payload"`
	HeaderFunction    *string                `json:"header_function,omitempty" doc:"JavaScript that changes the headers"`
	PubSub            *pubSubRequest         `json:"pub_sub,omitempty" doc:"The broker of a source of type pub_sub"`
	Disabled          *bool                  `json:"is_disabled,omitempty" doc:"A disabled source refuses what comes"`
	ForwardHeaders    []string               `json:"forward_headers,omitempty" doc:"The headers that are sent on; empty for all but credentials, cookies and those of the connection"`
}

type customResponseRequest struct {
	Body        string `json:"body,omitempty" maxLength:"51200"`
	ContentType string `json:"content_type,omitempty" maxLength:"255"`
}

type verifierRequest struct {
	Type   string               `json:"type,omitempty" enum:"noop,hmac,basic_auth,api_key" doc:"Needed unless there is a provider or nothing to check"`
	HMAC   *hmacRequest         `json:"hmac,omitempty"`
	Basic  *sourceBasicRequest  `json:"basic_auth,omitempty"`
	APIKey *sourceAPIKeyRequest `json:"api_key,omitempty"`
}

type hmacRequest struct {
	Header          string `json:"header"`
	Hash            string `json:"hash"`
	Secret          string `json:"secret" maxLength:"512"`
	Encoding        string `json:"encoding" enum:"hex,base64"`
	Template        string `json:"template,omitempty" doc:"The signed text, with {body}, {timestamp} and {header:Name} in it; {body} unless given"`
	TimestampHeader string `json:"timestamp_header,omitempty" doc:"Has the {timestamp}; unless given it is t=… in the signature header"`
	Tolerance       uint64 `json:"tolerance,omitempty" doc:"How far the timestamp may be from now, in seconds; 300 unless given"`
}

type sourceBasicRequest struct {
	Username string `json:"username" maxLength:"255"`
	Password string `json:"password" maxLength:"512"`
}

type sourceAPIKeyRequest struct {
	HeaderName  string `json:"header_name"`
	HeaderValue string `json:"header_value" maxLength:"512"`
}

// apply sets s to what a request asks for. Its error names what is wrong; s is
// of no use then.
func (q *sourceRequest) apply(ctx context.Context, s *convoy.Source, fns functionRunner) error {
	if r := q.CustomResponse; r != nil && len(r.Body) > maxResponseBody {
		return convoy.E(convoy.Invalid, "source custom response too large")
	}
	var found problems
	found.required("name", q.Name, maxName, "please provide a source name")
	s.Name, s.Type = q.Name, convoy.SourceType(q.Type)
	switch s.Type {
	case convoy.SourceHTTP, convoy.SourcePubSub, convoy.SourceRESTAPI, convoy.SourceDBChangeStream:
	case "":
		found.add("type", "please provide a type")
	default:
		found.add("type", "unsupported source type")
	}
	set(&s.Provider, q.Provider)
	if s.Provider != "" && !slices.Contains(verify.Providers(), s.Provider) {
		found.add("provider", "unsupported provider, must be one of "+strings.Join(verify.Providers(), ", "))
	}
	q.applyTexts(s, fns, &found)
	if err := found.err(); err != nil {
		return err
	}
	if err := q.applyVerifier(s); err != nil {
		return err
	}
	if err := q.applyBroker(s); err != nil {
		return err
	}
	if err := checkLocations(s); err != nil {
		return err
	}
	return q.checkFunctions(ctx, s, fns)
}

// applyTexts takes the fields that stand alone.
func (q *sourceRequest) applyTexts(s *convoy.Source, fns functionRunner, found *problems) {
	set(&s.Disabled, q.Disabled)
	if r := q.CustomResponse; r != nil {
		found.text("body", r.Body, maxResponseBody)
		found.text("content_type", r.ContentType, maxName)
		if !validHeaderValue(r.ContentType) {
			found.add("content_type", "must not contain control characters")
		}
		s.CustomResponse = convoy.CustomResponse(*r)
	}
	if q.ForwardHeaders != nil {
		if len(q.ForwardHeaders) > maxForwardHeaders {
			found.add("forward_headers", "must not be more than "+itoa(maxForwardHeaders))
		}
		s.ForwardHeaders = make([]string, 0, min(len(q.ForwardHeaders), maxForwardHeaders))
		for _, h := range q.ForwardHeaders[:min(len(q.ForwardHeaders), maxForwardHeaders)] {
			headerName(found, "forward_headers", h)
			s.ForwardHeaders = append(s.ForwardHeaders, h)
		}
	}
	if q.IdempotencyKeys != nil {
		if len(q.IdempotencyKeys) > maxIdempotencyKeys {
			found.add("idempotency_keys", "must not be more than "+itoa(maxIdempotencyKeys))
		}
		s.IdempotencyKeys = q.IdempotencyKeys[:min(len(q.IdempotencyKeys), maxIdempotencyKeys)]
		for _, l := range s.IdempotencyKeys {
			found.text("idempotency_keys", l, maxLocation)
		}
	}
	set(&s.EventTypeLocation, q.EventTypeLocation)
	found.text("event_type_location", s.EventTypeLocation, maxLocation)
	for _, f := range []struct {
		name  string
		asked *string
		into  *string
	}{{"body_function", q.BodyFunction, &s.BodyFunction}, {"header_function", q.HeaderFunction, &s.HeaderFunction}} {
		set(f.into, f.asked)
		found.text(f.name, *f.into, maxFunction)
		if *f.into != "" && fns == nil {
			found.add(f.name, textUnsupported)
		}
	}
}

func headerName(found *problems, field, name string) {
	switch {
	case name == "":
		found.add(field, textMissing)
	case len(name) > maxName || !validHeaderName(name):
		found.add(field, "must be a valid HTTP header token")
	}
}

// applyVerifier takes the verifier, which must be complete and fit the provider.
func (q *sourceRequest) applyVerifier(s *convoy.Source) error {
	if v := q.Verifier; v != nil {
		next, err := v.verifier(s.Provider)
		if err != nil {
			return err
		}
		s.Verifier = next
	}
	if s.Verifier.Type == "" {
		s.Verifier.Type = convoy.VerifierNone
	}
	if s.Provider != "" {
		if h := s.Verifier.HMAC; h == nil || h.Secret == "" {
			return convoy.E(convoy.Invalid, "hmac secret is required for "+s.Provider+" source")
		}
		s.Verifier.Type = convoy.VerifierHMAC
		if err := verify.CheckSecret(s.Provider, s.Verifier.HMAC.Secret); err != nil {
			return err
		}
	}
	_, err := verify.New(s)
	return err
}

// verifier is what a request asks for; of a known provider's the secret is
// enough.
func (q *verifierRequest) verifier(provider string) (convoy.Verifier, error) {
	v := convoy.Verifier{Type: q.Type}
	if provider != "" {
		v.Type = convoy.VerifierHMAC
		if q.HMAC == nil || q.HMAC.Secret == "" {
			return v, convoy.E(convoy.Invalid, "hmac secret is required for "+provider+" source")
		}
	}
	var found problems
	switch v.Type {
	case "":
		// Without a type these would be kept and never looked at.
		if q.HMAC != nil || q.Basic != nil || q.APIKey != nil {
			found.add("type", "please provide a valid verifier type")
		}
		v.Type = convoy.VerifierNone
	case convoy.VerifierNone:
	case convoy.VerifierHMAC:
		if q.HMAC == nil {
			return v, convoy.E(convoy.Invalid, "invalid verifier config for hmac")
		}
		v.HMAC = q.HMAC.config(provider, &found)
	case convoy.VerifierBasic:
		if q.Basic == nil {
			return v, convoy.E(convoy.Invalid, "invalid verifier config for basic auth")
		}
		found.required("username", q.Basic.Username, maxName, textMissing)
		found.required("password", q.Basic.Password, maxSecret, textMissing)
		if strings.Contains(q.Basic.Username, ":") {
			found.add("username", "must not contain a colon")
		}
		v.Basic = &convoy.BasicAuth{Username: q.Basic.Username, Password: q.Basic.Password}
	case convoy.VerifierAPIKey:
		if q.APIKey == nil {
			return v, convoy.E(convoy.Invalid, "invalid verifier config for api key")
		}
		headerName(&found, "header_name", q.APIKey.HeaderName)
		found.required("header_value", q.APIKey.HeaderValue, maxSecret, textMissing)
		v.APIKey = &convoy.APIKeyAuth{HeaderName: q.APIKey.HeaderName, HeaderValue: q.APIKey.HeaderValue}
	default:
		found.add("type", "please provide a valid verifier type")
	}
	return v, found.err()
}

func (q *hmacRequest) config(provider string, found *problems) *convoy.HMACVerifier {
	c := &convoy.HMACVerifier{
		Header: q.Header, Hash: q.Hash, Secret: q.Secret, Encoding: q.Encoding,
		Template: q.Template, TimestampHeader: q.TimestampHeader, Tolerance: q.Tolerance,
	}
	if preset, ok := verify.Preset(provider); ok {
		for _, f := range []struct{ given, known *string }{{&c.Header, &preset.Header}, {&c.Hash, &preset.Hash}, {&c.Encoding, &preset.Encoding}} {
			if *f.given == "" {
				*f.given = *f.known
			}
		}
	}
	headerName(found, "header", c.Header)
	switch {
	case c.Hash == "":
		found.add("hash", textMissing)
	case !slices.Contains(hashes, c.Hash):
		found.add("hash", "unsupported hash, must be one of "+strings.Join(hashes, ", "))
	}
	switch c.Encoding {
	case "":
		found.add("encoding", textMissing)
	case "hex", "base64":
	default:
		found.add("encoding", "unsupported encoding, must be hex or base64")
	}
	found.required("secret", c.Secret, maxSecret, textMissing)
	found.text("template", c.Template, maxName)
	if c.TimestampHeader != "" {
		headerName(found, "timestamp_header", c.TimestampHeader)
	}
	checkMost(found, "tolerance", c.Tolerance, maxToleranceS)
	return c
}

// checkLocations checks where the event type and the idempotency key are.
func checkLocations(s *convoy.Source) error {
	for _, text := range s.IdempotencyKeys {
		if _, err := verify.ParseLocation(text); err != nil {
			return badLocation(text, err)
		}
	}
	if s.EventTypeLocation == "" {
		return nil
	}
	l, err := verify.ParseLocation(s.EventTypeLocation)
	if err != nil {
		return invalid("event_type_location", "must be request.body.<path>, request.header.<name> or request.query.<name>")
	}
	if l.Part != verify.Body && s.Verifier.Type == convoy.VerifierHMAC {
		return convoy.E(convoy.Invalid, "event type location cannot use request headers or query parameters with payload signature verification")
	}
	return nil
}

func badLocation(text string, err error) error {
	if errors.Is(err, verify.ErrParts) {
		return convoy.Wrap(convoy.Invalid, "not enough parts set for idempotency key location with value: "+text, err)
	}
	return convoy.Wrap(convoy.Invalid, "unsupported input format for "+text, err)
}

// functionTimeout bounds the check of a function that is saved; a run has a
// bound of its own.
const functionTimeout = 5 * time.Second

// checkFunctions checks the functions that a request brings.
func (q *sourceRequest) checkFunctions(ctx context.Context, s *convoy.Source, fns functionRunner) error {
	ctx, cancel := context.WithTimeout(ctx, functionTimeout)
	defer cancel()
	for _, f := range []struct {
		name  string
		asked *string
		text  string
	}{{"body_function", q.BodyFunction, s.BodyFunction}, {"header_function", q.HeaderFunction, s.HeaderFunction}} {
		if f.asked == nil || f.text == "" {
			continue
		}
		if err := fns.Check(ctx, f.text); err != nil {
			var known *convoy.Error
			if errors.As(err, &known) && known.Kind == convoy.Invalid {
				return convoy.Wrap(convoy.Invalid, f.name+":"+known.Msg, err)
			}
			return err
		}
	}
	return nil
}
