package schedule

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
	"convoy/internal/lock"
	"convoy/internal/queue"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/telemetry"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// table is the store as the scheduler sees it. Its house-keeping can fail.
type table struct {
	*store.Store
	claims, partitions, indexed atomic.Int32
	broken                      atomic.Bool
}

var errDown = errors.New("store is down")

func (tb *table) ClaimDue(ctx context.Context, now time.Time, lease time.Duration, max int) ([]queue.Item, time.Time, error) {
	tb.claims.Add(1)
	due, next, err := tb.Store.ClaimDue(ctx, now, lease, max)
	items := make([]queue.Item, len(due))
	for i, d := range due {
		items[i] = queue.Item{ID: string(d.ID), Due: d.At}
	}
	return items, next, err
}

func (tb *table) EnsurePartitions(ctx context.Context, now time.Time, ahead int) error {
	tb.partitions.Add(1)
	if tb.broken.Load() {
		return errDown
	}
	return tb.Store.EnsurePartitions(ctx, now, ahead)
}

func (tb *table) IndexEvents(ctx context.Context, now time.Time) (int, bool, error) {
	n, more, err := tb.Store.IndexEvents(ctx, now)
	tb.indexed.Add(int32(n))
	return n, more, err
}

// rerouting settles as many events as it has left.
type rerouting struct {
	left, calls atomic.Int32
	fail        atomic.Bool
}

func (r *rerouting) Reroute(_ context.Context, max int) (settled int, more bool, err error) {
	r.calls.Add(1)
	if r.fail.Load() {
		return 0, false, errDown
	}
	n := min(int32(max), r.left.Load())
	r.left.Add(-n)
	return int(n), int(n) == max, nil
}

// lining stands for the lines of rate limits.
type lining struct {
	mu    sync.Mutex
	items []queue.Item
	fail  bool
}

func (l *lining) Release(context.Context, time.Time) ([]queue.Item, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	items := l.items
	l.items = nil
	if l.fail {
		return items, errDown
	}
	return items, nil
}

// bundle is a scheduler and all that it works on.
type bundle struct {
	table  *table
	router *rerouting
	queue  *queue.Memory
	line   lining
	ahead  atomic.Int64 // of the real time
	*Scheduler
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if _, err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	b := &bundle{table: &table{Store: storetest.New(t, db)}, router: &rerouting{}, queue: queue.NewMemory(200_000)}
	b.Scheduler = New(Config{
		Store: b.table, Line: &b.line, Router: b.router, Due: b.table, Queue: b.queue, SweepAge: 75 * time.Second, SweepInterval: 20 * time.Millisecond,
		PartitionsAhead: 2, Locker: lock.NewMemory(), Owner: "one", Metrics: telemetry.Discard(), Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) },
	})
	return b
}

// run runs a scheduler until the test ends or stop is called.
func run(t *testing.T, s *Scheduler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1) // one value, at the end
	go func() { ended <- s.Run(ctx) }()
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

// deliveries stores n deliveries made at a time, to be claimed from another.
func (b *bundle) deliveries(t *testing.T, n int, made, claim time.Time) []*convoy.Delivery {
	t.Helper()
	var all []*convoy.Delivery
	for len(all) < n {
		var r store.Routed
		for range min(n-len(all), 1000) {
			e := &convoy.Event{
				ID: convoy.EventID(id.New(made)), ProjectID: "P", Type: "a", Endpoints: []convoy.EndpointID{"E"}, Data: []byte("{}"),
				Status: convoy.EventSuccess, AcknowledgedAt: made, CreatedAt: made, UpdatedAt: made,
			}
			r.Events = append(r.Events, e)
			r.Deliveries = append(r.Deliveries, &convoy.Delivery{
				ID: convoy.DeliveryID(id.Derive(made, string(e.ID))), ProjectID: "P", EventID: e.ID, EndpointID: "E", SubscriptionID: "S",
				EventType: "a", Mode: convoy.AtLeastOnce, Status: convoy.DeliveryScheduled, Retry: convoy.RetryPolicy{Limit: 3},
				DueAt: made, ClaimAt: claim, AcknowledgedAt: made, CreatedAt: made, UpdatedAt: made,
			})
		}
		if err := b.table.Append(t.Context(), &r, made, time.Hour); err != nil {
			t.Fatal(err)
		}
		all = append(all, r.Deliveries...)
	}
	return all
}

func (b *bundle) waiting(t *testing.T) int {
	t.Helper()
	d, err := b.queue.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d.Waiting
}

func TestDueIsPushed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now()
	due := b.deliveries(t, 2500, now.Add(-time.Minute), now.Add(-time.Second)) // more than two batches
	b.deliveries(t, 10, now, now.Add(time.Hour))
	if err := b.due(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.waiting(t); n != len(due) {
		t.Errorf("%d ids are queued, want %d", n, len(due))
	}
	items, err := b.queue.Pull(t.Context(), 1, time.Minute)
	if err != nil || len(items) != 1 || !items[0].Due.Equal(due[0].DueAt.Truncate(time.Microsecond)) {
		t.Errorf("pulled %v, %v; want it due when the delivery is", items, err)
	}
	got, err := b.table.Delivery(t.Context(), "P", due[0].ID)
	if err != nil || got.ClaimAt.Sub(now) < claimFor-time.Second || got.ClaimAt.Sub(now) > claimFor+patience {
		t.Errorf("delivery %+v, %v; want it left to the queue for %v", got, err, claimFor)
	}
	if err := b.due(t.Context()); err != nil || b.waiting(t) != len(due)-1 {
		t.Errorf("%d ids wait after a second look, %v", b.waiting(t), err)
	}
	b.ahead.Store(int64(claimFor + time.Second)) // the queue may have lost them
	if err := b.due(t.Context()); err != nil || b.table.claims.Load() != 7 {
		t.Errorf("%d claims, %v; want every delivery offered again", b.table.claims.Load(), err)
	}
}

func TestFullQueueIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now()
	b.deliveries(t, 10, now.Add(-time.Minute), now.Add(-time.Second))
	items := make([]queue.Item, queueMax)
	for i := range items {
		items[i] = queue.Item{ID: fmt.Sprint(i), Due: now.Add(time.Hour)}
	}
	if err := b.queue.Push(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if err := b.due(t.Context()); err != nil || b.table.claims.Load() != 0 || b.waiting(t) != queueMax {
		t.Errorf("%d claims, %d ids wait, %v; want a full queue left alone", b.table.claims.Load(), b.waiting(t), err)
	}
	if err := b.queue.Done(t.Context(), []string{"7"}); err != nil {
		t.Fatal(err)
	}
	if err := b.due(t.Context()); err != nil || b.waiting(t) != queueMax-1+10 {
		t.Errorf("%d ids wait, %v; want those due once there is room", b.waiting(t), err)
	}
}

// TestLostQueue cannot push: what was claimed is offered again later.
func TestLostQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now()
	b.deliveries(t, 5, now.Add(-time.Minute), now.Add(-time.Second))
	q := &refusing{Queue: b.queue}
	b.cfg.Queue = q
	if err := b.due(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("due = %v, want the queue's error", err)
	}
	b.cfg.Queue = b.queue
	if err := b.due(t.Context()); err != nil || b.waiting(t) != 0 {
		t.Errorf("%d ids wait, %v; want them claimed still", b.waiting(t), err)
	}
	b.ahead.Store(int64(claimFor + time.Second))
	if err := b.due(t.Context()); err != nil || b.waiting(t) != 5 {
		t.Errorf("%d ids wait, %v; want them offered again", b.waiting(t), err)
	}
}

type refusing struct{ queue.Queue }

func (*refusing) Push(context.Context, []queue.Item) error { return errDown }

// TestFreshSweep finds deliveries whose process died, once they are old
// enough.
func TestFreshSweep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := time.Now()
	b.cfg.Now = func() time.Time { return made.Add(time.Duration(b.ahead.Load())) }
	b.deliveries(t, 1500, made, time.Time{}) // more than a batch
	both := func() {
		t.Helper()
		if err := errors.Join(b.fresh(t.Context()), b.due(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	both()
	b.ahead.Store(int64(b.cfg.SweepAge - 5*time.Second))
	both()
	if n := b.waiting(t); n != 0 {
		t.Errorf("%d ids are queued while their process may be at them", n)
	}
	b.ahead.Store(int64(b.cfg.SweepAge + time.Second))
	both()
	if n := b.waiting(t); n != 1500 {
		t.Errorf("%d ids are queued, want all", n)
	}
}

// What leaves a line goes to the queue, also when not all could.
func TestLine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, fail := range []bool{false, true} {
		b.line.items, b.line.fail = []queue.Item{{ID: fmt.Sprint(fail), Due: time.Now()}}, fail
		if err := b.Scheduler.line(t.Context()); (err != nil) != fail {
			t.Errorf("error %v", err)
		}
	}
	run(t, b.Scheduler)
	b.line.mu.Lock()
	b.line.items = []queue.Item{{ID: "running", Due: time.Now()}}
	b.line.mu.Unlock()
	testenv.Eventually(t, patience, func() bool {
		d, err := b.queue.Depth(t.Context())
		return err == nil && d.Waiting == 3
	})
}

func TestReroutes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.router.left.Store(2*rerouteBatch + 1)
	if err := b.reroute(t.Context()); err != nil || b.router.left.Load() != 0 || b.router.calls.Load() != 3 {
		t.Errorf("%d left after %d calls, %v", b.router.left.Load(), b.router.calls.Load(), err)
	}
	if err := b.reroute(t.Context()); err != nil || b.router.calls.Load() != 4 {
		t.Errorf("%d calls, %v", b.router.calls.Load(), err)
	}
}

func TestForgetsKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now()
	event := func(n int) *convoy.Event {
		return &convoy.Event{
			ID: convoy.EventID(id.New(now)), ProjectID: "P", Type: "a", Data: []byte("{}"), IdempotencyKey: fmt.Sprint("key ", n),
			Status: convoy.EventSuccess, AcknowledgedAt: now, CreatedAt: now, UpdatedAt: now,
		}
	}
	append1 := func(at time.Time, events ...*convoy.Event) {
		t.Helper()
		if err := b.table.Append(t.Context(), &store.Routed{Events: events}, at, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	var events []*convoy.Event
	for i := range 1200 { // more than a batch
		events = append(events, event(i))
	}
	append1(now, events...)
	if err := b.keys(t.Context()); err != nil {
		t.Fatal(err)
	}
	repeat := event(0)
	append1(now, repeat)
	if !repeat.Duplicate {
		t.Error("a key was forgotten within its window")
	}
	b.ahead.Store(int64(time.Hour + time.Minute))
	if err := b.keys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := b.table.ForgetKeys(t.Context(), now.Add(2*time.Hour), 10); err != nil || n != 0 {
		t.Errorf("%d keys are left, %v", n, err)
	}
}

// TestIndexes has the search index follow the events, more than it takes at once.
func TestIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 5000
	b.deliveries(t, n, time.Now().Add(-time.Hour), time.Time{})
	run(t, b.Scheduler)
	testenv.Eventually(t, patience, func() bool { return b.table.indexed.Load() == n })
}

// TestUnparks finds deliveries that were parked when their endpoint was active
// again.
func TestUnparks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliveries(t, 3, time.Now(), convoy.Parked)
	if err := errors.Join(b.unpark(t.Context()), b.due(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := b.waiting(t); n != 3 {
		t.Errorf("%d ids are queued, want 3", n)
	}
}

// TestWithoutAQueueOfItsOwn has no due deliveries to move: pullers claim them.
func TestWithoutAQueueOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Due = nil
	b.deliveries(t, 3, time.Now(), time.Now())
	if err := b.due(t.Context()); err != nil || b.table.claims.Load() != 0 || b.waiting(t) != 0 {
		t.Errorf("%d claims, %d ids wait, %v", b.table.claims.Load(), b.waiting(t), err)
	}
}

// TestOneActs runs two schedulers: one works, and the other follows when it
// stops.
func TestOneActs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.cfg
	theirs := &rerouting{}
	other.Owner, other.Router = "two", theirs
	stop := run(t, b.Scheduler)
	testenv.Eventually(t, patience, func() bool { return b.router.calls.Load() > 0 })
	run(t, New(other))
	now := time.Now()
	b.deliveries(t, 10, now, now)
	testenv.Eventually(t, patience, func() bool { return b.waiting(t) == 10 })
	// Its clock moves on, so that it looks again.
	calls := b.router.calls.Load()
	b.ahead.Store(int64(rerouteEvery + time.Second))
	testenv.Eventually(t, patience, func() bool { return b.router.calls.Load() > calls })
	if n := theirs.calls.Load(); n != 0 {
		t.Errorf("the second scheduler worked %d times beside the first", n)
	}
	stop()
	mine := b.router.calls.Load()
	testenv.Eventually(t, patience, func() bool { return theirs.calls.Load() > 0 })
	b.deliveries(t, 5, time.Now(), time.Now())
	testenv.Eventually(t, patience, func() bool { return b.waiting(t) == 15 })
	if b.router.calls.Load() != mine {
		t.Error("the first scheduler works after its end")
	}
}

// TestOneTasksFault fails some of the work: the rest goes on, and what failed
// is tried again.
func TestOneTasksFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.table.broken.Store(true)
	b.router.fail.Store(true)
	b.deliveries(t, 10, time.Now(), time.Now())
	run(t, b.Scheduler)
	testenv.Eventually(t, patience, func() bool { return b.waiting(t) == 10 && b.router.calls.Load() == 1 && b.table.partitions.Load() == 1 })
	b.table.broken.Store(false)
	b.router.fail.Store(false)
	b.router.left.Store(7)
	b.ahead.Store(int64(houseEvery + time.Second))
	testenv.Eventually(t, patience, func() bool { return b.router.left.Load() == 0 && b.table.partitions.Load() == 2 })
}
