package limit_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy/internal/limit"
	"convoy/internal/limit/limittest"
	"convoy/internal/redisconn"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(testing.TB) (a, b limit.Limiter) {
		l := limit.NewMemory()
		return l, l
	})
}

// running runs an engine until the test ends.
func running(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func redis(t testing.TB, addr, prefix string) *limit.Redis {
	t.Helper()
	client, err := redisconn.Open(t.Context(), redisconn.Config{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	l := limit.NewRedis(client, prefix)
	running(t, l.Run)
	return l
}

func TestRedis(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(t testing.TB) (a, b limit.Limiter) {
		addr, prefix := testenv.RedisAddr(t)
		return redis(t, addr, prefix), redis(t, addr, prefix)
	})
}

// rows stands for a table of limits; the real one passes the suite in package
// app.
type rows struct {
	mu     sync.Mutex
	states map[string]string
}

func (r *rows) ChangeLimits(ctx context.Context, names []string, change func([]string) ([]string, []time.Time)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	states := make([]string, len(names))
	for i, name := range names {
		states[i] = r.states[name]
	}
	changed, ends := change(states)
	for i, name := range names {
		if changed[i] != "" && ends[i].After(time.Now()) {
			r.states[name] = changed[i]
		}
	}
	return ctx.Err()
}

func TestStored(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(t testing.TB) (a, b limit.Limiter) {
		table := &rows{states: map[string]string{}}
		one, two := limit.NewStored(table), limit.NewStored(table)
		running(t, one.Run)
		running(t, two.Run)
		return one, two
	})
}

// Redis forgets a state when it does not matter any more.
func TestRedisForgets(t *testing.T) {
	t.Parallel()
	addr, prefix := testenv.RedisAddr(t)
	l := redis(t, addr, prefix)
	q := limit.Request{Group: "g", Limits: []limit.Limit{{Key: "k", Count: 1, Period: 2 * time.Second}}, N: 1}
	if g, err := l.Reserve(t.Context(), []limit.Request{q}); err != nil || !g[0].OK {
		t.Fatal(g, err)
	}
	client, err := redisconn.Open(t.Context(), redisconn.Config{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	key := prefix + "limit:{g}:k@1/2s"
	ttl, err := client.Do(t.Context(), client.B().Pttl().Key(key).Build()).AsInt64()
	if err != nil || ttl < 1000 || ttl > 3100 {
		t.Errorf("life of %d ms, %v", ttl, err)
	}
}

// A process that gives up on Redis says so within seconds, and works again when
// Redis does.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	server, err := testenv.StartRedis(t.Context(), testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	l := redis(t, server.Addr(), "p:")
	q := []limit.Request{{Group: "g", Limits: []limit.Limit{{Key: "k", Count: 1000, Period: time.Second}}, N: 1}}
	if _, err := l.Reserve(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := l.Reserve(t.Context(), q); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("error %v after %v", err, time.Since(start))
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool {
		_, err := l.Reserve(t.Context(), q)
		return err == nil
	})
}

// Refusals are answered from memory for a while, and only those that still hold.
func TestGathering(t *testing.T) {
	t.Parallel()
	table := &counted{rows: rows{states: map[string]string{}}}
	l := limit.NewStored(table)
	running(t, l.Run)
	q := limit.Request{Group: "g", Limits: []limit.Limit{{Key: "k", Count: 1, Period: time.Hour}}, N: 1}
	ask := func(want bool) {
		t.Helper()
		g, err := l.Reserve(t.Context(), []limit.Request{q})
		if err != nil || g[0].OK != want {
			t.Fatalf("got %+v, %v, want %v", g, err, want)
		}
	}
	ask(true)
	ask(false)
	before := table.calls
	for range 100 {
		ask(false)
	}
	if n := table.calls - before; n > 5 {
		t.Errorf("%d calls for 100 refusals", n)
	}
	q.Horizon = 2 * time.Hour // further than what is known to be taken
	ask(true)
}

type counted struct {
	rows
	calls int
}

func (c *counted) ChangeLimits(ctx context.Context, names []string, change func([]string) ([]string, []time.Time)) error {
	c.calls++
	return c.rows.ChangeLimits(ctx, names, change)
}

func TestFree(t *testing.T) {
	t.Parallel()
	l := limit.Limit{Count: 60, Period: time.Minute, Burst: 3}
	for _, c := range []struct {
		wait, horizon time.Duration
		want          int
	}{
		{20 * time.Second, 15 * time.Second, 0},
		{15 * time.Second, 15 * time.Second, 1},
		{10500 * time.Millisecond, 15 * time.Second, 5},
		{0, 0, 3},
		{0, 15 * time.Second, 18},
	} {
		if got := limit.Free(l, c.wait, c.horizon); got != c.want {
			t.Errorf("after %v within %v: %d, want %d", c.wait, c.horizon, got, c.want)
		}
	}
}

func TestShared(t *testing.T) {
	t.Parallel()
	engine := limit.NewMemory()
	l := limit.Limit{Key: "api", Count: 2000, Period: time.Hour, Burst: 2000}
	taps := []*limit.Shared{
		limit.NewShared(engine, l, slog.New(slog.DiscardHandler)), limit.NewShared(engine, l, slog.New(slog.DiscardHandler)),
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		taken int
	)
	for i := range 8 {
		wg.Go(func() {
			n := 0
			for range 1000 {
				if wait := taps[i%2].Take(t.Context(), 1); wait == 0 {
					n++
				} else if wait > 2*time.Second {
					t.Errorf("wait of %v", wait)
				}
			}
			mu.Lock()
			taken += n
			mu.Unlock()
		})
	}
	wg.Wait()
	// A part of it may be left in the hands of one that is not asked any more.
	if taken < 1980 || taken > 2001 {
		t.Errorf("%d of 2000 taken", taken)
	}
}

// Batches count as what they are, and leave the rest to others.
func TestSharedBatches(t *testing.T) {
	t.Parallel()
	l := limit.Limit{Key: "api", Count: 2000, Period: time.Hour, Burst: 2000}
	s := limit.NewShared(limit.NewMemory(), l, slog.New(slog.DiscardHandler))
	for i := range 3 {
		if wait := s.Take(t.Context(), 600); wait != 0 {
			t.Fatalf("batch %d: wait of %v", i, wait)
		}
	}
	if wait := s.Take(t.Context(), 600); wait == 0 {
		t.Error("600 of 200")
	}
	n := 0
	for s.Take(t.Context(), 1) == 0 {
		n++
	}
	if n < 195 || n > 201 {
		t.Errorf("%d of 200", n)
	}
	if wait := s.Take(t.Context(), 1_000_000); wait == 0 {
		t.Error("all of it, of nothing")
	}
}

// Everybody passes while the engine is away.
func TestSharedAway(t *testing.T) {
	t.Parallel()
	l := limit.Limit{Key: "api", Count: 10, Period: time.Hour, Burst: 10}
	s := limit.NewShared(away{}, l, slog.New(slog.DiscardHandler))
	for range 100 {
		if wait := s.Take(t.Context(), 7); wait != 0 {
			t.Fatalf("wait of %v", wait)
		}
	}
}

type away struct{}

func (away) Reserve(context.Context, []limit.Request) ([]limit.Grant, error) {
	return nil, context.DeadlineExceeded
}
