// Package queuetest holds the tests that every [queue.Queue] passes. Passing
// them is what being a queue means; the tests of an engine add what is its own.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"convoy/internal/queue"
)

// Open returns two handles on one empty queue, as two processes have them. An
// engine for one process returns the same twice.
type Open func(t testing.TB) (a, b queue.Queue)

const (
	// slack is how far a due time may be off: it may travel as a duration.
	slack = 500 * time.Millisecond
	// long is a lease that does not end during a test.
	long = time.Hour
)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"OrderByDue", orderByDue},
		{"FutureWaits", futureWaits},
		{"Dedupe", dedupe},
		{"EarlierDueWins", earlierDueWins},
		{"PushOfLeased", pushOfLeased},
		{"LeaseEnds", leaseEnds},
		{"DoneDuringLease", doneDuringLease},
		{"DoneWhileWaiting", doneWhileWaiting},
		{"LaterEndsLease", laterEndsLease},
		{"LaterOfUnknown", laterOfUnknown},
		{"LaterIsExact", laterIsExact},
		{"PullWakesOnPush", pullWakesOnPush},
		{"PullWakesForEarlier", pullWakesForEarlier},
		{"PullEndsWithContext", pullEndsWithContext},
		{"ManyPullers", manyPullers},
		{"BurstReachesAllPullers", burstReachesAllPullers},
		{"LargeBatches", largeBatches},
		{"DepthCounts", depthCounts},
		{"EmptyArguments", emptyArguments},
		{"Model", model},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open)
		})
	}
}

func orderByDue(t *testing.T, open Open) {
	a, b := open(t)
	now := time.Now()
	push(t, a, item("b", now.Add(-2*time.Second)), item("d", now), item("a", now.Add(-3*time.Second)))
	push(t, b, item("c", now.Add(-time.Second)))
	if got := pull(t, a, 3, long); !slices.Equal(ids(got), []string{"a", "b", "c"}) {
		t.Errorf("first pull %v", ids(got))
	} else if d := got[0].Due.Sub(now.Add(-3 * time.Second)); d.Abs() > slack {
		t.Errorf("due time is off by %v", d)
	}
	if got := pull(t, b, 3, long); !slices.Equal(ids(got), []string{"d"}) {
		t.Errorf("second pull %v", ids(got))
	}
	empty(t, a)
}

func futureWaits(t *testing.T, open Open) {
	a, b := open(t)
	start := time.Now()
	const delay = 300 * time.Millisecond
	push(t, a, item("hour", start.Add(time.Hour)), item("soon", start.Add(delay)))
	got := pull(t, b, 10, long)
	if !slices.Equal(ids(got), []string{"soon"}) {
		t.Fatalf("pulled %v", ids(got))
	}
	// Not early, but for what two clock readings may differ; and not late.
	if d := time.Since(start); d < delay-time.Millisecond || d > delay+slack {
		t.Errorf("an id due in %v came after %v", delay, d)
	}
}

func dedupe(t *testing.T, open Open) {
	a, b := open(t)
	now := time.Now()
	push(t, a, item("x", now), item("x", now), item("y", now))
	push(t, b, item("x", now))
	got := ids(pull(t, a, 10, long))
	slices.Sort(got)
	if !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("pulled %v", got)
	}
	empty(t, b)
}

func earlierDueWins(t *testing.T, open Open) {
	a, b := open(t)
	now := time.Now()
	push(t, a, item("x", now.Add(time.Hour)), item("y", now.Add(-time.Minute)))
	push(t, b, item("x", now.Add(-2*time.Minute)), item("y", now.Add(time.Hour)))
	if got := pull(t, a, 10, long); !slices.Equal(ids(got), []string{"x", "y"}) {
		t.Errorf("pulled %v", got)
	}
}

func pushOfLeased(t *testing.T, open Open) {
	a, b := open(t)
	push(t, a, item("x", time.Now()))
	pull(t, a, 1, long)
	push(t, b, item("x", time.Now().Add(-time.Hour)))
	empty(t, b)
	if d := depth(t, b); d.Waiting != 0 {
		t.Errorf("depth %+v", d)
	}
	done(t, b, "x")
	push(t, a, item("x", time.Now()))
	if got := pull(t, b, 1, long); !slices.Equal(ids(got), []string{"x"}) {
		t.Errorf("after done and push: %v", got)
	}
}

func leaseEnds(t *testing.T, open Open) {
	a, b := open(t)
	const lease = 200 * time.Millisecond
	push(t, a, item("x", time.Now()), item("y", time.Now()))
	start := time.Now()
	if got := pull(t, a, 2, lease); len(got) != 2 {
		t.Fatalf("pulled %v", got)
	}
	// The ids come back to whoever waits, also in two portions.
	got := pull(t, b, 1, long)
	if d := time.Since(start); d < lease-time.Millisecond || d > lease+slack {
		t.Errorf("the lease of %v ended after %v", lease, d)
	}
	got = append(got, pull(t, b, 1, long)...)
	names := ids(got)
	slices.Sort(names)
	if !slices.Equal(names, []string{"x", "y"}) {
		t.Errorf("pulled %v", names)
	}
	empty(t, a)
}

func doneDuringLease(t *testing.T, open Open) {
	a, b := open(t)
	push(t, a, item("x", time.Now()))
	pull(t, a, 1, 100*time.Millisecond)
	done(t, a, "x", "unknown")
	done(t, a, "x")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := b.Pull(ctx, 1, long); err == nil {
		t.Errorf("a finished id came back: %v", got)
	}
	if d := depth(t, b); d != (queue.Depth{}) {
		t.Errorf("depth %+v", d)
	}
}

func doneWhileWaiting(t *testing.T, open Open) {
	a, b := open(t)
	push(t, a, item("x", time.Now()), item("y", time.Now().Add(time.Hour)), item("z", time.Now()))
	done(t, b, "x", "y")
	if got := pull(t, a, 10, long); !slices.Equal(ids(got), []string{"z"}) {
		t.Errorf("pulled %v", got)
	}
	if d := depth(t, a); d.Waiting != 0 {
		t.Errorf("depth %+v", d)
	}
}

func laterEndsLease(t *testing.T, open Open) {
	a, b := open(t)
	push(t, a, item("x", time.Now()), item("y", time.Now()))
	pull(t, a, 2, long)
	start := time.Now()
	later(t, a, item("x", start.Add(200*time.Millisecond)), item("y", start.Add(time.Hour)))
	empty(t, b)
	if got := pull(t, b, 10, long); !slices.Equal(ids(got), []string{"x"}) {
		t.Errorf("pulled %v", got)
	}
	if d := time.Since(start); d < 199*time.Millisecond || d > 200*time.Millisecond+slack {
		t.Errorf("came after %v", d)
	}
	if d := depth(t, a); d.Waiting != 1 || !d.Oldest.IsZero() {
		t.Errorf("depth %+v", d)
	}
}

func laterOfUnknown(t *testing.T, open Open) {
	a, b := open(t)
	later(t, a, item("x", time.Now()))
	if got := pull(t, b, 10, long); !slices.Equal(ids(got), []string{"x"}) {
		t.Errorf("pulled %v", got)
	}
}

func laterIsExact(t *testing.T, open Open) {
	a, b := open(t)
	now := time.Now()
	push(t, a, item("x", now.Add(-time.Minute)), item("y", now.Add(-time.Hour)))
	later(t, b, item("x", now.Add(time.Hour)), item("y", now.Add(-time.Second)))
	got := pull(t, a, 10, long)
	if !slices.Equal(ids(got), []string{"y"}) {
		t.Fatalf("pulled %v", got)
	}
	if d := got[0].Due.Sub(now.Add(-time.Second)); d.Abs() > slack {
		t.Errorf("due time is off by %v", d)
	}
}

// result is what one Pull in the background returned, and when.
type result struct {
	items []queue.Item
	err   error
	at    time.Time
}

func background(ctx context.Context, q queue.Queue, limit int) <-chan result {
	out := make(chan result, 1) // one result, so the puller can always end
	go func() {
		items, err := q.Pull(ctx, limit, long)
		out <- result{items, err, time.Now()}
	}()
	return out
}

// settle gives a puller in the background time to fall asleep. Nothing outside
// shows that it has; a test in which it has not is weaker, not wrong.
func settle() { <-time.After(20 * time.Millisecond) }

func pullWakesOnPush(t *testing.T, open Open) {
	a, b := open(t)
	// The median of several rounds, because one round measures the scheduler
	// of a busy machine too. The first may precede a subscription.
	var took []time.Duration
	for i := range 8 {
		pulled := background(t.Context(), a, 1)
		settle()
		start := time.Now()
		id := fmt.Sprint("id", i)
		push(t, b, item(id, start))
		r := <-pulled
		if r.err != nil || !slices.Equal(ids(r.items), []string{id}) {
			t.Fatalf("round %d: %v, %v", i, r.items, r.err)
		}
		done(t, a, id)
		if i > 0 {
			took = append(took, r.at.Sub(start))
		}
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 50*time.Millisecond {
		t.Errorf("a waiting pull took %v to wake (all: %v)", median, took)
	}
}

// A puller that sleeps until one id is due wakes for another that is due
// earlier, also if a second puller holds the timer.
func pullWakesForEarlier(t *testing.T, open Open) {
	a, b := open(t)
	push(t, a, item("far", time.Now().Add(time.Hour)))
	first, second := background(t.Context(), a, 1), background(t.Context(), a, 1)
	settle()
	start := time.Now()
	push(t, b, item("x", start.Add(100*time.Millisecond)), item("y", start.Add(150*time.Millisecond)))
	for _, pulled := range []<-chan result{first, second} {
		r := <-pulled
		if r.err != nil || len(r.items) != 1 {
			t.Fatalf("%v, %v", r.items, r.err)
		}
		if d := r.at.Sub(start); d < 99*time.Millisecond || d > 150*time.Millisecond+slack {
			t.Errorf("%s came after %v", r.items[0].ID, d)
		}
	}
}

func pullEndsWithContext(t *testing.T, open Open) {
	a, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	pulled := background(ctx, a, 1)
	settle()
	start := time.Now()
	cancel()
	r := <-pulled
	if !errors.Is(r.err, context.Canceled) || len(r.items) != 0 {
		t.Errorf("got %v, %v", r.items, r.err)
	}
	if d := r.at.Sub(start); d > slack {
		t.Errorf("took %v", d)
	}
	if _, err := a.Pull(ctx, 1, long); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func manyPullers(t *testing.T, open Open) {
	a, b := open(t)
	const total, pullers = 10_000, 8
	now := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = make(map[string]int, total)
		fail []error
	)
	for i := range pullers {
		q := []queue.Queue{a, b}[i%2]
		wg.Go(func() {
			for {
				items, err := q.Pull(ctx, 64, long)
				if err == nil {
					err = q.Done(context.WithoutCancel(ctx), ids(items))
				}
				mu.Lock()
				for _, it := range items {
					seen[it.ID]++
				}
				all := len(seen) == total
				if err != nil && ctx.Err() == nil {
					fail = append(fail, err)
					all = true
				}
				mu.Unlock()
				if all {
					cancel()
				}
				if err != nil || all {
					return
				}
			}
		})
	}
	for from := 0; from < total; from += 500 {
		var batch []queue.Item
		for i := range 500 {
			batch = append(batch, item(fmt.Sprintf("id%06d", from+i), now))
		}
		push(t, []queue.Queue{a, b}[from/500%2], batch...)
	}
	wg.Wait()
	if len(fail) > 0 {
		t.Fatal(fail)
	}
	if len(seen) != total {
		t.Errorf("%d of %d ids pulled", len(seen), total)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s pulled %d times", id, n)
		}
	}
	if d := depth(t, a); d.Waiting != 0 {
		t.Errorf("depth %+v", d)
	}
}

// Each of several sleeping pullers gets its share of one push.
func burstReachesAllPullers(t *testing.T, open Open) {
	a, b := open(t)
	var pulled []<-chan result
	for range 4 {
		pulled = append(pulled, background(t.Context(), a, 1))
	}
	settle()
	start := time.Now()
	push(t, b, item("1", start), item("2", start), item("3", start), item("4", start))
	for i, c := range pulled {
		r := <-c
		if r.err != nil || len(r.items) != 1 {
			t.Fatalf("puller %d: %v, %v", i, r.items, r.err)
		}
	}
	empty(t, b)
}

func largeBatches(t *testing.T, open Open) {
	a, b := open(t)
	const total = 2*queue.MaxBatch + 345
	now := time.Now().Add(-time.Hour)
	var batch []queue.Item
	for i := range total {
		batch = append(batch, item(fmt.Sprintf("id%06d", i), now.Add(time.Duration(i)*time.Second/10)))
	}
	push(t, a, batch...)
	if d := depth(t, b); d.Waiting != total || d.Oldest.Sub(now).Abs() > slack {
		t.Errorf("depth %+v", d)
	}
	var got []queue.Item
	for len(got) < total {
		items := pull(t, b, queue.MaxBatch+1, long)
		if len(items) > queue.MaxBatch {
			t.Fatalf("%d ids in one pull", len(items))
		}
		got = append(got, items...)
	}
	if !slices.Equal(ids(got), ids(batch)) {
		t.Error("not all ids, or not in the order they are due")
	}
	for i := range got {
		got[i].Due = now
	}
	later(t, a, got...)
	if d := depth(t, b); d.Waiting != total {
		t.Errorf("depth after later %+v", d)
	}
	done(t, b, ids(got)...)
	if d := depth(t, b); d != (queue.Depth{}) {
		t.Errorf("depth after done %+v", d)
	}
}

func depthCounts(t *testing.T, open Open) {
	a, b := open(t)
	if d := depth(t, a); d != (queue.Depth{}) {
		t.Errorf("empty: %+v", d)
	}
	now := time.Now()
	push(t, a, item("future", now.Add(time.Hour)))
	if d := depth(t, b); d.Waiting != 1 || !d.Oldest.IsZero() {
		t.Errorf("one in the future: %+v", d)
	}
	push(t, a, item("old", now.Add(-time.Hour)), item("older", now.Add(-2*time.Hour)))
	if d := depth(t, b); d.Waiting != 3 || d.Oldest.Sub(now.Add(-2*time.Hour)).Abs() > slack {
		t.Errorf("two due: %+v", d)
	}
	pull(t, a, 1, long)
	if d := depth(t, b); d.Waiting != 2 || d.Oldest.Sub(now.Add(-time.Hour)).Abs() > slack {
		t.Errorf("one leased: %+v", d)
	}
}

func emptyArguments(t *testing.T, open Open) {
	a, _ := open(t)
	push(t, a)
	later(t, a)
	done(t, a)
	push(t, a, item("x", time.Now()), item("y", time.Now().Add(time.Millisecond)))
	if got := pull(t, a, 0, long); len(got) != 1 {
		t.Errorf("a pull of 0 gave %v", got)
	}
}

func item(id string, due time.Time) queue.Item { return queue.Item{ID: id, Due: due} }

func ids(items []queue.Item) []string {
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = it.ID
	}
	return out
}

func push(t testing.TB, q queue.Queue, items ...queue.Item) {
	t.Helper()
	if err := q.Push(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

func later(t testing.TB, q queue.Queue, items ...queue.Item) {
	t.Helper()
	if err := q.Later(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

func done(t testing.TB, q queue.Queue, ids ...string) {
	t.Helper()
	if err := q.Done(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
}

func depth(t testing.TB, q queue.Queue) queue.Depth {
	t.Helper()
	d, err := q.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// pull fails the test when nothing is due within some seconds.
func pull(t testing.TB, q queue.Queue, limit int, lease time.Duration) []queue.Item {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	items, err := q.Pull(ctx, limit, lease)
	if err != nil {
		t.Fatal(err)
	}
	if len(items) == 0 {
		t.Fatal("a pull without ids and without an error")
	}
	return items
}

// empty fails the test when something is due now.
func empty(t testing.TB, q queue.Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if items, err := q.Pull(ctx, 1, long); err == nil {
		t.Errorf("due, though nothing should be: %v", items)
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
