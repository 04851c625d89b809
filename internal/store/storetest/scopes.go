package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// holding is what one owner has.
type holding struct {
	endpoint     *convoy.Endpoint
	subscription *convoy.Subscription
	event        *convoy.Event
	delivery     *convoy.Delivery
	attempt      *convoy.Attempt
}

func (f *Fixture) holding(t *testing.T, p *convoy.Project, owner string) (h holding) {
	t.Helper()
	ctx := t.Context()
	h.endpoint = f.Endpoint(t, p)
	h.endpoint.OwnerID = owner
	ok(t, f.S.UpdateEndpoint(ctx, h.endpoint))
	h.subscription = f.Subscription(h.endpoint)
	ok(t, f.S.CreateSubscription(ctx, h.subscription))
	h.event = f.Event(p.ID, f.Now)
	h.event.Endpoints = []convoy.EndpointID{h.endpoint.ID}
	h.delivery = f.Delivery(h.event, h.endpoint.ID)
	f.Append(t, []*convoy.Event{h.event}, h.delivery)
	h.attempt = f.Attempt(h.delivery, f.Now)
	o := f.outcome(h.delivery)
	o.Attempt, o.Delivery.Status = h.attempt, convoy.DeliveryFailure
	ok(t, f.S.Record(ctx, []store.Outcome{o}))
	h.delivery = o.Delivery
	return h
}

// scopes shows an owner what belongs to it and nothing else.
func scopes(t *testing.T, f *Fixture) {
	p, other := f.Project(t), f.Project(t)
	ada, ben, nobody, far := f.holding(t, p, "ada"), f.holding(t, p, "ben"), f.holding(t, p, ""), f.holding(t, other, "ada")
	// One event for both, of which each sees its own part.
	both := f.Event(p.ID, f.Now)
	both.Endpoints = []convoy.EndpointID{ada.endpoint.ID, ben.endpoint.ID}
	f.Append(t, []*convoy.Event{both}, f.Delivery(both, ada.endpoint.ID), f.Delivery(both, ben.endpoint.ID))

	ctx := store.OwnedBy(t.Context(), p.ID, "ada")
	reads(ctx, t, f, ada, true)
	for _, h := range []holding{ben, nobody, far} {
		reads(ctx, t, f, h, false)
		writes(ctx, t, f, h)
		untouched(t, f, h)
	}
	reads(store.OwnedBy(t.Context(), p.ID, ""), t, f, nobody, false)
	reads(store.Whole(ctx), t, f, ben, true)
	got, err := f.S.Event(ctx, p.ID, both.ID)
	ok(t, err)
	same(t, got.Endpoints, []convoy.EndpointID{ada.endpoint.ID})
	lists(ctx, t, f, p.ID, ada, both.ID)
	lists(store.OwnedBy(t.Context(), p.ID, ""), t, f, p.ID, holding{}, "")
	ownChanges(ctx, t, f, p.ID, ada, ben)

	// What does not know scopes fails.
	_, err = f.S.Project(ctx, p.ID)
	refused(t, err, convoy.Internal, "store: this is not limited to an owner")
	_, err = f.S.Find(ctx, p.ID, string(ben.endpoint.ID))
	refused(t, err, convoy.Internal, "store: this is not limited to an owner")
	_, err = f.S.DayCounts(ctx, p.ID, f.Now, f.Now)
	refused(t, err, convoy.Internal, "store: this is not limited to an owner")
	refused(t, f.S.DeleteProject(ctx, p.ID, f.Now), convoy.Internal, "store: this is not limited to an owner")
	refused(t, f.S.Record(ctx, []store.Outcome{f.outcome(ada.delivery)}), convoy.Internal, "store: this is not limited to an owner")
}

// reads gets everything of a holding by its id.
func reads(ctx context.Context, t *testing.T, f *Fixture, h holding, want bool) {
	t.Helper()
	p := h.endpoint.ProjectID
	results := map[string]error{}
	_, results["endpoint"] = f.S.Endpoint(ctx, p, h.endpoint.ID)
	_, results["subscription"] = f.S.Subscription(ctx, p, h.subscription.ID)
	_, results["event"] = f.S.Event(ctx, p, h.event.ID)
	_, results["delivery"] = f.S.Delivery(ctx, p, h.delivery.ID)
	_, results["delivery detail"] = f.S.DeliveryDetail(ctx, p, h.delivery.ID)
	_, results["attempt"] = f.S.Attempt(ctx, p, h.delivery.ID, h.attempt.ID)
	for what, err := range results {
		if want && err != nil || !want && !convoy.IsNotFound(err) {
			t.Errorf("%s: %v, want it to be seen: %t", what, err, want)
		}
	}
	list, err := f.S.Attempts(ctx, p, h.delivery.ID, 10)
	ok(t, err)
	same(t, len(list) == 1, want)
	rates, err := f.S.EndpointOutcomes(ctx, p, []convoy.EndpointID{h.endpoint.ID}, f.Now.Add(-time.Hour), f.Now.Add(time.Hour))
	ok(t, err)
	same(t, rates[h.endpoint.ID].Failure == 1, want)
}

// writes changes nothing of somebody else's.
func writes(ctx context.Context, t *testing.T, f *Fixture, h holding) {
	t.Helper()
	p, mine := h.endpoint.ProjectID, *h.endpoint
	mine.OwnerID, mine.Name = "ada", "taken"
	created := *h.endpoint
	created.ID = convoy.EndpointID(f.ID(f.Now))
	sub := f.Subscription(h.endpoint)
	results := map[string]error{
		"update endpoint": f.S.UpdateEndpoint(ctx, &mine), "delete endpoint": f.S.DeleteEndpoint(ctx, p, h.endpoint.ID, f.Now),
		"create endpoint": f.S.CreateEndpoint(ctx, &created), "create subscription": f.S.CreateSubscription(ctx, sub), "delete subscription": f.S.DeleteSubscription(ctx, p, h.subscription.ID, f.Now),
	}
	_, results["endpoint status"] = f.S.SetEndpointStatus(ctx, p, h.endpoint.ID, convoy.EndpointPaused, f.Now)
	_, results["ensure subscription"] = f.S.EnsureSubscription(ctx, sub)
	_, results["change subscription"] = f.S.ChangeSubscription(ctx, store.SubscriptionChange{
		Project: p, Subscription: h.subscription.ID, Edit: func(*convoy.Subscription) error { t.Error("somebody else's subscription is edited"); return nil },
	})
	_, results["resend"] = f.S.Resend(ctx, p, h.delivery.ID, f.Now)
	for what, err := range results {
		if !convoy.IsNotFound(err) {
			t.Errorf("%s: %v, want it not to be found", what, err)
		}
	}
	n, _, err := f.S.ForceResend(ctx, p, []convoy.DeliveryID{h.delivery.ID}, f.Now)
	ok(t, err)
	same(t, n, 0)
}

// untouched checks that nothing of a holding has changed.
func untouched(t *testing.T, f *Fixture, h holding) {
	t.Helper()
	got, err := f.S.Endpoint(t.Context(), h.endpoint.ProjectID, h.endpoint.ID)
	ok(t, err)
	same(t, got, h.endpoint)
	same(t, f.delivery(t, h.delivery).Status, convoy.DeliveryFailure)
}

// lists has in every list what belongs to the owner.
func lists(ctx context.Context, t *testing.T, f *Fixture, p convoy.ProjectID, h holding, shared convoy.EventID) {
	t.Helper()
	page := store.Page{PerPage: 100}
	events, err := f.S.Events(ctx, store.EventFilter{Project: p, Page: page})
	ok(t, err)
	var ids []convoy.EventID
	for _, e := range events.Items {
		ids = append(ids, e.ID)
		same(t, e.Endpoints, []convoy.EndpointID{h.endpoint.ID})
	}
	endpoints, err := f.S.Endpoints(ctx, store.EndpointFilter{Project: p, Page: page})
	ok(t, err)
	subscriptions, err := f.S.Subscriptions(ctx, store.SubscriptionFilter{Project: p, Page: page})
	ok(t, err)
	deliveries, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p, Page: page})
	ok(t, err)
	counted, err := f.S.CountDeliveries(ctx, store.DeliveryFilter{Project: p})
	ok(t, err)
	countedEvents, err := f.S.CountEvents(ctx, store.EventFilter{Project: p})
	ok(t, err)
	if h.endpoint == nil {
		same(t, []int{len(ids), len(endpoints.Items), len(subscriptions.Items), len(deliveries.Items), counted, countedEvents}, make([]int, 6))
		return
	}
	slices.Sort(ids)
	same(t, ids, slices.Sorted(slices.Values([]convoy.EventID{h.event.ID, shared})))
	same(t, []int{len(endpoints.Items), len(subscriptions.Items), len(deliveries.Items), counted, countedEvents}, []int{1, 1, 2, 2, 2})
	for _, d := range deliveries.Items {
		same(t, d.EndpointID, h.endpoint.ID)
		same(t, d.Event.Endpoints, []convoy.EndpointID{h.endpoint.ID})
	}
}

// ownChanges are those that an owner may make.
func ownChanges(ctx context.Context, t *testing.T, f *Fixture, p convoy.ProjectID, h, other holding) {
	t.Helper()
	_, err := f.S.ChangeSubscription(ctx, store.SubscriptionChange{
		Project: p, Subscription: h.subscription.ID, Shared: true, Edit: func(s *convoy.Subscription) error { s.EndpointID = other.endpoint.ID; return nil },
	})
	refused(t, err, convoy.NotFound, "endpoint not found")
	given := *h.endpoint
	given.OwnerID = "ben"
	refused(t, f.S.UpdateEndpoint(ctx, &given), convoy.NotFound, "endpoint not found")
	j := f.batch(p, convoy.BatchRetry, convoy.BatchFilter{})
	ok(t, f.S.CreateBatchJob(ctx, j))
	same(t, j.Filter.Endpoints, []convoy.EndpointID{h.endpoint.ID})
	active, err := f.S.ActiveBatchRetry(ctx, p)
	ok(t, err)
	same(t, active, true)
	j = f.batch(p, convoy.BatchRetry, convoy.BatchFilter{Endpoints: []convoy.EndpointID{other.endpoint.ID}})
	refused(t, f.S.CreateBatchJob(ctx, j), convoy.Invalid, "the portal link doesn't contain any endpoints")
	refused(t, f.S.CreateBatchJob(ctx, f.batch(p, convoy.BatchReplay, convoy.BatchFilter{})), convoy.Internal, "store: only retries are limited to an owner")
	_, err = f.S.Source(ctx, p, "unknown")
	refused(t, err, convoy.NotFound, "source not found")
	before, err := f.S.EventTypes(ctx, p)
	ok(t, err)
	ok(t, f.S.EnsureEventTypes(ctx, p, []string{"new.type"}, f.Now))
	after, err := f.S.EventTypes(ctx, p)
	ok(t, err)
	same(t, after, before)
	_, err = f.S.Resend(ctx, p, h.delivery.ID, f.Now)
	ok(t, err)
	_, err = f.S.SetEndpointStatus(ctx, p, h.endpoint.ID, convoy.EndpointPaused, f.Now)
	ok(t, err)
	ok(t, f.S.DeleteSubscription(ctx, p, h.subscription.ID, f.Now))
	ok(t, f.S.DeleteEndpoint(ctx, p, h.endpoint.ID, f.Now))
}
