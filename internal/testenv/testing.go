package testenv

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// The servers of a test run, set by `make test`.
const (
	postgresVariable = "CONVOY_TEST_POSTGRES_DSN"
	redisVariable    = "CONVOY_TEST_REDIS_ADDR"
)

// PostgresDSN returns the URL of an empty database of this test's own, which is dropped with all
// its sessions when the test ends. The server is the one that CONVOY_TEST_POSTGRES_DSN names, as a
// postgres:// URL of an account that may create databases. Without it the test is skipped, or
// fails where CI=true.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	server := variable(t, postgresVariable)
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		t.Fatalf("%s is not a postgres:// URL", postgresVariable) // it may hold a password
	}
	name := "convoy_test_" + strings.ToLower(rand.Text())
	if err := createDatabase(t.Context(), server, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dropDatabase(context.WithoutCancel(t.Context()), server, name); err != nil {
			t.Error(err)
		}
	})
	u.Path, u.RawPath = "/"+name, ""
	return u.String()
}

// RedisAddr returns the host:port of a Redis server and a prefix for all keys and channels of this
// test. The server is the one that CONVOY_TEST_REDIS_ADDR names; it is shared, so a test must not
// flush or configure it, and keys are left behind. Without it the test is skipped, or fails where
// CI=true.
func RedisAddr(t testing.TB) (addr, prefix string) {
	t.Helper()
	return variable(t, redisVariable), "test_" + strings.ToLower(rand.Text()) + ":"
}

// variable returns the value of an environment variable that names a server.
func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		const hint = "%s is not set: `make test` starts the servers that this test needs"
		if os.Getenv("CI") == "true" {
			t.Fatalf(hint, name)
		}
		t.Skipf(hint, name)
	}
	return value
}

// Eventually returns once holds returns true, and fails the test if it does not within the
// deadline. It asks at once and then more and more rarely.
func Eventually(t testing.TB, deadline time.Duration, holds func() bool) {
	t.Helper()
	const first, longest = time.Millisecond, 50 * time.Millisecond
	expired := time.NewTimer(deadline)
	defer expired.Stop()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for pause := first; ; pause = min(2*pause, longest) {
		if holds() {
			return
		}
		wait.Reset(pause)
		select {
		case <-expired.C:
			if !holds() {
				t.Fatalf("condition does not hold after %v", deadline)
			}
			return
		case <-wait.C:
		}
	}
}
