package intake

import (
	"errors"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
)

// TestReplay routes stored events again: what had failed is routed, what is
// repeated adds nothing, and all is queued.
func TestReplay(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		for _, queueIsStore := range []bool{false, true} {
			b := newBundle(s)
			b.QueueIsStore = queueIsStore
			b.persister = NewPersister(b.Config)
			fine, failed, duplicate := event(time.Now(), "E1", "E2"), event(time.Now(), unknown), event(time.Now(), "E1")
			fine.IdempotencyKey, duplicate.IdempotencyKey = "key", "key"
			if err := b.persister.Persist(ctx, []*convoy.Event{fine, failed, duplicate}); err != nil {
				t.Fatal(err)
			}
			if !duplicate.Duplicate || failed.Status != convoy.EventFailure {
				t.Fatalf("events %+v, %+v", duplicate, failed)
			}
			at := time.Now()
			for range 2 {
				events := []*convoy.Event{storedEvent(t, s, fine.ID), storedEvent(t, s, failed.ID), storedEvent(t, s, duplicate.ID)}
				events[1].Endpoints = []convoy.EndpointID{inactive, paused, "E1"} // as if it matched now
				if n, none, err := b.persister.Replay(ctx, events, "replay", at); n != 6 || none != 0 || err != nil {
					t.Fatalf("%d deliveries, %d events without, %v; want 6 and 0", n, none, err)
				}
			}
			if got := storedEvent(t, s, failed.ID); got.Status != convoy.EventSuccess || got.FailureReason != "" {
				t.Errorf("event %+v, want it routed", got)
			}
			if got := storedEvent(t, s, duplicate.ID); !got.Duplicate {
				t.Errorf("event %+v is no duplicate any more", got)
			}
			checkReplayed(t, b, fine, at, "E1", "E2")
			checkReplayed(t, b, duplicate, at, "E1")
			checkReplayed(t, b, failed, at, "E1", paused, inactive)
			if jobs := b.queued.taken(); len(jobs) != 4 { // all but the parked and the discarded, once
				t.Errorf("%d are queued, want 4", len(jobs))
			}
			lost := storedEvent(t, s, fine.ID)
			lost.Endpoints = []convoy.EndpointID{unknown}
			if n, none, err := b.persister.Replay(ctx, []*convoy.Event{lost}, "lost", at); n != 0 || none != 1 || err != nil {
				t.Errorf("%d deliveries, %d events without, %v; want 0 and 1", n, none, err)
			}
			b.routing.fail(errDown)
			if _, _, err := b.persister.Replay(ctx, []*convoy.Event{fine}, "another", at); !errors.Is(err, errDown) {
				t.Errorf("replayed while routing is down: %v", err)
			}
			if _, err := s.ForgetKeys(ctx, time.Now().Add(2*window), 10); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// checkReplayed looks at the replayed deliveries of an event.
func checkReplayed(t *testing.T, b *bundle, e *convoy.Event, at time.Time, to ...convoy.EndpointID) {
	t.Helper()
	for _, endpoint := range to {
		d, err := b.store.Delivery(t.Context(), project, convoy.DeliveryID(id.Derive(at, string(e.ID), string(endpoint), "replay")))
		if err != nil {
			t.Fatalf("delivery to %s: %v", endpoint, err)
		}
		latest := time.Now()
		if !b.QueueIsStore {
			latest = latest.Add(queueGrace)
		}
		switch endpoint {
		case paused:
			if !d.ClaimAt.Equal(convoy.Parked) {
				t.Errorf("delivery to a paused endpoint is claimable at %v", d.ClaimAt)
			}
		case inactive:
			if !d.ClaimAt.IsZero() {
				t.Errorf("discarded delivery is claimable at %v", d.ClaimAt)
			}
		default:
			if d.ClaimAt.IsZero() || d.ClaimAt.After(latest) {
				t.Errorf("delivery is claimable at %v", d.ClaimAt)
			}
		}
	}
}
