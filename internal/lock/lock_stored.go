package lock

import (
	"context"
	"fmt"
	"time"
)

var _ Locker = (*Stored)(nil)

// leaser is a table of leases.
type leaser interface {
	// AcquireLease gives the name to owner until then, if it is owner's
	// already, or nobody's, or its lease has ended at now.
	AcquireLease(ctx context.Context, name, owner string, now, until time.Time) (bool, error)
	// ReleaseLease ends the lease if it is owner's.
	ReleaseLease(ctx context.Context, name, owner string) error
}

// Stored keeps leases in the store, for several processes without Redis. Times
// are by the clocks of the processes, which must agree within a fraction of a
// ttl.
type Stored struct{ table leaser }

// NewStored makes a locker over a table.
func NewStored(table leaser) *Stored { return &Stored{table: table} }

// TryLock implements [Locker].
func (s *Stored) TryLock(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	now := time.Now()
	ok, err := s.table.AcquireLease(ctx, name, owner, now, now.Add(ttl))
	if err != nil {
		return false, fmt.Errorf("acquire lease %s: %w", name, err)
	}
	return ok, nil
}

// Unlock implements [Locker].
func (s *Stored) Unlock(ctx context.Context, name, owner string) error {
	if err := s.table.ReleaseLease(ctx, name, owner); err != nil {
		return fmt.Errorf("release lease %s: %w", name, err)
	}
	return nil
}
