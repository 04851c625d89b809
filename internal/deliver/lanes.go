package deliver

import (
	"sync"
	"time"

	"convoy"
)

// job is a delivery in this process's hands.
type job struct {
	convoy.Job
	// deadline is when it must have been started; later it may be somebody
	// else's.
	deadline time.Time
	// queued says that it came from the queue, which waits to hear of it.
	queued bool
	// made says that its payload was made just now, and is not stored yet.
	made  bool
	bytes int
	// project is the delivery's as the try found it; nil before.
	project *convoy.Project
}

// lanes holds the jobs waiting in this process, a lane for each endpoint, and
// hands them out fairly: endpoints in turn, each with a bounded number of
// requests in flight. What an endpoint may take of the buffer and of the
// requests in flight is what is still free: one busy endpoint gets half, many
// share, and something always stays free for one that has had nothing. (The
// rule is the dynamic threshold of Choudhury and Hahne, IEEE/ACM ToN 1998.)
type lanes struct {
	cfg limits

	mu   sync.Mutex
	work sync.Cond // signalled when a job may have become available, and at the end
	// held are the ids waiting or in flight, so that an id offered again
	// meanwhile is known.
	held map[convoy.DeliveryID]struct{}
	byID map[convoy.EndpointID]*lane
	// ring are the lanes with jobs waiting, in turn.
	ring           []*lane
	waiting, bytes int
	inFlight       int
	// workers and idle count the goroutines that call next, and those of them
	// that wait; spawn starts one more.
	workers, idle int
	spawn         func()
	closed        bool
}

type limits struct {
	// jobs and bytes bound what waits; inFlight and perEndpoint bound requests.
	jobs, bytes           int
	inFlight, perEndpoint int
}

type lane struct {
	endpoint convoy.EndpointID
	jobs     []*job // a queue: pop at head, push at the end
	head     int
	bytes    int
	inFlight int
	inRing   bool
	// service is a moving average of how long a request takes.
	service time.Duration
}

func (l *lane) waiting() int { return len(l.jobs) - l.head }

func newLanes(cfg limits, spawn func()) *lanes {
	ls := &lanes{cfg: cfg, spawn: spawn, held: make(map[convoy.DeliveryID]struct{}), byID: make(map[convoy.EndpointID]*lane), closed: true}
	ls.work.L = &ls.mu
	return ls
}

// open lets jobs in; before it every lane is full.
func (ls *lanes) open() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = false
}

// verdict says what became of a job given to add.
type verdict uint8

const (
	taken verdict = iota
	// known: this process has the id already.
	known
	// full: its lane has no room; wait says when it is worth another try.
	full
)

// add puts a job into its lane.
func (ls *lanes) add(j *job) (v verdict, wait time.Duration) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if _, ok := ls.held[j.Delivery.ID]; ok {
		return known, 0
	}
	l := ls.byID[j.Delivery.EndpointID]
	if l == nil {
		l = &lane{endpoint: j.Delivery.EndpointID}
	}
	if ls.closed || !ls.room(l, j.bytes) {
		return full, ls.wait(l)
	}
	ls.byID[l.endpoint] = l
	ls.held[j.Delivery.ID] = struct{}{}
	l.jobs = append(l.jobs, j)
	l.bytes += j.bytes
	ls.waiting++
	ls.bytes += j.bytes
	ls.enqueue(l)
	ls.wake()
	return taken, 0
}

// wake gets a goroutine for a job that may be started: one that waits, or a new
// one while there are fewer than requests allowed in flight. Several calls in a
// row may get only one, on its way to next; so whoever takes a job there wakes
// another for what is left.
func (ls *lanes) wake() {
	if ls.ready() < 0 {
		return
	}
	if ls.idle > 0 {
		ls.work.Signal()
	} else if ls.workers < ls.cfg.inFlight && ls.inFlight == ls.workers {
		ls.workers++
		ls.spawn()
	}
}

// full reports whether an endpoint's lane has no room for another job, and
// after what time it is worth asking again.
func (ls *lanes) full(endpoint convoy.EndpointID) (bool, time.Duration) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byID[endpoint]
	if l == nil || ls.room(l, 0) {
		return false, 0
	}
	return true, ls.wait(l)
}

func (ls *lanes) room(l *lane, bytes int) bool {
	if l.waiting() == 0 {
		return ls.waiting < ls.cfg.jobs && (ls.bytes < ls.cfg.bytes || ls.waiting == 0)
	}
	return l.waiting() < ls.cfg.jobs-ls.waiting && l.bytes+bytes < ls.cfg.bytes-ls.bytes
}

// wait estimates when half of a lane has drained, with as many requests in
// flight as it may have: those it has now say little just after a burst.
func (ls *lanes) wait(l *lane) time.Duration {
	share := max(l.inFlight, min(ls.cfg.perEndpoint, ls.cfg.inFlight-ls.inFlight), 1)
	est := l.service * time.Duration(l.waiting()) / time.Duration(2*share)
	return min(max(est, 50*time.Millisecond), 30*time.Second)
}

func (ls *lanes) enqueue(l *lane) {
	if !l.inRing && l.waiting() > 0 {
		l.inRing = true
		ls.ring = append(ls.ring, l)
	}
}

// next waits for a job that may be started; it is nil once the lanes are
// closed. The caller owes a finished for it.
func (ls *lanes) next() *job {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for !ls.closed {
		if j := ls.pop(); j != nil {
			ls.wake()
			return j
		}
		ls.idle++
		ls.work.Wait()
		ls.idle--
	}
	return nil
}

// ready finds the first lane in the ring that may have one more in flight, or
// returns -1.
func (ls *lanes) ready() int {
	free := ls.cfg.inFlight - ls.inFlight
	if free <= 0 {
		return -1
	}
	for i, l := range ls.ring {
		if l.inFlight == 0 || l.inFlight < min(ls.cfg.perEndpoint, free) {
			return i
		}
	}
	return -1
}

// pop takes the first job of the first lane that is ready.
func (ls *lanes) pop() *job {
	i := ls.ready()
	if i < 0 {
		return nil
	}
	l := ls.ring[i]
	ls.ring = append(ls.ring[:i], ls.ring[i+1:]...)
	l.inRing = false
	j := l.jobs[l.head]
	l.jobs[l.head] = nil
	l.head++
	if l.head == len(l.jobs) || l.head >= 1024 {
		n := copy(l.jobs, l.jobs[l.head:])
		clear(l.jobs[n:]) // bodies do not stay in memory
		l.jobs, l.head = l.jobs[:n], 0
	}
	l.bytes -= j.bytes
	l.inFlight++
	ls.waiting--
	ls.bytes -= j.bytes
	ls.inFlight++
	ls.enqueue(l)
	return j
}

// finished ends a job's time in flight. Its id stays held until forget.
func (ls *lanes) finished(j *job, took time.Duration) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.inFlight--
	l := ls.byID[j.Delivery.EndpointID]
	l.inFlight--
	l.service += (took - l.service) / 8
	if l.inFlight == 0 && l.waiting() == 0 {
		delete(ls.byID, l.endpoint)
	}
}

// forget lets go of ids: what is offered under them from now on is new work.
func (ls *lanes) forget(ids ...convoy.DeliveryID) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, id := range ids {
		delete(ls.held, id)
	}
}

// close wakes every next and returns the jobs that were waiting.
func (ls *lanes) close() []*job {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	var rest []*job
	for _, l := range ls.byID {
		rest = append(rest, l.jobs[l.head:]...)
		l.jobs, l.head = nil, 0
	}
	ls.ring, ls.waiting, ls.bytes = nil, 0, 0
	ls.work.Broadcast()
	return rest
}

// free is how many more jobs fit at all.
func (ls *lanes) free() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.cfg.jobs - ls.waiting
}

// depth returns how many jobs wait and how many are in flight.
func (ls *lanes) depth() (waiting, inFlight int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.waiting, ls.inFlight
}
