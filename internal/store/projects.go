package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const (
	projectMissing = "project not found"
	projectTaken   = "a project with this name already exists"
)

const projectCols = `p.id, p.organisation_id, p.name, p.logo_url, p.type, p.config, p.created_at, p.updated_at, p.deleted_at`

func (o *opener) project(row sqldb.Row) (*convoy.Project, error) {
	var (
		p                         convoy.Project
		config                    []byte
		created, updated, deleted int64
	)
	if err := row.Scan(&p.ID, &p.OrganisationID, &p.Name, &p.LogoURL, &p.Type, &config, &created, &updated, &deleted); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(config, &p.Config); err != nil {
		return nil, fmt.Errorf("configuration of project %s: %w", p.ID, err)
	}
	var err error
	if p.Config.MetaEvent.Secret, err = o.open(projectMeta, string(p.ID), p.Config.MetaEvent.Secret); err != nil {
		return nil, err
	}
	p.CreatedAt, p.UpdatedAt, p.DeletedAt = instant(created), instant(updated), instant(deleted)
	return &p, nil
}

// CreateProject stores a new project. A name that another project of the
// organisation has is a convoy.Conflict error.
func (s *Store) CreateProject(ctx context.Context, p *convoy.Project) error {
	if err := s.db.Write(ctx, func(tx sqldb.Tx) error { return s.insertProject(ctx, tx, p) }); err != nil {
		return fmt.Errorf("create project: %w", err)
	}
	return nil
}

func (s *Store) insertProject(ctx context.Context, tx sqldb.Tx, p *convoy.Project) error {
	config, err := s.projectConfig(p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO projects (id, organisation_id, name, logo_url, type, config, created_at, updated_at, deleted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		p.ID, p.OrganisationID, p.Name, p.LogoURL, p.Type, config, micros(p.CreatedAt), micros(p.UpdatedAt), micros(p.DeletedAt))
	if err != nil {
		return taken(err, projectTaken)
	}
	return insertAnyType(ctx, tx, p)
}

// projectConfig is a project's configuration as it is stored: in the clear but for
// the secret of its meta events, so that people can read and query it.
func (s *Store) projectConfig(p *convoy.Project) (text string, err error) {
	config := p.Config
	if config.MetaEvent.Secret, err = s.secrets.seal(projectMeta, string(p.ID), config.MetaEvent.Secret); err != nil {
		return "", err
	}
	return document(config)
}

// Project returns one project.
func (s *Store) Project(ctx context.Context, id convoy.ProjectID) (*convoy.Project, error) {
	p, err := opened(ctx, s, func(o *opener) (*convoy.Project, error) {
		return o.project(s.db.QueryRow(ctx, `SELECT `+projectCols+` FROM projects p WHERE p.id = $1 AND p.deleted_at = 0`, id))
	})
	return p, found(err, projectMissing)
}

// Projects returns the newest [maxAccounts] projects of an organisation, newest
// first.
func (s *Store) Projects(ctx context.Context, organisation convoy.OrganisationID) ([]*convoy.Project, error) {
	list, err := opened(ctx, s, func(o *opener) ([]*convoy.Project, error) {
		rows, err := s.db.Replica().Query(ctx, `SELECT `+projectCols+` FROM projects p
			WHERE p.organisation_id = $1 AND p.deleted_at = 0 ORDER BY p.id DESC LIMIT $2`, organisation, maxAccounts)
		return collect(rows, err, o.project)
	})
	if err != nil {
		return nil, fmt.Errorf("projects: %w", err)
	}
	return list, nil
}

// UpdateProject writes a project's name, logo and configuration. Its id,
// organisation and type stay.
func (s *Store) UpdateProject(ctx context.Context, p *convoy.Project) error {
	config, err := s.projectConfig(p)
	if err != nil {
		return fmt.Errorf("update project: %w", err)
	}
	n, err := s.exec(ctx, `UPDATE projects SET name = $1, logo_url = $2, config = $3, updated_at = $4 WHERE id = $5 AND deleted_at = 0`,
		p.Name, p.LogoURL, config, micros(p.UpdatedAt), p.ID)
	if err := changed(n, taken(err, projectTaken), projectMissing); err != nil {
		return fmt.Errorf("update project: %w", err)
	}
	return nil
}

// DeleteProject hides a project and frees its name; what it holds stays until
// retention takes it.
func (s *Store) DeleteProject(ctx context.Context, id convoy.ProjectID, now time.Time) error {
	n, err := s.exec(ctx, `UPDATE projects SET deleted_at = $1, updated_at = $1 WHERE id = $2 AND deleted_at = 0`, micros(now), id)
	if err := changed(n, err, projectMissing); err != nil {
		return fmt.Errorf("delete project: %w", err)
	}
	return nil
}
