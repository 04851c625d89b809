package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"convoy/internal/queue"
	"convoy/internal/queue/queuetest"
)

// table stands for the table of deliveries.
type table struct {
	mu     sync.Mutex
	rows   map[string]row
	claims int
	err    error
}

type row struct{ due, leased time.Time }

func (r row) free(now time.Time) bool { return !r.leased.After(now) }

// since is when a row became due for claiming.
func (r row) since() time.Time {
	if r.leased.After(r.due) {
		return r.leased
	}
	return r.due
}

func (tb *table) ClaimDue(_ context.Context, now time.Time, lease time.Duration, limit int) ([]queue.Item, time.Time, error) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.claims++
	if tb.err != nil {
		return nil, time.Time{}, tb.err
	}
	var items []queue.Item
	for id, r := range tb.rows {
		items = append(items, queue.Item{ID: id, Due: r.since()})
	}
	slices.SortFunc(items, func(a, b queue.Item) int { return a.Due.Compare(b.Due) })
	var next time.Time
	n := 0
	for ; n < len(items) && n < limit && !items[n].Due.After(now); n++ {
		r := tb.rows[items[n].ID]
		r.leased = now.Add(lease)
		tb.rows[items[n].ID] = r
	}
	if n < len(items) {
		next = items[n].Due
	}
	return items[:n], next, nil
}

func (tb *table) ReleaseDue(_ context.Context, items []queue.Item) error {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, it := range items {
		tb.rows[it.ID] = row{due: it.Due}
	}
	return tb.err
}

func (tb *table) DueDepth(_ context.Context, now time.Time) (queue.Depth, error) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	var d queue.Depth
	for _, r := range tb.rows {
		if !r.free(now) {
			continue
		}
		d.Waiting++
		if at := r.since(); !at.After(now) && (d.Oldest.IsZero() || at.Before(d.Oldest)) {
			d.Oldest = at
		}
	}
	return d, tb.err
}

// written is a Stored queue whose callers also write the rows, as the rest of
// the gateway does.
type written struct {
	*queue.Stored
	table *table
}

func (w written) Push(ctx context.Context, items []queue.Item) error {
	w.table.mu.Lock()
	for _, it := range items {
		r, ok := w.table.rows[it.ID]
		if !ok || r.free(time.Now()) && it.Due.Before(r.due) {
			w.table.rows[it.ID] = row{due: it.Due}
		}
	}
	w.table.mu.Unlock()
	return w.Stored.Push(ctx, items)
}

func (w written) Done(ctx context.Context, ids []string) error {
	w.table.mu.Lock()
	for _, id := range ids {
		delete(w.table.rows, id)
	}
	w.table.mu.Unlock()
	return w.Stored.Done(ctx, ids)
}

func TestStored(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(testing.TB) (a, b queue.Queue) {
		tb := &table{rows: map[string]row{}}
		var p, q *queue.Stored
		wake := func(context.Context) error { p.Wake(); q.Wake(); return nil }
		p, q = queue.NewStored(tb, wake), queue.NewStored(tb, wake)
		return written{p, tb}, written{q, tb}
	})
}

// Without a wake-up the poll finds what is due, and an idle queue asks the
// table twice a second.
func TestStoredPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tb := &table{rows: map[string]row{}}
		q := queue.NewStored(tb, nil)
		start := time.Now()
		go func() {
			<-time.After(10*time.Second + 100*time.Millisecond)
			tb.mu.Lock()
			tb.rows["x"] = row{due: time.Now()}
			tb.mu.Unlock()
		}()
		items, err := q.Pull(t.Context(), 1, time.Minute)
		if err != nil || len(items) != 1 {
			t.Fatalf("%v, %v", items, err)
		}
		if d := time.Since(start); d != 10*time.Second+500*time.Millisecond {
			t.Errorf("found after %v", d)
		}
		if tb.claims != 22 {
			t.Errorf("%d claims in 10.5 s", tb.claims)
		}
	})
}

func TestStoredErrors(t *testing.T) {
	t.Parallel()
	away := errors.New("database away")
	tb := &table{rows: map[string]row{}, err: away}
	q := queue.NewStored(tb, func(context.Context) error { return away })
	items := []queue.Item{{ID: "x", Due: time.Now()}}
	if _, err := q.Pull(t.Context(), 1, time.Minute); !errors.Is(err, away) {
		t.Errorf("pull: %v", err)
	}
	if err := q.Push(t.Context(), items); !errors.Is(err, away) {
		t.Errorf("push: %v", err)
	}
	if err := q.Later(t.Context(), items); !errors.Is(err, away) {
		t.Errorf("later: %v", err)
	}
	if _, err := q.Depth(t.Context()); !errors.Is(err, away) {
		t.Errorf("depth: %v", err)
	}
	if err := q.Push(t.Context(), []queue.Item{{ID: "x", Due: time.Now().Add(time.Hour)}}); err != nil {
		t.Errorf("push of the future, which wakes nobody: %v", err)
	}
}

// Pushes at the same time share notifications, and every one of them is
// followed by a notification that began after it.
func TestStoredSharesNotifications(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		q := queue.NewStored(&table{}, func(context.Context) error {
			calls.Add(1)
			<-time.After(time.Second) // a slow database, on the fake clock
			return nil
		})
		start := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := q.Push(t.Context(), []queue.Item{{ID: "x", Due: start}}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := calls.Load(); n > 2 {
			t.Errorf("%d notifications for 100 pushes", n)
		}
		if d := time.Since(start); d != 2*time.Second && d != time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// leaver ends its puller's context while the claim is under way.
type leaver struct {
	*table
	leave context.CancelFunc
}

func (l leaver) ClaimDue(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]queue.Item, time.Time, error) {
	l.leave()
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, err
	}
	return l.table.ClaimDue(ctx, now, lease, limit)
}

// Rows that were claimed for a puller who is leaving reach it all the same: it
// can give them back, where a lost answer would leave them leased.
func TestStoredClaimOutlivesItsPuller(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	tb := &table{rows: map[string]row{"x": {due: time.Now().Add(-time.Second)}}}
	items, err := queue.NewStored(leaver{tb, leave}, nil).Pull(ctx, 10, time.Minute)
	if err != nil || len(items) != 1 {
		t.Errorf("pulled %v, %v", items, err)
	}
}
