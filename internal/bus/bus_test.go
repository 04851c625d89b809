package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy/internal/bus"
	"convoy/internal/bus/bustest"
	"convoy/internal/redisconn"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func TestMemory(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(testing.TB) (a, b bus.Bus) {
		m := bus.NewMemory()
		return m, m
	})
}

func TestRedis(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t testing.TB) (a, b bus.Bus) {
		addr, prefix := testenv.RedisAddr(t)
		return redis(t, addr, prefix), redis(t, addr, prefix)
	})
}

func redis(t testing.TB, addr, prefix string) *bus.Redis {
	t.Helper()
	client, err := redisconn.Open(t.Context(), redisconn.Config{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return bus.NewRedis(client, prefix, quiet)
}

// After an outage everybody is told that messages may be missing, and messages
// flow again. This process hears its own all along.
func TestRedisOutage(t *testing.T) {
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
	a, b := redis(t, server.Addr(), "p:"), redis(t, server.Addr(), "p:")
	here, there := bustest.Subscribe(a, "x"), bustest.Subscribe(b, "x")
	bustest.Start(t, a, b)
	if err := a.Publish(t.Context(), "x", "before"); err != nil {
		t.Fatal(err)
	}
	there.Await(t, "before")
	gaps := there.Gaps()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := a.Publish(t.Context(), "x", "during"); err == nil {
		t.Error("published without a server")
	}
	if d := time.Since(start); d > 6*time.Second {
		t.Errorf("the error took %v", d)
	}
	here.Await(t, "before", "during")
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return there.Gaps() > gaps })
	testenv.Eventually(t, 10*time.Second, func() bool { return a.Publish(t.Context(), "x", "after") == nil })
	testenv.Eventually(t, 10*time.Second, func() bool { return slices.Contains(there.All(), "after") })
	if slices.Contains(there.All(), "during") {
		t.Error("a message of the outage arrived")
	}
}

// database stands for one that passes notifications between its clients.
type database struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
	down      bool
}

type listener struct {
	channels []string
	on       func(channel, payload string)
	lost     chan struct{}
}

var errDown = errors.New("database down")

func (d *database) Notify(_ context.Context, channel, payload string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return errDown
	}
	for l := range d.listeners {
		if slices.Contains(l.channels, channel) {
			l.on(channel, payload)
		}
	}
	return nil
}

func (d *database) Listen(ctx context.Context, channels []string, on func(channel, payload string), ready func()) error {
	l := &listener{channels: channels, on: on, lost: make(chan struct{})}
	d.mu.Lock()
	if d.down {
		d.mu.Unlock()
		return errDown
	}
	d.listeners[l] = struct{}{}
	d.mu.Unlock()
	ready()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.listeners, l)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.lost:
		return errDown
	}
}

// set takes the database down, or brings it up.
func (d *database) set(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
	if !down {
		return
	}
	for l := range d.listeners {
		close(l.lost)
		delete(d.listeners, l)
	}
}

func TestStored(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(testing.TB) (a, b bus.Bus) {
		db := &database{listeners: map[*listener]struct{}{}}
		return bus.NewStored(db, "convoy_", quiet), bus.NewStored(db, "convoy_", quiet)
	})
}

func TestStoredOutage(t *testing.T) {
	t.Parallel()
	db := &database{listeners: map[*listener]struct{}{}}
	a, b := bus.NewStored(db, "convoy_", quiet), bus.NewStored(db, "convoy_", quiet)
	here, there := bustest.Subscribe(a, "x"), bustest.Subscribe(b, "x")
	bustest.Start(t, a, b)
	gaps := there.Gaps()
	db.set(true)
	if err := a.Publish(t.Context(), "x", "during"); !errors.Is(err, errDown) {
		t.Errorf("published to a database that is down: %v", err)
	}
	here.Await(t, "during")
	db.set(false)
	testenv.Eventually(t, 10*time.Second, func() bool { return there.Gaps() > gaps && here.Gaps() > gaps })
	if err := a.Publish(t.Context(), "x", "after"); err != nil {
		t.Fatal(err)
	}
	there.Await(t, "after")
}

// Somebody else's notification on our channel is taken as a sign that something
// changed, and nothing worse.
func TestStoredForeignPayload(t *testing.T) {
	t.Parallel()
	db := &database{listeners: map[*listener]struct{}{}}
	a := bus.NewStored(db, "convoy_", quiet)
	l := bustest.Subscribe(a, "x")
	bustest.Start(t, a)
	for _, payload := range []string{"", "word", "word "} {
		gaps := l.Gaps()
		if err := db.Notify(t.Context(), "convoy_x", payload); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 10*time.Second, func() bool { return l.Gaps() > gaps })
	}
	if got := l.All(); len(got) != 0 {
		t.Errorf("messages %q", got)
	}
}

// A process that only publishes may run the bus all the same.
func TestRunWithoutSubscribers(t *testing.T) {
	t.Parallel()
	addr, prefix := testenv.RedisAddr(t)
	a, b := redis(t, addr, prefix), redis(t, addr, prefix)
	l := bustest.Subscribe(b, "x")
	bustest.Start(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1) // one result
	go func() { ended <- a.Run(ctx) }()
	if err := a.Publish(ctx, "x", "1"); err != nil {
		t.Fatal(err)
	}
	l.Await(t, "1")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func BenchmarkPublishRedis(b *testing.B) {
	addr, prefix := testenv.RedisAddr(b)
	p := redis(b, addr, prefix)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Publish(b.Context(), "x", "01JD0000000000000000000000"); err != nil {
			b.Fatal(err)
		}
	}
}
