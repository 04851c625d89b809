package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// letters is an SMTP server that passes on what it gets.
type letters chan string

func (l letters) NewSession(*smtp.Conn) (smtp.Session, error) { return l, nil }
func (l letters) Mail(string, *smtp.MailOptions) error        { return nil }
func (l letters) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (l letters) Reset()                                      {}
func (l letters) Logout() error                               { return nil }

func (l letters) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err == nil {
		l <- string(text)
	}
	return err
}

// serve returns the settings that have mail go there.
func (l letters) serve(t *testing.T) []string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, done := smtp.NewServer(l), make(chan struct{})
	srv.Domain = "localhost"
	go func() {
		defer close(done)
		_ = srv.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return []string{
		"CONVOY_SMTP_URL=127.0.0.1", fmt.Sprintf("CONVOY_SMTP_PORT=%d", listener.Addr().(*net.TCPAddr).Port), "CONVOY_SMTP_FROM=convoy@example.com",
	}
}

// TestAlerts has the deliveries of a subscription fail that asks for an alert.
func TestAlerts(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		mail := make(letters, 16) // more than are sent
		dir := filepath.Join(t.TempDir(), "data")
		p := newProcess(t, "standalone", append(environment(t), mail.serve(t)...), "standalone", "--data-dir", dir)
		p.start()
		alerts(t, client{p.url(), credentials(t, dir)})
		select {
		case text := <-mail:
			if !strings.Contains(text, "Subject: Deliveries to orders fail") || !strings.Contains(text, "To: <ops@example.com>") {
				t.Errorf("mail %s", text)
			}
		case <-time.After(30 * time.Second):
			t.Error("no mail came")
		}
		if len(mail) > 0 {
			t.Errorf("%d mails more", len(mail))
		}
	})
	for name, top := range map[string]topology{
		"redis":          {redis: true, intake: "queued", servers: 1, agents: 2, schedulers: 2},
		"postgres alone": {servers: 1, agents: 2, schedulers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			long(t)
			alerts(t, startCluster(t, top).api())
		})
	}
}

func alerts(t *testing.T, api client) {
	t.Helper()
	api.retryEvery(t, time.Second, 1)
	s := newSink(t)
	said := make(inbox, 64) // more than the messages there are
	s.close()
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/orders" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		said.ServeHTTP(w, r)
	})
	s.open()
	var made struct{ UID string }
	api.must(t, http.MethodPost, "/endpoints", map[string]any{
		"name": "orders", "url": "http://" + s.addr + "/orders", "slack_webhook_url": "http://" + s.addr + "/slack", "support_email": "ops@example.com",
	}, http.StatusCreated, &made)
	api.must(t, http.MethodPost, "/subscriptions", map[string]any{
		"name": "invoices", "endpoint_id": made.UID, "alert_config": map[string]any{"count": 3, "threshold": "1h"},
	}, http.StatusCreated, nil)
	const events = 20
	for i := range events {
		api.publish(t, made.UID, fmt.Sprint(i))
	}
	await(t, time.Minute, "all deliveries fail", func() error {
		if n := len(list[delivery](t, api, "/eventdeliveries", url.Values{"status": {"Failure"}})); n != events {
			return fmt.Errorf("%d have", n)
		}
		return nil
	})
	select {
	case r := <-said:
		if r.path != "/slack" || !strings.Contains(string(r.body), "3 deliveries of the subscription invoices to orders") ||
			!strings.Contains(string(r.body), "502 Bad Gateway") {
			t.Errorf("%s %s", r.path, r.body)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody was told")
	}
	if len(said) > 0 {
		t.Errorf("%d messages more", len(said))
	}
}
