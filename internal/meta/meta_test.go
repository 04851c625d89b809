package meta_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/meta"
)

var at = time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)

func telling(types ...string) *convoy.Project {
	p := &convoy.Project{ID: convoy.ProjectID(id.New(at)), Config: convoy.DefaultProjectConfig()}
	p.Config.MetaEvent = convoy.MetaEventConfig{Enabled: true, EventType: types}
	return p
}

// content is the payload of a meta event.
func content(t *testing.T, j convoy.Job) (eventType string, data map[string]any) {
	t.Helper()
	var c struct {
		Type string `json:"event_type"`
		Data map[string]any
	}
	if err := json.Unmarshal(j.Event.Data, &c); err != nil {
		t.Fatal(err)
	}
	return c.Type, c.Data
}

// No field of an endpoint or a delivery that may hold a secret gets into a meta
// event.
func TestSecretsStay(t *testing.T) {
	t.Parallel()
	p := telling(convoy.MetaEventTypes()...)
	const secret = "hush-hush"
	e := &convoy.Endpoint{
		ID: "E", URL: "https://example.com/?a=1&b=2", Secrets: []convoy.Secret{{Value: secret}},
		SlackWebhookURL: secret, TeamsWebhookURL: secret,
		Authentication: convoy.Authentication{
			Type: "api_key", APIKey: &convoy.APIKeyAuth{HeaderName: "X-Key", HeaderValue: secret},
			Basic:  &convoy.BasicAuth{Username: "u", Password: secret},
			OAuth2: &convoy.OAuth2Auth{ClientSecret: secret, SigningKey: json.RawMessage(`"` + secret + `"`)},
		},
		ClientCertificate: convoy.ClientCertificate{Cert: secret, Key: secret},
	}
	d := &convoy.Delivery{ID: convoy.DeliveryID(id.New(at)), Status: convoy.DeliveryFailure, UpdatedAt: at, Trials: 3}
	headers := map[string][]string{"Authorization": {secret}, "X-Convoy-Signature": {secret}}
	event := &convoy.Event{Headers: headers, Data: []byte(`"` + secret + `"`), IdempotencyKey: "key"}
	a := &convoy.Attempt{ID: "A", RequestHeaders: headers, ResponseHeaders: headers, Response: secret, HTTPStatus: "500 Internal Server Error"}

	jobs := meta.Endpoint(p, convoy.MetaEndpointUpdated, e, at)
	if len(jobs) != 1 {
		t.Fatalf("%d meta events of an endpoint", len(jobs))
	}
	jobs = append(jobs, *meta.Delivery(p, d, event, a))
	for _, j := range jobs {
		if strings.Contains(string(j.Event.Data), secret) {
			t.Errorf("%s", j.Event.Data)
		}
	}
	if !strings.Contains(string(jobs[0].Event.Data), e.URL) {
		t.Errorf("the URL is not as it was: %s", jobs[0].Event.Data)
	}
	eventType, data := content(t, jobs[1])
	attempt, _ := data["attempt"].(map[string]any)
	if eventType != convoy.MetaDeliveryFailed || data["uid"] != string(d.ID) || data["idempotency_key"] != "key" || attempt["http_status"] != a.HTTPStatus {
		t.Errorf("%s: %v", eventType, data)
	}
}

// Nothing is told that nobody asked for.
func TestWanted(t *testing.T) {
	t.Parallel()
	e := &convoy.Endpoint{ID: "E"}
	end := func(s convoy.DeliveryStatus) *convoy.Delivery {
		return &convoy.Delivery{ID: convoy.DeliveryID(id.New(at)), Status: s, UpdatedAt: at}
	}
	ends := []convoy.DeliveryStatus{
		convoy.DeliveryScheduled, convoy.DeliveryRetry, convoy.DeliverySuccess, convoy.DeliveryFailure, convoy.DeliveryDiscarded,
	}
	off, hidden, foreign := telling(convoy.MetaEventTypes()...), telling(convoy.MetaEventTypes()...), telling(convoy.MetaEventTypes()...)
	off.Config.MetaEvent.Enabled = false
	hidden.ID, foreign.ID = hidden.ID.Meta(), "P"
	for name, tt := range map[string]struct {
		project *convoy.Project
		want    []string
	}{
		"all":        {telling(convoy.MetaEventTypes()...), convoy.MetaEventTypes()},
		"some":       {telling(convoy.MetaDeliveryFailed, convoy.MetaEndpointDeleted), []string{convoy.MetaEndpointDeleted, convoy.MetaDeliveryFailed}},
		"none":       {telling(), nil},
		"off":        {off, nil},
		"meta":       {hidden, nil},
		"no such id": {foreign, nil},
	} {
		var got []string
		for _, eventType := range convoy.MetaEventTypes()[:3] {
			for _, j := range meta.Endpoint(tt.project, eventType, e, at) {
				got = append(got, j.Event.Type)
			}
		}
		for _, s := range ends {
			if j := meta.Delivery(tt.project, end(s), nil, nil); j != nil {
				got = append(got, j.Event.Type)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: told %v, want %v", name, got, tt.want)
		}
	}
}

// The same end has the same id, another trial or status another.
func TestDeliveryIDs(t *testing.T) {
	t.Parallel()
	p := telling(convoy.MetaEventTypes()...)
	d := convoy.Delivery{ID: convoy.DeliveryID(id.New(at)), Status: convoy.DeliveryFailure, UpdatedAt: at, Trials: 3}
	first, again := meta.Delivery(p, &d, nil, nil), meta.Delivery(p, &d, nil, nil)
	later, other := d, d
	later.Trials, other.Status = 4, convoy.DeliverySuccess
	if first.Event.ID != again.Event.ID || !id.Valid(string(first.Event.ID)) || string(first.Event.ID) != string(first.Delivery.ID) ||
		first.Event.ID == meta.Delivery(p, &later, nil, nil).Event.ID || first.Event.ID == meta.Delivery(p, &other, nil, nil).Event.ID {
		t.Errorf("ids %s, %s", first.Event.ID, again.Event.ID)
	}
	if first.Delivery.ProjectID != p.ID.Meta() || !first.Delivery.ClaimAt.Equal(at) || first.Event.Status != convoy.EventSuccess {
		t.Errorf("%+v of %+v", first.Delivery, first.Event)
	}
}
