package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"convoy"
	"convoy/internal/queue"
	"convoy/internal/testenv"
)

type streamEnv struct {
	client rueidis.Client
	key    string
}

func streams(t testing.TB) streamEnv {
	t.Helper()
	addr, prefix := testenv.RedisAddr(t)
	return streamEnv{connect(t, addr), prefix + "intake"}
}

func (e streamEnv) open(t testing.TB, consumer string, maxLen int64) *queue.Stream {
	t.Helper()
	s, err := queue.OpenStream(t.Context(), e.client, queue.StreamConfig{
		Key: e.key, Group: "agents", Consumer: consumer, MaxLen: maxLen,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// consumers names the consumers of the group.
func (e streamEnv) consumers(t testing.TB) []string {
	t.Helper()
	rows, err := e.client.Do(t.Context(), e.client.B().XinfoConsumers().Key(e.key).Group("agents").Build()).ToArray()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rows {
		m, err := r.AsMap()
		if err != nil {
			t.Fatal(err)
		}
		name := m["name"]
		s, err := name.ToString()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, s)
	}
	slices.Sort(names)
	return names
}

func appendTo(t testing.TB, s *queue.Stream, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		if err := s.Append(t.Context(), []byte(b), len(b)); err != nil {
			t.Fatal(err)
		}
	}
}

func bodies(entries []queue.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, string(e.Body))
	}
	return out
}

func entryIDs(entries []queue.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.ID)
	}
	return out
}

func read(t testing.TB, s *queue.Stream, limit int) []queue.Entry {
	t.Helper()
	entries, err := s.Read(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestStreamRoundTrip(t *testing.T) {
	t.Parallel()
	env := streams(t)
	s := env.open(t, "a", 100)
	binary := string([]byte{0, 1, 0xff, '\r', '\n', 0})
	start := time.Now()
	appendTo(t, s, "one", binary, "")
	n, oldest, err := s.Backlog(t.Context())
	if err != nil || n != 3 || oldest.Sub(start).Abs() > time.Second {
		t.Errorf("backlog %d since %v, %v", n, oldest, err)
	}
	entries := read(t, s, 2)
	if !slices.Equal(bodies(entries), []string{"one", binary}) || entries[1].Events != len(binary) {
		t.Fatalf("read %q", bodies(entries))
	}
	entries = append(entries, read(t, s, 2)...)
	if len(entries) != 3 || len(entries[2].Body) != 0 {
		t.Fatalf("read %q", bodies(entries))
	}
	if n, _, err := s.Backlog(t.Context()); err != nil || n != 3 {
		t.Errorf("backlog of read entries is %d, %v", n, err)
	}
	for range 2 { // twice is harmless
		if err := s.Ack(t.Context(), entryIDs(entries)); err != nil {
			t.Fatal(err)
		}
	}
	n, oldest, err = s.Backlog(t.Context())
	if err != nil || n != 0 || !oldest.IsZero() {
		t.Errorf("backlog %d since %v, %v", n, oldest, err)
	}
	start = time.Now()
	if got := read(t, s, 10); len(got) != 0 {
		t.Errorf("read %q of an empty stream", bodies(got))
	}
	if d := time.Since(start); d < 900*time.Millisecond || d > 2*time.Second {
		t.Errorf("an empty read took %v", d)
	}
}

func TestStreamReadWaits(t *testing.T) {
	t.Parallel()
	env := streams(t)
	s := env.open(t, "a", 100)
	got := make(chan []queue.Entry, 1) // one result
	go func() {
		entries, err := s.Read(t.Context(), 10)
		if err != nil {
			t.Error(err)
		}
		got <- entries
	}()
	appendTo(t, s, "x")
	if entries := <-got; !slices.Equal(bodies(entries), []string{"x"}) {
		t.Errorf("read %q", bodies(entries))
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1) // one result
	go func() {
		_, err := s.Read(ctx, 10)
		ended <- err
	}()
	start := time.Now()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled read: %v", err)
	}
	if d := time.Since(start); d > 500*time.Millisecond {
		t.Errorf("a cancelled read took %v", d)
	}
	// Reading goes on after that.
	testenv.Eventually(t, 3*time.Second, func() bool {
		appendTo(t, s, "y")
		return len(read(t, s, 10)) > 0
	})
}

func TestStreamFull(t *testing.T) {
	t.Parallel()
	env := streams(t)
	s := env.open(t, "a", 5)
	appended := 0
	var refused error
	testenv.Eventually(t, 5*time.Second, func() bool {
		if refused = s.Append(t.Context(), []byte("x"), 1); refused == nil {
			appended++
		}
		return refused != nil
	})
	var e *convoy.Error
	if !errors.As(refused, &e) || e.Kind != convoy.Unavailable || e.RetryAfter <= 0 {
		t.Errorf("refused with %v", refused)
	}
	if appended < 5 {
		t.Errorf("refused after %d of 5", appended)
	}
	if n, _, err := s.Backlog(t.Context()); err != nil || n != int64(appended) {
		t.Errorf("%d appended, %d there, %v", appended, n, err)
	}
	if err := s.Ack(t.Context(), entryIDs(read(t, s, 1000))); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 5*time.Second, func() bool { return s.Append(t.Context(), []byte("x"), 1) == nil })
}

func TestStreamReclaim(t *testing.T) {
	t.Parallel()
	env := streams(t)
	dead, live := env.open(t, "dead", 100), env.open(t, "live", 100)
	appendTo(t, dead, "1", "2", "3")
	if got := read(t, dead, 10); len(got) != 3 {
		t.Fatalf("read %q", bodies(got))
	}
	if got, err := live.Reclaim(t.Context(), time.Hour, 10); err != nil || len(got) != 0 {
		t.Errorf("reclaimed %q, %v from a live consumer", bodies(got), err)
	}
	// In portions, going on where the last left off.
	var got []queue.Entry
	for range 2 {
		entries, err := live.Reclaim(t.Context(), 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entries...)
	}
	if !slices.Equal(bodies(got), []string{"1", "2", "3"}) {
		t.Errorf("reclaimed %q", bodies(got))
	}
	if err := live.BuryIdle(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if names := env.consumers(t); !slices.Equal(names, []string{"dead", "live"}) {
		t.Errorf("consumers %v", names)
	}
	// The consumer that holds entries stays, however long it is silent.
	if err := live.BuryIdle(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if names := env.consumers(t); !slices.Equal(names, []string{"live"}) {
		t.Errorf("consumers %v", names)
	}
	if err := live.Ack(t.Context(), entryIDs(got)); err != nil {
		t.Fatal(err)
	}
}

func TestStreamLeave(t *testing.T) {
	t.Parallel()
	env := streams(t)
	a, b := env.open(t, "a", 100), env.open(t, "b", 100)
	appendTo(t, a, "1", "2")
	entries := read(t, a, 2)
	if err := a.Ack(t.Context(), entryIDs(entries[:1])); err != nil {
		t.Fatal(err)
	}
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := env.consumers(t); !slices.Contains(names, "a") {
		t.Errorf("a consumer was deleted with entries; left are %v", names)
	}
	// What it held is free at once, also for the most patient.
	got, err := b.Reclaim(t.Context(), time.Hour, 10)
	if err != nil || !slices.Equal(bodies(got), []string{"2"}) {
		t.Errorf("reclaimed %q, %v", bodies(got), err)
	}
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Ack(t.Context(), entryIDs(got)); err != nil {
		t.Fatal(err)
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := env.consumers(t); len(names) != 0 {
		t.Errorf("consumers %v", names)
	}
}

// Every call works after the server has lost the stream and the group.
func TestStreamFlushed(t *testing.T) {
	t.Parallel()
	env := streams(t)
	gone := func() {
		if err := env.client.Do(t.Context(), env.client.B().Del().Key(env.key).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	s := env.open(t, "a", 100)
	for _, first := range []struct {
		name string
		call func() error
	}{
		{"ack", func() error { return s.Ack(t.Context(), []string{"1-1"}) }},
		{"reclaim", func() error { _, err := s.Reclaim(t.Context(), 0, 10); return err }},
		{"backlog", func() error { _, _, err := s.Backlog(t.Context()); return err }},
		{"leave", func() error { return s.Leave(t.Context()) }},
		{"append", func() error { return s.Append(t.Context(), []byte("x"), 1) }},
	} {
		gone()
		if err := first.call(); err != nil {
			t.Errorf("%s: %v", first.name, err)
		}
	}
	// The entry was appended before the group is back, and is read.
	if got := read(t, s, 10); !slices.Equal(bodies(got), []string{"x"}) {
		t.Errorf("read %q", bodies(got))
	}
	gone()
	reading := make(chan []queue.Entry, 1) // one result
	go func() {
		entries, err := s.Read(t.Context(), 10)
		if err != nil {
			t.Error(err)
		}
		reading <- entries
	}()
	appendTo(t, s, "y")
	if got := append(<-reading, read(t, s, 10)...); !slices.Equal(bodies(got), []string{"y"}) {
		t.Errorf("read %q", bodies(got))
	}
}

// A crash of a durable server loses nothing that was appended.
func TestStreamOutage(t *testing.T) {
	t.Parallel()
	server, err := testenv.StartRedis(t.Context(), testenv.Options{
		Settings: map[string]string{"appendonly": "yes", "appendfsync": "always"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	env := streamEnv{connect(t, server.Addr()), "intake"}
	s := env.open(t, "a", 1000)
	appendTo(t, s, "1", "2")
	held := read(t, s, 1)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := s.Append(t.Context(), []byte("lost"), 1); convoy.KindOf(err) != convoy.Unavailable {
		t.Errorf("append: %v", err)
	}
	if _, err := s.Read(t.Context(), 10); err == nil {
		t.Error("read works without a server")
	}
	if err := s.Ack(t.Context(), entryIDs(held)); err == nil {
		t.Error("ack works without a server")
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("the errors took %v", d)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return s.Append(t.Context(), []byte("3"), 1) == nil })
	if got := read(t, s, 10); !slices.Equal(bodies(got), []string{"2", "3"}) {
		t.Errorf("read %q", bodies(got))
	}
	got, err := env.open(t, "b", 1000).Reclaim(t.Context(), 0, 10)
	if err != nil || !slices.Equal(bodies(got), []string{"1", "2", "3"}) {
		t.Errorf("reclaimed %q, %v", bodies(got), err)
	}
}

// Many appenders and several consumers: every entry is read exactly once while
// nobody dies.
func TestStreamConcurrent(t *testing.T) {
	t.Parallel()
	env := streams(t)
	const appenders, each, consumers = 50, 40, 4
	s := env.open(t, "writer", 1e6)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]int{}
	)
	for i := range appenders {
		wg.Go(func() {
			for j := range each {
				if err := s.Append(t.Context(), fmt.Appendf(nil, "%d/%d", i, j), 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for c := range consumers {
		r := env.open(t, "c"+strconv.Itoa(c), 1e6)
		wg.Go(func() {
			for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
				entries, err := r.Read(t.Context(), 100)
				if err == nil {
					err = r.Ack(t.Context(), entryIDs(entries))
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, e := range entries {
					seen[string(e.Body)]++
				}
				all := len(seen) == appenders*each
				mu.Unlock()
				if all {
					return
				}
			}
			t.Error("not all entries came")
		})
	}
	wg.Wait()
	for body, n := range seen {
		if n != 1 {
			t.Errorf("%s read %d times", body, n)
		}
	}
	if n, _, err := s.Backlog(t.Context()); err != nil || n != 0 {
		t.Errorf("backlog %d, %v", n, err)
	}
}

func BenchmarkStreamAppend(b *testing.B) {
	env := streams(b)
	s := env.open(b, "a", 1<<40)
	body := bytes.Repeat([]byte("x"), 1024)
	b.SetParallelism(50)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Append(b.Context(), body, 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkStreamReadAck(b *testing.B) {
	env := streams(b)
	s := env.open(b, "a", 1<<40)
	body := bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	ready := 0
	for b.Loop() {
		if ready > 0 {
			ready--
			continue
		}
		b.StopTimer()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 20 {
					if err := s.Append(b.Context(), body, 1); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		b.StartTimer()
		entries := read(b, s, 1000)
		if err := s.Ack(b.Context(), entryIDs(entries)); err != nil {
			b.Fatal(err)
		}
		ready = len(entries) - 1
	}
}
