package api

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/tidwall/gjson"

	"convoy"
	"convoy/internal/filter"
)

// A filter is tried out on parts of a request that need not exist.

// partsRequest are the parts of an event. Each is JSON: headers and query an
// object of texts or arrays of texts, path a text or {"path": text}.
type partsRequest struct {
	Body    json.RawMessage `json:"body,omitempty"`
	Headers json.RawMessage `json:"headers,omitempty"`
	Header  json.RawMessage `json:"header,omitempty" doc:"The same as headers"`
	Query   json.RawMessage `json:"query,omitempty"`
	Path    json.RawMessage `json:"path,omitempty"`
}

// document makes what filters look at.
func (q *partsRequest) document() (*filter.Document, error) {
	headers := q.Headers
	if len(headers) == 0 {
		headers = q.Header
	}
	names, err := textLists("headers", headers)
	if err != nil {
		return nil, err
	}
	query, err := textLists("query", q.Query)
	if err != nil {
		return nil, err
	}
	path := gjson.ParseBytes(q.Path)
	if path.IsObject() {
		path = path.Get("path")
	}
	if path.Exists() && path.Type != gjson.String && path.Type != gjson.Null {
		return nil, wrongType("path")
	}
	return filter.NewDocument(q.Body, names, url.Values(query).Encode(), path.String()), nil
}

// textLists reads an object of scalars and arrays of scalars.
func textLists(field string, raw json.RawMessage) (map[string][]string, error) {
	v := gjson.ParseBytes(raw)
	if len(raw) == 0 || v.Type == gjson.Null {
		return map[string][]string{}, nil
	}
	if !v.IsObject() {
		return nil, wrongType(field)
	}
	lists, ok := make(map[string][]string), true
	v.ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		switch {
		case value.IsObject():
			ok = false
		case value.IsArray():
			value.ForEach(func(_, item gjson.Result) bool {
				ok = !item.IsObject() && !item.IsArray()
				lists[name] = append(lists[name], item.String())
				return ok
			})
		default:
			lists[name] = append(lists[name], value.String())
		}
		return ok
	})
	if !ok {
		return nil, wrongType(field)
	}
	return lists, nil
}

type testSubscriptionFilterInput struct {
	ProjectPath
	Payload payload[testSubscriptionFilterRequest]
}

type testSubscriptionFilterRequest struct {
	Request partsRequest `json:"request" required:"false"`
	Schema  schemaParts  `json:"schema" required:"false" doc:"The filter; all events match none"`
}

type schemaParts struct {
	Body    conditions `json:"body,omitempty"`
	Headers conditions `json:"headers,omitempty"`
	Header  conditions `json:"header,omitempty" doc:"The same as headers"`
	Query   conditions `json:"query,omitempty"`
	Path    conditions `json:"path,omitempty"`
}

func (a *api) testSubscriptionFilter(_ context.Context, in *testSubscriptionFilterInput) (bool, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return false, err
	}
	headers := req.Schema.Headers
	if len(headers) == 0 {
		headers = req.Schema.Header
	}
	p, err := filter.Compile(&convoy.Filter{
		Body: json.RawMessage(req.Schema.Body), Headers: json.RawMessage(headers),
		Query: json.RawMessage(req.Schema.Query), Path: json.RawMessage(req.Schema.Path),
	})
	if err != nil {
		return false, convoy.Wrap(convoy.Invalid, "failed to validate subscription filter: "+err.Error(), err)
	}
	d, err := req.Request.document()
	if err != nil {
		return false, err
	}
	return p.Match(d), nil
}

type testFilterInput struct {
	SubscriptionPath
	EventType string `path:"eventType" doc:"The name of the event type"`
	Payload   payload[testFilterRequest]
}

type testFilterRequest struct {
	Payload json.RawMessage `json:"payload,omitempty" doc:"The body, when there is no request"`
	Request *partsRequest   `json:"request,omitempty"`
}

type testFilterView struct {
	Match bool `json:"is_match"`
}

func (a *api) testFilter(ctx context.Context, in *testFilterInput) (testFilterView, error) {
	var v testFilterView
	if text := badText(in.EventType, maxEventType); text != "" {
		return v, invalid("eventType", text)
	}
	s, err := a.filtered(ctx, &in.SubscriptionPath)
	if err != nil {
		return v, err
	}
	req, err := in.Payload.decode()
	if err != nil {
		return v, err
	}
	if req.Request == nil {
		req.Request = &partsRequest{Body: req.Payload}
	}
	d, err := req.Request.document()
	if err != nil {
		return v, err
	}
	f := s.Filter(in.EventType)
	if f == nil {
		// Without any filter nothing is asked; one that is switched off takes nothing.
		v.Match = len(s.Filters) == 0
		return v, nil
	}
	p, err := filter.Compile(f)
	if err != nil {
		return v, err
	}
	v.Match = p.Match(d)
	return v, nil
}
