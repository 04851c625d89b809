package lock_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"convoy/internal/lock"
)

const ttl = 5 * time.Second

// flaky is a locker that a test can take away from its owner.
type flaky struct {
	lock.Locker
	mu   sync.Mutex
	mode string // "", "error", "hang"
}

var errAway = errors.New("locker away")

func (f *flaky) set(mode string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = mode
}

func (f *flaky) TryLock(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	f.mu.Lock()
	mode := f.mode
	f.mu.Unlock()
	switch mode {
	case "error":
		return false, errAway
	case "hang": // without regard for ctx
		<-time.After(time.Minute)
		return false, errAway
	}
	return f.Locker.TryLock(ctx, name, owner, ttl)
}

func (f *flaky) Unlock(ctx context.Context, name, owner string) error {
	f.mu.Lock()
	mode := f.mode
	f.mu.Unlock()
	if mode != "" {
		return errAway
	}
	return f.Locker.Unlock(ctx, name, owner)
}

// candidate runs Lead and tells when it leads.
type candidate struct {
	locker  *flaky
	started chan time.Time
	stopped chan time.Time
	ended   chan error
	stop    context.CancelFunc
}

func run(t *testing.T, shared lock.Locker, owner string) *candidate {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &candidate{
		locker: &flaky{Locker: shared},
		// More than any test's reigns; a result.
		started: make(chan time.Time, 100), stopped: make(chan time.Time, 100), ended: make(chan error, 1),
		stop: cancel,
	}
	go func() {
		c.ended <- lock.Lead(ctx, lock.LeadConfig{
			Locker: c.locker, Name: "n", Owner: owner, Log: slog.New(slog.DiscardHandler),
		}, func(ctx context.Context) error {
			c.started <- time.Now()
			<-ctx.Done()
			c.stopped <- time.Now()
			return ctx.Err()
		})
	}()
	return c
}

func (c *candidate) end(t *testing.T) {
	t.Helper()
	c.stop()
	if err := <-c.ended; err != nil {
		t.Errorf("lead: %v", err)
	}
}

func TestLeadOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := lock.NewMemory()
		a := run(t, shared, "a")
		<-a.started
		b := run(t, shared, "b")
		<-time.After(time.Hour)
		if len(a.stopped) != 0 || len(b.started) != 0 {
			t.Fatal("the lead changed for no reason")
		}
		// A clean stop hands over within a poll.
		stopped := time.Now()
		a.end(t)
		if d := (<-b.started).Sub(stopped); d > ttl/5 {
			t.Errorf("took over %v after a clean stop", d)
		}
		b.end(t)
	})
}

// A leader that cannot renew stops before another starts, and another starts
// soon after the lease.
func TestLeadLost(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"error", "hang"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shared := lock.NewMemory()
				a := run(t, shared, "a")
				<-a.started
				b := run(t, shared, "b")
				<-time.After(10*time.Second + 300*time.Millisecond)
				a.locker.set(mode)
				away := time.Now()
				stopped := <-a.stopped
				started := <-b.started
				if d := started.Sub(stopped); d < ttl/5 {
					t.Errorf("a stopped only %v before b started", d)
				}
				if d := started.Sub(away); d > ttl+time.Second {
					t.Errorf("took over after %v", d)
				}
				// It campaigns again, and gets the lead when its turn comes.
				a.locker.set("")
				b.end(t)
				<-a.started
				a.end(t)
			})
		})
	}
}

// A renewal that fails once is made up for by the next.
func TestLeadSurvivesOneFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := run(t, lock.NewMemory(), "a")
		<-a.started
		for range 50 {
			a.locker.set("error")
			<-time.After(ttl / 3)
			a.locker.set("")
			<-time.After(ttl / 2)
		}
		if len(a.stopped) != 0 {
			t.Error("the lead was lost")
		}
		a.end(t)
	})
}

// A leader that was told that another has the lock stops at once.
func TestLeadTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := lock.NewMemory()
		a := run(t, shared, "a")
		<-a.started
		if err := shared.Unlock(t.Context(), "n", "a"); err != nil {
			t.Fatal(err)
		}
		if ok, err := shared.TryLock(t.Context(), "n", "other", 20*time.Second); !ok || err != nil {
			t.Fatal(ok, err)
		}
		taken := time.Now()
		if d := (<-a.stopped).Sub(taken); d > ttl/5 {
			t.Errorf("stopped after %v", d)
		}
		if d := (<-a.started).Sub(taken); d < 20*time.Second || d > 21*time.Second {
			t.Errorf("led again after %v", d)
		}
		a.end(t)
	})
}

func TestLeadReturnsWhatItRuns(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, want := range []error{nil, broken} {
		synctest.Test(t, func(t *testing.T) {
			shared := lock.NewMemory()
			cfg := lock.LeadConfig{Locker: shared, Name: "n", Owner: "a", TTL: ttl, Log: slog.New(slog.DiscardHandler)}
			err := lock.Lead(t.Context(), cfg, func(context.Context) error { return want })
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			if ok, err := shared.TryLock(t.Context(), "n", "b", ttl); !ok || err != nil {
				t.Errorf("the lock was not given back: %v", err)
			}
		})
	}
}

// An error that follows the loss of the lead is an error all the same.
func TestLeadLostWithError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Locker: lock.NewMemory()}
		cfg := lock.LeadConfig{Locker: f, Name: "n", Owner: "a", TTL: ttl, Log: slog.New(slog.DiscardHandler)}
		err := lock.Lead(t.Context(), cfg, func(ctx context.Context) error {
			f.set("error")
			<-ctx.Done()
			return broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLeadWithoutLocker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := lock.NewMemory()
		a := run(t, shared, "a")
		a.locker.set("error")
		<-time.After(time.Minute)
		a.locker.set("")
		<-a.started
		a.end(t)
	})
}
