package queue

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

var _ Queue = (*Stored)(nil)

// claimer is the table that [Stored] is a queue over.
type claimer interface {
	// ClaimDue leases at most max rows that are due at now, the longest due
	// first, and says when the next of the others is due (zero when there is
	// none, or when it is not known).
	ClaimDue(ctx context.Context, now time.Time, lease time.Duration, max int) ([]Item, time.Time, error)
	// ReleaseDue ends the leases and makes the rows due at the given times.
	ReleaseDue(ctx context.Context, items []Item) error
	// DueDepth measures what waits at now.
	DueDepth(ctx context.Context, now time.Time) (Depth, error)
}

// pollEvery is how often an idle process looks at the table. Wake-ups come
// sooner; this bounds the harm of one that was lost.
const pollEvery = 500 * time.Millisecond

// claimedPause keeps a puller from spinning on rows that others hold locked.
const claimedPause = 20 * time.Millisecond

// Stored is the queue of several processes that share a database and nothing
// else: the table of work is the queue, and a claim on a row is the lease. The
// rows are there before Push is called and say themselves when they are
// finished, so Push only wakes and Done does nothing. Times are compared with
// the clocks of the processes, which must agree within a fraction of a lease.
type Stored struct {
	table  claimer
	notify func(ctx context.Context) error
	gate   gate

	// asked counts the pushes that want a notification; told is how many of
	// them the last one covers. turn holds one token: it guards told, and one
	// notification is under way at a time, so that the pushes meanwhile share
	// the next.
	asked atomic.Int64
	told  int64
	turn  chan struct{}
}

// NewStored makes a queue over a table. notify tells the other processes to
// call Wake; it may be nil when there are none.
func NewStored(table claimer, notify func(ctx context.Context) error) *Stored {
	return &Stored{table: table, notify: notify, gate: newGate(), turn: make(chan struct{}, 1)}
}

// Wake makes a waiting puller look at the table.
func (s *Stored) Wake() { s.gate.signal() }

// Push wakes the pullers of all processes, unless their next look at the table
// comes soon enough.
func (s *Stored) Push(ctx context.Context, items []Item) error {
	if !dueBefore(items, time.Now().Add(pollEvery)) {
		return nil
	}
	s.gate.signal()
	if s.notify == nil {
		return nil
	}
	mine := s.asked.Add(1)
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	if s.told >= mine {
		return nil
	}
	covers := s.asked.Load()
	if err := s.notify(ctx); err != nil {
		return fmt.Errorf("wake other processes: %w", err)
	}
	s.told = covers
	return nil
}

// Pull implements [Queue].
func (s *Stored) Pull(ctx context.Context, limit int, lease time.Duration) ([]Item, error) {
	defer s.gate.leave()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := time.Now()
		items, next, err := s.claim(ctx, now, lease, limit)
		if err != nil {
			return nil, fmt.Errorf("claim due rows: %w", err)
		}
		if len(items) > 0 {
			return items, nil
		}
		wait := pollEvery
		switch {
		case next.After(now):
			wait = min(wait, next.Sub(now))
		case !next.IsZero():
			// Another process is claiming that row at this moment.
			wait = claimedPause
		}
		if err := s.gate.wait(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// claimTimeout bounds one claim.
const claimTimeout = 5 * time.Second

// claim goes on when ctx ends: rows that are claimed for nobody would stay
// leased.
func (s *Stored) claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Item, time.Time, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	return s.table.ClaimDue(ctx, now, lease, clampBatch(limit))
}

// Done does nothing: a finished row is not due.
func (*Stored) Done(context.Context, []string) error { return nil }

// Later implements [Queue].
func (s *Stored) Later(ctx context.Context, items []Item) error {
	if len(items) == 0 {
		return nil
	}
	if err := s.table.ReleaseDue(ctx, items); err != nil {
		return fmt.Errorf("release rows: %w", err)
	}
	return s.Push(ctx, items)
}

// Depth implements [Queue].
func (s *Stored) Depth(ctx context.Context) (Depth, error) {
	d, err := s.table.DueDepth(ctx, time.Now())
	if err != nil {
		return Depth{}, fmt.Errorf("measure due rows: %w", err)
	}
	return d, nil
}

func dueBefore(items []Item, t time.Time) bool {
	for _, item := range items {
		if item.Due.Before(t) {
			return true
		}
	}
	return false
}
