package seal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Ring is a process's view of the stored keyset. It reads the keyset again when
// it meets a value sealed with a key it does not know, so another process may
// rotate keys while this one runs. It is safe for concurrent use.
type Ring struct {
	key  Key
	read func(context.Context) (wrapped string, err error)
	set  atomic.Pointer[Keyset]

	// mu is held while the keyset is read again: of those who miss the same key,
	// one reads.
	mu sync.Mutex
}

// NewRing reads the keyset. A key that does not open it is [ErrWrongKey].
func NewRing(ctx context.Context, key Key, read func(context.Context) (wrapped string, err error)) (*Ring, error) {
	r := &Ring{key: key, read: read}
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

// Seal encrypts a value for one place.
func (r *Ring) Seal(at Place, value string) (string, error) { return r.set.Load().Seal(at, value) }

// Open decrypts a value of a place, see [Keyset.Open]. If the keyset cannot be
// read again the error is that of the value and of the reading.
func (r *Ring) Open(ctx context.Context, at Place, text string) (string, error) {
	before := r.set.Load()
	value, err := before.Open(at, text)
	if !errors.Is(err, ErrUnknownKey) {
		return value, err
	}
	if reload := r.reloadAfter(ctx, before); reload != nil {
		return "", errors.Join(err, reload)
	}
	return r.set.Load().Open(at, text)
}

// reloadAfter reads the keyset unless another has done so since the caller
// looked.
func (r *Ring) reloadAfter(ctx context.Context, seen *Keyset) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set.Load() != seen {
		return nil
	}
	return r.reload(ctx)
}
