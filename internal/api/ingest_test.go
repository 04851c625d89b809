package api

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"convoy"
	"convoy/internal/guard"
	"convoy/internal/id"
	"convoy/internal/oauth"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// send posts to a source's ingest URL as a producer does: without a key.
func (f *fixture) send(s sourceView, suffix, body string, header ...string) answer {
	f.t.Helper()
	c := call{method: "POST", path: "/ingest/" + s.MaskID + suffix, body: body, key: "-", header: map[string]string{}}
	for i := 0; i < len(header); i += 2 {
		c.header[header[i]] = header[i+1]
	}
	return f.do(c)
}

// last is the newest event of the fixture's project.
func (f *fixture) last() *convoy.Event {
	f.t.Helper()
	page, err := f.store.Events(f.t.Context(), store.EventFilter{Project: f.project.ID, Page: store.Page{PerPage: 1}})
	if err != nil || len(page.Items) != 1 {
		f.t.Fatalf("%d events, %v", len(page.Items), err)
	}
	return page.Items[0]
}

const received = `{"status":true,"message":"Event received","data":%d}`

func TestIngest(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		s := f.source(`{"name":"src","type":"http"}`)
		a := f.send(s, "/a/b?x=1&y=%20", `{"id": 9}`, "X-Kind", "k", "Cookie", "c=1", "Authorization", "Bearer t", "X-Hop", "1", "Connection", "X-Hop")
		if a.status != 200 || a.body != fmt.Sprintf(received, 9) || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		e := f.last()
		if e.Kind != convoy.KindSource || e.SourceID != s.UID || e.Type != s.MaskID || string(e.Data) != `{"id": 9}` ||
			e.URLPath != "/ingest/"+s.MaskID+"/a/b" || e.URLQuery != "x=1&y=%20" || e.IdempotencyKey != "" || !e.AcknowledgedAt.Equal(f.now) {
			t.Errorf("stored %+v", e)
		}
		names := make([]string, 0, len(e.Headers))
		for name := range e.Headers {
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != "Content-Type User-Agent X-Convoy-Source-Id X-Kind" || e.Headers["X-Convoy-Source-Id"][0] != s.MaskID {
			t.Errorf("headers %v", e.Headers)
		}
		var view eventView
		f.want(call{path: "events/" + string(e.ID)}, 200, "Endpoint event fetched successfully").data(t, &view)
		if view.SourceMetadata != (sourceStub{UID: s.UID, Name: "src"}) {
			t.Errorf("source %+v", view.SourceMetadata)
		}
	})
}

func TestIngestNowhere(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	s := f.source(`{"name":"src","type":"http"}`)
	queue := f.source(`{"name":"src","type":"rest_api"}`)
	for path, c := range map[string]struct {
		method, message string
		status          int
	}{
		"/ingest/":                             {"POST", "404 page not found", 404},
		"/ingest/aaaaaaaaaaaaaaaa":             {"POST", "Resource not found", 404},
		"/ingest/aaaaaaaaaaaaaaa%00":           {"POST", "Resource not found", 404},
		"/ingest/" + s.MaskID + "x":            {"POST", "Resource not found", 404},
		"/ingest/" + queue.MaskID:              {"POST", "Resource not found", 404},
		"/ingest/bbbbbbbbbbbbbbbb?crc_token=a": {"GET", "Resource not found", 404},
		"/ingest/" + s.MaskID:                  {"GET", "method not allowed", 405},
		"/ingest/" + s.MaskID + "/a":           {"PUT", "method not allowed", 405},
		"/ingest/" + s.MaskID + "?crc_token=a": {"GET", "Provider type undefined", 400},
	} {
		a := f.want(call{method: c.method, path: path, key: "-"}, c.status, c.message)
		if c.status == 405 && a.header.Get("Allow") != "POST" {
			t.Errorf("%s: allow %q", path, a.header.Get("Allow"))
		}
	}
	f.want(call{method: "PUT", path: "sources/" + string(s.UID), body: `{"name":"a","type":"http","is_disabled":true}`}, 202, "Source updated successfully")
	if a := f.send(s, "", "{}"); a.status != 400 || a.message(t) != "source is disabled" {
		t.Errorf("disabled: %d %s", a.status, a.body)
	}
	f.want(call{method: "DELETE", path: "sources/" + string(s.UID)}, 200, "Source deleted successfully")
	if a := f.send(s, "", "{}"); a.status != 404 {
		t.Errorf("deleted: %d %s", a.status, a.body)
	}
}

// TestIngestBodies: whatever comes, the payload is a JSON text.
func TestIngestBodies(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		s := f.source(`{"name":"src","type":"http"}`)
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		if err := w.WriteField("a", "1"); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
		for _, tt := range []struct{ contentType, body, want string }{
			{"application/json", "", "{}"},
			{"application/json", " \n", "{}"},
			{"application/json", ` {"a" : 1.0}`, ` {"a" : 1.0}`},
			{"application/json", `{"a":`, `"{\"a\":"`},
			{"application/json", `"\u0000"`, `"\u0000"`},
			{"application/json", "{\"a\":\"\xff\"}", "{\"a\":\"\uFFFD\"}"},
			{"application/json", "\x00", `"\u0000"`},
			{"application/json", deep, `"` + deep + `"`},
			{"application/vnd.api+json; charset=utf-8", `[1]`, `[1]`},
			{"text/plain", "two\nlines \"é\"", `"two\nlines \"é\""`},
			{"application/octet-stream", "\xff\xfe\x00", `"` + "\uFFFD\uFFFD" + `\u0000"`},
			{"application/x-www-form-urlencoded", "a=1&b=2", `{"a":"1","b":"2"}`},
			{"application/x-www-form-urlencoded", "a=%00%ff", `{"a":"\u0000\ufffd"}`},
			{w.FormDataContentType(), form.String(), `{"a":"1"}`},
			{"nonsense;;", "x", `"x"`},
		} {
			a := f.send(s, "", tt.body, "Content-Type", tt.contentType)
			if a.status != 200 || a.body != fmt.Sprintf(received, len(tt.want)) {
				t.Errorf("%s %.40q: %d %s", tt.contentType, tt.body, a.status, a.body)
				continue
			}
			if got := string(f.last().Data); got != tt.want || !json.Valid([]byte(got)) || !utf8.ValidString(got) {
				t.Errorf("%s %.40q: stored %.60q, want %.60q", tt.contentType, tt.body, got, tt.want)
			}
		}
		for contentType, body := range map[string]string{
			"application/x-www-form-urlencoded": "a=%zz", "multipart/form-data; boundary=x": "a", "multipart/form-data": "a",
		} {
			if a := f.send(s, "", body, "Content-Type", contentType); a.status != 400 || a.message(t) != "Invalid request format" {
				t.Errorf("%s: %d %s", contentType, a.status, a.body)
			}
		}
		if a := f.send(s, "", "x", "Content-Encoding", "gzip"); a.status != 415 || a.message(t) != "Content-Encoding is not supported" {
			t.Errorf("gzip: %d %s", a.status, a.body)
		}
	})
}

// TestIngestText sends text where the store takes none but good one.
func TestIngestText(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		s := f.source(`{"name":"src","type":"http"}`)
		a := f.send(s, "/%00/%ff?q=\xff%00\xc3\xa9", "{}", "X-Latin", "caf\xe9", "X-Good", "é")
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		e := f.last()
		if e.URLPath != "/ingest/"+s.MaskID+"/%00/%FF" || e.URLQuery != "q=%FF%00%C3%A9" ||
			e.Headers["X-Latin"][0] != "caf\uFFFD" || e.Headers["X-Good"][0] != "é" {
			t.Errorf("stored %q %q %q", e.URLPath, e.URLQuery, e.Headers)
		}
		if a := f.send(s, "", "{}", "X-Long", strings.Repeat("a", 17<<10)); a.status != 400 || a.message(t) != "headers:must not be longer than 16384 bytes together" {
			t.Errorf("long header: %d %s", a.status, a.body)
		}
	})
}

func TestIngestSize(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	s := f.source(`{"name":"src","type":"http"}`)
	post := func(body io.Reader) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.server.URL+"/ingest/"+s.MaskID, body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := f.server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode == http.StatusRequestEntityTooLarge && !strings.Contains(string(b), "request body too large") {
			t.Errorf("message %s", b)
		}
		return res.StatusCode
	}
	const limit = 51200 // a new project's
	for _, tt := range []struct{ size, status int }{{limit, 200}, {limit + 1, 413}, {10 * limit, 413}} {
		body := strings.Repeat(" ", tt.size)
		if got := post(strings.NewReader(body)); got != tt.status {
			t.Errorf("%d bytes: %d, want %d", tt.size, got, tt.status)
		}
		if got := post(io.MultiReader(strings.NewReader(body))); got != tt.status {
			t.Errorf("%d bytes, chunked: %d, want %d", tt.size, got, tt.status)
		}
	}
}

func TestIngestVerification(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		s := f.source(`{"name":"gh","type":"http","provider":"github","verifier":{"type":"hmac","hmac":{"header":"X-Hub-Signature-256","hash":"SHA256","secret":"gh_secret","encoding":"hex"}}}`)
		const body = `{"zen":"Keep it simple."}`
		for _, signature := range []string{"", "sha256=00", "sha256=" + strings.Repeat("a", 64)} {
			if a := f.send(s, "", body, "X-Hub-Signature-256", signature, "User-Agent", "forger"); a.status != 400 || a.message(t) != "Request verification failed" {
				t.Errorf("signature %q: %d %s", signature, a.status, a.body)
			}
		}
		if n := f.publisher.n; n != 0 {
			t.Fatalf("%d forged events", n)
		}
		const good = "sha256=af59d8b195b7976b01c4f112ec1bffe707ae4977442b2b38b9f060ab1eb3186c"
		if a := f.send(s, "", body, "X-Hub-Signature-256", good); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		var list []refusalView
		a := f.want(call{path: "sources/" + string(s.UID) + "/refusals"}, 200, "Source refusals fetched successfully")
		a.data(t, &list)
		if len(list) != 3 {
			t.Fatalf("refusals %s", a.body)
		}
		slices.SortFunc(list, func(a, b refusalView) int { return strings.Compare(a.UID, b.UID) })
		if r := list[2]; r.Status != 400 || r.Reason != "the signature does not match" || r.UserAgent != "forger" || r.IP != "127.0.0.1" ||
			r.ContentType != "application/json" || r.Length != int64(len(body)) || !r.CreatedAt.Equal(f.now) {
			t.Errorf("refusal %+v", r)
		}
		if log := f.log.String(); !strings.Contains(log, `"ingest.refused"`) || strings.Contains(log, "Keep it simple") || strings.Contains(log, "gh_secret") {
			t.Errorf("log %s", log)
		}

		key := f.source(`{"name":"key","type":"http","verifier":{"type":"api_key","api_key":{"header_name":"X-Key","header_value":"k3y"}}}`)
		if a := f.send(key, "", "{}", "X-Key", "k3y", "X-Other", "1"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if h := f.last().Headers; h["X-Key"] != nil || h["X-Other"] == nil {
			t.Errorf("headers %v", h)
		}
		named := f.source(`{"name":"named","type":"http","forward_headers":["x-b","Cookie","Connection"]}`)
		if a := f.send(named, "", "{}", "X-A", "1", "X-B", "2", "Cookie", "c"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if h := f.last().Headers; len(h) != 3 || h["X-B"] == nil || h["Cookie"] == nil || h["X-Convoy-Source-Id"] == nil {
			t.Errorf("headers %v", h)
		}
	})
}

// TestIngestWithoutVerifier: a source that asks for what nobody knows, as from
// another version, lets nothing through.
func TestIngestWithoutVerifier(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	s := &convoy.Source{
		ID: convoy.SourceID(id.New(f.now)), ProjectID: f.project.ID, MaskID: "aaaaaaaaaaaaaaaa", Name: "a", Type: convoy.SourceHTTP,
		Verifier: convoy.Verifier{Type: "magic"}, CreatedAt: f.now, UpdatedAt: f.now,
	}
	if err := f.store.CreateSource(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	a := f.send(sourceView{MaskID: s.MaskID}, "", "{}")
	if a.status != 400 || a.message(t) != "source has no valid verifier configured" || f.publisher.n != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestIngestTypeAndKey(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		s := f.source(`{"name":"my-source","type":"http","event_type_location":"request.header.X-Type","idempotency_keys":["request.body.id","request.query.inv"]}`)
		if a := f.send(s, "?inv=inv_123", `{"id":"evt_42"}`, "X-Type", "invoice.paid"); a.body != fmt.Sprintf(received, 15) {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if e := f.last(); e.Type != "invoice.paid" || e.IdempotencyKey != "c821f1a363b17d957b3f27b827909d08863da0b10d98fe2da0ccdbdd3de5f242" {
			t.Errorf("type %s, key %s", e.Type, e.IdempotencyKey)
		}
		if a := f.send(s, "?inv=inv_123", `{"id":"evt_42"}`, "X-Type", "other"); a.body != `{"status":true,"message":"Duplicate event received, but will not be sent","data":15}` {
			t.Errorf("%d %s", a.status, a.body)
		}
		for _, tt := range []struct{ query, body, typ, message string }{
			{"?inv=1", `{"id":1}`, "", "request.header.X-Type:must be there for the event type"},
			{"?inv=1", `{"id":1}`, strings.Repeat("a", 256), "request.header.X-Type:must not be longer than 255 characters"},
			{"", `{"id":1}`, "a", "request.query.inv:must be there for the idempotency key"},
			{"?inv=1", `{}`, "a", "request.body.id:must be there for the idempotency key"},
			{"?inv=1", `id`, "a", "request.body.id:must be there for the idempotency key"},
			{"?inv=1", `{"id":{}}`, "a", "request.body.id:must be a text, a number or a boolean"},
		} {
			if a := f.send(s, tt.query, tt.body, "X-Type", tt.typ); a.status != 400 || a.message(t) != tt.message {
				t.Errorf("%+v: %d %s", tt, a.status, a.body)
			}
		}
	})
}

func TestIngestCustomResponse(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	s := f.source(`{"name":"a","type":"http","idempotency_keys":["req.body.id"],"custom_response":{"body":"<b>thanks</b>","content_type":"text/html"}}`)
	for range 2 { // the second is a duplicate
		a := f.send(s, "", `{"id":1}`)
		if a.status != 200 || a.body != "<b>thanks</b>" || a.header.Get("Content-Type") != "text/html" || a.header.Get("Content-Security-Policy") != "sandbox" {
			t.Errorf("%d %s %v", a.status, a.body, a.header)
		}
	}
	plain := f.source(`{"name":"a","type":"http","custom_response":{"body":"ok"}}`)
	if a := f.send(plain, "", `{}`); a.body != "ok" || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
}

func TestIngestWhileDown(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	s := f.source(`{"name":"a","type":"http","custom_response":{"body":"ok"}}`)
	f.publisher.fail = &convoy.Error{Kind: convoy.Unavailable, Msg: "the event was not accepted, try again", RetryAfter: 2 * time.Second}
	a := f.send(s, "", `{}`)
	if a.status != 503 || a.header.Get("Retry-After") != "2" || a.message(t) != "the event was not accepted, try again" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	refusals, err := f.store.Refusals(t.Context(), f.project.ID, s.UID)
	if err != nil || len(refusals) != 0 {
		t.Errorf("our fault is kept as the producer's: %v, %v", refusals, err)
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		s := f.source(`{"name":"tw","type":"http","provider":"twitter","verifier":{"hmac":{"secret":"tw_secret"}}}`)
		if s.ProviderConfig == nil || s.ProviderConfig.Twitter.CRCVerifiedAt != nil {
			t.Errorf("provider config %+v", s.ProviderConfig)
		}
		for range 2 {
			a := f.do(call{path: "/ingest/" + s.MaskID + "?crc_token=abc123", key: "-"})
			if a.status != 200 || a.body != `{"response_token":"sha256=rLx3G39ygQdrviTgv+Zc4bPWb/sB9GZyGw2f++HC4RM="}` {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		f.want(call{path: "sources/" + string(s.UID)}, 200, "Source fetched successfully").data(t, &s)
		if at := s.ProviderConfig.Twitter.CRCVerifiedAt; at == nil || !at.Equal(f.now) {
			t.Errorf("verified at %v", at)
		}
		// A token that could be an event is not signed.
		f.want(call{path: "/ingest/" + s.MaskID + "?crc_token=" + url.QueryEscape(`{"a":1}`), key: "-"}, 400, "crc_token:must be up to 256 letters, digits, _ and -")
	})
}

func TestIngestFunctions(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db, withFunctions(t))
		s := f.source(`{"name":"a","type":"http",
			"body_function":"function transform(p) { if (!p.id) throw new Error('no id'); return {wrapped: p} }",
			"header_function":"function transform(h) { return {'X-Kind': h['X-Kind'], 'X-One': 'text'} }"}`)
		if a := f.send(s, "", `{"id":1}`, "X-Kind", "k"); a.body != fmt.Sprintf(received, 8) {
			t.Fatalf("%d %s", a.status, a.body)
		}
		e := f.last()
		if string(e.Data) != `{"wrapped":{"id":1}}` || len(e.Headers) != 3 || e.Headers["X-One"][0] != "text" || e.Headers["X-Kind"][0] != "k" || e.Headers["X-Convoy-Source-Id"][0] != s.MaskID {
			t.Errorf("stored %s %v", e.Data, e.Headers)
		}
		if a := f.send(s, "", `{}`); a.status != 400 || a.message(t) != "source function failed" {
			t.Errorf("%d %s", a.status, a.body)
		}
		list, err := f.store.Refusals(t.Context(), f.project.ID, s.UID)
		if err != nil || len(list) != 1 || !strings.Contains(list[0].Reason, "no id") {
			t.Errorf("refusals %+v, %v", list, err)
		}
		for _, returned := range []string{"1", "null", "[]", "{a: 1}", "{'a b': 'c'}", `{a: 'b\\nc'}`, "{a: [1]}", "{a: 'x'.repeat(20000)}"} {
			bad := f.source(`{"name":"a","type":"http","header_function":"function transform(h) { return ` + returned + ` }"}`)
			if a := f.send(bad, "", `{}`); a.status != 400 || a.message(t) != "source function failed" {
				t.Errorf("%s: %d %s", returned, a.status, a.body)
			}
		}
	})
}

func TestIngestSchema(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	s := f.source(`{"name":"a","type":"http","event_type_location":"request.body.type"}`)
	f.want(call{method: "POST", path: "event-types", body: `{"name":"paid","json_schema":{"type":"object","required":["id"]}}`}, 201, "Event type created successfully")
	f.want(call{method: "PUT", path: "", body: `{"name":"shop","config":{"event_type_validation":"reject"}}`}, 202, "Project updated successfully")
	if a := f.send(s, "", `{"type":"paid"}`); a.status != 400 || !strings.HasPrefix(a.message(t), "data:does not match the schema of paid") {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, body := range []string{`{"type":"paid","id":1}`, `{"type":"other"}`} {
		if a := f.send(s, "", body); a.status != 200 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}

func TestSampler(t *testing.T) {
	t.Parallel()
	s := newSampler()
	now := time.Unix(1_700_000_000, 0)
	kept := func(source convoy.SourceID, want bool, unkept int) {
		t.Helper()
		if n, ok := s.keep(source, now); ok != want || n != unkept {
			t.Errorf("keep = %d, %v, want %d, %v", n, ok, unkept, want)
		}
	}
	for range refusalBurst {
		kept("a", true, 0)
	}
	kept("a", false, 0)
	kept("a", false, 0)
	kept("b", true, 0)
	now = now.Add(refusalEvery)
	kept("a", true, 2)
	kept("a", false, 0)
	now = now.Add(time.Hour)
	for i := range refusalBurst {
		kept("a", true, map[int]int{0: 1}[i])
	}
	kept("a", false, 0)
	for i := range 2 * maxSampled {
		kept(convoy.SourceID(fmt.Sprint(i)), true, 0)
	}
	if n := len(s.sources); n > maxSampled {
		t.Errorf("%d sources are remembered", n)
	}
}

// ingestAllocs is the budget of an ingest URL, net/http apart. What it buys: the
// event, its id and data, the headers that go on, the check, the exchange.
const ingestAllocs = 30

func TestIngestAllocs(t *testing.T) {
	f := setup(t, openSQLite(t))
	s := f.source(`{"name":"gh","type":"http","provider":"github","verifier":{"hmac":{"secret":"gh_secret"}}}`)
	events := &counter{}
	h, err := New(Config{
		Store: f.store, Catalog: f.catalog, Publisher: events, Replayer: f.replays, Jobs: f.replays, SignIn: f.desk(nil), Guard: guard.New(guard.Config{}), Tokens: oauth.New(http.DefaultTransport, time.Now),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), // Info, as in production
	})
	if err != nil {
		t.Fatal(err)
	}
	const payload = `{"zen":"Keep it simple."}`
	raw, content := []byte(payload), new(body)
	req := httptest.NewRequest(http.MethodPost, "/ingest/"+s.MaskID, nil)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "GitHub-Hookshot/044aadd")
	req.Header.Set("X-Github-Event", "ping")
	req.Header.Set("X-Hub-Signature-256", "sha256=af59d8b195b7976b01c4f112ec1bffe707ae4977442b2b38b9f060ab1eb3186c")
	req.Body, req.ContentLength = content, int64(len(payload))
	w := &discardWriter{h: make(http.Header)}
	n := testing.AllocsPerRun(500, func() {
		content.Reset(raw)
		clear(w.h)
		h.ServeHTTP(w, req)
	})
	if n > ingestAllocs || events.n < 500 {
		t.Errorf("ingest allocates %v times, the budget is %d; %d events", n, ingestAllocs, events.n)
	}
	t.Logf("%v allocations", n)
}

// FuzzIngest: whatever is sent, the answer is no fault of ours, and what would be
// stored is fit for the store.
func FuzzIngest(f *testing.F) {
	g := setup(f, openSQLite(f))
	s := g.source(`{"name":"a","type":"http","event_type_location":"request.header.X-Type","idempotency_keys":["request.body.id","request.header.X-Id"]}`)
	events := &keeper{}
	h, err := New(Config{
		Store: g.store, Catalog: g.catalog, Publisher: events, Guard: guard.New(guard.Config{}), Tokens: oauth.New(http.DefaultTransport, time.Now),
		Replayer: g.replays, Jobs: g.replays, SignIn: g.desk(nil), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/a", "b=c", "application/json", "t", "v", `{"id":1}`)
	f.Add("/\x00\xff", "\xff&%zz;", "application/x-www-form-urlencoded", "\xe9", "\x00", "id=1&id=2&%ff=%00")
	f.Add("//", "", "multipart/form-data; boundary=x", "t", "", "--x\r\nContent-Disposition: form-data; name=id\r\n\r\n1\r\n--x--\r\n")
	f.Fuzz(func(t *testing.T, path, query, contentType, typ, value, text string) {
		events.last = nil
		req := httptest.NewRequest(http.MethodPost, "/ingest/"+s.MaskID, strings.NewReader(text))
		req.URL.Path += path
		req.URL.RawQuery = query
		req.Header = http.Header{"Content-Type": {contentType}, "X-Type": {typ}, "X-Id": {value}, "Cookie": {value}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code >= 500 || (w.Code == 200) != (events.last != nil) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		e := events.last
		if e == nil {
			return
		}
		texts := []string{e.Type, e.IdempotencyKey, e.URLPath, e.URLQuery}
		for name, values := range e.Headers {
			texts = append(append(texts, name), values...)
		}
		for _, s := range texts {
			if badText(s, len(s)) != "" {
				t.Errorf("%q would be stored", s)
			}
		}
		if !json.Valid(e.Data) || !utf8.Valid(e.Data) || e.Headers["Cookie"] != nil || e.Kind != convoy.KindSource {
			t.Errorf("%+v would be stored", e)
		}
	})
}

// keeper keeps the last event.
type keeper struct {
	nullPublisher
	last *convoy.Event
}

func (k *keeper) Publish(ctx context.Context, e *convoy.Event) error {
	k.last = e
	return k.nullPublisher.Publish(ctx, e)
}

// counter takes events and forgets them.
type counter struct {
	nullPublisher
	n int
}

func (c *counter) Publish(ctx context.Context, e *convoy.Event) error {
	c.n++
	return c.nullPublisher.Publish(ctx, e)
}

func BenchmarkIngest(b *testing.B) {
	f := setup(b, openSQLite(b))
	s := f.source(`{"name":"gh","type":"http","provider":"github","verifier":{"hmac":{"secret":"gh_secret"}}}`)
	h, err := New(Config{
		Store: f.store, Catalog: f.catalog, Publisher: nullPublisher{}, Replayer: f.replays, Jobs: f.replays, SignIn: f.desk(nil), Guard: guard.New(guard.Config{}), Tokens: oauth.New(http.DefaultTransport, time.Now),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), // Info, as in production
	})
	if err != nil {
		b.Fatal(err)
	}
	raw, content := []byte(document(1<<10)), new(body)
	mac := hmac.New(sha256.New, []byte("gh_secret"))
	mac.Write(raw)
	req := httptest.NewRequest(http.MethodPost, "/ingest/"+s.MaskID, nil)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Body, req.ContentLength = content, int64(len(raw))
	w := httptest.NewRecorder()
	content.Reset(raw)
	if h.ServeHTTP(w, req); w.Code != http.StatusOK {
		b.Fatal(w.Body)
	}
	discard := &discardWriter{h: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		content.Reset(raw)
		clear(discard.h)
		h.ServeHTTP(discard, req)
	}
}
