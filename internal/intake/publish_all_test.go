package intake

import (
	"errors"
	"sync"
	"testing"

	"convoy"
	"convoy/internal/store"
	"convoy/internal/testenv"
)

// TestPublishAll publishes batches with one key a hundred times, in both modes:
// every event is stored, and one of the hundred is delivered.
func TestPublishAll(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		for _, mode := range []string{"stored", "queued"} {
			t.Run(mode, func(t *testing.T) {
				b := newBundle(s)
				all := (*Stored)(nil).PublishAll
				settled := func() bool { return true }
				if mode == "stored" {
					in := NewStored(b.Config, b.persister)
					running(t, in.Run)
					all = in.PublishAll
				} else {
					log := streams(t)("A")
					in := NewQueued(b.Config, log)
					running(t, in.Run)
					running(t, NewConsumer(b.Config, log, b.persister).Run)
					all = in.PublishAll
					settled = func() bool { return logBacklog(t, log) == 0 }
				}
				batches := make([][]*convoy.Event, 20)
				var wg sync.WaitGroup
				for i := range batches {
					batches[i] = batchOf(15, "E1")
					for _, e := range batches[i][:5] {
						e.IdempotencyKey = "of " + mode
					}
					wg.Go(func() {
						if err := errors.Join(all(t.Context(), batches[i])...); err != nil {
							t.Errorf("publish: %v", err)
						}
					})
				}
				wg.Wait()
				testenv.Eventually(t, patience, settled)
				delivered, repeats := 0, 0
				for _, events := range batches {
					for _, e := range events {
						got := storedEvent(t, s, e.ID)
						switch {
						case got == nil:
							t.Errorf("event %s is lost", e.ID)
						case got.Duplicate:
							repeats++
						default:
							delivered++
						}
						// In queued mode only repeats within a batch are known.
						if got != nil && got.Duplicate != e.Duplicate && (mode == "stored" || e.Duplicate) {
							t.Errorf("event %+v is stored as %+v", e, got)
						}
					}
					for i, e := range events {
						if mode == "queued" && e.Duplicate != (i > 0 && i < 5) {
							t.Errorf("event %d is said to be a duplicate: %v", i, e.Duplicate)
						}
					}
				}
				if repeats != 99 || delivered != 201 {
					t.Errorf("%d duplicates and %d others, want 99 and 201", repeats, delivered)
				}
				testenv.Eventually(t, patience, func() bool { return len(b.taker.taken()) >= 201 })
				if n := len(b.taker.taken()); n != 201 {
					t.Errorf("%d deliveries were handed over, want 201", n)
				}
			})
		}
	})
}
