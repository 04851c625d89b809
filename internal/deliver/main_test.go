package deliver

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/limit"
	"convoy/internal/queue"
	"convoy/internal/redisconn"
	"convoy/internal/run"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/telemetry"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engines are where the tests keep deliveries, and what hands them out.
var engines = map[string]func(t *testing.T) *place{
	"sqlite and memory":    embedded,
	"postgres and redis":   distributed,
	"postgres and no more": stored,
}

// onEngines runs a test on every combination.
func onEngines(t *testing.T, test func(t *testing.T, p *place)) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// place is a store with a queue and a project.
type place struct {
	store        *store.Store
	queue        queue.Queue
	queueIsStore bool
	project      *convoy.Project
	catalog      *catalog.Catalog
	limiter      limit.Limiter
	// another is the queue as another process has it.
	another        func() queue.Queue
	anotherLimiter func() limit.Limiter
	failed         *noted
}

// noted keeps which deliveries have failed.
type noted struct {
	mu  sync.Mutex
	ids []convoy.DeliveryID
}

func (n *noted) Failed(_ context.Context, outcomes []store.Outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range outcomes {
		if o.Delivery.Status == convoy.DeliveryFailure {
			n.ids = append(n.ids, o.Delivery.ID)
		}
	}
}

func embedded(t *testing.T) *place {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return newPlace(t, db, queue.NewMemory(100_000))
}

func postgres(t *testing.T) sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()), sqldb.PostgresConfig{
		URL: testenv.PostgresDSN(t), MaxOpen: 6, MaxLifetime: time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func distributed(t *testing.T) *place {
	t.Helper()
	addr, prefix := testenv.RedisAddr(t)
	open := func() queue.Queue {
		client, err := redisconn.Open(context.WithoutCancel(t.Context()), redisconn.Config{Addrs: []string{addr}})
		if err != nil {
			t.Fatal(err)
		}
		q := queue.NewRedis(client, prefix, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		var wg sync.WaitGroup
		wg.Go(func() { _ = q.Run(ctx) })
		t.Cleanup(func() {
			cancel()
			wg.Wait()
			client.Close()
		})
		return q
	}
	p := newPlace(t, postgres(t), open())
	p.another = open
	p.anotherLimiter = func() limit.Limiter {
		client, err := redisconn.Open(context.WithoutCancel(t.Context()), redisconn.Config{Addrs: []string{addr}})
		if err != nil {
			t.Fatal(err)
		}
		l := limit.NewRedis(client, prefix)
		limiting(t, l.Run, client.Close)
		return l
	}
	p.limiter = p.anotherLimiter()
	return p
}

func stored(t *testing.T) *place {
	t.Helper()
	db := postgres(t)
	if _, err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	table := dueTable{storetest.New(t, db)}
	p := newPlace(t, db, queue.NewStored(table, nil))
	p.queueIsStore = true
	p.another = func() queue.Queue { return queue.NewStored(table, nil) }
	p.anotherLimiter = func() limit.Limiter {
		l := limit.NewStored(p.store)
		limiting(t, l.Run, func() {})
		return l
	}
	p.limiter = p.anotherLimiter()
	return p
}

// limiting runs a limiter until the test ends.
func limiting(t *testing.T, run func(context.Context) error, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		end()
	})
}

func newPlace(t *testing.T, db sqldb.DB, q queue.Queue) *place {
	t.Helper()
	ctx := t.Context()
	if _, err := sqldb.Migrate(ctx, db); err != nil {
		t.Fatal(err)
	}
	p := &place{store: storetest.New(t, db), queue: q, limiter: limit.NewMemory(), failed: new(noted)}
	now := time.Now()
	if err := p.store.EnsurePartitions(ctx, now, 1); err != nil {
		t.Fatal(err)
	}
	org := &convoy.Organisation{ID: convoy.OrganisationID(id.New(now)), Name: "Acme", CreatedAt: now, UpdatedAt: now}
	if err := p.store.CreateOrganisation(ctx, org); err != nil {
		t.Fatal(err)
	}
	p.project = &convoy.Project{
		ID: convoy.ProjectID(id.New(now)), OrganisationID: org.ID, Name: "Shop", Type: convoy.Outgoing,
		Config: convoy.DefaultProjectConfig(), CreatedAt: now, UpdatedAt: now,
	}
	if err := p.store.CreateProject(ctx, p.project); err != nil {
		t.Fatal(err)
	}
	p.catalog = p.newCatalog()
	return p
}

func (p *place) newCatalog() *catalog.Catalog {
	return catalog.New(p.store, bus.NewMemory(), slog.New(slog.DiscardHandler), time.Now)
}

// dueTable is the store's deliveries as the queue sees them.
type dueTable struct{ store *store.Store }

func (d dueTable) ClaimDue(ctx context.Context, now time.Time, lease time.Duration, max int) ([]queue.Item, time.Time, error) {
	due, next, err := d.store.ClaimDue(ctx, now, lease, max)
	items := make([]queue.Item, len(due))
	for i, x := range due {
		items[i] = queue.Item{ID: QueueID(x.ID, x.Endpoint), Due: x.At}
	}
	return items, next, err
}

func (d dueTable) ReleaseDue(ctx context.Context, items []queue.Item) error {
	due := make([]store.Due, len(items))
	for i, it := range items {
		id, endpoint := ParseQueueID(it.ID)
		due[i] = store.Due{ID: id, Endpoint: endpoint, At: it.Due}
	}
	return d.store.Release(ctx, due)
}

func (d dueTable) DueDepth(ctx context.Context, now time.Time) (queue.Depth, error) {
	n, oldest, err := d.store.DueDepth(ctx, now, 1000)
	return queue.Depth{Waiting: n, Oldest: oldest}, err
}

// sweep does what the scheduler does with what is due in the store.
func (p *place) sweep(t *testing.T) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	if _, _, err := p.store.SweepFresh(ctx, now.Add(time.Second), 10_000); err != nil {
		t.Fatal(err)
	}
	if p.queueIsStore {
		return
	}
	items, _, err := dueTable{p.store}.ClaimDue(ctx, now, time.Minute, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.queue.Push(ctx, items); err != nil {
		t.Fatal(err)
	}
}

// endpoint stores an endpoint.
func (p *place) endpoint(t *testing.T, url string) *convoy.Endpoint {
	t.Helper()
	e, now := endpointAt(url), time.Now()
	e.ProjectID, e.CreatedAt, e.UpdatedAt = p.project.ID, now, now
	if err := p.store.CreateEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	p.changed(t)
	return e
}

func (p *place) changed(t *testing.T) {
	t.Helper()
	if err := p.catalog.Changed(t.Context(), p.project.ID); err != nil {
		t.Fatal(err)
	}
}

// dynamic stores an event with a URL of its own, as intake does, and returns its
// job.
func (p *place) dynamic(t *testing.T, e *convoy.Endpoint, target, query string) []convoy.Job {
	t.Helper()
	now := time.Now()
	event := &convoy.Event{
		ID: convoy.EventID(id.New(now)), ProjectID: p.project.ID, Kind: convoy.KindDynamic, Type: "x", Endpoints: []convoy.EndpointID{e.ID},
		TargetURL: target, URLQuery: query, Data: []byte(`{}`), Status: convoy.EventSuccess, AcknowledgedAt: now, CreatedAt: now, UpdatedAt: now,
	}
	d := &convoy.Delivery{
		ID: convoy.DeliveryID(id.Derive(now, string(event.ID))), ProjectID: p.project.ID, EventID: event.ID, EndpointID: e.ID, SubscriptionID: "S",
		EventType: event.Type, TargetURL: target, Mode: convoy.AtLeastOnce, Status: convoy.DeliveryScheduled, Retry: at(3),
		DueAt: now, AcknowledgedAt: now, CreatedAt: now, UpdatedAt: now,
	}
	if err := p.store.Append(t.Context(), &store.Routed{Events: []*convoy.Event{event}, Deliveries: []*convoy.Delivery{d}}, now, time.Hour); err != nil {
		t.Fatal(err)
	}
	return []convoy.Job{{Delivery: d, Event: event}}
}

// routed stores n events with a delivery each to the endpoint, as intake does,
// and returns the jobs to hand over.
func (p *place) routed(t *testing.T, e *convoy.Endpoint, n int, policy convoy.RetryPolicy) []convoy.Job {
	t.Helper()
	return p.append(t, e, n, convoy.Delivery{SubscriptionID: "S", Retry: policy})
}

// routedBy does it for a subscription, with three tries.
func (p *place) routedBy(t *testing.T, s convoy.SubscriptionID, e *convoy.Endpoint, n int) []convoy.Job {
	t.Helper()
	return p.append(t, e, n, convoy.Delivery{SubscriptionID: s, Retry: at(3)})
}

// append makes the deliveries like one that has what they share.
func (p *place) append(t *testing.T, e *convoy.Endpoint, n int, like convoy.Delivery) []convoy.Job {
	t.Helper()
	jobs := make([]convoy.Job, 0, n)
	for len(jobs) < n {
		now := time.Now()
		var r store.Routed
		for range min(n-len(jobs), 1000) {
			event := &convoy.Event{
				ID: convoy.EventID(id.New(now)), ProjectID: p.project.ID, Type: "invoice.paid", Endpoints: []convoy.EndpointID{e.ID},
				Data: []byte(`{"amount": 12.50}`), Status: convoy.EventSuccess,
				AcknowledgedAt: now, CreatedAt: now, UpdatedAt: now,
			}
			d := &convoy.Delivery{
				ID:        convoy.DeliveryID(id.Derive(now, string(event.ID), string(e.ID), "0")),
				ProjectID: p.project.ID, EventID: event.ID, EndpointID: e.ID, SubscriptionID: like.SubscriptionID, EventType: event.Type,
				Mode: convoy.AtLeastOnce, Status: convoy.DeliveryScheduled, Retry: like.Retry,
				DueAt: now, AcknowledgedAt: now, CreatedAt: now, UpdatedAt: now,
			}
			r.Events, r.Deliveries = append(r.Events, event), append(r.Deliveries, d)
			jobs = append(jobs, convoy.Job{Delivery: d, Event: event})
		}
		if err := p.store.Append(t.Context(), &r, now, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	return jobs
}

// push puts jobs into the queue instead of handing them over.
func (p *place) push(t *testing.T, jobs []convoy.Job) {
	t.Helper()
	items := make([]queue.Item, len(jobs))
	for i, j := range jobs {
		items[i] = queue.Item{ID: queueID(j.Delivery), Due: j.Delivery.DueAt}
	}
	if err := p.queue.Later(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

// config is that of a deliverer which may dial loopback addresses.
func (p *place) config(t *testing.T) Config {
	t.Helper()
	return Config{
		Store: p.store, Projects: p.catalog, Queue: p.queue, QueueIsStore: p.queueIsStore,
		Limiter: p.limiter, Disabler: &disabling{place: p}, Alarm: p.failed, Transport: local(t), Concurrency: 32, PerEndpoint: 8,
		StartLimit: 20 * time.Second, MaxResponse: 1000, MaxDelay: 2 * time.Hour, UserAgent: "Convoy/test",
		Metrics: telemetry.Discard(), Now: time.Now,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// disabling switches endpoints off and counts it.
type disabling struct {
	*place
	mu       sync.Mutex
	disabled []convoy.EndpointID
}

func (d *disabling) Disable(ctx context.Context, project convoy.ProjectID, endpoint convoy.EndpointID) error {
	if _, err := d.store.SetEndpointStatus(ctx, project, endpoint, convoy.EndpointInactive, time.Now()); err != nil {
		return err
	}
	d.mu.Lock()
	d.disabled = append(d.disabled, endpoint)
	d.mu.Unlock()
	return d.catalog.Changed(ctx, project)
}

// running is a deliverer at work.
type running struct {
	*Deliverer
	stop func()
}

// start runs a deliverer until the test ends or stop is called, and returns
// when it takes jobs.
func start(t *testing.T, cfg Config) *running {
	t.Helper()
	d := New(cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1) // one value, at the end
	group := run.Group{Stages: []run.Stage{{Name: "deliver", Run: d.Run}}, Drain: patience}
	go func() { ended <- group.Run(ctx) }()
	var once sync.Once
	r := &running{Deliverer: d, stop: func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("deliverer ended with %v", err)
			}
		})
	}}
	t.Cleanup(r.stop)
	testenv.Eventually(t, 10*time.Second, func() bool {
		d.lanes.mu.Lock()
		defer d.lanes.mu.Unlock()
		return !d.lanes.closed
	})
	return r
}

const patience = 30 * time.Second

// ended waits until every delivery is terminal and returns them as stored.
func (p *place) ended(t *testing.T, jobs []convoy.Job) []*convoy.Delivery {
	t.Helper()
	return p.await(t, jobs, func(d *convoy.Delivery) bool { return d.Status.Terminal() })
}

func (p *place) await(t *testing.T, jobs []convoy.Job, holds func(*convoy.Delivery) bool) []*convoy.Delivery {
	t.Helper()
	out := make([]*convoy.Delivery, 0, len(jobs))
	for _, j := range jobs {
		testenv.Eventually(t, patience, func() bool {
			d, err := p.store.Delivery(t.Context(), p.project.ID, j.Delivery.ID)
			if err != nil {
				t.Fatal(err)
			}
			if !holds(d) {
				return false
			}
			out = append(out, d)
			return true
		})
	}
	return out
}

func (p *place) attempts(t *testing.T, d convoy.DeliveryID) []*convoy.Attempt {
	t.Helper()
	got, err := p.store.Attempts(t.Context(), p.project.ID, d, 100)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// settings changes the project's configuration.
func (p *place) settings(t *testing.T, change func(*convoy.ProjectConfig)) {
	t.Helper()
	change(&p.project.Config)
	if err := p.store.UpdateProject(t.Context(), p.project); err != nil {
		t.Fatal(err)
	}
	p.changed(t)
}

// numbered gives every request a delivery id to answer by.
func (p *place) numbered(t *testing.T) {
	t.Helper()
	p.settings(t, func(c *convoy.ProjectConfig) { c.AddEventIDTraceHeaders = true })
}

func deliveryOf(h http.Header) convoy.DeliveryID {
	return convoy.DeliveryID(h.Get("X-Convoy-Eventdelivery-Id"))
}
