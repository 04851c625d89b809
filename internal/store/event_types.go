package store

import (
	"context"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

const (
	eventTypeMissing = "event type not found"
	eventTypeTaken   = "an event type with this name already exists"
)

const eventTypeCols = `t.id, t.project_id, t.name, t.description, t.category, t.json_schema, t.created_at, t.updated_at, t.deprecated_at`

func scanEventType(row sqldb.Row) (*convoy.EventType, error) {
	var (
		t                            convoy.EventType
		created, updated, deprecated int64
	)
	if err := row.Scan(&t.ID, &t.ProjectID, &t.Name, &t.Description, &t.Category, &t.JSONSchema, &created, &updated, &deprecated); err != nil {
		return nil, err
	}
	t.CreatedAt, t.UpdatedAt, t.DeprecatedAt = instant(created), instant(updated), instant(deprecated)
	return &t, nil
}

// insertEventType reports whether the name was free.
func insertEventType(ctx context.Context, tx sqldb.Tx, t *convoy.EventType) (bool, error) {
	n, err := tx.Exec(ctx, `INSERT INTO event_types (id, project_id, name, description, category, json_schema, created_at, updated_at, deprecated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (project_id, name) DO NOTHING`,
		t.ID, t.ProjectID, t.Name, t.Description, t.Category, t.JSONSchema, micros(t.CreatedAt), micros(t.UpdatedAt), micros(t.DeprecatedAt))
	return n > 0, err
}

// insertAnyType gives a new project the type that stands for all. Its id is the
// project's.
func insertAnyType(ctx context.Context, tx sqldb.Tx, p *convoy.Project) error {
	_, err := insertEventType(ctx, tx, &convoy.EventType{
		ID: convoy.EventTypeID(p.ID), ProjectID: p.ID, Name: convoy.AnyEventType, CreatedAt: p.CreatedAt, UpdatedAt: p.CreatedAt,
	})
	return err
}

// roomForTypes refuses more event types, or longer schemas, than a project may
// have; given are those that are new, and the schemas of all. Two callers at once
// may both find room, so the bounds are not exact.
func roomForTypes(ctx context.Context, tx sqldb.Tx, project convoy.ProjectID, added int, schemas ...string) error {
	size := 0
	for _, text := range schemas {
		size += len(text)
	}
	var have, length int
	if err := tx.QueryRow(ctx, `SELECT count(*), coalesce(sum(length(json_schema)), 0) FROM event_types WHERE project_id = $1`, project).Scan(&have, &length); err != nil {
		return err
	}
	if added > 0 && have+added > convoy.MaxEventTypes {
		return convoy.E(convoy.Conflict, fmt.Sprintf("a project may have at most %d event types", convoy.MaxEventTypes))
	}
	if size > 0 && length+size > convoy.MaxEventTypeSchemas {
		return convoy.E(convoy.Conflict, fmt.Sprintf("the schemas of a project's event types may have at most %d characters together", convoy.MaxEventTypeSchemas))
	}
	return nil
}

// CreateEventType stores a new event type. A name that the project has already
// is a convoy.Conflict error.
func (s *Store) CreateEventType(ctx context.Context, t *convoy.EventType) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := roomForTypes(ctx, tx, t.ProjectID, 1, t.JSONSchema); err != nil {
			return err
		}
		created, err := insertEventType(ctx, tx, t)
		if err == nil && !created {
			err = convoy.E(convoy.Conflict, eventTypeTaken)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("create event type: %w", err)
	}
	return nil
}

// EventType returns one event type of a project.
func (s *Store) EventType(ctx context.Context, project convoy.ProjectID, id convoy.EventTypeID) (*convoy.EventType, error) {
	t, err := scanEventType(s.db.QueryRow(ofAll(ctx), `SELECT `+eventTypeCols+` FROM event_types t WHERE t.id = $1 AND t.project_id = $2`, id, project))
	return t, found(err, eventTypeMissing)
}

// EventTypes returns the event types of a project, newest first: all that there
// may be, give or take those of a race.
func (s *Store) EventTypes(ctx context.Context, project convoy.ProjectID) ([]*convoy.EventType, error) {
	rows, err := s.db.Replica().Query(ofAll(ctx), `SELECT `+eventTypeCols+` FROM event_types t
		WHERE t.project_id = $1 ORDER BY t.id DESC LIMIT $2`, project, 2*convoy.MaxEventTypes)
	list, err := collect(rows, err, scanEventType)
	if err != nil {
		return nil, fmt.Errorf("event types: %w", err)
	}
	return list, nil
}

// NotedEventTypes returns the event types of a project that have a schema or are
// deprecated, which publishing must know. With ids it returns those of them that
// do.
func (s *Store) NotedEventTypes(ctx context.Context, project convoy.ProjectID, ids ...convoy.EventTypeID) ([]*convoy.EventType, error) {
	var w where
	w.add("t.project_id = ?", project)
	w.add("(t.json_schema <> '' OR t.deprecated_at <> 0)")
	addIn(&w, s.db.Dialect(), "t.id", ids)
	limit := w.param(2 * convoy.MaxEventTypes)
	rows, err := s.db.Query(ctx, `SELECT `+eventTypeCols+` FROM event_types t`+w.String()+` ORDER BY t.id LIMIT `+limit, w.args...)
	list, err := collect(rows, err, scanEventType)
	if err != nil {
		return nil, fmt.Errorf("noted event types: %w", err)
	}
	return list, nil
}

// UpdateEventType writes what may change of an event type: all but its id,
// project and name, and whether it is deprecated.
func (s *Store) UpdateEventType(ctx context.Context, t *convoy.EventType) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := roomForTypes(ctx, tx, t.ProjectID, 0, t.JSONSchema); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE event_types SET description = $1, category = $2, json_schema = $3, updated_at = $4
			WHERE id = $5 AND project_id = $6`, t.Description, t.Category, t.JSONSchema, micros(t.UpdatedAt), t.ID, t.ProjectID)
		return changed(n, err, eventTypeMissing)
	})
	if err != nil {
		return fmt.Errorf("update event type: %w", err)
	}
	return nil
}

// DeprecateEventType marks an event type as deprecated, and returns it. One that
// is so already keeps its time.
func (s *Store) DeprecateEventType(ctx context.Context, project convoy.ProjectID, id convoy.EventTypeID, now time.Time) (*convoy.EventType, error) {
	var t *convoy.EventType
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE event_types SET deprecated_at = $1, updated_at = $1
			WHERE id = $2 AND project_id = $3 AND deprecated_at = 0`, micros(now), id, project)
		if err != nil {
			return err
		}
		t, err = scanEventType(tx.QueryRow(ctx, `SELECT `+eventTypeCols+` FROM event_types t WHERE t.id = $1 AND t.project_id = $2`, id, project))
		return found(err, eventTypeMissing)
	})
	if err != nil {
		return nil, fmt.Errorf("deprecate event type: %w", err)
	}
	return t, nil
}

// EnsureEventTypes adds the names that a project's catalogue does not have.
func (s *Store) EnsureEventTypes(ctx context.Context, project convoy.ProjectID, names []string, now time.Time) error {
	if own, _ := within(ctx); own != nil {
		return nil // the project's types are not an owner's to add to; a subscription may be to any
	}
	missing, err := s.unknownTypes(ctx, s.db, project, names)
	if err == nil && len(missing) > 0 {
		err = s.db.Write(ctx, func(tx sqldb.Tx) error {
			if err := roomForTypes(ctx, tx, project, len(missing)); err != nil {
				return err
			}
			for _, name := range missing {
				t := &convoy.EventType{ID: convoy.EventTypeID(id.New(now)), ProjectID: project, Name: name, CreatedAt: now, UpdatedAt: now}
				if _, err := insertEventType(ctx, tx, t); err != nil { // one added meanwhile is fine
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("ensure event types: %w", err)
	}
	return nil
}

// UnknownEventTypes returns those of the names, once each, that are not in a
// project's catalogue.
func (s *Store) UnknownEventTypes(ctx context.Context, project convoy.ProjectID, names []string) ([]string, error) {
	unknown, err := s.unknownTypes(ofAll(ctx), s.db, project, names)
	if err != nil {
		return nil, fmt.Errorf("unknown event types: %w", err)
	}
	return unknown, nil
}

// unknownTypes are the names, once each, that a project does not have.
func (s *Store) unknownTypes(ctx context.Context, q sqldb.Querier, project convoy.ProjectID, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var w where
	w.add("t.project_id = ?", project)
	addIn(&w, s.db.Dialect(), "t.name", names)
	rows, err := q.Query(ctx, `SELECT t.name FROM event_types t`+w.String(), w.args...)
	have, err := collect(rows, err, func(row sqldb.Row) (name string, err error) {
		err = row.Scan(&name)
		return name, err
	})
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(names))
	for _, name := range have {
		known[name] = true
	}
	var missing []string
	for _, name := range names {
		if !known[name] {
			missing, known[name] = append(missing, name), true
		}
	}
	return missing, nil
}

// ImportEventTypes stores event types by their names: new ones, and the
// description, category and schema of those that the project has, whose id and
// times then replace those given. Empty texts leave what is there. All are
// written or none.
func (s *Store) ImportEventTypes(ctx context.Context, project convoy.ProjectID, types []*convoy.EventType) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		names, schemas := make([]string, len(types)), make([]string, len(types))
		for i, t := range types {
			names[i], schemas[i] = t.Name, t.JSONSchema
		}
		missing, err := s.unknownTypes(ctx, tx, project, names)
		if err != nil {
			return err
		}
		if err := roomForTypes(ctx, tx, project, len(missing), schemas...); err != nil {
			return err
		}
		for _, t := range types {
			if err := importEventType(ctx, tx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("import event types: %w", err)
	}
	return nil
}

func importEventType(ctx context.Context, tx sqldb.Tx, t *convoy.EventType) error {
	if created, err := insertEventType(ctx, tx, t); err != nil || created {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE event_types SET
		description = CASE WHEN $1 = '' THEN description ELSE $1 END,
		category = CASE WHEN $2 = '' THEN category ELSE $2 END,
		json_schema = CASE WHEN $3 = '' THEN json_schema ELSE $3 END,
		updated_at = $4 WHERE project_id = $5 AND name = $6`,
		t.Description, t.Category, t.JSONSchema, micros(t.UpdatedAt), t.ProjectID, t.Name)
	if err != nil {
		return err
	}
	stored, err := scanEventType(tx.QueryRow(ctx, `SELECT `+eventTypeCols+` FROM event_types t WHERE t.project_id = $1 AND t.name = $2`, t.ProjectID, t.Name))
	if err != nil {
		return found(err, eventTypeMissing)
	}
	*t = *stored
	return nil
}
