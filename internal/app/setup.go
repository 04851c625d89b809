package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/config"
	"convoy/internal/id"
	"convoy/internal/signin"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// Credentials are how to get into an instance that has just been set up.
type Credentials struct {
	URL           string `json:"url"`
	ProjectID     string `json:"project_id"`
	APIKey        string `json:"api_key,omitempty"`
	AdminEmail    string `json:"admin_email"`
	AdminPassword string `json:"admin_password"`
	// PersonalKey is a key of the administrator, when one was asked for.
	PersonalKey string `json:"personal_key,omitempty"`
}

// Bootstrap says what to set up.
type Bootstrap struct {
	Email, FirstName, LastName string
	// WithAPIKey makes a project key too.
	WithAPIKey bool
	// KeyName and KeyLife are of that key; a life of zero does not end.
	KeyName string
	KeyLife time.Duration
}

// OpenStore opens the configured database for a command that does one thing.
func OpenStore(ctx context.Context, cfg config.Config, log *slog.Logger) (sqldb.DB, error) {
	return openDatabase(ctx, cfg, log)
}

// SetUp creates an organisation, its administrator and a first outgoing
// project. It refuses when the instance has an organisation already.
func SetUp(ctx context.Context, db sqldb.DB, host string, b Bootstrap) (Credentials, error) {
	c, s := newSetup(host, b)
	return c, store.New(db, store.Secrets{}).Setup(ctx, s)
}

// newSetup makes everything of a new instance, and how to get into it.
func newSetup(host string, b Bootstrap) (Credentials, store.Setup) {
	now := time.Now().UTC()
	password := randomText()
	user := &convoy.User{
		ID: convoy.UserID(id.New(now)), FirstName: b.FirstName, LastName: b.LastName, Email: convoy.NormalEmail(b.Email),
		PasswordHash: auth.HashPassword(password), InstanceAdmin: true, CreatedAt: now, UpdatedAt: now,
	}
	org, member := signin.Found(user, "Default")
	project := &convoy.Project{
		ID: convoy.ProjectID(id.New(now)), OrganisationID: org.ID, Name: "default", Type: convoy.Outgoing,
		Config: convoy.DefaultProjectConfig(), CreatedAt: now, UpdatedAt: now,
	}
	for i := range project.Config.Signature.Versions {
		v := &project.Config.Signature.Versions[i]
		v.ID, v.CreatedAt = id.New(now), now
	}
	s := store.Setup{
		Organisation: org, User: user, Membership: member, Project: project, IfEmpty: true,
	}
	c := Credentials{URL: host, ProjectID: string(project.ID), AdminEmail: user.Email, AdminPassword: password}
	if b.WithAPIKey {
		token, key := auth.NewKey(now)
		key.Name, key.Role = b.KeyName, convoy.Role{Type: convoy.RoleProjectAdmin, Project: project.ID}
		if b.KeyLife > 0 {
			key.ExpiresAt = now.Add(b.KeyLife)
		}
		s.Key, c.APIKey = key, token
	}
	return c, s
}

// randomText is 144 bits in 24 characters that paste well.
func randomText() string {
	var b [18]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// credentialsFile is in the data directory.
const credentialsFile = "credentials.json"

// Standalone runs all roles in one process on embedded engines, setting up an
// empty data directory first. It calls firstRun with what it created, before
// it serves.
func Standalone(ctx context.Context, o Options, firstRun func(Credentials)) error {
	cfg := &o.Config
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	unlock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	if len(cfg.Dispatcher.AllowList) == 0 {
		// A first try has its receiver on the same machine.
		cfg.Dispatcher.AllowList = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
		o.Log.Warn("endpoints on this machine are allowed; set dispatcher.allow_list to change that", "allow_list", "127.0.0.0/8,::1/128")
	}
	db, err := openDatabase(ctx, *cfg, o.Log)
	if err != nil {
		return err
	}
	created, err := prepare(ctx, db, *cfg)
	db.Close()
	if err != nil {
		return err
	}
	if created != nil {
		firstRun(*created)
	}
	return Run(ctx, o)
}

// prepare migrates the store, sets it up when it is empty, and takes back what
// a former process had in its hands.
func prepare(ctx context.Context, db sqldb.DB, cfg config.Config) (*Credentials, error) {
	if _, err := sqldb.Migrate(ctx, db); err != nil {
		return nil, err
	}
	s := store.New(db, store.Secrets{})
	now := time.Now()
	if cfg.Database.Type == config.SQLite {
		if err := s.Recover(ctx, now); err != nil {
			return nil, err
		}
	}
	if err := s.EnsurePartitions(ctx, now, cfg.Scheduler.PartitionsAhead); err != nil {
		return nil, err
	}
	empty, err := s.Empty(ctx)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.DataDir, credentialsFile)
	if !empty {
		return nil, keepCredentials(path)
	}
	c, setup := newSetup(fmt.Sprintf("http://localhost:%d", cfg.Server.HTTP.Port), Bootstrap{
		Email: "admin@localhost", FirstName: "admin", LastName: "admin", WithAPIKey: true, KeyName: "default's default key",
	})
	// Written before the commit: a crash in between must not leave an instance
	// that nobody can get into.
	if err := writeCredentials(path+pending, c); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	err = s.Setup(ctx, setup)
	if convoy.KindOf(err) == convoy.Conflict {
		return nil, nil // another process has just done it
	}
	if err != nil {
		return nil, fmt.Errorf("first project: %w", err)
	}
	return &c, keepCredentials(path)
}

// pending ends the name of credentials that have not been committed yet.
const pending = ".new"

func writeCredentials(path string, c Credentials) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

// keepCredentials gives pending credentials their name, if there are any.
func keepCredentials(path string) error {
	if err := os.Rename(path+pending, path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("credentials: %w", err)
	}
	return nil
}

// lockDir keeps a second process out of a data directory while this one lives,
// however it ends.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, convoy.E(convoy.Conflict, "data directory "+dir+" is in use by another process")
		}
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}
