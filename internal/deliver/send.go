package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/oauth"
)

// sender makes one HTTP request at a time per call.
type sender struct {
	transport   http.RoundTripper
	tokens      tokens
	userAgent   string
	maxResponse int
	now         func() time.Time
}

// tokens gets OAuth 2.0 access tokens.
type tokens interface {
	Token(ctx context.Context, a *convoy.OAuth2Auth) (oauth.Token, error)
	// Refused says that the endpoint did not take the token.
	Refused(a *convoy.OAuth2Auth)
}

// errTimeout is what an attempt records when its endpoint's timeout passed.
var errTimeout = errors.New("timed out")

// send tries a delivery and says what came of it. Redirects are not followed:
// a signed payload goes where its owner said and nowhere else.
func (s *sender) send(ctx context.Context, t *target, d *convoy.Delivery, e *convoy.Event, now time.Time) (result, *convoy.Attempt) {
	u, err := t.address(e)
	a := &convoy.Attempt{
		ID: convoy.AttemptID(id.New(now)), DeliveryID: d.ID, ProjectID: d.ProjectID, EndpointID: d.EndpointID,
		URL: e.TargetURL, Method: http.MethodPost, RequestedAt: now, CreatedAt: now,
	}
	if err != nil {
		a.Error = cleanText(err.Error())
		return result{err: err, permanent: true}, a
	}
	a.URL = u.String()
	body, err := payload(t.contentType, e)
	if err != nil {
		a.Error = err.Error()
		return result{err: err, permanent: true}, a
	}
	if !t.certEnd.IsZero() && now.After(t.certEnd) {
		a.Error = "client certificate expired on " + t.certEnd.UTC().Format(time.DateOnly)
		return result{err: errors.New(a.Error), permanent: true}, a
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.timeout, errTimeout)
	defer cancel()
	auth := t.authValue
	if t.oauth != nil {
		token, err := s.tokens.Token(ctx, t.oauth)
		if err != nil { // the token endpoint may be back for the next try
			a.Error = cleanText(err.Error())
			return result{err: err}, a
		}
		auth = token.Header()
	}
	header := t.header(d, e, body, auth, s, now)
	a.RequestHeaders = t.shown(header, auth)

	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if addr, ok := info.Conn.RemoteAddr().(*net.TCPAddr); ok {
			a.IP = addr.IP.String()
		}
	}})
	req := (&http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		// With it, a request that met a connection closed while idle is sent
		// again on a new one instead of failing.
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}).WithContext(ctx)
	transport := s.transport
	if t.transport != nil {
		transport = t.transport
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errTimeout) {
			err = errors.New("no response within " + t.timeout.String())
		}
		a.Error = cleanText(err.Error())
		return result{err: err}, a
	}
	defer func() { _ = res.Body.Close() }() // the outcome is known
	if res.StatusCode == http.StatusUnauthorized && t.oauth != nil {
		s.tokens.Refused(t.oauth)
	}
	r := result{status: res.StatusCode, retryAfter: retryAfter(res.Header, now)}
	a.RespondedAt = s.now()
	a.HTTPStatus, a.ResponseHeaders = cleanText(res.Status), cleanHeader(res.Header)
	a.Response = capture(res, s.maxResponse)
	a.Success = r.success()
	if !a.Success {
		a.Error = "endpoint answered with status " + cleanText(res.Status)
	}
	return r, a
}

// cleanHeader makes every value text that a store takes; most need nothing.
func cleanHeader(h http.Header) http.Header {
	for _, values := range h {
		for i, v := range values {
			values[i] = cleanText(v)
		}
	}
	return h
}
