package queuetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"convoy/internal/queue"
)

// known is what the model holds of an id.
type known struct {
	due    time.Time
	leased bool
}

// machine compares a queue with a map. Due times are seconds to minutes away
// from now and leases are long, so that time does not pass in it.
type machine struct {
	handles [2]queue.Queue
	now     time.Time
	ids     map[string]known
}

// model is the property: whatever the order of calls, and whichever handle they
// go through, the queue holds what the map holds.
func model(t *testing.T, open Open) {
	a, b := open(t)
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{handles: [2]queue.Queue{a, b}, now: time.Now(), ids: map[string]known{}}
		defer func() {
			if err := a.Done(context.Background(), universe()); err != nil {
				r.Fatal(err)
			}
		}()
		r.Repeat(map[string]func(*rapid.T){
			"push":  m.push,
			"pull":  m.pull,
			"later": m.later,
			"done":  m.done,
			"":      m.check,
		})
	})
}

func universe() []string {
	out := make([]string, 12)
	for i := range out {
		out[i] = fmt.Sprintf("id%02d", i)
	}
	return out
}

func (m *machine) handle(r *rapid.T) queue.Queue {
	return m.handles[rapid.IntRange(0, 1).Draw(r, "handle")]
}

func (m *machine) items(r *rapid.T) []queue.Item {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom(universe()), 0, 5, rapid.ID).Draw(r, "ids")
	items := make([]queue.Item, len(names))
	for i, id := range names {
		// Never within slack of now, nor of each other unless equal.
		seconds := rapid.IntRange(1, 60).Draw(r, "seconds") * 5
		if rapid.Bool().Draw(r, "past") {
			seconds = -seconds
		}
		items[i] = item(id, m.now.Add(time.Duration(seconds)*time.Second))
	}
	return items
}

func (m *machine) push(r *rapid.T) {
	items := m.items(r)
	if err := m.handle(r).Push(context.Background(), items); err != nil {
		r.Fatal(err)
	}
	for _, it := range items {
		k, ok := m.ids[it.ID]
		if !ok || !k.leased && it.Due.Before(k.due) {
			m.ids[it.ID] = known{due: it.Due}
		}
	}
}

func (m *machine) later(r *rapid.T) {
	items := m.items(r)
	if err := m.handle(r).Later(context.Background(), items); err != nil {
		r.Fatal(err)
	}
	for _, it := range items {
		m.ids[it.ID] = known{due: it.Due}
	}
}

func (m *machine) done(r *rapid.T) {
	names := rapid.SliceOfN(rapid.SampledFrom(universe()), 0, 4).Draw(r, "ids")
	if err := m.handle(r).Done(context.Background(), names); err != nil {
		r.Fatal(err)
	}
	for _, id := range names {
		delete(m.ids, id)
	}
}

// due returns the times of the ids that a pull may return.
func (m *machine) due() []time.Time {
	var out []time.Time
	for _, k := range m.ids {
		if !k.leased && k.due.Before(m.now) {
			out = append(out, k.due)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

func (m *machine) pull(r *rapid.T) {
	want := m.due()
	if len(want) == 0 {
		r.Skip("nothing is due")
	}
	limit := rapid.IntRange(1, 6).Draw(r, "limit")
	want = want[:min(limit, len(want))]
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := m.handle(r).Pull(ctx, limit, long)
	if err != nil {
		r.Fatal(err)
	}
	if len(got) != len(want) {
		r.Fatalf("pulled %v, want %d ids", got, len(want))
	}
	for i, it := range got {
		k, ok := m.ids[it.ID]
		if !ok || k.leased {
			r.Fatalf("pulled %s, which is %+v", it.ID, k)
		}
		// Ids due at the same time may come in any order, so the times are
		// compared, not the ids.
		if it.Due.Sub(k.due).Abs() > slack || it.Due.Sub(want[i]).Abs() > slack {
			r.Fatalf("pull %d is %s due %v, want due %v, pushed as %v", i, it.ID, it.Due, want[i], k.due)
		}
		m.ids[it.ID] = known{due: k.due, leased: true}
	}
}

func (m *machine) check(r *rapid.T) {
	d, err := m.handles[0].Depth(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	waiting := 0
	for _, k := range m.ids {
		if !k.leased {
			waiting++
		}
	}
	if d.Waiting != waiting {
		r.Fatalf("%d wait, want %d", d.Waiting, waiting)
	}
	var oldest time.Time
	if due := m.due(); len(due) > 0 {
		oldest = due[0]
	}
	if d.Oldest.IsZero() != oldest.IsZero() || d.Oldest.Sub(oldest).Abs() > slack {
		r.Fatalf("oldest is %v, want %v", d.Oldest, oldest)
	}
}
