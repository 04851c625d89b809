package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/store"
)

// searchTimeout bounds a list of events or deliveries.
const searchTimeout = 5 * time.Second

// eventView is an event as clients see it. appendPublished writes the same form
// by hand.
type eventView struct {
	UID            convoy.EventID      `json:"uid"`
	EventType      string              `json:"event_type"`
	SourceID       convoy.SourceID     `json:"source_id,omitempty"`
	ProjectID      convoy.ProjectID    `json:"project_id,omitempty"`
	Endpoints      []convoy.EndpointID `json:"endpoints"`
	Headers        map[string][]string `json:"headers"`
	SourceMetadata sourceStub          `json:"source_metadata"`
	URLQuery       string              `json:"url_query_params"`
	URLPath        string              `json:"url_path"`
	IdempotencyKey string              `json:"idempotency_key"`
	Duplicate      bool                `json:"is_duplicate_event"`
	Data           json.RawMessage     `json:"data" doc:"The payload, any JSON value"`
	Status         convoy.EventStatus  `json:"status"`
	FailureReason  string              `json:"failure_reason,omitempty"`
	SchemaError    string              `json:"schema_error,omitempty" doc:"What the data has against the schema of its event type"`
	AcknowledgedAt *time.Time          `json:"acknowledged_at"`
	CreatedAt      time.Time           `json:"created_at"`
	UpdatedAt      time.Time           `json:"updated_at"`
	DeletedAt      *time.Time          `json:"deleted_at"`
}

// sourceStub is the part of a source shown in its events; empty without one, and
// without a name when the source is gone.
type sourceStub struct {
	UID  convoy.SourceID `json:"uid"`
	Name string          `json:"name"`
}

// viewEventIn is viewEvent with what its project knows of the event's source.
func viewEventIn(p *catalog.Project) func(*convoy.Event) eventView {
	return func(e *convoy.Event) eventView {
		v := viewEvent(e)
		if s, ok := p.Source(e.SourceID); ok {
			v.SourceMetadata.Name = s.Name
		}
		return v
	}
}

func viewEvent(e *convoy.Event) eventView {
	v := eventView{
		UID: e.ID, EventType: e.Type, SourceID: e.SourceID, ProjectID: e.ProjectID, Endpoints: e.Endpoints, Headers: e.Headers,
		SourceMetadata: sourceStub{UID: e.SourceID}, URLQuery: e.URLQuery, URLPath: e.URLPath, IdempotencyKey: e.IdempotencyKey,
		Duplicate: e.Duplicate, Data: payloadJSON(e.Data), Status: e.Status, FailureReason: e.FailureReason, SchemaError: e.SchemaError,
		AcknowledgedAt: nullTime(e.AcknowledgedAt), CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	if v.Endpoints == nil {
		v.Endpoints = []convoy.EndpointID{}
	}
	if v.Headers == nil {
		v.Headers = map[string][]string{}
	}
	return v
}

// payloadJSON is a payload as a JSON value. Payloads are JSON; one that is not,
// by whatever accident, must not make it unreadable what became of it.
func payloadJSON(data []byte) json.RawMessage {
	switch {
	case len(data) == 0:
		return json.RawMessage("null")
	case !json.Valid(data):
		return appendString(nil, string(data))
	}
	return data
}

// appendPublished appends the answer to a publish request: the envelope with
// what viewEvent shows. The message needs no escaping.
func appendPublished(b []byte, message string, e *convoy.Event) []byte {
	b = append(append(b, `{"status":true,"message":"`...), message...)
	b = append(b, `","data":{"uid":`...)
	b = appendString(b, string(e.ID))
	b = appendString(append(b, `,"event_type":`...), e.Type)
	if e.SourceID != "" {
		b = appendString(append(b, `,"source_id":`...), string(e.SourceID))
	}
	b = appendString(append(b, `,"project_id":`...), string(e.ProjectID))
	b = append(b, `,"endpoints":[`...)
	for i, endpoint := range e.Endpoints {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, string(endpoint))
	}
	b = appendHeaders(append(b, `],"headers":`...), e.Headers)
	b = appendString(append(b, `,"source_metadata":{"uid":`...), string(e.SourceID))
	b = appendString(append(b, `,"name":""},"url_query_params":`...), e.URLQuery)
	b = appendString(append(b, `,"url_path":`...), e.URLPath)
	b = appendString(append(b, `,"idempotency_key":`...), e.IdempotencyKey)
	if e.Duplicate {
		b = append(b, `,"is_duplicate_event":true,"data":`...)
	} else {
		b = append(b, `,"is_duplicate_event":false,"data":`...)
	}
	b = append(b, e.Data...)
	b = appendString(append(b, `,"status":`...), string(e.Status))
	if e.FailureReason != "" {
		b = appendString(append(b, `,"failure_reason":`...), e.FailureReason)
	}
	if e.SchemaError != "" {
		b = appendString(append(b, `,"schema_error":`...), e.SchemaError)
	}
	b = appendNullTime(append(b, `,"acknowledged_at":`...), e.AcknowledgedAt)
	b = appendTime(append(b, `,"created_at":`...), e.CreatedAt)
	b = appendTime(append(b, `,"updated_at":`...), e.UpdatedAt)
	return append(b, `,"deleted_at":null}}`...)
}

func appendHeaders(b []byte, headers map[string][]string) []byte {
	if len(headers) == 0 {
		return append(b, "{}"...)
	}
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':', '[')
		for j, value := range headers[name] {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendString(b, value)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func (a *api) eventRoutes(r *registrar) {
	const (
		tag = "Events"
		all = "/api/v1/projects/{projectID}/events"
	)
	a.describePublish(r)
	handle(r, operation{
		id: "GetEventsPaged", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all, tag: tag, summary: "List events",
		status: http.StatusOK, message: "App events fetched successfully",
	}, a.events)
	handle(r, operation{
		id: "GetEndpointEvent", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all + "/{eventID}", tag: tag, summary: "Get an event",
		status: http.StatusOK, message: "Endpoint event fetched successfully",
	}, a.event)
}

type eventsInput struct {
	ProjectPath
	PageQuery
	DateQuery
	Endpoints       []string `query:"endpointId,explode" doc:"Only events delivered to one of these endpoints"`
	Sources         []string `query:"sourceId,explode" doc:"Only events from one of these sources"`
	IdempotencyKey  string   `query:"idempotencyKey" doc:"Only events with this key"`
	Owner           string   `query:"ownerId" doc:"Only events delivered to an endpoint of this owner"`
	BrokerMessageID string   `query:"brokerMessageId" doc:"Only events that this broker message brought in"`
	Query           string   `query:"query" doc:"Only events whose id begins with this, or whose idempotency key, type or source's name has it as a part; or, if it is a JSON object, whose payload contains it"`
	Containing      string   `query:"body" doc:"A JSON object that the payload must contain"` // huma takes a field named Body for the body
}

// search is the part of the query that no index answers.
func (in *eventsInput) search() (store.Search, error) {
	s := store.Search{Text: in.Query}
	if isObject(in.Query) {
		c, err := store.ParseContainment(in.Query)
		if err != nil {
			return s, invalid("query", err.Error())
		}
		s.Text, s.Contains = "", append(s.Contains, c)
	}
	if in.Containing != "" {
		c, err := store.ParseContainment(in.Containing)
		switch {
		case !isObject(in.Containing), err == nil && c.Empty():
			return s, convoy.E(convoy.Invalid, "body must be a nonempty JSON object")
		case err != nil:
			return s, invalid("body", err.Error())
		}
		s.Contains = append(s.Contains, c)
	}
	return s, nil
}

// searchable is how far back a project has its events searched.
func searchable(p *convoy.Project, now time.Time) time.Time {
	d, err := time.ParseDuration(p.Config.SearchPolicy)
	if err != nil || d <= 0 { // empty
		return time.Time{}
	}
	return now.Add(-d)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func isObject(text string) bool { return gjson.Valid(text) && gjson.Parse(text).IsObject() }

func (a *api) events(ctx context.Context, in *eventsInput) (paged[eventView], error) {
	var none paged[eventView]
	p := projectOf(ctx)
	page, err := in.page()
	if err != nil {
		return none, err
	}
	search, err := in.search()
	if err != nil {
		return none, err
	}
	from, to, err := in.dates(a.now())
	if err != nil {
		return none, err
	}
	if search.Text != "" || search.Contains != nil {
		from = later(from, searchable(p.Settings(), a.now()))
	}
	f := store.EventFilter{
		Project: p.Settings().ID, Endpoints: endpointIDs(in.Endpoints), IdempotencyKey: in.IdempotencyKey, BrokerMessage: in.BrokerMessageID, From: from, To: to, Search: search, Page: page,
	}
	for _, s := range in.Sources {
		if s != "" {
			f.Sources = append(f.Sources, convoy.SourceID(s))
		}
	}
	list, err := within(ctx, "Search took too long. Narrow the time range or search term.",
		func(ctx context.Context) (list store.Paged[*convoy.Event], err error) {
			if in.Owner != "" {
				f.Endpoints, err = a.ownedBy(ctx, f.Project, in.Owner, f.Endpoints)
				if err != nil || len(f.Endpoints) == 0 {
					return list, err
				}
			}
			return a.Store.Events(ctx, f)
		})
	if err != nil {
		return none, err
	}
	return pageOf(list, page.PerPage, viewEventIn(p)), nil
}

// ownedBy returns the endpoints of an owner, of those in among unless it is
// empty.
func (a *api) ownedBy(ctx context.Context, project convoy.ProjectID, owner string, among []convoy.EndpointID) ([]convoy.EndpointID, error) {
	list, err := a.Store.Endpoints(ctx, store.EndpointFilter{Project: project, Owner: owner, Page: store.Page{PerPage: store.MaxPerPage}})
	if err != nil {
		return nil, err
	}
	if list.HasNext {
		return nil, invalid("ownerId", "has too many endpoints to filter by; use endpointId")
	}
	var ids []convoy.EndpointID
	for _, e := range list.Items {
		if len(among) == 0 || slices.Contains(among, e.ID) {
			ids = append(ids, e.ID)
		}
	}
	return ids, nil
}

// within runs a list query in bounded time.
func within[T any](ctx context.Context, tooLong string, query func(ctx context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	v, err := query(bounded)
	if err != nil && ctx.Err() == nil && errors.Is(bounded.Err(), context.DeadlineExceeded) {
		return v, &statusError{status: http.StatusGatewayTimeout, msg: tooLong}
	}
	return v, err
}

type eventInput struct {
	ProjectPath
	Event string `path:"eventID" doc:"The event's id"`
}

func (a *api) event(ctx context.Context, in *eventInput) (eventView, error) {
	p := projectOf(ctx)
	if !id.Valid(in.Event) {
		return eventView{}, convoy.E(convoy.NotFound, "event not found")
	}
	e, err := a.Store.Event(ctx, p.Settings().ID, convoy.EventID(in.Event))
	if err != nil {
		return eventView{}, err
	}
	return viewEventIn(p)(e), nil
}
