package bus

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/rueidis"

	"convoy/internal/redisconn"
)

var _ Bus = (*Redis)(nil)

// redisTimeout bounds one call to Redis.
const redisTimeout = 5 * time.Second

// Redis is a bus over Redis Pub/Sub
// (https://redis.io/docs/latest/develop/pubsub).
type Redis struct {
	remote
	client rueidis.Client
	log    *slog.Logger
}

// NewRedis makes a bus. Prefix starts its channels.
func NewRedis(client rueidis.Client, prefix string, log *slog.Logger) *Redis {
	return &Redis{remote: newRemote(prefix + "bus:"), client: client, log: log}
}

// Publish implements [Bus].
func (r *Redis) Publish(ctx context.Context, topic, msg string) error {
	payload, err := r.pack(topic, msg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	// Twice is harmless, so a connection lost while idle costs nothing.
	cmd := r.client.B().Publish().Channel(r.channel(topic)).Message(payload).Build().ToRetryable()
	if err := r.client.Do(ctx, cmd).Error(); err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	return nil
}

// Run implements [Bus].
func (r *Redis) Run(ctx context.Context) error {
	return r.run(ctx, func(ctx context.Context) error {
		return redisconn.Subscribe(ctx, r.client, redisconn.Subscription{
			Channels: r.channels(),
			Message:  r.receive,
			Ready:    r.gap,
			Log:      r.log,
		})
	})
}
