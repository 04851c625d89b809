package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runGoTest writes a module of the given files and returns what the tally makes of its tests.
func runGoTest(t *testing.T, files map[string]string, args ...string) (*tally, string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module m\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"test", "-json", "-vet=off"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	events, _ := cmd.Output() // a failing test is a failing command
	var out bytes.Buffer
	counts := newTally(&out)
	if err := counts.read(bufio.NewReader(bytes.NewReader(events))); err != nil {
		t.Fatal(err)
	}
	counts.finish()
	return counts, out.String()
}

func TestCount(t *testing.T) {
	t.Parallel()
	counts, out := runGoTest(t, map[string]string{
		"good/a_test.go": `package good
import "testing"
func TestSubtests(t *testing.T) { t.Log("quiet"); t.Run("one", func(*testing.T) {}); t.Run("two", func(*testing.T) {}) }
func TestSkip(t *testing.T) { t.Skip("not today") }`,
		"bad/a_test.go": `package bad
import "testing"
func TestGood(t *testing.T) {}
func TestBad(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Error("it is wrong") }) }`,
		"panics/a_test.go": `package panics
import "testing"
func TestPanics(t *testing.T) { var m map[string]int; m["a"] = 1 }`,
		"broken/a_test.go": `package broken
import "testing"
func TestBroken(t *testing.T) { undefined() }`,
		"exits/a_test.go": `package exits
import ("fmt"; "os"; "testing")
func TestMain(m *testing.M) { m.Run(); fmt.Println("leaked"); os.Exit(1) }
func TestGood(t *testing.T) {}`,
		"hangs/a_test.go": `package hangs
import "testing"
func TestHangs(t *testing.T) { t.Log("about to hang"); select {} }`,
		"empty/a.go": `package empty`,
	}, "-timeout=5s", "./...")

	// good 3, bad 1, exits 1 pass; TestBad and its subtest, panics, broken, exits, hangs fail.
	if !strings.HasSuffix(out, "\n5 passed, 6 failed, 1 skipped\n") {
		t.Errorf("the last line is not the expected count:\n%s", out)
	}
	if counts.good() {
		t.Error("the run counts as good")
	}
	for _, want := range []string{
		"ok  \tm/good\t", "?   \tm/empty\t[no test files]",
		"FAIL m/bad.TestBad/sub\n", "a_test.go:4: it is wrong\n",
		"assignment to entry in nil map", "undefined: undefined", "leaked\n", "about to hang\n",
		"panic: test timed out after 5s",
		"failed: m/panics.TestPanics", "failed: m/broken\n", "failed: m/exits\n", "failed: m/hangs.TestHangs",
		"skipped: m/good.TestSkip: a_test.go:4: not today\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	for _, unwanted := range []string{"quiet", "=== RUN", "\nPASS\n"} {
		if strings.Contains(out, unwanted) {
			t.Errorf("output holds %q", unwanted)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestCountOfNothingIsAFailure(t *testing.T) {
	t.Parallel()
	counts, out := runGoTest(t, map[string]string{"a/a.go": "package a"}, "./...")
	if counts.good() || !strings.HasSuffix(out, "no test has run\n0 passed, 0 failed, 0 skipped\n") {
		t.Errorf("good: %v, output %q", counts.good(), out)
	}
}

func TestCountBoundsOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	counts := newTally(&out)
	counts.line(`{"Action":"run","Package":"p","Test":"T"}`)
	line := `{"Action":"output","Package":"p","Test":"T","Output":"` + strings.Repeat("x", 1000) + `\n"}`
	for range 5 * maxOutput / 1000 {
		counts.line(line)
	}
	counts.line(`{"Action":"output","Package":"p","Test":"T","Output":"the end\n"}`)
	counts.line(`{"Action":"fail","Package":"p","Test":"T"}`)
	if !strings.Contains(out.String(), "left out") || !strings.HasSuffix(out.String(), "the end\n") || out.Len() > 3*maxOutput {
		t.Errorf("output of %d bytes", out.Len())
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want string // "" means an error
	}{
		"plain":              {[]string{"--", "ls", "-l"}, "ls -l"},
		"no dashes":          {[]string{"-fsync", "ls", "-l"}, "ls -l"},
		"count":              {[]string{"-count", "--", "go", "test", "-race", "./..."}, "go test -json -race ./..."},
		"count of no test":   {[]string{"-count", "--", "ls"}, ""},
		"count of go vet":    {[]string{"-count", "--", "go", "vet"}, ""},
		"no command":         {[]string{"-count", "--"}, ""},
		"a flag that is not": {[]string{"-nothing", "--", "ls"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(tc.args, &bytes.Buffer{})
			if got := strings.Join(o.command, " "); got != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func needServers(t *testing.T) {
	t.Helper()
	for _, name := range []string{"postgres", "redis-server"} {
		if _, err := testenv.Find(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	needServers(t)
	var stdout, stderr bytes.Buffer
	status := run([]string{"--", "sh", "-c", `echo $CI $CONVOY_TEST_REDIS_ADDR; echo $CONVOY_TEST_POSTGRES_DSN; exit 7`}, &stdout, &stderr)
	if status != 7 || !strings.HasPrefix(stdout.String(), "true 127.0.0.1:") || !strings.Contains(stdout.String(), "\npostgres://postgres@127.0.0.1:") {
		t.Errorf("status %d, output %q, errors %q", status, &stdout, &stderr)
	}
	if status := run([]string{"--", "no-such-command"}, &stdout, &stderr); status != exitServer {
		t.Errorf("status %d of a command that is not there", status)
	}
}
