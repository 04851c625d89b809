package deliver

import (
	"context"
	"errors"
	"time"

	"convoy/internal/run"
	"convoy/internal/store"
)

const (
	// isolateAfter is how many times a batch of outcomes is refused before its
	// parts are tried.
	isolateAfter = 3
	// recordTimeout bounds one write of outcomes.
	recordTimeout = 10 * time.Second
)

// record writes outcomes until it succeeds or the process is abandoned, then
// tells the queue. When the store is there and refuses a batch, what it takes
// of it is written: one outcome that is refused for ever holds up no other.
func (d *Deliverer) record(ctx context.Context, items []done) error {
	abandon := run.Abandon(ctx)
	for failures := 0; ; failures++ {
		err := d.write(ctx, items)
		if err == nil {
			return nil
		}
		if abandon.Err() != nil {
			return errors.Join(err, context.Cause(abandon))
		}
		d.cfg.Log.Warn("outcomes not recorded yet", "outcomes", len(items), "err", err)
		if failures+1 >= isolateAfter && d.answers(ctx) {
			if items = d.isolate(ctx, items); len(items) == 0 {
				return nil
			}
		}
		pause(abandon, backoff(failures))
	}
}

// write records outcomes and settles them.
func (d *Deliverer) write(ctx context.Context, items []done) error {
	outcomes := make([]store.Outcome, len(items))
	for i := range items {
		outcomes[i] = items[i].outcome
	}
	// ctx may end before the store is back.
	wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := d.cfg.Store.Record(wctx, outcomes); err != nil {
		return err
	}
	d.settle(context.WithoutCancel(ctx), items)
	d.told(context.WithoutCancel(ctx), items)
	d.cfg.Alarm.Failed(context.WithoutCancel(ctx), outcomes)
	return nil
}

// answers says whether the store is there at all.
func (d *Deliverer) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return d.cfg.Store.Ping(ctx) == nil
}

// isolate writes what the store takes of items and returns what it does not.
// An outcome that is refused alone is written without what came from outside:
// how the delivery ended counts more than the record of the attempt. If that is
// refused, too, by a store that takes others, it is given up, and the delivery
// is made again when its claim ends.
func (d *Deliverer) isolate(ctx context.Context, items []done) (left []done) {
	refused := d.writeParts(ctx, items)
	for _, it := range refused {
		bare := it
		after := *it.outcome.Delivery
		after.TargetURL = it.Delivery.TargetURL
		bare.outcome.Delivery, bare.outcome.Attempt = &after, nil
		err := d.write(ctx, []done{bare})
		switch {
		case err == nil:
			d.cfg.Log.Error("attempt refused by the store, recorded without it", "delivery_id", after.ID)
		case len(refused) < len(items):
			d.cfg.Log.Error("outcome refused by the store, the delivery will be made again", "delivery_id", after.ID, "err", err)
			d.lanes.forget(after.ID)
		default:
			left = append(left, it)
		}
	}
	return left
}

// writeParts writes items, or else their halves, and returns those that are
// refused alone.
func (d *Deliverer) writeParts(ctx context.Context, items []done) (refused []done) {
	if err := d.write(ctx, items); err == nil {
		return nil
	}
	if len(items) == 1 {
		return items
	}
	mid := len(items) / 2
	return append(d.writeParts(ctx, items[:mid]), d.writeParts(ctx, items[mid:])...)
}
