package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

var errDown = errors.New("down")

// idle is traffic that never waits.
type idle struct{}

func (idle) Busy(context.Context) (bool, error) { return false, nil }

// onStores runs a test on both databases.
func onStores(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newBench(t, openSQLite(t)))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		db, err := sqldb.OpenPostgres(t.Context(), sqldb.PostgresConfig{URL: testenv.PostgresDSN(t), MaxOpen: 6})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		test(t, newBench(t, db))
	})
}

func openSQLite(t testing.TB) sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// bench is a store with a project and an endpoint.
type bench struct {
	*store.Store
	db       sqldb.DB
	project  convoy.ProjectID
	endpoint convoy.EndpointID
}

func newBench(t testing.TB, db sqldb.DB) *bench {
	t.Helper()
	if _, err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	b := &bench{Store: storetest.New(t, db), db: db, project: convoy.ProjectID(id.New(now)), endpoint: convoy.EndpointID(id.New(now))}
	err := b.CreateEndpoint(t.Context(), &convoy.Endpoint{
		ID: b.endpoint, ProjectID: b.project, URL: "https://example.com", Name: "e", Status: convoy.EndpointActive, CreatedAt: now, UpdatedAt: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill stores n events a millisecond apart, the last one a second ago, each with
// a delivery that has failed if there is a status.
func (b *bench) fill(t testing.TB, n int, status convoy.DeliveryStatus) {
	t.Helper()
	start := time.Now().Add(-time.Second - time.Duration(n)*time.Millisecond)
	var r store.Routed
	for i := range n {
		at := start.Add(time.Duration(i) * time.Millisecond)
		e := &convoy.Event{
			ID: convoy.EventID(id.New(at)), ProjectID: b.project, Type: "t", Data: []byte(`{"n":1}`), Status: convoy.EventSuccess,
			AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
		}
		r.Events = append(r.Events, e)
		if status != "" {
			d := b.delivery(e, "first", at)
			d.Status, d.Trials, d.DueAt, d.ClaimAt = status, 3, time.Time{}, time.Time{}
			r.Deliveries = append(r.Deliveries, d)
		}
		if len(r.Events) == 2000 || i == n-1 {
			if err := b.Append(t.Context(), &r, at, time.Hour); err != nil {
				t.Fatal(err)
			}
			r = store.Routed{}
		}
	}
}

func (b *bench) delivery(e *convoy.Event, replay string, at time.Time) *convoy.Delivery {
	return &convoy.Delivery{
		ID: convoy.DeliveryID(id.Derive(at, string(e.ID), replay)), ProjectID: b.project, EventID: e.ID, EndpointID: b.endpoint,
		EventType: e.Type, Mode: convoy.AtLeastOnce, Status: convoy.DeliveryScheduled, DueAt: at, ClaimAt: at, CreatedAt: at, UpdatedAt: at,
	}
}

// job stores a job on all there is.
func (b *bench) job(t testing.TB, kind convoy.BatchKind, rate int) *convoy.BatchJob {
	t.Helper()
	now := time.Now()
	j := &convoy.BatchJob{
		ID: convoy.BatchJobID(id.New(now)), ProjectID: b.project, Kind: kind, State: convoy.BatchQueued, Rate: rate, CreatedAt: now, UpdatedAt: now,
		Filter: convoy.BatchFilter{To: now},
	}
	if kind == convoy.BatchRetry {
		j.Filter.Statuses = []convoy.DeliveryStatus{convoy.DeliveryFailure, convoy.DeliveryDiscarded}
	}
	if err := b.CreateBatchJob(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	return j
}

func (b *bench) read(t testing.TB, j *convoy.BatchJob) *convoy.BatchJob {
	t.Helper()
	got, err := b.BatchJob(t.Context(), b.project, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// await waits until a job is in a state.
func (b *bench) await(t testing.TB, j *convoy.BatchJob, state convoy.BatchState) *convoy.BatchJob {
	t.Helper()
	var got *convoy.BatchJob
	testenv.Eventually(t, patience, func() bool {
		got = b.read(t, j)
		return got.State == state
	})
	return got
}

// count counts rows of deliveries.
func (b *bench) count(t testing.TB, where string, args ...any) int {
	t.Helper()
	n := 0
	if err := b.db.QueryRow(t.Context(), `SELECT count(*) FROM deliveries WHERE `+where, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// routing replays events by giving each a delivery; every tenth has none if some
// are unmatched.
type routing struct {
	*bench
	unmatched bool
	fail      atomic.Bool
	// after, if set, is called after each chunk with how many have been stored.
	after  func(stored int)
	mu     sync.Mutex
	stored int
	// times is how often each event was to be replayed.
	times map[convoy.EventID]int
}

func (r *routing) Replay(ctx context.Context, events []*convoy.Event, replay string, at time.Time) (deliveries, unmatched int, err error) {
	if r.fail.Load() {
		return 0, 0, errDown
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times == nil {
		r.times = make(map[convoy.EventID]int)
	}
	var routed store.Routed
	for i, e := range events {
		r.times[e.ID]++
		if r.unmatched && i%10 == 0 {
			unmatched++
			continue
		}
		routed.Deliveries = append(routed.Deliveries, r.delivery(e, replay, at))
	}
	if err := r.Store.Replay(ctx, &routed); err != nil {
		return 0, 0, err
	}
	r.stored += len(events)
	if r.after != nil {
		r.after(r.stored)
	}
	return len(routed.Deliveries), unmatched, nil
}

// process is a runner that may be killed: nothing that it does has an effect
// then.
type process struct {
	*Runner
	dead atomic.Bool
	stop context.CancelFunc
	done chan error // its result
}

// mortal is the store of a process.
type mortal struct {
	*store.Store
	p *process
}

func (m mortal) check() error {
	if m.p.dead.Load() {
		return errDown
	}
	return nil
}

func (m mortal) RenewBatchJob(ctx context.Context, j *convoy.BatchJob, until time.Time) (convoy.BatchState, error) {
	if err := m.check(); err != nil {
		return "", err
	}
	return m.Store.RenewBatchJob(ctx, j, until)
}

func (m mortal) SaveBatchJob(ctx context.Context, j *convoy.BatchJob, now time.Time) error {
	if err := m.check(); err != nil {
		return err
	}
	return m.Store.SaveBatchJob(ctx, j, now)
}

func (m mortal) LeaveBatchJob(ctx context.Context, j *convoy.BatchJob, from, now time.Time) error {
	if err := m.check(); err != nil {
		return err
	}
	return m.Store.LeaveBatchJob(ctx, j, from, now)
}

func (m mortal) ClaimBatchJob(ctx context.Context, owner string, now, until time.Time) (*convoy.BatchJob, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	return m.Store.ClaimBatchJob(ctx, owner, now, until)
}

func (m mortal) RetryBatch(ctx context.Context, j *convoy.BatchJob, max int, now time.Time) (bool, error) {
	if err := m.check(); err != nil {
		return false, err
	}
	return m.Store.RetryBatch(ctx, j, max, now)
}

// start runs a process until the test ends.
func start(t testing.TB, b *bench, r replayer) *process {
	t.Helper()
	p := &process{done: make(chan error, 1)}
	p.Runner = New(Config{Jobs: mortal{b.Store, p}, Replayer: r, Traffic: idle{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { p.done <- p.Run(ctx) }()
	t.Cleanup(func() {
		p.stop()
		if err := <-p.done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return p
}

// check fails unless a job has processed n, of which some failed.
func check(t testing.TB, j *convoy.BatchJob, n, failed int) {
	t.Helper()
	if j.Processed != n || j.Succeeded != n-failed || j.Failed != failed {
		t.Errorf("%s", fmt.Sprintf("%d processed, %d succeeded, %d failed, want %d, %d of them failed", j.Processed, j.Succeeded, j.Failed, n, failed))
	}
}
