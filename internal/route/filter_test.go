package route

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/filter"
	"convoy/internal/function"
	"convoy/internal/id"
)

// edit changes the only subscription of an endpoint.
func (b *bundle) edit(t *testing.T, to convoy.EndpointID, change func(*convoy.Subscription)) {
	t.Helper()
	subs, err := b.store.AllSubscriptions(t.Context(), b.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(subs, func(s *convoy.Subscription) bool { return s.EndpointID == to })
	change(subs[i])
	if err := b.store.UpdateSubscription(t.Context(), subs[i]); err != nil {
		t.Fatal(err)
	}
	b.changed(t)
}

// TestConditions routes events through subscriptions with conditions on every
// part of an event, one of which cannot be read.
func TestConditions(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	add := func(change func(f *convoy.Filter)) convoy.EndpointID {
		t.Helper()
		e := b.endpoint(t, convoy.EndpointActive, []string{"*", "quiet"})
		b.edit(t, e.ID, func(s *convoy.Subscription) { change(&s.Filters[0]) })
		return e.ID
	}
	body := add(func(f *convoy.Filter) { f.Body = json.RawMessage(`{"amount": {"$gte": 10}}`) })
	headers := add(func(f *convoy.Filter) { f.Headers = json.RawMessage(`{"x-tenant": "7"}`) })
	query := add(func(f *convoy.Filter) { f.Query = json.RawMessage(`{"page": "2"}`) })
	path := add(func(f *convoy.Filter) { f.Path = json.RawMessage(`{"path": "/in"}`) })
	broken := add(func(f *convoy.Filter) { f.Body = json.RawMessage(`{"amount": {"$regex": "("}}`) })
	plain := add(func(*convoy.Filter) {})
	tests := []struct {
		name  string
		event convoy.Event
		want  []convoy.EndpointID
	}{
		{"body", convoy.Event{Data: []byte(`{"amount": 10}`)}, []convoy.EndpointID{body, plain}},
		{"nothing", convoy.Event{Data: []byte(`{"amount": 9}`)}, []convoy.EndpointID{plain}},
		{"no object", convoy.Event{Data: []byte(`[1]`)}, []convoy.EndpointID{plain}},
		{"headers", convoy.Event{Headers: map[string][]string{"X-Tenant": {"7"}}}, []convoy.EndpointID{headers, plain}},
		{"query", convoy.Event{URLQuery: "page=2"}, []convoy.EndpointID{query, plain}},
		{"path", convoy.Event{URLPath: "/in"}, []convoy.EndpointID{path, plain}},
		{"all", convoy.Event{
			Data: []byte(`{"amount": 10}`), Headers: map[string][]string{"X-Tenant": {"7"}}, URLQuery: "page=2", URLPath: "/in",
		}, []convoy.EndpointID{body, headers, query, path, plain}},
		{"another type, without conditions", convoy.Event{Type: "quiet", Data: []byte(`{}`)}, []convoy.EndpointID{body, headers, query, path, plain}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := b.event("a")
			e.Kind, e.Headers, e.URLQuery, e.URLPath = convoy.KindBroadcast, tt.event.Headers, tt.event.URLQuery, tt.event.URLPath
			if tt.event.Type != "" {
				e.Type = tt.event.Type
			}
			if tt.event.Data != nil {
				e.Data = tt.event.Data
			}
			got := endpointsOf(b.route(t, e))
			want := slices.Sorted(slices.Values(tt.want))
			if !slices.Equal(got, want) {
				t.Errorf("to %v, want %v", got, want)
			}
		})
	}
	for _, to := range []convoy.EndpointID{body, broken} {
		e := b.event("a", to)
		if ds := b.route(t, e); len(ds) != 0 || e.FailureReason != reasonFilter {
			t.Errorf("%d deliveries, event %s: %s", len(ds), e.Status, e.FailureReason)
		}
		// A dynamic event is not filtered.
		e = b.event("a", to)
		e.Kind = convoy.KindDynamic
		if ds := b.route(t, e); len(ds) != 1 {
			t.Errorf("%d deliveries of a dynamic event", len(ds))
		}
	}
}

// TestConditionPanics is a fault in the conditions of one subscription.
func TestConditionPanics(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	view, err := b.catalog.Project(t.Context(), b.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	w := walk{batch: b.batch(time.Now()), x: &convoy.Expansion{Event: b.event("a", to)}}
	var nothing *filter.Program // asking it panics
	if w.match(nothing, view.Subscriptions(to)[0]) {
		t.Error("a filter that panics was met")
	}
}

// TestFunctionsWait routes an event with functions: what has none is routed at
// once, the others when the event is expanded.
func TestFunctionsWait(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	plain, function, other := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID,
		b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID, b.endpoint(t, convoy.EndpointActive, []string{"other"}).ID
	for _, to := range []convoy.EndpointID{function, other} {
		b.edit(t, to, func(s *convoy.Subscription) { s.Function = "source" })
	}
	e := b.event("a", plain, function, other)
	ds, deferred, err := b.Route(t.Context(), []*convoy.Event{e}, time.Now())
	if err != nil || len(ds) != 1 || ds[0].EndpointID != plain || len(deferred) != 1 || e.Status != convoy.EventPending {
		t.Fatalf("%d deliveries, %d deferred, %v; event %s", len(ds), len(deferred), err, e.Status)
	}
	x := convoy.Expansion{Event: e}
	var all, late []convoy.EndpointID
	for !x.Done {
		second := x.Functions
		ds, err := b.Expand(t.Context(), &x, 10, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, endpointsOf(ds)...)
		if second {
			late = append(late, endpointsOf(ds)...)
		}
	}
	want := []convoy.EndpointID{plain, function}
	if !slices.Equal(all, want) || !slices.Equal(late, want[1:]) || e.Status != convoy.EventSuccess || !slices.Equal(e.Endpoints, want) {
		t.Errorf("deliveries %v, with functions %v, event %+v", all, late, e)
	}
}

func TestTransform(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	e := b.event("a", to)
	d := b.route(t, e)[0]
	tests := []struct {
		source, data, failure string
		fault                 bool
	}{
		{source: "", data: ""},
		{source: "same", data: ""},
		{source: `{"b": 1}`, data: `{"b": 1}`},
		{source: "fails", failure: reasonFunction + "x is not defined"},
		{source: "away", fault: true},
	}
	for _, tt := range tests {
		b.edit(t, to, func(s *convoy.Subscription) { s.Function = tt.source })
		p, err := b.Transform(t.Context(), e, d)
		switch {
		case (err != nil) != tt.fault:
			t.Errorf("%q: %v", tt.source, err)
		case p == nil:
			if tt.data+tt.failure != "" {
				t.Errorf("%q has no payload", tt.source)
			}
		case p.Delivery != d.ID || string(p.Data) != tt.data || !strings.HasPrefix(p.Failure, tt.failure) || strings.Contains(p.Failure, "\x00"):
			t.Errorf("%q: %+v", tt.source, p)
		}
	}
	d.SubscriptionID = convoy.SubscriptionID(id.New(time.Now()))
	if p, err := b.Transform(t.Context(), e, d); err != nil || p == nil || p.Failure != reasonUnsubscribed {
		t.Errorf("of a subscription that is gone: %+v, %v", p, err)
	}
}

// TestTransformReally runs JavaScript.
func TestTransformReally(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	cache := function.New(function.Config{})
	t.Cleanup(cache.Close)
	b.functions = cache
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	e := b.event("a", to)
	d := b.route(t, e)[0]
	for source, want := range map[string]convoy.Payload{
		`function transform(p) { p.seen = true; return p }`: {Delivery: d.ID, Data: []byte(`{"seen":true}`)},
		`function transform(p) { throw new Error("no") }`:   {Delivery: d.ID, Failure: reasonFunction},
		`function transform(p) { for (;;) {} }`:             {Delivery: d.ID, Failure: reasonFunction},
	} {
		b.edit(t, to, func(s *convoy.Subscription) { s.Function = source })
		p, err := b.Transform(t.Context(), e, d)
		if err != nil || p == nil || p.Delivery != want.Delivery || string(p.Data) != string(want.Data) || !strings.HasPrefix(p.Failure, want.Failure) || (p.Failure == "") != (want.Failure == "") {
			t.Errorf("%s: %+v, %v", source, p, err)
		}
	}
}
