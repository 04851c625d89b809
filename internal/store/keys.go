package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const keyMissing = "api key not found"

const keyCols = `k.id, k.name, k.mask, k.hash, k.type, k.role_type, k.role_project, k.user_id,
	k.expires_at, k.last_used_at, k.created_at, k.updated_at, k.revoked_at`

func scanKey(row sqldb.Row) (*convoy.APIKey, error) {
	var (
		k                                        convoy.APIKey
		hash                                     []byte
		expires, used, created, updated, revoked int64
	)
	if err := row.Scan(&k.ID, &k.Name, &k.Mask, &hash, &k.Type, &k.Role.Type, &k.Role.Project, &k.UserID,
		&expires, &used, &created, &updated, &revoked); err != nil {
		return nil, err
	}
	if copy(k.Hash[:], hash) != len(k.Hash) {
		return nil, fmt.Errorf("hash of api key %s has %d bytes", k.ID, len(hash))
	}
	k.ExpiresAt, k.LastUsedAt = instant(expires), instant(used)
	k.CreatedAt, k.UpdatedAt, k.RevokedAt = instant(created), instant(updated), instant(revoked)
	return &k, nil
}

// CreateKey stores a new API key.
func (s *Store) CreateKey(ctx context.Context, k *convoy.APIKey) error {
	if err := s.db.Write(ctx, func(tx sqldb.Tx) error { return insertKey(ctx, tx, k) }); err != nil {
		return fmt.Errorf("create api key: %w", err)
	}
	return nil
}

func insertKey(ctx context.Context, tx sqldb.Tx, k *convoy.APIKey) error {
	_, err := tx.Exec(ctx, `INSERT INTO api_keys (id, name, mask, hash, type, role_type, role_project, user_id,
			expires_at, created_at, updated_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		k.ID, k.Name, k.Mask, k.Hash[:], k.Type, k.Role.Type, k.Role.Project, k.UserID,
		micros(k.ExpiresAt), micros(k.CreatedAt), micros(k.UpdatedAt), micros(k.RevokedAt))
	return taken(err, "this api key exists already")
}

// KeyByHash returns the key with a hash, also one that is revoked or expired;
// [convoy.APIKey.Valid] tells.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (*convoy.APIKey, error) {
	k, err := scanKey(s.db.QueryRow(ctx, `SELECT `+keyCols+` FROM api_keys k WHERE k.hash = $1`, hash[:]))
	return k, found(err, keyMissing)
}

// Keys returns the newest [maxAccounts] keys of a project that are not revoked,
// newest first. Keys without a project are those of project "".
func (s *Store) Keys(ctx context.Context, project convoy.ProjectID) ([]*convoy.APIKey, error) {
	rows, err := s.db.Replica().Query(ctx, `SELECT `+keyCols+` FROM api_keys k
		WHERE k.role_project = $1 AND k.revoked_at = 0 ORDER BY k.id DESC LIMIT $2`, project, maxAccounts)
	list, err := collect(rows, err, scanKey)
	if err != nil {
		return nil, fmt.Errorf("api keys: %w", err)
	}
	return list, nil
}

// RevokeKey ends a key of a project.
func (s *Store) RevokeKey(ctx context.Context, project convoy.ProjectID, id convoy.KeyID, now time.Time) error {
	n, err := s.exec(ctx, `UPDATE api_keys SET revoked_at = $1, updated_at = $1 WHERE id = $2 AND role_project = $3 AND revoked_at = 0`,
		micros(now), id, project)
	if err := changed(n, err, keyMissing); err != nil {
		return fmt.Errorf("revoke api key: %w", err)
	}
	return nil
}

// PersonalKeys returns the newest [maxAccounts] keys of a user that are not
// revoked, newest first.
func (s *Store) PersonalKeys(ctx context.Context, user convoy.UserID) ([]*convoy.APIKey, error) {
	rows, err := s.db.Query(ctx, `SELECT `+keyCols+` FROM api_keys k
		WHERE k.user_id = $1 AND k.user_id <> '' AND k.revoked_at = 0 ORDER BY k.id DESC LIMIT $2`, user, maxAccounts)
	list, err := collect(rows, err, scanKey)
	if err != nil {
		return nil, fmt.Errorf("personal keys: %w", err)
	}
	return list, nil
}

// RevokePersonalKey ends a key of a user.
func (s *Store) RevokePersonalKey(ctx context.Context, user convoy.UserID, id convoy.KeyID, now time.Time) error {
	n, err := s.exec(ctx, `UPDATE api_keys SET revoked_at = $1, updated_at = $1 WHERE id = $2 AND user_id = $3 AND user_id <> '' AND revoked_at = 0`,
		micros(now), id, user)
	if err := changed(n, err, keyMissing); err != nil {
		return fmt.Errorf("revoke personal key: %w", err)
	}
	return nil
}

// ReplaceKeys stores a new key of a project and ends its others at a time, or
// before that where they would end before.
func (s *Store) ReplaceKeys(ctx context.Context, k *convoy.APIKey, end, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		set, args := `revoked_at = $1`, []any{micros(now), k.Role.Project}
		if end.After(now) {
			set, args = `expires_at = CASE WHEN expires_at = 0 OR expires_at > $3 THEN $3 ELSE expires_at END`, append(args, micros(end))
		}
		if _, err := tx.Exec(ctx, `UPDATE api_keys SET `+set+`, updated_at = $1 WHERE role_project = $2 AND user_id = '' AND revoked_at = 0`, args...); err != nil {
			return err
		}
		return insertKey(ctx, tx, k)
	})
	if err != nil {
		return fmt.Errorf("replace api keys: %w", err)
	}
	return nil
}

// NoteKeysUsed writes when keys were used last, unless they were used later.
func (s *Store) NoteKeysUsed(ctx context.Context, used map[convoy.KeyID]time.Time) error {
	if len(used) == 0 {
		return nil
	}
	// In the order of ids, so that two processes do not wait for each other.
	ids := slices.Sorted(maps.Keys(used))
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		for _, id := range ids {
			if _, err := tx.Exec(ctx, `UPDATE api_keys SET last_used_at = $1 WHERE id = $2 AND last_used_at < $1`, micros(used[id]), id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note keys used: %w", err)
	}
	return nil
}
