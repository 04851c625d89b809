package catalog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
)

// key stores an API key and returns its token.
func (b *bundle) key(t *testing.T, change func(*convoy.APIKey)) (string, *convoy.APIKey) {
	t.Helper()
	now := b.clock.now()
	token := "CO." + id.New(now) + ".secret"
	k := &convoy.APIKey{
		ID: convoy.KeyID(id.New(now)), Name: "key", Mask: id.New(now), Hash: sha256.Sum256([]byte(token)),
		Role: convoy.Role{Type: convoy.RoleProjectAdmin, Project: b.project.ID}, CreatedAt: now, UpdatedAt: now,
	}
	change(k)
	if err := b.src.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return token, k
}

func TestKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	token, k := b.key(t, func(*convoy.APIKey) {})
	for range 5 {
		if got, err := b.Key(ctx, token); err != nil || got.ID != k.ID {
			t.Fatalf("key %v, %v", got, err)
		}
	}
	if n := b.src.keys.Load(); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
	// Revoked by another process: known after its message.
	if err := b.src.RevokeKey(ctx, b.project.ID, k.ID, b.clock.now()); err != nil {
		t.Fatal(err)
	}
	if err := b.KeysChanged(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Key(ctx, token); !convoy.IsNotFound(err) {
		t.Errorf("revoked key: %v", err)
	}

	expiring, _ := b.key(t, func(k *convoy.APIKey) { k.ExpiresAt = b.clock.now().Add(10 * time.Second) })
	if _, err := b.Key(ctx, expiring); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(11 * time.Second)
	if _, err := b.Key(ctx, expiring); !convoy.IsNotFound(err) {
		t.Errorf("expired key: %v", err)
	}

	// A lost message costs the time until the store is asked again.
	lost, k := b.key(t, func(*convoy.APIKey) {})
	if _, err := b.Key(ctx, lost); err != nil {
		t.Fatal(err)
	}
	if err := b.src.RevokeKey(ctx, b.project.ID, k.ID, b.clock.now()); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(checkAfter + time.Millisecond)
	if _, err := b.Key(ctx, lost); !convoy.IsNotFound(err) {
		t.Errorf("revoked key after %v: %v", checkAfter, err)
	}
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	for range 10 {
		if _, err := b.Key(ctx, "CO.unknown"); !convoy.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	if n := b.src.keys.Load(); n != 1 {
		t.Errorf("%d loads for one unknown key, want 1", n)
	}
	b.clock.advance(missTTL + time.Second)
	if _, err := b.Key(ctx, "CO.unknown"); !convoy.IsNotFound(err) || b.src.keys.Load() != 2 {
		t.Errorf("%v after %d loads, want it to be asked for again", err, b.src.keys.Load())
	}
	for i := range maxKeys + 10 {
		b.keys.byHash[sha256.Sum256(fmt.Append(nil, i))] = &keyEntry{}
	}
	if _, err := b.Key(ctx, "CO.another"); !convoy.IsNotFound(err) {
		t.Fatal(err)
	}
	if n := len(b.keys.byHash); n > maxKeys {
		t.Errorf("%d keys are kept, the bound is %d", n, maxKeys)
	}
}

func TestKeysWithTheStoreDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	token, _ := b.key(t, func(*convoy.APIKey) {})
	if _, err := b.Key(ctx, token); err != nil {
		t.Fatal(err)
	}
	b.src.down.Store(true)
	b.clock.advance(time.Minute)
	if _, err := b.Key(ctx, token); err != nil {
		t.Errorf("a key that was good a moment ago: %v", err)
	}
	if _, err := b.Key(ctx, "CO.unknown"); convoy.KindOf(err) != convoy.Unavailable {
		t.Errorf("a key nobody has seen: %v, want unavailable", err)
	}
}

// TestKeyUses notes when keys are used, and keeps what cannot be written.
func TestKeyUses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	token, k := b.key(t, func(*convoy.APIKey) {})
	use := func() time.Time {
		t.Helper()
		if _, err := b.Key(ctx, token); err != nil {
			t.Fatal(err)
		}
		return b.clock.now()
	}
	written := func(want time.Time) {
		t.Helper()
		got, err := b.src.KeyByHash(ctx, k.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if !got.LastUsedAt.Equal(want.Truncate(time.Microsecond)) {
			t.Errorf("last used %v, want %v", got.LastUsedAt, want)
		}
	}
	first := use()
	written(time.Time{})
	if err := b.WriteUses(ctx); err != nil {
		t.Fatal(err)
	}
	written(first)
	b.clock.advance(usePrecision / 2)
	use() // as good as the first
	if err := b.WriteUses(ctx); err != nil {
		t.Fatal(err)
	}
	written(first)
	b.clock.advance(time.Minute)
	second := use()
	b.src.down.Store(true)
	if err := b.WriteUses(ctx); err == nil {
		t.Error("no error although the store is down")
	}
	b.src.down.Store(false)
	if err := b.WriteUses(ctx); err != nil {
		t.Fatal(err)
	}
	written(second)
}

// TestKeyChangedDuringALoad revokes a key while it is being read: the old one
// is not kept.
func TestKeyChangedDuringALoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token, k := b.key(t, func(*convoy.APIKey) {})
	racing := &revoking{counting: b.src, revoke: func() {
		if err := b.src.RevokeKey(t.Context(), b.project.ID, k.ID, b.clock.now()); err != nil {
			t.Error(err)
		}
		if err := b.KeysChanged(t.Context()); err != nil {
			t.Error(err)
		}
	}}
	b.Catalog.src = racing
	if _, err := b.Key(t.Context(), token); err != nil {
		t.Fatalf("the key was good when it was read: %v", err)
	}
	if _, err := b.Key(t.Context(), token); !convoy.IsNotFound(err) {
		t.Errorf("after the change: %v", err)
	}
}

type revoking struct {
	*counting
	once   sync.Once
	revoke func()
}

func (r *revoking) KeyByHash(ctx context.Context, hash [32]byte) (*convoy.APIKey, error) {
	k, err := r.counting.KeyByHash(ctx, hash)
	r.once.Do(r.revoke)
	return k, err
}
