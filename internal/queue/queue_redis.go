package queue

import (
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"convoy/internal/redisconn"
)

var _ Queue = (*Redis)(nil)

var (
	//go:embed queue_push.lua
	pushSource string
	//go:embed queue_pull.lua
	pullSource string
	//go:embed queue_done.lua
	doneSource string
	//go:embed queue_later.lua
	laterSource string
	//go:embed queue_depth.lua
	depthSource string
)

// All may run twice, so a call on a connection that was lost while idle is
// repeated on a new one. When it was lost during a pull, the ids of the first
// try come back after their lease, as they do without a second try.
var (
	pushScript  = rueidis.NewLuaScriptRetryable(pushSource)
	pullScript  = rueidis.NewLuaScriptRetryable(pullSource)
	doneScript  = rueidis.NewLuaScriptRetryable(doneSource)
	laterScript = rueidis.NewLuaScriptRetryable(laterSource)
	depthScript = rueidis.NewLuaScriptRetryable(depthSource)
)

const (
	// redisTimeout bounds one call to Redis.
	redisTimeout = 5 * time.Second
	// longestSleep is how long an idle puller waits before it asks again.
	// Wake-ups come sooner; this bounds the harm of one that was lost.
	longestSleep = time.Second
	// takeBack is how many ended leases one pull returns to the waiting ids.
	takeBack = 500
)

// Redis is the queue of many processes: two sorted sets, of waiting and of
// leased ids, and a channel that wakes sleeping pullers.
//
// All times in Redis are by its own clock. Callers send their time along, and
// the scripts shift by the difference, so that only durations travel and the
// clocks of the processes need not agree; due times are off by the time a
// request travels. The order by due time is therefore exact within one Push,
// and as exact as that across several.
type Redis struct {
	client  rueidis.Client
	log     *slog.Logger
	keys    []string
	channel string
	// self marks our own wake-ups, which need no way round through Redis.
	self string
	gate gate
	now  func() time.Time
}

// NewRedis makes a queue. Prefix starts its keys and its channel, and must not
// contain braces; queues with different prefixes are different queues. Without
// Run a queue works, but slowly: ids that another process pushes are noticed
// within a second.
func NewRedis(client rueidis.Client, prefix string, log *slog.Logger) *Redis {
	// The braces put both keys in one hash slot, for clusters.
	base := "{" + prefix + "queue}"
	return &Redis{
		client: client, log: log,
		keys:    []string{base + ":due", base + ":leased"},
		channel: base + ":wake",
		self:    rand.Text(),
		gate:    newGate(),
		now:     time.Now,
	}
}

// Run listens for wake-ups until ctx ends.
func (r *Redis) Run(ctx context.Context) error {
	return redisconn.Subscribe(ctx, r.client, redisconn.Subscription{
		Channels: []string{r.channel},
		Message: func(_, sender string) {
			if sender != r.self {
				r.gate.signal()
			}
		},
		Ready: r.gate.signal,
		Log:   r.log,
	})
}

// Push implements [Queue].
func (r *Redis) Push(ctx context.Context, items []Item) error {
	if err := r.offer(ctx, pushScript, items); err != nil {
		return fmt.Errorf("push to queue: %w", err)
	}
	return nil
}

// Later implements [Queue].
func (r *Redis) Later(ctx context.Context, items []Item) error {
	if err := r.offer(ctx, laterScript, items); err != nil {
		return fmt.Errorf("postpone in queue: %w", err)
	}
	return nil
}

// offer gives items to one of the scripts that add.
func (r *Redis) offer(ctx context.Context, script *rueidis.Lua, items []Item) error {
	for len(items) > 0 {
		n := min(len(items), MaxBatch)
		args := make([]string, 0, 4+2*n)
		args = append(args, r.channel, r.self, micros(r.now()), strconv.FormatInt(longestSleep.Microseconds(), 10))
		for _, item := range items[:n] {
			args = append(args, micros(item.Due), item.ID)
		}
		woke, err := r.exec(ctx, script, args).AsInt64()
		if err != nil {
			return err
		}
		if woke == 1 {
			r.gate.signal()
		}
		items = items[n:]
	}
	return nil
}

// Pull implements [Queue].
func (r *Redis) Pull(ctx context.Context, limit int, lease time.Duration) ([]Item, error) {
	defer r.gate.leave()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// An answer that nobody waits for would leave its ids leased.
		items, next, err := r.take(context.WithoutCancel(ctx), clampBatch(limit), lease)
		if err != nil {
			return nil, fmt.Errorf("pull from queue: %w", err)
		}
		if len(items) > 0 {
			return items, nil
		}
		if err := r.gate.wait(ctx, min(next, longestSleep)); err != nil {
			return nil, err
		}
	}
}

// take leases what is due, or says for how long nothing will be.
func (r *Redis) take(ctx context.Context, limit int, lease time.Duration) ([]Item, time.Duration, error) {
	reply, err := r.exec(ctx, pullScript, []string{
		strconv.Itoa(limit),
		strconv.FormatInt(lease.Microseconds(), 10),
		micros(r.now()),
		strconv.Itoa(takeBack),
	}).ToArray()
	if err != nil {
		return nil, 0, err
	}
	if len(reply)%2 != 1 {
		return nil, 0, fmt.Errorf("reply of %d elements", len(reply))
	}
	next, err := reply[0].AsInt64()
	if err != nil {
		return nil, 0, err
	}
	wait := time.Duration(next) * time.Microsecond
	if next < 0 {
		wait = longestSleep
	}
	items := make([]Item, 0, len(reply)/2)
	for i := 1; i < len(reply); i += 2 {
		id, err := reply[i].ToString()
		if err != nil {
			return nil, 0, err
		}
		due, err := reply[i+1].AsInt64()
		if err != nil {
			return nil, 0, err
		}
		items = append(items, Item{ID: id, Due: time.UnixMicro(due)})
	}
	return items, wait, nil
}

// Done implements [Queue].
func (r *Redis) Done(ctx context.Context, ids []string) error {
	for len(ids) > 0 {
		n := min(len(ids), MaxBatch)
		if err := r.exec(ctx, doneScript, ids[:n]).Error(); err != nil {
			return fmt.Errorf("remove from queue: %w", err)
		}
		ids = ids[n:]
	}
	return nil
}

// Depth implements [Queue].
func (r *Redis) Depth(ctx context.Context) (Depth, error) {
	reply, err := r.exec(ctx, depthScript, []string{micros(r.now())}).AsIntSlice()
	if err != nil {
		return Depth{}, fmt.Errorf("depth of queue: %w", err)
	}
	if len(reply) != 2 {
		return Depth{}, fmt.Errorf("depth of queue: reply of %d elements", len(reply))
	}
	d := Depth{Waiting: int(reply[0])}
	if reply[1] >= 0 {
		d.Oldest = time.UnixMicro(reply[1])
	}
	return d, nil
}

func (r *Redis) exec(ctx context.Context, script *rueidis.Lua, args []string) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	return script.Exec(ctx, r.client, r.keys, args)
}

func micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }
