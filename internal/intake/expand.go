package intake

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"convoy"
	"convoy/internal/store"
)

const (
	// expanders is how many turns of the backlog are under way at once, and
	// expandersPerProject how many of them may be one project's.
	expanders           = 4
	expandersPerProject = 2
	// turnTime is when a turn ends that could go on.
	turnTime = time.Second
	// functionsAtOnce is how many functions a turn runs together; it takes the
	// next when these have ended.
	functionsAtOnce = 4
	// writeTimeout bounds the commit of a chunk.
	writeTimeout = 10 * time.Second
)

// Run expands events that were stored before their deliveries, because there
// are too many or because they take a while to make, until ctx ends. What it
// has not come to by then is found by the sweep, here or in another process.
func (p *Persister) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range expanders {
		wg.Go(func() {
			for turn := p.backlog.next(); turn != nil; turn = p.backlog.next() {
				p.backlog.done(turn, p.turn(ctx, turn))
			}
		})
	}
	<-ctx.Done()
	p.backlog.close()
	wg.Wait()
	return nil
}

// turn expands events by one chunk, and returns those that go on.
func (p *Persister) turn(ctx context.Context, turn []*expanding) (rest []*expanding) {
	defer func() {
		if v := recover(); v != nil {
			p.cfg.Log.Error("expansion panicked, left to the sweep", "events", len(turn), "panic", v)
			rest = nil
		}
	}()
	var err error
	if turn[0].expansion == nil {
		if turn, err = p.begin(ctx, turn); err != nil {
			p.cfg.Log.Warn("events not expanded, left to the sweep", "err", err)
			return nil
		}
	}
	var (
		c     chunk
		tried []*expanding
		start = p.cfg.Now()
	)
	for _, x := range turn {
		if c.full() || p.cfg.Now().Sub(start) > turnTime || ctx.Err() != nil {
			rest = append(rest, x)
			continue
		}
		tried = append(tried, x)
		switch more, err := p.expand(ctx, x.expansion, &c); {
		case err != nil:
			p.fault(x, err, &c)
		case more:
			c.Events = append(c.Events, x.expansion.Event)
			rest = append(rest, x)
		default:
			c.Events = append(c.Events, x.expansion.Event)
		}
	}
	if err := p.commit(ctx, &c); err != nil {
		p.cfg.Log.Warn("deliveries not stored", "events", len(c.Events), "deliveries", len(c.Deliveries), "err", err)
		return p.again(ctx, turn)
	}
	// Somebody else may have taken an event meanwhile.
	return slices.DeleteFunc(rest, func(x *expanding) bool {
		return slices.Contains(tried, x) && !slices.Contains(c.Events, x.expansion.Event)
	})
}

// chunk is what a turn stores.
type chunk struct{ store.Routed }

func (c *chunk) full() bool { return len(c.Deliveries) >= convoy.WideEvent }

// begin takes events for this process; those that are routed already or that
// another process has taken are left out.
func (p *Persister) begin(ctx context.Context, turn []*expanding) ([]*expanding, error) {
	holds, byID := make([]store.Hold, len(turn)), make(map[convoy.EventID]*expanding, len(turn))
	for i, x := range turn {
		holds[i], byID[x.hold.ID] = x.hold, x
	}
	wctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	events, err := p.cfg.Store.Hold(wctx, holds, p.cfg.Now())
	if err != nil {
		return nil, err
	}
	held := make([]*expanding, 0, len(events))
	for _, e := range events {
		x := byID[e.ID]
		x.expansion, x.hold.Seen = &convoy.Expansion{Event: e}, e.UpdatedAt
		held = append(held, x)
	}
	return held, nil
}

// expand adds an event's next deliveries to a chunk, for turnTime at most or
// one step, and reports whether it has more.
func (p *Persister) expand(ctx context.Context, x *convoy.Expansion, c *chunk) (more bool, err error) {
	for start := p.cfg.Now(); ; {
		if err := p.step(ctx, x, &c.Routed); err != nil {
			return false, err
		}
		if x.Done || c.full() || p.cfg.Now().Sub(start) > turnTime || ctx.Err() != nil {
			return !x.Done, nil
		}
	}
}

// step adds an event's next deliveries to a batch, with their payloads.
// Deliveries that are stored already are left out.
func (p *Persister) step(ctx context.Context, x *convoy.Expansion, r *store.Routed) error {
	functions, room := x.Functions, convoy.WideEvent-len(r.Deliveries)
	if functions {
		room = functionsAtOnce
	}
	ds, err := p.cfg.Router.Expand(ctx, x, room, p.cfg.Now())
	if err != nil {
		return err
	}
	if ds, err = p.unknown(ctx, ds); err != nil {
		return err
	}
	if functions {
		payloads, err := p.transform(ctx, x.Event, ds)
		if err != nil {
			return err
		}
		r.Payloads = append(r.Payloads, payloads...)
		if err := p.tell(ctx, x.Event, ds, r); err != nil {
			return err
		}
	}
	r.Deliveries = append(r.Deliveries, ds...)
	return nil
}

// unknown leaves out the deliveries that are stored.
func (p *Persister) unknown(ctx context.Context, ds []*convoy.Delivery) ([]*convoy.Delivery, error) {
	if len(ds) == 0 {
		return ds, nil
	}
	ids := make([]convoy.DeliveryID, len(ds))
	for i, d := range ds {
		ids[i] = d.ID
	}
	known, err := p.cfg.Store.KnownDeliveries(ctx, ids)
	if err != nil {
		return nil, err
	}
	fresh := ds[:0]
	for _, d := range ds {
		if !known[d.ID] {
			fresh = append(fresh, d)
		}
	}
	return fresh, nil
}

// transform makes the payloads of deliveries. One whose function fails ends
// there; an error is a fault of ours.
func (p *Persister) transform(ctx context.Context, e *convoy.Event, ds []*convoy.Delivery) ([]*convoy.Payload, error) {
	var (
		wg       sync.WaitGroup
		payloads = make([]*convoy.Payload, len(ds))
		errs     = make([]error, len(ds))
	)
	for i, d := range ds { // as many as Expand was asked for: functionsAtOnce
		wg.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					errs[i] = fmt.Errorf("function panicked: %v", v)
				}
			}()
			payloads[i], errs[i] = p.cfg.Router.Transform(ctx, e, d)
		})
	}
	wg.Wait()
	kept := payloads[:0]
	for i, d := range ds {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if payloads[i] == nil {
			continue // it leaves the data as it is
		}
		if f := payloads[i].Failure; f != "" && !d.Status.Terminal() {
			d.Status, d.Description, d.DueAt, d.ClaimAt = convoy.DeliveryFailure, f, time.Time{}, time.Time{}
		}
		kept = append(kept, payloads[i])
	}
	return kept, nil
}

// tell adds the meta events of deliveries whose function has failed.
func (p *Persister) tell(ctx context.Context, e *convoy.Event, ds []*convoy.Delivery, r *store.Routed) error {
	for _, d := range ds {
		if d.Status != convoy.DeliveryFailure {
			continue
		}
		j, err := p.cfg.Teller.Tell(ctx, e, d)
		if err != nil {
			return err
		}
		if j == nil {
			continue
		}
		if r.Meta == nil {
			r.Meta = make(map[convoy.DeliveryID]convoy.Job)
		}
		r.Meta[d.ID] = *j
	}
	return nil
}

// fault ends an event that could not be expanded for long; before that it is
// left to the sweep. What the chunk has of it stays: it is right.
func (p *Persister) fault(x *expanding, err error, c *chunk) {
	e := x.expansion.Event
	p.cfg.Log.Error("event left unrouted", "event_id", e.ID, "project_id", e.ProjectID, "err", err)
	if p.cfg.Now().Sub(e.CreatedAt) > rerouteFor {
		e.Status, e.FailureReason = convoy.EventFailure, reasonUnroutable
		c.Events = append(c.Events, e)
	}
}

// reasonUnroutable is Event.FailureReason when routing has failed for long.
const reasonUnroutable = "the event could not be routed"

// commit stores a chunk and queues its deliveries.
func (p *Persister) commit(ctx context.Context, c *chunk) error {
	if len(c.Events) == 0 {
		return nil
	}
	now := p.cfg.Now()
	p.lend(c.Deliveries, now)
	// What was worked out is stored, also when ctx has ended meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := p.cfg.Store.Expand(ctx, &c.Routed, now); err != nil {
		return err
	}
	p.queue(ctx, &c.Routed)
	p.count(c.Events)
	return nil
}

// again tries the events of a turn that the store has refused one by one, from
// their beginnings. One that is refused alone is left to the sweep, and ends
// when that has gone on for long.
func (p *Persister) again(ctx context.Context, turn []*expanding) []*expanding {
	if len(turn) > 1 {
		for _, x := range turn {
			x.hold.Seen = x.expansion.Event.UpdatedAt
			x.alone, x.expansion = true, nil
		}
		return turn
	}
	if len(turn) == 1 {
		x := turn[0]
		if e := x.expansion.Event; p.cfg.Now().Sub(e.CreatedAt) > rerouteFor {
			e.Status, e.FailureReason, e.Endpoints = convoy.EventFailure, reasonUnroutable, nil
			if err := p.commit(ctx, &chunk{store.Routed{Events: []*convoy.Event{e}}}); err != nil {
				p.cfg.Log.Error("event left unrouted", "event_id", e.ID, "project_id", e.ProjectID, "err", err)
			}
		}
	}
	return nil
}
