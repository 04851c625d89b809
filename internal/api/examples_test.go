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
)

// chance is what differs between two runs, and what examples have instead.
var chance = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`(CO|PRT|CS|CR)\.\w{16}\.\w{64}`), "$1.0123456789abcdef." + strings.Repeat("0123456789abcdef", 4)},
	{regexp.MustCompile(`"value": "[\w-]{25}"`), `"value": "a generated secret"`},
	{regexp.MustCompile(`("token": "|token=)\w{24}\b`), "${1}0123456789abcdefghijklmn"},
	{regexp.MustCompile(`("mask_id": "|/ingest/)\w{16}\b`), "${1}0123456789abcdef"},
	{regexp.MustCompile(`"mask": "\w{16}"`), `"mask": "0123456789abcdef"`},
	{regexp.MustCompile(`"\w{16}"(,?\n)`), `"0123456789abcdef"$1`},
	{regexp.MustCompile(`("secret": "|secret=)[A-Z2-7]{32}\b`), "${1}JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"},
	{regexp.MustCompile(`"code": "\d{6}"`), `"code": "123456"`},
	{regexp.MustCompile(`"code": "code-[A-Z2-7]{26}"`), `"code": "SplxlOBeZQQYbYS6WxSbIA"`},
	{regexp.MustCompile(`((?:"state": "|state=|nonce=|code_challenge=))[\w-]{43}`), "${1}0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"},
	{regexp.MustCompile(`"created_at": "20[^"]+"`), `"created_at": "2026-08-01T10:00:00.12Z"`}, // the audit log's are the database's
	{regexp.MustCompile(`"request_id": "[^"]+"`), `"request_id": "a-request"`},
	{regexp.MustCompile(`"uid": "\d{20}"`), `"uid": "00000000000000000007"`},
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
	text = b.String()
	for _, c := range chance { // before the ids, which a random text may look like
		text = c.what.ReplaceAllString(text, c.as)
	}
	text = anyID.ReplaceAllStringFunc(text, func(id string) string {
		if seen[id] == "" {
			seen[id] = fmt.Sprintf("01KYYC8ABR%016d", len(seen)+1)
		}
		return seen[id]
	})
	return json.RawMessage(text)
}

// TestExamples compares the examples of the document with what a server answers,
// and the requests with their schemas.
func TestExamples(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	d := walkedDocument(t, f)
	schemas, err := describedBy(f.api)
	if err != nil {
		t.Fatal(err)
	}
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
			place := pointer("paths", c.pattern, strings.ToLower(c.method), "requestBody", "content", jsonType[0], "schema")
			for i, text := range c.bodies { // the answers are compared wherever they come
				if found := schemas.check(place, []byte(text)); found != "" {
					t.Errorf("request %d does not fit its schema: %s\n%.500s", i, found, text)
				}
			}
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

// aliases are other methods of the same operations, for older clients (contract,
// 9.1).
var aliases = map[string]string{
	"POST /api/v1/projects/{projectID}":                                                    "PUT /api/v1/projects/{projectID}",
	"POST /api/v1/projects/{projectID}/sources/{sourceID}":                                 "PUT /api/v1/projects/{projectID}/sources/{sourceID}",
	"POST /api/v1/projects/{projectID}/subscriptions/{subscriptionID}/filters/bulk_update": "PUT /api/v1/projects/{projectID}/subscriptions/{subscriptionID}/filters/bulk_update",
	"PUT /api/v1/projects/{projectID}/eventdeliveries/batchretry":                          "POST /api/v1/projects/{projectID}/eventdeliveries/batchretry",
}

// TestDocumentIsComplete checks that every route is in the document and the
// reverse, and that the document says of each operation all that a reader needs.
func TestDocumentIsComplete(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	d := walkedDocument(t, f)
	routes := f.api.routes
	for id, op := range d.operations() {
		name := op.method + " " + op.pattern
		if routes[name] == nil {
			t.Errorf("%s (%s) is in the document and not served", id, name)
		}
		complete(t, &op)
	}
	for alias, of := range aliases {
		if routes[of] != nil && routes[alias] == nil {
			t.Errorf("%s is not served, which %s is", alias, of)
		}
	}
	for name := range routes {
		method, path, _ := strings.Cut(name, " ")
		if d.Paths[path][strings.ToLower(method)] == nil && aliases[name] == "" {
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
