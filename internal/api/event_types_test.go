package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

const schemaOfAmount = `{"type":"object","required":["amount"],"properties":{"amount":{"type":"integer"}}}`

func (f *fixture) eventTypes() map[string]eventTypeView {
	f.t.Helper()
	var list []eventTypeView
	f.want(call{path: "event-types"}, 200, "Event types fetched successfully").data(f.t, &list)
	types := make(map[string]eventTypeView)
	for _, v := range list {
		types[v.Name] = v
	}
	if len(types) != len(list) {
		f.t.Errorf("a name occurs twice in %+v", list)
	}
	return types
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		if types := f.eventTypes(); len(types) != 1 || types["*"].UID == "" {
			t.Fatalf("a new project has the types %+v", types)
		}
		a := f.want(call{method: "POST", path: "event-types", body: `{"name":"invoice.paid","category":"billing","description":"d","json_schema":{ "type": "object" }}`},
			201, "Event type created successfully")
		golden(t, "event_type_created", a.body)
		var v eventTypeView
		a.data(t, &v)
		golden(t, "event_types", f.want(call{path: "event-types/"}, 200, "Event types fetched successfully").body)

		one := "event-types/" + string(v.UID)
		a = f.want(call{method: "PUT", path: one, body: `{"name":"ignored","category":"","json_schema":{"type":"array"}}`}, 201, "Event type created successfully")
		a.data(t, &v)
		if v.Name != "invoice.paid" || v.Category != "" || v.Description != "d" || string(v.JSONSchema) != `{"type":"array"}` {
			t.Errorf("updated %+v", v)
		}
		f.want(call{method: "PUT", path: one, body: `{"json_schema":{}}`}, 201, "Event type created successfully").data(t, &v)
		if string(v.JSONSchema) != "null" {
			t.Errorf("schema %s after its removal", v.JSONSchema)
		}
		golden(t, "event_type_deprecated", f.want(call{method: "POST", path: one + "/deprecate"}, 201, "Event type deprecated successfully").body)
		f.want(call{method: "POST", path: one + "/deprecate/"}, 201, "Event type deprecated successfully")
		if f.eventTypes()["invoice.paid"].DeprecatedAt == nil {
			t.Error("not deprecated in the list")
		}

		f.want(call{method: "POST", path: "event-types", body: `{}`}, 400, "name:please provide a name for this event type")
		f.want(call{method: "POST", path: "event-types", body: `{"name":"invoice.paid"}`}, 400, "an event type with this name already exists")
		f.want(call{method: "POST", path: "event-types", body: `{"name":"a\u0000"}`}, 400, "name:must not contain NUL characters")
		f.want(call{method: "POST", path: "event-types", body: `{"name":"a","category":"` + strings.Repeat("c", 256) + `"}`}, 400, "category:must not be longer than 255 characters")
		f.want(call{method: "POST", path: "event-types", body: `{"name":"a","description":"\u0000"}`}, 400, "description:must not contain NUL characters")
		f.want(call{method: "POST", path: "event-types", body: `{"name":1}`}, 400, `body contains incorrect JSON type for field "name"`)
		f.want(call{method: "POST", path: "event-types", body: `{"name":"a","json_schema":[]}`}, 400, "invalid JSON schema: it must be an object")
		f.want(call{method: "POST", path: "event-types", body: `{"name":"a","json_schema":{"$ref":"http://127.0.0.1/x"}}`}, 400, "invalid JSON schema: references to other documents are not supported")
		f.want(call{method: "PUT", path: one, body: `{"json_schema":{"type":7}}`}, 400, "invalid JSON schema: /type: got number, want array; "+
			"/type: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'")
		f.want(call{method: "PUT", path: "event-types/x", body: `{}`}, 400, "event type not found")
		f.want(call{method: "PUT", path: "event-types/" + id.New(f.now), body: `{}`}, 400, "event type not found")
		f.want(call{method: "POST", path: "event-types/" + id.New(f.now) + "/deprecate"}, 400, "event type not found")
		f.want(call{method: "POST", path: "event-types/" + string(f.project.ID) + "/deprecate"}, 400, "the event type * cannot be deprecated")

		viewer := f.newKey(func(k *convoy.APIKey) { k.Role = convoy.Role{Type: convoy.RoleProjectViewer, Project: f.project.ID} })
		f.want(call{path: "event-types", key: viewer}, 200, "Event types fetched successfully")
		for _, c := range []call{
			{method: "POST", path: "event-types", body: `{"name":"a"}`}, {method: "PUT", path: one, body: `{}`},
			{method: "POST", path: one + "/deprecate"}, {method: "POST", path: "event-types/import", body: `{"spec":"x"}`},
		} {
			c.key = viewer
			f.want(c, 403, "Unauthorized")
		}
	})
}

func TestImportEventTypes(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		f.want(call{method: "POST", path: "event-types", body: `{"name":"invoice.paid","category":"kept","description":"old"}`}, 201, "Event type created successfully")
		before := f.eventTypes()["invoice.paid"]
		spec := "openapi: 3.1.0\ninfo: {title: t, version: '1'}\nwebhooks:\n" +
			"  invoice.paid: {post: {summary: new, requestBody: {content: {application/json: {schema: {type: object}}}}, responses: {'200': {description: ok}}}}\n" +
			"  user.created: {post: {tags: [users], responses: {'200': {description: ok}}}}\n"
		body, err := json.Marshal(map[string]string{"spec": spec})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			var list []eventTypeView
			f.want(call{method: "POST", path: "event-types/import", body: string(body)}, 200, "Event types imported successfully").data(t, &list)
			types := f.eventTypes()
			paid, created := types["invoice.paid"], types["user.created"]
			if len(list) != 2 || len(types) != 3 || paid.UID != before.UID || paid.Category != "kept" || paid.Description != "new" || created.Category != "users" ||
				!strings.Contains(string(paid.JSONSchema), `"type":"object"`) {
				t.Errorf("imported %+v, there are %+v", list, types)
			}
		}
		f.want(call{method: "POST", path: "event-types/import", body: `{}`}, 400, "spec:please provide an OpenAPI spec")
		f.want(call{method: "POST", path: "event-types/import", body: `{"spec":"openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}"}`}, 400, "no webhooks found in OpenAPI spec")
		long := `{"spec":"openapi: 3.1.0\ninfo: {title: t, version: '1'}\nwebhooks: {` + strings.Repeat("n", 256) + `: {post: {responses: {'200': {description: ok}}}}}"}`
		if a := f.do(call{method: "POST", path: "event-types/import", body: long}); a.status != 400 || !strings.Contains(a.body, "must not be longer than 255 characters") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// TestEventTypesOfSubscriptions shows that subscribing adds to the catalogue.
func TestEventTypesOfSubscriptions(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	e := string(f.endpoint("a"))
	var s subscriptionView
	f.want(call{method: "POST", path: "subscriptions", body: `{"name":"a","endpoint_id":"` + e + `","filter_config":{"event_types":["a","b.*","a"]}}`},
		201, "Subscription created successfully").data(t, &s)
	f.want(call{method: "PUT", path: "subscriptions/" + string(s.UID), body: `{"filter_config":{"event_types":["b.*","c"]}}`}, 202, "Subscription updated successfully")
	f.want(call{method: "POST", path: "subscriptions/" + string(s.UID) + "/filters", body: `{"event_type":"d"}`}, 404, "event type does not exist")
	types := f.eventTypes()
	for _, name := range []string{"*", "a", "b.*", "c"} {
		if _, ok := types[name]; !ok {
			t.Errorf("no %s in %+v", name, types)
		}
	}
}

func (f *fixture) configure(config string) {
	f.t.Helper()
	f.want(call{method: "PUT", path: "", body: `{"name":"shop","config":` + config + `}`}, 202, "Project updated successfully")
}

func TestEventTypeValidation(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		e := string(f.endpoint("a"))
		f.want(call{method: "POST", path: "event-types", body: `{"name":"invoice.paid","json_schema":` + schemaOfAmount + `}`}, 201, "Event type created successfully")
		publish := func(data string) call {
			return call{method: "POST", path: "events", body: `{"endpoint_id":"` + e + `","event_type":"invoice.paid","data":` + data + `}`}
		}
		const found = "/amount: got string, want integer"
		f.want(publish(`{"amount":"1"}`), 201, "Event queued successfully") // off

		f.configure(`{"event_type_validation":"reject"}`)
		f.want(publish(`{"amount":1}`), 201, "Event queued successfully")
		f.want(publish(`{"amount":"1"}`), 400, "data:does not match the schema of invoice.paid: "+found)
		f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + e + `","event_type":"other","data":{"amount":"1"}}`}, 201, "Event queued successfully")
		f.want(call{method: "POST", path: "events/broadcast", body: `{"event_type":"invoice.paid","data":[]}`}, 400, "data:does not match the schema of invoice.paid: /: got array, want object")
		f.want(call{method: "POST", path: "events/dynamic", body: `{"url":"https://new.example.com","event_type":"invoice.paid","data":[]}`},
			400, "data:does not match the schema of invoice.paid: /: got array, want object")
		a := f.do(call{method: "POST", path: "events/batch", body: `[{"endpoint_id":"` + e + `","event_type":"invoice.paid","data":{}},{"endpoint_id":"` + e + `","event_type":"invoice.paid","data":{"amount":2}}]`})
		if !strings.Contains(a.body, "missing property 'amount'") || strings.Count(a.body, "does not match") != 1 {
			t.Errorf("batch: %d %s", a.status, a.body)
		}

		f.configure(`{"event_type_validation":"flag"}`)
		var v eventView
		f.want(publish(`{"amount":"1"}`), 201, "Event queued successfully").data(t, &v)
		if v.SchemaError != found {
			t.Errorf("published %+v", v)
		}
		var stored eventView
		f.want(call{path: "events/" + string(v.UID)}, 200, "Endpoint event fetched successfully").data(t, &stored)
		if stored.SchemaError != found {
			t.Errorf("stored %+v", stored)
		}
		if !strings.Contains(f.log.String(), `"schema_mismatch":true`) || strings.Contains(f.log.String(), found) {
			t.Error("the log does not say so, or says too much")
		}
		var right eventView
		f.want(publish(`{"amount":1}`), 201, "Event queued successfully").data(t, &right)
		if right.SchemaError != "" {
			t.Errorf("published %+v", right)
		}

		if a := f.do(call{method: "PUT", path: "", body: `{"name":"shop","config":{"event_type_validation":"maybe"}}`}); a.status != 400 || !strings.Contains(a.body, "event_type_validation:must be off, flag or reject") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestDeprecatedEventType(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	body := `{"endpoint_id":"` + string(f.endpoint("a")) + `","event_type":"old","data":1}`
	if a := f.want(call{method: "POST", path: "events", body: body}, 201, "Event queued successfully"); a.header.Get("Deprecation") != "" {
		t.Errorf("header %v", a.header)
	}
	var v eventTypeView
	f.want(call{method: "POST", path: "event-types", body: `{"name":"old"}`}, 201, "Event type created successfully").data(t, &v)
	f.want(call{method: "POST", path: "event-types/" + string(v.UID) + "/deprecate"}, 201, "Event type deprecated successfully")
	a := f.want(call{method: "POST", path: "events", body: body}, 201, "Event queued successfully")
	if a.header.Get("Deprecation") != "@1785578400" {
		t.Errorf("header %v", a.header)
	}
	if !strings.Contains(f.log.String(), `"event_type_deprecated":true`) {
		t.Error("the log does not say so")
	}

	f.want(call{method: "POST", path: "event-types", body: `{"name":"newer"}`}, 201, "Event type created successfully").data(t, &v)
	if _, err := f.store.DeprecateEventType(t.Context(), f.project.ID, v.UID, f.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := f.catalog.Changed(t.Context(), f.project.ID); err != nil {
		t.Fatal(err)
	}
	item := func(name string) string { return `{"type":"broadcast","event_type":"` + name + `","data":1}` }
	for name, tt := range map[string]struct{ items, want string }{
		"none":                       {item("current") + "," + item("current"), ""},
		"two":                        {item("newer") + "," + item("old") + "," + item("newer"), "@1785578400"},
		"the refused does not count": {`{"type":"broadcast","event_type":"old"},` + item("newer"), "@1785582000"},
	} {
		a := f.do(call{method: "POST", path: "events/batch", body: "[" + tt.items + "]"})
		if got := a.header.Get("Deprecation"); got != tt.want {
			t.Errorf("batch, %s: %q, want %q: %s", name, got, tt.want, a.body)
		}
	}
}

// TestEventTypesOff shows that nothing is asked of a project without schemas.
func TestEventTypesOff(t *testing.T) { // not beside others: it counts allocations
	f := setup(t, openSQLite(t))
	f.endpoint("a")
	p, err := f.catalog.Project(context.Background(), f.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	e := &convoy.Event{Type: "a", Data: []byte("no JSON")}
	if n := testing.AllocsPerRun(100, func() {
		if err := p.CheckData(e); err != nil || !p.Deprecated("a").IsZero() {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
