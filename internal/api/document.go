package api

import (
	"maps"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// allowNull says which objects in a struct may be null, for huma does so for
// scalars only, and which lists.
func allowNull(schema *huma.Schema, t reflect.Type) {
	if t == nil || t.Kind() != reflect.Struct {
		return
	}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		property := schema.Properties[name]
		if property != nil && property.Type == huma.TypeArray && f.Tag.Get("nullable") == "true" {
			property.Nullable = true // after all, see plain
		}
		if property == nil || property.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(options, "omitempty") || f.Tag.Get("nullable") == "false" {
			continue
		}
		schema.Properties[name] = &huma.Schema{OneOf: []*huma.Schema{property, {Type: "null"}}}
	}
}

// plain takes from the document what is not so, that lists in answers may be
// null (in a request that means none), and what goes without saying, that objects
// may have other members: clients that are made from it would have to look for the
// one, and keep the other.
func plain(doc *huma.OpenAPI) {
	asked, answered := make(visited), make(visited)
	for _, item := range doc.Paths {
		for _, op := range documented(item) {
			if op == nil {
				continue
			}
			if op.RequestBody != nil {
				asked.content(doc, op.RequestBody.Content)
			}
			for _, r := range op.Responses {
				answered.content(doc, r.Content)
			}
		}
	}
	for s := range answered {
		if s.Type == huma.TypeArray && !asked[s] {
			s.Nullable = false
		}
	}
	maps.Copy(answered, asked)
	for s := range answered {
		// That objects may have more is so without saying; said, it makes maps of them
		// in some languages.
		if s.AdditionalProperties == true {
			s.AdditionalProperties = nil
		}
	}
}

// visited are schemas that something leads to.
type visited map[*huma.Schema]bool

func (v visited) content(doc *huma.OpenAPI, content map[string]*huma.MediaType) {
	for _, c := range content {
		v.visit(doc, c.Schema)
	}
}

// visit adds a schema and what it is made of.
func (v visited) visit(doc *huma.OpenAPI, s *huma.Schema) {
	if s == nil || v[s] {
		return
	}
	v[s] = true
	if s.Ref != "" {
		v.visit(doc, doc.Components.Schemas.SchemaFromRef(s.Ref))
	}
	v.visit(doc, s.Items)
	for _, p := range s.Properties {
		v.visit(doc, p)
	}
	for _, one := range s.OneOf {
		v.visit(doc, one)
	}
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		v.visit(doc, values)
	}
}
