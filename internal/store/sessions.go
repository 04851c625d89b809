package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const sessionMissing = "session not found"

// maxSessions bounds the sessions of a user that are listed.
const maxSessions = 200

// The kinds of tokens of a session.
const (
	accessToken  = "access"
	refreshToken = "refresh"
)

// SessionTokens are the hashes of a pair of tokens, and when they end.
type SessionTokens struct {
	Access, Refresh               [32]byte
	AccessExpires, RefreshExpires time.Time
}

const sessionCols = `s.id, s.user_id, s.method, s.ip, s.user_agent, s.created_at, s.used_at, s.expires_at`

func scanSession(row sqldb.Row) (*convoy.Session, error) {
	var (
		v                      convoy.Session
		created, used, expires int64
	)
	if err := row.Scan(&v.ID, &v.UserID, &v.Method, &v.IP, &v.UserAgent, &created, &used, &expires); err != nil {
		return nil, err
	}
	v.CreatedAt, v.UsedAt, v.ExpiresAt = instant(created), instant(used), instant(expires)
	return &v, nil
}

// CreateSession stores a session that has just begun, with its tokens.
func (s *Store) CreateSession(ctx context.Context, v *convoy.Session, t SessionTokens) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO sessions (id, user_id, method, ip, user_agent, created_at, used_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			v.ID, v.UserID, v.Method, v.IP, v.UserAgent, micros(v.CreatedAt), micros(v.UsedAt), micros(v.ExpiresAt)); err != nil {
			return err
		}
		return insertTokens(ctx, tx, v.ID, t)
	})
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	return nil
}

func insertTokens(ctx context.Context, tx sqldb.Tx, session convoy.SessionID, t SessionTokens) error {
	const insert = `INSERT INTO session_tokens (hash, session_id, kind, salt, used_at, expires_at) VALUES ($1, $2, $3, '', 0, $4)`
	if _, err := tx.Exec(ctx, insert, t.Access[:], session, accessToken, micros(t.AccessExpires)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, insert, t.Refresh[:], session, refreshToken, micros(t.RefreshExpires))
	return err
}

// Access is whom an access token speaks for.
type Access struct {
	Session   convoy.SessionID
	User      convoy.UserID
	ExpiresAt time.Time
}

// AccessByHash returns what an access token gives, also one that has expired.
func (s *Store) AccessByHash(ctx context.Context, hash [32]byte) (*Access, error) {
	var (
		a       Access
		expires int64
	)
	err := s.db.QueryRow(ctx, `SELECT s.id, s.user_id, t.expires_at FROM session_tokens t JOIN sessions s ON s.id = t.session_id
		WHERE t.hash = $1 AND t.kind = $2`, hash[:], accessToken).Scan(&a.Session, &a.User, &expires)
	if err != nil {
		return nil, found(err, sessionMissing)
	}
	a.ExpiresAt = instant(expires)
	return &a, nil
}

// Rotation exchanges a refresh token.
type Rotation struct {
	Refresh [32]byte
	// Salt is fresh. Another may count: that of whoever was faster.
	Salt string
	// Grace is how long a used token gives once more what it gave first, for two
	// that hold it and come at the same time.
	Grace time.Duration
	Now   time.Time
	// Issue makes the tokens that follow, for the session as it was, from the salt
	// that counts; a session that may not go on has none.
	Issue func(v *convoy.Session, salt string) (SessionTokens, bool)
}

// ErrTokenReused says that a refresh token was presented after its successor had
// been given out: one of the two who have it is not who signed in, so the session
// has been ended.
var ErrTokenReused = errors.New("refresh token used twice")

// RotateSession exchanges a refresh token for its successors and returns the session, with the
// salt they come from. It returns a convoy.NotFound error for a token that is not
// good, with [ErrTokenReused] where it was.
func (s *Store) RotateSession(ctx context.Context, r Rotation) (v *convoy.Session, salt string, err error) {
	var reused bool
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		v, salt, reused = nil, "", false // it may run again
		var id convoy.SessionID
		err := tx.QueryRow(ctx, `SELECT session_id FROM session_tokens WHERE hash = $1 AND kind = $2`, r.Refresh[:], refreshToken).Scan(&id)
		if err != nil {
			return found(err, sessionMissing)
		}
		// The session is what is locked first, here and where it is ended.
		v, err = scanSession(tx.QueryRow(ctx, `SELECT `+sessionCols+` FROM sessions s WHERE s.id = $1`+s.db.Dialect().ForUpdate(), id))
		if err != nil {
			return found(err, sessionMissing)
		}
		var used, expires int64
		err = tx.QueryRow(ctx, `SELECT salt, used_at, expires_at FROM session_tokens WHERE hash = $1`, r.Refresh[:]).Scan(&salt, &used, &expires)
		now := micros(r.Now)
		switch {
		case err != nil:
			return found(err, sessionMissing)
		case expires <= now:
			return convoy.E(convoy.NotFound, sessionMissing)
		case used != 0 && now-used > r.Grace.Microseconds():
			reused = true
			return endSession(ctx, tx, v.ID)
		case used != 0:
			return nil // what follows is there already
		}
		return s.rotate(ctx, tx, v, r)
	})
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("rotate session: %w", err)
	case reused:
		return v, "", convoy.Wrap(convoy.NotFound, sessionMissing, ErrTokenReused)
	case salt == "":
		salt = r.Salt
	}
	return v, salt, nil
}

// rotate stores what follows an unused token.
func (s *Store) rotate(ctx context.Context, tx sqldb.Tx, v *convoy.Session, r Rotation) error {
	next, ok := r.Issue(v, r.Salt)
	if !ok {
		return convoy.E(convoy.NotFound, sessionMissing)
	}
	now := micros(r.Now)
	if _, err := tx.Exec(ctx, `UPDATE session_tokens SET used_at = $1, salt = $2 WHERE hash = $3`, now, r.Salt, r.Refresh[:]); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM session_tokens WHERE session_id = $1 AND expires_at <= $2`, v.ID, now); err != nil {
		return err
	}
	if err := insertTokens(ctx, tx, v.ID, next); err != nil {
		return err
	}
	v.UsedAt, v.ExpiresAt = r.Now, next.RefreshExpires
	_, err := tx.Exec(ctx, `UPDATE sessions SET used_at = $1, expires_at = $2 WHERE id = $3`, now, micros(v.ExpiresAt), v.ID)
	return err
}

// Sessions returns a user's newest [maxSessions] sessions that have not ended.
func (s *Store) Sessions(ctx context.Context, user convoy.UserID, now time.Time) ([]*convoy.Session, error) {
	rows, err := s.db.Query(ctx, `SELECT `+sessionCols+` FROM sessions s WHERE s.user_id = $1 AND s.expires_at > $2 ORDER BY s.id DESC LIMIT $3`,
		user, micros(now), maxSessions)
	list, err := collect(rows, err, scanSession)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	return list, nil
}

// EndSession ends a session of a user.
func (s *Store) EndSession(ctx context.Context, user convoy.UserID, id convoy.SessionID) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `DELETE FROM sessions WHERE id = $1 AND user_id = $2`, id, user)
		if err := changed(n, err, sessionMissing); err != nil {
			return err
		}
		return endSession(ctx, tx, id)
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

func endSession(ctx context.Context, tx sqldb.Tx, id convoy.SessionID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE id = $1`, id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM session_tokens WHERE session_id = $1`, id)
	return err
}

// endSessions ends all sessions of a user but one, which may be none.
func endSessions(ctx context.Context, tx sqldb.Tx, user convoy.UserID, keep convoy.SessionID) error {
	rows, err := tx.Query(ctx, `DELETE FROM sessions WHERE user_id = $1 AND id <> $2 RETURNING id`, user, keep)
	ids, err := collect(rows, err, func(r sqldb.Row) (id convoy.SessionID, err error) { err = r.Scan(&id); return })
	for _, id := range ids {
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM session_tokens WHERE session_id = $1`, id)
		}
	}
	return err
}

// ForgetSessions deletes at most max sessions that have expired, and returns how
// many.
func (s *Store) ForgetSessions(ctx context.Context, now time.Time, max int) (n int, err error) {
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`+s.db.Dialect().SkipLocked(), micros(now), max)
		ids, err := collect(rows, err, func(r sqldb.Row) (id convoy.SessionID, err error) { err = r.Scan(&id); return })
		n = len(ids)
		for _, id := range ids {
			if err == nil {
				err = endSession(ctx, tx, id)
			}
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget sessions: %w", err)
	}
	return n, nil
}
