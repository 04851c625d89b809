package api

import (
	"strings"
	"testing"

	"convoy"
	"convoy/internal/function"
)

func TestTestFunction(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.Functions = function.New(function.Config{}) })
	subscription := func(body string) call {
		return call{method: "POST", path: "subscriptions/test_function", body: body}
	}
	source := func(body string) call { return call{method: "POST", path: "sources/test_function", body: body} }
	const done = "Transformer function run successfully"

	a := f.want(subscription(`{"payload":{"id":9007199254740993},"function":"function transform(p) { console.log('got', p.id); p.at = new Date().toISOString(); return p }"}`), 200, done)
	golden(t, "function_tested", a.body)
	a = f.want(subscription(`{"function":"function transform(p) { return p }"}`), 200, done)
	if !strings.HasSuffix(strings.TrimSpace(a.body), `"data":{"payload":{},"log":[]}}`) {
		t.Error(a.body)
	}
	f.want(subscription(`{"payload":null,"function":"function transform(p) { return p }","type":"header"}`), 200, done)

	f.want(subscription(`{}`), 400, "function:please provide a function")
	f.want(subscription(`{"function":7}`), 400, `body contains incorrect JSON type for field "function"`)
	f.want(subscription(`{"function":"x","type":"other"}`), 400, "type:must be body or header")
	f.want(subscription(`{"function":"function transform(p) { throw new Error('no luck') }"}`), 400, "function threw: Error: no luck at transform (function:1:31(3))")
	f.want(subscription(`{"function":"var x"}`), 400, "function must define function transform(payload)")
	f.want(subscription(`{"function":"a\u0000"}`), 400, "function must be UTF-8 without NUL characters")
	f.want(subscription(`{"function":"for (;;) {} function transform() {}"}`), 400, "function took longer than 1s")

	returns := func(value string) string {
		return `{"payload":{},"function":"function transform() { return ` + strings.ReplaceAll(value, `"`, `'`) + ` }"}`
	}
	f.want(source(returns(`{event_type:"a",data:1,endpoint_id:"e",owner_id:null,custom_headers:{a:"b"},idempotency_key:"k"}`)), 200, done)
	f.want(source(returns(`[]`)), 400, "the function must return an object")
	f.want(source(returns(`{}`)), 400, "event_type:must be returned, data:must be returned")
	f.want(source(returns(`{event_type:7,data:null,more:1,custom_headers:{a:1}}`)), 400, "event_type:must be a text, "+
		"more:must not be returned: only endpoint_id, owner_id, event_type, data, custom_headers and idempotency_key may, custom_headers:must be an object of texts")
	headers := func(value string) call {
		return source(strings.Replace(returns(value), `{"payload"`, `{"type":"header","payload"`, 1))
	}
	f.want(headers(`{"X-A":"b","X-B":["c","d"]}`), 200, done)
	f.want(headers(`{"X-A":1}`), 400, "the function must return an object of texts, or of arrays of texts")
	f.want(headers(`"a"`), 400, "the function must return an object of texts, or of arrays of texts")

	viewer := f.newKey(func(k *convoy.APIKey) { k.Role = convoy.Role{Type: convoy.RoleProjectViewer, Project: f.project.ID} })
	c := subscription(returns("1"))
	c.key = viewer
	f.want(c, 200, done)
	c.key = "-"
	f.want(c, 401, "Authentication required")
}

func TestTestFunctionWithout(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.want(call{method: "POST", path: "subscriptions/test_function", body: `{"function":"x"}`}, 400, "function:is not supported yet")
}
