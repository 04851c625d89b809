package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"convoy/internal/limit"
	"convoy/internal/limit/limittest"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/testenv"
)

// The limiter over the store's table passes its suite on both databases.
func TestStoredLimits(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t testing.TB) sqldb.DB{
		"sqlite": func(t testing.TB) sqldb.DB {
			db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 4})
			if err != nil {
				t.Fatal(err)
			}
			return db
		},
		"postgres": func(t testing.TB) sqldb.DB {
			db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()), sqldb.PostgresConfig{
				URL: testenv.PostgresDSN(t), MaxOpen: 4, MaxLifetime: time.Hour, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			return db
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limittest.Run(t, func(t testing.TB) (a, b limit.Limiter) {
				db := open(t)
				t.Cleanup(db.Close)
				if _, err := sqldb.Migrate(t.Context(), db); err != nil {
					t.Fatal(err)
				}
				one, two := limit.NewStored(storetest.New(t, db)), limit.NewStored(storetest.New(t, db))
				ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
				var wg sync.WaitGroup
				for _, l := range []*limit.Stored{one, two} {
					wg.Go(func() {
						if err := l.Run(ctx); err != nil {
							t.Error(err)
						}
					})
				}
				t.Cleanup(func() { cancel(); wg.Wait() })
				return one, two
			})
		})
	}
}
