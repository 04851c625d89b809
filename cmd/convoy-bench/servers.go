package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"convoy/internal/seal"
	"convoy/internal/testenv"
)

// postgresSettings are those of a small production server. Everything that
// makes a commit durable keeps its default, which is on; prepare checks it.
var postgresSettings = map[string]string{
	"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min",
}

// prepare starts what the chosen systems need: the sink, private servers, and
// the binary under test.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "convoy-bench-"); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	if b.sink, err = newSink(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	for _, s := range b.systems {
		if !s.isCeiling() && b.convoy == "" {
			if err := b.build(ctx); err != nil {
				return err
			}
		}
		if !s.sqlite && b.postgres == nil {
			if err := b.startPostgres(ctx); err != nil {
				return err
			}
		}
		if s.isDistributed() && b.redis == nil {
			settings := map[string]string{"appendonly": "yes", "appendfsync": "everysec"}
			if b.redis, err = testenv.StartRedis(ctx, testenv.Options{Settings: settings}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) startPostgres(ctx context.Context) (err error) {
	b.key = seal.NewKey().Reveal()
	b.postgres, err = testenv.StartPostgres(ctx, testenv.Options{Settings: postgresSettings})
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, b.postgres.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect to private postgresql: %w", err)
	}
	defer goodbye(ctx, conn)
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return fmt.Errorf("postgresql setting %s: %w", name, err)
		}
		if value != "on" {
			return fmt.Errorf("postgresql setting %s is %s: the figures would not be those of a durable store", name, value)
		}
	}
	return nil
}

// build compiles the binary under test as it is released: without cgo.
func (b *bench) build(ctx context.Context) error {
	path := filepath.Join(b.dir, "convoy")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "convoy/cmd/convoy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("build convoy: %w", context.Cause(ctx))
		}
		return fmt.Errorf("build convoy (run this inside its module, or name a binary with --convoy): %w\n%s",
			err, lastLines(string(text)))
	}
	b.convoy = path
	return nil
}

// close stops everything that prepare started. The working directory stays
// when keep is set, for its logs.
func (b *bench) close(keep bool) error {
	var errs []error
	if b.postgres != nil {
		errs = append(errs, b.postgres.Close())
	}
	if b.redis != nil {
		errs = append(errs, b.redis.Close())
	}
	if b.sink != nil {
		b.sink.down()
	}
	if b.dir != "" && !keep {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

// sql runs one statement in a database of the private PostgreSQL.
func (b *bench) sql(ctx context.Context, database, statement string) error {
	conn, err := pgx.Connect(ctx, b.postgres.DSN(database))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", database, err)
	}
	defer goodbye(ctx, conn)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%.60s: %w", statement, err)
	}
	return nil
}

// flushRedis empties a Redis server. It speaks the inline form of the protocol
// (https://redis.io/docs/latest/develop/reference/protocol-spec), so that the
// harness needs no client.
func flushRedis(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("flush redis: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return fmt.Errorf("flush redis: %w", err)
	}
	if _, err := conn.Write([]byte("FLUSHALL\r\n")); err != nil {
		return fmt.Errorf("flush redis: %w", err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("flush redis: %w", err)
	}
	if strings.TrimSpace(answer) != "+OK" {
		return fmt.Errorf("flush redis: %s", strings.TrimSpace(answer))
	}
	return nil
}

func splitAddress(address string) (host, port string) {
	i := strings.LastIndexByte(address, ':')
	return address[:i], address[i+1:]
}
