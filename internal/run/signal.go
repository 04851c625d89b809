package run

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Signals returns a context that is done at the first SIGINT or SIGTERM, with a
// cause that names the signal. The second one ends the process at once, with
// 128 plus the number of the signal, as shells do: 130 or 143. The returned
// function gives signals their default effect back and cancels the context; it
// must be called, and may be called again.
func Signals(ctx context.Context) (context.Context, func()) {
	// The two signals that mean something; a third has nothing to add.
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	ctx, stop := watch(ctx, received, os.Exit)
	return ctx, func() {
		signal.Stop(received)
		stop()
	}
}

// watch does the work of [Signals] for signals from any source. The function it
// returns waits until exit is not called any more.
func watch(ctx context.Context, received <-chan os.Signal, exit func(code int)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for first := true; ; first = false {
			select {
			case s := <-received:
				if !first {
					exit(exitCode(s))
					return
				}
				cancel(fmt.Errorf("received signal: %s", s))
			case <-quit:
				return
			}
		}
	}()
	var once sync.Once
	return ctx, func() {
		once.Do(func() { close(quit) })
		<-done
		cancel(nil)
	}
}

func exitCode(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}
