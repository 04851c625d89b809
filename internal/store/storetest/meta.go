package storetest

import (
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/meta"
	"convoy/internal/store"
)

// telling stores a project that asks for all meta events.
func (f *Fixture) telling(t *testing.T) *convoy.Project {
	t.Helper()
	p := f.Project(t)
	p.Config.MetaEvent = convoy.MetaEventConfig{
		Enabled: true, Type: convoy.MetaHTTP, EventType: convoy.MetaEventTypes(), URL: "https://ops.example.com", Secret: "s",
	}
	ok(t, f.S.UpdateProject(t.Context(), p))
	return p
}

// told are the stored meta events of a project, oldest first.
func (f *Fixture) told(t *testing.T, p *convoy.Project) []store.DeliveryDetail {
	t.Helper()
	list, err := f.S.Deliveries(t.Context(), store.DeliveryFilter{Project: p.ID.Meta(), Page: store.Page{PerPage: 1000}})
	ok(t, err)
	slices.Reverse(list.Items)
	return list.Items
}

// ending is an outcome that ends a delivery, and what tells of it.
func (f *Fixture) ending(p *convoy.Project, d *convoy.Delivery, status convoy.DeliveryStatus) store.Outcome {
	o := f.outcome(d)
	o.Delivery.Status = status
	o.Meta = meta.Delivery(p, o.Delivery, &convoy.Event{ID: d.EventID}, o.Attempt)
	return o
}

// An end that is recorded is told of once, however often and by whomever it is
// recorded; one that is not is not.
func metaOutcomes(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.telling(t)
	_, ds := f.Fill(t, p.ID, "endpoint", f.Now, 3)
	first, second := f.ending(p, ds[0], convoy.DeliverySuccess), f.ending(p, ds[1], convoy.DeliveryFailure)
	retry := f.ending(p, ds[2], convoy.DeliveryRetry)
	if retry.Meta != nil {
		t.Fatal("a delivery that will be tried again is told of")
	}
	ok(t, f.S.Record(ctx, []store.Outcome{first, retry, second}))
	list := f.told(t, p)
	want := []convoy.Job{*first.Meta, *second.Meta}
	slices.SortFunc(want, func(a, b convoy.Job) int { return cmp.Compare(a.Delivery.ID, b.Delivery.ID) })
	if len(list) != 2 {
		t.Fatalf("%d meta events, want 2", len(list))
	}
	for i, j := range want {
		same(t, list[i].Delivery, j.Delivery)
		same(t, list[i].Event, j.Event)
	}
	jobs, err := f.S.Jobs(ctx, []convoy.DeliveryID{list[0].ID, list[1].ID})
	ok(t, err)
	due, _, err := f.S.ClaimDue(ctx, f.Now.Add(time.Hour), time.Minute, 100)
	ok(t, err)
	for _, d := range list {
		if !slices.Contains(dueIDs(due), d.ID) {
			t.Errorf("the meta event %s cannot be claimed", d.ID)
		}
	}
	if len(jobs) != 2 {
		t.Errorf("%d meta events can be sent, want 2", len(jobs))
	}

	// The answer of the database was lost, or the process died and another one
	// comes with the same or with something else.
	ok(t, f.S.Record(ctx, []store.Outcome{first, second}))
	again := f.ending(p, ds[0], convoy.DeliverySuccess)
	other := f.ending(p, ds[1], convoy.DeliverySuccess)
	again.Meta.Event.ID, again.Meta.Delivery.ID = convoy.EventID(f.ID(f.Now)), convoy.DeliveryID(f.ID(f.Now))
	other.Delivery.UpdatedAt = other.Delivery.UpdatedAt.Add(time.Second)
	ok(t, f.S.Record(ctx, []store.Outcome{again, other}))
	if n := len(f.told(t, p)); n != 2 {
		t.Errorf("%d meta events after the same ends were recorded again, want 2", n)
	}
	// The next trial ends the third.
	last := f.ending(p, retry.Delivery, convoy.DeliveryFailure)
	ok(t, f.S.Record(ctx, []store.Outcome{last}))
	if n := len(f.told(t, p)); n != 3 {
		t.Errorf("%d meta events after the third ended, want 3", n)
	}
	// A process that slept through a resend comes with the end of before it.
	resent, err := f.S.Resend(ctx, p.ID, second.Delivery.ID, f.Now)
	ok(t, err)
	stale := f.ending(p, ds[1], convoy.DeliverySuccess)
	stale.Delivery.UpdatedAt = f.Now.Add(time.Hour)
	ok(t, f.S.Record(ctx, []store.Outcome{stale}))
	if n := len(f.told(t, p)); n != 3 {
		t.Errorf("%d meta events after an end of before a resend, want 3", n)
	}
	ok(t, f.S.Record(ctx, []store.Outcome{f.ending(p, resent, convoy.DeliveryFailure)}))
	if n := len(f.told(t, p)); n != 4 {
		t.Errorf("%d meta events after a resent delivery failed again, want 4", n)
	}
	if list := f.told(t, f.telling(t)); len(list) != 0 {
		t.Errorf("another project has %d meta events", len(list))
	}
}

// What tells of deliveries that were made as failed is stored with them, and not
// when somebody else makes them.
func metaExpansion(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.telling(t)
	_, holds := f.pending(t, 2)
	held, err := f.S.Hold(ctx, holds, f.Now.Add(time.Second))
	ok(t, err)
	kept, lost := held[0], held[1]
	_, err = f.S.Hold(ctx, []store.Hold{{ID: lost.ID, Seen: lost.UpdatedAt}}, f.Now.Add(time.Hour))
	ok(t, err)
	r := &store.Routed{Events: []*convoy.Event{kept, lost}, Meta: map[convoy.DeliveryID]convoy.Job{}}
	made := func(e *convoy.Event) *convoy.Delivery {
		d := f.Delivery(e, "endpoint")
		d.Status, d.Description, d.DueAt, d.ClaimAt = convoy.DeliveryFailure, "why", time.Time{}, time.Time{}
		return d
	}
	for _, e := range r.Events {
		d := made(e)
		r.Deliveries = append(r.Deliveries, d)
		r.Meta[d.ID] = *meta.Delivery(p, d, e, nil)
	}
	first := r.Deliveries[0]
	ok(t, f.S.Expand(ctx, r, f.Now.Add(time.Minute)))
	list := f.told(t, p)
	if len(r.Meta) != 1 || len(list) != 1 {
		t.Fatalf("%d meta events in the batch and %d stored, want 1", len(r.Meta), len(list))
	}
	same(t, list[0].Delivery, r.Meta[first.ID].Delivery)

	again := &store.Routed{Deliveries: []*convoy.Delivery{first, made(kept)}, Meta: map[convoy.DeliveryID]convoy.Job{}}
	for i, d := range again.Deliveries {
		later := *d
		later.UpdatedAt = f.Now.Add(time.Duration(i+1) * time.Hour) // another process works it out once more
		again.Meta[d.ID] = *meta.Delivery(p, &later, kept, nil)
	}
	for range 2 {
		ok(t, f.S.Replay(ctx, again))
		if n := len(f.told(t, p)); n != 2 {
			t.Errorf("%d meta events, want one of each delivery", n)
		}
	}
}

// Of processes that end a delivery at once one does, and that is told of.
func metaRace(t *testing.T, f *Fixture) {
	p := f.telling(t)
	const rounds = 20
	_, ds := f.Fill(t, p.ID, "endpoint", f.Now, rounds)
	for round, d := range ds {
		outcomes := make([]store.Outcome, 4)
		for i := range outcomes {
			outcomes[i] = f.ending(p, d, []convoy.DeliveryStatus{convoy.DeliverySuccess, convoy.DeliveryFailure}[i%2])
		}
		for _, err := range together(len(outcomes), func(i int) error { return f.S.Record(t.Context(), outcomes[i:i+1]) }) {
			ok(t, err)
		}
		list := f.told(t, p)
		if len(list) != round+1 {
			t.Fatalf("%d meta events of %d deliveries", len(list), round+1)
		}
	}
	types := map[convoy.DeliveryStatus]int{}
	for _, d := range ds {
		types[f.delivery(t, d).Status]++
	}
	for _, d := range f.told(t, p) {
		switch d.EventType {
		case convoy.MetaDeliverySuccess:
			types[convoy.DeliverySuccess]--
		case convoy.MetaDeliveryFailed:
			types[convoy.DeliveryFailure]--
		}
	}
	for status, n := range types {
		if n != 0 {
			t.Errorf("%d more deliveries are %s than are told of", n, status)
		}
	}
}

// A change of an endpoint and what tells of it are stored together or not at
// all.
func metaChanges(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.telling(t)
	e := f.Endpoint(t, p)
	tell := func(eventType string) []convoy.Job { return meta.Endpoint(p, eventType, e, f.Now) }
	steps := []struct {
		name string
		do   func() error
		// told is how many meta events it adds.
		told  int
		fails bool
		kind  convoy.Kind
	}{
		{"a second one of its id", func() error { return f.S.CreateEndpoint(ctx, e, tell(convoy.MetaEndpointCreated)...) }, 0, true, convoy.Internal},
		{"update", func() error { return f.S.UpdateEndpoint(ctx, e, tell(convoy.MetaEndpointUpdated)...) }, 1, false, 0},
		{"a switch to what it is", func() error {
			_, err := f.S.SetEndpointStatus(ctx, p.ID, e.ID, convoy.EndpointActive, f.Now, tell(convoy.MetaEndpointUpdated)...)
			return err
		}, 0, false, 0},
		{"a switch", func() error {
			_, err := f.S.SetEndpointStatus(ctx, p.ID, e.ID, convoy.EndpointPaused, f.Now, tell(convoy.MetaEndpointUpdated)...)
			return err
		}, 1, false, 0},
		{"delete", func() error { return f.S.DeleteEndpoint(ctx, p.ID, e.ID, f.Now, tell(convoy.MetaEndpointDeleted)...) }, 1, false, 0},
		{"delete again", func() error { return f.S.DeleteEndpoint(ctx, p.ID, e.ID, f.Now, tell(convoy.MetaEndpointDeleted)...) }, 0, true, convoy.NotFound},
		{"update what is gone", func() error { return f.S.UpdateEndpoint(ctx, e, tell(convoy.MetaEndpointUpdated)...) }, 0, true, convoy.NotFound},
		{"a switch of what is gone", func() error {
			_, err := f.S.SetEndpointStatus(ctx, p.ID, e.ID, convoy.EndpointActive, f.Now, tell(convoy.MetaEndpointUpdated)...)
			return err
		}, 0, true, convoy.NotFound},
		{"a dynamic one, twice", func() error {
			var errs []error
			for range 2 {
				made := *e
				made.ID, made.URL = convoy.EndpointID(f.ID(f.Now)), "https://dynamic.example.com"
				_, err := f.S.EnsureDynamic(ctx, store.Dynamic{Endpoint: &made, Now: f.Now, Meta: meta.Endpoint(p, convoy.MetaEndpointCreated, &made, f.Now)})
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}, 1, false, 0},
		{"many, the last of which is there", func() error {
			var (
				endpoints     []*convoy.Endpoint
				subscriptions []*convoy.Subscription
				told          []convoy.Job
			)
			for range 2 {
				made := *e
				made.ID = convoy.EndpointID(f.ID(f.Now))
				endpoints = append(endpoints, &made)
				subscriptions = append(subscriptions, &convoy.Subscription{ID: convoy.SubscriptionID(f.ID(f.Now)), ProjectID: p.ID, EndpointID: made.ID})
				told = append(told, meta.Endpoint(p, convoy.MetaEndpointCreated, &made, f.Now)...)
			}
			endpoints[1].ID = e.ID
			return f.S.CreateSubscribed(ctx, endpoints, subscriptions, told...)
		}, 0, true, convoy.Internal},
	}
	n := 0
	for _, step := range steps {
		err := step.do()
		if (err != nil) != step.fails || err != nil && convoy.KindOf(err) != step.kind {
			t.Errorf("%s: %v", step.name, err)
		}
		n += step.told
		if got := len(f.told(t, p)); got != n {
			t.Fatalf("%s: %d meta events, want %d", step.name, got, n)
		}
	}
}

func lastAttempts(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	_, ds := f.Fill(t, p.ID, "endpoint", f.Now, 3)
	want := make(map[convoy.DeliveryID]*convoy.Attempt)
	for trial := range 3 {
		for _, d := range ds[:2] {
			o := f.outcome(d)
			o.Before, o.Delivery.Trials = trial, trial+1
			o.Delivery.Status, o.Delivery.DueAt, o.Delivery.ClaimAt = convoy.DeliveryRetry, f.Now, f.Now
			ok(t, f.S.Record(ctx, []store.Outcome{o}))
			want[d.ID] = o.Attempt
		}
	}
	got, err := f.S.LastAttempts(ctx, p.ID, []convoy.DeliveryID{ds[2].ID, ds[1].ID, ds[0].ID})
	ok(t, err)
	same(t, got, want)
	if got, err = f.S.LastAttempts(ctx, "another", []convoy.DeliveryID{ds[0].ID}); err != nil || len(got) != 0 {
		t.Errorf("%d attempts of another project, %v", len(got), err)
	}
	if got, err = f.S.LastAttempts(ctx, p.ID, nil); err != nil || len(got) != 0 {
		t.Errorf("%d attempts of nothing, %v", len(got), err)
	}
}
