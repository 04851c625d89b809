package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTopologies runs the same events through every supported combination of
// engines and roles and expects the same of each, to the attempt.
func TestTopologies(t *testing.T) {
	t.Parallel()
	for name, top := range map[string]topology{
		"standalone":     {},
		"redis queued":   {redis: true, intake: "queued", servers: 1, agents: 1, schedulers: 1},
		"redis stored":   {redis: true, intake: "stored", servers: 1, agents: 1, schedulers: 1},
		"postgres alone": {servers: 1, agents: 2, schedulers: 1},
		"pooler":         {pooler: true, redis: true, servers: 1, agents: 1, schedulers: 1},
		"pooler alone":   {pooler: true, servers: 1, agents: 1, schedulers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "standalone" {
				s := startStandalone(t)
				exactly(t, []client{s.client()})
				return
			}
			long(t)
			c := startCluster(t, top)
			var doors []client
			for _, p := range c.doors() {
				doors = append(doors, c.client(p))
			}
			exactly(t, doors)
		})
	}
}

// tries is the retry limit in the test of topologies: first try included.
const tries = 3

// exactly publishes to a receiver that takes everything, one that takes each
// event at the second try and one that takes nothing, and expects the attempts
// that follow from that, no more and no fewer.
func exactly(t *testing.T, doors []client) {
	t.Helper()
	const events = 500
	api := doors[0]
	api.retryEvery(t, time.Second, tries)
	s := newSink(t)
	cases := []struct {
		to              *receiver
		endpoint        string
		status          string
		trials, success int
		events          int
	}{
		{to: s.receive("good", always(ok)), status: "Success", trials: 1, success: 1},
		{to: s.receive("second", second), status: "Success", trials: 2, success: 1},
		{to: s.receive("bad", always(fails)), status: "Failure", trials: tries},
	}
	for i := range cases {
		cases[i].endpoint = api.endpoint(t, s, cases[i].to)
	}
	var wg sync.WaitGroup
	for n := range events {
		cases[n%len(cases)].events++
		wg.Go(func() {
			doors[n%len(doors)].publish(t, cases[n%len(cases)].endpoint, fmt.Sprintf("e-%d", n))
		})
		if n%20 == 19 { // 20 at a time
			wg.Wait()
		}
	}
	wg.Wait()
	start := time.Now()
	await(t, 90*time.Second, "all deliveries end", func() error {
		for _, tc := range cases {
			if came, requests := tc.to.count(); came != tc.events || requests != tc.events*tc.trials {
				return fmt.Errorf("%s got %d events in %d requests, want %d in %d",
					tc.to.path, came, requests, tc.events, tc.events*tc.trials)
			}
		}
		return api.unfinished(t.Context())
	})
	t.Logf("%d events settled within %v", events, time.Since(start).Round(time.Millisecond))

	if got := list[event](t, api, "/events", nil); len(got) != events {
		t.Errorf("%d events in the list, want %d", len(got), events)
	} else {
		for _, e := range got {
			if e.Status != "Success" {
				t.Fatalf("event %s is %s", e.UID, e.Status)
			}
		}
	}
	for _, tc := range cases {
		tc.to.valid(t)
		if came, requests := tc.to.count(); requests != came*tc.trials {
			t.Errorf("%s got %d requests for %d events", tc.to.path, requests, came)
		}
		got := list[delivery](t, api, "/eventdeliveries", url.Values{"endpointId": {tc.endpoint}, "status": {tc.status}})
		if len(got) != tc.events {
			t.Errorf("%s: %d deliveries are %s, want %d", tc.to.path, len(got), tc.status, tc.events)
		}
		seen := tc.to.seen()
		for i, d := range got {
			id, err := checkPayload([]byte(d.Metadata.Raw))
			if err != nil || len(seen[id]) != d.Metadata.Trials || d.Metadata.Trials != tc.trials {
				t.Errorf("%s: delivery %s of %s has %d trials, receiver got %d, want %d: %v",
					tc.to.path, d.UID, id, d.Metadata.Trials, len(seen[id]), tc.trials, err)
			}
			if i%10 == 0 {
				checkAttempts(t, api, d, tc.success)
			}
		}
	}
}

// checkAttempts compares the attempts of a delivery with its trials.
func checkAttempts(t *testing.T, c client, d delivery, success int) {
	t.Helper()
	var attempts []attempt
	c.must(t, http.MethodGet, "/eventdeliveries/"+d.UID+"/deliveryattempts", nil, http.StatusOK, &attempts)
	if len(attempts) != d.Metadata.Trials {
		t.Errorf("delivery %s has %d attempts in %d trials", d.UID, len(attempts), d.Metadata.Trials)
	}
	for i, a := range attempts {
		want, status := i >= len(attempts)-success, "500 "
		if want {
			status = "200 "
		}
		if a.Status != want || !strings.HasPrefix(a.HTTPStatus, status) {
			t.Errorf("delivery %s: attempt %d of %d has status %q, success %v", d.UID, i+1, len(attempts), a.HTTPStatus, a.Status)
		}
	}
}
