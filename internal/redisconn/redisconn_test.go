package redisconn

import (
	"context"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, addr string) rueidis.Client {
	t.Helper()
	client, err := Open(t.Context(), Config{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func server(t *testing.T) *testenv.Redis {
	t.Helper()
	r, err := testenv.StartRedis(t.Context(), testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func ping(ctx context.Context, client rueidis.Client) error {
	return client.Do(ctx, client.B().Ping().Build()).Error()
}

func TestOpenNamesTheAddress(t *testing.T) {
	t.Parallel()
	r := server(t)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err := Open(t.Context(), Config{Addrs: []string{r.Addr()}})
	if err == nil || !strings.Contains(err.Error(), "redis at "+r.Addr()) {
		t.Fatalf("error %v does not name %s", err, r.Addr())
	}
	if d := time.Since(start); d > 2*dialTimeout {
		t.Errorf("took %v", d)
	}
}

func TestOpenWithPasswordAndDB(t *testing.T) {
	t.Parallel()
	r := server(t)
	admin := open(t, r.Addr())
	if err := admin.Do(t.Context(), admin.B().ConfigSet().ParameterValue().ParameterValue("requirepass", "s3cret").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Addrs: []string{r.Addr()}, Password: "wrong"}); err == nil {
		t.Error("a wrong password opens")
	}
	client, err := Open(t.Context(), Config{Addrs: []string{r.Addr()}, Password: "s3cret", DB: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	info, err := client.Do(t.Context(), client.B().Arbitrary("CLIENT", "INFO").Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(info, " db=3 ") || !strings.Contains(info, " name=convoy ") {
		t.Errorf("client info %q", info)
	}
}

// A restart costs no more than errors while the server is away.
func TestReconnects(t *testing.T) {
	t.Parallel()
	r := server(t)
	client := open(t, r.Addr())
	if err := ping(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := ping(t.Context(), client); err == nil {
		t.Fatal("ping of a stopped server succeeds")
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("a refused connection took %v to report", d)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 5*time.Second, func() bool { return ping(t.Context(), client) == nil })
}

// A command that may run twice does not notice a connection closed while idle.
func TestIdleConnectionLost(t *testing.T) {
	t.Parallel()
	r := server(t)
	client := open(t, r.Addr())
	for range 3 {
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := client.Do(t.Context(), client.B().Get().Key("x").Build()).Error(); !rueidis.IsRedisNil(err) {
			t.Fatalf("first read after a restart: %v", err)
		}
	}
}

// A server that accepts but does not answer is an error, not a hang.
func TestHungServer(t *testing.T) {
	t.Parallel()
	r := server(t)
	client := open(t, r.Addr())
	if err := syscall.Kill(r.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := ping(t.Context(), client)
	took := time.Since(start)
	if e := syscall.Kill(r.PID(), syscall.SIGCONT); e != nil {
		t.Fatal(e)
	}
	if err == nil {
		t.Fatal("ping of a hung server succeeds")
	}
	if took > keepAlive+answerTimeout+dialTimeout+2*time.Second {
		t.Errorf("took %v to report", took)
	}
	testenv.Eventually(t, 5*time.Second, func() bool { return ping(t.Context(), client) == nil })
}

func TestSubscribeSurvivesRestart(t *testing.T) {
	t.Parallel()
	r := server(t)
	client := open(t, r.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	// Both hold more than the test sends, so that nothing blocks the reader.
	ready, messages := make(chan struct{}, 16), make(chan string, 16)
	done := make(chan error, 1)
	go func() {
		done <- Subscribe(ctx, client, Subscription{
			Channels: []string{"a", "b"},
			Message:  func(channel, message string) { messages <- channel + "=" + message },
			Ready:    func() { ready <- struct{}{} },
			Log:      slog.New(slog.DiscardHandler),
		})
	}()
	for round, want := range []string{"a=0", "a=1"} {
		if round > 0 {
			if err := r.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-ready:
		case <-time.After(10 * time.Second):
			t.Fatalf("round %d: not subscribed", round)
		}
		channel, message, _ := strings.Cut(want, "=")
		testenv.Eventually(t, 5*time.Second, func() bool {
			return client.Do(ctx, client.B().Publish().Channel(channel).Message(message).Build()).Error() == nil
		})
		select {
		case got := <-messages:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("round %d: no message", round)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in           string
		major, minor int
		ok           bool
	}{
		{"7.0.15", 7, 0, true},
		{"6.2", 6, 2, true},
		{"255.255.255", 255, 255, true},
		{"", 0, 0, false},
		{"7", 0, 0, false},
		{"x.1", 0, 0, false},
		{"7.x", 7, 0, false},
	} {
		major, minor, ok := parseVersion(c.in)
		if major != c.major || minor != c.minor || ok != c.ok {
			t.Errorf("parseVersion(%q) = %d, %d, %t", c.in, major, minor, ok)
		}
	}
	if v := field("# Server\r\nredis_version:7.0.15\r\nos:Linux\r\n", "redis_version"); v != "7.0.15" {
		t.Errorf("version field is %q", v)
	}
}
