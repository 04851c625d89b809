package queue

import (
	"cmp"
	"container/heap"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var _ Queue = (*Memory)(nil)

// Memory is the queue of a single process. Nothing in it polls.
type Memory struct {
	limit   int
	dropped atomic.Int64
	gate    gate

	mu      sync.Mutex
	known   map[string]*entry
	waiting byTime
	leased  byTime
}

// entry is an id in one of the two heaps.
type entry struct {
	id string
	// at is when a waiting id is due or a lease ends, in Unix microseconds.
	at int64
	// index is the place in its heap.
	index  int
	leased bool
}

// NewMemory makes a queue of at most limit ids, about 200 bytes each. Ids
// beyond are dropped and counted; the store offers them again.
func NewMemory(limit int) *Memory {
	return &Memory{limit: limit, gate: newGate(), known: map[string]*entry{}}
}

// Dropped counts the ids that found no room.
func (m *Memory) Dropped() int64 { return m.dropped.Load() }

// Push implements [Queue].
func (m *Memory) Push(_ context.Context, items []Item) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(time.Now())
	before := m.head()
	for _, item := range items {
		at := item.Due.UnixMicro()
		e := m.known[item.ID]
		switch {
		case e == nil:
			m.add(item.ID, at)
		case !e.leased && at < e.at:
			e.at = at
			heap.Fix(&m.waiting, e.index)
		}
	}
	m.announce(before)
	return nil
}

// Later implements [Queue].
func (m *Memory) Later(_ context.Context, items []Item) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(time.Now())
	before := m.head()
	for _, item := range items {
		at := item.Due.UnixMicro()
		e := m.known[item.ID]
		switch {
		case e == nil:
			m.add(item.ID, at)
		case e.leased:
			heap.Remove(&m.leased, e.index)
			e.at, e.leased = at, false
			heap.Push(&m.waiting, e)
		default:
			e.at = at
			heap.Fix(&m.waiting, e.index)
		}
	}
	m.announce(before)
	return nil
}

// Done implements [Queue].
func (m *Memory) Done(_ context.Context, ids []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		e := m.known[id]
		if e == nil {
			continue
		}
		delete(m.known, id)
		if e.leased {
			heap.Remove(&m.leased, e.index)
		} else {
			heap.Remove(&m.waiting, e.index)
		}
	}
	return nil
}

// Pull implements [Queue].
func (m *Memory) Pull(ctx context.Context, limit int, lease time.Duration) ([]Item, error) {
	defer m.gate.leave()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		items, next := m.take(time.Now(), clampBatch(limit), lease)
		if len(items) > 0 {
			return items, nil
		}
		if err := m.gate.wait(ctx, next); err != nil {
			return nil, err
		}
	}
}

// idle is how long a puller sleeps when nothing at all is due; a push wakes it.
const idle = time.Hour

// take leases what is due, or says for how long nothing will be.
func (m *Memory) take(now time.Time, limit int, lease time.Duration) ([]Item, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	var items []Item
	end := now.Add(lease).UnixMicro()
	for len(items) < limit && len(m.waiting) > 0 && m.waiting[0].at <= now.UnixMicro() {
		e := heap.Pop(&m.waiting).(*entry)
		items = append(items, Item{ID: e.id, Due: time.UnixMicro(e.at)})
		e.at, e.leased = end, true
		heap.Push(&m.leased, e)
	}
	next := now.Add(idle)
	for _, h := range []byTime{m.waiting, m.leased} {
		if len(h) > 0 {
			if at := time.UnixMicro(h[0].at); at.Before(next) {
				next = at
			}
		}
	}
	return items, next.Sub(now)
}

// Depth implements [Queue].
func (m *Memory) Depth(context.Context) (Depth, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.expire(now)
	d := Depth{Waiting: len(m.waiting)}
	if len(m.waiting) > 0 && m.waiting[0].at <= now.UnixMicro() {
		d.Oldest = time.UnixMicro(m.waiting[0].at)
	}
	return d, nil
}

// add makes an unknown id wait, if there is room. The caller holds mu.
func (m *Memory) add(id string, at int64) {
	if len(m.known) >= m.limit {
		m.dropped.Add(1)
		return
	}
	e := &entry{id: id, at: at}
	m.known[id] = e
	heap.Push(&m.waiting, e)
}

// expire makes ids due again whose lease has ended. The caller holds mu.
func (m *Memory) expire(now time.Time) {
	for len(m.leased) > 0 && m.leased[0].at <= now.UnixMicro() {
		e := heap.Pop(&m.leased).(*entry)
		e.leased = false
		heap.Push(&m.waiting, e)
	}
}

// head is the id that is due first, and when. The caller holds mu.
func (m *Memory) head() entry {
	if len(m.waiting) == 0 {
		return entry{}
	}
	return *m.waiting[0]
}

// announce wakes a puller when something is due earlier than before: the
// pullers know of everything else. The caller holds mu.
func (m *Memory) announce(before entry) {
	if now := m.head(); now.id != "" && (before.id == "" || now.at < before.at) {
		m.gate.signal()
	}
}

// byTime is a heap, first due first; equal times go by id, which is by age.
type byTime []*entry

func (h byTime) Len() int { return len(h) }

func (h byTime) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].at, h[j].at), strings.Compare(h[i].id, h[j].id)) < 0
}

func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push appends x, an *entry, for package heap.
func (h *byTime) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop removes the last entry, for package heap.
func (h *byTime) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

func clampBatch(n int) int { return min(max(n, 1), MaxBatch) }
