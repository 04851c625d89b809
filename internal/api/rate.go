package api

import (
	"context"
	"time"
)

// bucket holds tokens. Take takes n of them and returns zero, or how long until
// there are some.
type bucket interface {
	Take(ctx context.Context, n int) time.Duration
}

// Rate limits how many requests or events are taken. The zero value does not.
type Rate struct {
	Bucket bucket
	// Count is how many the bucket takes in a minute, for the answer.
	Count int
}

// limitedError is the answer to a request over a rate.
type limitedError struct {
	rate int
	wait time.Duration
}

func (*limitedError) Error() string { return "exceeded rate limit" }

// take counts n against the rate.
func (r *Rate) take(ctx context.Context, n int) error {
	if r.Bucket == nil {
		return nil
	}
	if wait := r.Bucket.Take(ctx, n); wait > 0 {
		return &limitedError{r.Count, wait}
	}
	return nil
}
