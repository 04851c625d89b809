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
	rule rule
	tat  atomic.Int64 // Unix microseconds
}

// NewMeter makes a meter.
func NewMeter(l Limit) *Meter { return &Meter{rule: l.rule()} }

// Take takes a token and returns zero, or how long until there is one.
func (m *Meter) Take(context.Context) time.Duration {
	now := time.Now().UnixMicro()
	for {
		tat := m.tat.Load()
		if wait := tat - m.rule.tolerance - now; wait > 0 {
			return time.Duration(wait) * time.Microsecond
		}
		if m.tat.CompareAndSwap(tat, m.rule.charge(tat, now, 1)) {
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

	stock  atomic.Int64 // tokens in hand; below zero when there were more callers
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

// Take takes a token and returns zero, or how long until there is one.
func (s *Shared) Take(ctx context.Context) time.Duration {
	if s.stock.Add(-1) >= 0 {
		return 0
	}
	if wait := s.wait(); wait > 0 {
		return wait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stock.Add(-1) >= 0 {
		return 0
	}
	if wait := s.wait(); wait > 0 {
		return wait
	}
	return s.fetch(ctx)
}

// wait is how long there will be no tokens, as far as is known.
func (s *Shared) wait() time.Duration {
	closed := s.closed.Load()
	if closed == 0 {
		return 0
	}
	return max(time.Until(time.UnixMicro(closed)), 0)
}

// fetch gets a block, or a smaller one where there is none left, and takes one
// token of it. The caller holds mu.
func (s *Shared) fetch(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), blockTimeout)
	defer cancel()
	for n := s.block; ; n = max(n/8, 1) {
		grants, err := s.limiter.Reserve(ctx, []Request{{Group: s.limit.Key, Limits: []Limit{s.limit}, N: int(n)}})
		switch {
		case err != nil:
			if now := time.Now(); now.Sub(s.warned) > warnEvery {
				s.warned = now
				s.log.Warn("limit not kept while its engine is away", "limit", s.limit.Key, "err", err)
			}
			s.stock.Store(s.block - 1)
			return 0
		case grants[0].OK:
			s.stock.Store(n - 1)
			return 0
		case n == 1:
			s.closed.Store(time.Now().Add(grants[0].Wait).UnixMicro())
			return max(grants[0].Wait, 1)
		}
	}
}
