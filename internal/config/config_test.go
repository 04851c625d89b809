package config

import (
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// given is one configuration as an operator would give it.
type given struct {
	role  Role // RoleServer when empty
	file  string
	env   []string
	flags []string
}

func (g given) load(t *testing.T) (Config, []string, error) {
	t.Helper()
	src := Sources{Role: g.role, Env: g.env}
	if src.Role == "" {
		src.Role = RoleServer
	}
	fs := pflag.NewFlagSet(t.Name(), pflag.ContinueOnError)
	Flags(fs, src.Role)
	if err := fs.Parse(g.flags); err != nil {
		t.Fatalf("parse flags: %v", err)
	}
	src.Flags = fs
	if g.file == "" {
		return load(src, "", nil)
	}
	return load(src, "convoy.json", []byte(g.file))
}

func (g given) mustLoad(t *testing.T) Config {
	t.Helper()
	c, _, err := g.load(t)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, warnings, err := given{}.load(t)
	if err != nil || len(warnings) != 0 {
		t.Fatalf("got warnings %q and error %v, want neither", warnings, err)
	}
	want := Config{
		Host: "localhost:5005", Env: "oss", APIVersion: "2025-11-24", MaxResponseSize: 50,
		MaxRetry: 7200 * time.Second, ConsumerPoolSize: 512, APIRate: 1000, KeyRate: 500, UserRate: 200, AddressRate: 50, DataDir: "./convoy-data",
		Logger: Logger{Level: "info"},
		Server: Server{HTTP: HTTP{
			Port: 5005, AgentPort: 5008, WorkerPort: 5006, SchedulerPort: 5007,
			TrustedProxies: []netip.Prefix{}, MaxBodySize: 1 << 20, ShutdownTimeout: 25 * time.Second,
		}},
		Database: Database{
			Type: Postgres, Scheme: "postgres", Host: "localhost", Port: 5432, Username: "postgres",
			Password: "postgres", Database: "convoy", Options: "sslmode=disable&connect_timeout=30",
			ReadReplicas: []Replica{}, MaxOpenConn: 10, MaxIdleConn: 10, ConnMaxLifetime: 600 * time.Second,
			SQLiteSynchronous: "full",
		},
		Redis:       Redis{Scheme: "redis", Port: 6379, Addresses: []string{}},
		Intake:      Intake{MaxBacklog: 100_000},
		Idempotency: Idempotency{Window: 720 * time.Hour},
		Dispatcher: Dispatcher{
			AllowList: []netip.Prefix{}, BlockList: []netip.Prefix{}, EndpointConcurrency: 64,
			PingMethods: []string{"HEAD", "GET", "POST"},
		},
		SMTP:       SMTP{Port: 587},
		Scheduler:  Scheduler{SweepInterval: time.Second, PartitionsAhead: 7},
		Auth:       Auth{Portal: PortalRealm{Enabled: true}, OIDC: OIDC{Scopes: []string{"openid", "email", "profile"}, Name: "Single sign-on"}, JWT: JWT{Expiry: 30 * time.Minute, RefreshExpiry: 24 * time.Hour}},
		Batch:      Batch{Rate: 1000},
		Encryption: Encryption{Mode: EncryptionSealed},
		Metrics:    Metrics{Enabled: true},
	}
	if diff := cmp.Diff(want, c, cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
	if got := (given{role: RoleStandalone}).mustLoad(t).Database.Type; got != SQLite {
		t.Errorf("standalone database.type = %q, want sqlite", got)
	}
}

func samePrefix(a, b netip.Prefix) bool { return a == b }

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const file = `{"server": {"http": {"port": 1}}, "logger": {"level": "warn"}}`
	tests := map[string]struct {
		given given
		want  int
	}{
		"default":               {given{}, 5005},
		"file":                  {given{file: file}, 1},
		"environment over file": {given{file: file, env: []string{"PORT=2"}}, 2},
		"flag over environment": {given{file: file, env: []string{"PORT=2"}, flags: []string{"--port=3"}}, 3},
		"flag with the value of the default": {
			given{file: file, env: []string{"PORT=2"}, flags: []string{"--port=5005"}}, 5005,
		},
		"empty variable is not set": {given{file: file, env: []string{"PORT="}}, 1},
		"flag that is not set":      {given{file: file, flags: []string{"--log-level=error"}}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.given.mustLoad(t).Server.HTTP.Port; got != tt.want {
				t.Errorf("server.http.port = %d, want %d", got, tt.want)
			}
		})
	}
	c := given{file: file, env: []string{"PORT=2"}}.mustLoad(t)
	if c.Logger.Level != "warn" {
		t.Errorf("logger.level = %q; a variable for one setting must leave the file's others", c.Logger.Level)
	}
}

func TestPortFlagFollowsRole(t *testing.T) {
	t.Parallel()
	for role, port := range map[Role]func(Config) int{
		RoleServer:     func(c Config) int { return c.Server.HTTP.Port },
		RoleStandalone: func(c Config) int { return c.Server.HTTP.Port },
		RoleAgent:      func(c Config) int { return c.Server.HTTP.AgentPort },
		RoleWorker:     func(c Config) int { return c.Server.HTTP.WorkerPort },
		RoleScheduler:  func(c Config) int { return c.Server.HTTP.SchedulerPort },
	} {
		if got := port(given{role: role, flags: []string{"--port", "9"}}.mustLoad(t)); got != 9 {
			t.Errorf("%s --port 9 set its port to %d", role, got)
		}
	}
}

func TestFlagNamesDoNotCollide(t *testing.T) {
	t.Parallel()
	// pflag panics when a name is registered twice.
	for _, role := range []Role{RoleServer, RoleAgent, RoleWorker, RoleScheduler, RoleStandalone, RoleTool} {
		Flags(pflag.NewFlagSet(string(role), pflag.ContinueOnError), role)
	}
}

func TestEverySettingFromEverySource(t *testing.T) {
	t.Parallel()
	for _, s := range settings {
		if s.key == "" || s.env == "" || s.doc == "" {
			t.Errorf("setting %q (%q) lacks a key, a variable or its meaning", s.key, s.env)
		}
		if byEnv[s.env].key != s.key {
			t.Errorf("%s and %s share the variable %s", s.key, byEnv[s.env].key, s.env)
		}
	}
	// A value that is not the default for each type of setting.
	g := given{
		role: RoleStandalone,
		env: []string{
			"CONVOY_DISPATCHER_ALLOW_LIST= 10.1.2.3/8 , 192.0.2.1,fd00::/8,",
			"CONVOY_DISPATCHER_PING_METHODS=GET",
			"CONVOY_DB_CONN_MAX_LIFETIME=90",
			"CONVOY_DB_TYPE=postgres",
			`CONVOY_DB_READ_REPLICAS=[{"dsn":"postgres://r1/x"},{"dsn":"host=r2 dbname=x"}]`,
			"CONVOY_MAX_BODY_SIZE=2097152",
		},
		flags: []string{"--ssl", "--ssl-cert-file=c", "--ssl-key-file", "k", "--ip-block-list=192.0.2.0/24", "--ip-block-list", "198.51.100.0/24", "--consumers=7"},
		file:  `{"max_retry_seconds": "2m", "idempotency": {"window": "24h"}, "metrics": {"enabled": false}, "redis": {"database": "3", "host": "r"}}`,
	}
	c := g.mustLoad(t)
	for name, ok := range map[string]bool{
		"allow list": cmp.Equal([]string{"10.0.0.0/8", "192.0.2.1/32", "fd00::/8"}, texts(c.Dispatcher.AllowList)),
		"block list": cmp.Equal([]string{"192.0.2.0/24", "198.51.100.0/24"}, texts(c.Dispatcher.BlockList)),
		"methods":    cmp.Equal([]string{"GET"}, c.Dispatcher.PingMethods),
		"lifetime":   c.Database.ConnMaxLifetime == 90*time.Second,
		"replicas":   cmp.Equal([]Replica{{"postgres://r1/x"}, {"host=r2 dbname=x"}}, c.Database.ReadReplicas),
		"body":       c.Server.HTTP.MaxBodySize == 2<<20,
		"ssl":        c.Server.HTTP.SSL && c.Server.HTTP.SSLCertFile == "c" && c.Server.HTTP.SSLKeyFile == "k",
		"consumers":  c.ConsumerPoolSize == 7,
		"max retry":  c.MaxRetry == 2*time.Minute,
		"window":     c.Idempotency.Window == 24*time.Hour,
		"metrics":    !c.Metrics.Enabled,
		"redis":      c.Redis.Database == 3 && c.Redis.Enabled() && c.Redis.Address() == "r:6379",
	} {
		if !ok {
			t.Errorf("%s: not as given: %s", name, c.Redacted())
		}
	}
	replicas := given{flags: []string{"--read-replicas-dsn", "postgres://a,b/x", "--read-replicas-dsn", "postgres://c/x"}}.mustLoad(t)
	if diff := cmp.Diff([]Replica{{"postgres://a,b/x"}, {"postgres://c/x"}}, replicas.Database.ReadReplicas); diff != "" {
		t.Errorf("replicas of flags (-want +got):\n%s", diff)
	}
}

func texts(prefixes []netip.Prefix) []string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.String()
	}
	return out
}

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	base := Database{Scheme: "postgres", Host: "db", Port: 5432, Username: "u", Password: "p", Database: "convoy", Options: "sslmode=disable"}
	tests := map[string]struct {
		change func(*Database)
		want   string
	}{
		"parts":       {func(*Database) {}, "postgres://u:p@db:5432/convoy?sslmode=disable"},
		"dsn":         {func(d *Database) { d.DSN = "postgres://other/x" }, "postgres://other/x"},
		"escaped":     {func(d *Database) { d.Password, d.Database = "p@:/? #%", "a b?c" }, "postgres://u:p%40%3A%2F%3F%20%23%25@db:5432/a%20b%3Fc?sslmode=disable"},
		"IPv6":        {func(d *Database) { d.Host = "::1" }, "postgres://u:p@[::1]:5432/convoy?sslmode=disable"},
		"IPv6 []":     {func(d *Database) { d.Host = "[::1]" }, "postgres://u:p@[::1]:5432/convoy?sslmode=disable"},
		"no password": {func(d *Database) { d.Password = "" }, "postgres://u@db:5432/convoy?sslmode=disable"},
		"no user":     {func(d *Database) { d.Username, d.Password = "", "" }, "postgres://db:5432/convoy?sslmode=disable"},
		"socket":      {func(d *Database) { d.Host = "/run/pg" }, "postgres://u:p@/convoy?sslmode=disable&host=%2Frun%2Fpg&port=5432"},
		"no options":  {func(d *Database) { d.Host, d.Options = "/run/pg", "" }, "postgres://u:p@/convoy?host=%2Frun%2Fpg&port=5432"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := base
			tt.change(&d)
			got := d.URL()
			if got != tt.want {
				t.Fatalf("URL() = %s, want %s", got, tt.want)
			}
			u, err := url.Parse(got)
			if err != nil {
				t.Fatalf("URL() does not parse: %v", err)
			}
			if password, _ := u.User.Password(); d.DSN == "" && (password != d.Password || u.Path != "/"+d.Database) {
				t.Errorf("URL() reads back as password %q and path %q", password, u.Path)
			}
		})
	}
}

func TestImpliedEngines(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		given         given
		queue, intake string
	}{
		"postgres alone":        {given{}, QueuePostgres, IntakeStored},
		"redis":                 {given{env: []string{"CONVOY_REDIS_HOST=r"}}, QueueRedis, IntakeQueued},
		"redis, stored":         {given{env: []string{"CONVOY_REDIS_HOST=r", "CONVOY_INTAKE_MODE=stored"}}, QueueRedis, IntakeStored},
		"redis, postgres queue": {given{env: []string{"CONVOY_REDIS_HOST=r", "CONVOY_QUEUE_PROVIDER=postgres"}}, QueuePostgres, IntakeQueued},
		"standalone":            {given{role: RoleStandalone}, QueueMemory, IntakeStored},
		"standalone, redis":     {given{role: RoleStandalone, env: []string{"CONVOY_REDIS_HOST=r"}}, QueueRedis, IntakeQueued},
		"standalone, postgres":  {given{role: RoleStandalone, env: []string{"CONVOY_DB_TYPE=postgres"}}, QueuePostgres, IntakeStored},
		"standalone, memory": {
			given{role: RoleStandalone, env: []string{"CONVOY_DB_TYPE=postgres", "CONVOY_QUEUE_PROVIDER=memory"}}, QueueMemory, IntakeStored,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.given.mustLoad(t)
			if c.Queue() != tt.queue || c.IntakeMode() != tt.intake {
				t.Errorf("queue %s, intake %s; want %s, %s", c.Queue(), c.IntakeMode(), tt.queue, tt.intake)
			}
		})
	}
}

func TestSQLitePath(t *testing.T) {
	t.Parallel()
	c := given{role: RoleStandalone, flags: []string{"--data-dir=/srv/convoy"}}.mustLoad(t)
	if got := c.SQLitePath(); got != "/srv/convoy/convoy.db" {
		t.Errorf("SQLitePath() = %s", got)
	}
	c = given{role: RoleStandalone, env: []string{"CONVOY_DB_SQLITE_PATH=/tmp/x.db"}}.mustLoad(t)
	if got := c.SQLitePath(); got != "/tmp/x.db" {
		t.Errorf("SQLitePath() = %s", got)
	}
}

func TestPublicURL(t *testing.T) {
	t.Parallel()
	for host, want := range map[string][2]string{ // without and with TLS here
		"localhost:5005":         {"http://localhost:5005", "https://localhost:5005"},
		"localhost":              {"http://localhost", "https://localhost"},
		"127.0.0.1:80":           {"http://127.0.0.1:80", "https://127.0.0.1:80"},
		"[::1]:5005":             {"http://[::1]:5005", "https://[::1]:5005"},
		"hooks.example.com":      {"https://hooks.example.com", "https://hooks.example.com"},
		"hooks.example.com:8443": {"https://hooks.example.com:8443", "https://hooks.example.com:8443"},
	} {
		c := Config{Host: host}
		if got := c.PublicURL(); got != want[0] {
			t.Errorf("%s: %s, want %s", host, got, want[0])
		}
		c.Server.HTTP.SSL = true
		if got := c.PublicURL(); got != want[1] {
			t.Errorf("%s with TLS: %s, want %s", host, got, want[1])
		}
	}
}
