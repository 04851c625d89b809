package api

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/id"
)

// Publishing is the one route that every event passes, so it is written for its
// cost: no reflection, buffers from a pool, one scan that validates and one that
// finds the fields, one write. Its budget is 10 µs of CPU for 1 KB, beside what
// net/http takes.

// maxPooled is the largest buffer kept for the next request; the pool then holds
// at most a few MiB.
const maxPooled = 256 << 10

const publishedMessage = "Event queued successfully"

// PublishContent is what the bodies of all publish requests have. It is exported
// because huma reads only exported fields.
type PublishContent struct {
	EventType      string            `json:"event_type" maxLength:"255"`
	Data           json.RawMessage   `json:"data" doc:"Any JSON value; kept and delivered byte for byte"`
	CustomHeaders  map[string]string `json:"custom_headers,omitempty" doc:"Sent with every delivery"`
	IdempotencyKey string            `json:"idempotency_key,omitempty" maxLength:"1024" doc:"A repeat is kept as a duplicate and not delivered"`
}

// publishRequest is the body of POST /events.
type publishRequest struct {
	EndpointID string `json:"endpoint_id,omitempty" doc:"The endpoint to deliver to"`
	AppID      string `json:"app_id,omitempty" deprecated:"true" doc:"Older name of endpoint_id"`
	PublishContent
}

type fanoutRequest struct {
	OwnerID string `json:"owner_id" maxLength:"255" doc:"Whose endpoints to deliver to"`
	PublishContent
}

type broadcastRequest struct{ PublishContent }

type dynamicRequest struct {
	URL        string   `json:"url" maxLength:"2048" doc:"Where to deliver to; an endpoint is made for it unless there is one"`
	Secret     string   `json:"secret,omitempty" maxLength:"512" doc:"That of an endpoint that is made; generated unless given"`
	EventTypes []string `json:"event_types,omitempty" doc:"Those of the endpoint's subscription from now on; * for a new one unless given"`
	PublishContent
}

// publishing is a route that takes events.
type publishing struct {
	// kind and message are those of a route that takes one event.
	kind        convoy.EventKind
	id, summary string
	message     string
	body        reflect.Type
	answer      reflect.Type
	also        map[int]alternative
	serve       func(a *api, x *exchange, r *http.Request, urlProject string, to *publishing)
	route       *route
}

// portal lets an owner publish to an endpoint of its own.
func (to *publishing) portal() portalRight {
	if to.kind == convoy.KindSingle {
		return portalViews
	}
	return noPortal
}

// publishings returns the publish routes by what follows [publishRoute].
func publishings() map[string]*publishing {
	one := reflect.TypeFor[envelope[eventView]]()
	return map[string]*publishing{
		"": {
			kind: convoy.KindSingle, id: "CreateEndpointEvent", summary: "Publish an event to an endpoint", message: publishedMessage,
			body: reflect.TypeFor[publishRequest](), answer: one, serve: (*api).publish,
		},
		"/fanout": {
			kind: convoy.KindFanout, id: "CreateEndpointFanoutEvent", summary: "Publish an event to the endpoints of an owner",
			message: "Endpoint fanout event queued successfully",
			body:    reflect.TypeFor[fanoutRequest](), answer: one, serve: (*api).publish,
		},
		"/broadcast": {
			kind: convoy.KindBroadcast, id: "CreateBroadcastEvent", summary: "Publish an event to every endpoint that subscribes to it",
			message: "Broadcast event created successfully",
			body:    reflect.TypeFor[broadcastRequest](), answer: one, serve: (*api).publish,
		},
		"/dynamic": {
			kind: convoy.KindDynamic, id: "CreateDynamicEvent", summary: "Publish an event to a URL", message: "Dynamic event created successfully",
			body: reflect.TypeFor[dynamicRequest](), answer: one, serve: (*api).publish,
		},
		"/batch": {
			id: "CreateBatchEvents", summary: "Publish up to 1,000 events; the answer has a result for each", message: batchMessage,
			body: reflect.TypeFor[[]batchItem](), answer: reflect.TypeFor[envelope[batchView]](), serve: (*api).publishBatch,
			also: map[int]alternative{
				http.StatusMultiStatus: {message: batchPartialMessage},
				http.StatusBadRequest:  {message: batchRefusedMessage, body: reflect.TypeFor[failedWith[batchView]]()},
			},
		},
	}
}

// describePublish adds the publish routes to the document and, for requests that
// only differ in spelling, to the mux.
func (a *api) describePublish(r *registrar) {
	a.publishing = publishings()
	for _, suffix := range slices.Sorted(maps.Keys(a.publishing)) {
		to := a.publishing[suffix]
		op := r.describe(operation{
			id: to.id, method: http.MethodPost, path: publishRoute + suffix, tag: "Events", summary: to.summary,
			status: http.StatusCreated, message: to.message, body: to.body, also: to.also, portal: to.portal(),
		}, to.answer)
		op.Parameters = []*huma.Param{{Name: "projectID", In: "path", Required: true, Description: "The project's id", Schema: &huma.Schema{Type: huma.TypeString}}}
		if suffix == batchSuffix {
			describeBatch(&op)
		}
		r.huma.OpenAPI().AddOperation(&op)
		r.route(op.Method, op.Path, managesProject, to.portal())
		to.route = a.routes[op.Method+" "+op.Path]
		to.route.publishes = true
		a.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, req *http.Request) {
			to.serve(a, w.(*exchange), req, req.PathValue("projectID"), to)
		})
	}
}

// scratch is what one publish request needs while it runs.
type scratch struct{ body, out []byte }

var scratches = sync.Pool{New: func() any { return &scratch{body: make([]byte, 0, 4<<10), out: make([]byte, 0, 4<<10)} }}

func (s *scratch) release() {
	if cap(s.body) <= maxPooled && cap(s.out) <= maxPooled {
		scratches.Put(s)
	}
}

// publish serves the routes that take one event, which is durable when the
// answer is 201.
func (a *api) publish(x *exchange, r *http.Request, urlProject string, to *publishing) {
	s := scratches.Get().(*scratch)
	defer s.release()
	e, err := a.accept(x, r, urlProject, to.kind, s)
	if err != nil {
		a.fail(x, r, err)
		return
	}
	message := to.message
	if e.Duplicate && to.kind == convoy.KindFanout {
		message = "Duplicate event received, but will not be sent"
	}
	s.out = appendPublished(s.out[:0], message, e)
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
func (a *api) accept(x *exchange, r *http.Request, urlProject string, kind convoy.EventKind, s *scratch) (*convoy.Event, error) {
	ctx := r.Context()
	err := a.enterProject(ctx, x, urlProject, x.route.access.right())
	if err != nil {
		return nil, err
	}
	project := x.entered
	if err := a.IngestRate.take(ctx, 1); err != nil {
		return nil, err
	}
	if s.body, err = readBody(x.ResponseWriter, r, s.body[:0], a.MaxBody); err != nil {
		return nil, err
	}
	p := publication{kind: kind}
	if err := p.parse(s.body); err != nil {
		return nil, err
	}
	e, err := a.eventOf(ctx, project, &p)
	if err != nil {
		return nil, err
	}
	if !x.caller.ownsAll(project, e.Endpoints) {
		return nil, errNotOwned
	}
	x.noteType(project, e)
	if err := a.Publisher.Publish(ctx, e); err != nil {
		return nil, err
	}
	return e, nil
}

// eventOf makes the event that a publication asks for, if the project takes it.
func (a *api) eventOf(ctx context.Context, project *catalog.Project, p *publication) (*convoy.Event, error) {
	if err := p.check(project.Settings()); err != nil {
		return nil, err
	}
	now := a.now()
	e := &convoy.Event{
		ID:             convoy.EventID(id.New(now)),
		ProjectID:      project.Settings().ID,
		Kind:           p.kind,
		Type:           p.eventType,
		OwnerID:        p.ownerID,
		Headers:        p.headers,
		Data:           append(make([]byte, 0, len(p.data)), p.data...), // the buffer goes back to the pool
		IdempotencyKey: p.idempotencyKey,
		Status:         convoy.EventPending,
		AcknowledgedAt: now,
		CreatedAt:      now,
		UpdatedAt:      now,
	}
	if err := project.CheckData(e); err != nil {
		return nil, err
	}
	switch p.kind {
	case convoy.KindSingle:
		endpoint, err := a.target(ctx, project, p)
		if err != nil {
			return nil, err
		}
		e.Endpoints = []convoy.EndpointID{endpoint.ID}
	case convoy.KindDynamic:
		if err := a.resolve(ctx, project, p, e); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// readBody reads a request body of at most max bytes into buf, which has room.
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
