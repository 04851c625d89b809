package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// conforming is the transport of every client of these tests: it compares each
// answer under /api and /ui with what the document says of its operation and status.
type conforming struct {
	t    testing.TB
	base http.RoundTripper
	api  *api
}

// RoundTrip implements [http.RoundTripper].
func (c *conforming) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := c.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	p := cleanPath(req.URL.Path, c.api.prefix)
	if !strings.HasPrefix(p, apiPrefix) && !strings.HasPrefix(p, uiPrefix) || req.Method == http.MethodHead {
		return res, nil
	}
	d, err := describedBy(c.api)
	if err != nil {
		return nil, err
	}
	op := d.operation(req, p)
	if c.older(req) && op != nil && strings.Contains(op.pattern, "/endpoints") && res.StatusCode < 300 {
		return res, nil // in a form from before this document
	}
	if problem := d.judge(op, res.StatusCode, res.Header.Get("Content-Type"), body); problem != "" {
		c.t.Errorf("%s %s: %d is not what the document says: %s\n%.500s", req.Method, req.URL, res.StatusCode, problem, body)
	}
	return res, nil
}

// CloseIdleConnections is what closing a server asks of its client.
func (c *conforming) CloseIdleConnections() {
	if base, ok := c.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// older reports whether the caller gets another version than the document's.
func (c *conforming) older(req *http.Request) bool {
	version := c.api.version
	if asked := req.Header.Get(headerVersion); asked != "" {
		version, _ = parseVersion(asked)
	}
	return version < plainNames
}

// described is the document, ready to be compared with answers.
type described struct {
	walked *apiDocument
	// mux has the patterns of the document's operations; names are their ids.
	mux   *http.ServeMux
	names map[string]operationCall

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by their place in the document
}

const documentName = "openapi.json"

// oneDocument is that of all servers here: they differ in its head alone.
var oneDocument struct {
	sync.Mutex
	*described
}

func describedBy(a *api) (*described, error) {
	oneDocument.Lock()
	defer oneDocument.Unlock()
	if oneDocument.described == nil {
		d, err := readDescribed(a.document)
		if err != nil {
			return nil, err
		}
		oneDocument.described = d
	}
	return oneDocument.described, nil
}

func readDescribed(text []byte) (*described, error) {
	walked, err := walkDocument(text)
	if err != nil {
		return nil, err
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	d := &described{
		walked: walked, mux: http.NewServeMux(), names: make(map[string]operationCall),
		compiler: jsonschema.NewCompiler(), schemas: make(map[string]*jsonschema.Schema),
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020) // which OpenAPI 3.1 is written in
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentName, whole); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	for _, op := range walked.operations() {
		name := op.method + " " + op.pattern
		d.names[name] = op
		d.mux.Handle(name, http.NotFoundHandler())
	}
	for alias, of := range aliases {
		if op, ok := d.names[of]; ok {
			d.names[alias] = op
			d.mux.Handle(alias, http.NotFoundHandler())
		}
	}
	return d, nil
}

// operation is the one that a request with a clean path is for; nil for none.
func (d *described) operation(req *http.Request, clean string) *operationCall {
	u := *req.URL
	u.Path, u.RawPath = clean, ""
	_, pattern := d.mux.Handler(&http.Request{Method: req.Method, URL: &u, Host: req.Host})
	if op, ok := d.names[pattern]; ok && req.Method != http.MethodHead {
		return &op
	}
	return nil
}

// judge says what is wrong with an answer; empty when nothing is. A path without
// an operation has the errors of all.
func (d *described) judge(op *operationCall, status int, contentType string, body []byte) string {
	if contentType != jsonType[0] {
		return "the type is " + contentType
	}
	place := "#/components/schemas/Failed"
	if op != nil {
		r, ok := op.doc.Responses[strconv.Itoa(status)]
		if !ok {
			return "the status is not listed for " + op.id
		}
		if found := d.undescribedIn(r.Content[jsonType[0]].Schema, body); found != "" {
			return found + " is not described"
		}
		place = pointer("paths", op.pattern, strings.ToLower(op.method), "responses", strconv.Itoa(status), "content", jsonType[0], "schema")
	} else if status < 400 {
		return "no operation of the document takes this request"
	}
	return d.check(place, body)
}

// undescribedIn is the first key that the schema of a body does not have.
func (d *described) undescribedIn(s *documentedSchema, body []byte) string {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return ""
	}
	return d.walked.undescribed(s, value)
}

// check compares a JSON text with the schema at a place of the document; empty
// when it fits.
func (d *described) check(place string, text []byte) string {
	s, err := d.schema(place)
	if err != nil {
		return err.Error()
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return "no JSON: " + err.Error()
	}
	if err := s.Validate(value); err != nil {
		return err.Error()
	}
	return ""
}

func (d *described) schema(place string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.schemas[place]; s != nil {
		return s, nil
	}
	s, err := d.compiler.Compile(documentName + place)
	if err == nil {
		d.schemas[place] = s
	}
	return s, err
}

// pointer is a place in the document (RFC 6901).
func pointer(keys ...string) string {
	var b strings.Builder
	b.WriteByte('#')
	for _, key := range keys {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(key))
	}
	return b.String()
}

// TestConforming makes sure that the comparison finds what does not fit.
func TestConforming(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	d, err := describedBy(f.api)
	if err != nil {
		t.Fatal(err)
	}
	const list = projectsPrefix + "01K1ZZZZZZZZZZZZZZZZZZZZZZ/event-types"
	one := `{"uid":"a","name":"a","category":"","json_schema":null,"description":"","deprecated_at":null}`
	typed := func(s string) string { return `{"status":true,"message":"","data":[` + s + `]}` }
	const failed = `{"status":false,"message":"no"}`
	for _, tc := range []struct {
		what, method, path, body string
		status                   int
		fits                     bool
	}{
		{"an answer", "GET", list, typed(one), 200, true},
		{"nothing in the list", "GET", list, typed(""), 200, true},
		{"an error", "GET", list, failed, 400, true},
		{"an error of a path that is none", "GET", "/api/v1/nothing", failed, 404, true},
		{"an alias", "POST", projectsPrefix + "a", failed, 400, true},
		{"no JSON", "GET", list, "404 page not found", 404, false},
		{"data of an error", "GET", list, `{"status":false,"message":"","data":null}`, 400, false},
		{"an unlisted status", "GET", list, failed, 418, false},
		{"a success of nothing", "GET", "/api/v1/nothing", typed(""), 200, false},
		{"a missing key", "GET", list, typed(strings.Replace(one, `"category":"",`, "", 1)), 200, false},
		{"another type", "GET", list, typed(strings.Replace(one, `"category":""`, `"category":1`, 1)), 200, false},
		{"no time", "GET", list, typed(strings.Replace(one, `"deprecated_at":null`, `"deprecated_at":"today"`, 1)), 200, false},
		{"an unknown key", "GET", list, typed(strings.Replace(one, `"name"`, `"more":1,"name"`, 1)), 200, false},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, f.server.URL+tc.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if problem := d.judge(d.operation(req, tc.path), tc.status, jsonType[0], []byte(tc.body)); (problem == "") != tc.fits {
			t.Errorf("%s: %q", tc.what, problem)
		}
	}
}
