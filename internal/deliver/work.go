package deliver

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"convoy"
	"convoy/internal/queue"
	"convoy/internal/store"
)

// done is a job with its outcome, on its way to the store.
type done struct {
	*job
	outcome store.Outcome
}

func (d done) size() int {
	n := 512
	if a := d.outcome.Attempt; a != nil {
		n += len(a.Response) + len(a.URL)
	}
	if p := d.outcome.Payload; p != nil {
		n += len(p.Data)
	}
	if m := d.outcome.Meta; m != nil {
		n += m.Event.Size()
	}
	return n
}

// work sends until the lanes close. Its context ends when the process is
// abandoned.
func (d *Deliverer) work(ctx context.Context) {
	for {
		j := d.lanes.next()
		if j == nil {
			return
		}
		start := d.cfg.Now()
		out, ok := d.trySafely(ctx, j, start)
		d.lanes.finished(j, d.cfg.Now().Sub(start))
		if !ok {
			continue
		}
		tell(j, &out)
		if err := d.records.Put(ctx, done{j, out}); err != nil {
			d.cfg.Log.Warn("outcome not recorded, the delivery will be made again", "delivery_id", j.Delivery.ID, "err", err)
		}
	}
}

// trySafely makes a panic a failed try of its own delivery and nobody else's.
func (d *Deliverer) trySafely(ctx context.Context, j *job, now time.Time) (out store.Outcome, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			d.cfg.Log.Error("delivery panicked", "delivery_id", j.Delivery.ID, "panic", p, "stack", string(debug.Stack()))
			after := decide(*j.Delivery, result{err: errInternal}, policy{d.cfg.MaxDelay}, d.cfg.Now())
			after.ClaimAt = after.DueAt
			out, ok = store.Outcome{Delivery: &after, Before: j.Delivery.Trials}, true
		}
	}()
	return d.try(ctx, j, now)
}

var (
	errInternal = errors.New("internal error")
	errDamaged  = errors.New("the endpoint's credentials cannot be read from the store")
)

// Texts of Delivery.Description for deliveries that end untried.
const (
	reasonNoProject  = "project was deleted"
	reasonNoEndpoint = "endpoint was deleted"
	reasonInactive   = "endpoint is inactive"
	reasonPaused     = "endpoint is paused"
	reasonTemplate   = "the endpoint's url has placeholders and the event has no url of its own"
)

// try makes one attempt, or decides that none is to be made. It reports false
// when the delivery has been given back undecided.
func (d *Deliverer) try(ctx context.Context, j *job, now time.Time) (store.Outcome, bool) {
	del := j.Delivery
	if now.After(j.deadline) {
		d.again(ctx, j, now)
		return store.Outcome{}, false
	}
	view, err := d.cfg.Projects.Project(ctx, del.ProjectID)
	if convoy.IsNotFound(err) {
		return d.discard(del, reasonNoProject, now), true
	}
	if err != nil {
		d.again(ctx, j, now.Add(pauseAfterError))
		return store.Outcome{}, false
	}
	j.project = view.Settings()
	endpoint, ok := view.Endpoint(del.EndpointID)
	if !ok {
		// Another process may have made it a moment ago.
		if view, err = d.cfg.Projects.Reload(ctx, del.ProjectID); err != nil {
			d.again(ctx, j, now.Add(pauseAfterError))
			return store.Outcome{}, false
		}
		if endpoint, ok = view.Endpoint(del.EndpointID); !ok {
			return d.discard(del, reasonNoEndpoint, now), true
		}
	}
	switch endpoint.Status {
	case convoy.EndpointInactive:
		return d.discard(del, reasonInactive, now), true
	case convoy.EndpointPaused:
		after := *del
		after.ClaimAt, after.Description, after.UpdatedAt = convoy.Parked, reasonPaused, now
		return store.Outcome{Delivery: &after, Before: del.Trials}, true
	}
	if endpoint.Damaged != nil {
		after := decide(*del, result{err: errDamaged}, policy{d.cfg.MaxDelay}, now)
		after.Description = errDamaged.Error() // nothing is sent, so no attempt says it
		return store.Outcome{Delivery: &after, Before: del.Trials}, true
	}
	t, err := d.targets.get(view.Settings(), endpoint, view.Subscriptions(endpoint.ID)...)
	if err != nil {
		after := decide(*del, result{err: err, permanent: true}, policy{d.cfg.MaxDelay}, now)
		return store.Outcome{Delivery: &after, Before: del.Trials}, true
	}
	if t.template && j.Event.TargetURL == "" {
		return d.discard(del, reasonTemplate, now), true
	}
	if out, wait := d.limited(ctx, j, t, now); wait {
		return out, true
	}
	if t.timeout > usual {
		// Lease and claim are for the usual timeout: hold them for longer. A
		// queue that is the store has one for both.
		until := now.Add(t.timeout + leaseMargin)
		if !d.cfg.QueueIsStore {
			if err := d.cfg.Store.Release(ctx, []store.Due{{ID: del.ID, Endpoint: del.EndpointID, At: until}}); err != nil {
				d.again(ctx, j, now.Add(pauseAfterError))
				return store.Outcome{}, false
			}
		}
		d.push(ctx, []queue.Item{{ID: queueID(del), Due: until}})
		j.queued = true
	}
	if j.Payload != nil && j.Payload.Failure != "" {
		if out, ended := d.transform(ctx, j, now); ended {
			return out, out.Delivery != nil
		}
	}
	return d.attempt(ctx, j, t, now)
}

// attempt sends and decides.
func (d *Deliverer) attempt(ctx context.Context, j *job, t *target, now time.Time) (store.Outcome, bool) {
	del := j.Delivery
	r, a := d.sender.send(ctx, t, del, j.content(), now)
	if r.err != nil && ctx.Err() != nil {
		d.lanes.forget(del.ID)
		return store.Outcome{}, false // cut off by us: no attempt of theirs
	}
	end := d.cfg.Now()
	after := decide(*del, r, policy{d.cfg.MaxDelay}, end)
	after.TargetURL = a.URL
	if after.Status == convoy.DeliveryRetry {
		after.ClaimAt = after.DueAt
		if !d.cfg.QueueIsStore && after.DueAt.Sub(end) <= horizon {
			after.ClaimAt = after.DueAt.Add(grace)
		}
	}
	d.count(&after, end.Sub(now))
	d.logAttempt(ctx, &after, a, end.Sub(now))
	if exhausted(&after, r) && t.project.Config.DisableEndpoint {
		if err := d.cfg.Disabler.Disable(ctx, del.ProjectID, del.EndpointID); err != nil {
			d.cfg.Log.Error("endpoint not disabled", "endpoint_id", del.EndpointID, "err", err)
		}
	}
	out := store.Outcome{Delivery: &after, Before: del.Trials, Attempt: a}
	if j.made {
		out.Payload = j.Payload // what was sent once is what is sent again
	}
	return out, true
}

// exhausted reports whether a delivery has failed because its endpoint did, as
// often as it might. What could not be sent, or must not be sent twice, says
// little about the endpoint.
func exhausted(d *convoy.Delivery, r result) bool {
	return d.Status == convoy.DeliveryFailure && d.Trials >= d.Retry.Limit && !r.permanent
}

func (d *Deliverer) discard(del *convoy.Delivery, reason string, now time.Time) store.Outcome {
	d.cfg.Metrics.Attempts.Discarded.Inc()
	after := *del
	after.Status, after.Description, after.UpdatedAt = convoy.DeliveryDiscarded, reason, now
	after.DueAt, after.ClaimAt = time.Time{}, time.Time{}
	after.PermitAt, after.HeldBy = time.Time{}, ""
	return store.Outcome{Delivery: &after, Before: del.Trials}
}

// again gives a job back to the queue undecided. The id is let go of first: it
// may be offered to this process at once.
func (d *Deliverer) again(ctx context.Context, j *job, due time.Time) {
	d.lanes.forget(j.Delivery.ID)
	d.push(ctx, []queue.Item{{ID: queueID(j.Delivery), Due: due}})
}

func (d *Deliverer) count(after *convoy.Delivery, took time.Duration) {
	m := d.cfg.Metrics
	m.Attempt.Observe(took.Seconds())
	switch after.Status {
	case convoy.DeliverySuccess:
		m.Attempts.Success.Inc()
		m.EndToEnd.Observe(after.Latency.Seconds())
	case convoy.DeliveryRetry:
		m.Attempts.Retry.Inc()
	default:
		m.Attempts.Failure.Inc()
	}
}

// logAttempt writes the canonical line of an attempt.
func (d *Deliverer) logAttempt(ctx context.Context, del *convoy.Delivery, a *convoy.Attempt, took time.Duration) {
	level := slog.LevelInfo
	if !d.cfg.Log.Enabled(ctx, level) {
		return
	}
	d.cfg.Log.LogAttrs(ctx, level, "delivery.attempted",
		slog.String("delivery_id", string(del.ID)), slog.String("event_id", string(del.EventID)),
		slog.String("project_id", string(del.ProjectID)), slog.String("endpoint_id", string(del.EndpointID)),
		slog.Int("trial", del.Trials), slog.String("status", string(del.Status)),
		slog.String("http_status", a.HTTPStatus), slog.String("error", a.Error), slog.Duration("took", took))
}

// settle lets go of the ids, then tells the queue what is done with and what is
// due again: that may be at once, and in this process.
func (d *Deliverer) settle(ctx context.Context, items []done) {
	var (
		finished []string
		later    []queue.Item
		ids      = make([]convoy.DeliveryID, len(items))
		now      = d.cfg.Now()
	)
	for i := range items {
		it := &items[i]
		after := it.outcome.Delivery
		ids[i] = after.ID
		switch {
		case !after.Status.Terminal() && !d.cfg.QueueIsStore && after.ClaimAt.Before(convoy.Held) && after.DueAt.Sub(now) <= horizon:
			later = append(later, queue.Item{ID: queueID(after), Due: after.DueAt})
		case it.queued:
			finished = append(finished, queueID(after))
		}
	}
	d.lanes.forget(ids...)
	d.push(ctx, later)
	if len(finished) > 0 {
		if err := d.cfg.Queue.Done(ctx, finished); err != nil {
			d.cfg.Log.Warn("queue not told of finished deliveries", "deliveries", len(finished), "err", err)
		}
	}
}
