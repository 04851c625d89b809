package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// apiDocument is the OpenAPI document as tests walk it.
type apiDocument struct {
	Paths      map[string]map[string]*documentedOperation
	Components struct{ Schemas map[string]*documentedSchema }
}

type documentedOperation struct {
	OperationID string `json:"operationId"`
	Summary     string
	Parameters  []documentedParameter
	RequestBody *struct {
		Content map[string]documentedContent
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string
		Content     map[string]documentedContent
	}
}

type documentedParameter struct {
	Name, In, Description string
	Required              bool
	Schema                *documentedSchema
}

type documentedContent struct {
	Schema  *documentedSchema
	Example json.RawMessage
}

type documentedSchema struct {
	Ref        string `json:"$ref"`
	Type       schemaTypes
	Properties map[string]*documentedSchema
	Items      *documentedSchema
	OneOf      []*documentedSchema `json:"oneOf"`
	Enum       []any
	Required   []string
	MaxLength  int `json:"maxLength"`
	Minimum    *float64
	Maximum    *float64
	Format     string
	// Additional is true, false or a schema.
	Additional json.RawMessage `json:"additionalProperties"`
}

// schemaTypes are one type or several; none for any.
type schemaTypes []string

func (t *schemaTypes) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		*t = schemaTypes{strings.Trim(string(b), `"`)}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

func walkedDocument(t *testing.T, f *fixture) *apiDocument {
	t.Helper()
	d, err := walkDocument([]byte(f.do(call{path: "/openapi.json", key: "-"}).body))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func walkDocument(text []byte) (*apiDocument, error) {
	d := new(apiDocument)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	return d, nil
}

// operations are those of the document by id.
func (d *apiDocument) operations() map[string]operationCall {
	all := make(map[string]operationCall)
	for path, item := range d.Paths {
		for method, op := range item {
			all[op.OperationID] = operationCall{id: op.OperationID, method: strings.ToUpper(method), pattern: path, doc: op}
		}
	}
	return all
}

// resolve follows references, also those that may be null.
func (d *apiDocument) resolve(s *documentedSchema) *documentedSchema {
	for {
		switch {
		case s.Ref != "":
			s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		case len(s.OneOf) > 0 && s.OneOf[0].Ref != "":
			s = s.OneOf[0]
		default:
			return s
		}
	}
}

// types are what a value may be; none for anything.
func (s *documentedSchema) types() []string {
	types := slices.Clone([]string(s.Type))
	for _, one := range s.OneOf {
		types = append(types, one.Type...)
	}
	return types
}

// bodyField is one value in a request body.
type bodyField struct {
	// path leads to it; "0" is the first element of an array.
	path []string
	// name is what a client calls it: the last name on the path.
	name   string
	schema *documentedSchema
	// required is meaningful for members of objects only.
	required bool
}

func (f *bodyField) String() string { return strings.Join(f.path, ".") }

// fields are all values that a schema describes, the deepest last.
func (d *apiDocument) fields(s *documentedSchema, path []string, name string) []bodyField {
	s = d.resolve(s)
	var all []bodyField
	add := func(key, name string, child *documentedSchema, required bool) {
		at := append(slices.Clone(path), key)
		all = append(all, bodyField{at, name, d.resolve(child), required})
		all = append(all, d.fields(child, at, name)...)
	}
	for key, child := range s.Properties {
		add(key, key, child, slices.Contains(s.Required, key))
	}
	if s.Items != nil {
		add("0", name, s.Items, false)
	}
	var values *documentedSchema
	if len(s.Additional) > 0 && s.Additional[0] == '{' && json.Unmarshal(s.Additional, &values) == nil && len(values.Type) > 0 {
		add("*", name, values, false)
	}
	return all
}

// undescribed is the first key of a value that its schema does not have; empty
// when there is none.
func (d *apiDocument) undescribed(s *documentedSchema, value any) string {
	s = d.resolve(s)
	switch v := value.(type) {
	case map[string]any:
		if s.Properties == nil {
			return ""
		}
		for key, member := range v {
			child, ok := s.Properties[key]
			if !ok {
				return key
			}
			if found := d.undescribed(child, member); found != "" {
				return key + "." + found
			}
		}
	case []any:
		for _, item := range v {
			if s.Items == nil {
				return ""
			}
			if found := d.undescribed(s.Items, item); found != "" {
				return found
			}
		}
	}
	return ""
}
