package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxOutput bounds what is kept of one test's output until it is known whether it failed. The end
// of it is what explains a failure.
const maxOutput = 1 << 20

// event is a line of `go test -json` (`go doc test2json`, `go help buildjson`).
type event struct {
	Action  string
	Package string
	Test    string // "" for what belongs to the package
	Output  string
	// Key and Value are an attribute of the test.
	Key, Value string
}

// tally follows a test run, prints what a reader wants to see of it and counts the tests.
type tally struct {
	out      io.Writer
	packages map[string]*progress
	passed   int
	failed   []string
	skipped  []string // with the reason
}

// progress is what is known about a package that has not ended.
type progress struct {
	output   map[string]*strings.Builder // by test, of those that have not ended; "" is the package
	failures int
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, packages: map[string]*progress{}}
}

// read takes in all lines. A line is at most a few KiB long: test2json cuts longer output.
func (t *tally) read(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			t.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("events of the test run: %w", err)
		}
	}
}

func (t *tally) line(line string) {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		fmt.Fprint(t.out, line) // not from test2json, so from the go command, for the reader
		return
	}
	switch e.Action {
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "build-fail":
		// The packages that needed it fail, too.
	default:
		p := t.packages[e.Package]
		if p == nil {
			p = &progress{output: map[string]*strings.Builder{"": {}}}
			t.packages[e.Package] = p
		}
		if e.Test == "" {
			t.packageEvent(p, e)
		} else {
			t.testEvent(p, e)
		}
	}
}

func (t *tally) testEvent(p *progress, e event) {
	name := e.Package + "." + e.Test
	switch e.Action {
	case "run":
		p.output[e.Test] = &strings.Builder{}
	case "output":
		p.add(e.Test, e.Output)
	case "attr":
		fmt.Fprintf(t.out, "%s: %s %s\n", name, e.Value, e.Key)
	case "pass":
		t.passed++
		delete(p.output, e.Test)
	case "fail":
		t.fail(p, name, p.output[e.Test])
		delete(p.output, e.Test)
	case "skip":
		t.skipped = append(t.skipped, name+reason(p.output[e.Test]))
		delete(p.output, e.Test)
	}
}

func (t *tally) packageEvent(p *progress, e event) {
	switch e.Action {
	case "output":
		p.add("", e.Output)
	case "pass", "skip":
		// What a package prints besides its result is for the reader of a failure.
		for line := range strings.Lines(p.output[""].String()) {
			if strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "?   \t") {
				fmt.Fprint(t.out, line)
			}
		}
		delete(t.packages, e.Package)
	case "fail":
		t.abandon(p, e.Package)
		delete(t.packages, e.Package)
	}
}

// abandon ends a package that failed. A test that has not ended is what a panic or a time-out
// stopped; if none failed, then the package did: it does not build, or TestMain says so.
func (t *tally) abandon(p *progress, name string) {
	own := p.output[""]
	delete(p.output, "")
	running := make([]string, 0, len(p.output))
	for test := range p.output {
		running = append(running, test)
	}
	slices.Sort(running)
	for _, test := range running {
		t.fail(p, name+"."+test+" (did not end)", p.output[test])
	}
	if p.failures == 0 {
		t.fail(p, name, own)
		return
	}
	fmt.Fprint(t.out, own)
}

func (t *tally) fail(p *progress, name string, output *strings.Builder) {
	p.failures++
	t.failed = append(t.failed, name)
	fmt.Fprintf(t.out, "FAIL %s\n", name)
	if output != nil {
		fmt.Fprint(t.out, output.String())
	}
}

// add keeps a line of output until the test ends, except what only says that it runs.
func (p *progress) add(test, line string) {
	for _, noise := range []string{"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME "} {
		if strings.HasPrefix(line, noise) {
			return
		}
	}
	if test == "" && (line == "PASS\n" || line == "FAIL\n") {
		return // the line with the package's name follows
	}
	b := p.output[test]
	if b == nil {
		b = &strings.Builder{}
		p.output[test] = b
	}
	if b.Len()+len(line) > 2*maxOutput {
		end := b.String()[b.Len()-maxOutput:]
		b = &strings.Builder{}
		b.WriteString("[the beginning is left out]\n" + end)
		p.output[test] = b
	}
	b.WriteString(line)
}

// reason returns what a skipped test said, as a suffix for its name.
func reason(output *strings.Builder) string {
	if output == nil {
		return ""
	}
	var said []string
	for line := range strings.Lines(output.String()) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "--- SKIP") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return ""
	}
	return ": " + strings.Join(said, " ")
}

// finish prints what is left to say, with the counts as the last line.
func (t *tally) finish() {
	for name, p := range t.packages {
		t.abandon(p, name+" (cut off)")
	}
	clear(t.packages)
	for _, name := range t.skipped {
		fmt.Fprintf(t.out, "skipped: %s\n", name)
	}
	for _, name := range t.failed {
		fmt.Fprintf(t.out, "failed: %s\n", name)
	}
	if t.passed+len(t.failed) == 0 {
		fmt.Fprintln(t.out, "no test has run")
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, len(t.failed), len(t.skipped))
}

// good reports whether tests have run and none failed.
func (t *tally) good() bool { return t.passed > 0 && len(t.failed) == 0 }
