package function

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"convoy"
)

// How a process that runs functions says why it has ended itself. exitCrash is
// how the Go runtime does: the stack, or what the system gives, was used up.
const (
	exitCrash  = 2
	exitMemory = 70
	exitSlow   = 71
)

const (
	// watchInterval is how often memory is looked at: at the pace of a memory
	// allocator at most some 50 MB come between two looks.
	watchInterval = 5 * time.Millisecond
	// maxStack is how deep the engine's own functions may go, in bytes. It
	// takes more than payloads and calls within their limits need.
	maxStack = 64 << 20
	// maxAddressSpace is how much the process may map beyond what it has when it
	// starts, in bytes: the bound on one single allocation.
	maxAddressSpace = 1 << 30
)

// Serve runs functions for the process at the other end of in and out, until in
// ends. It changes limits of the whole process, and ends it when a function
// takes too much.
func Serve(in io.Reader, out io.Writer) error {
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(MaxMemory * 3 / 4) // garbage is collected rather than counted
	if err := limitAddressSpace(maxAddressSpace); err != nil {
		return fmt.Errorf("serve functions: %w", err)
	}
	requests := make(chan request) // unbuffered: one run at a time
	go func() {
		r := bufio.NewReader(in)
		for {
			q, err := readRequest(r)
			if err != nil {
				// Whoever wanted the run has gone, even if it never ends.
				os.Exit(0)
			}
			requests <- q
		}
	}()
	cache := New(Config{Programs: 64})
	for q := range requests {
		stop := watch()
		result, err := cache.run(context.Background(), q)
		stop()
		if !q.log {
			result.Log = nil
		}
		if err != nil && convoy.KindOf(err) != convoy.Invalid {
			return fmt.Errorf("serve functions: %w", err)
		}
		if err := writeAnswer(out, result, err); err != nil {
			return fmt.Errorf("serve functions: %w", err)
		}
	}
	return errors.New("serve functions: no more requests")
}

// watch ends the process when a run takes too much memory, or does not heed its
// time limit: built-in functions of the engine cannot be interrupted.
func watch() (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		late := time.NewTimer(MaxTime + MaxTime/4)
		defer late.Stop()
		heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			select {
			case <-done:
				return
			case <-late.C:
				os.Exit(exitSlow)
			case <-tick.C:
				if metrics.Read(heap); heap[0].Value.Uint64() > MaxMemory {
					os.Exit(exitMemory)
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
