package filter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"convoy"
)

// meets reports whether a document has a term of each need, as far as can be told.
func meets(d *Document, needs [][]Term) bool {
	return !slices.ContainsFunc(needs, func(need []Term) bool {
		return !slices.ContainsFunc(need, func(t Term) bool {
			values, ok := d.Values(t.Field)
			return !ok || slices.Contains(values, t.Value)
		})
	})
}

// What a program matches meets its needs, and asking for them changes neither the
// answer nor what it costs.
func TestNeedsAreMet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		programs := make([]*Program, rapid.IntRange(1, 3).Draw(t, "programs"))
		for i := range programs {
			_, text := decoded(t, drawFilter(t, 3, false))
			programs[i] = compile(t, string(text))
		}
		for range 10 {
			_, text := decoded(t, drawValue(t, 4))
			needsAreMet(t, func() *Document { return NewDocument(text, nil, "", "") }, programs...)
		}
	})
}

// needsAreMet asks each program by itself, and all together.
func needsAreMet(t fataler, document func() *Document, programs ...*Program) {
	t.Helper()
	matched := false
	for _, p := range programs {
		plain := document()
		want := p.Match(plain)
		matched = matched || want
		d := document()
		if needs := Needs(p); !meets(d, needs) && want {
			t.Fatalf("%s is matched without its needs, %v", d.body, needs)
		}
		if got := p.Match(d); plain.left >= 0 && (got != want || d.left != plain.left) {
			t.Fatalf("%v with %d left, without an index %v with %d", got, d.left, want, plain.left)
		}
	}
	if needs := Needs(programs...); matched && !meets(document(), needs) {
		t.Fatalf("matched without the needs of all, %v", needs)
	}
}

// So with one condition on one value, where more of the draws meet, in every scope.
func TestNeedOfOperator(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for range 100 {
			name, operand := drawOperator(t)
			condition := map[string]any{"a": map[string]any{name: operand}}
			if rapid.Bool().Draw(t, "plain") {
				condition["a"] = anyScalar.Draw(t, "scalar")
			}
			_, text := decoded(t, condition)
			_, body := decoded(t, map[string]any{"a": drawValue(t, rapid.IntRange(0, 2).Draw(t, "depth"))})
			texts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "5", "05", "1e1", "true", "null", ""}), 0, 3).Draw(t, "texts")
			var query []string
			for _, text := range texts {
				query = append(query, "a="+text)
			}
			for _, f := range []convoy.Filter{{Body: text}, {Headers: text}, {Query: text}} {
				p, err := Compile(&f)
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				needsAreMet(t, func() *Document {
					return NewDocument(body, map[string][]string{"A": texts}, strings.Join(query, "&"), "")
				}, p)
			}
		}
	})
}

// What is equal has the same Value.
func TestValuesOfEquals(t *testing.T) {
	t.Parallel()
	zeros, nines := strings.Repeat("0", 200), strings.Repeat("9", 200)
	for _, same := range [][]any{
		{json.Number("1"), json.Number("1.0"), json.Number("10e-1"), json.Number("0.1E1"), "1", "001", "+1.00", "1" + "." + zeros},
		{json.Number("10"), "10", "1e1", json.Number("1E+1")},
		{json.Number("0"), json.Number("-0"), "0.0", "00", "-0e9"},
		{json.Number("-1.5"), "-1.50", "-15e-1"},
		{json.Number("12"), "1.2e1"},
		{json.Number(nines), "0" + nines, nines + ".0"},
		{json.Number("1" + zeros), "1e200"},
		{json.Number("0.12"), "12e-2"},
		{"text"}, {"Text"}, {"1 "}, {""}, {true}, {false}, {"true"}, {nil}, {"null"},
		{json.Number("120")}, {json.Number("-12")}, {json.Number("1e1000000000000000000000")}, {json.Number("4e-324")}, {json.Number("5e-324")},
	} {
		first, ok := valueOf(same[0])
		if !ok {
			t.Errorf("%v is no scalar", same[0])
		}
		for _, other := range same {
			if v, _ := valueOf(other); v != first {
				t.Errorf("%v has %q, %v has %q", same[0], first, other, v)
			}
		}
	}
	seen := make(map[Value]any)
	for _, operand := range []any{json.Number("1"), json.Number("10"), json.Number("-1"), json.Number("0.1"), json.Number("0.01"), json.Number("0"), "s", "t", "f", "0e", true, false, nil, ""} {
		v, _ := valueOf(operand)
		if had, ok := seen[v]; ok {
			t.Errorf("%v and %v are both %q", had, operand, v)
		}
		seen[v] = operand
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string]string{
		`{"a":1}`: "[[a=+1]]",
		`{"a":{"b":"x"},"c":{"$in":["y",true,null,[1]]}}`:     "[[a.b=sx] [c=sy c=t c=0]]",
		`{"a":{"$in":[1,2]},"b":{"$eq":false,"$exist":true}}`: "[[b=f] [a=+1 a=+2]]",
		`{"a":{"$in":"x"}}`:  "[[a=sx]]",
		`{"a":{"$in":[]}}`:   "[[]]",
		`{"a":null}`:         "[[]]",
		`{"$or":[]}`:         "[[]]",
		`{"a":{"$eq":null}}`: "[[a=0]]",
		`{"$or":[{"a":1,"b":{"$in":[1,2]}},{"c":1},{"a":1.0}]}`:     "[[a=+1 c=+1]]",
		`{"$or":[{"a":1},{"b":{"$gt":1}}]}`:                         "[]",
		`{"$or":[{"a":1},{}]}`:                                      "[]",
		`{"$and":[{"a":1},{"b":{"$gt":1}}]}`:                        "[[a=+1]]",
		`{"a":{"$neq":1},"b":{"$nin":[1]},"c":{"$regex":"x"}}`:      "[]",
		`{"a":{"$exist":true},"b":{"$exist":false},"c":{"$lte":1}}`: "[]",
		`{"a":{"$eq":[1]},"b":{"$eq":{"c":1}},"c":{}}`:              "[]",
		`{"a.$.b":1,"$":1}`:                                         "[]",
		`{"a":{"$in":` + numbers(maxTerms+1) + `}}`:                 "[]",
		`{"a":{"$or":[{"$eq":1},{"$in":[2,"02"]}]}}`:                "[[a=+1 a=+2]]",
		``: "[]",
	} {
		if got := described(Needs(compile(t, filter))); got != want {
			t.Errorf("%s needs %s, want %s", filter, got, want)
		}
	}
	one, other, any := compile(t, `{"a":1,"b":{"$in":[1,2]}}`), compile(t, `{"b":2}`), compile(t, `{"b":{"$gt":2}}`)
	if got := described(Needs(one, other)); got != "[[a=+1 b=+2]]" {
		t.Errorf("two need %s", got)
	}
	if Needs(one, any) != nil || Needs() != nil {
		t.Error("there are needs of what has none")
	}
	many := make([]string, maxNeeds+3)
	for i := range many {
		many[i] = fmt.Sprintf(`"f%d":1`, i)
	}
	if n := len(Needs(compile(t, "{"+strings.Join(many, ",")+"}"))); n != maxNeeds {
		t.Errorf("%d needs", n)
	}
	p, err := Compile(&convoy.Filter{Headers: []byte(`{"X-Kind":"a"}`), Query: []byte(`{"q":"b"}`), Path: []byte(`{"path":"/c"}`)})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDocument(nil, map[string][]string{"x-KIND": {"z", "a"}}, "q=b", "/c")
	if needs := Needs(p); len(needs) != 3 || !meets(d, needs) || meets(NewDocument(nil, nil, "q=b", "/c"), needs) {
		t.Errorf("needs %v", needs)
	}
}

// numbers is an array of so many.
func numbers(n int) string {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return strings.ReplaceAll(fmt.Sprint(list), " ", ",")
}

func described(needs [][]Term) string {
	out := make([][]string, len(needs))
	for i, need := range needs {
		for _, t := range need {
			out[i] = append(out[i], t.Field.path+"="+string(t.Value))
		}
	}
	return fmt.Sprint(out)
}

// A field with too much in it is not told from any other.
func TestValuesAreBounded(t *testing.T) {
	t.Parallel()
	f := Field{inBody, "a"}
	for body, want := range map[string]int{
		`{"a":1}`: 1, `{"a":[1,"1",2]}`: 2, `{"a":{"b":1}}`: 0, `{}`: 0, `5`: 0, `{`: 0, `{"a":[[1],{}]}`: 0, `{"a":1,"a":2}`: 2,
		`{"a":[` + strings.Repeat("1,", maxValues-1) + `1]}`:             1,
		`{"a":[` + strings.Repeat("1,", maxValues) + `1]}`:               -1,
		`{` + strings.Repeat(`"a":1,`, maxReached) + `"a":1}`:            -1,
		`{"a":1,"pad":"` + strings.Repeat("x", maxPlaceWork) + `"}`:      -1,
		`{"a":1,"pad":"` + strings.Repeat("x", maxPlaceWork-2048) + `"}`: 1,
	} {
		d := NewDocument([]byte(body), nil, "", "")
		for range 2 {
			values, ok := d.Values(f)
			if ok != (want >= 0) || ok && len(values) != want {
				t.Errorf("%.40s: %v, %v", body, values, ok)
			}
		}
	}
}

// FuzzNeeds finds programs that match a document without what they need.
func FuzzNeeds(f *testing.F) {
	f.Add(`{"a":{"$in":[1,"x"]},"$or":[{"b":"1e3"},{"c.d":null}]}`, `{"a":"x","b":1000}`, "1", "b=1")
	f.Add(`{"a":[1],"b":{"$eq":-0.5}}`, `{"b":[-5e-1]}`, "", "a=1&a=2")
	f.Add(`{"a":{"$in":"5"}}`, `{"a":[5.0]}`, "5", "a=5")
	f.Fuzz(func(t *testing.T, filter, body, header, query string) {
		p, err := Compile(&convoy.Filter{Body: json.RawMessage(filter)})
		if err != nil {
			return
		}
		others := []*Program{p}
		for _, row := range []convoy.Filter{{Headers: json.RawMessage(filter)}, {Query: json.RawMessage(filter)}} {
			if p, err := Compile(&row); err == nil {
				others = append(others, p)
			}
		}
		needsAreMet(t, func() *Document {
			return NewDocument([]byte(body), map[string][]string{"a": {header, query}, "B": {header}}, query, body)
		}, others...)
	})
}
