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
	return n
}

// spawn starts a worker; lanes call it, and count workers.
func (d *Deliverer) spawn() { d.workers.Go(d.work) }

// work sends until the lanes close.
func (d *Deliverer) work() {
	for {
		j := d.lanes.next()
		if j == nil {
			return
		}
		start := d.cfg.Now()
		out, ok := d.trySafely(j, start)
		d.lanes.finished(j, d.cfg.Now().Sub(start))
		if !ok {
			d.lanes.forget(j.Delivery.ID)
			continue
		}
		if err := d.records.Put(d.abandon, done{j, out}); err != nil {
			d.cfg.Log.Warn("outcome not recorded, the delivery will be made again", "delivery_id", j.Delivery.ID, "err", err)
		}
	}
}

// trySafely makes a panic a failed try of its own delivery and nobody else's.
func (d *Deliverer) trySafely(j *job, now time.Time) (out store.Outcome, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			d.cfg.Log.Error("delivery panicked", "delivery_id", j.Delivery.ID, "panic", p, "stack", string(debug.Stack()))
			after := decide(*j.Delivery, result{err: errInternal}, policy{d.cfg.MaxDelay}, d.cfg.Now())
			after.ClaimAt = after.DueAt
			out, ok = store.Outcome{Delivery: &after, Before: j.Delivery.Trials}, true
		}
	}()
	return d.try(j, now)
}

var errInternal = errors.New("internal error")

// Texts of Delivery.Description for deliveries that end untried.
const (
	reasonNoProject  = "project was deleted"
	reasonNoEndpoint = "endpoint was deleted"
	reasonInactive   = "endpoint is inactive"
	reasonPaused     = "endpoint is paused"
)

// try makes one attempt, or decides that none is to be made. It reports false
// when the delivery has been given back undecided.
func (d *Deliverer) try(j *job, now time.Time) (store.Outcome, bool) {
	del := j.Delivery
	if now.After(j.deadline) {
		d.again(j, now)
		return store.Outcome{}, false
	}
	view, err := d.cfg.Projects.Project(d.abandon, del.ProjectID)
	if convoy.IsNotFound(err) {
		return d.discard(del, reasonNoProject, now), true
	}
	if err != nil {
		d.again(j, now.Add(pauseAfterError))
		return store.Outcome{}, false
	}
	endpoint, ok := view.Endpoint(del.EndpointID)
	if !ok {
		// Another process may have made it a moment ago.
		if view, err = d.cfg.Projects.Reload(d.abandon, del.ProjectID); err != nil {
			d.again(j, now.Add(pauseAfterError))
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
	t, err := d.targets.get(view, endpoint)
	if err != nil {
		after := decide(*del, result{err: err, permanent: true}, policy{d.cfg.MaxDelay}, now)
		return store.Outcome{Delivery: &after, Before: del.Trials}, true
	}
	if t.timeout > usual {
		// The lease is for the usual timeout: hold the id for longer.
		d.push(d.abandon, []queue.Item{{ID: queueID(del), Due: now.Add(t.timeout + leaseMargin)}})
		j.queued = true
	}
	return d.attempt(j, t, now)
}

// attempt sends and decides.
func (d *Deliverer) attempt(j *job, t *target, now time.Time) (store.Outcome, bool) {
	del := j.Delivery
	r, a := d.sender.send(d.abandon, t, del, j.Event, now)
	if r.err != nil && d.abandon.Err() != nil {
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
	d.logAttempt(&after, a, end.Sub(now))
	if after.Status == convoy.DeliveryFailure && t.project.Config.DisableEndpoint {
		if err := d.cfg.Disabler.Disable(d.abandon, del.ProjectID, del.EndpointID); err != nil {
			d.cfg.Log.Error("endpoint not disabled", "endpoint_id", del.EndpointID, "err", err)
		}
	}
	return store.Outcome{Delivery: &after, Before: del.Trials, Attempt: a}, true
}

func (d *Deliverer) discard(del *convoy.Delivery, reason string, now time.Time) store.Outcome {
	d.cfg.Metrics.Attempts.Discarded.Inc()
	after := *del
	after.Status, after.Description, after.UpdatedAt = convoy.DeliveryDiscarded, reason, now
	after.DueAt, after.ClaimAt = time.Time{}, time.Time{}
	return store.Outcome{Delivery: &after, Before: del.Trials}
}

// again gives a job back to the queue undecided.
func (d *Deliverer) again(j *job, due time.Time) {
	d.push(d.abandon, []queue.Item{{ID: queueID(j.Delivery), Due: due}})
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
func (d *Deliverer) logAttempt(del *convoy.Delivery, a *convoy.Attempt, took time.Duration) {
	level := slog.LevelInfo
	if !d.cfg.Log.Enabled(d.abandon, level) {
		return
	}
	d.cfg.Log.LogAttrs(d.abandon, level, "delivery.attempted",
		slog.String("delivery_id", string(del.ID)), slog.String("event_id", string(del.EventID)),
		slog.String("project_id", string(del.ProjectID)), slog.String("endpoint_id", string(del.EndpointID)),
		slog.Int("trial", del.Trials), slog.String("status", string(del.Status)),
		slog.String("http_status", a.HTTPStatus), slog.String("error", a.Error), slog.Duration("took", took))
}

// record writes outcomes until it succeeds or the process is abandoned, then
// tells the queue.
func (d *Deliverer) record(ctx context.Context, items []done) error {
	outcomes := make([]store.Outcome, len(items))
	for i := range items {
		outcomes[i] = items[i].outcome
	}
	for {
		wctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := d.cfg.Store.Record(wctx, outcomes)
		cancel()
		if err == nil {
			break
		}
		if d.abandon.Err() != nil {
			return errors.Join(err, context.Cause(d.abandon))
		}
		d.cfg.Log.Warn("outcomes not recorded yet", "outcomes", len(outcomes), "err", err)
		pause(d.abandon, pauseAfterError)
	}
	d.settle(ctx, items)
	return nil
}

// settle tells the queue what is done with and what is due again, then lets go
// of the ids.
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
		case after.Status == convoy.DeliveryRetry && !d.cfg.QueueIsStore && after.DueAt.Sub(now) <= horizon:
			later = append(later, queue.Item{ID: queueID(after), Due: after.DueAt})
		case it.queued:
			finished = append(finished, queueID(after))
		}
	}
	d.push(ctx, later)
	if len(finished) > 0 {
		if err := d.cfg.Queue.Done(ctx, finished); err != nil {
			d.cfg.Log.Warn("queue not told of finished deliveries", "deliveries", len(finished), "err", err)
		}
	}
	d.lanes.forget(ids...)
}
