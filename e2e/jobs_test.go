package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// job is the part of a batch job that tests look at.
type job struct {
	State     string `json:"state"`
	Matched   int    `json:"matched"`
	Processed int    `json:"processed"`
	Succeeded int    `json:"succeeded"`
	Error     string `json:"error"`
}

// startJob asks for a batch job and returns its path.
func (c client) startJob(t *testing.T, path string) string {
	t.Helper()
	r, err := c.do(t.Context(), http.MethodPost, path, nil)
	if err != nil || r.status != http.StatusOK || r.header.Get("X-Convoy-Job-Id") == "" {
		t.Fatalf("%s: %d %s %v", path, r.status, r.raw, err)
	}
	return "/jobs/" + r.header.Get("X-Convoy-Job-Id")
}

// TestKillJobs kills whoever works on a batch replay and a batch retry in the
// middle of both. They go on where they were: nothing is left out, and nothing
// is scheduled twice.
func TestKillJobs(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		s := startStandalone(t)
		killJobs(t, s.client, func() { restart(s.process) })
	})
	for name, top := range map[string]topology{
		"redis":          {redis: true, intake: "queued", servers: 1, agents: 2, schedulers: 1},
		"postgres alone": {servers: 1, agents: 2, schedulers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			long(t)
			c := startCluster(t, top)
			killJobs(t, c.api, func() {
				for _, p := range c.agents {
					p.kill()
				}
				for _, p := range c.agents {
					p.start()
				}
			})
		})
	}
}

func killJobs(t *testing.T, api func() client, harm func()) {
	t.Helper()
	// A job of this size takes ten seconds at this rate.
	const events, rate, part = 300, 30, 60
	c := api()
	c.retryEvery(t, time.Second, 1)
	s := newSink(t)
	replayed, retried := s.receive("good", always(ok)), s.receive("second", second)
	good, bad := c.endpoint(t, s, replayed), c.endpoint(t, s, retried)
	for i := range events {
		c.publish(t, good, fmt.Sprintf("replayed-%d", i))
		c.publish(t, bad, fmt.Sprintf("retried-%d", i))
	}
	settled := func() error {
		for _, r := range []*receiver{replayed, retried} {
			if n, _ := r.count(); n != events {
				return fmt.Errorf("%s has %d events", r.path, n)
			}
		}
		return api().unfinished(t.Context())
	}
	await(t, time.Minute, "all deliveries end", settled)

	jobs := []string{
		c.startJob(t, fmt.Sprintf("/events/batchreplay?endpointId=%s&rate=%d", good, rate)),
		c.startJob(t, fmt.Sprintf("/eventdeliveries/batchretry?endpointId=%s&rate=%d", bad, rate)),
	}
	for _, path := range jobs {
		await(t, time.Minute, "a part is done", func() error {
			var j job
			if c.must(t, http.MethodGet, path, nil, http.StatusOK, &j); j.Processed < part {
				return fmt.Errorf("%+v", j)
			}
			return nil
		})
	}
	for _, path := range jobs {
		var j job
		if c.must(t, http.MethodGet, path, nil, http.StatusOK, &j); j.Processed > events*2/3 {
			t.Errorf("%s is nearly over before the harm: %+v", path, j)
		}
	}
	harm()
	c = api()
	for _, path := range jobs {
		var j job
		await(t, time.Minute, "the job ends", func() error {
			if c.must(t, http.MethodGet, path, nil, http.StatusOK, &j); j.State != "done" {
				return fmt.Errorf("%+v", j)
			}
			return nil
		})
		if j.Matched != events || j.Processed != events || j.Succeeded != events {
			t.Errorf("%s: %+v", path, j)
		}
	}
	await(t, recovery, "all deliveries end again", settled)

	for _, tc := range []struct {
		endpoint   string
		to         *receiver
		deliveries int // of each event
	}{{good, replayed, 2}, {bad, retried, 1}} {
		of := make(map[string]int)
		for _, d := range list[delivery](t, c, "/eventdeliveries", url.Values{"endpointId": {tc.endpoint}, "status": {"Success"}}) {
			of[d.EventID]++
		}
		if len(of) != events {
			t.Errorf("%s: deliveries of %d events succeeded, want %d", tc.to.path, len(of), events)
		}
		for event, n := range of {
			if n != tc.deliveries {
				t.Errorf("%s: %d deliveries of event %s, want %d", tc.to.path, n, event, tc.deliveries)
			}
		}
		for id, came := range tc.to.seen() {
			if len(came) < 2 {
				t.Errorf("%s: %s came %d times", tc.to.path, id, len(came))
			}
		}
		tc.to.valid(t)
	}
}
