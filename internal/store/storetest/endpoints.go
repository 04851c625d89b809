package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

func endpoints(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	a, b := f.Endpoint(t, p), f.Endpoint(t, p)
	got, err := f.S.Endpoint(ctx, p.ID, a.ID)
	ok(t, err)
	same(t, got, a)
	_, err = f.S.Endpoint(ctx, other.ID, a.ID)
	refused(t, err, convoy.NotFound, "endpoint not found")

	changed := *a
	changed.Name, changed.URL, changed.OwnerID, changed.Description = "renamed", "https://other.example.com", "", ""
	changed.Secrets = changed.Secrets[1:]
	changed.AdvancedSignatures = false
	changed.Authentication = convoy.Authentication{}
	changed.HTTPTimeout, changed.RateLimit, changed.RateLimitDuration = 0, 0, 0
	changed.UpdatedAt = f.Now.Add(time.Minute)
	changed.Status = convoy.EndpointPaused // must not be written
	ok(t, f.S.UpdateEndpoint(ctx, &changed))
	changed.Status = convoy.EndpointActive
	got, err = f.S.Endpoint(ctx, p.ID, a.ID)
	ok(t, err)
	same(t, got, changed)
	foreign := changed
	foreign.ProjectID = other.ID
	refused(t, f.S.UpdateEndpoint(ctx, &foreign), convoy.NotFound, "endpoint not found")

	all, err := f.S.AllEndpoints(ctx, p.ID)
	ok(t, err)
	same(t, all, []*convoy.Endpoint{&changed, b})
	all, err = f.S.AllEndpoints(ctx, other.ID)
	ok(t, err)
	same(t, all, []*convoy.Endpoint{})
}

func endpointPages(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	foreign := f.Endpoint(t, f.Project(t))
	var all []*convoy.Endpoint
	for i, name := range []string{"Alpha", "alphabet", "100%", "under_score", `back\slash`, "ÄRGER"} {
		e := f.Endpoint(t, p)
		e.Name, e.OwnerID = name, fmt.Sprintf("owner %d", i%2)
		ok(t, f.S.UpdateEndpoint(ctx, e))
		all = append(all, e)
	}
	gone := f.Endpoint(t, p)
	ok(t, f.S.DeleteEndpoint(ctx, p.ID, gone.ID, f.Now))
	for _, tt := range []struct {
		query, owner string
		want         []int
	}{
		{"", "", []int{5, 4, 3, 2, 1, 0}},
		{"ALPHA", "", []int{1, 0}},
		{"alphab", "", []int{1}},
		{"%", "", []int{2}},
		{"_", "", []int{3}},
		{`\`, "", []int{4}},
		{"RGER", "", []int{5}},
		{"Äg", "", nil},
		{"", "owner 1", []int{5, 3, 1}},
		{"a", "owner 0", []int{4, 0}},
		{"nothing", "", nil},
		{foreign.Name, "", nil},
	} {
		page, err := f.S.Endpoints(ctx, store.EndpointFilter{Project: p.ID, Query: tt.query, Owner: tt.owner})
		ok(t, err)
		want := []*convoy.Endpoint{}
		for _, i := range tt.want {
			want = append(want, all[i])
		}
		same(t, page.Items, want)
	}
	ids := make([]string, len(all))
	for i, e := range all {
		ids[i] = string(e.ID)
	}
	slices.Reverse(ids)
	walk(t, ids, func(p store.Page) (list, error) {
		page, err := f.S.Endpoints(ctx, store.EndpointFilter{Project: all[0].ProjectID, Page: p})
		return listed(page, func(e *convoy.Endpoint) string { return string(e.ID) }), err
	})
}

func endpointStatus(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	e, other := f.Endpoint(t, p), f.Endpoint(t, p)
	ev := f.Event(p.ID, f.Now)
	parked, foreign := f.Delivery(ev, e.ID), f.Delivery(ev, other.ID)
	parked.ClaimAt, foreign.ClaimAt = convoy.Parked, convoy.Parked
	f.Append(t, []*convoy.Event{ev}, parked, foreign)

	for _, tt := range []struct {
		status   convoy.EndpointStatus
		switched bool
		claimAt  time.Time
	}{
		{convoy.EndpointActive, false, convoy.Parked},
		{convoy.EndpointPaused, true, convoy.Parked},
		{convoy.EndpointPaused, false, convoy.Parked},
		{convoy.EndpointInactive, true, convoy.Parked},
		{convoy.EndpointActive, true, f.Now.Add(time.Hour)},
	} {
		switched, err := f.S.SetEndpointStatus(ctx, p.ID, e.ID, tt.status, f.Now.Add(time.Hour))
		ok(t, err)
		got, err := f.S.Endpoint(ctx, p.ID, e.ID)
		ok(t, err)
		if switched != tt.switched || got.Status != tt.status {
			t.Fatalf("switched = %v to %s, want %v to %s", switched, got.Status, tt.switched, tt.status)
		}
		if d := f.delivery(t, parked); !d.ClaimAt.Equal(tt.claimAt) {
			t.Fatalf("status %s: claim time %v, want %v", tt.status, d.ClaimAt, tt.claimAt)
		}
	}
	if d := f.delivery(t, foreign); !d.ClaimAt.Equal(convoy.Parked) {
		t.Fatalf("another endpoint's delivery was resumed at %v", d.ClaimAt)
	}
	_, err := f.S.SetEndpointStatus(ctx, "another", e.ID, convoy.EndpointPaused, f.Now)
	refused(t, err, convoy.NotFound, "endpoint not found")
}

func subscribed(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	var (
		endpoints []*convoy.Endpoint
		subs      []*convoy.Subscription
	)
	for range 3 {
		e := *f.Endpoint(t, p)
		e.ID = convoy.EndpointID(f.ID(f.Now))
		endpoints, subs = append(endpoints, &e), append(subs, f.Subscription(&e))
	}
	ok(t, f.S.CreateSubscribed(ctx, endpoints, subs))
	for i, e := range endpoints {
		got, err := f.S.Endpoint(ctx, p.ID, e.ID)
		ok(t, err)
		same(t, got, e)
		sub, err := f.S.Subscription(ctx, p.ID, subs[i].ID)
		ok(t, err)
		same(t, sub, subs[i])
	}
	fresh := *endpoints[0]
	fresh.ID = convoy.EndpointID(f.ID(f.Now))
	if err := f.S.CreateSubscribed(ctx, []*convoy.Endpoint{&fresh, endpoints[0]}, []*convoy.Subscription{f.Subscription(&fresh), subs[0]}); err == nil {
		t.Fatal("an endpoint was stored twice")
	}
	_, err := f.S.Endpoint(ctx, p.ID, fresh.ID)
	refused(t, err, convoy.NotFound, "endpoint not found")
}

func endpointOutcomes(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	e1, e2, foreign := f.Endpoint(t, p), f.Endpoint(t, p), f.Endpoint(t, other)
	deliver := func(e *convoy.Endpoint, at time.Time, statuses ...convoy.DeliveryStatus) {
		for _, status := range statuses {
			ev := f.Event(e.ProjectID, at)
			d := f.Delivery(ev, e.ID)
			d.Status = status
			f.Append(t, []*convoy.Event{ev}, d)
		}
	}
	from, to := f.Now, f.Now.Add(time.Hour)
	deliver(e1, from, convoy.DeliverySuccess, convoy.DeliverySuccess, convoy.DeliveryFailure)
	deliver(e1, to, convoy.DeliveryRetry, convoy.DeliveryScheduled, convoy.DeliveryDiscarded)
	deliver(e1, from.Add(-time.Millisecond), convoy.DeliverySuccess)
	deliver(e1, to.Add(time.Millisecond), convoy.DeliveryFailure)
	deliver(foreign, from, convoy.DeliverySuccess)
	got, err := f.S.EndpointOutcomes(ctx, p.ID, []convoy.EndpointID{e1.ID, e2.ID, foreign.ID}, from, to)
	ok(t, err)
	same(t, got, map[convoy.EndpointID]store.Outcomes{e1.ID: {Success: 2, Failure: 1, Retry: 1}})
}

func endpointDelete(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	e, other := f.Endpoint(t, p), f.Endpoint(t, p)
	sub, kept := f.Subscription(e), f.Subscription(other)
	ok(t, f.S.CreateSubscription(ctx, sub))
	ok(t, f.S.CreateSubscription(ctx, kept))
	// One below the mark that waits for a retry, one above it, one that has
	// ended, one that is parked, one elsewhere.
	old := f.Event(p.ID, f.Now.Add(-time.Hour))
	ev := f.Event(p.ID, f.Now)
	retry, fresh, sent, parked, foreign := f.Delivery(old, e.ID), f.Delivery(ev, e.ID), f.Delivery(ev, e.ID), f.Delivery(ev, e.ID), f.Delivery(ev, other.ID)
	retry.Status, fresh.ClaimAt, parked.ClaimAt = convoy.DeliveryRetry, time.Time{}, convoy.Parked
	sent.Status, sent.DueAt, sent.ClaimAt = convoy.DeliverySuccess, time.Time{}, time.Time{}
	f.Append(t, []*convoy.Event{old, ev}, retry, fresh, sent, parked, foreign)
	_, _, err := f.S.SweepFresh(ctx, f.Now.Add(-time.Minute), 100)
	ok(t, err)

	later := f.Now.Add(time.Hour)
	refused(t, f.S.DeleteEndpoint(ctx, "another", e.ID, later), convoy.NotFound, "endpoint not found")
	ok(t, f.S.DeleteEndpoint(ctx, p.ID, e.ID, later))
	refused(t, f.S.DeleteEndpoint(ctx, p.ID, e.ID, later), convoy.NotFound, "endpoint not found")
	_, err = f.S.Endpoint(ctx, p.ID, e.ID)
	refused(t, err, convoy.NotFound, "endpoint not found")
	_, err = f.S.Subscription(ctx, p.ID, sub.ID)
	refused(t, err, convoy.NotFound, "subscription not found")
	_, err = f.S.Subscription(ctx, p.ID, kept.ID)
	ok(t, err)
	refused(t, f.S.UpdateEndpoint(ctx, e), convoy.NotFound, "endpoint not found")
	for _, d := range []*convoy.Delivery{retry, fresh, parked} {
		d.Status, d.Description = convoy.DeliveryDiscarded, "endpoint was deleted"
		d.DueAt, d.ClaimAt, d.UpdatedAt = time.Time{}, time.Time{}, later
	}
	for _, d := range []*convoy.Delivery{retry, fresh, parked, sent, foreign} {
		same(t, f.delivery(t, d), d)
	}
}

func subscriptions(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	e1, e2, foreign := f.Endpoint(t, p), f.Endpoint(t, p), f.Endpoint(t, other)
	var subs []*convoy.Subscription
	for _, e := range []*convoy.Endpoint{e1, e1, e2, foreign} {
		s := f.Subscription(e)
		ok(t, f.S.CreateSubscription(ctx, s))
		subs = append(subs, s)
	}
	got, err := f.S.Subscription(ctx, p.ID, subs[0].ID)
	ok(t, err)
	same(t, got, subs[0])
	_, err = f.S.Subscription(ctx, other.ID, subs[0].ID)
	refused(t, err, convoy.NotFound, "subscription not found")
	stray := f.Subscription(e1)
	stray.EndpointID = foreign.ID // of another project
	refused(t, f.S.CreateSubscription(ctx, stray), convoy.NotFound, "endpoint not found")

	subs[1].Name, subs[1].Mode, subs[1].UpdatedAt = "Renamed", convoy.AtMostOnce, f.Now.Add(time.Second)
	subs[1].Filters = []convoy.Filter{{ID: "f3", EventType: "*", EnabledAt: f.Now}}
	subs[1].SourceID, subs[1].Function, subs[1].Retry = "", "", nil
	ok(t, f.S.UpdateSubscription(ctx, subs[1]))
	for _, tt := range []struct {
		filter store.SubscriptionFilter
		want   []*convoy.Subscription
	}{
		{store.SubscriptionFilter{}, []*convoy.Subscription{subs[2], subs[1], subs[0]}},
		{store.SubscriptionFilter{Name: "rENAMED"}, []*convoy.Subscription{subs[1]}},
		{store.SubscriptionFilter{Endpoints: []convoy.EndpointID{e1.ID}}, []*convoy.Subscription{subs[1], subs[0]}},
		{store.SubscriptionFilter{Endpoints: []convoy.EndpointID{e1.ID, e2.ID, foreign.ID}}, []*convoy.Subscription{subs[2], subs[1], subs[0]}},
		{store.SubscriptionFilter{Page: store.Page{Asc: true}}, []*convoy.Subscription{subs[0], subs[1], subs[2]}},
	} {
		tt.filter.Project = p.ID
		page, err := f.S.Subscriptions(ctx, tt.filter)
		ok(t, err)
		same(t, page.Items, tt.want)
	}
	all, err := f.S.AllSubscriptions(ctx, p.ID)
	ok(t, err)
	same(t, all, subs[:3])

	refused(t, f.S.DeleteSubscription(ctx, other.ID, subs[0].ID, f.Now), convoy.NotFound, "subscription not found")
	ok(t, f.S.DeleteSubscription(ctx, p.ID, subs[0].ID, f.Now))
	refused(t, f.S.DeleteSubscription(ctx, p.ID, subs[0].ID, f.Now), convoy.NotFound, "subscription not found")
	refused(t, f.S.UpdateSubscription(ctx, subs[0]), convoy.NotFound, "subscription not found")
	edit := func(id convoy.SubscriptionID, edit func(*convoy.Subscription) error) (*convoy.Subscription, error) {
		return f.S.ChangeSubscription(ctx, store.SubscriptionChange{Project: p.ID, Subscription: id, Edit: edit})
	}
	_, err = edit(subs[0].ID, func(*convoy.Subscription) error { return nil })
	refused(t, err, convoy.NotFound, "subscription not found")
	// Changes at once do not overwrite each other.
	together(8, func(int) error {
		_, err := edit(subs[2].ID, func(s *convoy.Subscription) error {
			s.RateLimit.Count++
			return nil
		})
		ok(t, err)
		return err
	})
	no := convoy.E(convoy.Invalid, "no")
	left, err := edit(subs[2].ID, func(s *convoy.Subscription) error {
		s.RateLimit.Count = 1000
		return no
	})
	refused(t, err, convoy.Invalid, "no")
	left, err = f.S.Subscription(ctx, p.ID, left.ID)
	ok(t, err)
	if left.RateLimit.Count != subs[2].RateLimit.Count+8 {
		t.Fatalf("count %d after 8 changes of %d", left.RateLimit.Count, subs[2].RateLimit.Count)
	}
	subs[2] = left
	all, err = f.S.AllSubscriptions(ctx, p.ID)
	ok(t, err)
	same(t, all, subs[1:3])
}

// moveSubscription moves many to one endpoint at once: one arrives, unless they
// may share it.
func moveSubscription(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	to := f.Endpoint(t, p)
	stores := []*store.Store{f.S, New(t, f.DB)}
	subs := make([]*convoy.Subscription, 6)
	for i := range subs {
		subs[i] = f.Subscription(f.Endpoint(t, p))
		ok(t, f.S.CreateSubscription(ctx, subs[i]))
	}
	move := func(i int, to convoy.EndpointID, shared bool) error {
		_, err := stores[i%len(stores)].ChangeSubscription(ctx, store.SubscriptionChange{
			Project: p.ID, Subscription: subs[i].ID, Shared: shared,
			Edit: func(s *convoy.Subscription) error {
				s.EndpointID = to
				return nil
			},
		})
		return err
	}
	arrived := 0
	for _, err := range together(len(subs), func(i int) error { return move(i, to.ID, false) }) {
		if err == nil {
			arrived++
			continue
		}
		refused(t, err, convoy.Conflict, "a subscription for this endpoint already exists")
	}
	there := func() int {
		n := 0
		all, err := f.S.AllSubscriptions(ctx, p.ID)
		ok(t, err)
		for _, s := range all {
			if s.EndpointID == to.ID {
				n++
			}
		}
		return n
	}
	if arrived != 1 || there() != 1 {
		t.Fatalf("%d moves succeeded, %d subscriptions are there, want 1", arrived, there())
	}
	for _, err := range together(len(subs), func(i int) error { return move(i, to.ID, true) }) {
		ok(t, err)
	}
	if there() != len(subs) {
		t.Fatalf("%d subscriptions share the endpoint", there())
	}
	refused(t, move(0, convoy.EndpointID(f.ID(f.Now)), true), convoy.NotFound, "endpoint not found")
}

func ensureSubscription(t *testing.T, f *Fixture) {
	ctx := t.Context()
	e := f.Endpoint(t, f.Project(t))
	stores := []*store.Store{f.S, New(t, f.DB)}
	for round := range 3 {
		made := make([]bool, 16)
		for _, err := range together(len(made), func(i int) (err error) {
			made[i], err = stores[i%len(stores)].EnsureSubscription(ctx, f.Subscription(e))
			return err
		}) {
			ok(t, err)
		}
		n := 0
		for _, m := range made {
			if m {
				n++
			}
		}
		all, err := f.S.AllSubscriptions(ctx, e.ProjectID)
		ok(t, err)
		if n != 1 || len(all) != 1 {
			t.Fatalf("round %d: %d callers made %d subscriptions, want 1", round, n, len(all))
		}
		// Once it is gone, the next to ask makes another.
		ok(t, f.S.DeleteSubscription(ctx, e.ProjectID, all[0].ID, f.Now))
	}
	e.ID = convoy.EndpointID(f.ID(f.Now))
	_, err := f.S.EnsureSubscription(ctx, f.Subscription(e))
	refused(t, err, convoy.NotFound, "endpoint not found")
}
