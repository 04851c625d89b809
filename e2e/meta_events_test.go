package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMetaEvents is told of what becomes of endpoints and deliveries, whichever
// process does it.
func TestMetaEvents(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		metaEvents(t, startStandalone(t).client())
	})
	for name, top := range map[string]topology{
		"redis queued":   {redis: true, intake: "queued", servers: 1, agents: 1, schedulers: 1},
		"postgres alone": {intake: "stored", servers: 1, agents: 1, schedulers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			long(t)
			c := startCluster(t, top)
			metaEvents(t, c.client(c.doors()[0]))
		})
	}
}

func metaEvents(t *testing.T, api client) {
	t.Helper()
	const secret = "s3cret of the operators"
	s := newSink(t)
	got := make(inbox, 16) // more than the meta events there are
	s.close()
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/failing" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		got.ServeHTTP(w, r)
	})
	s.open()
	ask := func(path string, types ...string) {
		t.Helper()
		api.must(t, http.MethodPut, "", map[string]any{"name": "default", "config": map[string]any{
			"disable_endpoint": true,
			"strategy":         map[string]any{"type": "linear", "duration": 1, "retry_count": 1},
			"meta_event":       map[string]any{"is_enabled": true, "url": "http://" + s.addr + path, "secret": secret, "event_type": types},
		}}, http.StatusAccepted, nil)
	}
	type meta struct {
		Type string `json:"event_type"`
		Data struct {
			UID     string         `json:"uid"`
			Status  string         `json:"status"`
			Secrets any            `json:"secrets"`
			Attempt map[string]any `json:"attempt"`
		} `json:"data"`
	}
	next := func(path string) meta {
		t.Helper()
		select {
		case r := <-got:
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write(r.body)
			if r.path != path || r.header.Get("X-Convoy-Signature") != hex.EncodeToString(mac.Sum(nil)) || len(r.header.Get("X-Convoy-Idempotency-Key")) != 64 {
				t.Errorf("got %s %s %v", r.path, r.body, r.header)
			}
			var m meta
			if err := json.Unmarshal(r.body, &m); err != nil || m.Data.Secrets != nil || strings.Contains(string(r.body), "secret") {
				t.Errorf("body %s, %v", r.body, err)
			}
			return m
		case <-time.After(30 * time.Second):
			t.Fatal("no meta event came")
		}
		return meta{}
	}

	ask("/ops", "endpoint.created", "endpoint.updated", "eventdelivery.failed")
	begun := time.Now()
	endpoint := api.endpoint(t, s, s.receive("failing", always(ok)))
	if m := next("/ops"); m.Type != "endpoint.created" || m.Data.UID != endpoint || m.Data.Status != "active" {
		t.Errorf("after an endpoint was created: %+v", m)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the first meta event took %v: it waited for a sweep", took)
	}
	api.publish(t, endpoint, "1")
	// Both follow from one try, by transactions of their own.
	off, failed := next("/ops"), next("/ops")
	if off.Type != "endpoint.updated" {
		off, failed = failed, off
	}
	if off.Type != "endpoint.updated" || off.Data.UID != endpoint || off.Data.Status != "inactive" {
		t.Errorf("after an endpoint was switched off for failing: %+v", off)
	}
	if failed.Type != "eventdelivery.failed" || failed.Data.Status != "Failure" || failed.Data.Attempt["http_status"] != "500 Internal Server Error" {
		t.Errorf("after a delivery failed: %+v", failed)
	}
	deliveries := list[struct {
		UID    string `json:"uid"`
		Status string `json:"status"`
	}](t, api, "/eventdeliveries", nil)
	if len(deliveries) != 1 || deliveries[0].UID != failed.Data.UID {
		t.Errorf("deliveries %+v, want only that of the event", deliveries)
	}

	// A change acts at once, in every process.
	ask("/elsewhere", "endpoint.deleted")
	changed := time.Now()
	api.must(t, http.MethodPost, "/endpoints/"+endpoint+"/activate", nil, http.StatusAccepted, nil) // not asked for any more
	api.must(t, http.MethodDelete, "/endpoints/"+endpoint, nil, http.StatusOK, nil)
	if m := next("/elsewhere"); m.Type != "endpoint.deleted" || m.Data.UID != endpoint {
		t.Errorf("after an endpoint was deleted: %+v", m)
	}
	if took := time.Since(changed); took > 5*time.Second {
		t.Errorf("the change took %v", took)
	}
	type row struct {
		UID     string `json:"uid"`
		Type    string `json:"event_type"`
		Status  string `json:"status"`
		Attempt *struct {
			Request map[string]string `json:"request_http_header"`
		} `json:"attempt"`
	}
	var rows []row
	await(t, 20*time.Second, "all meta events are recorded", func() error {
		rows = list[row](t, api, "/meta-events", nil)
		for _, r := range rows {
			if r.Status != "Success" || r.Attempt == nil || r.Attempt.Request["X-Convoy-Signature"] == "" {
				return fmt.Errorf("%s is %s", r.Type, r.Status)
			}
		}
		return nil
	})
	if len(rows) != 4 || len(got) != 0 {
		t.Errorf("%d meta events and %d requests more, want 4 and 0", len(rows), len(got))
	}
}

// TestMetaEventsSurviveKills kills a process in the middle of its work, again and
// again: in the end each delivery that has ended is told of, by one meta event,
// which has arrived.
func TestMetaEventsSurviveKills(t *testing.T) {
	t.Parallel()
	const kills, between = 4, 100
	i := startStandalone(t)
	api := i.client()
	s := newSink(t)
	var (
		mu   sync.Mutex
		told = make(map[string]int) // requests by delivery
		more = make(chan struct{}, 1)
	)
	s.close()
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/failing":
			w.WriteHeader(http.StatusInternalServerError)
		case "/ops":
			var m struct{ Data struct{ UID string } }
			if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			mu.Lock()
			told[m.Data.UID]++
			mu.Unlock()
			select {
			case more <- struct{}{}:
			default: // one is enough
			}
		}
	})
	s.open()
	api.must(t, http.MethodPut, "", map[string]any{"name": "default", "config": map[string]any{
		"strategy": map[string]any{"type": "linear", "duration": 1, "retry_count": 2},
		"meta_event": map[string]any{
			"is_enabled": true, "url": "http://" + s.addr + "/ops", "event_type": []string{"eventdelivery.success", "eventdelivery.failed"},
		},
	}}, http.StatusAccepted, nil)
	endpoints := []string{
		api.endpoint(t, s, s.receive("fine", always(ok))), api.endpoint(t, s, s.receive("failing", always(ok))),
	}
	for round := range kills {
		for n := range between {
			api.publish(t, endpoints[n%2], fmt.Sprintf("%d-%d", round, n))
		}
		select { // it is about to tell of them
		case <-more:
		case <-time.After(30 * time.Second):
			t.Fatal("no meta event came")
		}
		i.kill()
		i.start()
	}
	await(t, 60*time.Second, "all deliveries end", func() error { return api.unfinished(t.Context()) })
	type row struct {
		UID      string `json:"uid"`
		Type     string `json:"event_type"`
		Status   string `json:"status"`
		Metadata struct {
			Data struct {
				Data struct {
					UID    string `json:"uid"`
					Status string `json:"status"`
				} `json:"data"`
			} `json:"data"`
		} `json:"metadata"`
	}
	var rows []row
	await(t, 60*time.Second, "all meta events arrive", func() error {
		rows = list[row](t, api, "/meta-events", nil)
		for _, r := range rows {
			if r.Status != "Success" {
				return fmt.Errorf("%s is %s", r.UID, r.Status)
			}
		}
		return nil
	})
	stored := make(map[string]row)
	for _, r := range rows {
		d := r.Metadata.Data.Data
		if _, twice := stored[d.UID]; twice {
			t.Errorf("delivery %s has two meta events", d.UID)
		}
		stored[d.UID] = r
	}
	deliveries := list[delivery](t, api, "/eventdeliveries", nil)
	repeated := 0
	mu.Lock()
	defer mu.Unlock()
	for _, d := range deliveries {
		r, ok := stored[d.UID]
		if !ok || told[d.UID] == 0 {
			t.Errorf("delivery %s is %s; meta event %q, %d requests", d.UID, d.Status, r.UID, told[d.UID])
			continue
		}
		if want := map[string]string{"Success": "eventdelivery.success", "Failure": "eventdelivery.failed"}[d.Status]; r.Type != want || r.Metadata.Data.Data.Status != d.Status {
			t.Errorf("delivery %s is %s and told of as %s", d.UID, d.Status, r.Type)
		}
		repeated += told[d.UID] - 1
	}
	if len(deliveries) != kills*between || len(rows) != len(deliveries) {
		t.Errorf("%d deliveries and %d meta events, want %d", len(deliveries), len(rows), kills*between)
	}
	t.Logf("meta events: %d kills, %d stored, %d requests repeated", kills, len(rows), repeated)
}
