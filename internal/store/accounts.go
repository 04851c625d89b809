package store

import (
	"context"
	"fmt"

	"convoy"
	"convoy/internal/store/sqldb"
)

// maxAccounts bounds the lists that the API serves without pages.
const maxAccounts = 1000

const organisationMissing = "organisation not found"

const organisationCols = `o.id, o.name, o.owner_id, o.created_at, o.updated_at`

func scanOrganisation(row sqldb.Row) (*convoy.Organisation, error) {
	var (
		o                convoy.Organisation
		created, updated int64
	)
	if err := row.Scan(&o.ID, &o.Name, &o.OwnerID, &created, &updated); err != nil {
		return nil, err
	}
	o.CreatedAt, o.UpdatedAt = instant(created), instant(updated)
	return &o, nil
}

// CreateOrganisation stores a new organisation.
func (s *Store) CreateOrganisation(ctx context.Context, o *convoy.Organisation) error {
	if err := s.db.Write(ctx, func(tx sqldb.Tx) error { return insertOrganisation(ctx, tx, o) }); err != nil {
		return fmt.Errorf("create organisation: %w", err)
	}
	return nil
}

func insertOrganisation(ctx context.Context, tx sqldb.Tx, o *convoy.Organisation) error {
	_, err := tx.Exec(ctx, `INSERT INTO organisations (id, name, owner_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $5)`,
		o.ID, o.Name, o.OwnerID, micros(o.CreatedAt), micros(o.UpdatedAt))
	return err
}

// Organisation returns one organisation.
func (s *Store) Organisation(ctx context.Context, id convoy.OrganisationID) (*convoy.Organisation, error) {
	o, err := scanOrganisation(s.db.QueryRow(ctx, `SELECT `+organisationCols+` FROM organisations o WHERE o.id = $1 AND o.deleted_at = 0`, id))
	return o, found(err, organisationMissing)
}

// Organisations returns the newest [maxAccounts] organisations, newest first.
func (s *Store) Organisations(ctx context.Context) ([]*convoy.Organisation, error) {
	rows, err := s.db.Query(ctx, `SELECT `+organisationCols+` FROM organisations o WHERE o.deleted_at = 0 ORDER BY o.id DESC LIMIT $1`, maxAccounts)
	list, err := collect(rows, err, scanOrganisation)
	if err != nil {
		return nil, fmt.Errorf("organisations: %w", err)
	}
	return list, nil
}

// Setup is what an instance begins with. A nil part is left out.
type Setup struct {
	Organisation *convoy.Organisation
	User         *convoy.User
	Membership   *convoy.Membership
	Project      *convoy.Project
	Key          *convoy.APIKey
	// IfEmpty refuses when the instance has an organisation, so that of several
	// processes that set up one instance one succeeds.
	IfEmpty bool
}

// Setup stores all parts or none. It returns a convoy.Conflict error when
// IfEmpty is asked and the instance is not empty.
func (s *Store) Setup(ctx context.Context, p Setup) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if p.IfEmpty {
			if err := s.refuseUnlessEmpty(ctx, tx); err != nil {
				return err
			}
		}
		if p.Organisation != nil {
			if err := insertOrganisation(ctx, tx, p.Organisation); err != nil {
				return err
			}
		}
		if p.User != nil {
			if err := s.insertUser(ctx, tx, p.User); err != nil {
				return err
			}
		}
		if p.Membership != nil {
			if err := insertMembership(ctx, tx, p.Membership); err != nil {
				return err
			}
		}
		if p.Project != nil {
			if err := s.insertProject(ctx, tx, p.Project); err != nil {
				return err
			}
		}
		if p.Key != nil {
			return insertKey(ctx, tx, p.Key)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	return nil
}

func (s *Store) refuseUnlessEmpty(ctx context.Context, tx sqldb.Tx) error {
	if s.db.Dialect() == sqldb.Postgres {
		// fork: without the lock two processes would both find nothing; SQLite
		// has one writer.
		if _, err := tx.Exec(ctx, `LOCK TABLE organisations IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
	}
	empty, err := isEmpty(ctx, tx)
	if err == nil && !empty {
		err = convoy.E(convoy.Conflict, "the instance has been set up already")
	}
	return err
}

// Empty reports whether the instance has no organisation.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	empty, err := isEmpty(ctx, s.db)
	if err != nil {
		return false, fmt.Errorf("empty instance: %w", err)
	}
	return empty, nil
}

func isEmpty(ctx context.Context, q sqldb.Querier) (bool, error) {
	var n int
	err := q.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM organisations LIMIT 1) AS o`).Scan(&n)
	return n == 0, err
}
