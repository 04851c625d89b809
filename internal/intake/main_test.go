package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/meta"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/telemetry"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	project  = convoy.ProjectID("01PROJECT")
	telling  = convoy.ProjectID("01KYYC8ABRZK98AK4MBFK0SN6V")
	window   = time.Hour
	patience = 30 * time.Second
)

func sqlite(t *testing.T) *store.Store {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return migrated(t, db)
}

func postgres(t *testing.T) *store.Store {
	t.Helper()
	db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()), sqldb.PostgresConfig{
		URL: testenv.PostgresDSN(t), MaxOpen: 6, MaxLifetime: time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return migrated(t, db)
}

func migrated(t *testing.T, db sqldb.DB) *store.Store {
	t.Helper()
	if _, err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	s := storetest.New(t, db)
	if err := s.EnsurePartitions(t.Context(), time.Now(), 1); err != nil {
		t.Fatal(err)
	}
	return s
}

// onStores runs a test on both engines.
func onStores(t *testing.T, test func(t *testing.T, s *store.Store)) {
	for name, open := range map[string]func(*testing.T) *store.Store{"sqlite": sqlite, "postgres": postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// Endpoints that the tests' routing treats in their own ways.
const (
	slow     = convoy.EndpointID("E-slow")     // has a long timeout
	paused   = convoy.EndpointID("E-paused")   // its deliveries are parked
	inactive = convoy.EndpointID("E-inactive") // its deliveries are discarded
	unknown  = convoy.EndpointID("E-unknown")  // matches nothing
)

// routing gives every endpoint of an event a delivery. Events of type "stuck"
// stay as they are, those of type "wide" are deferred. Deliveries to endpoints
// whose name begins with "F" have a function.
type routing struct {
	mu   sync.Mutex
	down error
	// hold, when set, is waited for before each expansion.
	hold chan struct{}
}

func (r *routing) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

func (r *routing) Route(_ context.Context, events []*convoy.Event, now time.Time) (ds []*convoy.Delivery, deferred []*convoy.Event, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return nil, nil, r.down
	}
	for _, e := range events {
		switch e.Type {
		case "stuck":
			continue
		case "wide":
			deferred = append(deferred, e)
			continue
		}
		n, addressed := len(ds), e.Endpoints
		e.Endpoints = nil
		for _, endpoint := range addressed {
			if endpoint == unknown {
				continue
			}
			d := delivery(e, endpoint, "0", id.Time(string(e.ID)), now)
			ds, e.Endpoints = append(ds, d), append(e.Endpoints, endpoint)
		}
		e.Status = convoy.EventSuccess
		if len(ds) == n {
			e.Status, e.FailureReason, e.Endpoints = convoy.EventFailure, "no subscription matched", addressed
		}
	}
	return ds, deferred, nil
}

// delivery is what follows from an event for an endpoint.
func delivery(e *convoy.Event, endpoint convoy.EndpointID, replay string, at, now time.Time) *convoy.Delivery {
	d := &convoy.Delivery{
		ID:        convoy.DeliveryID(id.Derive(at, string(e.ID), string(endpoint), replay)),
		ProjectID: e.ProjectID, EventID: e.ID, EndpointID: endpoint, SubscriptionID: "S", EventType: e.Type,
		Mode: convoy.AtLeastOnce, Status: convoy.DeliveryScheduled, Retry: convoy.RetryPolicy{Limit: 3},
		DueAt: now, AcknowledgedAt: e.AcknowledgedAt, CreatedAt: now, UpdatedAt: now,
	}
	switch endpoint {
	case paused:
		d.ClaimAt = convoy.Parked
	case inactive:
		d.Status, d.DueAt = convoy.DeliveryDiscarded, time.Time{}
	}
	return d
}

// Timeout implements endpoints.
func (*routing) Timeout(_ context.Context, _ convoy.ProjectID, endpoint convoy.EndpointID) time.Duration {
	if endpoint == slow {
		return 2 * time.Minute
	}
	return 10 * time.Second
}

// taker keeps what it is given.
type taker struct {
	mu   sync.Mutex
	jobs []convoy.Job
}

func (k *taker) Take(_ context.Context, jobs []convoy.Job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.jobs = append(k.jobs, jobs...)
}

func (k *taker) taken() []convoy.Job {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.jobs)
}

// flaky is a store that refuses to append: everything, or batches with one of
// the given events.
type flaky struct {
	*store.Store
	mu      sync.Mutex
	down    bool
	poison  map[convoy.EventID]bool
	refused int
	// after, when set, is returned by appends that have been committed.
	after error
	// hold, when set, is waited for before each append.
	hold chan struct{}
}

var errDown = errors.New("store is down")

func (f *flaky) set(change func(*flaky)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *flaky) refusals() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

func (f *flaky) Append(ctx context.Context, r *store.Routed, now time.Time, window time.Duration) error {
	f.mu.Lock()
	hold, after := f.hold, f.after
	var err error
	if f.down {
		err = errDown
	}
	for _, e := range r.Events {
		if f.poison[e.ID] {
			err = fmt.Errorf("event %s is not stored", e.ID)
		}
	}
	if err != nil {
		f.refused++
	}
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err != nil {
		// A transaction that fails late has marked its duplicates.
		for _, e := range r.Events {
			if e.IdempotencyKey != "" {
				e.Duplicate, e.Endpoints = true, nil
			}
		}
		return err
	}
	if err := f.Store.Append(ctx, r, now, window); err != nil {
		return err
	}
	return after
}

// bundle is what the tests put together.
type bundle struct {
	Config
	routing   *routing
	taker     *taker
	queued    *taker
	store     *flaky
	persister *Persister
}

func newBundle(s *store.Store) *bundle {
	b := &bundle{routing: &routing{}, taker: &taker{}, queued: &taker{}, store: &flaky{Store: s, poison: map[convoy.EventID]bool{}}}
	b.Config = Config{
		Router: b.routing, Store: b.store, Endpoints: b.routing, Teller: b.routing, Taker: b.taker, Queue: b.queued, Window: window,
		Metrics: telemetry.Discard(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	b.persister = NewPersister(b.Config)
	return b
}

// event makes an event accepted at the given time.
func event(at time.Time, to ...convoy.EndpointID) *convoy.Event {
	at = at.UTC().Truncate(time.Microsecond)
	return &convoy.Event{
		ID: convoy.EventID(id.New(at)), ProjectID: project, Type: "invoice.paid", Endpoints: to, Data: []byte(`{"a": 1}`),
		Headers: map[string][]string{"X-A": {"1"}}, Status: convoy.EventPending, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
	}
}

// running runs fn until the test ends or stop is called.
func running(t *testing.T, fn func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1) // one value, at the end
	go func() { ended <- fn(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// storedEvent returns an event as the store has it, nil if it has none.
func storedEvent(t *testing.T, s *store.Store, id convoy.EventID) *convoy.Event {
	t.Helper()
	e, err := s.Event(t.Context(), project, id)
	if convoy.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// deliveries returns the stored deliveries of an event by endpoint.
func deliveries(t *testing.T, s *store.Store, e *convoy.Event, to ...convoy.EndpointID) map[convoy.EndpointID]*convoy.Delivery {
	t.Helper()
	out := map[convoy.EndpointID]*convoy.Delivery{}
	for _, endpoint := range to {
		did := convoy.DeliveryID(id.Derive(id.Time(string(e.ID)), string(e.ID), string(endpoint), "0"))
		d, err := s.Delivery(t.Context(), project, did)
		if convoy.IsNotFound(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out[endpoint] = d
	}
	return out
}

// Expand gives an event's deliveries, those with functions last.
func (r *routing) Expand(_ context.Context, x *convoy.Expansion, max int, now time.Time) ([]*convoy.Delivery, error) {
	r.mu.Lock()
	hold, down := r.hold, r.down
	r.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if down != nil {
		return nil, down
	}
	at, replay := id.Time(string(x.Event.ID)), "0"
	if x.Replay != "" {
		at, replay = x.At, x.Replay
	}
	var ds []*convoy.Delivery
	for _, endpoint := range slices.Sorted(slices.Values(x.Event.Endpoints)) {
		function := strings.HasPrefix(string(endpoint), "F")
		if function {
			x.Pending = true
		}
		if endpoint <= x.Endpoint || endpoint == unknown || function != x.Functions {
			continue
		}
		if len(ds) == max {
			return ds, nil
		}
		x.Endpoint = endpoint
		x.Deliveries++
		ds = append(ds, delivery(x.Event, endpoint, replay, at, now))
	}
	if x.Pending && !x.Functions {
		x.Functions, x.Endpoint = true, ""
		return ds, nil
	}
	x.Done = true
	switch {
	case x.Deliveries > 0:
		x.Event.Status, x.Event.FailureReason = convoy.EventSuccess, ""
	case x.Replay == "":
		x.Event.Status, x.Event.FailureReason = convoy.EventFailure, "no subscription matched"
	}
	return ds, nil
}

// Transform makes a payload of the endpoint's name, or fails.
// Tell tells of everything that fails.
func (r *routing) Tell(_ context.Context, e *convoy.Event, d *convoy.Delivery) (*convoy.Job, error) {
	p := &convoy.Project{ID: telling}
	p.Config.MetaEvent = convoy.MetaEventConfig{Enabled: true, EventType: []string{convoy.MetaDeliveryFailed}}
	return meta.Delivery(p, d, e, nil), nil
}

func (r *routing) Transform(_ context.Context, _ *convoy.Event, d *convoy.Delivery) (*convoy.Payload, error) {
	switch d.EndpointID {
	case "F-fails":
		return &convoy.Payload{Delivery: d.ID, Failure: "it failed"}, nil
	case "F-panics":
		panic("function")
	case "F-same":
		return nil, nil
	}
	return &convoy.Payload{Delivery: d.ID, Data: []byte(d.EndpointID)}, nil
}
