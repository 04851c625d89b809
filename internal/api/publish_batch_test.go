package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// ndjson makes a call's body lines of JSON.
var ndjson = map[string]string{"Content-Type": ndjsonType}

func TestPublishBatch(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		endpoint := string(f.endpoint("a"))
		items := []string{
			`{"endpoint_id":"` + endpoint + `","event_type":"a","data": {"n" :1}}`,
			`{"type":"fanout","owner_id":"c","event_type":"b","data":[2],"idempotency_key":"k"}`,
			`{"event_type":"c","data":3,"Type":"Broadcast","custom_headers":{"A":"b"}}`,
			`{"type":"fanout","owner_id":"c","event_type":"b","data":[2],"idempotency_key":"k"}`,
		}
		for name, c := range map[string]call{
			"array": {body: " [" + strings.Join(items, " ,\n") + "]\n"},
			"lines": {body: "\n" + strings.Join(items, "\r\n\n") + "\n", header: ndjson},
		} {
			c.method, c.path = "POST", "events/batch"
			var got batchView
			a := f.want(c, 201, batchMessage)
			a.data(t, &got)
			if got.Accepted != 4 || got.Rejected != 0 || len(got.Results) != 4 || !got.Results[3].Duplicate {
				t.Fatalf("%s: %s", name, a.body)
			}
			for i, want := range []struct {
				kind convoy.EventKind
				data string
			}{{"", `{"n" :1}`}, {convoy.KindFanout, "[2]"}, {convoy.KindBroadcast, "3"}, {convoy.KindFanout, "[2]"}} {
				e, err := f.store.Event(t.Context(), f.project.ID, got.Results[i].UID)
				if err != nil || e.Kind != want.kind || string(e.Data) != want.data {
					t.Errorf("%s: event %d is %+v, %v", name, i, e, err)
				}
			}
		}
	})
}

func TestPublishBatchInPart(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.MaxBody = 4096 })
	good := `{"type":"broadcast","event_type":"x","data":1}`
	bad := []struct {
		item, message string
		status        int
	}{
		{`{"event_type":"x","data":1}`, "please provide an endpoint ID", 400},
		{`{"event_type":"x","data":1,"endpoint_id":"01JZZZZZZZZZZZZZZZZZZZZZZZ"}`, "endpoint not found", 400},
		{`{"type":"dynamic","url":"http://example.com","event_type":"x","data":1}`, "type:must be single, fanout or broadcast", 400},
		{`{"type":1,"event_type":"x","data":1}`, `body contains incorrect JSON type for field "type"`, 400},
		{`{"type":"fanout","event_type":"x","data":1}`, "owner_id:please provide an owner id", 400},
		{`{"type":"broadcast"}`, "event_type:please provide an event type, data:please provide your data", 400},
		{`null`, "event_type:please provide an event type, data:please provide your data", 400},
		{`7`, "body contains incorrect JSON type (at character 1)", 400},
		{`"x"`, "body contains incorrect JSON type (at character 3)", 400},
		{"{\"type\":\"broadcast\",\"event_type\":\"\xff\",\"data\":1}", "event_type:must be valid UTF-8", 400},
		{`{"type":"broadcast","event_type":"x","data":"` + strings.Repeat("x", 4096) + `"}`, "request body too large", 413},
	}
	var items []string
	for _, b := range bad {
		items = append(items, b.item, good)
	}
	for name, c := range map[string]call{
		"array": {body: "[" + strings.Join(items, ",") + "]"},
		"lines": {body: strings.Join(items, "\n"), header: ndjson},
	} {
		c.method, c.path = "POST", "events/batch"
		var got batchView
		f.want(c, 207, batchPartialMessage).data(t, &got)
		if got.Accepted != len(bad) || got.Rejected != len(bad) || len(got.Results) != 2*len(bad) {
			t.Fatalf("%s: %+v", name, got)
		}
		for i, r := range got.Results {
			want := batchResult{Status: 201, UID: r.UID}
			if i%2 == 0 {
				want = batchResult{Status: bad[i/2].status, Error: bad[i/2].message}
			}
			if r != want || i%2 == 1 && r.UID == "" {
				t.Errorf("%s: item %d %.80s: %+v, want %+v", name, i, items[i], r, want)
			}
		}
	}
	// A line that is no JSON is one bad event, an array that is none is no batch.
	lines := call{method: "POST", path: "events/batch", body: good + "\n{\"event_type\":\n" + good, header: ndjson}
	var got batchView
	f.want(lines, 207, batchPartialMessage).data(t, &got)
	if got.Results[1].Error != "body contains badly-formed JSON" || got.Accepted != 2 {
		t.Errorf("%+v", got)
	}
	f.want(call{method: "POST", path: "events/batch", body: `[{},{"event_type":7}]`}, 400, batchRefusedMessage).data(t, &got)
	if got.Rejected != 2 || got.Results[1].Error != `body contains incorrect JSON type for field "event_type"` {
		t.Errorf("%+v", got)
	}
}

func TestPublishBatchRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.MaxBody = 64 << 10 })
	good := `{"type":"broadcast","event_type":"x","data":1}`
	many := slices.Repeat([]string{good}, maxBatch+1)
	for name, tc := range map[string]struct {
		call
		status  int
		message string
	}{
		"empty":           {call{body: " "}, 400, "body must not be empty"},
		"no lines":        {call{body: " \n\n", header: ndjson}, 400, "body must not be empty"},
		"no events":       {call{body: "[]"}, 400, "body must have at least one event"},
		"one object":      {call{body: good}, 400, "body must be a JSON array of events, or lines of them with Content-Type application/x-ndjson"},
		"cut off":         {call{body: "[" + good + ","}, 400, "body contains badly-formed JSON"},
		"trailing comma":  {call{body: "[" + good + ",]"}, 400, "body contains badly-formed JSON (at character 49)"},
		"1001 events":     {call{body: "[" + strings.Join(many, ",") + "]"}, 400, "body must not have more than 1000 events"},
		"1001 lines":      {call{body: strings.Join(many, "\n"), header: ndjson}, 400, "body must not have more than 1000 events"},
		"too large":       {call{body: "[" + strings.Repeat(" ", 512<<10) + "]"}, 413, "request body too large"},
		"too deep":        {call{body: strings.Repeat("[", 20_000)}, 400, "body contains badly-formed JSON (at character 10001)"},
		"text":            {call{body: good, header: map[string]string{"Content-Type": "text/plain"}}, 415, "Content-Type must be application/json"},
		"lines elsewhere": {call{path: "events/fanout", body: good, header: ndjson}, 415, "Content-Type must be application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			c := tc.call
			c.method = "POST"
			if c.path == "" {
				c.path = "events/batch"
			}
			f := *f
			f.t = t
			f.want(c, tc.status, tc.message)
		})
	}
	if f.publisher.n > 0 {
		t.Errorf("%d events published by refused batches", f.publisher.n)
	}
	// The largest batch passes, in several chunks.
	var got batchView
	f.want(call{method: "POST", path: "events/batch", body: strings.Join(many[1:], "\n"), header: ndjson}, 201, batchMessage).data(t, &got)
	page, err := f.store.Events(t.Context(), store.EventFilter{Project: f.project.ID, Page: store.Page{PerPage: store.MaxPerPage}})
	if err != nil || len(page.Items) != maxBatch || got.Accepted != maxBatch {
		t.Errorf("%d accepted, %d stored, %v", got.Accepted, len(page.Items), err)
	}
	for i, r := range got.Results {
		if r.Status != 201 || r.UID == "" {
			t.Fatalf("item %d: %+v", i, r)
		}
	}
}

// What cannot be stored now is not tried again for every chunk.
func TestPublishBatchDown(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	good := `{"type":"broadcast","event_type":"x","data":1}`
	lines := strings.Repeat(good+"\n", maxBatch)
	f.publisher.fail = convoy.Wrap(convoy.Unavailable, "the event was not accepted, try again", errors.New("no disk"))
	a := f.want(call{method: "POST", path: "events/batch", body: lines, header: ndjson}, 503, "the event was not accepted, try again")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if n := f.publisher.tries; n != batchChunk {
		t.Errorf("%d tries, want one chunk of %d", n, batchChunk)
	}
	f.publisher.failAfter(batchChunk)
	var got batchView
	f.want(call{method: "POST", path: "events/batch", body: lines, header: ndjson}, http.StatusMultiStatus, batchPartialMessage).data(t, &got)
	if got.Accepted != batchChunk || got.Results[batchChunk].Status != 503 || got.Results[maxBatch-1].Status != 503 || f.publisher.tries != 3*batchChunk {
		t.Errorf("%d accepted after %d tries, then %+v", got.Accepted, f.publisher.tries, got.Results[maxBatch-1])
	}
	if !strings.Contains(f.log.String(), "no disk") {
		t.Error("the cause is not in the log")
	}
}
