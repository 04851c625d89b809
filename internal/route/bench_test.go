package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/catalog"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/store"
)

// large is the source of one project with many endpoints, in memory.
type large struct {
	project       *convoy.Project
	endpoints     []*convoy.Endpoint
	subscriptions []*convoy.Subscription
}

func (l *large) Project(context.Context, convoy.ProjectID) (*convoy.Project, error) {
	return l.project, nil
}

func (*large) SettingsChanges(context.Context, convoy.ProjectID, store.SettingsRevision) (store.SettingsChanges, error) {
	return store.SettingsChanges{Complete: true}, nil
}

func (l *large) AllEndpoints(context.Context, convoy.ProjectID, ...convoy.EndpointID) ([]*convoy.Endpoint, error) {
	return l.endpoints, nil
}

func (l *large) AllSubscriptions(context.Context, convoy.ProjectID, ...convoy.SubscriptionID) ([]*convoy.Subscription, error) {
	return l.subscriptions, nil
}

func (*large) AllSources(context.Context, convoy.ProjectID, ...convoy.SourceID) ([]*convoy.Source, error) {
	return nil, nil
}

func (*large) NotedEventTypes(context.Context, convoy.ProjectID, ...convoy.EventTypeID) ([]*convoy.EventType, error) {
	return nil, nil
}

func (*large) SourceByMask(context.Context, string) (*convoy.Source, error) {
	return nil, convoy.E(convoy.NotFound, "no sources")
}

func (*large) PortalLinkByToken(context.Context, string) (*convoy.PortalLink, error) {
	return nil, errors.ErrUnsupported
}

func (*large) PortalLinkByKey(context.Context, [32]byte, time.Time) (*convoy.PortalLink, error) {
	return nil, errors.ErrUnsupported
}

func (*large) NoteKeysUsed(context.Context, map[convoy.KeyID]time.Time) error { return nil }

func (*large) KeyByHash(context.Context, [32]byte) (*convoy.APIKey, error) {
	return nil, convoy.E(convoy.NotFound, "no keys")
}

func (*large) AccessByHash(context.Context, [32]byte) (*store.Access, error) {
	return nil, convoy.E(convoy.NotFound, "session not found")
}

func (*large) Membership(context.Context, convoy.UserID, convoy.OrganisationID) (*convoy.Membership, error) {
	return nil, convoy.E(convoy.NotFound, "membership not found")
}

// newLarge makes a project with n subscribed endpoints; types gives the event
// types of each.
func newLarge(n int, types func(i int) []string) (*large, *Router) {
	now := time.Now()
	l := &large{project: &convoy.Project{ID: convoy.ProjectID(id.New(now)), Config: convoy.DefaultProjectConfig()}}
	for i := range n {
		e := &convoy.Endpoint{ID: convoy.EndpointID(id.New(now)), ProjectID: l.project.ID, OwnerID: fmt.Sprint("owner ", i%100), Status: convoy.EndpointActive}
		s := &convoy.Subscription{ID: convoy.SubscriptionID(id.New(now)), ProjectID: l.project.ID, EndpointID: e.ID, Mode: convoy.AtLeastOnce}
		s.Filters = filter.ForTypes(s.ID, types(i), nil, now)
		l.endpoints, l.subscriptions = append(l.endpoints, e), append(l.subscriptions, s)
	}
	log := slog.New(slog.DiscardHandler)
	return l, New(catalog.New(l, bus.NewMemory(), log, time.Now), refusing{}, scripts{}, log)
}

func benchmarkRoute(b *testing.B, l *large, r *Router, e convoy.Event, want int) {
	b.Helper()
	now := time.Now()
	e.ID, e.ProjectID, e.Status = convoy.EventID(id.New(now)), l.project.ID, convoy.EventPending
	if e.Data == nil {
		e.Data = []byte(`{"amount": 12}`)
	}
	events := []*convoy.Event{{}}
	b.ReportAllocs()
	for b.Loop() {
		*events[0] = e
		ds, _, err := r.Route(b.Context(), events, now)
		if err != nil || len(ds) != want {
			b.Fatalf("%d deliveries, %v", len(ds), err)
		}
	}
}

func BenchmarkRouteSingle(b *testing.B) {
	l, r := newLarge(1000, func(int) []string { return []string{"invoice.paid"} })
	benchmarkRoute(b, l, r, convoy.Event{Type: "invoice.paid", Endpoints: []convoy.EndpointID{l.endpoints[500].ID}}, 1)
}

func BenchmarkRouteFanout(b *testing.B) {
	l, r := newLarge(1000, func(int) []string { return []string{"invoice.paid"} })
	benchmarkRoute(b, l, r, convoy.Event{Kind: convoy.KindFanout, OwnerID: "owner 7", Type: "invoice.paid"}, 10)
}

// BenchmarkRouteBroadcast finds ten subscribers among a thousand by name, or by
// asking the patterns of all.
func BenchmarkRouteBroadcast(b *testing.B) {
	e := convoy.Event{Kind: convoy.KindBroadcast, Type: "type.7.x"}
	b.Run("names", func(b *testing.B) {
		l, r := newLarge(1000, func(i int) []string { return []string{fmt.Sprintf("type.%d.x", i%100)} })
		benchmarkRoute(b, l, r, e, 10)
	})
	b.Run("patterns", func(b *testing.B) {
		l, r := newLarge(1000, func(i int) []string { return []string{fmt.Sprintf("type.%d.*", i%100)} })
		benchmarkRoute(b, l, r, e, 10)
	})
}

// BenchmarkRouteFiltered asks the conditions of a thousand subscriptions about a
// payload of 1 KB; ten are met.
func BenchmarkRouteFiltered(b *testing.B) {
	l, r := newLarge(1000, func(int) []string { return []string{"*"} })
	for i, s := range l.subscriptions {
		s.Filters[0].Body = fmt.Appendf(nil, `{"data.customer.group": %d, "data.amount": {"$gte": 10, "$lt": 1000}, "data.currency": {"$in": ["EUR", "USD"]}}`, i%100)
	}
	data := fmt.Appendf(nil, `{"padding": %q, "data": {"amount": 12, "currency": "EUR", "customer": {"group": 7, "name": "Ada"}}}`, strings.Repeat("x", 900))
	benchmarkRoute(b, l, r, convoy.Event{Kind: convoy.KindBroadcast, Type: "invoice.paid", Data: data}, 10)
}

// BenchmarkExpand goes through a broadcast to ten thousand endpoints.
func BenchmarkExpand(b *testing.B) {
	const n = 10_000
	l, r := newLarge(n, func(int) []string { return []string{"*"} })
	now := time.Now()
	e := &convoy.Event{ID: convoy.EventID(id.New(now)), ProjectID: l.project.ID, Kind: convoy.KindBroadcast, Type: "a"}
	b.ReportAllocs()
	for b.Loop() {
		x := convoy.Expansion{Event: e}
		for !x.Done {
			if _, err := r.Expand(b.Context(), &x, convoy.WideEvent, now); err != nil {
				b.Fatal(err)
			}
		}
		if x.Deliveries != n {
			b.Fatalf("%d deliveries", x.Deliveries)
		}
	}
}
