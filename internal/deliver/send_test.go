package deliver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"convoy"
	"convoy/internal/guard"
	"convoy/internal/id"
	"convoy/internal/sign"
)

// arrived is a request as an endpoint saw it.
type arrived struct {
	method, uri, host string
	header            http.Header
	body              []byte
}

// sink answers with what handler says and keeps what it got.
type sink struct {
	*httptest.Server
	mu  sync.Mutex
	got []arrived
}

func newSink(t *testing.T, handler http.HandlerFunc) *sink {
	t.Helper()
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("request body: %v", err)
		}
		s.mu.Lock()
		s.got = append(s.got, arrived{r.Method, r.RequestURI, r.Host, r.Header.Clone(), body})
		s.mu.Unlock()
		if handler != nil {
			handler(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) requests() []arrived {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]arrived(nil), s.got...)
}

// local may dial loopback addresses, where the tests' endpoints are.
func local(t *testing.T) *http.Transport {
	t.Helper()
	return transport(t, guard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}})
}

func transport(t *testing.T, cfg guard.Config) *http.Transport {
	t.Helper()
	tr := NewTransport(TransportConfig{Dialer: guard.New(cfg).Dialer(5*time.Second, time.Minute), PerEndpoint: 8})
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func endpointAt(url string) *convoy.Endpoint {
	return &convoy.Endpoint{
		ID: convoy.EndpointID(id.New(time.Now())), URL: url, Status: convoy.EndpointActive, HTTPTimeout: usual,
		Secrets: []convoy.Secret{{ID: "s1", Value: "whsec_4f8d2c"}},
	}
}

// sending is one delivery on its way.
type sending struct {
	endpoint *convoy.Endpoint
	project  convoy.ProjectConfig
	event    *convoy.Event
	tokens   tokens
	targets  targets
}

func newSending(url string) *sending {
	return &sending{
		endpoint: endpointAt(url), project: convoy.DefaultProjectConfig(),
		event: &convoy.Event{ID: "01EVENT", Data: []byte(`{"a": 1}`)},
	}
}

func (s *sending) send(t *testing.T, rt http.RoundTripper) (result, *convoy.Attempt) {
	t.Helper()
	if base, ok := rt.(*http.Transport); ok && s.targets.identities == nil {
		s.targets.identities = &identities{show: Showing(base)}
	}
	project, endpoint := convoy.Project{Config: s.project}, *s.endpoint // their address is their version
	target, err := s.targets.get(&project, &endpoint)
	if err != nil {
		t.Fatal(err)
	}
	sender := sender{transport: rt, tokens: s.tokens, userAgent: "Convoy/test", maxResponse: 1000, now: time.Now}
	return sender.send(t.Context(), target, &convoy.Delivery{ID: "01DELIVERY", EndpointID: s.endpoint.ID, ProjectID: "P"}, s.event, time.Now())
}

func TestSendHeaders(t *testing.T) {
	t.Parallel()
	header := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Add(kv[i], kv[i+1])
		}
		return h
	}
	const basic = "Basic dXNlcjpwYTpzcw=="
	tests := []struct {
		name   string
		change func(s *sending)
		want   http.Header // beside the signature
	}{
		{"plain", func(*sending) {}, header("Content-Type", "application/json", "User-Agent", "Convoy/test")},
		{
			"event headers are sent", func(s *sending) {
				s.event.Headers = map[string][]string{"x-one": {"1"}, "X-Two": {"2", "22"}, "User-Agent": {"Shop/1"}}
			},
			header("Content-Type", "application/json", "User-Agent", "Shop/1", "X-One", "1", "X-Two", "2", "X-Two", "22"),
		},
		{
			"ours cannot be overridden", func(s *sending) {
				s.event.Headers = map[string][]string{
					"content-type": {"text/evil"}, "ACCEPT-ENCODING": {"br"}, "x-convoy-signature": {"forged"},
				}
			},
			header("Content-Type", "application/json", "User-Agent", "Convoy/test"),
		},
		{
			"headers of the connection are dropped", func(s *sending) {
				s.event.Headers = map[string][]string{
					"connection": {"close"}, "Content-Length": {"3"}, "host": {"evil.example"}, "Keep-Alive": {"1"}, "Proxy-Authenticate": {"x"},
					"Proxy-Authorization": {"x"}, "Proxy-Connection": {"x"}, "TE": {"trailers"}, "Trailer": {"X"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"h2c"},
				}
			},
			header("Content-Type", "application/json", "User-Agent", "Convoy/test"),
		},
		{
			"form", func(s *sending) { s.endpoint.ContentType = formContent },
			header("Content-Type", formContent, "User-Agent", "Convoy/test"),
		},
		{
			"api key wins over the event's header", func(s *sending) {
				s.endpoint.Authentication = convoy.Authentication{Type: "api_key", APIKey: &convoy.APIKeyAuth{HeaderName: "x-key", HeaderValue: "secret"}}
				s.event.Headers = map[string][]string{"X-Key": {"guess"}}
			},
			header("Content-Type", "application/json", "User-Agent", "Convoy/test", "X-Key", "secret"),
		},
		{
			"api key does not replace the content type", func(s *sending) {
				s.endpoint.Authentication = convoy.Authentication{Type: "api_key", APIKey: &convoy.APIKeyAuth{HeaderName: "content-type", HeaderValue: "secret"}}
			},
			header("Content-Type", "application/json", "User-Agent", "Convoy/test"),
		},
		{
			"basic auth wins over the event's header", func(s *sending) {
				s.endpoint.Authentication = convoy.Authentication{Type: "basic_auth", Basic: &convoy.BasicAuth{Username: "user", Password: "pa:ss"}}
				s.event.Headers = map[string][]string{"authorization": {"Bearer x"}}
			},
			header("Content-Type", "application/json", "User-Agent", "Convoy/test", "Authorization", basic),
		},
		{
			"event's authorization without endpoint authentication", func(s *sending) {
				s.event.Headers = map[string][]string{"authorization": {"Bearer x"}}
			},
			header("Content-Type", "application/json", "User-Agent", "Convoy/test", "Authorization", "Bearer x"),
		},
		{
			"request id", func(s *sending) {
				s.event.IdempotencyKey = "key 1"
				s.event.Headers = map[string][]string{"X-Convoy-Idempotency-Key": {"other"}}
			},
			header("Content-Type", "application/json", "User-Agent", "Convoy/test", "X-Convoy-Idempotency-Key", "key 1"),
		},
		{
			"request id under another name", func(s *sending) {
				s.event.IdempotencyKey = "key 1"
				s.project.RequestIDHeader = "webhook-id"
			},
			header("Content-Type", "application/json", "User-Agent", "Convoy/test", "Webhook-Id", "key 1"),
		},
		{
			"trace headers", func(s *sending) { s.project.AddEventIDTraceHeaders = true },
			header("Content-Type", "application/json", "User-Agent", "Convoy/test",
				"X-Convoy-Eventdelivery-Id", "01DELIVERY", "X-Convoy-Event-Id", "01EVENT"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sink := newSink(t, nil)
			s := newSending(sink.URL)
			tt.change(s)
			r, a := s.send(t, local(t))
			got := sink.requests()
			if r.status != 200 || len(got) != 1 {
				t.Fatalf("result %+v (%s), %d requests", r, a.Error, len(got))
			}
			h := got[0].header
			if err := verify(s, h.Get("X-Convoy-Signature"), got[0].body); err != nil {
				t.Errorf("signature: %v", err)
			}
			if got := h.Get("Accept-Encoding"); got != "gzip" {
				t.Errorf("Accept-Encoding %q", got)
			}
			h.Del("X-Convoy-Signature")
			h.Del("Accept-Encoding")
			h.Del("Content-Length")
			if diff := cmp.Diff(tt.want, h); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			// What is kept is what was sent, but for the endpoint's credential.
			kept := tt.want.Clone()
			for name, values := range kept {
				if s.endpoint.Authentication.Type != "" && (values[0] == "secret" || values[0] == basic) {
					kept.Set(name, "[redacted]")
				}
			}
			shown := a.RequestHeaders
			delete(shown, "X-Convoy-Signature")
			delete(shown, "Accept-Encoding")
			if diff := cmp.Diff(map[string][]string(kept), shown); diff != "" {
				t.Errorf("kept headers (-want +got):\n%s", diff)
			}
			if got[0].method != http.MethodPost || got[0].host != strings.TrimPrefix(sink.URL, "http://") {
				t.Errorf("%s to host %s", got[0].method, got[0].host)
			}
		})
	}
}

func verify(s *sending, header string, body []byte) error {
	return sign.Verify(convoy.SignatureVersion{Hash: "SHA256", Encoding: "hex"}, header, s.endpoint.Secrets[0].Value, body, time.Minute, time.Now())
}

// TestSendSignsTheBytes checks the signature over bodies that a JSON encoder
// would write in another way.
func TestSendSignsTheBytes(t *testing.T) {
	t.Parallel()
	sink := newSink(t, nil)
	tr := local(t)
	for _, data := range []string{
		`{ "event": "invoice.paid", "data": {"id": "inv_123", "amount": 1200} }`, "{\n\t\"a\": \"<&>\\u2028\"\r\n}", `"é"`, `[]`, `{"n":1.0e0}`,
	} {
		for _, advanced := range []bool{true, false} {
			for _, form := range []bool{false, true} {
				s := newSending(sink.URL)
				s.event.Data, s.endpoint.AdvancedSignatures = []byte(data), advanced
				if form {
					s.endpoint.ContentType, s.event.Data = formContent, []byte(`{ "x": `+data+`}`)
				}
				if r, a := s.send(t, tr); r.status != 200 {
					t.Fatalf("%+v, %s", r, a.Error)
				}
				all := sink.requests()
				got := all[len(all)-1]
				if !form && string(got.body) != data {
					t.Errorf("sent %q, want %q", got.body, data)
				}
				header := got.header.Get("X-Convoy-Signature")
				if err := verify(s, header, got.body); err != nil {
					t.Errorf("signature of %q (advanced %v): %v", got.body, advanced, err)
				}
				if advanced != strings.HasPrefix(header, "t=") {
					t.Errorf("signature %q, advanced %v", header, advanced)
				}
				if err := verify(s, header, append(got.body, ' ')); !errors.Is(err, sign.ErrMismatch) {
					t.Errorf("signature of other bytes: %v, want a mismatch", err)
				}
			}
		}
	}
}

// A project that prevents replays has a time in every signature.
func TestSendSignsTheTime(t *testing.T) {
	t.Parallel()
	sink := newSink(t, nil)
	s := newSending(sink.URL)
	s.endpoint.AdvancedSignatures, s.project.ReplayAttacksPrevention = false, true
	if r, a := s.send(t, local(t)); r.status != 200 {
		t.Fatalf("%+v, %s", r, a.Error)
	}
	got := sink.requests()[0]
	header := got.header.Get("X-Convoy-Signature")
	if err := verify(s, header, got.body); err != nil || !strings.HasPrefix(header, "t=") {
		t.Errorf("signature %q: %v", header, err)
	}
}

func TestSendAddress(t *testing.T) {
	t.Parallel()
	sink := newSink(t, nil)
	tr := local(t)
	for _, tt := range []struct{ path, query, want string }{
		{"/hook", "", "/hook"},
		{"", "", "/"},
		{"/hook", "b=2&a=1", "/hook?a=1&b=2"},
		{"/hook?z=0", "a=1", "/hook?a=1&z=0"},
		{"/hook?a=0", "a=1&a=2", "/hook?a=0&a=1&a=2"},
		{"/hook?raw=a+b%2F", "", "/hook?raw=a+b%2F"},
		{"/hook", "q=%C3%A9+x", "/hook?q=%C3%A9+x"},
		{"/hook", "%zz", "/hook"},
		{"/hook", "a=1&b=%zz", "/hook?a=1"},
		{"/a%2Fb", "c=1", "/a%2Fb?c=1"},
	} {
		s := newSending(sink.URL + tt.path)
		s.event.URLQuery = tt.query
		r, a := s.send(t, tr)
		all := sink.requests()
		if r.status != 200 || all[len(all)-1].uri != tt.want {
			t.Errorf("%s with query %q went to %s (%+v), want %s", tt.path, tt.query, all[len(all)-1].uri, r, tt.want)
		}
		if want := sink.URL + strings.TrimSuffix(tt.want, map[bool]string{true: "/"}[tt.path == ""]); a.URL != want {
			t.Errorf("recorded address %s, want %s", a.URL, want)
		}
		// The same URL as the event's own.
		s.endpoint.URL, s.event.TargetURL = "http://elsewhere.invalid/{id}", sink.URL+tt.path
		r, b := s.send(t, tr)
		if r.status != 200 || b.URL != a.URL {
			t.Errorf("%s as the event's target went to %s (%+v), want %s", tt.path, b.URL, r, a.URL)
		}
	}
}

func TestSendUnusableTarget(t *testing.T) {
	t.Parallel()
	s := newSending("http://endpoint.example")
	s.event.TargetURL = "http://%zz"
	if r, a := s.send(t, local(t)); r.err == nil || !r.permanent || a.Error == "" || a.URL != s.event.TargetURL {
		t.Errorf("result %+v of attempt %+v", r, a)
	}
}

func TestSendRecordsTheAttempt(t *testing.T) {
	t.Parallel()
	sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Answer", "caf\xe9")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, strings.Repeat("y", 5000))
	})
	s := newSending(sink.URL)
	r, a := s.send(t, local(t))
	if r.status != http.StatusTeapot || r.err != nil {
		t.Fatalf("result %+v", r)
	}
	if a.HTTPStatus != "418 I'm a teapot" || a.Success || a.Error != "endpoint answered with status 418 I'm a teapot" {
		t.Errorf("status %q, success %v, error %q", a.HTTPStatus, a.Success, a.Error)
	}
	if a.IP != "127.0.0.1" || a.Method != http.MethodPost || a.URL != sink.URL || a.DeliveryID != "01DELIVERY" || a.EndpointID != s.endpoint.ID || a.ProjectID != "P" {
		t.Errorf("attempt %+v", a)
	}
	if got := http.Header(a.ResponseHeaders).Get("X-Answer"); got != "caf\uFFFD" {
		t.Errorf("response header %q", got)
	}
	if http.Header(a.RequestHeaders).Get("Content-Type") != "application/json" {
		t.Errorf("request headers %v", a.RequestHeaders)
	}
	if len(a.Response) != 1000 {
		t.Errorf("%d bytes of the response are kept, want 1000", len(a.Response))
	}
	if a.RespondedAt.Before(a.RequestedAt) || a.RespondedAt.IsZero() {
		t.Errorf("requested at %v, responded at %v", a.RequestedAt, a.RespondedAt)
	}
}

// TestSendSuccessWhateverTheBody gives 2xx answers whose bodies are broken.
func TestSendSuccessWhateverTheBody(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"gzip without a body": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") },
		"gzip that is none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "text")
		},
		"gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped(t, make([]byte, 10<<20)))
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "only this")
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, a := newSending(newSink(t, handler).URL).send(t, local(t))
			if !r.success() || !a.Success || a.Error != "" {
				t.Errorf("result %+v, attempt error %q; want success", r, a.Error)
			}
			if len(a.Response) > 3*1000 {
				t.Errorf("%d bytes of the response are kept", len(a.Response))
			}
		})
	}
}

func TestSendDoesNotFollow(t *testing.T) {
	t.Parallel()
	other := newSink(t, nil)
	for _, status := range []int{301, 302, 303, 307, 308} {
		sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
		})
		if r, _ := newSending(sink.URL).send(t, local(t)); r.status != status || r.success() {
			t.Errorf("%d: result %+v", status, r)
		}
	}
	if got := other.requests(); len(got) != 0 {
		t.Errorf("%d requests went on to where the redirects point", len(got))
	}
}

func TestSendRetryAfter(t *testing.T) {
	t.Parallel()
	sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "90")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if r, _ := newSending(sink.URL).send(t, local(t)); r.retryAfter != 90*time.Second {
		t.Errorf("result %+v", r)
	}
}

// raw answers every connection with fn.
func raw(t *testing.T, fn func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				fn(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// swallow reads a whole request.
func swallow(conn net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return // the client has gone
	}
	_, _ = io.Copy(io.Discard, req.Body)
}

func TestSendFailures(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	open := newSink(t, nil)
	tests := []struct {
		name, url, want string
	}{
		{"connection refused", "http://" + gone.Addr().String(), "connection refused"},
		{"unknown authority", secure.URL, "certificate"},
		{"https where there is none", "https" + strings.TrimPrefix(open.URL, "http"), "TLS handshake"},
		{"connection closed", raw(t, func(c net.Conn) { swallow(c) }), "EOF"},
		{"no HTTP", raw(t, func(c net.Conn) { swallow(c); fmt.Fprint(c, "\xff\x00 what?\r\n\r\n") }), "malformed HTTP"},
		{"malformed header", raw(t, func(c net.Conn) {
			swallow(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n folded \xff\x00: here\r\n\r\n")
		}), "malformed MIME header"},
		{"endless header", raw(t, func(c net.Conn) {
			swallow(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX: ")
			_, _ = io.Copy(c, io.LimitReader(&endless{}, 1<<20))
		}), "exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSending(tt.url)
			r, a := s.send(t, local(t))
			if r.err == nil || r.permanent || r.status != 0 {
				t.Fatalf("result %+v, want a failure worth another try", r)
			}
			if !strings.Contains(a.Error, tt.want) || a.Success || a.HTTPStatus != "" || !a.RespondedAt.IsZero() {
				t.Errorf("attempt error %q (status %q, responded at %v), want one about %q", a.Error, a.HTTPStatus, a.RespondedAt, tt.want)
			}
			after := decide(convoy.Delivery{Retry: convoy.RetryPolicy{Limit: 3}}, r, policy{}, time.Now())
			for _, text := range []string{a.Error, after.Description} {
				if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
					t.Errorf("%q is no text that a store takes", text)
				}
			}
		})
	}
}

func TestSendGuarded(t *testing.T) {
	t.Parallel()
	sink := newSink(t, nil)
	r, a := newSending(sink.URL).send(t, transport(t, guard.Config{}))
	if !errors.Is(r.err, guard.ErrDenied) && !strings.Contains(a.Error, "not allowed") {
		t.Errorf("result %+v, attempt error %q; want a refusal", r, a.Error)
	}
	if len(sink.requests()) != 0 {
		t.Error("the request was made")
	}
	after := decide(convoy.Delivery{Retry: convoy.RetryPolicy{Limit: 3}}, r, policy{}, time.Now())
	if after.Status != convoy.DeliveryRetry {
		t.Errorf("status %s, want Retry", after.Status)
	}
}

func TestSendUnusableForm(t *testing.T) {
	t.Parallel()
	sink := newSink(t, nil)
	s := newSending(sink.URL)
	s.endpoint.ContentType, s.event.Data = formContent, []byte(`[1]`)
	r, a := s.send(t, local(t))
	if !r.permanent || a.Error == "" || len(sink.requests()) != 0 {
		t.Errorf("result %+v, attempt error %q, %d requests; want a permanent failure and no request", r, a.Error, len(sink.requests()))
	}
}

// TestSendTimesOut has endpoints that stop at several points; the attempt ends
// with the timeout.
func TestSendTimesOut(t *testing.T) {
	t.Parallel()
	until := make(chan struct{})
	hang := func(before string) string {
		return raw(t, func(c net.Conn) {
			swallow(c)
			fmt.Fprint(c, before)
			<-until
		})
	}
	const timeout = 100 * time.Millisecond
	tests := []struct {
		name, url string
		answered  bool
	}{
		{"before the status", hang(""), false},
		{"in the headers", hang("HTTP/1.1 200 OK\r\nX: 1\r\n"), false},
		{"in the body", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), true},
		{"after switching protocols", hang("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), true},
		{"after switching protocols, compressed", hang("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Encoding: gzip\r\n\r\n"), true},
		{"after provisional answers", hang("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), false},
	}
	t.Cleanup(func() { close(until) }) // before the servers wait for their connections
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSending(tt.url)
			s.endpoint.HTTPTimeout = timeout
			start := time.Now()
			done := make(chan struct{})
			var (
				r result
				a *convoy.Attempt
			)
			go func() {
				defer close(done)
				r, a = s.send(t, local(t))
			}()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Fatal("the attempt goes on after its timeout")
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v with a timeout of %v", took, timeout)
			}
			if tt.answered {
				if r.err != nil || r.status == 0 {
					t.Errorf("result %+v, want the status that was sent", r)
				}
				return
			}
			if r.err == nil || a.Error != "no response within 100ms" {
				t.Errorf("result %+v, attempt error %q", r, a.Error)
			}
		})
	}
}

// TestSendWithinItsTimeout measures with the fake clock.
func TestSendWithinItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSending("http://endpoint.example")
		s.endpoint.HTTPTimeout = 0 // the default
		start := time.Now()
		_, a := s.send(t, roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		if took := time.Since(start); took != convoy.DefaultHTTPTimeout || a.Error != "no response within 10s" {
			t.Errorf("ended after %v with %q", took, a.Error)
		}
	})
}

// roundTrip is a transport of one function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSendEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	target, err := newTarget(&convoy.Project{Config: convoy.DefaultProjectConfig()}, endpointAt("http://endpoint.example"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := sender{now: time.Now, transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		cancel()
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
	r, a := s.send(ctx, target, &convoy.Delivery{}, &convoy.Event{Data: []byte("1")}, time.Now())
	if !errors.Is(r.err, context.Canceled) || strings.Contains(a.Error, "no response within") {
		t.Errorf("result %+v, attempt error %q; want the cancellation", r, a.Error)
	}
}

func TestTargetsFollowSettings(t *testing.T) {
	t.Parallel()
	e := endpointAt("https://endpoint.example/a")
	if _, err := newTarget(&convoy.Project{Config: convoy.DefaultProjectConfig()}, &convoy.Endpoint{URL: "https://endpoint.example"}); err == nil {
		t.Error("an endpoint without a secret has a target")
	}
	if _, err := newTarget(&convoy.Project{Config: convoy.DefaultProjectConfig()}, &convoy.Endpoint{URL: "::", Secrets: e.Secrets}); err == nil {
		t.Error("an endpoint without a URL has a target")
	}
	target, err := newTarget(&convoy.Project{Config: convoy.DefaultProjectConfig()}, e)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := target.address(&convoy.Event{URLQuery: "a=1"}); err != nil || got.String() != "https://endpoint.example/a?a=1" || target.url.String() != e.URL {
		t.Errorf("address %s, url %s: the shared URL must stay", got, target.url)
	}
}
