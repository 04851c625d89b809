package notify

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
)

// stage is a project with one endpoint, which has a subscription with an alert
// and one without.
type stage struct {
	store          *store.Store
	alarm          *Alarm
	project        *convoy.Project
	endpoint       *convoy.Endpoint
	alerted, quiet convoy.SubscriptionID
	now            time.Time
}

func newStage(t *testing.T, change func(*convoy.Endpoint)) *stage {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if _, err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	p := &stage{store: storetest.New(t, db), now: time.Now().Truncate(time.Microsecond)}
	org := &convoy.Organisation{ID: convoy.OrganisationID(id.New(p.now)), Name: "Acme", CreatedAt: p.now, UpdatedAt: p.now}
	p.project = &convoy.Project{
		ID: convoy.ProjectID(id.New(p.now)), OrganisationID: org.ID, Name: "shop", Type: convoy.Outgoing, Config: convoy.DefaultProjectConfig(),
		CreatedAt: p.now, UpdatedAt: p.now,
	}
	if err := p.store.Setup(t.Context(), store.Setup{Organisation: org, Project: p.project}); err != nil {
		t.Fatal(err)
	}
	p.endpoint = &convoy.Endpoint{
		ID: convoy.EndpointID(id.New(p.now)), ProjectID: p.project.ID, Name: "orders", URL: "https://example.com/hook?token=s3cret",
		Status: convoy.EndpointActive, Secrets: []convoy.Secret{{ID: "s", Value: "v", CreatedAt: p.now, UpdatedAt: p.now}}, CreatedAt: p.now, UpdatedAt: p.now,
	}
	change(p.endpoint)
	if err := p.store.CreateEndpoint(t.Context(), p.endpoint); err != nil {
		t.Fatal(err)
	}
	subscription := func(name string, alert convoy.AlertConfig) convoy.SubscriptionID {
		s := &convoy.Subscription{
			ID: convoy.SubscriptionID(id.New(p.now)), ProjectID: p.project.ID, Name: name, EndpointID: p.endpoint.ID, Alert: alert,
			Filters: []convoy.Filter{{EventType: "*", EnabledAt: p.now}}, Mode: convoy.AtLeastOnce, CreatedAt: p.now, UpdatedAt: p.now,
		}
		if err := p.store.CreateSubscription(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s.ID
	}
	p.alerted = subscription("invoices", convoy.AlertConfig{Count: 3, Threshold: time.Hour})
	p.quiet = subscription("others", convoy.AlertConfig{})
	log := slog.New(slog.DiscardHandler)
	p.alarm = &Alarm{
		Projects: catalog.New(p.store, bus.NewMemory(), log, time.Now), Store: p.store, Mail: true, Log: log, Now: func() time.Time { return p.now },
	}
	return p
}

func (p *stage) outcomes(s convoy.SubscriptionID, status convoy.DeliveryStatus, n int) []store.Outcome {
	var list []store.Outcome
	for range n {
		list = append(list, store.Outcome{
			Delivery: &convoy.Delivery{
				ID: convoy.DeliveryID(id.New(p.now)), ProjectID: p.project.ID, EndpointID: p.endpoint.ID, SubscriptionID: s, Status: status, UpdatedAt: p.now,
			},
			Attempt: &convoy.Attempt{HTTPStatus: "503 Service Unavailable"},
		})
	}
	return list
}

// said are the notices that wait.
func (p *stage) said(t *testing.T) []convoy.Notice {
	t.Helper()
	list, err := p.store.DueNotices(t.Context(), p.now, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func everywhere(e *convoy.Endpoint) {
	e.SlackWebhookURL, e.TeamsWebhookURL, e.SupportEmail = "https://slack.example.com/a", "https://teams.example.com/b", "ops@example.org"
}

// A storm of failures raises one alert, at every address of the endpoint.
func TestAlert(t *testing.T) {
	t.Parallel()
	p := newStage(t, everywhere)
	ctx := t.Context()
	p.alarm.Failed(ctx, p.outcomes(p.quiet, convoy.DeliveryFailure, 10))
	p.alarm.Failed(ctx, p.outcomes(p.alerted, convoy.DeliverySuccess, 10))
	p.alarm.Failed(ctx, p.outcomes(p.alerted, convoy.DeliveryRetry, 10))
	p.alarm.Failed(ctx, p.outcomes("", convoy.DeliveryFailure, 10))
	p.alarm.Failed(ctx, p.outcomes("unknown", convoy.DeliveryFailure, 10))
	p.alarm.Failed(ctx, p.outcomes(p.alerted, convoy.DeliveryFailure, 2))
	if got := p.said(t); len(got) > 0 {
		t.Fatalf("too early: %+v", got)
	}
	for range 10 {
		p.alarm.Failed(ctx, p.outcomes(p.alerted, convoy.DeliveryFailure, 100))
	}
	got := p.said(t)
	if len(got) != 3 {
		t.Fatalf("%d notices: %+v", len(got), got)
	}
	for _, n := range got {
		const text = "3 deliveries of the subscription invoices to orders (https://example.com/hook) failed within 1h0m0s."
		if n.Title != "Deliveries to orders fail" || !strings.HasPrefix(n.Text, text) || !strings.Contains(n.Text, "answered 503 Service Unavailable") ||
			!strings.Contains(n.Text, "Project: shop ("+string(p.project.ID)+")") || strings.Contains(n.Text, "s3cret") {
			t.Errorf("%s: %q", n.Title, n.Text)
		}
	}
	p.now = p.now.Add(2 * time.Hour)
	p.alarm.Failed(ctx, p.outcomes(p.alerted, convoy.DeliveryFailure, 3))
	if got := p.said(t); len(got) != 6 {
		t.Errorf("%d notices after the next hours", len(got))
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	p := newStage(t, func(e *convoy.Endpoint) { everywhere(e); e.TeamsWebhookURL = "" })
	p.alarm.Mail = false // no mail server
	p.alarm.Disabled(t.Context(), p.project, p.endpoint)
	p.alarm.Activated(t.Context(), p.project, p.endpoint)
	got := p.said(t)
	if len(got) != 2 || got[0].Channel != convoy.ChannelSlack || got[0].Title != "orders was switched off" || got[1].Title != "orders is active again" {
		t.Errorf("%+v", got)
	}
	nobody := newStage(t, func(*convoy.Endpoint) {})
	nobody.alarm.Disabled(t.Context(), nobody.project, nobody.endpoint)
	nobody.alarm.Failed(t.Context(), nobody.outcomes(nobody.alerted, convoy.DeliveryFailure, 5))
	if got := nobody.said(t); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// Outcomes of subscriptions without an alert, and those that did not fail, cost
// nothing on the heap.
func TestAlarmAllocs(t *testing.T) {
	p := newStage(t, everywhere)
	outcomes := append(p.outcomes(p.alerted, convoy.DeliverySuccess, 50), p.outcomes(p.quiet, convoy.DeliveryFailure, 50)...)
	p.alarm.Failed(t.Context(), outcomes)
	if n := testing.AllocsPerRun(100, func() { p.alarm.Failed(t.Context(), outcomes) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
