// Package limit says when something may happen that is allowed so often and no
// more: the rates of endpoints, subscriptions and projects, and those of the API
// itself. It knows neither deliveries nor requests, only keys, and holds nobody
// up: it answers with a time, and whoever asked waits or does not.
//
// There are three engines: [Memory] for one process, [Redis] for many, and
// [Stored] for many that share a database and nothing else. All three decide as
// slots.go says. For a caller that asks thousands of times a second and needs
// no exact time, [Meter] and [Shared] answer from memory.
//
// What an engine holds may be lost at any time, at the cost of one burst.
package limit

import (
	"context"
	"strconv"
	"time"
)

// MaxLimits is how many limits one request may be under.
const MaxLimits = 3

// Limit allows Count per Period to whatever Key names. It is paced: events come
// evenly, Period/Count apart, but for a small burst, so that no stretch of
// Period has more than Count and the burst.
type Limit struct {
	Key    string
	Count  int
	Period time.Duration
	// Burst is how many may come at once after a pause; 0 stands for a fiftieth
	// of Count and one.
	Burst int
}

// Spacing is the time between two events at the full rate, in whole
// microseconds.
func (l Limit) Spacing() time.Duration {
	count := max(int64(l.Count), 1)
	return time.Duration(max((l.Period.Microseconds()+count-1)/count, 1)) * time.Microsecond
}

// name is the key of the limit's state: with another rate it is another limit,
// so that what was reserved at the old one does not count.
func (l Limit) name() string {
	return l.Key + "@" + strconv.Itoa(l.Count) + "/" + l.Period.String()
}

// burst is Burst, or what stands for it.
func (l Limit) burst() int64 {
	if l.Burst > 0 {
		return int64(l.Burst)
	}
	return 1 + int64(l.Count)/50
}

// Request asks for a slot: a time at which something is allowed by all of its
// limits.
type Request struct {
	// Group names what the limits have in common, such as their project; engines
	// decide about requests of one group in one step.
	Group string
	// Limits are between one and [MaxLimits], each with a key of its own.
	Limits []Limit
	// N is how many tokens the slot costs; 0 only asks when the next one is. A
	// request for more than one has one limit.
	N int
	// Horizon is how far ahead a slot may be reserved.
	Horizon time.Duration
}

// Grant answers a request.
type Grant struct {
	// OK says that the slot is the caller's: it may act after Wait, at once when
	// that is zero, and need not ask again.
	OK bool
	// Wait is the time until the slot; without OK, a time beyond the horizon
	// before which there is none.
	Wait time.Duration
	// By is the index of the limit that made Wait as long as it is.
	By int
}

// Limiter reserves slots. It is safe for concurrent use, and returns within
// seconds when its engine is away.
type Limiter interface {
	// Reserve answers requests in order, each atomically: all its limits are
	// charged, or none. An error leaves open whether any was.
	Reserve(ctx context.Context, requests []Request) ([]Grant, error)
}

// Free is how many slots of a limit lie within horizon, if the next free one is
// wait away.
func Free(l Limit, wait, horizon time.Duration) int {
	if wait > horizon {
		return 0
	}
	n := int64((horizon-wait)/l.Spacing()) + 1
	if wait == 0 {
		n += l.burst() - 1
	}
	return int(n)
}
