package bus

import (
	"context"
	"sync/atomic"
)

// fanout hands messages to the subscribers of this process, on one goroutine.
type fanout struct {
	subscribers map[string][]func(string)
	// topics lists the keys in the order of subscription.
	topics []string
	// waiting holds messages that arrive while a subscriber is called. When it
	// is full messages are dropped, and missed says so: an invalidation of
	// everything is right then, and cheaper than a backlog.
	waiting chan message
	missed  atomic.Bool
	// nudge holds one request to look at missed.
	nudge chan struct{}
}

type message struct{ topic, text string }

const maxWaiting = 1024

func newFanout() fanout {
	return fanout{
		subscribers: map[string][]func(string){},
		waiting:     make(chan message, maxWaiting),
		nudge:       make(chan struct{}, 1),
	}
}

// Subscribe implements [Bus].
func (f *fanout) Subscribe(topic string, fn func(msg string)) {
	if f.subscribers[topic] == nil {
		f.topics = append(f.topics, topic)
	}
	f.subscribers[topic] = append(f.subscribers[topic], fn)
}

// offer takes a message on; it never waits.
func (f *fanout) offer(topic, text string) {
	select {
	case f.waiting <- message{topic, text}:
	default:
		f.gap()
	}
}

// gap has all subscribers told that they may have missed messages.
func (f *fanout) gap() {
	f.missed.Store(true)
	select {
	case f.nudge <- struct{}{}:
	default:
	}
}

// deliver calls subscribers until ctx ends.
func (f *fanout) deliver(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case m := <-f.waiting:
			for _, fn := range f.subscribers[m.topic] {
				fn(m.text)
			}
		case <-f.nudge:
			if !f.missed.Swap(false) {
				continue
			}
			for _, topic := range f.topics {
				for _, fn := range f.subscribers[topic] {
					fn("")
				}
			}
		}
	}
}
