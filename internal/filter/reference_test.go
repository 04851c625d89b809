package filter

import (
	"bytes"
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// reference answers as docs/filters.md says, on decoded values and without regard
// to cost.
type reference struct{}

// values are those at a path below v.
func (r reference) values(v any, path []string) []any {
	if len(path) == 0 {
		return []any{v}
	}
	var found []any
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if n := strings.Count(name, ".") + 1; name != "" && n <= len(path) && name == strings.Join(path[:n], ".") {
				found = append(found, r.values(member, path[n:])...)
			}
		}
	case []any:
		for i, element := range v {
			if path[0] == "$" || path[0] == strconv.Itoa(i) {
				found = append(found, r.values(element, path[1:])...)
			}
		}
	}
	return found
}

// object is a filter about the field at path.
func (r reference) object(filter map[string]any, path []string, root any) bool {
	operators := make(map[string]any)
	for key, operand := range filter {
		switch {
		case key == "$and" || key == "$or":
			meets := func(f any) bool { return r.object(f.(map[string]any), path, root) }
			list := operand.([]any)
			if key == "$or" && !slices.ContainsFunc(list, meets) ||
				key == "$and" && slices.ContainsFunc(list, func(f any) bool { return !meets(f) }) {
				return false
			}
		case strings.HasPrefix(key, "$") && key != "$" && !strings.HasPrefix(key, "$."):
			operators[key] = operand
		default:
			if !r.field(operand, append(slices.Clone(path), strings.Split(key, ".")...), root) {
				return false
			}
		}
	}
	return len(operators) == 0 || r.meets(operators, path, root)
}

func (r reference) field(operand any, path []string, root any) bool {
	if object, ok := operand.(map[string]any); ok && len(object) > 0 {
		return r.object(object, path, root)
	}
	return r.meets(map[string]any{"is": operand}, path, root)
}

func (r reference) meets(operators map[string]any, path []string, root any) bool {
	values := r.values(root, path)
	if len(values) == 0 {
		return len(operators) == 1 && operators["$exist"] == false
	}
	return slices.ContainsFunc(values, func(v any) bool {
		for name, operand := range operators {
			if !r.holds(name, v, operand) {
				return false
			}
		}
		return true
	})
}

func (r reference) holds(name string, v, operand any) bool {
	array, isArray := v.([]any)
	_, isObject := v.(map[string]any)
	contains := func(x any) bool {
		return slices.ContainsFunc(array, func(e any) bool {
			switch e.(type) {
			case []any, map[string]any:
				return false
			}
			return r.equal(e, x)
		})
	}
	in := func() bool {
		if s, ok := operand.(string); ok {
			return contains(s)
		}
		return !isArray && !isObject && slices.ContainsFunc(operand.([]any), func(x any) bool { return r.same(v, x) })
	}
	switch name {
	case "is":
		if _, list := operand.([]any); list || operand == nil {
			return false
		}
		return isArray && contains(operand) || !isArray && r.equal(v, operand)
	case "$eq":
		return r.equal(v, operand)
	case "$neq":
		return !r.equal(v, operand)
	case "$in":
		return in()
	case "$nin":
		return !in()
	case "$exist":
		return operand == true
	case "$regex":
		s, ok := v.(string)
		return ok && regexp.MustCompile(operand.(string)).MatchString(s)
	}
	n, ok := v.(json.Number)
	if !ok {
		return false
	}
	c := rational(string(n)).Cmp(rational(string(operand.(json.Number))))
	return name == "$gt" && c > 0 || name == "$gte" && c >= 0 || name == "$lt" && c < 0 || name == "$lte" && c <= 0
}

// equal converts texts that are numbers.
func (r reference) equal(a, b any) bool {
	if _, ok := a.(string); ok {
		a, b = b, a
	}
	n, number := a.(json.Number)
	s, text := b.(string)
	if number && text {
		x := rational(s)
		return x != nil && x.Cmp(rational(string(n))) == 0
	}
	return r.same(a, b)
}

func (r reference) same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && rational(string(a)).Cmp(rational(string(b))) == 0
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, r.same)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, member := range a {
			if other, ok := b[name]; !ok || !r.same(member, other) {
				return false
			}
		}
		return true
	}
	return a == b
}

func rational(s string) *big.Rat {
	if !numeric(s) {
		return nil
	}
	x, _ := new(big.Rat).SetString(s)
	return x
}

// Names, texts and numbers are few, so that filters and documents meet.
var (
	anyName   = rapid.SampledFrom([]string{"a", "b", "a.b", "b.a", "0", "1", "$ref"})
	anyField  = rapid.SampledFrom([]string{"a", "b", "a.b", "a.b.a", "a.0", "a.1.b", "a.$", "a.$.b", "a.$.b.$.a", "$.a", "$", "b.$.$"})
	anyScalar = named(rapid.SampledFrom([]any{
		nil, true, false, "", "a", "ab", "5", "005", "1e1", "x5", json.Number("5"), json.Number("5.0"), json.Number("10"), json.Number("-0.5"),
		json.Number("9007199254740993"), json.Number("9007199254740992"), json.Number("0"), json.Number("0.0"),
	}))
)

// named has a generator make up its name, which it otherwise does when it is first
// part of another: the tests that share it would race.
func named[V any](g *rapid.Generator[V]) *rapid.Generator[V] {
	_ = g.String()
	return g
}

func drawValue(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case depth > 0 && kind < 2:
		object := make(map[string]any)
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			object[anyName.Draw(t, "name")] = drawValue(t, depth-1)
		}
		return object
	case depth > 0 && kind < 4:
		array := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			array = append(array, drawValue(t, depth-1))
		}
		return array
	}
	return anyScalar.Draw(t, "scalar")
}

func drawFilter(t *rapid.T, depth int, below bool) map[string]any {
	filter := make(map[string]any)
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		if depth > 0 && kind == 0 {
			list := []any{}
			for range rapid.IntRange(0, 3).Draw(t, "alternatives") {
				list = append(list, drawFilter(t, depth-1, below))
			}
			filter[rapid.SampledFrom([]string{"$or", "$and"}).Draw(t, "joined")] = list
			continue
		}
		if below && kind < 4 {
			name, operand := drawOperator(t)
			filter[name] = operand
			continue
		}
		field := anyField.Draw(t, "field")
		switch {
		case depth == 0 || kind < 6:
			filter[field] = anyScalar.Draw(t, "plain")
		case kind < 9:
			name, operand := drawOperator(t)
			filter[field] = map[string]any{name: operand}
		default:
			filter[field] = drawFilter(t, depth-1, true)
		}
	}
	return filter
}

func drawOperator(t *rapid.T) (name string, operand any) {
	name = rapid.SampledFrom([]string{"$eq", "$neq", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$regex", "$exist"}).Draw(t, "operator")
	switch name {
	case "$eq", "$neq":
		return name, drawValue(t, 2)
	case "$in", "$nin":
		if rapid.Bool().Draw(t, "contains") {
			return name, rapid.SampledFrom([]string{"a", "5"}).Draw(t, "text")
		}
		return name, rapid.SliceOfN(anyScalar, 0, 4).Draw(t, "list")
	case "$regex":
		return name, rapid.SampledFrom([]string{"^a", "5$", "", "b?"}).Draw(t, "pattern")
	case "$exist":
		return name, rapid.Bool().Draw(t, "exist")
	}
	return name, rapid.SampledFrom([]json.Number{"5", "5.00", "-1", "9007199254740993"}).Draw(t, "number")
}

// decoded is v as JSON is decoded.
func decoded(t *rapid.T, v any) (value any, text []byte) {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value, text
}

// A compiled filter answers as its reading does.
func TestMatchIsReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		filter, filterText := decoded(t, drawFilter(t, 3, false))
		doc, docText := decoded(t, drawValue(t, 4))
		p := compile(t, string(filterText))
		want := reference{}.object(filter.(map[string]any), nil, doc)
		d := NewDocument(docText, nil, "", "")
		if got := p.Match(d); got != want {
			t.Fatalf("%s on %s: %v, want %v", filterText, docText, got, want)
		}
		again(t, p, d, want)
	})
}

// So does a single condition on a value, where more of the draws meet.
func TestOperatorIsReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for range 100 {
			name, operand := drawOperator(t)
			filter, filterText := decoded(t, map[string]any{"a": map[string]any{name: operand}})
			if rapid.IntRange(0, 5).Draw(t, "plain") == 0 {
				filter, filterText = decoded(t, map[string]any{"a": anyScalar.Draw(t, "scalar")})
			}
			doc, docText := decoded(t, map[string]any{"a": drawValue(t, rapid.IntRange(0, 2).Draw(t, "depth"))})
			want := reference{}.object(filter.(map[string]any), nil, doc)
			if got := compile(t, string(filterText)).Match(NewDocument(docText, nil, "", "")); got != want {
				t.Fatalf("%s on %s: %v, want %v", filterText, docText, got, want)
			}
		}
	})
}
