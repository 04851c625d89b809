package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// think is the pause of a publisher between an answer and its next request:
// several instances share few processors with their load.
const think = 10 * time.Millisecond

// load publishes and keeps the books.
type load struct {
	// endpoints are published to in turn.
	endpoints []string
	// label starts the ids of the events.
	label string

	mu sync.Mutex
	// acked are the events that were acknowledged, refused those of which it is
	// not known whether they were taken, by the reason.
	acked   map[string]time.Time
	refused map[string]string
	slowest time.Duration
}

func newLoad(label string, endpoints ...string) *load {
	return &load{label: label, endpoints: endpoints, acked: make(map[string]time.Time), refused: make(map[string]string)}
}

// run has publishers publish in a closed loop, each at the doors in turn, until
// the returned function is called, which waits for their last answers.
func (l *load) run(ctx context.Context, publishers int, doors []client) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for n := range publishers {
		wg.Go(func() {
			// A connection of its own to each door, so that the answers of one
			// never wait for another publisher.
			via := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
			defer via.CloseIdleConnections()
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%s-%d-%d", l.label, n, i)
				l.publish(context.WithoutCancel(ctx), via, doors[(n+i)%len(doors)], l.endpoints[(n+i)%len(l.endpoints)], id)
				rest(ctx, think)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

func (l *load) publish(ctx context.Context, via *http.Client, c client, endpoint, id string) {
	start := time.Now()
	r, err := c.send(ctx, via, http.MethodPost, "/api/v1/projects/"+c.ProjectID+"/events", publication(endpoint, id))
	took := time.Since(start)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	switch {
	case err != nil:
		l.refused[id] = err.Error()
	case r.status != http.StatusCreated:
		l.refused[id] = fmt.Sprintf("status %d: %s", r.status, r.Message)
	default:
		l.acked[id] = time.Now()
	}
}

// ids returns the acknowledged events.
func (l *load) ids() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// acknowledged is how many events have been acknowledged.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// reasons counts why events were refused, for the log.
func (l *load) reasons() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]int)
	for _, reason := range l.refused {
		// An address says nothing to the reader.
		if i := strings.LastIndex(reason, ": "); i >= 0 {
			reason = reason[i+2:]
		}
		out[reason]++
	}
	return out
}

// books compares what was acknowledged with what was delivered.
type books struct {
	acked, delivered int
	// missing are acknowledged and not delivered, twice are delivered more than
	// once; both are of this load only.
	missing, twice []string
	// first are the times of the first delivery.
	first map[string]time.Time
	// late came more than [lateAfter] after they were acknowledged, slowest
	// after the longest time.
	late    int
	slowest time.Duration
	// history says when the slowest was tried.
	history string
}

// lateAfter is a time that only a lease or a sweep takes.
const lateAfter = 10 * time.Second

func (l *load) books(receivers ...*receiver) books {
	b := books{first: make(map[string]time.Time)}
	tried := make(map[string][]arrival)
	acked := l.ids()
	b.acked = len(acked)
	for _, r := range receivers {
		for id, list := range r.seen() {
			if !strings.HasPrefix(id, l.label+"-") {
				continue
			}
			tried[id] = list
			at := taken(list)
			if len(at) == 0 {
				continue
			}
			b.delivered++
			b.first[id] = at[0]
			if len(at) > 1 {
				b.twice = append(b.twice, id)
			}
		}
	}
	for id, at := range acked {
		first, there := b.first[id]
		if !there {
			b.missing = append(b.missing, id)
			continue
		}
		took := first.Sub(at)
		if took > b.slowest {
			b.slowest, b.history = took, id
			for _, a := range tried[id] {
				b.history += fmt.Sprintf(" %d after %v", a.status, a.at.Sub(at).Round(time.Millisecond))
			}
		}
		if took > lateAfter {
			b.late++
		}
	}
	slices.Sort(b.missing)
	slices.Sort(b.twice)
	return b
}

// settle waits until every acknowledged event has been delivered, save for
// those in lost, and nothing waits for another try any more.
func (l *load) settle(t testing.TB, c client, deadline time.Duration, lost map[string]bool, receivers ...*receiver) books {
	t.Helper()
	start := time.Now()
	await(t, deadline, "all acknowledged events are delivered", func() error {
		missing := slices.DeleteFunc(l.books(receivers...).missing, func(id string) bool { return lost[id] })
		if len(missing) > 0 {
			return fmt.Errorf("%d of %d are missing, such as %s", len(missing), l.acknowledged(), missing[0])
		}
		return c.unfinished(t.Context())
	})
	b := l.books(receivers...)
	t.Logf("%s: %d acknowledged, %d delivered, %d more than once, %d later than %v; %d refused %v; slowest answer %v, slowest delivery %v (%s); settled %v after the load",
		l.label, b.acked, b.delivered, len(b.twice), b.late, lateAfter, len(l.refused), l.reasons(), l.slowest.Round(time.Millisecond),
		b.slowest.Round(time.Millisecond), b.history, time.Since(start).Round(time.Millisecond))
	for _, r := range receivers {
		r.valid(t)
	}
	return b
}
