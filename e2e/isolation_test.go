package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Not parallel: other tests would be part of what it measures.
//
// TestIsolation measures how long events to 200 healthy endpoints take while
// one more endpoint hangs, and compares that with a time when it does not.
func TestIsolation(t *testing.T) {
	long(t)
	const (
		healthy = 200
		// perSecond is the rate of an open loop; a tenth goes to the endpoint
		// that may hang.
		perSecond, share = 200, 10
		lasts            = 10 * time.Second
		// slack is for what a busy machine adds at the 99th percentile.
		slack = 20 * time.Millisecond
		// Noise of the machine only ever adds to what is measured, so one good
		// round shows that the gateway does not.
		rounds = 3
	)
	i := startStandalone(t)
	c := i.client()
	s := newSink(t)
	var hang hanging
	receivers := make([]*receiver, healthy)
	endpoints := make([]string, healthy)
	for n := range healthy {
		receivers[n] = s.receive(fmt.Sprintf("r%d", n), always(ok))
		endpoints[n] = c.endpoint(t, s, receivers[n])
	}
	bad := s.receive("bad", hang.answer)
	badEndpoint := c.endpoint(t, s, bad)

	o := &openLoop{client: c, every: time.Second / perSecond, pick: func(k int) string {
		if k%share == 0 {
			return badEndpoint
		}
		return endpoints[(k-k/share)%healthy]
	}}
	o.run(t, "warm", lasts/2)
	for round := range rounds {
		hang.set(0)
		without := o.measure(t, fmt.Sprintf("without%d", round), lasts, receivers)
		hang.set(10 * time.Second)
		with := o.measure(t, fmt.Sprintf("with%d", round), lasts, receivers)
		t.Logf("healthy endpoints, %d events: without a hanging one p50 %v p99 %v max %v; with it p50 %v p99 %v max %v",
			without.n, without.p50, without.p99, without.most, with.p50, with.p99, with.most)
		if with.p99 <= 2*without.p99+slack {
			if _, requests := bad.count(); requests == 0 {
				t.Error("nothing was sent to the endpoint that hangs")
			}
			return
		}
	}
	t.Errorf("a hanging endpoint slows the others")
}

// hanging is an endpoint's mood.
type hanging struct {
	mu    sync.Mutex
	after time.Duration
}

func (h *hanging) set(after time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.after = after
}

func (h *hanging) answer(int) answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return answer{status: http.StatusOK, after: h.after}
}

// openLoop publishes at a fixed rate, however slow the answers are.
type openLoop struct {
	client client
	every  time.Duration
	// pick names the endpoint of the k-th event.
	pick func(k int) string
}

// run publishes for a time and returns when each event was due to be published.
func (o *openLoop) run(t *testing.T, label string, lasts time.Duration) map[string]time.Time {
	t.Helper()
	const connections = 64 // more than are ever needed unless answers take a third of a second
	via := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	defer via.CloseIdleConnections()
	l := newLoad(label)
	due := make(map[string]time.Time)
	var wg sync.WaitGroup
	start := time.Now()
	for k := 0; time.Duration(k)*o.every < lasts; k++ {
		at := start.Add(time.Duration(k) * o.every)
		rest(t.Context(), time.Until(at))
		id := fmt.Sprintf("%s-%d", label, k)
		due[id] = at
		wg.Go(func() { l.publish(context.WithoutCancel(t.Context()), via, o.client, o.pick(k), id) })
	}
	wg.Wait()
	if l.acknowledged() != len(due) {
		t.Fatalf("%s: %d of %d events were accepted: %v", label, l.acknowledged(), len(due), l.reasons())
	}
	return due
}

// figures are times from when an event was due to its arrival.
type figures struct {
	n              int
	p50, p99, most time.Duration
}

// measure runs the loop and waits until all events for the receivers are there.
func (o *openLoop) measure(t *testing.T, label string, lasts time.Duration, receivers []*receiver) figures {
	t.Helper()
	due := o.run(t, label, lasts)
	want := 0
	for k := range len(due) {
		if o.pick(k) != o.pick(0) {
			want++
		}
	}
	var took []time.Duration
	await(t, 30*time.Second, label+": all events of healthy endpoints are delivered", func() error {
		took = took[:0]
		for _, r := range receivers {
			for id, list := range r.seen() {
				if at, ours := due[id]; ours {
					took = append(took, list[0].at.Sub(at))
				}
			}
		}
		if len(took) != want {
			return fmt.Errorf("%d of %d", len(took), want)
		}
		return nil
	})
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(int(q*float64(len(took))), len(took)-1)].Round(100 * time.Microsecond)
	}
	return figures{n: len(took), p50: at(.5), p99: at(.99), most: at(1)}
}
