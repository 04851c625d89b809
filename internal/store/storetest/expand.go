package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// pending stores n unrouted events.
func (f *Fixture) pending(t *testing.T, n int) (events []*convoy.Event, holds []store.Hold) {
	t.Helper()
	p := f.Project(t)
	for range n {
		e := f.Event(p.ID, f.Now)
		e.Status = convoy.EventPending
		events, holds = append(events, e), append(holds, store.Hold{ID: e.ID, Seen: e.UpdatedAt})
	}
	f.Append(t, events)
	return events, holds
}

func hold(t *testing.T, f *Fixture) {
	ctx := t.Context()
	events, holds := f.pending(t, 3)
	now := f.Now.Add(time.Second)
	routed := f.Event(events[0].ProjectID, f.Now)
	f.Append(t, []*convoy.Event{routed})
	stale := store.Hold{ID: holds[2].ID, Seen: f.Now.Add(time.Microsecond)}
	held, err := f.S.Hold(ctx, []store.Hold{holds[1], holds[0], {ID: routed.ID, Seen: routed.UpdatedAt}, stale}, now)
	ok(t, err)
	for _, e := range events[:2] {
		e.UpdatedAt = now
	}
	same(t, held, events[:2])
	held, err = f.S.Hold(ctx, holds, now.Add(time.Second))
	ok(t, err)
	events[2].UpdatedAt = now.Add(time.Second)
	same(t, held, events[2:])
	held, err = f.S.Hold(ctx, nil, now)
	if err != nil || len(held) != 0 {
		t.Fatalf("holding nothing gave %v, %v", held, err)
	}
}

func holdRace(t *testing.T, f *Fixture) {
	_, holds := f.pending(t, 5)
	var taken atomic.Int32
	for _, err := range together(20, func(i int) error {
		// Each asks in an order of its own.
		mine := slices.Concat(holds[i%len(holds):], holds[:i%len(holds)])
		held, err := f.S.Hold(t.Context(), mine, f.Now.Add(time.Duration(i+1)*time.Second))
		taken.Add(int32(len(held)))
		return err
	}) {
		ok(t, err)
	}
	if taken.Load() != 5 {
		t.Fatalf("5 events were taken %d times", taken.Load())
	}
}

func expand(t *testing.T, f *Fixture) {
	ctx := t.Context()
	_, holds := f.pending(t, 2)
	now := f.Now.Add(time.Second)
	held, err := f.S.Hold(ctx, holds, now)
	ok(t, err)
	wide, lost := held[0], held[1]
	first, second, foreign := f.Delivery(wide, "a"), f.Delivery(wide, "b"), f.Delivery(lost, "a")
	// Somebody else takes one of them.
	_, err = f.S.Hold(ctx, []store.Hold{{ID: lost.ID, Seen: now}}, now.Add(time.Hour))
	ok(t, err)
	r := &store.Routed{
		Events: []*convoy.Event{wide, lost}, Deliveries: []*convoy.Delivery{first, foreign},
		Payloads: []*convoy.Payload{{Delivery: first.ID, Data: []byte("1")}, {Delivery: foreign.ID, Data: []byte("2")}},
	}
	ok(t, f.S.Expand(ctx, r, now)) // at the same time: it must be seen to go on
	if len(r.Events) != 1 || len(r.Deliveries) != 1 || len(r.Payloads) != 1 || !wide.UpdatedAt.After(now) {
		t.Fatalf("%d events, %d deliveries and %d payloads are left in the batch", len(r.Events), len(r.Deliveries), len(r.Payloads))
	}
	_, err = f.S.Delivery(ctx, foreign.ProjectID, foreign.ID)
	refused(t, err, convoy.NotFound, "event delivery not found")
	same(t, f.delivery(t, first), first)
	got, err := f.S.Event(ctx, wide.ProjectID, wide.ID)
	ok(t, err)
	same(t, got, wide)

	wide.Status, wide.Endpoints = convoy.EventSuccess, []convoy.EndpointID{"a", "b"}
	ok(t, f.S.Expand(ctx, &store.Routed{Events: []*convoy.Event{wide}, Deliveries: []*convoy.Delivery{first, second}}, now.Add(time.Minute)))
	same(t, f.delivery(t, second), second)
	got, err = f.S.Event(ctx, wide.ProjectID, wide.ID)
	ok(t, err)
	same(t, got, wide)
	if got.Status != convoy.EventSuccess || !got.UpdatedAt.Equal(now.Add(time.Minute)) {
		t.Fatalf("event %+v", got)
	}
	// It is routed: whoever comes later has lost it.
	r = &store.Routed{Events: []*convoy.Event{wide}, Deliveries: []*convoy.Delivery{f.Delivery(wide, "c")}}
	ok(t, f.S.Expand(ctx, r, now.Add(time.Hour)))
	if len(r.Events) != 0 || len(r.Deliveries) != 0 {
		t.Fatal("a routed event was expanded")
	}
	known, err := f.S.KnownDeliveries(ctx, []convoy.DeliveryID{second.ID, foreign.ID, first.ID})
	ok(t, err)
	if len(known) != 2 || !known[first.ID] || !known[second.ID] {
		t.Fatalf("known: %v", known)
	}
	if known, err = f.S.KnownDeliveries(ctx, nil); err != nil || len(known) != 0 {
		t.Fatalf("of none are known %v, %v", known, err)
	}
}

// payloads are stored with their deliveries and read with them.
func payloads(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	e := f.Event(p.ID, f.Now)
	plain, own, failed := f.Delivery(e, "a"), f.Delivery(e, "b"), f.Delivery(e, "c")
	failed.Status, failed.Description, failed.DueAt, failed.ClaimAt = convoy.DeliveryFailure, "why", time.Time{}, time.Time{}
	f.Append(t, []*convoy.Event{e})
	made := &convoy.Payload{Delivery: own.ID, Data: []byte("\x00[1]\xff")}
	none := &convoy.Payload{Delivery: failed.ID, Failure: "why"}
	r := &store.Routed{Deliveries: []*convoy.Delivery{plain, own, failed}, Payloads: []*convoy.Payload{made, none}}
	ok(t, f.S.Replay(ctx, r))
	other := *made
	other.Data = []byte("other")
	ok(t, f.S.Replay(ctx, &store.Routed{Payloads: []*convoy.Payload{&other}})) // what is there stays

	_, err := f.S.Resend(ctx, p.ID, failed.ID, f.Now)
	ok(t, err)
	check := func(want map[convoy.DeliveryID]*convoy.Payload) {
		t.Helper()
		jobs, err := f.S.Jobs(ctx, []convoy.DeliveryID{plain.ID, own.ID, failed.ID})
		ok(t, err)
		if len(jobs) != 3 {
			t.Fatalf("%d jobs", len(jobs))
		}
		page, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID})
		ok(t, err)
		for _, j := range jobs {
			samePayload(t, j.Payload, want[j.Delivery.ID])
			detail, err := f.S.DeliveryDetail(ctx, p.ID, j.Delivery.ID)
			ok(t, err)
			samePayload(t, detail.Payload, want[j.Delivery.ID])
		}
		for _, d := range page.Items {
			samePayload(t, d.Payload, want[d.ID])
		}
	}
	check(map[convoy.DeliveryID]*convoy.Payload{own.ID: made, failed.ID: none})
	// The function has run again before a try.
	retry := f.delivery(t, failed)
	retry.Status, retry.Trials = convoy.DeliveryRetry, 1
	late := &convoy.Payload{Delivery: failed.ID, Data: []byte(`"late"`)}
	ok(t, f.S.Record(ctx, []store.Outcome{{Delivery: retry, Payload: late}}))
	check(map[convoy.DeliveryID]*convoy.Payload{own.ID: made, failed.ID: late})
}

func samePayload(t *testing.T, got, want *convoy.Payload) {
	t.Helper()
	if (got == nil) != (want == nil) || got != nil && (got.Delivery != want.Delivery || string(got.Data) != string(want.Data) || got.Failure != want.Failure) {
		t.Fatalf("payload %+v, want %+v", got, want)
	}
}

// sharedEvents loads many deliveries of few events.
func sharedEvents(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	e := f.Event(p.ID, f.Now)
	e.Data = []byte(`"` + strings.Repeat("x", 10_000) + `"`)
	var (
		ds  []*convoy.Delivery
		ids []convoy.DeliveryID
	)
	for i := range 100 {
		d := f.Delivery(e, convoy.EndpointID(fmt.Sprint("endpoint ", i)))
		ds, ids = append(ds, d), append(ids, d.ID)
	}
	f.Append(t, []*convoy.Event{e}, ds...)
	gone := f.Event(p.ID, f.Now) // never stored
	lost := f.Delivery(gone, "a")
	f.Append(t, nil, lost)
	jobs, err := f.S.Jobs(ctx, append(ids, lost.ID))
	ok(t, err)
	if len(jobs) != len(ds) {
		t.Fatalf("%d jobs, want %d", len(jobs), len(ds))
	}
	byID := map[convoy.DeliveryID]*convoy.Delivery{}
	for _, d := range ds {
		byID[d.ID] = d
	}
	for _, j := range jobs {
		if j.Event != jobs[0].Event {
			t.Fatal("the event is in memory more than once")
		}
		same(t, j.Delivery, byID[j.Delivery.ID])
	}
	same(t, jobs[0].Event, e)
}
