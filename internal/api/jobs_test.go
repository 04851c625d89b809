package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		one := f.endpoint("one")
		h := f.history(f.now.Add(-time.Hour), "k1", one)
		path := "events/" + string(h.event.ID) + "/replay"
		const replayed = "Endpoint event replayed successfully"
		for _, body := range []string{"", `"{}"`, "null", "{}"} { // what SDKs send
			var e eventView
			if f.want(call{method: "PUT", path: path, body: body}, 200, replayed).data(t, &e); e.UID != h.event.ID {
				t.Fatalf("replayed %+v", e)
			}
		}
		var page paged[deliveryView]
		f.want(call{path: "eventdeliveries?eventId=" + string(h.event.ID)}, 200, "Event deliveries fetched successfully").data(t, &page)
		if len(page.Content) != 5 {
			t.Errorf("%d deliveries after four replays, want 5", len(page.Content))
		}
		for _, gone := range []string{"x", "%00", "01K1ZZZZZZZZZZZZZZZZZZZZZZ"} {
			f.want(call{method: "PUT", path: "events/" + gone + "/replay"}, 400, "event not found")
		}
		f.replays.fail = convoy.E(convoy.Unavailable, "try again")
		f.want(call{method: "PUT", path: path}, 503, "try again")
	})
}

func TestBatchReplay(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		one, two := f.endpoint("one"), f.endpoint("two")
		var owned endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"url":"http://example.com","name":"o","owner_id":"c"}`}, 201, "Endpoint created successfully").data(t, &owned)
		f.history(f.now.AddDate(0, 0, -10), "", one)
		f.history(f.now.Add(-time.Hour), "k1", one, owned.UID)
		f.history(f.now.Add(-time.Minute), "", two)
		far := "startDate=2026-01-01T00:00:00"
		for query, want := range map[string]int{
			"": 2, far: 3, "endpointId=" + string(one): 1, "endpointId=" + string(one) + "&endpointId=" + string(two) + "&" + far: 3,
			"idempotencyKey=k1": 1, "idempotencyKey=zz": 0, "ownerId=c": 1, "ownerId=zz": 0, "ownerId=c&endpointId=" + string(two): 0,
			"sourceId=x": 0, "sourceId=": 2, "startDate=0001-01-01T00:00:00&endDate=0001-01-01T00:00:00": 2, "query=&body=": 2,
			"endDate=2026-08-01T09:00:00": 1, "endpointId=zz": 0, "brokerMessageId=zz": 0, "startDate=2030-01-01T00:00:00&endDate=2031-01-01T00:00:00": 0,
		} {
			var n counted
			f.want(call{path: "events/countbatchreplayevents?" + query}, 200, "events count successful").data(t, &n)
			if n.Num != want {
				t.Errorf("%s: %d events, want %d", query, n.Num, want)
			}
			a := f.want(call{method: "POST", path: "events/batchreplay?" + query, body: "null"}, 200, fmt.Sprintf("%d successful, 0 failed", want))
			if !strings.Contains(a.body, `"data":null`) {
				t.Errorf("%s: %s", query, a.body)
			}
			job := a.header.Get("X-Convoy-Job-Id")
			if (job != "") != (want > 0) {
				t.Errorf("%s: job %q", query, job)
			}
			if job == "" {
				continue
			}
			var j jobView
			f.want(call{path: "jobs/" + job}, 200, "Batch job fetched successfully").data(t, &j)
			if j.Matched != want || j.Kind != convoy.BatchReplay || j.State != convoy.BatchQueued || j.Rate != DefaultBatchRate || j.Filter.To.After(f.now) {
				t.Errorf("%s: job %+v", query, j)
			}
		}
		if f.replays.wakes == 0 {
			t.Error("nobody was told of the jobs")
		}
		for query, message := range map[string]string{
			"query=x": "does not support search filters", "body={}": "does not support search filters",
		} {
			f.want(call{method: "POST", path: "events/batchreplay?" + query}, 400, "batch replay "+message)
			f.want(call{path: "events/countbatchreplayevents?" + query}, 400, "batch replay count "+message)
		}
		for query, message := range map[string]string{
			"startDate=x": errStartDate.Msg, "endDate=x": errEndDate.Msg,
			"startDate=2026-08-01T09:00:00&endDate=2026-08-01T08:00:00": errDateOrder.Msg, "endpointId=%00": "endpointId:" + textNUL,
			"rate=0": "rate:must be from 1 to 1000000", "rate=x": "rate:must be from 1 to 1000000", "sourceId=%ff": "sourceId:" + textUTF8,
		} {
			f.want(call{method: "POST", path: "events/batchreplay?" + query}, 400, message)
		}
		viewer := f.newKey(func(k *convoy.APIKey) { k.Role = convoy.Role{Type: convoy.RoleProjectViewer, Project: f.project.ID} })
		f.want(call{method: "POST", path: "events/batchreplay", key: viewer}, 403, "Unauthorized")
		f.want(call{path: "events/countbatchreplayevents", key: viewer}, 200, "events count successful")
	})
}

func TestBatchRetry(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		one, two := f.endpoint("one"), f.endpoint("two")
		h, other := f.history(f.now.Add(-time.Minute), "k1", one, two), f.history(f.now.Add(-time.Minute), "", one)
		f.attempt(h.deliveries[0], convoy.DeliveryFailure)
		f.attempt(h.deliveries[1], convoy.DeliverySuccess)
		f.attempt(other.deliveries[0], convoy.DeliveryRetry)
		f.want(call{method: "POST", path: "portal-links", body: `{"name":"c","owner_id":"cust-1","endpoints":["` + string(two) + `"]}`}, 201, "Portal link created successfully")
		f.want(call{method: "POST", path: "portal-links", body: `{"name":"c","owner_id":"cust-2","endpoints":["` + string(one) + `"]}`}, 201, "Portal link created successfully")
		const processing, active = "Batch retry processing", "an active batch retry already exists"
		for query, want := range map[string]int{
			"": 1, "status=Success": 0, "status=Retry": 1, "status=Retry&status=Failure&status=Success": 2, "status=Nope": 0, "status=": 1,
			"endpointId=" + string(two): 0, "endpointId=" + string(one) + "&endpointId=" + string(two): 1, "eventId=" + string(h.event.ID): 1,
			"ownerId=cust-1": 0, "ownerId=cust-2": 1, "ownerId=cust-2&endpointId=" + string(two): 0,
			"eventId=x": 0, "idempotencyKey=k1": 1, "eventType=invoice.paid": 1, "brokerMessageId=zz": 0, "event_type=x": 0, "endDate=2026-08-01T09:00:00": 0,
			"subscriptionId=" + string(h.deliveries[0].SubscriptionID): 1, "startDate=0001-01-01T00:00:00": 1,
		} {
			var n counted
			f.want(call{path: "eventdeliveries/countbatchretryevents?" + query}, 200, "event deliveries count successful").data(t, &n)
			if n.Num != want {
				t.Errorf("%s: %d deliveries, want %d", query, n.Num, want)
			}
			if want == 0 { // nothing to do occupies nothing
				if a := f.want(call{method: "POST", path: "eventdeliveries/batchretry?" + query}, 200, processing); a.header.Get("X-Convoy-Job-Id") != "" {
					t.Errorf("%s: a job for nothing", query)
				}
			}
		}
		f.want(call{method: "POST", path: "eventdeliveries/batchretry?idempotencyKey=unknown"}, 400, "event not found")
		f.want(call{path: "eventdeliveries/countbatchretryevents?idempotencyKey=unknown"}, 400, "event not found")
		f.want(call{method: "POST", path: "eventdeliveries/batchretry?rate=1000001"}, 400, "rate:must be from 1 to 1000000")
		a := f.want(call{method: "PUT", path: "eventdeliveries/batchretry?rate=7", body: "{}"}, 200, processing)
		for _, query := range []string{"", "status=Nope", "status=Retry"} {
			f.want(call{method: "POST", path: "eventdeliveries/batchretry?" + query}, 400, active)
		}
		path := "jobs/" + a.header.Get("X-Convoy-Job-Id")
		golden(t, "job", f.want(call{path: path}, 200, "Batch job fetched successfully").body)
		golden(t, "jobs", f.want(call{path: "jobs"}, 200, "Batch jobs fetched successfully").body)

		for _, step := range []struct {
			do, message string
			status      int
			state       convoy.BatchState
		}{
			{"pause", "Batch job paused successfully", 200, convoy.BatchPaused},
			{"pause", "Batch job paused successfully", 200, convoy.BatchPaused},
			{"resume", "Batch job resumed successfully", 200, convoy.BatchQueued},
			{"cancel", "Batch job cancelled successfully", 200, convoy.BatchCancelled},
			{"resume", "the batch job is cancelled", 400, ""},
			{"pause", "the batch job is cancelled", 400, ""},
		} {
			var j jobView
			if a := f.want(call{method: "PUT", path: path + "/" + step.do}, step.status, step.message); step.status == 200 {
				if a.data(t, &j); j.State != step.state {
					t.Errorf("%s: %s", step.do, j.State)
				}
			}
		}
		f.want(call{method: "POST", path: "eventdeliveries/batchretry"}, 200, processing) // the place is free again
		for _, gone := range []string{"x", "%00", "01K1ZZZZZZZZZZZZZZZZZZZZZZ"} {
			f.want(call{path: "jobs/" + gone}, 404, "batch job not found")
			f.want(call{method: "PUT", path: "jobs/" + gone + "/pause"}, 400, "batch job not found")
		}
	})
}

func TestForceResend(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		one, two := f.endpoint("one"), f.endpoint("two")
		h := f.history(f.now, "", one, two)
		good, held := h.deliveries[0], h.deliveries[1]
		failed := f.history(f.now, "", one).deliveries[0]
		f.attempt(good, convoy.DeliverySuccess)
		f.attempt(held, convoy.DeliverySuccess)
		f.attempt(failed, convoy.DeliveryFailure)
		f.want(call{method: "PUT", path: "endpoints/" + string(two) + "/pause"}, 202, "endpoint status updated successfully")
		force := func(ids ...convoy.DeliveryID) string {
			var quoted []string
			for _, d := range ids {
				quoted = append(quoted, `"`+string(d)+`"`)
			}
			return `{"ids":[` + strings.Join(quoted, ",") + `]}`
		}
		for _, tt := range []struct {
			body, message string
			status        int
		}{
			{"", "Request is invalid: body must not be empty", 400},
			{"null", "0 successful, 0 failed", 200},
			{"{}", "0 successful, 0 failed", 200},
			{`{"ids":null}`, "0 successful, 0 failed", 200},
			{`{"ids":[]}`, "0 successful, 0 failed", 200},
			{`{"ids":"x"}`, "Request is invalid: body contains incorrect JSON type for field \"ids\"", 400},
			{`{"ids":[1]}`, "Request is invalid: body contains incorrect JSON type for field \"ids\"", 400},
			{`{"ids":`, "Request is invalid: body contains badly-formed JSON", 400},
			{`"{}"`, "Request is invalid: body contains incorrect JSON type (at character 4)", 400},
			{force("x", "01K1ZZZZZZZZZZZZZZZZZZZZZZ"), "0 successful, 0 failed", 200},
			{force("\\u0000"), "ids:must not contain NUL characters", 400},
			{force(good.ID, failed.ID), "only successful events can be force resent", 400},
			{force(make([]convoy.DeliveryID, 1001)...), "ids:must not be more than 1000", 400},
			{force(good.ID, held.ID, good.ID), "1 successful, 1 failed", 200},
			{force(good.ID), "only successful events can be force resent", 400}, // it is on its way
		} {
			f.want(call{method: "POST", path: "eventdeliveries/forceresend", body: tt.body}, tt.status, tt.message)
		}
		got, err := f.store.Delivery(t.Context(), f.project.ID, good.ID)
		if err != nil || got.Status != convoy.DeliveryScheduled || got.Trials != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
