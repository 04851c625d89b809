// Package run is the life of a process: it starts its long-lived parts, stops
// them in the right order, and turns signals into a context.
//
// It knows nothing of what the parts do. It does not restart what has failed;
// whatever supervises the process does that.
package run

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Runner is the shape of everything long-lived. Run works until ctx is done and
// then finishes what it has begun; [Abandon] says how long it may take. It
// returns nil or [context.Canceled] when it was stopped. It owns its goroutines:
// none is left when it returns.
type Runner interface {
	Run(ctx context.Context) error
}

// Stage is one part of a process. Run has the duties of [Runner].
type Stage struct {
	Name string
	Run  func(ctx context.Context) error
}

// Group runs stages together. It is itself a [Runner].
type Group struct {
	// Stages are started in this order and stopped in the reverse one, so a
	// stage comes after those it needs. Starting does not wait for anything:
	// what must be ready beforehand is made ready by its constructor.
	Stages []Stage
	// Drain is how long all stages together may take to stop before what they
	// still do is abandoned; zero is [DefaultDrain].
	Drain time.Duration
}

var _ Runner = Group{}

const (
	// DefaultDrain leaves 5 s of the 30 s that Kubernetes grants by default.
	DefaultDrain = 25 * time.Second

	// patience is how long a stage is waited for once work is abandoned. It is
	// spent on each stage that hangs, so it is short.
	patience = 2 * time.Second
)

// ErrAbandoned says that the drain time ended before the work did. It is the
// cause (see [context.Cause]) of the context that [Abandon] returns.
var ErrAbandoned = errors.New("drain time is over")

// ErrStuck says that a stage did not return even after its work was abandoned;
// its goroutine is still running.
var ErrStuck = errors.New("did not stop")

// PanicError is a panic in a stage.
type PanicError struct {
	Value any
	// Stack is of the goroutine that panicked, as by [debug.Stack].
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap returns the value of the panic when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

type abandonKey struct{}

// Abandon returns the context of the last moment: work that a stage finishes
// after its own context is done runs under this one. In a [Group] it is done
// when the drain time is over; elsewhere it is ctx, so stopping abandons.
func Abandon(ctx context.Context) context.Context {
	if last, ok := ctx.Value(abandonKey{}).(context.Context); ok {
		return last
	}
	return ctx
}

// All runs stages as a [Group] with [DefaultDrain].
func All(ctx context.Context, stages ...Stage) error {
	return Group{Stages: stages, Drain: DefaultDrain}.Run(ctx)
}

// Run starts the stages and waits for them. When ctx is done or a stage fails,
// it tells the last stage to stop, waits for it, and goes on to the one before,
// until none is left. A stage that returns nil early has done its work; the
// others go on.
//
// The result is the first failure, with the name of its stage. Without one it
// is nil, or [ErrAbandoned] or [ErrStuck] when not everything came to its end.
// A panic is a failure, a [*PanicError].
func (g Group) Run(ctx context.Context) error { //nolint:contextcheck // see outer
	if ctx.Err() != nil {
		return nil
	}
	r := &running{
		stages:  g.Stages,
		stops:   make([]context.CancelFunc, len(g.Stages)),
		told:    make([]bool, len(g.Stages)),
		ended:   make([]bool, len(g.Stages)),
		results: make(chan result, len(g.Stages)), // one from each stage, so none ever waits to send
		left:    len(g.Stages),
	}
	// A group in a stage of another abandons when the outer one does.
	last, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abandon(nil)
	if outer, ok := ctx.Value(abandonKey{}).(context.Context); ok {
		detach := context.AfterFunc(outer, func() { abandon(context.Cause(outer)) }) //nolint:contextcheck // outer comes out of ctx
		defer detach()
	}
	base := context.WithValue(last, abandonKey{}, last)
	for i := range g.Stages {
		// Abandoning must not stop a stage out of turn.
		stageCtx, stop := context.WithCancel(context.WithoutCancel(base))
		defer stop()
		r.stops[i] = stop
		go r.run(stageCtx, i)
	}
	for r.left > 0 && r.failure == nil && ctx.Err() == nil {
		select {
		case res := <-r.results:
			r.note(res)
		case <-ctx.Done():
		}
	}
	drain := g.Drain
	if drain == 0 {
		drain = DefaultDrain
	}
	return r.stop(last, drain, abandon)
}

// result is how a stage ended.
type result struct {
	stage int
	err   error
}

// running is a group that has been started. Only the goroutine of Group.Run
// touches it; a stage only sends to results.
type running struct {
	stages  []Stage
	stops   []context.CancelFunc
	told    []bool // asked to stop
	ended   []bool
	results chan result
	left    int   // stages that have not ended
	failure error // the first
	late    error // the first stage that outlived the drain time
}

// note records that a stage ended.
func (r *running) note(res result) {
	r.ended[res.stage] = true
	r.left--
	if res.err == nil || r.told[res.stage] && errors.Is(res.err, context.Canceled) {
		return
	}
	if r.failure == nil {
		r.failure = fmt.Errorf("%s: %w", r.stages[res.stage].Name, res.err)
	}
}

func (r *running) stop(last context.Context, drain time.Duration, abandon context.CancelCauseFunc) error {
	deadline := time.AfterFunc(drain, func() { abandon(ErrAbandoned) })
	defer deadline.Stop()
	for i := len(r.stages) - 1; i >= 0; i-- {
		r.told[i] = true
		r.stops[i]()
		r.await(last, i)
	}
	if r.failure != nil {
		return r.failure
	}
	return r.late
}

// await waits for a stage that was told to stop.
func (r *running) await(last context.Context, i int) {
	over := last.Done()
	var enough <-chan time.Time
	for !r.ended[i] {
		select {
		case res := <-r.results:
			r.note(res)
		case <-over:
			over = nil
			enough = time.After(patience)
			r.lateness(i, context.Cause(last))
		case <-enough:
			r.late = nil // being stuck is the worse news
			r.lateness(i, ErrStuck)
			return
		}
	}
}

func (r *running) lateness(i int, err error) {
	if r.late == nil {
		r.late = fmt.Errorf("%s: %w", r.stages[i].Name, err)
	}
}

// errExit says that a stage ended its goroutine with [runtime.Goexit].
var errExit = errors.New("ended its goroutine without returning")

// run runs a stage and reports how it ended, however abnormally.
func (r *running) run(ctx context.Context, i int) {
	err := errExit
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		r.results <- result{i, err}
	}()
	err = r.stages[i].Run(ctx)
}
