package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// refusal bounds how long a publisher waits to hear that its event cannot be
// taken; a batch that fails gives up after 10 s.
const refusal = 15 * time.Second

// TestEngineOutage stops what events are made durable in. Publishing is refused
// until it is back, nothing of what was refused is ever seen again, and no
// process needs a restart.
func TestEngineOutage(t *testing.T) {
	t.Parallel()
	long(t)
	for name, tc := range map[string]struct {
		topology
		down string
	}{
		"postgres in stored mode": {topology{servers: 1, agents: 1, schedulers: 1}, "store"},
		"redis in queued mode":    {topology{redis: true, servers: 1, agents: 1, schedulers: 1}, "queue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, tc.topology)
			var engine interface {
				Stop() error
			} = c.postgres
			start := c.postgres.Start
			if tc.down == "queue" {
				engine, start = c.redis, c.redis.Start
			}
			s := newSink(t)
			r := s.receive("r", always(ok))
			endpoint := c.api().endpoint(t, s, r)
			c.api().publish(t, endpoint, "before")
			await(t, 20*time.Second, "the first event is delivered", func() error { return got(r, "before") })
			for _, p := range c.processes() {
				ready(t, p, "")
			}

			if err := engine.Stop(); err != nil {
				t.Fatal(err)
			}
			for _, p := range c.processes() {
				ready(t, p, tc.down)
				if status, body, err := fetch(t.Context(), p.url()+"/healthz"); err != nil || status != http.StatusOK {
					t.Errorf("healthz of %s: %d %s %v", p.name, status, body, err)
				}
			}
			refusals(t, c, endpoint)
			if err := start(t.Context()); err != nil {
				t.Fatal(err)
			}

			for _, p := range c.processes() {
				await(t, 20*time.Second, p.name+" is ready again", func() error { return state(p, "") })
			}
			for i, p := range c.doors() {
				id := "after-" + strconv.Itoa(i)
				await(t, 20*time.Second, p.name+" accepts again", func() error {
					reply, err := c.client(p).do(t.Context(), http.MethodPost, "/events", publication(endpoint, id))
					if err == nil && reply.status != http.StatusCreated {
						err = fmt.Errorf("status %d: %s", reply.status, reply.raw)
					}
					return err
				})
				await(t, 20*time.Second, id+" is delivered", func() error { return got(r, id) })
			}
			await(t, 20*time.Second, "nothing is unfinished", func() error { return c.api().unfinished(t.Context()) })
			want := 1 + len(c.doors())
			if events, requests := r.count(); events != want || requests != want {
				t.Errorf("receiver got %d events in %d requests, want %d: %v", events, requests, want, r.seen())
			}
			if n := len(list[event](t, c.api(), "/events", nil)); n != want {
				t.Errorf("%d events in the list, want %d", n, want)
			}
			r.valid(t)
		})
	}
}

// got returns nil if an event has been delivered.
func got(r *receiver, id string) error {
	if len(taken(r.seen()[id])) == 0 {
		return fmt.Errorf("%s has not come", id)
	}
	return nil
}

// refusals publishes at every door, one by one and many at once, while nothing
// can be taken.
func refusals(t *testing.T, c *cluster, endpoint string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, p := range c.doors() {
		for i := range 20 {
			wg.Go(func() {
				start := time.Now()
				r, err := c.client(p).do(t.Context(), http.MethodPost, "/events", publication(endpoint, fmt.Sprintf("during-%s-%d", p.name, i)))
				if err != nil {
					t.Errorf("publish at %s: %v", p.name, err)
					return
				}
				after, err := strconv.Atoi(r.header.Get("Retry-After"))
				if r.status != http.StatusServiceUnavailable || err != nil || after < 1 || r.OK || r.Message == "" {
					t.Errorf("publish at %s: status %d, Retry-After %q: %s", p.name, r.status, r.header.Get("Retry-After"), r.raw)
				}
				if took := time.Since(start); took > refusal {
					t.Errorf("publish at %s: refused only after %v", p.name, took)
				} else if i == 0 {
					t.Logf("publish at %s: refused after %v", p.name, took.Round(time.Millisecond))
				}
			})
		}
	}
	wg.Wait()
}

// ready expects /readyz to say that one thing is down, or none.
func ready(t *testing.T, p *process, down string) {
	t.Helper()
	if err := state(p, down); err != nil {
		t.Error(err)
	}
}

func state(p *process, down string) error {
	status, body, err := fetch(p.t.Context(), p.url()+"/readyz")
	if err != nil {
		return err
	}
	var r struct {
		OK   bool              `json:"status"`
		Data map[string]string `json:"data"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("readyz of %s: %w in %s", p.name, err, body)
	}
	want := http.StatusOK
	if down != "" {
		want = http.StatusServiceUnavailable
	}
	if status != want || r.OK != (down == "") || len(r.Data) == 0 {
		return fmt.Errorf("readyz of %s: status %d, want %d: %s", p.name, status, want, body)
	}
	for name, text := range r.Data {
		if (text == "ok") == (name == down) {
			return fmt.Errorf("readyz of %s says that %s is %q while %q is down", p.name, name, text, down)
		}
	}
	return nil
}

// TestEndpointOutage publishes while the endpoint's server is away: every event
// is accepted, and delivered once when it is back.
func TestEndpointOutage(t *testing.T) {
	t.Parallel()
	long(t)
	const events = 2000
	i := startStandalone(t)
	c := i.client()
	c.retryEvery(t, 2*time.Second, 1000)
	s := newSink(t)
	r := s.receive("r", always(ok))
	endpoint := c.endpoint(t, s, r)
	s.close()

	l := newLoad("outage", endpoint)
	start := time.Now()
	var wg sync.WaitGroup
	const parallel = 8
	for n := range parallel {
		wg.Go(func() {
			for k := n; k < events; k += parallel {
				l.publish(t.Context(), web, c, endpoint, fmt.Sprintf("outage-%d", k))
			}
		})
	}
	wg.Wait()
	t.Logf("%d events accepted within %v while the endpoint was down", l.acknowledged(), time.Since(start).Round(time.Millisecond))
	if l.acknowledged() != events {
		t.Fatalf("%d of %d events were accepted: %v", l.acknowledged(), events, l.reasons())
	}
	if came, _ := r.count(); came != 0 {
		t.Fatalf("%d events came while the endpoint was down", came)
	}
	s.open()
	b := l.settle(t, c, time.Minute, nil, r)
	noneTwice(t, b)
	if _, requests := r.count(); requests != events {
		t.Errorf("%d requests for %d events", requests, events)
	}
	if n := len(list[delivery](t, c, "/eventdeliveries", map[string][]string{"status": {"Success"}})); n != events {
		t.Errorf("%d deliveries are successful in the list, want %d", n, events)
	}
}
