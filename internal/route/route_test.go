package route

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/catalog"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a store with a project, and a router on it.
type bundle struct {
	store   *store.Store
	catalog *catalog.Catalog
	project *convoy.Project
	*Router

	mu   sync.Mutex
	last time.Time // of id
}

// id makes an id that sorts behind those before it, whatever other tests make
// meanwhile.
func (b *bundle) id() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if next := b.last.Add(time.Millisecond); now.Before(next) {
		now = next
	}
	b.last = now
	return id.New(now)
}

func sqlite(t *testing.T) sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func postgres(t *testing.T) sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()), sqldb.PostgresConfig{
		URL: testenv.PostgresDSN(t), MaxOpen: 8, MaxLifetime: time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func setup(t *testing.T, db sqldb.DB) *bundle {
	t.Helper()
	ctx := t.Context()
	if _, err := sqldb.Migrate(ctx, db); err != nil {
		t.Fatal(err)
	}
	s, now := storetest.New(t, db), time.Now()
	org := &convoy.Organisation{ID: convoy.OrganisationID(id.New(now)), Name: "Acme", CreatedAt: now, UpdatedAt: now}
	if err := s.CreateOrganisation(ctx, org); err != nil {
		t.Fatal(err)
	}
	p := &convoy.Project{
		ID: convoy.ProjectID(id.New(now)), OrganisationID: org.ID, Name: "Shop", Type: convoy.Outgoing,
		Config: convoy.DefaultProjectConfig(), CreatedAt: now, UpdatedAt: now,
	}
	p.Config.Strategy = convoy.StrategyConfig{Type: convoy.RetryExponential, Duration: 7, RetryCount: 4}
	if err := s.CreateProject(ctx, p); err != nil {
		t.Fatal(err)
	}
	return onStore(s, p)
}

// onStore is another process.
func onStore(s *store.Store, p *convoy.Project) *bundle {
	log := slog.New(slog.DiscardHandler)
	c := catalog.New(s, bus.NewMemory(), log, time.Now)
	return &bundle{store: s, catalog: c, project: p, Router: New(c, s, scripts{}, log)}
}

func (b *bundle) changed(t *testing.T) {
	t.Helper()
	if err := b.catalog.Changed(t.Context(), b.project.ID); err != nil {
		t.Fatal(err)
	}
}

// endpoint stores an endpoint with a subscription for each list of types.
func (b *bundle) endpoint(t *testing.T, status convoy.EndpointStatus, types ...[]string) *convoy.Endpoint {
	t.Helper()
	now := time.Now()
	e := &convoy.Endpoint{
		ID: convoy.EndpointID(b.id()), ProjectID: b.project.ID, URL: "https://endpoint.example", Name: "till",
		Status: status, Secrets: []convoy.Secret{{ID: "s", Value: "v"}}, CreatedAt: now, UpdatedAt: now,
	}
	if err := b.store.CreateEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for _, tt := range types {
		sub := &convoy.Subscription{
			ID: convoy.SubscriptionID(b.id()), ProjectID: b.project.ID, EndpointID: e.ID,
			Mode: convoy.AtMostOnce, CreatedAt: now, UpdatedAt: now,
		}
		sub.Filters = filter.ForTypes(sub.ID, tt, nil, now)
		if err := b.store.CreateSubscription(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
	}
	b.changed(t)
	return e
}

func (b *bundle) event(kind string, to ...convoy.EndpointID) *convoy.Event {
	now := time.Now()
	return &convoy.Event{
		ID: convoy.EventID(b.id()), ProjectID: b.project.ID, Type: kind, Endpoints: to, Data: []byte("{}"),
		Status: convoy.EventPending, AcknowledgedAt: now.Add(-time.Second), CreatedAt: now, UpdatedAt: now,
	}
}

func (b *bundle) route(t *testing.T, events ...*convoy.Event) []*convoy.Delivery {
	t.Helper()
	ds, _, err := b.Route(t.Context(), events, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func endpointsOf(ds []*convoy.Delivery) []convoy.EndpointID {
	var out []convoy.EndpointID
	for _, d := range ds {
		out = append(out, d.EndpointID)
	}
	return out
}

func TestRoute(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	exact := b.endpoint(t, convoy.EndpointActive, []string{"invoice.paid"}).ID
	prefix := b.endpoint(t, convoy.EndpointActive, []string{"invoice.*", "refund"}).ID
	all := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	twice := b.endpoint(t, convoy.EndpointActive, []string{"invoice.paid"}, []string{"invoice.*"}).ID
	unknown := convoy.EndpointID(id.New(time.Now()))
	everybody := []convoy.EndpointID{exact, prefix, all, twice}
	tests := []struct {
		name, kind string
		to         []convoy.EndpointID
		want       []convoy.EndpointID // one for each delivery
		reason     string
	}{
		{"exact", "invoice.paid", []convoy.EndpointID{exact}, []convoy.EndpointID{exact}, ""},
		{"exact in another case", "Invoice.Paid", []convoy.EndpointID{exact}, nil, reasonType},
		{"exact and longer", "invoice.paid.late", []convoy.EndpointID{exact}, nil, reasonType},
		{"prefix", "invoice.sent", []convoy.EndpointID{prefix}, []convoy.EndpointID{prefix}, ""},
		{"prefix of more segments", "invoice.sent.late", []convoy.EndpointID{prefix}, []convoy.EndpointID{prefix}, ""},
		{"prefix alone", "invoice", []convoy.EndpointID{prefix}, nil, reasonType},
		{"prefix and an empty segment", "invoice.", []convoy.EndpointID{prefix}, nil, reasonType},
		{"prefix of a segment", "invoices.sent", []convoy.EndpointID{prefix}, nil, reasonType},
		{"second of the types", "refund", []convoy.EndpointID{prefix}, []convoy.EndpointID{prefix}, ""},
		{"any", "whatever", []convoy.EndpointID{all}, []convoy.EndpointID{all}, ""},
		{"all of them", "invoice.paid", everybody, []convoy.EndpointID{exact, prefix, all, twice, twice}, ""},
		{"some of them", "order.made", everybody, []convoy.EndpointID{all}, ""},
		{"two subscriptions", "invoice.paid", []convoy.EndpointID{twice}, []convoy.EndpointID{twice, twice}, ""},
		{"named twice", "invoice.paid", []convoy.EndpointID{exact, all, exact}, []convoy.EndpointID{exact, all}, ""},
		{"unknown", "invoice.paid", []convoy.EndpointID{unknown}, nil, reasonEndpoint},
		{"unknown among others", "invoice.paid", []convoy.EndpointID{unknown, exact}, []convoy.EndpointID{exact}, ""},
		{"unknown and unmatched", "order.made", []convoy.EndpointID{unknown, exact}, nil, reasonType},
		{"nobody", "invoice.paid", nil, nil, reasonEndpoint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, now := b.event(tt.kind, tt.to...), time.Now()
			ds, _, err := b.Route(t.Context(), []*convoy.Event{e}, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, endpointsOf(ds)); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
			if tt.reason != "" {
				if e.Status != convoy.EventFailure || e.FailureReason != tt.reason || !slices.Equal(e.Endpoints, tt.to) {
					t.Errorf("event %+v, want it failed: %s", e, tt.reason)
				}
				return
			}
			if e.Status != convoy.EventSuccess || e.FailureReason != "" || !slices.Equal(e.Endpoints, slices.Compact(slices.Clone(tt.want))) {
				t.Errorf("event %+v", e)
			}
			seen := map[convoy.DeliveryID]bool{}
			for _, d := range ds {
				want := &convoy.Delivery{
					ID: d.ID, ProjectID: b.project.ID, EventID: e.ID, EndpointID: d.EndpointID, SubscriptionID: d.SubscriptionID,
					EventType: tt.kind, Mode: convoy.AtMostOnce, Status: convoy.DeliveryScheduled,
					Retry: convoy.RetryPolicy{Type: convoy.RetryExponential, Interval: 7 * time.Second, Limit: 4},
					DueAt: now, AcknowledgedAt: e.AcknowledgedAt, CreatedAt: now, UpdatedAt: now,
				}
				if diff := cmp.Diff(want, d); diff != "" {
					t.Errorf("delivery (-want +got):\n%s", diff)
				}
				if seen[d.ID] || !id.Valid(string(d.ID)) || !id.Time(string(d.ID)).Equal(id.Time(string(e.ID))) {
					t.Errorf("delivery id %s of event %s", d.ID, e.ID)
				}
				seen[d.ID] = true
			}
		})
	}
}

// TestSameIDs routes an event twice, in two processes: the deliveries are the
// same.
func TestSameIDs(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}, []string{"a"}).ID
	e := b.event("a", to)
	again := *e
	one, two := b.route(t, e), onStore(b.store, b.project).route(t, &again)
	if len(one) != 2 || len(two) != 2 || one[0].ID != two[0].ID || one[1].ID != two[1].ID || one[0].ID == one[1].ID {
		t.Errorf("deliveries %v and %v", one, two)
	}
	other := b.route(t, b.event("a", to))
	if other[0].ID == one[0].ID {
		t.Error("another event has the same delivery")
	}
}

func TestPausedAndInactive(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	paused, inactive := b.endpoint(t, convoy.EndpointPaused, []string{"*"}).ID, b.endpoint(t, convoy.EndpointInactive, []string{"*"}).ID
	e := b.event("a", paused, inactive)
	ds := b.route(t, e)
	if len(ds) != 2 || e.Status != convoy.EventSuccess {
		t.Fatalf("%d deliveries, event %+v", len(ds), e)
	}
	if d := ds[0]; d.Status != convoy.DeliveryScheduled || !d.ClaimAt.Equal(convoy.Parked) || d.DueAt.IsZero() || d.Description == "" {
		t.Errorf("paused: %+v", d)
	}
	if d := ds[1]; d.Status != convoy.DeliveryDiscarded || !d.ClaimAt.IsZero() || !d.DueAt.IsZero() || d.Description == "" {
		t.Errorf("inactive: %+v", d)
	}
}

func TestUnknownProject(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	stray, fine := b.event("a", to), b.event("a", to)
	stray.ProjectID = convoy.ProjectID(id.New(time.Now()))
	ds := b.route(t, stray, fine)
	if len(ds) != 1 || ds[0].EventID != fine.ID || stray.Status != convoy.EventFailure || stray.FailureReason != reasonProject {
		t.Errorf("%d deliveries, event %+v", len(ds), stray)
	}
}

// TestCatchAll routes to an endpoint without subscriptions from many
// goroutines of two processes: it gets one subscription, for everything.
func TestCatchAll(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) sqldb.DB{"sqlite": sqlite, "postgres": postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := setup(t, open(t))
			two := onStore(one.store, one.project)
			to := one.endpoint(t, convoy.EndpointActive).ID
			var (
				wg   sync.WaitGroup
				mu   sync.Mutex
				subs = map[convoy.SubscriptionID]bool{}
			)
			for i := range 50 {
				wg.Go(func() {
					b := []*bundle{one, two}[i%2]
					ds, _, err := b.Route(t.Context(), []*convoy.Event{b.event("a.b", to)}, time.Now())
					if err != nil || len(ds) != 1 {
						t.Errorf("%d deliveries, %v", len(ds), err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					subs[ds[0].SubscriptionID] = true
				})
			}
			wg.Wait()
			stored, err := one.store.AllSubscriptions(t.Context(), one.project.ID)
			if err != nil || len(stored) != 1 || len(subs) != 1 || !subs[stored[0].ID] {
				t.Fatalf("%d subscriptions are stored, %d were used, %v; want one", len(stored), len(subs), err)
			}
			if s := stored[0]; !slices.Equal(s.EventTypes(), []string{"*"}) || s.Mode != convoy.AtLeastOnce || s.EndpointID != to || s.Name != "till-subscription" {
				t.Errorf("subscription %+v", s)
			}
		})
	}
}

// TestEndpointOfAnotherProcess was made where this catalog has not heard of it.
func TestEndpointOfAnotherProcess(t *testing.T) {
	t.Parallel()
	one := setup(t, sqlite(t))
	two := onStore(one.store, one.project)
	two.endpoint(t, convoy.EndpointActive, []string{"*"})
	one.route(t, one.event("a")) // it knows the project
	to := two.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	first, second := one.event("a", to), one.event("a", to)
	if ds := one.route(t, first, second); len(ds) != 2 {
		t.Errorf("%d deliveries, want both; events %+v, %+v", len(ds), first, second)
	}
}

// fallible looks projects up, or fails.
type fallible struct {
	projects
	mu             sync.Mutex
	lookup, reload error
	panics         bool
}

func (f *fallible) Project(ctx context.Context, p convoy.ProjectID) (*catalog.Project, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lookup != nil {
		return nil, f.lookup
	}
	return f.projects.Project(ctx, p)
}

func (f *fallible) Reload(ctx context.Context, p convoy.ProjectID) (*catalog.Project, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics {
		panic("reload")
	}
	if f.reload != nil {
		return nil, f.reload
	}
	return f.projects.Reload(ctx, p)
}

// TestStoreDown fails the look-up of one project in a batch: nothing has been
// changed.
func TestStoreDown(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	down := convoy.E(convoy.Unavailable, "project cannot be loaded now")
	r := New(&fallible{projects: b.catalog, lookup: down}, b.store, scripts{}, slog.New(slog.DiscardHandler))
	e := b.event("a", to)
	before := *e
	ds, _, err := r.Route(t.Context(), []*convoy.Event{e}, time.Now())
	if !errors.Is(err, down) || ds != nil {
		t.Errorf("%d deliveries, %v", len(ds), err)
	}
	if diff := cmp.Diff(&before, e); diff != "" {
		t.Errorf("the event has changed:\n%s", diff)
	}
}

// TestOneEventsFault is an error or a panic while one event is routed: it
// stays as it is, and the others are routed.
func TestOneEventsFault(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	for name, f := range map[string]*fallible{
		"error": {projects: b.catalog, reload: errors.New("store is down")},
		"panic": {projects: b.catalog, panics: true},
	} {
		r := New(f, b.store, scripts{}, slog.New(slog.DiscardHandler))
		fine, bad, late := b.event("a", to), b.event("a", convoy.EndpointID(id.New(time.Now()))), b.event("a", to)
		before := *bad
		ds, _, err := r.Route(t.Context(), []*convoy.Event{fine, bad, late}, time.Now())
		if err != nil || len(ds) != 2 || ds[0].EventID != fine.ID || ds[1].EventID != late.ID {
			t.Errorf("%s: %d deliveries, %v", name, len(ds), err)
		}
		if diff := cmp.Diff(&before, bad); diff != "" {
			t.Errorf("%s: the event has changed:\n%s", name, diff)
		}
	}
}

// TestCatchAllRefused cannot make the subscription: the event waits.
func TestCatchAllRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive).ID
	r := New(b.catalog, refusing{}, scripts{}, slog.New(slog.DiscardHandler))
	e := b.event("a", to)
	ds, _, err := r.Route(t.Context(), []*convoy.Event{e}, time.Now())
	if err != nil || len(ds) != 0 || e.Status != convoy.EventPending {
		t.Errorf("%d deliveries, %v, event %+v; want it pending", len(ds), err, e)
	}
	if ds := b.route(t, e); len(ds) != 1 || e.Status != convoy.EventSuccess {
		t.Errorf("%d deliveries later, event %+v", len(ds), e)
	}
}

type refusing struct{}

func (refusing) EnsureSubscription(context.Context, *convoy.Subscription) (bool, error) {
	return false, errors.New("store is down")
}

func TestRouteNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	if ds := b.route(t); len(ds) != 0 {
		t.Errorf("%d deliveries of no events", len(ds))
	}
}

// TestKinds routes events of every kind in a project with several owners.
func TestKinds(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	add := func(owner string, subs ...*convoy.Subscription) convoy.EndpointID {
		t.Helper()
		now := time.Now()
		e := &convoy.Endpoint{
			ID: convoy.EndpointID(b.id()), ProjectID: b.project.ID, OwnerID: owner, URL: "https://endpoint.example/" + id.New(now),
			Name: "till", Status: convoy.EndpointActive, CreatedAt: now, UpdatedAt: now,
		}
		if err := b.store.CreateEndpoint(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		for _, s := range subs {
			s.ID, s.ProjectID, s.EndpointID, s.Mode = convoy.SubscriptionID(b.id()), b.project.ID, e.ID, convoy.AtLeastOnce
			if err := b.store.CreateSubscription(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		return e.ID
	}
	takes := func(types ...string) *convoy.Subscription {
		return &convoy.Subscription{Filters: filter.ForTypes("", types, nil, time.Now())}
	}
	of := func(source convoy.SourceID, types ...string) *convoy.Subscription {
		s := takes(types...)
		s.SourceID = source
		return s
	}
	off := takes("paid")
	off.Filters[0].EnabledAt = time.Time{}
	one := add("acme", takes("paid"), takes("*"))
	two := add("acme", takes("sent.*", "paid"))
	three := add("other", takes("sent"), takes("sent.late"), of("S", "*"))
	four := add("", off, of("S", "paid"), of("T", "*"))
	add("acme") // wants nothing
	b.changed(t)

	tests := []struct {
		name   string
		event  convoy.Event
		want   []convoy.EndpointID
		reason string
	}{
		{"fan-out", convoy.Event{Kind: convoy.KindFanout, OwnerID: "acme", Type: "paid"}, []convoy.EndpointID{one, one, two}, ""},
		{"fan-out of another type", convoy.Event{Kind: convoy.KindFanout, OwnerID: "acme", Type: "sent.late"}, []convoy.EndpointID{one, two}, ""},
		{"fan-out to nobody", convoy.Event{Kind: convoy.KindFanout, OwnerID: "nobody", Type: "paid"}, nil, reasonOwner},
		{"fan-out without an owner", convoy.Event{Kind: convoy.KindFanout, Type: "paid"}, nil, reasonOwner},
		{"fan-out unwanted", convoy.Event{Kind: convoy.KindFanout, OwnerID: "other", Type: "paid"}, nil, reasonType},
		{"broadcast", convoy.Event{Kind: convoy.KindBroadcast, Type: "paid"}, []convoy.EndpointID{one, two}, ""},
		{"broadcast by pattern and name", convoy.Event{Kind: convoy.KindBroadcast, Type: "sent.late"}, []convoy.EndpointID{one, two, three}, ""},
		{"broadcast of any type", convoy.Event{Kind: convoy.KindBroadcast, Type: "x"}, []convoy.EndpointID{one}, ""},
		{"source", convoy.Event{Kind: convoy.KindSource, SourceID: "S", Type: "paid"}, []convoy.EndpointID{three, four}, ""},
		{"source and type", convoy.Event{Kind: convoy.KindSource, SourceID: "S", Type: "x"}, []convoy.EndpointID{three}, ""},
		{"source unwanted", convoy.Event{Kind: convoy.KindSource, SourceID: "U", Type: "x"}, nil, reasonSource},
		{"single, not the source's", convoy.Event{Endpoints: []convoy.EndpointID{four}, Type: "paid"}, nil, reasonType},
		{"dynamic", convoy.Event{Kind: convoy.KindDynamic, Endpoints: []convoy.EndpointID{four}, Type: "x", TargetURL: "https://t.example"}, []convoy.EndpointID{four}, ""},
		{"dynamic unknown", convoy.Event{Kind: convoy.KindDynamic, Endpoints: []convoy.EndpointID{"E"}, Type: "x"}, nil, reasonEndpoint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := b.event(tt.event.Type, tt.event.Endpoints...)
			e.Kind, e.OwnerID, e.SourceID, e.TargetURL = tt.event.Kind, tt.event.OwnerID, tt.event.SourceID, tt.event.TargetURL
			ds := b.route(t, e)
			if diff := cmp.Diff(tt.want, endpointsOf(ds)); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
			if e.FailureReason != tt.reason || (e.Status == convoy.EventSuccess) != (tt.reason == "") {
				t.Errorf("event is %s: %q, want reason %q", e.Status, e.FailureReason, tt.reason)
			}
			if tt.reason == "" && !slices.Equal(e.Endpoints, slices.Compact(slices.Clone(tt.want))) {
				t.Errorf("event is to %v", e.Endpoints)
			}
			// In steps of one, the deliveries are the same.
			x := convoy.Expansion{Event: e}
			var steps []*convoy.Delivery
			for !x.Done {
				more, err := b.Expand(t.Context(), &x, 1, time.Now())
				if err != nil || len(more) > 1 {
					t.Fatalf("a step of one gave %d, %v", len(more), err)
				}
				steps = append(steps, more...)
			}
			if len(steps) != len(ds) || x.Deliveries != len(ds) {
				t.Fatalf("%d deliveries in steps, %d counted, want %d", len(steps), x.Deliveries, len(ds))
			}
			for i := range ds {
				if steps[i].ID != ds[i].ID || ds[i].TargetURL != tt.event.TargetURL {
					t.Errorf("delivery %d is %+v, in steps %+v", i, ds[i], steps[i])
				}
			}
		})
	}
}

// TestReplayIDs derives the ids of a replay from its name and time.
func TestReplayIDs(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	e := b.event("a", to)
	first := b.route(t, e)[0]
	at := time.Now().Add(time.Minute).UTC().Truncate(time.Millisecond)
	seen := map[convoy.DeliveryID]bool{first.ID: true}
	for _, replay := range []string{"one", "two"} {
		var ids []convoy.DeliveryID
		for range 2 {
			x := convoy.Expansion{Event: e, Replay: replay, At: at}
			ds, err := b.Expand(t.Context(), &x, 10, time.Now())
			if err != nil || len(ds) != 1 || !x.Done {
				t.Fatalf("%d deliveries, %v", len(ds), err)
			}
			if d := ds[0]; !id.Time(string(d.ID)).Equal(at) || !d.AcknowledgedAt.Equal(at) || d.EventID != e.ID {
				t.Errorf("delivery %+v, want it of %v", d, at)
			}
			ids = append(ids, ds[0].ID)
		}
		if ids[0] != ids[1] || seen[ids[0]] {
			t.Errorf("replay %s has delivery %v", replay, ids)
		}
		seen[ids[0]] = true
	}
	// What cannot be delivered is none, and the event stays as it was.
	before := *e
	x := convoy.Expansion{Event: e, Replay: "three", At: at}
	e.Endpoints = []convoy.EndpointID{"E"}
	if ds, err := b.Expand(t.Context(), &x, 10, time.Now()); err != nil || len(ds) != 0 || !x.Done || e.Status != before.Status {
		t.Errorf("%d deliveries, %v, event %+v", len(ds), err, e)
	}
}

// TestOwnRetry prefers the subscription's policy to the project's.
func TestOwnRetry(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	to := b.endpoint(t, convoy.EndpointActive, []string{"*"}).ID
	subs, err := b.store.AllSubscriptions(t.Context(), b.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: 3 * time.Second, Limit: 2}
	subs[0].Retry = &want
	if err := b.store.UpdateSubscription(t.Context(), subs[0]); err != nil {
		t.Fatal(err)
	}
	b.changed(t)
	if ds := b.route(t, b.event("a", to)); len(ds) != 1 || ds[0].Retry != want {
		t.Errorf("deliveries %+v, want retry %+v", ds[0], want)
	}
}

// TestWide defers an event with too many deliveries, and the rest of a batch
// that has many.
func TestWide(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite(t))
	const n = convoy.WideEvent + 1
	for range n {
		b.endpoint(t, convoy.EndpointActive, []string{"a"})
	}
	wide, narrow := b.event("a"), b.event("b")
	wide.Kind, narrow.Kind = convoy.KindBroadcast, convoy.KindBroadcast
	ds, deferred, err := b.Route(t.Context(), []*convoy.Event{wide, narrow}, time.Now())
	if err != nil || len(ds) != 0 || len(deferred) != 1 || deferred[0] != wide || wide.Status != convoy.EventPending || narrow.Status != convoy.EventFailure {
		t.Fatalf("%d deliveries, deferred %v, %v; events %s and %s", len(ds), deferred, err, wide.Status, narrow.Status)
	}
	x, seen := convoy.Expansion{Event: wide}, map[convoy.EndpointID]bool{}
	for !x.Done {
		ds, err := b.Expand(t.Context(), &x, 100, time.Now())
		if err != nil || len(ds) > 100 {
			t.Fatalf("%d deliveries in a step, %v", len(ds), err)
		}
		for _, d := range ds {
			seen[d.EndpointID] = true
		}
	}
	if len(seen) != n || x.Deliveries != n || wide.Status != convoy.EventSuccess || len(wide.Endpoints) != 0 {
		t.Errorf("%d endpoints, %d deliveries, event %+v", len(seen), x.Deliveries, wide)
	}
}

// scripts runs functions whose source says what they do.
type scripts struct{}

func (scripts) TransformAt(_ context.Context, source string, payload []byte, _ time.Time) ([]byte, error) {
	switch source {
	case "fails":
		return nil, convoy.E(convoy.Invalid, "x is not defined\x00\xff")
	case "away":
		return nil, convoy.E(convoy.Unavailable, "no room")
	case "same":
		return payload, nil
	}
	return []byte(source), nil
}
