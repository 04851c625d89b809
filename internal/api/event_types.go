package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/schema"
)

// EventTypeFields is what a create and an update have in common; in an update
// what is absent stays. It is exported because huma reads only exported fields.
type EventTypeFields struct {
	Category    *string         `json:"category,omitempty" maxLength:"255"`
	Description *string         `json:"description,omitempty" maxLength:"4096"`
	JSONSchema  json.RawMessage `json:"json_schema,omitempty" doc:"A JSON Schema of the data, draft-07 unless its $schema says otherwise; {} for none"`
}

type createEventTypeRequest struct {
	Name string `json:"name" maxLength:"255"`
	EventTypeFields
}

// eventTypeView is an event type as clients see it.
type eventTypeView struct {
	UID          convoy.EventTypeID `json:"uid"`
	Name         string             `json:"name"`
	Category     string             `json:"category"`
	JSONSchema   json.RawMessage    `json:"json_schema" doc:"Null without one"`
	Description  string             `json:"description"`
	DeprecatedAt *time.Time         `json:"deprecated_at"`
}

func viewEventType(t *convoy.EventType) eventTypeView {
	v := eventTypeView{UID: t.ID, Name: t.Name, Category: t.Category, Description: t.Description, DeprecatedAt: nullTime(t.DeprecatedAt)}
	if t.JSONSchema != "" {
		v.JSONSchema = json.RawMessage(t.JSONSchema)
	}
	return v
}

func viewEventTypes(list []*convoy.EventType) []eventTypeView {
	views := make([]eventTypeView, len(list))
	for i, t := range list {
		views[i] = viewEventType(t)
	}
	return views
}

func (a *api) eventTypeRoutes(r *registrar) {
	const (
		tag = "EventTypes"
		all = "/api/v1/projects/{projectID}/event-types"
		one = all + "/{eventTypeId}"
	)
	handle(r, operation{
		id: "GetEventTypes", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all, tag: tag, summary: "List event types",
		status: http.StatusOK, message: "Event types fetched successfully",
	}, a.eventTypes)
	handle(r, operation{
		id: "CreateEventType", access: managesProject, method: http.MethodPost, path: all, tag: tag, summary: "Create an event type",
		status: http.StatusCreated, message: "Event type created successfully",
	}, a.createEventType)
	// Generated clients know 201 for these two, whatever they do.
	handle(r, operation{
		id: "UpdateEventType", access: managesProject, method: http.MethodPut, path: one, tag: tag, summary: "Update an event type",
		status: http.StatusCreated, message: "Event type created successfully",
	}, a.updateEventType)
	handle(r, operation{
		id: "DeprecateEventType", access: managesProject, method: http.MethodPost, path: one + "/deprecate", tag: tag, summary: "Mark an event type as deprecated",
		status: http.StatusCreated, message: "Event type deprecated successfully",
	}, a.deprecateEventType)
	handle(r, operation{
		id: "ImportOpenApiSpec", access: managesProject, method: http.MethodPost, path: all + "/import", tag: tag,
		summary: "Create and update event types from the webhooks of an OpenAPI document",
		status:  http.StatusOK, message: "Event types imported successfully",
	}, a.importEventTypes)
}

func (a *api) eventTypes(ctx context.Context, _ *ProjectPath) ([]eventTypeView, error) {
	p := projectOf(ctx)
	list, err := a.Store.EventTypes(ctx, p.Settings().ID)
	if err != nil {
		return nil, err
	}
	return viewEventTypes(list), nil
}

// apply checks a request and sets t to what it asks for.
func (q *EventTypeFields) apply(t *convoy.EventType, found *problems) error {
	if q.Category != nil {
		found.text("category", *q.Category, maxName)
		t.Category = *q.Category
	}
	if q.Description != nil {
		found.text("description", *q.Description, maxDescription)
		t.Description = *q.Description
	}
	if err := found.err(); err != nil || len(q.JSONSchema) == 0 {
		return err
	}
	if _, err := schema.Compile(q.JSONSchema); err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, q.JSONSchema); err != nil {
		return err // it has been compiled
	}
	if t.JSONSchema = compact.String(); t.JSONSchema == "{}" { // anything goes
		t.JSONSchema = ""
	}
	return nil
}

type createEventTypeInput struct {
	ProjectPath
	Payload payload[createEventTypeRequest]
}

func (a *api) createEventType(ctx context.Context, in *createEventTypeInput) (eventTypeView, error) {
	var none eventTypeView
	p := projectOf(ctx)
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	now := a.now()
	t := &convoy.EventType{
		ID: convoy.EventTypeID(id.New(now)), ProjectID: p.Settings().ID, Name: req.Name, CreatedAt: now, UpdatedAt: now,
	}
	var found problems
	found.required("name", t.Name, maxEventType, "please provide a name for this event type")
	if err := req.apply(t, &found); err != nil {
		return none, err
	}
	if err := a.Store.CreateEventType(ctx, t); err != nil {
		return none, err
	}
	a.changed(ctx, t.ProjectID)
	return viewEventType(t), nil
}

// EventTypePath is the path of one event type.
type EventTypePath struct {
	ProjectPath
	EventType string `path:"eventTypeId" doc:"The event type's id"`
}

const textNoEventType = "event type not found"

// findEventType returns the event type of a request that wants to change it.
func (a *api) findEventType(ctx context.Context, in *EventTypePath) (*convoy.EventType, error) {
	p := projectOf(ctx)
	if !id.Valid(in.EventType) {
		return nil, convoy.E(convoy.Invalid, textNoEventType)
	}
	t, err := a.Store.EventType(ctx, p.Settings().ID, convoy.EventTypeID(in.EventType))
	return t, refuse(err, textNoEventType)
}

type updateEventTypeInput struct {
	EventTypePath
	Payload payload[EventTypeFields]
}

func (a *api) updateEventType(ctx context.Context, in *updateEventTypeInput) (eventTypeView, error) {
	var none eventTypeView
	t, err := a.findEventType(ctx, &in.EventTypePath)
	if err != nil {
		return none, err
	}
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	if err := req.apply(t, new(problems)); err != nil {
		return none, err
	}
	t.UpdatedAt = a.now()
	if err := a.Store.UpdateEventType(ctx, t); err != nil {
		return none, refuse(err, textNoEventType)
	}
	a.changed(ctx, t.ProjectID)
	return viewEventType(t), nil
}

func (a *api) deprecateEventType(ctx context.Context, in *EventTypePath) (eventTypeView, error) {
	var none eventTypeView
	t, err := a.findEventType(ctx, in)
	if err != nil {
		return none, err
	}
	if t.Name == convoy.AnyEventType {
		return none, convoy.E(convoy.Invalid, "the event type * cannot be deprecated")
	}
	if t, err = a.Store.DeprecateEventType(ctx, t.ProjectID, t.ID, a.now()); err != nil {
		return none, refuse(err, textNoEventType)
	}
	a.changed(ctx, t.ProjectID)
	return viewEventType(t), nil
}

type importRequest struct {
	Spec string `json:"spec" doc:"An OpenAPI 3.0 or 3.1 document, JSON or YAML text"`
}

type importEventTypesInput struct {
	ProjectPath
	Payload payload[importRequest]
}

func (a *api) importEventTypes(ctx context.Context, in *importEventTypesInput) ([]eventTypeView, error) {
	p := projectOf(ctx)
	req, err := in.Payload.decode()
	if err != nil {
		return nil, err
	}
	var found problems
	if found.required("spec", req.Spec, schema.MaxDocument, "please provide an OpenAPI spec"); len(found) > 0 {
		return nil, found.err()
	}
	imported, err := schema.FromOpenAPI([]byte(req.Spec))
	if err != nil {
		return nil, err
	}
	now := a.now()
	list := make([]*convoy.EventType, len(imported))
	for i, e := range imported {
		found.required(e.Name, e.Name, maxEventType, "the webhook has no name")
		found.text(e.Name+".category", e.Category, maxName)
		found.text(e.Name+".description", e.Description, maxDescription)
		list[i] = &convoy.EventType{
			ID: convoy.EventTypeID(id.New(now)), ProjectID: p.Settings().ID, Name: e.Name, Description: e.Description,
			Category: e.Category, JSONSchema: e.Schema, CreatedAt: now, UpdatedAt: now,
		}
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	if err := a.Store.ImportEventTypes(ctx, p.Settings().ID, list); err != nil {
		return nil, err
	}
	a.changed(ctx, p.Settings().ID)
	return viewEventTypes(list), nil
}

// noteType tells the producer and the log about the type of an event. Of several,
// the header has the time of the one that was deprecated first.
func (x *exchange) noteType(p *catalog.Project, e *convoy.Event) {
	x.mismatched = x.mismatched || e.SchemaError != ""
	if at := p.Deprecated(e.Type); !at.IsZero() && (x.deprecated.IsZero() || at.Before(x.deprecated)) {
		x.deprecated = at
		x.Header().Set("Deprecation", "@"+strconv.FormatInt(at.Unix(), 10)) // RFC 9745
	}
}
