package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"

	"convoy"
)

// functionRequest is a function to be tried out.
type functionRequest struct {
	Payload  json.RawMessage `json:"payload,omitempty" doc:"What the function is given, any JSON value; {} unless given"`
	Function string          `json:"function" doc:"JavaScript that defines transform(payload)"`
	Type     string          `json:"type,omitempty" enum:"body,header" doc:"What the function of a source is given; body unless given"`
}

type functionView struct {
	Payload json.RawMessage `json:"payload" doc:"What the function returned, any JSON value"`
	Log     []string        `json:"log" doc:"What the function logged"`
}

func (a *api) functionRoutes(r *registrar) {
	const (
		project = "/api/v1/projects/{projectID}"
		message = "Transformer function run successfully"
	)
	handle(r, operation{
		id: "TestSubscriptionFunction", access: viewsProject, portal: portalViews, method: http.MethodPost, path: project + "/subscriptions/test_function", tag: "Subscriptions",
		summary: "Try a function out", status: http.StatusOK, message: message,
	}, a.testSubscriptionFunction)
	handle(r, operation{
		id: "TestSourceFunction", access: viewsProject, method: http.MethodPost, path: project + "/sources/test_function", tag: "Sources",
		summary: "Try a function of a source out", status: http.StatusOK, message: message,
	}, a.testSourceFunction)
}

type testFunctionInput struct {
	ProjectPath
	Payload payload[functionRequest]
}

// testFunction runs the function of a request.
func (a *api) testFunction(ctx context.Context, in *testFunctionInput) (functionView, *functionRequest, error) {
	var none functionView
	req, err := in.Payload.decode()
	if err != nil {
		return none, nil, err
	}
	var found problems
	if req.Function == "" {
		found.add("function", "please provide a function")
	}
	if req.Type != "" && req.Type != "body" && req.Type != "header" {
		found.add("type", "must be body or header")
	}
	if a.Functions == nil {
		found.add("function", textUnsupported)
	}
	if err := found.err(); err != nil {
		return none, nil, err
	}
	if len(req.Payload) == 0 {
		req.Payload = json.RawMessage("{}")
	}
	result, err := a.Functions.Test(ctx, req.Function, req.Payload, a.now())
	if err != nil {
		return none, nil, err
	}
	v := functionView{Payload: result.Payload, Log: result.Log}
	if v.Log == nil {
		v.Log = []string{}
	}
	return v, &req, nil
}

func (a *api) testSubscriptionFunction(ctx context.Context, in *testFunctionInput) (functionView, error) {
	v, _, err := a.testFunction(ctx, in)
	return v, err
}

// testSourceFunction also checks that the result is what a source needs.
func (a *api) testSourceFunction(ctx context.Context, in *testFunctionInput) (functionView, error) {
	v, req, err := a.testFunction(ctx, in)
	if err != nil {
		return functionView{}, err
	}
	check := checkMessage
	if req.Type == "header" {
		check = checkHeaders
	}
	if err := check(gjson.ParseBytes(v.Payload)); err != nil {
		return functionView{}, err
	}
	return v, nil
}

// messageKeys are the keys of a message that becomes an event, with the type
// that each must have.
var messageKeys = map[string]func(gjson.Result) string{
	"endpoint_id":     wantText,
	"owner_id":        wantText,
	"event_type":      wantText,
	"idempotency_key": wantText,
	"data":            func(gjson.Result) string { return "" },
	"custom_headers":  wantTexts,
}

func wantText(v gjson.Result) string {
	if v.Type != gjson.String && v.Type != gjson.Null {
		return "must be a text"
	}
	return ""
}

func wantTexts(v gjson.Result) string {
	if v.Type == gjson.Null {
		return ""
	}
	ok := v.IsObject()
	v.ForEach(func(_, value gjson.Result) bool {
		ok = ok && value.Type == gjson.String
		return ok
	})
	if !ok {
		return "must be an object of texts"
	}
	return ""
}

// checkMessage refuses what a body function must not return.
func checkMessage(v gjson.Result) error {
	if !v.IsObject() {
		return convoy.E(convoy.Invalid, "the function must return an object")
	}
	var found problems
	v.ForEach(func(key, value gjson.Result) bool {
		if want, ok := messageKeys[key.Str]; !ok {
			found.add(badKey(key.Str), "must not be returned: only endpoint_id, owner_id, event_type, data, custom_headers and idempotency_key may")
		} else if text := want(value); text != "" {
			found.add(key.Str, text)
		}
		return len(found) < 10
	})
	if v.Get("event_type").String() == "" {
		found.add("event_type", "must be returned")
	}
	if !v.Get("data").Exists() {
		found.add("data", "must be returned")
	}
	return found.err()
}

// checkHeaders refuses what a header function must not return.
func checkHeaders(v gjson.Result) error {
	ok := v.IsObject()
	v.ForEach(func(_, value gjson.Result) bool {
		if value.IsArray() {
			value.ForEach(func(_, item gjson.Result) bool {
				ok = ok && item.Type == gjson.String
				return ok
			})
			return ok
		}
		ok = ok && value.Type == gjson.String
		return ok
	})
	if !ok {
		return convoy.E(convoy.Invalid, "the function must return an object of texts, or of arrays of texts")
	}
	return nil
}

// badKey is a key as it is shown in an error.
func badKey(key string) string {
	if badText(key, maxName) != "" {
		return "a key"
	}
	return key
}
