package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPortalPage opens what a portal link leads to in a browser, and in a frame of
// another page, which only those may have that the project names.
func TestPortalPage(t *testing.T) {
	t.Parallel()
	needs(t, "chromium")
	dir := filepath.Join(t.TempDir(), "data")
	p := newProcess(t, "standalone", environment(t), "standalone", "--data-dir", dir)
	p.start()
	c := client{p.url(), credentials(t, dir)}
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	var link struct{ Token, URL string }
	c.must(t, http.MethodPost, "/portal-links", map[string]any{"name": "p", "owner_id": "dora", "can_manage_endpoint": true}, http.StatusCreated, &link)
	if !strings.HasSuffix(link.URL, "/portal?token="+url.QueryEscape(link.Token)) {
		t.Fatalf("the link leads to %s", link.URL)
	}
	var endpoint struct{ UID string }
	c.must(t, http.MethodPost, "/endpoints", map[string]any{"name": "<b>hers</b>", "url": receiver.URL, "owner_id": "dora"}, http.StatusCreated, &endpoint)
	c.must(t, http.MethodPost, "/endpoints", map[string]any{"name": "not hers", "url": receiver.URL}, http.StatusCreated, nil)
	c.must(t, http.MethodPost, "/events", map[string]any{"endpoint_id": endpoint.UID, "event_type": "invoice.paid", "data": map[string]any{"id": "1"}}, http.StatusCreated, nil)
	await(t, 20*time.Second, "the event is delivered", func() error {
		var list struct{ Content []struct{ Status string } }
		c.must(t, http.MethodGet, "/eventdeliveries", nil, http.StatusOK, &list)
		if len(list.Content) != 1 || list.Content[0].Status != "Success" {
			return fmt.Errorf("%+v", list.Content)
		}
		return nil
	})

	page := c.base + "/portal?token=" + url.QueryEscape(link.Token)
	shown, _ := browse(t, page)
	for _, want := range []string{"<td>&lt;b&gt;hers&lt;/b&gt;</td>", "<td>" + receiver.URL + "</td>", "<td>invoice.paid</td>", "<td>Success</td>", "Add endpoint"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page lacks %q:\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "not hers") {
		t.Error("the page has an endpoint of somebody else")
	}
	shown, _ = browse(t, c.base+"/portal?token=nobody")
	if !strings.Contains(shown, `role="alert">authorization failed</p>`) {
		t.Errorf("for a token that opens nothing:\n%s", shown)
	}

	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<iframe src="%s"></iframe>`, page)
	}))
	t.Cleanup(outside.Close)
	const refused = "violates the following Content Security Policy directive"
	if _, log := browse(t, outside.URL); !strings.Contains(log, refused) {
		t.Errorf("a page that is not named frames the portal:\n%s", log)
	}
	c.must(t, http.MethodPut, "", map[string]any{"name": "default", "config": map[string]any{"portal_frame_ancestors": []string{outside.URL}}}, http.StatusAccepted, nil)
	if _, log := browse(t, outside.URL); strings.Contains(log, refused) {
		t.Errorf("a page that is named does not frame the portal:\n%s", log)
	}
}

// browse opens a page and returns it as it is once its scripts have run, and what
// the browser logged.
func browse(t *testing.T, page string) (shown, log string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, messages bytes.Buffer
	// Without a sandbox, which a test that runs as root cannot have.
	browser := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", page)
	browser.Stdout, browser.Stderr, browser.WaitDelay = &out, &messages, 5*time.Second
	if err := browser.Run(); err != nil {
		t.Fatalf("%v: %s", err, &messages)
	}
	return out.String(), messages.String()
}
