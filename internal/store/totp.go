package store

import (
	"context"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

var errTOTPOn = convoy.E(convoy.Conflict, "two-factor authentication is on already")

// PutTOTP stores the seed of a user's second factor, which is not asked for until
// it is confirmed. One that is on stays as it is: a convoy.Conflict error.
func (s *Store) PutTOTP(ctx context.Context, user convoy.UserID, secret string, now time.Time) error {
	sealed, err := s.secrets.seal(userTOTP, string(user), secret)
	if err != nil {
		return fmt.Errorf("put second factor: %w", err)
	}
	n, err := s.exec(ctx, `UPDATE users SET totp_secret = $1, totp_step = 0, updated_at = $2 WHERE id = $3 AND totp_confirmed_at = 0`,
		sealed, micros(now), user)
	if err == nil && n == 0 {
		err = errTOTPOn
	}
	if err != nil {
		return fmt.Errorf("put second factor: %w", err)
	}
	return nil
}

// ConfirmTOTP switches a user's second factor on, of which the step's code was
// given, with its recovery codes. Secret is the one that was confirmed.
func (s *Store) ConfirmTOTP(ctx context.Context, user convoy.UserID, t convoy.TOTP, codes [][32]byte) error {
	// Sealed text of one secret differs each time: that of the row is what must not
	// have changed meanwhile.
	stored, err := opened(ctx, s, func(o *opener) (string, error) {
		var stored string
		err := s.db.QueryRow(ctx, `SELECT totp_secret FROM users WHERE id = $1`, user).Scan(&stored)
		if err != nil {
			return "", found(err, userMissing)
		}
		secret, err := o.open(userTOTP, string(user), stored)
		if err == nil && secret != t.Secret {
			err = errTOTPOn
		}
		return stored, err
	})
	if err != nil {
		return fmt.Errorf("confirm second factor: %w", err)
	}
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE users SET totp_confirmed_at = $1, totp_step = $2, updated_at = $1
			WHERE id = $3 AND totp_secret = $4 AND totp_confirmed_at = 0`, micros(t.ConfirmedAt), t.Step, user, stored)
		if err == nil && n == 0 {
			err = errTOTPOn
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, user); err != nil {
			return err
		}
		for _, c := range codes {
			if _, err := tx.Exec(ctx, `INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)`, user, c[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("confirm second factor: %w", err)
	}
	return nil
}

// SpendTOTP takes the code of a time step; false when that or a later one has
// been taken.
func (s *Store) SpendTOTP(ctx context.Context, user convoy.UserID, step int64) (bool, error) {
	n, err := s.exec(ctx, `UPDATE users SET totp_step = $1 WHERE id = $2 AND totp_step < $1`, step, user)
	if err != nil {
		return false, fmt.Errorf("spend code: %w", err)
	}
	return n > 0, nil
}

// SpendRecoveryCode takes a recovery code; false when the user has no such one.
func (s *Store) SpendRecoveryCode(ctx context.Context, user convoy.UserID, hash [32]byte) (bool, error) {
	n, err := s.exec(ctx, `DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2`, user, hash[:])
	if err != nil {
		return false, fmt.Errorf("spend recovery code: %w", err)
	}
	return n > 0, nil
}

// RemoveTOTP switches a user's second factor off and forgets it.
func (s *Store) RemoveTOTP(ctx context.Context, user convoy.UserID, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE users SET totp_secret = '', totp_confirmed_at = 0, totp_step = 0, updated_at = $1 WHERE id = $2`, micros(now), user)
		if err := changed(n, err, userMissing); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, user)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove second factor: %w", err)
	}
	return nil
}
