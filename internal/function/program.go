package function

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/grafana/sobek"
	"github.com/grafana/sobek/parser"

	"convoy"
)

// entryPoint is the function that a source must define.
const entryPoint = "transform"

// Program is a compiled function, safe for concurrent use: every run has a
// fresh engine, so that no run sees another.
type Program struct {
	source *sobek.Program
}

var (
	// prepare shuts what would compile text at run time: a parser recurses on
	// text of any length, and reviewers see only the source.
	prepare = mustCompile(`(function () {
	'use strict';
	var kinds = [function () {}, function* () {}, async function () {}];
	for (var i = 0; i < kinds.length; i++) {
		Object.defineProperty(Object.getPrototypeOf(kinds[i]), 'constructor', {value: undefined});
	}
	delete globalThis.eval;
	delete globalThis.Function;
})()`)
	// entry finds the entry point however it was declared.
	entry = mustCompile(`typeof ` + entryPoint + ` === 'function' ? ` + entryPoint + ` : undefined`)
)

func mustCompile(source string) *sobek.Program {
	p, err := compile(source)
	if err != nil {
		panic(err)
	}
	return p
}

func compile(source string) (*sobek.Program, error) {
	// A source map would be read from a file that the source names.
	tree, err := sobek.Parse("function", source, parser.WithDisableSourceMaps)
	if err != nil {
		return nil, err
	}
	return sobek.CompileAST(tree, false)
}

// Compile prepares a function. Its errors are of kind convoy.Invalid and say
// what is wrong with the source.
func Compile(source string) (*Program, error) {
	if err := checkSource(source); err != nil {
		return nil, err
	}
	p, err := compile(source)
	if err != nil {
		return nil, refused("function: %v", err)
	}
	return &Program{source: p}, nil
}

// Check runs what is outside the entry point, and says whether there is one.
func (p *Program) Check(ctx context.Context) error {
	vm := newMachine(time.Time{}, nil)
	stop := vm.limit(ctx)
	defer stop()
	_, err := vm.transform(p)
	return err
}

// Run gives the function a payload. now is the time as the function sees it,
// which does not pass; without one, asking for the time is an error in the
// function. Numbers that the function leaves alone keep their text. Errors of
// the function are of kind convoy.Invalid.
func (p *Program) Run(ctx context.Context, payload []byte, now time.Time) (result Result, err error) {
	if err := checkPayload(payload); err != nil {
		return Result{}, err
	}
	vm := newMachine(now, payload)
	defer func() { result.Log = vm.console.lines }()
	stop := vm.limit(ctx)
	defer stop()
	out, err := vm.run(p, payload)
	if err != nil {
		return Result{}, err
	}
	out = restoreNumbers(payload, out)
	if len(out) > MaxOutput {
		return Result{}, refused("function returned more than %d bytes", MaxOutput)
	}
	return Result{Payload: out}, nil
}

// machine is one engine, for one run.
type machine struct {
	*sobek.Runtime
	console   console
	stringify sobek.Callable
}

func newMachine(now time.Time, seed []byte) *machine {
	vm := &machine{Runtime: sobek.New()}
	vm.SetMaxCallStackSize(maxCalls)
	vm.SetTimeSource(func() time.Time {
		if now.IsZero() {
			panic(vm.NewTypeError("a function has no clock here: use a time in the payload"))
		}
		return now
	})
	// The same payload gives the same numbers, so that an event that is routed
	// twice becomes the same deliveries.
	var source *rand.Rand
	vm.SetRandSource(func() float64 {
		if source == nil {
			h := fnv.New64a()
			_, _ = h.Write(seed) // never fails
			source = rand.New(rand.NewPCG(h.Sum64(), 0))
		}
		return source.Float64()
	})
	if _, err := vm.RunProgram(prepare); err != nil {
		panic(err)
	}
	// Taken before the function may replace it.
	vm.stringify, _ = sobek.AssertFunction(vm.GlobalObject().Get("JSON").ToObject(vm.Runtime).Get("stringify"))
	vm.console.install(vm)
	return vm
}

// limit ends the run in time, and when ctx ends; stop takes that back.
func (vm *machine) limit(ctx context.Context) (stop func()) {
	timer := time.AfterFunc(MaxTime, func() { vm.Interrupt(errSlow) })
	cancel := context.AfterFunc(ctx, func() { vm.Interrupt(ctx.Err()) })
	return func() {
		timer.Stop()
		cancel()
	}
}

var errSlow = refused("function took longer than %v", MaxTime)

// run returns the JSON text of what the function returns.
func (vm *machine) run(p *Program, payload []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, panicked(r)
		}
	}()
	argument := vm.value(payload) // first, while no prototype has been touched
	transform, err := vm.transform(p)
	if err != nil {
		return nil, err
	}
	returned, err := transform(sobek.Undefined(), argument)
	if err != nil {
		return nil, fault(err)
	}
	if returned, err = settled(returned); err != nil {
		return nil, err
	}
	text, err := vm.stringify(sobek.Undefined(), returned)
	if err != nil {
		return nil, fault(err)
	}
	if sobek.IsUndefined(text) {
		return nil, refused("%s must return a JSON value", entryPoint)
	}
	return []byte(text.String()), nil
}

// transform runs the source and finds the entry point.
func (vm *machine) transform(p *Program) (f sobek.Callable, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, panicked(r)
		}
	}()
	if _, err := vm.RunProgram(p.source); err != nil {
		return nil, fault(err)
	}
	v, err := vm.RunProgram(entry)
	if err != nil {
		return nil, fault(err)
	}
	f, ok := sobek.AssertFunction(v)
	if !ok {
		return nil, refused("function must define function %s(payload)", entryPoint)
	}
	return f, nil
}

var promiseType = reflect.TypeFor[*sobek.Promise]()

// settled is what an asynchronous function returned. There is nothing to wait
// for in a function, so its promise is settled when the call is over.
func settled(v sobek.Value) (sobek.Value, error) {
	o, ok := v.(*sobek.Object)
	if !ok || o.ExportType() != promiseType {
		return v, nil
	}
	p, ok := o.Export().(*sobek.Promise)
	if !ok {
		return v, nil
	}
	switch p.State() {
	case sobek.PromiseStateFulfilled:
		return p.Result(), nil
	case sobek.PromiseStateRejected:
		return nil, refused("function threw: %s", p.Result().String())
	default:
		return nil, refused("%s returned a promise that nothing settles", entryPoint)
	}
}

// fault turns what ended a script into an error for whoever wrote it.
func fault(err error) error {
	var (
		interrupted *sobek.InterruptedError
		overflow    *sobek.StackOverflowError
		thrown      *sobek.Exception
	)
	switch {
	case errors.As(err, &interrupted):
		if cause, ok := interrupted.Value().(*convoy.Error); ok {
			return cause
		}
		if cause, ok := interrupted.Value().(error); ok {
			return fmt.Errorf("run function: %w", cause)
		}
		return errSlow
	case errors.As(err, &overflow):
		return refused("function has more than %d calls inside each other", maxCalls)
	case errors.As(err, &thrown):
		return refused("function threw: %s", thrown.Error())
	default:
		return refused("function: %v", err)
	}
}

// panicked is the error for a panic in the engine. Values of JavaScript thrown
// outside of a call come as panics, too.
func panicked(r any) error {
	switch r := r.(type) {
	case *sobek.InterruptedError:
		return fault(r)
	case error:
		return refused("function: %v", r)
	case sobek.Value:
		return refused("function threw: %s", r.String())
	default:
		return refused("function: %v", r)
	}
}
