package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
	// AppliedAt is zero for a pending one.
	AppliedAt time.Time
}

// Migrate brings the schema up to date and returns what it applied. Several
// processes may call it at once: one migrates, the others wait. The lock is a
// row, not a session lock, so it also holds behind a transaction pooler.
func Migrate(ctx context.Context, db DB) ([]Migration, error) {
	var done []Migration
	err := withProvider(ctx, db, true, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		for _, r := range results {
			done = append(done, Migration{Version: r.Source.Version, Name: r.Source.Path, AppliedAt: time.Now()})
		}
		return err
	})
	if err != nil {
		return done, fmt.Errorf("migrate: %w", err)
	}
	return done, nil
}

// Migrations lists every step, applied or pending.
func Migrations(ctx context.Context, db DB) ([]Migration, error) {
	var out []Migration
	err := withProvider(ctx, db, false, func(p *goose.Provider) error {
		status, err := p.Status(ctx)
		for _, s := range status {
			out = append(out, Migration{Version: s.Source.Version, Name: s.Source.Path, AppliedAt: s.AppliedAt})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	return out, nil
}

func withProvider(ctx context.Context, db DB, lockFirst bool, fn func(*goose.Provider) error) (err error) {
	var (
		conn    *sql.DB
		dialect goose.Dialect
		dir     string
		opts    = []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	)
	switch db := db.(type) {
	case *PostgresDB:
		url := db.cfg.DirectURL
		if url == "" {
			url = db.cfg.URL
		}
		cfg, err := pgx.ParseConfig(url)
		if err != nil {
			return err
		}
		conn = stdlib.OpenDB(*cfg)
		defer func() { _ = conn.Close() }()
		dialect, dir = goose.DialectPostgres, "migrations/postgres"
		if lockFirst {
			locker, err := lock.NewPostgresTableLocker(
				lock.WithTableName("schema_lock"),
				lock.WithTableLockTimeout(200*time.Millisecond, 600),
			)
			if err != nil {
				return err
			}
			opts = append(opts, goose.WithLocker(locker))
		}
	case *SQLiteDB:
		// The writing pool has one connection, held by db itself; hand it over
		// for the while. The data directory's lock keeps other processes out.
		<-db.turn
		defer func() { db.turn <- struct{}{} }()
		db.closeStatements()
		if err := db.writer.Close(); err != nil {
			return err
		}
		conn = db.writers
		defer func() {
			c, cerr := conn.Conn(context.WithoutCancel(ctx))
			if cerr != nil {
				err = errors.Join(err, cerr)
				return
			}
			db.writer = c
		}()
		dialect, dir = goose.DialectSQLite3, "migrations/sqlite"
	default:
		return fmt.Errorf("no migrations for %T", db)
	}
	sub, err := fs.Sub(migrations, dir)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, conn, sub, opts...)
	if err != nil {
		return err
	}
	return fn(p)
}
