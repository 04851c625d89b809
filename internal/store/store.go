// Package store keeps everything the gateway knows, in PostgreSQL or SQLite.
// It is the truth about events and deliveries: queues and caches may be lost
// whole. SQL is written here by hand, once for both engines; the package
// decides nothing about routing or retries.
//
// Methods named for a thing return it (Project, Endpoints), methods that write
// are verbs. A missing row is a convoy.NotFound error. Every query that serves
// a caller is scoped by project.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// Store is safe for concurrent use.
type Store struct {
	db      sqldb.DB
	secrets Secrets
}

// New makes a store on a migrated database.
func New(db sqldb.DB, secrets Secrets) *Store { return &Store{db: guarded{db}, secrets: secrets} }

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error { return s.db.Ping(ctx) }

// micros is how times are stored: Unix microseconds, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant undoes micros.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// document encodes a value kept as JSON text.
func document(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// headersText keeps the common case of no headers cheap.
func headersText(h map[string][]string) string {
	if len(h) == 0 {
		return ""
	}
	s, err := document(h)
	if err != nil {
		panic(err) // strings always marshal
	}
	return s
}

func parseHeaders(s string) (map[string][]string, error) {
	if s == "" {
		return nil, nil
	}
	var h map[string][]string
	err := json.Unmarshal([]byte(s), &h)
	return h, err
}

// idsText keeps a list of ids as text separated by spaces.
func idsText[T ~string](ids []T) string {
	if len(ids) == 1 {
		return string(ids[0])
	}
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(id))
	}
	return b.String()
}

func parseIDs[T ~string](s string) []T {
	if s == "" {
		return nil
	}
	parts := strings.Split(s, " ")
	ids := make([]T, len(parts))
	for i, p := range parts {
		ids[i] = T(p)
	}
	return ids
}

// found turns a missing row into a convoy.NotFound error with a message fit
// for a caller.
func found(err error, msg string) error {
	if errors.Is(err, sqldb.ErrNoRows) {
		return convoy.E(convoy.NotFound, msg)
	}
	return err
}

// taken turns the violation of a unique constraint into a convoy.Conflict error
// with a message fit for a caller.
func taken(err error, msg string) error {
	if errors.Is(err, sqldb.ErrUnique) {
		return convoy.Wrap(convoy.Conflict, msg, err)
	}
	return err
}

// changed turns a write that met no row into a convoy.NotFound error.
func changed(n int64, err error, msg string) error {
	if err == nil && n == 0 {
		return convoy.E(convoy.NotFound, msg)
	}
	return err
}

// flag is how booleans are stored.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// exec runs one statement in a transaction of its own and returns how many rows
// it changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	return n, err
}

// readFact returns a fact, empty when there is none.
func readFact(ctx context.Context, q sqldb.Querier, name string) (string, error) {
	var value string
	err := q.QueryRow(ctx, `SELECT value FROM facts WHERE name = $1`, name).Scan(&value)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// where gathers the conditions and parameters of a query with optional parts.
type where struct {
	conds []string
	args  []any
}

// add appends a condition; each ? in it becomes the next parameter.
func (w *where) add(cond string, args ...any) {
	for _, a := range args {
		w.args = append(w.args, a)
		cond = strings.Replace(cond, "?", fmt.Sprintf("$%d", len(w.args)), 1)
	}
	w.conds = append(w.conds, cond)
}

// param adds a parameter outside the conditions and returns its name.
func (w *where) param(a any) string {
	w.args = append(w.args, a)
	return fmt.Sprintf("$%d", len(w.args))
}

// contains asks for a part of a column whose collation is by byte. Letters of
// ASCII match in either case, which is what both engines' lower does there.
func (w *where) contains(column, part string) {
	if part != "" {
		w.add(`lower(`+column+`) LIKE ? ESCAPE '\'`, likePart(part))
	}
}

// likePart is the pattern of texts with a part, once the letters of ASCII are in
// lower case.
func likePart(part string) string {
	pattern := []byte{'%'}
	for _, c := range []byte(lowerASCII(part)) {
		if c == '%' || c == '_' || c == '\\' {
			pattern = append(pattern, '\\')
		}
		pattern = append(pattern, c)
	}
	return string(append(pattern, '%'))
}

// addIn asks for one of values in a column; no values ask for nothing.
func addIn[T ~string](w *where, d sqldb.Dialect, column string, values []T) {
	switch len(values) {
	case 0:
	case 1:
		w.add(column+" = ?", values[0])
	default:
		w.conds = append(w.conds, d.In(column, w.param(sqldb.Texts(d, values))))
	}
}

// String is the WHERE clause.
func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// collect reads all rows of a query with scan.
func collect[T any](rows sqldb.Rows, err error, scan func(sqldb.Row) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
