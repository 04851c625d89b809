package e2e

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"github.com/redis/rueidis"
	_ "modernc.org/sqlite" // the driver sqlite
)

// Evidence is read where a process leaves it, because the process that could be
// asked is dead or would go on working while it answers.

// recordedQuery lists the payloads of what is stored as delivered.
const recordedQuery = `SELECT e.data FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.status = 'Success'`

// recorded returns the ids of the events that PostgreSQL holds as delivered.
func (c *cluster) recorded(t *testing.T) map[string]bool {
	t.Helper()
	return recorded(t, "pgx", c.postgres.DSN("convoy"))
}

// recordedSQLite does the same for the directory of a process that is not
// running. It reads a copy: opening the original would tidy up after the kill.
func recordedSQLite(t *testing.T, dir string) map[string]bool {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{"convoy.db", "convoy.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if os.IsNotExist(err) && name != "convoy.db" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return recorded(t, "sqlite", filepath.Join(to, "convoy.db"))
}

func recorded(t *testing.T, driver, dsn string) map[string]bool {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // it was only read
	rows, err := db.QueryContext(t.Context(), recordedQuery)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	ids := make(map[string]bool)
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			t.Fatal(err)
		}
		id, err := checkPayload(data)
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// streamKey is the log of accepted events in Redis.
const streamKey = "convoy:{intake}"

// idInPayload finds ids in the entries of the log, whose format is not ours to
// know: payloads are in it as they are.
var idInPayload = regexp.MustCompile(`"n":"([^"]+)"`)

func (c *cluster) redisClient(t *testing.T) rueidis.Client {
	t.Helper()
	r, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{c.redis.Addr()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func idsIn(entries []rueidis.XRangeEntry) map[string]bool {
	ids := make(map[string]bool)
	for _, e := range entries {
		for _, v := range e.FieldValues {
			for _, m := range idInPayload.FindAllStringSubmatch(v, -1) {
				ids[m[1]] = true
			}
		}
	}
	return ids
}

// flush empties Redis and returns the ids of the accepted events that were in
// it at that very moment.
func (c *cluster) flush(t *testing.T) map[string]bool {
	t.Helper()
	return c.lastWords(t, func(b rueidis.Builder) rueidis.Completed { return b.Flushall().Build() })
}

// freeze keeps everybody from writing to Redis from now on, until it is killed,
// and returns the ids of the accepted events that it holds.
func (c *cluster) freeze(t *testing.T) map[string]bool {
	t.Helper()
	return c.lastWords(t, func(b rueidis.Builder) rueidis.Completed {
		return b.Arbitrary("CLIENT", "PAUSE").Args("60000", "WRITE").Build()
	})
}

// lastWords reads the log and runs another command, with nothing in between.
func (c *cluster) lastWords(t *testing.T, and func(rueidis.Builder) rueidis.Completed) map[string]bool {
	t.Helper()
	r := c.redisClient(t)
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	replies := r.DoMulti(ctx, r.B().Multi().Build(),
		r.B().Xrange().Key(streamKey).Start("-").End("+").Build(), and(r.B()), r.B().Exec().Build())
	results, err := replies[len(replies)-1].ToArray()
	if err != nil {
		t.Fatal(err)
	}
	if err := results[1].Error(); err != nil {
		t.Fatal(err)
	}
	entries, err := results[0].AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	return idsIn(entries)
}
