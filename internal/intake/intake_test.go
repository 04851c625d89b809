package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"convoy"
	"convoy/internal/store"
	"convoy/internal/testenv"
)

func TestStoredPublishes(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		b := newBundle(s)
		in := NewStored(b.Config, b.persister)
		running(t, in.Run)
		var wg sync.WaitGroup
		events := make([]*convoy.Event, 200)
		for i := range events {
			events[i] = event(time.Now(), "E1", "E2")
			wg.Go(func() {
				if err := in.Publish(t.Context(), events[i]); err != nil {
					t.Errorf("publish: %v", err)
				}
				if events[i].Status != convoy.EventSuccess || events[i].Duplicate {
					t.Errorf("event %+v", events[i])
				}
				if got := storedEvent(t, s, events[i].ID); got == nil {
					t.Errorf("event %s is acknowledged and not stored", events[i].ID)
				} else if diff := cmp.Diff(events[i], got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("stored event (-want +got):\n%s", diff)
				}
			})
		}
		wg.Wait()
		jobs := b.taker.taken()
		if len(jobs) != 400 {
			t.Errorf("%d deliveries were handed over, want 400", len(jobs))
		}
		seen := map[convoy.DeliveryID]bool{}
		for _, j := range jobs {
			if seen[j.Delivery.ID] || j.Event == nil || j.Event.ID != j.Delivery.EventID || string(j.Event.Data) != `{"a": 1}` {
				t.Errorf("job %+v of %+v", j.Delivery, j.Event)
			}
			seen[j.Delivery.ID] = true
			stored, err := s.Delivery(t.Context(), project, j.Delivery.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(j.Delivery, stored, cmpopts.EquateApproxTime(time.Microsecond)); diff != "" {
				t.Errorf("delivery (-handed over +stored):\n%s", diff)
			}
		}
	})
}

// TestStoredWaitsForTheCommit holds the store back.
func TestStoredWaitsForTheCommit(t *testing.T) {
	t.Parallel()
	b := newBundle(sqlite(t))
	b.store.hold = make(chan struct{})
	in := NewStored(b.Config, b.persister)
	running(t, in.Run)
	e := event(time.Now(), "E1")
	published := make(chan error, 1)
	go func() { published <- in.Publish(t.Context(), e) }()
	select {
	case err := <-published:
		t.Fatalf("acknowledged before the commit: %v", err)
	case <-time.After(50 * time.Millisecond): // as long as it takes, it must not come
	}
	if len(b.taker.taken()) != 0 {
		t.Error("handed over before the commit")
	}
	close(b.store.hold)
	if err := <-published; err != nil {
		t.Error(err)
	}
	if storedEvent(t, b.store.Store, e.ID) == nil || len(b.taker.taken()) != 1 {
		t.Error("not stored or not handed over after the commit")
	}
}

// TestStoredRefuses publishes while the store or the routing is down, and
// again with the same event afterwards.
func TestStoredRefuses(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		b := newBundle(s)
		in := NewStored(b.Config, b.persister)
		running(t, in.Run)
		e := event(time.Now(), "E1", unknown)
		e.IdempotencyKey = "key"
		refused := func(when string) {
			t.Helper()
			err := in.Publish(t.Context(), e)
			var kind *convoy.Error
			if !errors.As(err, &kind) || kind.Kind != convoy.Unavailable || kind.RetryAfter <= 0 {
				t.Errorf("%s: %v, want unavailable with a time to wait", when, err)
			}
			if !errors.Is(err, errDown) {
				t.Errorf("%s: %v hides its cause", when, err)
			}
			if e.Status != convoy.EventPending || e.Duplicate || len(e.Endpoints) != 2 || e.FailureReason != "" {
				t.Errorf("%s: event %+v, want it as it was", when, e)
			}
			if len(b.taker.taken()) != 0 || storedEvent(t, s, e.ID) != nil {
				t.Errorf("%s: stored or handed over", when)
			}
		}
		b.store.set(func(f *flaky) { f.down = true })
		refused("store down")
		b.routing.fail(errDown)
		b.store.set(func(f *flaky) { f.down = false })
		refused("routing down")
		b.routing.fail(nil)
		if err := in.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if e.Duplicate || e.Status != convoy.EventSuccess || len(b.taker.taken()) != 1 {
			t.Errorf("event %+v, %d deliveries; want it routed", e, len(b.taker.taken()))
		}
	})
}

func TestStoredEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	b := newBundle(sqlite(t))
	b.store.hold = make(chan struct{})
	in := NewStored(b.Config, b.persister)
	stop := running(t, in.Run)
	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan error, 1)
	go func() { published <- in.Publish(ctx, event(time.Now(), "E1")) }()
	cancel()
	if err := <-published; !errors.Is(err, context.Canceled) || convoy.KindOf(err) == convoy.Unavailable {
		t.Errorf("publish of a caller that left = %v", err)
	}
	close(b.store.hold)
	stop()
	if err := in.Publish(t.Context(), event(time.Now(), "E1")); convoy.KindOf(err) != convoy.Unavailable {
		t.Errorf("publish after the end = %v, want unavailable", err)
	}
}

// TestIdempotencyKeys publishes the same keys from many goroutines of two
// processes: one event of each key is delivered.
func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		one, two := newBundle(s), newBundle(s)
		ins := []*Stored{NewStored(one.Config, one.persister), NewStored(two.Config, two.persister)}
		for _, in := range ins {
			running(t, in.Run)
		}
		const keys, repeats = 20, 10
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			first = map[string]int{}
		)
		for i := range keys * repeats {
			wg.Go(func() {
				e := event(time.Now(), "E1")
				e.IdempotencyKey = fmt.Sprint("key ", i%keys)
				if err := ins[i%len(ins)].Publish(t.Context(), e); err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				got := storedEvent(t, s, e.ID)
				if got == nil || got.Duplicate != e.Duplicate || got.Status != convoy.EventSuccess {
					t.Errorf("event %+v is stored as %+v", e, got)
				}
				if n := len(deliveries(t, s, e, "E1")); (n == 0) != e.Duplicate {
					t.Errorf("%d deliveries of an event with duplicate %v", n, e.Duplicate)
				}
				if !e.Duplicate {
					mu.Lock()
					first[e.IdempotencyKey]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for i := range keys {
			if n := first[fmt.Sprint("key ", i)]; n != 1 {
				t.Errorf("key %d: %d events are no duplicates", i, n)
			}
		}
		if n := len(one.taker.taken()) + len(two.taker.taken()); n != keys {
			t.Errorf("%d deliveries were handed over, want %d", n, keys)
		}
	})
}

// TestHandOver tells apart what can be sent and what cannot.
func TestHandOver(t *testing.T) {
	t.Parallel()
	b := newBundle(sqlite(t))
	e, nothing := event(time.Now(), "E1", paused, inactive, unknown, slow), event(time.Now(), unknown)
	if err := b.persister.Persist(t.Context(), []*convoy.Event{e, nothing}); err != nil {
		t.Fatal(err)
	}
	got := map[convoy.EndpointID]bool{}
	for _, j := range b.taker.taken() {
		got[j.Delivery.EndpointID] = true
	}
	if diff := cmp.Diff(map[convoy.EndpointID]bool{"E1": true, slow: true}, got); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
	if n := len(deliveries(t, b.store.Store, e, "E1", paused, inactive, slow)); n != 4 {
		t.Errorf("%d deliveries are stored, want 4", n)
	}
	if got := storedEvent(t, b.store.Store, nothing.ID); got == nil || got.Status != convoy.EventFailure {
		t.Errorf("event without a match %+v", got)
	}
}

// TestClaimTimes looks at from when the store offers a delivery to everybody.
func TestClaimTimes(t *testing.T) {
	t.Parallel()
	s := sqlite(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	tests := []struct {
		name      string
		age       time.Duration
		to        convoy.EndpointID
		claimable bool
		again     bool
		want      time.Time
	}{
		{"fresh", 0, "E1", false, false, time.Time{}},
		{"just fresh enough", freshAge, "E1", false, false, time.Time{}},
		{"old", freshAge + time.Millisecond, "E1", false, false, now.Add(StartLimit + 10*time.Second + 15*time.Second)},
		{"long timeout", 0, slow, false, false, now.Add(StartLimit + 2*time.Minute + 15*time.Second)},
		{"claimable", 0, "E1", true, false, now},
		{"claimable and old", time.Hour, "E1", true, false, now},
		{"again", 0, "E1", false, true, now},
		{"paused", time.Hour, paused, true, true, convoy.Parked},
		{"inactive", time.Hour, inactive, true, true, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(s)
			b.Now, b.Claimable = func() time.Time { return now }, tt.claimable
			p, e := NewPersister(b.Config), event(now.Add(-tt.age), tt.to)
			persist := p.Persist
			if tt.again {
				persist = p.PersistAgain
			}
			if err := persist(t.Context(), []*convoy.Event{e}); err != nil {
				t.Fatal(err)
			}
			got := deliveries(t, s, e, tt.to)[tt.to]
			if got == nil || !got.ClaimAt.Equal(tt.want) {
				t.Errorf("delivery %+v, want it claimable at %v", got, tt.want)
			}
		})
	}
	// The sweep must come later than the last moment a try can be at.
	if latest := freshAge + StartLimit + longTimeout; SweepAge <= latest {
		t.Errorf("the sweep comes after %v, a try may take until %v", SweepAge, latest)
	}
}

// TestPersistAgain stores events of which one is stored already.
func TestPersistAgain(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		b := newBundle(s)
		old, fresh := event(time.Now(), "E1"), event(time.Now(), "E1")
		if err := b.persister.Persist(t.Context(), []*convoy.Event{old}); err != nil {
			t.Fatal(err)
		}
		before := deliveries(t, s, old, "E1")["E1"]
		if err := b.persister.PersistAgain(t.Context(), []*convoy.Event{old, fresh}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, deliveries(t, s, old, "E1")["E1"]); diff != "" {
			t.Errorf("the stored delivery has changed:\n%s", diff)
		}
		if n := len(b.taker.taken()); n != 1 {
			t.Errorf("%d deliveries were handed over, want the first alone", n)
		}
		due, _, err := s.ClaimDue(t.Context(), time.Now(), time.Minute, 10)
		if err != nil || len(due) != 1 || due[0].ID != deliveries(t, s, fresh, "E1")["E1"].ID {
			t.Errorf("claimable: %v, %v; want the new delivery alone", due, err)
		}
	})
}

// TestReroute finds events that were stored unrouted.
func TestReroute(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		ctx, now := t.Context(), time.Now()
		b := newBundle(s)
		put := func(age time.Duration, kind string) *convoy.Event {
			e := event(now.Add(-age), "E1")
			e.Type = kind
			if err := s.Append(ctx, &store.Routed{Events: []*convoy.Event{e}}, now, window); err != nil {
				t.Fatal(err)
			}
			return e
		}
		young, ready := put(time.Second, "a"), put(time.Minute, "a")
		stuck, hopeless := put(time.Minute, "stuck"), put(2*time.Hour, "stuck")
		n, _, err := b.persister.Reroute(ctx, 10)
		if err != nil || n != 2 { // not the stuck one: who asks until it is 0 would not end
			t.Fatalf("settled %d, %v; want 2", n, err)
		}
		for e, want := range map[*convoy.Event]convoy.EventStatus{
			young: convoy.EventPending, ready: convoy.EventSuccess, stuck: convoy.EventPending, hopeless: convoy.EventFailure,
		} {
			if got := storedEvent(t, s, e.ID); got.Status != want {
				t.Errorf("event is %s (%s), want %s", got.Status, got.FailureReason, want)
			}
		}
		if got := storedEvent(t, s, hopeless.ID); got.FailureReason == "" {
			t.Error("no reason is given")
		}
		if jobs := b.taker.taken(); len(jobs) != 0 {
			t.Errorf("%d were handed over: who routes again may not be who sends", len(jobs))
		}
		d := deliveries(t, s, ready, "E1")["E1"]
		if d == nil {
			t.Fatal("the routed event has no delivery")
		}
		due, _, err := s.ClaimDue(ctx, time.Now(), time.Minute, 10)
		if err != nil || len(due) != 1 || due[0].ID != d.ID {
			t.Errorf("claimable: %v, %v; want the new delivery", due, err)
		}
		// The next looks find only what is stuck, and at most as many as asked.
		if n, _, err := b.persister.Reroute(ctx, 10); err != nil || n != 0 {
			t.Errorf("settled %d, %v; want none", n, err)
		}
		for range 3 {
			put(time.Hour/2, "a")
		}
		for _, want := range []int{2, 1, 0} {
			if n, _, err := b.persister.Reroute(ctx, 2); err != nil || n != want {
				t.Errorf("settled %d, %v; want %d", n, err, want)
			}
		}
		put(time.Minute, "a")
		b.routing.fail(errDown)
		if n, _, err := b.persister.Reroute(ctx, 2); !errors.Is(err, errDown) || n != 0 {
			t.Errorf("rerouted %d, %v while routing is down", n, err)
		}
	})
}

func TestStoredSurvivesAPanic(t *testing.T) {
	t.Parallel()
	b := newBundle(sqlite(t))
	b.Endpoints = panicking{}
	in := NewStored(b.Config, NewPersister(b.Config))
	running(t, in.Run)
	for range 2 {
		if err := in.Publish(t.Context(), event(time.Now(), "E1")); convoy.KindOf(err) != convoy.Unavailable {
			t.Errorf("publish = %v, want unavailable", err)
		}
	}
	testenv.Eventually(t, patience, func() bool { return in.Publish(t.Context(), event(time.Now(), unknown)) == nil })
}

type panicking struct{}

func (panicking) Timeout(context.Context, convoy.ProjectID, convoy.EndpointID) time.Duration {
	panic("no timeout")
}
