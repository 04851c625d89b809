package limit

import (
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// TestEach gives each caller a limit of its own, in one process and in two that
// share an engine.
func TestEach(t *testing.T) {
	t.Parallel()
	for name, limiter := range map[string]Limiter{"process": nil, "shared": NewMemory()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := Limit{Key: "test", Count: 10, Period: time.Hour, Burst: 10}
			a := NewEach(limiter, l, slog.New(slog.DiscardHandler))
			b := a
			if limiter != nil {
				b = NewEach(limiter, l, slog.New(slog.DiscardHandler))
			}
			taken, wait := 0, time.Duration(0)
			for i := range 40 { // until neither has any in hand
				of := a
				if i%2 == 1 {
					of = b
				}
				if wait = of.Take(t.Context(), "ada", 1); wait == 0 {
					taken++
				}
			}
			if taken != 10 || wait <= 0 || wait > time.Hour {
				t.Errorf("%d taken of 10, then a wait of %v", taken, wait)
			}
			if wait := a.Take(t.Context(), "ben", 1); wait != 0 {
				t.Errorf("another caller waits %v", wait)
			}
		})
	}
}

// TestEachBounds remembers no more callers than it may, and first forgets those
// who are idle.
func TestEachBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := NewEach(nil, Limit{Key: "test", Count: 1, Period: time.Minute, Burst: 1}, slog.New(slog.DiscardHandler))
		e.max = 4
		for i := range 3 {
			e.Take(t.Context(), strconv.Itoa(i), 1)
		}
		time.Sleep(2 * time.Minute)
		e.Take(t.Context(), "busy", 1)
		e.Take(t.Context(), "new", 1)
		if len(e.callers) != 2 || e.callers["busy"] == nil || e.callers["new"] == nil {
			t.Errorf("%d callers are left", len(e.callers))
		}
		if e.Take(t.Context(), "busy", 1) == 0 {
			t.Error("who is busy has another burst")
		}
		for i := range 100 {
			e.Take(t.Context(), strconv.Itoa(i), 1)
		}
		if len(e.callers) > e.max {
			t.Errorf("%d callers, the bound is %d", len(e.callers), e.max)
		}
	})
}
