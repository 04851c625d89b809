package store_test

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/testenv"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) sqldb.DB { return openSQLite(t) })
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	testenv.PostgresDSN(t) // skip as a whole, not case by case
	storetest.Run(t, func(t *testing.T) sqldb.DB { return openPostgres(t) })
}

// TestPgBouncer runs the contract where two transactions of one connection may
// be two sessions of the server, and prepared statements do not last.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	testenv.PostgresDSN(t)
	ctx := context.WithoutCancel(t.Context())
	pg, err := testenv.StartPostgres(ctx, testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, pg.Close()) })
	bouncer, err := testenv.StartPgBouncer(ctx, pg, testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, bouncer.Close()) })
	var n atomic.Int32
	storetest.Run(t, func(t *testing.T) sqldb.DB {
		name := fmt.Sprintf("pooled_%d", n.Add(1))
		if err := pg.CreateDatabase(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		u := bouncer.DSN(name)
		mode := "default_query_exec_mode=exec"
		if strings.Contains(u, "?") {
			u += "&" + mode
		} else {
			u += "?" + mode
		}
		return openConfig(t, sqldb.PostgresConfig{URL: u, DirectURL: pg.DSN(name), MaxOpen: 8})
	})
}

func closed(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

func openSQLite(t testing.TB) *sqldb.SQLiteDB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	migrate(t, db)
	return db
}

func openPostgres(t testing.TB) *sqldb.PostgresDB {
	t.Helper()
	return openConfig(t, sqldb.PostgresConfig{URL: testenv.PostgresDSN(t), MaxOpen: 8})
}

func openConfig(t testing.TB, cfg sqldb.PostgresConfig) *sqldb.PostgresDB {
	t.Helper()
	if _, err := url.Parse(cfg.URL); err != nil {
		t.Fatal("the database's address is not a URL")
	}
	cfg.MaxLifetime = time.Hour
	db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	migrate(t, db)
	return db
}

func migrate(t testing.TB, db sqldb.DB) {
	t.Helper()
	if _, err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
}
