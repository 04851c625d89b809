package api

import (
	"encoding/json"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/sign"
)

// Bounds on settings, wide enough to be no policy: they keep durations and
// counts from overflowing.
const (
	maxSeconds = 366 * 24 * 60 * 60
	maxCount   = 1_000_000_000
	// maxAlertCount bounds the failures that are remembered for an alert.
	maxAlertCount = 1000
	// maxAlertThreshold is less than how long package notify remembers them.
	maxAlertThreshold = 720 * time.Hour
	maxTries          = 10_000
	maxPayload        = 64 << 20
)

// textUnsupported is for what this server cannot do yet: it is refused, never
// silently ignored.
const textUnsupported = "is not supported yet"

// textReserved is for headers that something else stands in.
const textReserved = "must not be a header that requests use themselves"

// configRequest is a patch: what is absent or null stays. Nested objects
// replace the old ones wholly.
type configRequest struct {
	MaxPayloadReadSize            *uint64                 `json:"max_payload_read_size,omitempty"`
	ReplayAttacksPrevention       *bool                   `json:"replay_attacks_prevention_enabled,omitempty"`
	AddEventIDTraceHeaders        *bool                   `json:"add_event_id_trace_headers,omitempty"`
	DisableEndpoint               *bool                   `json:"disable_endpoint,omitempty"`
	MultipleEndpointSubscriptions *bool                   `json:"multiple_endpoint_subscriptions,omitempty"`
	VerifyDynamicEvents           *bool                   `json:"verify_dynamic_events,omitempty"`
	AllowUnmatchedDynamicURLs     *bool                   `json:"allow_unmatched_dynamic_urls,omitempty"`
	SearchPolicy                  *string                 `json:"search_policy,omitempty"`
	SSL                           *convoy.SSLConfig       `json:"ssl,omitempty"`
	RateLimit                     *convoy.RateLimitConfig `json:"ratelimit,omitempty"`
	Strategy                      *convoy.StrategyConfig  `json:"strategy,omitempty"`
	Signature                     *signatureRequest       `json:"signature,omitempty"`
	RequestIDHeader               *string                 `json:"request_id_header,omitempty"`
	MetaEvent                     *metaEventRequest       `json:"meta_event,omitempty"`
	CircuitBreaker                *convoy.CircuitBreakers `json:"circuit_breaker,omitempty"`
	EventTypeValidation           *string                 `json:"event_type_validation,omitempty" enum:"off,flag,reject" doc:"Whether data is checked against the JSON Schema of its event type"`
	PortalFrameAncestors          *[]string               `json:"portal_frame_ancestors,omitempty" doc:"Origins of the pages that may show the customer portal in a frame, such as https://app.example.com or https://*.example.com; nobody may unless named"`
	// SyncDynamicEventAck is an older name, refused so that nobody relies on it.
	SyncDynamicEventAck json.RawMessage `json:"sync_dynamic_event_ack,omitempty" hidden:"true"`
}

type signatureRequest struct {
	Header   string                    `json:"header"`
	Versions []signatureVersionRequest `json:"versions,omitempty"`
}

type signatureVersionRequest struct {
	ID       string `json:"uid,omitempty"`
	Hash     string `json:"hash"`
	Encoding string `json:"encoding" enum:"hex,base64"`
}

var hashes = []string{
	"MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3_224", "SHA3_256", "SHA3_384", "SHA3_512", "SHA512_224", "SHA512_256",
}

// apply changes c as far as the request is right; found takes what is not.
func (q *configRequest) apply(c *convoy.ProjectConfig, typ convoy.ProjectType, now time.Time, found *problems) {
	if q.SyncDynamicEventAck != nil {
		found.add("sync_dynamic_event_ack", "sync_dynamic_event_ack has been renamed to verify_dynamic_events")
	}
	if n := q.MaxPayloadReadSize; n != nil && *n > 0 {
		if *n > maxPayload {
			found.add("max_payload_read_size", "must not be more than "+itoa(maxPayload))
		} else {
			c.MaxPayloadReadSize = int64(*n)
		}
	}
	set(&c.ReplayAttacksPrevention, q.ReplayAttacksPrevention)
	set(&c.AddEventIDTraceHeaders, q.AddEventIDTraceHeaders)
	set(&c.DisableEndpoint, q.DisableEndpoint)
	set(&c.MultipleEndpointSubscriptions, q.MultipleEndpointSubscriptions)
	set(&c.VerifyDynamicEvents, q.VerifyDynamicEvents)
	set(&c.AllowUnmatchedDynamicURLs, q.AllowUnmatchedDynamicURLs)
	set(&c.SSL, q.SSL)
	if s := q.SearchPolicy; s != nil {
		if _, err := time.ParseDuration(*s); err != nil && *s != "" {
			found.add("search_policy", "please provide a valid time duration")
		}
		c.SearchPolicy = *s
	}
	if l := q.RateLimit; l != nil {
		checkCount(found, "count", l.Count, maxCount)
		checkMost(found, "duration", l.Duration, maxSeconds)
		c.RateLimit = *l
	}
	if s := q.Strategy; s != nil {
		if s.Type != convoy.RetryLinear && s.Type != convoy.RetryExponential {
			found.add("type", "unsupported strategy type")
		}
		checkMost(found, "duration", s.Duration, maxSeconds)
		checkMost(found, "retry_count", s.RetryCount, maxTries)
		c.Strategy = *s
	}
	if q.Signature != nil {
		c.Signature = q.Signature.config(now, found)
	}
	if h := q.RequestIDHeader; h != nil {
		c.RequestIDHeader = requestIDHeader(*h, typ, found)
	}
	if (q.Signature != nil || q.RequestIDHeader != nil) && strings.EqualFold(c.RequestIDHeader, c.Signature.Header) {
		found.add("request_id_header", "must not be the header of the signature")
	}
	if b := q.CircuitBreaker; b != nil {
		checkMost(found, "failure_threshold", b.FailureThreshold, 100)
		checkMost(found, "success_threshold", b.SuccessThreshold, 100)
		for _, f := range []struct {
			name  string
			value uint64
		}{
			{"sample_rate", b.SampleRate}, {"error_timeout", b.ErrorTimeout}, {"observability_window", b.ObservabilityWindow},
			{"minimum_request_count", b.MinimumRequestCount}, {"consecutive_failure_threshold", b.ConsecutiveFailureThreshold},
		} {
			checkMost(found, f.name, f.value, maxSeconds)
		}
		c.CircuitBreaker = b
	}
	if v := q.EventTypeValidation; v != nil {
		c.EventTypeValidation = convoy.EventTypeValidation(*v)
		if c.EventTypeValidation != convoy.ValidationOff && !c.EventTypeValidation.Checks() {
			found.add("event_type_validation", "must be off, flag or reject")
		}
	}
	if v := q.PortalFrameAncestors; v != nil {
		c.PortalFrameAncestors = frameAncestors(*v, found)
	}
}

// set changes dst when there is a value.
func set[T any](dst, value *T) {
	if value != nil {
		*dst = *value
	}
}

func checkCount(found *problems, field string, n, most int) {
	if n < 0 || n > most {
		found.add(field, "must be from 0 to "+itoa(most))
	}
}

func checkMost(found *problems, field string, n uint64, most int) {
	checkCount(found, field, int(min(n, math.MaxInt)), most)
}

// config is the signature that a request asks for.
func (q *signatureRequest) config(now time.Time, found *problems) convoy.SignatureConfig {
	c := convoy.SignatureConfig{Header: q.Header}
	switch {
	case q.Header == "":
		found.add("header", "please provide a signature header")
	case len(q.Header) > sign.MaxHeaderName || !validHeaderName(q.Header):
		found.add("header", "must be a valid HTTP header token")
	case sign.Reserved(q.Header):
		found.add("header", textReserved)
	}
	if len(q.Versions) > sign.MaxVersions {
		found.add("versions", "must not be more than "+itoa(sign.MaxVersions))
		return c
	}
	for _, v := range q.Versions {
		if !slices.Contains(hashes, v.Hash) {
			found.add("hash", "unsupported hash, must be one of "+strings.Join(hashes, ", "))
		}
		if v.Encoding != "hex" && v.Encoding != "base64" {
			found.add("encoding", "unsupported encoding, must be hex or base64")
		}
		found.text("uid", v.ID, maxName)
		c.Versions = append(c.Versions, convoy.SignatureVersion{ID: v.ID, Hash: v.Hash, Encoding: v.Encoding, CreatedAt: now})
	}
	if len(c.Versions) == 0 {
		c.Versions = convoy.DefaultProjectConfig().Signature.Versions
	}
	return c
}

// nameVersions gives the signature's versions ids where they have none.
func nameVersions(c *convoy.ProjectConfig, now time.Time) {
	for i := range c.Signature.Versions {
		v := &c.Signature.Versions[i]
		if v.ID == "" {
			v.ID = id.New(now)
		}
		if v.CreatedAt.IsZero() {
			v.CreatedAt = now
		}
	}
}

// requestIDHeader is the header that an update asks for; empty is the default.
func requestIDHeader(h string, typ convoy.ProjectType, found *problems) string {
	switch {
	case h == "" || strings.EqualFold(h, convoy.DefaultRequestIDHeader):
		return convoy.DefaultRequestIDHeader
	case typ != convoy.Outgoing:
		found.add("request_id_header", "request_id_header can only be customized on outgoing projects")
	case len(h) > maxName || !validHeaderName(h):
		found.add("request_id_header", "request_id_header must be a valid HTTP header token")
	case sign.Reserved(h):
		found.add("request_id_header", textReserved)
	}
	return h
}

// isWebURL reports whether s is a URL a browser may load.
func isWebURL(s string) bool {
	if len(s) > maxURL || badText(s, maxURL) != "" {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
