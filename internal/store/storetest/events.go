package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

func appendTwice(t *testing.T, f *Fixture) {
	p, e := f.Project(t), f.Endpoint(t, f.Project(t))
	events, deliveries := f.Fill(t, p.ID, e.ID, f.Now, 10)
	// What happened to the rows since must survive the repetition.
	sent := *deliveries[0]
	sent.Status, sent.Trials, sent.DueAt, sent.ClaimAt = convoy.DeliverySuccess, 1, time.Time{}, time.Time{}
	ok(t, f.S.Record(t.Context(), []store.Outcome{{Delivery: &sent}}))
	f.Append(t, events, deliveries...)
	same(t, f.delivery(t, &sent), sent)
	page, err := f.S.Deliveries(t.Context(), store.DeliveryFilter{Project: p.ID})
	ok(t, err)
	list, err := f.S.Events(t.Context(), store.EventFilter{Project: p.ID})
	ok(t, err)
	if len(page.Items) != 10 || len(list.Items) != 10 {
		t.Fatalf("%d deliveries and %d events after appending 10 twice", len(page.Items), len(list.Items))
	}
	ok(t, f.S.Append(t.Context(), &store.Routed{}, f.Now, time.Hour)) // nothing to do
}

// appendWhole checks that a batch the database refuses leaves nothing behind.
func appendWhole(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	statements := []string{`ALTER TABLE deliveries ADD CONSTRAINT refuse CHECK (description <> 'refused')`}
	if f.DB.Dialect() == sqldb.SQLite {
		statements = nil
		for _, when := range []string{"INSERT", "UPDATE"} {
			statements = append(statements, `CREATE TRIGGER refuse_`+when+` BEFORE `+when+` ON deliveries WHEN NEW.description = 'refused'
				BEGIN SELECT RAISE(ABORT, 'refused'); END`)
		}
	}
	for _, statement := range statements {
		ok(t, f.DB.Write(ctx, func(tx sqldb.Tx) error { _, err := tx.Exec(ctx, statement); return err }))
	}
	for _, key := range []string{"", "key"} {
		good, d := f.keyed(p.ID, key)
		bad := f.Delivery(good, "endpoint")
		bad.Description = "refused"
		if err := f.S.Append(ctx, &store.Routed{Events: []*convoy.Event{good}, Deliveries: []*convoy.Delivery{d, bad}}, f.Now, time.Hour); err == nil {
			t.Fatal("the batch was accepted")
		}
		_, err := f.S.Event(ctx, p.ID, good.ID)
		refused(t, err, convoy.NotFound, "event not found")
		_, err = f.S.Delivery(ctx, p.ID, d.ID)
		refused(t, err, convoy.NotFound, "event delivery not found")
		// The key is free, too.
		other, d2 := f.keyed(p.ID, key)
		f.Append(t, []*convoy.Event{other}, d2)
		f.duplicate(t, other, d2, false)

		// An outcome is recorded with its attempt or not at all.
		o := f.outcome(d2)
		o.Delivery.Description = "refused"
		if err := f.S.Record(ctx, []store.Outcome{o}); err == nil {
			t.Fatal("the outcome was accepted")
		}
		list, err := f.S.Attempts(ctx, p.ID, d2.ID, 10)
		ok(t, err)
		same(t, list, []*convoy.Attempt{})
	}
}

func appendFields(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	ev := f.Event(p.ID, f.Now)
	ev.Endpoints = []convoy.EndpointID{"a", "b"}
	ev.FailureReason, ev.SchemaError = "reason", "/a: got string, want number"
	plain := f.Event(p.ID, f.Now)
	plain.Headers, plain.Data, plain.AcknowledgedAt = nil, []byte("null"), time.Time{}
	empty := f.Event(p.ID, f.Now)
	empty.Data = nil
	d := f.Delivery(ev, "a")
	d.Description, d.Latency = "why", 1234*time.Microsecond
	f.Append(t, []*convoy.Event{ev, plain, empty}, d)
	for _, want := range []*convoy.Event{ev, plain} {
		got, err := f.S.Event(ctx, p.ID, want.ID)
		ok(t, err)
		same(t, got, want)
	}
	if got, err := f.S.Event(ctx, p.ID, empty.ID); err != nil || len(got.Data) != 0 {
		t.Fatalf("empty payload became %q, %v", got.Data, err)
	}
	same(t, f.delivery(t, d), d)
	_, err := f.S.Event(ctx, "another", ev.ID)
	refused(t, err, convoy.NotFound, "event not found")
	_, err = f.S.Delivery(ctx, "another", d.ID)
	refused(t, err, convoy.NotFound, "event delivery not found")

	detail, err := f.S.DeliveryDetail(ctx, p.ID, d.ID)
	ok(t, err)
	same(t, detail, store.DeliveryDetail{Delivery: d, Event: ev})
	_, err = f.S.DeliveryDetail(ctx, "another", d.ID)
	refused(t, err, convoy.NotFound, "event delivery not found")
}

// keyed makes an event with an idempotency key and a delivery for it.
func (f *Fixture) keyed(p convoy.ProjectID, key string) (*convoy.Event, *convoy.Delivery) {
	e := f.Event(p, f.Now)
	e.IdempotencyKey = key
	e.Endpoints = []convoy.EndpointID{"endpoint"}
	return e, f.Delivery(e, "endpoint")
}

// duplicate fails unless an event is stored as a duplicate or not, with its
// delivery or without it.
func (f *Fixture) duplicate(t *testing.T, e *convoy.Event, d *convoy.Delivery, want bool) {
	t.Helper()
	got, err := f.S.Event(t.Context(), e.ProjectID, e.ID)
	ok(t, err)
	_, err = f.S.Delivery(t.Context(), d.ProjectID, d.ID)
	if got.Duplicate != want || e.Duplicate != want || convoy.IsNotFound(err) != want || got.Status != convoy.EventSuccess || len(got.Endpoints) != 1 {
		t.Fatalf("event %s: duplicate %v (told %v) with status %s and endpoints %v; delivery: %v; want duplicate %v",
			e.IdempotencyKey, got.Duplicate, e.Duplicate, got.Status, got.Endpoints, err, want)
	}
}

func idempotencyKeys(t *testing.T, f *Fixture) {
	p, other := f.Project(t), f.Project(t)
	a1, d1 := f.keyed(p.ID, "a")
	a2, d2 := f.keyed(p.ID, "a")
	b1, d3 := f.keyed(p.ID, "b")
	foreign, d4 := f.keyed(other.ID, "a")
	none, d5 := f.keyed(p.ID, "")
	r := &store.Routed{
		Events:     []*convoy.Event{b1, foreign, none, a1, a2},
		Deliveries: []*convoy.Delivery{d1, d2, d3, d4, d5},
	}
	ok(t, f.S.Append(t.Context(), r, f.Now, time.Hour))
	if len(r.Deliveries) != 4 {
		t.Fatalf("%d deliveries left in the batch, want 4", len(r.Deliveries))
	}
	f.duplicate(t, a1, d1, false)
	f.duplicate(t, a2, d2, true)
	f.duplicate(t, b1, d3, false)
	f.duplicate(t, foreign, d4, false)
	f.duplicate(t, none, d5, false)

	a3, d6 := f.keyed(p.ID, "a")
	c1, d7 := f.keyed(p.ID, "c")
	f.Append(t, []*convoy.Event{a3, c1}, d6, d7)
	f.duplicate(t, a3, d6, true)
	f.duplicate(t, c1, d7, false)
	// The holder itself comes again, as after a lost acknowledgement.
	f.Append(t, []*convoy.Event{a1}, d1)
	f.duplicate(t, a1, d1, false)
}

func idempotencyWindow(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	publish := func(after time.Duration) (*convoy.Event, *convoy.Delivery) {
		e, d := f.keyed(p.ID, "k")
		ok(t, f.S.Append(ctx, &store.Routed{Events: []*convoy.Event{e}, Deliveries: []*convoy.Delivery{d}}, f.Now.Add(after), time.Hour))
		return e, d
	}
	for _, tt := range []struct {
		after time.Duration
		dup   bool
	}{
		{0, false}, {time.Hour - time.Microsecond, true}, {time.Hour, false}, {2*time.Hour - time.Microsecond, true},
	} {
		e, d := publish(tt.after)
		f.duplicate(t, e, d, tt.dup)
	}
	for range 3 {
		e, d := f.keyed(p.ID, fmt.Sprint("expired ", f.next()))
		f.Append(t, []*convoy.Event{e}, d)
	}
	for _, tt := range []struct {
		after time.Duration
		max   int
		want  int
	}{{time.Hour - time.Microsecond, 10, 0}, {time.Hour, 2, 2}, {time.Hour, 2, 1}, {time.Hour, 2, 0}, {2 * time.Hour, 10, 1}} {
		n, err := f.S.ForgetKeys(ctx, f.Now.Add(tt.after), tt.max)
		ok(t, err)
		if n != tt.want {
			t.Fatalf("forgot %d keys after %v, want %d", n, tt.after, tt.want)
		}
	}
	e, d := publish(time.Hour + time.Minute) // within the window of a key that is forgotten
	f.duplicate(t, e, d, false)
}

func idempotencyRace(t *testing.T, f *Fixture) {
	p := f.Project(t)
	stores := []*store.Store{f.S, New(t, f.DB)}
	const publishers = 100
	for round := range 3 {
		var winners atomic.Int32
		for _, err := range together(publishers, func(i int) error {
			// Each batch has two keys, in different orders.
			a, d1 := f.keyed(p.ID, fmt.Sprint("race ", round))
			b, d2 := f.keyed(p.ID, fmt.Sprint("second ", round))
			r := &store.Routed{Events: []*convoy.Event{a, b}, Deliveries: []*convoy.Delivery{d1, d2}}
			if i%2 == 1 {
				r.Events[0], r.Events[1] = b, a
			}
			err := stores[i%len(stores)].Append(context.WithoutCancel(t.Context()), r, f.Now, time.Hour)
			if err == nil && !a.Duplicate {
				winners.Add(1)
			}
			return err
		}) {
			ok(t, err)
		}
		page, err := f.S.Events(t.Context(), store.EventFilter{Project: p.ID, IdempotencyKey: fmt.Sprint("race ", round), Page: store.Page{PerPage: publishers}})
		ok(t, err)
		originals := 0
		for _, e := range page.Items {
			if !e.Duplicate {
				originals++
			}
		}
		delivered, err := f.S.Deliveries(t.Context(), store.DeliveryFilter{Project: p.ID, IdempotencyKey: fmt.Sprint("race ", round)})
		ok(t, err)
		if winners.Load() != 1 || originals != 1 || len(page.Items) != publishers || len(delivered.Items) != 1 {
			t.Fatalf("%d told to have won, %d of %d stored as originals, %d deliveries; want 1, 1 of %d, 1",
				winners.Load(), originals, len(page.Items), len(delivered.Items), publishers)
		}
	}
}

func unrouted(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	var pending []*convoy.Event
	for i := range 4 {
		e := f.Event(p.ID, f.Now.Add(time.Duration(i)*time.Second))
		e.Status = convoy.EventPending
		pending = append(pending, e)
	}
	f.Append(t, append([]*convoy.Event{f.Event(p.ID, f.Now)}, pending...))
	before, late := id.Floor(f.Now.Add(3*time.Second)), f.Now.Add(time.Minute)
	for _, tt := range []struct {
		filter store.UnroutedFilter
		want   []*convoy.Event
	}{
		{store.UnroutedFilter{Before: before, Idle: late, Max: 10}, pending[:3]},
		{store.UnroutedFilter{Before: before, Idle: late, Max: 2}, pending[:2]},
		{store.UnroutedFilter{After: string(pending[1].ID), Before: before, Idle: late, Max: 10}, pending[2:3]},
		{store.UnroutedFilter{Before: before, Idle: f.Now.Add(time.Second), Max: 10}, pending[:2]},
	} {
		list, err := f.S.Unrouted(ctx, tt.filter)
		ok(t, err)
		same(t, list, tt.want)
	}

	a, b := pending[0], pending[1]
	a.Status, a.Endpoints, a.UpdatedAt = convoy.EventSuccess, []convoy.EndpointID{"x", "y"}, f.Now.Add(time.Hour)
	b.Status, b.FailureReason, b.UpdatedAt = convoy.EventFailure, "no subscription matched this event", f.Now.Add(time.Hour)
	d := f.Delivery(a, "x")
	ok(t, f.S.Reroute(ctx, &store.Routed{Events: []*convoy.Event{a, b}, Deliveries: []*convoy.Delivery{d}}))
	for _, want := range []*convoy.Event{a, b} {
		got, err := f.S.Event(ctx, p.ID, want.ID)
		ok(t, err)
		same(t, got, want)
	}
	same(t, f.delivery(t, d), d)
	// Somebody who is late changes nothing.
	second := *a
	second.Status, second.FailureReason = convoy.EventFailure, "late"
	ok(t, f.S.Reroute(ctx, &store.Routed{Events: []*convoy.Event{&second}, Deliveries: []*convoy.Delivery{d}}))
	got, err := f.S.Event(ctx, p.ID, a.ID)
	ok(t, err)
	same(t, got, a)
	list, err := f.S.Unrouted(ctx, store.UnroutedFilter{Before: id.Floor(f.Now.Add(time.Hour)), Idle: late, Max: 10})
	ok(t, err)
	same(t, list, pending[2:])
}

func replay(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	failed, fine := f.Event(p.ID, f.Now), f.Event(p.ID, f.Now)
	failed.Status, failed.FailureReason = convoy.EventFailure, "no subscription matched this event"
	old := f.Delivery(fine, "a")
	f.Append(t, []*convoy.Event{failed, fine}, old)
	at := f.Now.Add(time.Hour)
	again, late := f.Replay(fine, "a", at), f.Replay(failed, "a", at)
	failed.Status, failed.FailureReason, failed.Endpoints, failed.UpdatedAt = convoy.EventSuccess, "", []convoy.EndpointID{"a"}, at
	for range 2 { // the second time changes nothing
		ok(t, f.S.Replay(ctx, &store.Routed{Events: []*convoy.Event{failed}, Deliveries: []*convoy.Delivery{again, late}}))
		got, err := f.S.Event(ctx, p.ID, failed.ID)
		ok(t, err)
		same(t, got, failed)
		for _, d := range []*convoy.Delivery{old, again, late} {
			same(t, f.delivery(t, d), d)
		}
	}
	// Only what had failed changes.
	other := *fine
	other.Endpoints, other.UpdatedAt = []convoy.EndpointID{"b"}, at
	ok(t, f.S.Replay(ctx, &store.Routed{Events: []*convoy.Event{&other}}))
	got, err := f.S.Event(ctx, p.ID, fine.ID)
	ok(t, err)
	same(t, got, fine)
	ok(t, f.S.Replay(ctx, &store.Routed{}))
}
