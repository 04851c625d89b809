package intake

import (
	"context"
	"fmt"
	"sync"
	"time"

	"convoy"
	"convoy/internal/batch"
	"convoy/internal/queue"
)

// appender is the writing half of the log.
type appender interface {
	Append(ctx context.Context, entry []byte, events int) error
}

// Queued is the mode in which an acknowledged event is in a log, from where
// agents persist it. It is as durable as the log.
type Queued struct {
	cfg   Config
	log   appender
	batch *batch.Batcher[*convoy.Event]
	buf   []byte // reused by the one flushing goroutine
}

// NewQueued makes a queued intake; it works while Run does.
func NewQueued(cfg Config, log appender) *Queued {
	q := &Queued{cfg: cfg, log: log}
	q.batch = batch.New(batch.Config{
		// Small entries keep the agents' batches even; one entry costs the log
		// about as much as one event.
		MaxItems: 128, MaxBytes: 1 << 20,
		// Each waiting item is a request held open.
		Pending:      1024,
		FlushTimeout: 5 * time.Second,
		Observe:      cfg.Metrics.Intake.Observe,
	}, (*convoy.Event).Size, q.flush)
	return q
}

// Run appends batches until ctx ends and the last waiting event is in the log.
func (q *Queued) Run(ctx context.Context) error { return q.batch.Run(ctx) }

func (q *Queued) flush(ctx context.Context, events []*convoy.Event) error {
	q.buf = appendEvents(q.buf[:0], events)
	err := q.log.Append(ctx, q.buf, len(events))
	if cap(q.buf) > 1<<20 {
		q.buf = nil // one large event does not stay in memory
	}
	return err
}

// Publish returns when e is in the log. Whether its idempotency key is taken is
// found out later. Errors are as for [Stored.Publish].
func (q *Queued) Publish(ctx context.Context, e *convoy.Event) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := q.batch.Do(ctx, e); err != nil {
		return refused(err)
	}
	q.cfg.Metrics.Accepted.Queued.Inc()
	accepted(ctx, q.cfg.Log, e, "queued")
	return nil
}

// PublishAll is Publish for several events at once. It returns an error for
// each, nil for those that are in the log. Of these it marks those as duplicates
// that have the key of one before them; others may turn out to be.
func (q *Queued) PublishAll(ctx context.Context, events []*convoy.Event) []error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	errs := q.batch.DoAll(ctx, events)
	var keys map[taken]bool // made for the first, as most have none
	for i, e := range events {
		if errs[i] != nil {
			errs[i] = refused(errs[i])
			continue
		}
		if e.IdempotencyKey != "" {
			if keys == nil {
				keys = make(map[taken]bool)
			}
			k := taken{e.ProjectID, e.IdempotencyKey}
			e.Duplicate, keys[k] = keys[k], true
		}
		q.cfg.Metrics.Accepted.Queued.Inc()
		accepted(ctx, q.cfg.Log, e, "queued")
	}
	return errs
}

// taken is the idempotency key of an event.
type taken struct {
	project convoy.ProjectID
	key     string
}

// reader is the reading half of the log.
type reader interface {
	Read(ctx context.Context, max int) ([]queue.Entry, error)
	Reclaim(ctx context.Context, minIdle time.Duration, max int) ([]queue.Entry, error)
	Ack(ctx context.Context, ids []string) error
	Leave(ctx context.Context) error
}

const (
	// readEntries bounds one read: up to 128 events or 1 MiB each.
	readEntries = 8
	// reclaimIdle is how long an entry may be with an agent before another
	// takes it over; it is over the time a batch may take to persist.
	reclaimIdle  = 30 * time.Second
	reclaimEvery = 5 * time.Second
	// retryPause is the wait after a failure, of the log or the store.
	retryPause = 500 * time.Millisecond
)

// Consumer reads the log and persists what it finds. An entry is acknowledged
// after its events are in the store.
type Consumer struct {
	cfg       Config
	log       reader
	persister *Persister
}

// NewConsumer makes a consumer; run one per process.
func NewConsumer(cfg Config, log reader, p *Persister) *Consumer {
	return &Consumer{cfg, log, p}
}

// Run reads until ctx ends; the batch in hand is finished.
func (c *Consumer) Run(ctx context.Context) error {
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := c.log.Leave(end); err != nil {
			c.cfg.Log.Warn("log consumer not removed", "err", err)
		}
	}()
	// One batch is read while the one before is persisted; acknowledgements
	// leave the path. The channel's bound is the read-ahead.
	batches := make(chan read, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for r := range batches {
			c.persist(ctx, r)
		}
	})
	defer wg.Wait()
	defer close(batches)
	var reclaimed time.Time
	for ctx.Err() == nil {
		var (
			r   read
			err error
		)
		if now := time.Now(); now.Sub(reclaimed) > reclaimEvery {
			reclaimed = now
			r.entries, err = c.log.Reclaim(ctx, reclaimIdle, readEntries)
			r.again = true
		}
		if err == nil && len(r.entries) == 0 {
			r.entries, err = c.log.Read(ctx, readEntries)
			r.again = false
		}
		if err != nil {
			if ctx.Err() == nil {
				c.cfg.Log.Warn("log not read", "err", err)
				pause(ctx, retryPause)
			}
			continue
		}
		if len(r.entries) == 0 {
			continue
		}
		select {
		case batches <- r:
		case <-ctx.Done(): // another agent reclaims them
		}
	}
	return nil
}

// read is what one read of the log gave; again says that others had it before.
type read struct {
	entries []queue.Entry
	again   bool
}

// logged is an entry and its events.
type logged struct {
	id     string
	events []*convoy.Event
}

// isolateAfter is how many times a batch is refused before its events are
// tried one by one.
const isolateAfter = 3

// retryFresh is how long after an entry was read a failed batch is persisted
// again as if it were new: nobody else can have it yet, so what an unanswered
// commit may have stored is still ours to hand on. It is short enough for the
// chain of limits at the top of intake.go, with freshAge in its place.
const retryFresh = freshAge

// persist stores the events of entries and acknowledges the entries. It tries
// until it succeeds or ctx ends. When the store keeps refusing the batch but
// takes some of its events alone, the entries of the others stay in the log
// unacknowledged: nothing is lost and nothing waits for them; they are tried
// again when they are reclaimed.
func (c *Consumer) persist(ctx context.Context, r read) {
	var (
		batch []logged
		all   []*convoy.Event
	)
	for _, entry := range r.entries {
		events, err := parseEvents(entry.Body)
		if err != nil {
			c.cfg.Log.Error("log entry unreadable", "entry", entry.ID, "bytes", len(entry.Body), "err", err)
			continue
		}
		batch = append(batch, logged{entry.ID, events})
		all = append(all, events...)
	}
	start := time.Now()
	for attempt := 1; ; attempt++ {
		err := c.tryPersist(ctx, all, r.again || attempt > 1 && time.Since(start) > retryFresh)
		if err == nil {
			c.ack(ctx, batch)
			return
		}
		c.cfg.Log.Warn("events not persisted", "events", len(all), "err", err)
		if attempt >= isolateAfter && answers(ctx, c.cfg.Store) {
			if good := c.isolate(ctx, batch); len(good) > 0 {
				c.ack(ctx, good)
				return
			}
		}
		pause(ctx, retryPause)
		if ctx.Err() != nil {
			return // another agent reclaims them
		}
	}
}

// answers says whether the store is there at all, so that what it refuses is
// the events' fault.
func answers(ctx context.Context, s eventStore) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.Ping(ctx) == nil
}

// isolate persists events one by one and returns the entries that are whole.
func (c *Consumer) isolate(ctx context.Context, batch []logged) (good []logged) {
	for _, l := range batch {
		var failed error
		for _, e := range l.events {
			if ctx.Err() != nil {
				return good
			}
			if err := c.tryPersist(ctx, []*convoy.Event{e}, true); err != nil {
				failed = fmt.Errorf("event %s: %w", e.ID, err)
			}
		}
		if failed == nil {
			good = append(good, l)
		} else {
			c.cfg.Log.Error("log entry kept back", "entry", l.id, "err", failed)
		}
	}
	return good
}

func (c *Consumer) tryPersist(ctx context.Context, events []*convoy.Event, again bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	persist := c.persister.Persist
	if again {
		persist = c.persister.PersistAgain
	}
	if err := persist(ctx, events); err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	return nil
}

// ack removes entries from the log. Those it cannot remove come again, and
// routing them again changes nothing.
func (c *Consumer) ack(ctx context.Context, batch []logged) {
	if len(batch) == 0 {
		return
	}
	ids := make([]string, len(batch))
	for i, l := range batch {
		ids[i] = l.id
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := c.log.Ack(ctx, ids); err != nil {
		c.cfg.Log.Warn("log entries not acknowledged", "entries", len(ids), "err", err)
	}
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
