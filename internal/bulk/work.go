package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"convoy"
)

const (
	// chunkMax bounds the matches of a chunk, chunkBytes the payloads that a
	// replay holds, and chunkDeliveries is about how many deliveries it makes.
	chunkMax, chunkFirst = 200, 20
	chunkBytes           = 8 << 20
	chunkDeliveries      = 1000
	// While live traffic is behind a job makes way: it looks again every
	// yieldEvery, and goes on by a chunk of yieldChunk each yieldMax, so that an
	// instance that is always behind gets to its jobs, too.
	yieldEvery = 250 * time.Millisecond
	yieldMax   = 5 * time.Second
	yieldChunk = 20
)

// errHanded ends the work on a job whose owner is somebody else by now.
var errHanded = errors.New("taken over")

// errStopped ends the work on a job that is paused or cancelled.
var errStopped = errors.New("stopped")

// work works on a job for a turn, and gives it up in the state it is in then.
func (r *Runner) work(ctx context.Context, job *convoy.BatchJob) {
	log := r.cfg.Log.With("job_id", job.ID, "project_id", job.ProjectID, "kind", job.Kind)
	if job.StartedAt.Equal(job.UpdatedAt) { // by this claim, the first
		log.Info("batch.started", "matched", job.Matched, "rate", job.Rate)
	}
	mine, stop := context.WithCancelCause(ctx)
	var holding sync.WaitGroup
	held := *job // only what does not change is read of it
	holding.Go(func() { r.hold(mine, stop, &held) })
	more, err := r.walkSafely(mine, job)
	stop(nil)
	holding.Wait()
	if cause := context.Cause(mine); err != nil && (errors.Is(cause, errHanded) || errors.Is(cause, errStopped)) {
		err = cause
	}
	r.leave(ctx, job, more, err, log)
}

// hold keeps the lease until ctx ends, and stops the work when others want that
// or when the lease cannot be kept.
func (r *Runner) hold(ctx context.Context, stop context.CancelCauseFunc, job *convoy.BatchJob) {
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	until := job.LeaseUntil
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		next := r.cfg.Now().Add(lease)
		bounded, cancel := context.WithTimeout(ctx, renewal)
		state, err := r.cfg.Jobs.RenewBatchJob(bounded, job, next)
		cancel()
		switch {
		case err == nil && state != convoy.BatchRunning && state != convoy.BatchQueued:
			stop(errStopped)
		case err == nil:
			until = next
		case convoy.KindOf(err) == convoy.Conflict, !r.cfg.Now().Add(renewal).Before(until):
			stop(errHanded)
		}
	}
}

// leave says what becomes of a job that is not worked on any more.
func (r *Runner) leave(ctx context.Context, job *convoy.BatchJob, more bool, err error, log *slog.Logger) {
	now := r.cfg.Now()
	from := now
	job.State = convoy.BatchRunning
	switch {
	case errors.Is(err, errHanded):
		return
	case errors.Is(err, errStopped), err == nil && more, ctx.Err() != nil:
	case err == nil:
		job.State, from = convoy.BatchDone, time.Time{}
		log.Info("batch.finished", "processed", job.Processed, "succeeded", job.Succeeded, "failed", job.Failed)
	default:
		if job.FailingSince.IsZero() {
			job.FailingSince = now
		}
		job.Error = "it could not proceed; see the log"
		from = now.Add(retryAfter)
		log.Warn("batch job does not proceed", "reached", job.Reached, "since", job.FailingSince, "err", err)
		if now.Sub(job.FailingSince) >= failAfter {
			job.State = convoy.BatchFailed
			log.Error("batch job given up", "processed", job.Processed)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := r.cfg.Jobs.LeaveBatchJob(ctx, job, from, now); err != nil {
		log.Warn("batch job not given up, others wait for its lease", "err", err)
	}
}

// walkSafely makes a panic an error of its job.
func (r *Runner) walkSafely(ctx context.Context, job *convoy.BatchJob) (more bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.walk(ctx, job)
}

// walk goes on with a job until its turn is over, and reports whether there is
// more of it.
func (r *Runner) walk(ctx context.Context, job *convoy.BatchJob) (more bool, err error) {
	size := chunkFirst
	end := r.cfg.Now().Add(turn)
	for {
		n := min(size, max(1, job.Rate/4)) // a quarter of a second's worth
		if behind := r.giveWay(ctx); behind {
			n = min(n, yieldChunk)
		}
		start, before, deliveries := r.cfg.Now(), job.Processed, 0
		if job.Kind == convoy.BatchRetry {
			more, err = r.cfg.Jobs.RetryBatch(ctx, job, n, start)
		} else {
			deliveries, more, err = r.replay(ctx, job, n)
		}
		switch {
		case convoy.KindOf(err) == convoy.Conflict:
			return true, errHanded
		case err != nil:
			return true, err
		case job.State != convoy.BatchRunning:
			return true, errStopped
		}
		job.FailingSince, job.Error = time.Time{}, ""
		if !more {
			return false, nil
		}
		size = min(2*size, chunkMax)
		if deliveries > chunkDeliveries {
			size = max(1, n*chunkDeliveries/deliveries)
		}
		due := start.Add(time.Duration(job.Processed-before) * time.Second / time.Duration(max(1, job.Rate)))
		if !pause(ctx, due.Sub(r.cfg.Now())) {
			return true, ctx.Err()
		}
		if r.cfg.Now().After(end) {
			return true, nil
		}
	}
}

// replay routes the next events of a job again, about n, and saves how far it
// has come.
func (r *Runner) replay(ctx context.Context, job *convoy.BatchJob, n int) (deliveries int, more bool, err error) {
	c, err := r.cfg.Jobs.BatchEvents(ctx, job, n, chunkBytes)
	if err != nil || c.Reached == job.Reached {
		return 0, false, err
	}
	deliveries, unmatched, err := r.cfg.Replayer.Replay(ctx, c.Events, string(job.ID), job.CreatedAt)
	if err != nil {
		return deliveries, true, err
	}
	after := *job
	after.Reached = c.Reached
	var failed map[string]int
	if unmatched > 0 {
		failed = map[string]int{reasonUnmatched: unmatched}
	}
	after.Count(len(c.Events)-unmatched, failed)
	if err := r.cfg.Jobs.SaveBatchJob(ctx, &after, r.cfg.Now()); err != nil {
		return deliveries, true, err
	}
	*job = after
	return deliveries, c.More, nil
}

// reasonUnmatched is why an event is counted as failed; users see it.
const reasonUnmatched = "no subscription matched"

// giveWay waits while live traffic is behind, for a while at most, and reports
// whether it still is. Traffic that cannot be seen is behind.
func (r *Runner) giveWay(ctx context.Context) (behind bool) {
	for start := r.cfg.Now(); ; {
		busy, err := r.cfg.Traffic.Busy(ctx)
		if behind = busy || err != nil; !behind || r.cfg.Now().Sub(start) >= yieldMax || !pause(ctx, yieldEvery) {
			return behind
		}
	}
}

// pause reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
