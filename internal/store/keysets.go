package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/seal"
	"convoy/internal/store/sqldb"
)

// keysetName is the row of the only keyset.
const keysetName = "secrets"

// Secrets says how a store keeps secrets. The zero value is for commands that
// have to do with none: a store with it neither writes a secret nor reads one that
// is sealed.
type Secrets struct {
	ring *seal.Ring
	// clear keeps secrets as they are.
	clear bool
}

// HasKeys reports whether a database has a keyset: its secrets are sealed then,
// or about to be.
func HasKeys(ctx context.Context, db sqldb.DB) (bool, error) {
	_, err := wrappedKeys(ctx, db)
	if errors.Is(err, sqldb.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("keyset: %w", err)
	}
	return true, nil
}

// InTheClear keeps secrets unsealed.
func InTheClear() Secrets { return Secrets{clear: true} }

// Sealed seals secrets with the database's keyset, which is wrapped with a key. A
// database without a keyset gets one. Another key than the one that wrapped it is
// [seal.ErrWrongKey].
func Sealed(ctx context.Context, db sqldb.DB, key seal.Key) (Secrets, error) {
	has, err := HasKeys(ctx, db)
	if err != nil {
		return Secrets{}, err
	}
	if !has {
		if err := makeKeys(ctx, db, key); err != nil {
			return Secrets{}, fmt.Errorf("make keyset: %w", err)
		}
	}
	ring, err := seal.NewRing(ctx, key, func(ctx context.Context) (string, error) { return wrappedKeys(ctx, db) })
	return Secrets{ring: ring}, err
}

func wrappedKeys(ctx context.Context, q sqldb.Querier) (wrapped string, err error) {
	err = q.QueryRow(ctx, `SELECT wrapped FROM keysets WHERE name = $1`, keysetName).Scan(&wrapped)
	return wrapped, err
}

// makeKeys stores a new keyset; of processes that do so at once one does.
func makeKeys(ctx context.Context, db sqldb.DB, key seal.Key) error {
	set, err := seal.NewKeyset()
	if err != nil {
		return err
	}
	wrapped, err := set.Wrap(key)
	if err != nil {
		return err
	}
	return db.Write(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO keysets (name, wrapped, created_at, updated_at) VALUES ($1, $2, $3, $3)
			ON CONFLICT (name) DO NOTHING`, keysetName, wrapped, micros(time.Now()))
		return err
	})
}

var errNotSealing = convoy.E(convoy.Conflict, "secrets are kept in the clear here: there are no keys")

// ReloadKeys reads the keyset again, so that what another process has changed of
// it is known. A store without keys has nothing to read.
func (s *Store) ReloadKeys(ctx context.Context) error {
	if s.secrets.ring == nil {
		return s.db.Ping(ctx)
	}
	return s.secrets.ring.Reload(ctx)
}

// PrimaryKey is the key that this store seals with; zero when it seals nothing.
func (v Secrets) PrimaryKey() seal.KeyID {
	if v.ring == nil {
		return 0
	}
	return v.ring.Keyset().Primary()
}

// RotateKeys adds a key to the keyset, which seals from now on; what is sealed
// with the others still opens.
func (s *Store) RotateKeys(ctx context.Context, now time.Time) error {
	err := s.replaceKeys(ctx, now, func(set *seal.Keyset) (string, error) {
		next, err := set.Rotated()
		if err != nil {
			return "", err
		}
		return next.Wrap(s.secrets.ring.Key())
	})
	if err != nil {
		return fmt.Errorf("rotate keys: %w", err)
	}
	return s.secrets.ring.Reload(ctx)
}

// RewrapKeys wraps the keyset with another key. Processes that have the old one go
// on with what they have read, and cannot start or read it again.
func (s *Store) RewrapKeys(ctx context.Context, with seal.Key, now time.Time) error {
	err := s.replaceKeys(ctx, now, func(set *seal.Keyset) (string, error) { return set.Wrap(with) })
	if err != nil {
		return fmt.Errorf("rewrap keys: %w", err)
	}
	return nil
}

// replaceKeys changes the stored keyset unless another process does so at the
// same time.
func (s *Store) replaceKeys(ctx context.Context, now time.Time, change func(*seal.Keyset) (wrapped string, err error)) error {
	if s.secrets.ring == nil {
		return errNotSealing
	}
	before, err := wrappedKeys(ctx, s.db)
	if err != nil {
		return err
	}
	set, err := seal.Unwrap(before, s.secrets.ring.Key())
	if err != nil {
		return err
	}
	after, err := change(set)
	if err != nil {
		return err
	}
	n, err := s.exec(ctx, `UPDATE keysets SET wrapped = $1, updated_at = $2 WHERE name = $3 AND wrapped = $4`, after, micros(now), keysetName, before)
	if err == nil && n == 0 {
		return convoy.E(convoy.Conflict, "another process has changed the keys meanwhile, try again")
	}
	return err
}
