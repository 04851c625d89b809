package limit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxEach bounds the callers that an [Each] remembers.
	maxEach = 16384
	// sweepEach is how often a full one looks for those that are idle.
	sweepEach = time.Second
)

// Each keeps the same limit for each of many callers that act now or not at all:
// in one process as [Meter], or in many as [Shared]. It is safe for concurrent use.
// Of more callers than it remembers, some get a burst anew.
type Each struct {
	limit   Limit
	limiter Limiter // nil: of this process
	log     *slog.Logger
	max     int

	mu      sync.RWMutex // guards what follows, not the buckets
	callers map[string]*eachCaller
	swept   time.Time
}

type eachCaller struct {
	bucket interface {
		Take(ctx context.Context, n int) time.Duration
	}
	used atomic.Int64 // Unix microseconds
}

// NewEach makes one; the limit's key begins that of every caller. Without a limiter
// it holds in this process only.
func NewEach(limiter Limiter, l Limit, log *slog.Logger) *Each {
	return &Each{limit: l, limiter: limiter, log: log, max: maxEach, callers: make(map[string]*eachCaller)}
}

// Take takes n tokens of a caller and returns zero, or how long until they are
// there.
func (e *Each) Take(ctx context.Context, caller string, n int) time.Duration {
	now := time.Now()
	e.mu.RLock()
	c := e.callers[caller]
	e.mu.RUnlock()
	if c == nil {
		c = e.add(caller, now)
	}
	c.used.Store(now.UnixMicro())
	return c.bucket.Take(ctx, n)
}

func (e *Each) add(caller string, now time.Time) *eachCaller {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.callers[caller]; c != nil {
		return c
	}
	e.makeRoom(now)
	l := e.limit
	l.Key += ":" + caller
	c := &eachCaller{bucket: NewMeter(l)}
	if e.limiter != nil {
		c.bucket = NewShared(e.limiter, l, e.log)
	}
	c.used.Store(now.UnixMicro()) // or a sweep could take it away before its first use
	e.callers[caller] = c
	return c
}

// makeRoom forgets who has been idle for a period, since their buckets are full
// again; where nobody has, anybody. e.mu is held.
func (e *Each) makeRoom(now time.Time) {
	if len(e.callers) < e.max {
		return
	}
	if now.Sub(e.swept) >= sweepEach {
		e.swept = now
		idle := now.Add(-e.limit.Period).UnixMicro()
		for name, c := range e.callers {
			if c.used.Load() < idle {
				delete(e.callers, name)
			}
		}
	}
	for name := range e.callers {
		if len(e.callers) < e.max {
			return
		}
		delete(e.callers, name)
	}
}
