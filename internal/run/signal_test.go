package run

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	for first, code := range map[os.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		synctest.Test(t, func(t *testing.T) {
			received := make(chan os.Signal) // unbuffered: a send is seen
			var exits []int
			ctx, stop := watch(t.Context(), received, func(code int) { exits = append(exits, code) })
			synctest.Wait()
			if ctx.Err() != nil {
				t.Fatalf("done before a signal: %v", ctx.Err())
			}
			received <- first
			<-ctx.Done()
			if cause := context.Cause(ctx); !strings.Contains(cause.Error(), first.String()) {
				t.Errorf("cause %v does not name %s", cause, first)
			}
			synctest.Wait()
			if len(exits) != 0 {
				t.Errorf("the first signal exited with %v", exits)
			}
			received <- first
			stop()
			if len(exits) != 1 || exits[0] != code {
				t.Errorf("the second signal exited with %v, want [%d]", exits, code)
			}
		})
	}
}

func TestWatchStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := watch(t.Context(), make(chan os.Signal), func(int) { t.Error("exited") })
		stop()
		stop()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("context error %v after stop, want canceled", ctx.Err())
		}
	})
}

// childVariable makes this test binary a process that waits for signals.
const childVariable = "RUN_TEST_CHILD"

func runChild() bool {
	if os.Getenv(childVariable) == "" {
		return false
	}
	ctx, stop := Signals(context.Background())
	defer stop()
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	if os.Getenv(childVariable) == "hang" {
		select {}
	}
	return true
}

func TestSignalsOfTheSystem(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mode    string
		signals []syscall.Signal
		code    int
	}{
		"one":         {"finish", []syscall.Signal{syscall.SIGTERM}, 0},
		"two SIGTERM": {"hang", []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, 143},
		"two SIGINT":  {"hang", []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, 130},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), childVariable+"="+tt.mode)
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			// A line comes before each signal: the child is ready for it.
			lines := bufio.NewScanner(out)
			for _, s := range tt.signals {
				if !lines.Scan() {
					t.Fatalf("the child ended early: %v", lines.Err())
				}
				if err := child.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			for lines.Scan() {
			}
			err = child.Wait()
			if code := child.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d (%v), want %d", code, err, tt.code)
			}
		})
	}
}
