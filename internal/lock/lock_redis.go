package lock

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

var _ Locker = (*Redis)(nil)

var (
	//go:embed lock_try.lua
	trySource string
	//go:embed lock_release.lua
	releaseSource string
)

var (
	tryScript     = rueidis.NewLuaScriptRetryable(trySource)
	releaseScript = rueidis.NewLuaScriptRetryable(releaseSource)
)

// redisTimeout bounds one call to Redis.
const redisTimeout = 5 * time.Second

// Redis keeps leases in Redis, one key each, by its clock. They live in one
// server: when it fails over to a replica that has not heard of a lease, two
// owners may hold it until the first one renews.
type Redis struct {
	client rueidis.Client
	prefix string
}

// NewRedis makes a locker. Prefix starts its keys.
func NewRedis(client rueidis.Client, prefix string) *Redis {
	return &Redis{client: client, prefix: prefix + "lock:"}
}

// TryLock implements [Locker].
func (r *Redis) TryLock(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	got, err := tryScript.Exec(ctx, r.client, []string{r.prefix + name},
		[]string{owner, strconv.FormatInt(max(ttl.Milliseconds(), 1), 10)}).AsInt64()
	if err != nil {
		return false, fmt.Errorf("take lock %s: %w", name, err)
	}
	return got == 1, nil
}

// Unlock implements [Locker].
func (r *Redis) Unlock(ctx context.Context, name, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if err := releaseScript.Exec(ctx, r.client, []string{r.prefix + name}, []string{owner}).Error(); err != nil {
		return fmt.Errorf("give lock %s back: %w", name, err)
	}
	return nil
}
