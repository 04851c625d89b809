package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// Actor is who makes changes.
type Actor struct {
	// Kind is "user", "key", "portal", "anonymous" or "system".
	Kind string
	// ID is that of the user, the key or the portal link; Name is what people know it
	// by, which is no secret.
	ID, Name string
	// Address is where the request came from, RequestID its id.
	Address, RequestID string
}

type actorKey struct{}

// As returns a context whose changes the audit log has as an actor's. Without one
// they are those of the gateway itself.
func As(ctx context.Context, a Actor) context.Context { return context.WithValue(ctx, actorKey{}, a) }

// signed has a transaction say whose it is. The database writes the audit log by
// itself; see the triggers in its schema.
func signed(ctx context.Context, fn func(sqldb.Tx) error) func(sqldb.Tx) error {
	a, ok := ctx.Value(actorKey{}).(Actor)
	if !ok {
		return fn
	}
	return func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO audit_actor (kind, actor_id, name, address, request_id) VALUES ($1, $2, $3, $4, $5)`,
			a.Kind, a.ID, a.Name, a.Address, a.RequestID)
		if err != nil {
			return fmt.Errorf("actor: %w", err)
		}
		if err := fn(tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM audit_actor`); err != nil {
			return fmt.Errorf("actor: %w", err)
		}
		return nil
	}
}

// Change is an entry of the audit log.
type Change struct {
	ID           string
	Organisation convoy.OrganisationID
	Project      convoy.ProjectID
	// User is whose the object is, if it is a person's.
	User  convoy.UserID
	Actor Actor
	// Action is what was done, such as "endpoint.updated"; Kind and Object are what to.
	Action, Kind, Object string
	// Before and After are rows as JSON objects; nil where there was or is none.
	Before, After json.RawMessage
	At            time.Time
}

// ChangeFilter selects changes: of an organisation, a project, or a user.
type ChangeFilter struct {
	Organisation convoy.OrganisationID
	Project      convoy.ProjectID
	User         convoy.UserID
	// Actor is the id of one, Action an action, Kind a kind and Object an id.
	Actor, Action, Kind, Object string
	// From and To bound the time, both inclusive.
	From, To time.Time
	Page     Page
}

const changeCols = `a.id, a.organisation_id, a.project_id, a.user_id, a.actor_kind, a.actor_id, a.actor_name, a.address, a.request_id,
	a.action, a.object_kind, a.object_id, a.before_row, a.after_row, a.created_at`

func scanChange(row sqldb.Row) (*Change, error) {
	var (
		c             Change
		before, after string
		at            int64
	)
	if err := row.Scan(&c.ID, &c.Organisation, &c.Project, &c.User, &c.Actor.Kind, &c.Actor.ID, &c.Actor.Name, &c.Actor.Address, &c.Actor.RequestID,
		&c.Action, &c.Kind, &c.Object, &before, &after, &at); err != nil {
		return nil, err
	}
	if before != "" {
		c.Before = json.RawMessage(before)
	}
	if after != "" {
		c.After = json.RawMessage(after)
	}
	c.At = instant(at)
	return &c, nil
}

// Changes returns a page of the audit log.
func (s *Store) Changes(ctx context.Context, f ChangeFilter) (Paged[*Change], error) {
	var w where
	for _, of := range []struct{ column, value string }{
		{"organisation_id", string(f.Organisation)}, {"project_id", string(f.Project)}, {"user_id", string(f.User)},
		{"actor_id", f.Actor}, {"action", f.Action}, {"object_kind", f.Kind}, {"object_id", f.Object},
	} {
		if of.value != "" {
			w.add("a."+of.column+" = ?", of.value)
		}
	}
	if !f.From.IsZero() {
		w.add("a.created_at >= ?", micros(f.From))
	}
	if !f.To.IsZero() {
		w.add("a.created_at <= ?", micros(f.To))
	}
	l := listing{cols: changeCols, table: "audit_log", alias: "a", key: "a.id", where: w}
	page, err := paginate(f.Page, func(c *Change) string { return c.ID }, fetchRows(ctx, s.db.Replica(), l, scanChange))
	if err != nil {
		return page, fmt.Errorf("audit log: %w", err)
	}
	return page, nil
}
