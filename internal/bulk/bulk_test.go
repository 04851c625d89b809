package bulk

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/testenv"
)

const fast = 1_000_000

func TestReplay(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b *bench) {
		b.fill(t, 1234, "")
		r := &routing{bench: b}
		start(t, b, r)
		j := b.await(t, b.job(t, convoy.BatchReplay, fast), convoy.BatchDone)
		check(t, j, 1234, 0)
		if j.StartedAt.IsZero() || j.FinishedAt.Before(j.StartedAt) || j.Owner != "" {
			t.Errorf("ended %+v", j)
		}
		if n := b.count(t, `true`); n != 1234 {
			t.Errorf("%d deliveries", n)
		}
		// A second replay is another one; what nothing matches is counted.
		r.mu.Lock()
		r.unmatched = true
		r.mu.Unlock()
		j = b.await(t, b.job(t, convoy.BatchReplay, fast), convoy.BatchDone)
		if j.Failed == 0 || j.Reasons[reasonUnmatched] != j.Failed {
			t.Errorf("failed: %d, %v", j.Failed, j.Reasons)
		}
		check(t, j, 1234, j.Failed)
		if n := b.count(t, `true`); n != 2*1234-j.Failed {
			t.Errorf("%d deliveries", n)
		}
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b *bench) {
		b.fill(t, 700, convoy.DeliveryFailure)
		b.fill(t, 50, convoy.DeliverySuccess)
		start(t, b, &routing{bench: b})
		check(t, b.await(t, b.job(t, convoy.BatchRetry, fast), convoy.BatchDone), 700, 0)
		if n := b.count(t, `status = 'Scheduled' AND trials = 0 AND resends = 1`); n != 700 {
			t.Errorf("%d sent again", n)
		}
	})
}

// TestTakeover kills the process that works on a job. Another takes over within
// seconds, repeats what was not saved, and stores nothing twice.
func TestTakeover(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b *bench) {
		b.fill(t, 3000, convoy.DeliveryFailure)
		killed := make(chan time.Time, 1) // once
		var once sync.Once
		first := &routing{bench: b}
		var p atomic.Pointer[process]
		first.after = func(stored int) {
			if stored > 1000 {
				once.Do(func() { p.Load().dead.Store(true); killed <- time.Now() })
			}
		}
		p.Store(start(t, b, first))
		replay := b.job(t, convoy.BatchReplay, fast)
		p.Load().Wake()
		at := <-killed
		second := &routing{bench: b}
		start(t, b, second)
		check(t, b.await(t, replay, convoy.BatchDone), 3000, 0)
		if took := time.Since(at); took > lease+pollEvery+10*time.Second {
			t.Errorf("taken over and done after %v", took)
		}
		if n := b.count(t, `status = 'Scheduled'`); n != 3000 {
			t.Errorf("%d replayed", n)
		}
		first.mu.Lock()
		defer first.mu.Unlock()
		repeated := 0
		for e := range second.times {
			if first.times[e] > 0 {
				repeated++
			}
		}
		if repeated > chunkMax {
			t.Errorf("%d events were repeated, more than a chunk", repeated)
		}
	})
}

// TestTakeoverRetry kills a process in the middle of a retry: nothing is done
// twice, as each chunk is saved with its effect.
func TestTakeoverRetry(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b *bench) {
		b.fill(t, 2000, convoy.DeliveryDiscarded)
		p := start(t, b, &routing{bench: b})
		j := b.job(t, convoy.BatchRetry, 2000)
		p.Wake()
		testenv.Eventually(t, patience, func() bool { return b.read(t, j).Processed > 300 })
		p.dead.Store(true)
		if n := b.read(t, j).Processed; n == 2000 {
			t.Fatal("killed too late")
		}
		start(t, b, &routing{bench: b})
		check(t, b.await(t, j, convoy.BatchDone), 2000, 0)
		if n := b.count(t, `resends = 1`); n != 2000 {
			t.Errorf("%d sent again once", n)
		}
	})
}

// TestStop pauses, resumes and cancels, and stops a process in the middle.
func TestStop(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b *bench) {
		b.fill(t, 3000, "")
		p := start(t, b, &routing{bench: b})
		j := b.job(t, convoy.BatchReplay, 400)
		p.Wake()
		proceeds := func() {
			t.Helper()
			before := b.read(t, j).Processed
			testenv.Eventually(t, patience, func() bool { return b.read(t, j).Processed > before })
		}
		set := func(to convoy.BatchState) {
			t.Helper()
			if _, err := b.SetBatchState(t.Context(), b.project, j.ID, to, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		// left waits until nobody works on the job.
		left := func() int {
			t.Helper()
			testenv.Eventually(t, patience, func() bool { return b.read(t, j).Owner == "" })
			return b.read(t, j).Processed
		}
		proceeds()
		set(convoy.BatchPaused)
		n := left()
		if got := b.count(t, `true`); got < n || got > n+chunkMax {
			t.Errorf("%d deliveries of %d events", got, n)
		}
		set(convoy.BatchQueued)
		p.Wake()
		proceeds()
		// Another process goes on at once when this one is told to stop.
		p.stop()
		if err := <-p.done; err != nil {
			t.Fatal(err)
		}
		p.done <- nil // for the clean-up
		if got := b.read(t, j); got.State != convoy.BatchRunning || got.Owner != "" {
			t.Errorf("left as %s by %q", got.State, got.Owner)
		}
		start(t, b, &routing{bench: b})
		proceeds()
		set(convoy.BatchCancelled)
		left()
		if got := b.read(t, j); got.State != convoy.BatchCancelled || got.FinishedAt.IsZero() || got.Processed == 3000 {
			t.Errorf("cancelled %+v", got)
		}
	})
}

// TestMemory replays many more events than would fit into the bound.
func TestMemory(t *testing.T) {
	b := newBench(t, openSQLite(t))
	const events, bound = 50_000, 48 << 20
	b.fill(t, events, "")
	var (
		peak   uint64
		chunks int // of any size
	)
	r := &routing{bench: b}
	r.after = func(int) {
		clear(r.times)
		if chunks++; chunks%20 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	}
	began := time.Now()
	start(t, b, r)
	j := b.job(t, convoy.BatchReplay, fast)
	testenv.Eventually(t, 5*time.Minute, func() bool { return b.read(t, j).State == convoy.BatchDone })
	check(t, b.read(t, j), events, 0)
	t.Logf("%d events in %v, %d MiB of heap at most", events, time.Since(began).Round(time.Millisecond), peak>>20)
	if peak == 0 || peak > bound {
		t.Errorf("heap of %d MiB", peak>>20)
	}
}
