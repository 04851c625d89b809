package store

import (
	"context"
	"fmt"
	"time"

	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

// partitioned are the tables split by id, with their storage options, which the
// first migration explains.
var partitioned = map[string]string{
	"events":            "",
	"deliveries":        " WITH (fillfactor = 50)",
	"attempts":          "",
	"delivery_payloads": "",
}

// EnsurePartitions makes the day partitions from yesterday to the given number
// of days ahead. Rows that the default partition has taken meanwhile for one
// of those days move to it. SQLite has no partitions.
func (s *Store) EnsurePartitions(ctx context.Context, now time.Time, ahead int) error {
	if s.db.Dialect() == sqldb.SQLite {
		return nil
	}
	today := now.UTC().Truncate(24 * time.Hour)
	for table, options := range partitioned {
		for day := -1; day <= ahead; day++ {
			if err := s.ensurePartition(ctx, table, options, today.AddDate(0, 0, day)); err != nil {
				return fmt.Errorf("partition of %s: %w", table, err)
			}
		}
	}
	return nil
}

func (s *Store) ensurePartition(ctx context.Context, table, options string, day time.Time) error {
	name := table + "_" + day.Format("20060102")
	exists := func(q sqldb.Querier) (ok bool, err error) {
		err = q.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&ok)
		return ok, err
	}
	if ok, err := exists(s.db); ok || err != nil {
		return err
	}
	from, to := id.Floor(day), id.Floor(day.AddDate(0, 0, 1))
	return s.db.Write(ctx, func(tx sqldb.Tx) error {
		// A writer that had chosen the default partition before would be refused
		// by it after, so writers are kept from the table while the rows move.
		// Who waits for that does so for milliseconds; a long transaction of
		// somebody else makes this attempt fail rather than writers wait.
		for _, q := range []string{
			`SET LOCAL lock_timeout = '1s'`,
			`LOCK TABLE ONLY ` + table + ` IN SHARE ROW EXCLUSIVE MODE`,
			`LOCK TABLE ` + table + `_default IN ACCESS EXCLUSIVE MODE`,
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		if ok, err := exists(tx); ok || err != nil {
			return err
		}
		var columns string // those that are written, in quotes
		if err := tx.QueryRow(ctx, `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, table).Scan(&columns); err != nil {
			return err
		}
		for _, q := range []string{
			`CREATE TABLE ` + name + ` (LIKE ` + table + ` INCLUDING DEFAULTS INCLUDING GENERATED)` + options,
			`WITH moved AS (DELETE FROM ` + table + `_default WHERE id >= '` + from + `' AND id < '` + to + `' RETURNING *)
				INSERT INTO ` + name + ` (` + columns + `) SELECT ` + columns + ` FROM moved`,
			`ALTER TABLE ` + table + ` ATTACH PARTITION ` + name + ` FOR VALUES FROM ('` + from + `') TO ('` + to + `')`,
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}
