// Package storetest is the contract of a store on a database: every exported
// method of store.Store, with what callers rely on when processes race. An
// engine that passes it is supported. It does not measure anything, and what
// only one engine has, such as partitions, is tested beside that engine.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// cases are the parts of the contract, each run on an empty database.
var cases = map[string]func(t *testing.T, f *Fixture){
	"Organisations": organisations,
	"Setup":         setup,
	"SetupRace":     setupRace,
	"Users":         users, "UserTokens": userTokens, "TOTP": totp, "Sessions": sessions, "SessionRotation": sessionRotation,
	"Members": members, "MemberRace": memberRace, "OrganisationsOf": organisationsOf, "Invitations": invitations, "PeoplesKeys": peoplesKeys,
	"Projects":             projects,
	"Keys":                 keys,
	"Endpoints":            endpoints,
	"EndpointPages":        endpointPages,
	"EndpointStatus":       endpointStatus,
	"EndpointDelete":       endpointDelete,
	"EndpointOutcomes":     endpointOutcomes,
	"Subscribed":           subscribed,
	"PortalLinks":          portalLinks,
	"Subscriptions":        subscriptions,
	"EnsureSubscription":   ensureSubscription,
	"MoveSubscription":     moveSubscription,
	"EventTypes":           eventTypes,
	"EnsureEventTypes":     ensureEventTypes,
	"EnsureEventTypesRace": ensureEventTypesRace,
	"ImportEventTypes":     importEventTypes,
	"ManyEventTypes":       manyEventTypes,
	"Sources":              sources,
	"SourcePages":          sourcePages,
	"SourceDelete":         sourceDelete,
	"SourceRefusals":       sourceRefusals,
	"SettingsChanges":      settingsChanges,
	"SettingsForgotten":    settingsForgotten,
	"SettingsRace":         settingsRace,
	"SecretsSealed":        secretsSealed,
	"SecretsSwapped":       secretsSwapped,
	"SecretsInit":          secretsInit,
	"SecretsRotate":        secretsRotate,
	"SecretsRewrap":        secretsRewrap,
	"KeysRace":             keysRace,
	"EnsureDynamic":        ensureDynamic,
	"AppendTwice":          appendTwice,
	"AppendWhole":          appendWhole,
	"AppendFields":         appendFields,
	"IdempotencyKeys":      idempotencyKeys,
	"IdempotencyWindow":    idempotencyWindow,
	"IdempotencyRace":      idempotencyRace,
	"Unrouted":             unrouted,
	"Replay":               replay,
	"Hold":                 hold,
	"HoldRace":             holdRace,
	"Expand":               expand,
	"Payloads":             payloads,
	"SharedEvents":         sharedEvents,
	"ClaimOrder":           claimOrder,
	"ClaimRace":            claimRace,
	"SweepFresh":           sweepFresh,
	"Recover":              recovery,
	"Jobs":                 jobs,
	"Record":               record,
	"RecordFence":          recordFence,
	"Park":                 park,
	"Resend":               resend,
	"ResendFence":          resendFence,
	"ForceResend":          forceResend,
	"Notices":              notices, "Alerts": alerts, "AlertRace": alertRace,
	"BatchJobs":               batchJobs,
	"BatchStates":             batchStates,
	"BatchRace":               batchRace,
	"BatchEvents":             batchEvents,
	"BatchRetry":              batchRetry,
	"Attempts":                attempts,
	"LastAttempts":            lastAttempts,
	"MetaOutcomes":            metaOutcomes,
	"MetaRace":                metaRace,
	"MetaExpansion":           metaExpansion,
	"MetaChanges":             metaChanges,
	"Leases":                  leases,
	"Limits":                  limits,
	"Held":                    held,
	"DayCounts":               dayCounts,
	"Find":                    find,
	"Scopes":                  scopes,
	"Audit":                   audit,
	"Identities":              identities,
	"Pages":                   pages,
	"PageEdges":               pageEdges,
	"EventFilters":            eventFilters,
	"EventSearch":             eventSearch,
	"SearchIndex":             searchIndex,
	"SearchIndexRace":         searchIndexRace,
	"EventsOfEndpoints":       eventsOfEndpoints,
	"EventsOfEndpointsRandom": eventsOfEndpointsRandom,
	"DeliveryFilters":         deliveryFilters,
	"DeliveryReplays":         deliveryReplays,
	"Text":                    text,
	"Maintenance":             maintenance,
}

// Run runs the contract on databases from open, each migrated and empty. It
// fails if an exported method of store.Store never reached the database.
func Run(t *testing.T, open func(t *testing.T) sqldb.DB) {
	var (
		seen = new(calls)
		ran  atomic.Int32
	)
	t.Run("cases", func(t *testing.T) {
		for name, fn := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				fn(t, newFixture(t, recorder{open(t), seen}))
				ran.Add(1)
			})
		}
	})
	if int(ran.Load()) < len(cases) {
		return // one failed, or -run left it out
	}
	typ := reflect.TypeFor[*store.Store]()
	for i := range typ.NumMethod() {
		if name := typ.Method(i).Name; !seen.has(name) {
			t.Errorf("the suite never runs store.%s", name)
		}
	}
}

// calls are the names of the store's methods that called the database.
type calls struct{ names sync.Map }

func (c *calls) has(name string) bool { _, ok := c.names.Load(name); return ok }

// note records every method of the store on the stack.
func (c *calls) note() {
	const prefix = "convoy/internal/store.(*Store)."
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		if method, ok := strings.CutPrefix(frame.Function, prefix); ok {
			method, _, _ = strings.Cut(method, ".") // a closure of the method
			c.names.Store(method, true)
		}
		if !more {
			return
		}
	}
}

// recorder is a database that notes who calls it.
type recorder struct {
	sqldb.DB
	seen *calls
}

func (r recorder) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	r.seen.note()
	return r.DB.Exec(ctx, query, args...)
}

func (r recorder) Query(ctx context.Context, query string, args ...any) (sqldb.Rows, error) {
	r.seen.note()
	return r.DB.Query(ctx, query, args...)
}

func (r recorder) QueryRow(ctx context.Context, query string, args ...any) sqldb.Row {
	r.seen.note()
	return r.DB.QueryRow(ctx, query, args...)
}

func (r recorder) Replica() sqldb.Querier { r.seen.note(); return r.DB.Replica() }
func (r recorder) Dialect() sqldb.Dialect { r.seen.note(); return r.DB.Dialect() }

func (r recorder) Write(ctx context.Context, fn func(sqldb.Tx) error) error {
	r.seen.note()
	return r.DB.Write(ctx, fn)
}

func (r recorder) Apply(ctx context.Context, batches ...sqldb.Bound) error {
	r.seen.note()
	return r.DB.Apply(ctx, batches...)
}

func (r recorder) Ping(ctx context.Context) error { r.seen.note(); return r.DB.Ping(ctx) }

// Fixture is an empty store and what tests put into it. Its time stands still.
type Fixture struct {
	DB  sqldb.DB
	S   *store.Store
	Now time.Time

	mu sync.Mutex
	n  int
}

func newFixture(t *testing.T, db sqldb.DB) *Fixture {
	t.Helper()
	f := NewFixture(t, db)
	if err := f.S.EnsurePartitions(t.Context(), f.Now, 1); err != nil {
		t.Fatal(err)
	}
	return f
}

// NewFixture wraps a migrated database.
func NewFixture(t testing.TB, db sqldb.DB) *Fixture {
	t.Helper()
	return &Fixture{DB: db, S: New(t, db), Now: time.Date(2026, 7, 14, 12, 0, 0, 123456000, time.UTC)}
}

// next numbers what the fixture makes, for names that differ.
func (f *Fixture) next() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	return f.n
}

// ID makes an id for a time; those of one millisecond ascend.
func (f *Fixture) ID(at time.Time) string {
	return id.Floor(at) + fmt.Sprintf("%016d", f.next())
}

// Project stores a project.
func (f *Fixture) Project(t testing.TB) *convoy.Project {
	t.Helper()
	p := &convoy.Project{
		ID: convoy.ProjectID(f.ID(f.Now)), OrganisationID: "org", Name: fmt.Sprintf("project %d", f.next()),
		LogoURL: "https://example.com/logo.png", Type: convoy.Outgoing, Config: convoy.DefaultProjectConfig(),
		CreatedAt: f.Now, UpdatedAt: f.Now,
	}
	ok(t, f.S.CreateProject(t.Context(), p))
	return p
}

// Endpoint stores an endpoint.
func (f *Fixture) Endpoint(t testing.TB, p *convoy.Project) *convoy.Endpoint {
	t.Helper()
	n := f.next()
	e := &convoy.Endpoint{
		ID: convoy.EndpointID(f.ID(f.Now)), ProjectID: p.ID, OwnerID: fmt.Sprintf("owner %d", n%2),
		URL: fmt.Sprintf("https://example.com/%d", n), Name: fmt.Sprintf("endpoint %d", n), Description: "a description",
		Secrets: []convoy.Secret{
			{ID: f.ID(f.Now), Value: "old", ExpiresAt: f.Now.Add(time.Hour), CreatedAt: f.Now, UpdatedAt: f.Now},
			{ID: f.ID(f.Now), Value: "new", CreatedAt: f.Now, UpdatedAt: f.Now},
		},
		AdvancedSignatures: true, SlackWebhookURL: "https://slack.example.com", TeamsWebhookURL: "https://teams.example.com",
		SupportEmail: "help@example.com", Status: convoy.EndpointActive, HTTPTimeout: 1500 * time.Millisecond,
		RateLimit: 10, RateLimitDuration: time.Minute, ContentType: "application/json",
		Authentication: convoy.Authentication{Type: "oauth2", OAuth2: &convoy.OAuth2Auth{
			URL: "https://issuer.test", ClientID: "c", SigningKey: json.RawMessage(`{"kty":"EC"}`), FieldMapping: &convoy.OAuth2Fields{TokenType: "t"},
		}},
		ClientCertificate: convoy.ClientCertificate{Cert: "cert", Key: "key"},
		CreatedAt:         f.Now, UpdatedAt: f.Now,
	}
	ok(t, f.S.CreateEndpoint(t.Context(), e))
	return e
}

// Subscription makes a subscription without storing it.
func (f *Fixture) Subscription(e *convoy.Endpoint) *convoy.Subscription {
	return &convoy.Subscription{
		ID: convoy.SubscriptionID(f.ID(f.Now)), ProjectID: e.ProjectID, Name: fmt.Sprintf("subscription %d", f.next()),
		EndpointID: e.ID, SourceID: "source", Mode: convoy.AtLeastOnce, CreatedAt: f.Now, UpdatedAt: f.Now,
		Filters: []convoy.Filter{
			{ID: "f1", EventType: "invoice.*", EnabledAt: f.Now, Body: json.RawMessage(`{"amount":{"$gte":10}}`)},
			{ID: "f2", EventType: "user.created"}, // switched off
		},
		Function:  "function transform(payload) { return payload }",
		Retry:     &convoy.RetryPolicy{Type: convoy.RetryExponential, Interval: 3 * time.Second, Limit: 7},
		RateLimit: convoy.RateLimitConfig{Count: 5, Duration: 60},
		Alert:     convoy.AlertConfig{Count: 3, Threshold: time.Hour},
	}
}

// Event makes an event accepted at a time, without storing it.
func (f *Fixture) Event(p convoy.ProjectID, at time.Time) *convoy.Event {
	return &convoy.Event{
		ID: convoy.EventID(f.ID(at)), ProjectID: p, Kind: convoy.KindFanout, Type: "invoice.paid", SourceID: "source",
		OwnerID: "owner", TargetURL: "https://example.com/x",
		Headers: map[string][]string{"X-Tenant": {"7", "8"}}, Data: []byte(`{"id": 9}`),
		URLQuery: "a=1&b=2", URLPath: "/in", Status: convoy.EventSuccess,
		AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
	}
}

// Delivery makes the delivery of an event to an endpoint, without storing it. It
// waits to be claimed from the event's time on.
func (f *Fixture) Delivery(e *convoy.Event, to convoy.EndpointID) *convoy.Delivery {
	return f.Replay(e, to, e.CreatedAt)
}

// Replay makes the delivery of an event that is replayed at a time.
func (f *Fixture) Replay(e *convoy.Event, to convoy.EndpointID, at time.Time) *convoy.Delivery {
	return &convoy.Delivery{
		ID: convoy.DeliveryID(id.Derive(at, string(e.ID), string(to), fmt.Sprint(f.next()))), ProjectID: e.ProjectID, EventID: e.ID,
		EndpointID: to, SubscriptionID: "subscription", EventType: e.Type, TargetURL: "https://example.com/hook",
		Mode: convoy.AtLeastOnce, Status: convoy.DeliveryScheduled,
		Retry: convoy.RetryPolicy{Type: convoy.RetryExponential, Interval: 10 * time.Second, Limit: 5},
		DueAt: at, ClaimAt: at, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
	}
}

// Append stores events and deliveries with a window of an hour.
func (f *Fixture) Append(t testing.TB, events []*convoy.Event, deliveries ...*convoy.Delivery) {
	t.Helper()
	ok(t, f.S.Append(t.Context(), &store.Routed{Events: events, Deliveries: deliveries}, f.Now, time.Hour))
}

// Fill stores n events and a delivery to the endpoint for each, one per
// millisecond from start on.
func (f *Fixture) Fill(t testing.TB, p convoy.ProjectID, to convoy.EndpointID, start time.Time, n int) ([]*convoy.Event, []*convoy.Delivery) {
	t.Helper()
	events, deliveries := make([]*convoy.Event, n), make([]*convoy.Delivery, n)
	for i := range n {
		events[i] = f.Event(p, start.Add(time.Duration(i)*time.Millisecond))
		deliveries[i] = f.Delivery(events[i], to)
	}
	const batch = 1000
	for i := 0; i < n; i += batch {
		j := min(i+batch, n)
		f.Append(t, events[i:j], deliveries[i:j]...)
	}
	return events, deliveries
}

func (f *Fixture) key(project convoy.ProjectID) *convoy.APIKey {
	keyID := f.ID(f.Now)
	return &convoy.APIKey{
		ID: convoy.KeyID(keyID), Name: "key", Mask: "abcdefghijklmnop", Hash: sha256.Sum256([]byte(keyID)),
		Role:      convoy.Role{Type: convoy.RoleProjectAdmin, Project: project},
		ExpiresAt: f.Now.Add(time.Hour), CreatedAt: f.Now, UpdatedAt: f.Now,
	}
}

// delivery reads a delivery.
func (f *Fixture) delivery(t *testing.T, d *convoy.Delivery) *convoy.Delivery {
	t.Helper()
	got, err := f.S.Delivery(t.Context(), d.ProjectID, d.ID)
	ok(t, err)
	return got
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same fails unless two values are equal as JSON, which compares times as
// instants and says in the same words what differs.
func same(t testing.TB, got, want any) {
	t.Helper()
	g, err := json.MarshalIndent(got, "", " ")
	ok(t, err)
	w, err := json.MarshalIndent(want, "", " ")
	ok(t, err)
	if string(g) != string(w) {
		t.Fatalf("got %s\nwant %s", g, w)
	}
}

// refused fails unless err is of a kind and says a message to the caller.
func refused(t testing.TB, err error, kind convoy.Kind, msg string) {
	t.Helper()
	var e *convoy.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Msg != msg {
		t.Fatalf("error %v, want %s %q", err, kind, msg)
	}
}

// together runs fn n times at once and returns the errors.
func together(n int, fn func(i int) error) []error {
	var (
		wg    sync.WaitGroup
		start = make(chan struct{})
		errs  = make([]error, n)
	)
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}
