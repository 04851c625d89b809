package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/store"
)

// subscriptionView is a subscription as clients see it.
type subscriptionView struct {
	UID              convoy.SubscriptionID `json:"uid"`
	Name             string                `json:"name"`
	Type             string                `json:"type"`
	ProjectID        convoy.ProjectID      `json:"project_id"`
	Function         *string               `json:"function"`
	SourceMetadata   *subscribedSource     `json:"source_metadata" doc:"Null in the answer to a create, and without a source"`
	EndpointMetadata *subscribedEndpoint   `json:"endpoint_metadata" doc:"Null in the answer to a create"`
	DeviceMetadata   none                  `json:"device_metadata"`
	AlertConfig      *alertView            `json:"alert_config,omitempty"`
	RetryConfig      *retryView            `json:"retry_config,omitempty"`
	FilterConfig     filterConfigView      `json:"filter_config"`
	RateLimitConfig  *rateLimitView        `json:"rate_limit_config,omitempty"`
	Mode             convoy.DeliveryMode   `json:"delivery_mode,omitempty"`
	CreatedAt        time.Time             `json:"created_at"`
	UpdatedAt        time.Time             `json:"updated_at"`
	DeletedAt        *time.Time            `json:"deleted_at"`
}

// subscribedSource is the part of a source shown in its subscriptions.
type subscribedSource struct {
	UID       convoy.SourceID   `json:"uid"`
	ProjectID convoy.ProjectID  `json:"project_id"`
	MaskID    string            `json:"mask_id"`
	Name      string            `json:"name"`
	Type      convoy.SourceType `json:"type"`
	Provider  string            `json:"provider"`
	Disabled  bool              `json:"is_disabled"`
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

type alertView struct {
	Count     int    `json:"count"`
	Threshold string `json:"threshold"`
}

type retryView struct {
	Type     convoy.RetryType `json:"type,omitempty"`
	Duration int64            `json:"duration,omitempty" doc:"Seconds"`
	Count    int              `json:"retry_count"`
}

type rateLimitView struct {
	Count    int    `json:"count"`
	Duration uint64 `json:"duration" doc:"Seconds"`
}

type filterConfigView struct {
	EventTypes []string       `json:"event_types"`
	Filter     filterContents `json:"filter"`
}

// filterContents are the conditions of a subscription's first filter; those of the
// others are shown by its filters. Names are joined by dots, but in the answer to
// a create, which shows what was sent.
type filterContents struct {
	Flattened bool       `json:"is_flattened"`
	Headers   conditions `json:"headers"`
	Body      conditions `json:"body"`
	Query     conditions `json:"query"`
	Path      conditions `json:"path"`
}

func viewContents(filters []convoy.Filter, created bool) filterContents {
	var f convoy.Filter
	if len(filters) > 0 {
		f = filters[0]
	}
	if created {
		return filterContents{Headers: conditions(f.Headers), Body: conditions(f.Body), Query: conditions(f.Query), Path: conditions(f.Path)}
	}
	return filterContents{
		Flattened: f.Conditional(), Headers: flatten(f.Headers), Body: flatten(f.Body), Query: flatten(f.Query), Path: flatten(f.Path),
	}
}

// viewSubscription shows s with its endpoint and source; p is nil in the answer
// to a create, which has neither.
func viewSubscription(ctx context.Context, s *convoy.Subscription, p *catalog.Project) subscriptionView {
	v := subscriptionView{
		UID: s.ID, Name: s.Name, Type: "api", ProjectID: s.ProjectID, FilterConfig: filterConfigView{EventTypes: s.EventTypes(), Filter: viewContents(s.Filters, p == nil)},
		Mode: s.Mode, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, DeletedAt: nullTime(s.DeletedAt),
	}
	if s.Function != "" {
		v.Function = &s.Function
	}
	if s.Alert.Count > 0 {
		v.AlertConfig = &alertView{s.Alert.Count, s.Alert.Threshold.String()}
	}
	if r := s.Retry; r != nil {
		v.RetryConfig = &retryView{r.Type, int64(r.Interval / time.Second), r.Limit}
	}
	if l := s.RateLimit; l.Count > 0 {
		v.RateLimitConfig = &rateLimitView{l.Count, l.Duration}
	}
	if p == nil {
		return v
	}
	if src, ok := p.Source(s.SourceID); ok && linkOf(ctx) == nil { // an owner must not learn where to post
		v.SourceMetadata = &subscribedSource{
			UID: src.ID, ProjectID: src.ProjectID, MaskID: src.MaskID, Name: src.Name, Type: src.Type, Provider: src.Provider, Disabled: src.Disabled,
		}
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
		id: "CreateSubscription", access: managesProject, portal: portalViews, method: http.MethodPost, path: all, tag: tag, summary: "Create a subscription",
		status: http.StatusCreated, message: "Subscription created successfully",
	}, a.createSubscription)
	handle(r, operation{
		id: "TestSubscriptionFilter", access: viewsProject, portal: portalViews, method: http.MethodPost, path: all + "/test_filter", tag: tag, summary: "Try a filter out",
		status: http.StatusOK, message: "Filter validated successfully",
	}, a.testSubscriptionFilter)
	handle(r, operation{
		id: "GetSubscriptions", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all, tag: tag, summary: "List subscriptions",
		status: http.StatusOK, message: "Subscriptions fetched successfully",
	}, a.subscriptions)
	handle(r, operation{
		id: "GetSubscription", access: viewsProject, portal: portalViews, method: http.MethodGet, path: one, tag: tag, summary: "Get a subscription",
		status: http.StatusOK, message: "Subscription fetched successfully",
	}, a.subscription)
	handle(r, operation{
		id: "UpdateSubscription", access: managesProject, portal: portalViews, method: http.MethodPut, path: one, tag: tag, summary: "Update a subscription",
		status: http.StatusAccepted, message: "Subscription updated successfully",
	}, a.updateSubscription)
	handle(r, operation{
		id: "DeleteSubscription", access: managesProject, portal: portalViews, method: http.MethodDelete, path: one, tag: tag, summary: "Delete a subscription",
		status: http.StatusOK, message: "Subscription deleted successfully",
	}, a.deleteSubscription)
	handle(r, operation{
		id: "ToggleSubscriptionStatus", access: managesProject, portal: portalViews, method: http.MethodPut, path: one + "/toggle_status", tag: tag,
		summary: "Does nothing; subscriptions have no status",
		status:  http.StatusAccepted, message: "Subscription status updated successfully",
	}, a.toggleSubscription)
}

type createSubscriptionInput struct {
	ProjectPath
	Payload payload[subscriptionRequest]
}

func (a *api) createSubscription(ctx context.Context, in *createSubscriptionInput) (subscriptionView, error) {
	var none subscriptionView
	entered := projectOf(ctx)
	p := entered.Settings()
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	if err := req.check(p, true); err != nil {
		return none, err
	}
	if err := a.checkFunction(ctx, req.Function); err != nil {
		return none, err
	}
	if err := a.checkSource(ctx, p.ID, req.SourceID); err != nil {
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
	if err := req.apply(s, p, now); err != nil {
		return none, err
	}
	if err := a.Store.EnsureEventTypes(ctx, p.ID, s.EventTypes(), now); err != nil {
		return none, err
	}
	if shared(p) {
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
	return viewSubscription(ctx, s, nil), nil
}

// shared reports whether an endpoint may have several subscriptions. In an
// incoming project it may: what several sources bring in can go to one place.
func shared(p *convoy.Project) bool {
	return p.Type == convoy.Incoming || p.Config.MultipleEndpointSubscriptions
}

var errSubscribed = convoy.E(convoy.Invalid, "a subscription for this endpoint already exists")

type subscriptionsInput struct {
	ProjectPath
	PageQuery
	Endpoints []string `query:"endpointId,explode" doc:"Only subscriptions of one of these endpoints"`
	Name      string   `query:"name" doc:"Part of the name"`
}

func (a *api) subscriptions(ctx context.Context, in *subscriptionsInput) (paged[subscriptionView], error) {
	var none paged[subscriptionView]
	p := projectOf(ctx)
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
	return pageOf(list, page.PerPage, func(s *convoy.Subscription) subscriptionView { return viewSubscription(ctx, s, p) }), nil
}

// SubscriptionPath is the path of one subscription.
type SubscriptionPath struct {
	ProjectPath
	Subscription string `path:"subscriptionID" doc:"The subscription's id"`
}

// findSubscription returns the subscription of a request; a missing one is
// NotFound.
func (a *api) findSubscription(ctx context.Context, in *SubscriptionPath) (*convoy.Subscription, *catalog.Project, error) {
	p := projectOf(ctx)
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
	s, p, err := a.findSubscription(ctx, in)
	if err != nil {
		return subscriptionView{}, err
	}
	return viewSubscription(ctx, s, p), nil
}

type updateSubscriptionInput struct {
	SubscriptionPath
	Payload payload[subscriptionRequest]
}

func (a *api) updateSubscription(ctx context.Context, in *updateSubscriptionInput) (subscriptionView, error) {
	var none subscriptionView
	const missing = "failed to find subscription"
	s, p, err := a.findSubscription(ctx, &in.SubscriptionPath)
	if err != nil {
		return none, refuse(err, missing)
	}
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	if err := req.check(p.Settings(), false); err != nil {
		return none, err
	}
	if err := a.checkFunction(ctx, req.Function); err != nil {
		return none, err
	}
	if err := a.checkSource(ctx, s.ProjectID, req.SourceID); err != nil {
		return none, err
	}
	// gone is the message for what is not there: the subscription, until it is found.
	gone := missing
	const noEndpoint = "failed to find endpoint by id: the endpoint may not belong to project"
	if req.EndpointID != "" && !id.Valid(req.EndpointID) {
		return none, convoy.E(convoy.Invalid, noEndpoint)
	}
	now := a.now()
	if err := a.Store.EnsureEventTypes(ctx, s.ProjectID, req.FilterConfig.eventTypes(), now); err != nil {
		return none, err
	}
	s, err = a.Store.ChangeSubscription(ctx, store.SubscriptionChange{
		Project: s.ProjectID, Subscription: s.ID, Shared: shared(p.Settings()),
		Edit: func(s *convoy.Subscription) error {
			gone = noEndpoint
			if req.EndpointID != "" {
				s.EndpointID = convoy.EndpointID(req.EndpointID)
			}
			s.UpdatedAt = now
			return req.apply(s, p.Settings(), now)
		},
	})
	if err != nil {
		return none, refuse(err, gone)
	}
	a.changed(ctx, s.ProjectID)
	if p, err = a.Catalog.Project(ctx, s.ProjectID); err != nil {
		return none, refuse(err, "project not found")
	}
	return viewSubscription(ctx, s, p), nil
}

func (a *api) deleteSubscription(ctx context.Context, in *SubscriptionPath) (none, error) {
	s, _, err := a.findSubscription(ctx, in)
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
