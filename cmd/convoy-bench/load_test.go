package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a server that delivers each event from memory, until it succeeds.
type gateway struct {
	endpoint string
	refuse   atomic.Bool  // answer 503
	lose     atomic.Bool  // accept and forget
	repeat   atomic.Bool  // deliver twice
	requests atomic.Int64 // received
}

func startGateway(t *testing.T, g *gateway) target {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests.Add(1)
		if r.URL.Path != "/api/v1/projects/p1/events" || r.Header.Get("Authorization") != "Bearer key" {
			http.Error(w, "unexpected request", http.StatusNotFound)
			return
		}
		event, err := decodeEvent(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if g.refuse.Load() {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		times := 1
		if g.repeat.Load() {
			times = 2
		}
		if !g.lose.Load() {
			sending.Go(func() {
				for sent := 0; sent < times && ctx.Err() == nil; {
					if post(ctx, client, g.endpoint, string(event.data)) == nil {
						sent++
					} else if pause(ctx, 10*time.Millisecond) != nil {
						return
					}
				}
			})
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"status":true,"data":{"uid":"e1"}}`))
	}))
	t.Cleanup(func() {
		cancel()
		sending.Wait()
		server.Close()
		client.CloseIdleConnections()
	})
	return target{url: server.URL, project: "p1", apiKey: "key", endpointID: "ep1"}
}

func post(ctx context.Context, client *http.Client, url, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func startSink(t *testing.T) *sink {
	t.Helper()
	s, err := newSink(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.down)
	return s
}

func smallLoad() load {
	return load{
		events: 500, connections: 8, payload: 1024, eventType: "bench.event",
		stall: 20 * time.Second, settle: 50 * time.Millisecond,
	}
}

func TestMeasureClosedLoop(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	dir := t.TempDir()
	own := watched{processes: []process{{name: "self", pid: os.Getpid()}}, dataDir: dir}
	m, err := measure(t.Context(), startGateway(t, &gateway{endpoint: s.url()}), smallLoad(), own, s, steps{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Sent.Accepted != 500 || m.Received.Unique != 500 || m.Lost != 0 || m.Received.Duplicates != 0 {
		t.Errorf("accepted %d, delivered %d, lost %d, duplicates %d; want 500, 500, 0, 0",
			m.Sent.Accepted, m.Received.Unique, m.Lost, m.Received.Duplicates)
	}
	if m.AcceptedRate <= 0 || m.DeliveredRate <= 0 || m.Received.Latency.P50 <= 0 || m.Sent.Ack.P50 <= 0 {
		t.Errorf("rates and latencies must be positive: %+v", m)
	}
	if len(m.Processes) != 2 || m.Processes[1].CPU <= 0 || m.Processes[1].Peak <= 0 {
		t.Errorf("processes: %+v", m.Processes)
	}
	if text := m.text(); !strings.Contains(text, "lost 0, duplicates 0") {
		t.Errorf("report:\n%s", text)
	}
}

func TestMeasureCountsDuplicates(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	g := &gateway{endpoint: s.url()}
	g.repeat.Store(true)
	l := smallLoad()
	l.settle = time.Second
	m, err := measure(t.Context(), startGateway(t, g), l, watched{}, s, steps{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Received.Unique != 500 || m.Received.Duplicates != 500 {
		t.Errorf("delivered %d, duplicates %d; want 500, 500", m.Received.Unique, m.Received.Duplicates)
	}
}

func TestMeasureReportsLossesAsStall(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	g := &gateway{endpoint: s.url()}
	g.lose.Store(true)
	l := smallLoad()
	l.stall = 1500 * time.Millisecond
	m, err := measure(t.Context(), startGateway(t, g), l, watched{}, s, steps{})
	if !errors.Is(err, errStalled) {
		t.Fatalf("error %v, want a stall", err)
	}
	if m.Sent.Accepted != 500 || m.Lost != 500 {
		t.Errorf("accepted %d, lost %d; want 500, 500", m.Sent.Accepted, m.Lost)
	}
}

func TestMeasureCountsRejections(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	g := &gateway{endpoint: s.url()}
	g.refuse.Store(true)
	m, err := measure(t.Context(), startGateway(t, g), smallLoad(), watched{}, s, steps{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Sent.Rejected != 500 || m.Sent.Statuses[http.StatusServiceUnavailable] != 500 || m.Lost != 0 {
		t.Errorf("rejected %d %v, lost %d; want 500 with 503, none lost", m.Sent.Rejected, m.Sent.Statuses, m.Lost)
	}
}

func TestMeasureFailsWithoutServer(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	port, err := freePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone := target{url: "http://127.0.0.1:" + itoa(port), project: "p1"}
	l := smallLoad()
	l.connections = 2
	if _, err := measure(t.Context(), gone, l, watched{}, s, steps{}); err == nil || !strings.Contains(err.Error(), "connection to") {
		t.Errorf("error %v, want one that names the connection", err)
	}
}

// TestMeasureOpenLoop checks that the latency of an open loop counts from the
// time at which an event was due.
func TestMeasureOpenLoop(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	l := smallLoad()
	l.events, l.rate = 200, 400
	m, err := measure(t.Context(), startGateway(t, &gateway{endpoint: s.url()}), l, watched{}, s, steps{})
	if err != nil {
		t.Fatal(err)
	}
	if sending := time.Duration(m.Sent.Last - m.Sent.Start); sending < 480*time.Millisecond {
		t.Errorf("200 events at 400/s took %v, want about 500ms", sending)
	}
	if m.Received.Unique != 200 || m.Received.Latency.P50 <= 0 {
		t.Errorf("delivered %d with %s", m.Received.Unique, m.Received.Latency)
	}
}

func TestMeasureOutage(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	g := &gateway{endpoint: s.url()}
	to := startGateway(t, g)
	s.down()
	l := smallLoad()
	m, err := measure(t.Context(), to, l, watched{}, s, steps{acked: func(ctx context.Context) error {
		if n := s.tally.Load().unique.Load(); n != 0 {
			t.Errorf("%d deliveries while the sink was down", n)
		}
		return s.up(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Received.Unique != 500 || m.Lost != 0 || m.Received.First < m.Sent.Last {
		t.Errorf("delivered %d, lost %d, first delivery %d, last ack %d", m.Received.Unique, m.Lost, m.Received.First, m.Sent.Last)
	}
}

func TestRemoteSink(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	remote := newRemoteSink(s.url())
	t.Cleanup(remote.client.CloseIdleConnections)
	m, err := measure(t.Context(), startGateway(t, &gateway{endpoint: s.url()}), smallLoad(), watched{}, remote, steps{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Received.Unique != 500 || m.Lost != 0 || m.Received.Latency.P99 <= 0 {
		t.Errorf("delivered %d, lost %d, %s", m.Received.Unique, m.Lost, m.Received.Latency)
	}
	if _, err := remote.call(t.Context(), http.MethodPost, expectPath+"?run=x&events=1"); err == nil {
		t.Error("a run that is no number was expected")
	}
}
