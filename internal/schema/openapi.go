package schema

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"convoy"
)

const (
	// MaxDocument is how long an OpenAPI document may be, in bytes.
	MaxDocument = 1 << 20
	// MaxImported is how many event types one document may hold.
	MaxImported = 1000
	// maxSchemas is how long the schemas of one document may be together, in
	// bytes: each holds what it refers to.
	maxSchemas = 4 << 20
)

// Imported is an event type as an OpenAPI document describes it.
type Imported struct {
	Name, Description, Category string
	// Schema is a JSON Schema; empty where the document has none.
	Schema string
}

// errNoWebhooks is for a document without events; the text is known to clients.
var errNoWebhooks = convoy.E(convoy.Invalid, "no webhooks found in OpenAPI spec")

// FromOpenAPI returns the event types of an OpenAPI 3.0 or 3.1 document in JSON
// or YAML, by name: its webhooks, by whatever key (webhooks, x-webhooks), and its
// paths with "webhook" in them that take a POST. Its errors are of kind
// convoy.Invalid.
func FromOpenAPI(text []byte) ([]Imported, error) {
	if len(text) > MaxDocument {
		return nil, convoy.E(convoy.Invalid, fmt.Sprintf("the OpenAPI spec must not be longer than %d bytes", MaxDocument))
	}
	doc, err := load(text)
	if err != nil {
		return nil, convoy.E(convoy.Invalid, "invalid OpenAPI spec: "+printable(err.Error()))
	}
	found := make(map[string]*openapi3.Operation)
	for name, item := range doc.Webhooks {
		if op := post(item); op != nil {
			found[name] = op
		}
	}
	for path, item := range doc.Paths.Map() {
		if op := post(item); op != nil && strings.Contains(strings.ToLower(path), "webhook") {
			name := cmp.Or(op.OperationID, pathName(path))
			if _, ok := found[name]; !ok {
				found[name] = op
			}
		}
	}
	if len(found) == 0 {
		return nil, errNoWebhooks
	}
	if len(found) > MaxImported {
		return nil, convoy.E(convoy.Invalid, fmt.Sprintf("the OpenAPI spec must not have more than %d webhooks", MaxImported))
	}
	components, err := componentsOf(doc)
	if err != nil {
		return nil, convoy.E(convoy.Invalid, "invalid OpenAPI spec: "+printable(err.Error()))
	}
	list, size := make([]Imported, 0, len(found)), 0
	for _, name := range slices.Sorted(maps.Keys(found)) {
		op := found[name]
		e := Imported{Name: name, Description: cmp.Or(op.Description, op.Summary)}
		if len(op.Tags) > 0 {
			e.Category = op.Tags[0]
		}
		if e.Schema, err = components.schema(op); err != nil {
			return nil, convoy.E(convoy.Invalid, printable(name+": "+err.Error()))
		}
		if size += len(e.Schema); size > maxSchemas {
			return nil, convoy.E(convoy.Invalid, fmt.Sprintf("the schemas of the OpenAPI spec must not be longer than %d bytes together", maxSchemas))
		}
		list = append(list, e)
	}
	return list, nil
}

// load reads a document and resolves its references, of which those to other
// documents are errors.
func load(text []byte) (doc *openapi3.T, err error) {
	defer func() { // a library of this size, and any text
		if r := recover(); r != nil {
			doc, err = nil, fmt.Errorf("%v", r)
		}
	}()
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = false
	if doc, err = loader.LoadFromData(text); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.") {
		return nil, errors.New("openapi must be 3.0 or 3.1")
	}
	extension, ok := doc.Extensions["x-webhooks"] // how 3.0 documents have webhooks
	if !ok {
		return doc, nil
	}
	b, err := json.Marshal(extension)
	if err != nil {
		return nil, fmt.Errorf("x-webhooks: %w", err)
	}
	var hooks map[string]*openapi3.PathItem
	if err := json.Unmarshal(b, &hooks); err != nil {
		return nil, fmt.Errorf("x-webhooks: %w", err)
	}
	maps.Copy(hooks, doc.Webhooks)
	doc.Webhooks = hooks
	if err := loader.ResolveRefsIn(doc, nil); err != nil {
		return nil, err
	}
	return doc, nil
}

func post(item *openapi3.PathItem) *openapi3.Operation {
	if item == nil {
		return nil
	}
	return item.Post
}

// pathName is the name of the event that a path is for: what follows "webhook",
// with dots, or all of it.
func pathName(path string) string {
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	for i, s := range segments[:max(len(segments)-1, 0)] {
		if strings.Contains(strings.ToLower(s), "webhook") {
			return strings.Join(segments[i+1:], ".")
		}
	}
	return strings.Join(segments, ".")
}

// components are the schemas that a document's schemas refer to.
type components struct {
	schemas map[string]any
	// old is OpenAPI 3.0, whose schemas are not quite JSON Schemas.
	old bool
}

const componentsPrefix = "#/components/schemas/"

func componentsOf(doc *openapi3.T) (components, error) {
	c := components{schemas: map[string]any{}, old: strings.HasPrefix(doc.OpenAPI, "3.0")}
	if doc.Components == nil || len(doc.Components.Schemas) == 0 {
		return c, nil
	}
	b, err := json.Marshal(doc.Components.Schemas)
	if err == nil {
		err = json.Unmarshal(b, &c.schemas)
	}
	return c, err
}

// schema returns the schema of what an operation is sent, whole: with the
// components it refers to where its references expect them.
func (c components) schema(op *openapi3.Operation) (string, error) {
	if op.RequestBody == nil || op.RequestBody.Value == nil {
		return "", nil
	}
	media := op.RequestBody.Value.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		return "", nil
	}
	b, err := json.Marshal(media.Schema)
	if err != nil {
		return "", err
	}
	var root map[string]any
	if err := json.Unmarshal(b, &root); err != nil {
		return "", err
	}
	used := make(map[string]any)
	c.gather(root, used)
	if c.old {
		modernise(root)
		for _, s := range used {
			modernise(s)
		}
	} else if _, ok := root["$schema"]; !ok {
		root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	}
	if len(used) > 0 {
		root["components"] = map[string]any{"schemas": used}
	}
	if b, err = json.Marshal(root); err != nil {
		return "", err
	}
	if _, err := Compile(b); err != nil {
		return "", err
	}
	return string(b), nil
}

// gather adds the components that v refers to, and those that they do.
func (c components) gather(v any, used map[string]any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			c.gather(item, used)
		}
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			name, _, _ := strings.Cut(strings.TrimPrefix(ref, componentsPrefix), "/")
			name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
			if target, ok := c.schemas[name]; ok && strings.HasPrefix(ref, componentsPrefix) && used[name] == nil {
				used[name] = clone(target)
				c.gather(target, used)
			}
		}
		for _, item := range v {
			c.gather(item, used)
		}
	}
}

// clone copies a JSON value, because each schema changes its own.
func clone(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = clone(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = clone(item)
		}
		return out
	}
	return v
}

// modernise turns a schema of OpenAPI 3.0 into draft-07: null is allowed by a
// keyword there, and exclusive bounds are marks beside bounds.
func modernise(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			modernise(item)
		}
	case map[string]any:
		if nullable, ok := v["nullable"].(bool); ok {
			delete(v, "nullable")
			allowNull(v, nullable)
		}
		for _, bound := range [][2]string{{"exclusiveMinimum", "minimum"}, {"exclusiveMaximum", "maximum"}} {
			exclusive, ok := v[bound[0]].(bool)
			if !ok {
				continue
			}
			delete(v, bound[0])
			if limit, ok := v[bound[1]]; ok && exclusive {
				delete(v, bound[1])
				v[bound[0]] = limit
			}
		}
		for _, item := range v {
			modernise(item)
		}
	}
}

func allowNull(schema map[string]any, nullable bool) {
	name, ok := schema["type"].(string)
	if !ok || !nullable {
		return
	}
	schema["type"] = []any{name, "null"}
	if list, ok := schema["enum"].([]any); ok && !slices.Contains(list, nil) {
		schema["enum"] = append(list, nil)
	}
}
