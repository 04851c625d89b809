package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tidwall/gjson"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/id"
)

// Publishing is the one route that every event passes, so it is written for its
// cost: no reflection, buffers from a pool, one scan that validates and one that
// finds the fields, one write. Its budget is 10 µs of CPU for 1 KB, beside what
// net/http takes.

// Limits of an event, beside that of the whole body.
const (
	maxEventType = 255
	// maxIdempotencyKey is in bytes: keys are indexed, and PostgreSQL's index
	// rows end at 2.7 kB.
	maxIdempotencyKey = 1024
	maxCustomHeaders  = 64
	// maxHeaderBytes bounds the names and values of custom headers together.
	maxHeaderBytes = 16 << 10
	// maxDepth is how deep encoding/json goes, which has to read payloads later.
	maxDepth = 10_000
	// maxPooled is the largest buffer kept for the next request; the pool then
	// holds at most a few MiB.
	maxPooled = 256 << 10
)

const publishedMessage = "Event queued successfully"

// publishRequest is the body of POST /events.
type publishRequest struct {
	EndpointID     string            `json:"endpoint_id,omitempty" doc:"The endpoint to deliver to"`
	AppID          string            `json:"app_id,omitempty" deprecated:"true" doc:"Older name of endpoint_id"`
	EventType      string            `json:"event_type" maxLength:"255"`
	Data           json.RawMessage   `json:"data" doc:"Any JSON value; kept and delivered byte for byte"`
	CustomHeaders  map[string]string `json:"custom_headers,omitempty" doc:"Sent with every delivery"`
	IdempotencyKey string            `json:"idempotency_key,omitempty" maxLength:"1024" doc:"A repeat is kept as a duplicate and not delivered"`
}

// describePublish adds the route to the document and, for requests that only
// differ in spelling, to the mux.
func (a *api) describePublish(r *registrar) {
	op := r.describe(operation{
		id: "CreateEndpointEvent", method: http.MethodPost, path: publishRoute, tag: "Events",
		summary: "Publish an event to an endpoint",
		status:  http.StatusCreated, message: publishedMessage, body: reflect.TypeFor[publishRequest](),
	}, reflect.TypeFor[envelope[eventView]]())
	op.Parameters = []*huma.Param{{Name: "projectID", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}}
	r.huma.OpenAPI().AddOperation(&op)
	r.route(op.Method, op.Path)
	a.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, req *http.Request) {
		a.publish(w.(*exchange), req, req.PathValue("projectID"))
	})
}

// scratch is what one publish request needs while it runs.
type scratch struct{ body, out []byte }

var scratches = sync.Pool{New: func() any { return &scratch{body: make([]byte, 0, 4<<10), out: make([]byte, 0, 4<<10)} }}

func (s *scratch) release() {
	if cap(s.body) <= maxPooled && cap(s.out) <= maxPooled {
		scratches.Put(s)
	}
}

// publish serves POST /events: the event is durable when the answer is 201.
func (a *api) publish(x *exchange, r *http.Request, urlProject string) {
	s := scratches.Get().(*scratch)
	defer s.release()
	e, err := a.accept(x, r, urlProject, s)
	if err != nil {
		a.fail(x, r, err)
		return
	}
	s.out = appendPublished(s.out[:0], e)
	h := x.Header()
	h["Content-Type"] = jsonType
	if len(s.out) > 2048 { // below, net/http counts by itself
		h.Set("Content-Length", strconv.Itoa(len(s.out)))
	}
	x.WriteHeader(http.StatusCreated)
	if _, err := x.Write(s.out); err != nil {
		return // the producer has gone; the event stays
	}
}

// accept checks a request and publishes its event.
func (a *api) accept(x *exchange, r *http.Request, urlProject string, s *scratch) (*convoy.Event, error) {
	ctx := r.Context()
	project, err := a.enter(ctx, x, urlProject, manage)
	if err != nil {
		return nil, err
	}
	if s.body, err = readBody(x.ResponseWriter, r, s.body[:0], a.MaxBody); err != nil {
		return nil, err
	}
	var p publication
	if err := p.parse(s.body); err != nil {
		return nil, err
	}
	if err := p.check(project.Settings()); err != nil {
		return nil, err
	}
	endpoint, err := a.target(ctx, project, &p)
	if err != nil {
		return nil, err
	}
	now := a.now()
	e := &convoy.Event{
		ID:             convoy.EventID(id.New(now)),
		ProjectID:      project.Settings().ID,
		Type:           p.eventType,
		Endpoints:      []convoy.EndpointID{endpoint.ID},
		Headers:        p.headers,
		Data:           append(make([]byte, 0, len(p.data)), p.data...), // the buffer goes back to the pool
		IdempotencyKey: p.idempotencyKey,
		Status:         convoy.EventPending,
		AcknowledgedAt: now,
		CreatedAt:      now,
		UpdatedAt:      now,
	}
	if err := a.Publisher.Publish(ctx, e); err != nil {
		return nil, err
	}
	return e, nil
}

// readBody reads a request body of at most max bytes into buf.
func readBody(w http.ResponseWriter, r *http.Request, buf []byte, max int64) ([]byte, error) {
	n := r.ContentLength
	if n > max {
		return buf, errBodyTooLarge
	}
	if n < 0 { // chunked
		body := http.MaxBytesReader(w, r.Body, max)
		for {
			if len(buf) == cap(buf) {
				buf = append(buf, 0)[:len(buf)]
			}
			k, err := body.Read(buf[len(buf):cap(buf)])
			buf = buf[:len(buf)+k]
			if err == io.EOF {
				return buf, nil
			}
			if err != nil {
				return buf, readError(err)
			}
		}
	}
	// The length is the sender's word; memory is taken as bytes arrive.
	for int64(len(buf)) < n {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(int64(2*cap(buf)), n))
			copy(grown, buf)
			buf = grown
		}
		k, err := r.Body.Read(buf[len(buf):min(int64(cap(buf)), n)])
		buf = buf[:len(buf)+k]
		if err != nil && int64(len(buf)) < n {
			return buf, readError(err)
		}
	}
	return buf, nil
}

// publication is the body of a publish request; data aliases the body, the rest
// does not.
type publication struct {
	endpointID, appID, eventType, idempotencyKey string
	headers                                      map[string][]string
	data                                         []byte
}

// parse reads a body leniently: unknown keys are ignored, keys match in any
// case, null is absent, and of repeated keys the last counts.
func (p *publication) parse(body []byte) error {
	if blank(body) {
		return errBodyEmpty
	}
	if !validJSON(body) {
		return slowError(body)
	}
	// The view lives as long as this call, and nobody writes to body meanwhile.
	view := gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body)))
	if view.Type == gjson.Null {
		return nil
	}
	if !view.IsObject() {
		return slowError(body)
	}
	if !utf8.Valid(body) {
		return invalidUTF8(body)
	}
	var err error
	view.ForEach(func(key, value gjson.Result) bool {
		err = p.field(key.Str, value, body)
		return err == nil
	})
	return err
}

// field takes one top-level key.
func (p *publication) field(key string, value gjson.Result, body []byte) error {
	switch {
	case is(key, "data"):
		// Index and Raw point into body.
		p.data = body[value.Index : value.Index+len(value.Raw)]
		return nil
	case is(key, "event_type"):
		return stringField(&p.eventType, "event_type", value)
	case is(key, "endpoint_id"):
		return stringField(&p.endpointID, "endpoint_id", value)
	case is(key, "idempotency_key"):
		return stringField(&p.idempotencyKey, "idempotency_key", value)
	case is(key, "custom_headers"):
		return p.customHeaders(value)
	case is(key, "app_id"):
		return stringField(&p.appID, "app_id", value)
	}
	return nil
}

// is compares a key as encoding/json does.
func is(key, name string) bool {
	return key == name || len(key) == len(name) && strings.EqualFold(key, name)
}

// stringField takes a copy of a string value.
func stringField(dst *string, name string, value gjson.Result) error {
	switch {
	case value.Type == gjson.Null:
		return nil
	case value.Type != gjson.String:
		return wrongType(name)
	case strings.IndexByte(value.Raw, '\\') >= 0:
		// encoding/json mends unpaired surrogates, as other fields' are.
		if err := json.Unmarshal([]byte(value.Raw), dst); err != nil {
			return decodeError(err)
		}
		return nil
	}
	*dst = strings.Clone(value.Str)
	return nil
}

func (p *publication) customHeaders(value gjson.Result) error {
	if value.Type == gjson.Null {
		return nil
	}
	if !value.IsObject() {
		return wrongType("custom_headers")
	}
	var (
		err  error
		size int
	)
	p.headers = make(map[string][]string)
	value.ForEach(func(key, v gjson.Result) bool {
		var text string
		if v.Type != gjson.Null {
			if err = stringField(&text, "custom_headers", v); err != nil {
				return false
			}
		}
		size += len(key.Str) + len(text)
		switch {
		case !validHeaderName(key.Str):
			err = invalid("custom_headers", "names must be HTTP header names")
		case !validHeaderValue(text):
			err = invalid("custom_headers", "values must not contain control characters")
		case len(p.headers) >= maxCustomHeaders:
			err = invalid("custom_headers", "must not have more than "+itoa(maxCustomHeaders)+" headers")
		case size > maxHeaderBytes:
			err = invalid("custom_headers", "must not be longer than "+itoa(maxHeaderBytes)+" bytes together")
		case v.Type != gjson.Null:
			p.headers[strings.Clone(key.Str)] = []string{text}
		}
		return err == nil
	})
	return err
}

// check applies the rules that need no endpoint.
func (p *publication) check(project *convoy.Project) error {
	if badText(p.eventType, maxEventType) == "" && p.eventType != "" && p.data != nil && p.idempotencyKey == "" && !needsKey(project) {
		return nil // the usual case
	}
	var found problems
	found.required("event_type", p.eventType, maxEventType, "please provide an event type")
	if p.data == nil {
		found.add("data", "please provide your data")
	}
	if len(p.idempotencyKey) > maxIdempotencyKey {
		found.add("idempotency_key", textTooLong+itoa(maxIdempotencyKey)+" bytes")
	} else {
		found.text("idempotency_key", p.idempotencyKey, maxIdempotencyKey)
	}
	if err := found.err(); err != nil {
		return err
	}
	if p.idempotencyKey == "" && needsKey(project) {
		return convoy.E(convoy.Invalid, "idempotency_key is required when a custom request_id_header is configured")
	}
	return nil
}

// needsKey reports whether receivers rely on a header of the project's own that
// carries the idempotency key.
func needsKey(project *convoy.Project) bool {
	h := project.Config.RequestIDHeader
	return h != "" && project.Type == convoy.Outgoing && !strings.EqualFold(h, convoy.DefaultRequestIDHeader)
}

// target finds the endpoint that an event is addressed to.
func (a *api) target(ctx context.Context, project *catalog.Project, p *publication) (*convoy.Endpoint, error) {
	want, missing := p.endpointID, "endpoint not found"
	if want == "" {
		want, missing = p.appID, "app ID has no configured endpoints"
	}
	if want == "" {
		return nil, convoy.E(convoy.Invalid, "please provide an endpoint ID")
	}
	endpoint := convoy.EndpointID(want)
	if e, ok := project.Endpoint(endpoint); ok {
		return e, nil
	}
	if !id.Valid(want) {
		return nil, convoy.E(convoy.Invalid, missing)
	}
	// Another process may have made it a moment ago: one look at one row, and a
	// reload only when that is so.
	owner := project.Settings().ID
	if _, err := a.Store.Endpoint(ctx, owner, endpoint); err != nil {
		return nil, refuse(err, missing)
	}
	fresh, err := a.Catalog.Reload(ctx, owner)
	if err != nil {
		return nil, refuse(err, "project not found")
	}
	if e, ok := fresh.Endpoint(endpoint); ok {
		return e, nil
	}
	return nil, convoy.E(convoy.Invalid, missing)
}

// validJSON is gjson.ValidBytes with bounded depth: it recurses, and a Go stack
// that runs out cannot be recovered from.
func validJSON(body []byte) bool {
	if bytes.Count(body, []byte{'['})+bytes.Count(body, []byte{'{'}) > maxDepth {
		return json.Valid(body) // has a bound of its own
	}
	return gjson.ValidBytes(body)
}

// slowError finds the words for a body that is known to be bad.
func slowError(body []byte) error {
	var v publishRequest
	if err := json.Unmarshal(body, &v); err != nil {
		return decodeError(err)
	}
	return errBodyMalformed
}

// validHeaderName reports whether s is a token (RFC 9110, section 5.6.2).
func validHeaderName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// validHeaderValue reports whether s has no control characters but tabs.
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
