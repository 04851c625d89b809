package intake

import (
	"slices"
	"sync"

	"convoy"
	"convoy/internal/store"
)

const (
	// backlogEvents and backlogBytes bound what waits to be expanded; the rest
	// waits in the store for the sweep. Events that have not been begun are not
	// in memory.
	backlogEvents = 4096
	backlogBytes  = 64 << 20
	// turnEvents and turnBytes bound the events of one turn.
	turnEvents = 16
	turnBytes  = 4 << 20
)

// expanding is an event that waits to be expanded, or to go on with it.
type expanding struct {
	project convoy.ProjectID
	hold    store.Hold
	bytes   int
	// alone says that the store has refused it together with others.
	alone bool
	// expansion is nil until the event has been begun; counted says that it
	// waits with its data in memory.
	expansion *convoy.Expansion
	counted   bool
}

// backlog holds the events that wait to be expanded, a line for each project.
// Projects take turns, each with a bounded number of turns at a time, so that
// one with slow functions or many endpoints leaves room for others. An event
// that has been begun goes on before the next of its project.
type backlog struct {
	perProject int

	mu   sync.Mutex
	work sync.Cond // signalled when a turn may have become possible, and at the end
	// lines are the projects with events waiting or in a turn; ring are those
	// with events waiting, in turn.
	lines  map[convoy.ProjectID]*line
	ring   []*line
	events int
	// bytes are those of waiting events that have been begun.
	bytes  int
	closed bool
}

type line struct {
	project convoy.ProjectID
	waiting []*expanding
	turns   int // under way
	inRing  bool
}

func newBacklog(perProject int) *backlog {
	b := &backlog{perProject: perProject, lines: make(map[convoy.ProjectID]*line)}
	b.work.L = &b.mu
	return b
}

// add puts events at the end of their lines and reports whether there was room
// for all; what does not fit is left to the sweep.
func (b *backlog) add(events []*convoy.Event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range events {
		if b.events >= backlogEvents {
			return false
		}
		b.events++
		l := b.line(e.ProjectID)
		l.waiting = append(l.waiting, &expanding{
			project: e.ProjectID, hold: store.Hold{ID: e.ID, Seen: e.UpdatedAt}, bytes: e.Size(),
		})
		b.enqueue(l)
	}
	b.work.Broadcast()
	return true
}

func (b *backlog) line(project convoy.ProjectID) *line {
	l := b.lines[project]
	if l == nil {
		l = &line{project: project}
		b.lines[project] = l
	}
	return l
}

// enqueue puts a line into the ring that has just got its first event.
func (b *backlog) enqueue(l *line) {
	if len(l.waiting) > 0 && !l.inRing {
		l.inRing = true
		b.ring = append(b.ring, l)
	}
}

// next waits for a turn: events of one project, none of which has been begun,
// or one that has. It is nil at the end. The caller owes a done for it.
func (b *backlog) next() []*expanding {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed {
		if i := slices.IndexFunc(b.ring, func(l *line) bool { return l.turns < b.perProject }); i >= 0 {
			l := b.ring[i]
			b.ring = slices.Delete(b.ring, i, i+1)
			l.inRing = false
			turn := l.take()
			l.turns++
			b.enqueue(l)
			return turn
		}
		b.work.Wait()
	}
	return nil
}

func (l *line) take() []*expanding {
	n, bytes := 0, 0
	for _, x := range l.waiting {
		if x.alone || x.expansion != nil || n == turnEvents || n > 0 && bytes+x.bytes > turnBytes {
			break
		}
		n++
		bytes += x.bytes
	}
	turn := slices.Clone(l.waiting[:max(n, 1)])
	l.waiting = slices.Delete(l.waiting, 0, len(turn))
	return turn
}

// done ends a turn; rest are those of its events that go on.
func (b *backlog) done(turn, rest []*expanding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lines[turn[0].project]
	l.turns--
	b.events -= len(turn)
	for _, x := range turn {
		if x.counted {
			x.counted = false
			b.bytes -= x.bytes
		}
	}
	for _, x := range rest {
		if x.expansion != nil {
			if b.bytes+x.bytes > backlogBytes {
				continue // held by nobody soon, and found by the sweep
			}
			x.counted = true
			b.bytes += x.bytes
		}
		b.events++
		l.waiting = slices.Insert(l.waiting, 0, x)
	}
	b.enqueue(l)
	if len(l.waiting) == 0 && l.turns == 0 {
		delete(b.lines, l.project)
	}
	b.work.Broadcast()
}

// close ends every next.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.work.Broadcast()
}
