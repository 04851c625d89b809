package main

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"convoy/internal/testenv"
)

func itoa(n int) string { return strconv.Itoa(n) }

// engine opens one ledger twice: as the ceiling does, and to look inside.
type engine struct {
	name   string
	sqlite bool
	open   func(ctx context.Context, endpointURL string) (ledger, error)
	db     *sql.DB
}

func sqliteEngine(t *testing.T) engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ceiling.db")
	db, err := openSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return engine{"sqlite", true, func(ctx context.Context, endpointURL string) (ledger, error) {
		return openSQLiteLedger(ctx, path, endpointURL)
	}, db}
}

func postgresEngine(t *testing.T) engine {
	t.Helper()
	dsn := testenv.PostgresDSN(t)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return engine{"postgres", false, func(ctx context.Context, endpointURL string) (ledger, error) {
		return openPostgresLedger(ctx, dsn, endpointURL)
	}, db}
}

func TestCeiling(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) engine{"sqlite": sqliteEngine, "postgres": postgresEngine} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			s := startSink(t)
			runCeiling(t, e, s, 300)
			for query, want := range map[string]int{
				"SELECT count(*) FROM events WHERE status = 'Success' AND length(data) = 1024":                                           300,
				"SELECT count(*) FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.status = 'Success' AND trials = 1":         300,
				"SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE success = 1 AND http_status = '200 OK'": 300,
			} {
				if got := queryInt(t, e.db, query); got != want {
					t.Errorf("%s = %d, want %d", query, got, want)
				}
			}
			rows, err := multiply(t.Context(), e.db, e.sqlite, 7)
			if err != nil {
				t.Fatal(err)
			}
			if rows != 3*7*300 {
				t.Errorf("multiply added %d rows, want %d", rows, 3*7*300)
			}
			const joined = "SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id JOIN events e ON e.id = d.event_id"
			if got := queryInt(t, e.db, joined); got != 8*300 {
				t.Errorf("%d attempts belong to a delivery of an event, want %d", got, 8*300)
			}
			// A filled store must still take events.
			runCeiling(t, e, s, 50)
		})
	}
}

// runCeiling serves one load from the ceiling and stops it.
func runCeiling(t *testing.T, e engine, s *sink, events int) {
	t.Helper()
	l, err := e.open(t.Context(), s.url())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1) // one value, so that the goroutine never waits for the test
	go func() { ended <- newCeiling(l, s.url()).run(ctx, listener) }()

	work := smallLoad()
	work.events = events
	to := target{url: fmt.Sprintf("http://%s", listener.Addr()), project: "p1", apiKey: "none", endpointID: "ep1"}
	m, err := measure(t.Context(), to, work, watched{}, s, steps{})
	if err != nil {
		t.Error(err)
	}
	if m.Received.Unique != int64(events) || m.Lost != 0 || m.Received.Duplicates != 0 {
		t.Errorf("delivered %d, lost %d, duplicates %d; want %d, 0, 0", m.Received.Unique, m.Lost, m.Received.Duplicates, events)
	}
	testenv.Eventually(t, 20*time.Second, func() bool {
		return queryInt(t, e.db, "SELECT count(*) FROM deliveries WHERE status = 'Processing'") == 0
	})
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ceiling: %v", err)
	}
	if err := l.close(); err != nil {
		t.Errorf("close ledger: %v", err)
	}
}

func queryInt(t *testing.T, db *sql.DB, query string) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// TestSignature is the vector of the advanced format that consumers verify,
// computed with openssl.
func TestSignature(t *testing.T) {
	t.Parallel()
	c := newCeiling(nil, "http://127.0.0.1/")
	c.secret = []byte("s3cr3t")
	want := "t=1735689600,v1=62a79286a1158bdfe09df7ee18f9746d0c7796c4b3d076abdb4cfcb9ea2cd1d4"
	if got := c.signature([]byte(`{"a":1}`), time.Unix(1_735_689_600, 0)); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}
