package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startDeadline = time.Minute
	stopGrace     = 15 * time.Second
	pollInterval  = 2 * time.Millisecond
)

// child is a server process under test. Its output goes to a file, which
// errors quote.
type child struct {
	name string
	port int // 0: it has none
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed once the process has ended
}

// command describes a process to start.
type command struct {
	name string
	path string
	args []string
	env  []string // added to an environment without CONVOY_ variables
	port int
}

// spawn starts a process that logs to a file in dir.
func spawn(dir string, c command) (*child, error) {
	path := filepath.Join(dir, fmt.Sprintf("%s-%d.log", strings.ReplaceAll(c.name, " ", "-"), time.Now().UnixNano()))
	log, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", c.name, err)
	}
	defer log.Close() // the process has its own descriptor
	p := &child{name: c.name, port: c.port, log: path, done: make(chan struct{})}
	p.cmd = exec.Command(c.path, c.args...) //nolint:noctx // stop ends it, with a grace
	p.cmd.Env = append(cleanEnvironment(), c.env...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A group of its own: an interrupt from the terminal ends the measurement
	// first, which then stops its servers in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit status is in ProcessState
		close(p.done)
	}()
	return p, nil
}

// output runs a command that ends by itself and returns its standard output.
func output(ctx context.Context, dir string, c command) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Env = append(cleanEnvironment(), c.env...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", c.name, err, lastLines(stdout.String()+stderr.String()))
	}
	return stdout.Bytes(), nil
}

// cleanEnvironment is the caller's, without settings of the server under test.
func cleanEnvironment() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "CONVOY_") {
			env = append(env, entry)
		}
	}
	return env
}

// ready waits until the process answers /readyz with 200.
func (p *child) ready(ctx context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	address := fmt.Sprintf("http://127.0.0.1:%d/readyz", p.port)
	return p.poll(ctx, "/readyz", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(response.Body, 300))
			return fmt.Errorf("%s answered %s: %s", address, response.Status, text)
		}
		return nil
	})
}

// poll repeats try until it returns nil, the process ends, or the deadline.
func (p *child) poll(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%v) before %s; its log %s ends with:\n%s",
				p.name, p.cmd.ProcessState, what, p.log, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s: no %s: %w; its log %s ends with:\n%s",
				p.name, what, errors.Join(ctx.Err(), err), p.log, p.tail())
		case <-time.After(pollInterval):
		}
	}
}

// stop ends the process: SIGTERM, then SIGKILL. That it had ended by itself is
// an error.
func (p *child) stop() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s had ended by itself (%v); its log %s ends with:\n%s", p.name, p.cmd.ProcessState, p.log, p.tail())
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has just ended
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return fmt.Errorf("%s did not end within %v of SIGTERM", p.name, stopGrace)
}

func (p *child) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text))
}

func lastLines(text string) string {
	const keep = 20
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return "\t" + strings.Join(lines[max(0, len(lines)-keep):], "\n\t")
}

// freePort returns a port that nothing listens on now.
func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer listener.Close()
	_, text, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	return strconv.Atoi(text)
}
