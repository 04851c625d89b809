// Package lock gives a name to one owner at a time, for a while: the leases
// behind everything of which many processes run and one acts. [Lead] turns a
// lease into an elected leader.
//
// A lease is not a fence: an owner that is suspended past its end does not
// notice until it runs again. What leaders do must be harmless when two do it.
package lock

import (
	"context"
	"time"
)

// Locker keeps leases. All methods are safe for concurrent use.
type Locker interface {
	// TryLock gives the name to owner for ttl from now, or reports false when
	// somebody else has it. An owner that has it already has it for another
	// ttl. It does not wait.
	TryLock(ctx context.Context, name, owner string, ttl time.Duration) (bool, error)
	// Unlock gives the name back. It does nothing when owner does not have it.
	Unlock(ctx context.Context, name, owner string) error
}
