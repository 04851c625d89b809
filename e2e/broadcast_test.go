package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/seal"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

const (
	// audience is how many endpoints a broadcast goes to: several chunks.
	audience = 2000
	// broadcasts are published at once, so that the kill finds some of them
	// begun and some not.
	broadcasts = 4
)

// crowd is the receiver of all endpoints; it counts by path and payload.
type crowd struct {
	mu   sync.Mutex
	seen map[string]int
	// all is how many requests have come; enough is closed at limit of them.
	all, limit int
	enough     chan struct{}
	invalid    error
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed in the middle
	}
	id, err := checkPayload(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.invalid = errors.Join(c.invalid, err)
	}
	c.seen[r.URL.Path+" "+id]++
	if c.all++; c.all == c.limit {
		close(c.enough)
	}
	w.WriteHeader(http.StatusOK)
}

func (c *crowd) count() (distinct, all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen), c.all
}

// TestKillBroadcast kills a gateway while it expands and sends broadcasts:
// after its restart every endpoint has had each of them, and none has a second
// delivery.
func TestKillBroadcast(t *testing.T) {
	t.Parallel()
	s := startStandalone(t)
	c := s.client()
	c.retryEvery(t, time.Second, 20)
	sink := newSink(t)
	sink.close()
	to := &crowd{seen: make(map[string]int), limit: 200, enough: make(chan struct{})}
	sink.handler = to
	sink.open()
	s.kill()
	s.subscribe(t, "http://"+sink.addr)
	s.start()

	for i := range broadcasts {
		body := fmt.Appendf(nil, `{"event_type":"e2e.happened","data":%s,"idempotency_key":"broadcast %d"}`, payload(fmt.Sprint(i)), i)
		r, err := c.do(t.Context(), http.MethodPost, "/events/broadcast", body)
		if err != nil || r.status != http.StatusCreated {
			t.Fatalf("broadcast: %v, status %d: %s", err, r.status, r.raw)
		}
	}
	select {
	case <-to.enough:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was sent")
	}
	s.kill()
	_, before := to.count()
	s.start()
	statuses := map[string]int{}
	for _, e := range list[event](t, c, "/events", nil) {
		statuses[e.Status]++
	}
	t.Logf("killed after %d requests; events: %v", before, statuses)
	await(t, 30*time.Second, "every endpoint has had every broadcast", func() error {
		if n, all := to.count(); n < audience*broadcasts {
			return fmt.Errorf("%d of %d in %d requests", n, audience*broadcasts, all)
		}
		return c.unfinished(t.Context())
	})
	for _, e := range list[event](t, c, "/events", nil) {
		if e.Status != "Success" {
			t.Errorf("event %s is %s", e.UID, e.Status)
		}
		if n := len(list[delivery](t, c, "/eventdeliveries", url.Values{"eventId": {e.UID}})); n != audience {
			t.Errorf("event %s has %d deliveries, want %d", e.UID, n, audience)
		}
	}
	distinct, all := to.count()
	if again := all - distinct; again > unrecorded {
		t.Errorf("%d requests came twice, more than may have been unrecorded", again)
	} else {
		t.Logf("%d deliveries, %d requests came twice", distinct, again)
	}
	if to.invalid != nil {
		t.Error(to.invalid)
	}
}

// subscribe makes the audience of a gateway that does not run, in its store:
// by the API it would take longer than the test.
func (s *standalone) subscribe(t *testing.T, base string) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	db, err := sqldb.OpenSQLite(ctx, sqldb.SQLiteConfig{Path: filepath.Join(s.dir, "convoy.db"), Synchronous: "normal", Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key, err := seal.Source{File: filepath.Join(s.dir, "encryption.key")}.Key(ctx)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := store.Sealed(ctx, db, key)
	if err != nil {
		t.Fatal(err)
	}
	st, project := store.New(db, secrets), convoy.ProjectID(s.account.ProjectID)
	for i := range audience {
		name := fmt.Sprintf("e%04d", i)
		e := &convoy.Endpoint{
			ID: convoy.EndpointID(id.New(now)), ProjectID: project, Name: name, URL: base + "/" + name, Status: convoy.EndpointActive,
			Secrets: []convoy.Secret{{ID: id.New(now), Value: "secret", CreatedAt: now, UpdatedAt: now}}, CreatedAt: now, UpdatedAt: now,
		}
		sub := &convoy.Subscription{
			ID: convoy.SubscriptionID(id.New(now)), ProjectID: project, EndpointID: e.ID, Name: name, Mode: convoy.AtLeastOnce,
			CreatedAt: now, UpdatedAt: now,
		}
		sub.Filters = filter.ForTypes(sub.ID, []string{"e2e.*"}, nil, now)
		if err := errors.Join(st.CreateEndpoint(ctx, e), st.CreateSubscription(ctx, sub)); err != nil {
			t.Fatal(err)
		}
	}
}
