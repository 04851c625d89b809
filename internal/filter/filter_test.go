package filter

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"convoy"
)

// fataler is a test of package testing or rapid.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func compile(t fataler, body string) *Program {
	t.Helper()
	p, err := Compile(&convoy.Filter{Body: json.RawMessage(body)})
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return p
}

func matches(t testing.TB, filter, body string) bool {
	t.Helper()
	return compile(t, filter).Match(NewDocument([]byte(body), nil, "", ""))
}

func TestBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		filter, body string
		want         bool
	}{
		{`{}`, `{"a":1}`, true},
		{`null`, `1`, true},
		{``, ``, true},
		{`{"a":1}`, `{"a":1}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, ``, false},
		{`{"a":1}`, `{"a":1`, false}, // no JSON
		{`{"a":1}`, `5`, false},
		// Nested and dotted are one, in filters and payloads.
		{`{"a":{"b":1}}`, `{"a":{"b":1}}`, true},
		{`{"a.b":1}`, `{"a":{"b":1}}`, true},
		{`{"a":{"b":1}}`, `{"a.b":1}`, true},
		{`{"a.b.c":1}`, `{"a":{"b.c":1}}`, true},
		{`{"a.b.c":1}`, `{"a.b":{"c":1}}`, true},
		{`{"ab":1}`, `{"a":{"b":1}}`, false},
		{`{"a":1}`, `{"":1,"a":1}`, true},
		// Equality.
		{`{"a":{"$eq":"5"}}`, `{"a":5}`, true},
		{`{"a":{"$eq":5}}`, `{"a":"5"}`, true},
		{`{"a":"007"}`, `{"a":7}`, true},
		{`{"a":7}`, `{"a":"007"}`, true},
		{`{"a":{"$eq":"1e3"}}`, `{"a":1000}`, true},
		{`{"a":{"$eq":"007"}}`, `{"a":"7"}`, false}, // texts are texts
		{`{"a":{"$eq":true}}`, `{"a":"true"}`, false},
		{`{"a":true}`, `{"a":true}`, true},
		{`{"a":false}`, `{"a":true}`, false},
		{`{"a":{"$eq":" 5"}}`, `{"a":5}`, false},
		{`{"a":{"$eq":"0x5"}}`, `{"a":5}`, false},
		{`{"a":null}`, `{"a":null}`, false},
		{`{"a":{"$eq":null}}`, `{"a":null}`, true},
		{`{"a":{"$eq":null}}`, `{"a":0}`, false},
		{`{"a":{}}`, `{"a":{"b":1}}`, false},
		{`{"a":{}}`, `{"a":{}}`, true},
		{`{"a":{"$eq":{"b":[1,{"c":null}]}}}`, `{"a":{"b":[1.0,{"c":null}]}}`, true},
		{`{"a":{"$eq":{"b":1}}}`, `{"a":{"b":1,"c":2}}`, false},
		{`{"a":{"$eq":{"b":1,"c":1}}}`, `{"a":{"b":1,"b":1}}`, false},
		{`{"a":{"$eq":9007199254740993}}`, `{"a":9007199254740992}`, false},
		{`{"a":{"$neq":"x"}}`, `{"a":"y"}`, true},
		{`{"a":{"$neq":"x"}}`, `{"a":"x"}`, false},
		{`{"customer":{"tier":{"$neq":"free"}}}`, `{"customer":{"tier":"gold"}}`, true},
		// Arrays.
		{`{"tags":"x"}`, `{"tags":["x","y"]}`, true},
		{`{"tags":"z"}`, `{"tags":["x","y"]}`, false},
		{`{"tags":["x"]}`, `{"tags":["x"]}`, false},
		{`{"tags":{"$eq":["x"]}}`, `{"tags":["x"]}`, true},
		{`{"tags":{"$eq":["x"]}}`, `{"tags":["x","y"]}`, false},
		{`{"items.0.sku":"A"}`, `{"items":[{"sku":"A"},{"sku":"B"}]}`, true},
		{`{"items.1.sku":"A"}`, `{"items":[{"sku":"A"},{"sku":"B"}]}`, false},
		{`{"items.00.sku":"A"}`, `{"items":[{"sku":"A"}]}`, false},
		{`{"items.99999999999999999999.sku":"A"}`, `{"items":[{"sku":"A"}]}`, false},
		{`{"data.items.$.sku":{"$regex":"^A-"}}`, `{"data":{"items":[{"sku":"B-1"},{"sku":"A-1"}]}}`, true},
		{`{"data.items.$.sku":{"$regex":"^A-"}}`, `{"data":{"items":[{"sku":"B-1"}]}}`, false},
		{`{"a.$.b.$.c.$.d.$.e":1}`, `{"a":[{"b":[{"c":[{"d":[{"e":2},{"e":1}]}]}]}]}`, true},
		{`{"$.sku":"A"}`, `[{"sku":"B"},{"sku":"A"}]`, true},
		{`{"1.sku":"A"}`, `[{"sku":"B"},{"sku":"A"}]`, true},
		{`{"items":{"$":{"k":1}}}`, `{"items":[{"k":2},{"k":1}]}`, true},
		{`{"tags.$":{"$regex":"^x"}}`, `{"tags":["y","xx"]}`, true},
		// One element meets all that is asked of it.
		{`{"items.$.n":{"$gt":1,"$lt":3}}`, `{"items":[{"n":0},{"n":5}]}`, false},
		{`{"items.$.n":{"$gt":1,"$lt":3}}`, `{"items":[{"n":0},{"n":2}]}`, true},
		// Order.
		{`{"n":{"$gte":1,"$lt":5}}`, `{"n":3}`, true},
		{`{"n":{"$gte":1,"$lt":5}}`, `{"n":5}`, false},
		{`{"n":{"$gt":3}}`, `{"n":3}`, false},
		{`{"n":{"$lte":3}}`, `{"n":3.0}`, true},
		{`{"n":{"$gt":9007199254740992}}`, `{"n":9007199254740993}`, true},
		{`{"n":{"$lt":1e400}}`, `{"n":1e399}`, true},
		{`{"n":4e-324}`, `{"n":5e-324}`, false},
		// Another type is no match, whatever the operator.
		{`{"n":{"$gt":3}}`, `{"n":"5"}`, false},
		{`{"n":{"$lt":3}}`, `{"n":"1"}`, false},
		{`{"n":{"$lte":3}}`, `{"n":null}`, false},
		{`{"n":{"$gte":3}}`, `{"n":[5]}`, false},
		{`{"s":{"$regex":"5"}}`, `{"s":5}`, false},
		{`{"s":{"$regex":"a"}}`, `{"s":["a"]}`, false},
		{`{"s":{"$regex":"ell"}}`, `{"s":"hello"}`, true},
		{`{"s":{"$regex":"ELL"}}`, `{"s":"hello"}`, false},
		// Membership.
		{`{"a":{"$in":[5,"x"]}}`, `{"a":5}`, true},
		{`{"a":{"$in":[5]}}`, `{"a":"5"}`, false},
		{`{"a":{"$in":[5]}}`, `{"a":[5]}`, false},
		{`{"a":{"$nin":[5]}}`, `{"a":[5]}`, true},
		{`{"a":{"$nin":[5]}}`, `{"a":5}`, false},
		{`{"a":{"$in":[]}}`, `{"a":5}`, false},
		{`{"a":{"$in":"x"}}`, `{"a":["x"]}`, true},
		{`{"a":{"$in":"x"}}`, `{"a":"x"}`, false},
		{`{"a":{"$nin":"x"}}`, `{"a":["y"]}`, true},
		// Existence.
		{`{"a":{"$exist":true}}`, `{"a":null}`, true},
		{`{"a":{"$exist":true}}`, `{"a":{"b":1}}`, true},
		{`{"a":{"$exist":false}}`, `{"a":[]}`, false},
		{`{"a.b":{"$exist":false}}`, `{"a":{}}`, true},
		{`{"a.$.b":{"$exist":false}}`, `{"a":[{"c":1}]}`, true},
		// Missing fields.
		{`{"a":1,"b":2}`, `{"a":1}`, false},
		{`{"b":2}`, `{"a":1}`, false},
		{`{"b":{"$neq":2}}`, `{"a":1}`, false},
		{`{"b":{"$nin":[2]}}`, `{"a":1}`, false},
		{`{"b":{"$exist":false}}`, `{"a":1}`, true},
		{`{"a":1,"b":{"$exist":false}}`, `{"a":1}`, true},
		{`{"a":1,"b":{"$exist":true}}`, `{"a":1}`, false},
		{`{"b":{"$exist":false,"$eq":1}}`, `{"a":1}`, false},
		// Flattened, as filters are shown.
		{`{"amount.$gte":10}`, `{"amount":12}`, true},
		{`{"a.n.$or":[{"$lt":1},{"$gt":5}]}`, `{"a":{"n":6}}`, true},
		{`{"a":{"n.$lt":5}}`, `{"a":{"n":6}}`, false},
		// Alternatives.
		{`{"$or":[{"event":"paid"},{"$and":[{"amount":{"$gte":100}},{"currency":{"$in":["EUR","USD"]}}]}]}`, `{"amount":120,"currency":"EUR"}`, true},
		{`{"$or":[{"event":"paid"},{"$and":[{"amount":{"$gte":100}},{"currency":{"$in":["EUR","USD"]}}]}]}`, `{"amount":90,"currency":"EUR"}`, false},
		{`{"$or":[]}`, `{}`, false},
		{`{"$and":[]}`, `{}`, true},
		{`{"$or":[{}]}`, `{}`, true},
		{`{"n":{"$or":[{"$lt":1},{"$gt":5}]}}`, `{"n":6}`, true},
		{`{"n":{"$or":[{"$lt":1},{"$gt":5}]}}`, `{"n":3}`, false},
		{`{"$or":[{"b":{"$exist":true}},{"a":1}]}`, `{"a":1}`, true},
		// Payload keys that look like operators are keys.
		{`{"a":1}`, `{"$ref":1,"a":1}`, true},
		{`{"a":{"b":1}}`, `{"a":{"$gt":5,"b":1}}`, true},
		// The last of repeated keys is no better than the first.
		{`{"a":1}`, `{"a":2,"a":1}`, true},
		{`{"a":"\u00e9"}`, `{"a":"é"}`, true},
		{`{"é":1}`, `{"\u00e9":1}`, true},
	} {
		if got := matches(t, tt.filter, tt.body); got != tt.want {
			t.Errorf("%s on %s: %v", tt.filter, tt.body, got)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	headers := map[string][]string{"X-Event-Kind": {"paid"}, "x-amount": {"120"}, "X-Many": {"a", "b"}, "X.Dotted": {"d"}}
	document := func() *Document {
		return NewDocument([]byte(`{"a":1}`), headers, "tier=gold&tag=x&tag=y&n=5", "/ingest/abc/orders")
	}
	for _, tt := range []struct {
		filter convoy.Filter
		want   bool
	}{
		{convoy.Filter{Headers: json.RawMessage(`{"x-event-kind":"paid"}`)}, true},
		{convoy.Filter{Headers: json.RawMessage(`{"X-EVENT-KIND":{"$regex":"^p"}}`)}, true},
		{convoy.Filter{Headers: json.RawMessage(`{"X-Event-Kind":"Paid"}`)}, false},
		{convoy.Filter{Headers: json.RawMessage(`{"X-Amount":{"$gte":100}}`)}, true},
		{convoy.Filter{Headers: json.RawMessage(`{"X-Amount":{"$lt":100}}`)}, false},
		{convoy.Filter{Headers: json.RawMessage(`{"X-Many":"b"}`)}, true},
		{convoy.Filter{Headers: json.RawMessage(`{"X-Many":{"$regex":"^b$"}}`)}, true},
		{convoy.Filter{Headers: json.RawMessage(`{"x.dotted":"d"}`)}, true},
		{convoy.Filter{Headers: json.RawMessage(`{"X-None":{"$exist":false}}`)}, true},
		{convoy.Filter{Headers: json.RawMessage(`{"X-None":"x"}`)}, false},
		{convoy.Filter{Query: json.RawMessage(`{"tier":"gold","tag":"y"}`)}, true},
		{convoy.Filter{Query: json.RawMessage(`{"tag":{"$eq":["x","y"]}}`)}, true},
		{convoy.Filter{Query: json.RawMessage(`{"n":{"$gt":4}}`)}, true},
		{convoy.Filter{Query: json.RawMessage(`{"n":5}`)}, true},
		{convoy.Filter{Query: json.RawMessage(`{"Tier":"gold"}`)}, false},
		{convoy.Filter{Path: json.RawMessage(`{"path":{"$regex":"/orders$"}}`)}, true},
		{convoy.Filter{Body: json.RawMessage(`{"a":1}`), Headers: json.RawMessage(`{"x-event-kind":"paid"}`), Query: json.RawMessage(`{"tier":"gold"}`)}, true},
		{convoy.Filter{Body: json.RawMessage(`{"a":1}`), Headers: json.RawMessage(`{"x-event-kind":"sent"}`)}, false},
		{convoy.Filter{Body: json.RawMessage(`{}`), Headers: json.RawMessage(` {} `), Query: json.RawMessage(`null`)}, true},
	} {
		p, err := Compile(&tt.filter)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(document()); got != tt.want {
			t.Errorf("%s %s %s %s: %v", tt.filter.Body, tt.filter.Headers, tt.filter.Query, tt.filter.Path, got)
		}
	}
	p, err := Compile(&convoy.Filter{Query: json.RawMessage(`{"a":"1"}`)})
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]bool{"": false, "a=1": true, "a=%zz&a=1": true, ";a=1": false, "a": false} {
		if got := p.Match(NewDocument(nil, http.Header{}, query, "")); got != want {
			t.Errorf("query %q: %v", query, got)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40)
	for filter, want := range map[string]string{
		`{`:                                    "body: must be JSON: ",
		`{} {}`:                                "body: must be one JSON object",
		`[]`:                                   "body: must be a JSON object",
		`{"a":"` + "\xff" + `"}`:               "body: must be valid UTF-8",
		`{"a":{"$foo":1}}`:                     "body: a: unknown operator $foo, must be $eq, ",
		`{"$gt":1}`:                            "body: $gt must be below a field",
		`{"a":{"$gt":"1"}}`:                    "body: a: $gt must be a number",
		`{"a":{"$in":1}}`:                      "body: a: $in must be an array, or a string that an array must have",
		`{"a":{"$regex":"("}}`:                 "body: a: $regex must be a regular expression (RE2): ",
		`{"a":{"$regex":"(?:abcdefgh){900}"}}`: "body: a: $regex is too large: patterns must not compile to more than 4000 instructions in all",
		`{"a":{"$regex":"x{900}"},"$or":[{"b":{"$regex":"x{900}"}},{"b":{"$regex":"x{900}"}},{"b":{"$regex":"x{900}"}},{"b":{"$regex":"x{900}"}}]}`: "body: a: $regex is too large: ",
		`{"a":{"$regex":1}}`:     "body: a: $regex must be a string of at most 1024 bytes",
		`{"a":{"$exist":"yes"}}`: "body: a: $exist must be true or false",
		`{"$or":{}}`:             "body: $or must be an array of filters",
		`{"$and":[1]}`:           "body: $and must be an array of filters, each a JSON object",
		`{"":1}`:                 `body: "": names of fields must not be empty`,
		`{"a..b":1}`:             `body: "a..b": names of fields must not be empty`,
		deep:                     "body: fields must not be deeper than 32",
		`{"a":"` + strings.Repeat("x", maxBytes) + `"}`:                              "body: must not be longer than 65536 bytes",
		`{"$or":[` + strings.TrimSuffix(strings.Repeat(`{"a":1},`, 200), ",") + `]}`: "body: must not have more than 256 conditions",
	} {
		_, err := Compile(&convoy.Filter{Body: json.RawMessage(filter)})
		if err == nil || !strings.HasPrefix(err.Error(), want) || convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("%.60s: %v", filter, err)
		}
	}
	if _, err := Compile(&convoy.Filter{Query: json.RawMessage(`{"a":{"$x":1}}`)}); err == nil || !strings.HasPrefix(err.Error(), "query: a: unknown operator $x") {
		t.Errorf("another scope: %v", err)
	}
}

// What makes matching slow elsewhere costs one reading of the document here.
func TestHostileDocuments(t *testing.T) {
	t.Parallel()
	nested := strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat(`}`, 9000)
	arrays := strings.Repeat(`[`, 9000) + `1` + strings.Repeat(`]`, 9000)
	var wide strings.Builder
	wide.WriteString(`{"k200000":1,"items":[`)
	for i := range 200_000 {
		fmt.Fprintf(&wide, `{"subs":[{"n":%d}]},`, i)
	}
	wide.WriteString(`{"subs":[{"n":-1}]}]}`)
	for name, tt := range map[string]struct {
		filter, body string
		want         bool
	}{
		"huge numbers in keys": {`{"items.$.subs.$.n":-1}`, wide.String(), true},
		"deep objects":         {`{"` + strings.Repeat("a.", 31) + `a":{"$exist":true}}`, nested, true},
		"deep arrays":          {`{"` + strings.Repeat("$.", 31) + `x":1}`, arrays, false},
		"a long number":        {`{"n":{"$gt":1e1000000000}}`, `{"n":1e999999999999999999999}`, true},
		"many digits":          {`{"n":{"$lt":1}}`, `{"n":0.` + strings.Repeat("9", 1<<20) + `}`, true},
		"keys with $":          {`{"a":1}`, `{"$or":[1],"$ref":{"$gt":"x"},"a":1}`, true},
		"a regular expression": {`{"s":{"$regex":"^(a+)+$"}}`, `{"s":"` + strings.Repeat("a", 100_000) + `b"}`, false},
	} {
		d := NewDocument([]byte(tt.body), nil, "", "")
		if got := compile(t, tt.filter).Match(d); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
		if spent := maxWork - d.left; spent > 500*len(tt.body) {
			t.Errorf("%s: %d for %d bytes", name, spent, len(tt.body))
		}
		again(t, compile(t, tt.filter), d, tt.want)
	}
}

// again matches a document that has been matched once: what is remembered of it
// changes neither the answer nor what that costs.
func again(t fataler, p *Program, d *Document, want bool) {
	t.Helper()
	left := d.left
	for range 2 {
		if got := p.Match(d); got != want || d.left != left {
			t.Fatalf("%v with %d left, before %v with %d", got, d.left, want, left)
		}
	}
}

// What would take too long to ask does not match, whatever the answer were.
func TestMatchIsBounded(t *testing.T) {
	t.Parallel()
	numbers := "[" + strings.Repeat("5,", 100_000) + "5]"
	text := strings.Repeat("ab", 100_000)
	many := strings.TrimSuffix(strings.Repeat(`{"a.$":{"$lt":0}},`, 100), ",")
	nested := strings.Repeat(`{"a":`, 30) + `{"pad":"` + strings.Repeat("x", 1<<20) + `"}` + strings.Repeat(`}`, 30)
	for name, tt := range map[string]struct {
		filter, body string
		want         bool
	}{
		"conditions":                    {`{"$or":[` + many + `]}`, `{"a":` + numbers + `}`, false},
		"one of them":                   {`{"$or":[{"a.$":{"$lt":0}},{"a.$":5}]}`, `{"a":` + numbers + `}`, true},
		"no comfort in what is missing": {`{"$or":[` + many + `,{"z":{"$exist":false}}]}`, `{"a":` + numbers + `}`, false},
		"members":                       {`{"a.$":{"$in":[` + strings.Repeat("-1,", 20_000) + `-2]}}`, `{"a":` + numbers + `}`, false},
		"a large pattern":               {`{"a":{"$regex":"[ab]{900}x|b"}}`, `{"a":"` + text + `"}`, false},
		"a small pattern":               {`{"a":{"$regex":"b$"}}`, `{"a":"` + text + `"}`, true},
		"deep":                          {`{"` + strings.Repeat("a.", 30) + `pad":{"$exist":true}}`, nested, true},
	} {
		d := NewDocument([]byte(tt.body), nil, "", "")
		if got := compile(t, tt.filter).Match(d); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
		if d.left >= 0 { // else it says where the match ended
			again(t, compile(t, tt.filter), d, tt.want)
		} else if compile(t, tt.filter).Match(d) {
			t.Errorf("%s: another answer the second time", name)
		}
	}
	// What one match has spent is not missing in the next.
	d := NewDocument([]byte(`{"a":`+numbers+`}`), nil, "", "")
	if compile(t, `{"$or":[`+many+`]}`).Match(d) || !compile(t, `{"a.$":5}`).Match(d) {
		t.Error("a match is charged to the next")
	}
}

// Numbers compare as rationals do.
func TestCompareNumbers(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		if got, want := compareNumbers(a, b), x.Cmp(y); got != want {
			t.Fatalf("%s and %s: %d, want %d", a, b, got, want)
		}
		if compareNumbers(a, a) != 0 {
			t.Fatalf("%s differs from itself", a)
		}
	})
	for _, s := range []string{"5", "-5", "+5", "007", "1e3", "1.5E-7", "0.0"} {
		if !numeric(s) {
			t.Errorf("%q is no number", s)
		}
	}
	for _, s := range []string{"", "-", "+-5", "5.", ".5", "1e", "1e+", "0x1", " 1", "1 ", "1_0", "Inf", "NaN", "1.2.3", "1e5.0", "é"} {
		if numeric(s) {
			t.Errorf("%q is a number", s)
		}
	}
}

// FuzzMatch finds filters or documents that panic, and filters that are not the
// same the second time.
func FuzzMatch(f *testing.F) {
	f.Add(`{"a.$.b":{"$gt":1,"$regex":"x"}}`, `{"a":[{"b":2}]}`, "X: y", "a=1")
	f.Add(`{"$or":[{"a":{"$exist":false}},{"b":{"$in":[1,"x"]}}]}`, `[1,{"$ref":2}]`, "", ";")
	f.Add(`{"a":{"$eq":{"b":[null,1e400]}}}`, `{"a":{"b":[null,1e400]}}`, "", "%")
	f.Fuzz(func(t *testing.T, filter, body, header, query string) {
		row := &convoy.Filter{Body: json.RawMessage(filter), Headers: json.RawMessage(filter), Query: json.RawMessage(filter)}
		p, err := Compile(row)
		if err != nil {
			return
		}
		d := func() *Document {
			return NewDocument([]byte(body), map[string][]string{header: {header}}, query, body)
		}
		one := d()
		if first, second := p.Match(one), p.Match(d()); first != second {
			t.Error("two answers")
		} else if one.left >= 0 {
			again(t, p, one, first)
		}
	})
}

// BenchmarkMany matches an event of 1 KB with the filters of a thousand
// subscriptions, of which one takes it.
func BenchmarkMany(b *testing.B) {
	doc := []byte(`{"event":"invoice.paid","data":{"id":"inv_123","amount":1200,"customer":{"id":"c_9","group":777,"tier":"gold"},"pad":"` +
		strings.Repeat("x", 900) + `"}}`)
	for name, filter := range map[string]string{
		"one number":  `{"data.customer.group":%d}`,
		"one text":    `{"data.customer.id":"c_%d"}`,
		"conditions":  `{"data.customer.tier":{"$in":["gold","silver"]},"data.amount":{"$gte":1000},"data.customer.group":%d}`,
		"expressions": `{"event":{"$regex":"^invoice\\.%d"}}`,
		"apart":       `{"data.field_%d":{"$exist":true}}`,
	} {
		programs := make([]*Program, 1000)
		for i := range programs {
			programs[i] = compile(b, fmt.Sprintf(filter, i))
		}
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d := NewDocument(doc, nil, "", "")
				n := 0
				for _, p := range programs {
					if p.Match(d) {
						n++
					}
				}
				if n > 1 {
					b.Fatalf("%d matches", n)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	doc := []byte(`{"event":"invoice.paid","data":{"id":"inv_123","amount":1200,"currency":"EUR","customer":{"id":"c_9","tier":"gold"},` +
		`"items":[{"sku":"A-1","n":1},{"sku":"B-2","n":2}],"pad":"` + strings.Repeat("x", 800) + `"}}`)
	for name, filter := range map[string]string{
		"one":      `{"data.currency":"EUR"}`,
		"several":  `{"event":"invoice.paid","data":{"amount":{"$gte":1000,"$lt":5000},"customer":{"tier":{"$in":["gold","silver"]}}}}`,
		"wildcard": `{"data.items.$.sku":{"$regex":"^B-"}}`,
	} {
		p := compile(b, filter)
		b.Run(name+"/alone", func(b *testing.B) { // the document is read anew for each
			b.ReportAllocs()
			for b.Loop() {
				if !p.Match(NewDocument(doc, nil, "", "")) {
					b.Fatal("no match")
				}
			}
		})
		b.Run(name+"/shared", func(b *testing.B) {
			b.ReportAllocs()
			d := NewDocument(doc, nil, "", "")
			for b.Loop() {
				if !p.Match(d) {
					b.Fatal("no match")
				}
			}
		})
	}
}
