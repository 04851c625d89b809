package function

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"convoy"
)

const (
	// grace is how much longer than a run's time limit a process may take to
	// answer: it ends itself before, unless the machine is very busy.
	grace = 2 * time.Second
	// idleTime is how long a process waits for its next run. Each takes some
	// 20 MB, which an instance that runs no functions should not have to spare.
	idleTime = time.Minute
)

// sandbox runs functions in processes, one at a time in each.
type sandbox struct {
	command []string
	// slots has room for as many runs as there may be processes.
	slots chan struct{}

	mu     sync.Mutex
	idle   []*worker // the one used last is last
	closed bool
}

func newSandbox(cfg Config) *sandbox {
	n := cfg.Processes
	if n <= 0 {
		n = max(2, runtime.GOMAXPROCS(0))
	}
	return &sandbox{command: cfg.Command, slots: make(chan struct{}, n)}
}

// do runs one request in a process.
func (s *sandbox) do(ctx context.Context, r request) (Result, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return Result{}, fmt.Errorf("run function: %w", ctx.Err())
	}
	w, err := s.worker()
	if err != nil {
		return Result{}, fmt.Errorf("run function: %w", err)
	}
	result, fault, err := w.do(ctx, r)
	if err == nil {
		s.release(w)
		return result, fault
	}
	state := w.kill()
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("run function: %w", ctx.Err())
	}
	switch {
	case state.ExitCode() == exitMemory, state.ExitCode() == exitCrash, state.ExitCode() == exitRace:
		return Result{}, errGreedy
	case state.ExitCode() == exitSlow, errors.Is(err, os.ErrDeadlineExceeded):
		return Result{}, errSlow
	}
	return Result{}, fmt.Errorf("run function: process ended (%s): %w", state, err)
}

// exitRace is how a build with the race detector ends when it gets no memory.
const exitRace = 66

var errGreedy = refused("function took more than %d MiB of memory, or nested too deep", MaxMemory>>20)

// worker takes an idle process, or starts one.
func (s *sandbox) worker() (*worker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, convoy.E(convoy.Unavailable, "the process is stopping")
	}
	if n := len(s.idle); n > 0 {
		w := s.idle[n-1]
		s.idle = s.idle[:n-1]
		w.timer.Stop()
		return w, nil
	}
	return startWorker(s.command)
}

// release keeps a process for the next run, for a while.
func (s *sandbox) release(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		go w.kill()
		return
	}
	w.timer = time.AfterFunc(idleTime, func() { s.expire(w) })
	s.idle = append(s.idle, w)
}

// expire ends a process unless it has been taken again.
func (s *sandbox) expire(w *worker) {
	s.mu.Lock()
	for i, other := range s.idle {
		if other == w {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			defer w.kill()
			break
		}
	}
	s.mu.Unlock()
}

func (s *sandbox) close() {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, w := range idle {
		w.timer.Stop()
		w.kill()
	}
}

// worker is one process.
type worker struct {
	cmd     *exec.Cmd
	in, out *os.File
	timer   *time.Timer // ends it while it is idle
}

// startWorker starts a process that has nothing of this one: no environment, no
// files, no standard error, on which a crash would show what it was given.
func startWorker(command []string) (*worker, error) {
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		_ = childIn.Close()
		_ = in.Close()
		return nil, err
	}
	// Not bound to a context: it serves many. It ends when its input does.
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // see above
	cmd.Env = []string{"TZ=", "GOTRACEBACK=none", "GOMAXPROCS=2"}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout = childIn, childOut
	err = cmd.Start()
	_ = childIn.Close()
	_ = childOut.Close()
	if err != nil {
		_ = in.Close()
		_ = out.Close()
		return nil, fmt.Errorf("start process: %w", err)
	}
	return &worker{cmd: cmd, in: in, out: out}, nil
}

// do sends a request and reads the answer: the result and the error of the
// function. After err the process is of no use any more.
func (w *worker) do(ctx context.Context, r request) (result Result, fault, err error) {
	end := time.Now().Add(MaxTime + grace)
	if err := errors.Join(w.in.SetDeadline(end), w.out.SetDeadline(end)); err != nil {
		return Result{}, nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = w.in.SetDeadline(time.Unix(1, 0))
		_ = w.out.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() && err == nil { // the deadlines are, or will be, in the past
			err = ctx.Err()
		}
	}()
	if err := writeRequest(w.in, r); err != nil {
		return Result{}, nil, err
	}
	return readAnswer(w.out)
}

// kill ends the process. One that has ended by itself keeps its own state.
func (w *worker) kill() *os.ProcessState {
	_ = w.in.Close()
	_ = w.out.Close()
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait() // its state says it all
	return w.cmd.ProcessState
}
