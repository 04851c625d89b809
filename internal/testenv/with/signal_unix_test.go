//go:build unix

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"convoy/internal/testenv"
)

// TestSignals ends a built binary by a signal and sees that the command and its child, and the
// servers, end too.
func TestSignals(t *testing.T) {
	t.Parallel()
	needServers(t)
	binary := filepath.Join(t.TempDir(), "with")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	var stdout lines
	// The shell prints the id of its child, which would outlive it, and waits for it.
	cmd := exec.CommandContext(t.Context(), binary, "--", "sh", "-c", `echo $CONVOY_TEST_REDIS_ADDR; sleep 1000 & echo $!; wait`)
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, time.Minute, func() bool { return len(stdout.get()) == 2 })
	child, err := strconv.Atoi(stdout.get()[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status follows
	if got, want := cmd.ProcessState.ExitCode(), exitSignal+int(syscall.SIGTERM); got != want {
		t.Errorf("status %d, want %d", got, want)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return !alive(child) })
}

// lines collects what a process prints.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Fields(l.buf.String())
}

// alive reports whether a process exists.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
