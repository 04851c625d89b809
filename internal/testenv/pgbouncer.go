package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is a private connection pooler in front of a Postgres.
type PgBouncer struct {
	server
	port  int
	admin string
}

// StartPgBouncer pools the connections to every database of pg by transaction: two transactions
// of one client may run in two sessions of the server. Clients must not rely on anything that
// lives in a session, such as LISTEN, advisory locks, SET, or named prepared statements, which
// PgBouncer follows only from version 1.21 on.
func StartPgBouncer(ctx context.Context, pg *Postgres, opts Options) (*PgBouncer, error) {
	path, err := Find("pgbouncer")
	if err != nil {
		return nil, err
	}
	acc, err := unprivileged()
	if err != nil {
		return nil, err
	}
	place, err := newPlace(opts, "pgbouncer", acc)
	if err != nil {
		return nil, err
	}
	// Only this instance knows the name of its administrator: who can log in so has found it, and
	// not another pooler that took the port.
	b := &PgBouncer{admin: "admin_" + strings.ToLower(rand.Text())}
	users, err := place.write("users.txt", fmt.Sprintf("\"postgres\" \"\"\n%q \"\"\n", b.admin))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("users of pgbouncer: %w", err), place.remove())
	}
	const config = "pgbouncer.ini"
	specify := func(port int) spec {
		b.port = port
		return spec{
			name: "pgbouncer", path: path, args: []string{config},
			place: place, log: opts.Log,
			orphan: syscall.SIGKILL, crash: syscall.SIGKILL,
			stops: []stop{{syscall.SIGTERM, 10 * time.Second}, {syscall.SIGKILL, 5 * time.Second}},
			ready: func(ctx context.Context, _ int) error { return b.serves(ctx) },
			prepare: func() error {
				_, err := place.write(config, b.config(pg, users, opts.Settings))
				return err
			},
		}
	}
	if _, err := onFreePort(ctx, &b.server, specify); err != nil {
		return nil, errors.Join(err, place.remove())
	}
	return b, nil
}

// config returns the text of pgbouncer.ini (https://www.pgbouncer.org/config.html).
func (b *PgBouncer) config(pg *Postgres, users string, settings map[string]string) string {
	defaults := map[string]string{
		"listen_addr":       "127.0.0.1",
		"unix_socket_dir":   "", // so that it ends if it does not get the port
		"auth_type":         "trust",
		"auth_file":         users,
		"admin_users":       b.admin,
		"pool_mode":         "transaction",
		"max_client_conn":   "1000",
		"default_pool_size": "50", // a quarter of the server's max_connections
		// The pool of a database that a test has left would keep its connections for ten
		// minutes, and each case has a database of its own.
		"server_idle_timeout": "2",
		"log_connections":     "0",
	}
	var ini strings.Builder
	fmt.Fprintf(&ini, "[databases]\n* = host=127.0.0.1 port=%d\n\n[pgbouncer]\n", pg.port)
	for _, kv := range merged(defaults, settings) {
		fmt.Fprintf(&ini, "%s = %s\n", kv[0], kv[1])
	}
	fmt.Fprintf(&ini, "listen_port = %s\n", strconv.Itoa(b.port))
	return ini.String()
}

// DSN returns the connection URL of a database behind the pooler.
func (b *PgBouncer) DSN(database string) string { return postgresURL("postgres", b.port, database) }

// serves returns nil if the pooler on the port is this one.
func (b *PgBouncer) serves(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, postgresURL(b.admin, b.port, "pgbouncer"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
