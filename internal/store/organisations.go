package store

import (
	"context"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// UpdateOrganisation writes an organisation's name.
func (s *Store) UpdateOrganisation(ctx context.Context, o *convoy.Organisation) error {
	n, err := s.exec(ctx, `UPDATE organisations SET name = $1, updated_at = $2 WHERE id = $3 AND deleted_at = 0`, o.Name, micros(o.UpdatedAt), o.ID)
	if err := changed(n, err, organisationMissing); err != nil {
		return fmt.Errorf("update organisation: %w", err)
	}
	return nil
}

// DeleteOrganisation hides an organisation and its projects, and ends its
// memberships and invitations. It returns the projects that were there.
func (s *Store) DeleteOrganisation(ctx context.Context, id convoy.OrganisationID, now time.Time) (projects []convoy.ProjectID, err error) {
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE organisations SET deleted_at = $1, updated_at = $1 WHERE id = $2 AND deleted_at = 0`, micros(now), id)
		if err := changed(n, err, organisationMissing); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `UPDATE projects SET deleted_at = $1, updated_at = $1 WHERE organisation_id = $2 AND deleted_at = 0 RETURNING id`, micros(now), id)
		projects, err = collect(rows, err, func(r sqldb.Row) (p convoy.ProjectID, err error) { err = r.Scan(&p); return })
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM memberships WHERE organisation_id = $1`, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM invitations WHERE organisation_id = $1`, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("delete organisation: %w", err)
	}
	return projects, nil
}

// OrganisationsOf returns a page of the organisations that a user is a member of,
// and how many there are.
func (s *Store) OrganisationsOf(ctx context.Context, user convoy.UserID, page Page) (Paged[*convoy.Organisation], int, error) {
	const of = ` FROM organisations o JOIN memberships m ON m.organisation_id = o.id`
	p, err := paginate(page, func(o *convoy.Organisation) string { return string(o.ID) }, func(k seek) ([]*convoy.Organisation, error) {
		var w where
		w.add("m.user_id = ?", user)
		w.add("o.deleted_at = 0")
		w.within("o.id", k.span())
		rows, err := s.db.Query(ctx, `SELECT `+organisationCols+of+w.String()+` ORDER BY o.id`+k.order()+` LIMIT `+w.param(k.limit), w.args...)
		return collect(rows, err, scanOrganisation)
	})
	var total int
	if err == nil {
		err = s.db.QueryRow(ctx, `SELECT count(*)`+of+` WHERE m.user_id = $1 AND o.deleted_at = 0`, user).Scan(&total)
	}
	if err != nil {
		return p, 0, fmt.Errorf("organisations of user: %w", err)
	}
	return p, total, nil
}
