// Package limittest holds the tests that every [limit.Limiter] passes.
package limittest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"convoy/internal/limit"
)

// Open returns two handles on the same empty limiter, as two processes have
// them. An engine for one process returns the same twice.
type Open func(t testing.TB) (a, b limit.Limiter)

const (
	// long is a period that makes the time a test takes negligible.
	long = time.Hour
	// slack is that time.
	slack = 10 * time.Second
	far   = 24 * time.Hour
)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"Paced", paced},
		{"Burst", burst},
		{"Horizon", horizon},
		{"Asking", asking},
		{"Blocks", blocks},
		{"SeveralLimits", severalLimits},
		{"AllOrNothing", allOrNothing},
		{"ARateOfItsOwn", aRateOfItsOwn},
		{"Batch", batches},
		{"Race", race},
		{"Recovers", recovers},
		{"Cancelled", cancelled},
		{"SameAsMemory", sameAsMemory},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open)
		})
	}
}

// perHour is a limit of n an hour, one at a time.
func perHour(key string, n int) limit.Limit {
	return limit.Limit{Key: key, Count: n, Period: long, Burst: 1}
}

func one(horizon time.Duration, limits ...limit.Limit) limit.Request {
	return limit.Request{Group: "g", Limits: limits, N: 1, Horizon: horizon}
}

func reserve(t *testing.T, l limit.Limiter, requests ...limit.Request) []limit.Grant {
	t.Helper()
	grants, err := l.Reserve(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	if len(grants) != len(requests) {
		t.Fatalf("%d grants for %d requests", len(grants), len(requests))
	}
	return grants
}

// want checks a grant; waits are at least exact, less the time the test took.
func want(t *testing.T, g limit.Grant, ok bool, wait time.Duration) {
	t.Helper()
	if g.OK != ok || g.Wait > wait || g.Wait < wait-slack || wait == 0 && g.Wait != 0 {
		t.Errorf("got %+v, want OK %v after %v", g, ok, wait)
	}
}

func paced(t *testing.T, open Open) {
	a, b := open(t)
	for i, l := range []limit.Limiter{a, b, a, b, a} {
		want(t, reserve(t, l, one(far, perHour("k", 4)))[0], true, time.Duration(i)*15*time.Minute)
	}
	want(t, reserve(t, b, one(far, perHour("other", 4)))[0], true, 0)
}

func burst(t *testing.T, open Open) {
	a, b := open(t)
	l := limit.Limit{Key: "k", Count: 6, Period: long, Burst: 3}
	for i, wait := range []time.Duration{0, 0, 0, 10 * time.Minute, 20 * time.Minute} {
		want(t, reserve(t, []limit.Limiter{a, b}[i%2], one(far, l))[0], true, wait)
	}
	// Unless it says otherwise a limit has a burst of a fiftieth and one.
	d := limit.Limit{Key: "d", Count: 100, Period: long}
	for _, wait := range []time.Duration{0, 0, 0, 36 * time.Second, 72 * time.Second} {
		want(t, reserve(t, a, one(far, d))[0], true, wait)
	}
}

func horizon(t *testing.T, open Open) {
	a, b := open(t)
	l := perHour("k", 60)
	want(t, reserve(t, a, one(0, l))[0], true, 0)
	want(t, reserve(t, a, one(0, l))[0], false, time.Minute)
	// Who was refused has taken nothing.
	want(t, reserve(t, b, one(0, l))[0], false, time.Minute)
	want(t, reserve(t, b, one(90*time.Second, l))[0], true, time.Minute)
	want(t, reserve(t, b, one(90*time.Second, l))[0], false, 2*time.Minute)
	want(t, reserve(t, a, one(150*time.Second, l))[0], true, 2*time.Minute)
}

func asking(t *testing.T, open Open) {
	a, b := open(t)
	ask := one(far, perHour("k", 60))
	ask.N = 0
	for range 3 {
		want(t, reserve(t, a, ask)[0], true, 0)
	}
	reserve(t, a, one(far, perHour("k", 60)), one(far, perHour("k", 60)))
	for range 3 {
		want(t, reserve(t, b, ask)[0], true, 2*time.Minute)
	}
	ask.Horizon = time.Second
	want(t, reserve(t, b, ask)[0], false, 2*time.Minute)
}

func blocks(t *testing.T, open Open) {
	a, b := open(t)
	q := limit.Request{Group: "g", Limits: []limit.Limit{{Key: "k", Count: 60, Period: long, Burst: 60}}, N: 25}
	want(t, reserve(t, a, q)[0], true, 0)
	want(t, reserve(t, b, q)[0], true, 0)
	want(t, reserve(t, a, q)[0], false, 15*time.Minute)
	q.N = 10
	want(t, reserve(t, a, q)[0], true, 0)
	q.N = 1
	want(t, reserve(t, b, q)[0], false, time.Minute)
}

// The slot is that of the limit with the longest wait, and the others keep what
// lies before it.
func severalLimits(t *testing.T, open Open) {
	a, b := open(t)
	small, large := perHour("small", 6), perHour("large", 60)
	both := one(far, small, large)
	for i := range 3 { // at 0, 10 and 20 minutes
		g := reserve(t, a, both)[0]
		want(t, g, true, time.Duration(i)*10*time.Minute)
		if i > 0 && g.By != 0 {
			t.Errorf("it was limit %d that made it wait", g.By)
		}
	}
	var got []time.Duration
	for range 10 {
		got = append(got, reserve(t, b, one(far, large))[0].Wait.Round(time.Minute))
	}
	// The tenth minute is taken, and nothing else.
	minutes := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 11}
	for i := range minutes {
		minutes[i] *= time.Minute
	}
	if !slices.Equal(got, minutes) {
		t.Errorf("slots at %v, want %v", got, minutes)
	}
}

func allOrNothing(t *testing.T, open Open) {
	a, b := open(t)
	small, large := perHour("small", 1), perHour("large", 60)
	want(t, reserve(t, a, one(0, small, large))[0], true, 0)
	for range 5 {
		g := reserve(t, b, one(5*time.Minute, large, small))[0]
		want(t, g, false, time.Hour)
		if g.By != 1 {
			t.Errorf("it was limit %d that made it wait", g.By)
		}
	}
	want(t, reserve(t, b, one(5*time.Minute, large))[0], true, time.Minute)
}

// What was reserved at one rate does not hold up another.
func aRateOfItsOwn(t *testing.T, open Open) {
	a, b := open(t)
	want(t, reserve(t, a, one(0, perHour("k", 1)))[0], true, 0)
	want(t, reserve(t, a, one(0, perHour("k", 1)))[0], false, time.Hour)
	want(t, reserve(t, b, one(0, perHour("k", 1000)))[0], true, 0)
}

func batches(t *testing.T, open Open) {
	a, _ := open(t)
	var requests []limit.Request
	for i := range 300 {
		q := one(far, perHour(fmt.Sprintf("k%d", i%3), 60))
		q.Group = fmt.Sprintf("g%d", i%3)
		requests = append(requests, q)
	}
	for i, g := range reserve(t, a, requests...) {
		want(t, g, true, time.Duration(i/3)*time.Minute)
	}
	if grants := reserve(t, a); len(grants) != 0 {
		t.Errorf("%d grants for nothing", len(grants))
	}
}

// However many ask at once, each slot is given once.
func race(t *testing.T, open Open) {
	a, b := open(t)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		slots []time.Duration
	)
	for i := range 64 {
		wg.Go(func() {
			grants, err := []limit.Limiter{a, b}[i%2].Reserve(t.Context(), []limit.Request{
				one(far, perHour("k", 60), perHour("k2", 120)), one(far, perHour("k", 60)),
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			for _, g := range grants {
				slots = append(slots, g.Wait)
			}
		})
	}
	wg.Wait()
	slices.Sort(slots)
	for i, s := range slots {
		if wait := time.Duration(i) * time.Minute; s > wait+slack || s < wait-slack {
			t.Fatalf("slot %d after %v", i, s)
		}
	}
}

// A limit that was reached lets through again in time.
func recovers(t *testing.T, open Open) {
	a, b := open(t)
	l := limit.Limit{Key: "k", Count: 10, Period: time.Second, Burst: 1}
	start, granted := time.Now(), 0
	for granted < 10 {
		g := reserve(t, []limit.Limiter{a, b}[granted%2], one(0, l))[0]
		if g.OK {
			granted++
			continue
		}
		if g.Wait > 100*time.Millisecond {
			t.Fatalf("wait of %v", g.Wait)
		}
		select {
		case <-time.After(g.Wait):
		case <-t.Context().Done():
		}
	}
	if took := time.Since(start); took < 890*time.Millisecond {
		t.Errorf("ten at ten a second took %v", took)
	}
}

func cancelled(t *testing.T, open Open) {
	a, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Reserve(ctx, []limit.Request{one(0, perHour("k", 1))}); err == nil {
		t.Error("no error")
	}
}

// sameAsMemory compares an engine with [limit.Memory], which has a model.
func sameAsMemory(t *testing.T, open Open) {
	a, b := open(t)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		limits := make([]limit.Limit, 4)
		for i := range limits {
			limits[i] = limit.Limit{
				Key:   fmt.Sprintf("%d/%d", run, i),
				Count: rapid.IntRange(1, 60).Draw(rt, "count"),
				// Of one length, slots of different limits would fall on one moment, and
				// which of them is later would depend on when each engine read its clock.
				Period: 24*long + time.Duration(i)*61*time.Second,
				Burst:  rapid.IntRange(1, 4).Draw(rt, "burst"),
			}
		}
		memory := limit.NewMemory()
		for range rapid.IntRange(1, 12).Draw(rt, "rounds") {
			var requests []limit.Request
			for range rapid.IntRange(1, 12).Draw(rt, "requests") {
				q := limit.Request{Group: "g", N: 1, Horizon: time.Duration(rapid.IntRange(0, 200).Draw(rt, "hours")) * time.Hour}
				q.Limits = slices.Clone(rapid.Permutation(limits).Draw(rt, "limits")[:rapid.IntRange(1, 3).Draw(rt, "n")])
				requests = append(requests, q)
			}
			expected, err := memory.Reserve(t.Context(), requests)
			if err != nil {
				rt.Fatal(err)
			}
			got, err := rapid.SampledFrom([]limit.Limiter{a, b}).Draw(rt, "handle").Reserve(t.Context(), requests)
			if err != nil {
				rt.Fatal(err)
			}
			for i := range got {
				d := got[i].Wait - expected[i].Wait
				// Beyond the horizon any time before which there is no slot will do: which
				// is found depends on the limit that is looked at first.
				refused := !got[i].OK && min(got[i].Wait, expected[i].Wait) > requests[i].Horizon
				if got[i].OK != expected[i].OK || d.Abs() > slack && !refused {
					rt.Fatalf("request %+v: got %+v, want %+v", requests[i], got[i], expected[i])
				}
			}
		}
	})
}
