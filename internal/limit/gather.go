package limit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"convoy/internal/batch"
)

// gathering turns the requests of many goroutines into few calls of an engine
// that is a round trip away, and answers those itself of which it knows that
// they are in vain.
type gathering struct {
	reserve func(ctx context.Context, requests []*Request) ([]Grant, error)
	calls   *batch.Batcher[*call]

	mu sync.Mutex
	// taken is, by key, when the next slot of a limit is that was found to be
	// beyond a horizon. It can only move further away.
	taken map[string]taken
}

// taken is what a refusal tells.
type taken struct {
	limit Limit
	// next is when the next slot is, asked when that was learnt.
	next, asked time.Time
}

// call is one Reserve on its way.
type call struct {
	requests []Request
	grants   []Grant
}

const (
	// callTimeout bounds a call of the engine.
	callTimeout = 2 * time.Second
	// remember is how long a refusal is relied on, in case the engine has
	// forgotten or the limit has become another.
	remember = time.Second
	// maxTaken bounds the refusals remembered; beyond, all are forgotten.
	maxTaken = 10_000
)

func gather(reserve func(context.Context, []*Request) ([]Grant, error)) *gathering {
	g := &gathering{reserve: reserve, taken: make(map[string]taken)}
	g.calls = batch.New(batch.Config{
		MaxItems: 256, MaxBytes: 256,
		// Every pending call is a goroutine that waits for it.
		Pending: 1024, FlushTimeout: callTimeout,
	}, func(*call) int { return 1 }, g.flush)
	return g
}

// Run answers until ctx ends.
func (g *gathering) Run(ctx context.Context) error { return g.calls.Run(ctx) }

// Reserve implements [Limiter].
func (g *gathering) Reserve(ctx context.Context, requests []Request) ([]Grant, error) {
	if len(requests) == 1 {
		if grant, ok := g.known(&requests[0]); ok {
			return []Grant{grant}, nil
		}
	}
	c := &call{requests: requests}
	if err := g.calls.Do(ctx, c); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	return c.grants, nil
}

func (g *gathering) flush(ctx context.Context, calls []*call) error {
	var all []*Request
	for _, c := range calls {
		for i := range c.requests {
			all = append(all, &c.requests[i])
		}
	}
	grants, err := g.reserve(ctx, all)
	if err != nil {
		return err
	}
	g.learn(all, grants)
	for _, c := range calls {
		c.grants, grants = grants[:len(c.requests):len(c.requests)], grants[len(c.requests):]
	}
	return nil
}

// known answers a request that a limit is known to refuse.
func (g *gathering) known(q *Request) (Grant, bool) {
	if q.N == 0 {
		return Grant{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.taken) == 0 {
		return Grant{}, false
	}
	now := time.Now()
	for i, l := range q.Limits {
		t, ok := g.taken[l.Key]
		switch {
		case !ok:
		case t.limit != l || now.Sub(t.asked) > remember:
			delete(g.taken, l.Key)
		case t.next.Sub(now) > q.Horizon:
			return Grant{Wait: t.next.Sub(now), By: i}, true
		}
	}
	return Grant{}, false
}

// learn remembers refusals.
func (g *gathering) learn(requests []*Request, grants []Grant) {
	now := time.Now()
	for i, q := range requests {
		// For several tokens at once the time is later than for one.
		if grants[i].OK || q.N != 1 {
			continue
		}
		g.mu.Lock()
		if len(g.taken) >= maxTaken {
			clear(g.taken)
		}
		l := q.Limits[grants[i].By]
		g.taken[l.Key] = taken{limit: l, next: now.Add(grants[i].Wait), asked: now}
		g.mu.Unlock()
	}
}
