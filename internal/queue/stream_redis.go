package queue

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"convoy"
)

var (
	//go:embed stream_ack.lua
	ackSource string
	//go:embed stream_bury.lua
	burySource string
	//go:embed stream_backlog.lua
	backlogSource string
)

var (
	ackScript     = rueidis.NewLuaScriptRetryable(ackSource)
	buryScript    = rueidis.NewLuaScriptRetryable(burySource)
	backlogScript = rueidis.NewLuaScriptRetryable(backlogSource)
)

const (
	// readBlock is how long one Read waits for entries.
	readBlock = time.Second
	// measureEvery bounds how often the length of the stream is asked for.
	measureEvery = 100 * time.Millisecond
	// deadAfter is how long a consumer without entries may be silent before it
	// is deleted.
	deadAfter = time.Hour
	// buryEvery is how often such consumers are looked for, and buryMax how
	// many are deleted at a time.
	buryEvery, buryMax = time.Minute, 100
	// abandoned is the idle time given to entries of a consumer that leaves: more
	// than any minIdle of Reclaim.
	abandoned = 24 * time.Hour
	// leaveMax is how many entries a consumer that leaves hands over. It never
	// holds more: it reads one batch after another.
	leaveMax = 10 * MaxBatch
)

// Stream is the durable log of accepted events that wait to be persisted: a
// Redis stream with a consumer group
// (https://redis.io/docs/latest/develop/data-types/streams). It is as durable as that Redis is
// configured to be. An entry is given to one consumer at a time and stays until
// it is acknowledged; entries of a consumer that died are given to another
// through Reclaim. So every entry is read at least once.
type Stream struct {
	client rueidis.Client
	cfg    StreamConfig

	// length is the number of entries at measured, in Unix nanoseconds.
	length   atomic.Int64
	measured atomic.Int64
	// cursor is where the next Reclaim goes on, and buried when dead consumers
	// were last looked for, in Unix nanoseconds.
	cursor atomic.Value
	buried atomic.Int64
}

// StreamConfig names a stream and who reads it.
type StreamConfig struct {
	// Key is the stream's; it need not exist.
	Key string
	// Group is shared by all consumers, Consumer is unique to this process.
	Group, Consumer string
	// MaxLen is how many entries may wait before Append refuses more. It may
	// be exceeded by what arrives within a tenth of a second.
	MaxLen int64
}

// Entry is one element of a [Stream].
type Entry struct {
	ID   string
	Body []byte
	// Events is how many events the body holds, as its Append said.
	Events int
}

// OpenStream makes the stream and the group if they do not exist.
func OpenStream(ctx context.Context, client rueidis.Client, cfg StreamConfig) (*Stream, error) {
	s := &Stream{client: client, cfg: cfg}
	s.cursor.Store("0-0")
	if err := s.createGroup(ctx); err != nil {
		return nil, fmt.Errorf("open stream %s: %w", cfg.Key, err)
	}
	return s, nil
}

// createGroup starts the group at the first entry, so that what was appended
// before the group existed is read too.
func (s *Stream) createGroup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	err := s.client.Do(ctx, s.client.B().XgroupCreate().Key(s.cfg.Key).Group(s.cfg.Group).Id("0").Mkstream().Build().ToRetryable()).Error()
	if reply, ok := rueidis.IsRedisErr(err); ok && reply.IsBusyGroup() {
		return nil
	}
	return err
}

// regrouped runs fn, and once more if the group was missing: the server lost
// its data and is in use again.
func (s *Stream) regrouped(ctx context.Context, fn func() error) error {
	err := fn()
	if reply, ok := rueidis.IsRedisErr(err); !ok || !strings.Contains(reply.Error(), "NOGROUP") && !strings.Contains(reply.Error(), "no such key") {
		return err
	}
	if err := s.createGroup(ctx); err != nil {
		return err
	}
	return fn()
}

// Append adds an entry that holds the given number of events. When it returns
// nil the entry is in the stream, twice if the connection broke at the wrong
// moment: whoever reads must not mind. After an error it may be there. Errors
// are [convoy.Unavailable], also when the stream is full.
func (s *Stream) Append(ctx context.Context, entry []byte, events int) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	last, now := s.measured.Load(), time.Now().UnixNano()
	measure := now-last >= int64(measureEvery) && s.measured.CompareAndSwap(last, now)
	if s.full() {
		if !measure {
			return s.refusal()
		}
		if err := s.setLength(s.client.Do(ctx, s.client.B().Xlen().Key(s.cfg.Key).Build())); err != nil {
			return unavailable("stream length", err)
		}
		if s.full() {
			return s.refusal()
		}
		measure = false
	}
	add := s.client.B().Xadd().Key(s.cfg.Key).Id("*").
		FieldValue().FieldValue("b", rueidis.BinaryString(entry)).FieldValue("n", strconv.Itoa(events)).Build().ToRetryable()
	if !measure {
		return unavailable("append to stream", s.client.Do(ctx, add).Error())
	}
	replies := s.client.DoMulti(ctx, add, s.client.B().Xlen().Key(s.cfg.Key).Build())
	if err := replies[0].Error(); err != nil {
		return unavailable("append to stream", err)
	}
	// The entry is in; without its length the next measure decides.
	_ = s.setLength(replies[1])
	return nil
}

func (s *Stream) full() bool { return s.length.Load() >= s.cfg.MaxLen }

func (s *Stream) setLength(reply rueidis.RedisResult) error {
	n, err := reply.AsInt64()
	if err == nil {
		s.length.Store(n)
	}
	return err
}

func (s *Stream) refusal() error {
	e := convoy.E(convoy.Unavailable, "too many accepted events wait to be stored")
	e.RetryAfter = time.Second
	return e
}

func unavailable(doing string, err error) error {
	if err == nil {
		return nil
	}
	e := convoy.Wrap(convoy.Unavailable, "events cannot be accepted at the moment", fmt.Errorf("%s: %w", doing, err))
	e.RetryAfter = time.Second
	return e
}

// Read returns up to limit entries that no consumer has had. It waits a second
// for the first and then returns none. It holds a connection of its own
// meanwhile.
func (s *Stream) Read(ctx context.Context, limit int) ([]Entry, error) {
	var entries []Entry
	err := s.regrouped(ctx, func() error {
		bounded, cancel := context.WithTimeout(ctx, readBlock+redisTimeout)
		defer cancel()
		// UnblockOnCancel keeps the server from giving this consumer entries
		// after it has stopped waiting for them.
		cmd := s.client.B().Xreadgroup().Group(s.cfg.Group, s.cfg.Consumer).
			Count(int64(clampBatch(limit))).Block(readBlock.Milliseconds()).
			Streams().Key(s.cfg.Key).Id(">").Build().UnblockOnCancel().ToRetryable()
		streams, err := s.client.Do(bounded, cmd).AsXReadSlices()
		if rueidis.IsRedisNil(err) {
			return nil
		}
		if err != nil {
			return err
		}
		entries = decode(streams[s.cfg.Key])
		return nil
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("read stream: %w", err)
	}
	return entries, nil
}

func decode(raw []rueidis.XRangeSlice) []Entry {
	entries := make([]Entry, 0, len(raw))
	for _, x := range raw {
		if x.ID == "" {
			continue // deleted meanwhile
		}
		e := Entry{ID: x.ID}
		for _, f := range x.FieldValues {
			switch f.Field {
			case "b":
				e.Body = []byte(f.Value)
			case "n":
				// Only Append writes this; a foreign value counts nothing.
				e.Events, _ = strconv.Atoi(f.Value)
			}
		}
		entries = append(entries, e)
	}
	return entries
}

// Ack removes entries that have been worked off. Ids that are gone are no error.
func (s *Stream) Ack(ctx context.Context, ids []string) error {
	for len(ids) > 0 {
		n := min(len(ids), MaxBatch)
		args := append(make([]string, 0, 1+n), s.cfg.Group)
		if err := s.exec(ctx, ackScript, append(args, ids[:n]...)).Error(); err != nil {
			return fmt.Errorf("acknowledge stream entries: %w", err)
		}
		ids = ids[n:]
	}
	return nil
}

// Reclaim takes over up to limit entries that their consumers have held for at
// least minIdle without acknowledging them. Call it now and then: each call
// looks at a part of the group. It also deletes consumers that hold nothing and
// have been silent for an hour.
func (s *Stream) Reclaim(ctx context.Context, minIdle time.Duration, limit int) ([]Entry, error) {
	if err := s.bury(ctx); err != nil {
		return nil, fmt.Errorf("delete dead stream consumers: %w", err)
	}
	var entries []Entry
	err := s.regrouped(ctx, func() error {
		bounded, cancel := context.WithTimeout(ctx, redisTimeout)
		defer cancel()
		reply, err := s.client.Do(bounded, s.client.B().Xautoclaim().Key(s.cfg.Key).
			Group(s.cfg.Group).Consumer(s.cfg.Consumer).MinIdleTime(strconv.FormatInt(minIdle.Milliseconds(), 10)).
			Start(s.cursor.Load().(string)).Count(int64(clampBatch(limit))).Build().ToRetryable()).ToArray()
		if err != nil {
			return err
		}
		// The reply is the next cursor, the entries and, since version 7, the
		// ids of deleted ones; before that those are nil among the entries.
		if len(reply) < 2 {
			return fmt.Errorf("reply of %d elements", len(reply))
		}
		cursor, err := reply[0].ToString()
		if err != nil {
			return err
		}
		raw, err := reply[1].ToArray()
		if err != nil {
			return err
		}
		claimed := make([]rueidis.XRangeSlice, 0, len(raw))
		for _, m := range raw {
			if m.IsNil() {
				continue
			}
			x, err := m.AsXRangeSlice()
			if err != nil {
				return err
			}
			claimed = append(claimed, x)
		}
		s.cursor.Store(cursor)
		entries = decode(claimed)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reclaim stream entries: %w", err)
	}
	return entries, nil
}

// bury deletes dead consumers, once in a while.
func (s *Stream) bury(ctx context.Context) error {
	last, now := s.buried.Load(), time.Now().UnixNano()
	if now-last < int64(buryEvery) || !s.buried.CompareAndSwap(last, now) {
		return nil
	}
	return s.regrouped(ctx, func() error { return s.buryIdle(ctx, "", deadAfter) })
}

// buryIdle deletes consumers that hold nothing and have been idle for long
// enough: the named one, or any.
func (s *Stream) buryIdle(ctx context.Context, name string, idle time.Duration) error {
	return s.exec(ctx, buryScript, []string{
		s.cfg.Group, name, strconv.FormatInt(idle.Milliseconds(), 10), strconv.Itoa(buryMax),
	}).Error()
}

// Backlog is how many entries have not been acknowledged, and since when the
// oldest waits (zero when there is none).
func (s *Stream) Backlog(ctx context.Context) (entries int64, oldest time.Time, err error) {
	reply, err := s.exec(ctx, backlogScript, []string{strconv.FormatInt(time.Now().UnixMilli(), 10)}).AsIntSlice()
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("stream backlog: %w", err)
	}
	if len(reply) != 2 {
		return 0, time.Time{}, fmt.Errorf("stream backlog: reply of %d elements", len(reply))
	}
	if reply[1] >= 0 {
		oldest = time.UnixMilli(reply[1])
	}
	return reply[0], oldest, nil
}

// Leave is the last call of a consumer that stops. What it has read and not
// acknowledged goes to whoever calls Reclaim next, whatever their minIdle; if
// there is nothing, the consumer is deleted. Read must have returned.
func (s *Stream) Leave(ctx context.Context) error {
	err := s.regrouped(ctx, func() error {
		if err := s.abandon(ctx); err != nil {
			return err
		}
		return s.buryIdle(ctx, s.cfg.Consumer, 0)
	})
	if err != nil {
		return fmt.Errorf("leave stream: %w", err)
	}
	return nil
}

// abandon makes the entries this consumer holds look long forgotten.
func (s *Stream) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	held, err := s.client.Do(ctx, s.client.B().Xpending().Key(s.cfg.Key).Group(s.cfg.Group).
		Start("-").End("+").Count(leaveMax).Consumer(s.cfg.Consumer).Build()).ToArray()
	if err != nil || len(held) == 0 {
		return err
	}
	ids := make([]string, 0, len(held))
	for _, h := range held {
		row, err := h.ToArray()
		if err != nil {
			return err
		}
		if len(row) == 0 {
			return errors.New("pending entry without an id")
		}
		id, err := row[0].ToString()
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	return s.client.Do(ctx, s.client.B().Xclaim().Key(s.cfg.Key).Group(s.cfg.Group).Consumer(s.cfg.Consumer).
		MinIdleTime("0").Id(ids...).Idle(abandoned.Milliseconds()).Justid().Build().ToRetryable()).Error()
}

func (s *Stream) exec(ctx context.Context, script *rueidis.Lua, args []string) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	return script.Exec(ctx, s.client, []string{s.cfg.Key}, args)
}
