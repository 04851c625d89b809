// Package schedule does the periodic work of an instance: it offers due
// deliveries to the queue, finds those whose process died, re-routes events
// that were left unrouted, makes partitions ahead of time, indexes events for
// searches and forgets old idempotency keys. Run it in as many processes as you
// like: one acts. It sends nothing itself.
package schedule

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"convoy/internal/lock"
	"convoy/internal/queue"
	"convoy/internal/telemetry"
)

type sweeps interface {
	SweepFresh(ctx context.Context, before time.Time, max int) (swept int, done bool, err error)
	Unpark(ctx context.Context, now time.Time) (int, error)
	EnsurePartitions(ctx context.Context, now time.Time, ahead int) error
	ForgetKeys(ctx context.Context, now time.Time, max int) (int, error)
	ForgetLimits(ctx context.Context, now time.Time, max int) (int, error)
	ForgetSessions(ctx context.Context, now time.Time, max int) (int, error)
	ForgetUserTokens(ctx context.Context, now time.Time, max int) (int, error)
	FoldCounts(ctx context.Context, max int) (int, error)
	IndexEvents(ctx context.Context, now time.Time) (indexed int, more bool, err error)
}

// line lets deliveries go that wait for a rate limit, as slots come near.
type line interface {
	Release(ctx context.Context, now time.Time) ([]queue.Item, error)
}

// claimer takes due deliveries from the store.
type claimer interface {
	ClaimDue(ctx context.Context, now time.Time, lease time.Duration, max int) ([]queue.Item, time.Time, error)
}

type rerouter interface {
	Reroute(ctx context.Context, max int) (settled int, more bool, err error)
}

// Config is what the scheduler needs.
type Config struct {
	Store  sweeps
	Router rerouter
	// Due and Queue move due deliveries from the store to the queue; Due is nil
	// when the queue is the store.
	Due   claimer
	Queue queue.Queue
	Line  line
	// SweepAge is the age at which a delivery that was never finished is taken
	// for lost; see package intake.
	SweepAge time.Duration
	// SweepInterval is the time between two looks at what is due.
	SweepInterval time.Duration
	// PartitionsAhead is in days.
	PartitionsAhead int
	Locker          lock.Locker
	// Owner names this process in the lock.
	Owner   string
	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Now     func() time.Time
}

const (
	// leaderTTL is how long a dead leader keeps the others waiting.
	leaderTTL = 5 * time.Second
	// sweepBatch bounds one statement of a sweep.
	sweepBatch = 1000
	// rerouteBatch bounds the events that are routed again at once, which come
	// with their data, and rerouteBatches how many batches one turn takes.
	rerouteBatch   = 100
	rerouteBatches = 50
	// claimFor is how long a delivery offered to the queue is left to it.
	claimFor = time.Minute
	// queueMax is the depth beyond which the queue is not offered more.
	queueMax = 50_000
	// lineEvery is how often lines are looked at. Package deliver depends on it
	// being about a second.
	lineEvery = time.Second
	// indexFor is how long one turn indexes events for searches, at most.
	indexFor = 500 * time.Millisecond
	// freshEvery, rerouteEvery, unparkEvery and houseEvery are the periods of the rest.
	freshEvery   = 5 * time.Second
	rerouteEvery = 5 * time.Second
	unparkEvery  = 10 * time.Second
	foldEvery    = 10 * time.Second
	indexEvery   = 2 * time.Second
	houseEvery   = 10 * time.Minute
)

// Scheduler is one candidate.
type Scheduler struct{ cfg Config }

// New makes a scheduler.
func New(cfg Config) *Scheduler { return &Scheduler{cfg} }

// Run campaigns for leadership and works while it leads, until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	return lock.Lead(ctx, lock.LeadConfig{
		Locker: s.cfg.Locker, Name: "scheduler", Owner: s.cfg.Owner, TTL: leaderTTL, Log: s.cfg.Log,
	}, s.lead)
}

// task is one kind of periodic work.
type task struct {
	name  string
	every time.Duration
	do    func(ctx context.Context) error
	next  time.Time
}

// lead works until ctx ends. Tasks run one after the other: each is bounded,
// and what one misses it finds at its next turn.
func (s *Scheduler) lead(ctx context.Context) error {
	s.cfg.Log.Info("scheduler leads", "owner", s.cfg.Owner)
	s.cfg.Metrics.SchedulerLeader.Set(1)
	defer s.cfg.Metrics.SchedulerLeader.Set(0)
	tasks := []*task{
		{name: "partitions", every: houseEvery, do: s.partitions},
		{name: "fresh deliveries", every: freshEvery, do: s.fresh},
		{name: "rate-limited deliveries", every: lineEvery, do: s.line},
		{name: "due deliveries", every: s.cfg.SweepInterval, do: s.due},
		{name: "unrouted events", every: rerouteEvery, do: s.reroute},
		{name: "parked deliveries", every: unparkEvery, do: s.unpark},
		{name: "sessions", every: houseEvery, do: s.sessions},
		{name: "idempotency keys", every: houseEvery, do: s.keys},
		{name: "states of limits", every: houseEvery, do: s.limits},
		{name: "counts of days", every: foldEvery, do: s.counts},
		{name: "search index", every: indexEvery, do: s.index},
	}
	tick := time.NewTicker(min(s.cfg.SweepInterval, lineEvery))
	defer tick.Stop()
	for {
		for _, t := range tasks {
			if now := s.cfg.Now(); !now.Before(t.next) && ctx.Err() == nil {
				t.next = now.Add(t.every)
				if err := t.do(ctx); err != nil && ctx.Err() == nil {
					s.cfg.Log.Warn("periodic work failed, tried again at its next turn", "task", t.name, "err", err)
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Scheduler) partitions(ctx context.Context) error {
	return s.cfg.Store.EnsurePartitions(ctx, s.cfg.Now(), s.cfg.PartitionsAhead)
}

// fresh makes lost deliveries claimable, batch by batch to the end.
func (s *Scheduler) fresh(ctx context.Context) error {
	for ctx.Err() == nil {
		n, done, err := s.cfg.Store.SweepFresh(ctx, s.cfg.Now().Add(-s.cfg.SweepAge), sweepBatch)
		s.cfg.Metrics.Swept.Stuck.Add(float64(n))
		if err != nil || done {
			return err
		}
	}
	return nil
}

// due offers claimable deliveries to the queue until there are none, or the
// queue has plenty.
func (s *Scheduler) due(ctx context.Context) error {
	if s.cfg.Due == nil {
		return nil
	}
	for ctx.Err() == nil {
		depth, err := s.cfg.Queue.Depth(ctx)
		if err != nil {
			return err
		}
		if depth.Waiting >= queueMax {
			return nil
		}
		items, _, err := s.cfg.Due.ClaimDue(ctx, s.cfg.Now(), claimFor, sweepBatch)
		if err != nil {
			return err
		}
		if len(items) > 0 {
			if err := s.cfg.Queue.Push(ctx, items); err != nil {
				return err // they are offered again when the claim ends
			}
			s.cfg.Metrics.Swept.Due.Add(float64(len(items)))
		}
		if len(items) < sweepBatch {
			return nil
		}
	}
	return nil
}

// line offers the queue what leaves the lines of rate limits.
func (s *Scheduler) line(ctx context.Context) error {
	items, err := s.cfg.Line.Release(ctx, s.cfg.Now())
	if len(items) > 0 {
		err = errors.Join(err, s.cfg.Queue.Push(ctx, items))
	}
	return err
}

// counts adds up what a dashboard shows.
func (s *Scheduler) counts(ctx context.Context) error {
	return s.forget(ctx, func(ctx context.Context, _ time.Time, max int) (int, error) { return s.cfg.Store.FoldCounts(ctx, max) })
}

// index has the search index follow the events.
func (s *Scheduler) index(ctx context.Context) error {
	for end := s.cfg.Now().Add(indexFor); ; {
		n, more, err := s.cfg.Store.IndexEvents(ctx, s.cfg.Now())
		s.cfg.Metrics.Swept.Indexed.Add(float64(n))
		if err != nil || !more || !s.cfg.Now().Before(end) || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Scheduler) limits(ctx context.Context) error {
	return s.forget(ctx, s.cfg.Store.ForgetLimits)
}

// sessions forgets those that have expired, and what was sent by mail and not used.
func (s *Scheduler) sessions(ctx context.Context) error {
	return errors.Join(s.forget(ctx, s.cfg.Store.ForgetSessions), s.forget(ctx, s.cfg.Store.ForgetUserTokens))
}

// forget forgets in batches until nothing is left.
func (s *Scheduler) forget(ctx context.Context, some func(ctx context.Context, now time.Time, max int) (int, error)) error {
	for ctx.Err() == nil {
		n, err := some(ctx, s.cfg.Now(), sweepBatch)
		if err != nil || n < sweepBatch {
			return err
		}
	}
	return nil
}

func (s *Scheduler) reroute(ctx context.Context) error {
	for range rerouteBatches {
		n, more, err := s.cfg.Router.Reroute(ctx, rerouteBatch)
		s.cfg.Metrics.Swept.Unrouted.Add(float64(n))
		if err != nil || !more || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

func (s *Scheduler) unpark(ctx context.Context) error {
	n, err := s.cfg.Store.Unpark(ctx, s.cfg.Now())
	s.cfg.Metrics.Swept.Stuck.Add(float64(n))
	return err
}

func (s *Scheduler) keys(ctx context.Context) error {
	for ctx.Err() == nil {
		n, err := s.cfg.Store.ForgetKeys(ctx, s.cfg.Now(), sweepBatch)
		s.cfg.Metrics.Swept.Keys.Add(float64(n))
		if err != nil || n < sweepBatch {
			return err
		}
	}
	return nil
}
