// Package intake makes events durable before they are acknowledged, and turns
// them into stored deliveries. It has two modes: stored, where publishing
// waits for a group commit of event and deliveries; and queued, where it waits
// for an append to a log that agents read and persist from. It does not parse
// requests and does not send anything.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/telemetry"
)

// A delivery handed to a sender in this process is inserted without a claim
// time (see store.SweepFresh). That is sound only while the sweep comes by
// later than the sender can still be at it:
//
//	accepted ≤ freshAge ▶ handed over ≤ deliver's start limit ▶ timeout ≤ longTimeout ▶ store swept at SweepAge
//
// so an event that waited longer before it was stored, or an endpoint with a
// longer timeout, gets a claim time at once.
const (
	freshAge    = 10 * time.Second
	longTimeout = 30 * time.Second
	// StartLimit is how long after the hand-over a first try may begin.
	StartLimit = 20 * time.Second
	// SweepAge is the age at which a fresh delivery is taken for lost.
	SweepAge = freshAge + StartLimit + longTimeout + 15*time.Second
)

// publishTimeout bounds the wait of a publisher. An event refused after it may
// still be stored, as after any lost answer.
const publishTimeout = 10 * time.Second

// retryAfter is what a refused publisher is told to wait.
const retryAfter = 2 * time.Second

type router interface {
	Route(ctx context.Context, events []*convoy.Event, now time.Time) (deliveries []*convoy.Delivery, deferred []*convoy.Event, err error)
	Expand(ctx context.Context, x *convoy.Expansion, max int, now time.Time) ([]*convoy.Delivery, error)
	Transform(ctx context.Context, e *convoy.Event, d *convoy.Delivery) (*convoy.Payload, error)
}

type eventStore interface {
	Append(ctx context.Context, r *store.Routed, now time.Time, window time.Duration) error
	Unrouted(ctx context.Context, f store.UnroutedFilter) ([]*convoy.Event, error)
	Reroute(ctx context.Context, r *store.Routed) error
	Replay(ctx context.Context, r *store.Routed) error
	Hold(ctx context.Context, holds []store.Hold, now time.Time) ([]*convoy.Event, error)
	Expand(ctx context.Context, r *store.Routed, now time.Time) error
	KnownDeliveries(ctx context.Context, ids []convoy.DeliveryID) (map[convoy.DeliveryID]bool, error)
	Ping(ctx context.Context) error
}

// endpoints tells the timeout of an endpoint.
type endpoints interface {
	Timeout(ctx context.Context, project convoy.ProjectID, endpoint convoy.EndpointID) time.Duration
}

// teller makes the meta event of a delivery that has ended; nil when its project
// does not ask for one.
type teller interface {
	Tell(ctx context.Context, e *convoy.Event, d *convoy.Delivery) (*convoy.Job, error)
}

// Taker takes deliveries that have just been stored. It keeps what it cannot
// send now in a queue, and never fails: the store offers again what is lost.
type Taker interface {
	Take(ctx context.Context, jobs []convoy.Job)
}

// Config is what intake needs.
type Config struct {
	Router    router
	Store     eventStore
	Endpoints endpoints
	Teller    teller
	Taker     Taker
	// Queue takes deliveries as ids, for whoever pulls from it. QueueIsStore says
	// that it is the deliveries table, so that it needs no claim time to come.
	Queue        Taker
	QueueIsStore bool
	// Claimable says that takers find deliveries by claiming them from the
	// store, so they are stored claimable from the start.
	Claimable bool
	// Window is how long an idempotency key is held.
	Window  time.Duration
	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Now     func() time.Time
}

// Persister routes events and stores them with their deliveries. It expands
// events whose deliveries come later while Run does.
type Persister struct {
	cfg     Config
	backlog *backlog

	// swept is how far the sweep of unrouted events has come.
	mu    sync.Mutex
	swept string
}

// NewPersister makes a persister.
func NewPersister(cfg Config) *Persister {
	return &Persister{cfg: cfg, backlog: newBacklog(expandersPerProject)}
}

// Persist routes and stores events in one transaction and hands their
// deliveries on. After an error the events are as they were.
func (p *Persister) Persist(ctx context.Context, events []*convoy.Event) error {
	return p.persist(ctx, events, false)
}

// PersistAgain is Persist for events of which some or all may be stored
// already: those are left as they are. Deliveries are not handed on, since the
// process that stored them may be making them; new ones are claimable at once.
func (p *Persister) PersistAgain(ctx context.Context, events []*convoy.Event) error {
	return p.persist(ctx, events, true)
}

func (p *Persister) persist(ctx context.Context, events []*convoy.Event, again bool) error {
	now := p.cfg.Now()
	start := time.Now()
	addressed := make([][]convoy.EndpointID, len(events))
	for i, e := range events {
		addressed[i] = e.Endpoints
	}
	deliveries, deferred, err := p.cfg.Router.Route(ctx, events, now)
	if err != nil {
		return err
	}
	r := store.Routed{Events: events, Deliveries: deliveries}
	p.claim(ctx, r.Deliveries, now, again)
	if err := p.cfg.Store.Append(ctx, &r, now, p.cfg.Window); err != nil {
		for i, e := range events { // as they were, for another try
			e.Status, e.FailureReason, e.Duplicate, e.Endpoints = convoy.EventPending, "", false, addressed[i]
		}
		return err
	}
	p.cfg.Metrics.Route.Observe(len(events), time.Since(start))
	p.count(events)
	if !again {
		p.handOver(ctx, &r)
	}
	if len(deferred) > 0 {
		p.backlog.add(slices.DeleteFunc(deferred, func(e *convoy.Event) bool { return e.Duplicate }))
	}
	return nil
}

// claim sets from when the store offers each delivery to others: at once, or
// when the hand-over can no longer lead to a try.
func (p *Persister) claim(ctx context.Context, ds []*convoy.Delivery, now time.Time, atOnce bool) {
	for _, d := range ds {
		if d.Status.Terminal() || !d.ClaimAt.IsZero() {
			continue
		}
		timeout := p.cfg.Endpoints.Timeout(ctx, d.ProjectID, d.EndpointID)
		switch {
		case atOnce || p.cfg.Claimable:
			d.ClaimAt = now
		case timeout > longTimeout || now.Sub(id.Time(string(d.ID))) > freshAge:
			d.ClaimAt = now.Add(StartLimit + timeout + 15*time.Second)
		}
	}
}

func (p *Persister) count(events []*convoy.Event) {
	for _, e := range events {
		switch {
		case e.Duplicate:
			p.cfg.Metrics.Routed.Duplicate.Inc()
		case e.Status == convoy.EventSuccess:
			p.cfg.Metrics.Routed.Delivered.Inc()
		case e.Status == convoy.EventFailure:
			p.cfg.Metrics.Routed.Unmatched.Inc()
		}
	}
}

func (p *Persister) handOver(ctx context.Context, r *store.Routed) {
	if len(r.Deliveries) == 0 {
		return
	}
	byID := make(map[convoy.EventID]*convoy.Event, len(r.Events))
	for _, e := range r.Events {
		byID[e.ID] = e
	}
	jobs := make([]convoy.Job, 0, len(r.Deliveries))
	for _, d := range r.Deliveries {
		if !d.Status.Terminal() && !d.ClaimAt.Equal(convoy.Parked) {
			jobs = append(jobs, convoy.Job{Delivery: d, Event: byID[d.EventID]})
		}
	}
	p.cfg.Taker.Take(ctx, jobs)
}

// refused says what a publisher may know of a failed write.
func refused(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &convoy.Error{Kind: convoy.Unavailable, Msg: "the event was not accepted, try again",
		RetryAfter: retryAfter, Err: fmt.Errorf("accept event: %w", err)}
}

// accepted writes the canonical line of an accepted event.
func accepted(ctx context.Context, log *slog.Logger, e *convoy.Event, mode string) {
	if !log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	log.LogAttrs(ctx, slog.LevelInfo, "event.accepted",
		slog.String("event_id", string(e.ID)), slog.String("project_id", string(e.ProjectID)),
		slog.String("event_type", e.Type), slog.Int("bytes", len(e.Data)), slog.String("mode", mode),
		slog.Bool("duplicate", e.Duplicate))
}
