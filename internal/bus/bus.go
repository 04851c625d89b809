// Package bus tells every process within milliseconds that something has
// changed: that a cached project must be read again, that work is due. It
// promises little, because nothing may depend on it alone: a message may be
// lost, and then its subscribers are told that they may have missed some.
// Whoever caches also lets entries expire; whoever waits also polls.
package bus

import (
	"context"
	"fmt"
	"unicode/utf8"

	"convoy"
)

// MaxMessage is the size of the largest message in bytes. PostgreSQL, the
// tightest carrier, takes notifications below 8,000.
const MaxMessage = 4 << 10

// Bus carries short messages by topic to all processes, the sender's included.
type Bus interface {
	// Publish sends msg, valid UTF-8 of 1 to MaxMessage bytes without NUL, to
	// all subscribers of topic. Those of this process get it even when Publish
	// returns an error, which means that others may not.
	Publish(ctx context.Context, topic, msg string) error
	// Subscribe has fn called for every message of topic, one call at a time
	// in the whole process. An empty message means that messages may have been
	// missed; every subscriber gets one when the connection has been made,
	// at the start and again after it was lost. fn must return quickly.
	// Topics are lower-case words; Subscribe must not be called after Run.
	Subscribe(topic string, fn func(msg string))
	// Run delivers until ctx ends, and returns nil then.
	Run(ctx context.Context) error
}

func validate(msg string) error {
	switch {
	case msg == "":
		return convoy.E(convoy.Invalid, "a message must not be empty")
	case len(msg) > MaxMessage:
		return convoy.E(convoy.Invalid, fmt.Sprintf("a message must not exceed %d bytes", MaxMessage))
	case !utf8.ValidString(msg):
		return convoy.E(convoy.Invalid, "a message must be valid UTF-8")
	}
	for i := range len(msg) {
		if msg[i] == 0 {
			return convoy.E(convoy.Invalid, "a message must not contain NUL")
		}
	}
	return nil
}
