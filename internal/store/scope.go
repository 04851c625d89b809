package store

import (
	"context"
	"fmt"
	"slices"

	"convoy"
	"convoy/internal/store/sqldb"
)

// A scope limits what is done with a context to what belongs to one owner of
// endpoints: the endpoints, their subscriptions and deliveries, and the events that
// were delivered to them. It is for callers who hold a portal link. A method that
// knows scopes takes the context's by [within], and adds its conditions; all others
// fail, since the database refuses a scoped context (see guarded). A method that was
// forgotten shows nothing.
type scope struct {
	project convoy.ProjectID
	owner   string
	// taken says that the conditions are the method's business from here on.
	taken bool
}

type scopeKey struct{}

// OwnedBy returns a context with which this package shows and changes only what
// belongs to an owner in a project. An empty owner has nothing.
func OwnedBy(ctx context.Context, project convoy.ProjectID, owner string) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope{project: project, owner: owner})
}

// Whole returns a context without a scope, for what the gateway does by itself.
func Whole(ctx context.Context) context.Context {
	if _, ok := ctx.Value(scopeKey{}).(scope); !ok {
		return ctx
	}
	return context.WithValue(ctx, scopeKey{}, nil)
}

// ownership is the scope that a method has taken; nil is no scope.
type ownership struct {
	project convoy.ProjectID
	owner   string
}

// has reports whether an endpoint of a project and an owner is the scope's.
func (o *ownership) has(project convoy.ProjectID, owner string) bool {
	return o == nil || owner != "" && owner == o.owner && project == o.project
}

// within takes the scope of a context, for a method that keeps to it.
func within(ctx context.Context) (*ownership, context.Context) {
	s, ok := ctx.Value(scopeKey{}).(scope)
	if !ok {
		return nil, ctx
	}
	s.taken = true
	return &ownership{s.project, s.owner}, context.WithValue(ctx, scopeKey{}, s)
}

// ofAll takes the scope of a context for a method whose rows belong to the project
// and are shown to all owners.
func ofAll(ctx context.Context) context.Context {
	_, ctx = within(ctx)
	return ctx
}

// endpoints asks that an endpoint, p, belongs to the owner.
func (o *ownership) endpoints(w *where) {
	if o != nil {
		w.add("p.owner_id <> '' AND p.owner_id = ? AND p.project_id = ?", o.owner, o.project)
	}
}

// of asks that a column has the id of an endpoint of the owner.
func (o *ownership) of(w *where, column string) {
	if o != nil {
		w.add(column+" IN (SELECT own.id FROM endpoints own WHERE own.project_id = ? AND own.owner_id = ? AND own.owner_id <> '' AND own.deleted_at = 0)",
			o.project, o.owner)
	}
}

// clause is the rest of a WHERE clause whose parameters so far are args: that the
// column has the id of an endpoint of the owner.
func (o *ownership) clause(args []any, column string) (string, []any) {
	if o == nil {
		return "", args
	}
	w := where{args: args}
	o.of(&w, column)
	return " AND " + w.conds[0], w.args
}

// maxOwned bounds the endpoints of an owner whose lists are read.
const maxOwned = 10_000

// among returns the endpoints of the owner, of those given unless there are none.
// Without a scope it returns what is given. It reports whether any are left.
func (o *ownership) among(ctx context.Context, q sqldb.Querier, given []convoy.EndpointID) (_ []convoy.EndpointID, some bool, err error) {
	if o == nil {
		return given, true, nil
	}
	if o.owner == "" {
		return nil, false, nil
	}
	rows, err := q.Query(ctx, `SELECT p.id FROM endpoints p WHERE p.project_id = $1 AND p.owner_id = $2 AND p.deleted_at = 0 ORDER BY p.id LIMIT $3`,
		o.project, o.owner, maxOwned+1)
	ids, err := collect(rows, err, scanID[convoy.EndpointID])
	switch {
	case err != nil:
		return nil, false, err
	case len(ids) > maxOwned:
		return nil, false, convoy.E(convoy.Invalid, fmt.Sprintf("the owner has more than %d endpoints", maxOwned))
	}
	if len(given) > 0 {
		ids = slices.DeleteFunc(ids, func(id convoy.EndpointID) bool { return !slices.Contains(given, id) })
	}
	return ids, len(ids) > 0, nil
}

// only leaves those of an event's endpoints that belong to the owner.
func (o *ownership) only(own []convoy.EndpointID, events ...*convoy.Event) {
	if o == nil {
		return
	}
	for _, e := range events {
		e.Endpoints = slices.DeleteFunc(slices.Clone(e.Endpoints), func(id convoy.EndpointID) bool { return !slices.Contains(own, id) })
	}
}

// limit limits a job to the endpoints that the owner has now.
func (o *ownership) limit(ctx context.Context, q sqldb.Querier, j *convoy.BatchJob) error {
	if o == nil {
		return nil
	}
	if j.Kind != convoy.BatchRetry || j.ProjectID != o.project { // routing an event anew may reach anybody
		return convoy.E(convoy.Internal, "store: only retries are limited to an owner")
	}
	endpoints, some, err := o.among(ctx, q, j.Filter.Endpoints)
	if err == nil && !some {
		err = convoy.E(convoy.Invalid, "the portal link doesn't contain any endpoints")
	}
	j.Filter.Endpoints = endpoints
	return err
}

// hide leaves in the events of deliveries no other owner's endpoints.
func (o *ownership) hide(own []convoy.EndpointID, details []DeliveryDetail) {
	if o == nil {
		return
	}
	for _, d := range details {
		if d.Event != nil {
			o.only(own, d.Event)
		}
	}
}

// guarded is a database that refuses a scoped context which no method has taken.
type guarded struct{ sqldb.DB }

func refuseScope(ctx context.Context) error {
	if s, ok := ctx.Value(scopeKey{}).(scope); ok && !s.taken {
		return convoy.E(convoy.Internal, "store: this is not limited to an owner")
	}
	return nil
}

func (g guarded) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return guardedQuerier{g.DB}.Exec(ctx, query, args...)
}

func (g guarded) Query(ctx context.Context, query string, args ...any) (sqldb.Rows, error) {
	return guardedQuerier{g.DB}.Query(ctx, query, args...)
}

func (g guarded) QueryRow(ctx context.Context, query string, args ...any) sqldb.Row {
	return guardedQuerier{g.DB}.QueryRow(ctx, query, args...)
}

func (g guarded) Replica() sqldb.Querier { return guardedQuerier{g.DB.Replica()} }

func (g guarded) Write(ctx context.Context, fn func(sqldb.Tx) error) error {
	if err := refuseScope(ctx); err != nil {
		return err
	}
	return g.DB.Write(ctx, signed(ctx, fn))
}

func (g guarded) Apply(ctx context.Context, batches ...sqldb.Bound) error {
	if err := refuseScope(ctx); err != nil {
		return err
	}
	return g.DB.Apply(ctx, batches...)
}

type guardedQuerier struct{ q sqldb.Querier }

func (g guardedQuerier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := refuseScope(ctx); err != nil {
		return 0, err
	}
	return g.q.Exec(ctx, query, args...)
}

func (g guardedQuerier) Query(ctx context.Context, query string, args ...any) (sqldb.Rows, error) {
	if err := refuseScope(ctx); err != nil {
		return nil, err
	}
	return g.q.Query(ctx, query, args...)
}

func (g guardedQuerier) QueryRow(ctx context.Context, query string, args ...any) sqldb.Row {
	if err := refuseScope(ctx); err != nil {
		return failedRow{err}
	}
	return g.q.QueryRow(ctx, query, args...)
}

// failedRow is a row that was not asked for.
type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }
