package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/tidwall/gjson"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/store"
)

// maxEventTypes bounds what routing compares each event with, per subscription.
const maxEventTypes = 200

type subscriptionRequest struct {
	Name         string         `json:"name,omitempty" maxLength:"255" doc:"Needed to create"`
	EndpointID   string         `json:"endpoint_id,omitempty" doc:"Needed to create"`
	FilterConfig *filterRequest `json:"filter_config,omitempty"`
	DeliveryMode string         `json:"delivery_mode,omitempty" enum:"at_least_once,at_most_once"`
	SourceID     string         `json:"source_id,omitempty" hidden:"true"`
	AppID        string         `json:"app_id,omitempty" hidden:"true"`
	// What follows is refused unless it is empty.
	Function        json.RawMessage `json:"function,omitempty" hidden:"true"`
	AlertConfig     json.RawMessage `json:"alert_config,omitempty" hidden:"true"`
	RetryConfig     json.RawMessage `json:"retry_config,omitempty" hidden:"true"`
	RateLimitConfig json.RawMessage `json:"rate_limit_config,omitempty" hidden:"true"`
}

type filterRequest struct {
	EventTypes []string        `json:"event_types,omitempty" doc:"Exact names, * for all, or a.b.* for all below a.b"`
	Filter     json.RawMessage `json:"filter,omitempty" hidden:"true"`
}

// subscriptionView is a subscription as clients see it.
type subscriptionView struct {
	UID              convoy.SubscriptionID `json:"uid"`
	Name             string                `json:"name"`
	Type             string                `json:"type"`
	ProjectID        convoy.ProjectID      `json:"project_id"`
	Function         none                  `json:"function"`
	SourceMetadata   none                  `json:"source_metadata"`
	EndpointMetadata *subscribedEndpoint   `json:"endpoint_metadata" doc:"Null in the answer to a create"`
	DeviceMetadata   none                  `json:"device_metadata"`
	FilterConfig     filterView            `json:"filter_config"`
	Mode             convoy.DeliveryMode   `json:"delivery_mode,omitempty"`
	CreatedAt        time.Time             `json:"created_at"`
	UpdatedAt        time.Time             `json:"updated_at"`
	DeletedAt        *time.Time            `json:"deleted_at"`
}

// subscribedEndpoint is the part of an endpoint shown in its subscriptions.
type subscribedEndpoint struct {
	UID          convoy.EndpointID     `json:"uid"`
	ProjectID    convoy.ProjectID      `json:"project_id"`
	OwnerID      string                `json:"owner_id"`
	URL          string                `json:"url"`
	Name         string                `json:"name"`
	SupportEmail string                `json:"support_email"`
	Status       convoy.EndpointStatus `json:"status"`
	Secrets      []secretView          `json:"secrets"`
}

type filterView struct {
	EventTypes []string       `json:"event_types"`
	Filter     filterContents `json:"filter"`
}

type filterContents struct {
	Flattened bool     `json:"is_flattened"`
	Headers   struct{} `json:"headers"`
	Body      struct{} `json:"body"`
	Query     struct{} `json:"query"`
	Path      struct{} `json:"path"`
}

// viewSubscription shows s with its endpoint, unless p is nil.
func viewSubscription(s *convoy.Subscription, p *catalog.Project) subscriptionView {
	v := subscriptionView{
		UID: s.ID, Name: s.Name, Type: "api", ProjectID: s.ProjectID, FilterConfig: filterView{EventTypes: s.EventTypes()},
		Mode: s.Mode, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, DeletedAt: nullTime(s.DeletedAt),
	}
	if p == nil {
		return v
	}
	v.EndpointMetadata = &subscribedEndpoint{UID: s.EndpointID, Secrets: []secretView{}}
	if e, ok := p.Endpoint(s.EndpointID); ok {
		v.EndpointMetadata = &subscribedEndpoint{
			UID: e.ID, ProjectID: e.ProjectID, OwnerID: e.OwnerID, URL: e.URL, Name: e.Name, SupportEmail: e.SupportEmail,
			Status: e.Status, Secrets: viewSecrets(e.Secrets),
		}
	}
	return v
}

func (a *api) subscriptionRoutes(r *registrar) {
	const (
		tag = "Subscriptions"
		all = "/api/v1/projects/{projectID}/subscriptions"
		one = all + "/{subscriptionID}"
	)
	handle(r, operation{
		id: "CreateSubscription", method: http.MethodPost, path: all, tag: tag, summary: "Create a subscription",
		status: http.StatusCreated, message: "Subscription created successfully",
	}, a.createSubscription)
	handle(r, operation{
		id: "GetSubscriptions", method: http.MethodGet, path: all, tag: tag, summary: "List subscriptions",
		status: http.StatusOK, message: "Subscriptions fetched successfully",
	}, a.subscriptions)
	handle(r, operation{
		id: "GetSubscription", method: http.MethodGet, path: one, tag: tag, summary: "Get a subscription",
		status: http.StatusOK, message: "Subscription fetched successfully",
	}, a.subscription)
	handle(r, operation{
		id: "UpdateSubscription", method: http.MethodPut, path: one, tag: tag, summary: "Update a subscription",
		status: http.StatusAccepted, message: "Subscription updated successfully",
	}, a.updateSubscription)
	handle(r, operation{
		id: "DeleteSubscription", method: http.MethodDelete, path: one, tag: tag, summary: "Delete a subscription",
		status: http.StatusOK, message: "Subscription deleted successfully",
	}, a.deleteSubscription)
	handle(r, operation{
		id: "ToggleSubscriptionStatus", method: http.MethodPut, path: one + "/toggle_status", tag: tag,
		summary: "Does nothing; subscriptions have no status",
		status:  http.StatusAccepted, message: "Subscription status updated successfully",
	}, a.toggleSubscription)
}

// check finds what is wrong with a request; creating tells the two uses apart.
func (q *subscriptionRequest) check(p *convoy.Project, creating bool) error {
	var found problems
	if creating {
		found.required("name", q.Name, maxName, "please provide a valid subscription name")
		if q.EndpointID == "" {
			found.add("endpoint_id", "please provide a valid endpoint id")
		}
	} else {
		found.text("name", q.Name, maxName)
	}
	switch convoy.DeliveryMode(q.DeliveryMode) {
	case "", convoy.AtLeastOnce, convoy.AtMostOnce:
	default:
		found.add("delivery_mode", "invalid delivery mode value, must be either 'at_least_once' or 'at_most_once'")
	}
	for _, f := range []struct {
		field string
		value json.RawMessage
	}{
		{"function", q.Function}, {"alert_config", q.AlertConfig}, {"retry_config", q.RetryConfig},
		{"rate_limit_config", q.RateLimitConfig}, {"filter", q.FilterConfig.filter()},
	} {
		if !emptyJSON(f.value) {
			found.add(f.field, textUnsupported)
		}
	}
	if q.SourceID != "" {
		found.add("source_id", textUnsupported)
	}
	types := q.FilterConfig.eventTypes()
	if len(types) > maxEventTypes {
		found.add("event_types", "must not be more than "+itoa(maxEventTypes))
		types = nil
	}
	for _, t := range types {
		found.required("event_types", t, maxEventType, "must not be empty")
	}
	if err := found.err(); err != nil {
		return err
	}
	if creating && p.Type == convoy.Incoming {
		return convoy.E(convoy.Invalid, "source_id is required for incoming projects")
	}
	return nil
}

func (f *filterRequest) filter() json.RawMessage {
	if f == nil {
		return nil
	}
	return f.Filter
}

func (f *filterRequest) eventTypes() []string {
	if f == nil {
		return nil
	}
	return f.EventTypes
}

// emptyJSON reports whether a value says nothing: null, an empty or zero
// scalar, or an object or array of nothing but those. It must be valid JSON.
func emptyJSON(raw json.RawMessage) bool {
	return len(raw) == 0 || saysNothing(gjson.ParseBytes(raw))
}

func saysNothing(v gjson.Result) bool {
	switch v.Type {
	case gjson.String:
		return v.Str == ""
	case gjson.Number:
		return v.Num == 0
	case gjson.True:
		return false
	case gjson.JSON:
		empty := true
		v.ForEach(func(_, value gjson.Result) bool {
			empty = saysNothing(value)
			return empty
		})
		return empty
	}
	return true
}

type createSubscriptionInput struct {
	ProjectPath
	Payload payload[subscriptionRequest]
}

func (a *api) createSubscription(ctx context.Context, in *createSubscriptionInput) (subscriptionView, error) {
	var none subscriptionView
	entered, err := a.enter(ctx, exchangeOf(ctx), in.Project, manage)
	if err != nil {
		return none, err
	}
	p := entered.Settings()
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	if err := req.check(p, true); err != nil {
		return none, err
	}
	const missing = "failed to find endpoint by id"
	if !id.Valid(req.EndpointID) {
		return none, convoy.E(convoy.Invalid, missing)
	}
	now := a.now()
	s := &convoy.Subscription{
		ID: convoy.SubscriptionID(id.New(now)), ProjectID: p.ID, Name: req.Name, EndpointID: convoy.EndpointID(req.EndpointID),
		Mode: convoy.AtLeastOnce, CreatedAt: now, UpdatedAt: now,
	}
	s.Filters = filter.ForTypes(s.ID, []string{convoy.AnyEventType}, nil, now)
	req.apply(s, now)
	if p.Config.MultipleEndpointSubscriptions {
		err = a.Store.CreateSubscription(ctx, s)
	} else {
		var created bool
		created, err = a.Store.EnsureSubscription(ctx, s)
		if err == nil && !created {
			err = errSubscribed
		}
	}
	if err != nil {
		return none, refuse(err, missing)
	}
	a.changed(ctx, p.ID)
	return viewSubscription(s, nil), nil
}

var errSubscribed = convoy.E(convoy.Invalid, "a subscription for this endpoint already exists")

// apply sets s to what a checked request asks for; what is empty stays.
func (q *subscriptionRequest) apply(s *convoy.Subscription, now time.Time) {
	if types := q.FilterConfig.eventTypes(); len(types) > 0 {
		s.Filters = filter.ForTypes(s.ID, types, s.Filters, now)
	}
	if q.Name != "" {
		s.Name = q.Name
	}
	if q.DeliveryMode != "" {
		s.Mode = convoy.DeliveryMode(q.DeliveryMode)
	}
}

type subscriptionsInput struct {
	ProjectPath
	PageQuery
	Endpoints []string `query:"endpointId,explode" doc:"Only subscriptions of one of these endpoints"`
	Name      string   `query:"name" doc:"Part of the name"`
}

func (a *api) subscriptions(ctx context.Context, in *subscriptionsInput) (paged[subscriptionView], error) {
	var none paged[subscriptionView]
	p, err := a.enter(ctx, exchangeOf(ctx), in.Project, view)
	if err != nil {
		return none, err
	}
	page, err := in.page()
	if err != nil {
		return none, err
	}
	list, err := a.Store.Subscriptions(ctx, store.SubscriptionFilter{
		Project: p.Settings().ID, Endpoints: endpointIDs(in.Endpoints), Name: in.Name, Page: page,
	})
	if err != nil {
		return none, err
	}
	return pageOf(list, page.PerPage, func(s *convoy.Subscription) subscriptionView { return viewSubscription(s, p) }), nil
}

// SubscriptionPath is the path of one subscription.
type SubscriptionPath struct {
	ProjectPath
	Subscription string `path:"subscriptionID"`
}

// findSubscription returns the subscription of a request; a missing one is
// NotFound.
func (a *api) findSubscription(ctx context.Context, in *SubscriptionPath, want right) (*convoy.Subscription, *catalog.Project, error) {
	p, err := a.enter(ctx, exchangeOf(ctx), in.Project, want)
	if err != nil {
		return nil, nil, err
	}
	const missing = "failed to find subscription"
	if !id.Valid(in.Subscription) {
		return nil, nil, convoy.E(convoy.NotFound, missing)
	}
	s, err := a.Store.Subscription(ctx, p.Settings().ID, convoy.SubscriptionID(in.Subscription))
	if convoy.IsNotFound(err) {
		err = convoy.Wrap(convoy.NotFound, missing, err)
	}
	return s, p, err
}

func (a *api) subscription(ctx context.Context, in *SubscriptionPath) (subscriptionView, error) {
	s, p, err := a.findSubscription(ctx, in, view)
	if err != nil {
		return subscriptionView{}, err
	}
	return viewSubscription(s, p), nil
}

type updateSubscriptionInput struct {
	SubscriptionPath
	Payload payload[subscriptionRequest]
}

func (a *api) updateSubscription(ctx context.Context, in *updateSubscriptionInput) (subscriptionView, error) {
	var none subscriptionView
	s, p, err := a.findSubscription(ctx, &in.SubscriptionPath, manage)
	if err != nil {
		return none, refuse(err, "failed to find subscription")
	}
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	if err := req.check(p.Settings(), false); err != nil {
		return none, err
	}
	if moved := convoy.EndpointID(req.EndpointID); moved != "" && moved != s.EndpointID {
		if err := a.mayMove(ctx, p.Settings(), moved); err != nil {
			return none, err
		}
		s.EndpointID = moved
	}
	s.UpdatedAt = a.now()
	req.apply(s, s.UpdatedAt)
	if err := a.Store.UpdateSubscription(ctx, s); err != nil {
		return none, refuse(err, "failed to find subscription")
	}
	a.changed(ctx, s.ProjectID)
	if p, err = a.Catalog.Project(ctx, s.ProjectID); err != nil {
		return none, refuse(err, "project not found")
	}
	return viewSubscription(s, p), nil
}

// mayMove refuses to move a subscription to an endpoint that does not exist or
// may have no further one.
func (a *api) mayMove(ctx context.Context, p *convoy.Project, to convoy.EndpointID) error {
	const missing = "failed to find endpoint by id: the endpoint may not belong to project"
	if !id.Valid(string(to)) {
		return convoy.E(convoy.Invalid, missing)
	}
	if _, err := a.Store.Endpoint(ctx, p.ID, to); err != nil {
		return refuse(err, missing)
	}
	if p.Config.MultipleEndpointSubscriptions {
		return nil
	}
	others, err := a.Store.Subscriptions(ctx, store.SubscriptionFilter{
		Project: p.ID, Endpoints: []convoy.EndpointID{to}, Page: store.Page{PerPage: 1},
	})
	if err == nil && len(others.Items) > 0 {
		err = errSubscribed
	}
	return err
}

func (a *api) deleteSubscription(ctx context.Context, in *SubscriptionPath) (none, error) {
	s, _, err := a.findSubscription(ctx, in, manage)
	if err != nil {
		return nil, err
	}
	if err := a.Store.DeleteSubscription(ctx, s.ProjectID, s.ID, a.now()); err != nil {
		return nil, err
	}
	a.changed(ctx, s.ProjectID)
	return nil, nil
}

// toggled is the payload of a toggle: {}.
type toggled struct{}

// toggleSubscription is kept for clients that call it.
func (a *api) toggleSubscription(context.Context, *SubscriptionPath) (toggled, error) {
	return toggled{}, nil
}
