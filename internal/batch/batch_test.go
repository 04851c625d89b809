package batch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config() Config {
	return Config{MaxItems: 10, MaxBytes: 100, Pending: 64, FlushTimeout: time.Second}
}

func TestGathersWhileFlushing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		b := New(config(), func(int) int { return 1 }, func(_ context.Context, items []int) error {
			sizes = append(sizes, len(items))
			time.Sleep(10 * time.Millisecond) // the fake clock: a flush that takes a while
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var run, givers sync.WaitGroup
		run.Go(func() { _ = b.Run(ctx) })
		givers.Go(func() { _ = b.Do(ctx, 0) })
		synctest.Wait() // the first is being flushed
		for i := range 13 {
			givers.Go(func() {
				if err := b.Do(ctx, i); err != nil {
					t.Errorf("Do(%d): %v", i, err)
				}
			})
		}
		givers.Wait()
		cancel()
		run.Wait()
		want := []int{1, 10, 3}
		if len(sizes) != 3 || sizes[0] != want[0] || sizes[1] != want[1] || sizes[2] != want[2] {
			t.Errorf("batch sizes = %v, want %v", sizes, want)
		}
	})
}

func TestBoundsBytes(t *testing.T) {
	t.Parallel()
	var got [][]int
	b := New(config(), func(n int) int { return n }, func(_ context.Context, items []int) error {
		got = append(got, append([]int(nil), items...))
		return nil
	})
	for _, n := range []int{60, 30, 20, 500, 1} {
		if err := b.Put(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil { // flushes what waits, then ends
		t.Fatal(err)
	}
	want := [][]int{{60, 30}, {20}, {500}, {1}}
	if len(got) != len(want) {
		t.Fatalf("batches = %v, want %v", got, want)
	}
	for i := range want {
		if len(got[i]) != len(want[i]) || got[i][0] != want[i][0] {
			t.Errorf("batch %d = %v, want %v", i, got[i], want[i])
		}
	}
	for range 100 { // there is room for it
		if err := b.Put(t.Context(), 1); !errors.Is(err, ErrClosed) {
			t.Fatalf("Put after the end = %v, want ErrClosed", err)
		}
	}
	if err := b.Do(t.Context(), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("Do after the end = %v, want ErrClosed", err)
	}
}

func TestErrorsAndPanicsReachTheirBatch(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	b := New(config(), func(int) int { return 1 }, func(_ context.Context, items []int) error {
		switch items[0] {
		case 1:
			return boom
		case 2:
			panic("bad item")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.Run(ctx) })
	if err := b.Do(ctx, 1); !errors.Is(err, boom) {
		t.Errorf("Do(1) = %v, want boom", err)
	}
	if err := b.Do(ctx, 2); err == nil {
		t.Error("Do(2) = nil, want the panic as an error")
	}
	if err := b.Do(ctx, 3); err != nil {
		t.Errorf("Do(3) = %v", err)
	}
	cancel()
	wg.Wait()
}

// TestNothingAcceptedIsLost ends a batcher while goroutines give: what Put took
// without an error has been flushed when Run returns.
func TestNothingAcceptedIsLost(t *testing.T) {
	t.Parallel()
	for range 50 {
		flushed := map[int]bool{}
		b := New(Config{MaxItems: 4, MaxBytes: 100, Pending: 4, FlushTimeout: time.Second}, func(int) int { return 1 },
			func(_ context.Context, items []int) error {
				for _, n := range items {
					flushed[n] = true
				}
				return nil
			})
		ctx, cancel := context.WithCancel(t.Context())
		var (
			givers   sync.WaitGroup
			mu       sync.Mutex
			accepted []int
		)
		for g := range 4 {
			givers.Go(func() {
				for i := range 200 {
					if i == 20 && g == 0 {
						cancel()
					}
					n := g*1000 + i
					err := b.Put(t.Context(), n)
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("Put: %v", err)
						return
					}
					mu.Lock()
					accepted = append(accepted, n)
					mu.Unlock()
				}
				cancel()
			})
		}
		if err := b.Run(ctx); err != nil {
			t.Fatal(err)
		}
		givers.Wait()
		for _, n := range accepted {
			if !flushed[n] {
				t.Fatalf("item %d was accepted and not flushed", n)
			}
		}
		cancel()
	}
}

func TestFlushTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.FlushTimeout = 3 * time.Second
		var observed []time.Duration
		cfg.Observe = func(items int, d time.Duration) {
			if items != 1 {
				t.Errorf("%d items observed", items)
			}
			observed = append(observed, d)
		}
		b := New(cfg, func(int) int { return 1 }, func(ctx context.Context, items []int) error {
			if items[0] == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = b.Run(ctx) })
		start := time.Now()
		if err := b.Do(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v, want the flush's deadline", err)
		}
		if took := time.Since(start); took != cfg.FlushTimeout {
			t.Errorf("the flush ended after %v, want %v", took, cfg.FlushTimeout)
		}
		if err := b.Do(ctx, 2); err != nil {
			t.Errorf("the next flush: %v", err)
		}
		cancel()
		run.Wait()
		if len(observed) != 2 || observed[0] != cfg.FlushTimeout || observed[1] != 0 {
			t.Errorf("observed %v", observed)
		}
	})
}

// TestFlushOutlivesTheEnd has a flush under way when Run is told to stop.
func TestFlushOutlivesTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(config(), func(int) int { return 1 }, func(ctx context.Context, _ []int) error {
			select {
			case <-time.After(500 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = b.Run(ctx) })
		for i := range 3 {
			wg.Go(func() {
				if err := b.Do(t.Context(), i); err != nil {
					t.Errorf("Do(%d) = %v", i, err)
				}
			})
		}
		synctest.Wait()
		if n := b.Len(); n == 3 {
			t.Errorf("%d wait, want one under way", n)
		}
		cancel()
		wg.Wait()
	})
}

// TestDoGivesUp leaves a caller that ends first, and one that finds no room.
func TestDoGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Pending, cfg.MaxItems = 1, 1
		release := make(chan struct{})
		b := New(cfg, func(int) int { return 1 }, func(context.Context, []int) error {
			<-release
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = b.Run(ctx) })
		brief, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		var givers sync.WaitGroup
		for i := range 3 { // in the flush, waiting, without room
			givers.Go(func() {
				if err := b.Do(brief, i); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Do(%d) = %v, want the caller's end", i, err)
				}
			})
		}
		givers.Wait()
		if err := b.Put(brief, 9); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put = %v, want the caller's end", err)
		}
		close(release)
		cancel()
		run.Wait()
	})
}

func TestDoAll(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	b := New(Config{MaxItems: 4, MaxBytes: 100, Pending: 2, FlushTimeout: time.Second}, func(int) int { return 1 },
		func(_ context.Context, items []int) error {
			for _, n := range items {
				if n%2 == 1 {
					return odd
				}
			}
			return nil
		})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = b.Run(ctx) })
	many := make([]int, 1000) // more than may wait
	for i, err := range b.DoAll(ctx, many) {
		if err != nil {
			t.Errorf("item %d: %v", i, err)
		}
	}
	if errs := b.DoAll(ctx, []int{1}); !errors.Is(errs[0], odd) {
		t.Errorf("errors %v", errs)
	}
	if errs := b.DoAll(ctx, nil); len(errs) != 0 {
		t.Errorf("errors %v of nothing", errs)
	}
	ended, end := context.WithCancel(ctx)
	end()
	for _, err := range b.DoAll(ended, make([]int, 10)) {
		if err != nil && !errors.Is(err, context.Canceled) { // those that were flushed in time are
			t.Error(err)
		}
	}
	cancel()
	run.Wait()
	for _, err := range b.DoAll(t.Context(), make([]int, 10)) {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	}
}
