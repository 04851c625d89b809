package testenv

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a testing.TB that keeps what it is told instead of failing the real test.
type recorder struct {
	testing.TB
	failed, skipped string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record runs f as a test would run: a fatal error ends its goroutine.
func record(t testing.TB, f func(t testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

// Not parallel: it sets the environment.
func TestMissingServerFailsOnlyInCI(t *testing.T) {
	for _, ask := range []func(testing.TB){
		func(t testing.TB) { PostgresDSN(t) },
		func(t testing.TB) { RedisAddr(t) },
	} {
		t.Setenv(postgresVariable, "")
		t.Setenv(redisVariable, "")
		t.Setenv("CI", "")
		if r := record(t, ask); r.failed != "" || !strings.Contains(r.skipped, "make test") {
			t.Errorf("without CI: failed %q, skipped %q", r.failed, r.skipped)
		}
		t.Setenv("CI", "true")
		if r := record(t, ask); r.skipped != "" || !strings.Contains(r.failed, "make test") {
			t.Errorf("with CI: failed %q, skipped %q", r.failed, r.skipped)
		}
	}
	const secret = "host=db password=hunter2"
	t.Setenv(postgresVariable, secret)
	if r := record(t, func(t testing.TB) { PostgresDSN(t) }); !strings.Contains(r.failed, "URL") || strings.Contains(r.failed, "hunter2") {
		t.Errorf("with key-value settings: failed %q", r.failed)
	}
}

func TestEventually(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		holdsAfter time.Duration
		fails      bool
	}{
		"at once":     {0, false},
		"later":       {time.Second, false},
		"at the end":  {10 * time.Second, false},
		"never":       {time.Hour, true},
		"just missed": {10*time.Second + time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				r := record(t, func(t testing.TB) {
					Eventually(t, 10*time.Second, func() bool { return time.Since(start) >= tc.holdsAfter })
				})
				if (r.failed != "") != tc.fails {
					t.Errorf("failed: %q", r.failed)
				}
				if took := time.Since(start); took > min(tc.holdsAfter+50*time.Millisecond, 10*time.Second) {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}
