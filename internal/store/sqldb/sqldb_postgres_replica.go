package sqldb

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// replicaPause is how long a replica that failed is left alone.
	replicaPause = 5 * time.Second
	// replicaConnectTimeout is short, for there is somebody else to ask.
	replicaConnectTimeout = 2 * time.Second
)

// replica is a read replica and until when it is left alone after an error.
type replica struct {
	pgQuerier
	pool      *pgxpool.Pool
	downUntil atomic.Int64
}

// Replica returns a querier that asks the next replica that answers, or the
// primary, and plans each statement for its own values.
func (db *PostgresDB) Replica() Querier {
	if len(db.replicas) == 0 {
		return db.lists
	}
	return replicaQuerier{db}
}

// replicaQuerier reads from a replica and falls back to the primary when the
// replica cannot be asked. A statement the replica refuses is not retried.
type replicaQuerier struct{ db *PostgresDB }

// pick returns the next replica in turn that is not set aside, if any.
func (q replicaQuerier) pick() *replica {
	now := time.Now().UnixNano()
	n := uint32(len(q.db.replicas))
	for range n {
		r := q.db.replicas[q.db.next.Add(1)%n]
		if r.downUntil.Load() <= now {
			return r
		}
	}
	return nil
}

// lost reports whether err is the replica's absence, and sets it aside if so.
func (q replicaQuerier) lost(ctx context.Context, r *replica, err error) bool {
	if err == nil || errors.Is(err, ErrNoRows) || ctx.Err() != nil {
		return false
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) && !unavailable[pe.Code] {
		return false // it answered
	}
	r.downUntil.Store(time.Now().Add(replicaPause).UnixNano())
	q.db.cfg.Log.Warn("read replica unavailable, using the primary", "err", err)
	return true
}

// unavailable are the error codes of a server that cannot be asked at present
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
var unavailable = map[string]bool{
	"57P01": true, // admin_shutdown
	"57P02": true, // crash_shutdown
	"57P03": true, // cannot_connect_now
	"53300": true, // too_many_connections
	"40001": true, // serialization_failure: a standby cancels what its recovery conflicts with
	"08P01": true, // protocol_violation: what a pooler says when its server is gone
	"3D000": true, // invalid_catalog_name
}

func (q replicaQuerier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return q.db.Exec(ctx, query, args...)
}

func (q replicaQuerier) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	r := q.pick()
	if r == nil {
		return q.db.lists.Query(ctx, query, args...)
	}
	rows, err := r.Query(ctx, query, args...)
	if err != nil {
		if q.lost(ctx, r, err) {
			return q.db.lists.Query(ctx, query, args...)
		}
		return nil, err
	}
	// A connection that broke while it was idle shows only when it is read.
	first := rows.Next()
	if !first && q.lost(ctx, r, rows.Err()) {
		rows.Close()
		return q.db.lists.Query(ctx, query, args...)
	}
	return &peekedRows{Rows: rows, first: first, peeked: true}, nil
}

// peekedRows are rows whose first Next has been called already.
type peekedRows struct {
	Rows
	first, peeked bool
}

func (r *peekedRows) Next() bool {
	if r.peeked {
		r.peeked = false
		return r.first
	}
	return r.Rows.Next()
}

func (q replicaQuerier) QueryRow(ctx context.Context, query string, args ...any) Row {
	r := q.pick()
	if r == nil {
		return q.db.lists.QueryRow(ctx, query, args...)
	}
	return fallbackRow{ctx: ctx, q: q, r: r, row: r.QueryRow(ctx, query, args...), query: query, args: args}
}

// fallbackRow asks the primary when the replica turns out to be lost. It lives
// no longer than the call of QueryRow and Scan, so it may hold the context.
type fallbackRow struct {
	ctx   context.Context
	q     replicaQuerier
	r     *replica
	row   Row
	query string
	args  []any
}

func (f fallbackRow) Scan(dest ...any) error {
	err := f.row.Scan(dest...)
	if f.q.lost(f.ctx, f.r, err) {
		return f.q.db.lists.QueryRow(f.ctx, f.query, f.args...).Scan(dest...)
	}
	return err
}
