package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startDeadline bounds a start: the machine may be busy with other tests.
const startDeadline = 60 * time.Second

// process is one role of the gateway, which may be ended and started again on
// its port.
type process struct {
	t    testing.TB
	name string
	port int
	args []string
	env  []string

	cmd            *exec.Cmd
	stdout, stderr *output
	// ended is closed once the process is gone and its output is read.
	ended chan struct{}
}

// newProcess prepares a role; args are those of the command line without the
// port. It is killed at the end of the test, which shows its log if it failed.
func newProcess(t testing.TB, name string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, port: freePort(t), env: env, stdout: &output{}, stderr: &output{}}
	p.args = append(append([]string{}, args...), "--port", strconv.Itoa(p.port))
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.name, p.stderr.tail(4000))
		}
	})
	return p
}

// spawn runs the process and does not wait for it to be ready.
func (p *process) spawn() {
	p.t.Helper()
	p.cmd = exec.Command(binary, p.args...)
	p.cmd.Env = p.env
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.SysProcAttr = orphaned()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	ended, cmd := make(chan struct{}), p.cmd
	p.ended = ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its state says how it ended
	}()
}

// start runs the process and waits until it is ready.
func (p *process) start() {
	p.t.Helper()
	p.spawn()
	p.awaitReady()
}

func (p *process) awaitReady() {
	p.t.Helper()
	await(p.t, startDeadline, p.name+" is ready", func() error {
		select {
		case <-p.ended:
			p.t.Fatalf("%s has ended: %v\n%s", p.name, p.cmd.ProcessState, p.stderr.tail(4000))
		default:
		}
		status, body, err := fetch(p.t.Context(), p.url()+"/readyz")
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
}

func (p *process) url() string { return "http://127.0.0.1:" + strconv.Itoa(p.port) }

func (p *process) running() bool {
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	if p.running() {
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && p.running() {
		p.t.Errorf("signal %s: %v", p.name, err)
	}
}

// wait returns the exit code; the process must end before the deadline.
func (p *process) wait(deadline time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(deadline):
		p.t.Fatalf("%s still runs after %v", p.name, deadline)
	}
	return p.cmd.ProcessState.ExitCode()
}

// tool runs a command of the gateway that ends by itself and returns what it
// prints.
func tool(t testing.TB, env []string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("convoy %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// refusedTool runs a command that must fail and returns its complaint.
func refusedTool(t testing.TB, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || ctx.Err() != nil {
		t.Fatalf("convoy %s: %v, want it refused", strings.Join(args, " "), err)
	}
	return stderr.String()
}

// output keeps what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// maxOutput bounds what is kept of each stream.
const maxOutput = 4 << 20

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > maxOutput {
		o.buf.Next(maxOutput / 2)
	}
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) tail(n int) string {
	s := o.String()
	return s[max(0, len(s)-n):]
}

// ports that this run has handed out, so that two tests do not get the same.
var ports struct {
	sync.Mutex
	taken map[int]bool
}

// freePort returns a loopback port that nothing listens on, below the kernel's
// ephemeral range, so that a process finds it free when it comes back.
func freePort(t testing.TB) int {
	t.Helper()
	const first, last, tries = 20000, 31999, 200
	ports.Lock()
	defer ports.Unlock()
	if ports.taken == nil {
		ports.taken = make(map[int]bool)
	}
	for range tries {
		port := first + rand.IntN(last-first+1)
		if ports.taken[port] {
			continue
		}
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		if err := l.Close(); err == nil {
			ports.taken[port] = true
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// web is for requests to the gateway. Connections are not kept: a process that
// was killed would fail the next request on one.
var web = &http.Client{
	Timeout:   time.Minute,
	Transport: &http.Transport{DisableKeepAlives: true},
}

func fetch(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	res, err := web.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// metric reads one metric without labels.
func (p *process) metric(name string) (float64, error) {
	status, body, err := fetch(p.t.Context(), p.url()+"/metrics")
	if err != nil {
		return 0, err
	}
	if status != http.StatusOK {
		return 0, fmt.Errorf("metrics of %s: status %d", p.name, status)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, errors.New("no metric " + name)
}
