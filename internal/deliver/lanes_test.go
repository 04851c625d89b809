package deliver

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"convoy"
)

// laneJob makes a job of the given size.
func laneJob(id int, endpoint string, bytes int) *job {
	return &job{
		Job:   convoy.Job{Delivery: &convoy.Delivery{ID: convoy.DeliveryID(fmt.Sprintf("D%06d", id)), EndpointID: convoy.EndpointID(endpoint)}},
		bytes: bytes,
	}
}

// still are lanes without workers: nothing leaves them by itself.
func still(cfg limits) *lanes {
	ls := newLanes(cfg, func() {})
	ls.open()
	return ls
}

// fill adds jobs to an endpoint's lane until it is full and returns how many
// fitted.
func fill(t *testing.T, ls *lanes, endpoint string, bytes int) int {
	t.Helper()
	for n := 0; ; n++ {
		if n > ls.cfg.jobs {
			t.Fatalf("%d jobs fitted, the bound is %d", n, ls.cfg.jobs)
		}
		switch v, _ := ls.add(laneJob(rand.N(1<<40), endpoint, bytes)); v {
		case full:
			return n
		case known:
			t.Fatal("a fresh id is known")
		}
	}
}

func TestLanesShareTheBuffer(t *testing.T) {
	t.Parallel()
	ls := still(limits{jobs: 1024, bytes: 1 << 20, inFlight: 16, perEndpoint: 16})
	// Each takes half of what is left; nobody takes the last place from one
	// that has had nothing.
	for i, want := range []int{512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 1} {
		if got := fill(t, ls, fmt.Sprint("E", i), 1); got != want {
			t.Fatalf("endpoint %d got %d places, want %d", i, got, want)
		}
	}
	if got := ls.free(); got != 0 {
		t.Errorf("%d places free, want 0", got)
	}
	if got := fill(t, ls, "late", 1); got != 0 {
		t.Errorf("%d jobs over the bound", got)
	}
	// As the first drains, the others may have more.
	for range 100 {
		j := ls.pop()
		ls.finished(j, time.Millisecond)
	}
	if got := fill(t, ls, "late", 1); got == 0 {
		t.Error("no place after 100 jobs have left")
	}
}

func TestLanesBoundBytes(t *testing.T) {
	t.Parallel()
	ls := still(limits{jobs: 1 << 20, bytes: 1000, inFlight: 16, perEndpoint: 16})
	total := 0
	for i := range 200 {
		total += fill(t, ls, fmt.Sprint("E", i), 10) * 10
		if total > 1000+10 {
			t.Fatalf("%d bytes wait, the bound is 1000", total)
		}
	}
	if total < 900 {
		t.Errorf("%d bytes wait of 1000", total)
	}
	// One job over the whole bound is let through alone.
	ls = still(limits{jobs: 10, bytes: 1000, inFlight: 16, perEndpoint: 16})
	if v, _ := ls.add(laneJob(1, "E", 5000)); v != taken {
		t.Errorf("a job over the bound = %d, want taken by an empty process", v)
	}
	if v, _ := ls.add(laneJob(2, "F", 1)); v != full {
		t.Errorf("the next job = %d, want full", v)
	}
	if j := ls.pop(); j == nil {
		t.Fatal("the large job is not handed out")
	}
	if v, _ := ls.add(laneJob(2, "F", 1)); v != taken {
		t.Errorf("the next job = %d, want taken after the large one left", v)
	}
}

func TestLanesTakeTurns(t *testing.T) {
	t.Parallel()
	ls := still(limits{jobs: 100, bytes: 1 << 20, inFlight: 10, perEndpoint: 10})
	for i, e := range []string{"A", "A", "A", "A", "B", "B", "C"} {
		if v, _ := ls.add(laneJob(i, e, 1)); v != taken {
			t.Fatalf("job %d: %d", i, v)
		}
	}
	order := ""
	for range 7 {
		j := ls.pop()
		order += string(j.Delivery.EndpointID)
		ls.finished(j, time.Millisecond)
	}
	if order != "ABCABAA" {
		t.Errorf("order %s, want ABCABAA", order)
	}
}

func TestLanesCapRequests(t *testing.T) {
	t.Parallel()
	count := func(ls *lanes) map[convoy.EndpointID]int {
		got := map[convoy.EndpointID]int{}
		for j := ls.pop(); j != nil; j = ls.pop() {
			got[j.Delivery.EndpointID]++
		}
		return got
	}
	load := func(ls *lanes, endpoint string, n int) {
		for i := range n {
			if v, _ := ls.add(laneJob(rand.N(1<<40), endpoint, 1)); v != taken {
				t.Fatalf("job %d of %s: %d", i, endpoint, v)
			}
		}
	}
	// One endpoint gets half of what is in flight, whatever its own cap.
	ls := still(limits{jobs: 1000, bytes: 1 << 20, inFlight: 16, perEndpoint: 100})
	load(ls, "A", 100)
	if got := count(ls)["A"]; got != 8 {
		t.Errorf("alone: %d in flight, want 8 of 16", got)
	}
	load(ls, "B", 100)
	if got := count(ls)["B"]; got != 4 {
		t.Errorf("second: %d in flight, want 4", got)
	}
	// Its own cap holds when there is plenty.
	ls = still(limits{jobs: 1000, bytes: 1 << 20, inFlight: 100, perEndpoint: 3})
	load(ls, "A", 100)
	load(ls, "B", 100)
	if got := count(ls); got["A"] != 3 || got["B"] != 3 {
		t.Errorf("in flight %v, want 3 each", got)
	}
	// A new endpoint always has its first.
	ls = still(limits{jobs: 1000, bytes: 1 << 20, inFlight: 2, perEndpoint: 8})
	load(ls, "A", 5)
	load(ls, "B", 5)
	if got := count(ls); got["A"] != 1 || got["B"] != 1 {
		t.Errorf("in flight %v, want 1 each", got)
	}
	if waiting, inFlight := ls.depth(); waiting != 8 || inFlight != 2 {
		t.Errorf("depth = %d, %d, want 8 waiting and 2 in flight", waiting, inFlight)
	}
}

func TestLanesKnowTheirIDs(t *testing.T) {
	t.Parallel()
	ls := still(limits{jobs: 10, bytes: 1000, inFlight: 4, perEndpoint: 4})
	j := laneJob(1, "E", 1)
	add := func(want verdict, when string) {
		t.Helper()
		if v, _ := ls.add(laneJob(1, "E", 1)); v != want {
			t.Errorf("%s: verdict %d, want %d", when, v, want)
		}
	}
	if v, _ := ls.add(j); v != taken {
		t.Fatal("not taken")
	}
	add(known, "while it waits")
	ls.pop()
	add(known, "in flight")
	ls.finished(j, time.Millisecond)
	add(known, "before its outcome is recorded")
	ls.forget(j.Delivery.ID)
	add(taken, "afterwards")
}

func TestLanesEstimateTheWait(t *testing.T) {
	t.Parallel()
	ls := still(limits{jobs: 64, bytes: 1 << 20, inFlight: 4, perEndpoint: 4})
	fill(t, ls, "E", 1)
	isFull, wait := ls.full("E")
	if !isFull || wait != 50*time.Millisecond {
		t.Errorf("a lane without history: full %v, wait %v; want the shortest wait, 50ms", isFull, wait)
	}
	for range 60 { // the average settles at the 100 ms each takes
		j := ls.pop()
		ls.finished(j, 100*time.Millisecond)
		fill(t, ls, "E", 1)
	}
	// Half of 32 jobs, four at a time.
	if _, wait := ls.full("E"); wait < 350*time.Millisecond || wait > 420*time.Millisecond {
		t.Errorf("wait %v, want about 0.4s", wait)
	}
	a, b := ls.pop(), ls.pop() // leaves two for everybody
	fill(t, ls, "E", 1)
	if _, wait := ls.full("E"); wait < 700*time.Millisecond || wait > 850*time.Millisecond {
		t.Errorf("wait %v with two in flight, want about 0.8s", wait)
	}
	for _, j := range []*job{a, b} {
		ls.finished(j, time.Hour)
	}
	fill(t, ls, "E", 1)
	if _, wait := ls.full("E"); wait != 30*time.Second {
		t.Errorf("wait %v, want the longest, 30s", wait)
	}
	if isFull, _ := ls.full("never seen"); isFull {
		t.Error("a lane that does not exist is full")
	}
}

func TestLanesClose(t *testing.T) {
	t.Parallel()
	ls := newLanes(limits{jobs: 10, bytes: 1000, inFlight: 4, perEndpoint: 4}, func() {})
	if v, _ := ls.add(laneJob(1, "E", 1)); v != full {
		t.Errorf("before open: verdict %d, want full", v)
	}
	ls.open()
	for i := range 4 {
		ls.add(laneJob(i, fmt.Sprint("E", i%2), 1))
	}
	flying := ls.next()
	rest := ls.close()
	if len(rest) != 3 {
		t.Errorf("close returned %d jobs, want the 3 that wait", len(rest))
	}
	for _, j := range rest {
		if j == flying {
			t.Error("close returned the job in flight")
		}
	}
	if j := ls.next(); j != nil {
		t.Errorf("next after close = %v, want nil", j.Delivery.ID)
	}
	if v, wait := ls.add(laneJob(9, "E9", 1)); v != full || wait <= 0 {
		t.Errorf("after close: verdict %d, wait %v; want full", v, wait)
	}
	ls.finished(flying, time.Millisecond)
	if waiting, inFlight := ls.depth(); waiting != 0 || inFlight != 0 {
		t.Errorf("depth = %d, %d, want nothing", waiting, inFlight)
	}
}

func TestLanesForgetIdleEndpoints(t *testing.T) {
	t.Parallel()
	ls := newLanes(limits{jobs: 10, bytes: 1000, inFlight: 4, perEndpoint: 4}, func() {})
	for i := range 100 { // refused, before open
		ls.add(laneJob(i, fmt.Sprint("E", i), 1))
	}
	ls.open()
	for i := range 100 {
		j := laneJob(i, fmt.Sprint("E", i), 1)
		ls.add(j)
		ls.finished(ls.pop(), time.Millisecond)
		ls.forget(j.Delivery.ID)
	}
	if len(ls.byID) != 0 || len(ls.held) != 0 || len(ls.ring) != 0 {
		t.Errorf("%d lanes, %d ids, %d in the ring are left", len(ls.byID), len(ls.held), len(ls.ring))
	}
}

// crew runs workers that hold each job until its endpoint is let go.
type crew struct {
	*lanes
	wg      sync.WaitGroup
	started chan *job
	mu      sync.Mutex
	gates   map[convoy.EndpointID]chan struct{}
}

func newCrew(cfg limits) *crew {
	c := &crew{started: make(chan *job, 1000), gates: map[convoy.EndpointID]chan struct{}{}}
	c.lanes = newLanes(cfg, func() { c.wg.Go(c.work) })
	c.open()
	return c
}

func (c *crew) gate(e convoy.EndpointID) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gates[e] == nil {
		c.gates[e] = make(chan struct{})
	}
	return c.gates[e]
}

func (c *crew) work() {
	for j := c.next(); j != nil; j = c.next() {
		c.started <- j
		<-c.gate(j.Delivery.EndpointID)
		c.finished(j, time.Millisecond)
		c.forget(j.Delivery.ID)
	}
}

func (c *crew) running() (n int) {
	_, n = c.depth()
	return n
}

// TestLanesBurst gives many jobs at once to lanes whose workers all sleep: as
// many start as may.
func TestLanesBurst(t *testing.T) {
	t.Parallel()
	for idle := range 4 {
		synctest.Test(t, func(t *testing.T) {
			c := newCrew(limits{jobs: 1000, bytes: 1 << 20, inFlight: 20, perEndpoint: 4})
			for i := range idle { // so many workers wait
				c.add(laneJob(i, fmt.Sprint("W", i), 1))
			}
			synctest.Wait()
			for i := range idle {
				close(c.gate(convoy.EndpointID(fmt.Sprint("W", i))))
			}
			synctest.Wait()
			c.mu.Lock()
			clear(c.gates)
			c.mu.Unlock()

			for i := range 20 {
				c.add(laneJob(100+i, fmt.Sprint("E", i), 1))
			}
			synctest.Wait()
			if got := c.running(); got != 20 {
				t.Errorf("with %d idle workers: %d of 20 jobs started", idle, got)
			}
			for i := range 20 {
				close(c.gate(convoy.EndpointID(fmt.Sprint("E", i))))
			}
			synctest.Wait()
			c.close()
			c.wg.Wait()
		})
	}
}

// TestLanesHungEndpoint keeps one endpoint from answering: whatever it has
// queued, another's job starts at once.
func TestLanesHungEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(limits{jobs: 1000, bytes: 1 << 20, inFlight: 8, perEndpoint: 8})
		hung := convoy.EndpointID("hung")
		for i := range 100 {
			c.add(laneJob(i, string(hung), 1))
		}
		synctest.Wait()
		if got := c.running(); got != 4 {
			t.Fatalf("%d requests to the hung endpoint, want half of 8", got)
		}
		for len(c.started) > 0 {
			<-c.started
		}
		for i := range 50 {
			e := convoy.EndpointID(fmt.Sprint("E", i))
			close(c.gate(e)) // answers at once
			c.add(laneJob(1000+i, string(e), 1))
			synctest.Wait()
			select {
			case j := <-c.started:
				if j.Delivery.EndpointID != e {
					t.Fatalf("job of %s started, want %s", j.Delivery.EndpointID, e)
				}
			default:
				t.Fatalf("job %d waits for the hung endpoint", i)
			}
		}
		close(c.gate(hung))
		synctest.Wait()
		if waiting, inFlight := c.depth(); waiting != 0 || inFlight != 0 {
			t.Errorf("depth = %d, %d after the endpoint answered", waiting, inFlight)
		}
		c.close()
		c.wg.Wait()
	})
}

// TestLanesModel lets several goroutines add, work and at last close, and
// checks that every job taken is handed out once or given back, within the
// bounds.
func TestLanesModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		cfg := limits{
			jobs:        rapid.IntRange(1, 64).Draw(r, "jobs"),
			bytes:       rapid.IntRange(1, 4096).Draw(r, "bytes"),
			inFlight:    rapid.IntRange(1, 12).Draw(r, "in flight"),
			perEndpoint: rapid.IntRange(1, 12).Draw(r, "per endpoint"),
		}
		endpoints := rapid.IntRange(1, 8).Draw(r, "endpoints")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 600), 1, 300).Draw(r, "sizes")
		early := rapid.Bool().Draw(r, "close early")
		m := newModel(cfg)
		var givers sync.WaitGroup
		for g := range 3 {
			givers.Go(func() {
				for i := g; i < len(sizes); i += 3 {
					m.give(laneJob(i, fmt.Sprint("E", sizes[i]*7%endpoints), sizes[i]), !early)
				}
			})
		}
		if !early {
			givers.Wait()
			m.drained(r)
		}
		rest := m.close()
		givers.Wait()
		m.workers.Wait()
		m.verify(r, rest)
	})
}

// model counts what the lanes do.
type model struct {
	*lanes
	workers sync.WaitGroup

	mu       sync.Mutex
	moved    sync.Cond // signalled when a job has been finished
	accepted map[convoy.DeliveryID]bool
	handed   map[convoy.DeliveryID]int
	flying   map[convoy.EndpointID]int
	total    int
	problems []string
}

func newModel(cfg limits) *model {
	m := &model{
		accepted: map[convoy.DeliveryID]bool{}, handed: map[convoy.DeliveryID]int{}, flying: map[convoy.EndpointID]int{},
	}
	m.moved.L = &m.mu
	m.lanes = newLanes(cfg, func() { m.workers.Go(m.work) })
	m.open()
	return m
}

func (m *model) work() {
	for j := m.next(); j != nil; j = m.next() {
		e := j.Delivery.EndpointID
		m.mu.Lock()
		m.handed[j.Delivery.ID]++
		m.flying[e]++
		m.total++
		if m.flying[e] > m.cfg.perEndpoint || m.total > m.cfg.inFlight {
			m.problems = append(m.problems, fmt.Sprintf("%d requests to %s, %d in all", m.flying[e], e, m.total))
		}
		m.mu.Unlock()

		m.mu.Lock()
		m.flying[e]--
		m.total--
		m.mu.Unlock()
		m.finished(j, time.Microsecond)
		m.forget(j.Delivery.ID)

		m.mu.Lock()
		m.moved.Broadcast()
		m.mu.Unlock()
	}
}

// give adds a job; with insist it tries until there is room.
func (m *model) give(j *job, insist bool) {
	for {
		m.mu.Lock()
		before := len(m.handed)
		m.mu.Unlock()
		v, wait := m.add(j)
		switch v {
		case taken:
			m.mu.Lock()
			m.accepted[j.Delivery.ID] = true
			m.mu.Unlock()
			return
		case known:
			m.mu.Lock()
			m.problems = append(m.problems, fmt.Sprintf("%s is known before it was given", j.Delivery.ID))
			m.mu.Unlock()
			return
		}
		if wait <= 0 {
			m.mu.Lock()
			m.problems = append(m.problems, "full without a wait")
			m.mu.Unlock()
		}
		if !insist {
			return
		}
		// Full means that jobs wait, and so that one will move.
		m.mu.Lock()
		for waiting, _ := m.depth(); len(m.handed) == before && waiting > 0; waiting, _ = m.depth() {
			m.moved.Wait()
		}
		m.mu.Unlock()
	}
}

// drained waits until every accepted job has been handed out; a job that is
// stuck makes the test time out.
func (m *model) drained(r *rapid.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stuck := time.AfterFunc(10*time.Second, func() {
		m.mu.Lock()
		m.problems = append(m.problems, "jobs are stuck")
		m.moved.Broadcast()
		m.mu.Unlock()
	})
	defer stuck.Stop()
	for len(m.handed) < len(m.accepted) && len(m.problems) == 0 {
		m.moved.Wait()
	}
	for _, p := range m.problems {
		r.Error(p)
	}
}

func (m *model) verify(r *rapid.T, rest []*job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range rest {
		m.handed[j.Delivery.ID]++
	}
	for id := range m.accepted {
		if m.handed[id] != 1 {
			r.Errorf("%s was handed out %d times", id, m.handed[id])
		}
	}
	for id := range m.handed {
		if !m.accepted[id] {
			r.Errorf("%s was handed out but never taken", id)
		}
	}
	for _, p := range m.problems {
		r.Error(p)
	}
	if m.waiting != 0 || m.lanes.bytes != 0 || m.inFlight != 0 {
		r.Errorf("%d jobs of %d bytes wait, %d are in flight after the end", m.waiting, m.lanes.bytes, m.inFlight)
	}
}
