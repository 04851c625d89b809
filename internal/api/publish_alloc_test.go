package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"convoy/internal/guard"
	"convoy/internal/oauth"
)

// publishAllocs is the budget of POST /events, net/http apart. What it buys: the
// event, its id, its data, its type and endpoints, the exchange and its headers.
const publishAllocs = 16

// Publishing stays cheap. Not parallel, because testing.AllocsPerRun counts for
// the whole process.
func TestPublishAllocs(t *testing.T) {
	f := setup(t, openSQLite(t))
	endpoint := string(f.endpoint("a"))
	h, err := New(Config{
		Store: f.store, Catalog: f.catalog, Publisher: nullPublisher{}, Replayer: f.replays, Jobs: f.replays, SignIn: f.desk(nil), Guard: guard.New(guard.Config{}), Tokens: oauth.New(http.DefaultTransport, time.Now),
		Log:        slog.New(slog.NewTextHandler(io.Discard, nil)), // Info, as in production
		IngestRate: perMinute(60_000),
	})
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"endpoint_id":"` + endpoint + `","event_type":"invoice.paid","data":` + document(1<<10) + `}`)
	content := new(body)
	req := httptest.NewRequest(http.MethodPost, "/api/v1/projects/"+string(f.project.ID)+"/events", nil)
	req.Header.Set("Authorization", "Bearer "+f.key)
	req.Header.Set("Content-Type", "application/json")
	req.Body, req.ContentLength = content, int64(len(payload))
	w := &discardWriter{h: make(http.Header)}
	n := testing.AllocsPerRun(500, func() {
		content.Reset(payload)
		clear(w.h)
		h.ServeHTTP(w, req)
	})
	if n > publishAllocs {
		t.Errorf("publishing allocates %v times, the budget is %d", n, publishAllocs)
	}
	t.Logf("%v allocations", n)
}
