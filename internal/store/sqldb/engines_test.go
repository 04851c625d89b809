package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy/internal/store/sqldb"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engines runs a test on an empty database of each engine.
func engines(t *testing.T, fn func(t *testing.T, db sqldb.DB)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		fn(t, openSQLite(t, sqldb.SQLiteConfig{}))
	})
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		t.Run("Postgres/"+mode, func(t *testing.T) {
			t.Parallel()
			dsn := testenv.PostgresDSN(t)
			separator := "?"
			if strings.Contains(dsn, "?") {
				separator = "&"
			}
			db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()),
				sqldb.PostgresConfig{URL: dsn + separator + "default_query_exec_mode=" + mode, MaxOpen: 4})
			must(t, err)
			t.Cleanup(db.Close)
			fn(t, db)
		})
	}
}

func openSQLite(t *testing.T, cfg sqldb.SQLiteConfig) *sqldb.SQLiteDB {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "convoy.db")
	}
	db, err := sqldb.OpenSQLite(t.Context(), cfg)
	must(t, err)
	t.Cleanup(db.Close)
	return db
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db sqldb.DB, query string, args ...any) (n int64) {
	t.Helper()
	must(t, db.Write(t.Context(), func(tx sqldb.Tx) (err error) {
		n, err = tx.Exec(t.Context(), query, args...)
		return err
	}))
	return n
}

func strs(t *testing.T, q sqldb.Querier, query string, args ...any) []string {
	t.Helper()
	rows, err := q.Query(t.Context(), query, args...)
	must(t, err)
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var s string
		must(t, rows.Scan(&s))
		out = append(out, s)
	}
	must(t, rows.Err())
	rows.Close() // twice is safe
	return out
}

// things is the table of these tests; it knows what is negative.
func things(t *testing.T, db sqldb.DB) *sqldb.Batch {
	t.Helper()
	blob := "BYTEA"
	if db.Dialect() == sqldb.SQLite {
		blob = "BLOB"
	}
	exec(t, db, `CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, size BIGINT NOT NULL CHECK (size >= 0), data `+blob+` NOT NULL)`)
	return sqldb.InsertBatch("things", "ON CONFLICT (id) DO NOTHING", "id:text", "size:int", "data:bytes")
}

func bind(b *sqldb.Batch, ids []string, size int64) sqldb.Bound {
	return b.Bind(len(ids), func(i int, w *sqldb.RowWriter) { w.Text(ids[i]).Int(size).Bytes([]byte(ids[i])) })
}

func TestApply(t *testing.T) {
	engines(t, func(t *testing.T, db sqldb.DB) {
		ctx := t.Context()
		b := things(t, db)
		grow := &sqldb.Batch{
			Columns:  []sqldb.Type{sqldb.Int, sqldb.Text},
			Postgres: "UPDATE things SET size = u.n FROM unnest($1::bigint[], $2::text[]) AS u(n, id) WHERE things.id = u.id AND things.id >= $3",
			SQLite:   "UPDATE things SET size = $1 WHERE id = $2",
			Scalars:  1,
		}
		ids := []string{"a", `{"NULL",\}`, "", "ä€😀", strings.Repeat("long", 10_000)}
		many := make([]string, 3000)
		for i := range many {
			many[i] = fmt.Sprint("row ", i)
		}
		empty := bind(b, nil, 0)
		must(t, db.Apply(ctx, empty))
		must(t, db.Apply(ctx, bind(b, ids, 1), empty, bind(b, many, 2),
			grow.Bind(1, func(_ int, w *sqldb.RowWriter) { w.Int(1<<53 + 1).Text("a") }).With("")))
		var size int64
		var data []byte
		must(t, db.QueryRow(ctx, "SELECT size, data FROM things WHERE id = $1", "a").Scan(&size, &data))
		if size != 1<<53+1 || string(data) != "a" {
			t.Errorf("size %d, data %q", size, data)
		}
		d := db.Dialect()
		got := strs(t, db, "SELECT id FROM things WHERE "+d.In("id", "$1"), sqldb.Texts(d, append(ids, "unknown", "a")))
		slices.Sort(got)
		slices.Sort(ids)
		if !slices.Equal(got, ids) {
			t.Errorf("In found %d rows, want %d", len(got), len(ids))
		}
		if got := strs(t, db, "SELECT id FROM things WHERE "+d.In("id", "$1"), sqldb.Texts[string](d, nil)); len(got) > 0 {
			t.Errorf("In found %q among none", got)
		}
		if n := exec(t, db, "DELETE FROM things WHERE size = $1", int64(2)); n != int64(len(many)) {
			t.Errorf("%d rows deleted, want %d", n, len(many))
		}

		// All batches or none, also when the last row of the last one fails.
		for _, write := range []func(...sqldb.Bound) error{
			func(bs ...sqldb.Bound) error { return db.Apply(ctx, bs...) },
			func(bs ...sqldb.Bound) error {
				return db.Write(ctx, func(tx sqldb.Tx) error {
					_, err := tx.Exec(ctx, "DELETE FROM things")
					return errors.Join(err, tx.Apply(ctx, bs...))
				})
			},
		} {
			if err := write(bind(b, []string{"x", "y"}, 1), bind(b, []string{"z", "bad"}, -1)); err == nil {
				t.Fatal("a row that breaks a constraint was accepted")
			}
			if got := strs(t, db, "SELECT id FROM things WHERE size = 1"); len(got) != len(ids)-1 {
				t.Errorf("%d rows after a failed batch, want %d", len(got), len(ids)-1)
			}
		}
		must(t, db.Apply(ctx, bind(b, []string{"x"}, 1))) // the connection is fit for use
	})
}

func TestWrite(t *testing.T) {
	engines(t, func(t *testing.T, db sqldb.DB) {
		ctx := t.Context()
		b := things(t, db)
		insert := func(tx sqldb.Tx, id string) error {
			_, err := tx.Exec(ctx, "INSERT INTO things (id, size, data) VALUES ($1, $2, $3)", id, 1, []byte{})
			return err
		}
		must(t, db.Write(ctx, func(tx sqldb.Tx) error { return insert(tx, "a") }))
		refusal := errors.New("changed my mind")
		err := db.Write(ctx, func(tx sqldb.Tx) error { return errors.Join(insert(tx, "b"), refusal) })
		if !errors.Is(err, refusal) {
			t.Errorf("error %v, want the function's own", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = db.Write(ctx, func(tx sqldb.Tx) error {
				must(t, insert(tx, "c"))
				panic("at the disco")
			})
		}()
		err = db.Write(ctx, func(tx sqldb.Tx) error { return insert(tx, "a") })
		if !errors.Is(err, sqldb.ErrUnique) {
			t.Errorf("error %v, want ErrUnique", err)
		}
		unlenient := sqldb.InsertBatch("things", "", "id:text", "size:int", "data:bytes")
		if err := db.Apply(ctx, bind(unlenient, []string{"d", "a"}, 1)); !errors.Is(err, sqldb.ErrUnique) {
			t.Errorf("error %v of a batch, want ErrUnique", err)
		}
		if got := strs(t, db, "SELECT id FROM things ORDER BY id"); !slices.Equal(got, []string{"a"}) {
			t.Errorf("rows %q, want those of the one commit", got)
		}
		var s string
		if err := db.QueryRow(ctx, "SELECT id FROM things WHERE id = 'b'").Scan(&s); !errors.Is(err, sqldb.ErrNoRows) {
			t.Errorf("error %v, want ErrNoRows", err)
		}
		// A transaction reads what it has written.
		must(t, db.Write(ctx, func(tx sqldb.Tx) error {
			if err := tx.Apply(ctx, bind(b, []string{"e"}, 1)); err != nil {
				return err
			}
			return tx.QueryRow(ctx, "SELECT id FROM things WHERE id = $1", "e").Scan(&s)
		}))

		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := db.Write(ended, func(tx sqldb.Tx) error { return insert(tx, "late") }); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v of a caller that has gone, want context.Canceled", err)
		}
		must(t, db.Ping(ctx))
	})
}

func TestSQLiteReaders(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a dir with 100% ?odd# names", "convoy.db")
	must(t, os.Mkdir(filepath.Dir(path), 0o755))
	db := openSQLite(t, sqldb.SQLiteConfig{Path: path, Readers: 2})
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	b := things(t, db)
	if _, err := db.Exec(t.Context(), "INSERT INTO things (id, size, data) VALUES ('x', 1, '')"); err == nil {
		t.Error("a reading connection wrote")
	}
	// Readers do not wait for the writer, nor does it for them.
	must(t, db.Write(t.Context(), func(tx sqldb.Tx) error {
		if err := tx.Apply(t.Context(), bind(b, []string{"a"}, 1)); err != nil {
			return err
		}
		if got := strs(t, db, "SELECT id FROM things"); len(got) > 0 {
			t.Errorf("a reader saw %q before the commit", got)
		}
		// The next writer waits for its turn, and no longer than it wants to.
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := db.Apply(short, bind(b, []string{"b"}, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v of a writer that gave up", err)
		}
		return nil
	}))
	if got := strs(t, db.Replica(), "SELECT id FROM things"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("rows %q after the commit", got)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				if err := db.Apply(t.Context(), bind(b, []string{fmt.Sprint(w, " ", i)}, 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := strs(t, db, "SELECT count(*) || '' FROM things WHERE id LIKE '% %'"); got[0] != "400" {
		t.Errorf("%s rows of 8 writers, want 400", got[0])
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "query_only": "1"} {
		if got := strs(t, db, "SELECT "+pragma+" || '' FROM pragma_"+pragma); got[0] != want {
			t.Errorf("%s = %s, want %s", pragma, got[0], want)
		}
	}
	// The spellings that would mean something else in PostgreSQL are refused or
	// mean the same.
	if _, err := db.Query(t.Context(), `SELECT "text"`); err == nil {
		t.Error(`"text" is taken for 'text'`)
	}
	if got := strs(t, db, "SELECT ('A' LIKE 'a') || ''"); got[0] != "0" {
		t.Error("LIKE ignores case")
	}
}

func TestNotify(t *testing.T) {
	engines(t, func(t *testing.T, db sqldb.DB) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ready := make(chan struct{})
		got := make(chan string, 3) // all that is sent
		ended := make(chan error, 1)
		go func() {
			ended <- db.Listen(ctx, []string{"one", `odd "name`}, func(channel, payload string) { got <- channel + ": " + payload }, func() { close(ready) })
		}()
		select {
		case <-ready:
		case err := <-ended:
			t.Fatal(err)
		}
		must(t, db.Notify(ctx, "another", "x"))
		must(t, db.Notify(ctx, "one", "it's"))
		must(t, db.Notify(ctx, `odd "name`, ""))
		if db.Dialect() == sqldb.Postgres {
			for _, want := range []string{"one: it's", `odd "name: `} {
				select {
				case n := <-got:
					if n != want {
						t.Errorf("notification %q, want %q", n, want)
					}
				case err := <-ended:
					t.Fatal(err)
				case <-time.After(10 * time.Second):
					t.Fatalf("no notification %q", want)
				}
			}
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Listen ended with %v", err)
		}
	})
}

func TestMigrateUnknown(t *testing.T) {
	t.Parallel()
	type other struct{ sqldb.DB }
	if _, err := sqldb.Migrate(t.Context(), other{}); err == nil {
		t.Error("a database of an unknown kind was migrated")
	}
}
