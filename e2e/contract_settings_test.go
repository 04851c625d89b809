package e2e

import (
	"errors"
	"fmt"
)

const anID = "01K1ZZZZZZZZZZZZZZZZZZZZZZ" // of nothing

// be wants a part of the data to have a form, besides that of the whole.
func be(place, form string) show {
	return func(c *contract, data any) error {
		if found := matches(place, parsed(c.fill(form, nil, keptName)), part(data, place)); len(found) > 0 {
			return errors.New(found[0])
		}
		return nil
	}
}

// all wants several things.
func all(shows ...show) show {
	return func(c *contract, data any) error {
		for _, show := range shows {
			if err := show(c, data); err != nil {
				return err
			}
		}
		return nil
	}
}

// count wants n things in a list, with pages or without.
func count(n int) show {
	return func(_ *contract, data any) error {
		list, ok := data.([]any)
		if !ok {
			list, ok = part(data, "content").([]any)
		}
		if !ok || len(list) != n {
			return fmt.Errorf("%d in the list, want %d", len(list), n)
		}
		return nil
	}
}

// Section 3.1.
func projectCalls() []contractCall {
	const list = "/api/v1/projects"
	org := "orgID=<org>"
	return []contractCall{
		{method: "GET", path: "", status: 200, message: "Project fetched successfully", data: `"@project"`, keep: map[string]string{"org": "organisation_id"}},
		{method: "GET", path: list, query: org, status: 200, message: "Projects fetched successfully", data: `["@project"]`},
		{method: "GET", path: list, as: "person", header: map[string]string{"X-Organisation-Id": "<org>"}, status: 200, message: "Projects fetched successfully", data: `["@project"]`},
		{method: "GET", path: list, status: 400, message: "~orgID"},
		{method: "GET", path: list, as: "person", query: "orgID=" + anID, status: 400, message: "organisation not found"},
		{method: "GET", path: list, query: "orgID=" + anID, status: 403, message: "Unauthorized: must be a member of the organisation"},

		{method: "POST", path: list, as: "person", query: org, body: `{"name":"second","type":"outgoing"}`, status: 201, message: "Project created successfully",
			data: `"@newProject"`, keep: map[string]string{"second": "project.uid", "secondKey": "api_key.key"},
			show: all(be("project.config", `"@defaultConfig"`), be("api_key.name", `"=second's default key"`), be("project.logo_url", `"="`))},
		{method: "POST", path: list, as: "person", query: org, body: `{"name":"second","type":"outgoing"}`, status: 400, message: "a project with this name already exists"},
		{method: "POST", path: list, as: "person", query: org, body: `{"name":"third","type":"sideways"}`, status: 400, message: "~type"},
		{method: "POST", path: list, as: "person", body: `{"name":"third","type":"outgoing"}`, status: 404, message: "Organization not found"},
		{method: "POST", path: list, as: "person", query: "orgID=" + anID, body: `{"name":"third","type":"outgoing"}`, status: 400, message: "organisation not found"},
		{method: "POST", path: list, query: org, body: `{"name":"third","type":"outgoing"}`, status: 403, message: "~"},

		// A project's key acts on its own project whatever the URL says; a person on that of the URL.
		{method: "GET", path: "", with: map[string]string{"projectID": anID}, status: 200, message: "Project fetched successfully", data: `"@project"`, show: be("uid", `"id"`)},
		{method: "GET", path: "", as: "person", with: map[string]string{"projectID": anID}, status: 400, message: "project not found"},

		{method: "PUT", path: "", body: `{"name":"default","config":{"strategy":{"type":"linear","duration":1,"retry_count":1},"multiple_endpoint_subscriptions":true,"add_event_id_trace_headers":true}}`,
			status: 202, message: "Project updated successfully", data: `"@project"`,
			show: be("config.strategy", `{"type":"=linear","duration":1,"retry_count":1}`)},
		{method: "GET", path: "", status: 200, message: "Project fetched successfully", data: `"@project"`, show: all(
			be("config.multiple_endpoint_subscriptions", `true`), be("config.add_event_id_trace_headers", `true`),
			be("config.ratelimit", `{"count":1000,"duration":60}`), be("config.meta_event.event_type", `[]`),
			be("config.meta_event.pub_sub", `"object"`), be("config.circuit_breaker", `"@breaker"`))},
		{method: "PUT", path: "", body: `{"name":"default","config":{"strategy":{"type":"never","duration":1,"retry_count":1}}}`, status: 400, message: "~unsupported strategy type"},
		{method: "PUT", path: "", body: `{"name":"default","config":{"sync_dynamic_event_ack":true}}`, status: 400, message: "~"},
		{method: "PUT", path: "", body: `{"name":"default","config":{"search_policy":"a while"}}`, status: 400, message: "~search_policy"},
		{method: "PUT", path: "", body: `{}`, status: 400, message: "~name"},
	}
}

// Section 3.2.
func endpointCalls() []contractCall {
	const one = "/endpoints/{endpointID}"
	const found = "Endpoint fetched successfully"
	return append([]contractCall{
		{method: "POST", path: "/endpoints", body: `{"url":"<receiver>/main","name":"main","owner_id":"cust-1"}`, status: 201, message: "Endpoint created successfully",
			data: `"@endpoint"`, keep: map[string]string{"endpointID": "uid", "secret": "secrets.0.value"}, show: all(
				be("authentication", `null`), be("status", `"=active"`), be("http_timeout", `10`), be("rate_limit", `0`), be("rate_limit_duration", `0`),
				be("advanced_signatures", `true`), be("content_type", `"=application/json"`), be("owner_id", `"=cust-1"`), be("description", `"="`),
				func(_ *contract, data any) error {
					if secret, ok := part(data, "secrets.0.value").(string); !ok || len(secret) != 25 {
						return errors.New("the secret has not 25 characters")
					}
					return nil
				})},
		{method: "POST", path: "/endpoints", status: 201, message: "Endpoint created successfully", data: `"@endpoint"`, keep: map[string]string{"rich": "uid"},
			body: `{"url":"<receiver>/rich","name":"rich","secret":"s3cret","owner_id":"cust-2","description":"d","advanced_signatures":false,
				"support_email":"a@example.com","slack_webhook_url":"https://slack.example.com/a","teams_webhook_url":"https://teams.example.com/a",
				"is_disabled":true,"http_timeout":20,"rate_limit":10,"rate_limit_duration":60,"content_type":"application/x-www-form-urlencoded",
				"authentication":{"type":"basic_auth","basic_auth":{"username":"u","password":"p"}}}`,
			show: all(be("secrets", `[{"uid":"id","value":"=s3cret","expires_at":null,"created_at":"time","updated_at":"time","deleted_at":null}]`),
				be("status", `"=active"`), be("http_timeout", `20`), be("rate_limit", `10`), be("rate_limit_duration", `60`), be("advanced_signatures", `false`),
				be("content_type", `"=application/x-www-form-urlencoded"`), be("support_email", `"=a@example.com"`))},
		{method: "GET", path: one, with: map[string]string{"endpointID": "<rich>"}, status: 200, message: found, data: `"@endpoint"`,
			show: be("authentication", `{"type":"=basic_auth","basic_auth":{"username":"=u","password":"=[REDACTED]"}}`)},
		{method: "POST", path: "/endpoints", status: 201, message: "Endpoint created successfully", data: `"@endpoint"`, keep: map[string]string{"keyed": "uid"},
			body: `{"url":"<receiver>/keyed","name":"keyed","authentication":{"type":"api_key","api_key":{"header_name":"X-Key","header_value":"v"}}}`,
			show: be("authentication", `{"type":"=api_key","api_key":{"header_name":"=X-Key","header_value":"=v"}}`)},
		{method: "GET", path: "/endpoints", status: 200, message: "Endpoints fetched successfully", data: paged("@endpoint"), show: all(count(3),
			be("content.0.name", `"=keyed"`), be("content.2.name", `"=main"`),
			be("pagination", `{"per_page":20,"has_next_page":false,"has_prev_page":false,"prev_page_cursor":"id","next_page_cursor":"id"}`))},
		{method: "GET", path: "/endpoints", query: "q=MAI", status: 200, message: "Endpoints fetched successfully", data: paged("@endpoint"), show: all(count(1),
			be("content.0.name", `"=main"`), be("pagination.next_page_cursor", `"="`))},
		{method: "GET", path: "/endpoints", query: "ownerId=cust-2", status: 200, message: "Endpoints fetched successfully", data: paged("@endpoint"), show: all(count(1), be("content.0.name", `"=rich"`))},
		{method: "GET", path: "/endpoints", query: "ownerId=cust", status: 200, message: "Endpoints fetched successfully",
			data: `{"content":[],"pagination":{"per_page":20,"has_next_page":false,"has_prev_page":false,"prev_page_cursor":"=","next_page_cursor":"="}}`},
		{method: "GET", path: one, status: 200, message: found, data: `"@endpoint"`, show: all(be("uid", `"id"`), be("authentication", `"object"`))},
		{method: "GET", path: one, with: map[string]string{"endpointID": anID}, status: 404, message: "Resource not found"},

		{method: "PUT", path: one, body: `{"url":"<receiver>/main","name":"main 2"}`, status: 202, message: "Endpoint updated successfully", data: `"@endpoint"`,
			show: all(be("name", `"=main 2"`), be("owner_id", `"=cust-1"`), be("advanced_signatures", `true`), be("http_timeout", `10`))},
		{method: "PUT", path: one, body: `{"url":"<receiver>/main"}`, status: 400, message: "~please provide your endpointName"},
		{method: "PUT", path: one, with: map[string]string{"endpointID": anID}, body: `{"url":"<receiver>/a","name":"a"}`, status: 400, message: "endpoint not found"},
		// An update without authentication clears it.
		{method: "PUT", path: one, with: map[string]string{"endpointID": "<keyed>"}, body: `{"url":"<receiver>/keyed","name":"keyed"}`, status: 202, message: "Endpoint updated successfully",
			data: `"@endpoint"`, show: be("authentication", `"object|null"`)},

		{method: "PUT", path: one + "/pause", body: `"{}"`, status: 202, message: "endpoint status updated successfully", data: `"@endpoint"`, show: be("status", `"=paused"`)},
		{method: "PUT", path: one + "/pause", status: 202, message: "endpoint status updated successfully", data: `"@endpoint"`, show: be("status", `"=active"`)},
		{method: "PUT", path: one + "/pause", with: map[string]string{"endpointID": anID}, status: 400, message: "failed to find endpoint"},
		{method: "POST", path: one + "/activate", status: 400, message: "current endpoint status - active, does not support activation"},
		{method: "PUT", path: one + "/pause", status: 202, message: "endpoint status updated successfully", data: `"@endpoint"`, show: be("status", `"=paused"`)},
		{method: "POST", path: one + "/activate", status: 202, message: "endpoint status successfully activated", data: `"@endpoint"`, show: be("status", `"=active"`)},
		{method: "POST", path: one + "/activate", with: map[string]string{"endpointID": anID}, status: 400, message: "failed to find endpoint"},

		{method: "PUT", path: one + "/expire_secret", body: `{"secret":"next","expiration":3600}`, status: 200, message: "endpoint secret expired successfully", data: `"@endpoint"`,
			show: be("secrets", `["@secret"]`)},
		{method: "PUT", path: one + "/expire_secret", with: map[string]string{"endpointID": anID}, body: `{}`, status: 400, message: "endpoint not found"},

		{method: "POST", path: "/endpoints/oauth2/test", body: `{"oauth2":{"url":"<receiver>/token","client_id":"c","authentication_type":"shared_secret","client_secret":"s"}}`,
			status: 200, message: "OAuth2 connection test successful", data: `"@oauth2Test"`, show: all(be("success", `true`), be("access_token", `"=tok"`), be("expires_at", `"time"`))},
		{method: "POST", path: "/endpoints/oauth2/test", body: `{"oauth2":{"url":"<receiver>/no-token","client_id":"c","authentication_type":"shared_secret","client_secret":"s"}}`,
			status: 200, message: "OAuth2 connection test failed", data: `"@oauth2Test"`, show: all(be("success", `false`), be("error", `"text"`))},
		{method: "POST", path: "/endpoints/oauth2/test", body: `{"oauth2":{"url":"<receiver>/token","client_id":"c","authentication_type":"shared_secret"}}`, status: 400, message: "~client_secret"},

		{method: "GET", path: "/endpoints/period-failure-rates", query: "endpointId=<endpointID>&endpointId=<rich>", status: 200,
			message: "Endpoint period failure rates fetched successfully", data: `["@rates"]`, show: count(2)},
		{method: "GET", path: "/endpoints/period-failure-rates", query: "startDate=yesterday", status: 400, message: "please specify a startDate in the format 2006-01-02T15:04:05"},
	}, endpointRefusals()...)
}

func endpointRefusals() []contractCall {
	var calls []contractCall
	for body, message := range map[string]string{
		`{"name":"a"}`:                                                  "~please provide a url for your endpoint",
		`{"url":"<receiver>/a"}`:                                        "~name",
		`{"url":"ftp://example.com/a","name":"a"}`:                      "~invalid endpoint scheme",
		`{"url":"http:///a","name":"a"}`:                                "~endpoint url must include a valid host",
		`{"url":"<receiver>","name":"a","support_email":"nobody"}`:      "~please provide a valid email",
		`{"url":"<receiver>","name":"a","slack_webhook_url":"nowhere"}`: "~invalid slack webhook url",
		`{"url":"<receiver>","name":"a","teams_webhook_url":"nowhere"}`: "~invalid teams webhook url",
		`{"url":"<receiver>","name":"a","authentication":{"type":"api_key","api_key":{"header_name":"X"}}}`:      "~api key field is required",
		`{"url":"<receiver>","name":"a","authentication":{"type":"api_key","api_key":{"header_value":"X"}}}`:     "~api key header_name is required",
		`{"url":"<receiver>","name":"a","authentication":{"type":"oauth2","oauth2":{"url":"<receiver>/token"}}}`: "~oauth2",
		`{"url":"<receiver>","name":"a","mtls_client_cert":{"client_cert":"a"}}`:                                 "~mtls_client_cert requires both client_cert and client_key",
		`{"url":"<receiver>","name":"a","mtls_client_cert":{"client_cert":"a","client_key":"b"}}`:                "~invalid mTLS client certificate: ",
		`{"url":"<receiver>","name":"a","http_timeout":"30s"}`:                                                   "~",
		`{`: "~", `[]`: "~", `{"url":1,"name":"a"}`: "~url",
	} {
		calls = append(calls, contractCall{method: "POST", path: "/endpoints", body: body, status: 400, message: message})
	}
	return calls
}

// Section 3.5.
func eventTypeCalls() []contractCall {
	const one = "/event-types/{eventTypeId}"
	return []contractCall{
		{method: "POST", path: "/event-types", body: `{"name":"invoice.paid","category":"billing","description":"Paid","json_schema":{"type":"object"}}`, status: 201,
			message: "Event type created successfully", data: `"@eventType"`, keep: map[string]string{"eventTypeId": "uid"},
			show: all(be("name", `"=invoice.paid"`), be("category", `"=billing"`), be("json_schema", `{"type":"=object"}`), be("deprecated_at", `null`))},
		{method: "POST", path: "/event-types", body: `{"category":"billing"}`, status: 400, message: "~please provide a name for this event type"},
		{method: "POST", path: "/event-types", body: `{"name":"invoice.paid"}`, status: 400, message: "~"},
		{method: "POST", path: "/event-types", body: `{"name":"bad","json_schema":{"type":"nothing"}}`, status: 400, message: "~invalid JSON schema: "},
		{method: "GET", path: "/event-types", status: 200, message: "Event types fetched successfully", data: `["@eventType"]`,
			show: all(be("0.name", `"=invoice.paid"`), be("1.name", `"=*"`))},
		// 201, where the original's code is not what its document says (docs/differences.md).
		{method: "PUT", path: one, body: `{"category":"money","description":"d"}`, status: 201, message: "Event type created successfully", data: `"@eventType"`,
			show: all(be("name", `"=invoice.paid"`), be("category", `"=money"`))},
		{method: "PUT", path: one, with: map[string]string{"eventTypeId": anID}, body: `{}`, status: 400, message: "~"},
		{method: "POST", path: one + "/deprecate", status: 201, message: "Event type deprecated successfully", data: `"@eventType"`, show: be("deprecated_at", `"time"`)},
		{method: "POST", path: one + "/deprecate", with: map[string]string{"eventTypeId": anID}, status: 400, message: "~"},
		{method: "POST", path: "/event-types/import", status: 200, message: "Event types imported successfully", data: `["@eventType"]`,
			body: `{"spec":"{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"a\",\"version\":\"1\"},\"webhooks\":{\"user.created\":{\"post\":{\"responses\":{\"200\":{\"description\":\"ok\"}}}}}}"}`},
		{method: "POST", path: "/event-types/import", status: 400, message: "no webhooks found in OpenAPI spec",
			body: `{"spec":"{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"a\",\"version\":\"1\"},\"paths\":{}}"}`},
	}
}

// Section 3.6.
func subscriptionCalls() []contractCall {
	const one = "/subscriptions/{subscriptionID}"
	const updated = "Subscription updated successfully"
	return []contractCall{
		{method: "POST", path: "/subscriptions", status: 201, message: "Subscription created successfully", data: `"@newSubscription"`, keep: map[string]string{"subscriptionID": "uid"},
			body: `{"name":"main-sub","endpoint_id":"<endpointID>","filter_config":{"event_types":["invoice.paid"],"filter":{"body":{"amount":{"$gt":10}}}}}`,
			show: all(be("function", `null`), be("delivery_mode", `"=at_least_once"`), be("filter_config.event_types", `["=invoice.paid"]`),
				be("filter_config.filter.is_flattened", `false`))},
		{method: "POST", path: "/subscriptions", status: 201, message: "Subscription created successfully", data: `"@newSubscription"`, keep: map[string]string{"richSub": "uid"},
			body: `{"name":"rich-sub","endpoint_id":"<rich>","function":"function transform(p) { return p }","alert_config":{"count":3,"threshold":"1h"},
				"rate_limit_config":{"count":100,"duration":60},"delivery_mode":"at_most_once"}`,
			show: all(be("filter_config.event_types", `["=*"]`), be("delivery_mode", `"=at_most_once"`), be("alert_config.count", `3`),
				be("rate_limit_config", `{"count":100,"duration":60}`))},
		{method: "GET", path: "/subscriptions", status: 200, message: "Subscriptions fetched successfully", data: paged("@subscription"), show: count(2)},
		{method: "GET", path: "/subscriptions", query: "name=MAIN&endpointId=<endpointID>&endpointId=<rich>", status: 200, message: "Subscriptions fetched successfully",
			data: paged("@subscription"), show: all(count(1), be("content.0.name", `"=main-sub"`))},
		{method: "GET", path: one, status: 200, message: "Subscription fetched successfully", data: `"@subscription"`,
			show: all(be("filter_config.filter", `{"is_flattened":true,"headers":{},"body":{"amount.$gt":10},"query":{},"path":{}}`))},
		{method: "GET", path: one, with: map[string]string{"subscriptionID": anID}, status: 404, message: "failed to find subscription"},
		{method: "PUT", path: one, body: `{"name":"main-sub 2","retry_config":{"type":"exponential","duration":"30s","retry_count":4}}`, status: 202, message: updated,
			data: `"@subscription"`, show: all(be("name", `"=main-sub 2"`), be("retry_config", `{"type":"=exponential","duration":30,"retry_count":4}`))},
		{method: "PUT", path: one, body: `{"endpoint_id":"<endpointID>"}`, status: 202, message: updated, data: `"@subscription"`},
		{method: "PUT", path: one, with: map[string]string{"subscriptionID": anID}, body: `{"name":"a"}`, status: 400, message: "failed to find subscription"},
		{method: "PUT", path: one, body: `{"endpoint_id":"` + anID + `"}`, status: 400, message: "~failed to find endpoint by id"},
		{method: "POST", path: "/subscriptions", body: `{"endpoint_id":"<endpointID>"}`, status: 400, message: "~please provide a valid subscription name"},
		{method: "POST", path: "/subscriptions", body: `{"name":"a"}`, status: 400, message: "~please provide a valid endpoint id"},
		{method: "POST", path: "/subscriptions", body: `{"name":"a","endpoint_id":"` + anID + `"}`, status: 400, message: "~failed to find endpoint by id"},
		{method: "POST", path: "/subscriptions", body: `{"name":"a","endpoint_id":"<endpointID>","delivery_mode":"now"}`, status: 400,
			message: "~invalid delivery mode value, must be either 'at_least_once' or 'at_most_once'"},
		{method: "POST", path: "/subscriptions", body: `{"name":"a","endpoint_id":"<endpointID>","alert_config":{"count":1,"threshold":"soon"}}`, status: 400, message: "~please provide a valid time duration"},
		{method: "PUT", path: one + "/toggle_status", with: map[string]string{"subscriptionID": anID}, status: 202, message: "Subscription status updated successfully", data: `{}`},
		{method: "POST", path: "/subscriptions/test_filter", body: `{"request":{"body":{"a":1},"header":{"x":"y"}},"schema":{"body":{"a":{"$gte":1}},"header":{"x":"y"}}}`, status: 200,
			message: "Filter validated successfully", data: `true`},
		{method: "POST", path: "/subscriptions/test_filter", body: `{"request":{"body":{"a":0}},"schema":{"body":{"a":{"$gte":1}}}}`, status: 200, message: "Filter validated successfully", data: `false`},
		{method: "POST", path: "/subscriptions/test_function", body: `{"payload":{"a":1},"function":"function transform(p) { console.log('hi'); return {b: p.a} }"}`, status: 200,
			message: "Transformer function run successfully", data: `{"payload":{"b":1},"log":["text"]}`},
		{method: "POST", path: "/subscriptions/test_function", body: `{"payload":{},"function":"function transform(p) { return p.a.b }"}`, status: 400, message: "~"},

		// One subscription for each endpoint, unless the project has it otherwise.
		{method: "PUT", path: "", body: `{"name":"default","config":{"multiple_endpoint_subscriptions":false}}`, status: 202, message: "Project updated successfully", data: `"@project"`},
		{method: "POST", path: "/subscriptions", body: `{"name":"again","endpoint_id":"<endpointID>"}`, status: 400, message: "a subscription for this endpoint already exists"},
	}
}

// Section 3.7.
func filterCalls() []contractCall {
	const list = "/subscriptions/{subscriptionID}/filters"
	const one = list + "/{filterID}"
	nowhere := map[string]string{"filterID": anID}
	return []contractCall{
		{method: "POST", path: list, body: `{"event_type":"user.created","body":{"data":{"amount":{"$gte":10}}}}`, status: 201, message: "Filter created successfully", data: `"@filter"`,
			keep: map[string]string{"filterID": "uid"}, show: all(be("enabled_at", `"time"`), be("body", `{"data.amount.$gte":10}`), be("raw_body", `{"data":{"amount":{"$gte":10}}}`), be("headers", `{}`))},
		{method: "POST", path: list, body: `{"event_type":"user.created"}`, status: 400, message: "filter with this event type already exists"},
		{method: "POST", path: list, body: `{"event_type":"nothing.known"}`, status: 404, message: "event type does not exist"},
		{method: "POST", path: list, body: `{}`, status: 404, message: "event type does not exist"},
		{method: "POST", path: list, with: map[string]string{"subscriptionID": anID}, body: `{"event_type":"user.created"}`, status: 404, message: "subscription not found"},
		{method: "POST", path: list, body: `{"event_type":"*","body":{"a":{"$near":1}}}`, status: 400, message: "~"},
		{method: "GET", path: list, status: 200, message: "Filters retrieved successfully", data: `["@filter"]`, show: count(2)},
		{method: "GET", path: one, status: 200, message: "Filter retrieved successfully", data: `"@filter"`, show: be("event_type", `"=user.created"`)},
		{method: "GET", path: one, with: nowhere, status: 404, message: "filter not found"},
		{method: "GET", path: one, with: map[string]string{"subscriptionID": "<richSub>"}, status: 404, message: "filter not found"},
		{method: "PUT", path: one, body: `{"enabled_at":null,"is_flattened":true}`, status: 200, message: "Filter updated successfully", data: `"@filter"`, show: be("enabled_at", `null`)},
		{method: "PUT", path: one, body: `{"enabled_at":"<now>"}`, status: 200, message: "Filter updated successfully", data: `"@filter"`, show: be("enabled_at", `"time"`)},
		{method: "PUT", path: one, with: nowhere, body: `{}`, status: 404, message: "filter not found"},
		{method: "POST", path: list + "/bulk", body: `[{"event_type":"*"}]`, status: 201, message: "Filters created successfully", data: `["@filter"]`, keep: map[string]string{"everything": "0.uid"}},
		{method: "POST", path: list + "/bulk", body: `[{"event_type":"*"}]`, status: 400, message: "filter for event type * already exists"},
		{method: "POST", path: list + "/bulk", body: `[{"event_type":"in.bulk.*"},{"event_type":"in.bulk.*"}]`, status: 400, message: "duplicate event type in.bulk.* in request"},
		{method: "POST", path: list + "/bulk", body: `[{"event_type":"nothing.known"}]`, status: 404, message: "event type nothing.known does not exist"},
		{method: "PUT", path: list + "/bulk_update", body: `[{"uid":"<everything>","body":{"a":1}}]`, status: 200, message: "Filters updated successfully", data: `["@filter"]`, show: be("0.body", `{"a":1}`)},
		{method: "PUT", path: list + "/bulk_update", body: `[{"uid":"` + anID + `"}]`, status: 404, message: "filter " + anID + " not found"},
		{method: "POST", path: list + "/test/{eventType}", with: map[string]string{"eventType": "user.created"}, body: `{"payload":{"data":{"amount":10}}}`, status: 200, message: "Filter test completed", data: `{"is_match":true}`},
		{method: "POST", path: list + "/test/{eventType}", with: map[string]string{"eventType": "user.created"}, body: `{"request":{"body":{"data":{"amount":9}},"headers":{}}}`, status: 200, message: "Filter test completed", data: `{"is_match":false}`},
		{method: "DELETE", path: one, with: map[string]string{"filterID": "<everything>"}, status: 200, message: "Filter deleted successfully", data: `null`},
		{method: "DELETE", path: one, with: nowhere, status: 404, message: "filter not found"},
	}
}
