package queue

import (
	"context"
	"time"
)

// BuryIdle deletes consumers that hold nothing and have been idle that long:
// what Reclaim does after an hour, which no test waits for.
func (s *Stream) BuryIdle(ctx context.Context, idle time.Duration) error {
	return s.buryIdle(ctx, "", idle)
}

// SetClock gives the queue a clock other than that of its server.
func (r *Redis) SetClock(now func() time.Time) { r.now = now }
