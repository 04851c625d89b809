package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/filter"
	"convoy/internal/store/sqldb"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		var s subscriptionView
		f.want(call{method: "POST", path: "subscriptions", body: `{"name":"a","endpoint_id":"` + string(f.endpoint("a")) + `","filter_config":{"event_types":["first"]}}`},
			201, "Subscription created successfully").data(t, &s)
		all := "subscriptions/" + string(s.UID) + "/filters"
		f.want(call{method: "POST", path: all, body: `{"event_type":"invoice.paid"}`}, 404, "event type does not exist")
		f.want(call{method: "POST", path: all + "/bulk", body: `[{"event_type":"b"},{"event_type":"zz"}]`}, 404, "event type b does not exist")
		f.want(call{method: "POST", path: all + "/bulk", body: `[{}]`}, 404, "event type does not exist")
		f.types("invoice.paid", "b", "x", "new")
		a := f.want(call{method: "POST", path: all, body: `{"event_type":"invoice.paid","body":{"data":{"amount":{"$gte":10}},"tags":["x"]},"headers":{"X-Kind":"a"}}`},
			201, "Filter created successfully")
		golden(t, "filter", a.body)
		var row filterView
		a.data(t, &row)
		one := all + "/" + string(row.UID)
		golden(t, "filter_read", f.want(call{path: one}, 200, "Filter retrieved successfully").body)
		golden(t, "filters", f.want(call{path: all}, 200, "Filters retrieved successfully").body)

		f.want(call{method: "POST", path: all, body: `{"event_type":"invoice.paid"}`}, 400, "filter with this event type already exists")
		f.want(call{method: "POST", path: all, body: `{}`}, 404, "event type does not exist")
		f.want(call{method: "PUT", path: one, body: `{"event_type":"zz"}`}, 404, "event type does not exist")
		f.want(call{method: "PUT", path: one, body: `{"event_type":"first"}`}, 400, "filter with this event type already exists")
		f.want(call{method: "PUT", path: one, body: `{"body":{"amount":5},"enabled_at":null}`}, 200, "Filter updated successfully").data(t, &row)
		if row.EnabledAt != nil || string(row.RawBody) != `{"amount":5}` || string(row.Headers) != `{"X-Kind":"a"}` {
			t.Errorf("after the update %+v", row)
		}
		for body, want := range map[string]string{
			`{"enabled_at":"2026-08-01T10:00:00.5Z"}`:                        "2026-08-01T10:00:00.5Z",
			`{"enabled_at":{"set":true,"time":"2026-08-02T10:00:00+02:00"}}`: "2026-08-02T08:00:00Z",
			`{"enabled_at":{"set":false,"time":"2026-08-02T10:00:00Z"}}`:     "",
			`{"enabled_at":"0001-01-01T00:00:00Z"}`:                          "",
		} {
			a := f.want(call{method: "PUT", path: one, body: body}, 200, "Filter updated successfully").body
			if want == "" && !strings.Contains(a, `"enabled_at":null`) || want != "" && !strings.Contains(a, `"enabled_at":"`+want+`"`) {
				t.Errorf("%s: %s", body, a)
			}
		}

		var rows []filterView
		f.want(call{method: "POST", path: all + "/bulk", body: `[{"event_type":"b","query":{"a":"1"}},{"event_type":"c.*","enabled_at":null}]`}, 201, "Filters created successfully").data(t, &rows)
		if len(rows) != 2 || rows[1].EnabledAt != nil || rows[0].EnabledAt == nil {
			t.Errorf("bulk %+v", rows)
		}
		f.want(call{method: "POST", path: all + "/bulk", body: `[{"event_type":"x"},{"event_type":"x"}]`}, 400, "duplicate event type x in request")
		f.want(call{method: "POST", path: all + "/bulk", body: `[{"event_type":"new"},{"event_type":"b"}]`}, 400, "filter for event type b already exists")
		f.want(call{path: all}, 200, "Filters retrieved successfully").data(t, &rows)
		if len(rows) != 4 {
			t.Errorf("%d filters, the refused ones included", len(rows))
		}
		for _, method := range []string{"PUT", "POST"} {
			f.want(call{method: method, path: all + "/bulk_update", body: `[{"uid":"` + string(rows[2].UID) + `","body":{"k":1}}]`}, 200, "Filters updated successfully")
		}
		f.want(call{method: "PUT", path: all + "/bulk_update", body: `[{"uid":"zz"}]`}, 404, "filter zz not found")
		f.want(call{method: "PUT", path: all + "/bulk_update", body: `[]`}, 400, "body must be an array of 1 to 200 filters")

		f.want(call{method: "DELETE", path: one}, 200, "Filter deleted successfully")
		f.want(call{path: one}, 404, "filter not found")
		f.want(call{method: "DELETE", path: one}, 404, "filter not found")
		f.want(call{method: "PUT", path: one, body: `{}`}, 404, "filter not found")
		for _, path := range []string{"subscriptions/x/filters", "subscriptions/01K1ZZZZZZZZZZZZZZZZZZZZZZ/filters"} {
			f.want(call{path: path}, 404, "subscription not found")
			f.want(call{method: "POST", path: path, body: `{"event_type":"a"}`}, 404, "subscription not found")
		}
		// The subscription and its filters say the same.
		f.want(call{path: "subscriptions/" + string(s.UID)}, 200, "Subscription fetched successfully").data(t, &s)
		if strings.Join(s.FilterConfig.EventTypes, " ") != "first b c.*" {
			t.Errorf("event types %q", s.FilterConfig.EventTypes)
		}
	})
}

func TestFilterTests(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	var s subscriptionView
	f.want(call{method: "POST", path: "subscriptions", body: `{"name":"a","endpoint_id":"` + string(f.endpoint("a")) + `","filter_config":{"event_types":["paid","user.*"],"filter":{"body":{"n":{"$gt":5}}}}}`},
		201, "Subscription created successfully").data(t, &s)
	for path, want := range map[string]map[string]string{
		"paid": {
			`{"payload":{"n":6}}`:                                            "true",
			`{"payload":{"n":5}}`:                                            "false",
			`{"request":{"body":{"n":6},"header":{"a":"b"}}}`:                "true",
			`{"request":{"body":{"n":6},"path":"/x","query":{"a":["1",2]}}}`: "true",
			`{}`: "false",
		},
		"user.created": {`{"payload":{"n":6}}`: "true"},
		"other":        {`{"payload":{"n":6}}`: "false"},
	} {
		for body, match := range want {
			a := f.want(call{method: "POST", path: "subscriptions/" + string(s.UID) + "/filters/test/" + path, body: body}, 200, "Filter test completed").body
			if !strings.HasSuffix(strings.TrimSpace(a), `"data":{"is_match":`+match+`}}`) {
				t.Errorf("%s %s: %s", path, body, a)
			}
		}
	}
	for body, want := range map[string]string{
		`{"request":{"header":{"X-Kind":"a"},"body":{"n":1},"query":{},"path":{}},"schema":{"header":{"x-kind":"a"},"body":{"n":1}}}`: "true",
		`{"request":{"headers":{"X-Kind":"a"}},"schema":{"headers":{"x-kind":"b"}}}`:                                                  "false",
		`{"request":{"path":{"path":"/in/x"}},"schema":{"path":{"path":{"$regex":"x$"}}}}`:                                            "true",
		`{"request":{},"schema":{}}`: "true",
	} {
		a := f.want(call{method: "POST", path: "subscriptions/test_filter", body: body}, 200, "Filter validated successfully").body
		if !strings.HasSuffix(strings.TrimSpace(a), `"data":`+want+`}`) {
			t.Errorf("%s: %s", body, a)
		}
	}
	for body, message := range map[string]string{
		``:                                      "body must not be empty",
		`{"schema":{"body":{"a":{"$x":1}}}}`:    "failed to validate subscription filter: body: a: unknown operator $x, must be $eq, $neq, $gt, $gte, $lt, $lte, $in, $nin, $regex, $exist, $or or $and",
		`{"request":{"headers":5},"schema":{}}`: `body contains incorrect JSON type for field "headers"`,
		`{"request":{"query":{"a":{}}},"schema":{}}`: `body contains incorrect JSON type for field "query"`,
		`{"request":{"path":5},"schema":{}}`:         `body contains incorrect JSON type for field "path"`,
	} {
		f.want(call{method: "POST", path: "subscriptions/test_filter", body: body}, 400, message)
	}
}

// types adds event types to the catalogue.
func (f *fixture) types(names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.want(call{method: "POST", path: "event-types", body: `{"name":"` + name + `"}`}, 201, "Event type created successfully")
	}
}

// What is shown with dotted names asks the same, or is shown as it is.
func TestFlatten(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		``: ``, `{}`: ``,
		`{"b":{"c":{"$gt":1,"$lt":5},"d":{}},"a":[{"x":1}]}`: `{"a":[{"x":1}],"b.c.$gt":1,"b.c.$lt":5,"b.d":{}}`,
		`{"a":{"$eq":{"b":{"c":1}}}}`:                        `{"a.$eq":{"b":{"c":1}}}`,
		`{"a.b.$eq":{"c":1}}`:                                `{"a.b.$eq":{"c":1}}`,
		`{"a":{"$":{"k":1}},"$":{"b":1}}`:                    `{"$.b":1,"a.$.k":1}`,
		`{"a":{"$or":[{"b":1},{"$eq":{"c":1}}]}}`:            `{"a.$or":[{"b":1},{"$eq":{"c":1}}]}`,
		`{"a.b":1, "a":{"b":2}}`:                             `{"a":{"b":2},"a.b":1}`,
	} {
		got := flatten(json.RawMessage(given))
		if string(got) != want || string(flatten(json.RawMessage(got))) != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
		if _, err := filter.Compile(&convoy.Filter{Body: json.RawMessage(got)}); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

func TestFiltersAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	var s subscriptionView
	f.want(call{method: "POST", path: "subscriptions", body: `{"name":"a","endpoint_id":"` + string(f.endpoint("a")) + `"}`}, 201, "Subscription created successfully").data(t, &s)
	long := `{"a":"` + strings.Repeat("x", 60<<10) + `"}`
	var types []string
	for i := range 17 {
		types = append(types, fmt.Sprintf(`"t%d"`, i))
	}
	const refused = "filter:the filters of a subscription must not have more than 1048576 bytes together"
	one := "subscriptions/" + string(s.UID)
	f.want(call{method: "PUT", path: one, body: `{"filter_config":{"event_types":[` + strings.Join(types, ",") + `,"more"],"filter":{"body":` + long + `}}}`}, 400, refused)
	f.want(call{method: "PUT", path: one, body: `{"filter_config":{"event_types":[` + strings.Join(types, ",") + `],"filter":{"body":` + long + `}}}`}, 202, "Subscription updated successfully")
	f.want(call{method: "POST", path: one + "/filters", body: `{"event_type":"more.*","query":` + long + `}`}, 400, refused)
	f.want(call{method: "POST", path: one + "/filters", body: `{"event_type":"more.*","query":{}}`}, 201, "Filter created successfully")
}

func TestFilterRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.types("a")
	var s subscriptionView
	f.want(call{method: "POST", path: "subscriptions", body: `{"name":"a","endpoint_id":"` + string(f.endpoint("a")) + `"}`}, 201, "Subscription created successfully").data(t, &s)
	all := "subscriptions/" + string(s.UID) + "/filters"
	for body, message := range map[string]string{
		`{"event_type":5}`:                                  `body contains incorrect JSON type for field "event_type"`,
		`{"event_type":"a\u0000"}`:                          "event_type:must not contain NUL characters",
		`{"event_type":"` + strings.Repeat("x", 256) + `"}`: "event_type:must not be longer than 255 characters",
		`{"event_type":"a","enabled_at":5}`:                 "enabled_at:must be a time (RFC 3339) or null",
		`{"event_type":"a","enabled_at":"soon"}`:            "enabled_at:must be a time (RFC 3339) or null",
		`{"event_type":"a","body":"x"}`:                     "body: must be a JSON object",
		`{"event_type":"a","headers":{"a":{"$gt":"x"}}}`:    "headers: a: $gt must be a number",
		`{"event_type":"a","body":{"a":{"$regex":"("}}}`:    "body: a: $regex must be a regular expression (RE2): error parsing regexp: missing closing ): `(`",
	} {
		f.want(call{method: "POST", path: all, body: body}, 400, message)
	}
}
