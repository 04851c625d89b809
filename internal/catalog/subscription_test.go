package catalog

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/filter"
	"convoy/internal/id"
)

// TestCompiledOnce loads a project several times: conditions are compiled when
// they are new, and complained about once.
func TestCompiledOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log bytes.Buffer
	b.Catalog = New(b.src, bus.NewMemory(), slog.New(slog.NewTextHandler(&log, nil)), b.clock.now)
	e, now := b.endpoint(t), time.Now()
	add := func(body string) *convoy.Subscription {
		t.Helper()
		s := &convoy.Subscription{ID: convoy.SubscriptionID(id.New(now)), ProjectID: b.project.ID, EndpointID: e.ID, Mode: convoy.AtLeastOnce}
		s.Filters = filter.ForTypes(s.ID, []string{"a", "b"}, nil, now)
		s.Filters[0].Body = json.RawMessage(body)
		if err := b.src.CreateSubscription(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain, good, bad := add(""), add(`{"x": 1}`), add(`{"x": {"$what": 1}}`)
	load := func() map[convoy.SubscriptionID]*Subscription {
		t.Helper()
		if err := b.Changed(t.Context(), b.project.ID); err != nil {
			t.Fatal(err)
		}
		out := map[convoy.SubscriptionID]*Subscription{}
		for _, s := range b.view(t).Subscriptions(e.ID) {
			out[s.ID] = s
		}
		return out
	}
	takes := func(s *Subscription, event string, conditions, ok bool) {
		t.Helper()
		if p, took := s.Takes(event); took != ok || (p != nil) != conditions {
			t.Errorf("%s takes %s: %v with conditions %v, want %v, %v", s.ID, event, took, p != nil, ok, conditions)
		}
	}
	first := load()
	takes(first[plain.ID], "a", false, true)
	takes(first[good.ID], "a", true, true)
	takes(first[good.ID], "b", false, true)
	takes(first[good.ID], "c", false, false)
	takes(first[bad.ID], "a", false, false)
	takes(first[bad.ID], "b", false, false)
	second := load()
	if first[good.ID].programs[0] != second[good.ID].programs[0] {
		t.Error("compiled again without a change")
	}
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("%d complaints, want one:\n%s", n, &log)
	}
	good.Filters[0].Body = json.RawMessage(`{"x": 2}`)
	if err := b.src.UpdateSubscription(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	third := load()
	if first[good.ID].programs[0] == third[good.ID].programs[0] {
		t.Error("the change is not seen")
	}
	takes(third[good.ID], "a", true, true)
}
