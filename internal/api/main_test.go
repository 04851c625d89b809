package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/catalog"
	"convoy/internal/guard"
	"convoy/internal/id"
	"convoy/internal/limit"
	"convoy/internal/oauth"
	"convoy/internal/signin"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/testenv"
)

var update = flag.Bool("update", false, "write golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// localBus delivers nothing: there is one process.
type localBus struct{}

func (localBus) Publish(context.Context, string, string) error { return nil }
func (localBus) Subscribe(string, func(string))                {}

// direct publishes by writing to the store at once.
type direct struct {
	store *store.Store
	mu    sync.Mutex
	fail  error
	// after is how many more events are taken before it fails.
	after    int
	n, tries int
}

// failAfter makes the publisher take n more events.
func (d *direct) failAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after = n
}

func (d *direct) Publish(ctx context.Context, e *convoy.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tries++
	if d.fail != nil && d.after <= 0 {
		return d.fail
	}
	d.after--
	d.n++
	return d.store.Append(ctx, &store.Routed{Events: []*convoy.Event{e}}, e.CreatedAt, time.Hour)
}

func (d *direct) PublishAll(ctx context.Context, events []*convoy.Event) []error {
	errs := make([]error, len(events))
	for i, e := range events {
		errs[i] = d.Publish(ctx, e)
	}
	return errs
}

// replays keeps what was to be replayed, and gives each event a delivery to each
// of its endpoints.
type replays struct {
	store *store.Store
	mu    sync.Mutex
	fail  error
	names []string
	wakes int
}

func (r *replays) Replay(ctx context.Context, events []*convoy.Event, replay string, at time.Time) (deliveries, unmatched int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return 0, 0, r.fail
	}
	r.names = append(r.names, replay)
	var routed store.Routed
	for _, e := range events {
		for _, endpoint := range e.Endpoints {
			routed.Deliveries = append(routed.Deliveries, &convoy.Delivery{
				ID: convoy.DeliveryID(id.Derive(at, string(e.ID), string(endpoint), replay)), ProjectID: e.ProjectID, EventID: e.ID,
				EndpointID: endpoint, EventType: e.Type, Status: convoy.DeliveryScheduled, DueAt: at, ClaimAt: at, CreatedAt: at, UpdatedAt: at,
			})
		}
	}
	return len(routed.Deliveries), 0, r.store.Replay(ctx, &routed)
}

func (r *replays) Wake(context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wakes++
}

// fixture is a server over HTTP with one organisation, a project and its key,
// and a person who administers the organisation.
type fixture struct {
	t         testing.TB
	store     *store.Store
	catalog   *catalog.Catalog
	publisher *direct
	replays   *replays
	server    *httptest.Server
	api       *api
	log       *syncBuffer
	mails     *mailbox
	now       time.Time

	org     *convoy.Organisation
	user    *convoy.User
	project *convoy.Project
	// key is the project's, person the user's.
	key, person string
}

// syncBuffer is a log that handlers write to and tests read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// engines runs a test on both databases.
func engines(t *testing.T, test func(t *testing.T, db sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, openSQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		ctx := t.Context()
		db, err := sqldb.OpenPostgres(ctx, sqldb.PostgresConfig{URL: testenv.PostgresDSN(t), MaxOpen: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		migrate(t, db)
		test(t, db)
	})
}

func openSQLite(t testing.TB) sqldb.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "convoy.db")
	if err := os.WriteFile(path, migrated(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return openFile(t, path)
}

func openFile(t testing.TB, path string) sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: path, Synchronous: "normal", Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// empty is a database without rows, which every test begins with: migrations
// take longer than most tests.
var empty struct {
	sync.Mutex
	file []byte
}

func migrated(t testing.TB) []byte {
	t.Helper()
	empty.Lock()
	defer empty.Unlock()
	if empty.file == nil {
		path := filepath.Join(t.TempDir(), "empty.db")
		db := openFile(t, path)
		migrate(t, db)
		db.Close() // which leaves one file
		var err error
		if empty.file, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return empty.file
}

func migrate(t testing.TB, db sqldb.DB) {
	t.Helper()
	if _, err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
}

// mailbox keeps mails instead of sending them.
type mailbox struct {
	mu    sync.Mutex
	mails []string
}

func (m *mailbox) Post(to, title, text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, to+"\n"+title+"\n"+text)
	return true
}

// take returns the only mail there is, which must be to an address.
func (m *mailbox) take(t testing.TB, to string) string {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mails) != 1 || !strings.HasPrefix(m.mails[0], to+"\n") {
		t.Fatalf("mails %q", m.mails)
	}
	defer func() { m.mails = nil }()
	return m.mails[0]
}

func (m *mailbox) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mails)
}

// tokenIn is the token of a link in a mail.
func tokenIn(t testing.TB, mail, page string) string {
	t.Helper()
	_, rest, ok := strings.Cut(mail, "https://convoy.example.com"+page)
	token, _, _ := strings.Cut(rest, "\n")
	if !ok || !auth.IsMailToken(token) {
		t.Fatalf("no link to %s in %q", page, mail)
	}
	return token
}

// desk is where people sign in.
func (f *fixture) desk(limiter limit.Limiter) *signin.Desk {
	f.t.Helper()
	desk, err := signin.New(signin.Config{
		Store: f.store, Told: f.catalog, Mail: f.mails, Limiter: limiter, PublicURL: "https://convoy.example.com", Log: slog.New(slog.NewJSONHandler(f.log, nil)),
		Now: func() time.Time { return f.now },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(desk.Wait)
	return desk
}

// setup serves a fresh fixture; change, if any, edits the configuration.
func setup(t testing.TB, db sqldb.DB, change ...func(*Config)) *fixture {
	t.Helper()
	now := time.Date(2026, 8, 1, 10, 0, 0, 120_000_000, time.UTC)
	f := &fixture{t: t, store: storetest.New(t, db), log: new(syncBuffer), mails: new(mailbox), now: now}
	f.org = &convoy.Organisation{ID: convoy.OrganisationID(id.New(now)), Name: "acme", CreatedAt: now, UpdatedAt: now}
	f.user = &convoy.User{ID: convoy.UserID(id.New(now)), FirstName: "A", LastName: "B", Email: "a@example.com", PasswordHash: "-", CreatedAt: now, UpdatedAt: now}
	f.project = &convoy.Project{
		// Older than what tests make. It is derived because an id made of another
		// moment ends the order of those of this one, for all tests.
		ID: convoy.ProjectID(id.Derive(now.Add(-time.Millisecond), string(f.org.ID))), OrganisationID: f.org.ID, Name: "shop", Type: convoy.Outgoing,
		Config: convoy.DefaultProjectConfig(), CreatedAt: now, UpdatedAt: now,
	}
	nameVersions(&f.project.Config, now)
	token, key := auth.NewKey(now)
	key.Role = convoy.Role{Type: convoy.RoleProjectAdmin, Project: f.project.ID}
	f.key = token
	err := f.store.Setup(t.Context(), store.Setup{
		Organisation: f.org, User: f.user, Project: f.project, Key: key,
		Membership: &convoy.Membership{UserID: f.user.ID, OrganisationID: f.org.ID, Role: convoy.Role{Type: convoy.RoleOrganisationAdmin}, CreatedAt: now},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.person = f.newKey(func(k *convoy.APIKey) { k.Type, k.UserID = convoy.PersonalKey, f.user.ID })

	log := slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.catalog = catalog.New(f.store, localBus{}, log, func() time.Time { return now })
	f.publisher, f.replays = &direct{store: f.store}, &replays{store: f.store}
	cfg := Config{
		Store: f.store, Catalog: f.catalog, Publisher: f.publisher, Guard: guard.New(guard.Config{}), Log: log,
		Tokens: oauth.New(http.DefaultTransport, time.Now), Replayer: f.replays, Jobs: f.replays, SignIn: f.desk(nil),
		Version: "test", Clock: func() time.Time { return now },
	}
	for _, c := range change {
		c(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.api = h.(*api)
	f.server = httptest.NewServer(h)
	f.server.Client().Transport = &conforming{t, f.server.Client().Transport, f.api}
	t.Cleanup(f.server.Close)
	return f
}

// newKey stores a key and returns its token.
func (f *fixture) newKey(change func(*convoy.APIKey)) string {
	f.t.Helper()
	token, key := auth.NewKey(f.now)
	change(key)
	if err := f.store.CreateKey(f.t.Context(), key); err != nil {
		f.t.Fatal(err)
	}
	return token
}

// call is one request; path is below the fixture's project unless it begins
// with a slash.
type call struct {
	method, path, body string
	header             map[string]string
	// key is the fixture's project key unless set; "-" sends none.
	key string
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (f *fixture) do(c call) answer {
	f.t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	path := c.path
	if !strings.HasPrefix(path, "/") {
		path = strings.TrimSuffix("/api/v1/projects/"+string(f.project.ID)+"/"+path, "/")
	}
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), c.method, f.server.URL+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	switch c.key {
	case "":
		req.Header.Set("Authorization", "Bearer "+f.key)
	case "-":
	default:
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	res, err := f.server.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: string(b)}
}

// want sends a request and checks status and message.
func (f *fixture) want(c call, status int, message string) answer {
	f.t.Helper()
	a := f.do(c)
	if a.status != status || a.message(f.t) != message {
		f.t.Fatalf("%s %s %.300s\n got %d %.400s\nwant %d %q", c.method, c.path, c.body, a.status, a.body, status, message)
	}
	return a
}

func (a answer) message(t testing.TB) string {
	t.Helper()
	var e struct {
		Status  *bool
		Message string
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Status == nil {
		t.Fatalf("no envelope: %d %.300s (%v)", a.status, a.body, err)
	}
	if *e.Status != (a.status < 300) {
		t.Errorf("status %v with %d", *e.Status, a.status)
	}
	return e.Message
}

// data decodes the payload into v.
func (a answer) data(t testing.TB, v any) {
	t.Helper()
	e := struct{ Data any }{v}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("%v in %.300s", err, a.body)
	}
}

// endpoint makes an endpoint and returns its id.
func (f *fixture) endpoint(name string) convoy.EndpointID {
	f.t.Helper()
	var e endpointView
	f.want(call{method: "POST", path: "endpoints", body: `{"name":"` + name + `","url":"http://example.com/` + name + `"}`},
		201, "Endpoint created successfully").data(f.t, &e)
	return e.UID
}

// golden compares JSON with a file, ids and secrets apart.
func golden(t *testing.T, name, body string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	got := anonymous(b.String())
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
}

var (
	anyID  = regexp.MustCompile(`\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b`)
	anyKey = regexp.MustCompile(`CO\.\w{16}\.\w{64}`)
)

// anonymous numbers the ids in a text and hides keys.
func anonymous(s string) string {
	seen := make(map[string]string)
	s = anyID.ReplaceAllStringFunc(s, func(id string) string {
		if seen[id] == "" {
			seen[id] = "<id " + strconv.Itoa(len(seen)+1) + ">"
		}
		return seen[id]
	})
	return anyKey.ReplaceAllString(s, "<key>")
}
