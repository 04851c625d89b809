package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"convoy/internal/schema"
)

// chance is what differs between two runs, and what examples have instead.
var chance = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`(CO|PRT)\.\w{16}\.\w{64}`), "$1.0123456789abcdef." + strings.Repeat("0123456789abcdef", 4)},
	{regexp.MustCompile(`"value": "[\w-]{25}"`), `"value": "a generated secret"`},
	{regexp.MustCompile(`("token": "|token=)\w{24}\b`), "${1}0123456789abcdefghijklmn"},
	{regexp.MustCompile(`("mask_id": "|/ingest/)\w{16}\b`), "${1}0123456789abcdef"},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "https://auth.example.com"},
}

// typical makes a JSON text the same in every run: ids are numbered.
func typical(text string, seen map[string]string) json.RawMessage {
	if text == "" {
		return nil
	}
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") != nil {
		return nil
	}
	text = anyID.ReplaceAllStringFunc(b.String(), func(id string) string {
		if seen[id] == "" {
			seen[id] = fmt.Sprintf("01KYYC8ABR%016d", len(seen)+1)
		}
		return seen[id]
	})
	for _, c := range chance {
		text = c.what.ReplaceAllString(text, c.as)
	}
	return json.RawMessage(text)
}

// TestExamples compares the examples of the document with what a server answers,
// and both with the schemas of the document.
func TestExamples(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	d := walkedDocument(t, f)
	schemas, of := documentedBodies(t, f)
	examples := make(map[string]example)
	for id, c := range d.operations() {
		t.Run(id, func(t *testing.T) { // each in a world of its own, so that none changes with another
			w := newWorld(t, openSQLite(t))
			sample, ok := samples[id]
			if !ok {
				t.Fatal("no sample in samples_test.go")
			}
			c.specimen = sample(w)
			a := c.valid(w)
			if a.status >= 300 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			e, seen := example{Status: strconv.Itoa(a.status)}, map[string]string{}
			if c.doc.RequestBody != nil {
				e.Request = typical(c.firstBody(), seen)
			}
			e.Response = typical(a.body, seen)
			for i, text := range c.bodies {
				schemas.check(t, fmt.Sprintf("request %d", i), text, of(&c, ""))
			}
			schemas.check(t, "the answer", a.body, of(&c, e.Status))
			examples[id] = e
		})
	}
	if t.Failed() || len(examples) < len(d.operations()) { // -run names some of them
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(examples); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("examples.json", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	known, err := documentedExamples()
	if err != nil {
		t.Fatal(err)
	}
	for id, e := range examples {
		if got, want := compact(e), compact(known[id]); got != want {
			t.Errorf("the example of %s in examples.json is not what happens (go test -run TestExamples -update):\n got %.2000s\nwant %.2000s", id, got, want)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(known)) {
		if _, ok := examples[id]; !ok {
			t.Errorf("there is an example of %s, which does not exist", id)
		}
	}
}

func compact(e example) string {
	b, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// bodySchemas checks values against the document's schemas of bodies.
type bodySchemas map[string]json.RawMessage

var anyRef = regexp.MustCompile(`"#/components/schemas/(\w+)"`)

// gather adds to used what a schema refers to.
func (b bodySchemas) gather(s json.RawMessage, used bodySchemas) {
	for _, ref := range anyRef.FindAllStringSubmatch(string(s), -1) {
		if _, ok := used[ref[1]]; !ok {
			used[ref[1]] = b[ref[1]]
			b.gather(b[ref[1]], used)
		}
	}
}

// check wants a value to fit a schema of the document.
func (b bodySchemas) check(t *testing.T, what, value string, s json.RawMessage) {
	t.Helper()
	used := make(bodySchemas)
	b.gather(s, used)
	text, err := json.Marshal(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "components": map[string]any{"schemas": used}, "allOf": []any{s},
	})
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := schema.Compile(text)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if found := compiled.Check([]byte(value)); found != "" {
		t.Errorf("%s does not fit its schema: %s\n%.500s", what, found, value)
	}
}

// documentedBodies reads the schemas of the document and, of each operation, those of
// its request and its answers.
func documentedBodies(t *testing.T, f *fixture) (all bodySchemas, of func(c *operationCall, status string) json.RawMessage) {
	t.Helper()
	type content struct {
		Content map[string]struct{ Schema json.RawMessage }
	}
	var doc struct {
		Components struct{ Schemas bodySchemas }
		Paths      map[string]map[string]struct {
			RequestBody content `json:"requestBody"`
			Responses   map[string]content
		}
	}
	a := f.do(call{path: "/openapi.json", key: "-"})
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Components.Schemas, func(c *operationCall, status string) json.RawMessage {
		op := doc.Paths[c.pattern][strings.ToLower(c.method)]
		if status == "" {
			return op.RequestBody.Content[jsonType[0]].Schema
		}
		return op.Responses[status].Content[jsonType[0]].Schema
	}
}

// TestDocumentIsComplete checks that every route is in the document and the
// reverse, and that the document says of each operation all that a reader needs.
func TestDocumentIsComplete(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	d := walkedDocument(t, f)
	// Other methods of the same operations, for older clients (contract, 9.1).
	aliases := map[string]bool{
		"POST /api/v1/projects/{projectID}":                                                    true,
		"POST /api/v1/projects/{projectID}/sources/{sourceID}":                                 true,
		"POST /api/v1/projects/{projectID}/subscriptions/{subscriptionID}/filters/bulk_update": true,
		"PUT /api/v1/projects/{projectID}/eventdeliveries/batchretry":                          true,
	}
	routes := f.server.Config.Handler.(*api).routes
	for id, op := range d.operations() {
		name := op.method + " " + op.pattern
		if routes[name] == nil {
			t.Errorf("%s (%s) is in the document and not served", id, name)
		}
		complete(t, &op)
	}
	for name := range routes {
		method, path, _ := strings.Cut(name, " ")
		if d.Paths[path][strings.ToLower(method)] == nil && !aliases[name] {
			t.Errorf("%s is served and not in the document", name)
		}
	}
}

// complete checks one operation of the document.
func complete(t *testing.T, op *operationCall) {
	t.Helper()
	if op.id == "" || op.doc.Summary == "" {
		t.Errorf("%s %s has the id %q and the summary %q", op.method, op.pattern, op.id, op.doc.Summary)
	}
	for _, p := range op.doc.Parameters {
		if p.Description == "" {
			t.Errorf("%s: the parameter %s is not described", op.id, p.Name)
		}
	}
	statuses := []string{"400", "401", "403", "404", "405", "415", "429", "500", "503"}
	if body := op.doc.RequestBody; body != nil {
		statuses = append(statuses, "413")
		if len(body.Content[jsonType[0]].Example) == 0 {
			t.Errorf("%s has no example of a request", op.id)
		}
	}
	for _, status := range statuses {
		if _, ok := op.doc.Responses[status]; !ok {
			t.Errorf("%s does not list %s", op.id, status)
		}
	}
	examples := 0
	for status, r := range op.doc.Responses {
		if r.Description == "" {
			t.Errorf("%s: the response %s is not described", op.id, status)
		}
		if status[0] == '2' && len(r.Content[jsonType[0]].Example) > 0 {
			examples++
		}
	}
	if examples == 0 {
		t.Errorf("%s has no example of a response", op.id)
	}
}
