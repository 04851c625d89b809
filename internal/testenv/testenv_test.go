package testenv

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The test binary stands in for a parent that dies without stopping its server.
	if os.Getenv(parentVariable) != "" {
		orphanAServer()
	}
	goleak.VerifyTestMain(m)
}

// needs skips the test where a server is not installed, and fails it where CI=true.
func needs(t *testing.T, binary string) {
	t.Helper()
	if _, err := Find(binary); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func startPostgres(t *testing.T, opts Options) *Postgres {
	t.Helper()
	needs(t, "postgres")
	pg, err := StartPostgres(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	return pg
}

func startRedis(t *testing.T, opts Options) *Redis {
	t.Helper()
	needs(t, "redis-server")
	r, err := StartRedis(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeConn(context.WithoutCancel(t.Context()), conn) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func query[T any](t *testing.T, conn *pgx.Conn, statement string) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), statement).Scan(&v); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return v
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	pg := startPostgres(t, Options{Log: &log, Settings: map[string]string{"work_mem": "7MB"}})

	if err := pg.CreateDatabase(t.Context(), `odd "name"`); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, pg.DSN(`odd "name"`))
	for setting, want := range map[string]string{"fsync": "on", "max_connections": "200", "work_mem": "7MB"} {
		if got := query[string](t, conn, "SHOW "+setting); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
	if !query[bool](t, conn, `SELECT 'a' < 'B'`) {
		t.Error("text sorts by its bytes")
	}
	if !strings.Contains(log.String(), "ready to accept connections") {
		t.Errorf("the log does not hold the server's output: %q", log.String())
	}
	if _, err := os.Stat(filepath.Join(pg.spec.place.dir, ".s.PGSQL."+strconv.Itoa(pg.port))); err != nil {
		t.Errorf("socket: %v", err)
	}
	if err := pg.Start(t.Context()); err == nil {
		t.Error("a second Start succeeds")
	}

	cpuBefore, _, err := pg.Usage()
	if err != nil {
		t.Fatal(err)
	}
	exec1(t, conn, "SELECT count(sqrt(n)) FROM generate_series(1, 2000000) AS n")
	cpuAfter, peak, err := pg.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if cpuAfter-cpuBefore < 50*time.Millisecond {
		t.Errorf("two million square roots took %v of processor time", cpuAfter-cpuBefore)
	}
	if peak < 5<<20 || peak > 2<<30 {
		t.Errorf("peak memory is %d bytes", peak)
	}

	dir := pg.spec.place.dir
	if err := pg.Close(); err != nil {
		t.Fatal(err)
	}
	if pid := pg.PID(); pid != 0 {
		t.Errorf("process %d after Close", pid)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory after Close: %v", err)
	}
	total, _, err := pg.Usage()
	if err != nil || total < cpuAfter {
		t.Errorf("usage after Close is %v, %v; was %v before", total, err, cpuAfter)
	}
}

// TestPostgresKeepsCommits crashes the server between commits and looks for the rows.
func TestPostgresKeepsCommits(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, Options{})
	first := pg.PID()
	port := pg.port
	exec1(t, connect(t, pg.DSN("postgres")), "CREATE TABLE kept (n INT)")
	for n, end := range []func() error{pg.Kill, pg.Stop} {
		exec1(t, connect(t, pg.DSN("postgres")), "INSERT INTO kept VALUES ("+strconv.Itoa(n)+")")
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if pid := pg.PID(); pid != 0 {
			t.Fatalf("process %d after the end", pid)
		}
		if err := pg.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := query[int](t, connect(t, pg.DSN("postgres")), "SELECT count(*) FROM kept"); got != n+1 {
			t.Errorf("%d rows after end %d, want %d", got, n, n+1)
		}
	}
	if err := pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pg.PID() == first || pg.port != port {
		t.Errorf("process %d on port %d, was %d on %d", pg.PID(), pg.port, first, port)
	}
}

func TestPostgresServesAnExistingDirectory(t *testing.T) {
	t.Parallel()
	needs(t, "postgres")
	// Not t.TempDir, whose parent is closed to the account that the server runs as.
	dir, err := os.MkdirTemp("", "convoy-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	pg := startPostgres(t, Options{Dir: dir})
	if err := pg.CreateDatabase(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if err := pg.Close(); err != nil {
		t.Fatal(err)
	}
	again := startPostgres(t, Options{Dir: dir})
	if got := query[string](t, connect(t, again.DSN("kept")), "SELECT current_database()"); got != "kept" {
		t.Errorf("database is %s", got)
	}
}

func TestPostgresErrorQuotesTheServer(t *testing.T) {
	t.Parallel()
	needs(t, "postgres")
	_, err := StartPostgres(t.Context(), Options{Settings: map[string]string{"no_such_setting": "1"}})
	if !errors.Is(err, errExited) || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("error is %v", err)
	}
}

func TestRootNeedsAnOpenDirectory(t *testing.T) {
	t.Parallel()
	needs(t, "postgres")
	if os.Geteuid() != 0 {
		// Only root hands its servers to another account; everyone else owns the directory.
		startPostgres(t, Options{Dir: t.TempDir()})
		return
	}
	_, err := StartPostgres(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "x")})
	if err == nil || !strings.Contains(err.Error(), "closed to the user") {
		t.Errorf("error is %v", err)
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		settings map[string]string
		kept     bool
	}{
		"in memory":   {nil, false},
		"append only": {map[string]string{"appendonly": "yes", "appendfsync": "always"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRedis(t, Options{Settings: tc.settings})
			addr, first := r.Addr(), r.PID()
			set(t, addr, "key", "value")
			for range 3 {
				if _, peak, err := r.Usage(); err != nil || peak < 1<<20 {
					t.Errorf("usage: peak of %d bytes, %v", peak, err)
				}
				if err := r.Kill(); err != nil {
					t.Fatal(err)
				}
				if err := r.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if r.Addr() != addr || r.PID() == first {
					t.Errorf("process %d at %s, was %d at %s", r.PID(), r.Addr(), first, addr)
				}
				if got := has(t, addr, "key"); got != tc.kept {
					t.Errorf("key is there: %v, want %v", got, tc.kept)
				}
			}
			if err := errors.Join(r.Stop(), r.Stop()); err != nil {
				t.Fatal(err)
			}
			if conn, err := net.Dial("tcp", addr); err == nil {
				conn.Close()
				t.Error("something listens after Stop")
			}
		})
	}
}

func TestRedisTakesAnotherPort(t *testing.T) {
	t.Parallel()
	needs(t, "redis-server")
	path, err := Find("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	place, err := newPlace(Options{}, "redis", nil)
	if err != nil {
		t.Fatal(err)
	}
	var tried []int
	r := &Redis{}
	port, err := onFreePort(t.Context(), &r.server, func(port int) spec {
		if len(tried) == 0 {
			// Somebody takes the port just after it was found free, and says nothing there.
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}
		tried = append(tried, port)
		return r.specify(port, path, place, Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if len(tried) != 2 || port != tried[1] || r.Addr() != net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) {
		t.Errorf("tried ports %v, got %d at %s", tried, port, r.Addr())
	}
	set(t, r.Addr(), "key", "value")
}

func TestPgBouncer(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, Options{})
	needs(t, "pgbouncer")
	b, err := StartPgBouncer(t.Context(), pg, Options{Settings: map[string]string{"default_pool_size": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := pg.CreateDatabase(t.Context(), "pooled"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		// Two clients share the one session that the pool has: transaction pooling.
		a, c := connect(t, b.DSN("pooled")), connect(t, b.DSN("pooled"))
		first := pooledQuery[int](t, a, "SELECT pg_backend_pid()")
		if second := pooledQuery[int](t, c, "SELECT pg_backend_pid()"); second != first {
			t.Errorf("clients have sessions %d and %d of their own", first, second)
		}
		if got := pooledQuery[string](t, c, "SELECT current_database()"); got != "pooled" {
			t.Errorf("database is %s", got)
		}
		if err := b.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, peak, err := b.Usage(); err != nil || peak < 1<<20 {
		t.Errorf("usage: peak of %d bytes, %v", peak, err)
	}
}

// pooledQuery asks without a named prepared statement, which would belong to one session.
func pooledQuery[T any](t *testing.T, conn *pgx.Conn, statement string) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), statement, pgx.QueryExecModeExec).Scan(&v); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return v
}

const parentVariable = "CONVOY_TESTENV_PARENT"

// orphanAServer starts a Redis, tells its process id and waits to be killed.
func orphanAServer() {
	r, err := StartRedis(context.Background(), Options{Dir: os.Getenv(parentVariable)})
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(r.PID()) + " " + r.Addr() + "\n")
	select {}
}

func TestServersDieWithTheirParent(t *testing.T) {
	t.Parallel()
	needs(t, "redis-server")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	parent := exec.CommandContext(t.Context(), self)
	parent.Env = append(os.Environ(), parentVariable+"="+t.TempDir())
	parent.Stderr = &stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 128)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("parent: %v: %s", err, stderr.Bytes())
	}
	_, addr, _ := strings.Cut(strings.TrimSpace(string(line[:n])), " ")
	set(t, addr, "key", "value") // it is alive

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed, which it reports
	Eventually(t, 10*time.Second, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func TestPostgresDSN(t *testing.T) {
	t.Parallel()
	var dsns []string
	t.Run("two databases", func(t *testing.T) {
		dsns = []string{PostgresDSN(t), PostgresDSN(t)}
		for _, dsn := range dsns {
			exec1(t, connect(t, dsn), "CREATE TABLE mine (n INT)")
		}
	})
	if len(dsns) == 0 {
		t.Skip("no server: see the subtest")
	}
	for _, dsn := range dsns {
		if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
			closeConn(t.Context(), conn)
			t.Error("a database outlives its test")
		}
	}
}

func TestRedisAddr(t *testing.T) {
	t.Parallel()
	addr, prefix := RedisAddr(t)
	_, other := RedisAddr(t)
	if prefix == other {
		t.Errorf("two tests get the prefix %s", prefix)
	}
	set(t, addr, prefix+"key", "value")
	if has(t, addr, other+"key") || !has(t, addr, prefix+"key") {
		t.Error("the prefixes do not tell the keys apart")
	}
}

func redisClient(t *testing.T, addr string) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func set(t *testing.T, addr, key, value string) {
	t.Helper()
	c := redisClient(t, addr)
	defer c.Close()
	if err := c.Do(t.Context(), c.B().Set().Key(key).Value(value).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, addr, key string) bool {
	t.Helper()
	c := redisClient(t, addr)
	defer c.Close()
	n, err := c.Do(t.Context(), c.B().Exists().Key(key).Build()).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

// syncBuffer is a buffer that a server writes to while a test reads it.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
