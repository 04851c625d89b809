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
	if err := b.Put(t.Context(), 1); err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("Put after the end: %v", err)
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
