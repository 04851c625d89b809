package api

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"convoy/internal/limit"
)

// perMinute is a rate with nothing left after n.
func perMinute(n int) Rate {
	return Rate{Bucket: limit.NewMeter(limit.Limit{Key: "test", Count: n, Period: time.Hour, Burst: n}), Count: n}
}

// limited checks an answer over the rate.
func limited(t *testing.T, a answer, rate int) {
	t.Helper()
	if a.status != 429 || a.body != `{"status":false,"message":"exceeded rate limit"}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if got := a.header.Get("X-RateLimit-Limit"); got != strconv.Itoa(rate) {
		t.Errorf("limit %q", got)
	}
	if got := a.header.Get("X-RateLimit-Remaining"); got != "0" {
		t.Errorf("%q remaining", got)
	}
	for _, name := range []string{"X-RateLimit-Reset", "Retry-After"} {
		if s, err := strconv.Atoi(a.header.Get(name)); err != nil || s < 1 {
			t.Errorf("%s: %q", name, a.header.Get(name))
		}
	}
}

func TestAPIRate(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.APIRate = perMinute(5) })
	endpoint := f.endpoint("a") // the first
	for _, path := range []string{"", "endpoints", "/api/v1/projects?orgID=" + string(f.org.ID), "events"} {
		if a := f.do(call{path: path, key: f.person}); a.status == 429 || a.header.Get("X-RateLimit-Limit") != "" {
			t.Errorf("%s: got %d, limit %q", path, a.status, a.header.Get("X-RateLimit-Limit"))
		}
	}
	limited(t, f.do(call{path: "endpoints"}), 5)
	limited(t, f.do(call{path: "/api/v1/projects", key: f.person}), 5)
	limited(t, f.do(call{path: "no-such-thing"}), 5)
	// Neither events, nor pages, nor those without a key are tokens.
	body := `{"endpoint_id":"` + string(endpoint) + `","event_type":"a","data":1}`
	f.want(call{method: "POST", path: "events", body: body}, 201, publishedMessage)
	if a := f.do(call{path: "/healthz"}); a.status != 200 {
		t.Errorf("healthz: %d", a.status)
	}
	if a := f.do(call{path: "endpoints", key: "-"}); a.status != 401 {
		t.Errorf("without a key: %d", a.status)
	}
}

// TestCallerRates gives each key, person and address a limit of its own, and takes
// nothing from the instance for who is over it.
func TestCallerRates(t *testing.T) {
	t.Parallel()
	each := func(name string, n int) CallerRate {
		l := limit.Limit{Key: name, Count: n, Period: time.Minute, Burst: n}
		return CallerRate{Buckets: limit.NewEach(nil, l, slog.New(slog.DiscardHandler)), Count: n}
	}
	f := setup(t, openSQLite(t), func(c *Config) {
		c.KeyRate, c.UserRate, c.AddressRate, c.APIRate = each("key", 6), each("user", 4), each("address", 3), perMinute(100)
	})
	endpoint := f.endpoint("a") // the first of the project's key
	for range 5 {
		f.want(call{path: "endpoints"}, 200, "Endpoints fetched successfully")
	}
	limited(t, f.do(call{path: "endpoints"}), 6)
	// Publishing has a limit of its own.
	f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + string(endpoint) + `","event_type":"a","data":1}`}, 201, publishedMessage)

	// A person has one limit for all keys and sessions.
	for range 4 {
		f.want(call{path: "endpoints", key: f.person}, 200, "Endpoints fetched successfully")
	}
	limited(t, f.do(call{path: "/ui/organisations", key: f.person}), 4)

	// Who is not known shares the address, also where events are published, and
	// does not keep others there from anything.
	for i, c := range []call{{path: "endpoints", key: "-"}, {method: "POST", path: "events", key: "CO.unknown", body: "{}"}, {path: "/ui/organisations", key: "-"}} {
		if a := f.do(c); a.status != 401 {
			t.Errorf("call %d: %d", i, a.status)
		}
	}
	limited(t, f.do(call{path: "endpoints", key: "CO.unknown"}), 3)
	limited(t, f.do(call{method: "POST", path: "events", key: "CO.unknown", body: "{}"}), 3)
	limited(t, f.do(call{method: "POST", path: "/ui/auth/login", key: "-", body: `{"username":"a","password":"b"}`}), 3)
	f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + string(endpoint) + `","event_type":"a","data":1}`}, 201, publishedMessage)
}

func TestIngestRate(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.IngestRate = perMinute(20) })
	endpoint := string(f.endpoint("a"))
	single := call{method: "POST", path: "events", body: `{"endpoint_id":"` + endpoint + `","event_type":"a","data":1}`}
	f.want(single, 201, publishedMessage)
	f.want(call{method: "POST", path: "events/broadcast", body: `{"event_type":"a","data":1}`}, 201, "Broadcast event created successfully")
	// A batch is as many as its events, and taken whole or not at all.
	item := `{"endpoint_id":"` + endpoint + `","event_type":"a","data":1}`
	batch := func(n int) call {
		return call{method: "POST", path: "events/batch", body: "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"}
	}
	if a := f.do(batch(15)); a.status != 201 {
		t.Errorf("batch: %d %s", a.status, a.body)
	}
	limited(t, f.do(batch(4)), 20)
	for range 3 {
		f.want(single, 201, publishedMessage)
	}
	for _, path := range []string{"events", "events/fanout", "events/broadcast", "events/dynamic"} {
		limited(t, f.do(call{method: "POST", path: path, body: single.body}), 20)
	}
	// Who may not publish is told so first, and others are not limited.
	f.want(call{method: "POST", path: "/api/v1/projects/01J0000000000000000000NONE/events", key: f.person, body: single.body}, 400, "project not found")
	if a := f.do(call{path: "events"}); a.status != 200 {
		t.Errorf("list: %d", a.status)
	}
}

// tokens is a bucket that only counts.
type tokens struct {
	mu sync.Mutex
	n  int
}

func (c *tokens) Take(_ context.Context, n int) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	return 0
}

// What is refused for its form costs no more than what is taken.
func TestIngestRateOfBadRequests(t *testing.T) {
	t.Parallel()
	c := &tokens{}
	f := setup(t, openSQLite(t), func(cfg *Config) { cfg.IngestRate = Rate{Bucket: c, Count: 1} })
	for _, body := range []string{"", "{", "[]", `{"data":1}`} {
		if a := f.do(call{method: "POST", path: "events", body: body}); a.status != 400 {
			t.Errorf("%q: %d", body, a.status)
		}
	}
	if c.n != 4 {
		t.Errorf("tokens %d", c.n)
	}
}

// Ingest URLs share the rate of events; whoever has no credential of the source
// uses none of it up.
func TestIngestRateOfSources(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.IngestRate = perMinute(2) })
	s := f.source(`{"name":"src","type":"http","verifier":{"type":"api_key","api_key":{"header_name":"X-Key","header_value":"k"}}}`)
	for range 5 {
		if a := f.send(s, "", "{}", "X-Key", "no"); a.status != 400 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	for range 2 {
		if a := f.send(s, "", "{}", "X-Key", "k"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	limited(t, f.send(s, "", "{}", "X-Key", "k"), 2)
	limited(t, f.do(call{method: "POST", path: "events/broadcast", body: `{"event_type":"a","data":1}`}), 2)
}
