package lock_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy/internal/lock"
	"convoy/internal/lock/locktest"
	"convoy/internal/redisconn"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(testing.TB) (a, b lock.Locker) {
		l := lock.NewMemory()
		return l, l
	})
}

func TestRedis(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(t testing.TB) (a, b lock.Locker) {
		addr, prefix := testenv.RedisAddr(t)
		return redis(t, addr, prefix), redis(t, addr, prefix)
	})
}

func redis(t testing.TB, addr, prefix string) *lock.Redis {
	t.Helper()
	client, err := redisconn.Open(t.Context(), redisconn.Config{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return lock.NewRedis(client, prefix)
}

// leases stands for a table of leases.
type leases struct {
	mu   sync.Mutex
	rows map[string]lease
}

type lease struct {
	owner string
	until time.Time
}

func (l *leases) AcquireLease(_ context.Context, name, owner string, now, until time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.rows[name]; ok && r.owner != owner && r.until.After(now) {
		return false, nil
	}
	l.rows[name] = lease{owner, until}
	return true, nil
}

func (l *leases) ReleaseLease(_ context.Context, name, owner string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rows[name].owner == owner {
		delete(l.rows, name)
	}
	return nil
}

func TestStored(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(testing.TB) (a, b lock.Locker) {
		table := &leases{rows: map[string]lease{}}
		return lock.NewStored(table), lock.NewStored(table)
	})
}

// Redis going away costs the lead; coming back, empty, gives it again.
func TestLeadRedisOutage(t *testing.T) {
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
	const ttl = time.Second
	locker := redis(t, server.Addr(), "p:")
	ctx, cancel := context.WithCancel(t.Context())
	// Both hold more than two reigns.
	started, stopped := make(chan time.Time, 10), make(chan time.Time, 10)
	ended := make(chan error, 1) // one result
	go func() {
		ended <- lock.Lead(ctx, lock.LeadConfig{
			Locker: locker, Name: "n", Owner: "x", TTL: ttl, Log: slog.New(slog.DiscardHandler),
		}, func(ctx context.Context) error {
			started <- time.Now()
			<-ctx.Done()
			stopped <- time.Now()
			return ctx.Err()
		})
	}()
	<-started
	killed := time.Now()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if d := (<-stopped).Sub(killed); d > ttl {
		t.Errorf("led for %v without a lock of %v", d, ttl)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-started:
	case <-time.After(10 * time.Second):
		t.Error("no lead after the outage")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
