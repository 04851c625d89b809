// Package locktest holds the tests that every [lock.Locker] passes.
package locktest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoy/internal/lock"
	"convoy/internal/testenv"
)

// Open returns two handles on the same empty set of locks, as two processes
// have them. An engine for one process returns the same twice.
type Open func(t testing.TB) (a, b lock.Locker)

// long is a lease that does not end during a test.
const long = time.Hour

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"OneOwner", oneOwner},
		{"Renew", renew},
		{"LeaseEnds", leaseEnds},
		{"RenewKeepsItLonger", renewKeepsItLonger},
		{"UnlockOfOthers", unlockOfOthers},
		{"NamesAreApart", namesAreApart},
		{"Race", race},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open)
		})
	}
}

func oneOwner(t *testing.T, open Open) {
	a, b := open(t)
	want(t, a, "n", "x", long, true)
	want(t, b, "n", "y", long, false)
	want(t, a, "n", "y", long, false)
	unlock(t, a, "n", "x")
	want(t, b, "n", "y", long, true)
	want(t, a, "n", "x", long, false)
}

func renew(t *testing.T, open Open) {
	a, b := open(t)
	want(t, a, "n", "x", long, true)
	want(t, a, "n", "x", long, true)
	want(t, b, "n", "x", long, true)
	unlock(t, b, "n", "x")
	want(t, a, "n", "y", long, true)
}

func leaseEnds(t *testing.T, open Open) {
	a, b := open(t)
	const ttl = 200 * time.Millisecond
	start := time.Now()
	want(t, a, "n", "x", ttl, true)
	testenv.Eventually(t, 5*time.Second, func() bool { return try(t, b, "n", "y", long) })
	if d := time.Since(start); d < ttl-time.Millisecond {
		t.Errorf("a lease of %v ended after %v", ttl, d)
	}
	want(t, a, "n", "x", long, false)
	unlock(t, a, "n", "x") // too late to matter
	want(t, a, "n", "x", long, false)
}

// A renewal counts from when it is made, shorter or longer.
func renewKeepsItLonger(t *testing.T, open Open) {
	a, b := open(t)
	want(t, a, "n", "x", 100*time.Millisecond, true)
	want(t, a, "n", "x", long, true)
	want(t, a, "m", "x", long, true)
	want(t, a, "m", "x", 100*time.Millisecond, true)
	testenv.Eventually(t, 5*time.Second, func() bool { return try(t, b, "m", "y", long) })
	want(t, b, "n", "y", long, false)
}

func unlockOfOthers(t *testing.T, open Open) {
	a, b := open(t)
	unlock(t, a, "n", "x") // nobody's
	want(t, a, "n", "x", long, true)
	unlock(t, b, "n", "y")
	want(t, b, "n", "y", long, false)
	unlock(t, a, "n", "x")
	unlock(t, a, "n", "x")
	want(t, b, "n", "y", long, true)
}

func namesAreApart(t *testing.T, open Open) {
	a, b := open(t)
	want(t, a, "n", "x", long, true)
	want(t, b, "m", "y", long, true)
	unlock(t, a, "n", "x")
	want(t, b, "m", "x", long, false)
}

func race(t *testing.T, open Open) {
	a, b := open(t)
	for round := range 20 {
		var winners atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			l := []lock.Locker{a, b}[i%2]
			wg.Go(func() {
				if try(t, l, fmt.Sprint("n", round), fmt.Sprint("owner", i), long) {
					winners.Add(1)
				}
			})
		}
		wg.Wait()
		if n := winners.Load(); n != 1 {
			t.Fatalf("round %d has %d winners", round, n)
		}
	}
}

func try(t testing.TB, l lock.Locker, name, owner string, ttl time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ok, err := l.TryLock(ctx, name, owner, ttl)
	if err != nil {
		t.Error(err)
	}
	return ok
}

func want(t testing.TB, l lock.Locker, name, owner string, ttl time.Duration, want bool) {
	t.Helper()
	if got := try(t, l, name, owner, ttl); got != want {
		t.Errorf("%s for %s: %t, want %t", name, owner, got, want)
	}
}

func unlock(t testing.TB, l lock.Locker, name, owner string) {
	t.Helper()
	if err := l.Unlock(t.Context(), name, owner); err != nil {
		t.Error(err)
	}
}
