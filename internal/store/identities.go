package store

import (
	"context"
	"fmt"
	"time"

	"convoy"
)

// Identity is who a user is at an OpenID Connect provider.
type Identity struct {
	Issuer, Subject string
	UserID          convoy.UserID
	// Email is what the provider said when they were linked.
	Email     string
	CreatedAt time.Time
}

// LinkIdentity has a provider's person be a user, who stays it.
func (s *Store) LinkIdentity(ctx context.Context, v Identity) error {
	_, err := s.exec(ctx, `INSERT INTO identities (issuer, subject, user_id, email, created_at) VALUES ($1, $2, $3, $4, $5)`,
		v.Issuer, v.Subject, v.UserID, v.Email, micros(v.CreatedAt))
	if err != nil {
		return fmt.Errorf("link identity: %w", taken(err, "somebody else is this person already"))
	}
	return nil
}

// UserByIdentity returns the user that a provider's person is.
func (s *Store) UserByIdentity(ctx context.Context, issuer, subject string) (*convoy.User, error) {
	var user convoy.UserID
	err := s.db.QueryRow(ctx, `SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2`, issuer, subject).Scan(&user)
	if err != nil {
		return nil, found(err, userMissing)
	}
	return s.User(ctx, user)
}
