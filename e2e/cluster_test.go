package e2e

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"convoy/internal/seal"
	"convoy/internal/testenv"
)

// senders is how many requests to endpoints a process has in flight at most, in
// all tests but the one that is about it. It is part of what may come twice
// after a kill.
const senders = 64

// topology says what an instance consists of.
type topology struct {
	// redis adds one; without it PostgreSQL is the queue too. durable makes it
	// keep on disk what it has acknowledged.
	redis, durable bool
	// intake is the value of CONVOY_INTAKE_MODE, "" for the default.
	intake string
	// pooler puts PgBouncer in front of PostgreSQL.
	pooler                      bool
	servers, agents, schedulers int
	// env are settings besides.
	env []string
}

// cluster is an instance of several processes with servers of its own, which a
// test may kill.
type cluster struct {
	t        testing.TB
	env      []string
	postgres *testenv.Postgres
	pooler   *testenv.PgBouncer
	redis    *testenv.Redis

	servers, agents, schedulers []*process
	account                     account
}

// environment is that of all processes.
func environment(t testing.TB) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		"CONVOY_DISPATCHER_ALLOW_LIST=127.0.0.0/8,::1/128",
		"CONVOY_LOGGER_LEVEL=warn",
		"CONVOY_CONSUMER_POOL_SIZE=" + strconv.Itoa(senders),
	}
}

// startCluster starts servers, schema, first project and processes.
func startCluster(t testing.TB, top topology) *cluster {
	t.Helper()
	c := &cluster{t: t, env: append(environment(t), "CONVOY_ENCRYPTION_KEY="+seal.NewKey().Reveal())}
	c.env = append(c.env, top.env...)
	c.startPostgres(top.pooler)
	if top.redis {
		c.startRedis(top.durable)
	}
	if top.intake != "" {
		c.env = append(c.env, "CONVOY_INTAKE_MODE="+top.intake)
	}
	tool(t, c.env, "migrate", "up")
	out := tool(t, c.env, "bootstrap", "--email", "a@example.com", "--format", "json", "--with-api-key")
	if err := json.Unmarshal(out, &c.account); err != nil {
		t.Fatalf("bootstrap printed %q: %v", out, err)
	}
	for _, role := range []struct {
		name  string
		count int
		into  *[]*process
	}{
		{"server", top.servers, &c.servers},
		{"agent", top.agents, &c.agents},
		{"scheduler", top.schedulers, &c.schedulers},
	} {
		for i := range role.count {
			p := newProcess(t, role.name+" "+strconv.Itoa(i), c.env, role.name)
			p.spawn()
			*role.into = append(*role.into, p)
		}
	}
	for _, p := range c.processes() {
		p.awaitReady()
	}
	return c
}

func (c *cluster) startPostgres(pooler bool) {
	c.t.Helper()
	needs(c.t, "postgres")
	if pooler {
		needs(c.t, "pgbouncer")
	}
	pg, err := testenv.StartPostgres(c.t.Context(), testenv.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	closing(c.t, pg)
	c.postgres = pg
	const database = "convoy"
	if err := pg.CreateDatabase(c.t.Context(), database); err != nil {
		c.t.Fatal(err)
	}
	if !pooler {
		c.env = append(c.env, "CONVOY_DB_DSN="+pg.DSN(database))
		return
	}
	b, err := testenv.StartPgBouncer(c.t.Context(), pg, testenv.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	closing(c.t, b)
	c.pooler = b
	c.env = append(c.env,
		"CONVOY_DB_DSN="+b.DSN(database)+"&default_query_exec_mode=exec",
		"CONVOY_DB_DIRECT_DSN="+pg.DSN(database))
}

func (c *cluster) startRedis(durable bool) {
	c.t.Helper()
	needs(c.t, "redis-server")
	var opts testenv.Options
	if durable {
		opts.Settings = map[string]string{"appendonly": "yes", "appendfsync": "always"}
	}
	r, err := testenv.StartRedis(c.t.Context(), opts)
	if err != nil {
		c.t.Fatal(err)
	}
	closing(c.t, r)
	c.redis = r
	host, port, err := net.SplitHostPort(r.Addr())
	if err != nil {
		c.t.Fatal(err)
	}
	c.env = append(c.env, "CONVOY_REDIS_HOST="+host, "CONVOY_REDIS_PORT="+port)
}

// closing ends a server with its test.
func closing(t testing.TB, server interface{ Close() error }) {
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (c *cluster) processes() []*process {
	all := append([]*process{}, c.servers...)
	all = append(all, c.agents...)
	return append(all, c.schedulers...)
}

// doors are the processes that take events in.
func (c *cluster) doors() []*process {
	return append(append([]*process{}, c.servers...), c.agents...)
}

func (c *cluster) client(p *process) client { return client{p.url(), c.account} }

// api is a client of the first process that has an API.
func (c *cluster) api() client { return c.client(c.doors()[0]) }

// standalone is an instance in one process.
type standalone struct {
	*process
	dir     string
	account account
}

// startStandalone runs a new instance in a directory of its own.
func startStandalone(t testing.TB) *standalone {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := &standalone{process: newProcess(t, "standalone", environment(t), "standalone", "--data-dir", dir), dir: dir}
	s.start()
	s.account = credentials(t, dir)
	return s
}

// credentials reads what the first start has left.
func credentials(t testing.TB, dir string) account {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "credentials.json"))
	if err != nil {
		t.Fatal(err)
	}
	var a account
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *standalone) client() client { return client{s.url(), s.account} }
