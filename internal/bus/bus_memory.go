package bus

import "context"

var _ Bus = (*Memory)(nil)

// Memory is the bus of a single process.
type Memory struct{ fanout }

// NewMemory makes a bus.
func NewMemory() *Memory { return &Memory{newFanout()} }

// Publish implements [Bus].
func (m *Memory) Publish(_ context.Context, topic, msg string) error {
	if err := validate(msg); err != nil {
		return err
	}
	m.offer(topic, msg)
	return nil
}

// Run implements [Bus].
func (m *Memory) Run(ctx context.Context) error {
	m.gap()
	m.deliver(ctx)
	return nil
}
