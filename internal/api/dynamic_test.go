package api

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

const dynamicMessage = "Dynamic event created successfully"

// dynamic publishes to a URL and returns the event as it is stored.
func (f *fixture) dynamic(url, more string) *convoy.Event {
	f.t.Helper()
	var view eventView
	f.want(call{method: "POST", path: "events/dynamic", body: `{"url":"` + url + `","event_type":"x","data":{}` + more + `}`},
		201, dynamicMessage).data(f.t, &view)
	e, err := f.store.Event(f.t.Context(), f.project.ID, view.UID)
	if err != nil {
		f.t.Fatal(err)
	}
	if e.Kind != convoy.KindDynamic || len(e.Endpoints) != 1 || len(view.Endpoints) != 1 || view.Endpoints[0] != e.Endpoints[0] {
		f.t.Fatalf("event %+v", e)
	}
	return e
}

func (f *fixture) subscribed(e convoy.EndpointID) []*convoy.Subscription {
	f.t.Helper()
	list, err := f.store.Subscriptions(f.t.Context(), store.SubscriptionFilter{Project: f.project.ID, Endpoints: []convoy.EndpointID{e}})
	if err != nil {
		f.t.Fatal(err)
	}
	return list.Items
}

func TestPublishDynamic(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		const url = "https://new.example.com:8443/hook?a=1"
		first := f.dynamic(url, `,"secret":"s3cret"`)
		made, err := f.store.Endpoint(t.Context(), f.project.ID, first.Endpoints[0])
		if err != nil {
			t.Fatal(err)
		}
		if made.URL != url || made.Name != "new.example.com:8443" || made.Status != convoy.EndpointActive || !made.AdvancedSignatures ||
			made.HTTPTimeout != convoy.DefaultHTTPTimeout || made.Secrets[0].Value != "s3cret" || first.TargetURL != "" {
			t.Errorf("endpoint %+v of %+v", made, first)
		}
		types := func(want ...string) {
			t.Helper()
			subs := f.subscribed(made.ID)
			if len(subs) != 1 || subs[0].Name != "dynamic-subscription-"+string(made.ID) || !slices.Equal(subs[0].EventTypes(), want) {
				t.Errorf("subscriptions %+v, want one for %v", subs, want)
			}
		}
		types("*")
		for _, more := range []string{"", `,"event_types":null`, `,"event_types":[]`, `,"secret":"other"`} {
			if again := f.dynamic(url, more); again.Endpoints[0] != made.ID {
				t.Errorf("another endpoint %s", again.Endpoints[0])
			}
			types("*")
		}
		f.dynamic(url, `,"event_types":["b","a","b"]`)
		types("b", "a")
		f.dynamic(url, ``)
		types("b", "a")
		if kept, err := f.store.Endpoint(t.Context(), f.project.ID, made.ID); err != nil || len(kept.Secrets) != 1 || kept.Secrets[0].Value != "s3cret" {
			t.Errorf("endpoint %+v, %v", kept, err)
		}
		// An endpoint that somebody made, generated secrets.
		own := f.endpoint("own")
		if e := f.dynamic("http://example.com/own", ""); e.Endpoints[0] != own || e.TargetURL != "" {
			t.Errorf("event %+v, want it for %s", e, own)
		}
		if e, err := f.store.Endpoint(t.Context(), f.project.ID, f.dynamic("http://example.com/generated", "").Endpoints[0]); err != nil || len(e.Secrets[0].Value) < 20 {
			t.Errorf("endpoint %+v, %v", e, err)
		}
	})
}

// However many publish to a new URL at once, one endpoint is made.
func TestPublishDynamicRace(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		body := `{"url":"https://new.example.com/hook","event_types":["x"],"event_type":"x","data":{}}`
		answers := make([]answer, 24)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = f.do(call{method: "POST", path: "events/dynamic", body: body}) })
		}
		wg.Wait()
		for _, a := range answers {
			if a.status != 201 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		all, err := f.store.AllEndpoints(t.Context(), f.project.ID)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d endpoints, %v", len(all), err)
		}
		if subs := f.subscribed(all[0].ID); len(subs) != 1 {
			t.Errorf("%d subscriptions", len(subs))
		}
	})
}

func TestPublishDynamicTemplates(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		var tenant endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"name":"t","url":"https://api.example.com/t/{tenant}/hook?r={region}"}`},
			201, "Endpoint created successfully").data(t, &tenant)
		const concrete = "https://api.example.com/t/7/hook?r=eu"
		if e := f.dynamic(concrete, ""); e.Endpoints[0] != tenant.UID || e.TargetURL != concrete {
			t.Errorf("event %+v, want it for %s", e, tenant.UID)
		}
		if subs := f.subscribed(tenant.UID); len(subs) != 1 {
			t.Errorf("%d subscriptions", len(subs))
		}
		const unmatched = `{"url":"https://api.example.com/t/7/8/hook?r=eu","event_type":"x","data":{}}`
		f.want(call{method: "POST", path: "events/dynamic", body: unmatched}, 400, "url:no endpoint of the project has a url with placeholders that stands for it")
		f.want(call{method: "POST", path: "events/dynamic", body: strings.Replace(unmatched, "/8/", "/{id}/", 1)}, 400, "url:must not have placeholders")
		// The URL of an endpoint comes before templates, and another process may
		// have made one a moment ago.
		exact := &convoy.Endpoint{
			ID: convoy.EndpointID(id.New(f.now)), ProjectID: f.project.ID, URL: "https://b.example.com/{x}", Name: "b", Status: convoy.EndpointActive,
			Secrets: []convoy.Secret{{ID: "1", Value: "s"}}, CreatedAt: f.now, UpdatedAt: f.now,
		}
		if err := f.store.CreateEndpoint(t.Context(), exact); err != nil {
			t.Fatal(err)
		}
		if e := f.dynamic("https://b.example.com/1", ""); e.Endpoints[0] != exact.ID || e.TargetURL != "https://b.example.com/1" {
			t.Errorf("event %+v, want it for %s", e, exact.ID)
		}
		f.want(call{method: "PUT", body: `{"name":"shop","config":{"allow_unmatched_dynamic_urls":true}}`}, 202, "Project updated successfully")
		f.want(call{method: "POST", path: "events/dynamic", body: unmatched}, 201, dynamicMessage)
	})
}

func TestPublishDynamicRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	for body, message := range map[string]string{
		`{}`:                                   "url:please provide an endpoint url, event_type:please provide an event type, data:please provide your webhook event data",
		`{"event_type":"x","data":1,"url":""}`: "url:please provide an endpoint url",
		`{"event_type":"x","data":1,"url":7}`:  `body contains incorrect JSON type for field "url"`,
		`{"event_type":"x","data":1,"url":"http://a.example.com","secret":{}}`:                       `body contains incorrect JSON type for field "secret"`,
		`{"event_type":"x","data":1,"url":"http://a.example.com","secret":"a\u0000"}`:                "secret:must not contain NUL characters",
		`{"event_type":"x","data":1,"url":"http://a.example.com","event_types":"x"}`:                 `body contains incorrect JSON type for field "event_types"`,
		`{"event_type":"x","data":1,"url":"http://a.example.com","event_types":[null]}`:              `body contains incorrect JSON type for field "event_types"`,
		`{"event_type":"x","data":1,"url":"http://a.example.com","event_types":["a",""]}`:            "event_types:must not be empty",
		`{"event_type":"x","data":1,"url":"http://a.example.com","event_types":["a\u0000"]}`:         "event_types:must not contain NUL characters",
		`{"event_type":"x","data":1,"url":"ftp://a.example.com/x"}`:                                  "invalid endpoint scheme",
		`{"event_type":"x","data":1,"url":"a.example.com"}`:                                          "invalid endpoint scheme",
		`{"event_type":"x","data":1,"url":"http://u:p@a.example.com"}`:                               "endpoint url must not include credentials; use the endpoint's authentication instead",
		`{"event_type":"x","data":1,"url":"http://{host}.example.com/"}`:                             "endpoint url is not a valid url",
		`{"event_type":"x","data":1,"url":"http://a.example.com/\u0001"}`:                            "endpoint url must be UTF-8 text without control characters",
		`{"event_type":"x","data":1,"url":"http://a.example.com/` + strings.Repeat("x", 2048) + `"}`: "url:must not be longer than 2048 characters",
	} {
		f.want(call{method: "POST", path: "events/dynamic", body: body}, 400, message)
	}
	for _, private := range []string{"127.0.0.1", "10.0.0.1", "[::1]", "169.254.169.254", "localhost"} {
		if a := f.do(call{method: "POST", path: "events/dynamic", body: `{"event_type":"x","data":1,"url":"http://` + private + `/"}`}); a.status != 400 {
			t.Errorf("%s: %d %s", private, a.status, a.body)
		}
	}
	f.want(call{method: "PUT", body: `{"name":"shop","config":{"request_id_header":"X-My-Id","ssl":{"enforce_secure_endpoints":true}}}`}, 202, "Project updated successfully")
	f.want(call{method: "POST", path: "events/dynamic", body: `{"url":"https://a.example.com","event_type":"x","data":1}`},
		400, "idempotency_key is required when a custom request_id_header is configured")
	f.want(call{method: "POST", path: "events/dynamic", body: `{"url":"http://a.example.com","event_type":"x","data":1,"idempotency_key":"1"}`},
		400, "only https endpoints allowed")
	all, err := f.store.AllEndpoints(t.Context(), f.project.ID)
	if err != nil || len(all) > 0 || f.publisher.n > 0 {
		t.Errorf("refused requests made %d endpoints and %d events (%v)", len(all), f.publisher.n, err)
	}
	for url, message := range map[string]string{
		"https://a.example.com/{":      "url:braces must be pairs around a name of letters, digits and underscores, such as {id}",
		"https://a.example.com/{a}{b}": "url:placeholders must have text between them",
	} {
		f.want(call{method: "POST", path: "endpoints", body: `{"name":"t","url":"` + url + `"}`}, 400, message)
	}
}
