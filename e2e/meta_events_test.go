package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
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
			"strategy":   map[string]any{"type": "linear", "duration": 1, "retry_count": 1},
			"meta_event": map[string]any{"is_enabled": true, "url": "http://" + s.addr + path, "secret": secret, "event_type": types},
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

	ask("/ops", "endpoint.created", "eventdelivery.failed")
	begun := time.Now()
	endpoint := api.endpoint(t, s, s.receive("failing", always(ok)))
	if m := next("/ops"); m.Type != "endpoint.created" || m.Data.UID != endpoint || m.Data.Status != "active" {
		t.Errorf("after an endpoint was created: %+v", m)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the first meta event took %v: it waited for a sweep", took)
	}
	api.publish(t, endpoint, "1")
	failed := next("/ops")
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
	api.must(t, http.MethodPut, "/endpoints/"+endpoint+"/pause", nil, http.StatusAccepted, nil) // not asked for any more
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
	if len(rows) != 3 || len(got) != 0 {
		t.Errorf("%d meta events and %d requests more, want 3 and 0", len(rows), len(got))
	}
}
