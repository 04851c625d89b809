// Package explain shows how a database runs queries: a database that asks for
// the plan of each statement before it runs it. It is for tests and
// measurements; it doubles the work.
package explain

import (
	"context"
	"strings"
	"sync"

	"convoy/internal/store/sqldb"
)

// DB is a database that keeps the plans of what it runs.
type DB struct {
	sqldb.DB
	mu    sync.Mutex
	plans []Plan
}

// Plan is a statement and what the database says of it, a step per line. A
// statement that could not be explained has one step that says so.
type Plan struct {
	Query string
	Steps []string
}

// NoPlan begins the step of a statement that could not be explained.
const NoPlan = "no plan: "

// String is the statement and its steps.
func (p Plan) String() string { return p.Query + "\n" + strings.Join(p.Steps, "\n") }

// Take returns the plans since the last call.
func (d *DB) Take() []Plan {
	d.mu.Lock()
	defer d.mu.Unlock()
	plans := d.plans
	d.plans = nil
	return plans
}

func (d *DB) explain(ctx context.Context, q sqldb.Querier, query string, args []any) {
	p := Plan{Query: query}
	var err error
	if p.Steps, err = steps(ctx, q, d.Dialect(), query, args); err != nil {
		p.Steps = []string{NoPlan + err.Error()}
	}
	d.mu.Lock()
	d.plans = append(d.plans, p)
	d.mu.Unlock()
}

func steps(ctx context.Context, q sqldb.Querier, dialect sqldb.Dialect, query string, args []any) ([]string, error) {
	keyword := "EXPLAIN (COSTS OFF) "
	if dialect == sqldb.SQLite {
		keyword = "EXPLAIN QUERY PLAN "
	}
	rows, err := q.Query(ctx, keyword+query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var (
			line               string
			id, parent, unused int
			dest               = []any{&line}
		)
		if dialect == sqldb.SQLite {
			dest = []any{&id, &parent, &unused, &line}
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

// Query implements [sqldb.Querier].
func (d *DB) Query(ctx context.Context, query string, args ...any) (sqldb.Rows, error) {
	d.explain(ctx, d.DB, query, args)
	return d.DB.Query(ctx, query, args...)
}

// QueryRow implements [sqldb.Querier].
func (d *DB) QueryRow(ctx context.Context, query string, args ...any) sqldb.Row {
	d.explain(ctx, d.DB, query, args)
	return d.DB.QueryRow(ctx, query, args...)
}

// Replica implements [sqldb.DB].
func (d *DB) Replica() sqldb.Querier { return d }

// Write implements [sqldb.DB].
func (d *DB) Write(ctx context.Context, fn func(sqldb.Tx) error) error {
	return d.DB.Write(ctx, func(t sqldb.Tx) error { return fn(tx{t, d}) })
}

type tx struct {
	sqldb.Tx
	d *DB
}

func (t tx) Query(ctx context.Context, query string, args ...any) (sqldb.Rows, error) {
	t.d.explain(ctx, t.Tx, query, args)
	return t.Tx.Query(ctx, query, args...)
}

func (t tx) QueryRow(ctx context.Context, query string, args ...any) sqldb.Row {
	t.d.explain(ctx, t.Tx, query, args)
	return t.Tx.QueryRow(ctx, query, args...)
}

func (t tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	t.d.explain(ctx, t.Tx, query, args)
	return t.Tx.Exec(ctx, query, args...)
}
