package e2e

// Sections 3.8 and 3.12.
func sourceCalls() []contractCall {
	const one = "/sources/{sourceID}"
	created, updated := "Source created successfully", "Source updated successfully"
	calls := []contractCall{
		{method: "POST", path: "/sources", body: `{"name":"open","type":"http"}`, status: 201, message: created, data: `"@source"`, keep: map[string]string{"sourceID": "uid", "mask": "mask_id"},
			show: all(be("custom_response", `{"body":"=","content_type":"="}`), be("provider", `"="`), be("is_disabled", `false`), be("url", `"text"`))},
		{method: "GET", path: one, status: 200, message: "Source fetched successfully", data: `"@source"`, show: all(be("verifier", `"@noop"`), be("forward_headers", `[]`),
			be("idempotency_keys", `[]`), be("pub_sub", `{"type":"=","workers":0,"sqs":null,"google":null,"kafka":null,"amqp":null}`), be("body_function", `null`))},
		{method: "POST", path: "/sources", status: 201, message: created, data: `"@source"`, keep: map[string]string{"signed": "uid", "signedMask": "mask_id"},
			body: `{"name":"gh","type":"http","provider":"github","verifier":{"type":"hmac","hmac":{"header":"X-Hub-Signature-256","hash":"SHA256","secret":"s","encoding":"hex"}},
				"custom_response":{"body":"thanks","content_type":"text/plain"},"idempotency_keys":["request.header.X-Delivery"],"event_type_location":"request.body.action"}`,
			show: all(be("verifier", `{"type":"=hmac","hmac":{"header":"=X-Hub-Signature-256","hash":"=SHA256","secret":"=s","encoding":"=hex"},"basic_auth":null,"api_key":null}`),
				be("custom_response", `{"body":"=thanks","content_type":"=text/plain"}`), be("idempotency_keys", `["=request.header.X-Delivery"]`))},
		{method: "POST", path: "/sources", status: 201, message: created, data: `"@source"`,
			body: `{"name":"mq","type":"pub_sub","pub_sub":{"type":"amqp","workers":1,"amqp":{"schema":"amqp","host":"localhost","port":"5672","queue":"q","vhost":"/",
				"bindExchange":{"exchange":"e","routingKey":"r"}}}}`,
			show: all(be("pub_sub.amqp.bindedExchange", `"=e"`), be("pub_sub.amqp.routingKey", `"=r"`))},
		{method: "GET", path: "/sources", status: 200, message: "Sources fetched successfully", data: paged("@source"), show: count(3)},
		{method: "GET", path: "/sources", query: "type=http&provider=github&q=G", status: 200, message: "Sources fetched successfully", data: paged("@source"), show: all(count(1), be("content.0.name", `"=gh"`))},
		{method: "GET", path: one, with: map[string]string{"sourceID": anID}, status: 404, message: "source not found"},
		{method: "PUT", path: one, body: `{"name":"open 2","type":"http","forward_headers":["X-A"],"is_disabled":false}`, status: 202, message: updated, data: `"@source"`,
			show: all(be("name", `"=open 2"`), be("forward_headers", `["=X-A"]`))},
		{method: "POST", path: "/sources/test_function", body: `{"payload":{"a":1},"type":"body","function":"function transform(p) { return {event_type: 'a', data: p} }"}`, status: 200,
			message: "Transformer function run successfully", data: `{"payload":{"event_type":"=a","data":{"a":1}},"log":"strings"}`},
		{method: "POST", path: "/sources/test_function", body: `{"payload":{},"type":"body","function":"function transform(p) { return {more: 1} }"}`, status: 400, message: "~"},

		{method: "POST", path: "/ingest/{mask}", as: "nobody", body: `{"action":"opened"}`, status: 200, message: "Event received", data: `19`},
		{method: "POST", path: "/ingest/{mask}", with: map[string]string{"mask": "nothing000000000"}, as: "nobody", body: `{}`, status: 404, message: "Resource not found"},
		{method: "POST", path: "/ingest/{mask}", with: map[string]string{"mask": "<signedMask>"}, as: "nobody", body: `{"action":"opened"}`, status: 400, message: "Request verification failed"},
		{method: "GET", path: "/events", query: "sourceId=<sourceID>", status: 200, message: "App events fetched successfully", data: paged("@event"), soon: true,
			show: all(count(1), be("content.0.source_metadata", `{"uid":"id","name":"=open 2","...":"any"}`), be("content.0.data", `{"action":"=opened"}`))},
	}
	for body, message := range map[string]string{
		`{"type":"http"}`:              "~please provide a source name",
		`{"name":"a"}`:                 "~please provide a type",
		`{"name":"a","type":"pigeon"}`: "~unsupported source type",
		`{"name":"a","type":"http","provider":"shopify"}`:                                                        "~hmac secret is required for shopify source",
		`{"name":"a","type":"http","verifier":{"type":"nod"}}`:                                                   "~please provide a valid verifier type",
		`{"name":"a","type":"http","verifier":{"type":"hmac"}}`:                                                  "~invalid verifier config for hmac",
		`{"name":"a","type":"http","verifier":{"type":"api_key"}}`:                                               "~invalid verifier config for api key",
		`{"name":"a","type":"http","verifier":{"type":"basic_auth"}}`:                                            "~invalid verifier config for basic auth",
		`{"name":"a","type":"http","idempotency_keys":["request.body"]}`:                                         "~not enough parts set for idempotency key location with value: request.body",
		`{"name":"a","type":"http","idempotency_keys":["request.moon.a"]}`:                                       "~unsupported input format for",
		`{"name":"a","type":"pub_sub","pub_sub":{"workers":1}}`:                                                  "~type is required",
		`{"name":"a","type":"pub_sub","pub_sub":{"type":"fax","workers":1}}`:                                     "~unsupported pub sub type",
		`{"name":"a","type":"pub_sub","pub_sub":{"type":"sqs","workers":1}}`:                                     "~sqs config is required",
		`{"name":"a","type":"pub_sub","pub_sub":{"type":"kafka","workers":1,"kafka":{"topic_name":"t"}}}`:        "~brokers list is required",
		`{"name":"a","type":"pub_sub","pub_sub":{"type":"kafka","workers":1,"kafka":{"brokers":["localhost"]}}}`: "~topic name is required",
	} {
		calls = append(calls, contractCall{method: "POST", path: "/sources", body: body, status: 400, message: message})
	}
	return calls
}

const listed = "App events fetched successfully"

// Section 3.3. Publishing answers with the event (docs/differences.md).
func eventCalls() []contractCall {
	const queued, one = "Event queued successfully", "/events/{eventID}"
	calls := []contractCall{
		{method: "POST", path: "/events", status: 201, message: queued, data: `"@event"`, keep: map[string]string{"eventID": "uid"},
			body: `{"endpoint_id":"<endpointID>","event_type":"invoice.paid","data":{"id":9,"amount":12},"custom_headers":{"X-Tenant":"7"},"idempotency_key":"inv-9"}`,
			show: be("data", `{"id":9,"amount":12}`)},
		{method: "GET", path: one, status: 200, message: "Endpoint event fetched successfully", data: `"@event"`, soon: true, show: all(
			be("status", `"=Success"`), be("endpoints", `["id"]`), be("headers", `{"X-Tenant":["=7"]}`), be("source_metadata", `{"uid":"=","name":"=","...":"any"}`),
			be("idempotency_key", `"=inv-9"`), be("is_duplicate_event", `false`), be("acknowledged_at", `"time"`), be("event_type", `"=invoice.paid"`))},
		{method: "GET", path: one, with: map[string]string{"eventID": anID}, status: 404, message: "event not found"},
		{method: "POST", path: "/events", status: 201, message: queued, data: `"@event"`, keep: map[string]string{"again": "uid"},
			body: `{"endpoint_id":"<endpointID>","event_type":"invoice.paid","data":{"id":9,"amount":12},"idempotency_key":"inv-9"}`},
		{method: "GET", path: one, with: map[string]string{"eventID": "<again>"}, status: 200, message: "Endpoint event fetched successfully", data: `"@event"`, soon: true, show: be("is_duplicate_event", `true`)},
		{method: "POST", path: "/events", body: `{"endpoint_id":"<endpointID>","event_type":"user.created","data":null}`, status: 201, message: queued, data: `"@event"`, show: be("data", `null`)},
		{method: "POST", path: "/events", body: `{"endpoint_id":"<endpointID>","event_type":"user.created","data":1.50}`, status: 201, message: queued, data: `"@event"`, show: be("data", `1.50`)},
		{method: "POST", path: "/events/fanout", body: `{"owner_id":"cust-1","event_type":"invoice.paid","data":{"amount":11},"idempotency_key":"fan-1"}`, status: 201,
			message: "Endpoint fanout event queued successfully", data: `"@event"`, keep: map[string]string{"fanned": "uid"}},
		{method: "GET", path: one, with: map[string]string{"eventID": "<fanned>"}, status: 200, message: "Endpoint event fetched successfully", data: `"@event"`, soon: true, show: be("endpoints", `["id"]`)},
		{method: "POST", path: "/events/fanout", body: `{"owner_id":"cust-1","event_type":"invoice.paid","data":{"amount":11},"idempotency_key":"fan-1"}`, status: 201, message: "<duplicate>", data: `"@event"`},
		{method: "POST", path: "/events/fanout", body: `{"owner_id":"nobody","event_type":"invoice.paid","data":{}}`, status: 201, message: "Endpoint fanout event queued successfully", data: `"@event"`},
		{method: "POST", path: "/events/broadcast", body: `{"event_type":"invoice.paid","data":{"amount":13}}`, status: 201, message: "Broadcast event created successfully", data: `"@event"`},
		{method: "POST", path: "/events/dynamic", body: `{"url":"<receiver>/dynamic","event_type":"invoice.paid","data":{"amount":14},"secret":"d","event_types":["*"]}`, status: 201,
			message: "Dynamic event created successfully", data: `"@event"`},
		{method: "GET", path: "/endpoints", query: "q=dynamic", status: 200, message: "Endpoints fetched successfully", data: `"any"`},

		{method: "GET", path: "/events", status: 200, message: listed, data: paged("@event"), soon: true, show: count(10)},
		{method: "GET", path: "/events", query: "idempotencyKey=inv-9", status: 200, message: listed, data: paged("@event"), show: count(2)},
		{method: "GET", path: "/events", query: "endpointId=<endpointID>&endpointId=<rich>&query=&sort=asc&direction=next&next_page_cursor=&prev_page_cursor=", status: 200, message: listed, data: paged("@event")},
		{method: "GET", path: "/events", query: "ownerId=cust-1", status: 200, message: listed, data: paged("@event")},
		{method: "GET", path: "/events", query: "query=INV-", status: 200, message: listed, data: paged("@event"), show: be("content.0.idempotency_key", `"=inv-9"`)},
		{method: "GET", path: "/events", query: "body=%7B%22id%22%3A9%7D", status: 200, message: listed, data: paged("@event"), show: be("content.0.data.id", `9`)},
		{method: "GET", path: "/events", query: "query=%7B%22amount%22%3A13%7D", status: 200, message: listed, data: paged("@event"), show: all(count(1), be("content.0.data.amount", `13`))},
		{method: "GET", path: "/events", query: "body=%7B%7D", status: 400, message: "~body must be a nonempty JSON object"},

		{method: "PUT", path: one + "/replay", status: 200, message: "Endpoint event replayed successfully", data: `"@event"`},
		{method: "PUT", path: one + "/replay", with: map[string]string{"eventID": anID}, status: 400, message: "~"},
		{method: "GET", path: "/events/countbatchreplayevents", status: 200, message: "events count successful", data: `{"num":"int"}`},
		{method: "GET", path: "/events/countbatchreplayevents", query: "query=a", status: 400, message: "batch replay count does not support search filters"},
		{method: "POST", path: "/events/batchreplay", query: "sourceId=<sourceID>", body: `null`, status: 200, message: "~ successful, ", data: `null`},
		{method: "POST", path: "/events/batchreplay", query: "body=%7B%22id%22%3A9%7D", status: 400, message: "batch replay does not support search filters"},
	}
	for _, bad := range []struct{ path, body, message string }{
		{"", `{"endpoint_id":"<endpointID>","data":{}}`, "~please provide an event type"},
		{"", `{"endpoint_id":"<endpointID>","event_type":"a"}`, "~please provide your data"},
		{"", `{"event_type":"a","data":{}}`, "please provide an endpoint ID"},
		{"", `{"endpoint_id":"` + anID + `","event_type":"a","data":{}}`, "endpoint not found"},
		{"", `{"app_id":"nothing","event_type":"a","data":{}}`, "app ID has no configured endpoints"},
		{"/fanout", `{"event_type":"a","data":{}}`, "~please provide an owner id"},
		{"/broadcast", `{"event_type":"a"}`, "~please provide your data"},
		{"/dynamic", `{"event_type":"a","data":{}}`, "~please provide an endpoint url"},
		{"/dynamic", `{"url":"<receiver>","event_type":"a"}`, "~please provide your webhook event data"},
		{"/dynamic", `{"url":"ftp://example.com","event_type":"a","data":{}}`, "~"},
	} {
		calls = append(calls, contractCall{method: "POST", path: "/events" + bad.path, body: bad.body, status: 400, message: bad.message})
	}
	for _, path := range []string{"/events", "/eventdeliveries"} {
		for query, message := range map[string]string{
			"startDate=yesterday": "please specify a startDate in the format 2006-01-02T15:04:05",
			"endDate=tomorrow":    "please specify a correct endDate in the format 2006-01-02T15:04:05 or none at all",
			"startDate=2026-01-02T00:00:00&endDate=2026-01-01T00:00:00": "startDate cannot be greater than endDate",
		} {
			calls = append(calls, contractCall{method: "GET", path: path, query: query, status: 400, message: message})
		}
	}
	return calls
}

// Section 3.4.
func deliveryCalls() []contractCall {
	const list, one, attempts = "/eventdeliveries", "/eventdeliveries/{eventDeliveryID}", "/eventdeliveries/{eventDeliveryID}/deliveryattempts"
	const fetched = "Event deliveries fetched successfully"
	failed := map[string]string{"eventDeliveryID": "<failed>"}
	nowhere := map[string]string{"eventDeliveryID": anID}
	return []contractCall{
		{method: "GET", path: list, query: "eventId=<eventID>", status: 200, message: fetched, data: paged("@delivery"), soon: true, keep: map[string]string{"eventDeliveryID": "content.0.uid"},
			show: all(count(2), be("content.0.status", `"=Success"`), be("content.1.status", `"=Success"`))}, // one of the replay
		{method: "GET", path: one, status: 200, message: "Event Delivery fetched successfully", data: `"@delivery"`, show: all(
			be("headers", `{"X-Tenant":["=7"]}`), be("idempotency_key", `"=inv-9"`), be("delivery_mode", `"=at_least_once"`), be("event_type", `"=invoice.paid"`),
			be("endpoint_metadata", `{"name":"=main 2","owner_id":"=cust-1","status":"=active","deleted_at":null,"...":"any"}`),
			be("metadata", `{"data":{"id":9,"amount":12},"raw":"={\"id\":9,\"amount\":12}","strategy":"=exponential","next_send_time":"any time","num_trials":1,"interval_seconds":30,"retry_limit":4,"max_retry_seconds":7200}`),
			be("acknowledged_at", `"time"`))},
		{method: "GET", path: one, with: nowhere, status: 404, message: "event delivery not found"},
		{method: "GET", path: attempts, status: 200, message: "Event delivery attempts fetched successfully", data: `["@attempt"]`, keep: map[string]string{"deliveryAttemptID": "0.uid"}, show: count(1)},
		{method: "GET", path: attempts + "/{deliveryAttemptID}", status: 200, message: "Event delivery attempt fetched successfully", data: `"@attempt"`, show: all(
			be("status", `true`), be("http_status", `"=200 OK"`), be("response_data", `"={\"taken\":true}"`), be("request_http_header.X-Convoy-Signature", `"text"`),
			be("response_http_header.Content-Type", `"=application/json"`), be("ip_address", `"=127.0.0.1"`))},
		{method: "GET", path: attempts, with: nowhere, status: 400, message: "~"},
		{method: "GET", path: attempts + "/{deliveryAttemptID}", with: map[string]string{"deliveryAttemptID": anID}, status: 400, message: "event delivery attempt not found"},
		{method: "PUT", path: one + "/resend", status: 400, message: "event already sent"},
		{method: "PUT", path: one + "/resend", with: nowhere, status: 400, message: "~"},

		{method: "POST", path: "/endpoints", body: `{"url":"<receiver>/fails","name":"fails"}`, status: 201, message: "Endpoint created successfully", data: `"@endpoint"`, keep: map[string]string{"failing": "uid"}},
		{method: "POST", path: "/events", body: `{"endpoint_id":"<failing>","event_type":"user.created","data":{}}`, status: 201, message: "Event queued successfully", data: `"@event"`},
		{method: "GET", path: list, query: "status=Failure&status=Discarded&endpointId=<failing>", status: 200, message: fetched, data: paged("@delivery"), soon: true,
			keep: map[string]string{"failed": "content.0.uid"}, show: all(count(1), be("content.0.metadata", `{"strategy":"=linear","interval_seconds":1,"retry_limit":1,"num_trials":1,"...":"any"}`), be("content.0.description", `"text"`))},
		{method: "GET", path: attempts, with: failed, status: 200, message: "Event delivery attempts fetched successfully", data: `["@attempt"]`, show: all(be("0.status", `null`), be("0.http_status", `"=502 Bad Gateway"`))},
		{method: "POST", path: list + "/forceresend", body: `{"ids":["<failed>"]}`, status: 400, message: "only successful events can be force resent"},
		{method: "PUT", path: one + "/resend", with: failed, body: `"{}"`, status: 200, message: "App event processed for retry successfully", data: `"object"`, show: be("uid", `"id"`)},
		{method: "POST", path: list + "/forceresend", body: `{"ids":["<eventDeliveryID>"]}`, status: 200, message: "1 successful, 0 failed", data: `null`},
		{method: "POST", path: list + "/forceresend", body: `{"ids":[]}`, status: 200, message: "0 successful, 0 failed", data: `null`},
		{method: "POST", path: list + "/forceresend", body: `[`, status: 400, message: "~Request is invalid"},
		{method: "POST", path: list + "/batchretry", query: "status=Failure&endpointId=<failing>", body: `{}`, status: 200, message: "Batch retry processing", data: `null`},

		{method: "GET", path: list, query: "eventType=invoice.paid&subscriptionId=<subscriptionID>&idempotencyKey=inv-9", status: 200, message: fetched, data: paged("@delivery")},
		{method: "GET", path: list, query: "idempotencyKey=nothing", status: 400, message: "event not found"},
		{method: "GET", path: list, query: "status=Lost", status: 200, message: fetched,
			data: `{"content":[],"pagination":{"per_page":20,"has_next_page":false,"has_prev_page":false,"prev_page_cursor":"=","next_page_cursor":"="}}`},
	}
}

// Section 3.9.
func portalCalls() []contractCall {
	const one, updated = "/portal-links/{portalLinkID}", "Portal link updated successfully"
	nowhere := map[string]string{"portalLinkID": anID}
	fresh := map[string]string{"portalLinkID": "<keyedLink>"}
	return []contractCall{
		{method: "POST", path: "/portal-links", body: `{"name":"cust","owner_id":"cust-1","can_manage_endpoint":true}`, status: 201, message: "Portal link created successfully", data: `"@portalLink"`,
			keep: map[string]string{"portalLinkID": "uid", "portalToken": "token"}, show: all(be("auth_type", `"=static_token"`), be("auth_key", `"="`), be("endpoint_count", `1`), be("endpoints", `[]`))},
		{method: "POST", path: "/portal-links", body: `{"name":"keyed","owner_id":"cust-2","auth_type":"refresh_token"}`, status: 201, message: "Portal link created successfully", data: `"@portalLink"`,
			keep: map[string]string{"keyedLink": "uid"}, show: all(be("auth_type", `"=refresh_token"`), be("auth_key", `"text"`), be("can_manage_endpoint", `false`))},
		{method: "POST", path: "/portal-links", body: `{"name":"a"}`, status: 400, message: "~"},
		{method: "POST", path: "/portal-links", body: `{"owner_id":"a"}`, status: 400, message: "~"},
		{method: "POST", path: "/portal-links", body: `{"name":"a","owner_id":"a","auth_type":"password"}`, status: 400, message: "~"},
		{method: "POST", path: "/portal-links", body: `{"name":"a","owner_id":"other","endpoints":["<endpointID>"]}`, status: 400, message: "~already has owner_id cust-1"},
		{method: "GET", path: "/portal-links", status: 200, message: "Portal links fetched successfully", data: paged("@portalLink"), show: count(2)},
		{method: "GET", path: "/portal-links", query: "endpointId=<endpointID>", status: 200, message: "Portal links fetched successfully", data: paged("@portalLink"), show: count(1)},
		{method: "GET", path: one, status: 200, message: "Portal link fetched successfully", data: `"@portalLink"`, show: be("auth_key", `"="`)},
		{method: "GET", path: one, with: fresh, status: 200, message: "Portal link fetched successfully", data: `"@portalLink"`, show: be("auth_key", `"text"`)},
		{method: "GET", path: one, with: nowhere, status: 404, message: "Resource not found"},
		{method: "GET", path: one + "/refresh_token", with: fresh, status: 200, message: "Portal link fetched successfully", data: `"text"`},
		{method: "PUT", path: one, body: `{"name":"cust 2","owner_id":"cust-1"}`, status: 202, message: updated, data: `"@portalLink"`, show: all(be("name", `"=cust 2"`), be("can_manage_endpoint", `false`))},
		{method: "PUT", path: one, with: nowhere, body: `{"name":"a"}`, status: 404, message: "Resource not found"},
		{method: "PUT", path: one, body: `{}`, status: 400, message: "~"},
		{method: "PUT", path: one + "/revoke", with: fresh, status: 200, message: "Portal link revoked successfully", data: `null`},
		{method: "PUT", path: one + "/revoke", with: nowhere, status: 404, message: "Resource not found"},
		{method: "GET", path: one, with: fresh, status: 404, message: "Resource not found"},
	}
}

// Section 3.11.
func onboardCalls() []contractCall {
	items := `{"items":[{"name":"o1","url":"<receiver>/o1"},{"name":"o2","url":"<receiver>/o2","event_type":"invoice.paid","auth_username":"u","auth_password":"p"}]}`
	return []contractCall{
		{method: "POST", path: "/onboard", query: "dry_run=true", body: items, status: 200, message: "Dry run validation complete", data: `"@dryRun"`, show: all(be("total_rows", `2`), be("valid_count", `2`), be("errors", `[]`))},
		{method: "POST", path: "/onboard", body: items, status: 202, message: "Bulk onboard request accepted", data: `"@onboarded"`, show: all(be("batch_count", `1`), be("total_items", `2`))},
		{method: "POST", path: "/onboard", body: `{"items":[{"name":"o3"}]}`, status: 400, message: "Validation failed", data: `"@dryRun"`, show: all(be("total_rows", `1`), be("valid_count", `0`), be("errors.0.row", `"int"`))},
		{method: "POST", path: "/onboard", body: `{"items":[]}`, status: 400, message: "items list cannot be empty"},
	}
}

// Section 3.10.
func metaCalls() []contractCall {
	const (
		one      = "/meta-events/{metaEventID}"
		settings = `{"name":"default","config":{"meta_event":{"is_enabled":true,"event_type":["endpoint.created"],"url":"<receiver>/fails"}}}`
	)
	return []contractCall{
		{method: "PUT", path: "", body: `{"name":"default","config":{"meta_event":{"is_enabled":true}}}`, status: 400, message: "please provide the endpoint url"},
		{method: "PUT", path: "", body: settings, status: 202, message: "Project updated successfully", data: `"@project"`, show: all(
			be("config.meta_event.type", `"=http"`), be("config.meta_event.event_type", `["=endpoint.created"]`), be("config.meta_event.secret", `"text"`))},
		{method: "GET", path: "/meta-events", status: 200, message: "Meta events fetched successfully",
			data: `{"content":[],"pagination":{"per_page":20,"has_next_page":false,"has_prev_page":false,"prev_page_cursor":"=","next_page_cursor":"="}}`},
		{method: "POST", path: "/endpoints", body: `{"url":"<receiver>/told","name":"told"}`, status: 201, message: "Endpoint created successfully", data: `"@endpoint"`},
		{method: "GET", path: "/meta-events", status: 200, message: "Meta events fetched successfully", data: paged("@metaEvent"), soon: true, keep: map[string]string{"metaEventID": "content.0.uid"},
			show: all(count(1), be("content.0.status", `"=Failure"`), be("content.0.event_type", `"=endpoint.created"`), be("content.0.attempt", `"@metaAttempt"`))},
		{method: "GET", path: one, status: 200, message: "Meta event fetched successfully", data: `"@metaEvent"`},
		{method: "GET", path: one, with: map[string]string{"metaEventID": anID}, status: 404, message: "meta event not found"},
		{method: "PUT", path: one + "/resend", status: 200, message: "Meta event processed for retry successfully", data: `"@metaEvent"`},
		{method: "PUT", path: one + "/resend", with: map[string]string{"metaEventID": anID}, status: 404, message: "meta event not found"},
	}
}

// What ends things.
func endCalls() []contractCall {
	return []contractCall{
		{method: "DELETE", path: "/subscriptions/{subscriptionID}", with: map[string]string{"subscriptionID": "<richSub>"}, status: 200, message: "Subscription deleted successfully", data: `null`},
		{method: "DELETE", path: "/subscriptions/{subscriptionID}", with: map[string]string{"subscriptionID": "<richSub>"}, status: 404, message: "failed to find subscription"},
		{method: "DELETE", path: "/endpoints/{endpointID}", status: 200, message: "Endpoint deleted successfully", data: `null`},
		{method: "DELETE", path: "/endpoints/{endpointID}", status: 400, message: "endpoint not found"},
		{method: "GET", path: "/endpoints/{endpointID}", status: 404, message: "Resource not found"},
		// With its subscription.
		{method: "GET", path: "/subscriptions/{subscriptionID}", status: 404, message: "failed to find subscription"},
		// Its deliveries still show it.
		{method: "GET", path: "/eventdeliveries/{eventDeliveryID}", status: 200, message: "Event Delivery fetched successfully", data: `"@delivery"`, show: be("endpoint_metadata.deleted_at", `"time"`)},
		{method: "DELETE", path: "/sources/{sourceID}", status: 200, message: "Source deleted successfully", data: `null`},
		{method: "DELETE", path: "/sources/{sourceID}", status: 404, message: "source not found"},
		{method: "POST", path: "/ingest/{mask}", as: "nobody", body: `{}`, status: 404, message: "Resource not found"},
		{method: "DELETE", path: "", as: "<secondKey>", with: map[string]string{"projectID": "<second>"}, status: 200, message: "Project deleted successfully", data: `null`},
		{method: "GET", path: "", as: "person", with: map[string]string{"projectID": "<second>"}, status: 400, message: "project not found"},
	}
}
