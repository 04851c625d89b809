package api

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"convoy"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	other := f.newKey(func(k *convoy.APIKey) {
		k.Role = convoy.Role{Type: convoy.RoleProjectAdmin, Project: f.project.ID}
		k.RevokedAt = f.now
	})
	expired := f.newKey(func(k *convoy.APIKey) {
		k.Role = convoy.Role{Type: convoy.RoleProjectAdmin, Project: f.project.ID}
		k.ExpiresAt = f.now
	})
	for name, tc := range map[string]struct {
		header, message string
		status          int
	}{
		"none":           {"", "Authentication required", 401},
		"one part":       {"Bearer", "Authentication required", 401},
		"no value":       {"Bearer ", "Authentication required", 401},
		"three parts":    {"Bearer a b", "Authentication required", 401},
		"two spaces":     {"Bearer  " + f.key, "Authentication required", 401},
		"unknown scheme": {"Digest x", "Authentication required", 401},
		"basic":          {"Basic dTpw", "authorization failed", 401},
		"no key":         {"Bearer x", "authorization failed", 401},
		"JWT":            {"Bearer a.b.c", "authorization failed", 401},
		"unknown key":    {"Bearer " + f.key[:len(f.key)-1] + "-", "authorization failed", 401},
		"unknown key 2":  {"Bearer CO." + strings.Repeat("a", 16) + "." + strings.Repeat("b", 64), "authorization failed", 401},
		"revoked":        {"Bearer " + other, "authorization failed", 401},
		"expired":        {"Bearer " + expired, "authorization failed", 401},
		"project key":    {"Bearer " + f.key, "Project fetched successfully", 200},
		"scheme's case":  {"bEARER " + f.key, "Project fetched successfully", 200},
		"personal key":   {"Bearer " + f.person, "Project fetched successfully", 200},
	} {
		for _, path := range []string{"", "nowhere"} { // unknown paths come after the credential
			if path != "" && tc.status == 200 {
				continue
			}
			a := f.want(call{path: path, key: "-", header: map[string]string{"Authorization": tc.header}}, tc.status, tc.message)
			if tc.status == 401 && a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no challenge", name)
			}
		}
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	person := func(email string, role convoy.Role) string {
		u := &convoy.User{ID: convoy.UserID(strings.ToUpper("01K1XXXXXXXXXXXXXXXXXX" + email)), Email: email, CreatedAt: f.now, UpdatedAt: f.now}
		if err := f.store.CreateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if role.Type != "" {
			m := &convoy.Membership{UserID: u.ID, OrganisationID: f.org.ID, Role: role, CreatedAt: f.now}
			if err := f.store.CreateMembership(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		return f.newKey(func(k *convoy.APIKey) { k.Type, k.UserID = convoy.PersonalKey, u.ID })
	}
	const elsewhere = "01K1ZZZZZZZZZZZZZZZZZZZZZZ"
	for _, tc := range []struct {
		name         string
		key          string
		view, manage bool
	}{
		{"stranger", person("AAAA", convoy.Role{}), false, false},
		{"instance admin", person("AAAB", convoy.Role{Type: convoy.RoleInstanceAdmin}), true, true},
		{"organisation admin", person("AAAC", convoy.Role{Type: convoy.RoleOrganisationAdmin}), true, true},
		{"billing admin", person("AAAD", convoy.Role{Type: convoy.RoleBillingAdmin}), false, false},
		{"project admin", person("AAAE", convoy.Role{Type: convoy.RoleProjectAdmin, Project: f.project.ID}), true, true},
		{"other project's admin", person("AAAF", convoy.Role{Type: convoy.RoleProjectAdmin, Project: elsewhere}), false, false},
		{"project viewer", person("AAAG", convoy.Role{Type: convoy.RoleProjectViewer, Project: f.project.ID}), true, false},
		{"viewer's project key", f.newKey(func(k *convoy.APIKey) { k.Role = convoy.Role{Type: convoy.RoleProjectViewer, Project: f.project.ID} }), true, false},
		{"project key", f.key, true, true},
	} {
		for _, path := range []string{"", "endpoints", "subscriptions", "events", "eventdeliveries"} {
			a := f.do(call{path: path, key: tc.key})
			if want := map[bool]int{true: 200, false: 403}[tc.view]; a.status != want {
				t.Errorf("%s: GET %q %d %s", tc.name, path, a.status, a.body)
			}
		}
		for _, path := range []string{"endpoints", "subscriptions", "events"} {
			a := f.do(call{method: "POST", path: path, key: tc.key, body: "{}"})
			if want := map[bool]int{true: 400, false: 403}[tc.manage]; a.status != want {
				t.Errorf("%s: POST %q %d %s", tc.name, path, a.status, a.body)
			}
		}
	}
	// A project key acts on its own project wherever it is sent.
	for _, project := range []string{elsewhere, "bogus"} {
		var p projectView
		f.want(call{path: "/api/v1/projects/" + project}, 200, "Project fetched successfully").data(t, &p)
		if p.UID != f.project.ID {
			t.Errorf("project %s", p.UID)
		}
		f.want(call{path: "/api/v1/projects/" + project, key: f.person}, 400, "project not found")
	}
}

func TestRouting(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.RootPath = "/hooks/" })
	project := "/api/v1/projects/" + string(f.project.ID)
	for _, tc := range []struct {
		call    call
		status  int
		message string
		allow   string
	}{
		{call{path: project + "/"}, 200, "Project fetched successfully", ""},
		{call{path: "/api//v1///projects/" + string(f.project.ID)}, 200, "Project fetched successfully", ""},
		{call{path: "/hooks" + project}, 200, "Project fetched successfully", ""},
		{call{path: "/hooks//" + project + "/endpoints/"}, 200, "Endpoints fetched successfully", ""},
		{call{method: "POST", path: "/hooks" + project + "//events/", body: "{"}, 400, "body contains badly-formed JSON", ""},
		{call{path: "/hooksX" + project}, 404, "404 page not found", ""},
		{call{path: project + "/nowhere"}, 404, "404 page not found", ""},
		{call{path: "/api/v2"}, 404, "404 page not found", ""},
		{call{path: "/api/v1/../v1/projects"}, 404, "404 page not found", ""},
		{call{path: "/nowhere", key: "-"}, 404, "404 page not found", ""},
		{call{method: "PATCH", path: project}, 405, "method not allowed", "DELETE, GET, POST, PUT"},
		{call{method: "DELETE", path: project + "/events"}, 405, "method not allowed", "GET, POST"},
		{call{method: "OPTIONS", path: project + "/events", key: "-"}, 401, "Authentication required", ""},
		{call{method: "POST", path: project + "/events/x"}, 405, "method not allowed", "GET"},
		{call{method: "POST", path: "/openapi.json"}, 405, "method not allowed", "GET, HEAD"},
		{call{path: project, header: map[string]string{"Content-Type": "text/plain"}}, 415, "Content-Type must be application/json", ""},
		{call{method: "POST", path: project + "/events", key: "-", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, 415, "Content-Type must be application/json", ""},
		{call{path: project, header: map[string]string{"Content-Type": "application/jsonp"}}, 415, "Content-Type must be application/json", ""},
		{call{path: project, header: map[string]string{"Content-Type": "Application/JSON;charset=utf-8"}}, 200, "Project fetched successfully", ""},
		{call{method: "POST", path: project, body: `{"name":"shop"}`}, 202, "Project updated successfully", ""},
	} {
		a := f.want(tc.call, tc.status, tc.message)
		if got := a.header.Get("Allow"); got != tc.allow {
			t.Errorf("%s %s: Allow %q, want %q", tc.call.method, tc.call.path, got, tc.allow)
		}
		if got := a.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s %s: Content-Type %q", tc.call.method, tc.call.path, got)
		}
	}
	if a := f.do(call{method: "HEAD", path: project}); a.status != 405 {
		t.Errorf("HEAD %d", a.status)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.APIVersion = "2024-04-01" })
	a := f.do(call{header: map[string]string{"X-Request-ID": "abc-1", "X-Convoy-Version": "2025-11-24"}})
	if a.header.Get("X-Request-ID") != "abc-1" || a.header.Get("X-Convoy-Version") != "2024-04-01" {
		t.Errorf("headers %v", a.header)
	}
	seen := make(map[string]bool)
	for _, bad := range []string{"", strings.Repeat("x", 129), "a b", "é"} {
		got := f.do(call{path: "/nowhere", header: map[string]string{"X-Request-ID": bad}}).header.Get("X-Request-ID")
		if got == bad || got == "" || seen[got] {
			t.Errorf("request id %q for %q", got, bad)
		}
		seen[got] = true
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var broken error
	f := setup(t, openSQLite(t), func(c *Config) {
		c.Ready = []Check{
			{Name: "database", Probe: c.Store.Ping},
			{Name: "queue", Probe: func(context.Context) error { return broken }},
		}
	})
	for _, path := range []string{"/healthz", "/health", "/healthz/"} {
		for _, method := range []string{"GET", "POST"} {
			if a := f.do(call{method: method, path: path, key: "-"}); a.body != `{"status":true,"message":"Convoy test","data":null}` || a.status != 200 {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
	if a := f.do(call{path: "/readyz", key: "-"}); a.status != 200 || a.body != `{"status":true,"message":"ready","data":{"database":"ok","queue":"ok"}}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	broken = errors.New("dial redis.internal")
	a := f.do(call{path: "/readyz", key: "-"})
	if a.status != 503 || a.body != `{"status":false,"message":"not ready","data":{"database":"ok","queue":"unavailable"}}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !strings.Contains(f.log.String(), "queue: dial redis.internal") {
		t.Errorf("the log does not say why:\n%s", f.log)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.Publisher = panicking{} })
	endpoint := string(f.endpoint("a"))
	f.want(call{method: "POST", path: "events", body: `{"endpoint_id":"` + endpoint + `","event_type":"x","data":1}`}, 500, internalMessage)
	log := f.log.String()
	if strings.Count(log, "out of cheese") != 1 || !strings.Contains(log, "serve_test.go") {
		t.Errorf("log:\n%s", log)
	}
	f.want(call{}, 200, "Project fetched successfully")
}

type panicking struct{}

func (panicking) Publish(context.Context, *convoy.Event) error { panic("out of cheese") }

func (panicking) PublishAll(context.Context, []*convoy.Event) []error { panic("out of cheese") }

func TestOneLinePerRequest(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.want(call{path: "events/01K1ZZZZZZZZZZZZZZZZZZZZZZ", header: map[string]string{"X-Request-ID": "find-me"}}, 404, "event not found")
	var lines []string
	for line := range strings.Lines(f.log.String()) {
		if strings.Contains(line, "find-me") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		t.Fatalf("lines %q", lines)
	}
	for _, part := range []string{
		`"msg":"request.served"`, `"level":"INFO"`, `"method":"GET"`, `"route":"/api/v1/projects/{projectID}/events/{eventID}"`, `"status":404`,
		`"project_id":"` + string(f.project.ID) + `"`, `"bytes":44`,
	} {
		if !strings.Contains(lines[0], part) {
			t.Errorf("no %s in %s", part, lines[0])
		}
	}
}

// The caller gives up while the store is busy: that is no fault of ours.
func TestClassifyCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	if f := classify(ctx, context.Canceled); f.status != http.StatusInternalServerError {
		t.Errorf("%+v while the caller waits", f)
	}
	cancel()
	if f := classify(ctx, context.Canceled); f.status != statusClosed {
		t.Errorf("%+v after the caller has gone", f)
	}
	f := classify(t.Context(), convoy.Wrap(convoy.Internal, "select secrets", errors.New("x")))
	if f.status != 500 || f.msg != internalMessage {
		t.Errorf("internal error is shown: %+v", f)
	}
	if f := classify(t.Context(), &convoy.Error{Kind: convoy.Unavailable}); f.retryAfter != time.Second {
		t.Errorf("unavailable: %+v", f)
	}
}

// An answer that does not wait for the body arrives all the same, also when the
// connection ends with it.
func TestAnswersToUnreadBodies(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	lost := 0
	for _, tc := range []struct {
		path, key, contentType string
		status                 int
	}{
		{"/events", f.key, jsonType[0], http.StatusRequestEntityTooLarge},
		{"/events/batch", f.key, jsonType[0], http.StatusRequestEntityTooLarge},
		{"/event-types", f.key, jsonType[0], http.StatusRequestEntityTooLarge},
		{"/events", "nothing", jsonType[0], http.StatusUnauthorized},
		{"/events", f.key, "text/plain", http.StatusUnsupportedMediaType},
		{"/nothing", f.key, jsonType[0], http.StatusNotFound},
	} {
		body := strings.Repeat("a", 9<<20)
		for range 10 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.server.URL+"/api/v1/projects/"+string(f.project.ID)+tc.path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+tc.key)
			req.Header.Set("Content-Type", tc.contentType)
			res, err := client.Do(req)
			if err != nil {
				lost++
				t.Logf("%s: want %d: %v", tc.path, tc.status, err)
				continue
			}
			if err := res.Body.Close(); err != nil || res.StatusCode != tc.status {
				t.Errorf("%s: %d, want %d (%v)", tc.path, res.StatusCode, tc.status, err)
			}
		}
	} // The server waits half a second for its caller to read, which a busy machine may
	// exceed. Without that a third of the answers are lost.
	if lost > 3 {
		t.Errorf("%d answers were lost", lost)
	}
}

// No answer is to be shown as a page of ours, framed, kept or guessed at.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	for _, path := range []string{"", "endpoints", "no-such-thing", "/healthz", "/docs", "/portal", "/openapi.json", "/nowhere", "/ingest/ABCDEFGHIJKLMNOP"} {
		a := f.do(call{path: path})
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Strict-Transport-Security": "",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%q: %s %q", path, name, got)
			}
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%q: policy %q", path, csp)
		}
	}
	h := make(http.Header)
	protect(h, &http.Request{TLS: &tls.ConnectionState{}})
	if got := h.Get("Strict-Transport-Security"); got != "max-age=63072000" {
		t.Errorf("under TLS: %q", got)
	}
}
