package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"convoy/internal/id"
)

const (
	// maxLetters bounds the letters that wait, at some 500 bytes each.
	maxLetters = 256
	// letterTries is how often a letter is tried, with waits from letterWait doubling.
	letterTries = 4
	letterWait  = 2 * time.Second
)

// Courier sends letters to the people who sign in here. They have tokens in them,
// so they are kept in memory only: what a process has not sent when it ends is
// lost, and whoever waits for it asks again.
type Courier struct {
	mail    *Mail
	log     *slog.Logger
	letters chan letter // see maxLetters
}

// NewCourier makes a courier, which sends while its Run does.
func NewCourier(m *Mail, log *slog.Logger) *Courier {
	return &Courier{mail: m, log: log, letters: make(chan letter, maxLetters)}
}

// Post takes a letter; false when too many wait.
func (c *Courier) Post(to, title, text string) bool {
	select {
	case c.letters <- letter{id: id.New(time.Now()), to: to, title: title, text: text}:
		return true
	default:
		return false
	}
}

// Run sends until ctx ends.
func (c *Courier) Run(ctx context.Context) error {
	for {
		select {
		case l := <-c.letters:
			c.deliver(ctx, l)
		case <-ctx.Done():
			return nil
		}
	}
}

// deliver tries a letter some times. Those behind it wait: they go to the same
// server.
func (c *Courier) deliver(ctx context.Context, l letter) {
	wait := letterWait
	for try := 1; ; try++ {
		sctx, cancel := context.WithTimeout(ctx, sendTimeout)
		err := c.mail.send(sctx, l)
		cancel()
		switch {
		case err == nil:
			c.log.Info("mail.sent", "title", l.title)
			return
		case ctx.Err() != nil:
			return
		case errors.Is(err, errRefused) || try == letterTries:
			c.log.Error("mail given up", "title", l.title, "tries", try, "err", err)
			return
		}
		c.log.Warn("mail not sent, tried again", "title", l.title, "wait", wait, "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait *= 2
	}
}
