package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const (
	memberMissing = "membership not found"
	memberTaken   = "the user is a member of this organisation already"
)

const memberCols = `m.id, m.user_id, m.organisation_id, m.role_type, m.role_project, m.created_at, m.updated_at`

// memberFields are what a row of memberCols is scanned into.
func memberFields(m *convoy.Membership, created, updated *int64) []any {
	return []any{&m.ID, &m.UserID, &m.OrganisationID, &m.Role.Type, &m.Role.Project, created, updated}
}

// CreateMembership stores a user's role in an organisation.
func (s *Store) CreateMembership(ctx context.Context, m *convoy.Membership) error {
	if err := s.db.Write(ctx, func(tx sqldb.Tx) error { return insertMembership(ctx, tx, m) }); err != nil {
		return fmt.Errorf("create membership: %w", err)
	}
	return nil
}

// insertMembership stores one; without an id it has the user's, which is unique in
// the organisation too.
func insertMembership(ctx context.Context, tx sqldb.Tx, m *convoy.Membership) error {
	_, err := tx.Exec(ctx, `INSERT INTO memberships (id, user_id, organisation_id, role_type, role_project, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		cmp.Or(m.ID, convoy.MembershipID(m.UserID)), m.UserID, m.OrganisationID, m.Role.Type, m.Role.Project, micros(m.CreatedAt), micros(m.UpdatedAt))
	return taken(err, memberTaken)
}

// Membership returns a user's role in an organisation.
func (s *Store) Membership(ctx context.Context, user convoy.UserID, organisation convoy.OrganisationID) (*convoy.Membership, error) {
	var (
		m                convoy.Membership
		created, updated int64
	)
	err := s.db.QueryRow(ctx, `SELECT `+memberCols+` FROM memberships m WHERE m.user_id = $1 AND m.organisation_id = $2`, user, organisation).
		Scan(memberFields(&m, &created, &updated)...)
	if err != nil {
		return nil, found(err, memberMissing)
	}
	m.CreatedAt, m.UpdatedAt = instant(created), instant(updated)
	return &m, nil
}

// Member is a membership with its user.
type Member struct {
	convoy.Membership
	FirstName, LastName, Email string
}

const memberUserCols = memberCols + `, u.first_name, u.last_name, u.email`

func scanMember(row sqldb.Row) (*Member, error) {
	var (
		m                Member
		created, updated int64
	)
	if err := row.Scan(append(memberFields(&m.Membership, &created, &updated), &m.FirstName, &m.LastName, &m.Email)...); err != nil {
		return nil, err
	}
	m.CreatedAt, m.UpdatedAt = instant(created), instant(updated)
	return &m, nil
}

// Members returns a page of an organisation's members; user, unless empty, is the
// only one asked for.
func (s *Store) Members(ctx context.Context, organisation convoy.OrganisationID, user convoy.UserID, page Page) (Paged[*Member], error) {
	p, err := paginate(page, func(m *Member) string { return string(m.ID) }, func(k seek) ([]*Member, error) {
		var w where
		w.add("m.organisation_id = ?", organisation)
		if user != "" {
			w.add("m.user_id = ?", user)
		}
		w.within("m.id", k.span())
		rows, err := s.db.Query(ctx, `SELECT `+memberUserCols+` FROM memberships m JOIN users u ON u.id = m.user_id`+
			w.String()+` ORDER BY m.id`+k.order()+` LIMIT `+w.param(k.limit), w.args...)
		return collect(rows, err, scanMember)
	})
	if err != nil {
		return p, fmt.Errorf("members: %w", err)
	}
	return p, nil
}

// Member returns one member of an organisation.
func (s *Store) Member(ctx context.Context, organisation convoy.OrganisationID, id convoy.MembershipID) (*Member, error) {
	m, err := scanMember(s.db.QueryRow(ctx, `SELECT `+memberUserCols+` FROM memberships m JOIN users u ON u.id = m.user_id
		WHERE m.organisation_id = $1 AND m.id = $2`, organisation, id))
	return m, found(err, memberMissing)
}

// ErrOwner says that the owner of an organisation stays its administrator,
// ErrLastAdmin that some administrator must.
var (
	ErrOwner     = convoy.E(convoy.Forbidden, "cannot deactivate organisation owner")
	ErrLastAdmin = convoy.E(convoy.Forbidden, "an organisation needs an administrator")
)

// SetRole changes a member's role.
func (s *Store) SetRole(ctx context.Context, organisation convoy.OrganisationID, id convoy.MembershipID, role convoy.Role, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if role.Type != convoy.RoleOrganisationAdmin {
			if err := s.dispensable(ctx, tx, organisation, id); err != nil {
				return err
			}
		}
		n, err := tx.Exec(ctx, `UPDATE memberships SET role_type = $1, role_project = $2, updated_at = $3 WHERE organisation_id = $4 AND id = $5`,
			role.Type, role.Project, micros(now), organisation, id)
		return changed(n, err, memberMissing)
	})
	if err != nil {
		return fmt.Errorf("set role: %w", err)
	}
	return nil
}

// RemoveMember ends a membership.
func (s *Store) RemoveMember(ctx context.Context, organisation convoy.OrganisationID, id convoy.MembershipID) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := s.dispensable(ctx, tx, organisation, id); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `DELETE FROM memberships WHERE organisation_id = $1 AND id = $2`, organisation, id)
		return changed(n, err, memberMissing)
	})
	if err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	return nil
}

// dispensable refuses to do without the owner or the last administrator. The
// organisation is locked until the end of the transaction, so that two
// administrators cannot remove each other.
func (s *Store) dispensable(ctx context.Context, tx sqldb.Tx, organisation convoy.OrganisationID, id convoy.MembershipID) error {
	var owner convoy.UserID
	err := tx.QueryRow(ctx, `SELECT owner_id FROM organisations WHERE id = $1`+s.db.Dialect().ForUpdate(), organisation).Scan(&owner)
	if err != nil {
		return found(err, organisationMissing)
	}
	rows, err := tx.Query(ctx, `SELECT m.id, m.user_id FROM memberships m WHERE m.organisation_id = $1 AND (m.id = $2 OR m.role_type IN ($3, $4))
		ORDER BY m.id = $2 DESC LIMIT 2`, organisation, id, convoy.RoleOrganisationAdmin, convoy.RoleInstanceAdmin)
	list, err := collect(rows, err, func(r sqldb.Row) (m convoy.Membership, err error) { err = r.Scan(&m.ID, &m.UserID); return })
	switch {
	case err != nil:
		return err
	case len(list) == 0 || list[0].ID != id:
		return convoy.E(convoy.NotFound, memberMissing)
	case owner != "" && list[0].UserID == owner:
		return ErrOwner
	case len(list) == 1:
		return ErrLastAdmin
	}
	return nil
}
