package storetest

import (
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// dayCounts counts what is written, once.
func dayCounts(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	want := func(want ...store.DayCount) {
		t.Helper()
		for range 2 { // before and after they are added up
			got, err := f.S.DayCounts(ctx, p.ID, f.Now.Add(-48*time.Hour), f.Now.Add(48*time.Hour))
			ok(t, err)
			same(t, got, append([]store.DayCount{}, want...))
			_, err = f.S.FoldCounts(ctx, 100)
			ok(t, err)
		}
	}
	want()
	day := f.Now.UTC().Truncate(24 * time.Hour)
	events, d := f.Fill(t, p.ID, f.Endpoint(t, p).ID, f.Now, 3)
	f.Append(t, events, d...) // nothing is written
	f.Fill(t, other.ID, f.Endpoint(t, other).ID, f.Now, 2)
	want(store.DayCount{Day: day, Events: 3})
	end := func(d *convoy.Delivery, status convoy.DeliveryStatus) store.Outcome {
		after := *d
		after.Status, after.Trials, after.UpdatedAt = status, d.Trials+1, f.Now
		return store.Outcome{Delivery: &after, Before: d.Trials}
	}
	outcomes := []store.Outcome{end(d[0], convoy.DeliverySuccess), end(d[1], convoy.DeliveryFailure), end(d[2], convoy.DeliveryRetry)}
	ok(t, f.S.Record(ctx, outcomes))
	ok(t, f.S.Record(ctx, outcomes)) // somebody was first
	want(store.DayCount{Day: day, Events: 3, Succeeded: 1, Failed: 1})
	last := end(outcomes[2].Delivery, convoy.DeliverySuccess)
	last.Delivery.UpdatedAt = f.Now.Add(24 * time.Hour)
	ok(t, f.S.Record(ctx, []store.Outcome{last}))
	want(store.DayCount{Day: day, Events: 3, Succeeded: 1, Failed: 1}, store.DayCount{Day: day.AddDate(0, 0, 1), Succeeded: 1})
}

// presence and what is found by its id.
func find(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	has := func(want store.Presence) {
		t.Helper()
		got, err := f.S.Presence(ctx, p.ID)
		ok(t, err)
		same(t, got, want)
	}
	has(store.Presence{})
	e := f.Endpoint(t, p)
	v := f.Event(p.ID, f.Now)
	v.IdempotencyKey = "order-7"
	d := f.Delivery(v, e.ID)
	f.Append(t, []*convoy.Event{v}, d)
	has(store.Presence{Events: true, Endpoints: true})
	finds := func(project convoy.ProjectID, id string, want ...store.Match) {
		t.Helper()
		got, err := f.S.Find(ctx, project, id)
		ok(t, err)
		same(t, got, append([]store.Match{}, want...))
	}
	event := store.Match{Kind: "event", ID: string(v.ID), Title: v.Type}
	finds(p.ID, event.ID, event)
	finds(p.ID, "order-7", event)
	finds(p.ID, string(d.ID), store.Match{Kind: "delivery", ID: string(d.ID), Title: d.EventType})
	finds(p.ID, string(e.ID), store.Match{Kind: "endpoint", ID: string(e.ID), Title: e.Name})
	finds(p.ID, "")
	finds(p.ID, "unknown")
	finds(other.ID, event.ID)
	finds(other.ID, string(e.ID))
}
