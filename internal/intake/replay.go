package intake

import (
	"context"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store"
)

// queueGrace is how long deliveries that have been queued are left to the queue
// before the store offers them.
const queueGrace = time.Minute

// Replay routes stored events again, duplicates included, and returns how many
// deliveries they have in this replay, and how many of them have none. The ids of the deliveries are derived
// from the event, the subscription, the name of the replay and its time, so
// that a replay that is repeated, after a crash for instance, adds what is
// missing and nothing else. An event that had failed and has deliveries now is
// routed. After an error some of the deliveries may be stored and queued; the
// events are those of the store.
func (p *Persister) Replay(ctx context.Context, events []*convoy.Event, replay string, at time.Time) (deliveries, unmatched int, err error) {
	at = at.UTC().Truncate(time.Millisecond) // as ids have it
	var r store.Routed
	for _, e := range events {
		x := convoy.Expansion{Event: e, Replay: replay, At: at}
		failed := e.Status == convoy.EventFailure
		for !x.Done {
			if err := p.step(ctx, &x, &r); err != nil {
				return deliveries, unmatched, err
			}
			if x.Done && failed && e.Status == convoy.EventSuccess {
				e.UpdatedAt = p.cfg.Now()
				r.Events = append(r.Events, e)
			}
			if len(r.Deliveries) >= convoy.WideEvent {
				if err := p.storeReplay(ctx, &r); err != nil {
					return deliveries, unmatched, err
				}
			}
		}
		if deliveries += x.Deliveries; x.Deliveries == 0 {
			unmatched++
		}
	}
	return deliveries, unmatched, p.storeReplay(ctx, &r)
}

// storeReplay stores a chunk, queues it, and empties it.
func (p *Persister) storeReplay(ctx context.Context, r *store.Routed) error {
	p.lend(r.Deliveries, p.cfg.Now())
	if err := p.cfg.Store.Replay(ctx, r); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	p.queue(ctx, r)
	*r = store.Routed{}
	return nil
}

// lend sets the claim times of deliveries that go to the queue: the store
// offers what the queue has lost.
func (p *Persister) lend(ds []*convoy.Delivery, now time.Time) {
	if !p.cfg.QueueIsStore {
		now = now.Add(queueGrace)
	}
	for _, d := range ds {
		if !d.Status.Terminal() && d.ClaimAt.IsZero() {
			d.ClaimAt = now
		}
	}
}

// queue gives stored deliveries and meta events to whoever pulls.
func (p *Persister) queue(ctx context.Context, r *store.Routed) {
	jobs := make([]convoy.Job, 0, len(r.Deliveries))
	for _, j := range r.Meta {
		jobs = append(jobs, j)
	}
	for _, d := range r.Deliveries {
		if !d.Status.Terminal() && !d.ClaimAt.Equal(convoy.Parked) {
			jobs = append(jobs, convoy.Job{Delivery: d})
		}
	}
	if len(jobs) > 0 {
		p.cfg.Queue.Take(ctx, jobs)
	}
}
