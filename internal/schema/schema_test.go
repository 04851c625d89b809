package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"convoy"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const invoice = `{"type":"object","required":["amount"],"properties":{"amount":{"type":"integer","minimum":1},"lines":{"type":"array","items":{"$ref":"#/definitions/line"}}},
		"definitions":{"line":{"type":"object","properties":{"sku":{"type":"string","pattern":"^[A-Z]+$"},"parts":{"items":{"$ref":"#/definitions/line"}}}}}}`
	for _, tc := range []struct{ name, schema, data, want string }{
		{"right", invoice, `{"amount":3,"lines":[{"sku":"A","parts":[{"sku":"B"}]}],"more":1.0}`, ""},
		{"missing", invoice, `{}`, "/: missing property 'amount'"},
		{"type", invoice, `{"amount":"3"}`, "/amount: got string, want integer"},
		{"scalar", invoice, `7`, "/: got number, want object"},
		{"nested", invoice, `{"amount":3,"lines":[{},{"parts":[{"sku":"b/~"}]}]}`, "/lines/1/parts/0/sku: 'b/~' does not match pattern '^[A-Z]+$'"},
		{"several", invoice, `{"amount":0,"lines":[1,2,3,4]}`, "/amount: minimum: got 0, want 1; /lines/0: got number, want object; /lines/1: got number, want object; and 2 more"},
		{"empty schema", `{}`, `null`, ""},
		{"escaped place", `{"properties":{"a/b~c":false}}`, `{"a/b~c":1}`, "/a~1b~0c: false schema"},
		{"big integer", `{"type":"integer","maximum":9007199254740993}`, `9007199254740993`, ""},
		{"big integer, one more", `{"type":"integer","maximum":9007199254740993}`, `9007199254740994`, "/: maximum: got "},
		{"draft-07 by default", `{"const":1,"if":true,"then":false}`, `1`, "/: false schema"},
		{"newer by $schema", `{"$schema":"https://json-schema.org/draft/2020-12/schema","prefixItems":[{"type":"string"}]}`, `[1]`, "/0: got number, want string"},
		{"older is not newer", `{"prefixItems":[{"type":"string"}]}`, `[1]`, ""},
		{"format", `{"format":"date"}`, `"yesterday"`, "/: 'yesterday' is not valid date"},
		{"no JSON", `{}`, `{`, "the data is no JSON"},
		{"two values", `{}`, `1 2`, "the data is no JSON"},
		{"line breaks", `{"enum":["a"]}`, "\"a\\u0000\\n\"", "/: value must be 'a'"},
	} {
		s, err := Compile([]byte(tc.schema))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for range 2 { // the second time with the machine of the first
			// Numbers are written in words of the library's.
			if got := s.Check([]byte(tc.data)); !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
			}
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ schema, want string }{
		{``, "EOF"},
		{`[]`, "it must be an object"},
		{`true`, "it must be an object"},
		{`{"type":"objekt"}`, "/type: value must be one of"},
		{`{"properties":[]}`, "/properties: got array, want object"},
		{`{"pattern":"("}`, "/pattern: "},
		{`{"$ref":"#/definitions/nothing"}`, "/definitions/nothing"},
		{`{"$ref":"https://example.com/other.json"}`, "references to other documents are not supported"},
		{`{"$ref":"file:///etc/passwd"}`, "references to other documents are not supported"},
		{`{"$ref":"other.json"}`, "references to other documents are not supported"},
		{`{"$schema":"https://example.com/my-own"}`, "references to other documents are not supported"},
		{`{"minimum":1e999999}`, "/minimum: a number is out of range"},
		{`{"x":"` + strings.Repeat("x", MaxSize) + `"}`, "it must not be longer than 65536 bytes"},
	} {
		_, err := Compile([]byte(tc.schema))
		if convoy.KindOf(err) != convoy.Invalid || !strings.HasPrefix(err.Error(), "invalid JSON schema: ") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.60s: %v, want %q", tc.schema, err, tc.want)
		} else if strings.Contains(err.Error(), "file://") {
			t.Errorf("%.60s: %v names a file of ours", tc.schema, err)
		}
	}
}

// TestCostly is about checks that would take for ever.
func TestCostly(t *testing.T) {
	t.Parallel()
	var doubling strings.Builder
	doubling.WriteString(`{"allOf":[{"$ref":"#/definitions/d0"}],"definitions":{`)
	for i := range 64 {
		fmt.Fprintf(&doubling, `"d%d":{"allOf":[{"$ref":"#/definitions/d%d"},{"$ref":"#/definitions/d%[2]d"}]},`, i, i+1)
	}
	doubling.WriteString(`"d64":{}}}`)
	const deep = `{"allOf":[{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}}]}`
	numbers := `[` + strings.Repeat(`1e999999,`, 1000) + `0]`
	for _, tc := range []struct{ name, schema, data, want string }{
		{"doubling", doubling.String(), `1`, "the data takes too long to check against the schema"},
		{"doubling by depth", deep, strings.Repeat(`{"a":`, 60) + `1` + strings.Repeat(`}`, 60), "the data takes too long to check against the schema"},
		{"deep data", `{"properties":{"a":{"$ref":"#"}}}`, strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat(`}`, 9000), ""},
		{"huge numbers", `{"items":{"multipleOf":3}}`, numbers, "/0: the number is out of range"},
		{"tiny numbers", `{"items":{"multipleOf":3}}`, `[1,1e-999999]`, "/1: the number is out of range"},
		{"long numbers", `{"properties":{"a":{"multipleOf":3}}}`, `{"a":` + strings.Repeat("1", 1000) + `}`, "/a: the number is out of range"},
		{"zeros", `{}`, `[0,0.0,-0,0e999999]`, ""},
		{"long array", `{"uniqueItems":true}`, `[` + strings.Repeat(`"x",`, 100_000) + `1]`, "/: items at 0 and 1 are equal"},
	} {
		s, err := Compile([]byte(tc.schema))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := s.Check([]byte(tc.data)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if s, err := Compile([]byte(`{"$ref":"#"}`)); err == nil { // refers to itself for ever
		if got := s.Check([]byte(`1`)); got == "" {
			t.Error("a schema that is only itself accepts")
		}
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	s, err := Compile([]byte(`{"type":"object"}`))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if got := s.Check([]byte(`{}`)) + s.Check([]byte(`1`)); got != "/: got number, want object" {
					t.Errorf("%q", got)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"enum":[1,"x"]}}}`), []byte(`{"a":2}`))
	f.Add([]byte(`{"$ref":"#/definitions/a","definitions":{"a":{"items":{"$ref":"#"}}}}`), []byte(`[[[1e5]]]`))
	f.Add([]byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","unevaluatedProperties":false,"anyOf":[{"properties":{"a":true}}]}`), []byte(`{"a":1,"b":2}`))
	f.Fuzz(func(t *testing.T, schema, data []byte) {
		s, err := Compile(schema)
		if err != nil {
			if convoy.KindOf(err) != convoy.Invalid || !utf8.ValidString(err.Error()) {
				t.Errorf("%q: %v", schema, err)
			}
			return
		}
		got := s.Check(data)
		if len(got) > maxMessage+10 || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\n") {
			t.Errorf("%q", got)
		}
		if !json.Valid(data) && got == "" {
			t.Errorf("%q is accepted", data)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	s, err := Compile([]byte(`{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"amount":{"type":"integer"},"lines":{"items":{"type":"object"}}}}`))
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(`{"id":"x","amount":1200,"lines":[{"sku":"A-1","q":1},{"sku":"A-2","q":2}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if got := s.Check(data); got != "" {
			b.Fatal(got)
		}
	}
}
