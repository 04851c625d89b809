package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// system is a server and its engines, in the form in which it is compared.
type system struct {
	name    string
	ceiling string // the ceiling on the same engine; "" for a ceiling
	sqlite  bool   // else PostgreSQL
	intake  string // CONVOY_INTAKE_MODE of the distributed ones
}

var systems = []system{
	{name: "embedded", ceiling: "ceiling-sqlite", sqlite: true},
	{name: "queued", ceiling: "ceiling-postgres", intake: "queued"},
	{name: "stored", ceiling: "ceiling-postgres", intake: "stored"},
	{name: "ceiling-sqlite", sqlite: true},
	{name: "ceiling-postgres"},
}

func systemNamed(name string) (system, error) {
	i := slices.IndexFunc(systems, func(s system) bool { return s.name == name })
	if i < 0 {
		return system{}, fmt.Errorf("unknown system %q", name)
	}
	return systems[i], nil
}

func (s system) isCeiling() bool     { return s.ceiling == "" }
func (s system) isDistributed() bool { return s.intake != "" }

// place is where a system keeps its data, and who may publish to it.
type place struct {
	dir      string // of an embedded engine
	database string // of PostgreSQL
	target   target // its url is that of the last start
	// subscribed says that the target's endpoint exists.
	subscribed bool
}

// running is a started system.
type running struct {
	target   target
	watched  watched
	children []*child
}

func (r *running) stop() error {
	var errs []error
	for _, c := range slices.Backward(r.children) {
		errs = append(errs, c.stop())
	}
	r.children = nil
	return errors.Join(errs...)
}

// newPlace makes an empty store; for the distributed systems its schema is
// migrated and a project exists.
func (b *bench) newPlace(ctx context.Context, s system) (*place, error) {
	b.places++
	p := &place{target: target{project: "01JDBENCHPROJECT0000000000", apiKey: "none", endpointID: "01JDBENCHENDPOINT000000000"}}
	if s.sqlite {
		p.dir = filepath.Join(b.dir, fmt.Sprintf("data-%d", b.places))
		return p, os.MkdirAll(p.dir, 0o755)
	}
	p.database = fmt.Sprintf("bench_%d", b.places)
	if err := b.postgres.CreateDatabase(ctx, p.database); err != nil {
		return nil, err
	}
	if s.isCeiling() {
		return p, nil
	}
	if _, err := output(ctx, b.dir, b.convoyCommand(s, p, 0, "migrate", "up")); err != nil {
		return nil, err
	}
	text, err := output(ctx, b.dir, b.convoyCommand(s, p, 0,
		"bootstrap", "--email", "bench@example.com", "--format", "json", "--with-api-key"))
	if err != nil {
		return nil, err
	}
	p.target, err = credentials(text)
	return p, err
}

// drop removes a store.
func (b *bench) drop(ctx context.Context, p *place) error {
	if p.dir != "" {
		return os.RemoveAll(p.dir)
	}
	return b.sql(ctx, "postgres", "DROP DATABASE IF EXISTS "+pgx.Identifier{p.database}.Sanitize()+" WITH (FORCE)")
}

// credentials reads what `convoy standalone` and `convoy bootstrap` print.
func credentials(text []byte) (target, error) {
	var c struct {
		URL       string `json:"url"`
		ProjectID string `json:"project_id"`
		APIKey    string `json:"api_key"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return target{}, fmt.Errorf("credentials: %w in %.300q", err, text)
	}
	if c.ProjectID == "" || c.APIKey == "" {
		return target{}, fmt.Errorf("credentials without project_id or api_key: keys wanted are url, project_id and api_key")
	}
	return target{url: c.URL, project: c.ProjectID, apiKey: c.APIKey}, nil
}

// start starts every process of a system on a store and waits until it can
// take events for an endpoint at the sink.
func (b *bench) start(ctx context.Context, s system, p *place) (_ *running, err error) {
	r := &running{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stop())
		}
	}()
	if s.isDistributed() {
		if err := flushRedis(ctx, b.redis.Addr()); err != nil {
			return nil, err
		}
	}
	roles := []string{"server", "agent", "scheduler"}
	if !s.isDistributed() {
		roles = []string{"standalone"}
	}
	for _, role := range roles {
		c, err := b.spawn(ctx, s, p, role)
		if err != nil {
			return nil, err
		}
		r.children = append(r.children, c)
	}
	for _, c := range r.children {
		if err := c.ready(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.subscribe(ctx, s, p, r.children[0]); err != nil {
		return nil, err
	}
	r.target = p.target
	b.watch(s, p, r)
	return r, nil
}

// subscribe completes the place's target: where the server listens, who may
// publish, and, once per store, the endpoint at the sink.
func (b *bench) subscribe(ctx context.Context, s system, p *place, server *child) error {
	if s.name == "embedded" && !p.subscribed {
		if err := b.readCredentials(ctx, p, server); err != nil {
			return err
		}
	}
	p.target.url = fmt.Sprintf("http://127.0.0.1:%d", server.port)
	if s.isCeiling() || p.subscribed {
		return nil
	}
	endpoint, err := newAPI(p.target).subscribe(ctx, b.sink.url())
	if err != nil {
		return err
	}
	p.target.endpointID, p.subscribed = endpoint, true
	return nil
}

// readCredentials waits for the file that a first start on a directory writes.
func (b *bench) readCredentials(ctx context.Context, p *place, server *child) error {
	return server.poll(ctx, "credentials.json", func(context.Context) error {
		text, err := os.ReadFile(filepath.Join(p.dir, "credentials.json"))
		if err != nil {
			return err
		}
		p.target, err = credentials(text)
		return err
	})
}

// watch names what to measure of a started system.
func (b *bench) watch(s system, p *place, r *running) {
	for _, c := range r.children {
		r.watched.processes = append(r.watched.processes, process{name: c.name, pid: c.cmd.Process.Pid, fresh: true})
	}
	r.watched.dataDir = p.dir
	if !s.sqlite {
		r.watched.dsn = b.postgres.DSN(p.database)
		r.watched.processes = append(r.watched.processes, process{name: "postgresql", pid: b.postgres.PID()})
	}
	if s.isDistributed() {
		r.watched.processes = append(r.watched.processes, process{name: "redis", pid: b.redis.PID()})
	}
}

// spawn starts one process of a system.
func (b *bench) spawn(ctx context.Context, s system, p *place, role string) (*child, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	if !s.isCeiling() {
		return spawn(b.dir, b.convoyCommand(s, p, port, role, "--port", strconv.Itoa(port)))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("path of convoy-bench: %w", err)
	}
	args := []string{"ceiling", "serve", "--port", strconv.Itoa(port), "--endpoint-url", b.sink.url()}
	if s.sqlite {
		args = append(args, "--engine", "sqlite", "--data-dir", p.dir)
	} else {
		args = append(args, "--engine", "postgres", "--dsn", b.postgres.DSN(p.database))
	}
	return spawn(b.dir, command{name: s.name, path: self, args: args, port: port})
}

// convoyCommand is an invocation of the binary under test.
func (b *bench) convoyCommand(s system, p *place, port int, args ...string) command {
	c := command{name: "convoy " + args[0], path: b.convoy, args: args, port: port}
	c.env = []string{"CONVOY_API_RATE_LIMIT=0"} // what is measured is not a limit
	if s.sqlite {
		c.args = append(slices.Clone(args), "--data-dir", p.dir)
		return c
	}
	host, redisPort := splitAddress(b.redis.Addr())
	c.env = append(c.env,
		"CONVOY_DB_DSN="+b.postgres.DSN(p.database), "CONVOY_ENCRYPTION_KEY="+b.key,
		"CONVOY_REDIS_HOST="+host, "CONVOY_REDIS_PORT="+redisPort,
		"CONVOY_DISPATCHER_ALLOW_LIST=127.0.0.0/8,::1/128",
		"CONVOY_INTAKE_MODE="+s.intake,
	)
	return c
}
