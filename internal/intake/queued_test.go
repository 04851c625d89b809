package intake

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/queue"
	"convoy/internal/redisconn"
	"convoy/internal/store"
	"convoy/internal/testenv"
)

// streamAt opens the tests' stream as one consumer.
func streamAt(t *testing.T, addr, key, consumer string) *queue.Stream {
	t.Helper()
	client, err := redisconn.Open(context.WithoutCancel(t.Context()), redisconn.Config{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s, err := queue.OpenStream(t.Context(), client, queue.StreamConfig{Key: key, Group: "agents", Consumer: consumer, MaxLen: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// streams returns a function that opens a stream of this test's own for one
// consumer after another.
func streams(t *testing.T) func(consumer string) *queue.Stream {
	t.Helper()
	addr, prefix := testenv.RedisAddr(t)
	return func(consumer string) *queue.Stream { return streamAt(t, addr, prefix+"{intake}", consumer) }
}

// hasty is a log whose entries can be taken over at once, and whose
// acknowledgements can fail.
type hasty struct {
	*queue.Stream
	mu     sync.Mutex
	broken bool
	acks   int
}

var errBroken = errors.New("connection lost")

func (h *hasty) Reclaim(ctx context.Context, _ time.Duration, max int) ([]queue.Entry, error) {
	return h.Stream.Reclaim(ctx, 0, max)
}

func (h *hasty) Ack(ctx context.Context, ids []string) error {
	h.mu.Lock()
	broken := h.broken
	h.acks++
	h.mu.Unlock()
	if broken {
		return errBroken
	}
	return h.Stream.Ack(ctx, ids)
}

func (h *hasty) asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acks
}

func logBacklog(t *testing.T, s *queue.Stream) int64 {
	t.Helper()
	n, _, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func publish(t *testing.T, q *Queued, events []*convoy.Event) {
	t.Helper()
	var wg sync.WaitGroup
	for _, e := range events {
		wg.Go(func() {
			if err := q.Publish(t.Context(), e); err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	wg.Wait()
}

func batchOf(n int, to ...convoy.EndpointID) []*convoy.Event {
	events := make([]*convoy.Event, n)
	for i := range events {
		events[i] = event(time.Now(), to...)
	}
	return events
}

func TestQueuedToTheStore(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		open := streams(t)
		b, log := newBundle(s), open("A")
		in := NewQueued(b.Config, log)
		running(t, in.Run)
		stop := running(t, NewConsumer(b.Config, log, b.persister).Run)
		events := batchOf(300, "E1")
		same := batchOf(10, "E1")
		for _, e := range same {
			e.IdempotencyKey = "one"
		}
		publish(t, in, append(events, same...))
		testenv.Eventually(t, patience, func() bool { return logBacklog(t, log) == 0 })
		for _, e := range events {
			got := storedEvent(t, s, e.ID)
			if got == nil || got.Status != convoy.EventSuccess || string(got.Data) != string(e.Data) || !got.AcknowledgedAt.Equal(e.AcknowledgedAt) {
				t.Fatalf("event %+v is stored as %+v", e, got)
			}
		}
		duplicates := 0
		for _, e := range same {
			if got := storedEvent(t, s, e.ID); got == nil {
				t.Errorf("event %s is lost", e.ID)
			} else if got.Duplicate {
				duplicates++
			}
		}
		if duplicates != 9 {
			t.Errorf("%d of 10 events are duplicates, want 9", duplicates)
		}
		stop()
		if n := len(b.taker.taken()); n != 301 {
			t.Errorf("%d deliveries were handed over, want 301", n)
		}
	})
}

// TestQueuedLogDown publishes while the log refuses.
func TestQueuedLogDown(t *testing.T) {
	t.Parallel()
	b := newBundle(sqlite(t))
	in := NewQueued(b.Config, refusing{})
	running(t, in.Run)
	err := in.Publish(t.Context(), event(time.Now(), "E1"))
	var kind *convoy.Error
	if !errors.As(err, &kind) || kind.Kind != convoy.Unavailable || kind.RetryAfter <= 0 || !errors.Is(err, errBroken) {
		t.Errorf("publish = %v, want unavailable with a time to wait", err)
	}
}

type refusing struct{}

func (refusing) Append(context.Context, []byte, int) error { return errBroken }

// TestKilledBeforeTheAck persists in a process that dies before it can
// acknowledge: the next one finds the entries again and makes nothing twice.
func TestKilledBeforeTheAck(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *store.Store) {
		open := streams(t)
		first, second := newBundle(s), newBundle(s)
		in := NewQueued(first.Config, open("P"))
		running(t, in.Run)
		events := batchOf(50, "E1", "E2")
		dying := &hasty{Stream: open("A"), broken: true}
		stop := running(t, NewConsumer(first.Config, dying, first.persister).Run)
		publish(t, in, events)
		testenv.Eventually(t, patience, func() bool { return len(first.taker.taken()) == 100 && dying.asked() > 0 })
		stop()
		if n := logBacklog(t, dying.Stream); n == 0 {
			t.Fatal("no entry is left to find again")
		}
		log := &hasty{Stream: open("B")}
		running(t, NewConsumer(second.Config, log, second.persister).Run)
		testenv.Eventually(t, patience, func() bool { return logBacklog(t, log.Stream) == 0 })
		if n := len(second.taker.taken()); n != 0 {
			t.Errorf("%d deliveries were handed over a second time", n)
		}
		for _, e := range events {
			if got := deliveries(t, s, e, "E1", "E2"); len(got) != 2 {
				t.Errorf("event %s has %d deliveries", e.ID, len(got))
			}
		}
		if due, _, err := s.ClaimDue(t.Context(), time.Now(), time.Minute, 10); err != nil || len(due) != 0 {
			t.Errorf("the store offers %v, %v while the first process may send", due, err)
		}
	})
}

// TestKilledBeforePersisting reads in a process that dies: the next one takes
// over, and the store offers the deliveries at once.
func TestKilledBeforePersisting(t *testing.T) {
	t.Parallel()
	open, s := streams(t), sqlite(t)
	b := newBundle(s)
	in := NewQueued(b.Config, open("P"))
	running(t, in.Run)
	events := batchOf(20, "E1")
	publish(t, in, events)
	if entries, err := open("A").Read(t.Context(), 100); err != nil || len(entries) == 0 {
		t.Fatalf("read %d entries, %v", len(entries), err)
	}
	log := &hasty{Stream: open("B")}
	running(t, NewConsumer(b.Config, log, b.persister).Run)
	testenv.Eventually(t, patience, func() bool { return logBacklog(t, log.Stream) == 0 })
	if due, _, err := s.ClaimDue(t.Context(), time.Now(), time.Minute, 100); err != nil || len(due) != len(events) {
		t.Errorf("the store offers %d, %v; want %d", len(due), err, len(events))
	}
}

// TestUnreadableEntry has entries of a foreign version and of rubbish in the
// log: the others are persisted, and these are kept.
func TestUnreadableEntry(t *testing.T) {
	t.Parallel()
	open, s := streams(t), sqlite(t)
	b, log := newBundle(s), open("A")
	e := event(time.Now(), "E1")
	for _, entry := range [][]byte{{99, 1, 2}, appendEvents(nil, []*convoy.Event{e}), {}, appendEvents(nil, []*convoy.Event{e})[:9]} {
		if err := log.Append(t.Context(), entry, 1); err != nil {
			t.Fatal(err)
		}
	}
	stop := running(t, NewConsumer(b.Config, log, b.persister).Run)
	testenv.Eventually(t, patience, func() bool { return len(b.taker.taken()) == 1 })
	testenv.Eventually(t, patience, func() bool { return logBacklog(t, log) == 3 })
	late := event(time.Now(), "E1")
	if err := log.Append(t.Context(), appendEvents(nil, []*convoy.Event{late}), 1); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() bool { return storedEvent(t, s, late.ID) != nil })
	stop()
	if storedEvent(t, s, e.ID) == nil {
		t.Error("the readable entry is lost")
	}
}

// TestPoisonEvent has one event that the store refuses: it is kept in the log,
// and the others do not wait for it.
func TestPoisonEvent(t *testing.T) {
	t.Parallel()
	open, s := streams(t), sqlite(t)
	b, log := newBundle(s), &hasty{Stream: open("A")}
	poison, beside := event(time.Now(), "E1"), event(time.Now(), "E1")
	first, repeat := event(time.Now(), "E1"), event(time.Now(), "E1")
	first.IdempotencyKey, repeat.IdempotencyKey = "key", "key"
	b.store.poison[poison.ID], b.store.poison[first.ID] = true, true
	other := event(time.Now(), "E1")
	for _, entry := range [][]*convoy.Event{{poison, beside}, {other}, {first}, {repeat}} {
		if err := log.Append(t.Context(), appendEvents(nil, entry), len(entry)); err != nil {
			t.Fatal(err)
		}
	}
	running(t, NewConsumer(b.Config, log, b.persister).Run)
	testenv.Eventually(t, patience, func() bool { return logBacklog(t, log.Stream) == 2 })
	for _, e := range []*convoy.Event{beside, other} {
		if storedEvent(t, s, e.ID) == nil || len(deliveries(t, s, e, "E1")) != 1 {
			t.Errorf("event %s waits for the poisoned one", e.ID)
		}
	}
	// It stood behind the refused holder of its key, and is nobody's duplicate
	// once that is out of the way.
	if got := storedEvent(t, s, repeat.ID); got == nil || got.Duplicate || len(deliveries(t, s, repeat, "E1")) != 1 {
		t.Errorf("event %+v, want it delivered", got)
	}
	if n := len(b.taker.taken()); n != 0 {
		t.Errorf("%d deliveries were handed over; after a failed try they are claimed", n)
	}
	b.store.set(func(f *flaky) { clear(f.poison) })
	testenv.Eventually(t, patience, func() bool { return logBacklog(t, log.Stream) == 0 })
	if len(deliveries(t, s, poison, "E1")) != 1 {
		t.Error("the poisoned event is lost")
	}
	if got := storedEvent(t, s, first.ID); got == nil || !got.Duplicate {
		t.Errorf("event %+v, want a duplicate of the one that came through first", got)
	}
}

// TestStoreDownKeepsTheLog takes the store away: entries wait, and what a
// commit of unknown outcome stored is not handed over twice.
func TestStoreDownKeepsTheLog(t *testing.T) {
	t.Parallel()
	open, s := streams(t), sqlite(t)
	b, log := newBundle(s), open("A")
	b.store.after = errDown // committed, and not known to be
	in := NewQueued(b.Config, log)
	running(t, in.Run)
	running(t, NewConsumer(b.Config, log, b.persister).Run)
	events := batchOf(10, "E1")
	publish(t, in, events)
	testenv.Eventually(t, patience, func() bool { return storedEvent(t, s, events[9].ID) != nil })
	b.store.set(func(f *flaky) { f.down, f.after = true, nil })
	more := batchOf(10, "E1")
	publish(t, in, more)
	testenv.Eventually(t, patience, func() bool { return b.store.refusals() > 1 })
	if storedEvent(t, s, more[0].ID) != nil {
		t.Error("stored while the store is down")
	}
	b.store.set(func(f *flaky) { f.down = false })
	testenv.Eventually(t, patience, func() bool { return logBacklog(t, log) == 0 })
	for _, e := range append(events, more...) {
		if len(deliveries(t, s, e, "E1")) != 1 {
			t.Errorf("event %s is lost", e.ID)
		}
	}
}

// TestStoppedConsumerHandsOver stops a consumer while the store is down: the
// next one need not wait for its entries.
func TestStoppedConsumerHandsOver(t *testing.T) {
	t.Parallel()
	open, s := streams(t), sqlite(t)
	down, up := newBundle(s), newBundle(s)
	down.store.down = true
	log := open("A")
	in := NewQueued(down.Config, open("P"))
	running(t, in.Run)
	stop := running(t, NewConsumer(down.Config, log, down.persister).Run)
	events := batchOf(30, "E1")
	publish(t, in, events)
	testenv.Eventually(t, patience, func() bool { return down.store.refusals() > 0 })
	stop()
	next := open("B")
	running(t, NewConsumer(up.Config, next, up.persister).Run) // with the usual minimum of idle time
	testenv.Eventually(t, patience, func() bool { return logBacklog(t, next) == 0 })
	for _, e := range events {
		if len(deliveries(t, s, e, "E1")) != 1 {
			t.Errorf("event %s is lost", e.ID)
		}
	}
}

// TestLogLosesItsData flushes the Redis that holds the log: what comes later
// is read as before.
func TestLogLosesItsData(t *testing.T) {
	t.Parallel()
	testenv.RedisAddr(t) // skip where there is no Redis
	ctx := context.WithoutCancel(t.Context())
	server, err := testenv.StartRedis(ctx, testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := redisconn.Open(ctx, redisconn.Config{Addrs: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s := sqlite(t)
	b := newBundle(s)
	b.Log = slog.New(slog.DiscardHandler)
	log := streamAt(t, server.Addr(), "{intake}", "A")
	in := NewQueued(b.Config, log)
	running(t, in.Run)
	running(t, NewConsumer(b.Config, log, b.persister).Run)
	before := batchOf(5, "E1")
	publish(t, in, before)
	testenv.Eventually(t, patience, func() bool { return storedEvent(t, s, before[4].ID) != nil })
	if err := client.Do(ctx, client.B().Flushall().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	after := batchOf(5, "E1")
	publish(t, in, after)
	for _, e := range append(before, after...) {
		testenv.Eventually(t, patience, func() bool { return len(deliveries(t, s, e, "E1")) == 1 })
	}
}
