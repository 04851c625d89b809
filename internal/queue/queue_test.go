package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"convoy/internal/queue"
	"convoy/internal/queue/queuetest"
	"convoy/internal/redisconn"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(testing.TB) (a, b queue.Queue) {
		q := queue.NewMemory(100_000)
		return q, q
	})
}

func TestRedis(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t testing.TB) (a, b queue.Queue) {
		addr, prefix := testenv.RedisAddr(t)
		return runRedis(t, addr, prefix), runRedis(t, addr, prefix)
	})
}

func connect(t testing.TB, addr string) rueidis.Client {
	t.Helper()
	client, err := redisconn.Open(t.Context(), redisconn.Config{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// runRedis returns a queue with a client of its own that runs until the test
// ends.
func runRedis(t testing.TB, addr, prefix string) *queue.Redis {
	t.Helper()
	q := queue.NewRedis(connect(t, addr), prefix, slog.New(slog.DiscardHandler))
	run(t, q.Run)
	return q
}

// run runs fn until the test ends.
func run(t testing.TB, fn func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1) // its one result, should nobody wait
	go func() { ended <- fn(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	engines := map[string]func(b *testing.B) queue.Queue{
		"memory": func(*testing.B) queue.Queue { return queue.NewMemory(1 << 20) },
		"redis": func(b *testing.B) queue.Queue {
			addr, prefix := testenv.RedisAddr(b)
			return runRedis(b, addr, prefix)
		},
	}
	for _, name := range []string{"memory", "redis"} {
		for _, size := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, size), func(b *testing.B) {
				q := engines[name](b)
				items, ids := make([]queue.Item, size), make([]string, size)
				n := 0
				b.ReportAllocs()
				// One iteration is one id, pushed, pulled and done.
				for b.Loop() {
					if n++; n%size != 0 {
						continue
					}
					now := time.Now()
					for i := range items {
						items[i] = queue.Item{ID: fmt.Sprintf("01JD%022d", n+i), Due: now}
					}
					if err := q.Push(b.Context(), items); err != nil {
						b.Fatal(err)
					}
					for got := 0; got < size; {
						pulled, err := q.Pull(b.Context(), size, time.Minute)
						if err != nil {
							b.Fatal(err)
						}
						for i, it := range pulled {
							ids[i] = it.ID
						}
						if err := q.Done(b.Context(), ids[:len(pulled)]); err != nil {
							b.Fatal(err)
						}
						got += len(pulled)
					}
				}
			})
		}
	}
}
