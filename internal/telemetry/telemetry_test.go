package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLoggerLevels(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{
		"debug": "DEBUG INFO WARN ERROR", "info": "INFO WARN ERROR", "warn": "WARN ERROR", "error": "ERROR", "": "INFO WARN ERROR",
	} {
		var out bytes.Buffer
		log := NewLogger(&out, level)
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			log.Log(t.Context(), l, "event.accepted", "project_id", "p1")
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			var entry struct {
				Level, Msg string
				Project    string `json:"project_id"`
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("%q is not JSON: %v", line, err)
			}
			if entry.Msg != "event.accepted" || entry.Project != "p1" {
				t.Errorf("level %q: line %s", level, line)
			}
			got = append(got, entry.Level)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("level %q logs %v, want %s", level, got, want)
		}
	}
}

// scrape returns the lines of the exposition.
func scrape(t *testing.T, m *Metrics) []string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	return strings.Split(rec.Body.String(), "\n")
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	all := "\n" + strings.Join(got, "\n") + "\n"
	for _, line := range want {
		if !strings.Contains(all, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

// Each counter and gauge gets a value of its own, so that no two fields share a
// child and each carries the label it is named after.
func TestMetricsAreNamedAfterTheirFields(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	m.Accepted.Stored.Add(1)
	m.Accepted.Queued.Add(2)
	m.Rejected.Invalid.Add(3)
	m.Rejected.Unauthorized.Add(4)
	m.Rejected.NotFound.Add(5)
	m.Rejected.TooLarge.Add(6)
	m.Rejected.Limited.Add(7)
	m.Rejected.Unavailable.Add(8)
	m.Rejected.Internal.Add(9)
	m.Routed.Delivered.Add(10)
	m.Routed.Unmatched.Add(11)
	m.Routed.Duplicate.Add(12)
	m.Attempts.Success.Add(13)
	m.Attempts.Retry.Add(14)
	m.Attempts.Failure.Add(15)
	m.Attempts.Discarded.Add(16)
	m.QueueDepth.Set(17)
	m.QueueOldestDue.Set(18)
	m.StreamBacklog.Set(19)
	m.InFlight.Set(20)
	m.Buffered.Set(21)
	m.SchedulerLeader.Set(1)
	m.Swept.Due.Add(22)
	m.Swept.Stuck.Add(23)
	m.Swept.Unrouted.Add(24)
	m.Swept.Keys.Add(25)
	m.Swept.Partitions.Add(26)
	m.Swept.Indexed.Add(27)
	m.EndToEnd.Observe(3600)
	m.Attempt.Observe(.001)
	m.Intake.Observe(3, time.Millisecond)
	m.Route.Observe(30, 20*time.Millisecond)
	m.Record.Observe(300, 2*time.Second)
	wantLines(t, scrape(t, m),
		`convoy_events_accepted_total{mode="stored"} 1`,
		`convoy_events_accepted_total{mode="queued"} 2`,
		`convoy_events_rejected_total{reason="invalid"} 3`,
		`convoy_events_rejected_total{reason="unauthorized"} 4`,
		`convoy_events_rejected_total{reason="not_found"} 5`,
		`convoy_events_rejected_total{reason="too_large"} 6`,
		`convoy_events_rejected_total{reason="limited"} 7`,
		`convoy_events_rejected_total{reason="unavailable"} 8`,
		`convoy_events_rejected_total{reason="internal"} 9`,
		`convoy_events_routed_total{result="delivered"} 10`,
		`convoy_events_routed_total{result="unmatched"} 11`,
		`convoy_events_routed_total{result="duplicate"} 12`,
		`convoy_delivery_attempts_total{outcome="success"} 13`,
		`convoy_delivery_attempts_total{outcome="retry"} 14`,
		`convoy_delivery_attempts_total{outcome="failure"} 15`,
		`convoy_delivery_attempts_total{outcome="discarded"} 16`,
		`convoy_queue_depth 17`,
		`convoy_queue_oldest_due_seconds 18`,
		`convoy_stream_backlog 19`,
		`convoy_deliveries_in_flight 20`,
		`convoy_deliveries_buffered 21`,
		`convoy_scheduler_leader 1`,
		`convoy_swept_total{kind="due"} 22`,
		`convoy_swept_total{kind="stuck"} 23`,
		`convoy_swept_total{kind="unrouted"} 24`,
		`convoy_swept_total{kind="idempotency_keys"} 25`,
		`convoy_swept_total{kind="partitions"} 26`,
		`convoy_swept_total{kind="indexed"} 27`,
		`convoy_end_to_end_seconds_bucket{le="900"} 0`,
		`convoy_end_to_end_seconds_bucket{le="3600"} 1`,
		`convoy_attempt_seconds_bucket{le="0.001"} 1`,
		`convoy_batch_items_sum{stage="intake"} 3`,
		`convoy_batch_items_sum{stage="route"} 30`,
		`convoy_batch_items_sum{stage="record"} 300`,
		`convoy_batch_seconds_sum{stage="intake"} 0.001`,
		`convoy_batch_seconds_sum{stage="route"} 0.02`,
		`convoy_batch_seconds_sum{stage="record"} 2`,
	)
}

func TestRuntimeAndProcessAreIncluded(t *testing.T) {
	t.Parallel()
	all := strings.Join(scrape(t, NewMetrics()), "\n")
	for _, name := range []string{"go_goroutines ", "process_cpu_seconds_total ", "process_open_fds "} {
		if !strings.Contains(all, "\n"+name) {
			t.Errorf("no metric %s", name)
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	create := m.HTTPRoute("/api/v1/projects/{projectID}/events", http.MethodPost)
	list := m.HTTPRoute("/api/v1/projects/{projectID}/events", http.MethodGet)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for code := 200; code < 240; code++ {
				create.Observe(code, time.Second)
			}
		})
	}
	wg.Wait()
	list.Observe(404, time.Second)
	list.Observe(0, time.Second)
	list.Observe(1000, time.Second)
	const route = `route="/api/v1/projects/{projectID}/events"`
	lines := scrape(t, m)
	wantLines(t, lines,
		`convoy_http_requests_total{code="404",method="GET",`+route+`} 1`,
		`convoy_http_requests_total{code="other",method="GET",`+route+`} 2`,
		`convoy_http_request_seconds_sum{`+route+`} `+strconv.Itoa(8*40+3),
	)
	for code := 200; code < 240; code++ {
		wantLines(t, lines, `convoy_http_requests_total{code="`+strconv.Itoa(code)+`",method="POST",`+route+`} 8`)
	}
}

func TestMetricsAreIndependent(t *testing.T) {
	t.Parallel()
	a, b := NewMetrics(), NewMetrics()
	a.Accepted.Stored.Inc()
	wantLines(t, scrape(t, a), `convoy_events_accepted_total{mode="stored"} 1`)
	wantLines(t, scrape(t, b), `convoy_events_accepted_total{mode="stored"} 0`)
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	m := Discard()
	// Every exported metric must be usable, however deep it is.
	var used int
	var use func(v reflect.Value)
	use = func(v reflect.Value) {
		switch metric := v.Interface().(type) {
		case prometheus.Gauge: // before Counter, whose methods it has
			metric.Set(1)
			used++
		case prometheus.Counter:
			metric.Inc()
			used++
		case prometheus.Observer:
			metric.Observe(1)
			used++
		default:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					use(v.Field(i))
				}
			}
		}
	}
	use(reflect.ValueOf(m).Elem())
	if used < 30 {
		t.Errorf("found %d metrics, want all", used)
	}
	m.HTTPRoute("/", http.MethodGet).Observe(200, time.Second)
	if got := strings.Join(scrape(t, m), ""); got != "" {
		t.Errorf("discarded metrics are served:\n%s", got)
	}
}

func BenchmarkRouteObserve(b *testing.B) {
	r := NewMetrics().HTTPRoute("/api/v1/projects/{projectID}/events", http.MethodPost)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Observe(201, time.Millisecond)
		}
	})
}
