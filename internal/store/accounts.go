package store

import (
	"context"
	"fmt"

	"convoy"
	"convoy/internal/store/sqldb"
)

// maxAccounts bounds the lists that the API serves without pages.
const maxAccounts = 1000

const organisationCols = `o.id, o.name, o.created_at, o.updated_at`

func scanOrganisation(row sqldb.Row) (*convoy.Organisation, error) {
	var (
		o                convoy.Organisation
		created, updated int64
	)
	if err := row.Scan(&o.ID, &o.Name, &created, &updated); err != nil {
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
	_, err := tx.Exec(ctx, `INSERT INTO organisations (id, name, created_at, updated_at) VALUES ($1, $2, $3, $4)`,
		o.ID, o.Name, micros(o.CreatedAt), micros(o.UpdatedAt))
	return err
}

// Organisation returns one organisation.
func (s *Store) Organisation(ctx context.Context, id convoy.OrganisationID) (*convoy.Organisation, error) {
	o, err := scanOrganisation(s.db.QueryRow(ctx, `SELECT `+organisationCols+` FROM organisations o WHERE o.id = $1`, id))
	return o, found(err, "organisation not found")
}

// Organisations returns the newest [maxAccounts] organisations, newest first.
func (s *Store) Organisations(ctx context.Context) ([]*convoy.Organisation, error) {
	rows, err := s.db.Query(ctx, `SELECT `+organisationCols+` FROM organisations o ORDER BY o.id DESC LIMIT $1`, maxAccounts)
	list, err := collect(rows, err, scanOrganisation)
	if err != nil {
		return nil, fmt.Errorf("organisations: %w", err)
	}
	return list, nil
}

const userCols = `u.id, u.first_name, u.last_name, u.email, u.password_hash, u.created_at, u.updated_at`

func scanUser(row sqldb.Row) (*convoy.User, error) {
	var (
		u                convoy.User
		created, updated int64
	)
	if err := row.Scan(&u.ID, &u.FirstName, &u.LastName, &u.Email, &u.PasswordHash, &created, &updated); err != nil {
		return nil, err
	}
	u.CreatedAt, u.UpdatedAt = instant(created), instant(updated)
	return &u, nil
}

// CreateUser stores a new user. Emails are unique as they are spelt; the caller
// settles on one spelling.
func (s *Store) CreateUser(ctx context.Context, u *convoy.User) error {
	if err := s.db.Write(ctx, func(tx sqldb.Tx) error { return insertUser(ctx, tx, u) }); err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	return nil
}

func insertUser(ctx context.Context, tx sqldb.Tx, u *convoy.User) error {
	_, err := tx.Exec(ctx, `INSERT INTO users (id, first_name, last_name, email, password_hash, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		u.ID, u.FirstName, u.LastName, u.Email, u.PasswordHash, micros(u.CreatedAt), micros(u.UpdatedAt))
	return taken(err, "a user with this email already exists")
}

// User returns one user.
func (s *Store) User(ctx context.Context, id convoy.UserID) (*convoy.User, error) {
	u, err := scanUser(s.db.QueryRow(ctx, `SELECT `+userCols+` FROM users u WHERE u.id = $1`, id))
	return u, found(err, "user not found")
}

// UserByEmail returns the user with an email, in the spelling it was stored in.
func (s *Store) UserByEmail(ctx context.Context, email string) (*convoy.User, error) {
	u, err := scanUser(s.db.QueryRow(ctx, `SELECT `+userCols+` FROM users u WHERE u.email = $1`, email))
	return u, found(err, "user not found")
}

// CreateMembership stores a user's role in an organisation.
func (s *Store) CreateMembership(ctx context.Context, m *convoy.Membership) error {
	if err := s.db.Write(ctx, func(tx sqldb.Tx) error { return insertMembership(ctx, tx, m) }); err != nil {
		return fmt.Errorf("create membership: %w", err)
	}
	return nil
}

func insertMembership(ctx context.Context, tx sqldb.Tx, m *convoy.Membership) error {
	_, err := tx.Exec(ctx, `INSERT INTO memberships (user_id, organisation_id, role_type, role_project, created_at)
		VALUES ($1, $2, $3, $4, $5)`,
		m.UserID, m.OrganisationID, m.Role.Type, m.Role.Project, micros(m.CreatedAt))
	return taken(err, "the user is a member of this organisation already")
}

// Membership returns a user's role in an organisation.
func (s *Store) Membership(ctx context.Context, user convoy.UserID, organisation convoy.OrganisationID) (*convoy.Membership, error) {
	var (
		m       convoy.Membership
		created int64
	)
	err := s.db.QueryRow(ctx, `SELECT user_id, organisation_id, role_type, role_project, created_at FROM memberships
		WHERE user_id = $1 AND organisation_id = $2`, user, organisation).
		Scan(&m.UserID, &m.OrganisationID, &m.Role.Type, &m.Role.Project, &created)
	if err != nil {
		return nil, found(err, "membership not found")
	}
	m.CreatedAt = instant(created)
	return &m, nil
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
			if err := insertUser(ctx, tx, p.User); err != nil {
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
