package redisconn

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Subscription says what to listen to. The functions must return quickly and
// must not call the client: they run where the connection is read.
type Subscription struct {
	Channels []string
	// Message is called for each message, in the order of each channel.
	Message func(channel, message string)
	// Ready is called whenever all channels have been subscribed to: at the
	// start, and again after each time the connection was lost. Messages sent
	// in between are lost.
	Ready func()
	Log   *slog.Logger
}

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// Subscribe listens until ctx ends, and returns nil then. After an outage it
// subscribes again.
func Subscribe(ctx context.Context, client rueidis.Client, sub Subscription) error {
	pause, up := firstPause, true
	for {
		// The confirmations are counted where the connection is read. The
		// client may subscribe anew within one Receive, so each full round
		// counts.
		var confirmed atomic.Int64
		hooked := rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) {
			if s.Kind == "subscribe" && confirmed.Add(1)%int64(len(sub.Channels)) == 0 {
				sub.Ready()
			}
		})
		err := client.Receive(hooked, client.B().Subscribe().Channel(sub.Channels...).Build(), func(m rueidis.PubSubMessage) {
			sub.Message(m.Channel, m.Message)
		})
		if ctx.Err() != nil {
			return nil
		}
		if confirmed.Load() > 0 {
			pause, up = firstPause, true
		}
		if up {
			// Once per outage: the attempts that follow say nothing new.
			sub.Log.Warn("redis subscription lost", "err", err)
			up = false
		}
		timer := time.NewTimer(pause + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}
