package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"convoy"
	"convoy/internal/config"
	"convoy/internal/seal"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// keyFile is in the data directory of an embedded store whose key the
// configuration does not name.
const keyFile = "encryption.key"

// keysTTL is how long a process may seal with a key that another has replaced.
const keysTTL = time.Minute

// keyCommandTimeout bounds encryption.key_command; it asks a key service, if
// anything.
const keyCommandTimeout = 15 * time.Second

// OpenSecrets opens the keys that secrets in a migrated database are sealed with.
func OpenSecrets(ctx context.Context, cfg config.Config, db sqldb.DB) (store.Secrets, error) {
	c := cfg.Encryption
	has, err := store.HasKeys(ctx, db)
	if err != nil {
		return store.Secrets{}, err
	}
	if c.Mode == config.EncryptionPlaintext {
		if has {
			return store.Secrets{}, convoy.E(convoy.Conflict,
				"encryption.mode is plaintext, but secrets in this database are sealed: set encryption.mode to sealed and name their key")
		}
		return store.InTheClear(), nil
	}
	source := seal.Source{Text: c.Key, File: c.KeyFile, Command: c.KeyCommand, Timeout: keyCommandTimeout}
	if source.Text == "" && source.File == "" && source.Command == "" && cfg.Database.Type == config.SQLite {
		if source.File, err = embeddedKey(cfg.DataDir, has); err != nil {
			return store.Secrets{}, err
		}
	}
	key, err := source.Key(ctx)
	if errors.Is(err, seal.ErrNoKey) {
		return store.Secrets{}, convoy.Wrap(convoy.Invalid, "secrets are sealed with a key, and none is configured: "+
			`make one with "convoy secrets key" and set encryption.key, encryption.key_file or encryption.key_command, `+
			"or set encryption.mode to plaintext to keep secrets in the clear", err)
	}
	if err != nil {
		return store.Secrets{}, err
	}
	secrets, err := store.Sealed(ctx, db, key)
	if errors.Is(err, seal.ErrWrongKey) {
		return secrets, convoy.Wrap(convoy.Conflict, "the configured encryption key is not the one that this database's secrets are sealed with", err)
	}
	return secrets, err
}

// embeddedKey returns the path of the key in a data directory, which is made with
// the first keyset and never after: what is sealed with a lost key stays sealed.
func embeddedKey(dir string, has bool) (string, error) {
	path := filepath.Join(dir, keyFile)
	if !has {
		return path, seal.EnsureFile(path)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", convoy.Wrap(convoy.Conflict, fmt.Sprintf("%s is missing: without it the secrets in this database cannot be read; restore it from a backup", path), err)
	}
	return path, nil
}

// followKeys notices within [keysTTL] that another process has changed the keys;
// a value that is sealed with a new one is noticed at once.
func followKeys(s *store.Store, log *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(keysTTL)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			err := s.ReloadKeys(ctx)
			switch {
			case err == nil || ctx.Err() != nil:
			case errors.Is(err, seal.ErrWrongKey):
				log.Error("the keys were wrapped with another key than this process has: restart it with the new one", "err", err)
			default:
				log.Warn("keys not read again", "err", err)
			}
		}
	}
}
