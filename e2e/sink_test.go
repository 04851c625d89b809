package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink is a server with endpoints that record what they get.
type sink struct {
	t    testing.TB
	addr string
	// handler serves what arrives: the sink itself, unless a test puts another between close and open.
	handler http.Handler
	srv     *http.Server
	done    chan struct{} // closed when srv no longer serves

	mu        sync.Mutex
	receivers map[string]*receiver // by path; whole, before the first delivery
}

// answer is what a receiver says to a delivery.
type answer struct {
	status int
	after  time.Duration
}

// receiver is one endpoint.
type receiver struct {
	path, secret string
	// answer is asked with how many times the same event came before.
	answer func(before int) answer

	mu       sync.Mutex
	arrivals map[string][]arrival // by the id in the payload
	// invalid are the first few complaints about requests.
	invalid []string
}

// arrival is one request for an event.
type arrival struct {
	at time.Time
	// status is what the sender has been told, 0 while it waits.
	status int
}

func newSink(t testing.TB) *sink {
	t.Helper()
	s := &sink{
		t: t, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t))),
		receivers: make(map[string]*receiver),
	}
	s.handler = s
	s.open()
	t.Cleanup(s.close)
	return s
}

// open listens; the sink may have been closed before.
func (s *sink) open() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatalf("sink: %v", err)
	}
	srv, done := &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Minute}, make(chan struct{})
	s.srv, s.done = srv, done
	go func() {
		defer close(done)
		_ = srv.Serve(l) // until it is closed
	}()
}

// close refuses connections from now on and cuts those there are.
func (s *sink) close() {
	_ = s.srv.Close()
	<-s.done
}

// receive adds an endpoint.
func (s *sink) receive(name string, answer func(before int) answer) *receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &receiver{path: "/" + name, secret: "secret of " + name, answer: answer, arrivals: make(map[string][]arrival)}
	s.receivers[r.path] = r
	return r
}

func (s *sink) url(r *receiver) string { return "http://" + s.addr + r.path }

// Answers of receivers.
var (
	always = func(a answer) func(int) answer { return func(int) answer { return a } }
	ok     = answer{status: http.StatusOK}
	fails  = answer{status: http.StatusInternalServerError}
	// second refuses each event once.
	second = func(before int) answer {
		if before == 0 {
			return fails
		}
		return ok
	}
)

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed in the middle; it was never answered
	}
	s.mu.Lock()
	to := s.receivers[r.URL.Path]
	s.mu.Unlock()
	if to == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	id, n := to.note(r.Header, body)
	a := to.answer(n)
	if a.after > 0 {
		timer := time.NewTimer(a.after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return // an answer that nobody waited for counts as none
		}
	}
	to.mu.Lock()
	to.arrivals[id][n].status = a.status
	to.mu.Unlock()
	w.WriteHeader(a.status)
}

// note records a request and returns its event and how many came before.
func (r *receiver) note(h http.Header, body []byte) (id string, before int) {
	id, err := checkPayload(body)
	if err == nil {
		err = checkSignature(h.Get("X-Convoy-Signature"), r.secret, body, time.Now())
	}
	if err == nil && h.Get("Content-Type") != "application/json" {
		err = fmt.Errorf("content type %q", h.Get("Content-Type"))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && len(r.invalid) < 5 {
		r.invalid = append(r.invalid, fmt.Sprintf("%s: %v", id, err))
	}
	before = len(r.arrivals[id])
	r.arrivals[id] = append(r.arrivals[id], arrival{at: time.Now()})
	return id, before
}

// seen returns what has come.
func (r *receiver) seen() map[string][]arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := maps.Clone(r.arrivals)
	for id, list := range out {
		out[id] = append([]arrival(nil), list...)
	}
	return out
}

// count returns how many events came, and how many requests.
func (r *receiver) count() (events, requests int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, list := range r.arrivals {
		requests += len(list)
	}
	return len(r.arrivals), requests
}

// valid fails the test for requests that were not as they should be.
func (r *receiver) valid(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, problem := range r.invalid {
		t.Errorf("%s got a bad request: %s", r.path, problem)
	}
}

// taken are the times at which the event was answered with 2xx.
func taken(list []arrival) (at []time.Time) {
	for _, a := range list {
		if a.status >= 200 && a.status <= 299 {
			at = append(at, a.at)
		}
	}
	return at
}

// payload is the data of an event. Its white space, escapes and order are what
// a sender that parses and writes it anew would lose.
func payload(id string) []byte {
	return fmt.Appendf(nil, `{ "z":1.50, "n":"%s",`+"\n\t"+`"a":"<é\u00e9&>" }`, id)
}

// checkPayload returns the id in a payload, which must have come byte for byte.
func checkPayload(body []byte) (string, error) {
	var p struct {
		N string `json:"n"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return "", err
	}
	if p.N == "" {
		return "", errors.New("payload without an id")
	}
	if want := payload(p.N); !bytes.Equal(body, want) {
		return p.N, fmt.Errorf("payload is %q, want %q", body, want)
	}
	return p.N, nil
}

// checkSignature verifies a signature as a receiver that has read the
// documentation would: "t=<unix seconds>,v1=<hex>", where the digest is the
// HMAC-SHA256 of "<unix seconds>,<body>" under the endpoint's secret.
func checkSignature(header, secret string, body []byte, now time.Time) error {
	stamp, digest, found := strings.Cut(header, ",v1=")
	stamp, labelled := strings.CutPrefix(stamp, "t=")
	if !found || !labelled {
		return fmt.Errorf("signature is %q", header)
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("time of signature: %w", err)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age < -2*time.Second || age > time.Minute {
		return fmt.Errorf("signature is %v old", age)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + ","))
	mac.Write(body)
	got, err := hex.DecodeString(digest)
	if err != nil {
		return fmt.Errorf("digest of signature: %w", err)
	}
	if !hmac.Equal(got, mac.Sum(nil)) {
		return errors.New("signature does not match")
	}
	return nil
}
