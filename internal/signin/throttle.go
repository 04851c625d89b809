package signin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"convoy"
	"convoy/internal/limit"
)

// What failures are counted against: a burst of so many, then one each time a part
// of the period has passed.
const (
	accountFailures = 10
	addressFailures = 50
	failurePeriod   = 15 * time.Minute
)

// throttle counts failures by account and by address, for all processes that share
// an engine. A success changes nothing: it must not buy more guesses. While the
// engine is away nobody signs in with a password.
type throttle struct{ limiter limit.Limiter }

// requests are those for an account and an address; n is 0 to ask, 1 to count.
func (t throttle) requests(email string, v Visit, n int) []limit.Request {
	of := func(key string, count int) limit.Request {
		key = "signin:" + key
		return limit.Request{Group: key, N: n, Limits: []limit.Limit{{Key: key, Count: count, Period: failurePeriod, Burst: count}}}
	}
	return []limit.Request{
		of("account:"+accountKey(email), accountFailures),
		of("address:"+Network(v.IP), addressFailures),
	}
}

// accountKey stands for an address: of bounded length, and no address in Redis.
func accountKey(email string) string {
	sum := sha256.Sum256([]byte(email))
	return hex.EncodeToString(sum[:16])
}

// Network is what one customer of a provider has: an IPv4 address, or a /64.
func Network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		p, err := addr.Prefix(64)
		if err == nil {
			addr = p.Addr()
		}
	}
	return addr.String()
}

// ask refuses where too many have failed.
func (t throttle) ask(ctx context.Context, email string, v Visit) error {
	return t.reserve(ctx, t.requests(email, v, 0))
}

// fail counts a failure. It returns an error where it could not be counted.
func (t throttle) fail(ctx context.Context, email string, v Visit) error {
	err := t.reserve(ctx, t.requests(email, v, 1))
	if convoy.KindOf(err) == convoy.Limited {
		return nil // one of those who came together; the next one is refused
	}
	return err
}

func (t throttle) reserve(ctx context.Context, requests []limit.Request) error {
	if t.limiter == nil {
		return nil
	}
	grants, err := t.limiter.Reserve(ctx, requests)
	if err != nil {
		return convoy.Wrap(convoy.Unavailable, "sign-in is not available now", err)
	}
	var wait time.Duration
	for _, g := range grants {
		if !g.OK {
			wait = max(wait, g.Wait)
		}
	}
	if wait > 0 {
		return &convoy.Error{Kind: convoy.Limited, Msg: "too many failed attempts, try again later", RetryAfter: wait}
	}
	return nil
}
