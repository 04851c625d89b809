package lock

import (
	"context"
	"sync"
	"time"
)

var _ Locker = (*Memory)(nil)

// Memory keeps the leases of a single process.
type Memory struct {
	mu   sync.Mutex
	held map[string]holder
}

type holder struct {
	owner string
	until time.Time
}

// NewMemory makes a locker.
func NewMemory() *Memory { return &Memory{held: map[string]holder{}} }

// TryLock implements [Locker].
func (m *Memory) TryLock(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if h, ok := m.held[name]; ok && h.owner != owner && h.until.After(now) {
		return false, nil
	}
	m.held[name] = holder{owner, now.Add(ttl)}
	return true, nil
}

// Unlock implements [Locker].
func (m *Memory) Unlock(_ context.Context, name, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[name].owner == owner {
		delete(m.held, name)
	}
	return nil
}
