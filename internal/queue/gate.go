package queue

import (
	"context"
	"sync"
	"time"
)

// gate is where the pullers of one process wait for work. However many wait,
// one timer runs for the next due time and one of them is woken by a signal;
// it wakes the next when it leaves, so that a burst reaches all of them without
// a stampede for a single id.
//
// A signal may be spurious. None is lost: a signal that finds nobody waiting is
// kept for the next who does.
type gate struct {
	// wake holds one signal. More would say the same: look again.
	wake chan struct{}

	mu sync.Mutex
	// until is when the timer of the waiter in the lead goes off; zero when
	// none leads.
	until time.Time
	// waiting counts the waiters.
	waiting int
}

func newGate() gate { return gate{wake: make(chan struct{}, 1)} }

// signal lets one waiter look for work.
func (g *gate) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// leave passes the lead on. Every puller calls it when it stops waiting for
// good, with work or without.
func (g *gate) leave() {
	g.mu.Lock()
	others := g.waiting > 0
	g.mu.Unlock()
	if others {
		g.signal()
	}
}

// wait returns after a signal, after d, or with ctx's error. A waiter whose d
// ends later than the leader's waits for signals alone.
func (g *gate) wait(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	g.mu.Lock()
	g.waiting++
	leads := g.until.IsZero() || until.Before(g.until)
	if leads {
		g.until = until
	}
	g.mu.Unlock()

	var expired <-chan time.Time
	if leads {
		timer := time.NewTimer(d)
		defer timer.Stop()
		expired = timer.C
	}
	var err error
	select {
	case <-g.wake:
	case <-expired:
	case <-ctx.Done():
		err = ctx.Err()
	}

	g.mu.Lock()
	g.waiting--
	if leads && g.until.Equal(until) {
		g.until = time.Time{}
	}
	g.mu.Unlock()
	return err
}
