package api

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// parsedDocument is what these tests read of the document.
type parsedDocument struct {
	OpenAPI    string
	Info       struct{ Version string }
	Servers    []struct{ URL string }
	Paths      map[string]map[string]parsedOperation
	Components struct{ Schemas map[string]json.RawMessage }
}

type parsedOperation struct {
	OperationID string
	Parameters  []struct {
		Name, In string
		Required bool
	}
	RequestBody *struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	}
	Responses map[string]struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	}
	Security []map[string][]string
}

func fetchDocument(t *testing.T, f *fixture) (parsedDocument, string) {
	t.Helper()
	a := f.do(call{path: "/openapi.json", key: "-"})
	var doc parsedDocument
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil || a.status != 200 {
		t.Fatalf("%d %v", a.status, err)
	}
	return doc, a.body
}

// successes is how many an operation has.
func successes(operation string) int {
	switch operation {
	case "CreateBatchEvents", "BulkOnboard", "UpdatePortalLink":
		return 2
	}
	return 1
}

func TestDocument(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.RootPath = "/hooks" })
	doc, text := fetchDocument(t, f)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || doc.Info.Version != "test" || doc.Servers[0].URL != "/hooks" {
		t.Errorf("head %+v", doc.Servers)
	}
	known := make(map[string]string)
	table, err := os.ReadFile("testdata/operations.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		known[fields[0]+" "+fields[1]] = fields[2]
	}
	param := regexp.MustCompile(`\{(\w+)\}`)
	n := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			n++
			name := strings.ToUpper(method) + " " + path
			if op.OperationID == "" || known[name] != op.OperationID {
				t.Errorf("%s has the id %q, want %q", name, op.OperationID, known[name])
			}
			success := 0
			for status, r := range op.Responses {
				want := "#/components/schemas/Failed"
				if status[0] == '2' {
					success++
					want = "#/components/schemas/Envelope"
				}
				if got := r.Content["application/json"].Schema.Ref; !strings.HasPrefix(got, want) || len(r.Content) != 1 {
					t.Errorf("%s %s: schema %q", name, status, got)
				}
			}
			for _, status := range []string{"400", "401", "403", "404", "405", "415", "429", "500", "503"} {
				if _, ok := op.Responses[status]; !ok {
					t.Errorf("%s does not list %s", name, status)
				}
			}
			if want := successes(op.OperationID); success != want || len(op.Security) == 0 {
				t.Errorf("%s: %d successes, security %v", name, success, op.Security)
			}
			var inPath []string
			for _, p := range op.Parameters {
				if p.In == "path" && p.Required {
					inPath = append(inPath, p.Name)
				}
			}
			if want := param.FindAllString(path, -1); len(inPath) != len(want) {
				t.Errorf("%s: path parameters %v, want %v", name, inPath, want)
			}
		}
	}
	if n < 27 {
		t.Errorf("%d operations", n)
	}
	for _, ref := range regexp.MustCompile(`"#/components/schemas/(\w+)"`).FindAllStringSubmatch(text, -1) {
		if doc.Components.Schemas[ref[1]] == nil {
			t.Errorf("schema %s is missing", ref[1])
		}
	}
	for schema, part := range map[string]string{
		"EndpointView":     `"authentication":{"oneOf":[{"$ref":"#/components/schemas/AuthenticationObject"},{"type":"null"}]}`,
		"SubscriptionView": `"endpoint_metadata":{"oneOf":[{"$ref":"#/components/schemas/SubscribedEndpoint"`,
		"EnvelopeNothing":  `"data":{"type":"null"}`,
	} {
		if got := string(doc.Components.Schemas[schema]); !strings.Contains(got, part) {
			t.Errorf("schema %s has no %s: %s", schema, part, got)
		}
	}
	publish := doc.Paths[publishRoute]["post"]
	if publish.RequestBody == nil || publish.RequestBody.Content["application/json"].Schema.Ref != "#/components/schemas/PublishRequest" {
		t.Errorf("publish body %+v", publish.RequestBody)
	}
	if strings.Contains(text, `"additionalProperties":false`) || strings.Contains(text, `"additionalProperties":true`) {
		t.Error("the document forbids or announces members that are not described")
	}
	if strings.Contains(text, "ErrorModel") || strings.Contains(text, "problem+json") {
		t.Error("the document describes errors that are never sent")
	}
}

// Each operation of the document is served: with a credential none is unknown.
func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	doc, _ := fetchDocument(t, f)
	fill := regexp.MustCompile(`\{\w+\}`)
	for path, item := range doc.Paths {
		for method := range item {
			if method == "delete" && path == "/api/v1/projects/{projectID}" {
				continue
			}
			for _, end := range []string{"", "/"} {
				a := f.do(call{method: strings.ToUpper(method), path: fill.ReplaceAllString(path, "01K1ZZZZZZZZZZZZZZZZZZZZZZ") + end})
				if msg := a.message(t); a.status >= 405 || msg == errNoRoute.msg {
					t.Errorf("%s %s%s: %d %s", method, path, end, a.status, msg)
				}
			}
		}
	}
}

// The page must work without a network, and show what the document has.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	a := f.do(call{path: "/docs", key: "-"})
	if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v", a.status, a.header)
	}
	if m := regexp.MustCompile(`(src|href)=|https?://|innerHTML`).FindString(a.body); m != "" {
		t.Errorf("the page has %q", m)
	}
	if !strings.Contains(a.body, `"/openapi.json"`) {
		t.Error("the page does not load the document")
	}
}
