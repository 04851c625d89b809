package e2e

import (
	"bytes"
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

// TestIngest takes webhooks in GitHub's way of signing and sees them delivered
// with ours, through every process that takes requests.
func TestIngest(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		ingest(t, []client{startStandalone(t).client()})
	})
	t.Run("redis queued", func(t *testing.T) {
		t.Parallel()
		long(t)
		c := startCluster(t, topology{redis: true, intake: "queued", servers: 1, agents: 1, schedulers: 1})
		var doors []client
		for _, p := range c.doors() {
			doors = append(doors, c.client(p))
		}
		ingest(t, doors)
	})
}

func ingest(t *testing.T, doors []client) {
	t.Helper()
	const secret, body = "gh_secret", `{"zen": "Keep it simple.",  "n": 1.0}`
	s := newSink(t)
	got := make(inbox, 16) // more than the events that are sent
	s.close()
	s.handler = got
	s.open()
	api := doors[0]
	to := s.receive("hook", always(ok))
	endpoint := api.endpoint(t, s, to)
	var src struct {
		UID    string `json:"uid"`
		MaskID string `json:"mask_id"`
		URL    string `json:"url"`
	}
	api.must(t, http.MethodPost, "/sources", map[string]any{
		"name": "gh", "type": "http", "provider": "github", "verifier": map[string]any{"hmac": map[string]any{"secret": secret}},
		"idempotency_keys": []string{"request.header.X-GitHub-Delivery"},
	}, http.StatusCreated, &src)
	if !strings.HasSuffix(src.URL, "/ingest/"+src.MaskID) {
		t.Errorf("url %q of %q", src.URL, src.MaskID)
	}
	api.must(t, http.MethodPost, "/subscriptions", map[string]any{
		"name": "gh", "endpoint_id": endpoint, "source_id": src.UID,
		"filter_config": map[string]any{"event_types": []string{"*"}, "filter": map[string]any{"path": map[string]any{"path": "/ingest/" + src.MaskID + "/push"}}},
	}, http.StatusCreated, nil)

	send := func(door client, path, delivery, key string, status int) {
		t.Helper()
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, door.base+"/ingest/"+src.MaskID+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		req.Header.Set("X-GitHub-Delivery", delivery)
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != status {
			t.Fatalf("%s: status %d, want %d", path, res.StatusCode, status)
		}
	}
	for i, door := range doors {
		id := fmt.Sprintf("d-%d", i)
		send(door, "/push", id, "wrong", http.StatusBadRequest)
		send(door, "/push?ref=main", id, secret, http.StatusOK)
		send(door, "/push?ref=main", id, secret, http.StatusOK)   // a duplicate
		send(door, "/issues", id+"-other", secret, http.StatusOK) // the filter refuses it
		select {
		case r := <-got:
			if r.path != "/hook" || string(r.body) != body || r.header.Get("X-Convoy-Source-Id") != src.MaskID || r.header.Get("X-Github-Delivery") != id {
				t.Errorf("got %s %s %v", r.path, r.body, r.header)
			}
			if err := checkSignature(r.header.Get("X-Convoy-Signature"), to.secret, r.body, time.Now()); err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was delivered")
		}
	}
	await(t, 20*time.Second, "all deliveries end", func() error { return api.unfinished(t.Context()) })
	if deliveries := list[json.RawMessage](t, api, "/eventdeliveries", nil); len(deliveries) != len(doors) || len(got) != 0 {
		t.Errorf("%d deliveries, and %d requests more, want %d and 0", len(deliveries), len(got), len(doors))
	}
	var refusals []struct {
		Reason string `json:"reason"`
	}
	api.must(t, http.MethodGet, "/sources/"+src.UID+"/refusals", nil, http.StatusOK, &refusals)
	if len(refusals) != len(doors) || refusals[0].Reason != "the signature does not match" {
		t.Errorf("refusals %v", refusals)
	}
}
