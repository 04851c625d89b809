package limit

import (
	"context"
	"sync"
	"time"
)

var _ Limiter = (*Memory)(nil)

// Memory is the limiter of a single process.
type Memory struct {
	mu     sync.Mutex
	states map[string]*state
	// prune is the number of states at which those that do not matter any more
	// are dropped.
	prune int
}

// leastPrune keeps a few states from being looked through again and again.
const leastPrune = 1024

// NewMemory makes a limiter.
func NewMemory() *Memory { return &Memory{states: make(map[string]*state), prune: leastPrune} }

// Reserve implements [Limiter].
func (m *Memory) Reserve(ctx context.Context, requests []Request) ([]Grant, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := time.Now().UnixMicro()
	m.mu.Lock()
	defer m.mu.Unlock()
	grants := make([]Grant, len(requests))
	for i := range requests {
		grants[i] = requests[i].decide(now, func(key string) *state {
			s := m.states[key]
			if s == nil {
				s = &state{}
				m.states[key] = s
			}
			return s
		})
	}
	if len(m.states) >= m.prune {
		for key, s := range m.states {
			if s.end() <= now {
				delete(m.states, key)
			}
		}
		m.prune = max(2*len(m.states), leastPrune)
	}
	return grants, nil
}

// decide answers a request from the states of its keys.
func (q *Request) decide(now int64, of func(key string) *state) Grant {
	var (
		rules  [MaxLimits]rule
		states [MaxLimits]*state
	)
	n := min(len(q.Limits), MaxLimits)
	for i := range n {
		rules[i], states[i] = q.Limits[i].rule(), of(q.Limits[i].name())
	}
	slot, by, ok := reserve(rules[:n], states[:n], now, q.Horizon.Microseconds(), int64(q.N))
	return Grant{OK: ok, Wait: time.Duration(slot-now) * time.Microsecond, By: by}
}
