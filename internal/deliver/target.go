package deliver

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/sign"
	"convoy/internal/urltemplate"
)

// target is what sending to an endpoint needs, worked out once per version of
// its settings.
type target struct {
	// endpoint, project and subscriptions identify the version: the catalog's
	// values and lists never change, only pointers to them do.
	endpoint      *convoy.Endpoint
	project       *convoy.Project
	subscriptions []*catalog.Subscription
	url           *url.URL
	// template says that the URL has placeholders: only an event that brings its
	// own target can be sent.
	template bool
	signer   *sign.Signer
	timeout  time.Duration
	// auth is the endpoint's authentication header, if any; authValue is empty
	// when it is an OAuth 2.0 token, which is asked for at each try.
	authName, authValue string
	oauth               *convoy.OAuth2Auth
	// transport is the endpoint's own when it asks for a client certificate,
	// which is good until certEnd.
	transport       http.RoundTripper
	certEnd         time.Time
	contentType     string
	requestIDHeader string
	rates           rates
}

// targets caches targets by endpoint.
type targets struct {
	// identities are the transports that show a client certificate.
	identities *identities

	mu sync.RWMutex
	m  map[convoy.EndpointID]*target
}

// maxTargets bounds the cache; beyond it an arbitrary entry goes.
const maxTargets = 16384

// get returns the target of an endpoint, with the subscriptions that have it.
func (ts *targets) get(project *convoy.Project, e *convoy.Endpoint, subscriptions ...*catalog.Subscription) (*target, error) {
	ts.mu.RLock()
	t := ts.m[e.ID]
	ts.mu.RUnlock()
	if t != nil && t.endpoint == e && t.project == project && one(t.subscriptions, subscriptions) {
		return t, nil
	}
	t, err := newTarget(project, e)
	if err != nil {
		return nil, err
	}
	t.subscriptions, t.rates = subscriptions, newRates(project, e, subscriptions)
	if e.ClientCertificate.Cert != "" {
		if t.transport, t.certEnd, err = ts.identities.get(e.ClientCertificate); err != nil {
			return nil, err
		}
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.m == nil {
		ts.m = make(map[convoy.EndpointID]*target)
	}
	for id := range ts.m {
		if len(ts.m) < maxTargets {
			break
		}
		delete(ts.m, id)
	}
	ts.m[e.ID] = t
	return t, nil
}

// one reports whether two lists are the same in memory.
func one(a, b []*catalog.Subscription) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func newTarget(project *convoy.Project, e *convoy.Endpoint) (*target, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("endpoint url: %w", err)
	}
	signer, err := sign.New(project.Config.Signature, e.Secrets, e.AdvancedSignatures || project.Config.ReplayAttacksPrevention)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	t := &target{
		endpoint: e, project: project, url: u, template: isTemplate(e.URL), signer: signer, timeout: e.Timeout(),
		contentType: e.ContentType, requestIDHeader: project.Config.RequestIDHeader,
	}
	if t.contentType == "" {
		t.contentType = "application/json"
	}
	if t.requestIDHeader == "" {
		t.requestIDHeader = convoy.DefaultRequestIDHeader
	}
	t.requestIDHeader = http.CanonicalHeaderKey(t.requestIDHeader)
	switch a := e.Authentication; {
	case a.Type == "api_key" && a.APIKey != nil:
		t.authName, t.authValue = http.CanonicalHeaderKey(a.APIKey.HeaderName), a.APIKey.HeaderValue
	case a.Type == "basic_auth" && a.Basic != nil:
		r := http.Request{Header: make(http.Header)}
		r.SetBasicAuth(a.Basic.Username, a.Basic.Password)
		t.authName, t.authValue = "Authorization", r.Header.Get("Authorization")
	case a.Type == "oauth2" && a.OAuth2 != nil:
		t.authName, t.oauth = "Authorization", a.OAuth2
	}
	return t, nil
}

// isTemplate reports whether a URL has placeholders; one with braces that are
// none is taken as it is.
func isTemplate(raw string) bool {
	if !urltemplate.Is(raw) {
		return false
	}
	_, err := urltemplate.Parse(raw)
	return err == nil
}

// address is the URL an event goes to: the endpoint's, or the event's own
// target, with the query of the request that brought the event in merged into
// it.
func (t *target) address(e *convoy.Event) (*url.URL, error) {
	base := t.url
	if e.TargetURL != "" {
		var err error
		if base, err = url.Parse(e.TargetURL); err != nil {
			return nil, fmt.Errorf("target url: %w", err)
		}
	}
	if e.URLQuery == "" {
		return base, nil
	}
	extra, err := url.ParseQuery(e.URLQuery)
	if err != nil && len(extra) == 0 {
		return base, nil
	}
	u := *base
	q := u.Query()
	for name, values := range extra {
		for _, v := range values {
			q.Add(name, v)
		}
	}
	u.RawQuery = q.Encode()
	return &u, nil
}

// header composes the request's headers: signature, content type and accepted
// encoding cannot be overridden, and the endpoint's authentication wins over an
// event header of its name. auth is the value of the latter.
func (t *target) header(d *convoy.Delivery, e *convoy.Event, body []byte, auth string, s *sender, now time.Time) http.Header {
	h := make(http.Header, 8+len(e.Headers))
	name, value := t.signer.Header(body, now)
	h[name] = []string{value}
	h["Content-Type"] = []string{t.contentType}
	h["Accept-Encoding"] = []string{"gzip"}
	if _, set := h[t.authName]; t.authName != "" && !set {
		h[t.authName] = []string{auth}
	}
	for name, values := range e.Headers {
		name = http.CanonicalHeaderKey(name)
		if _, set := h[name]; !set && !hopByHop(name) {
			h[name] = values
		}
	}
	if _, set := h["User-Agent"]; !set {
		h["User-Agent"] = []string{s.userAgent}
	}
	if e.IdempotencyKey != "" {
		h[t.requestIDHeader] = []string{e.IdempotencyKey}
	}
	if t.project.Config.AddEventIDTraceHeaders {
		h["X-Convoy-Eventdelivery-Id"] = []string{string(d.ID)}
		h["X-Convoy-Event-Id"] = []string{string(e.ID)}
	}
	return h
}

// redacted stands for a credential in what is kept of a request.
const redacted = "[redacted]"

// shown are the headers of a request as they are kept: whoever may read attempts
// is not to get the endpoint's credential.
func (t *target) shown(header http.Header, auth string) http.Header {
	if values := header[t.authName]; t.authName == "" || len(values) != 1 || values[0] != auth {
		return header
	}
	h := maps.Clone(header)
	h[t.authName] = []string{redacted}
	return h
}

// hopByHop names the headers that belong to a connection (RFC 9110 §7.6.1) or
// that the transport sets itself.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}
