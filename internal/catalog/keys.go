package catalog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"convoy"
)

const (
	// missTTL bounds how long an unknown key is remembered as unknown.
	missTTL = 2 * time.Second
	// maxKeys bounds memory; beyond it an arbitrary key goes.
	maxKeys = 16384
	// recheckTimeout bounds the wait of the one caller that asks again about a key
	// that was good a moment ago.
	recheckTimeout = time.Second
	// usePrecision is how exact the time of a key's last use is, beside how often
	// uses are written.
	usePrecision = time.Second
)

type keyEntry struct {
	key *convoy.APIKey // nil: no such key
	// checked is when the store was last asked, noted when a use was last noted;
	// both Unix microseconds.
	checked, noted atomic.Int64
}

// keys are the API keys that were asked for. The zero value is empty.
type keys struct {
	mu     sync.RWMutex // guards the map, not the entries
	byHash map[[sha256.Size]byte]*keyEntry
	// changes counts forget; a key read before one is not kept after it.
	changes uint64

	usesMu sync.Mutex
	uses   map[convoy.KeyID]time.Time
}

func (k *keys) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.byHash)
	k.changes++
}

// KeysChanged says that an API key has been written.
func (c *Catalog) KeysChanged(ctx context.Context) error {
	c.keys.forget()
	return c.bus.Publish(ctx, topicKeys, c.self)
}

// Key returns the valid key that token is, or a convoy.NotFound error, and notes
// that it was used. A key that is revoked where the message of it is lost works for
// another [checkAfter]; while the store is down a key that was good still is.
func (c *Catalog) Key(ctx context.Context, token string) (*convoy.APIKey, error) {
	hash := sha256.Sum256([]byte(token))
	now := c.now()
	c.keys.mu.RLock()
	e := c.keys.byHash[hash]
	changes := c.keys.changes
	c.keys.mu.RUnlock()
	switch {
	case e == nil, e.key == nil && e.age(now) > missTTL:
		ctx, cancel := context.WithTimeout(ctx, loadTimeout)
		defer cancel()
		var err error
		if e, err = c.loadKey(ctx, hash, changes); err != nil {
			return nil, convoy.Wrap(convoy.Unavailable, "credentials cannot be checked now", err)
		}
	case e.key != nil && e.due(now):
		ctx, cancel := context.WithTimeout(ctx, recheckTimeout)
		defer cancel()
		fresh, err := c.loadKey(ctx, hash, changes)
		if err != nil {
			c.log.Warn("api key not refreshed", "err", err)
			break
		}
		fresh.noted.Store(e.noted.Load())
		e = fresh
	}
	if e.key == nil || !e.key.Valid(now) {
		return nil, convoy.E(convoy.NotFound, "api key not found")
	}
	c.keys.note(e, now)
	return e.key, nil
}

func (e *keyEntry) age(now time.Time) time.Duration {
	return time.Duration(now.UnixMicro()-e.checked.Load()) * time.Microsecond
}

// due reports to one caller, each [checkAfter], that the store is to be asked
// again; the others go on.
func (e *keyEntry) due(now time.Time) bool {
	checked := e.checked.Load()
	return now.UnixMicro()-checked > checkAfter.Microseconds() && e.checked.CompareAndSwap(checked, now.UnixMicro())
}

// loadKey asks the store for a key and keeps the answer, unless a key has been
// written since there were so many changes.
func (c *Catalog) loadKey(ctx context.Context, hash [sha256.Size]byte, changes uint64) (*keyEntry, error) {
	e := &keyEntry{}
	e.checked.Store(c.now().UnixMicro())
	var err error
	if e.key, err = c.src.KeyByHash(ctx, hash); convoy.IsNotFound(err) {
		e.key = nil
	} else if err != nil {
		return nil, err
	}
	c.keys.mu.Lock()
	defer c.keys.mu.Unlock()
	if c.keys.changes == changes {
		if c.keys.byHash == nil {
			c.keys.byHash = make(map[[sha256.Size]byte]*keyEntry)
		}
		evict(c.keys.byHash, maxKeys)
		c.keys.byHash[hash] = e
	}
	return e, nil
}

// note remembers that a key was used.
func (k *keys) note(e *keyEntry, now time.Time) {
	noted := e.noted.Load()
	if now.UnixMicro()-noted < usePrecision.Microseconds() || !e.noted.CompareAndSwap(noted, now.UnixMicro()) {
		return
	}
	k.usesMu.Lock()
	defer k.usesMu.Unlock()
	k.put(e.key.ID, now)
}

// put keeps the later of two uses; usesMu is held.
func (k *keys) put(id convoy.KeyID, at time.Time) {
	if k.uses == nil {
		k.uses = make(map[convoy.KeyID]time.Time)
	}
	if at.After(k.uses[id]) {
		evict(k.uses, maxKeys)
		k.uses[id] = at
	}
}

// usesAtOnce bounds one transaction.
const usesAtOnce = 500

// WriteUses writes when keys were used last. What could not be written is kept for
// the next time.
func (c *Catalog) WriteUses(ctx context.Context) error {
	k := &c.keys
	k.usesMu.Lock()
	uses := k.uses
	k.uses = nil
	k.usesMu.Unlock()
	for ids := range slices.Chunk(slices.Collect(maps.Keys(uses)), usesAtOnce) {
		part := make(map[convoy.KeyID]time.Time, len(ids))
		for _, id := range ids {
			part[id] = uses[id]
		}
		if err := c.src.NoteKeysUsed(ctx, part); err != nil {
			k.usesMu.Lock()
			defer k.usesMu.Unlock()
			for id, at := range uses {
				k.put(id, at)
			}
			return fmt.Errorf("uses of api keys: %w", err)
		}
	}
	return nil
}
