package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A form is JSON that says what other JSON must look like. In the place of a
// value it has
//
//   - an object: the same members and no others. The name of one that may be
//     absent ends in "?"; when it is there, it is not empty. The member "..."
//     allows others.
//   - an array: a list whose members, at least one, all have the form of its only
//     member; or any number of them where "?" comes before it.
//   - a text: the name of a kind of value (see kinds) or, after "@", of a form in
//     contractForms; or several with "|" between them. After "=" it is the value.
//   - anything else: that value, as are {} and [].
type form any

var aULID = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// kinds are the kinds of values that have a name in forms.
var kinds = map[string]func(v any) bool{
	"any":  func(any) bool { return true },
	"null": func(v any) bool { return v == nil },
	"bool": func(v any) bool { _, ok := v.(bool); return ok },
	"int": func(v any) bool {
		n, ok := v.(json.Number)
		return ok && !strings.ContainsAny(n.String(), ".eE")
	},
	"number": func(v any) bool { _, ok := v.(json.Number); return ok },
	"string": func(v any) bool { _, ok := v.(string); return ok },
	"text":   func(v any) bool { s, ok := v.(string); return ok && s != "" },
	"id":     func(v any) bool { s, ok := v.(string); return ok && aULID.MatchString(s) },
	"time": func(v any) bool {
		s, ok := v.(string)
		at, err := time.Parse(time.RFC3339Nano, s)
		return ok && err == nil && time.Since(at).Abs() < 24*time.Hour
	},
	// Times that are never null are the year 1 when unset.
	"any time": func(v any) bool {
		s, ok := v.(string)
		_, err := time.Parse(time.RFC3339Nano, s)
		return ok && err == nil
	},
	"object":          func(v any) bool { _, ok := v.(map[string]any); return ok },
	"strings":         ofStrings,
	"duration":        func(v any) bool { s, ok := v.(string); _, err := time.ParseDuration(s); return ok && err == nil },
	"endpoint status": oneOf("active", "inactive", "paused"),
	"event status":    oneOf("Pending", "Processing", "Success", "Failure", "Retry"),
	"delivery status": oneOf("Scheduled", "Processing", "Success", "Failure", "Retry", "Discarded"),
	"delivery mode":   oneOf("at_least_once", "at_most_once"),
	"retry type":      oneOf("linear", "exponential"),
	"source type":     oneOf("http", "rest_api", "pub_sub", "db_change_stream"),
	"texts": func(v any) bool { // by name
		object, ok := v.(map[string]any)
		for _, value := range object {
			_, text := value.(string)
			ok = ok && text
		}
		return ok
	},
	"lists": func(v any) bool { // of strings, by name
		object, ok := v.(map[string]any)
		for _, value := range object {
			ok = ok && ofStrings(value)
		}
		return ok
	},
}

func oneOf(values ...string) func(any) bool {
	return func(v any) bool { s, ok := v.(string); return ok && slices.Contains(values, s) }
}

func ofStrings(v any) bool {
	list, ok := v.([]any)
	for _, value := range list {
		_, text := value.(string)
		ok = ok && text
	}
	return ok
}

// decoded reads JSON with its numbers as they are written.
func decoded(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("more than one value in %.100s", text)
	}
	return v, nil
}

// matches says what a value has against a form, each with its place.
func matches(at string, f form, v any) []string {
	wrong := func() []string { return []string{fmt.Sprintf("%s is %s, want %s", at, shown(v), shown(f))} }
	switch f := f.(type) {
	case string:
		if matchesText(at, f, v) {
			return nil
		}
		if name, ok := strings.CutPrefix(f, "@"); ok && !strings.Contains(f, "|") {
			return matches(at, named(name), v) // for its complaints
		}
		return wrong()
	case map[string]any:
		object, ok := v.(map[string]any)
		if !ok {
			return wrong()
		}
		return matchesObject(at, f, object)
	case []any:
		list, ok := v.([]any)
		if !ok || len(f) == 0 && len(list) > 0 || len(f) == 1 && len(list) == 0 {
			return wrong()
		}
		var found []string
		for i, value := range list {
			found = append(found, matches(fmt.Sprintf("%s[%d]", at, i), f[len(f)-1], value)...)
		}
		return found
	}
	if shown(f) != shown(v) {
		return wrong()
	}
	return nil
}

func matchesText(at, f string, v any) bool {
	if value, ok := strings.CutPrefix(f, "="); ok {
		return v == value
	}
	for one := range strings.SplitSeq(f, "|") {
		if name, ok := strings.CutPrefix(one, "@"); ok {
			if len(matches(at, named(name), v)) == 0 {
				return true
			}
			continue
		}
		is, ok := kinds[one]
		if !ok {
			panic("no kind of value is called " + one)
		}
		if is(v) {
			return true
		}
	}
	return false
}

func matchesObject(at string, f map[string]any, object map[string]any) []string {
	var found []string
	known := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		key, optional := strings.CutSuffix(name, "?")
		known[key] = true
		value, there := object[key]
		switch {
		case name == "...":
		case there && optional && empty(value):
			found = append(found, fmt.Sprintf("%s.%s is %s, want no such key when it is empty", at, key, shown(value)))
		case there:
			found = append(found, matches(at+"."+key, f[name], value)...)
		case !optional:
			found = append(found, fmt.Sprintf("%s has no key %s", at, key))
		}
	}
	if _, more := f["..."]; !more {
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if !known[key] {
				found = append(found, fmt.Sprintf("%s.%s is %s, want no such key", at, key, shown(object[key])))
			}
		}
	}
	return found
}

func empty(v any) bool {
	switch shown(v) {
	case `""`, "0", "false", "null", "{}", "[]":
		return true
	}
	return false
}

func shown(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// named is the form of a name in contractForms.
func named(name string) form {
	text, ok := contractForms[name]
	if !ok {
		panic("no form is called " + name)
	}
	return parsed(text)
}

func parsed(text string) form {
	f, err := decoded([]byte(text))
	if err != nil {
		panic(fmt.Sprintf("form %s: %v", text, err))
	}
	return f
}

// TestForms makes sure that forms refuse what they should.
func TestForms(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		form, value string
		complaints  int
	}{
		{`{"a":"id"}`, `{"a":"01K1ZZZZZZZZZZZZZZZZZZZZZZ"}`, 0},
		{`{"a":"id"}`, `{"a":"01k1zzzzzzzzzzzzzzzzzzzzzz"}`, 1},
		{`{"a":"id"}`, `{}`, 1},
		{`{"a":"string"}`, `{"a":"","b":1}`, 1},
		{`{"a":"string","...":"any"}`, `{"a":"","b":1}`, 0},
		{`{"a?":"string"}`, `{}`, 0},
		{`{"a?":"string"}`, `{"a":""}`, 1},
		{`{"a?":"string"}`, `{"a":"x"}`, 0},
		{`{"a":"time|null"}`, `{"a":null}`, 0},
		{`{"a":"time|null"}`, `{"a":"0001-01-01T00:00:00Z"}`, 1},
		{`{"a":"int"}`, `{"a":1.5}`, 1},
		{`{"a":"int"}`, `{"a":"1"}`, 1},
		{`["int"]`, `[1,2]`, 0},
		{`["int"]`, `[]`, 1},
		{`["?","int"]`, `[]`, 0},
		{`["?","int"]`, `[1,"2",true]`, 2},
		{`[]`, `[1]`, 1},
		{`[]`, `null`, 1},
		{`{}`, `{"a":1}`, 1},
		{`"=a"`, `"a"`, 0},
		{`"=a"`, `"b"`, 1},
		{`true`, `false`, 1},
		{`10`, `10`, 0},
		{`null`, `{}`, 1},
		{`"texts"`, `{"a":["b"]}`, 1},
		{`"lists"`, `{"a":["b"]}`, 0},
		{`"@pagination"`, `{"per_page":20,"has_next_page":false,"has_prev_page":false,"prev_page_cursor":"","next_page_cursor":null}`, 1},
	} {
		v, err := decoded([]byte(tc.value))
		if err != nil {
			t.Fatal(err)
		}
		if got := matches("data", parsed(tc.form), v); len(got) != tc.complaints {
			t.Errorf("%s with form %s: %q", tc.value, tc.form, got)
		}
	}
}
