package intake

import (
	"context"
	"slices"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
)

const (
	// rerouteAge is how old an unrouted event is, and for how long nobody has
	// touched it, before it is tried again.
	rerouteAge = 10 * time.Second
	// rerouteFor is how long it is tried before it ends as a failure.
	rerouteFor = time.Hour
)

// Reroute routes at most max events that were stored unrouted, and returns how
// many of them are settled now and whether there may be more. Each call goes on
// behind the one before, so that events that cannot be routed hide no others;
// at the end it starts again. Wide events go to the backlog of this process.
func (p *Persister) Reroute(ctx context.Context, max int) (settled int, more bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	events, err := p.cfg.Store.Unrouted(ctx, store.UnroutedFilter{
		After: p.swept, Before: id.Floor(now.Add(-rerouteAge)), Idle: now.Add(-rerouteAge), Max: max,
	})
	if err != nil {
		return 0, false, err
	}
	if len(events) == 0 {
		p.swept = ""
		return 0, false, nil
	}
	end := string(events[len(events)-1].ID)
	if settled, more, err = p.reroute(ctx, events, now); err != nil {
		return 0, false, err
	}
	more = more && len(events) == max
	p.swept = end
	if len(events) < max {
		p.swept = ""
	}
	return settled, more, nil
}

// reroute routes unrouted events; room says that the backlog has room.
func (p *Persister) reroute(ctx context.Context, events []*convoy.Event, now time.Time) (settled int, room bool, err error) {
	deliveries, deferred, err := p.cfg.Router.Route(ctx, events, now)
	if err != nil {
		return 0, false, err
	}
	room = p.backlog.add(deferred)
	events = slices.DeleteFunc(events, func(e *convoy.Event) bool { return slices.Contains(deferred, e) })
	for _, e := range events {
		e.UpdatedAt = now
		if e.Status == convoy.EventPending && now.Sub(e.CreatedAt) > rerouteFor {
			e.Status, e.FailureReason = convoy.EventFailure, reasonUnroutable
		}
		if e.Status != convoy.EventPending {
			settled++
		}
	}
	r := store.Routed{Events: events, Deliveries: deliveries}
	p.claim(ctx, r.Deliveries, now, true)
	if err := p.cfg.Store.Reroute(ctx, &r); err != nil {
		return 0, false, err
	}
	p.count(events)
	return settled, room, nil
}
