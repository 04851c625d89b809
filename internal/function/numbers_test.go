package function

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"convoy"
)

func TestNumbersKeepTheirText(t *testing.T) {
	t.Parallel()
	c := New(Config{})
	const same = `function transform(p) { return p }`
	for _, tc := range []struct{ name, source, payload, want string }{
		{"big integer", same, `{"id":12345678901234567890}`, `{"id":12345678901234567890}`},
		{"forms", same, `[1.0,1e3,-0,0.10,1E+2,1e400,-1e999,123456789.123456789012,1e-7,1e-400]`, `[1.0,1e3,-0,0.10,1E+2,1e400,-1e999,123456789.123456789012,1e-7,1e-400]`},
		{"nested", same, `{"a":[{"b":9007199254740993},[9007199254740992.0]],"c":{"d":2.50}}`, `{"a":[{"b":9007199254740993},[9007199254740992.0]],"c":{"d":2.50}}`},
		{"scalar", same, `1.0`, `1.0`},
		{"changed", `function transform(p) { p.a += 1; return p }`, `{"a":1.0,"b":2.0}`, `{"a":2,"b":2.0}`},
		{"changed big", `function transform(p) { p.a += 4096; return p }`, `{"a":9007199254740993}`, `{"a":9007199254745088}`},
		{"key order", `function transform(p) { return {b: p.b, a: p.a} }`, `{"a":1.0,"b":9007199254740993}`, `{"b":9007199254740993,"a":1.0}`},
		{"moved", `function transform(p) { return {data: {x: [p.id, p.id]}} }`, `{"id":9007199254740993}`, `{"data":{"x":[9007199254740993,9007199254740993]}}`},
		{"moved, not precise", `function transform(p) { return {data: p.n} }`, `{"n":1.0}`, `{"data":1}`},
		{"moved, ambiguous", `function transform(p) { return {c: p.a} }`, `{"a":9007199254740993,"b":9007199254740992}`, `{"c":9007199254740992}`},
		{"moved, twice the same", `function transform(p) { return {c: p.a} }`, `{"a":9007199254740993,"b":9007199254740993}`, `{"c":9007199254740993}`},
		{"null stays", `function transform(p) { return {a: null, b: p.b} }`, `{"a":1e3,"b":1e400}`, `{"a":null,"b":1e400}`},
		{"shifted", `function transform(p) { p.shift(); return p }`, `[1.0,2.0,3.0]`, `[2,3]`},
		{"escaped keys", same, `{"\u0061\"":1.0}`, `{"a\"":1.0}`},
		{"numbers in texts", same, `{"a":"1.0 [1.0, \"1.0","b":1.0}`, `{"a":"1.0 [1.0, \"1.0","b":1.0}`},
		{"strings in arrays", same, `["a",1.0,{"k":"v","l":[]},"b",2.0]`, `["a",1.0,{"k":"v","l":[]},"b",2.0]`},
	} {
		got, err := c.Transform(t.Context(), tc.source, []byte(tc.payload))
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v, want %s", tc.name, got, err, tc.want)
		}
	}
}

// FuzzUnchanged gives any JSON to a function that returns it: what comes back
// must say the same, with numbers compared exactly.
func FuzzUnchanged(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.50,{"b":null,"__proto__":1e400}],"c":"\ud800\"\\"}`, `[[],{},"",0,-0,1e-7,123456789012345678901234567890]`,
		` { "k" : true , "k" : false } `, `"x"`, `{"1":1.0,"0":[9007199254740993]}`, `{"":{"":[[1.0]]}}`,
	} {
		f.Add([]byte(seed))
	}
	p, err := Compile(`function transform(p) { return p }`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := p.Run(t.Context(), payload, time.Time{})
		if err != nil {
			if json.Valid(payload) && utf8.Valid(payload) && !deeper(payload, maxDepth) {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if !sameJSON(t, payload, r.Payload) {
			t.Errorf("%s became %s", payload, r.Payload)
		}
	})
}

// FuzzSource compiles and runs any text; in a process: nothing may
// end without an answer.
func FuzzSource(f *testing.F) {
	c := sandboxed(f)
	for _, seed := range []string{
		`function transform(p) { return p }`, `transform = async p => { throw {toString: 1} }`, `class A { #x; static { this.y = 1 } } const transform = () => new A`,
		`function* g() { yield* g() } function transform() { return [...g()] }`, `label: for (;;) { break label } transform = /(?<a>.)\k<a>/`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		out, err := c.Transform(t.Context(), source, []byte(`{"a":[1.0,"x"]}`))
		if err == nil && !json.Valid(out) {
			t.Errorf("%q returned %q", source, out)
		}
		if err != nil && convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("%q: %v", source, err)
		}
	})
}

// sameJSON compares values, not texts: numbers as fractions of any size.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	read := func(text []byte) any {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return v
	}
	return sameValue(read(a), read(b))
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if !sameValue(a[k], b[k]) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a.String(), b.String())
	default:
		return a == b
	}
}

func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	if len(a)+len(b) > 100 || strings.ContainsAny(a+b, "eE") && (math.Abs(number([]byte(a))) > 1e300 || math.Abs(number([]byte(a))) < 1e-300) {
		return false // fractions of such size take long; texts must be the same
	}
	x, ok := new(big.Rat).SetString(a)
	y, also := new(big.Rat).SetString(b)
	return ok && also && x.Cmp(y) == 0
}

func benchmarkPayload() []byte {
	var b bytes.Buffer
	b.WriteString(`{"id":"evt_123","type":"invoice.paid","amount":1200,"lines":[`)
	for i := range 12 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"sku":"A-1234567890","quantity":3,"price":19.99,"note":"of some length"}`)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func BenchmarkTransform(b *testing.B) {
	for _, bc := range []struct {
		name  string
		cache func() *Cache
	}{
		{"in-process", func() *Cache { return New(Config{}) }},
		{"process", func() *Cache { return sandboxed(b) }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			c, payload := bc.cache(), benchmarkPayload()
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				if _, err := c.Transform(b.Context(), `function transform(p) { p.seen = true; return p }`, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
