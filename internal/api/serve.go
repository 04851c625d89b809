package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"convoy"
	"convoy/internal/catalog"
)

const (
	apiPrefix      = "/api/"
	projectsPrefix = "/api/v1/projects/"
	publishRoute   = "/api/v1/projects/{projectID}/events"
	batchSuffix    = "/batch"
	batchRoute     = "/events" + batchSuffix

	headerRequestID = "X-Request-Id"
	headerVersion   = "X-Convoy-Version"
	// maxRequestID bounds what a caller may have echoed and logged.
	maxRequestID = 128
)

// jsonType is the Content-Type of every JSON answer; shared, never written to.
var jsonType = []string{"application/json"}

// exchange is one request and what became of it. As a ResponseWriter it counts
// what passes.
type exchange struct {
	http.ResponseWriter
	id     string
	route  *route
	status int
	bytes  int
	// caller is nobody outside /api and /ui. Under /ui, unknown says why; there are
	// operations that do not mind. visit is set there too.
	caller  caller
	address string
	unknown error
	visit   visit
	project convoy.ProjectID
	// entered is the project that the operation acts on, role what the caller is
	// in the organisation that it acts on.
	entered *catalog.Project
	role    convoy.Role
	// manages says that the caller may change the project.
	manages bool
	version apiVersion
	// deprecated and mismatched say that an event was published of a type that is
	// deprecated, or with data that its schema does not allow.
	deprecated time.Time
	mismatched bool
	// err is why the status is 5xx; stack where it panicked.
	err   error
	stack []byte
}

// WriteHeader notes the status.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write counts bytes.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(b)
	x.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

type exchangeKey struct{}

// exchangeOf returns the exchange that ctx belongs to.
func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// ServeHTTP implements [http.Handler].
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{ResponseWriter: w, id: a.ids.of(r), route: a.lost}
	defer a.finish(x, r, start)
	h := w.Header()
	h[headerRequestID] = []string{x.id}
	h[headerVersion] = a.versionHeader
	protect(h, r)

	p := cleanPath(r.URL.Path, a.prefix)
	if !strings.HasPrefix(p, apiPrefix) {
		if page, ok := a.pages[p]; ok {
			x.route = page.route
			page.serve(x, r)
			return
		}
		if strings.HasPrefix(p, ingestPrefix) {
			a.ingest(x, r, p)
			return
		}
		if strings.HasPrefix(p, uiPrefix) {
			a.ui(x, r, p)
			return
		}
		if strings.HasPrefix(p, portalPrefix) {
			a.portal(x, r, p)
			return
		}
		a.fail(x, r, errNoRoute)
		return
	}
	if err := a.admit(x, r, p); err != nil {
		a.fail(x, r, err)
		return
	}
	a.serve(x, r, p)
}

// serve serves what is below [apiPrefix] to a caller who is known; p is the clean
// path.
func (a *api) serve(x *exchange, r *http.Request, p string) {
	if r.Method == http.MethodPost && r.URL.RawPath == "" {
		if project, suffix, ok := publishPath(p); ok {
			if to := a.publishing[suffix]; to != nil {
				x.route = to.route
				to.serve(a, x, r, project, to)
				return
			}
		}
	}
	if strings.HasPrefix(p, projectsPrefix) || p+"/" == projectsPrefix {
		if err := a.takeCaller(r.Context(), &x.caller); err != nil {
			a.fail(x, r, err)
			return
		}
	}
	a.dispatch(x, r, p)
}

// Headers of every answer, shared and never written to. Answers are data: no
// browser is to show them as a page of ours, frame them, keep them, or guess what
// they are. A page says what it needs by its own.
var (
	noSniff    = []string{"nosniff"}
	noStore    = []string{"no-store"}
	noReferrer = []string{"no-referrer"}
	noContent  = []string{"default-src 'none'; frame-ancestors 'none'"}
	// onlyTLS is for two years (RFC 6797).
	onlyTLS = []string{"max-age=63072000"}
)

func protect(h http.Header, r *http.Request) {
	h["X-Content-Type-Options"] = noSniff
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	h["Content-Security-Policy"] = noContent
	if r.TLS != nil {
		h["Strict-Transport-Security"] = onlyTLS
	}
}

// publishPath splits a path of [publishRoute] and what follows it.
func publishPath(p string) (project, suffix string, ok bool) {
	if !strings.HasPrefix(p, projectsPrefix) {
		return "", "", false
	}
	rest := p[len(projectsPrefix):]
	i := strings.IndexByte(rest, '/')
	if i <= 0 {
		return "", "", false
	}
	suffix, ok = strings.CutPrefix(rest[i:], "/events")
	return rest[:i], suffix, ok
}

// admit checks the content type and then the credential; p is the clean path.
func (a *api) admit(x *exchange, r *http.Request, p string) error {
	if ct := r.Header["Content-Type"]; len(ct) > 0 && !isJSON(ct[0]) && !(isNDJSON(ct[0]) && strings.HasSuffix(p, batchRoute)) &&
		!(isForm(ct[0]) && strings.HasSuffix(p, onboardRoute)) {
		return errContentType
	}
	var err error
	x.caller, err = a.identify(r)
	return err
}

// isJSON reports whether a Content-Type is absent or JSON.
func isJSON(ct string) bool {
	switch ct {
	case "", "application/json", "application/json;charset=utf-8", "application/json; charset=utf-8": // as SDKs send it
		return true
	}
	t, _, err := mime.ParseMediaType(ct)
	return t == "application/json" && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter))
}

// dispatch finds the operation of a request; p is its clean path.
func (a *api) dispatch(x *exchange, r *http.Request, p string) {
	if p != path.Clean(p) {
		a.fail(x, r, errNoRoute)
		return
	}
	x.version = a.version
	if asked := r.Header.Get(headerVersion); asked != "" {
		x.version, _ = parseVersion(asked) // what is no date is the oldest
	}
	x.address = short(a.address(r))
	// Mux and handlers may write to the request, which is the server's.
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if p != r.URL.Path {
		u := *r.URL
		u.Path = p
		if u.RawPath != "" {
			u.RawPath = cleanPath(u.RawPath, a.prefix)
		}
		r.URL = &u
	}
	_, pattern := a.mux.Handler(r)
	if route := a.routes[pattern]; route != nil && r.Method != http.MethodHead {
		x.route = route
		limit := a.MaxBody
		if strings.HasSuffix(p, onboardRoute) {
			limit = max(limit, maxOnboardBody)
		}
		r.Body = http.MaxBytesReader(x.ResponseWriter, r.Body, limit) // closes the connection, which only the server's own writer can
		a.mux.ServeHTTP(x, r)
		return
	}
	a.fail(x, r, a.noRoute(r))
}

// noRoute tells a path that does not exist from one that does not take the
// method.
func (a *api) noRoute(r *http.Request) error {
	probe := r.Clone(r.Context())
	probe.Method = "-" // no operation has it, so that Allow lists them all
	h, _ := a.mux.Handler(probe)
	answer := probeWriter{header: make(http.Header)}
	h.ServeHTTP(&answer, probe)
	if answer.status != http.StatusMethodNotAllowed {
		return errNoRoute
	}
	var allow []string
	for m := range strings.SplitSeq(answer.header.Get("Allow"), ",") {
		if m = strings.TrimSpace(m); m != http.MethodHead {
			allow = append(allow, m)
		}
	}
	return methodNotAllowed(allow...)
}

func methodNotAllowed(allow ...string) error {
	return &statusError{status: http.StatusMethodNotAllowed, msg: "method not allowed", allow: strings.Join(allow, ", ")}
}

// probeWriter keeps the head of an answer.
type probeWriter struct {
	header http.Header
	status int
}

func (p *probeWriter) Header() http.Header         { return p.header }
func (p *probeWriter) WriteHeader(status int)      { p.status = status }
func (p *probeWriter) Write(b []byte) (int, error) { return len(b), nil }

// fail answers with an error and keeps it for the log where it is ours.
func (a *api) fail(x *exchange, r *http.Request, err error) {
	f := classify(r.Context(), err)
	if f.status >= http.StatusInternalServerError {
		x.err = err
	}
	f.head(x.Header())
	x.WriteHeader(f.status)
	if _, err := x.Write(appendFailed(make([]byte, 0, 64+len(f.msg)), f.msg)); err != nil {
		return // the caller has gone; nobody is left to tell
	}
}

// head sets the headers that belong to a failure.
func (f *failure) head(h http.Header) {
	h["Content-Type"] = jsonType
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	if f.retryAfter > 0 {
		seconds := int64((f.retryAfter + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	if f.rate > 0 {
		h.Set("X-RateLimit-Limit", strconv.Itoa(f.rate))
		h.Set("X-RateLimit-Remaining", "0")
		h.Set("X-RateLimit-Reset", h.Get("Retry-After"))
	}
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
}

// finish ends a request: a panic becomes a 500, and the request one log line
// and one observation.
func (a *api) finish(x *exchange, r *http.Request, start time.Time) {
	p := recover()
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	if p != nil {
		x.stack = debug.Stack()
		err := fmt.Errorf("panic: %v", p)
		if x.status == 0 {
			a.fail(x, r, convoy.Wrap(convoy.Internal, "handler", err))
		}
		x.err = err
	}
	if x.status == 0 {
		x.status = http.StatusOK // what net/http sends for a handler that sends nothing
	}
	d := time.Since(start)
	x.route.metrics.Observe(x.status, d)
	a.logServed(x, r, d)
	x.drain(r)
	if p != nil && x.status < http.StatusInternalServerError {
		panic(http.ErrAbortHandler) // the answer was begun: cut it off
	}
}

// maxDrained is how much of a body that nobody wanted is read, in bytes, as
// net/http does where the connection stays open.
const maxDrained = 256 << 10

// drain reads what the caller still sends where the connection is to be closed:
// closing it with bytes unread resets it, and the answer may be lost. Of more
// than [maxDrained] the server is told, which then closes slowly.
func (x *exchange) drain(r *http.Request) {
	if !r.Close || r.ContentLength == 0 || r.Header.Get("Expect") != "" {
		return
	}
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(x.ResponseWriter, r.Body, maxDrained)) // what is lost is not wanted
}

// logServed writes the request's line. Publishing has a line of its own in the
// log, so its requests are for debugging, unless they fail by our fault.
func (a *api) logServed(x *exchange, r *http.Request, d time.Duration) {
	level := slog.LevelInfo
	switch {
	case x.stack != nil || x.err != nil && x.status == http.StatusInternalServerError:
		level = slog.LevelError
	case x.err != nil:
		level = slog.LevelWarn
	case x.route.publishes, x.caller == (caller{}) && x.status == http.StatusOK:
		level = slog.LevelDebug
	}
	ctx := r.Context()
	if !a.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", knownMethod(r.Method)),
		slog.String("route", x.route.pattern),
		slog.Int("status", x.status),
		slog.Duration("duration", d),
		slog.String("request_id", x.id),
		slog.String("project_id", string(x.project)),
		slog.Int("bytes", x.bytes),
	}
	if !x.deprecated.IsZero() {
		attrs = append(attrs, slog.Bool("event_type_deprecated", true))
	}
	if x.mismatched {
		attrs = append(attrs, slog.Bool("schema_mismatch", true))
	}
	if x.err != nil {
		attrs = append(attrs, slog.Any("err", x.err))
	}
	if x.stack != nil {
		attrs = append(attrs, slog.String("stack", string(x.stack)))
	}
	a.Log.LogAttrs(ctx, level, "request.served", attrs...)
}

// knownMethod keeps a caller from filling logs with methods.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}

// cleanPath collapses repeated slashes, and drops the root path and a trailing
// slash.
func cleanPath(p, root string) string {
	if strings.Contains(p, "//") {
		var b strings.Builder
		b.Grow(len(p))
		for i := range len(p) {
			if p[i] != '/' || i == 0 || p[i-1] != '/' {
				b.WriteByte(p[i])
			}
		}
		p = b.String()
	}
	if root != "" && strings.HasPrefix(p, root) && (len(p) == len(root) || p[len(root)] == '/') {
		p = p[len(root):]
	}
	if len(p) > 1 && p[len(p)-1] == '/' {
		p = p[:len(p)-1]
	}
	return p
}

// rootPath brings a configured root path into the form "/x", or "".
func rootPath(p string) string {
	p = strings.Trim(p, "/")
	if p == "" {
		return ""
	}
	return "/" + p
}

// requestIDs makes ids for requests that bring none: a random word for the
// process and a count.
type requestIDs struct {
	process string
	count   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	return requestIDs{process: strconv.FormatUint(rand.Uint64(), 36) + "-", count: new(atomic.Uint64)}
}

// of returns the id that a request brings, if it is printable ASCII of bounded
// length, or a fresh one.
func (ids requestIDs) of(r *http.Request) string {
	if v := r.Header[headerRequestID]; len(v) > 0 && validRequestID(v[0]) {
		return v[0]
	}
	var b [40]byte
	return string(strconv.AppendUint(append(b[:0], ids.process...), ids.count.Add(1), 36))
}

func validRequestID(s string) bool {
	if s == "" || len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
