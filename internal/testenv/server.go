package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startDeadline bounds a start: PostgreSQL may have to recover after a crash first.
	startDeadline = time.Minute
	// pollInterval is the wait between two questions whether a server is ready.
	pollInterval = 10 * time.Millisecond
	// tailSize is how many bytes of a server's last output an error quotes.
	tailSize = 4 << 10
	// drainDeadline bounds the wait for the output of a server that has ended: a child of it that
	// lives on would keep the pipe open.
	drainDeadline = 2 * time.Second
)

// errExited reports that a server ended before it was ready.
var errExited = errors.New("ended before it was ready")

// A stop is one step of ending a server: a signal, and how long it may take.
type stop struct {
	signal syscall.Signal
	grace  time.Duration
}

// spec says how to run a server and how to talk to its process.
type spec struct {
	name    string
	path    string
	args    []string
	place   place
	log     io.Writer
	orphan  syscall.Signal                           // what the kernel sends it when this process dies
	stops   []stop                                   // in this order, until it has ended
	crash   syscall.Signal                           // ends it at once, without a clean shutdown
	prepare func() error                             // before each start; may be nil
	ready   func(ctx context.Context, pid int) error // nil error: this very process answers
}

// server is one server process, which may be stopped and started again in place. All its methods
// may be called from several goroutines.
type server struct {
	spec spec

	mu    sync.Mutex // held while starting and stopping, so one follows the other
	child *child     // nil while stopped
	cpu   time.Duration
	peak  int64 // bytes
}

// child is one run of a server.
type child struct {
	cmd  *exec.Cmd
	tail *tail
	done chan struct{} // closed once the process has ended and its output is read
}

// context returns a context that also ends, because of errExited, when the process does.
func (c *child) context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case <-c.done:
			cancel(errExited)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Start runs the server, on the port and the data that it had before, and returns once it answers.
func (s *server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap()
	if s.child != nil {
		return fmt.Errorf("start %s: already running as process %d", s.spec.name, s.child.cmd.Process.Pid)
	}
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	if s.spec.prepare != nil {
		if err := s.spec.prepare(); err != nil {
			return fmt.Errorf("prepare %s: %w", s.spec.name, err)
		}
	}
	c, err := s.spec.spawn()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.spec.name, err)
	}
	s.child = c
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w%s", s.spec.name, err, c.tail), s.end(s.spec.killing()))
	}
	return nil
}

// awaitReady returns once the server answers.
func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := s.child.context(ctx)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := s.spec.ready(ctx, s.child.cmd.Process.Pid)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errExited) {
				return fmt.Errorf("%w (%s)", errExited, s.child.cmd.ProcessState)
			}
			return fmt.Errorf("no answer: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// Stop shuts the server down cleanly, with more force after a deadline, and returns once it has
// ended. Its data and port stay for a later Start. Stopping a stopped server does nothing.
func (s *server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(s.spec.stops)
}

// Kill ends the server at once, as a crash would, and returns once it has ended.
func (s *server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(s.spec.killing())
}

// Restart stops the server and starts it again, on the same port and the same data.
func (s *server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Close stops the server, and removes its directory unless the caller had named one.
func (s *server) Close() error {
	return errors.Join(s.Stop(), s.spec.place.remove())
}

// PID returns the id of the server's (main) process, 0 while it is stopped.
func (s *server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap()
	if s.child == nil {
		return 0
	}
	return s.child.cmd.Process.Pid
}

// Usage returns what the server has used over all its runs so far: processor time (user and
// system) of all its processes, ended ones included, and its peak memory in bytes.
//
// Memory counts pages that processes share once. A server of several processes has no counter of
// its peak, so there it is the highest value that any call of Usage has seen: call it regularly.
func (s *server) Usage() (cpu time.Duration, peakRSS int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap()
	if s.child == nil {
		return s.cpu, s.peak, nil
	}
	cpu, rss, err := processUsage(s.child.cmd.Process.Pid)
	if err != nil {
		return 0, 0, fmt.Errorf("usage of %s: %w", s.spec.name, err)
	}
	s.peak = max(s.peak, rss)
	return s.cpu + cpu, s.peak, nil
}

// reap takes note of a child that has ended by itself.
func (s *server) reap() {
	if s.child == nil {
		return
	}
	select {
	case <-s.child.done:
		s.forget()
	default:
	}
}

// forget adds an ended child to the totals.
func (s *server) forget() {
	state := s.child.cmd.ProcessState
	s.cpu += state.UserTime() + state.SystemTime() // of its own children too
	s.peak = max(s.peak, maxRSS(state))
	s.child = nil
}

// end takes the steps until the child has ended.
func (s *server) end(steps []stop) error {
	s.reap()
	if s.child == nil {
		return nil
	}
	for _, step := range steps {
		// The process is a child that nobody else waits for, so its id cannot be another's.
		if err := s.child.cmd.Process.Signal(step.signal); err != nil && !isDone(err) {
			return fmt.Errorf("stop %s: %w", s.spec.name, err)
		}
		grace := time.NewTimer(step.grace)
		select {
		case <-s.child.done:
			grace.Stop()
			s.forget()
			return nil
		case <-grace.C:
		}
	}
	return fmt.Errorf("stop %s: process %d is still there after %v", s.spec.name, s.child.cmd.Process.Pid, steps[len(steps)-1].signal)
}

// killing is the steps of an end without a clean shutdown.
func (sp spec) killing() []stop {
	const grace = 10 * time.Second
	return []stop{{sp.crash, grace}, {syscall.SIGKILL, grace}}
}

// spawn starts a process. The thread that does so stays locked until the process has ended: the
// kernel sends the death signal when the thread, not the process, of the parent ends.
func (sp spec) spawn() (*child, error) {
	c := &child{tail: &tail{}, done: make(chan struct{})}
	c.cmd = exec.Command(sp.path, sp.args...) //nolint:noctx // it outlives the context of its start, and ends by Stop
	c.cmd.Dir = sp.place.dir
	c.cmd.SysProcAttr = processAttributes(sp.orphan, sp.place.account)
	c.cmd.WaitDelay = drainDeadline
	var out io.Writer = c.tail
	if sp.log != nil {
		out = io.MultiWriter(c.tail, sp.log)
	}
	c.cmd.Stdout, c.cmd.Stderr = out, out

	started := make(chan error, 1) // one value, so that the goroutine never waits for the reader
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		// The exit status is in ProcessState; an end by a signal of ours is no error.
		_ = c.cmd.Wait()
		close(c.done)
	}()
	return c, <-started
}

// onFreePort starts a server on a port that is free now, and on another one if somebody takes it
// in the meantime, or a port that goes with it (Redis Cluster listens on a second one).
func onFreePort(ctx context.Context, s *server, specify func(port int) spec) (int, error) {
	const tries = 5 // losing the race for a port twice in a row is already unlikely
	for try := 1; ; try++ {
		port, err := freePort()
		if err != nil {
			return 0, err
		}
		s.spec = specify(port)
		err = s.Start(ctx)
		if err == nil {
			return port, nil
		}
		if try == tries || !errors.Is(err, errExited) || !strings.Contains(err.Error(), "ddress already in use") {
			return 0, err
		}
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if extra := len(t.buf) - tailSize; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(p), nil
}

// String returns what is kept as an indented block for the end of an error, "" if there is nothing.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(bytes.ToValidUTF8(t.buf, nil)))
	if text == "" {
		return ""
	}
	return "; its last output:\n\t" + strings.ReplaceAll(text, "\n", "\n\t")
}
