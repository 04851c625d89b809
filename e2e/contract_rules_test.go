package e2e

import "strings"

// Section 9, items 1 to 3 and 5: what older and newer SDKs send.
func aliasCalls() []contractCall {
	const bulk = "/subscriptions/{subscriptionID}/filters/bulk_update"
	return []contractCall{
		{method: "POST", path: "", body: `{"name":"default"}`, status: 202, message: "Project updated successfully", data: `"@project"`},
		{method: "POST", path: "/sources/{sourceID}", body: `{"name":"open 3","type":"http"}`, status: 202, message: "Source updated successfully", data: `"@source"`},
		{method: "POST", path: bulk, body: `[{"uid":"<filterID>","body":{"b":1}}]`, status: 200, message: "Filters updated successfully", data: `["@filter"]`},
		{method: "PUT", path: "/eventdeliveries/batchretry", query: "endpointId=<failing>&status=Failure", body: `{}`, status: 200, message: "~", data: `null`},
		{method: "PUT", path: "/subscriptions/{subscriptionID}/filters/{filterID}", body: `{"enabled_at":{"set":true,"time":null}}`, status: 200, message: "Filter updated successfully", data: `"@filter"`, show: be("enabled_at", `null`)},
		{method: "PUT", path: "/subscriptions/{subscriptionID}/filters/{filterID}", body: `{"enabled_at":{"set":true,"time":"<now>"}}`, status: 200, message: "Filter updated successfully", data: `"@filter"`, show: be("enabled_at", `"time"`)},
		// Slashes.
		{method: "GET", path: "/", status: 200, message: "Project fetched successfully", data: `"@project"`},
		{method: "GET", path: "/endpoints/{endpointID}/", status: 200, message: "Endpoint fetched successfully", data: `"@endpoint"`},
		{method: "GET", path: "/endpoints/", query: "q=main", status: 200, message: "Endpoints fetched successfully", data: paged("@endpoint")},
		{method: "GET", path: "/api//v1//projects/{projectID}//sources/", status: 200, message: "Sources fetched successfully", data: paged("@source")},
		{method: "POST", path: "/events/", body: `{"endpoint_id":"<endpointID>","event_type":"user.created","data":{}}`, status: 201, message: "Event queued successfully", data: `"@event"`},
		// Queries.
		{method: "GET", path: "/endpoints", query: "query=main&ownerId=&prev_page_cursor=&next_page_cursor=&perPage=5", status: 200, message: "Endpoints fetched successfully", data: paged("@endpoint"),
			show: all(count(1), be("pagination.per_page", `5`))},
		{method: "GET", path: "/eventdeliveries", query: "event_type=invoice.paid&endpointId=<endpointID>", status: 200, message: "Event deliveries fetched successfully", data: paged("@delivery"), show: be("content.0.event_type", `"=invoice.paid"`)},
		{method: "GET", path: "/portal-links", query: "ownerId=cust-1&q=CUST", status: 200, message: "Portal links fetched successfully", data: paged("@portalLink"), show: count(1)},
		{method: "GET", path: "/portal-links", query: "ownerId=nobody", status: 200, message: "Portal links fetched successfully", data: `{"content":[],"pagination":"@pagination"}`},
		// The zero time of Go is no date.
		{method: "GET", path: "/events", query: "startDate=0001-01-01T00:00:00&endDate=0001-01-01T00:00:00", status: 200, message: listed, data: paged("@event")},
		{method: "GET", path: "/eventdeliveries", query: "startDate=0001-01-01T00:00:00&endDate=0001-01-01T00:00:00", status: 200, message: "Event deliveries fetched successfully", data: paged("@delivery")},
		// How convoy-go revokes: an update whose body is the text of an object.
		{method: "PUT", path: "/portal-links/{portalLinkID}", body: `"{}"`, status: 200, message: "Portal link revoked successfully", data: `null`},
		// Content types as SDKs send them, also without a body, and keys in another case.
		{method: "GET", path: "", header: map[string]string{"Content-Type": "application/json;charset=utf-8"}, status: 200, message: "Project fetched successfully", data: `"@project"`},
		{method: "GET", path: "", header: map[string]string{"Content-Type": "Application/JSON"}, status: 200, message: "Project fetched successfully", data: `"@project"`},
		{method: "POST", path: "/event-types", body: `{"Name":"in.another.case","CATEGORY":"c","nothing":1}`, status: 201, message: "Event type created successfully", data: `"@eventType"`, show: be("category", `"=c"`)},
	}
}

// Sections 1.2 and 1.4, and 9, item 6: every error is the envelope.
func envelopeCalls() []contractCall {
	big := `{"name":"` + strings.Repeat("a", 2<<20) + `"}`
	return []contractCall{
		{method: "GET", path: "/nothing", status: 404, message: "~"},
		{method: "GET", path: "/api/v1/nothing", status: 404, message: "~"},
		{method: "GET", path: "/api/nothing", status: 404, message: "~"},
		{method: "DELETE", path: "/events/{eventID}", status: 405, message: "~"},
		{method: "PATCH", path: "/endpoints", status: 405, message: "~"},
		{method: "GET", path: "", header: map[string]string{"Content-Type": "text/plain"}, status: 415, message: "~"},
		{method: "POST", path: "/events", body: `{}`, header: map[string]string{"Content-Type": "text/plain"}, as: "nobody", status: 415, message: "~"},
		{method: "POST", path: "/events", body: big, status: 413, message: "request body too large"},
		{method: "POST", path: "/event-types", body: big, status: 413, message: "request body too large"},
		{method: "POST", path: "/ingest/{mask}", as: "nobody", body: `"` + strings.Repeat("a", 60<<10) + `"`, status: 413, message: "request body too large"},
		{method: "POST", path: "/event-types", status: 400, message: "body must not be empty"},
		{method: "POST", path: "/event-types", body: `{"name":`, status: 400, message: "~body contains badly-formed JSON"},
		{method: "POST", path: "/event-types", body: `{"name":}`, status: 400, message: "body contains badly-formed JSON (at character 9)"},
		{method: "POST", path: "/event-types", body: `{"name":1}`, status: 400, message: `body contains incorrect JSON type for field "name"`},
		{method: "POST", path: "/events", body: `{"event_type":1}`, status: 400, message: `body contains incorrect JSON type for field "event_type"`},
		{method: "POST", path: "/events", status: 400, message: "body must not be empty"},
	}
}

// Section 1.6.
func versionCalls() []contractCall {
	const one = "/endpoints/{endpointID}"
	var calls []contractCall
	for _, v := range []struct {
		asked, form string
		strings     bool // durations may be strings
	}{
		{"0001-01-01", "endpoint before 2024-01-01", true},
		{"2023-12-31", "endpoint before 2024-01-01", true},
		{"yesterday", "endpoint before 2024-01-01", true},
		{"2024-01-01", "endpoint before 2024-04-01", false},
		{"2024-03-31", "endpoint before 2024-04-01", false},
		{"2024-04-01", "endpoint", false},
		{"2025-11-24", "endpoint", false},
		{"2030-01-01", "endpoint", false},
	} {
		asked := map[string]string{"X-Convoy-Version": v.asked}
		form, list := `"@`+v.form+`"`, paged("@"+v.form)
		name, timeout, other := "name", `20`, `0`
		if v.form != "endpoint" {
			name = "title"
		}
		signatures := be("advanced_signatures", `true`)
		if v.strings {
			timeout, other = `"=20s"`, `"=1m0s"`
			signatures = be("advanced_signatures", `false`)
			calls = append(calls, contractCall{method: "POST", path: "/endpoints", header: asked, body: `{"url":"<receiver>/v","name":"v ` + v.asked + `","http_timeout":"20s","rate_limit":5,"rate_limit_duration":"1m"}`,
				status: 201, message: "Endpoint created successfully", data: form, keep: map[string]string{"old": "uid"}, show: all(signatures, be("http_timeout", timeout), be("rate_limit_duration", other))})
		} else {
			calls = append(calls,
				contractCall{method: "POST", path: "/endpoints", header: asked, body: `{"url":"<receiver>/v","name":"v ` + v.asked + `","http_timeout":"20s"}`, status: 400, message: "~"},
				contractCall{method: "POST", path: "/endpoints", header: asked, body: `{"url":"<receiver>/v","name":"v ` + v.asked + `","http_timeout":20}`,
					status: 201, message: "Endpoint created successfully", data: form, keep: map[string]string{"old": "uid"}, show: all(signatures, be("http_timeout", timeout), be("rate_limit_duration", other))})
		}
		old := map[string]string{"endpointID": "<old>"}
		calls = append(calls,
			contractCall{method: "GET", path: one, with: old, header: asked, status: 200, message: "Endpoint fetched successfully", data: form, show: be("http_timeout", timeout)},
			contractCall{method: "GET", path: "/endpoints", header: asked, status: 200, message: "Endpoints fetched successfully", data: list, show: be("content.0."+name, `"=v `+v.asked+`"`)},
			contractCall{method: "PUT", path: one, with: old, header: asked, body: `{"url":"<receiver>/v","name":"v2","http_timeout":20}`, status: 202, message: "Endpoint updated successfully", data: form, show: be(name, `"=v2"`)},
			contractCall{method: "PUT", path: one + "/pause", with: old, header: asked, status: 202, message: "endpoint status updated successfully", data: form},
			contractCall{method: "POST", path: one + "/activate", with: old, header: asked, status: 202, message: "endpoint status successfully activated", data: form},
			contractCall{method: "PUT", path: one + "/expire_secret", with: old, header: asked, body: `{"expiration":1}`, status: 200, message: "endpoint secret expired successfully", data: `"@endpoint"`},
			// Endpoints in other things have no versions.
			contractCall{method: "GET", path: "/subscriptions/{subscriptionID}", header: asked, status: 200, message: "Subscription fetched successfully", data: `"@subscription"`},
			contractCall{method: "DELETE", path: one, with: old, header: asked, status: 200, message: "Endpoint deleted successfully", data: `null`},
		)
	}
	return append(calls,
		contractCall{method: "POST", path: "/portal-links", header: map[string]string{"X-Convoy-Version": "2024-04-01"}, body: `{"name":"old","owner_id":"cust-1"}`, status: 201, message: "Portal link created successfully", data: `"@portalLink"`},
		contractCall{method: "POST", path: "/portal-links", header: map[string]string{"X-Convoy-Version": "2024-04-01"}, body: `{"name":"old"}`, status: 400, message: "~"})
}

// Section 1.7: five endpoints e1 to e5, two on a page.
func pageCalls() []contractCall {
	var calls []contractCall
	for _, n := range []string{"1", "2", "3", "4", "5"} {
		calls = append(calls, contractCall{method: "POST", path: "/endpoints", body: `{"url":"<receiver>/e","name":"e` + n + `","owner_id":"pages"}`, status: 201, message: "Endpoint created successfully",
			data: `"@endpoint"`, keep: map[string]string{"e" + n: "uid"}})
	}
	page := func(query, first, last, pagination string, n int) contractCall {
		shows := []show{count(n), be("pagination", pagination)}
		if n > 0 {
			shows = append(shows, be("content.0.name", `"=`+first+`"`), be("content."+string('0'+rune(n-1))+".name", `"=`+last+`"`))
		}
		return contractCall{method: "GET", path: "/endpoints", query: "ownerId=pages&" + query, status: 200, message: "Endpoints fetched successfully",
			data: `{"content":["?","@endpoint"],"pagination":"@pagination"}`, show: all(shows...)}
	}
	of := func(next, prev bool, nextCursor, prevCursor string) string {
		return `{"per_page":2,"has_next_page":` + yes(next) + `,"has_prev_page":` + yes(prev) + `,"next_page_cursor":"=` + nextCursor + `","prev_page_cursor":"=` + prevCursor + `"}`
	}
	return append(calls,
		page("perPage=2", "e5", "e4", of(true, false, "<e3>", "<e5>"), 2),
		page("perPage=2&next_page_cursor=<e3>&direction=next", "e3", "e2", of(true, true, "<e1>", "<e3>"), 2),
		page("perPage=2&next_page_cursor=<e1>", "e1", "e1", of(false, true, "<e1>", "<e1>"), 1),
		page("perPage=2&direction=prev&prev_page_cursor=<e1>", "e3", "e2", of(true, true, "<e1>", "<e3>"), 2),
		page("perPage=2&direction=prev&prev_page_cursor=<e3>", "e5", "e4", of(true, false, "<e3>", "<e5>"), 2),
		page("perPage=2&sort=asc", "e1", "e2", of(true, false, "<e3>", "<e1>"), 2),
		page("perPage=2&sort=ASC&next_page_cursor=<e3>", "e3", "e4", of(true, true, "<e5>", "<e3>"), 2),
		page("perPage=many", "e5", "e1", `{"per_page":20,"has_next_page":false,"has_prev_page":false,"next_page_cursor":"=<e1>","prev_page_cursor":"=<e5>"}`, 5),
		contractCall{method: "GET", path: "/endpoints", query: "perPage=0", status: 400, message: "~perPage"},
		contractCall{method: "GET", path: "/endpoints", query: "perPage=-1", status: 400, message: "~perPage"},
		contractCall{method: "GET", path: "/endpoints", query: "direction=sideways", status: 400, message: "~direction"},
	)
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// Section 1.4: credentials.
func credentialCalls() []contractCall {
	var calls []contractCall
	for header, message := range map[string]string{
		"Bearer":             "Authentication required",
		"Bearer  two spaces": "Authentication required",
		"Digest a":           "Authentication required",
		"Bearer CO.0123456789abcdef.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef": "authorization failed",
		"Bearer nothing": "authorization failed",
		"Basic dTpw":     "authorization failed",
	} {
		calls = append(calls, contractCall{method: "GET", path: "", as: "nobody", header: map[string]string{"Authorization": header}, status: 401, message: message})
	}
	return append(calls,
		contractCall{method: "GET", path: "", as: "nobody", status: 401, message: "Authentication required"},
		contractCall{method: "POST", path: "/events", as: "nobody", body: `{}`, status: 401, message: "Authentication required"},
		contractCall{method: "OPTIONS", path: "", as: "nobody", status: 401, message: "Authentication required"},
	)
}
