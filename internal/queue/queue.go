// Package queue says which ids are due and leases them to whoever works on
// them. It carries ids and times, never payloads: the store is the truth, and
// everything a [Queue] holds may be lost at any time, because a sweep of the
// store offers it again. What it holds is the near future; work that is due in
// hours waits in the store.
//
// There are three engines: [Memory] for one process, [Redis] for many, and
// [Stored] for many without Redis, whose queue is the table itself.
//
// [Stream], the durable log of accepted events that wait to be persisted, is
// the exception to the first paragraph: it does carry payloads, and losing it
// loses them.
package queue

import (
	"context"
	"time"
)

// MaxBatch is the most ids one Pull leases. Longer arguments of the other
// methods are worked off in pieces of this size.
const MaxBatch = 1000

// Item is an id and when it is due, with a precision of microseconds.
type Item struct {
	ID  string
	Due time.Time
}

// Depth is how much waits in a queue.
type Depth struct {
	// Waiting counts the ids that nobody has leased, due or not.
	Waiting int
	// Oldest is since when the longest due of them has been due; zero when
	// none is due.
	Oldest time.Time
}

// Queue hands out due ids. An id is in it at most once: waiting, or leased.
//
// It is at least once: an id is leased to one puller at a time, but whoever
// outlives the lease may find another working on the same id, so the store
// decides who may act. All methods are safe for concurrent use and return
// within seconds when the engine is away; whoever gets an error tries again or
// leaves it to the sweep.
type Queue interface {
	// Push makes ids due. An id that waits already keeps the earlier time. One
	// that is leased stays leased, and the time given is forgotten.
	Push(ctx context.Context, items []Item) error
	// Pull waits until at least one id is due and leases at most max of them
	// (between 1 and MaxBatch), the longest due first. An id whose lease ends
	// without Done or Later is due again, from that moment on. When ctx ends
	// first Pull returns its error.
	Pull(ctx context.Context, max int, lease time.Duration) ([]Item, error)
	// Done forgets ids, leased or waiting.
	Done(ctx context.Context, ids []string) error
	// Later makes ids due at exactly the given times, and ends their leases.
	// An id the queue does not know is added.
	Later(ctx context.Context, items []Item) error
	// Depth measures what waits.
	Depth(ctx context.Context) (Depth, error)
}
