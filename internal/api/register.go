package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"convoy"
)

// operation is one row of the API: what the document says of it and where it
// is served.
type operation struct {
	// id is fixed: generated clients name their methods after it.
	id      string
	method  string
	path    string
	tag     string
	summary string
	// access is what callers need.
	access access
	// portal is what it lets the holder of a portal link do.
	portal portalRight
	// status of success; message is what the envelope then says.
	status  int
	message string
	// also are other successes, and refusals with data, by status.
	also map[int]alternative
	// alias is another method that does the same, for older clients; it is not
	// in the document.
	alias string
	// body describes the request body where the input has none to show it.
	body reflect.Type
}

// alternative is how an operation may answer besides.
type alternative struct {
	message string
	// body is an envelope; nil for that of the success.
	body reflect.Type
}

// reply is what every operation gives huma to write: bytes, so that an encoding
// that fails is still a clean 500.
type reply struct {
	Status      int
	ContentType string   `header:"Content-Type" hidden:"true"`
	Allow       string   `header:"Allow" hidden:"true"`
	RetryAfter  string   `header:"Retry-After" hidden:"true"`
	Challenge   []string `header:"WWW-Authenticate" hidden:"true"`
	JobID       string   `header:"X-Convoy-Job-Id" hidden:"true"`
	Body        []byte
}

// payload is a request body as an input field. It is decoded only when the
// handler asks, because some operations must ignore what clients send.
type payload[T any] struct {
	raw []byte
	err error
}

// Resolve implements [huma.Resolver]. It reports nothing itself: decode does.
func (p *payload[T]) Resolve(ctx huma.Context) []error {
	if r := ctx.BodyReader(); r != nil { // limited by dispatch
		p.raw, p.err = io.ReadAll(r)
	}
	return nil
}

// shape is the type that the body decodes into.
func (payload[T]) shape() reflect.Type { return reflect.TypeFor[T]() }

// decode reads the body; see [decode].
func (p *payload[T]) decode() (T, error) {
	var v T
	if p.err != nil {
		return v, readError(p.err)
	}
	err := decode(p.raw, &v)
	return v, err
}

// readError says why a body could not be read.
func readError(err error) error {
	if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
		return errBodyTooLarge
	}
	return convoy.Wrap(errBodyUnread.Kind, errBodyUnread.Msg, err)
}

// outcome is data that knows how its answer ends, where that depends on it.
type outcome interface {
	outcome() (status int, message string)
}

// registrar adds operations to the mux and the document.
type registrar struct {
	api  *api
	huma huma.API
	// undeclared are the operations that nobody may have said who may call.
	undeclared []string
}

// handle registers an operation. The input's fields are its path and query
// parameters, by tags, and at most one payload named Payload; the output is the
// data of the envelope.
func handle[I, T any](r *registrar, op operation, fn func(ctx context.Context, in *I) (T, error)) {
	r.declare(op, new(I))
	check := textFields(reflect.TypeFor[I]())
	serve := func(ctx context.Context, in *I) (*reply, error) {
		if err := check(reflect.ValueOf(in).Elem()); err != nil {
			return r.api.refusal(ctx, err), nil
		}
		if err := r.api.enter(ctx, exchangeOf(ctx), op.access, in); err != nil {
			return r.api.refusal(ctx, err), nil
		}
		data, err := fn(exchangeOf(ctx).scoped(ctx), in)
		if err != nil {
			return r.api.refusal(ctx, err), nil
		}
		status, message := op.status, op.message
		if o, ok := any(data).(outcome); ok {
			status, message = o.outcome()
		}
		body, err := encode(envelope[T]{Status: status < http.StatusBadRequest, Message: message, Data: data})
		if err != nil {
			return r.api.refusal(ctx, err), nil
		}
		answer := &reply{Status: status, ContentType: jsonType[0], Body: body}
		if b, ok := any(data).(batched); ok {
			answer.JobID = string(b.job)
		}
		return answer, nil
	}
	if f, ok := reflect.TypeFor[I]().FieldByName("Payload"); ok {
		op.body = reflect.New(f.Type).Interface().(interface{ shape() reflect.Type }).shape()
	}
	described := r.describe(op, reflect.TypeFor[envelope[T]]())
	// Huma would read the body of an operation that is registered with one.
	content := described.RequestBody
	described.RequestBody = nil
	huma.Register(r.huma, described, serve)
	documented(r.huma.OpenAPI().Paths[op.path])[op.method].RequestBody = content
	r.route(op.method, op.path, op.access, op.portal)
	if op.alias != "" {
		described.OperationID, described.Method, described.Hidden = op.id+"Alias", op.alias, true
		huma.Register(r.huma, described, serve)
		r.route(op.alias, op.path, op.access, op.portal)
	}
}

// declare notes an operation that does not say who may call it.
func (r *registrar) declare(op operation, in any) {
	if !op.access.declared(in) {
		r.undeclared = append(r.undeclared, op.id)
	}
}

func (r *registrar) route(method, path string, access access, portal portalRight) {
	to := r.api.newRoute(path, method)
	to.access, to.portal = access, portal
	r.api.routes[method+" "+path] = to
}

// refusal is the reply for an error.
func (a *api) refusal(ctx context.Context, err error) *reply {
	f := classify(ctx, err)
	if f.status >= http.StatusInternalServerError {
		exchangeOf(ctx).err = err
	}
	h := make(http.Header)
	f.head(h)
	return &reply{
		Status: f.status, ContentType: jsonType[0], Allow: h.Get("Allow"), RetryAfter: h.Get("Retry-After"),
		Challenge: h["Www-Authenticate"], Body: appendFailed(nil, f.msg),
	}
}

// textFields returns a check of an input's query parameters: the store takes
// neither NUL characters nor invalid UTF-8, and no filter needs more than
// [maxFilter] characters. Path parameters are ids, which are checked where they
// are used.
func textFields(t reflect.Type) func(v reflect.Value) error {
	type field struct {
		path []int
		name string
	}
	var fields []field
	var walk func(t reflect.Type, path []int)
	walk = func(t reflect.Type, path []int) {
		for i := range t.NumField() {
			f := t.Field(i)
			at := append(slices.Clone(path), i)
			if name, _, _ := strings.Cut(f.Tag.Get("query"), ","); name != "" {
				fields = append(fields, field{at, name})
			} else if f.Anonymous {
				walk(f.Type, at)
			}
		}
	}
	walk(t, nil)
	return func(v reflect.Value) error {
		var p problems
		for _, f := range fields {
			value := v.FieldByIndex(f.path)
			if value.Kind() == reflect.String {
				p.text(f.name, value.String(), maxFilter)
				continue
			}
			if value.Len() > maxFilterValues {
				p.add(f.name, "must not be given more than "+itoa(maxFilterValues)+" times")
				continue
			}
			for i := range value.Len() {
				p.text(f.name, value.Index(i).String(), maxFilter)
			}
		}
		return p.err()
	}
}

// describe is the document's part of an operation.
func (r *registrar) describe(op operation, success reflect.Type) huma.Operation {
	schemas := r.huma.OpenAPI().Components.Schemas
	jsonOf := func(t reflect.Type, hint string) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{jsonType[0]: {Schema: schemas.Schema(t, true, hint)}}
	}
	o := huma.Operation{
		OperationID:        op.id,
		Method:             op.method,
		Path:               op.path,
		Summary:            op.summary,
		Tags:               []string{op.tag},
		DefaultStatus:      op.status,
		SkipValidateParams: true,
		SkipValidateBody:   true,
		Security:           []map[string][]string{{"apiKey": {}}},
		Responses: map[string]*huma.Response{
			strconv.Itoa(op.status): {Description: op.message, Content: jsonOf(success, op.id+"Response")},
		},
	}
	for status, f := range op.also {
		if f.body == nil {
			f.body = success
		}
		o.Responses[strconv.Itoa(status)] = &huma.Response{Description: f.message, Content: jsonOf(f.body, op.id+"Response")}
	}
	for _, status := range errorStatuses(op) {
		if o.Responses[strconv.Itoa(status)] != nil {
			continue
		}
		o.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Content: jsonOf(reflect.TypeFor[failed](), "Failed"),
		}
	}
	if op.access == anybody {
		o.Security = []map[string][]string{{}} // none is asked for
	}
	if op.body != nil {
		o.RequestBody = &huma.RequestBody{Content: jsonOf(op.body, op.id+"Request")}
	}
	return o
}

// errorStatuses are the errors an operation may answer with.
func errorStatuses(op operation) []int {
	statuses := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusUnsupportedMediaType, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	if op.body != nil {
		statuses = append(statuses, http.StatusRequestEntityTooLarge)
	}
	if op.method == http.MethodGet {
		statuses = append(statuses, http.StatusGatewayTimeout)
	}
	return statuses
}

// documentConfig is the head of the document. Huma serves nothing by itself:
// pages and errors are ours.
func documentConfig(version, prefix string) huma.Config {
	server := prefix
	if server == "" {
		server = "/"
	}
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Convoy API",
				Version: version,
				Description: "Publish events, and manage the endpoints and subscriptions they are delivered through. " +
					"Every answer is an envelope of status, message and data; an error has no data.",
			},
			Servers: []*huma.Server{{URL: server}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"apiKey": {Type: "http", Scheme: "bearer", Description: "An API key: Authorization: Bearer CO.…"},
				},
			},
		},
		Formats: map[string]huma.Format{jsonType[0]: {
			Marshal:   func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
			Unmarshal: json.Unmarshal,
		}},
		DefaultFormat: jsonType[0],
	}
	config.AllowAdditionalPropertiesByDefault = true // unknown keys are ignored, and answers may grow
	return config
}

// document encodes what has been registered.
func (r *registrar) document() ([]byte, error) {
	doc := r.huma.OpenAPI()
	examples, err := documentedExamples()
	if err != nil {
		return nil, err
	}
	for _, item := range doc.Paths {
		for _, op := range documented(item) {
			if op != nil {
				describeParams(op.Parameters)
				examples[op.OperationID].attach(op)
			}
		}
	}
	// Huma adds its own error model to every document; ours has another.
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	plain(doc)
	for name, schema := range schemas {
		allowNull(schema, doc.Components.Schemas.TypeFromRef("#/components/schemas/"+name))
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("openapi document: %w", err)
	}
	return b, nil
}

// documented are the operations of a path by method; nil where there is none.
func documented(item *huma.PathItem) map[string]*huma.Operation {
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodDelete: item.Delete,
	}
}

// describeParams says what numbers are, which arrive as text so that a bad one
// can be treated as this API always has.
func describeParams(params []*huma.Param) {
	for _, p := range params {
		if p.Name == "perPage" {
			least, most := 1.0, float64(maxPerPage)
			p.Schema = &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: defaultPerPage}
		}
	}
}
