package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"convoy"
	"convoy/internal/guard"
	"convoy/internal/lock"
	"convoy/internal/store"
	"convoy/internal/telemetry"
	"convoy/internal/testenv"
)

// memory is an outbox in memory; the real one has its own tests.
type memory struct {
	mu      sync.Mutex
	notices []convoy.Notice
	noted   []store.Failures
	dropped []convoy.NoticeID
}

func (m *memory) NoteFailures(_ context.Context, f store.Failures) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noted = append(m.noted, f)
	return false, nil
}

func (m *memory) AddNotices(_ context.Context, list []convoy.Notice) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notices = append(m.notices, list...)
	return nil
}

func (m *memory) DueNotices(_ context.Context, now time.Time, limit int) ([]convoy.Notice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due []convoy.Notice
	for _, n := range m.notices {
		if !n.DueAt.After(now) && len(due) < limit {
			due = append(due, n)
		}
	}
	return due, nil
}

func (m *memory) PostponeNotice(_ context.Context, id convoy.NoticeID, tries int, due time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.notices {
		if m.notices[i].ID == id {
			m.notices[i].Tries, m.notices[i].DueAt = tries, due
		}
	}
	return nil
}

func (m *memory) DropNotice(_ context.Context, id convoy.NoticeID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notices = slices.DeleteFunc(m.notices, func(n convoy.Notice) bool { return n.ID == id })
	m.dropped = append(m.dropped, id)
	return nil
}

func (m *memory) ForgetAlerts(context.Context, time.Time, int) (int, error) { return 0, nil }

func (m *memory) left() []convoy.Notice {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.notices)
}

// mailbox is an SMTP server that keeps what it gets.
type mailbox struct {
	mu   sync.Mutex
	mail []string
	to   []string
	// refuse is how many messages are turned away for now.
	refuse int
}

type session struct {
	box *mailbox
	to  string
}

func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{box: b}, nil }

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if s.box.refuse > 0 {
		s.box.refuse--
		return &smtp.SMTPError{Code: 451, Message: "later"}
	}
	s.box.mail, s.box.to = append(s.box.mail, string(text)), append(s.box.to, s.to)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (b *mailbox) serve(t *testing.T) *Mail {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(b)
	srv.Domain, srv.ReadTimeout = "localhost", 10*time.Second
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // until it is closed
	}()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	a := l.Addr().(*net.TCPAddr)
	return &Mail{Host: "127.0.0.1", Port: a.Port, From: "Convoy <convoy@example.com>", ReplyTo: "ops@example.com"}
}

// chat is a channel that answers with statuses in turn, the last one for ever.
type chat struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	bodies   []string
}

func newChat(t *testing.T, statuses ...int) *chat {
	t.Helper()
	c := &chat{statuses: statuses}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies = append(c.bodies, string(body))
		status := c.statuses[0]
		if len(c.statuses) > 1 {
			c.statuses = c.statuses[1:]
		}
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *chat) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bodies)
}

func transport(allow ...netip.Prefix) http.RoundTripper {
	return &http.Transport{DialContext: guard.New(guard.Config{Allow: allow}).Dialer(time.Second, time.Second).DialContext}
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func post(m *memory, s *Sender, log *slog.Logger, now func() time.Time) *Post {
	return NewPost(Config{Store: m, Sender: s, Locker: lock.NewMemory(), Owner: "a", Metrics: telemetry.Discard(), Log: log, Now: now})
}

func TestSend(t *testing.T) {
	t.Parallel()
	slackChat, teamsChat, box := newChat(t, 200), newChat(t, 202), &mailbox{}
	m := &memory{}
	for i, n := range []convoy.Notice{
		{Channel: convoy.ChannelSlack, Target: slackChat.URL}, {Channel: convoy.ChannelTeams, Target: teamsChat.URL},
		{Channel: convoy.ChannelEmail, Target: "ops@example.org"},
	} {
		n.ID, n.Title, n.Text = convoy.NoticeID(rune('a'+i)), "Deliveries <fail> & more", "one\ntwo <b>"
		m.notices = append(m.notices, n)
	}
	p := post(m, &Sender{Client: NewClient(transport(loopback)), Mail: box.serve(t)}, slog.New(slog.DiscardHandler), time.Now)
	if err := p.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := m.left(); len(left) > 0 {
		t.Fatalf("left: %+v", left)
	}
	var said struct{ Text string }
	if got := slackChat.got(); len(got) != 1 || json.Unmarshal([]byte(got[0]), &said) != nil ||
		said.Text != "*Deliveries &lt;fail&gt; &amp; more*\none\ntwo &lt;b&gt;" {
		t.Errorf("slack: %q", got)
	}
	if got := teamsChat.got(); len(got) != 1 || !strings.Contains(got[0], `"type":"AdaptiveCard"`) || strings.Count(got[0], "TextBlock") != 3 {
		t.Errorf("teams: %q", got)
	}
	if len(box.mail) != 1 || box.to[0] != "ops@example.org" {
		t.Fatalf("mail: %q to %q", box.mail, box.to)
	}
	for _, want := range []string{"From: \"Convoy\" <convoy@example.com>", "Reply-To: <ops@example.com>", "Message-ID: <c@convoy>", "one\r\ntwo <b>"} {
		if !strings.Contains(box.mail[0], want) {
			t.Errorf("the mail lacks %q:\n%s", want, box.mail[0])
		}
	}
}

// What may work later is tried again, ever less often; what is refused is not.
func TestTries(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	busy, gone, moved, dead := newChat(t, 503, 429, 200), newChat(t, 410), newChat(t, 302), newChat(t, 500)
	private := newChat(t, 200)
	box := &mailbox{refuse: 1}
	m := &memory{}
	for id, target := range map[convoy.NoticeID]string{"busy": busy.URL, "gone": gone.URL, "moved": moved.URL, "dead": dead.URL, "bad": "\x7f"} {
		m.notices = append(m.notices, convoy.Notice{ID: id, Channel: convoy.ChannelSlack, Target: target + "/secret-token", Title: "t", Text: "x"})
	}
	m.notices = append(m.notices, convoy.Notice{ID: "mail", Channel: convoy.ChannelEmail, Target: "ops@example.org", Title: "t"},
		convoy.Notice{ID: "nobody", Channel: convoy.ChannelEmail, Target: "no address\r\nBcc: x@example.com", Title: "t"},
		convoy.Notice{ID: "pigeon", Channel: "pigeon"})
	now := time.Now()
	var mu sync.Mutex
	p := post(m, &Sender{Client: NewClient(transport(loopback)), Mail: box.serve(t)}, slog.New(slog.NewTextHandler(&locked{w: &log, mu: &mu}, nil)),
		func() time.Time { return now })
	for range 40 {
		if err := p.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Minute)
	}
	if left := m.left(); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
	for name, tt := range map[string]struct {
		chat *chat
		want int
	}{"busy": {busy, 3}, "gone": {gone, 1}, "moved": {moved, 1}, "dead": {dead, triesMax}} {
		if got := tt.chat.got(); len(got) != tt.want {
			t.Errorf("%s was sent %d times, want %d", name, len(got), tt.want)
		}
	}
	if len(box.mail) != 1 || strings.Contains(box.mail[0], "Bcc") {
		t.Errorf("mail: %q", box.mail)
	}
	if strings.Contains(log.String(), "secret-token") {
		t.Errorf("the log has an address: %s", log.String())
	}
	// A private address is not dialled.
	m.notices = []convoy.Notice{{ID: "private", Channel: convoy.ChannelSlack, Target: private.URL}}
	p.cfg.Sender = &Sender{Client: NewClient(transport())}
	if err := p.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(private.got()) > 0 {
		t.Error("a private address was dialled")
	}
	// Without a mail server e-mails are given up.
	m.notices = []convoy.Notice{{ID: "lost", Channel: convoy.ChannelEmail, Target: "ops@example.org"}}
	if err := p.round(t.Context()); err != nil || len(m.left()) > 0 {
		t.Errorf("%v %+v", err, m.left())
	}
}

// locked is a writer for several.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// Run sends what comes while it runs, and ends.
func TestRun(t *testing.T) {
	t.Parallel()
	c, m := newChat(t, 200), &memory{}
	p := post(m, &Sender{Client: NewClient(transport(loopback))}, slog.New(slog.DiscardHandler), time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	if err := m.AddNotices(ctx, []convoy.Notice{{ID: "a", Channel: convoy.ChannelSlack, Target: c.URL}}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() bool { return len(m.left()) == 0 })
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(c.got()) != 1 {
		t.Errorf("sent %d times", len(c.got()))
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"plain": "plain", "a\r\nBcc: x": "a  Bcc: x", "tab\tand\x7f": "tab and ", strings.Repeat("é", 200): strings.Repeat("é", 150) + "…",
		"line\u2028separator": "line separator",
	} {
		if got := shown(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
	e := &convoy.Endpoint{Name: "shop", URL: "https://user:pass@example.com/hook?token=s3cret#f"}
	if got := place(e); got != "shop (https://example.com/hook)" {
		t.Error(got)
	}
}
