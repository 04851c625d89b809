package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"convoy/internal/signin"
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

// CallerRate limits how many requests are taken of each caller. The zero value does
// not.
type CallerRate struct {
	Buckets callers
	// Count is how many the bucket of a caller takes in a minute, for the answer.
	Count int
}

// callers are buckets by the name of who takes from them.
type callers interface {
	Take(ctx context.Context, caller string, n int) time.Duration
}

// take counts one request of a caller.
func (r *CallerRate) take(ctx context.Context, caller string) error {
	if r.Buckets == nil || caller == "" {
		return nil
	}
	if wait := r.Buckets.Take(ctx, caller, 1); wait > 0 {
		return &limitedError{r.Count, wait}
	}
	return nil
}

// identify returns who makes a request. What is not accepted counts against the
// address that it comes from.
func (a *api) identify(r *http.Request) (caller, error) {
	c, err := a.authenticate(r)
	if errors.Is(err, errAuthentication) || errors.Is(err, errAuthorization) {
		if limited := a.takeAddress(r); limited != nil {
			return caller{}, limited
		}
	}
	return c, err
}

// takeAddress counts a request of nobody that is known.
func (a *api) takeAddress(r *http.Request) error {
	return a.AddressRate.take(r.Context(), signin.Network(a.address(r)))
}

// takeCaller counts a request against the limits of its caller, then against that
// of the instance: of this nobody can have more than a caller may.
func (a *api) takeCaller(ctx context.Context, c *caller) error {
	if err := a.UserRate.take(ctx, string(c.user)); err != nil {
		return err
	}
	if err := a.KeyRate.take(ctx, string(c.key)); err != nil {
		return err
	}
	if c.link != nil {
		if err := a.KeyRate.take(ctx, string(c.link.ID)); err != nil {
			return err
		}
	}
	return a.APIRate.take(ctx, 1)
}

// takeVisit counts a request below [uiPrefix], where nobody may ask, too.
func (a *api) takeVisit(x *exchange, r *http.Request) error {
	if x.unknown != nil {
		if err := a.takeAddress(r); err != nil {
			return err
		}
	}
	return a.takeCaller(r.Context(), &x.caller)
}
