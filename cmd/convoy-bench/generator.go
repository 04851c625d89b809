package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// redialLimit is how many times in a row a connection may fail before the run
// is given up: a server that is gone must not turn into a busy loop.
const redialLimit = 20

// generator publishes a fixed number of events over kept-alive connections.
//
// Closed loop (rate 0): each connection sends its next event when the last one
// is answered. Open loop: event n is due at start + n/rate whatever the server
// does, and its latency counts from then, so that a server that stalls cannot
// hide the events that would have come in meanwhile.
type generator struct {
	server      *url.URL
	request     *request
	run         int64
	events      int
	connections int
	rate        float64 // events per second; 0: closed loop

	next     atomic.Int64 // next sequence number
	accepted atomic.Int64
	rejected atomic.Int64 // answered, but not with 2xx
	unknown  atomic.Int64 // cut before an answer: the server may have it or not
	acked    bitmap
	ack      []time.Duration // by sequence number; 0 when not accepted
	last     atomic.Int64    // Unix nanoseconds of the last acknowledgement

	mu       sync.Mutex
	statuses map[int]int // rejections by status
}

// sent is the result of a run on the sending side.
type sent struct {
	Accepted int64        `json:"accepted"`
	Rejected int64        `json:"rejected"`
	Unknown  int64        `json:"unknown"`
	Statuses map[int]int  `json:"rejected_by_status,omitempty"`
	Start    int64        `json:"start_unix_ns"`
	Last     int64        `json:"last_ack_unix_ns"`
	Ack      distribution `json:"ack"`
	Acked    []uint64     `json:"-"`
}

// generate sends everything and returns when all is answered. On an error what
// was counted so far is returned too.
func (g *generator) generate(ctx context.Context) (sent, error) {
	g.acked = newBitmap(g.events)
	g.ack = make([]time.Duration, g.events)
	g.statuses = map[int]int{}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	start := time.Now()
	var workers sync.WaitGroup
	for range min(g.connections, g.events) {
		workers.Go(func() {
			if err := g.connection(ctx, start); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()

	acks := make([]time.Duration, 0, g.events)
	for _, d := range g.ack {
		if d > 0 {
			acks = append(acks, d)
		}
	}
	return sent{
		Accepted: g.accepted.Load(), Rejected: g.rejected.Load(), Unknown: g.unknown.Load(),
		Statuses: g.statuses, Start: start.UnixNano(), Last: g.last.Load(),
		Ack: distributionOf(acks), Acked: g.acked.words(),
	}, context.Cause(ctx)
}

// connection sends events over one connection until there are no more.
func (g *generator) connection(ctx context.Context, start time.Time) error {
	req := g.request.clone()
	for failures := 0; ; {
		conn, err := g.dial(ctx)
		if err == nil {
			var answered int
			answered, err = g.exchange(ctx, conn, req, start)
			if err == nil {
				return nil
			}
			if answered > 0 {
				failures = 0
			}
		}
		if ctx.Err() != nil {
			return nil // the cause is reported by whoever cancelled
		}
		if failures++; failures >= redialLimit {
			return fmt.Errorf("connection to %s: %w", g.server.Host, err)
		}
		if err := pause(ctx, time.Duration(failures)*10*time.Millisecond); err != nil {
			return nil
		}
	}
}

// exchange sends events over conn until there are no more, which is a nil
// error, and returns how many were answered.
func (g *generator) exchange(ctx context.Context, conn net.Conn, req *request, start time.Time) (int, error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	reader := newMessageReader(conn)
	for answered := 0; ; answered++ {
		seq := int(g.next.Add(1) - 1)
		if seq >= g.events {
			return answered, nil
		}
		due, err := g.due(ctx, seq, start)
		if err != nil {
			return answered, err
		}
		req.stamp(stamp{run: g.run, seq: seq, sent: due.UnixNano()})
		if _, err := conn.Write(req.wire); err != nil {
			g.unknown.Add(1)
			return answered, err
		}
		m, err := reader.response()
		if err != nil {
			g.unknown.Add(1)
			return answered, err
		}
		g.record(seq, m.status(), due)
		if m.closing {
			return answered + 1, errClosing
		}
	}
}

var errClosing = errors.New("server closes the connection")

// due waits for the time of event seq and returns it. A connection that is
// late, because the others are busy too, does not wait.
func (g *generator) due(ctx context.Context, seq int, start time.Time) (time.Time, error) {
	if g.rate <= 0 {
		return time.Now(), nil
	}
	due := start.Add(time.Duration(float64(seq) / g.rate * float64(time.Second)))
	return due, pause(ctx, time.Until(due))
}

func (g *generator) record(seq, status int, since time.Time) {
	if status < 200 || status > 299 {
		g.rejected.Add(1)
		g.mu.Lock()
		g.statuses[status]++
		g.mu.Unlock()
		return
	}
	now := time.Now()
	g.ack[seq] = max(now.Sub(since), 1)
	g.acked.add(seq)
	g.accepted.Add(1)
	g.last.Store(now.UnixNano())
}

func (g *generator) dial(ctx context.Context) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if g.server.Scheme == "https" {
		return (&tls.Dialer{NetDialer: dialer}).DialContext(ctx, "tcp", hostPort(g.server))
	}
	return dialer.DialContext(ctx, "tcp", hostPort(g.server))
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
