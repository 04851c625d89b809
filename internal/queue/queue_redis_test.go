package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"convoy/internal/queue"
	"convoy/internal/queue/queuetest"
	"convoy/internal/testenv"
)

// private starts a Redis of this test's own, which it may stop and flush.
func private(t *testing.T) *testenv.Redis {
	t.Helper()
	r, err := testenv.StartRedis(t.Context(), testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// An outage costs errors, in bounded time, and what the queue held; not more.
func TestRedisOutage(t *testing.T) {
	t.Parallel()
	server := private(t)
	q := runRedis(t, server.Addr(), "p:")
	other := runRedis(t, server.Addr(), "p:")
	items := []queue.Item{{ID: "x", Due: time.Now()}}
	if err := q.Push(t.Context(), items); err != nil {
		t.Fatal(err)
	}

	// A pull that waits at that moment ends with an error too.
	waiting := make(chan error, 1) // its one result
	if _, err := other.Pull(t.Context(), 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := other.Pull(t.Context(), 1, time.Minute)
		waiting <- err
	}()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(q, items) {
		start := time.Now()
		if err := call(t.Context()); err == nil {
			t.Errorf("%s works without a server", name)
		}
		if d := time.Since(start); d > 6*time.Second {
			t.Errorf("%s took %v to report", name, d)
		}
	}
	select {
	case err := <-waiting:
		if err == nil {
			t.Error("the waiting pull got something")
		}
	case <-time.After(10 * time.Second):
		t.Error("the waiting pull hangs")
	}

	// It comes back empty; scripts are loaded again.
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool {
		d, err := q.Depth(t.Context())
		return err == nil && d == queue.Depth{}
	})
	testenv.Eventually(t, 10*time.Second, func() bool { return q.Push(t.Context(), items) == nil })
	got, err := other.Pull(t.Context(), 1, time.Minute)
	if err != nil || len(got) != 1 || got[0].ID != "x" {
		t.Errorf("after the outage: %v, %v", got, err)
	}
	awaitWake(t, q, other)
}

// awaitWake returns once a push through one handle wakes a pull through the
// other faster than its poll would: the subscription is back.
func awaitWake(t *testing.T, from, to *queue.Redis) {
	t.Helper()
	fast := 0
	testenv.Eventually(t, 20*time.Second, func() bool {
		woken := make(chan time.Time, 1) // its one result
		go func() {
			if _, err := to.Pull(t.Context(), 1, time.Minute); err == nil {
				woken <- time.Now()
			}
			close(woken)
		}()
		<-time.After(20 * time.Millisecond) // asleep by then, or the round says nothing
		start := time.Now()
		if err := from.Push(t.Context(), []queue.Item{{ID: "wake", Due: start}}); err != nil {
			return false
		}
		at, ok := <-woken
		if err := from.Done(t.Context(), []string{"wake"}); err != nil {
			return false
		}
		if ok && at.Sub(start) < 100*time.Millisecond {
			fast++
		} else {
			fast = 0
		}
		return fast == 3
	})
}

func calls(q *queue.Redis, items []queue.Item) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"push":  func(ctx context.Context) error { return q.Push(ctx, items) },
		"later": func(ctx context.Context) error { return q.Later(ctx, items) },
		"done":  func(ctx context.Context) error { return q.Done(ctx, []string{"x"}) },
		"pull":  func(ctx context.Context) error { _, err := q.Pull(ctx, 1, time.Minute); return err },
		"depth": func(ctx context.Context) error { _, err := q.Depth(ctx); return err },
	}
}

func TestRedisHangs(t *testing.T) {
	t.Parallel()
	server := private(t)
	q := runRedis(t, server.Addr(), "p:")
	items := []queue.Item{{ID: "x", Due: time.Now()}}
	if err := q.Push(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(server.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		name string
		err  error
		took time.Duration
	}
	all := calls(q, items)
	out := make(chan outcome, len(all)) // one for each call
	for name, call := range all {
		go func() {
			start := time.Now()
			err := call(t.Context())
			out <- outcome{name, err, time.Since(start)}
		}()
	}
	for range all {
		o := <-out
		if o.err == nil || o.took > 8*time.Second {
			t.Errorf("%s: %v after %v", o.name, o.err, o.took)
		}
	}
	if err := syscall.Kill(server.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { _, err := q.Depth(t.Context()); return err == nil })
}

// Redis may lose everything while in use.
func TestRedisFlushed(t *testing.T) {
	t.Parallel()
	server := private(t)
	q := runRedis(t, server.Addr(), "p:")
	admin := connect(t, server.Addr())
	items := []queue.Item{{ID: "x", Due: time.Now()}, {ID: "y", Due: time.Now()}}
	if err := q.Push(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Pull(t.Context(), 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"FLUSHALL"}, {"SCRIPT", "FLUSH"}} {
		if err := admin.Do(t.Context(), admin.B().Arbitrary(words...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	// The holder of a lease that is gone may finish or postpone all the same.
	if err := q.Done(t.Context(), []string{"x"}); err != nil {
		t.Fatal(err)
	}
	if err := q.Later(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	got, err := q.Pull(t.Context(), 10, time.Minute)
	if err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRedisKeysShareASlot(t *testing.T) {
	t.Parallel()
	server := private(t)
	client := connect(t, server.Addr())
	q := queue.NewRedis(client, "some:", slog.New(slog.DiscardHandler))
	now := time.Now()
	if err := q.Push(t.Context(), []queue.Item{{ID: "x", Due: now}, {ID: "y", Due: now}}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Pull(t.Context(), 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	keys, err := client.Do(t.Context(), client.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	if want := []string{"{some:queue}:due", "{some:queue}:leased"}; !slices.Equal(keys, want) {
		t.Errorf("keys %v, want %v", keys, want)
	}
}

// Processes whose clocks are hours apart agree on when ids are due.
func TestRedisClocksDiffer(t *testing.T) {
	t.Parallel()
	addr, prefix := testenv.RedisAddr(t)
	ahead := func() time.Time { return time.Now().Add(3 * time.Hour) }
	behind := func() time.Time { return time.Now().Add(-5 * time.Hour) }
	a := queue.NewRedis(connect(t, addr), prefix, slog.New(slog.DiscardHandler))
	b := queue.NewRedis(connect(t, addr), prefix, slog.New(slog.DiscardHandler))
	a.SetClock(ahead)
	b.SetClock(behind)
	near := func(got, want time.Time) bool { return got.Sub(want).Abs() < 500*time.Millisecond }

	push := func(id string, in time.Duration) {
		if err := a.Push(t.Context(), []queue.Item{{ID: id, Due: ahead().Add(in)}}); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	push("x", -time.Minute)
	push("y", 300*time.Millisecond)
	d, err := b.Depth(t.Context())
	if err != nil || d.Waiting != 2 || !near(d.Oldest, behind().Add(-time.Minute)) {
		t.Errorf("depth %+v, %v", d, err)
	}
	for _, want := range []struct {
		id string
		in time.Duration
	}{{"x", -time.Minute}, {"y", 300 * time.Millisecond}} {
		got, err := b.Pull(t.Context(), 10, time.Hour)
		if err != nil || len(got) != 1 || got[0].ID != want.id || !near(got[0].Due, start.Add(-5*time.Hour+want.in)) {
			t.Fatalf("pulled %v, %v", got, err)
		}
	}
	if d := time.Since(start); d < 299*time.Millisecond || d > time.Second {
		t.Errorf("an id due in 300 ms came after %v", d)
	}
	start = time.Now()
	if err := b.Later(t.Context(), []queue.Item{{ID: "x", Due: behind().Add(200 * time.Millisecond)}}); err != nil {
		t.Fatal(err)
	}
	got, err := a.Pull(t.Context(), 10, time.Hour)
	if err != nil || len(got) != 1 || !near(got[0].Due, start.Add(3*time.Hour+200*time.Millisecond)) {
		t.Errorf("pulled %v, %v", got, err)
	}
	if d := time.Since(start); d < 199*time.Millisecond || d > time.Second {
		t.Errorf("an id due in 200 ms came after %v", d)
	}
}

// In a cluster the keys of a script share a slot, and wake-ups reach everybody.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	server := cluster(t)
	var n atomic.Int64
	queuetest.Run(t, func(t testing.TB) (a, b queue.Queue) {
		prefix := fmt.Sprintf("p%d:", n.Add(1))
		return runRedis(t, server, prefix), runRedis(t, server, prefix)
	})
}

func TestStreamCluster(t *testing.T) {
	t.Parallel()
	env := streamEnv{connect(t, cluster(t)), "intake"}
	if mode := env.client.Mode(); mode != rueidis.ClientModeCluster {
		t.Fatalf("the client is in mode %s", mode)
	}
	s := env.open(t, "a", 10)
	appendTo(t, s, "x", "y")
	entries := read(t, s, 10)
	if !slices.Equal(bodies(entries), []string{"x", "y"}) {
		t.Errorf("read %q", bodies(entries))
	}
	if _, err := s.Reclaim(t.Context(), 0, 10); err != nil {
		t.Error(err)
	}
	if err := s.Ack(t.Context(), entryIDs(entries)); err != nil {
		t.Error(err)
	}
	if n, _, err := s.Backlog(t.Context()); err != nil || n != 0 {
		t.Errorf("backlog %d, %v", n, err)
	}
	if err := s.Leave(t.Context()); err != nil {
		t.Error(err)
	}
}

// cluster starts a cluster of one node and returns its address.
func cluster(t *testing.T) string {
	t.Helper()
	server, err := testenv.StartRedis(t.Context(), testenv.Options{Settings: map[string]string{
		"cluster-enabled": "yes",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	admin, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{server.Addr()}, ForceSingleClient: true, DisableCache: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	slots := make([]string, 16384)
	for i := range slots {
		slots[i] = strconv.Itoa(i)
	}
	if err := admin.Do(t.Context(), admin.B().Arbitrary("CLUSTER", "ADDSLOTS").Args(slots...).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool {
		info, err := admin.Do(t.Context(), admin.B().ClusterInfo().Build()).ToString()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	return server.Addr()
}
