// Package bulk carries out batch jobs: it replays many events, or sends many
// failed deliveries again. A job is a row in the store, so that it outlives the
// process that works on it: any process may take it over when the lease of its
// owner ends. It makes and answers no requests, and sends nothing itself: what
// it schedules is delivered like everything else.
//
// A job walks its matches in the order of their ids, in chunks of bounded size.
// A retry saves its place in the transaction that schedules a chunk. A replay
// saves it after the chunk: a chunk that is repeated because of a crash makes
// the same deliveries, which are there already.
package bulk

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
)

type jobs interface {
	ClaimBatchJob(ctx context.Context, owner string, now, until time.Time) (*convoy.BatchJob, error)
	RenewBatchJob(ctx context.Context, j *convoy.BatchJob, until time.Time) (convoy.BatchState, error)
	SaveBatchJob(ctx context.Context, j *convoy.BatchJob, now time.Time) error
	LeaveBatchJob(ctx context.Context, j *convoy.BatchJob, from, now time.Time) error
	BatchEvents(ctx context.Context, j *convoy.BatchJob, max, maxBytes int) (store.Chunk, error)
	RetryBatch(ctx context.Context, j *convoy.BatchJob, max int, now time.Time) (more bool, err error)
	ForgetBatchJobs(ctx context.Context, before time.Time, max int) (int, error)
}

// replayer routes events again under the name and time of a replay. Repeating a
// replay adds nothing.
type replayer interface {
	Replay(ctx context.Context, events []*convoy.Event, replay string, at time.Time) (deliveries, unmatched int, err error)
}

// traffic tells whether deliveries that are due have to wait.
type traffic interface {
	Busy(ctx context.Context) (bool, error)
}

// Config is what a runner needs.
type Config struct {
	Jobs     jobs
	Replayer replayer
	Traffic  traffic
	Log      *slog.Logger
	Now      func() time.Time
}

const (
	// parallel is how many jobs a process works on at once.
	parallel = 4
	// turn is how long a job is worked on before others that wait get their turn.
	turn = 10 * time.Second
	// lease is how long a dead owner keeps a job from the others; renewal is
	// often enough to miss two.
	lease   = 6 * time.Second
	renewal = lease / 4
	// pollEvery is how often an idle process looks for jobs: those whose owner
	// died, and those of whose making no message came.
	pollEvery = 2 * time.Second
	// after an error a job waits for retryAfter; one that has not proceeded for
	// failAfter ends as failed.
	retryAfter = 3 * time.Second
	failAfter  = 10 * time.Minute
	// keep is how long a job is shown after its end.
	keep        = 30 * 24 * time.Hour
	forgetEvery = time.Hour
	forgetBatch = 1000
	// leaveTimeout bounds giving a job up when the process ends.
	leaveTimeout = 3 * time.Second
)

// Runner is one process's part in the work.
type Runner struct {
	cfg Config
	// wake has room for one: any number of calls are one look.
	wake    chan struct{}
	working sync.WaitGroup
}

// New makes a runner.
func New(cfg Config) *Runner { return &Runner{cfg: cfg, wake: make(chan struct{}, 1)} }

// Wake says that there may be a job to work on. It does not wait.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run works on jobs until ctx ends, and gives those it has to others then.
func (r *Runner) Run(ctx context.Context) error {
	// A place for each job that is worked on.
	places := make(chan struct{}, parallel)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	defer r.working.Wait()
	var forgotten time.Time
	for {
		if now := r.cfg.Now(); now.Sub(forgotten) >= forgetEvery {
			forgotten = now
			r.forget(ctx, now)
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		if job := r.claim(ctx); job != nil {
			r.working.Go(func() {
				defer func() {
					<-places
					r.Wake() // for the job itself, or one that waits
				}()
				r.work(ctx, job)
			})
			continue
		}
		<-places
		select {
		case <-r.wake:
		case <-poll.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *Runner) forget(ctx context.Context, now time.Time) {
	for ctx.Err() == nil {
		n, err := r.cfg.Jobs.ForgetBatchJobs(ctx, now.Add(-keep), forgetBatch)
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("old batch jobs not deleted", "err", err)
		}
		if err != nil || n < forgetBatch {
			return
		}
	}
}

// claim takes a job. The name of the owner is of this one claim, so that a
// process that lost a job cannot mistake itself for the next owner.
func (r *Runner) claim(ctx context.Context) *convoy.BatchJob {
	now := r.cfg.Now()
	job, err := r.cfg.Jobs.ClaimBatchJob(ctx, id.New(now), now, now.Add(lease))
	if err != nil {
		if ctx.Err() == nil {
			r.cfg.Log.Warn("no look at batch jobs", "err", err)
		}
		return nil
	}
	return job
}
