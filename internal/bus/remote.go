package bus

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
)

// remote is a fanout whose messages also travel between processes, marked with
// their sender: a process has had its own before they come back.
type remote struct {
	fanout
	self string
	// prefix and a topic are the name under which it travels.
	prefix string
}

func newRemote(prefix string) remote {
	return remote{fanout: newFanout(), self: rand.Text(), prefix: prefix}
}

// channel is the name under which a topic travels.
func (r *remote) channel(topic string) string { return r.prefix + topic }

// channels lists the names of all topics subscribed to.
func (r *remote) channels() []string {
	names := make([]string, len(r.topics))
	for i, topic := range r.topics {
		names[i] = r.channel(topic)
	}
	return names
}

// pack gives msg to the subscribers of this process and returns what the
// others are sent.
func (r *remote) pack(topic, msg string) (string, error) {
	if err := validate(msg); err != nil {
		return "", err
	}
	r.offer(topic, msg)
	return r.self + " " + msg, nil
}

// receive takes what pack made in some process.
func (r *remote) receive(channel, payload string) {
	topic, ok := strings.CutPrefix(channel, r.prefix)
	sender, msg, framed := strings.Cut(payload, " ")
	switch {
	case !ok || sender == r.self:
	case !framed || msg == "":
		// Not ours; the least it can mean is that something has changed.
		r.gap()
	default:
		r.offer(topic, msg)
	}
}

// run delivers, and listens by calling listen, until ctx ends.
func (r *remote) run(ctx context.Context, listen func(context.Context) error) error {
	if len(r.topics) == 0 {
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { r.deliver(ctx) })
	err := listen(ctx)
	cancel()
	wg.Wait()
	return err
}
