// Package deliver sends deliveries to their endpoints and records what came of
// it: it pulls due ids, loads them in batches, sends with bounded concurrency
// per process and per endpoint, and writes attempts and outcomes in batches.
// It does not decide which deliveries exist.
package deliver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"convoy"
	"convoy/internal/batch"
	"convoy/internal/catalog"
	"convoy/internal/limit"
	"convoy/internal/queue"
	"convoy/internal/run"
	"convoy/internal/store"
	"convoy/internal/telemetry"
)

type jobStore interface {
	Jobs(ctx context.Context, ids []convoy.DeliveryID) ([]convoy.Job, error)
	Record(ctx context.Context, outcomes []store.Outcome) error
	Release(ctx context.Context, due []store.Due) error
	Ping(ctx context.Context) error
}

type projects interface {
	Project(ctx context.Context, id convoy.ProjectID) (*catalog.Project, error)
	Reload(ctx context.Context, id convoy.ProjectID) (*catalog.Project, error)
}

// disabler switches an endpoint off that keeps failing.
type disabler interface {
	Disable(ctx context.Context, project convoy.ProjectID, endpoint convoy.EndpointID) error
}

// alarm is shown outcomes that have been recorded, and looks for failures.
type alarm interface {
	Failed(ctx context.Context, outcomes []store.Outcome)
}

// Config is what delivering needs.
type Config struct {
	Store    jobStore
	Projects projects
	Queue    queue.Queue
	Disabler disabler
	// Alarm is told of failed deliveries.
	Alarm     alarm
	Functions functions
	Transport http.RoundTripper
	// Showing makes the transports of endpoints that ask for a client
	// certificate, and Tokens gets the tokens of those that ask for one.
	Showing func(tls.Certificate) *http.Transport
	Tokens  tokens
	// Limiter keeps the rate limits of endpoints, subscriptions and projects.
	Limiter limit.Limiter
	// QueueIsStore says that the queue is the deliveries table, so a retry
	// needs no push.
	QueueIsStore bool
	// Concurrency and PerEndpoint bound the requests in flight.
	Concurrency, PerEndpoint int
	// StartLimit is how long after the hand-over a first try may begin.
	StartLimit time.Duration
	// MaxResponse is how many bytes of a response body are kept.
	MaxResponse int
	// MaxDelay bounds delays that grow, and what Retry-After may ask for.
	MaxDelay  time.Duration
	UserAgent string
	Metrics   *telemetry.Metrics
	Log       *slog.Logger
	Now       func() time.Time
}

const (
	// bufferJobs and bufferBytes bound what waits in a process; what does not
	// fit stays in the queue as an id.
	bufferJobs  = 8192
	bufferBytes = 32 << 20
	// pullMax bounds one pull and its load.
	pullMax = 500
	// lease is how long a pulled id is ours. A try starts only while enough of
	// it is left for the usual timeout; a longer one extends it first.
	lease       = 60 * time.Second
	leaseMargin = 5 * time.Second
	usual       = 30 * time.Second
	// horizon is how far ahead a retry is put into the queue; later ones wait
	// in the store for the sweep.
	horizon = 5 * time.Minute
	// grace is how long after its due time a retry in the queue is left to the
	// queue before the store offers it again.
	grace = time.Minute
	// pauseKnown is the wait before an id is offered again that this process
	// works on already.
	pauseKnown = 2 * time.Second
	// pauseAfterError is the first wait when the queue or the store is away, and
	// longestPause the longest.
	pauseAfterError = 500 * time.Millisecond
	longestPause    = 4 * time.Second
)

// Deliverer is a process's sending half.
type Deliverer struct {
	cfg     Config
	lanes   *lanes
	targets targets
	sender  sender
	// throttle asks the limiter.
	throttle throttle
	records  *batch.Batcher[done]
	workers  sync.WaitGroup

	// spawn starts a worker. Run sets it before the lanes open, and so before
	// anything calls it.
	spawn func()
}

// New makes a deliverer; it sends while Run does.
func New(cfg Config) *Deliverer {
	d := &Deliverer{cfg: cfg}
	d.lanes = newLanes(limits{jobs: bufferJobs, bytes: bufferBytes, inFlight: cfg.Concurrency, perEndpoint: cfg.PerEndpoint}, func() { d.spawn() })
	d.throttle = throttle{limiter: cfg.Limiter, log: cfg.Log}
	d.targets.identities = &identities{show: cfg.Showing}
	d.sender = sender{transport: cfg.Transport, tokens: cfg.Tokens, userAgent: cfg.UserAgent, maxResponse: cfg.MaxResponse, now: cfg.Now}
	d.records = batch.New(batch.Config{
		MaxItems: 512, MaxBytes: 4 << 20,
		// Each pending item is a request already made: when recording falls
		// behind, sending waits.
		Pending:      1024,
		FlushTimeout: 10 * time.Minute, // record itself gives up with the process
		Observe:      cfg.Metrics.Record.Observe,
	}, done.size, d.record)
	return d
}

// Run pulls and sends until ctx ends; requests in flight are finished and
// recorded, what waits is given back.
func (d *Deliverer) Run(ctx context.Context) error {
	// What is begun is finished, until the process is abandoned.
	abandon := run.Abandon(ctx)
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRecording()
	recorded := make(chan error, 1) // one value, sent at the end
	go func() { recorded <- d.records.Run(recording) }()

	d.spawn = func() { d.workers.Go(func() { d.work(abandon) }) }
	d.lanes.open()
	d.pull(ctx)
	rest := d.lanes.close()
	d.workers.Wait()
	d.giveBack(abandon, rest)
	stopRecording()
	return <-recorded
}

// Take takes deliveries that have just been stored. What does not fit now goes
// to the queue.
func (d *Deliverer) Take(ctx context.Context, jobs []convoy.Job) {
	now := d.cfg.Now()
	var rest []queue.Item
	for i := range jobs {
		j := &job{Job: jobs[i], deadline: now.Add(d.cfg.StartLimit), bytes: size(jobs[i])}
		if v, wait := d.lanes.add(j); v == full {
			rest = append(rest, queue.Item{ID: queueID(j.Delivery), Due: now.Add(wait)})
		}
	}
	d.push(ctx, rest)
}

// QueueID is the id under which a delivery is queued: its own and that of its
// endpoint, so that a puller knows whose lane it is for without loading it.
func QueueID(id convoy.DeliveryID, endpoint convoy.EndpointID) string {
	return string(id) + "." + string(endpoint)
}

func queueID(d *convoy.Delivery) string { return QueueID(d.ID, d.EndpointID) }

// ParseQueueID undoes [QueueID].
func ParseQueueID(s string) (convoy.DeliveryID, convoy.EndpointID) {
	id, endpoint, _ := strings.Cut(s, ".")
	return convoy.DeliveryID(id), convoy.EndpointID(endpoint)
}

// push queues ids, best effort: the store offers again what is lost.
func (d *Deliverer) push(ctx context.Context, items []queue.Item) {
	if len(items) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.cfg.Queue.Later(ctx, items); err != nil {
		d.cfg.Log.Warn("deliveries not queued, left to the sweep", "deliveries", len(items), "err", err)
	}
}

// pull feeds the lanes from the queue until ctx ends.
func (d *Deliverer) pull(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		room := min(d.lanes.free(), pullMax)
		if room == 0 {
			pause(ctx, 10*time.Millisecond)
			continue
		}
		items, err := d.cfg.Queue.Pull(ctx, room, lease)
		if err == nil {
			err = d.load(ctx, items)
		}
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.Warn("deliveries not pulled", "err", err)
			pause(ctx, backoff(failures))
			failures++
		} else {
			failures = 0
		}
	}
}

// load puts pulled ids into their lanes. Those whose lane is full go back to
// the queue unread.
func (d *Deliverer) load(ctx context.Context, items []queue.Item) error {
	now := d.cfg.Now()
	var (
		ids  []convoy.DeliveryID
		back []queue.Item
		gone []string
		// kept are the ids that stay in the queue or come from it to a lane.
		kept = make(map[convoy.DeliveryID]bool, len(items))
	)
	for _, it := range items {
		id, endpoint := ParseQueueID(it.ID)
		if fullNow, wait := d.lanes.full(endpoint); fullNow {
			back = append(back, queue.Item{ID: it.ID, Due: now.Add(wait)})
			kept[id] = true
			continue
		}
		ids = append(ids, id)
	}
	lctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	jobs, err := d.cfg.Store.Jobs(lctx, ids)
	if err != nil {
		for _, it := range items { // not lost, not hammered
			back = append(back, queue.Item{ID: it.ID, Due: now.Add(time.Second)})
		}
		d.push(ctx, back)
		return err
	}
	for i := range jobs {
		del := jobs[i].Delivery
		kept[del.ID] = true
		switch {
		case !del.ClaimAt.Before(convoy.Held): // or Parked: neither is the queue's
			gone = append(gone, queueID(del))
			continue
		case del.DueAt.After(now.Add(time.Second)): // offered too early
			back = append(back, queue.Item{ID: queueID(del), Due: del.DueAt})
			continue
		}
		j := &job{Job: jobs[i], deadline: now.Add(lease - usual - leaseMargin), queued: true, bytes: size(jobs[i])}
		switch v, wait := d.lanes.add(j); v {
		case full:
			back = append(back, queue.Item{ID: queueID(del), Due: now.Add(wait)})
		case known: // and maybe about to be done with: ask again before the lease ends
			back = append(back, queue.Item{ID: queueID(del), Due: now.Add(pauseKnown)})
		}
	}
	for _, it := range items {
		if id, _ := ParseQueueID(it.ID); !kept[id] {
			gone = append(gone, it.ID) // delivered meanwhile, deleted, or no delivery at all
		}
	}
	d.push(ctx, back)
	if len(gone) > 0 {
		return d.cfg.Queue.Done(ctx, gone)
	}
	return nil
}

// giveBack returns what was waiting when the process stopped, due at once.
func (d *Deliverer) giveBack(ctx context.Context, jobs []*job) {
	now := d.cfg.Now()
	items := make([]queue.Item, len(jobs))
	ids := make([]convoy.DeliveryID, len(jobs))
	for i, j := range jobs {
		items[i] = queue.Item{ID: queueID(j.Delivery), Due: now}
		ids[i] = j.Delivery.ID
	}
	d.push(ctx, items)
	d.lanes.forget(ids...)
}

// Depth returns how many deliveries wait in this process and how many are in
// flight.
func (d *Deliverer) Depth() (waiting, inFlight int) { return d.lanes.depth() }

// backoff is the wait after a number of failures before this one.
func backoff(failures int) time.Duration {
	return min(pauseAfterError<<min(failures, 10), longestPause)
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
