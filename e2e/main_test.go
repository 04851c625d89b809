package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy/internal/testenv"
)

// binary is the path of the gateway under test.
var binary string

// parallel is how many tests run at once unless -parallel says otherwise: they
// wait for leases and restarts most of the time.
const parallel = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		if err := flag.Set("test.parallel", parallel); err != nil {
			panic(err) // the flag has always been there
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "convoy-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // a directory left behind harms nobody
	binary = filepath.Join(dir, "convoy")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "convoy/cmd/convoy")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the gateway: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// await asks until holds returns nil, and fails the test with the last error
// when the deadline passes first.
func await(t testing.TB, deadline time.Duration, what string, holds func() error) {
	t.Helper()
	start := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Since(start) > deadline {
			t.Fatalf("%s: not within %v: %v", what, deadline, err)
		}
		rest(t.Context(), pause)
	}
}

// rest waits, or less when ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// needs skips a test that a program of the machine is missing for, or fails it
// where CI=true.
func needs(t testing.TB, names ...string) {
	t.Helper()
	var missing []string
	for _, name := range names {
		if _, err := testenv.Find(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing: %s", strings.Join(missing, ", "))
	}
	t.Skipf("missing: %s", strings.Join(missing, ", "))
}

// long skips a test that takes more than some seconds when -short is given.
func long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
}
