package deliver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/queue"
	"convoy/internal/store"
	"convoy/internal/testenv"
)

// telling has the project's meta events sent to a URL.
func (p *place) telling(t *testing.T, url string) {
	t.Helper()
	p.settings(t, func(c *convoy.ProjectConfig) {
		c.MetaEvent = convoy.MetaEventConfig{Enabled: true, Type: convoy.MetaHTTP, URL: url, Secret: "s3cret", EventType: convoy.MetaEventTypes()}
		// Nothing of this is for meta events.
		c.Signature.Header, c.RequestIDHeader, c.AddEventIDTraceHeaders = "X-Other", "X-Id", true
		c.Strategy = convoy.StrategyConfig{Type: convoy.RetryLinear, RetryCount: 2}
	})
}

// told are the meta events of the project, oldest first.
func (p *place) told(t *testing.T) []store.DeliveryDetail {
	t.Helper()
	list, err := p.store.Deliveries(t.Context(), store.DeliveryFilter{Project: p.project.ID.Meta(), Page: store.Page{PerPage: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// settled waits until n meta events have ended.
func (p *place) settled(t *testing.T, n int) []store.DeliveryDetail {
	t.Helper()
	var list []store.DeliveryDetail
	testenv.Eventually(t, patience, func() bool {
		list = p.told(t)
		return len(list) >= n && !slices.ContainsFunc(list, func(d store.DeliveryDetail) bool { return !d.Status.Terminal() })
	})
	if len(list) != n {
		t.Errorf("%d meta events, want %d", len(list), n)
	}
	return list
}

// Deliveries that end are told of: at once, signed, tried again, and not told of
// in turn.
func TestMetaEvents(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		fine := newSink(t, nil)
		failing := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		tries := make(chan struct{}, 100) // more than there are requests
		ops := newSink(t, func(w http.ResponseWriter, _ *http.Request) {
			if tries <- struct{}{}; len(tries) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		p.telling(t, ops.URL+"/ops")
		d := start(t, p.config(t))
		good, bad := p.endpoint(t, fine.URL), p.endpoint(t, failing.URL)
		jobs := slices.Concat(p.routed(t, good, 3, at(3)), p.routed(t, bad, 2, at(2)))
		begun := time.Now()
		d.Take(t.Context(), jobs)
		p.ended(t, jobs)
		list := p.settled(t, len(jobs))
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("telling took %v", took)
		}
		tried := 0
		for _, m := range list {
			tried += m.Trials
			if m.Status != convoy.DeliverySuccess {
				t.Errorf("meta event %+v", m.Delivery)
			}
		}
		got := ops.requests()
		if tried != len(jobs)+1 || len(got) != tried {
			t.Errorf("%d requests in %d trials, want one more than %d", len(got), tried, len(jobs))
		}
		seen := map[string]string{}
		for _, r := range got {
			mac := hmac.New(sha256.New, []byte("s3cret"))
			mac.Write(r.body)
			if r.header.Get("X-Convoy-Signature") != hex.EncodeToString(mac.Sum(nil)) || r.header.Get("X-Other") != "" {
				t.Errorf("signature %v", r.header)
			}
			if key := r.header.Get("X-Convoy-Idempotency-Key"); len(key) != 64 || r.header.Get("X-Id") != "" {
				t.Errorf("idempotency key %v", r.header)
			}
			if r.method != http.MethodPost || r.uri != "/ops" || r.header.Get("Content-Type") != "application/json" {
				t.Errorf("request %+v", r)
			}
			var body struct {
				Type string `json:"event_type"`
				Data struct {
					UID, Status string
					Metadata    struct {
						Trials int `json:"num_trials"`
					}
					Attempt struct {
						HTTPStatus string `json:"http_status"`
						Status     bool
					}
				}
			}
			if err := json.Unmarshal(r.body, &body); err != nil {
				t.Fatal(err)
			}
			seen[body.Data.UID] = body.Type
			okay := body.Type == convoy.MetaDeliverySuccess && body.Data.Status == "Success" && body.Data.Attempt.Status && body.Data.Metadata.Trials == 1 ||
				body.Type == convoy.MetaDeliveryFailed && body.Data.Status == "Failure" && body.Data.Attempt.HTTPStatus == "500 Internal Server Error" && body.Data.Metadata.Trials == 2
			if !okay || strings.Contains(string(r.body), "amount") {
				t.Errorf("body %s", r.body)
			}
		}
		for _, j := range jobs {
			want := convoy.MetaDeliverySuccess
			if j.Delivery.EndpointID == bad.ID {
				want = convoy.MetaDeliveryFailed
			}
			if seen[string(j.Delivery.ID)] != want {
				t.Errorf("delivery %s is told of as %q, want %q", j.Delivery.ID, seen[string(j.Delivery.ID)], want)
			}
		}
	})
}

// What waits when meta events are switched off, or moved, goes by what holds
// when it is tried.
func TestMetaEventsFollowTheSettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(ctx context.Context, p *place, elsewhere string) error
		status convoy.DeliveryStatus
		reason string
	}{
		"moved": {func(ctx context.Context, p *place, elsewhere string) error {
			p.project.Config.MetaEvent.URL = elsewhere
			return p.store.UpdateProject(ctx, p.project)
		}, convoy.DeliverySuccess, ""},
		"off": {func(ctx context.Context, p *place, _ string) error {
			p.project.Config.MetaEvent.Enabled = false
			return p.store.UpdateProject(ctx, p.project)
		}, convoy.DeliveryDiscarded, reasonInactive},
		"project deleted": {func(ctx context.Context, p *place, _ string) error {
			return p.store.DeleteProject(ctx, p.project.ID, time.Now())
		}, convoy.DeliveryDiscarded, reasonNoProject},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := embedded(t)
			old, elsewhere, fine := newSink(t, nil), newSink(t, nil), newSink(t, nil)
			p.telling(t, old.URL)
			cfg := p.config(t)
			cfg.Queue = forgetful{cfg.Queue}
			d := start(t, cfg)
			jobs := p.routed(t, p.endpoint(t, fine.URL), 1, at(1))
			d.Take(t.Context(), jobs)
			p.ended(t, jobs)
			if list := p.told(t); len(list) != 1 || list[0].Status != convoy.DeliveryScheduled {
				t.Fatalf("meta events %+v, want one that waits", list)
			}
			if err := tt.change(t.Context(), p, elsewhere.URL); err != nil {
				t.Fatal(err)
			}
			p.changed(t)
			p.sweep(t)
			for _, m := range p.settled(t, 1) {
				if m.Status != tt.status || m.Description != tt.reason {
					t.Errorf("%s: %s, want %s: %s", m.Status, m.Description, tt.status, tt.reason)
				}
			}
			if n := len(old.requests()); n != 0 {
				t.Errorf("%d requests to the old URL", n)
			}
		})
	}
}

// forgetful is a queue that loses what is pushed.
type forgetful struct{ queue.Queue }

func (forgetful) Push(context.Context, []queue.Item) error { return nil }

// Not parallel, because testing.AllocsPerRun counts for the whole process.
func TestTellingCostsNothingWhenOff(t *testing.T) {
	p := &convoy.Project{ID: convoy.ProjectID(id.New(time.Now())), Config: convoy.DefaultProjectConfig()}
	p.Config.MetaEvent.EventType = convoy.MetaEventTypes()
	j := &job{project: p}
	out := store.Outcome{Delivery: &convoy.Delivery{Status: convoy.DeliveryFailure}}
	if n := testing.AllocsPerRun(100, func() { tell(j, &out) }); n > 0 || out.Meta != nil {
		t.Errorf("%v allocations, meta event %v", n, out.Meta)
	}
}

func BenchmarkTellingOff(b *testing.B) {
	j := &job{project: &convoy.Project{Config: convoy.DefaultProjectConfig()}}
	out := store.Outcome{Delivery: &convoy.Delivery{Status: convoy.DeliverySuccess}}
	b.ReportAllocs()
	for b.Loop() {
		tell(j, &out)
	}
}
