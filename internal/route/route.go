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
	functions     transformer
	log           *slog.Logger
}

// New makes a router.
func New(p projects, s subscriptions, f transformer, log *slog.Logger) *Router {
	return &Router{projects: p, subscriptions: s, functions: f, log: log}
}

// callDeliveries bounds the deliveries that one call of Route returns, and with
// them the memory and the time that a batch takes.
const callDeliveries = 10_000

// Route sets the status, failure reason and endpoints of each event and
// returns the deliveries of all. Single events arrive with Endpoints naming the
// endpoints they are addressed to. An event that cannot be routed because of a
// fault of ours stays Pending, alone. So does one that has too many deliveries
// for one batch; these come back as deferred, for [Router.Expand]. An error
// means that nothing could be looked up and none of the events has been
// changed.
func (r *Router) Route(ctx context.Context, events []*convoy.Event, now time.Time) (deliveries []*convoy.Delivery, deferred []*convoy.Event, err error) {
	b := r.batch(now)
	for _, e := range events {
		if _, err := b.project(ctx, e.ProjectID); err != nil && !convoy.IsNotFound(err) {
			return nil, nil, fmt.Errorf("route: %w", err)
		}
	}
	deliveries = make([]*convoy.Delivery, 0, len(events))
	var x convoy.Expansion
	for _, e := range events {
		x = convoy.Expansion{Event: e}
		n := len(deliveries)
		ds, err := b.expand(ctx, &x, deliveries, min(convoy.WideEvent, callDeliveries-n))
		switch {
		case err != nil:
			r.log.Error("event left unrouted", "event_id", e.ID, "project_id", e.ProjectID, "err", err)
		case x.Functions: // what has none need not wait
			deliveries = ds
			deferred = append(deferred, e)
		case !x.Done:
			clear(ds[n:])
			deliveries = ds[:n]
			deferred = append(deferred, e)
		default:
			deliveries = ds
			settle(&x)
		}
	}
	return deliveries, deferred, nil
}

// Expand returns the next deliveries of an event, about max of them, none when
// it has looked at many subscriptions in vain or the expansion is done. When it
// is done the event's status, failure reason and endpoints are set. After an
// error the expansion is where it was.
func (r *Router) Expand(ctx context.Context, x *convoy.Expansion, max int, now time.Time) ([]*convoy.Delivery, error) {
	before := *x
	ds, err := r.batch(now).expand(ctx, x, nil, max)
	if err != nil {
		*x = before
		return nil, fmt.Errorf("expand event %s: %w", x.Event.ID, err)
	}
	if x.Done {
		settle(x)
	}
	return ds, nil
}

// batch is what one call remembers.
type batch struct {
	*Router
	now      time.Time
	views    map[convoy.ProjectID]*catalog.Project
	reloaded map[convoy.ProjectID]bool
	walk     walk // reused
	// lists are what is left of the lists that a walk merges; reused.
	lists [][]*catalog.Subscription
}

func (r *Router) batch(now time.Time) *batch {
	return &batch{Router: r, now: now, reloaded: make(map[convoy.ProjectID]bool), views: make(map[convoy.ProjectID]*catalog.Project)}
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

// expand appends the next deliveries of an event to ds, at most max and one
// endpoint's; a panic is the event's error and nobody else's.
func (b *batch) expand(ctx context.Context, x *convoy.Expansion, ds []*convoy.Delivery, max int) (_ []*convoy.Delivery, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	view, err := b.project(ctx, x.Event.ProjectID)
	if convoy.IsNotFound(err) {
		x.Done, x.Reason = true, reasonProject
		return ds, nil
	}
	if err != nil {
		return nil, err
	}
	b.walk = walk{batch: b, x: x, view: view, ds: ds, room: max, looks: maxLooks}
	if err := b.walk.run(ctx); err != nil {
		return nil, err
	}
	return b.walk.ds, nil
}

// endpoint finds an endpoint and its subscriptions, making the catch-all one
// when there is none. Another process may have made the endpoint a moment ago,
// so a miss asks the store once per batch.
func (b *batch) endpoint(ctx context.Context, view **catalog.Project, eid convoy.EndpointID) (*convoy.Endpoint, []*catalog.Subscription, error) {
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

// delivery makes the delivery of an event through a subscription. There is one
// of each event, subscription and replay, and of a broadcast one for each
// endpoint, so their ids are derived from that.
func (b *batch) delivery(view *catalog.Project, endpoint *convoy.Endpoint, s *catalog.Subscription, x *convoy.Expansion) *convoy.Delivery {
	e := x.Event
	at, acknowledged, created, replay, through := id.Time(string(e.ID)), e.AcknowledgedAt, b.now, "0", string(s.ID)
	if x.Replay != "" {
		at, acknowledged, created, replay = x.At, x.At, x.At, x.Replay
	}
	if e.Kind == convoy.KindBroadcast {
		through = string(endpoint.ID)
	}
	d := &convoy.Delivery{
		ID:        convoy.DeliveryID(id.Derive(at, string(e.ID), through, replay)),
		ProjectID: e.ProjectID, EventID: e.ID, EndpointID: endpoint.ID, SubscriptionID: s.ID, EventType: e.Type,
		Mode: s.Mode, Status: convoy.DeliveryScheduled,
		DueAt: b.now, AcknowledgedAt: acknowledged, CreatedAt: created, UpdatedAt: b.now,
	}
	if s.Retry != nil {
		d.Retry = *s.Retry
	} else {
		d.Retry = view.Settings().Config.Strategy.Policy()
	}
	if e.Kind == convoy.KindDynamic {
		d.TargetURL = e.TargetURL
	}
	switch endpoint.Status {
	case convoy.EndpointPaused:
		d.ClaimAt, d.Description = convoy.Parked, "endpoint is paused"
	case convoy.EndpointInactive:
		d.Status, d.DueAt, d.Description = convoy.DeliveryDiscarded, time.Time{}, "endpoint is inactive"
	}
	return d
}
