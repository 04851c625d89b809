package bus

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

var _ Bus = (*Stored)(nil)

// notifier is a database that passes messages between its clients, as
// PostgreSQL does with LISTEN and NOTIFY
// (https://www.postgresql.org/docs/current/sql-notify.html).
type notifier interface {
	// Notify sends payload to whoever listens on channel, in any process.
	Notify(ctx context.Context, channel, payload string) error
	// Listen calls on for every notification until ctx ends or the connection
	// is lost; ready is called once it listens on all channels.
	Listen(ctx context.Context, channels []string, on func(channel, payload string), ready func()) error
}

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// Stored is a bus over the database, for several processes without Redis.
type Stored struct {
	remote
	db  notifier
	log *slog.Logger
}

// NewStored makes a bus. Prefix starts its channels; PostgreSQL cuts names at
// 63 bytes.
func NewStored(db notifier, prefix string, log *slog.Logger) *Stored {
	return &Stored{remote: newRemote(prefix), db: db, log: log}
}

// Publish implements [Bus].
func (s *Stored) Publish(ctx context.Context, topic, msg string) error {
	payload, err := s.pack(topic, msg)
	if err != nil {
		return err
	}
	if err := s.db.Notify(ctx, s.channel(topic), payload); err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	return nil
}

// Run implements [Bus].
func (s *Stored) Run(ctx context.Context) error { return s.run(ctx, s.listen) }

// listen listens again whenever the connection is lost.
func (s *Stored) listen(ctx context.Context) error {
	pause, up := firstPause, true
	for {
		err := s.db.Listen(ctx, s.channels(), s.receive, func() {
			pause, up = firstPause, true
			s.gap()
		})
		if ctx.Err() != nil {
			return nil
		}
		if up {
			// Once per outage: the attempts that follow say nothing new.
			s.log.Warn("database notifications lost", "err", err)
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
