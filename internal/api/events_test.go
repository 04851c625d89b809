package api

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// history is an event with a delivery to each of two endpoints, and attempts.
type history struct {
	event      *convoy.Event
	deliveries []*convoy.Delivery
}

func (f *fixture) history(at time.Time, key string, endpoints ...convoy.EndpointID) history {
	f.t.Helper()
	h := history{event: &convoy.Event{
		ID: convoy.EventID(id.New(at)), ProjectID: f.project.ID, Type: "invoice.paid", Endpoints: endpoints,
		Headers: map[string][]string{"X-Tenant": {"7"}}, Data: []byte(`{"id" : 9, "s":"<&>"}`), IdempotencyKey: key,
		Status: convoy.EventSuccess, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
	}}
	for _, e := range endpoints {
		h.deliveries = append(h.deliveries, &convoy.Delivery{
			ID: convoy.DeliveryID(id.Derive(at, string(h.event.ID), string(e))), ProjectID: f.project.ID, EventID: h.event.ID, EndpointID: e,
			SubscriptionID: convoy.SubscriptionID(id.New(at)), EventType: h.event.Type, TargetURL: "http://example.com/main", Mode: convoy.AtLeastOnce,
			Status: convoy.DeliveryScheduled, Retry: convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: 100 * time.Second, Limit: 10},
			DueAt: at, ClaimAt: at, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
		})
	}
	if err := f.store.Append(f.t.Context(), &store.Routed{Events: []*convoy.Event{h.event}, Deliveries: h.deliveries}, at, time.Hour); err != nil {
		f.t.Fatal(err)
	}
	return h
}

// attempt records a try of a delivery that ends in the given status.
func (f *fixture) attempt(d *convoy.Delivery, status convoy.DeliveryStatus) *convoy.Attempt {
	f.t.Helper()
	at := d.CreatedAt.Add(time.Duration(d.Trials+1) * time.Second)
	a := &convoy.Attempt{
		ID: convoy.AttemptID(id.New(at)), DeliveryID: d.ID, ProjectID: d.ProjectID, EndpointID: d.EndpointID, URL: d.TargetURL, Method: "POST",
		IP: "203.0.113.5", RequestHeaders: map[string][]string{"A": {"1", "2"}}, ResponseHeaders: map[string][]string{"Content-Type": {"text/plain"}},
		HTTPStatus: "200 OK", Response: "ok", Success: status == convoy.DeliverySuccess, RequestedAt: at, RespondedAt: at.Add(time.Millisecond), CreatedAt: at,
	}
	if !a.Success {
		a.HTTPStatus, a.Error = "500 Internal Server Error", "status 500"
	}
	before := d.Trials
	d.Status, d.Trials, d.UpdatedAt = status, d.Trials+1, at
	d.DueAt, d.ClaimAt = time.Time{}, time.Time{}
	if !status.Terminal() {
		d.DueAt, d.ClaimAt = at.Add(time.Minute), at.Add(time.Minute)
	}
	if a.Success {
		d.Latency = 420 * time.Millisecond
	}
	if err := f.store.Record(f.t.Context(), []store.Outcome{{Delivery: d, Before: before, Attempt: a}}); err != nil {
		f.t.Fatal(err)
	}
	return a
}

func TestEvents(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		one, two := f.endpoint("one"), f.endpoint("two")
		var owned endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"url":"http://example.com","name":"o","owner_id":"c"}`}, 201, "Endpoint created successfully").data(t, &owned)
		old := f.history(f.now.AddDate(0, 0, -10), "", one)
		first := f.history(f.now.Add(-time.Hour), "k1", one, owned.UID)
		last := f.history(f.now, "", two)
		golden(t, "event", f.want(call{path: "events/" + string(first.event.ID)}, 200, "Endpoint event fetched successfully").body)
		golden(t, "events", f.want(call{path: "events?idempotencyKey=k1"}, 200, "App events fetched successfully").body)

		far := "startDate=2026-01-01T00:00:00"
		for query, want := range map[string][]history{
			"": {last, first}, far: {last, first, old}, far + "&sort=asc": {old, first, last}, "endpointId=" + string(one): {first},
			"endpointId=" + string(one) + "&endpointId=" + string(two) + "&" + far: {last, first, old},
			"idempotencyKey=zz": {}, "ownerId=c": {first}, "ownerId=zz": {}, "ownerId=c&endpointId=" + string(two): {}, "sourceId=x": {}, "sourceId=": {last, first},
			"query=&body=&next_page_cursor=&prev_page_cursor=&direction=next": {last, first},
			"startDate=0001-01-01T00:00:00&endDate=0001-01-01T00:00:00":       {last, first},
			"endDate=2026-08-01T09:00:00":                                     {first},
			"startDate=2026-08-01T09:00:00&endDate=2026-08-01T10:00:00":       {last, first},
			"startDate=2026-08-01T09:00:01":                                   {last},
			"startDate=1900-01-01T00:00:00&endDate=9999-12-31T23:59:59":       {last, first, old},
			"startDate=1900-01-01T00:00:00&endDate=1950-01-01T00:00:00":       {},
		} {
			var page paged[eventView]
			f.want(call{path: "events?" + query}, 200, "App events fetched successfully").data(t, &page)
			var got, ids []convoy.EventID
			for _, e := range page.Content {
				got = append(got, e.UID)
			}
			for _, h := range want {
				ids = append(ids, h.event.ID)
			}
			if !slices.Equal(got, ids) {
				t.Errorf("%s: %v, want %v", query, got, ids)
			}
		}
		for _, gone := range []string{"x", "%00", "01K1ZZZZZZZZZZZZZZZZZZZZZZ", string(first.deliveries[0].ID)} {
			f.want(call{path: "events/" + gone}, 404, "event not found")
		}
	})
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db, func(c *Config) { c.MaxRetry = time.Hour })
		one, two := f.endpoint("one"), f.endpoint("two")
		h := f.history(f.now, "k1", one, two)
		other := f.history(f.now, "", one)
		good, bad := h.deliveries[0], h.deliveries[1]
		f.attempt(good, convoy.DeliverySuccess)
		for range 11 {
			f.attempt(bad, convoy.DeliveryRetry)
		}
		attempt := f.attempt(bad, convoy.DeliveryFailure)
		goodPath, badPath := "eventdeliveries/"+string(good.ID), "eventdeliveries/"+string(bad.ID)
		golden(t, "delivery", f.want(call{path: goodPath}, 200, "Event Delivery fetched successfully").body)
		golden(t, "deliveries", f.want(call{path: "eventdeliveries?idempotencyKey=k1&endpointId=" + string(two)}, 200, "Event deliveries fetched successfully").body)
		f.want(call{method: "POST", path: "portal-links", body: `{"name":"c","owner_id":"cust-1","endpoints":["` + string(two) + `"]}`}, 201, "Portal link created successfully")
		for query, want := range map[string]int{
			"brokerMessageId=zz": 0, "brokerMessageId=7": 0, "ownerId=cust-1": 1, "ownerId=zz": 0, "ownerId=cust-1&endpointId=" + string(one): 0,
			"": 3, "eventId=" + string(h.event.ID): 2, "eventId=x": 0, "subscriptionId=" + string(bad.SubscriptionID): 1, "eventType=invoice.paid": 3,
			"event_type=x": 0, "status=Failure&status=Success": 2, "status=Nope": 0, "idempotencyKey=k1": 2, "endDate=2026-08-01T09:59:59": 0,
			"endpointId=" + string(one) + "&endpointId=" + string(two): 3, "idempotencyKey=k1&status=Retry": 0,
		} {
			var page paged[deliveryView]
			f.want(call{path: "eventdeliveries?" + query}, 200, "Event deliveries fetched successfully").data(t, &page)
			if len(page.Content) != want {
				t.Errorf("%s: %d deliveries, want %d", query, len(page.Content), want)
			}
		}
		f.want(call{path: "eventdeliveries?idempotencyKey=zz"}, 400, "event not found")

		golden(t, "attempt", f.want(call{path: badPath + "/deliveryattempts/" + string(attempt.ID)}, 200, "Event delivery attempt fetched successfully").body)
		golden(t, "attempts_one", f.want(call{path: goodPath + "/deliveryattempts"}, 200, "Event delivery attempts fetched successfully").body)
		var list []attemptView
		f.want(call{path: badPath + "/deliveryattempts"}, 200, "Event delivery attempts fetched successfully").data(t, &list)
		if len(list) != 10 || list[9].UID != attempt.ID || !list[0].CreatedAt.Before(list[9].CreatedAt) {
			t.Errorf("attempts %+v", list)
		}
		f.want(call{path: "eventdeliveries/" + string(other.deliveries[0].ID) + "/deliveryattempts"}, 200, "Event delivery attempts fetched successfully").data(t, &list)
		if list == nil || len(list) != 0 {
			t.Errorf("no attempts are %v", list)
		}

		f.want(call{method: "PUT", path: goodPath + "/resend"}, 400, "event already sent")
		f.want(call{method: "PUT", path: "eventdeliveries/" + string(other.deliveries[0].ID) + "/resend"}, 400, "cannot resend event that did not fail previously")
		f.want(call{method: "PUT", path: "endpoints/" + string(two) + "/pause"}, 202, "endpoint status updated successfully")
		f.want(call{method: "PUT", path: badPath + "/resend"}, 400, "the endpoint is currently paused")
		f.want(call{method: "PUT", path: "endpoints/" + string(two) + "/pause"}, 202, "endpoint status updated successfully")
		golden(t, "resent", f.want(call{method: "PUT", path: badPath + "/resend", body: `"{}"`}, 200, "App event processed for retry successfully").body)
		stored, err := f.store.Delivery(t.Context(), f.project.ID, bad.ID)
		if err != nil || stored.Status != convoy.DeliveryScheduled || stored.Trials != 0 || !stored.ClaimAt.Equal(f.now) {
			t.Errorf("after resend %+v (%v)", stored, err)
		}

		f.want(call{method: "DELETE", path: "endpoints/" + string(one)}, 200, "Endpoint deleted successfully")
		f.want(call{method: "PUT", path: "eventdeliveries/" + string(other.deliveries[0].ID) + "/resend"}, 400, "endpoint not found")
		var d deliveryView
		f.want(call{path: goodPath}, 200, "Event Delivery fetched successfully").data(t, &d)
		if d.EndpointMetadata.DeletedAt == nil || d.EndpointMetadata.Name != "one" {
			t.Errorf("deleted endpoint %+v", d.EndpointMetadata)
		}
		for _, gone := range []string{"x", "%00", "01K1ZZZZZZZZZZZZZZZZZZZZZZ"} {
			f.want(call{path: "eventdeliveries/" + gone}, 404, "event delivery not found")
			f.want(call{method: "PUT", path: "eventdeliveries/" + gone + "/resend"}, 400, "event delivery not found")
			f.want(call{path: "eventdeliveries/" + gone + "/deliveryattempts"}, 400, "event delivery not found")
			f.want(call{path: "eventdeliveries/" + gone + "/deliveryattempts/" + gone}, 400, "event delivery not found")
			f.want(call{path: goodPath + "/deliveryattempts/" + gone}, 400, "event delivery attempt not found")
		}
	})
}

// Another project's things do not exist for a key.
func TestTenancy(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	e := f.endpoint("a")
	h := f.history(f.now, "k1", e)
	a := f.attempt(h.deliveries[0], convoy.DeliveryFailure)
	var s subscriptionView
	f.want(call{method: "POST", path: "subscriptions", body: `{"name":"s","endpoint_id":"` + string(e) + `"}`}, 201, "Subscription created successfully").data(t, &s)
	var created createdProject
	f.want(call{method: "POST", path: "/api/v1/projects?orgID=" + string(f.org.ID), key: f.person, body: `{"name":"b","type":"outgoing"}`},
		201, "Project created successfully").data(t, &created)
	key, d := created.Key.Key, "eventdeliveries/"+string(h.deliveries[0].ID)
	for _, c := range []call{
		{path: "endpoints/" + string(e)}, {method: "PUT", path: "endpoints/" + string(e), body: fullEndpoint}, {method: "DELETE", path: "endpoints/" + string(e)},
		{method: "PUT", path: "endpoints/" + string(e) + "/pause"}, {method: "PUT", path: "endpoints/" + string(e) + "/expire_secret", body: "{}"},
		{path: "subscriptions/" + string(s.UID)}, {method: "PUT", path: "subscriptions/" + string(s.UID), body: "{}"}, {method: "DELETE", path: "subscriptions/" + string(s.UID)},
		{method: "POST", path: "subscriptions", body: `{"name":"s","endpoint_id":"` + string(e) + `"}`},
		{path: "events/" + string(h.event.ID)}, {path: d}, {path: d + "/deliveryattempts"}, {path: d + "/deliveryattempts/" + string(a.ID)},
		{method: "PUT", path: d + "/resend"}, {path: "eventdeliveries?idempotencyKey=k1"},
		{method: "POST", path: "events", body: `{"endpoint_id":"` + string(e) + `","event_type":"x","data":1}`},
	} {
		c.key = key
		if got := f.do(c); got.status != 400 && got.status != 404 {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
	}
	for _, list := range []string{"endpoints", "subscriptions", "events", "eventdeliveries", "events?endpointId=" + string(e), "eventdeliveries?eventId=" + string(h.event.ID)} {
		var page paged[json.RawMessage]
		f.do(call{path: list, key: key}).data(t, &page)
		if len(page.Content) > 0 {
			t.Errorf("%s shows %s", list, page.Content)
		}
	}
}

func TestListQueries(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		f.endpoint("a")
		long := strings.Repeat("x", 1025)
		for query, message := range map[string]string{
			"perPage=0": "perPage:must be from 1 to 1000", "perPage=-1": "perPage:must be from 1 to 1000", "perPage=1001": "perPage:must be from 1 to 1000",
			"perPage=99999999999999999999": "perPage:must be from 1 to 1000", "direction=up": "direction:must be next or prev",
			"next_page_cursor=x": "next_page_cursor:must be a cursor of another page", "direction=prev&prev_page_cursor=x": "prev_page_cursor:must be a cursor of another page",
			"perPage=%00": "perPage:must not contain NUL characters", "sort=%ff": "sort:must be valid UTF-8",
		} {
			for _, list := range []string{"endpoints", "subscriptions", "events", "eventdeliveries"} {
				f.want(call{path: list + "?" + query}, 400, message)
			}
		}
		for list, params := range map[string]string{
			"endpoints": "q query ownerId", "subscriptions": "name endpointId", "events": "endpointId sourceId idempotencyKey ownerId",
			"eventdeliveries": "endpointId eventId subscriptionId idempotencyKey eventType event_type status",
		} {
			for param := range strings.FieldsSeq(params) {
				f.want(call{path: list + "?" + param + "=a%00"}, 400, param+":must not contain NUL characters")
				f.want(call{path: list + "?" + param + "=%c0"}, 400, param+":must be valid UTF-8")
				f.want(call{path: list + "?" + param + "=" + long}, 400, param+":must not be longer than 1024 characters")
				odd := url.QueryEscape(`é%_\'";--`)
				if a := f.do(call{path: list + "?" + param + "=" + odd}); a.status != 200 && param != "idempotencyKey" {
					t.Errorf("%s %s: %d %s", list, param, a.status, a.body)
				}
			}
		}
		f.want(call{path: "events?" + strings.Repeat("endpointId=x&", 201)}, 400, "endpointId:must not be given more than 200 times")
		for query, message := range map[string]string{
			"startDate=yesterday": errStartDate.Msg, "startDate=2026-08-01": errStartDate.Msg, "startDate=2026-08-01T00:00:00Z": errStartDate.Msg,
			"startDate=2026-08-01T00:00:00.5": errStartDate.Msg, "endDate=2026-13-01T00:00:00": errEndDate.Msg,
			"startDate=2026-08-02T00:00:00&endDate=2026-08-01T00:00:00": errDateOrder.Msg, "startDate=2027-01-01T00:00:00": errDateOrder.Msg,
		} {
			f.want(call{path: "events?" + query}, 400, message)
			f.want(call{path: "eventdeliveries?" + query}, 400, message)
		}
	})
}

func TestPayloadJSON(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{"": "null", `{"a": 1}`: `{"a": 1}`, "a=1&b": `"a=1&b"`, "\xff": "\"\uFFFD\""} {
		if got := string(payloadJSON([]byte(data))); got != want {
			t.Errorf("payloadJSON(%q) = %s, want %s", data, got, want)
		}
	}
}

// A client walks a list forth and back by the cursors it is given.
func TestPages(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		f.endpoint(name)
	}
	get := func(query string) (string, pagination) {
		t.Helper()
		var page paged[endpointView]
		f.want(call{path: "endpoints?perPage=2&" + query}, 200, "Endpoints fetched successfully").data(t, &page)
		var names string
		for _, e := range page.Content {
			names += e.Name
		}
		return names, page.Pagination
	}
	for sort, want := range map[string][]string{"DESC": {"ed", "cb", "a"}, "asc": {"ab", "cd", "e"}} {
		var walk []pagination
		query := "sort=" + sort
		for i, names := range want {
			got, p := get(query)
			if got != names || p.HasNext != (i < 2) || p.HasPrev != (i > 0) || p.PerPage != 2 {
				t.Errorf("%s page %d: %q %+v", sort, i, got, p)
			}
			walk = append(walk, p)
			query = "sort=" + sort + "&direction=next&next_page_cursor=" + p.NextCursor
		}
		for i := 1; i >= 0; i-- {
			got, p := get("sort=" + sort + "&direction=prev&prev_page_cursor=" + walk[i+1].PrevCursor)
			if got != want[i] || !p.HasNext {
				t.Errorf("%s back to page %d: %q %+v", sort, i, got, p)
			}
		}
	}
	if got, _ := get("perPage=nonsense"); got != "ed" {
		t.Errorf("repeated parameter: %q", got)
	}
}

func FuzzDates(f *testing.F) {
	for _, s := range []string{"", "2026-08-01T10:00:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59", "1969-12-31T23:59:59", "2026-02-30T00:00:00", "x"} {
		f.Add(s, s)
	}
	now := time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, start, end string) {
		q := DateQuery{Start: start, End: end}
		from, to, err := q.dates(now)
		if err != nil {
			if convoy.KindOf(err) != convoy.Invalid {
				t.Fatal(err)
			}
			return
		}
		if from.After(to) || from.Before(epoch) {
			t.Fatalf("%q to %q: %v to %v", start, end, from, to)
		}
		id.Floor(from) // panics on a time an id cannot carry
		id.Floor(to)
	})
}
