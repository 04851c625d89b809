package schema

import (
	"fmt"
	"strings"
	"testing"

	"convoy"
)

const document31 = `
openapi: 3.1.0
info: {title: Shop, version: "1"}
webhooks:
  invoice.paid:
    post:
      summary: An invoice has been paid
      tags: [billing, more]
      requestBody:
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Invoice'}
      responses: {"200": {description: ok}}
  plain:
    post:
      description: No schema
      responses: {"200": {description: ok}}
  not.posted:
    get:
      responses: {"200": {description: ok}}
components:
  schemas:
    Invoice:
      type: object
      required: [id]
      properties:
        id: {type: string}
        note: {type: [string, "null"]}
        lines: {type: array, items: {$ref: '#/components/schemas/Line'}}
    Line:
      type: object
      properties: {parts: {type: array, items: {$ref: '#/components/schemas/Line'}}, price: {type: number, exclusiveMinimum: 0}}
    Unused: {type: string}
`

const document30 = `{"openapi":"3.0.3","info":{"title":"Shop","version":"1"},
"x-webhooks":{"user.created":{"post":{"requestBody":{"$ref":"#/components/requestBodies/User"},"responses":{"200":{"description":"ok"}}}}},
"paths":{"/hooks/Webhooks/order/placed":{"post":{"requestBody":{"content":{"application/json":{"schema":{"type":"object","properties":{
  "total":{"type":"number","minimum":0,"exclusiveMinimum":true},"note":{"type":"string","nullable":true},"state":{"type":"string","enum":["a"],"nullable":true}}}}}},"responses":{"200":{"description":"ok"}}}},
 "/my-webhook":{"post":{"responses":{"200":{"description":"ok"}}}},
 "/webhooks/named":{"post":{"operationId":"order.cancelled","responses":{"200":{"description":"ok"}}}},
 "/orders":{"post":{"responses":{"200":{"description":"ok"}}}}},
"components":{"requestBodies":{"User":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/User"}}}}},
 "schemas":{"User":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}}}`

func TestFromOpenAPI(t *testing.T) {
	t.Parallel()
	byName := func(t *testing.T, text string) map[string]Imported {
		t.Helper()
		list, err := FromOpenAPI([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		types := make(map[string]Imported)
		for _, e := range list {
			types[e.Name] = e
		}
		return types
	}
	check := func(t *testing.T, e Imported, data, want string) {
		t.Helper()
		s, err := Compile([]byte(e.Schema))
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if got := s.Check([]byte(data)); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s with %s: %q, want %q", e.Name, data, got, want)
		}
	}
	t.Run("3.1", func(t *testing.T) {
		t.Parallel()
		types := byName(t, document31)
		paid := types["invoice.paid"]
		if len(types) != 2 || paid.Description != "An invoice has been paid" || paid.Category != "billing" || types["plain"].Schema != "" || types["plain"].Description != "No schema" {
			t.Errorf("%+v", types)
		}
		if strings.Contains(paid.Schema, "Unused") {
			t.Error("a schema holds what it does not refer to")
		}
		check(t, paid, `{"id":"x","note":null,"lines":[{"parts":[{"price":1}]}]}`, "")
		check(t, paid, `{"note":1}`, "/: missing property 'id'; /note: got number")
		check(t, paid, `{"id":"x","lines":[{"parts":[{"price":0}]}]}`, "/lines/0/parts/0/price: exclusiveMinimum")
	})
	t.Run("3.0", func(t *testing.T) {
		t.Parallel()
		types := byName(t, document30)
		if len(types) != 4 {
			t.Errorf("%+v", types)
		}
		for _, name := range []string{"user.created", "order.placed", "my-webhook", "order.cancelled"} {
			if _, ok := types[name]; !ok {
				t.Errorf("no %s in %+v", name, types)
			}
		}
		check(t, types["user.created"], `{}`, "/: missing property 'name'")
		check(t, types["order.placed"], `{"total":0.5,"note":null,"state":null}`, "")
		check(t, types["order.placed"], `{"total":0}`, "/total: exclusiveMinimum")
	})
}

func TestFromOpenAPIRefuses(t *testing.T) {
	t.Parallel()
	const head = `{"openapi":"3.1.0","info":{"title":"t","version":"1"},`
	body := func(schema string) string {
		return head + `"webhooks":{"a":{"post":{"requestBody":{"content":{"application/json":{"schema":` + schema + `}}},"responses":{"200":{"description":"ok"}}}}}}`
	}
	var many strings.Builder
	for i := range MaxImported + 1 {
		fmt.Fprintf(&many, `,"w%d":{"post":{"responses":{"200":{"description":"ok"}}}}`, i)
	}
	for _, tc := range []struct{ name, text, want string }{
		{"empty", ``, ""},
		{"no document", `[1,2]`, "invalid OpenAPI spec"},
		{"text", `hello`, "invalid OpenAPI spec"},
		{"other version", `{"swagger":"2.0","info":{"title":"t","version":"1"},"paths":{}}`, "openapi must be 3.0 or 3.1"},
		{"no webhooks", head + `"paths":{"/orders":{"post":{"responses":{"200":{"description":"ok"}}}}}}`, "no webhooks found in OpenAPI spec"},
		{"too long", head + `"x":"` + strings.Repeat("x", MaxDocument) + `"}`, "the OpenAPI spec must not be longer than 1048576 bytes"},
		{"too many", head + `"webhooks":{` + many.String()[1:] + `}}`, "must not have more than 1000 webhooks"},
		{"much of the same", head + `"webhooks":{` + strings.ReplaceAll(many.String()[1:strings.Index(many.String(), `,"w200"`)], `{"post":{`,
			`{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Long"}}}},`) + `},"components":{"schemas":{"Long":{"description":"` + strings.Repeat("x", 60_000) + `"}}}}`,
			"the schemas of the OpenAPI spec must not be longer than 4194304 bytes together"},
		{"file", body(`{"$ref":"/etc/passwd"}`), "invalid OpenAPI spec"},
		{"URL", body(`{"$ref":"http://127.0.0.1:1/x.json"}`), "invalid OpenAPI spec"},
		{"missing component", body(`{"$ref":"#/components/schemas/X"}`), "invalid OpenAPI spec"},
		{"x-webhooks is a list", `{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{},"x-webhooks":[1]}`, "x-webhooks"},
		{"bad pattern", body(`{"type":"string","pattern":"("}`), "a: invalid JSON schema: /pattern"},
		{"unclosed YAML", "openapi: [", "invalid OpenAPI spec"},
		{"aliases", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n" +
			"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n", "invalid OpenAPI spec"},
	} {
		list, err := FromOpenAPI([]byte(tc.text))
		if convoy.KindOf(err) != convoy.Invalid || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %d types, %v, want %q", tc.name, len(list), err, tc.want)
		}
	}
}

func FuzzFromOpenAPI(f *testing.F) {
	f.Add([]byte(document31))
	f.Add([]byte(document30))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := FromOpenAPI(text)
		if err != nil && convoy.KindOf(err) != convoy.Invalid {
			t.Error(err)
		}
		for _, e := range list {
			if e.Schema == "" {
				continue
			}
			if _, err := Compile([]byte(e.Schema)); err != nil {
				t.Errorf("%s: %v", e.Name, err)
			}
		}
	})
}
