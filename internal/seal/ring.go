package seal

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// missTTL is how long a key that the stored keyset did not have is taken as not
// there: a value that cannot be opened must not make every reader of it read the
// keyset.
const missTTL = 10 * time.Second

// maxMisses bounds what is remembered of such keys. Beyond it the keyset is not
// read for more: there are never that many keys in use.
const maxMisses = 64

// Ring is a process's view of the stored keyset, which another process may rotate
// while this one runs. It is safe for concurrent use.
type Ring struct {
	key  Key
	read func(context.Context) (wrapped string, err error)
	set  atomic.Pointer[Keyset]

	// mu is held while the keyset is read again: of those who miss the same key,
	// one reads.
	mu     sync.Mutex
	missed map[KeyID]time.Time
}

// NewRing reads the keyset. A key that does not open it is [ErrWrongKey].
func NewRing(ctx context.Context, key Key, read func(context.Context) (wrapped string, err error)) (*Ring, error) {
	r := &Ring{key: key, read: read, missed: make(map[KeyID]time.Time)}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the keyset again.
func (r *Ring) Reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload(ctx)
}

func (r *Ring) reload(ctx context.Context) error {
	wrapped, err := r.read(ctx)
	if err != nil {
		return fmt.Errorf("read keyset: %w", err)
	}
	set, err := Unwrap(wrapped, r.key)
	if err != nil {
		return err
	}
	r.set.Store(set)
	return nil
}

// Keyset is what the ring has read last.
func (r *Ring) Keyset() *Keyset { return r.set.Load() }

// Key is what wraps the keyset.
func (r *Ring) Key() Key { return r.key }

// Find reports whether the keyset has a key, and reads it again if it had not and
// that was not found out just now. It must not be called while a result of the
// database is being read: the keyset may be behind the same connection.
func (r *Ring) Find(ctx context.Context, id KeyID) (bool, error) {
	if r.set.Load().keys[id] {
		return true, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set.Load().keys[id] {
		return true, nil // another has read it meanwhile
	}
	now := time.Now()
	for k, at := range r.missed {
		if now.Sub(at) >= missTTL {
			delete(r.missed, k)
		}
	}
	if _, ok := r.missed[id]; ok || len(r.missed) >= maxMisses {
		return false, nil
	}
	if err := r.reload(ctx); err != nil {
		return false, err
	}
	if !r.set.Load().keys[id] {
		r.missed[id] = now
		return false, nil
	}
	return true, nil
}
