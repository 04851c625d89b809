package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	// tooDeep is beyond what encoding/json takes.
	tooDeep = 20_000
	// megabyte still fits in a body, so that the field's own limit is what counts.
	megabyte = 1_000_000
)

// badCase is one request made from a valid one.
type badCase struct {
	op *operationCall
	// field is what was changed, as clients call it; what says how.
	field, what string
	target      string
	body        string
	contentType string
	// chunked sends no Content-Length.
	chunked bool
	// refused wants a 4xx; named also that its message has the field's name.
	refused, named bool
	// status, if any, is the only right answer.
	status int
}

// badValue is what is put in the place of a valid value: JSON text.
type badValue struct {
	what, raw      string
	refused, named bool
}

// mark stands for the changed value until the body has been encoded.
const mark = "@@here@@"

// with replaces a value in a JSON text; false when the text has no such value.
// remove takes the member away.
func with(text string, path []string, raw string, remove bool) (string, bool) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var root any
	if dec.Decode(&root) != nil {
		return "", false
	}
	var change func(v any, path []string) (any, bool)
	change = func(v any, path []string) (any, bool) {
		if len(path) == 0 {
			return mark, true
		}
		switch v := v.(type) {
		case map[string]any:
			key := path[0]
			if key == "*" {
				for key = range v {
					break
				}
			}
			old, ok := v[key]
			if !ok {
				return nil, false
			}
			if len(path) == 1 && remove {
				delete(v, key)
				return v, true
			}
			changed, ok := change(old, path[1:])
			v[key] = changed
			return v, ok
		case []any:
			if path[0] != "0" || len(v) == 0 {
				return nil, false
			}
			if len(path) == 1 && remove {
				return v[1:], true
			}
			changed, ok := change(v[0], path[1:])
			v[0] = changed
			return v, ok
		}
		return nil, false
	}
	root, ok := change(root, path)
	if !ok {
		return "", false
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(root) != nil {
		return "", false
	}
	return strings.Replace(b.String(), `"`+mark+`"`, raw, 1), true
}

// at reads the value of a path as JSON text.
func at(text string, path []string) string {
	var v json.RawMessage = []byte(text)
	for _, key := range path {
		var object map[string]json.RawMessage
		var list []json.RawMessage
		switch {
		case json.Unmarshal(v, &object) == nil:
			v = object[key]
		case json.Unmarshal(v, &list) == nil && len(list) > 0:
			v = list[0]
		}
	}
	return string(v)
}

// badValues are what a field of a schema is given.
func badValues(f *bodyField, valid string) []badValue {
	types := f.schema.types()
	has := func(t string) bool { return slices.Contains(types, t) }
	all := []badValue{
		{"null", "null", false, false},
		{"arrays too deep", strings.Repeat("[", tooDeep) + strings.Repeat("]", tooDeep), true, false},
		{"objects too deep", strings.Repeat(`{"a":`, tooDeep) + "1" + strings.Repeat("}", tooDeep), true, false},
	}
	text := func(what, raw string) { all = append(all, badValue{what, raw, true, true}) }
	if len(types) > 0 {
		for _, wrong := range []struct{ typ, raw string }{
			{"string", `"text"`}, {"integer", "12"}, {"boolean", "true"}, {"array", "[]"}, {"object", "{}"},
		} {
			if !has(wrong.typ) && !(wrong.typ == "integer" && has("number")) {
				text("the type "+wrong.typ, wrong.raw)
			}
		}
	}
	if len(types) == 0 || has("string") {
		must := has("string")
		for _, bad := range []struct{ what, raw string }{
			{"NUL", `"a\u0000b"`}, {"invalid UTF-8", "\"a\xffb\""}, {"a megabyte", `"` + strings.Repeat("a", megabyte) + `"`},
			{"an overlong NUL", "\"a\xc0\x80b\""},
		} {
			all = append(all, badValue{bad.what, bad.raw, must, must})
		}
		all = append(all, badValue{"half a surrogate pair", `"\ud800"`, false, false}, badValue{"empty", `""`, false, false},
			badValue{"control characters", `"\u0001\r\n\u007f"`, false, false}, badValue{"an unknown id", `"01K1ZZZZZZZZZZZZZZZZZZZZZZ"`, false, false})
		if f.schema.MaxLength > 0 {
			text("too long", `"`+strings.Repeat("é", f.schema.MaxLength+1)+`"`)
		}
		if len(f.schema.Enum) > 0 || f.schema.Format == "date-time" {
			text("no such value", `"no-such-value"`)
		}
	}
	if has("integer") {
		text("a fraction", "1.5")
		text("beyond 64 bits", "18446744073709551616")
		text("far beyond", "1e400")
		text("out of range", "9000000000000000000")
		all = append(all, badValue{"negative", "-1", f.schema.Minimum != nil && *f.schema.Minimum >= 0, true})
		if f.schema.Maximum != nil {
			text("above the maximum", strconv.FormatFloat(*f.schema.Maximum+1, 'f', 0, 64))
		}
	}
	if has("array") {
		if element := at(valid, append(slices.Clone(f.path), "0")); element != "" && element != "null" {
			text("too many", "["+strings.Repeat(element+",", 1000)+element+"]")
		}
		all = append(all, badValue{"null elements", "[null]", false, false})
	}
	if len(types) == 0 || has("object") {
		all = append(all, badValue{"an object with NUL", `{"a\u0000":"\u0000"}`, false, false},
			badValue{"an object with invalid UTF-8", "{\"a\xff\":\"\xff\"}", false, false},
			badValue{"an object with unknown keys", `{"$no":1,"":[],"a.b":{"$in":1}}`, false, false})
	}
	return all
}

// bodyCases spoil every field of an operation's body, and the body itself.
func bodyCases(t *testing.T, d *apiDocument, op *operationCall, target string) []badCase {
	t.Helper()
	body := op.doc.RequestBody
	if body == nil {
		var all []badCase
		for what, text := range map[string]string{"text": `"{}"`, "null": "null", "cut": `{"a":`, "deep": strings.Repeat("[", tooDeep)} {
			all = append(all, badCase{op: op, field: "body", what: "a body of " + what, target: target, body: text})
		}
		return all
	}
	content, ok := body.Content[jsonType[0]]
	if !ok || len(op.bodies) == 0 {
		t.Errorf("%s: no JSON body, or no sample of it", op.id)
		return nil
	}
	for _, text := range op.bodies {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("sample of %s: %v in %s", op.id, err, text)
		}
		if key := d.undescribed(content.Schema, v); key != "" {
			t.Errorf("the document does not describe the field %s of %s", key, op.id)
		}
	}
	all := wholeBodyCases(op, target)
	for _, f := range d.fields(content.Schema, nil, "") {
		var valid string
		for _, text := range op.bodies {
			if _, ok := with(text, f.path, "0", false); ok {
				valid = text
				break
			}
		}
		if valid == "" {
			t.Errorf("no sample of %s has the field %s", op.id, &f)
			continue
		}
		add := func(v badValue, remove bool) {
			text, _ := with(valid, f.path, v.raw, remove)
			all = append(all, badCase{
				op: op, field: f.name, what: f.String() + ": " + v.what, target: target, body: text, refused: v.refused, named: v.named,
			})
		}
		add(badValue{what: "absent", refused: f.required}, true)
		for _, v := range badValues(&f, valid) {
			add(v, false)
		}
	}
	return all
}

// wholeBodyCases spoil a body as a whole.
func wholeBodyCases(op *operationCall, target string) []badCase {
	valid := op.firstBody()
	wrong := `[]`
	if strings.HasPrefix(valid, "[") {
		wrong = `{}`
	}
	limit := DefaultMaxBody
	switch op.id {
	case "CreateBatchEvents":
		limit = int(maxBatchBody(DefaultMaxBody))
	case "BulkOnboard":
		limit = maxOnboardBody
	}
	huge := valid + strings.Repeat(" ", limit)
	of := func(what, body string, refused bool) badCase {
		return badCase{op: op, field: "body", what: what, target: target, body: body, refused: refused}
	}
	all := []badCase{
		of("empty", "", true), of("null", "null", false), of("the other container", wrong, true), of("a string", `"{}"`, true),
		of("a number", `12`, true), of("cut", valid[:len(valid)/2], true), of("not JSON", "hello=world", true), of("two values", valid+valid, true),
		of("NUL bytes", "\x00\x00", true), of("a byte order mark", "\xef\xbb\xbf"+valid, true),
		of("deep", strings.Repeat("[", tooDeep), true), of("deeper", strings.Repeat(`{"a":`, 100_000), true),
		{op: op, field: "body", what: "text/plain", target: target, body: valid, contentType: "text/plain", status: 415},
		{op: op, field: "body", what: "a strange type", target: target, body: valid, contentType: "application/xml;\x80", status: 415},
		{op: op, field: "body", what: "too large", target: target, body: huge, status: 413},
		{op: op, field: "body", what: "too large in chunks", target: target, body: huge, chunked: true, status: 413},
	}
	return all
}

// parameterCases spoil every path and query parameter.
func parameterCases(op *operationCall, w *world, foreign map[string]string) []badCase {
	var all []badCase
	own := op.target(w, nil, op.query)
	query, _ := url.ParseQuery(op.query)
	for _, p := range op.doc.Parameters {
		switch p.In {
		case "path":
			values := map[string]string{
				"unknown": "01K1ZZZZZZZZZZZZZZZZZZZZZZ", "NUL": "a%00b", "invalid UTF-8": "%ff%fe", "too long": strings.Repeat("A", 300),
				"very long": strings.Repeat("A", 64<<10), "dots": "%2e%2e", "slashes": "a%2Fb%2F..", "quotes": "'%22%3B--", "wide": "%E4%BD%A0",
				"a word": "null", "a ULID out of range": "Z1K1ZZZZZZZZZZZZZZZZZZZZZZ", "spaces": "%20", "foreign": foreign[p.Name],
			}
			for _, what := range slices.Sorted(maps.Keys(values)) {
				if value := values[what]; value != "" {
					all = append(all, badCase{
						op: op, field: p.Name, what: p.Name + ": " + what, body: op.firstBody(), refused: true,
						target: op.target(w, map[string]string{p.Name: value}, op.query),
					})
				}
			}
		case "query":
			all = append(all, queryCases(op, w, p, query)...)
		}
	}
	for what, q := range map[string]string{"bad escapes": "perPage=%zz&%", "semicolons": "a;b=c;", "a strange key": "%00%ff=1", "many keys": strings.Repeat("a=1&", 5000)} {
		target, _, _ := strings.Cut(own, "?")
		all = append(all, badCase{op: op, field: "query", what: "query: " + what, target: target + "?" + q, body: op.firstBody()})
	}
	return all
}

func queryCases(op *operationCall, w *world, p documentedParameter, valid url.Values) []badCase {
	type value struct {
		what, raw      string
		refused, named bool
	}
	list := slices.Contains(p.Schema.types(), "array")
	values := []value{
		{"empty", "", false, false}, {"a word", "null", false, false}, {"negative", "-1", p.Schema.Minimum != nil, true},
		{"a fraction", "1.5", false, false}, {"an unknown id", "01K1ZZZZZZZZZZZZZZZZZZZZZZ", false, false},
		{"NUL", "a%00b", true, true}, {"invalid UTF-8", "%ff", true, true}, {"too long", strings.Repeat("a", maxFilter+1), true, true},
		{"very long", strings.Repeat("a", 64<<10), true, true}, {"wildcards", "%25_%5C%27%22", false, false},
		{"a number", "99999999999999999999", p.Schema.Maximum != nil, true},
	}
	if p.Schema.Minimum != nil {
		values = append(values, value{"zero", "0", true, true}, value{"above the maximum", strconv.FormatFloat(*p.Schema.Maximum+1, 'f', 0, 64), true, true})
	}
	for _, v := range p.Schema.Enum {
		values = append(values, value{fmt.Sprint("the value ", v), fmt.Sprint(v), false, false})
	}
	if len(p.Schema.Enum) > 0 {
		values = append(values, value{"no such value", "no-such-value", true, true})
	}
	if strings.HasSuffix(p.Name, "Date") {
		values = append(values, value{"no date", "yesterday", true, true}, value{"an impossible date", "2026-13-45T00:00:00", true, true},
			value{"a fraction of a second", "2026-07-30T00:00:00.5", true, true}, value{"year 9999", "9999-12-31T23:59:59", false, false})
	}
	var all []badCase
	add := func(what, query string, refused, named bool) {
		target, _, _ := strings.Cut(op.target(w, nil, ""), "?")
		all = append(all, badCase{op: op, field: p.Name, what: p.Name + ": " + what, target: target + "?" + query, body: op.firstBody(), refused: refused, named: named})
	}
	rest := maps.Clone(valid)
	delete(rest, p.Name)
	for _, v := range values {
		add(v.what, rest.Encode()+"&"+p.Name+"="+v.raw, v.refused, v.named)
	}
	add("absent", rest.Encode(), false, false)
	add("many times", rest.Encode()+strings.Repeat("&"+p.Name+"=a", maxFilterValues+1), list, list)
	return all
}
