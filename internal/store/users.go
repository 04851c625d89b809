package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const (
	userMissing  = "user not found"
	emailTaken   = "a user with this email already exists"
	tokenMissing = "token not found"
)

const userCols = `u.id, u.first_name, u.last_name, u.email, u.password_hash, u.email_verified_at, u.instance_admin,
	u.totp_secret, u.totp_confirmed_at, u.totp_step, u.created_at, u.updated_at`

func scanUser(row sqldb.Row) (*convoy.User, error) {
	var (
		u                                            convoy.User
		verified, admin, confirmed, created, updated int64
	)
	if err := row.Scan(&u.ID, &u.FirstName, &u.LastName, &u.Email, &u.PasswordHash, &verified, &admin,
		&u.TOTP.Secret, &confirmed, &u.TOTP.Step, &created, &updated); err != nil {
		return nil, err
	}
	u.InstanceAdmin = admin != 0
	u.EmailVerifiedAt, u.TOTP.ConfirmedAt = instant(verified), instant(confirmed)
	u.CreatedAt, u.UpdatedAt = instant(created), instant(updated)
	return &u, nil
}

// CreateUser stores a new user. Emails are unique as they are spelt; the caller
// settles on one spelling.
func (s *Store) CreateUser(ctx context.Context, u *convoy.User) error {
	if err := s.db.Write(ctx, func(tx sqldb.Tx) error { return s.insertUser(ctx, tx, u) }); err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	return nil
}

func (s *Store) insertUser(ctx context.Context, tx sqldb.Tx, u *convoy.User) error {
	secret, err := s.secrets.seal(userTOTP, string(u.ID), u.TOTP.Secret)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO users (id, first_name, last_name, email, password_hash, email_verified_at, instance_admin,
			totp_secret, totp_confirmed_at, totp_step, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		u.ID, u.FirstName, u.LastName, u.Email, u.PasswordHash, micros(u.EmailVerifiedAt), flag(u.InstanceAdmin),
		secret, micros(u.TOTP.ConfirmedAt), u.TOTP.Step, micros(u.CreatedAt), micros(u.UpdatedAt))
	return taken(err, emailTaken)
}

// User returns one user.
func (s *Store) User(ctx context.Context, id convoy.UserID) (*convoy.User, error) {
	return s.user(ctx, `u.id = $1`, id)
}

// UserByEmail returns the user with an email, in the spelling it was stored in.
func (s *Store) UserByEmail(ctx context.Context, email string) (*convoy.User, error) {
	return s.user(ctx, `u.email = $1`, email)
}

// user opens the secret of the second factor: without it, nobody can sign in, and
// not without a code.
func (s *Store) user(ctx context.Context, is string, arg any) (*convoy.User, error) {
	return opened(ctx, s, func(o *opener) (*convoy.User, error) {
		u, err := scanUser(s.db.QueryRow(ctx, `SELECT `+userCols+` FROM users u WHERE `+is, arg))
		if err != nil {
			return nil, found(err, userMissing)
		}
		if u.TOTP.Secret, err = o.open(userTOTP, string(u.ID), u.TOTP.Secret); err != nil {
			return nil, fmt.Errorf("user: %w", err)
		}
		return u, nil
	})
}

// UpdateProfile writes a user's names and email, and whether the email has been
// verified. The sign-in is not touched.
func (s *Store) UpdateProfile(ctx context.Context, u *convoy.User) error {
	n, err := s.exec(ctx, `UPDATE users SET first_name = $1, last_name = $2, email = $3, email_verified_at = $4, updated_at = $5 WHERE id = $6`,
		u.FirstName, u.LastName, u.Email, micros(u.EmailVerifiedAt), micros(u.UpdatedAt), u.ID)
	if err := changed(n, taken(err, emailTaken), userMissing); err != nil {
		return fmt.Errorf("update profile: %w", err)
	}
	return nil
}

// SetPassword writes a user's password and ends all sessions but one, which may
// be none.
func (s *Store) SetPassword(ctx context.Context, user convoy.UserID, hash string, keep convoy.SessionID, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error { return setPassword(ctx, tx, user, hash, keep, now) })
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}

func setPassword(ctx context.Context, tx sqldb.Tx, user convoy.UserID, hash string, keep convoy.SessionID, now time.Time) error {
	n, err := tx.Exec(ctx, `UPDATE users SET password_hash = $1, updated_at = $2 WHERE id = $3`, hash, micros(now), user)
	if err := changed(n, err, userMissing); err != nil {
		return err
	}
	// Whoever asked for a link before knew the old password, or guessed.
	if _, err := tx.Exec(ctx, `DELETE FROM user_tokens WHERE user_id = $1 AND purpose = $2`, user, TokenReset); err != nil {
		return err
	}
	return endSessions(ctx, tx, user, keep)
}

// TokenPurpose is what a token that was sent by mail is good for.
type TokenPurpose string

// The purposes of tokens.
const (
	TokenReset  TokenPurpose = "reset_password"
	TokenVerify TokenPurpose = "verify_email"
)

// UserToken is a token that was sent to a user's address.
type UserToken struct {
	Hash                 [32]byte
	UserID               convoy.UserID
	Purpose              TokenPurpose
	Email                string
	CreatedAt, ExpiresAt time.Time
}

// PutUserToken stores a token. It takes the place of the user's others for the
// same purpose.
func (s *Store) PutUserToken(ctx context.Context, t UserToken) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM user_tokens WHERE user_id = $1 AND purpose = $2`, t.UserID, t.Purpose); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO user_tokens (hash, user_id, purpose, email, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			t.Hash[:], t.UserID, t.Purpose, t.Email, micros(t.CreatedAt), micros(t.ExpiresAt))
		return err
	})
	if err != nil {
		return fmt.Errorf("put user token: %w", err)
	}
	return nil
}

// spend takes a token: of several that present it, one succeeds. The user is
// without the second factor's secret.
func (s *Store) spend(ctx context.Context, tx sqldb.Tx, hash [32]byte, purpose TokenPurpose, now time.Time) (*convoy.User, error) {
	var (
		user    convoy.UserID
		email   string
		expires int64
	)
	err := tx.QueryRow(ctx, `DELETE FROM user_tokens WHERE hash = $1 AND purpose = $2 RETURNING user_id, email, expires_at`, hash[:], purpose).
		Scan(&user, &email, &expires)
	if errors.Is(err, sqldb.ErrNoRows) || err == nil && expires <= micros(now) {
		return nil, convoy.E(convoy.NotFound, tokenMissing)
	}
	if err != nil {
		return nil, err
	}
	u, err := scanUser(tx.QueryRow(ctx, `SELECT `+userCols+` FROM users u WHERE u.id = $1`, user))
	if err != nil {
		return nil, found(err, tokenMissing)
	}
	u.TOTP.Secret = ""
	if u.Email != email { // it was sent to an address that is the user's no more
		return nil, convoy.E(convoy.NotFound, tokenMissing)
	}
	return u, nil
}

// ResetPassword takes a token, sets the password of its user and ends all of the
// user's sessions. The address is verified with it: the token was sent there. An
// unknown, used or old token is a convoy.NotFound error.
func (s *Store) ResetPassword(ctx context.Context, token [32]byte, hash string, now time.Time) (*convoy.User, error) {
	var u *convoy.User
	err := s.db.Write(ctx, func(tx sqldb.Tx) (err error) {
		if u, err = s.spend(ctx, tx, token, TokenReset, now); err != nil {
			return err
		}
		if err := setPassword(ctx, tx, u.ID, hash, "", now); err != nil {
			return err
		}
		return verifyEmail(ctx, tx, u.ID, now)
	})
	if err != nil {
		return nil, fmt.Errorf("reset password: %w", err)
	}
	return u, nil
}

// VerifyEmail takes a token: its user's address is verified.
func (s *Store) VerifyEmail(ctx context.Context, token [32]byte, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		u, err := s.spend(ctx, tx, token, TokenVerify, now)
		if err != nil {
			return err
		}
		return verifyEmail(ctx, tx, u.ID, now)
	})
	if err != nil {
		return fmt.Errorf("verify email: %w", err)
	}
	return nil
}

func verifyEmail(ctx context.Context, tx sqldb.Tx, user convoy.UserID, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE users SET email_verified_at = $1, updated_at = $1 WHERE id = $2 AND email_verified_at = 0`, micros(now), user)
	return err
}

// ForgetUserTokens deletes at most max tokens that have expired, and returns how
// many.
func (s *Store) ForgetUserTokens(ctx context.Context, now time.Time, max int) (int, error) {
	n, err := s.exec(ctx, `DELETE FROM user_tokens WHERE hash IN (SELECT hash FROM user_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
		micros(now), max)
	if err != nil {
		return 0, fmt.Errorf("forget user tokens: %w", err)
	}
	return int(n), nil
}
