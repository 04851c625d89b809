package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// receiver is where the deliveries of a run are counted.
type receiver interface {
	expect(ctx context.Context, run int64, events int) error
	progress(ctx context.Context) (int64, error) // new deliveries so far
	result(ctx context.Context) (received, error)
}

// target is a server under test.
type target struct {
	url        string // without a trailing slash
	project    string
	apiKey     string
	endpointID string // "": events are for all subscribers
}

// load is what to do to a target.
type load struct {
	events      int
	connections int
	rate        float64 // 0: closed loop
	payload     int     // bytes
	eventType   string
	groups      int           // events take turns in so many groups; 0 is one
	stall       time.Duration // give up when nothing is accepted or delivered for so long
	settle      time.Duration // wait after the last delivery, for duplicates and trailing writes
}

// watched is what to measure meanwhile.
type watched struct {
	processes []process
	dataDir   string // whose growth is measured; may be empty
	dsn       string // PostgreSQL whose WAL is measured; may be empty
}

// measurement is one run of a load.
type measurement struct {
	Events        int           `json:"events"`
	Sent          sent          `json:"sent"`
	Received      received      `json:"received"`
	Lost          int           `json:"lost"` // acknowledged, and not delivered when the run ended
	AcceptedRate  float64       `json:"accepted_per_s"`
	DeliveredRate float64       `json:"delivered_per_s"`
	Processes     []spent       `json:"processes"`
	WAL           int64         `json:"wal_bytes,omitempty"`
	Grown         int64         `json:"data_dir_growth_bytes,omitempty"`
	Elapsed       time.Duration `json:"elapsed_ns"`
}

var errStalled = errors.New("stalled")

// steps are called while a run is under way; either may be nil.
type steps struct {
	// acked runs when everything is answered, before waiting for deliveries.
	acked func(ctx context.Context) error
}

// measure runs a load against a target and waits until every accepted event is
// delivered. A stall ends the run with what was measured and an error.
func measure(ctx context.Context, t target, l load, w watched, r receiver, s steps) (measurement, error) {
	base, err := url.Parse(t.url)
	if err != nil || base.Host == "" {
		return measurement{}, fmt.Errorf("server address %q: not an absolute URL", t.url)
	}
	// Ten digits without a leading zero, and another one than any run of the last days.
	run := 1_000_000_000 + time.Now().UnixMilli()%1_000_000_000
	if err := r.expect(ctx, run, l.events); err != nil {
		return measurement{}, err
	}
	storage, err := watchStorage(ctx, w)
	if err != nil {
		return measurement{}, err
	}
	self := process{name: harness, pid: os.Getpid(), alone: true}
	m, err := startMeter(ctx, append([]process{self}, w.processes...))
	if err != nil {
		return measurement{}, err
	}
	path := base.Path + "/api/v1/projects/" + url.PathEscape(t.project) + "/events"
	if t.endpointID == "" {
		path += "/broadcast"
	}
	g := &generator{
		server: base, run: run, events: l.events, connections: l.connections, rate: l.rate,
		request: newRequest(publishing{
			host: base.Host, path: path, apiKey: t.apiKey, endpointID: t.endpointID, groups: l.groups,
			eventType: l.eventType, payload: l.payload,
		}),
	}
	begin := time.Now()
	result, runErr := drive(ctx, g, r, l, s)
	result.Elapsed = time.Since(begin)
	result.Events = l.events

	processes, err := m.end()
	runErr = errors.Join(runErr, err)
	result.Processes = processes
	result.WAL, result.Grown, err = storage.grown(context.WithoutCancel(ctx))
	return result, errors.Join(runErr, err)
}

// drive generates, waits for the deliveries, and computes the rates.
func drive(ctx context.Context, g *generator, r receiver, l load, s steps) (measurement, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		cancel(watchProgress(ctx, g, r, l.stall))
	}()
	defer func() { cancel(nil); <-watching }()

	var m measurement
	var runErr error
	m.Sent, runErr = g.generate(ctx)
	if runErr == nil && s.acked != nil {
		runErr = s.acked(ctx)
	}
	if runErr == nil {
		runErr = awaitDeliveries(ctx, r, m.Sent.Accepted)
	}
	if runErr == nil {
		runErr = pause(ctx, l.settle)
	}
	if cause := context.Cause(ctx); cause != nil {
		runErr = cause
	}
	var err error
	m.Received, err = r.result(context.WithoutCancel(ctx))
	m.Lost = missing(m.Sent.Acked, m.Received.Seen)
	m.Received.Seen = nil // large, and counted now
	m.AcceptedRate = perSecond(m.Sent.Accepted, m.Sent.Start, m.Sent.Last)
	m.DeliveredRate = perSecond(m.Received.Unique, m.Sent.Start, m.Received.Last)
	return m, errors.Join(runErr, err)
}

// awaitDeliveries returns when as many events are delivered as were accepted.
func awaitDeliveries(ctx context.Context, r receiver, accepted int64) error {
	for {
		done, err := r.progress(ctx)
		if err != nil {
			return err
		}
		if done >= accepted {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// watchProgress returns when ctx ends or when nothing has moved for too long.
func watchProgress(ctx context.Context, g *generator, r receiver, stall time.Duration) error {
	var accepted, delivered int64
	moved := time.Now()
	for pause(ctx, time.Second) == nil {
		d, err := r.progress(ctx)
		if err != nil {
			return err
		}
		a := g.accepted.Load()
		if a != accepted || d != delivered {
			accepted, delivered, moved = a, d, time.Now()
		}
		if time.Since(moved) > stall {
			return fmt.Errorf("%w for %v: %d of %d accepted (%d rejected), %d delivered",
				errStalled, stall, a, g.events, g.rejected.Load(), d)
		}
	}
	return context.Cause(ctx)
}

func perSecond(n, from, to int64) float64 {
	if to <= from {
		return 0
	}
	return float64(n) / time.Duration(to-from).Seconds()
}

// storage measures what a run writes.
type storage struct {
	watched watched
	wal     int64
	size    int64
}

func watchStorage(ctx context.Context, w watched) (*storage, error) {
	s := &storage{watched: w}
	var err error
	s.wal, s.size, err = s.now(ctx)
	return s, err
}

func (s *storage) grown(ctx context.Context) (wal, size int64, err error) {
	wal, size, err = s.now(ctx)
	return wal - s.wal, size - s.size, err
}

func (s *storage) now(ctx context.Context) (wal, size int64, err error) {
	if s.watched.dsn != "" {
		if wal, err = walPosition(ctx, s.watched.dsn); err != nil {
			return 0, 0, err
		}
	}
	if s.watched.dataDir != "" {
		size, err = directorySize(s.watched.dataDir)
	}
	return wal, size, err
}

// goodbye ends a session. That the server did not hear it changes nothing.
func goodbye(ctx context.Context, conn *pgx.Conn) { _ = conn.Close(context.WithoutCancel(ctx)) }

// walPosition is the number of bytes of WAL ever written by the server.
func walPosition(ctx context.Context, dsn string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, fmt.Errorf("wal position: %w", err)
	}
	defer goodbye(ctx, conn)
	var position int64
	if err := conn.QueryRow(ctx, "SELECT (pg_current_wal_lsn() - '0/0')::bigint").Scan(&position); err != nil {
		return 0, fmt.Errorf("wal position: %w", err)
	}
	return position, nil
}
