package run

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// journal is what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.lines, want) {
		t.Errorf("what happened:\n got %q\nwant %q", j.lines, want)
	}
}

// worker stops when told to, after finishing takes as long as finish.
func (j *journal) worker(name string, finish time.Duration) Stage {
	return Stage{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		j.add(name + " told")
		select {
		case <-time.After(finish):
			j.add(name + " finished")
		case <-Abandon(ctx).Done():
			j.add(name + " abandoned")
		}
		return ctx.Err()
	}}
}

func failing(name string, after time.Duration, err error) Stage {
	return Stage{Name: name, Run: func(ctx context.Context) error {
		select {
		case <-time.After(after):
			return err
		case <-ctx.Done():
			return nil
		}
	}}
}

var errDisk = errors.New("disk is full")

func TestStopsInReverseOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		begin := time.Now()
		err := All(ctx, j.worker("store", time.Second), j.worker("deliver", 3*time.Second), j.worker("http", 2*time.Second))
		if err != nil {
			t.Errorf("a requested stop: %v, want nil", err)
		}
		j.want(t, "http told", "http finished", "deliver told", "deliver finished", "store told", "store finished")
		if took := time.Since(begin); took != time.Minute+6*time.Second {
			t.Errorf("took %s, want the minute it ran and 6 s to stop", took)
		}
	})
}

func TestFirstFailureStopsTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		late := Stage{Name: "late", Run: func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("a consequence")
		}}
		err := All(t.Context(), j.worker("store", 0), failing("deliver", time.Second, errDisk), j.worker("http", 0), late)
		if !errors.Is(err, errDisk) || err.Error() != "deliver: disk is full" {
			t.Errorf("got %v, want the first failure with its stage", err)
		}
		j.want(t, "http told", "http finished", "store told", "store finished")
	})
}

func TestFailureWhileStopping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := All(ctx, Stage{Name: "flush", Run: func(ctx context.Context) error {
			<-ctx.Done()
			return errDisk
		}})
		if !errors.Is(err, errDisk) {
			t.Errorf("got %v, want what happened while stopping", err)
		}
	})
}

func TestCanceledWithoutStopIsAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		err := All(t.Context(), j.worker("a", 0), failing("b", time.Second, context.Canceled))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the cancellation nobody asked for", err)
		}
		// The same while the group stops, but before it is the stage's turn.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err = All(ctx, failing("a", 2*time.Second, context.Canceled), j.worker("b", 5*time.Second))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the cancellation nobody asked for", err)
		}
	})
}

func TestEarlyEndIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		begin := time.Now()
		if err := All(ctx, failing("once", time.Second, nil), j.worker("always", 0)); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if ran := time.Since(begin); ran != time.Minute {
			t.Errorf("ran %s, want until the stop", ran)
		}
		begin = time.Now()
		if err := All(t.Context(), failing("a", time.Second, nil), failing("b", 2*time.Second, nil)); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if ran := time.Since(begin); ran != 2*time.Second {
			t.Errorf("ran %s, want until all work was done", ran)
		}
		if err := All(t.Context()); err != nil {
			t.Errorf("no stages: %v", err)
		}
	})
}

func TestNothingStartsAfterAStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := All(ctx, Stage{Name: "a", Run: func(context.Context) error {
		t.Error("started")
		return nil
	}})
	if err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestDrainDeadlineAbandons(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		begin := time.Now()
		g := Group{
			Stages: []Stage{j.worker("store", time.Second), j.worker("deliver", time.Hour), j.worker("http", 4*time.Second)},
			Drain:  10 * time.Second,
		}
		err := g.Run(ctx)
		if !errors.Is(err, ErrAbandoned) || !strings.HasPrefix(err.Error(), "deliver: ") {
			t.Errorf("got %v, want that deliver was abandoned", err)
		}
		j.mu.Lock()
		lines := slices.Clone(j.lines)
		j.mu.Unlock()
		// store has both reasons to end at once, and takes either.
		if got := strings.Join(lines[:5], ", "); got != "http told, http finished, deliver told, deliver abandoned, store told" {
			t.Errorf("what happened: %s", got)
		}
		if took := time.Since(begin); took != time.Minute+10*time.Second {
			t.Errorf("took %s, want the drain time after the minute", took)
		}
	})
}

func TestStuckStageIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		release := make(chan struct{})
		stuck := Stage{Name: "stuck", Run: func(context.Context) error {
			<-release
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		err := All(ctx, j.worker("store", 0), stuck)
		if !errors.Is(err, ErrStuck) || !strings.HasPrefix(err.Error(), "stuck: ") {
			t.Errorf("got %v, want which stage did not stop", err)
		}
		if took := time.Since(begin); took != time.Second+DefaultDrain+patience {
			t.Errorf("took %s, want the drain time and the patience", took)
		}
		if len(j.lines) == 0 || j.lines[0] != "store told" {
			t.Errorf("what happened: %q; a stuck stage must not keep the others from stopping", j.lines)
		}
		close(release)
	})
}

func TestAbandonOutlivesStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		time.AfterFunc(time.Second, cancel)
		err := All(ctx, Stage{Name: "a", Run: func(ctx context.Context) error {
			last := Abandon(ctx)
			<-ctx.Done()
			if last.Err() != nil {
				t.Errorf("abandoned with the stop: %v", last.Err())
			}
			if last.Value(key{}) != "v" || ctx.Value(key{}) != "v" {
				t.Error("the contexts of a stage lack the values of its parent")
			}
			<-last.Done()
			if !errors.Is(context.Cause(last), ErrAbandoned) {
				t.Errorf("cause %v, want ErrAbandoned", context.Cause(last))
			}
			return context.Cause(last)
		}})
		if !errors.Is(err, ErrAbandoned) {
			t.Errorf("got %v, want ErrAbandoned", err)
		}
	})
	ctx := t.Context()
	if Abandon(ctx) != ctx {
		t.Error("outside of a group, stopping does not abandon")
	}
}

func TestNestedGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		inner := Group{Stages: []Stage{j.worker("c", time.Second), j.worker("d", time.Hour)}, Drain: time.Hour}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		begin := time.Now()
		err := Group{
			Stages: []Stage{j.worker("a", 0), {Name: "inner", Run: inner.Run}},
			Drain:  5 * time.Second,
		}.Run(ctx)
		if !errors.Is(err, ErrAbandoned) {
			t.Errorf("got %v, want ErrAbandoned", err)
		}
		if took := time.Since(begin); took != time.Minute+5*time.Second {
			t.Errorf("took %s, want the outer drain time to hold", took)
		}
		if len(j.lines) < 2 || j.lines[0] != "d told" || j.lines[1] != "d abandoned" {
			t.Errorf("what happened: %q", j.lines)
		}
	})
}

func TestPanicIsAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		err := All(t.Context(), j.worker("store", 0), Stage{Name: "bug", Run: func(context.Context) error { panic(errDisk) }})
		var p *PanicError
		if !errors.As(err, &p) || !errors.Is(err, errDisk) || !strings.Contains(string(p.Stack), "TestPanicIsAFailure") {
			t.Errorf("got %v, want a panic with the stack of where it happened", err)
		}
		j.want(t, "store told", "store finished")

		err = All(t.Context(), Stage{Name: "bug", Run: func(context.Context) error { panic("text") }})
		if !errors.As(err, &p) || p.Value != "text" || p.Unwrap() != nil || !strings.HasPrefix(err.Error(), "bug: panic: text\n") {
			t.Errorf("got %v, want the text of the panic", err)
		}
		err = All(t.Context(), Stage{Name: "bug", Run: func(context.Context) error { runtime.Goexit(); return nil }})
		if !errors.Is(err, errExit) {
			t.Errorf("got %v, want that the goroutine ended", err)
		}
	})
}
