package store

import (
	"context"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const invitationMissing = "invitation not found"

const invitationCols = `i.id, i.organisation_id, i.inviter_id, i.email, i.role_type, i.role_project, i.hash, i.status, i.expires_at, i.created_at, i.updated_at`

func scanInvitation(row sqldb.Row) (*convoy.Invitation, error) {
	var (
		v                         convoy.Invitation
		hash                      []byte
		expires, created, updated int64
	)
	if err := row.Scan(&v.ID, &v.OrganisationID, &v.InviterID, &v.Email, &v.Role.Type, &v.Role.Project, &hash, &v.Status,
		&expires, &created, &updated); err != nil {
		return nil, err
	}
	if copy(v.Hash[:], hash) != len(v.Hash) {
		return nil, fmt.Errorf("hash of invitation %s has %d bytes", v.ID, len(hash))
	}
	v.ExpiresAt, v.CreatedAt, v.UpdatedAt = instant(expires), instant(created), instant(updated)
	return &v, nil
}

// CreateInvitation stores a new invitation. One that is pending for the same
// address makes a convoy.Conflict error, unless it has expired: then the new one
// takes its place.
func (s *Store) CreateInvitation(ctx context.Context, v *convoy.Invitation) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM invitations WHERE organisation_id = $1 AND email = $2 AND status = $3 AND expires_at <= $4`,
			v.OrganisationID, v.Email, convoy.InvitationPending, micros(v.CreatedAt)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO invitations (id, organisation_id, inviter_id, email, role_type, role_project, hash, status,
				expires_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			v.ID, v.OrganisationID, v.InviterID, v.Email, v.Role.Type, v.Role.Project, v.Hash[:], v.Status,
			micros(v.ExpiresAt), micros(v.CreatedAt), micros(v.UpdatedAt))
		return taken(err, "an invite for this email exists")
	})
	if err != nil {
		return fmt.Errorf("create invitation: %w", err)
	}
	return nil
}

// Invitation returns one invitation of an organisation.
func (s *Store) Invitation(ctx context.Context, organisation convoy.OrganisationID, id convoy.InvitationID) (*convoy.Invitation, error) {
	v, err := scanInvitation(s.db.QueryRow(ctx, `SELECT `+invitationCols+` FROM invitations i WHERE i.organisation_id = $1 AND i.id = $2`, organisation, id))
	return v, found(err, invitationMissing)
}

// InvitationByHash returns the invitation with a token.
func (s *Store) InvitationByHash(ctx context.Context, hash [32]byte) (*convoy.Invitation, error) {
	v, err := scanInvitation(s.db.QueryRow(ctx, `SELECT `+invitationCols+` FROM invitations i WHERE i.hash = $1`, hash[:]))
	return v, found(err, invitationMissing)
}

// Invitations returns a page of an organisation's invitations that nobody has
// answered, also those that have expired.
func (s *Store) Invitations(ctx context.Context, organisation convoy.OrganisationID, page Page) (Paged[*convoy.Invitation], error) {
	l := listing{cols: invitationCols, table: "invitations", alias: "i", key: "i.id"}
	l.where.add("i.organisation_id = ?", organisation)
	l.where.add("i.status = 'pending'")
	p, err := paginate(page, func(v *convoy.Invitation) string { return string(v.ID) }, fetchRows(ctx, s.db, l, scanInvitation))
	if err != nil {
		return p, fmt.Errorf("invitations: %w", err)
	}
	return p, nil
}

// RenewInvitation gives a pending invitation another token and end.
func (s *Store) RenewInvitation(ctx context.Context, v *convoy.Invitation) error {
	n, err := s.exec(ctx, `UPDATE invitations SET hash = $1, expires_at = $2, updated_at = $3 WHERE organisation_id = $4 AND id = $5 AND status = 'pending'`,
		v.Hash[:], micros(v.ExpiresAt), micros(v.UpdatedAt), v.OrganisationID, v.ID)
	if err := changed(n, err, invitationMissing); err != nil {
		return fmt.Errorf("renew invitation: %w", err)
	}
	return nil
}

// CloseInvitation ends a pending invitation without a member.
func (s *Store) CloseInvitation(ctx context.Context, organisation convoy.OrganisationID, id convoy.InvitationID, as convoy.InvitationStatus, now time.Time) error {
	n, err := s.exec(ctx, `UPDATE invitations SET status = $1, updated_at = $2 WHERE organisation_id = $3 AND id = $4 AND status = 'pending'`,
		as, micros(now), organisation, id)
	if err := changed(n, err, invitationMissing); err != nil {
		return fmt.Errorf("close invitation: %w", err)
	}
	return nil
}

// AcceptInvitation makes a member of the user whom a pending invitation is for. A
// user who is new is stored with it. It returns a convoy.NotFound error when the
// token is not good any more.
func (s *Store) AcceptInvitation(ctx context.Context, hash [32]byte, user *convoy.User, isNew bool, m *convoy.Membership) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		now := micros(m.CreatedAt)
		n, err := tx.Exec(ctx, `UPDATE invitations SET status = $1, updated_at = $2
			WHERE hash = $3 AND organisation_id = $4 AND email = $5 AND status = 'pending' AND expires_at > $2`,
			convoy.InvitationAccepted, now, hash[:], m.OrganisationID, user.Email)
		if err := changed(n, err, invitationMissing); err != nil {
			return err
		}
		if isNew {
			if err := s.insertUser(ctx, tx, user); err != nil {
				return err
			}
		}
		return insertMembership(ctx, tx, m)
	})
	if err != nil {
		return fmt.Errorf("accept invitation: %w", err)
	}
	return nil
}
