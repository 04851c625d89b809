package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"convoy"
	"convoy/internal/guard"
	"convoy/internal/limit"
	"convoy/internal/oauth"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		endpoint := string(f.endpoint("a"))
		a := f.want(call{method: "POST", path: "events", body: ` {"endpoint_id":"` + endpoint + `","event_type":"invoice.paid",
			"data": {"id" :9, "t":"é\u0000"},"custom_headers":{"X-Tenant":"7","x-b":"ü"},"idempotency_key":"inv-\"9"}`},
			201, "Event queued successfully")
		golden(t, "publish", a.body)
		var e eventView
		a.data(t, &e)
		stored, err := f.store.Event(t.Context(), f.project.ID, e.UID)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(stored.Data), `{"id" :9, "t":"é\u0000"}`; got != want {
			t.Errorf("stored data %s, want %s: not byte for byte", got, want)
		}
		if want := map[string][]string{"X-Tenant": {"7"}, "x-b": {"ü"}}; !reflect.DeepEqual(stored.Headers, want) {
			t.Errorf("headers %v", stored.Headers)
		}
		if !stored.AcknowledgedAt.Equal(f.now) || stored.Type != "invoice.paid" || stored.Endpoints[0] != convoy.EndpointID(endpoint) {
			t.Errorf("stored %+v", stored)
		}

		var again eventView
		f.want(call{method: "POST", path: "events", body: `{"app_id":"` + endpoint + `","event_type":"x","data":null,"idempotency_key":"inv-\"9"}`},
			201, "Event queued successfully").data(t, &again)
		if !again.Duplicate || string(again.Data) != "null" {
			t.Errorf("repeat %+v", again)
		}
	})
}

// The hand-written answer and the view of the same event must not drift apart.
func TestPublishedFormIsTheViews(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 10, 0, 0, 120_000_000, time.UTC)
	for _, e := range []*convoy.Event{
		{ID: "1", ProjectID: "2", Type: "a\"\\\n\r\t\x01\x7f\u2028é", Data: []byte(`{"a":[1,"<&>"]}`), Status: convoy.EventPending, CreatedAt: now, UpdatedAt: now, AcknowledgedAt: now},
		{
			ID: "1", ProjectID: "2", SourceID: "3", Endpoints: []convoy.EndpointID{"4", "5"}, Duplicate: true, Data: []byte(`0`), FailureReason: "x",
			Headers: map[string][]string{"b": {"1", "2"}, "a": {}}, URLQuery: "?", URLPath: "/", IdempotencyKey: "k", CreatedAt: now, UpdatedAt: now,
		},
	} {
		want, err := encode(envelope[eventView]{Status: true, Message: publishedMessage, Data: viewEvent(e)})
		if err != nil {
			t.Fatal(err)
		}
		if got := appendPublished(nil, publishedMessage, e); !sameJSON(t, got, want) {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatalf("%v in %s", err, a)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return reflect.DeepEqual(x, y)
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	endpoint := string(f.endpoint("a"))
	body := func(change string) string {
		// The last of two equal keys counts.
		return `{"endpoint_id":"` + endpoint + `","event_type":"x","data":{}` + change + `}`
	}
	headers := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(`,"h` + strconv.Itoa(i) + `":"v"`)
		}
		return `,"custom_headers":{` + b.String()[1:] + `}`
	}
	for name, tc := range map[string]struct {
		body, message string
		status        int
	}{
		"empty":                  {" ", "body must not be empty", 400},
		"not JSON":               {"{a}", "body contains badly-formed JSON (at character 2)", 400},
		"cut off":                {`{"event_type":"x"`, "body contains badly-formed JSON", 400},
		"trailing garbage":       {body("") + "x", "body contains badly-formed JSON (at character " + itoa(len(body(""))+1) + ")", 400},
		"array":                  {"[]", "body contains incorrect JSON type (at character 1)", 400},
		"string":                 {`"{}"`, "body contains incorrect JSON type (at character 4)", 400},
		"null":                   {"null", "event_type:please provide an event type, data:please provide your data", 400},
		"nothing":                {"{}", "event_type:please provide an event type, data:please provide your data", 400},
		"no type":                {`{"endpoint_id":"x","data":1}`, "event_type:please provide an event type", 400},
		"null type":              {`{"event_type":null,"data":1}`, "event_type:please provide an event type", 400},
		"no data":                {`{"event_type":"x"}`, "data:please provide your data", 400},
		"no endpoint":            {`{"event_type":"x","data":1}`, "please provide an endpoint ID", 400},
		"unknown endpoint":       {`{"event_type":"x","data":1,"endpoint_id":"01JZZZZZZZZZZZZZZZZZZZZZZZ"}`, "endpoint not found", 400},
		"no ULID":                {`{"event_type":"x","data":1,"endpoint_id":"x"}`, "endpoint not found", 400},
		"unknown app":            {`{"event_type":"x","data":1,"app_id":"x"}`, "app ID has no configured endpoints", 400},
		"number as type":         {body(`,"event_type":1`), `body contains incorrect JSON type for field "event_type"`, 400},
		"object as endpoint":     {body(`,"endpoint_id":{}`), `body contains incorrect JSON type for field "endpoint_id"`, 400},
		"array as app":           {body(`,"app_id":[]`), `body contains incorrect JSON type for field "app_id"`, 400},
		"bool as key":            {body(`,"idempotency_key":true`), `body contains incorrect JSON type for field "idempotency_key"`, 400},
		"array as headers":       {body(`,"custom_headers":[]`), `body contains incorrect JSON type for field "custom_headers"`, 400},
		"number as header":       {body(`,"custom_headers":{"a":1}`), `body contains incorrect JSON type for field "custom_headers"`, 400},
		"header name":            {body(`,"custom_headers":{"a b":"1"}`), "custom_headers:names must be HTTP header names", 400},
		"empty header name":      {body(`,"custom_headers":{"":"1"}`), "custom_headers:names must be HTTP header names", 400},
		"header value":           {body(`,"custom_headers":{"a":"1\r\nb: 2"}`), "custom_headers:values must not contain control characters", 400},
		"NUL in header":          {body(`,"custom_headers":{"a":"\u0000"}`), "custom_headers:values must not contain control characters", 400},
		"65 headers":             {body(headers(65)), "custom_headers:must not have more than 64 headers", 400},
		"long header":            {body(`,"custom_headers":{"a":"` + strings.Repeat("x", 16<<10) + `"}`), "custom_headers:must not be longer than 16384 bytes together", 400},
		"long type":              {body(`,"event_type":"` + strings.Repeat("x", 256) + `"`), "event_type:must not be longer than 255 characters", 400},
		"long key":               {body(`,"idempotency_key":"` + strings.Repeat("x", 1025) + `"`), "idempotency_key:must not be longer than 1024 bytes", 400},
		"NUL in type":            {body(`,"event_type":"a\u0000"`), "event_type:must not contain NUL characters", 400},
		"NUL in key":             {body(`,"idempotency_key":"a\u0000"`), "idempotency_key:must not contain NUL characters", 400},
		"NUL in endpoint":        {body(`,"endpoint_id":"a\u0000"`), "endpoint not found", 400},
		"type not UTF-8":         {body(",\"event_type\":\"a\xff\""), "event_type:must be valid UTF-8", 400},
		"key not UTF-8":          {body(",\"idempotency_key\":\"\xc3\""), "idempotency_key:must be valid UTF-8", 400},
		"data not UTF-8":         {body(",\"data\":[\"\xff\"]"), "data:must be valid UTF-8", 400},
		"raw control character":  {body(",\"event_type\":\"a\nb\""), "body contains badly-formed JSON (at character 87)", 400},
		"1 MB type":              {body(`,"event_type":"` + strings.Repeat("x", 900<<10) + `"`), "event_type:must not be longer than 255 characters", 400},
		"too large":              {body(`,"data":"` + strings.Repeat("x", 1<<20) + `"`), "request body too large", 413},
		"a million open arrays":  {strings.Repeat("[", 1_000_000), "body contains badly-formed JSON (at character 10001)", 400},
		"400,000 nested objects": {body(`,"data":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000)), "body contains badly-formed JSON (at character 10078)", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			f.want(call{method: "POST", path: "events", body: tc.body}, tc.status, tc.message)
		})
	}
	t.Cleanup(func() { // after the parallel subtests
		page, err := f.store.Events(context.Background(), store.EventFilter{Project: f.project.ID})
		if err != nil || len(page.Items) > 0 || f.publisher.n > 0 {
			t.Errorf("%d events stored by refused requests (%v)", len(page.Items), err)
		}
	})
}

func TestPublishAccepts(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	endpoint := string(f.endpoint("a"))
	for name, tc := range map[string]struct{ change, data, typ string }{
		"other case":     {`,"Event_Type":"y","DATA":1`, "1", "y"},
		"escaped key":    {`,"\u0065vent_type":"z"`, "{}", "z"},
		"escaped type":   {`,"event_type":"\ud83d\ude00\u0061"`, "{}", "😀a"},
		"lone surrogate": {`,"event_type":"\ud83d"`, "{}", "�"},
		"unknown key":    {`,"nope":{"data":7}`, "{}", "x"},
		"scalar":         {`,"data": "a b" `, `"a b"`, "x"},
		"number":         {`,"data":-1.50e+9`, `-1.50e+9`, "x"},
		"false":          {`,"data":false`, `false`, "x"},
		"nulls":          {`,"custom_headers":null,"idempotency_key":null,"app_id":null`, "{}", "x"},
		"null header":    {`,"custom_headers":{"a":null}`, "{}", "x"},
		"nested":         {`,"data":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "x"},
		"longest type":   {`,"event_type":"` + strings.Repeat("é", 255) + `"`, "{}", strings.Repeat("é", 255)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			var e eventView
			f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + endpoint + `","event_type":"x","data":{}` + tc.change + `}`},
				201, publishedMessage).data(t, &e)
			got := f.want(call{path: "events/" + string(e.UID)}, 200, "Endpoint event fetched successfully")
			var read eventView
			got.data(t, &read)
			if string(e.Data) != tc.data || e.EventType != tc.typ || string(read.Data) != tc.data || read.EventType != tc.typ {
				t.Errorf("published %s %q, read %s %q", e.Data, e.EventType, read.Data, read.EventType)
			}
		})
	}
}

func TestPublishChunked(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.MaxBody = 4096 })
	endpoint := string(f.endpoint("a"))
	for _, tc := range []struct{ size, status int }{{100, 201}, {3900, 201}, {5000, 413}, {1 << 20, 413}} {
		// A reader of unknown length makes the client send chunks.
		body := io.MultiReader(strings.NewReader(`{"endpoint_id":"` + endpoint + `","event_type":"x","data":"` + strings.Repeat("x", tc.size) + `"}`))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.server.URL+"/api/v1/projects/"+string(f.project.ID)+"/events", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+f.key)
		res, err := f.server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tc.status {
			t.Errorf("%d bytes: %d %.200s (%v), want %d", tc.size, res.StatusCode, got, err, tc.status)
		}
	}
}

func TestPublishErrors(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	body := `{"endpoint_id":"` + string(f.endpoint("a")) + `","event_type":"x","data":{}}`
	f.publisher.fail = &convoy.Error{Kind: convoy.Unavailable, Msg: "events cannot be stored now", RetryAfter: 1500 * time.Millisecond}
	a := f.want(call{method: "POST", path: "events", body: body}, 503, "events cannot be stored now")
	if got := a.header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q", got)
	}
	f.publisher.fail = io.ErrClosedPipe
	f.want(call{method: "POST", path: "events", body: body}, 500, internalMessage)
	if n := strings.Count(f.log.String(), io.ErrClosedPipe.Error()); n != 1 {
		t.Errorf("the cause is in the log %d times:\n%s", n, f.log)
	}
}

func TestPublishNeedsKeyWithOwnHeader(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	endpoint := string(f.endpoint("a"))
	f.want(call{method: "PUT", body: `{"name":"shop","config":{"request_id_header":"X-My-Id"}}`}, 202, "Project updated successfully")
	f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + endpoint + `","event_type":"x","data":1}`},
		400, "idempotency_key is required when a custom request_id_header is configured")
	f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + endpoint + `","event_type":"x","data":1,"idempotency_key":"1"}`},
		201, publishedMessage)
}

// Another server has just made an endpoint; its message has not come yet.
func TestPublishToEndpointMadeElsewhere(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.endpoint("a") // the catalog has the project now
	e := &convoy.Endpoint{
		ID: "01K1ZZZZZZZZZZZZZZZZZZZZZZ", ProjectID: f.project.ID, URL: "http://example.com", Name: "b", Status: convoy.EndpointActive,
		ContentType: contentJSON, CreatedAt: f.now, UpdatedAt: f.now,
	}
	if _, err := f.catalog.Project(t.Context(), f.project.ID); err != nil {
		t.Fatal(err)
	}
	if err := f.store.CreateEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + string(e.ID) + `","event_type":"x","data":1}`}, 201, publishedMessage)
}

// FuzzPublication compares the parser with encoding/json, which is slow and
// right.
func FuzzPublication(f *testing.F) {
	for _, s := range []string{
		`{"event_type":"x","data":{"a":1},"endpoint_id":"e"}`, ` {"EVENT_TYPE":"\u00e9\ud83d","data" : [1, 2 ] } `, `{"data":"\"\\"}`,
		`{"custom_headers":{"a":"b","C":null},"data":null}`, `[]`, `null`, `"x"`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":"\x"}`, `{"a":tru}`,
		`{"data":1,"data":2}`, "{\"a\":\"\xff\"}", `{"data":1e999}`, `{"idempotency_key":"\u0000"}`, `{"":{"":[{}]}}`, `{"a":1}}`, "\ufeff{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got publication
		err := got.parse(bytes.Clone(body))
		var want publishRequest
		wantErr := json.Unmarshal(body, &want)
		if wantErr != nil {
			// A value of the wrong type in headers is found in any case.
			if err == nil {
				t.Fatalf("%q is taken, encoding/json says %v", body, wantErr)
			}
			return
		}
		if err != nil {
			if !utf8.Valid(body) || strings.Contains(err.Error(), "custom_headers") {
				return
			}
			t.Fatalf("%q is refused: %v", body, err)
		}
		if got.eventType != want.EventType || got.endpointID != want.EndpointID || got.appID != want.AppID || got.idempotencyKey != want.IdempotencyKey {
			t.Fatalf("%q gives %+v, want %+v", body, got, want)
		}
		if !bytes.Equal(got.data, want.Data) {
			t.Fatalf("%q: data %q, want %q", body, got.data, want.Data)
		}
	})
}

// discardWriter is the least a ResponseWriter can do, as the benchmark is about
// the handler.
type discardWriter struct{ h http.Header }

func (d *discardWriter) Header() http.Header         { return d.h }
func (d *discardWriter) Write(b []byte) (int, error) { return len(b), nil }
func (d *discardWriter) WriteHeader(int)             {}

type nullPublisher struct{}

func (nullPublisher) Publish(_ context.Context, e *convoy.Event) error {
	e.Status = convoy.EventSuccess
	return nil
}

func (n nullPublisher) PublishAll(ctx context.Context, events []*convoy.Event) []error {
	errs := make([]error, len(events))
	for i, e := range events {
		errs[i] = n.Publish(ctx, e)
	}
	return errs
}

type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

func BenchmarkPublish(b *testing.B) {
	f := setup(b, openSQLite(b))
	endpoint := string(f.endpoint("a"))
	h, err := New(Config{
		Store: f.store, Catalog: f.catalog, Publisher: nullPublisher{}, Replayer: f.replays, Jobs: f.replays, SignIn: f.desk(nil), Guard: guard.New(guard.Config{}), Tokens: oauth.New(http.DefaultTransport, time.Now),
		Log:        slog.New(slog.NewTextHandler(io.Discard, nil)), // Info, as in production
		IngestRate: Rate{Bucket: limit.NewMeter(limit.Limit{Count: 1 << 40, Period: time.Minute, Burst: 1 << 40}), Count: 1},
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{1 << 10, 10 << 10} {
		payload := []byte(`{"endpoint_id":"` + endpoint + `","event_type":"invoice.paid","data":` + document(size) + `}`)
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			content := new(body)
			req := httptest.NewRequest(http.MethodPost, "/api/v1/projects/"+string(f.project.ID)+"/events", nil)
			req.Header.Set("Authorization", "Bearer "+f.key)
			req.Header.Set("Content-Type", "application/json")
			req.Body, req.ContentLength = content, int64(len(payload))
			w := &discardWriter{h: make(http.Header)}
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				content.Reset(payload)
				clear(w.h)
				h.ServeHTTP(w, req)
			}
		})
	}
}

// document is a JSON object of about n bytes with nested objects and arrays.
func document(n int) string {
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for i := 0; b.Len() < n-60; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"id":` + strconv.Itoa(i) + `,"name":"item number ` + strconv.Itoa(i) + `","price":12.5,"tags":["a","b"]}`)
	}
	b.WriteString(`],"ok":true}`)
	return b.String()
}
