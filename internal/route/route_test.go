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
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a store with a project, and a router on it.
type bundle struct {
	store   *store.Store
	catalog *catalog.Catalog
	project *convoy.Project
	*Router
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
	ctx, now := t.Context(), time.Now()
	if _, err := sqldb.Migrate(ctx, db); err != nil {
		t.Fatal(err)
	}
	s := store.New(db)
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
	return &bundle{store: s, catalog: c, project: p, Router: New(c, s, log)}
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
		ID: convoy.EndpointID(id.New(now)), ProjectID: b.project.ID, URL: "https://endpoint.example", Name: "till",
		Status: status, Secrets: []convoy.Secret{{ID: "s", Value: "v"}}, CreatedAt: now, UpdatedAt: now,
	}
	if err := b.store.CreateEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for _, tt := range types {
		sub := &convoy.Subscription{
			ID: convoy.SubscriptionID(id.New(now)), ProjectID: b.project.ID, EndpointID: e.ID,
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
		ID: convoy.EventID(id.New(now)), ProjectID: b.project.ID, Type: kind, Endpoints: to, Data: []byte("{}"),
		Status: convoy.EventPending, AcknowledgedAt: now.Add(-time.Second), CreatedAt: now, UpdatedAt: now,
	}
}

func (b *bundle) route(t *testing.T, events ...*convoy.Event) []*convoy.Delivery {
	t.Helper()
	ds, err := b.Route(t.Context(), events, time.Now())
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
		{"exact in another case", "Invoice.Paid", []convoy.EndpointID{exact}, nil, reasonUnmatched},
		{"exact and longer", "invoice.paid.late", []convoy.EndpointID{exact}, nil, reasonUnmatched},
		{"prefix", "invoice.sent", []convoy.EndpointID{prefix}, []convoy.EndpointID{prefix}, ""},
		{"prefix of more segments", "invoice.sent.late", []convoy.EndpointID{prefix}, []convoy.EndpointID{prefix}, ""},
		{"prefix alone", "invoice", []convoy.EndpointID{prefix}, nil, reasonUnmatched},
		{"prefix and an empty segment", "invoice.", []convoy.EndpointID{prefix}, nil, reasonUnmatched},
		{"prefix of a segment", "invoices.sent", []convoy.EndpointID{prefix}, nil, reasonUnmatched},
		{"second of the types", "refund", []convoy.EndpointID{prefix}, []convoy.EndpointID{prefix}, ""},
		{"any", "whatever", []convoy.EndpointID{all}, []convoy.EndpointID{all}, ""},
		{"all of them", "invoice.paid", everybody, []convoy.EndpointID{exact, prefix, all, twice, twice}, ""},
		{"some of them", "order.made", everybody, []convoy.EndpointID{all}, ""},
		{"two subscriptions", "invoice.paid", []convoy.EndpointID{twice}, []convoy.EndpointID{twice, twice}, ""},
		{"named twice", "invoice.paid", []convoy.EndpointID{exact, all, exact}, []convoy.EndpointID{exact, all}, ""},
		{"unknown", "invoice.paid", []convoy.EndpointID{unknown}, nil, reasonEndpoint},
		{"unknown among others", "invoice.paid", []convoy.EndpointID{unknown, exact}, []convoy.EndpointID{exact}, ""},
		{"unknown and unmatched", "order.made", []convoy.EndpointID{unknown, exact}, nil, reasonUnmatched},
		{"nobody", "invoice.paid", nil, nil, reasonEndpoint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, now := b.event(tt.kind, tt.to...), time.Now()
			ds, err := b.Route(t.Context(), []*convoy.Event{e}, now)
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
					ds, err := b.Route(t.Context(), []*convoy.Event{b.event("a.b", to)}, time.Now())
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
	r := New(&fallible{projects: b.catalog, lookup: down}, b.store, slog.New(slog.DiscardHandler))
	e := b.event("a", to)
	before := *e
	ds, err := r.Route(t.Context(), []*convoy.Event{e}, time.Now())
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
		r := New(f, b.store, slog.New(slog.DiscardHandler))
		fine, bad, late := b.event("a", to), b.event("a", convoy.EndpointID(id.New(time.Now()))), b.event("a", to)
		before := *bad
		ds, err := r.Route(t.Context(), []*convoy.Event{fine, bad, late}, time.Now())
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
	r := New(b.catalog, refusing{}, slog.New(slog.DiscardHandler))
	e := b.event("a", to)
	ds, err := r.Route(t.Context(), []*convoy.Event{e}, time.Now())
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
