package deliver

import (
	"context"
	"errors"
	"time"

	"convoy"
	"convoy/internal/store"
)

// functions makes the payload of a delivery whose function had failed, and
// which somebody has sent again; nil is the event's data.
type functions interface {
	Transform(ctx context.Context, e *convoy.Event, d *convoy.Delivery) (*convoy.Payload, error)
}

// content is the event as it is sent.
func (j *job) content() *convoy.Event {
	if j.Payload == nil {
		return j.Event
	}
	e := *j.Event
	e.Data = j.Payload.Data
	return &e
}

// size is the number of bytes a job takes, the unit of the buffer.
func size(j convoy.Job) int {
	n := j.Event.Size()
	if j.Payload != nil {
		n += len(j.Payload.Data)
	}
	return n
}

// transform runs the function of a job that has no payload yet. It reports
// false when the job is to be sent; otherwise the function has failed again, or
// the job was given back and the outcome has no delivery.
func (d *Deliverer) transform(ctx context.Context, j *job, now time.Time) (out store.Outcome, ended bool) {
	del := j.Delivery
	p, err := d.cfg.Functions.Transform(ctx, j.Event, del)
	if err != nil {
		d.cfg.Log.Warn("function not run", "delivery_id", del.ID, "err", err)
		d.again(ctx, j, now.Add(pauseAfterError))
		return out, true
	}
	if p == nil {
		p = &convoy.Payload{Delivery: del.ID, Data: j.Event.Data}
	}
	if p.Failure != "" {
		after := decide(*del, result{err: errors.New(p.Failure), permanent: true}, policy{d.cfg.MaxDelay}, d.cfg.Now())
		d.cfg.Metrics.Attempts.Failure.Inc()
		return store.Outcome{Delivery: &after, Before: del.Trials, Payload: p}, true
	}
	j.Payload, j.made = p, true
	return out, false
}
