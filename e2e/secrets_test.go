package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoy/internal/seal"
	"convoy/internal/store/sqldb"
)

// sealedPlace is an instance and how to look into its database.
type sealedPlace struct {
	api client
	// env and args reach its database with the convoy command.
	env, args []string
	// raw is all that the database holds.
	raw func(t *testing.T) []byte
	// restart starts all processes anew with variables besides env.
	restart func(env ...string)
	// keyed says that the key is configured, and not in the data directory.
	keyed bool
}

func (p *sealedPlace) tool(t *testing.T, args ...string) string {
	t.Helper()
	return string(tool(t, p.env, append(append([]string{"secrets"}, args...), p.args...)...))
}

// TestSecrets makes one of everything that has secrets and looks for them in the
// database, rotates and rewraps the keys while events are delivered.
func TestSecrets(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		s := startStandalone(t)
		secrets(t, &sealedPlace{
			api: s.client(), env: s.env, args: []string{"--db-type", "sqlite", "--data-dir", s.dir},
			raw: func(t *testing.T) []byte {
				var all []byte
				for _, name := range []string{"convoy.db", "convoy.db-wal"} {
					b, err := os.ReadFile(filepath.Join(s.dir, name))
					if err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
					all = append(all, b...)
				}
				return all
			},
			restart: func(env ...string) {
				s.kill()
				s.env = append(s.env, env...)
				s.start()
			},
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		c := startCluster(t, topology{servers: 1, agents: 1, schedulers: 1})
		secrets(t, &sealedPlace{
			api: c.api(), env: c.env, keyed: true,
			raw: func(t *testing.T) []byte { return tables(t, c.postgres.DSN("convoy")) },
			restart: func(env ...string) {
				for _, p := range c.processes() {
					p.kill()
					p.env = append(without(p.env, "CONVOY_ENCRYPTION_KEY="), env...)
					p.start()
				}
			},
		})
	})
}

// without is an environment that lacks a variable.
func without(env []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, prefix) })
}

// tables is all of a database as text.
func tables(t *testing.T, dsn string) []byte {
	t.Helper()
	db, err := sqldb.OpenPostgres(t.Context(), sqldb.PostgresConfig{URL: dsn, MaxOpen: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	read := func(query string) []string {
		rows, err := db.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var all []string
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	var all []byte
	for _, table := range read(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`) {
		for _, row := range read(fmt.Sprintf("SELECT t::text FROM %q AS t", table)) {
			all = append(append(all, row...), '\n')
		}
	}
	return all
}

// oneOfEach makes one of everything that has secrets and returns what is secret,
// and the id of an endpoint for the receiver.
func oneOfEach(t *testing.T, api client, s *sink, to *receiver) (secret []string, endpoint string) {
	t.Helper()
	n := 0
	word := func() string {
		n++
		secret = append(secret, fmt.Sprintf("PLAINTEXT%04d", n))
		return secret[n-1]
	}
	api.must(t, http.MethodPut, "", map[string]any{"name": "default", "config": map[string]any{
		"meta_event": map[string]any{"is_enabled": true, "url": "http://" + s.addr + "/meta", "secret": word(), "event_type": []string{"endpoint.created"}},
	}}, http.StatusAccepted, nil)
	for i, auth := range []map[string]any{
		{"type": "basic_auth", "basic_auth": map[string]any{"username": "u", "password": word()}},
		{"type": "api_key", "api_key": map[string]any{"header_name": "X-Key", "header_value": word()}},
		{"type": "oauth2", "oauth2": map[string]any{
			"url": "http://" + s.addr + "/token", "client_id": "c", "authentication_type": "shared_secret", "client_secret": word(),
		}},
	} {
		var e struct {
			UID     string `json:"uid"`
			Secrets []struct {
				Value string `json:"value"`
			} `json:"secrets"`
		}
		given := word()
		api.must(t, http.MethodPost, "/endpoints", map[string]any{
			"name": fmt.Sprint("endpoint ", i), "url": fmt.Sprint("http://", s.addr, "/", i), "secret": given, "authentication": auth,
			"slack_webhook_url": "https://hooks.example.com/" + word(),
		}, http.StatusCreated, &e)
		api.must(t, http.MethodGet, "/endpoints/"+e.UID, nil, http.StatusOK, &e)
		api.publish(t, e.UID, fmt.Sprint("tried-", i))
		if len(e.Secrets) != 1 || e.Secrets[0].Value != given {
			t.Fatalf("the API shows the secrets %v, want %q", e.Secrets, given)
		}
	}
	for i, body := range []string{
		`{"type":"http","verifier":{"type":"hmac","hmac":{"header":"X-S","hash":"SHA256","secret":"` + word() + `","encoding":"hex"}}`,
		`{"type":"http","verifier":{"type":"basic_auth","basic_auth":{"username":"u","password":"` + word() + `"}}`,
		`{"type":"http","verifier":{"type":"api_key","api_key":{"header_name":"X-Key","header_value":"` + word() + `"}}`,
		`{"type":"pub_sub","pub_sub":{"type":"kafka","workers":1,"kafka":{"brokers":["localhost:9092"],"consumer_group_id":"g","topic_name":"t",
			"auth":{"type":"scram","hash":"SHA256","username":"u","password":"` + word() + `","tls":true}}}`,
	} {
		api.must(t, http.MethodPost, "/sources", json.RawMessage(fmt.Sprintf(`%s,"name":"source %d"}`, body, i)), http.StatusCreated, nil)
	}
	await(t, 20*time.Second, "the endpoints have been tried", func() error {
		for _, d := range list[delivery](t, api, "/eventdeliveries", nil) {
			if d.Metadata.Trials == 0 {
				return fmt.Errorf("delivery %s has not", d.UID)
			}
		}
		return nil
	})
	return append(secret, to.secret), api.endpoint(t, s, to)
}

func secrets(t *testing.T, p *sealedPlace) {
	s := newSink(t)
	ok := func(int) answer { return answer{status: http.StatusOK} }
	to, later := s.receive("sealed", ok), s.receive("written", ok)
	secret, endpoint := oneOfEach(t, p.api, s, to)
	raw := p.raw(t)
	if !bytes.Contains(raw, []byte("[redacted]")) || !bytes.Contains(raw, []byte("sealed:1:")) { // in attempts; in settings
		t.Fatal("the search does not find what must be in the database")
	}
	for _, word := range secret {
		if bytes.Contains(raw, []byte(word)) {
			t.Errorf("%s is in the database", word)
		}
	}
	sent := 0
	delivers := func(when string) { // the receiver checks signatures
		t.Helper()
		sent++
		id := fmt.Sprint("event-", sent)
		p.api.publish(t, endpoint, id)
		await(t, 20*time.Second, "delivery "+when, func() error {
			if n := len(to.seen()[id]); n != 1 {
				return fmt.Errorf("arrived %d times", n)
			}
			return nil
		})
	}
	delivers("before")

	before := p.tool(t, "status")
	if n := totals(t, before); n["former"] != 0 || n["clear"] != 0 || n["damaged"] != 0 || n["sealed"] < len(secret)-5 {
		t.Errorf("status says\n%s", before)
	}
	if out := p.tool(t, "rotate", "--wait", "0s"); !strings.Contains(out, "there is a new key") {
		t.Errorf("rotate says %q", out)
	}
	after := p.tool(t, "status")
	if n := totals(t, after); n["former"] != 0 || n["clear"] != 0 || n["damaged"] != 0 || strings.SplitN(before, "\n", 2)[0] == strings.SplitN(after, "\n", 2)[0] {
		t.Errorf("after the rotation status says\n%s", after)
	}
	delivers("after the rotation, by processes that began before")
	p.api.must(t, http.MethodGet, "/endpoints/"+p.api.endpoint(t, s, later), nil, http.StatusOK, nil)
	p.tool(t, "rotate", "--resume", "--wait", "0s")
	if n := totals(t, p.tool(t, "status")); n["former"] != 0 {
		t.Errorf("%d values are sealed with a former key", n["former"])
	}
	rewrap(t, p)
	delivers("with another encryption key")
	if logs := p.tool(t, "init"); !strings.Contains(logs, "0 rows sealed") {
		t.Errorf("init of what is sealed says %q", logs)
	}
	to.valid(t)
}

// rewrap changes the encryption key.
func rewrap(t *testing.T, p *sealedPlace) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "new.key")
	if err := os.WriteFile(file, []byte(seal.NewKey().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.tool(t, "rewrap", "--new-key-file", file)
	for name, env := range map[string][]string{
		"the former key": p.env,
		"no key":         without(p.env, "CONVOY_ENCRYPTION_KEY="),
		"no encryption":  append(without(p.env, "CONVOY_ENCRYPTION_KEY="), "CONVOY_ENCRYPTION_MODE=plaintext"),
	} {
		want := "encryption key"
		if name == "no encryption" {
			want = "encryption.mode is plaintext"
		}
		if out := refusedTool(t, env, append([]string{"secrets", "status"}, p.args...)...); !strings.Contains(out, want) {
			t.Errorf("with %s: %s", name, out)
		}
	}
	if p.keyed {
		server := newProcess(t, "without a key", without(p.env, "CONVOY_ENCRYPTION_KEY="), "server")
		server.spawn()
		<-server.ended
		if server.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(server.stderr.String(), "set encryption.key, encryption.key_file or encryption.key_command") {
			t.Errorf("a server without a key: %v, %s", server.cmd.ProcessState, server.stderr.tail(1000))
		}
	}
	p.env = append(without(p.env, "CONVOY_ENCRYPTION_KEY="), "CONVOY_ENCRYPTION_KEY_FILE="+file)
	p.restart("CONVOY_ENCRYPTION_KEY_FILE=" + file)
}

// totals sums the columns of what status prints.
func totals(t *testing.T, status string) map[string]int {
	t.Helper()
	n := make(map[string]int)
	lines := strings.Split(strings.TrimSpace(status), "\n")
	for _, line := range lines[2:] {
		var (
			column                         string
			current, former, clear, damage int
		)
		if _, err := fmt.Sscan(line, &column, &current, &former, &clear, &damage); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		n["sealed"] += current
		n["former"] += former
		n["clear"] += clear
		n["damaged"] += damage
	}
	return n
}

// TestDamagedSecrets has values that do not open: what they are for fails, with a
// reason, and nothing is sent without a signature or taken without a check.
func TestDamagedSecrets(t *testing.T) {
	t.Parallel()
	i := startStandalone(t)
	api := i.client()
	api.retryEvery(t, time.Second, 2)
	s := newSink(t)
	ok := func(int) answer { return answer{status: http.StatusOK} }
	bad, good := s.receive("bad", ok), s.receive("good", ok)
	ids := []string{api.endpoint(t, s, bad), api.endpoint(t, s, good)}
	var masks [2]string
	for n := range masks {
		var src struct {
			MaskID string `json:"mask_id"`
		}
		api.must(t, http.MethodPost, "/sources", json.RawMessage(fmt.Sprintf(
			`{"name":"source %d","type":"http","verifier":{"type":"api_key","api_key":{"header_name":"X-Key","header_value":"k"}}}`, n)), http.StatusCreated, &src)
		masks[n] = src.MaskID
	}
	ingest := func(mask string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.url()+"/ingest/"+mask, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Key", "k")
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	if status := ingest(masks[0]); status != http.StatusOK { // from here on the process has the source in memory
		t.Fatalf("ingest: status %d", status)
	}
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(i.dir, "convoy.db"), Synchronous: "normal", Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Write(t.Context(), func(tx sqldb.Tx) error {
		if _, err := tx.Exec(t.Context(), `UPDATE endpoints SET secrets = (SELECT secrets FROM endpoints WHERE id = $1) WHERE id = $2`, ids[1], ids[0]); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `UPDATE sources SET verifier = (SELECT verifier FROM sources WHERE mask = $1) WHERE mask = $2`, masks[1], masks[0])
		return err
	}); err != nil {
		t.Fatal(err)
	}
	await(t, 20*time.Second, "the source is out of use", func() error {
		if status := ingest(masks[0]); status != http.StatusServiceUnavailable {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
	if status := ingest(masks[1]); status != http.StatusOK {
		t.Errorf("the other source: status %d", status)
	}
	api.must(t, http.MethodGet, "/endpoints/"+ids[0], nil, http.StatusInternalServerError, nil)
	if got := list[struct{}](t, api, "/endpoints", nil); len(got) != 2 {
		t.Errorf("%d endpoints in the list, want 2", len(got))
	}
	for _, id := range ids {
		api.publish(t, id, "event-"+id)
	}
	await(t, 20*time.Second, "deliveries end", func() error {
		for _, d := range list[delivery](t, api, "/eventdeliveries", nil) {
			want := map[string]string{ids[0]: "Failure", ids[1]: "Success"}[d.EndpointID]
			if d.Status != want || d.EndpointID == ids[0] && (d.Metadata.Trials != 2 || !strings.Contains(d.Description, "credentials cannot be read")) {
				return fmt.Errorf("%+v, want %s", d, want)
			}
		}
		return nil
	})
	if _, n := bad.count(); n != 0 {
		t.Errorf("%d requests without the endpoint's secrets", n)
	}
	good.valid(t)
	log := i.stderr.String()
	if !strings.Contains(log, "endpoints.secrets of "+ids[0]) {
		t.Error("the log does not say which value does not open")
	}
}
