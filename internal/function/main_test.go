package function

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childArg makes the test binary a process that runs functions.
const childArg = "serve-functions"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childArg {
		fmt.Fprintln(os.Stderr, Serve(os.Stdin, os.Stdout))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// sandboxed makes a cache whose functions run in processes of their own.
func sandboxed(t testing.TB) *Cache {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := New(Config{Command: []string{self, childArg}, Processes: 2})
	t.Cleanup(c.Close)
	return c
}

// caches are the two ways to run functions, which must not differ.
func caches(t *testing.T, run func(t *testing.T, c *Cache)) {
	t.Helper()
	t.Run("process", func(t *testing.T) {
		t.Parallel()
		run(t, sandboxed(t))
	})
	t.Run("in-process", func(t *testing.T) {
		t.Parallel()
		run(t, New(Config{}))
	})
}
