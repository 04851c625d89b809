package bulk

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"convoy"
	"convoy/internal/store"
)

// ledger is a job of so many events in memory, for tests of time.
type ledger struct {
	mu    sync.Mutex
	job   convoy.BatchJob
	total int
	fail  bool
	// looks are the times at which chunks were asked for, sizes how many.
	looks []time.Time
	sizes []int
}

func (l *ledger) ClaimBatchJob(_ context.Context, owner string, now, until time.Time) (*convoy.BatchJob, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job.State.Ended() || l.job.LeaseUntil.After(now) {
		return nil, nil
	}
	l.job.State, l.job.Owner, l.job.LeaseUntil = convoy.BatchRunning, owner, until
	j := l.job
	return &j, nil
}

func (l *ledger) RenewBatchJob(_ context.Context, j *convoy.BatchJob, until time.Time) (convoy.BatchState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job.Owner != j.Owner {
		return "", convoy.E(convoy.Conflict, "somebody else's")
	}
	l.job.LeaseUntil = until
	return l.job.State, nil
}

func (l *ledger) SaveBatchJob(_ context.Context, j *convoy.BatchJob, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.job.Reached, l.job.Processed, l.job.FailingSince = j.Reached, j.Processed, time.Time{}
	return nil
}

func (l *ledger) LeaveBatchJob(_ context.Context, j *convoy.BatchJob, from, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.job.State, l.job.Owner, l.job.LeaseUntil, l.job.FailingSince, l.job.Error = j.State, "", from, j.FailingSince, j.Error
	return nil
}

func (l *ledger) BatchEvents(_ context.Context, j *convoy.BatchJob, max, _ int) (store.Chunk, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks, l.sizes = append(l.looks, time.Now()), append(l.sizes, max)
	if l.fail {
		return store.Chunk{}, errDown
	}
	n := min(max, l.total-j.Processed)
	c := store.Chunk{Events: make([]*convoy.Event, n), Reached: strconv.Itoa(j.Processed + n), More: n == max}
	for i := range c.Events {
		c.Events[i] = &convoy.Event{ID: "x"}
	}
	return c, nil
}

func (l *ledger) RetryBatch(context.Context, *convoy.BatchJob, int, time.Time) (bool, error) {
	return false, errDown
}

func (l *ledger) ForgetBatchJobs(context.Context, time.Time, int) (int, error) { return 0, nil }

func (l *ledger) state() convoy.BatchJob {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.job
}

// wide is a replayer that makes so many deliveries of each event.
type wide int

func (w wide) Replay(_ context.Context, events []*convoy.Event, _ string, _ time.Time) (deliveries, unmatched int, err error) {
	return int(w) * len(events), 0, nil
}

// load is busy until it is told otherwise.
type load struct {
	mu   sync.Mutex
	busy bool
	err  error
}

func (l *load) Busy(context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy, l.err
}

func (l *load) set(busy bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy, l.err = busy, nil
}

// timed runs a process in a bubble until the job ends, and returns how long that
// took.
func timed(t *testing.T, l *ledger, r replayer, tr traffic, during func(begun time.Time)) (took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		begun := time.Now()
		wg.Go(func() {
			_ = New(Config{Jobs: l, Replayer: r, Traffic: tr, Log: slog.New(slog.DiscardHandler), Now: time.Now}).Run(ctx)
		})
		if during != nil {
			during(begun)
		}
		for !l.state().State.Ended() && time.Since(begun) < time.Hour {
			time.Sleep(10 * time.Millisecond) // of the bubble's time
		}
		took = time.Since(begun)
		cancel()
		wg.Wait()
	})
	return took
}

func TestRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ total, rate int }{{50, 10}, {30, 1}, {3000, 100}, {20_000, 1000}} {
		l := &ledger{total: tt.total, job: convoy.BatchJob{State: convoy.BatchQueued, Rate: tt.rate}}
		took := timed(t, l, wide(1), idle{}, nil)
		want := time.Duration(tt.total) * time.Second / time.Duration(tt.rate)
		if l.job.State != convoy.BatchDone || l.job.Processed != tt.total || took < want*95/100-time.Second || took > want*105/100+time.Second {
			t.Errorf("%d at %d/s took %v, want about %v; %s", tt.total, tt.rate, took, want, l.job.State)
		}
	}
}

// TestGiveWay: a job waits for live traffic, but not for ever.
func TestGiveWay(t *testing.T) {
	t.Parallel()
	tr := &load{busy: true}
	l := &ledger{total: 10_000, job: convoy.BatchJob{State: convoy.BatchQueued, Rate: fast}}
	timed(t, l, wide(1), tr, func(time.Time) {
		time.Sleep(time.Minute) // of the bubble's time
		if n := l.state().Processed; n < 10*yieldChunk || n > 13*yieldChunk {
			t.Errorf("%d processed within a busy minute", n)
		}
		tr.mu.Lock()
		tr.err = errDown // what cannot be seen is busy
		tr.mu.Unlock()
		time.Sleep(time.Minute)
		if n := l.state().Processed; n < 20*yieldChunk || n > 25*yieldChunk {
			t.Errorf("%d processed within two busy minutes", n)
		}
		tr.set(false)
		begun := time.Now()
		for !l.state().State.Ended() && time.Since(begun) < time.Minute {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the rest took %v", took)
		}
	})
}

// TestChunks: an event with many deliveries makes chunks small.
func TestChunks(t *testing.T) {
	t.Parallel()
	l := &ledger{total: 500, job: convoy.BatchJob{State: convoy.BatchQueued, Rate: fast}}
	timed(t, l, wide(300), idle{}, nil)
	for i, n := range l.sizes[2:] {
		if n*300 > 3*chunkDeliveries {
			t.Errorf("chunk %d had %d deliveries", i+2, n*300)
		}
	}
	l = &ledger{total: 5000, job: convoy.BatchJob{State: convoy.BatchQueued, Rate: fast}}
	timed(t, l, wide(1), idle{}, nil)
	if n := l.sizes[len(l.sizes)-1]; n != chunkMax {
		t.Errorf("the last chunk was of %d", n)
	}
}

// TestFailing: a job that cannot go on is tried again for minutes, and then ends
// as failed.
func TestFailing(t *testing.T) {
	t.Parallel()
	l := &ledger{total: 10, fail: true, job: convoy.BatchJob{State: convoy.BatchQueued, Rate: fast}}
	took := timed(t, l, wide(1), idle{}, nil)
	if l.job.State != convoy.BatchFailed || l.job.Error == "" || took < failAfter || took > failAfter+10*time.Second {
		t.Errorf("%s after %v: %q", l.job.State, took, l.job.Error)
	}
	if n := len(l.looks); n > int(failAfter/retryAfter)+1 {
		t.Errorf("%d tries", n)
	}
	// One that comes round goes on.
	l = &ledger{total: 10, fail: true, job: convoy.BatchJob{State: convoy.BatchQueued, Rate: fast}}
	took = timed(t, l, wide(1), idle{}, func(time.Time) {
		time.Sleep(time.Minute) // of the bubble's time
		l.mu.Lock()
		l.fail = false
		l.mu.Unlock()
	})
	if l.job.State != convoy.BatchDone || l.job.Error != "" || took > time.Minute+10*time.Second {
		t.Errorf("%s after %v: %q", l.job.State, took, l.job.Error)
	}
}
