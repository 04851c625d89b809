package limit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Meter keeps one limit in one process, for callers that act now or not at all.
type Meter struct {
	rule  rule
	burst int64
	tat   atomic.Int64 // Unix microseconds
}

// NewMeter makes a meter.
func NewMeter(l Limit) *Meter { return &Meter{rule: l.rule(), burst: l.burst()} }

// Take takes n tokens and returns zero, or how long until they are there. More
// than the burst count as the burst.
func (m *Meter) Take(_ context.Context, n int) time.Duration {
	now, cost := time.Now().UnixMicro(), min(int64(n), m.burst)
	for {
		tat := m.tat.Load()
		if wait := tat + (cost-1)*m.rule.spacing - m.rule.tolerance - now; wait > 0 {
			return time.Duration(wait) * time.Microsecond
		}
		if m.tat.CompareAndSwap(tat, m.rule.charge(tat, now, cost)) {
			return 0
		}
	}
}

// Shared keeps one limit in many processes, for callers that act now or not at
// all: it takes tokens from a limiter by the block, so that most callers are
// answered from memory. While the limiter is away everybody may act.
type Shared struct {
	limiter Limiter
	limit   Limit
	block   int64
	log     *slog.Logger

	stock  atomic.Int64 // tokens in hand
	closed atomic.Int64 // until when there are none, Unix microseconds

	mu     sync.Mutex // held by whoever gets a block
	warned time.Time
}

const (
	// blocks is the number of blocks in a limit: what each process may have in
	// hand is that part of it.
	blocks = 200
	// blockTimeout bounds the wait for a block.
	blockTimeout = 500 * time.Millisecond
	// warnEvery keeps an outage from filling the log.
	warnEvery = 30 * time.Second
)

// NewShared makes a tap on a limiter.
func NewShared(limiter Limiter, l Limit, log *slog.Logger) *Shared {
	return &Shared{limiter: limiter, limit: l, block: max(int64(l.Count)/blocks, 1), log: log}
}

// Take takes n tokens and returns zero, or how long until there may be some.
// More than the burst count as the burst.
func (s *Shared) Take(ctx context.Context, n int) time.Duration {
	cost := min(int64(n), s.limit.burst())
	if s.take(cost) {
		return 0
	}
	if wait := s.wait(); wait > 0 {
		return wait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.take(cost) {
		return 0
	}
	if wait := s.wait(); wait > 0 {
		return wait
	}
	return s.fetch(ctx, cost)
}

// take takes from the stock.
func (s *Shared) take(cost int64) bool {
	for {
		have := s.stock.Load()
		if have < cost {
			return false
		}
		if s.stock.CompareAndSwap(have, have-cost) {
			return true
		}
	}
}

// wait is how long there will be no tokens, as far as is known.
func (s *Shared) wait() time.Duration {
	closed := s.closed.Load()
	if closed == 0 {
		return 0
	}
	return max(time.Until(time.UnixMicro(closed)), 0)
}

// fetch gets cost tokens and a block, or only as many as there are where these
// are few. The caller holds mu.
func (s *Shared) fetch(ctx context.Context, cost int64) time.Duration {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), blockTimeout)
	defer cancel()
	for extra := s.block; ; extra /= 8 {
		// The burst is all there ever is at once.
		n := min(cost+extra, s.limit.burst())
		grants, err := s.limiter.Reserve(ctx, []Request{{Group: s.limit.Key, Limits: []Limit{s.limit}, N: int(n)}})
		switch {
		case err != nil:
			if now := time.Now(); now.Sub(s.warned) > warnEvery {
				s.warned = now
				s.log.Warn("limit not kept while its engine is away", "limit", s.limit.Key, "err", err)
			}
			s.stock.Add(s.block) // the next try is after these
			return 0
		case grants[0].OK:
			s.stock.Add(n - cost)
			return 0
		case extra == 0:
			if cost == 1 { // else there may be tokens, only not so many
				s.closed.Store(time.Now().Add(grants[0].Wait).UnixMicro())
			}
			return max(grants[0].Wait, 1)
		}
	}
}
