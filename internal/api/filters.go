package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"convoy"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/store"
)

// filterView is a filter as clients see it: its conditions with dotted names, and
// as they were given.
type filterView struct {
	UID            convoy.FilterID       `json:"uid"`
	SubscriptionID convoy.SubscriptionID `json:"subscription_id"`
	EventType      string                `json:"event_type"`
	EnabledAt      *time.Time            `json:"enabled_at" doc:"Null when the filter is switched off"`
	Headers        conditions            `json:"headers"`
	Body           conditions            `json:"body"`
	Query          conditions            `json:"query"`
	Path           conditions            `json:"path"`
	RawHeaders     conditions            `json:"raw_headers"`
	RawBody        conditions            `json:"raw_body"`
	RawQuery       conditions            `json:"raw_query"`
	RawPath        conditions            `json:"raw_path"`
}

func viewFilter(s convoy.SubscriptionID, f *convoy.Filter) filterView {
	return filterView{
		UID: f.ID, SubscriptionID: s, EventType: f.EventType, EnabledAt: nullTime(f.EnabledAt),
		Headers: flatten(f.Headers), Body: flatten(f.Body), Query: flatten(f.Query), Path: flatten(f.Path),
		RawHeaders: conditions(f.Headers), RawBody: conditions(f.Body), RawQuery: conditions(f.Query), RawPath: conditions(f.Path),
	}
}

// flatten joins the names of nested objects with dots. What an operator is given
// stays as it is; so does a filter that says the same field twice, which has no
// other form.
func flatten(text json.RawMessage) conditions {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil || len(object) == 0 {
		return nil
	}
	flat, twice := make(map[string]json.RawMessage, len(object)), false
	var walk func(prefix string, object map[string]json.RawMessage)
	walk = func(prefix string, object map[string]json.RawMessage) {
		for name, value := range object {
			var inner map[string]json.RawMessage
			last := name[strings.LastIndexByte(name, '.')+1:]
			if value[0] == '{' && !filter.Operator(last) && json.Unmarshal(value, &inner) == nil && len(inner) > 0 {
				walk(prefix+name+".", inner)
				continue
			}
			_, taken := flat[prefix+name]
			twice = twice || taken
			flat[prefix+name] = value
		}
	}
	walk("", object)
	if twice {
		flat = object
	}
	b, err := encode(flat)
	if err != nil {
		return nil // it has just been decoded
	}
	return b
}

const filterMissing = "filter not found"

func (a *api) filterRoutes(r *registrar) {
	const (
		tag = "Filters"
		all = "/api/v1/projects/{projectID}/subscriptions/{subscriptionID}/filters"
		one = all + "/{filterID}"
	)
	handle(r, operation{
		id: "GetFilters", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all, tag: tag, summary: "List the filters of a subscription",
		status: http.StatusOK, message: "Filters retrieved successfully",
	}, a.filters)
	handle(r, operation{
		id: "CreateFilter", access: managesProject, portal: portalViews, method: http.MethodPost, path: all, tag: tag, summary: "Add a filter",
		status: http.StatusCreated, message: "Filter created successfully",
	}, a.createFilter)
	handle(r, operation{
		id: "BulkCreateFilters", access: managesProject, portal: portalViews, method: http.MethodPost, path: all + "/bulk", tag: tag, summary: "Add several filters, all or none",
		status: http.StatusCreated, message: "Filters created successfully",
	}, a.createFilters)
	handle(r, operation{
		id: "BulkUpdateFilters", access: managesProject, portal: portalViews, method: http.MethodPut, alias: http.MethodPost, path: all + "/bulk_update", tag: tag,
		summary: "Change several filters, all or none",
		status:  http.StatusOK, message: "Filters updated successfully",
	}, a.updateFilters)
	handle(r, operation{
		id: "TestFilter", access: viewsProject, portal: portalViews, method: http.MethodPost, path: all + "/test/{eventType}", tag: tag,
		summary: "Ask whether a subscription would take an event",
		status:  http.StatusOK, message: "Filter test completed",
	}, a.testFilter)
	handle(r, operation{
		id: "GetFilter", access: viewsProject, portal: portalViews, method: http.MethodGet, path: one, tag: tag, summary: "Get a filter",
		status: http.StatusOK, message: "Filter retrieved successfully",
	}, a.filter)
	handle(r, operation{
		id: "UpdateFilter", access: managesProject, portal: portalViews, method: http.MethodPut, path: one, tag: tag, summary: "Change a filter",
		status: http.StatusOK, message: "Filter updated successfully",
	}, a.updateFilter)
	handle(r, operation{
		id: "DeleteFilter", access: managesProject, portal: portalViews, method: http.MethodDelete, path: one, tag: tag, summary: "Remove a filter",
		status: http.StatusOK, message: "Filter deleted successfully",
	}, a.deleteFilter)
}

// FilterPath is the path of one filter.
type FilterPath struct {
	SubscriptionPath
	Filter string `path:"filterID" doc:"The filter's id"`
}

// filtered finds the subscription of a request about filters.
func (a *api) filtered(ctx context.Context, in *SubscriptionPath) (*convoy.Subscription, error) {
	s, _, err := a.findSubscription(ctx, in)
	if convoy.IsNotFound(err) {
		err = convoy.Wrap(convoy.NotFound, "subscription not found", err)
	}
	return s, err
}

// changeFilters edits the filters of a subscription.
func (a *api) changeFilters(ctx context.Context, in *SubscriptionPath, change func(s *convoy.Subscription) error) error {
	s, err := a.filtered(ctx, in)
	if err != nil {
		return err
	}
	now := a.now()
	_, err = a.Store.ChangeSubscription(ctx, store.SubscriptionChange{
		Project: s.ProjectID, Subscription: s.ID,
		Edit: func(s *convoy.Subscription) error {
			s.UpdatedAt = now
			if err := change(s); err != nil {
				return err
			}
			return checkFilters(s.Filters)
		},
	})
	if err != nil {
		return err
	}
	a.changed(ctx, s.ProjectID)
	return nil
}

// find returns the place of a filter in a subscription.
func findFilter(s *convoy.Subscription, uid string) (int, error) {
	i := slices.IndexFunc(s.Filters, func(f convoy.Filter) bool { return string(f.ID) == uid })
	if i < 0 {
		return 0, convoy.E(convoy.NotFound, filterMissing)
	}
	return i, nil
}

func (a *api) filters(ctx context.Context, in *SubscriptionPath) ([]filterView, error) {
	s, err := a.filtered(ctx, in)
	if err != nil {
		return nil, err
	}
	views := make([]filterView, len(s.Filters))
	for i := range s.Filters {
		views[i] = viewFilter(s.ID, &s.Filters[i])
	}
	return views, nil
}

func (a *api) filter(ctx context.Context, in *FilterPath) (filterView, error) {
	s, err := a.filtered(ctx, &in.SubscriptionPath)
	if err != nil {
		return filterView{}, err
	}
	i, err := findFilter(s, in.Filter)
	if err != nil {
		return filterView{}, err
	}
	return viewFilter(s.ID, &s.Filters[i]), nil
}

type createFilterInput struct {
	SubscriptionPath
	Payload payload[createFilterRequest]
}

func (a *api) createFilter(ctx context.Context, in *createFilterInput) (filterView, error) {
	var v filterView
	if _, err := a.filtered(ctx, &in.SubscriptionPath); err != nil {
		return v, err
	}
	req, err := in.Payload.decode()
	if err != nil {
		return v, err
	}
	views, err := a.addFilters(ctx, &in.SubscriptionPath, []createFilterRequest{req}, singly)
	if err != nil {
		return v, err
	}
	return views[0], nil
}

// filterMessages are the errors about a filter's event type, and about a filter
// that is not there.
type filterMessages struct {
	unknown, taken func(eventType string) string
	missing        func(uid string) string
}

var (
	singly = filterMessages{
		unknown: func(string) string { return "event type does not exist" },
		taken:   func(string) string { return "filter with this event type already exists" },
		missing: func(string) string { return filterMissing },
	}
	inBulk = filterMessages{
		unknown: func(t string) string {
			if t == "" {
				return "event type does not exist"
			}
			return "event type " + t + " does not exist"
		},
		taken: func(t string) string { return "filter for event type " + t + " already exists" },
		missing: func(uid string) string {
			if uid == "" || badText(uid, maxName) != "" {
				return filterMissing
			}
			return "filter " + uid + " not found"
		},
	}
)

// checkTypes refuses event types that the catalogue does not have. Patterns take
// the events of types to come, and need not be in it.
func (a *api) checkTypes(ctx context.Context, p convoy.ProjectID, types []string, m filterMessages) error {
	var found problems
	for _, t := range types {
		found.text("event_type", t, maxEventType)
	}
	if err := found.err(); err != nil {
		return err
	}
	names := slices.DeleteFunc(slices.Clone(types), convoy.EventTypePattern)
	unknown, err := a.Store.UnknownEventTypes(ctx, p, names)
	if err == nil && len(unknown) > 0 {
		err = convoy.E(convoy.NotFound, m.unknown(unknown[0]))
	}
	return err
}

// addFilters appends filters.
func (a *api) addFilters(ctx context.Context, in *SubscriptionPath, requests []createFilterRequest, m filterMessages) ([]filterView, error) {
	types := make([]string, len(requests))
	for i := range requests {
		types[i] = requests[i].EventType
	}
	if err := a.checkTypes(ctx, exchangeOf(ctx).project, types, m); err != nil {
		return nil, err
	}
	now := a.now()
	added := make([]convoy.Filter, len(requests))
	for i, req := range requests {
		added[i] = convoy.Filter{ID: convoy.FilterID(id.New(now)), EventType: req.EventType, EnabledAt: now}
		if err := req.apply(&added[i]); err != nil {
			return nil, err
		}
	}
	views := make([]filterView, len(requests))
	err := a.changeFilters(ctx, in, func(s *convoy.Subscription) error {
		for i := range added {
			f := &added[i]
			if has(s.Filters, f.EventType) {
				return convoy.E(convoy.Invalid, m.taken(f.EventType))
			}
			s.Filters = append(s.Filters, *f)
			views[i] = viewFilter(s.ID, f)
		}
		if len(s.Filters) > maxEventTypes {
			return invalid("event_type", "a subscription must not have more than "+itoa(maxEventTypes)+" filters")
		}
		return nil
	})
	return views, err
}

type createFiltersInput struct {
	SubscriptionPath
	Payload payload[[]createFilterRequest]
}

func (a *api) createFilters(ctx context.Context, in *createFiltersInput) ([]filterView, error) {
	if _, err := a.filtered(ctx, &in.SubscriptionPath); err != nil {
		return nil, err
	}
	requests, err := in.Payload.decode()
	if err != nil {
		return nil, err
	}
	if err := checkBulk(len(requests)); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(requests))
	for _, req := range requests {
		if seen[req.EventType] && req.EventType != "" {
			return nil, convoy.E(convoy.Invalid, "duplicate event type "+req.EventType+" in request")
		}
		seen[req.EventType] = true
	}
	return a.addFilters(ctx, &in.SubscriptionPath, requests, inBulk)
}

func checkBulk(n int) error {
	if n < 1 || n > maxEventTypes {
		return convoy.E(convoy.Invalid, "body must be an array of 1 to "+itoa(maxEventTypes)+" filters")
	}
	return nil
}

type updateFilterInput struct {
	FilterPath
	Payload payload[updateFilterRequest]
}

func (a *api) updateFilter(ctx context.Context, in *updateFilterInput) (filterView, error) {
	var v filterView
	if _, err := a.filtered(ctx, &in.SubscriptionPath); err != nil {
		return v, err
	}
	req, err := in.Payload.decode()
	if err != nil {
		return v, err
	}
	req.UID = in.Filter
	views, err := a.editFilters(ctx, &in.SubscriptionPath, []updateFilterRequest{req}, singly)
	if err != nil {
		return v, err
	}
	return views[0], nil
}

// editFilters changes filters.
func (a *api) editFilters(ctx context.Context, in *SubscriptionPath, requests []updateFilterRequest, m filterMessages) ([]filterView, error) {
	var (
		types []string
		found problems
	)
	for i := range requests {
		found.text("uid", requests[i].UID, maxName)
		if t := requests[i].EventType; t != "" {
			types = append(types, t)
		}
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	if err := a.checkTypes(ctx, exchangeOf(ctx).project, types, m); err != nil {
		return nil, err
	}
	views := make([]filterView, len(requests))
	err := a.changeFilters(ctx, in, func(s *convoy.Subscription) error {
		for i := range requests {
			req := &requests[i]
			at, err := findFilter(s, req.UID)
			if err != nil {
				return convoy.E(convoy.NotFound, m.missing(req.UID))
			}
			f := &s.Filters[at]
			if req.EventType != "" && req.EventType != f.EventType {
				if has(s.Filters, req.EventType) {
					return convoy.E(convoy.Invalid, m.taken(req.EventType))
				}
				f.EventType = req.EventType
			}
			if err := req.apply(f); err != nil {
				return err
			}
			views[i] = viewFilter(s.ID, f)
		}
		return nil
	})
	return views, err
}

type updateFiltersInput struct {
	SubscriptionPath
	Payload payload[[]updateFilterRequest]
}

func (a *api) updateFilters(ctx context.Context, in *updateFiltersInput) ([]filterView, error) {
	if _, err := a.filtered(ctx, &in.SubscriptionPath); err != nil {
		return nil, err
	}
	requests, err := in.Payload.decode()
	if err != nil {
		return nil, err
	}
	if err := checkBulk(len(requests)); err != nil {
		return nil, err
	}
	return a.editFilters(ctx, &in.SubscriptionPath, requests, inBulk)
}

func (a *api) deleteFilter(ctx context.Context, in *FilterPath) (none, error) {
	return nil, a.changeFilters(ctx, &in.SubscriptionPath, func(s *convoy.Subscription) error {
		i, err := findFilter(s, in.Filter)
		if err != nil {
			return err
		}
		s.Filters = slices.Delete(s.Filters, i, i+1)
		return nil
	})
}
