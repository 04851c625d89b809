package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/config"
	"convoy/internal/seal"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/testenv"
)

func migrated(t *testing.T, db sqldb.DB, err error) sqldb.DB {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if _, err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

func embedded(t *testing.T) (config.Config, sqldb.DB) {
	t.Helper()
	cfg := config.Config{DataDir: t.TempDir(), Database: config.Database{Type: config.SQLite}, Encryption: config.Encryption{Mode: config.EncryptionSealed}}
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: cfg.SQLitePath(), Synchronous: "normal", Readers: 2})
	return cfg, migrated(t, db, err)
}

// TestEmbeddedKey makes a key with the first keyset, and no second one.
func TestEmbeddedKey(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg, db := embedded(t)
	first, err := OpenSecrets(ctx, cfg, db)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.DataDir, "encryption.key")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info, err)
	}
	again, err := OpenSecrets(ctx, cfg, db)
	if err != nil || again.PrimaryKey() != first.PrimaryKey() {
		t.Fatalf("key %v, %v, want %v", again.PrimaryKey(), err, first.PrimaryKey())
	}
	if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // is refused
		t.Fatal(err)
	}
	if _, err := OpenSecrets(ctx, cfg, db); err == nil || !strings.Contains(err.Error(), "has mode 0644") {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSecrets(ctx, cfg, db); err == nil || !strings.Contains(err.Error(), path+" is missing") {
		t.Errorf("a lost key: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another key was made for a lost one: %v", err)
	}
}

func TestConfiguredKeys(t *testing.T) {
	t.Parallel()
	engines := map[string]func(t *testing.T) (config.Config, sqldb.DB){
		"sqlite": embedded,
		"postgres": func(t *testing.T) (config.Config, sqldb.DB) {
			db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()), sqldb.PostgresConfig{URL: testenv.PostgresDSN(t), MaxOpen: 2})
			return config.Config{Database: config.Database{Type: config.Postgres}}, migrated(t, db, err)
		},
	}
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, db := open(t)
			try := func(e config.Encryption, want string) {
				t.Helper()
				cfg.Encryption = e
				if _, err := OpenSecrets(t.Context(), cfg, db); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("%v, want %q", err, want)
				}
			}
			key := seal.NewKey().Reveal()
			if cfg.Database.Type == config.Postgres {
				try(config.Encryption{Mode: "sealed"}, "set encryption.key, encryption.key_file or encryption.key_command")
			}
			try(config.Encryption{Mode: "plaintext"}, "")
			try(config.Encryption{Mode: "sealed", Key: "short"}, "encryption.key: want 32 bytes")
			try(config.Encryption{Mode: "sealed", KeyFile: "/nowhere/key"}, "encryption.key_file: ")
			try(config.Encryption{Mode: "sealed", KeyCommand: "false"}, "encryption.key_command: ")
			try(config.Encryption{Mode: "sealed", Key: key}, "")
			try(config.Encryption{Mode: "sealed", Key: seal.NewKey().Reveal()}, "is not the one that this database's secrets are sealed with")
			try(config.Encryption{Mode: "plaintext"}, "secrets in this database are sealed")
			try(config.Encryption{Mode: "sealed"}, map[string]string{
				config.Postgres: "none is configured", config.SQLite: "encryption.key is missing",
			}[cfg.Database.Type])
			try(config.Encryption{Mode: "sealed", Key: key}, "")
		})
	}
}

// TestSealAll seals what was written in the clear and with a former key, goes on
// for as long as it is told, and says what does not open.
func TestSealAll(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg, db := embedded(t)
	secrets, err := OpenSecrets(ctx, cfg, db)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := OpenSecrets(ctx, cfg, db) // of a process that does not know the new key
	if err != nil {
		t.Fatal(err)
	}
	s, now := store.New(db, secrets), time.Now()
	write := func(with store.Secrets, id convoy.EndpointID) {
		t.Helper()
		e := &convoy.Endpoint{ID: id, ProjectID: "p", URL: "https://example.com", Secrets: []convoy.Secret{{ID: "s", Value: "v"}}, CreatedAt: now, UpdatedAt: now}
		if err := store.New(db, with).CreateEndpoint(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	write(store.InTheClear(), "a")
	write(behind, "b")
	if err := s.RotateKeys(ctx, now); err != nil {
		t.Fatal(err)
	}
	write(behind, "c")
	write(secrets, "d")
	until := time.Now().Add(100 * time.Millisecond)
	if done, err := SealAll(ctx, s, until); err != nil || done.Rows != 3 || len(done.Unopened) != 0 {
		t.Fatalf("%+v, %v, want three rows sealed", done, err)
	}
	if time.Now().Before(until) {
		t.Error("it did not go on until it was told")
	}
	status, err := Secrets(ctx, cfg, db)
	if err != nil || status.Key != secrets.PrimaryKey() {
		t.Fatalf("%+v, %v", status, err)
	}
	for _, c := range status.Counts {
		if want := map[string]int{"endpoints.secrets": 4}[c.Table+"."+c.Column]; c.Clear != 0 || len(c.Sealed) > 1 || c.Sealed[status.Key] != want {
			t.Errorf("%s.%s: %+v, want %d sealed", c.Table, c.Column, c, want)
		}
	}

	if err := db.Write(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE endpoints SET secrets = 'sealed:1:x' WHERE id = 'a'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	done, err := SealAll(ctx, s, time.Now())
	if err != nil || done.Rows != 0 || len(done.Unopened) != 1 || !strings.Contains(done.Unopened[0].Error(), "endpoints.secrets of a") {
		t.Errorf("with a damaged value: %+v, %v", done, err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := SealAll(stopped, s, time.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}
