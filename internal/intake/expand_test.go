package intake

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/testenv"
)

// wide makes an event that is stored before its deliveries, of which it has n.
func wide(n int) *convoy.Event {
	to := make([]convoy.EndpointID, n)
	for i := range to {
		to[i] = convoy.EndpointID(fmt.Sprintf("E%05d", i))
	}
	e := event(time.Now(), to...)
	e.Type = "wide"
	return e
}

// awaitStatus waits until an event is stored with a status.
func awaitStatus(t *testing.T, s *store.Store, e *convoy.Event, want convoy.EventStatus) *convoy.Event {
	t.Helper()
	var got *convoy.Event
	testenv.Eventually(t, patience, func() bool {
		got = storedEvent(t, s, e.ID)
		return got != nil && got.Status == want
	})
	return got
}

// TestExpand publishes a wide event: it is acknowledged before its deliveries,
// all of which come, once.
func TestExpand(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		b := newBundle(s)
		b.routing.hold = make(chan struct{})
		in := NewStored(b.Config, b.persister)
		running(t, b.persister.Run)
		running(t, in.Run)
		const n = 3*convoy.WideEvent + 1
		e, small, again := wide(n), event(time.Now(), "E1"), wide(1)
		e.IdempotencyKey, again.IdempotencyKey = "key", "key"
		if err := in.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if got := storedEvent(t, s, e.ID); got == nil || got.Status != convoy.EventPending {
			t.Fatalf("event %+v, want it stored and pending", got)
		}
		// Others do not wait for it, and its key is taken.
		for _, other := range []*convoy.Event{small, again} {
			if err := in.Publish(t.Context(), other); err != nil {
				t.Fatal(err)
			}
		}
		if small.Status != convoy.EventSuccess || !again.Duplicate {
			t.Errorf("events %+v, %+v", small, again)
		}
		close(b.routing.hold)
		awaitStatus(t, s, e, convoy.EventSuccess)
		if got := deliveries(t, s, e, e.Endpoints...); len(got) != n {
			t.Errorf("%d deliveries, want %d", len(got), n)
		}
		if got := deliveries(t, s, again, again.Endpoints...); len(got) != 0 {
			t.Errorf("%d deliveries of a duplicate", len(got))
		}
		testenv.Eventually(t, patience, func() bool { return len(b.queued.taken()) == n })
	})
}

// TestExpandInOneProcess gives events to the expanders of two processes and to
// their sweeps: each delivery is queued once.
func TestExpandInOneProcess(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		one, two := newBundle(s), newBundle(s)
		two.Now = func() time.Time { return time.Now().Add(time.Minute) } // its sweep takes what is new
		two.persister = NewPersister(two.Config)
		const n = 700
		events := []*convoy.Event{wide(n), wide(n), wide(3), wide(2)}
		if err := one.persister.Persist(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if _, _, err := two.persister.Reroute(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		running(t, one.persister.Run)
		running(t, two.persister.Run)
		total := 0
		for _, e := range events {
			awaitStatus(t, s, e, convoy.EventSuccess)
			total += len(e.Endpoints)
		}
		queued := func() []convoy.Job { return append(one.queued.taken(), two.queued.taken()...) }
		testenv.Eventually(t, patience, func() bool { return len(queued()) >= total })
		seen := map[convoy.DeliveryID]bool{}
		for _, j := range queued() {
			if seen[j.Delivery.ID] {
				t.Fatalf("delivery %s is queued twice", j.Delivery.ID)
			}
			seen[j.Delivery.ID] = true
		}
	})
}

// TestExpandGoesOn begins in a process that dies and ends in another.
func TestExpandGoesOn(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		b := newBundle(s)
		e := wide(2*convoy.WideEvent + 5)
		if err := b.persister.Persist(t.Context(), []*convoy.Event{e}); err != nil {
			t.Fatal(err)
		}
		turn := b.persister.backlog.next()
		if rest := b.persister.turn(t.Context(), turn); len(rest) != 1 {
			t.Fatalf("%d events go on, want one", len(rest))
		}
		if got := storedEvent(t, s, e.ID); got.Status != convoy.EventPending || len(deliveries(t, s, e, e.Endpoints...)) != convoy.WideEvent {
			t.Fatalf("event %+v after one chunk", got)
		}
		other := newBundle(s)
		other.Now = func() time.Time { return time.Now().Add(rerouteAge + time.Second) }
		other.persister = NewPersister(other.Config)
		running(t, other.persister.Run)
		if n, _, err := other.persister.Reroute(t.Context(), 10); n != 0 || err != nil {
			t.Fatalf("settled %d, %v", n, err)
		}
		awaitStatus(t, s, e, convoy.EventSuccess)
		if n := len(deliveries(t, s, e, e.Endpoints...)); n != len(e.Endpoints) {
			t.Errorf("%d deliveries, want %d", n, len(e.Endpoints))
		}
		// What the first had stored is left to the queue it was given to.
		testenv.Eventually(t, patience, func() bool { return len(other.queued.taken()) == len(e.Endpoints)-convoy.WideEvent })
		if n := len(b.queued.taken()); n != convoy.WideEvent {
			t.Errorf("the first has queued %d", n)
		}
		// The first comes back late.
		if rest := b.persister.turn(t.Context(), turn); len(rest) != 0 {
			t.Errorf("%d events go on", len(rest))
		}
		if got := storedEvent(t, s, e.ID); got.Status != convoy.EventSuccess {
			t.Errorf("event %+v, want it routed still", got)
		}
	})
}

// TestFunctions stores what functions make, and what they fail to make.
func TestFunctions(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		b := newBundle(s)
		running(t, b.persister.Run)
		e := event(time.Now(), "E1", "F-1", "F-2", "F-3", "F-4", "F-5", "F-fails", "F-same")
		e.Type = "wide"
		if err := b.persister.Persist(t.Context(), []*convoy.Event{e}); err != nil {
			t.Fatal(err)
		}
		awaitStatus(t, s, e, convoy.EventSuccess)
		for endpoint, d := range deliveries(t, s, e, e.Endpoints...) {
			detail, err := s.DeliveryDetail(t.Context(), project, d.ID)
			if err != nil {
				t.Fatal(err)
			}
			switch endpoint {
			case "E1", "F-same":
				if detail.Payload != nil || d.Status != convoy.DeliveryScheduled {
					t.Errorf("%s: payload %+v, delivery %+v", endpoint, detail.Payload, d)
				}
			case "F-fails":
				if detail.Payload == nil || detail.Payload.Failure == "" || d.Status != convoy.DeliveryFailure || d.Description != "it failed" || !d.ClaimAt.IsZero() {
					t.Errorf("%s: payload %+v, delivery %+v", endpoint, detail.Payload, d)
				}
			default:
				if detail.Payload == nil || string(detail.Payload.Data) != string(endpoint) || d.Status != convoy.DeliveryScheduled {
					t.Errorf("%s: payload %+v, delivery %+v", endpoint, detail.Payload, d)
				}
			}
		}
		testenv.Eventually(t, patience, func() bool { return len(b.queued.taken()) == 8 }) // with what tells of the failure
		told := func() []store.DeliveryDetail {
			list, err := s.Deliveries(t.Context(), store.DeliveryFilter{Project: telling.Meta(), Page: store.Page{PerPage: 10}})
			if err != nil {
				t.Fatal(err)
			}
			return list.Items
		}
		if list := told(); len(list) != 1 || list[0].EventType != convoy.MetaDeliveryFailed || list[0].Status != convoy.DeliveryScheduled {
			t.Errorf("meta events %+v, want one of the failure", list)
		}
		// A replay runs them, too, and tells once however often it is begun.
		at := time.Now()
		for range 2 {
			if n, _, err := b.persister.Replay(t.Context(), []*convoy.Event{storedEvent(t, s, e.ID)}, "r", at); n != 8 || err != nil {
				t.Errorf("%d replayed, %v", n, err)
			}
		}
		if list := told(); len(list) != 2 {
			t.Errorf("%d meta events after a replay, want 2", len(list))
		}
	})
}

// TestFunctionPanics leaves the event to the sweep, and others alone.
func TestFunctionPanics(t *testing.T) {
	t.Parallel()
	b := newBundle(sqlite(t))
	running(t, b.persister.Run)
	bad, fine := event(time.Now(), "E1", "F-panics"), wide(2)
	bad.Type = "wide"
	if err := b.persister.Persist(t.Context(), []*convoy.Event{bad, fine}); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, b.store.Store, fine, convoy.EventSuccess)
	if got := storedEvent(t, b.store.Store, bad.ID); got.Status != convoy.EventPending {
		t.Errorf("event %+v, want it pending", got)
	}
	// In the end it has a reason.
	old := newBundle(b.store.Store)
	old.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	old.persister = NewPersister(old.Config)
	running(t, old.persister.Run)
	if _, _, err := old.persister.Reroute(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if got := awaitStatus(t, b.store.Store, bad, convoy.EventFailure); got.FailureReason != reasonUnroutable {
		t.Errorf("event %+v", got)
	}
}

// TestBacklogTurns lets projects take turns, bounded in number and bytes.
func TestBacklogTurns(t *testing.T) {
	t.Parallel()
	b := newBacklog(1)
	of := func(p convoy.ProjectID, n int, bytes int) (events []*convoy.Event) {
		for range n {
			events = append(events, &convoy.Event{ID: convoy.EventID(id.New(time.Now())), ProjectID: p, Data: make([]byte, bytes)})
		}
		return events
	}
	if !b.add(of("A", turnEvents+1, 0)) || !b.add(of("B", 2, turnBytes)) {
		t.Fatal("there is no room")
	}
	first, second := b.next(), b.next()
	if len(first) != turnEvents || first[0].project != "A" || len(second) != 1 || second[0].project != "B" {
		t.Fatalf("turns of %d and %d", len(first), len(second))
	}
	// What has been begun goes on alone, and first.
	first[0].expansion = &convoy.Expansion{}
	b.done(first, first[:1])
	if third := b.next(); len(third) != 1 || third[0] != first[0] {
		t.Fatalf("turn of %d", len(third))
	}
	if b.add(of("C", backlogEvents, 0)) {
		t.Error("it takes more than it may")
	}
	b.close()
	if b.next() != nil {
		t.Error("it goes on after the end")
	}
}

// TestBacklogShares keeps a busy project from taking all turns.
func TestBacklogShares(t *testing.T) {
	t.Parallel()
	b := newBacklog(2)
	b.add([]*convoy.Event{{ID: "1", ProjectID: "A"}})
	var (
		wg    sync.WaitGroup
		turns atomic.Int32
	)
	first := b.next()
	b.add([]*convoy.Event{{ID: "2", ProjectID: "A"}})
	second := b.next()
	b.add([]*convoy.Event{{ID: "3", ProjectID: "A"}, {ID: "4", ProjectID: "B"}})
	if turn := b.next(); turn[0].project != "B" {
		t.Errorf("a third turn of %s", turn[0].project)
	}
	wg.Go(func() {
		if turn := b.next(); turn != nil && turn[0].hold.ID == "3" {
			turns.Add(1)
		}
	})
	b.done(first, nil)
	wg.Wait()
	b.done(second, nil)
	if turns.Load() != 1 {
		t.Error("the next turn did not come")
	}
}

// TestRerouteHidesNothing sweeps more events than fit into a batch of which the
// oldest cannot be routed.
func TestRerouteHidesNothing(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		ctx, now := t.Context(), time.Now()
		b := newBundle(s)
		var events []*convoy.Event
		for i := range 10 {
			e := event(now.Add(time.Duration(i-60)*time.Second), "E1")
			if i < 8 {
				e.Type = "stuck"
			}
			events = append(events, e)
		}
		if err := s.Append(ctx, &store.Routed{Events: events}, now, window); err != nil {
			t.Fatal(err)
		}
		calls, settled := 0, 0
		for more := true; more; calls++ {
			var n int
			var err error
			if n, more, err = b.persister.Reroute(ctx, 3); err != nil || calls > 5 {
				t.Fatalf("call %d: %v", calls, err)
			}
			settled += n
		}
		if settled != 2 {
			t.Errorf("settled %d, want the two newest", settled)
		}
	})
}
