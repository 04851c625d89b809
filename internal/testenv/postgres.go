package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxSocketPath is the longest path of a Unix socket, without its NUL: sun_path of unix(7).
const maxSocketPath = 107

// Postgres is a private PostgreSQL server. Anyone on this machine may log in, as superuser postgres.
type Postgres struct {
	server
	port int
}

// StartPostgres creates a database cluster and serves it, unless Options.Dir already holds one,
// which it serves as it is. What it keeps is as durable as in production (fsync is on), so that
// tests may crash it.
//
// The databases sort text by ICU's rules for American English: a query that needs the order of
// bytes but does not ask for it fails here rather than on a user's server.
func StartPostgres(ctx context.Context, opts Options) (*Postgres, error) {
	path, err := Find("postgres")
	if err != nil {
		return nil, err
	}
	acc, err := unprivileged()
	if err != nil {
		return nil, err
	}
	place, err := newPlace(opts, "postgres", acc)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(place.dir, "data")
	if err := createCluster(ctx, filepath.Dir(path), data, place); err != nil {
		return nil, errors.Join(err, place.remove())
	}
	p := &Postgres{}
	specify := func(port int) spec {
		p.port = port
		return spec{
			name: "postgres", path: path, args: postgresArgs(data, place.dir, port, opts.Settings),
			place: place, log: opts.Log,
			// SIGQUIT is an immediate shutdown: the server ends its own children, which a SIGKILL
			// would leave to find out by themselves.
			orphan: syscall.SIGQUIT, crash: syscall.SIGQUIT,
			// SIGINT is a fast shutdown: sessions are ended, a checkpoint is written.
			stops: []stop{{syscall.SIGINT, 30 * time.Second}, {syscall.SIGQUIT, 10 * time.Second}, {syscall.SIGKILL, 5 * time.Second}},
			ready: func(ctx context.Context, _ int) error { return p.serves(ctx, data) },
		}
	}
	if _, err := onFreePort(ctx, &p.server, specify); err != nil {
		return nil, errors.Join(err, place.remove())
	}
	return p, nil
}

// createCluster runs initdb for a directory that holds no cluster yet.
func createCluster(ctx context.Context, bin, data string, place place) error {
	version := filepath.Join(data, "PG_VERSION")
	if _, err := os.Stat(version); errors.Is(err, os.ErrNotExist) {
		ctx, cancel := context.WithTimeout(ctx, startDeadline)
		defer cancel()
		// --no-sync: the cluster is new, so a power failure now loses nothing that matters.
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "postgres",
			"--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--locale-provider", "icu",
			"--icu-locale", "en-US", "--no-sync", "--no-instructions")
		cmd.Dir = place.dir
		cmd.SysProcAttr = processAttributes(syscall.SIGKILL, place.account)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("create database cluster: %w: %s", err, strings.TrimSpace(string(out)))
		}
	} else if err != nil {
		return fmt.Errorf("look for database cluster: %w", err)
	}
	text, err := os.ReadFile(version)
	if err != nil {
		return fmt.Errorf("version of database cluster: %w", err)
	}
	if major, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || major < minPostgres {
		return fmt.Errorf("database cluster has version %q, which is not a number from %d", text, minPostgres)
	}
	return nil
}

func postgresArgs(data, socketDir string, port int, settings map[string]string) []string {
	if len(filepath.Join(socketDir, ".s.PGSQL.65535")) > maxSocketPath {
		socketDir = "" // loopback only
	}
	defaults := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": socketDir,
		"max_connections":         "200",
		"fsync":                   "on",
		"logging_collector":       "off", // the log goes to Options.Log
	}
	args := []string{"-D", data}
	for _, kv := range merged(defaults, settings) {
		args = append(args, "-c", kv[0]+"="+kv[1])
	}
	return append(args, "-p", strconv.Itoa(port))
}

// serves returns nil if the server on the port is the one that keeps the data directory.
func (p *Postgres) serves(ctx context.Context, data string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.DSN("postgres"))
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	var dir string
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir); err != nil {
		return err
	}
	if dir != data {
		return fmt.Errorf("another server, of %s, has the port", dir)
	}
	return nil
}

// DSN returns the connection URL of a database of this server.
func (p *Postgres) DSN(database string) string {
	return postgresURL("postgres", p.port, database)
}

func postgresURL(user string, port int, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(user), Host: "127.0.0.1:" + strconv.Itoa(port),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// CreateDatabase adds an empty database.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) error {
	return createDatabase(ctx, p.DSN("postgres"), name)
}

// createDatabase adds an empty database to the server of dsn. It copies template0, which nobody
// can be connected to, so a session elsewhere never makes it fail.
func createDatabase(ctx context.Context, dsn, name string) error {
	if err := execute(ctx, dsn, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0"); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

func dropDatabase(ctx context.Context, dsn, name string) error {
	if err := execute(ctx, dsn, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func execute(ctx context.Context, dsn, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	_, err = conn.Exec(ctx, statement)
	return err
}

// closeConn says goodbye to the server. That it did not hear it changes nothing for the caller.
func closeConn(ctx context.Context, conn *pgx.Conn) { _ = conn.Close(ctx) }
