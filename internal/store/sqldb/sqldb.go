// Package sqldb is the seam between the store's SQL and the two databases it
// runs on: PostgreSQL through pgx, and SQLite through modernc.org/sqlite. SQL
// is written once, in PostgreSQL spelling with $1 placeholders; what truly
// differs between the two is said by a [Dialect] or a [Batch]. The package
// knows no table.
package sqldb

import (
	"context"
	"errors"
)

// ErrNoRows is returned by [Row].Scan when a query gave no row.
var ErrNoRows = errors.New("no rows")

// ErrUnique marks the violation of a unique constraint.
var ErrUnique = errors.New("unique constraint violated")

// Dialect names an engine where a statement has to fork.
type Dialect uint8

const (
	Postgres Dialect = iota
	SQLite
)

// Querier runs one statement. Times are microseconds, booleans 0 and 1, and
// documents text, so that both engines read a value the same way.
type Querier interface {
	// Exec returns the number of rows it changed.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	Query(ctx context.Context, query string, args ...any) (Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) Row
}

// Rows is a result being read; Close is safe to call twice.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Row is a result of at most one row.
type Row interface {
	Scan(dest ...any) error
}

// Tx is a write transaction.
type Tx interface {
	Querier
	// Apply runs batches in order.
	Apply(ctx context.Context, batches ...Bound) error
}

// DB is a database. Its own Querier methods are for reading: SQLite runs them
// on connections that refuse to write, so every write goes through Write or
// Apply.
type DB interface {
	Querier
	// Replica is where list queries go; the primary when there is no replica,
	// or none that answers.
	Replica() Querier
	// Write runs fn in one transaction and commits it when fn returns nil. On
	// SQLite there is one writer at a time.
	Write(ctx context.Context, fn func(Tx) error) error
	// Apply runs batches in order in one transaction, in one round trip where
	// the engine can.
	Apply(ctx context.Context, batches ...Bound) error
	Dialect() Dialect
	Ping(ctx context.Context) error
	// Notify sends payload to whoever listens on channel, in any process;
	// SQLite, which has one process, drops it.
	Notify(ctx context.Context, channel, payload string) error
	// Listen calls on for every notification until ctx ends or the connection
	// is lost; ready is called once it is listening.
	Listen(ctx context.Context, channels []string, on func(channel, payload string), ready func()) error
	Close()
}

// In returns the condition that column is one of the texts of parameter n,
// which is given as [Dialect.Texts].
// fork: PostgreSQL takes an array parameter, SQLite a JSON array.
func (d Dialect) In(column, param string) string {
	if d == Postgres {
		return column + " = ANY(" + param + "::text[])"
	}
	return column + " IN (SELECT value FROM json_each(" + param + "))"
}

// SkipLocked is the locking clause of a claim.
// fork: under READ COMMITTED two claimers of one row would both get it unless
// the second skips what the first has locked; SQLite has one writer.
func (d Dialect) SkipLocked() string {
	if d == Postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// ForUpdate is the locking clause of a read that a write in the same
// transaction depends on.
// fork: SQLite has one writer, and no row locks.
func (d Dialect) ForUpdate() string {
	if d == Postgres {
		return " FOR UPDATE"
	}
	return ""
}
