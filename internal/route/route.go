// Package route works out which deliveries follow from an event. It matches
// against subscriptions held in memory and writes nothing but the catch-all
// subscription of an endpoint that has none; storing and sending are others'
// work.
package route

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/filter"
	"convoy/internal/id"
)

// Texts of Event.FailureReason.
const (
	reasonUnmatched = "no subscription matched this event"
	reasonEndpoint  = "endpoint not found"
	reasonProject   = "project not found"
)

type projects interface {
	Project(ctx context.Context, id convoy.ProjectID) (*catalog.Project, error)
	Reload(ctx context.Context, id convoy.ProjectID) (*catalog.Project, error)
	Changed(ctx context.Context, id convoy.ProjectID) error
}

type subscriptions interface {
	EnsureSubscription(ctx context.Context, s *convoy.Subscription) (bool, error)
}

// Router is safe for concurrent use.
type Router struct {
	projects      projects
	subscriptions subscriptions
	log           *slog.Logger
}

// New makes a router.
func New(p projects, s subscriptions, log *slog.Logger) *Router {
	return &Router{projects: p, subscriptions: s, log: log}
}

// Route sets the status, failure reason and endpoints of each event and
// returns the deliveries of all. Events arrive with Endpoints naming the
// endpoints they are addressed to. An event that cannot be routed because of a
// fault of ours stays Pending, alone. An error means that nothing could be
// looked up and none of the events has been changed.
func (r *Router) Route(ctx context.Context, events []*convoy.Event, now time.Time) ([]*convoy.Delivery, error) {
	b := batch{Router: r, now: now, reloaded: make(map[convoy.ProjectID]bool), views: make(map[convoy.ProjectID]*catalog.Project)}
	for _, e := range events {
		if _, err := b.project(ctx, e.ProjectID); err != nil && !convoy.IsNotFound(err) {
			return nil, fmt.Errorf("route: %w", err)
		}
	}
	deliveries := make([]*convoy.Delivery, 0, len(events))
	for _, e := range events {
		ds, err := b.route(ctx, e)
		if err != nil {
			r.log.Error("event left unrouted", "event_id", e.ID, "project_id", e.ProjectID, "err", err)
			continue
		}
		deliveries = append(deliveries, ds...)
	}
	return deliveries, nil
}

// batch is what one call of Route remembers.
type batch struct {
	*Router
	now      time.Time
	views    map[convoy.ProjectID]*catalog.Project
	reloaded map[convoy.ProjectID]bool
}

func (b *batch) project(ctx context.Context, p convoy.ProjectID) (*catalog.Project, error) {
	if v, ok := b.views[p]; ok {
		return v, nil
	}
	v, err := b.projects.Project(ctx, p)
	if err == nil {
		b.views[p] = v
	}
	return v, err
}

// route handles one event; a panic is its error and nobody else's.
func (b *batch) route(ctx context.Context, e *convoy.Event) (ds []*convoy.Delivery, err error) {
	defer func() {
		if p := recover(); p != nil {
			ds, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	view, err := b.project(ctx, e.ProjectID)
	if convoy.IsNotFound(err) {
		fail(e, reasonProject)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var (
		matched []convoy.EndpointID
		known   bool
		seen    map[convoy.EndpointID]bool // made for more than one
	)
	if len(e.Endpoints) > 1 {
		seen = make(map[convoy.EndpointID]bool, len(e.Endpoints))
	}
	for _, eid := range e.Endpoints {
		if seen[eid] {
			continue // named twice
		}
		if seen != nil {
			seen[eid] = true
		}
		endpoint, subs, err := b.endpoint(ctx, &view, eid)
		if err != nil {
			return nil, err
		}
		if endpoint == nil {
			continue
		}
		known = true
		n := len(ds)
		for _, s := range subs {
			if s.Filter(e.Type) != nil {
				ds = append(ds, b.delivery(view, endpoint, s, e))
			}
		}
		if len(ds) > n {
			matched = append(matched, eid)
		}
	}
	switch {
	case len(ds) > 0:
		e.Status, e.Endpoints = convoy.EventSuccess, matched
	case !known:
		fail(e, reasonEndpoint)
	default:
		fail(e, reasonUnmatched)
	}
	return ds, nil
}

func fail(e *convoy.Event, reason string) {
	e.Status, e.FailureReason = convoy.EventFailure, reason
}

// endpoint finds an endpoint and its subscriptions, making the catch-all one
// when there is none. Another process may have made the endpoint a moment ago,
// so a miss asks the store once per batch.
func (b *batch) endpoint(ctx context.Context, view **catalog.Project, eid convoy.EndpointID) (*convoy.Endpoint, []*convoy.Subscription, error) {
	project := (*view).Settings().ID
	for {
		endpoint, ok := (*view).Endpoint(eid)
		subs := (*view).Subscriptions(eid)
		if ok && len(subs) > 0 {
			return endpoint, subs, nil
		}
		if !b.reloaded[project] {
			v, err := b.projects.Reload(ctx, project)
			if err != nil {
				return nil, nil, err
			}
			b.reloaded[project], b.views[project], *view = true, v, v
			continue
		}
		if !ok {
			return nil, nil, nil
		}
		sub := &convoy.Subscription{
			ID: convoy.SubscriptionID(id.New(b.now)), ProjectID: project, Name: endpoint.Name + "-subscription",
			EndpointID: eid, Mode: convoy.AtLeastOnce, CreatedAt: b.now, UpdatedAt: b.now,
		}
		sub.Filters = filter.ForTypes(sub.ID, []string{convoy.AnyEventType}, nil, b.now)
		if _, err := b.subscriptions.EnsureSubscription(ctx, sub); err != nil {
			return nil, nil, fmt.Errorf("catch-all subscription: %w", err)
		}
		if err := b.projects.Changed(ctx, project); err != nil {
			b.log.Warn("change not announced", "project_id", project, "err", err)
		}
		v, err := b.projects.Project(ctx, project)
		if err != nil {
			return nil, nil, err
		}
		b.views[project], *view = v, v
		if subs := v.Subscriptions(eid); len(subs) > 0 {
			return endpoint, subs, nil
		}
		return nil, nil, fmt.Errorf("endpoint %s has no subscription after one was made", eid)
	}
}

func (b *batch) delivery(view *catalog.Project, endpoint *convoy.Endpoint, s *convoy.Subscription, e *convoy.Event) *convoy.Delivery {
	d := &convoy.Delivery{
		ID:        convoy.DeliveryID(id.Derive(id.Time(string(e.ID)), string(e.ID), string(s.ID), "0")),
		ProjectID: e.ProjectID, EventID: e.ID, EndpointID: endpoint.ID, SubscriptionID: s.ID, EventType: e.Type,
		Mode: s.Mode, Status: convoy.DeliveryScheduled, Retry: view.Settings().Config.Strategy.Policy(),
		DueAt: b.now, AcknowledgedAt: e.AcknowledgedAt, CreatedAt: b.now, UpdatedAt: b.now,
	}
	switch endpoint.Status {
	case convoy.EndpointPaused:
		d.ClaimAt, d.Description = convoy.Parked, "endpoint is paused"
	case convoy.EndpointInactive:
		d.Status, d.DueAt, d.Description = convoy.DeliveryDiscarded, time.Time{}, "endpoint is inactive"
	}
	return d
}
