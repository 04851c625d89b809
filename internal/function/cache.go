package function

import (
	"context"
	"sync"
	"time"
)

// DefaultPrograms is how many compiled functions are kept unless configured:
// at some 20 KB each, a few MB.
const DefaultPrograms = 256

// Config is what a [Cache] needs. The zero value runs functions in this
// process.
type Config struct {
	// Programs is how many compiled functions are kept; [DefaultPrograms]
	// unless positive.
	Programs int
	// Command is a program and its arguments that calls [Serve] on its standard
	// input and output. With it, functions run in such processes, which are
	// killed when they take too much time or memory; without it, a hostile
	// function can stall or exhaust this process.
	Command []string
	// Processes is how many of them there may be, and so how many functions run
	// at a time; the number of processors, and at least two, unless positive.
	Processes int
}

// Cache runs functions by their source. It is safe for concurrent use.
type Cache struct {
	size int
	// sandbox is nil without a command.
	sandbox *sandbox
	rests   *rests

	mu       sync.Mutex
	programs map[string]*Program // by source
}

// New makes a cache. It starts no process yet.
func New(cfg Config) *Cache {
	if cfg.Programs <= 0 {
		cfg.Programs = DefaultPrograms
	}
	c := &Cache{size: cfg.Programs, rests: newRests(), programs: make(map[string]*Program)}
	if len(cfg.Command) > 0 {
		c.sandbox = newSandbox(cfg)
	}
	return c
}

// Close ends the processes; the cache must not be used any more.
func (c *Cache) Close() {
	if c.sandbox != nil {
		c.sandbox.close()
	}
}

// Check says what is wrong with a source: its error is of kind convoy.Invalid.
// It runs what is outside of the entry point.
func (c *Cache) Check(ctx context.Context, source string) error {
	_, err := c.do(ctx, request{check: true, source: source})
	return err
}

// Transform gives a function a payload and returns what it makes of it. Errors
// of the function are of kind convoy.Invalid, with a text for whoever wrote it;
// others are faults of ours, or the end of ctx. The function has no clock. One that
// takes too much time or memory again and again is not run for a while, which is an
// error of the function, too.
func (c *Cache) Transform(ctx context.Context, source string, payload []byte) ([]byte, error) {
	return c.TransformAt(ctx, source, payload, time.Time{})
}

// TransformAt is Transform at a time, which is what the function's clock shows
// as long as it runs. Given the time of the event, the function does the same
// again when the event is routed again.
func (c *Cache) TransformAt(ctx context.Context, source string, payload []byte, now time.Time) ([]byte, error) {
	if err := c.rests.refuse(source); err != nil {
		return nil, err
	}
	r, err := c.do(ctx, request{source: source, payload: payload, now: now})
	if ctx.Err() == nil {
		c.rests.note(source, err)
	}
	return r.Payload, err
}

// Test is TransformAt with what the function logs.
func (c *Cache) Test(ctx context.Context, source string, payload []byte, now time.Time) (Result, error) {
	return c.do(ctx, request{source: source, payload: payload, now: now, log: true})
}

// request is one run.
type request struct {
	check, log bool
	now        time.Time
	source     string
	payload    []byte
}

func (c *Cache) do(ctx context.Context, r request) (Result, error) {
	if err := checkSource(r.source); err != nil {
		return Result{}, err
	}
	if len(r.payload) > MaxPayload {
		return Result{}, checkPayload(r.payload)
	}
	if c.sandbox != nil {
		return c.sandbox.do(ctx, r)
	}
	return c.run(ctx, r)
}

// run serves a request in this process.
func (c *Cache) run(ctx context.Context, r request) (Result, error) {
	p, err := c.program(r.source)
	if err != nil {
		return Result{}, err
	}
	if r.check {
		return Result{}, p.Check(ctx)
	}
	return p.Run(ctx, r.payload, r.now)
}

// program finds or compiles a function.
func (c *Cache) program(source string) (*Program, error) {
	c.mu.Lock()
	p, ok := c.programs[source]
	c.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := Compile(source)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.programs) >= c.size {
		for other := range c.programs { // any: which one matters little
			delete(c.programs, other)
			break
		}
	}
	c.programs[source] = p
	return p, nil
}
