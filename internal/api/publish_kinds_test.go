package api

import (
	"net/http"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/store/sqldb"
)

func TestPublishKinds(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		for _, tc := range []struct {
			path, body, message string
			want                convoy.Event
		}{
			{"events/fanout", `{"owner_id":"c-é","event_type":"x","data": [1 ],"custom_headers":{"A":"b"},"endpoint_id":7}`,
				"Endpoint fanout event queued successfully", convoy.Event{Kind: convoy.KindFanout, OwnerID: "c-é"}},
			{"events/broadcast", `{"event_type":"x","data": [1 ],"custom_headers":{"A":"b"},"owner_id":[]}`,
				"Broadcast event created successfully", convoy.Event{Kind: convoy.KindBroadcast}},
			{"/api//v1/projects/" + string(f.project.ID) + "/events/fanout/", `{"Owner_ID":"1","event_type":"x","data": [1 ],"custom_headers":{"A":"b"}}`,
				"Endpoint fanout event queued successfully", convoy.Event{Kind: convoy.KindFanout, OwnerID: "1"}},
		} {
			var e eventView
			f.want(call{method: "POST", path: tc.path, body: tc.body}, 201, tc.message).data(t, &e)
			got, err := f.store.Event(t.Context(), f.project.ID, e.UID)
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind != tc.want.Kind || got.OwnerID != tc.want.OwnerID || string(got.Data) != "[1 ]" || got.Headers["A"][0] != "b" || got.Type != "x" {
				t.Errorf("%s stored %+v", tc.path, got)
			}
		}
		golden(t, "publish_fanout", f.want(call{method: "POST", path: "events/fanout", body: `{"owner_id":"c","event_type":"x","data":{},"idempotency_key":"k"}`},
			201, "Endpoint fanout event queued successfully").body)
		var e eventView
		f.want(call{method: "POST", path: "events/fanout", body: `{"owner_id":"c","event_type":"x","data":{},"idempotency_key":"k"}`},
			201, "Duplicate event received, but will not be sent").data(t, &e)
		if !e.Duplicate {
			t.Error("the answer to a repeat does not say so")
		}
		f.want(call{method: "POST", path: "events/broadcast", body: `{"event_type":"x","data":{},"idempotency_key":"k"}`},
			201, "Broadcast event created successfully").data(t, &e)
		if !e.Duplicate {
			t.Error("keys are not shared by the routes")
		}
	})
}

func TestPublishKindsRefuse(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	const kinds = "fanout broadcast"
	for _, tc := range []struct{ kinds, body, message string }{
		{"fanout", `{}`, "owner_id:please provide an owner id, event_type:please provide an event type, data:please provide your data"},
		{"broadcast", `{}`, "event_type:please provide an event type, data:please provide your data"},
		{"fanout", `{"event_type":"x","data":1,"owner_id":""}`, "owner_id:please provide an owner id"},
		{"fanout", `{"event_type":"x","data":1,"owner_id":7}`, `body contains incorrect JSON type for field "owner_id"`},
		{"fanout", `{"event_type":"x","data":1,"owner_id":"a\u0000"}`, "owner_id:must not contain NUL characters"},
		{"fanout", `{"event_type":"x","data":1,"owner_id":"` + strings.Repeat("x", 256) + `"}`, "owner_id:must not be longer than 255 characters"},
		{kinds, ` `, "body must not be empty"},
		{kinds, `{`, "body contains badly-formed JSON"},
		{kinds, `[]`, "body contains incorrect JSON type (at character 1)"},
		{kinds, `{"owner_id":"a","event_type":"x","data":1,"custom_headers":{"a b":"1"}}`, "custom_headers:names must be HTTP header names"},
		{kinds, "{\"owner_id\":\"a\",\"event_type\":\"x\",\"data\":\"\xff\"}", "data:must be valid UTF-8"},
	} {
		for kind := range strings.FieldsSeq(tc.kinds) {
			f.want(call{method: "POST", path: "events/" + kind, body: tc.body}, 400, tc.message)
		}
	}
	f.want(call{method: "PUT", body: `{"name":"shop","config":{"request_id_header":"X-My-Id"}}`}, 202, "Project updated successfully")
	for kind := range strings.FieldsSeq(kinds) {
		f.want(call{method: "POST", path: "events/" + kind, body: `{"owner_id":"a","event_type":"x","data":1}`},
			400, "idempotency_key is required when a custom request_id_header is configured")
	}
	if f.publisher.n > 0 {
		t.Errorf("%d events published by refused requests", f.publisher.n)
	}
	f.want(call{method: "POST", path: "events/fanouts", body: `{}`}, http.StatusMethodNotAllowed, "method not allowed")
	f.want(call{method: "POST", path: "events/fanout/x", body: `{}`}, http.StatusNotFound, "404 page not found")
}
