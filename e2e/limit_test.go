package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestRateLimit sends to an endpoint that takes one delivery in two seconds:
// they come at that pace, and none of them loses a try, though there is only
// one. Another endpoint does not notice.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	for name, top := range map[string]*topology{
		"standalone": nil,
		"queued":     {redis: true, servers: 1, agents: 2, schedulers: 1},
		"postgres":   {servers: 1, agents: 2, schedulers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c client
			if top == nil {
				c = startStandalone(t).client()
			} else {
				long(t)
				c = startCluster(t, *top).api()
			}
			s := newSink(t)
			slow, free := s.receive("slow", always(answer{status: http.StatusOK})), s.receive("free", always(answer{status: http.StatusOK}))
			c.retryEvery(t, time.Hour, 1)
			endpoint, other := c.endpoint(t, s, slow), c.endpoint(t, s, free)
			c.must(t, http.MethodPut, "/endpoints/"+endpoint, map[string]any{
				"name": "slow", "url": s.url(slow), "rate_limit": 1, "rate_limit_duration": 2,
			}, http.StatusAccepted, nil)
			const n = 8
			for i := range n {
				c.publish(t, endpoint, fmt.Sprintf("slow-%d", i))
			}
			c.publish(t, other, "free")
			start := time.Now()
			await(t, 10*time.Second, "the other endpoint's event", func() error { return got(free, "free") })
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("the other endpoint waited %v", took)
			}
			await(t, time.Minute, "all events", func() error {
				if events, _ := slow.count(); events < n {
					return fmt.Errorf("%d of %d", events, n)
				}
				return c.unfinished(t.Context())
			})
			var at []time.Time
			for _, list := range slow.seen() {
				at = append(at, taken(list)...)
			}
			slices.SortFunc(at, time.Time.Compare)
			if len(at) != n {
				t.Fatalf("%d requests for %d events", len(at), n)
			}
			for i := range n {
				want := time.Duration(i) * 2 * time.Second
				t.Logf("request %d at %v", i, at[i].Sub(at[0]).Round(time.Millisecond))
				if late := at[i].Sub(at[0]) - want; late < -250*time.Millisecond || late > 2*time.Second {
					t.Errorf("request %d after %v, want %v", i, at[i].Sub(at[0]), want)
				}
			}
			for _, d := range list[delivery](t, c, "/eventdeliveries", url.Values{"endpointId": {endpoint}}) {
				if d.Status != "Success" || d.Metadata.Trials != 1 {
					t.Errorf("delivery %s is %s after %d tries: %s", d.UID, d.Status, d.Metadata.Trials, d.Description)
				}
			}
		})
	}
}

// TestAPIRateLimit asks for more than is allowed.
func TestAPIRateLimit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	env := append(environment(t), "CONVOY_API_RATE_LIMIT=1", "CONVOY_INSTANCE_INGEST_RATE=2")
	p := newProcess(t, "standalone", env, "standalone", "--data-dir", dir)
	p.start()
	c := client{p.url(), credentials(t, dir)}
	s := newSink(t)
	r := s.receive("r", always(answer{status: http.StatusOK}))
	endpoint := c.endpoint(t, s, r)
	over := func(method, path string, body []byte, limit int) {
		t.Helper()
		for i := range limit + 100 {
			r, err := c.do(t.Context(), method, path, body)
			if err != nil {
				t.Fatal(err)
			}
			if r.status != http.StatusTooManyRequests {
				continue
			}
			after, err := strconv.Atoi(r.header.Get("Retry-After"))
			if i < limit-2 || err != nil || after < 1 || r.header.Get("X-RateLimit-Limit") != strconv.Itoa(limit) || r.Message != "exceeded rate limit" {
				t.Errorf("request %d: %s, %v", i, r.raw, r.header)
			}
			return
		}
		t.Error(errors.New("no limit"))
	}
	over(http.MethodPost, "/events", publication(endpoint, "x"), 120)
	over(http.MethodGet, "/endpoints", nil, 60)
}
