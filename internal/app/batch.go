package app

import (
	"context"
	"log/slog"
	"time"
)

const (
	// busyLag is for how long due deliveries may wait before batch jobs make way
	// for them, and busyDepth how many may wait at all: half of what a queue in
	// memory takes.
	busyLag   = 2 * time.Second
	busyDepth = memoryQueueLimit / 2
	// dueLook is how many claimable deliveries are looked at.
	dueLook = 1000
)

// traffic measures how far deliveries are behind.
type traffic struct{ *engines }

// Busy reports whether due deliveries wait in the queue, or in the store to get
// there.
func (t traffic) Busy(ctx context.Context) (bool, error) {
	now := time.Now()
	_, oldest, err := t.store.DueDepth(ctx, now, dueLook)
	if err != nil || late(oldest, now) {
		return true, err
	}
	if t.queueIsStore {
		return false, nil
	}
	depth, err := t.queue.Depth(ctx)
	return late(depth.Oldest, now) || depth.Waiting >= busyDepth, err
}

func late(since, now time.Time) bool { return !since.IsZero() && now.Sub(since) > busyLag }

// jobs wakes the runners of all processes.
type jobs struct {
	*engines
	log *slog.Logger
}

// Wake says that a batch job waits; a runner that misses it looks by itself.
func (j jobs) Wake(ctx context.Context) {
	if err := j.bus.Publish(ctx, topicJobs, "now"); err != nil {
		j.log.Warn("batch job not announced", "err", err)
	}
}
