// Package batch gathers items from many goroutines into batches for one: the
// natural batching of the hot path. An idle batcher flushes at once; while a
// flush is under way the next batch gathers. There is no timer and no
// goroutine per item. It keeps nothing: what is in it when the process dies
// was never acknowledged.
package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrClosed is returned for items given to a batcher that has stopped.
var ErrClosed = errors.New("batcher stopped")

// Errors is the error of a flush that has failed for some of its items: one for
// each, in their order, nil for those that are flushed.
type Errors []error

func (e Errors) Error() string { return errors.Join(e...).Error() }

// Config bounds a batcher.
type Config struct {
	// MaxItems and MaxBytes bound one batch. A single item over MaxBytes is a
	// batch of its own.
	MaxItems, MaxBytes int
	// Pending bounds the items waiting for the next batch; givers wait beyond.
	Pending int
	// FlushTimeout bounds one flush.
	FlushTimeout time.Duration
	// Observe, if set, is told the size and duration of each flush.
	Observe func(items int, d time.Duration)
}

// Batcher hands items of type T to its flush function in batches.
type Batcher[T any] struct {
	cfg   Config
	size  func(T) int
	flush func(ctx context.Context, items []T) error
	in    chan entry[T]
	done  chan struct{}
	// results are reused: one, of chan error, is in use by each waiting
	// goroutine.
	results sync.Pool
}

type entry[T any] struct {
	item T
	// result gets the flush's error; nil when nobody waits.
	result chan error
}

// New makes a batcher. size gives an item's bytes; flush is called by one
// goroutine at a time and must not keep the slice; it may return [Errors].
func New[T any](cfg Config, size func(T) int, flush func(ctx context.Context, items []T) error) *Batcher[T] {
	return &Batcher[T]{
		cfg: cfg, size: size, flush: flush,
		// The channel is the waiting room: its bound is the most that can be
		// lost in memory, none of it acknowledged.
		in:      make(chan entry[T], cfg.Pending),
		done:    make(chan struct{}),
		results: sync.Pool{New: func() any { return make(chan error, 1) }},
	}
}

// Do gives an item and waits for its batch, returning the flush's error. When
// ctx ends first the item may still be flushed.
func (b *Batcher[T]) Do(ctx context.Context, item T) error {
	res, err := b.give(ctx, item)
	if err != nil {
		return err
	}
	return b.wait(ctx, res)
}

// DoAll is Do for several items, which may end up in one batch or in more. It
// returns an error for each, nil for those that were flushed.
func (b *Batcher[T]) DoAll(ctx context.Context, items []T) []error {
	errs := make([]error, len(items))
	results := make([]chan error, len(items))
	for i, item := range items {
		results[i], errs[i] = b.give(ctx, item)
	}
	for i, res := range results {
		if res != nil {
			errs[i] = b.wait(ctx, res)
		}
	}
	return errs
}

// give puts an item into the waiting room and returns where its result comes.
func (b *Batcher[T]) give(ctx context.Context, item T) (chan error, error) {
	res := b.results.Get().(chan error)
	select {
	case b.in <- entry[T]{item, res}:
		return res, nil
	case <-ctx.Done():
		b.results.Put(res)
		return nil, ctx.Err()
	case <-b.done:
		b.results.Put(res)
		return nil, ErrClosed
	}
}

func (b *Batcher[T]) wait(ctx context.Context, res chan error) error {
	select {
	case err := <-res:
		b.results.Put(res)
		return err
	case <-ctx.Done():
		// res may still be written to, so it is not reused.
		return ctx.Err()
	case <-b.done:
		// The last flush and the end can both be ready.
		select {
		case err := <-res:
			return err
		default:
			return ErrClosed
		}
	}
}

// Put gives an item without waiting for its batch; it waits only while
// Config.Pending items are waiting already.
func (b *Batcher[T]) Put(ctx context.Context, item T) error {
	select {
	case <-b.done:
		return ErrClosed
	default:
	}
	select {
	case b.in <- entry[T]{item: item}:
	case <-b.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	// Given before the end, it is in the last batches; else it may not be.
	select {
	case <-b.done:
		return ErrClosed
	default:
		return nil
	}
}

// Len is the number of items waiting for the next batch.
func (b *Batcher[T]) Len() int { return len(b.in) }

// Run flushes until ctx ends, then flushes what is waiting and returns. Givers
// should have stopped by then; any that have not get ErrClosed, and what they
// gave may or may not be flushed.
func (b *Batcher[T]) Run(ctx context.Context) error {
	b.run(ctx)
	close(b.done)
	// An item can have come between the last look and the close.
	b.run(ctx)
	return nil
}

// run flushes until ctx has ended and nothing waits.
func (b *Batcher[T]) run(ctx context.Context) {
	var (
		items   []T
		waiters []chan error
		held    *entry[T] // taken from the channel but over MaxBytes for its batch
	)
	for {
		var first entry[T]
		if held != nil {
			first, held = *held, nil
		} else {
			select {
			case first = <-b.in:
			case <-ctx.Done():
				select {
				case first = <-b.in:
				default:
					return
				}
			}
		}
		items, waiters = append(items[:0], first.item), append(waiters[:0], first.result)
		bytes := b.size(first.item)
	gather:
		for len(items) < b.cfg.MaxItems {
			select {
			case e := <-b.in:
				n := b.size(e.item)
				if bytes+n > b.cfg.MaxBytes {
					held = &e
					break gather
				}
				bytes += n
				items, waiters = append(items, e.item), append(waiters, e.result)
			default:
				break gather
			}
		}
		err := b.flushOne(ctx, items)
		each, _ := err.(Errors) //nolint:errorlint // flush returns it bare
		for i, w := range waiters {
			switch {
			case w == nil:
			case len(each) == len(items):
				w <- each[i]
			default:
				w <- err
			}
		}
		clear(items)
	}
}

// flushOne runs one flush to its end even when ctx has ended: what was taken
// is finished. A panic in one batch is that batch's error, not the process's.
func (b *Batcher[T]) flushOne(ctx context.Context, items []T) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.cfg.FlushTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("batch flush panicked: %v", p)
		}
	}()
	start := time.Now()
	err = b.flush(ctx, items)
	if b.cfg.Observe != nil {
		b.cfg.Observe(len(items), time.Since(start))
	}
	return err
}
