package api

import (
	"context"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/store/sqldb"
)

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		var e endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"url":"http://example.com","name":"main","secret":"x"}`}, 201, "Endpoint created successfully").data(t, &e)
		var moved endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"url":"http://example.com/2","name":"second","secret":"y"}`}, 201, "Endpoint created successfully").data(t, &moved)
		second := string(moved.UID)
		a := f.want(call{method: "POST", path: "subscriptions", body: `{"name":"Main-sub","endpoint_id":"` + string(e.UID) + `",
			"filter_config":{"event_types":["invoice.paid","user.*"],"filter":{"headers":{},"body":null}},"function":null,"alert_config":{"count":0,"threshold":""}}`},
			201, "Subscription created successfully")
		golden(t, "subscription_created", a.body)
		var s subscriptionView
		a.data(t, &s)
		one := "subscriptions/" + string(s.UID)
		golden(t, "subscription", f.want(call{path: one}, 200, "Subscription fetched successfully").body)
		golden(t, "subscriptions", f.want(call{path: "subscriptions?name=main&endpointId=" + second + "&endpointId=" + string(e.UID)}, 200, "Subscriptions fetched successfully").body)
		for query, want := range map[string]int{"": 1, "?name=zz": 0, "?endpointId=" + second: 0, "?endpointId=": 1, "?endpointId=x": 0} {
			var page paged[subscriptionView]
			f.want(call{path: "subscriptions" + query}, 200, "Subscriptions fetched successfully").data(t, &page)
			if len(page.Content) != want {
				t.Errorf("%q: %d", query, len(page.Content))
			}
		}

		f.want(call{method: "POST", path: "subscriptions", body: `{"name":"again","endpoint_id":"` + string(e.UID) + `"}`}, 400, "a subscription for this endpoint already exists")
		f.want(call{method: "PUT", path: one, body: `{"delivery_mode":"at_most_once","endpoint_id":"` + string(e.UID) + `"}`}, 202, "Subscription updated successfully")
		var other subscriptionView
		f.want(call{method: "POST", path: "subscriptions", body: `{"name":"other","endpoint_id":"` + second + `"}`}, 201, "Subscription created successfully").data(t, &other)
		if len(other.FilterConfig.EventTypes) != 1 || other.FilterConfig.EventTypes[0] != "*" || other.Mode != "at_least_once" {
			t.Errorf("defaults %+v", other)
		}
		f.want(call{method: "PUT", path: one, body: `{"endpoint_id":"` + second + `"}`}, 400, "a subscription for this endpoint already exists")
		f.want(call{method: "DELETE", path: "subscriptions/" + string(other.UID)}, 200, "Subscription deleted successfully")
		golden(t, "subscription_moved", f.want(call{method: "PUT", path: one, body: `{"name":"","endpoint_id":"` + second + `","filter_config":{"event_types":[]}}`},
			202, "Subscription updated successfully").body)

		f.want(call{method: "PUT", body: `{"name":"shop","config":{"multiple_endpoint_subscriptions":true}}`}, 202, "Project updated successfully")
		f.want(call{method: "POST", path: "subscriptions", body: `{"name":"b","endpoint_id":"` + second + `"}`}, 201, "Subscription created successfully")

		f.want(call{method: "DELETE", path: one}, 200, "Subscription deleted successfully")
		for _, gone := range []string{one, "subscriptions/x", "subscriptions/%00", "subscriptions/01K1ZZZZZZZZZZZZZZZZZZZZZZ"} {
			f.want(call{path: gone}, 404, "failed to find subscription")
			f.want(call{method: "DELETE", path: gone}, 404, "failed to find subscription")
			f.want(call{method: "PUT", path: gone, body: `{}`}, 400, "failed to find subscription")
			f.want(call{method: "PUT", path: gone + "/toggle_status"}, 202, "Subscription status updated successfully")
		}
	})
}

// TestIncomingSubscriptions has what several sources bring in go to one endpoint.
func TestIncomingSubscriptions(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		var p createdProject
		f.want(call{method: "POST", path: "/api/v1/projects?orgID=" + string(f.org.ID), key: f.person, body: `{"name":"in","type":"incoming"}`},
			201, "Project created successfully").data(t, &p)
		f.project, f.key = &convoy.Project{ID: p.Project.UID}, p.Key.Key
		endpoint, other := f.made("endpoints", `{"url":"http://example.com","name":"e"}`), f.made("endpoints", `{"url":"http://example.com/2","name":"o"}`)
		var sources, subs []string
		for _, name := range []string{"first", "second"} {
			sources = append(sources, f.made("sources", `{"name":"`+name+`","type":"http"}`))
			subs = append(subs, f.made("subscriptions", `{"name":"`+name+`","endpoint_id":"`+endpoint+`","source_id":"`+sources[len(sources)-1]+`"}`))
		}
		f.want(call{method: "PUT", path: "subscriptions/" + subs[0], body: `{"endpoint_id":"` + other + `"}`}, 202, "Subscription updated successfully")
		f.want(call{method: "PUT", path: "subscriptions/" + subs[0], body: `{"endpoint_id":"` + endpoint + `"}`}, 202, "Subscription updated successfully")
		f.want(call{method: "POST", path: "subscriptions", body: `{"name":"none","endpoint_id":"` + endpoint + `"}`}, 400, "source_id is required for incoming projects")
	})
}

func TestSubscriptionRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	e := string(f.endpoint("a"))
	with := func(change string) string { return `{"name":"a","endpoint_id":"` + e + `",` + change + `}` }
	for body, message := range map[string]string{
		``:                      "body must not be empty",
		`{}`:                    "name:please provide a valid subscription name, endpoint_id:please provide a valid endpoint id",
		with(`"name":"\u0000"`): "name:must not contain NUL characters",
		with(`"name":"` + strings.Repeat("x", 256) + `"`): "name:must not be longer than 255 characters",
		with(`"name":{}`):                                                                `body contains incorrect JSON type for field "name"`,
		with(`"endpoint_id":"x"`):                                                        "failed to find endpoint by id",
		with(`"endpoint_id":"01K1ZZZZZZZZZZZZZZZZZZZZZZ"`):                               "failed to find endpoint by id",
		with(`"delivery_mode":"once"`):                                                   "delivery_mode:invalid delivery mode value, must be either 'at_least_once' or 'at_most_once'",
		with(`"source_id":"01K1ZZZZZZZZZZZZZZZZZZZZZZ"`):                                 "failed to find source by id",
		with(`"function":"function transform(){}"`):                                      "function:is not supported yet", // without an engine for it
		with(`"alert_config":{"count":-1}`):                                              "count:must be from 0 to 1000",
		with(`"alert_config":{"count":1,"threshold":"x"}`):                               "threshold:please provide a valid time duration",
		with(`"alert_config":[]`):                                                        `body contains incorrect JSON type for field "alert_config"`,
		with(`"retry_config":{"type":"constant"}`):                                       "type:unsupported strategy type",
		with(`"retry_config":{"duration":"soon"}`):                                       "duration:please provide a valid time duration",
		with(`"retry_config":{"duration":"5ms"}`):                                        "duration:please provide a valid time duration, from 1s to 8784h0m0s",
		with(`"retry_config":{"duration":-5}`):                                           `body contains incorrect JSON type for field "retry_config.duration"`,
		with(`"retry_config":{"interval_seconds":99999999}`):                             "interval_seconds:must be from 0 to 31622400",
		with(`"retry_config":{"retry_count":-1}`):                                        "retry_count:must be from 0 to 10000",
		with(`"rate_limit_config":{"count":-5}`):                                         "count:must be from 0 to 1000000000",
		with(`"rate_limit_config":{"duration":99999999}`):                                "duration:must be from 0 to 31622400",
		with(`"filter_config":{"filter":{"body":{"a":{"$foo":1}}}}`):                     "body: a: unknown operator $foo, must be $eq, $neq, $gt, $gte, $lt, $lte, $in, $nin, $regex, $exist, $or or $and",
		with(`"filter_config":{"filter":{"query":5}}`):                                   "query: must be a JSON object",
		with(`"filter_config":{"event_types":[""]}`):                                     "event_types:must not be empty",
		with(`"filter_config":{"event_types":["\u0000"]}`):                               "event_types:must not contain NUL characters",
		with("\"filter_config\":{\"event_types\":[\"\xff\"]}"):                           "filter_config.event_types:must be valid UTF-8",
		with(`"filter_config":{"event_types":["` + strings.Repeat("x", 256) + `"]}`):     "event_types:must not be longer than 255 characters",
		with(`"filter_config":{"event_types":[1]}`):                                      `body contains incorrect JSON type for field "filter_config.event_types"`,
		with(`"filter_config":{"event_types":["a"` + strings.Repeat(`,"b"`, 200) + `]}`): "event_types:must not be more than 200",
		with(`"filter_config":{"filter":{"body":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}}`): "body: fields must not be deeper than 32",
	} {
		f.want(call{method: "POST", path: "subscriptions", body: body}, 400, message)
	}
	var s subscriptionView
	f.want(call{method: "POST", path: "subscriptions", body: with(`"delivery_mode":""`)}, 201, "Subscription created successfully").data(t, &s)
	one := "subscriptions/" + string(s.UID)
	for body, message := range map[string]string{
		`{"name":"\u0000"}`:                            "name:must not contain NUL characters",
		`{"retry_config":{"type":"x"}}`:                "type:unsupported strategy type",
		`{"endpoint_id":"x"}`:                          "failed to find endpoint by id: the endpoint may not belong to project",
		`{"endpoint_id":"01K1ZZZZZZZZZZZZZZZZZZZZZZ"}`: "failed to find endpoint by id: the endpoint may not belong to project",
	} {
		f.want(call{method: "PUT", path: one, body: body}, 400, message)
	}
}

// Every setting of a subscription is kept, and what an update leaves out stays.
func TestSubscriptionSettings(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db, func(c *Config) { c.Functions = anyFunction{} })
		e := string(f.endpoint("a"))
		a := f.want(call{method: "POST", path: "subscriptions", body: `{"name":"a","endpoint_id":"` + e + `","function":"function transform(p) { return p }",
			"alert_config":{"count":5,"threshold":"1h"},"retry_config":{"type":"exponential","interval_seconds":7,"retry_count":4},
			"rate_limit_config":{"count":10,"duration":60},
			"filter_config":{"event_types":["invoice.paid","user.*"],"filter":{"headers":{"X-Kind":"a"},"body":{"data":{"amount":{"$gt":10}}},"is_flattened":true}}}`},
			201, "Subscription created successfully")
		golden(t, "subscription_full", a.body)
		var s subscriptionView
		a.data(t, &s)
		one := "subscriptions/" + string(s.UID)
		if a := f.want(call{method: "PUT", path: one, body: `{"name":"a"}`}, 202, "Subscription updated successfully"); !strings.Contains(a.body, `"retry_config":{"type":"exponential","duration":7,"retry_count":4}`) ||
			!strings.Contains(a.body, `"rate_limit_config":{"count":10,"duration":60}`) || !strings.Contains(a.body, `"data.amount.$gt":10`) || !strings.Contains(a.body, `"threshold":"1h0m0s"`) {
			t.Errorf("after an update of nothing: %s", a.body)
		}
		// What is shown may be written back.
		f.want(call{method: "PUT", path: one, body: `{"retry_config":{"duration":"2m"},"filter_config":{"event_types":["invoice.paid","order.*"],"filter":{"body":{"data.amount.$gt":20}}}}`},
			202, "Subscription updated successfully").data(t, &s)
		if s.RetryConfig.Duration != 120 || s.RetryConfig.Type != "exponential" || strings.Join(s.FilterConfig.EventTypes, " ") != "invoice.paid order.*" {
			t.Errorf("after the change %+v", s)
		}
		var rows []filterView
		f.want(call{path: one + "/filters"}, 200, "Filters retrieved successfully").data(t, &rows)
		for _, row := range rows {
			if string(row.Body) != `{"data.amount.$gt":20}` || string(row.Headers) != "{}" {
				t.Errorf("filter of %s: %s %s", row.EventType, row.Body, row.Headers)
			}
		}
		// What is shown changes nothing when it is sent back, though the filters differ.
		f.want(call{method: "PUT", path: one + "/filters/" + string(rows[1].UID), body: `{"body":{"own":1}}`}, 200, "Filter updated successfully")
		shown := f.want(call{path: one}, 200, "Subscription fetched successfully").body
		shown = shown[strings.Index(shown, `"filter_config":`)+len(`"filter_config":`) : strings.Index(shown, `,"rate_limit_config"`)]
		f.want(call{method: "PUT", path: one, body: `{"filter_config":` + shown + `}`}, 202, "Subscription updated successfully")
		f.want(call{path: one + "/filters"}, 200, "Filters retrieved successfully").data(t, &rows)
		if string(rows[0].Body) != `{"data.amount.$gt":20}` || string(rows[1].Body) != `{"own":1}` {
			t.Errorf("after sending %s: %+v", shown, rows)
		}
		f.want(call{method: "PUT", path: one, body: `{"alert_config":{"threshold":"2h"}}`}, 202, "Subscription updated successfully").data(t, &s)
		if *s.AlertConfig != (alertView{5, "2h0m0s"}) {
			t.Errorf("alert %+v", s.AlertConfig)
		}
		// A type that is added takes over the conditions.
		f.want(call{method: "PUT", path: one, body: `{"filter_config":{"event_types":["invoice.paid","new"]}}`}, 202, "Subscription updated successfully")
		f.want(call{path: one + "/filters"}, 200, "Filters retrieved successfully").data(t, &rows)
		if len(rows) != 2 || rows[1].EventType != "new" || string(rows[1].Body) != `{"data.amount.$gt":20}` {
			t.Errorf("filters %+v", rows)
		}
	})
}

// anyFunction takes every text but "bad". What runs is tested elsewhere.
type anyFunction struct{ functionRunner }

func (anyFunction) Check(_ context.Context, source string) error {
	if source == "bad" {
		return convoy.E(convoy.Invalid, "function: line 1: bad")
	}
	return nil
}
