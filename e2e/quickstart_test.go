package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// inbox is a receiver that keeps whole requests.
type inbox chan received

type received struct {
	path   string
	header http.Header
	body   []byte
}

func (b inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	select {
	case b <- received{r.URL.Path, r.Header, body}:
	default: // more than the test looks at
	}
}

// TestQuickStart does what a user does who reads only what the first start
// prints.
func TestQuickStart(t *testing.T) {
	t.Parallel()
	needs(t, "sh", "curl", "sed")
	dir := filepath.Join(t.TempDir(), "data")
	p := newProcess(t, "standalone", []string{"PATH=" + os.Getenv("PATH")}, "standalone", "--data-dir", dir)
	p.start()
	await(t, 5*time.Second, "the address is printed", func() error {
		if !strings.Contains(p.stdout.String(), fmt.Sprintf("ready at http://localhost:%d", p.port)) {
			return fmt.Errorf("printed %q", p.stdout)
		}
		return nil
	})
	printed := p.stdout.String()

	s := newSink(t)
	got := make(inbox, 16) // more than the one request that comes
	s.close()
	s.addr = strings.Replace(s.addr, "127.0.0.1", "localhost", 1)
	s.handler = got
	s.open()
	runPrinted(t, printed, s.addr)
	select {
	case r := <-got:
		if r.path != "/webhook" || string(r.body) != `{"amount":1200}` {
			t.Errorf("got %s %s", r.path, r.body)
		}
		if err := checkSignature(r.header.Get("X-Convoy-Signature"), "my secret", r.body, time.Now()); err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was delivered")
	}

	file := filepath.Join(dir, "credentials.json")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("credentials have mode %v", info.Mode())
	}
	a := credentials(t, dir)
	if a.URL != fmt.Sprintf("http://localhost:%d", p.port) || a.AdminEmail == "" || a.AdminPassword == "" {
		t.Errorf("credentials are incomplete: url %q, admin %q", a.URL, a.AdminEmail)
	}
	for _, secret := range []string{a.ProjectID, a.APIKey, a.AdminPassword} {
		if !strings.Contains(printed, secret) || secret == "" {
			t.Error("a credential in the file was not printed")
		}
	}
	if strings.Contains(p.stderr.String(), a.APIKey) || strings.Contains(p.stderr.String(), a.AdminPassword) {
		t.Error("credentials are in the log")
	}
	again(t, p, a, dir)
}

// runPrinted runs the lines a first start prints, with another receiver.
func runPrinted(t *testing.T, printed, receiver string) {
	t.Helper()
	_, script, found := strings.Cut(printed, "\n  KEY=")
	script, _, ended := strings.Cut("KEY="+script, "\n\n")
	if !found || !ended || strings.Count(script, "curl ") != 3 || strings.Count(script, "localhost:8080") != 1 {
		t.Fatalf("printed %q", printed)
	}
	script = strings.Replace(script, "localhost:8080", receiver, 1)
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "Event queued successfully") || !strings.Contains(string(out), `"content":[{`) {
		t.Fatalf("script: %v\n%s\nanswered: %s%s", err, script, out, stderr.Bytes())
	}
}

// again checks what a second start, and a second process, make of a directory
// that is in use.
func again(t *testing.T, p *process, a account, dir string) {
	t.Helper()
	second := newProcess(t, "second", p.env, "standalone", "--data-dir", dir)
	second.spawn()
	if code := second.wait(20 * time.Second); code != 1 {
		t.Errorf("a second process on the directory ends with %d", code)
	}
	if text := second.stderr.String(); !strings.Contains(text, dir) || !strings.Contains(text, "in use by another process") {
		t.Errorf("a second process on the directory says %q", text)
	}
	c := client{p.url(), a}
	before := list[event](t, c, "/events", nil)
	if len(before) != 1 {
		t.Fatalf("%d events, want 1", len(before))
	}

	p.kill()
	p.stdout = &output{}
	p.start()
	await(t, 5*time.Second, "the address is printed", func() error {
		if !strings.Contains(p.stdout.String(), "ready at") {
			return fmt.Errorf("printed %q", p.stdout)
		}
		return nil
	})
	if text := p.stdout.String(); strings.Contains(text, a.APIKey) || strings.Contains(text, "password") {
		t.Errorf("a second start prints %q", text)
	}
	if now := credentials(t, dir); now != a {
		t.Error("a second start has changed the credentials")
	}
	after := list[event](t, c, "/events", nil)
	if len(after) != 1 || after[0] != before[0] {
		t.Errorf("events are %v after a second start, were %v", after, before)
	}
	var project struct {
		UID string `json:"uid"`
	}
	c.must(t, http.MethodGet, "", nil, http.StatusOK, &project)
	if project.UID != a.ProjectID {
		t.Errorf("project is %q", project.UID)
	}
	deliveries := list[json.RawMessage](t, c, "/eventdeliveries", nil)
	if len(deliveries) != 1 {
		t.Errorf("%d deliveries, want 1", len(deliveries))
	}
}
