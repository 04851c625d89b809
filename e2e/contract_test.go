package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// TestContract drives every operation of the contract over HTTP, in an order in
// which a customer might, and compares what is answered with what the contract
// says of it.
func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		s := startStandalone(t)
		// The store has one process at a time.
		s.signal(syscall.SIGTERM)
		s.wait(startDeadline)
		db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(s.dir, "convoy.db"), Synchronous: "full", Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		person := personalKey(t, db, s.account)
		s.start()
		c := newContract(t, s.client(), person)
		c.known["duplicate"] = "Duplicate event received, but will not be sent"
		c.run()
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		long(t)
		cl := startCluster(t, topology{redis: true, intake: "queued", servers: 1, agents: 1, schedulers: 1})
		db, err := sqldb.OpenPostgres(t.Context(), sqldb.PostgresConfig{URL: cl.postgres.DSN("convoy"), MaxOpen: 1})
		if err != nil {
			t.Fatal(err)
		}
		c := newContract(t, cl.api(), personalKey(t, db, cl.account))
		// Whether it is one is not known before the event is stored.
		c.known["duplicate"] = "Endpoint fanout event queued successfully"
		c.run()
	})
}

// personalKey makes a key of the administrator, for what no project's key may do.
func personalKey(t *testing.T, db sqldb.DB, a account) string {
	t.Helper()
	defer db.Close()
	s := store.New(db, store.Secrets{})
	user, err := s.UserByEmail(t.Context(), a.AdminEmail)
	if err != nil {
		t.Fatal(err)
	}
	token, key := auth.NewKey(time.Now())
	key.Type, key.UserID = convoy.PersonalKey, user.ID
	if err := s.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return token
}

// contractCall is one request and what the contract says of its answer.
type contractCall struct {
	method string
	// path is below the project unless it begins with a slash and "api" or "ingest". Its
	// parameters have the names of the table of operations.
	path, query string
	// body is JSON. In it, in the query and in headers, <name> is what an earlier
	// call has kept.
	body   string
	header map[string]string
	// as is whose key is sent: the project's unless given; person, nobody, or <name>.
	as string
	// with has parameters of the path that are not what was kept last.
	with map[string]string

	status int
	// message is that of the envelope; after "~" a part of it.
	message string
	// data is the form of the data; empty for an error, which has none.
	data string
	// keep names parts of the data for later calls: their places by name.
	keep map[string]string
	// soon asks again until the answer is right.
	soon bool
	// show looks at the data once it has the form.
	show show
}

// show looks at data.
type show func(c *contract, data any) error

// contract is one instance and what was learnt from it.
type contract struct {
	t      *testing.T
	client client
	person string
	known  map[string]string
	// called are the operations that have been.
	called map[string]bool
}

func newContract(t *testing.T, api client, person string) *contract {
	t.Helper()
	c := &contract{t: t, client: api, person: person, called: make(map[string]bool)}
	to := httptest.NewServer(http.HandlerFunc(contractReceiver))
	t.Cleanup(to.Close)
	c.known = map[string]string{"receiver": to.URL, "projectID": api.ProjectID, "now": time.Now().UTC().Format(time.RFC3339)}
	return c
}

// contractReceiver is endpoints and a token endpoint.
func contractReceiver(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/token":
		_, _ = io.WriteString(w, `{"access_token":"tok","token_type":"bearer","expires_in":60}`)
	case "/fails", "/no-token":
		w.WriteHeader(http.StatusBadGateway)
	default:
		_, _ = io.WriteString(w, `{"taken":true}`)
	}
}

// run makes all calls and checks that they have been all there are.
func (c *contract) run() {
	start := time.Now()
	documented := c.documented()
	for _, group := range []struct {
		name  string
		calls []contractCall
	}{
		{"projects", projectCalls()},
		{"endpoints", endpointCalls()},
		{"event types", eventTypeCalls()},
		{"subscriptions", subscriptionCalls()},
		{"filters", filterCalls()},
		{"sources", sourceCalls()},
		{"events", eventCalls()},
		{"deliveries", deliveryCalls()},
		{"portal links", portalCalls()},
		{"onboarding", onboardCalls()},
		{"meta events", metaCalls()},
		{"aliases", aliasCalls()},
		{"envelopes", envelopeCalls()},
		{"versions", versionCalls()},
		{"pages", pageCalls()},
		{"credentials", credentialCalls()},
		{"ends", endCalls()},
	} {
		for i := range group.calls {
			c.make(group.name, &group.calls[i])
		}
	}
	c.complete(documented)
	c.t.Logf("contract: %d operations within %v", len(c.called), time.Since(start).Round(time.Millisecond))
}

// documented are the operations that the server's own document has.
func (c *contract) documented() map[string]bool {
	status, body, err := fetch(c.t.Context(), c.client.base+"/openapi.json")
	if err != nil || status != http.StatusOK {
		c.t.Fatalf("%d, %v", status, err)
	}
	var doc struct {
		Paths map[string]map[string]struct{}
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		c.t.Fatal(err)
	}
	all := make(map[string]bool)
	for path, methods := range doc.Paths {
		for method := range methods {
			all[strings.ToUpper(method)+" "+path] = true
		}
	}
	return all
}

// complete compares the operations that were called, those of the contract, and
// those of the document.
func (c *contract) complete(documented map[string]bool) {
	table, err := os.ReadFile("testdata/contract.tsv")
	if err != nil {
		c.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(table)) {
		method, path, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		path, _, _ = strings.Cut(path, "\t")
		op := method + " " + path
		n++
		switch {
		case !documented[op]:
			c.t.Errorf("%s is not in the document", op)
		case !c.called[op]:
			c.t.Errorf("%s was not called", op)
		}
	}
	const inContract = 68
	if n != inContract {
		c.t.Errorf("%d operations in the table, want %d", n, inContract)
	}
}

// pattern is the whole path of a call, its parameters unfilled.
func (call *contractCall) pattern() string {
	if strings.HasPrefix(call.path, "/api/") || strings.HasPrefix(call.path, "/ingest/") {
		return call.path
	}
	return "/api/v1/projects/{projectID}" + call.path
}

func (call *contractCall) operation() string { return call.method + " " + call.pattern() }

var (
	pathParameter = regexp.MustCompile(`\{(\w+)\}`)
	keptName      = regexp.MustCompile(`<([\w]+)>`)
)

// fill puts what is known in the places of names.
func (c *contract) fill(text string, with map[string]string, names *regexp.Regexp) string {
	return names.ReplaceAllStringFunc(text, func(name string) string {
		name = name[1 : len(name)-1]
		if v, ok := with[name]; ok {
			return c.fill(v, nil, keptName)
		}
		v, ok := c.known[name]
		if !ok {
			c.t.Fatalf("nothing is known of %s in %.200s", name, text)
		}
		return v
	})
}

// make makes a call and compares the answer.
func (c *contract) make(group string, call *contractCall) {
	c.t.Helper()
	c.called[call.operation()] = true
	title := fmt.Sprintf("%s: %s %s%s %.300s", group, call.method, c.fill(call.pattern(), call.with, pathParameter), question(call.query), call.body)
	var found []string
	try := func() error {
		found = c.try(call)
		if len(found) > 0 {
			return fmt.Errorf("%s", strings.Join(found, "\n  "))
		}
		return nil
	}
	if call.soon {
		await(c.t, 30*time.Second, title, try)
	} else if err := try(); err != nil {
		c.t.Errorf("%s\n  %v", title, err)
		if len(call.keep) > 0 {
			c.t.FailNow() // the rest depends on it
		}
	}
}

// try sends the request and says what the answer has against the contract.
func (c *contract) try(call *contractCall) []string {
	res := c.send(call)
	body := res.raw
	var found []string
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if res.status != call.status {
		wrong("status is %d, want %d: %.500s", res.status, call.status, body)
		return found
	}
	if got := res.header.Get("Content-Type"); got != "application/json" {
		wrong("Content-Type is %q", got)
	}
	if got := res.header.Get("X-Convoy-Version"); got != "2025-11-24" {
		wrong("X-Convoy-Version is %q", got)
	}
	if got := res.header.Get("X-Request-ID"); got != "contract-1" {
		wrong("X-Request-ID is %q", got)
	}
	v, err := decoded(body)
	envelope, ok := v.(map[string]any)
	if err != nil || !ok {
		wrong("no envelope: %.300s", body)
		return found
	}
	want := map[string]any{"status": call.status < 300, "message": "string"}
	if call.data != "" {
		want["data"] = parsed(c.fill(call.data, nil, keptName))
	}
	found = append(found, matches("answer", want, envelope)...)
	message := c.fill(call.message, nil, keptName)
	got, _ := envelope["message"].(string)
	if part, ok := strings.CutPrefix(message, "~"); ok && !strings.Contains(got, part) || !ok && got != message {
		wrong("message is %q, want %q", got, message)
	}
	if len(found) == 0 && call.show != nil {
		if err := call.show(c, envelope["data"]); err != nil {
			wrong("%v in %.1000s", err, body)
		}
	}
	if len(found) == 0 {
		for _, name := range slices.Sorted(maps.Keys(call.keep)) {
			c.known[name], _ = part(envelope["data"], call.keep[name]).(string)
			if c.known[name] == "" {
				wrong("nothing at %s of %.500s", call.keep[name], body)
			}
		}
	}
	return found
}

// part is a member of a value: a path of keys and indices, joined by dots.
func part(v any, place string) any {
	for key := range strings.SplitSeq(place, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			if key != "" {
				return nil
			}
		}
	}
	return v
}

// question is a query with its mark.
func question(query string) string {
	if query == "" {
		return ""
	}
	return "?" + query
}

func (c *contract) send(call *contractCall) reply {
	target := c.client.base + c.fill(call.pattern(), call.with, pathParameter) + question(c.fill(call.query, nil, keptName))
	req, err := http.NewRequestWithContext(c.t.Context(), call.method, target, bytes.NewReader([]byte(c.fill(call.body, nil, keptName))))
	if err != nil {
		c.t.Fatal(err)
	}
	switch call.as {
	case "":
		req.Header.Set("Authorization", "Bearer "+c.client.APIKey)
	case "person":
		req.Header.Set("Authorization", "Bearer "+c.person)
	case "nobody":
	default:
		req.Header.Set("Authorization", "Bearer "+c.fill(call.as, nil, keptName))
	}
	req.Header.Set("X-Request-Id", "contract-1")
	if call.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range call.header {
		req.Header.Set(name, c.fill(value, nil, keptName))
	}
	res, err := web.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{status: res.StatusCode, header: res.Header, raw: body}
}
