package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
)

// A store is filled by copying rows that the system itself has written: it
// takes some events, and their rows are then multiplied in SQL. So a filled
// store has whatever columns, partitions and indexes the system's migrations
// say, and every copy is as consistent as its original.

// seeds is the number of events that are copied.
const seeds = 1000

// multiplied are the tables that grow with events, and their columns that hold
// an id of an event, delivery or attempt. The other columns are copied as they
// are.
var multiplied = []struct {
	table string
	ids   []string
}{
	{"events", []string{"id"}},
	{"deliveries", []string{"id", "event_id"}},
	{"attempts", []string{"id", "delivery_id"}},
}

// copiedID is the id of copy k of a row. Ids are ULIDs: ten characters of time,
// which must stay, for the order and the partition, then sixteen of entropy.
// The first six of these become k; the others keep apart the ids of one
// millisecond, which differ in their last characters.
const copiedID = `substr(%[1]s, 1, 10) || substr('000000' || CAST(k AS TEXT), -6) || substr(%[1]s, 17)`

// copiedIDPostgres is the same: substr with a negative start means something
// else there.
const copiedIDPostgres = `substr(%[1]s, 1, 10) || lpad(k::text, 6, '0') || substr(%[1]s, 17)`

// filledPlace returns a store of a system with many delivered events in it. It
// is made once and grows by the events of each run on it.
func (b *bench) filledPlace(ctx context.Context, s system) (*place, error) {
	if p := b.filled[s.name]; p != nil {
		return p, nil
	}
	p, err := b.newPlace(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := b.fill(ctx, s, p); err != nil {
		return nil, errors.Join(err, b.drop(context.WithoutCancel(ctx), p))
	}
	b.filled[s.name] = p
	return p, nil
}

// fill writes the seed events through the system itself and multiplies them.
func (b *bench) fill(ctx context.Context, s system, p *place) error {
	_, err := b.on(ctx, s, p, func(r *running) (measurement, error) {
		l := b.load
		l.events = seeds
		return measure(ctx, r.target, l, watched{}, b.sink, steps{})
	})
	if err != nil {
		return err
	}
	begin := time.Now()
	db, path, err := b.open(s, p)
	if err != nil {
		return err
	}
	rows, err := multiply(ctx, db, s.sqlite, (b.preloaded+seeds-1)/seeds)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if !s.sqlite {
		// What autovacuum would do in time, but not in the middle of a run.
		if err := b.sql(ctx, p.database, "VACUUM (ANALYZE)"); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "filled %s with %d rows in %v\n", path, rows, time.Since(begin).Round(time.Second))
	return nil
}

// open connects to the store of a stopped system.
func (b *bench) open(s system, p *place) (*sql.DB, string, error) {
	if !s.sqlite {
		db, err := sql.Open("pgx", b.postgres.DSN(p.database))
		return db, p.database, err
	}
	files, err := filepath.Glob(filepath.Join(p.dir, "*.db"))
	if err != nil || len(files) != 1 {
		return nil, "", fmt.Errorf("%s holds %d *.db files, want 1: %w", p.dir, len(files), errors.Join(err, os.ErrNotExist))
	}
	db, err := openSQLite(files[0])
	return db, files[0], err
}

// multiply adds copies of the rows of every growing table and returns how many
// rows it added.
func multiply(ctx context.Context, db *sql.DB, sqlite bool, copies int) (int64, error) {
	var total int64
	for _, m := range multiplied {
		columns, err := columnsOf(ctx, db, m.table)
		if err != nil {
			return 0, err
		}
		for _, id := range m.ids {
			if !slices.Contains(columns, id) {
				return 0, fmt.Errorf("table %s has no column %s: the schema has changed, and fill.go must follow it", m.table, id)
			}
		}
		statement := multiplication(m.table, columns, m.ids, sqlite)
		result, err := db.ExecContext(ctx, statement, copies)
		if err != nil {
			return 0, fmt.Errorf("multiply %s: %w", m.table, err)
		}
		rows, err := result.RowsAffected()
		if err != nil {
			return 0, fmt.Errorf("multiply %s: %w", m.table, err)
		}
		if rows < int64(copies) {
			return 0, fmt.Errorf("multiply %s: %d rows added: the table holds none of the seed events", m.table, rows)
		}
		total += rows
	}
	return total, nil
}

func columnsOf(ctx context.Context, db *sql.DB, table string) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+table+" LIMIT 0")
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	return columns, rows.Err()
}

// multiplication is the statement that adds $1 copies of every row.
func multiplication(table string, columns, ids []string, sqlite bool) string {
	copied, series := copiedIDPostgres, "generate_series(1, $1::int) AS copies (k)"
	with := ""
	if sqlite {
		copied, series = copiedID, "copies"
		with = "WITH RECURSIVE copies (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM copies WHERE k < $1) "
	}
	names, values := make([]string, len(columns)), make([]string, len(columns))
	for i, column := range columns {
		names[i] = pgx.Identifier{column}.Sanitize()
		values[i] = names[i]
		if slices.Contains(ids, column) {
			values[i] = fmt.Sprintf(copied, names[i])
		}
	}
	list := strings.Join(names, ", ")
	// CROSS JOIN keeps SQLite to this order of the loops, in which ids ascend.
	return with + "INSERT INTO " + table + " (" + list + ") SELECT " + strings.Join(values, ", ") +
		" FROM (SELECT " + list + " FROM " + table + ") AS originals CROSS JOIN " + series
}
