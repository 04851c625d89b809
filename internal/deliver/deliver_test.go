package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/queue"
	"convoy/internal/run"
	"convoy/internal/store"
	"convoy/internal/testenv"
)

// at is a policy of tries that follow each other at once.
func at(limit int) convoy.RetryPolicy {
	return convoy.RetryPolicy{Type: convoy.RetryLinear, Limit: limit}
}

// perDelivery counts the requests of each delivery.
func perDelivery(got []arrived) map[convoy.DeliveryID]int {
	n := map[convoy.DeliveryID]int{}
	for _, r := range got {
		n[deliveryOf(r.header)]++
	}
	return n
}

// once fails unless every job was requested exactly once.
func once(t *testing.T, jobs []convoy.Job, requests map[convoy.DeliveryID]int) {
	t.Helper()
	for _, j := range jobs {
		if n := requests[j.Delivery.ID]; n != 1 {
			t.Errorf("delivery %s was requested %d times", j.Delivery.ID, n)
		}
	}
	if len(requests) != len(jobs) {
		t.Errorf("%d deliveries were requested, want %d", len(requests), len(jobs))
	}
}

// TestDelivers sends what is handed over and what is in the queue, and looks
// at all that is recorded.
func TestDelivers(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		p.numbered(t)
		sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "thanks") })
		e := p.endpoint(t, sink.URL+"/hook")
		d := start(t, p.config(t))
		taken, pulled := p.routed(t, e, 20, at(3)), p.routed(t, e, 20, at(3))
		d.Take(t.Context(), taken)
		p.push(t, pulled)
		jobs := slices.Concat(taken, pulled)
		for _, got := range p.ended(t, jobs) {
			if got.Status != convoy.DeliverySuccess || got.Trials != 1 || got.Description != "" || !got.DueAt.IsZero() || !got.ClaimAt.IsZero() {
				t.Errorf("delivery %+v", got)
			}
			if got.Latency <= 0 || got.Latency > patience {
				t.Errorf("latency %v", got.Latency)
			}
			if got.TargetURL != e.URL {
				t.Errorf("target %s, want %s", got.TargetURL, e.URL)
			}
			attempts := p.attempts(t, got.ID)
			if len(attempts) != 1 {
				t.Fatalf("%d attempts", len(attempts))
			}
			a := attempts[0]
			if !a.Success || a.HTTPStatus != "200 OK" || a.Response != "thanks" || a.URL != e.URL || a.IP != "127.0.0.1" || a.Error != "" ||
				a.EndpointID != e.ID || a.RequestedAt.IsZero() || a.RespondedAt.Before(a.RequestedAt) ||
				deliveryOf(a.RequestHeaders) != got.ID {
				t.Errorf("attempt %+v", a)
			}
		}
		got := sink.requests()
		once(t, jobs, perDelivery(got))
		for _, r := range got {
			if string(r.body) != `{"amount": 12.50}` || r.uri != "/hook" {
				t.Errorf("%s got %s", r.uri, r.body)
			}
		}
		d.stop()
		if depth, err := p.queue.Depth(t.Context()); err != nil || depth.Waiting != 0 {
			t.Errorf("queue: %+v, %v; want it empty", depth, err)
		}
	})
}

func TestRetriesUntilSuccess(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		p.numbered(t)
		var (
			mu    sync.Mutex
			tries = map[convoy.DeliveryID]int{}
		)
		sink := newSink(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			id := deliveryOf(r.Header)
			if tries[id]++; tries[id] < 3 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		d := start(t, p.config(t))
		jobs := p.routed(t, p.endpoint(t, sink.URL), 10, at(5))
		begun := time.Now()
		d.Take(t.Context(), jobs)
		for _, got := range p.ended(t, jobs) {
			if got.Status != convoy.DeliverySuccess || got.Trials != 3 {
				t.Errorf("%s after %d trials: %s", got.Status, got.Trials, got.Description)
			}
			attempts := p.attempts(t, got.ID)
			if len(attempts) != 3 || attempts[0].Success || attempts[1].Success || !attempts[2].Success {
				t.Errorf("%d attempts, want the third to be the success", len(attempts))
			}
		}
		// A lease that has to end first would take a minute.
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("three tries without a delay took %v", took)
		}
		if n := len(sink.requests()); n != 30 {
			t.Errorf("%d requests, want 30", n)
		}
	})
}

// TestDynamicTarget makes every try of a delivery at the event's own URL, with
// the query merged into it once.
func TestDynamicTarget(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		d := start(t, p.config(t))
		e := p.endpoint(t, sink.URL+"/{tenant}")
		jobs := p.dynamic(t, e, sink.URL+"/7?b=2", "a=1")
		lost := p.routed(t, e, 1, at(3))
		d.Take(t.Context(), jobs)
		p.push(t, lost) // loaded from the store
		for _, got := range p.ended(t, jobs) {
			if got.Status != convoy.DeliveryFailure || got.Trials != 3 || got.TargetURL != sink.URL+"/7?a=1&b=2" {
				t.Errorf("delivery %+v", got)
			}
			for _, a := range p.attempts(t, got.ID) {
				if a.URL != sink.URL+"/7?a=1&b=2" {
					t.Errorf("attempt at %s", a.URL)
				}
			}
		}
		for _, got := range p.ended(t, lost) {
			if got.Status != convoy.DeliveryDiscarded || got.Description != reasonTemplate || got.Trials != 0 {
				t.Errorf("delivery without a target %+v", got)
			}
		}
		for _, r := range sink.requests() {
			if r.uri != "/7?a=1&b=2" {
				t.Errorf("request for %s", r.uri)
			}
		}
		if n := len(sink.requests()); n != 3 {
			t.Errorf("%d requests, want 3", n)
		}
	})
}

func TestRetriesUntilFailure(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		e := p.endpoint(t, sink.URL)
		d := start(t, p.config(t))
		jobs := p.routed(t, e, 3, at(4))
		d.Take(t.Context(), jobs)
		for _, got := range p.ended(t, jobs) {
			if got.Status != convoy.DeliveryFailure || got.Trials != 4 || got.Description != "Retry limit exceeded" || !got.DueAt.IsZero() {
				t.Errorf("delivery %+v", got)
			}
		}
		if n := len(sink.requests()); n != 12 {
			t.Errorf("%d requests, want 12", n)
		}
		if got, err := p.store.Endpoint(t.Context(), p.project.ID, e.ID); err != nil || got.Status != convoy.EndpointActive {
			t.Errorf("endpoint %v, %v; want it active: the project does not ask for more", got, err)
		}
	})
}

func TestDisablesFailingEndpoints(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.settings(t, func(c *convoy.ProjectConfig) { c.DisableEndpoint = true })
	failing := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	fine := newSink(t, nil)
	cfg := p.config(t)
	d := start(t, cfg)
	bad, good := p.endpoint(t, failing.URL), p.endpoint(t, fine.URL)
	jobs := slices.Concat(p.routed(t, bad, 1, at(2)), p.routed(t, good, 1, at(1)))
	d.Take(t.Context(), jobs)
	p.ended(t, jobs)
	late := p.routed(t, bad, 1, at(2))
	d.Take(t.Context(), late)
	if got := p.ended(t, late)[0]; got.Status != convoy.DeliveryDiscarded || got.Description != "endpoint is inactive" || got.Trials != 0 {
		t.Errorf("later delivery %+v, want it discarded", got)
	}
	disabled := cfg.Disabler.(*disabling)
	disabled.mu.Lock()
	defer disabled.mu.Unlock()
	if !slices.Equal(disabled.disabled, []convoy.EndpointID{bad.ID}) {
		t.Errorf("disabled %v, want only the failing one", disabled.disabled)
	}
	p.failed.mu.Lock()
	defer p.failed.mu.Unlock()
	if !slices.Equal(p.failed.ids, []convoy.DeliveryID{jobs[0].Delivery.ID}) {
		t.Errorf("the alarm saw %v fail, want only %s", p.failed.ids, jobs[0].Delivery.ID)
	}
}

// TestSparesEndpoints has deliveries end as failures that say little about their
// endpoint: it stays switched on.
func TestSparesEndpoints(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.settings(t, func(c *convoy.ProjectConfig) { c.DisableEndpoint = true })
	failing := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	cfg := p.config(t)
	d := start(t, cfg)
	once := p.routed(t, p.endpoint(t, failing.URL), 1, at(3))
	once[0].Delivery.Mode = convoy.AtMostOnce
	wants := p.endpoint(t, failing.URL)
	wants.ContentType = formContent
	if err := p.store.UpdateEndpoint(t.Context(), wants); err != nil {
		t.Fatal(err)
	}
	p.changed(t)
	form := p.routed(t, wants, 1, at(1))
	form[0].Event.Data = []byte(`"no object"`)
	for want, jobs := range map[string][]convoy.Job{
		"not retried: delivery mode is at_most_once": once,
		"a form can only be made of a JSON object":   form,
	} {
		d.Take(t.Context(), jobs)
		if got := p.ended(t, jobs)[0]; got.Status != convoy.DeliveryFailure || got.Description != want {
			t.Errorf("%s: %s, %s", want, got.Status, got.Description)
		}
	}
	d.stop()
	if disabled := cfg.Disabler.(*disabling).disabled; len(disabled) > 0 {
		t.Errorf("disabled %v", disabled)
	}
}

func TestPausedEndpointParks(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		ctx := t.Context()
		p.numbered(t)
		sink := newSink(t, nil)
		e := p.endpoint(t, sink.URL)
		if _, err := p.store.SetEndpointStatus(ctx, p.project.ID, e.ID, convoy.EndpointPaused, time.Now()); err != nil {
			t.Fatal(err)
		}
		p.changed(t)
		d := start(t, p.config(t))
		taken, pulled := p.routed(t, e, 3, at(2)), p.routed(t, e, 3, at(2))
		d.Take(ctx, taken)
		p.push(t, pulled)
		jobs := slices.Concat(taken, pulled)
		for _, got := range p.await(t, jobs, func(d *convoy.Delivery) bool { return d.ClaimAt.Equal(convoy.Parked) }) {
			if got.Status != convoy.DeliveryScheduled || got.Trials != 0 || got.Description != "endpoint is paused" || got.DueAt.IsZero() {
				t.Errorf("parked delivery %+v", got)
			}
		}
		p.sweep(t) // finds nothing
		if n := len(sink.requests()); n != 0 {
			t.Fatalf("%d requests to a paused endpoint", n)
		}
		if _, err := p.store.SetEndpointStatus(ctx, p.project.ID, e.ID, convoy.EndpointActive, time.Now()); err != nil {
			t.Fatal(err)
		}
		p.changed(t)
		p.sweep(t)
		for _, got := range p.ended(t, jobs) {
			if got.Status != convoy.DeliverySuccess || got.Trials != 1 || got.Description != "" {
				t.Errorf("resumed delivery %+v", got)
			}
		}
		once(t, jobs, perDelivery(sink.requests()))
	})
}

// TestDiscards gives deliveries whose endpoint or project is not there, or off.
func TestDiscards(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(ctx context.Context, p *place, e *convoy.Endpoint) error
		reason string
	}{
		"inactive": {func(ctx context.Context, p *place, e *convoy.Endpoint) error {
			_, err := p.store.SetEndpointStatus(ctx, p.project.ID, e.ID, convoy.EndpointInactive, time.Now())
			return err
		}, "endpoint is inactive"},
		"endpoint deleted": {func(ctx context.Context, p *place, e *convoy.Endpoint) error {
			return p.store.DeleteEndpoint(ctx, p.project.ID, e.ID, time.Now())
		}, "endpoint was deleted"},
		"project deleted": {func(ctx context.Context, p *place, _ *convoy.Endpoint) error {
			return p.store.DeleteProject(ctx, p.project.ID, time.Now())
		}, "project was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := embedded(t)
			sink := newSink(t, nil)
			e := p.endpoint(t, sink.URL)
			if err := tt.change(t.Context(), p, e); err != nil {
				t.Fatal(err)
			}
			p.changed(t)
			d := start(t, p.config(t))
			// Stored afterwards, as by a process that did not know yet.
			taken, pulled := p.routed(t, e, 2, at(3)), p.routed(t, e, 2, at(3))
			d.Take(t.Context(), taken)
			p.push(t, pulled)
			for _, got := range p.ended(t, slices.Concat(taken, pulled)) {
				if got.Status != convoy.DeliveryDiscarded || got.Description != tt.reason || got.Trials != 0 || !got.DueAt.IsZero() || !got.ClaimAt.IsZero() {
					t.Errorf("delivery %+v, want it discarded: %s", got, tt.reason)
				}
				if n := len(p.attempts(t, got.ID)); n != 0 {
					t.Errorf("%d attempts of a discarded delivery", n)
				}
			}
			if n := len(sink.requests()); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestEndpointOfAnotherProcess is made where this process's catalog cannot
// hear of it.
func TestEndpointOfAnotherProcess(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	sink := newSink(t, nil)
	d := start(t, p.config(t))
	if _, err := p.catalog.Project(t.Context(), p.project.ID); err != nil { // known without it
		t.Fatal(err)
	}
	elsewhere := *p
	elsewhere.catalog = p.newCatalog()
	jobs := p.routed(t, elsewhere.endpoint(t, sink.URL), 1, at(1))
	d.Take(t.Context(), jobs)
	if got := p.ended(t, jobs)[0]; got.Status != convoy.DeliverySuccess {
		t.Errorf("delivery %+v", got)
	}
}

func TestAtMostOnce(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	d := start(t, p.config(t))
	jobs := p.routed(t, p.endpoint(t, sink.URL), 1, at(5))
	jobs[0].Delivery.Mode = convoy.AtMostOnce
	d.Take(t.Context(), jobs)
	if got := p.ended(t, jobs)[0]; got.Status != convoy.DeliveryFailure || got.Trials != 1 {
		t.Errorf("delivery %+v", got)
	}
	if n := len(sink.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// closing is a store that can be taken away.
type closing struct {
	*store.Store
	down    atomic.Bool
	refused atomic.Int32
}

var errDown = errors.New("store is down")

func (s *closing) Record(ctx context.Context, outcomes []store.Outcome) error {
	if s.down.Load() {
		s.refused.Add(1)
		return errDown
	}
	return s.Store.Record(ctx, outcomes)
}

func (s *closing) Jobs(ctx context.Context, ids []convoy.DeliveryID) ([]convoy.Job, error) {
	if s.down.Load() {
		return nil, errDown
	}
	return s.Store.Jobs(ctx, ids)
}

// TestStoreDownWhileRecording takes the store away while requests are made:
// every outcome is recorded once it is back, and nothing is sent twice.
func TestStoreDownWhileRecording(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		p.numbered(t)
		sink := newSink(t, nil)
		s := &closing{Store: p.store}
		cfg := p.config(t)
		cfg.Store = s
		d := start(t, cfg)
		jobs := p.routed(t, p.endpoint(t, sink.URL), 100, at(3))
		s.down.Store(true)
		d.Take(t.Context(), jobs)
		testenv.Eventually(t, patience, func() bool { return s.refused.Load() > 0 && len(sink.requests()) == len(jobs) })
		d.Take(t.Context(), jobs) // offered again, in vain
		p.push(t, jobs[:10])
		testenv.Eventually(t, patience, func() bool { return s.refused.Load() > 1 })
		s.down.Store(false)
		for _, got := range p.ended(t, jobs) {
			if got.Status != convoy.DeliverySuccess || got.Trials != 1 {
				t.Errorf("delivery %+v", got)
			}
			if n := len(p.attempts(t, got.ID)); n != 1 {
				t.Errorf("%d attempts", n)
			}
		}
		d.stop()
		once(t, jobs, perDelivery(sink.requests()))
	})
}

// TestRecordsAfterALongOutage has a flush whose time ran out while the store
// was away.
func TestRecordsAfterALongOutage(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	d := New(p.config(t))
	j := &job{Job: p.routed(t, p.endpoint(t, "http://endpoint.example"), 1, at(3))[0]}
	after := decide(*j.Delivery, result{status: 200}, policy{}, time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.record(ctx, []done{{j, store.Outcome{Delivery: &after}}}); err != nil {
		t.Fatal(err)
	}
	if got := p.ended(t, []convoy.Job{j.Job})[0]; got.Status != convoy.DeliverySuccess {
		t.Errorf("delivery %+v", got)
	}
}

// TestDrain stops a deliverer with requests in flight and jobs waiting: the
// first are finished and recorded, the others given back.
func TestDrain(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		p.numbered(t)
		release := make(chan struct{})
		sink := newSink(t, func(http.ResponseWriter, *http.Request) { <-release })
		cfg := p.config(t)
		cfg.PerEndpoint = 3
		first := start(t, cfg)
		jobs := p.routed(t, p.endpoint(t, sink.URL), 20, at(3))
		first.Take(t.Context(), jobs)
		testenv.Eventually(t, patience, func() bool { return len(sink.requests()) == 3 })
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			first.stop()
		}()
		testenv.Eventually(t, patience, func() bool { waiting, _ := first.Depth(); return waiting == 0 })
		if _, inFlight := first.Depth(); inFlight != 3 {
			t.Errorf("%d requests in flight while it stops, want 3", inFlight)
		}
		close(release)
		<-stopped
		inFlight := perDelivery(sink.requests())
		if len(inFlight) != 3 {
			t.Errorf("%d deliveries were sent, want the 3 in flight", len(inFlight))
		}
		for id := range inFlight {
			got, err := p.store.Delivery(t.Context(), p.project.ID, id)
			if err != nil || got.Status != convoy.DeliverySuccess {
				t.Errorf("delivery in flight %+v, %v; want it recorded", got, err)
			}
		}
		// Late arrivals are given back too.
		late := p.routed(t, p.endpoint(t, sink.URL), 5, at(3))
		first.Take(t.Context(), late)
		cfg = p.config(t)
		start(t, cfg)
		jobs = slices.Concat(jobs, late)
		for _, got := range p.ended(t, jobs) {
			if got.Status != convoy.DeliverySuccess || got.Trials != 1 {
				t.Errorf("delivery %+v", got)
			}
		}
		once(t, jobs, perDelivery(sink.requests()))
	})
}

// TestAbandon ends a process whose endpoint hangs: the request is cut off, no
// attempt is recorded, and the delivery can be made again.
func TestAbandon(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	begun, release := make(chan struct{}), make(chan struct{})
	sink := newSink(t, func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-release
	})
	t.Cleanup(func() { close(release) })
	d := New(p.config(t))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	group := run.Group{Stages: []run.Stage{{Name: "deliver", Run: d.Run}}, Drain: 100 * time.Millisecond}
	go func() { ended <- group.Run(ctx) }()
	jobs := p.routed(t, p.endpoint(t, sink.URL), 1, at(3))
	p.push(t, jobs)
	<-begun
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, run.ErrAbandoned) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the process does not end")
	}
	got, err := p.store.Delivery(t.Context(), p.project.ID, jobs[0].Delivery.ID)
	if err != nil || got.Status != convoy.DeliveryScheduled || got.Trials != 0 || len(p.attempts(t, got.ID)) != 0 {
		t.Errorf("delivery %+v, %v; want it as before", got, err)
	}
}

// TestPanicIsOneDeliverys has a transport that panics for one endpoint.
func TestPanicIsOneDeliverys(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		sink := newSink(t, nil)
		cfg := p.config(t)
		cfg.Log = slog.New(slog.DiscardHandler) // the stacks
		next := cfg.Transport
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/panic" {
				panic("bad endpoint")
			}
			return next.RoundTrip(r)
		})
		d := start(t, cfg)
		bad := p.routed(t, p.endpoint(t, sink.URL+"/panic"), 5, at(3))
		good := p.routed(t, p.endpoint(t, sink.URL), 50, at(3))
		d.Take(t.Context(), slices.Concat(bad, good))
		for _, got := range p.ended(t, good) {
			if got.Status != convoy.DeliverySuccess {
				t.Errorf("good delivery %+v", got)
			}
		}
		for _, got := range p.ended(t, bad) {
			if got.Status != convoy.DeliveryFailure || got.Trials != 3 {
				t.Errorf("bad delivery %+v", got)
			}
		}
		if waiting, inFlight := d.Depth(); waiting != 0 || inFlight != 0 {
			t.Errorf("depth = %d, %d at the end", waiting, inFlight)
		}
	})
}

// TestTwoProcesses share 2,000 deliveries, half of which are handed over to
// one of them and to the queue at the same time.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"postgres and redis", "postgres and no more"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := engines[name](t)
			p.numbered(t)
			var total atomic.Int32
			sink := newSink(t, func(http.ResponseWriter, *http.Request) { total.Add(1) })
			endpoints := make([]*convoy.Endpoint, 10)
			for i := range endpoints {
				endpoints[i] = p.endpoint(t, fmt.Sprint(sink.URL, "/", i))
			}
			var jobs []convoy.Job
			for _, e := range endpoints {
				jobs = append(jobs, p.routed(t, e, 200, at(3))...)
			}
			one := start(t, p.config(t))
			cfg := p.config(t)
			cfg.Queue, cfg.Projects = p.another(), p.newCatalog()
			two := start(t, cfg)
			var wg sync.WaitGroup
			for i := 0; i < len(jobs); i += 100 {
				part := jobs[i : i+100]
				switch (i / 100) % 4 {
				case 0:
					wg.Go(func() { one.Take(t.Context(), part) })
				case 1:
					wg.Go(func() { two.Take(t.Context(), part) })
				default:
					wg.Go(func() { p.push(t, part) })
				}
			}
			wg.Wait()
			testenv.Eventually(t, 2*patience, func() bool { return total.Load() >= int32(len(jobs)) })
			for _, got := range p.ended(t, jobs) {
				if got.Status != convoy.DeliverySuccess || got.Trials != 1 {
					t.Errorf("delivery %+v", got)
				}
			}
			one.stop()
			two.stop()
			once(t, jobs, perDelivery(sink.requests()))
		})
	}
}

// TestOverflow hands over more than fits, for one endpoint: what waits in
// memory stays bounded and everything is delivered.
func TestOverflow(t *testing.T) {
	t.Parallel()
	const n = overflow
	p := embedded(t)
	p.numbered(t)
	var (
		mu   sync.Mutex
		sent = make(map[convoy.DeliveryID]int, n)
		d    *running
		most int
	)
	cfg := p.config(t)
	cfg.Concurrency, cfg.PerEndpoint = 64, 64
	cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		waiting, _ := d.Depth()
		mu.Lock()
		defer mu.Unlock()
		most = max(most, waiting)
		sent[deliveryOf(r.Header)]++
		return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
	})
	e := p.endpoint(t, "http://endpoint.example")
	jobs := p.routed(t, e, n, at(3))
	d = start(t, cfg)
	d.Take(t.Context(), jobs)
	testenv.Eventually(t, 2*patience, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(sent) == n
	})
	testenv.Eventually(t, patience, func() bool {
		left, err := p.store.Jobs(t.Context(), ids(jobs))
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0
	})
	d.stop()
	once(t, jobs, maps.Clone(sent))
	if most > bufferJobs {
		t.Errorf("%d jobs waited in memory, the bound is %d", most, bufferJobs)
	}
	if left, err := p.queue.Depth(t.Context()); err != nil || left.Waiting != 0 {
		t.Errorf("queue: %+v, %v", left, err)
	}
}

func ids(jobs []convoy.Job) []convoy.DeliveryID {
	out := make([]convoy.DeliveryID, len(jobs))
	for i, j := range jobs {
		out[i] = j.Delivery.ID
	}
	return out
}

// watched tells what is given back to the queue.
type watched struct {
	queue.Queue
	later chan []queue.Item
}

func (w *watched) Later(ctx context.Context, items []queue.Item) error {
	select {
	case w.later <- items:
	default:
	}
	return w.Queue.Later(ctx, items)
}

// TestStartLimit lets a fresh job wait for longer than it may: it is given
// back instead of being sent, because its claim may be over.
func TestStartLimit(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.numbered(t)
	release := make(chan struct{})
	sink := newSink(t, func(http.ResponseWriter, *http.Request) { <-release })
	cfg := p.config(t)
	q := &watched{cfg.Queue, make(chan []queue.Item, 16)} // more than the test gives back
	cfg.Queue, cfg.PerEndpoint, cfg.StartLimit = q, 1, 50*time.Millisecond
	d := start(t, cfg)
	jobs := p.routed(t, p.endpoint(t, sink.URL), 2, at(3))
	d.Take(t.Context(), jobs)
	testenv.Eventually(t, patience, func() bool { return len(sink.requests()) == 1 })
	limit := time.Now().Add(cfg.StartLimit)
	testenv.Eventually(t, patience, func() bool { return time.Now().After(limit) })
	close(release)
	select {
	case items := <-q.later:
		if len(items) != 1 || items[0].ID != queueID(jobs[1].Delivery) {
			t.Errorf("given back %v, want the second delivery", items)
		}
	case <-time.After(patience):
		t.Fatal("the late job is not given back")
	}
	for _, got := range p.ended(t, jobs) { // pulled, loaded, sent
		if got.Status != convoy.DeliverySuccess || got.Trials != 1 {
			t.Errorf("delivery %+v", got)
		}
	}
	once(t, jobs, perDelivery(sink.requests()))
}

// TestLongTimeoutHoldsTheClaim has an endpoint that may take longer than lease
// and claim are for: while it does, nobody else is offered the delivery.
func TestLongTimeoutHoldsTheClaim(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		ctx := t.Context()
		release := make(chan struct{})
		sink := newSink(t, func(http.ResponseWriter, *http.Request) { <-release })
		e := p.endpoint(t, sink.URL)
		e.HTTPTimeout = 4 * time.Minute
		if err := p.store.UpdateEndpoint(ctx, e); err != nil {
			t.Fatal(err)
		}
		p.changed(t)
		jobs := p.routed(t, e, 1, at(3))
		p.sweep(t) // as after a restart: the store offers it
		d := start(t, p.config(t))
		testenv.Eventually(t, patience, func() bool { return len(sink.requests()) == 1 })
		claimed, _, err := p.store.ClaimDue(ctx, time.Now().Add(3*time.Minute), time.Minute, 10)
		if err != nil || len(claimed) != 0 {
			t.Errorf("the store offers %v, %v while the request is made", claimed, err)
		}
		pull, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if items, err := p.queue.Pull(pull, 10, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the queue offers %v, %v while the request is made", items, err)
		}
		close(release)
		if got := p.ended(t, jobs)[0]; got.Status != convoy.DeliverySuccess || got.Trials != 1 {
			t.Errorf("delivery %+v", got)
		}
		d.stop()
		if depth, err := p.queue.Depth(ctx); err != nil || depth.Waiting != 0 {
			t.Errorf("queue: %+v, %v; want it empty", depth, err)
		}
	})
}

// TestFarRetryWaitsInTheStore has a retry beyond what the queue holds, and one
// within.
func TestFarRetryWaitsInTheStore(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		d := start(t, p.config(t))
		e := p.endpoint(t, sink.URL)
		far := p.routed(t, e, 1, convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: time.Hour, Limit: 3})
		near := p.routed(t, e, 1, convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: time.Minute, Limit: 3})
		d.Take(t.Context(), slices.Concat(far, near))
		retried := func(d *convoy.Delivery) bool { return d.Status == convoy.DeliveryRetry }
		got := p.await(t, far, retried)[0]
		if !got.ClaimAt.Equal(got.DueAt) || got.Trials != 1 {
			t.Errorf("far retry %+v: want it claimable when it is due", got)
		}
		if wait := time.Until(got.DueAt); wait < 50*time.Minute || wait > 61*time.Minute {
			t.Errorf("far retry after %v", wait)
		}
		if got.Description != "last try was answered with status 500" {
			t.Errorf("description %q", got.Description)
		}
		got = p.await(t, near, retried)[0]
		want := got.DueAt
		if !p.queueIsStore {
			want = want.Add(grace) // the queue comes first
		}
		if !got.ClaimAt.Equal(want) {
			t.Errorf("near retry due at %v is claimable at %v, want %v", got.DueAt, got.ClaimAt, want)
		}
		d.stop()
		if p.queueIsStore {
			return
		}
		if depth, err := p.queue.Depth(t.Context()); err != nil || depth.Waiting != 1 {
			t.Errorf("queue: %+v, %v; want the near retry", depth, err)
		}
	})
}

// TestHungEndpointDelaysNobody has one endpoint that never answers, with a
// backlog, among others that do.
func TestHungEndpointDelaysNobody(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.numbered(t)
	release := make(chan struct{})
	hung := newSink(t, func(http.ResponseWriter, *http.Request) { <-release })
	fine := newSink(t, nil)
	d := start(t, p.config(t))
	backlog := p.routed(t, p.endpoint(t, hung.URL), 500, at(1))
	d.Take(t.Context(), backlog[:250])
	p.push(t, backlog[250:])
	var jobs []convoy.Job
	for i := range 20 {
		jobs = append(jobs, p.routed(t, p.endpoint(t, fmt.Sprint(fine.URL, "/", i)), 20, at(1))...)
	}
	d.Take(t.Context(), jobs[:200])
	p.push(t, jobs[200:])
	for _, got := range p.ended(t, jobs) {
		if got.Status != convoy.DeliverySuccess {
			t.Errorf("delivery %+v", got)
		}
	}
	if n := len(hung.requests()); n != 8 {
		t.Errorf("%d requests to the hung endpoint, want its bound of 8", n)
	}
	close(release)
	p.ended(t, backlog)
	once(t, backlog, perDelivery(hung.requests()))
}

func TestQueueID(t *testing.T) {
	t.Parallel()
	id, endpoint := ParseQueueID(QueueID("D", "E"))
	if id != "D" || endpoint != "E" {
		t.Errorf("id %q, endpoint %q", id, endpoint)
	}
	if id, endpoint := ParseQueueID("foreign"); id != "foreign" || endpoint != "" {
		t.Errorf("foreign id: %q, %q", id, endpoint)
	}
}

// TestForeignAndFinishedIDs puts ids into the queue that lead nowhere: they
// are removed.
func TestForeignAndFinishedIDs(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	sink := newSink(t, nil)
	d := start(t, p.config(t))
	jobs := p.routed(t, p.endpoint(t, sink.URL), 1, at(1))
	d.Take(t.Context(), jobs)
	p.ended(t, jobs)
	testenv.Eventually(t, patience, func() bool { // recorded and let go of
		d.lanes.mu.Lock()
		defer d.lanes.mu.Unlock()
		return len(d.lanes.held) == 0
	})
	now := time.Now()
	err := p.queue.Push(t.Context(), []queue.Item{
		{ID: queueID(jobs[0].Delivery), Due: now}, {ID: "unknown.endpoint", Due: now}, {ID: "nonsense", Due: now},
	})
	if err != nil {
		t.Fatal(err)
	}
	// An id that the queue still knows, waiting or leased, is not added.
	later := now.Add(time.Hour)
	testenv.Eventually(t, patience, func() bool {
		err := p.queue.Push(t.Context(), []queue.Item{
			{ID: queueID(jobs[0].Delivery), Due: later}, {ID: "unknown.endpoint", Due: later}, {ID: "nonsense", Due: later},
		})
		if err != nil {
			t.Fatal(err)
		}
		depth, err := p.queue.Depth(t.Context())
		return err == nil && depth.Waiting == 3 && depth.Oldest.IsZero()
	})
	if n := len(sink.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}
