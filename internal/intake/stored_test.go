package intake

import (
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// TestStoredIsolates publishes events together with some that the store refuses
// for ever: only these are refused.
func TestStoredIsolates(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		b := newBundle(s)
		b.store.hold = make(chan struct{})
		in := NewStored(b.Config, b.persister)
		running(t, in.Run)
		events := batchOf(200, "E1")
		for _, i := range []int{3, 77, 199} {
			b.store.poison[events[i].ID] = true
		}
		events[4].IdempotencyKey, events[5].IdempotencyKey = "key", "key"
		var wg sync.WaitGroup
		for _, e := range events {
			wg.Go(func() {
				err := in.Publish(t.Context(), e)
				switch {
				case b.store.poison[e.ID] && convoy.KindOf(err) != convoy.Unavailable:
					t.Errorf("an event that is not stored: %v", err)
				case !b.store.poison[e.ID] && (err != nil || storedEvent(t, s, e.ID) == nil):
					t.Errorf("an event among others that are not stored: %v", err)
				}
			})
		}
		close(b.store.hold)
		wg.Wait()
		if events[4].Duplicate == events[5].Duplicate {
			t.Error("of two with one key, one is a duplicate")
		}
		if n := len(b.taker.taken()); n != 196 {
			t.Errorf("%d deliveries were handed over, want 196", n)
		}
	})
}

// TestStoredGivesUp refuses a batch of which nothing is stored after a bounded
// number of writes.
func TestStoredGivesUp(t *testing.T) {
	t.Parallel()
	b := newBundle(sqlite(t))
	in := NewStored(b.Config, b.persister)
	events := batchOf(512, "E1")
	b.store.set(func(f *flaky) { f.down = true })
	start := time.Now()
	if err := in.flush(t.Context(), events); err == nil {
		t.Error("stored")
	}
	if n := b.store.refusals(); n > 4*maxRefusals {
		t.Errorf("%d writes in %v", n, time.Since(start))
	}
}
