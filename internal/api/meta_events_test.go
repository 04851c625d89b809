package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"convoy"
	"convoy/internal/guard"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

const metaURL = "http://ops.example.com/convoy"

// wantMeta has the project ask for meta events of some types.
func (f *fixture) wantMeta(types ...string) {
	f.t.Helper()
	list, err := json.Marshal(types)
	if err != nil {
		f.t.Fatal(err)
	}
	f.want(call{method: "PUT", body: `{"name":"` + f.project.Name + `","config":{"meta_event":{"is_enabled":true,"url":"` + metaURL + `","secret":"s3cret","event_type":` +
		string(list) + `}}}`}, 202, "Project updated successfully")
}

// metaEvents are the deliveries of all meta events, oldest first.
func (f *fixture) metaEvents() []store.DeliveryDetail {
	f.t.Helper()
	list, err := f.store.Deliveries(f.t.Context(), store.DeliveryFilter{Project: f.project.ID.Meta(), Page: store.Page{PerPage: 1000}})
	if err != nil {
		f.t.Fatal(err)
	}
	slices.Reverse(list.Items)
	return list.Items
}

// failedMeta is the meta event of a new endpoint, which has failed for ever.
func (f *fixture) failedMeta(name string) *convoy.Delivery {
	f.t.Helper()
	f.endpoint(name)
	list := f.metaEvents()
	if len(list) == 0 {
		f.t.Fatal("no meta event of a new endpoint")
	}
	d := list[len(list)-1].Delivery
	f.attempt(d, convoy.DeliveryFailure)
	return d
}

// metaEvent is the id of a meta event that has failed.
func (f *fixture) metaEvent(name string) string {
	f.t.Helper()
	f.wantMeta(convoy.MetaEventTypes()...)
	return string(f.failedMeta(name).ID)
}

// metaBody is the content of a meta event.
type metaBody struct {
	Type string         `json:"event_type"`
	Data map[string]any `json:"data"`
}

func bodyOf(t *testing.T, d store.DeliveryDetail) metaBody {
	t.Helper()
	var b metaBody
	if err := json.Unmarshal(d.Event.Data, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// takers remember what was handed on.
type takers struct {
	mu    sync.Mutex
	taken []convoy.DeliveryID
}

func (s *takers) Take(_ context.Context, jobs []convoy.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range jobs {
		s.taken = append(s.taken, j.Delivery.ID)
	}
}

// Every change of an endpoint is told of once, without secrets, and handed on at
// once.
func TestMetaEventsOfEndpoints(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		hastened := new(takers)
		f := setup(t, db, func(c *Config) { c.Taker = hastened })
		before := f.endpoint("before")
		if n := len(f.metaEvents()); n != 0 {
			t.Fatalf("%d meta events with meta events off", n)
		}
		f.wantMeta(convoy.MetaEventTypes()...)

		var e endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"name":"main","url":"http://example.com/main?a=1&b=2","secret":"hush-1","owner_id":"o",
			"slack_webhook_url":"https://slack.example.com/hush-2","authentication":{"type":"api_key","api_key":{"header_name":"X-Key","header_value":"hush-3"}}}`},
			201, "Endpoint created successfully").data(t, &e)
		one := "endpoints/" + string(e.UID)
		f.want(call{method: "PUT", path: one, body: `{"name":"other","url":"http://example.com/other"}`}, 202, "Endpoint updated successfully")
		f.want(call{method: "PUT", path: one + "/expire_secret", body: `{"secret":"hush-4"}`}, 200, "endpoint secret expired successfully")
		f.want(call{method: "PUT", path: one + "/pause"}, 202, "endpoint status updated successfully")
		f.want(call{method: "POST", path: one + "/activate"}, 202, "endpoint status successfully activated")
		f.want(call{method: "POST", path: one + "/activate"}, 400, "current endpoint status - active, does not support activation")
		f.want(call{method: "DELETE", path: one}, 200, "Endpoint deleted successfully")
		f.want(call{method: "DELETE", path: one}, 400, "endpoint not found")
		f.want(call{method: "POST", path: "onboard", body: `{"items":[{"name":"a","url":"http://example.com/a","auth_username":"u","auth_password":"hush-5"},
			{"name":"b","url":"http://example.com/b"}]}`}, 202, "Bulk onboard request accepted")
		f.want(call{method: "POST", path: "events/dynamic", body: `{"url":"http://example.com/c","event_type":"x","data":1,"secret":"hush-6"}`}, 201, "Dynamic event created successfully")
		f.want(call{method: "POST", path: "events/dynamic", body: `{"url":"http://example.com/c","event_type":"x","data":1}`}, 201, "Dynamic event created successfully")

		list := f.metaEvents()
		var types, names []string
		for _, d := range list {
			b := bodyOf(t, d)
			types = append(types, d.EventType)
			names = append(names, b.Data["name"].(string)+" "+b.Data["status"].(string))
			if b.Type != d.EventType || d.Event.Type != d.EventType || strings.Contains(string(d.Event.Data), "hush") {
				t.Errorf("%s: %s", d.EventType, d.Event.Data)
			}
			sum := sha256.Sum256([]byte(d.ID))
			if d.Event.IdempotencyKey != hex.EncodeToString(sum[:]) || d.Status != convoy.DeliveryScheduled || !d.ClaimAt.Equal(f.now) {
				t.Errorf("%s: %+v", d.EventType, d.Delivery)
			}
		}
		wantTypes := []string{
			"endpoint.created", "endpoint.updated", "endpoint.updated", "endpoint.updated", "endpoint.updated", "endpoint.deleted",
			"endpoint.created", "endpoint.created", "endpoint.created",
		}
		wantNames := []string{"main active", "other active", "other active", "other paused", "other active", "other active", "a active", "b active", "example.com active"}
		if !slices.Equal(types, wantTypes) || !slices.Equal(names, wantNames) {
			t.Fatalf("got  %v\n     %v\nwant %v\n     %v", types, names, wantTypes, wantNames)
		}
		if url := bodyOf(t, list[0]).Data["url"]; url != "http://example.com/main?a=1&b=2" {
			t.Errorf("url %v", url)
		}
		if at := bodyOf(t, list[5]).Data["deleted_at"]; at == nil {
			t.Error("a deleted endpoint without deleted_at")
		}
		if len(hastened.taken) != len(list) {
			t.Errorf("%d of %d meta events were handed on", len(hastened.taken), len(list))
		}

		f.wantMeta(convoy.MetaEndpointDeleted)
		f.endpoint("unwanted")
		f.want(call{method: "DELETE", path: "endpoints/" + string(before)}, 200, "Endpoint deleted successfully")
		f.want(call{method: "PUT", body: `{"name":"shop","config":{"meta_event":{"is_enabled":false}}}`}, 202, "Project updated successfully")
		f.endpoint("untold")
		if got := f.metaEvents(); len(got) != len(list)+1 || got[len(list)].EventType != convoy.MetaEndpointDeleted {
			t.Errorf("%d meta events, want one more than %d", len(got), len(list))
		}
	})
}

// An endpoint that cannot be stored is not told of.
func TestMetaEventsAreOfWhatWasStored(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.wantMeta(convoy.MetaEventTypes()...)
	e := f.endpoint("one")
	told := len(f.metaEvents())
	p, err := f.store.Project(t.Context(), f.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.store.Endpoint(t.Context(), f.project.ID, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.CreateEndpoint(t.Context(), stored, updated(p, stored)...); err == nil {
		t.Error("an endpoint was created twice")
	}
	stored.ID = convoy.EndpointID(id.New(f.now))
	if err := f.store.UpdateEndpoint(t.Context(), stored, updated(p, stored)...); !convoy.IsNotFound(err) {
		t.Errorf("update of an unknown endpoint: %v", err)
	}
	if n := len(f.metaEvents()); n != told {
		t.Errorf("%d meta events, want %d", n, told)
	}
}

func TestMetaEvents(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		f.want(call{path: "meta-events"}, 200, "Meta events fetched successfully")
		f.wantMeta(convoy.MetaEndpointCreated)
		f.endpoint("first")
		failed := f.failedMeta("second")
		one := "meta-events/" + string(failed.ID)
		golden(t, "meta_event", f.want(call{path: one}, 200, "Meta event fetched successfully").body)
		golden(t, "meta_events", f.want(call{path: "meta-events"}, 200, "Meta events fetched successfully").body)

		var page struct {
			Content    []metaEventView
			Pagination struct {
				Next string `json:"next_page_cursor"`
				More bool   `json:"has_next_page"`
			}
		}
		f.want(call{path: "meta-events?perPage=1"}, 200, "Meta events fetched successfully").data(t, &page)
		if len(page.Content) != 1 || page.Content[0].UID != failed.ID || page.Content[0].ProjectID != f.project.ID || !page.Pagination.More {
			t.Errorf("first page %+v", page)
		}
		f.want(call{path: "meta-events?perPage=1&next_page_cursor=" + page.Pagination.Next}, 200, "Meta events fetched successfully").data(t, &page)
		if len(page.Content) != 1 || page.Content[0].UID == failed.ID || page.Content[0].Attempt != nil || page.Pagination.More {
			t.Errorf("second page %+v", page)
		}
		scheduled := string(page.Content[0].UID)
		f.want(call{path: "meta-events?startDate=2026-07-01T00:00:00&endDate=2026-07-31T00:00:00"}, 200, "Meta events fetched successfully").data(t, &page)
		if len(page.Content) != 0 {
			t.Errorf("%d meta events of another month", len(page.Content))
		}

		var again metaEventView
		f.want(call{method: "PUT", path: one + "/resend"}, 200, "Meta event processed for retry successfully").data(t, &again)
		if again.Status != convoy.DeliveryScheduled || again.Metadata.Trials != 0 || again.Attempt == nil {
			t.Errorf("after resending %+v", again)
		}
		f.want(call{method: "PUT", path: one + "/resend"}, 400, "cannot resend event that did not fail previously")
		f.want(call{method: "PUT", path: "meta-events/" + scheduled + "/resend"}, 400, "cannot resend event that did not fail previously")
		f.want(call{method: "PUT", body: `{"name":"shop","config":{"meta_event":{"is_enabled":false}}}`}, 202, "Project updated successfully")
		f.want(call{method: "PUT", path: one + "/resend"}, 400, "meta_event.is_enabled is false: the project sends no meta events")
		f.want(call{path: one}, 200, "Meta event fetched successfully")
		for _, unknown := range []string{"x", id.New(f.now), string(f.project.ID.Meta())} {
			f.want(call{path: "meta-events/" + unknown}, 404, "meta event not found")
			f.want(call{method: "PUT", path: "meta-events/" + unknown + "/resend"}, 404, "meta event not found")
		}
	})
}

// Where meta events are kept is nobody's business.
func TestMetaProjectIsHidden(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.wantMeta(convoy.MetaEndpointCreated)
	told := f.failedMeta("one")
	hidden := "/api/v1/projects/" + string(f.project.ID.Meta())
	for _, path := range []string{"", "/endpoints", "/eventdeliveries/" + string(told.ID), "/meta-events"} {
		f.want(call{path: hidden + path, key: f.person}, 400, "project not found")
	}
	f.want(call{path: "eventdeliveries/" + string(told.ID)}, 404, "event delivery not found")
	f.want(call{path: "events/" + string(told.ID)}, 404, "event not found")
	f.want(call{path: "endpoints/" + string(convoy.MetaEndpoint(f.project.ID))}, 404, "Resource not found")
	f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + string(convoy.MetaEndpoint(f.project.ID)) + `","event_type":"x","data":1}`}, 400, "endpoint not found")
	for _, list := range []string{"endpoints", "events", "eventdeliveries", "subscriptions"} {
		a := f.do(call{path: list})
		if a.status != 200 || strings.Contains(a.body, string(f.project.ID.Meta())) || strings.Contains(a.body, string(told.ID)) {
			t.Errorf("%s: %d %s", list, a.status, a.body)
		}
	}
	a := f.want(call{path: "/api/v1/projects?orgID=" + string(f.org.ID)}, 200, "Projects fetched successfully")
	if strings.Contains(a.body, string(f.project.ID.Meta())) {
		t.Errorf("listed: %s", a.body)
	}
}

func TestMetaEventSettings(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		pinged := new(pings)
		f := setup(t, db, func(c *Config) { c.Ping = pinged })
		put := func(meta string) convoy.MetaEventConfig {
			t.Helper()
			var p projectView
			f.want(call{method: "PUT", body: `{"name":"shop","config":{"meta_event":` + meta + `}}`}, 202, "Project updated successfully").data(t, &p)
			return p.Config.MetaEvent
		}
		off := put(`{"is_enabled":false}`)
		if off.Enabled || off.Secret != "" || off.EventType == nil || off.PubSub == nil {
			t.Errorf("disabled: %+v", off)
		}
		on := put(`{"is_enabled":true,"url":"https://ops.example.com/a","event_type":["endpoint.created","eventdelivery.failed","endpoint.created"]}`)
		if on.Type != "http" || len(on.Secret) != 25 || on.URL != "https://ops.example.com/a" ||
			!slices.Equal(on.EventType, []string{"endpoint.created", "eventdelivery.failed"}) {
			t.Errorf("enabled: %+v", on)
		}
		// What was read can be written, and a secret that is left out stays.
		text, err := json.Marshal(on)
		if err != nil {
			t.Fatal(err)
		}
		if got := put(string(text)); got.Secret != on.Secret || got.URL != on.URL {
			t.Errorf("written back: %+v", got)
		}
		if got := put(`{"is_enabled":true,"url":"https://ops.example.com/a"}`); got.Secret != on.Secret || len(got.EventType) != 0 {
			t.Errorf("without secret: %+v", got)
		}
		if got := put(`{"is_enabled":true,"type":"http","url":"https://ops.example.com/b","secret":"mine"}`); got.Secret != "mine" {
			t.Errorf("with a secret: %+v", got)
		}
		if want := []string{"https://ops.example.com/a", "https://ops.example.com/b"}; !slices.Equal(pinged.urls, want) {
			t.Errorf("asked for a sign of life: %v, want %v", pinged.urls, want)
		}
		pinged.err = errors.New("nobody there")
		f.want(call{method: "PUT", body: `{"name":"shop","config":{"meta_event":{"is_enabled":true,"url":"https://ops.example.com/c"}}}`}, 400,
			"endpoint validation failed: nobody there")

		refusals := map[string]string{
			`{"is_enabled":true}`:                                                               "please provide the endpoint url",
			`{"is_enabled":true,"url":"http://localhost:8080/"}`:                                "endpoint url must not point to localhost or loopback addresses",
			`{"is_enabled":true,"url":"http://127.0.0.1/"}`:                                     "endpoint url must not point to localhost or loopback addresses",
			`{"is_enabled":true,"url":"http://[::1]/"}`:                                         "endpoint url must not point to localhost or loopback addresses",
			`{"is_enabled":true,"url":"http://10.0.0.1/"}`:                                      "url:address 10.0.0.1 (private network) is not allowed",
			`{"is_enabled":true,"url":"ftp://example.com/"}`:                                    "url:invalid endpoint scheme",
			`{"is_enabled":true,"url":"https://example.com/{id}"}`:                              "url:must not have placeholders",
			`{"is_enabled":true,"url":"` + metaURL + `","type":"pub_sub"}`:                      "type:must be http, meta events are sent in no other way",
			`{"is_enabled":true,"url":"` + metaURL + `","pub_sub":{"type":"sqs"}}`:              "pub_sub:is not supported, meta events are sent to a url",
			`{"is_enabled":true,"url":"` + metaURL + `","event_type":["project.updated"]}`:      "event_type:must be of " + strings.Join(convoy.MetaEventTypes(), ", "),
			`{"is_enabled":true,"url":"` + metaURL + `","secret":"a\u0000"}`:                    "secret:must not contain NUL characters",
			`{"is_enabled":false,"url":"\u0000"}`:                                               "url:must not contain NUL characters",
			`{"is_enabled":true,"url":"` + metaURL + `","event_type":"endpoint.created"}`:       `body contains incorrect JSON type for field "config.meta_event.event_type"`,
			`{"is_enabled":false,"event_type":[` + strings.Repeat(`"a",`, 40) + `"a"]}`:         "event_type:must not be more than 32",
			`{"is_enabled":true,"url":"` + metaURL + strings.Repeat("x", 2048) + `"}`:           "url:endpoint url must be at most 2048 characters",
			`{"is_enabled":true,"url":"` + metaURL + `","secret":"` + longText(513) + `"}`:      "secret:must not be longer than 512 characters",
			`{"is_enabled":true,"url":"` + metaURL + `","pub_sub":{"type":1}}`:                  `body contains incorrect JSON type for field "config.meta_event.pub_sub.type"`,
			`{"is_enabled":true,"url":"` + metaURL + `","event_type":["endpoint.*"]}`:           "event_type:must be of " + strings.Join(convoy.MetaEventTypes(), ", "),
			`{"is_enabled":true,"url":"` + metaURL + `","type":"kafka"}`:                        "type:must be http, meta events are sent in no other way",
			`{"is_enabled":true,"url":"http://user:hush@example.com/","event_type":["a"]}`:      "",
			`{"is_enabled":true,"url":"http://user:hush@example.com/","event_type":["\ud800"]}`: "",
		}
		for _, body := range slices.Sorted(maps.Keys(refusals)) {
			a := f.do(call{method: "PUT", body: `{"name":"shop","config":{"meta_event":` + body + `}}`})
			if want := refusals[body]; a.status != 400 || want != "" && a.message(t) != want || strings.Contains(a.body, "hush") {
				t.Errorf("%.200s\n got %d %.300s\nwant %s", body, a.status, a.body, want)
			}
		}
		f.want(call{method: "PUT", body: `{"name":"shop","config":{"ssl":{"enforce_secure_endpoints":true},"meta_event":{"is_enabled":true,"url":"` + metaURL + `"}}}`}, 400,
			"url:only https endpoints allowed")

		var p projectView
		f.want(call{}, 200, "Project fetched successfully").data(t, &p)
		if p.Config.MetaEvent.URL != "https://ops.example.com/b" || p.Config.MetaEvent.Secret != "mine" {
			t.Errorf("changed by refused requests: %+v", p.Config.MetaEvent)
		}
	})
}

func longText(n int) string { return strings.Repeat("x", n) }

// Where this machine may be dialled, meta events may go to it.
func TestMetaEventsToThisMachine(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) {
		c.Guard = guard.New(guard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	})
	f.want(call{method: "PUT", body: `{"name":"shop","config":{"meta_event":{"is_enabled":true,"url":"http://127.0.0.1:1/"}}}`}, 202, "Project updated successfully")
	var created createdProject
	f.want(call{method: "POST", path: "/api/v1/projects?orgID=" + string(f.org.ID), key: f.person,
		body: `{"name":"told","type":"outgoing","config":{"meta_event":{"is_enabled":true,"url":"http://127.0.0.1:1/","event_type":["endpoint.created"]}}}`},
		201, "Project created successfully").data(t, &created)
	if m := created.Project.Config.MetaEvent; !m.Enabled || len(m.Secret) != 25 || len(m.EventType) != 1 {
		t.Errorf("%+v", m)
	}
}

// pings remembers which URLs were asked for a sign of life.
type pings struct {
	urls []string
	err  error
}

func (p *pings) Ping(_ context.Context, url string) error {
	if p.err == nil {
		p.urls = append(p.urls, url)
	}
	return p.err
}

// An answer that comes late, after the project has gone, finds nothing.
func TestMetaEventsOfDeletedProject(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.wantMeta(convoy.MetaEndpointCreated)
	f.endpoint("one")
	if _, err := f.catalog.Project(t.Context(), f.project.ID.Meta()); err != nil {
		t.Fatal(err)
	}
	f.want(call{method: "DELETE"}, 200, "Project deleted successfully")
	if _, err := f.catalog.Project(t.Context(), f.project.ID.Meta()); !convoy.IsNotFound(err) {
		t.Errorf("the project of meta events outlives its owner: %v", err)
	}
	f.want(call{path: "meta-events"}, 400, "project not found")
}
