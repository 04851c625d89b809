package route

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"convoy"
	"convoy/internal/id"
)

// TestIndexRoutesTheSame routes events to many filtered subscriptions, in steps of
// any length: the deliveries and the reason of a failure are those of asking every
// subscription.
func TestIndexRoutesTheSame(t *testing.T) {
	t.Parallel()
	filters := []string{
		`{"a":1}`, `{"a":"2.0","b":"x"}`, `{"b":{"$in":["x","y"]}}`, `{"a":{"$gt":1}}`, `{"$or":[{"a":1},{"c.d":true}]}`, `{"a":3}`, `{"c":{"d":false}}`,
	}
	data := []string{`{}`, `{"a":1}`, `{"a":2,"b":"x"}`, `{"a":[1,3]}`, `{"b":"z","c":{"d":true}}`, `{"a":0}`, `nothing`}
	rapid.Check(t, func(rt *rapid.T) {
		types := rapid.SampledFrom([][]string{{"*"}, {"paid", "sent.*"}, {"paid.*"}, {"sent", "*"}})
		l, r := newLarge(rapid.IntRange(1, 60).Draw(rt, "subscriptions"), func(int) []string { return types.Draw(rt, "types") })
		source := rapid.SampledFrom([]convoy.SourceID{"", "S"})
		body := rapid.SampledFrom(filters)
		unfiltered := rapid.IntRange(0, 30).Draw(rt, "unfiltered") // one in so many
		for i, s := range l.subscriptions {
			if rapid.IntRange(0, 5).Draw(rt, "same endpoint") == 0 {
				s.EndpointID = l.endpoints[0].ID
			}
			s.SourceID = source.Draw(rt, "source")
			for j := range s.Filters {
				if i%(unfiltered+1) != unfiltered {
					s.Filters[j].Body = json.RawMessage(body.Draw(rt, "filter"))
				}
			}
			if rapid.IntRange(0, 20).Draw(rt, "off") == 0 {
				s.Filters[0].EnabledAt = time.Time{}
			}
		}
		view, err := r.projects.Project(t.Context(), l.project.ID)
		if err != nil {
			rt.Fatal(err)
		}
		for range 5 {
			e := &convoy.Event{
				ID: convoy.EventID(id.New(time.Now())), ProjectID: l.project.ID, Kind: convoy.KindBroadcast, Status: convoy.EventPending,
				Type: rapid.SampledFrom([]string{"paid", "paid.eu", "sent", "sent.us", "other"}).Draw(rt, "type"), Data: []byte(rapid.SampledFrom(data).Draw(rt, "data")),
			}
			if rapid.Bool().Draw(rt, "from a source") {
				e.Kind, e.SourceID = convoy.KindSource, "S"
			}
			// Without an index: each subscription by itself.
			var want []string
			reason := unreached(e.Kind)
			for _, endpoint := range l.endpoints {
				for _, s := range view.Subscriptions(endpoint.ID) {
					_, takes := s.Takes(e.Type)
					if s.SourceID != e.SourceID || e.Kind == convoy.KindBroadcast && !takes {
						continue
					}
					w := walk{batch: r.batch(time.Now()), x: &convoy.Expansion{Event: e}}
					ok := w.takes(s)
					if reason != reasonFilter {
						reason = w.x.Reason
					}
					repeated := e.Kind == convoy.KindBroadcast && len(want) > 0 && slices.ContainsFunc(want, func(had string) bool { return had[:26] == string(endpoint.ID) })
					if ok && !repeated {
						want = append(want, string(endpoint.ID)+" "+string(s.ID))
					}
				}
			}
			slices.Sort(want)
			var got []string
			step := rapid.IntRange(1, 20).Draw(rt, "step")
			for x := (convoy.Expansion{Event: e}); !x.Done; {
				ds, err := r.Expand(t.Context(), &x, step, time.Now())
				if err != nil {
					rt.Fatal(err)
				}
				for _, d := range ds {
					got = append(got, string(d.EndpointID)+" "+string(d.SubscriptionID))
				}
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("%s %s: deliveries %v, want %v", e.Type, e.Data, got, want)
			}
			if len(want) == 0 && e.FailureReason != reason {
				rt.Fatalf("%s %s: %q, want %q", e.Type, e.Data, e.FailureReason, reason)
			}
		}
	})
}

// TestIndexPanics is a fault in looking an event up: every subscription is asked.
func TestIndexPanics(t *testing.T) {
	t.Parallel()
	l, r := newLarge(40, func(int) []string { return []string{"*"} })
	for i, s := range l.subscriptions {
		s.Filters[0].Body = fmt.Appendf(nil, `{"group": %d}`, i)
	}
	view, err := r.projects.Project(t.Context(), l.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, patterns := view.SubscriptionsFor("a")
	w := walk{batch: r.batch(time.Now()), x: &convoy.Expansion{}, view: view} // reading no event panics
	if w.selectFrom(patterns); !patterns.Selective() || len(w.lists) != 1 || len(w.lists[0]) != 40 {
		t.Errorf("%d lists", len(w.lists))
	}
}
