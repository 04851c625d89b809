package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// account is what setting up an instance gives.
type account struct {
	URL           string `json:"url"`
	ProjectID     string `json:"project_id"`
	APIKey        string `json:"api_key"`
	AdminEmail    string `json:"admin_email"`
	AdminPassword string `json:"admin_password"`
}

// client talks to the API of one process.
type client struct {
	base string
	account
}

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	raw    []byte
	// The envelope.
	OK      bool            `json:"status"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// do sends a request below the project; body may be nil.
func (c client) do(ctx context.Context, method, path string, body []byte) (reply, error) {
	return c.send(ctx, web, method, "/api/v1/projects/"+c.ProjectID+path, body)
}

func (c client) send(ctx context.Context, via *http.Client, method, path string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+c.APIKey)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := via.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	r := reply{status: res.StatusCode, header: res.Header}
	if r.raw, err = io.ReadAll(res.Body); err != nil {
		return reply{}, err
	}
	if err := json.Unmarshal(r.raw, &r); err != nil {
		return reply{}, fmt.Errorf("answer %d %q: %w", r.status, r.raw, err)
	}
	return r, nil
}

// must sends a request that is to be answered with status, and reads its data
// into into unless that is nil.
func (c client) must(t testing.TB, method, path string, body any, status int, into any) {
	t.Helper()
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.do(t.Context(), method, path, raw)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if r.status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, status, r.raw)
	}
	if into != nil {
		if err := json.Unmarshal(r.Data, into); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, r.Data)
		}
	}
}

// retryEvery sets the project's retry policy: tries in all, and the wait
// between two.
func (c client) retryEvery(t testing.TB, wait time.Duration, tries int) {
	t.Helper()
	c.must(t, http.MethodPut, "", map[string]any{
		"name": "default",
		"config": map[string]any{
			"strategy": map[string]any{"type": "linear", "duration": int(wait.Seconds()), "retry_count": tries},
		},
	}, http.StatusAccepted, nil)
}

// endpoint makes an endpoint for a receiver.
func (c client) endpoint(t testing.TB, s *sink, r *receiver) string {
	t.Helper()
	var e struct {
		UID string `json:"uid"`
	}
	c.must(t, http.MethodPost, "/endpoints", map[string]any{
		"name": r.path[1:], "url": s.url(r), "secret": r.secret,
	}, http.StatusCreated, &e)
	if e.UID == "" {
		t.Fatal("endpoint without an id")
	}
	return e.UID
}

// publication is the body of a publish request.
func publication(endpoint, id string) []byte {
	return fmt.Appendf(nil, `{"endpoint_id":%q,"event_type":"e2e.happened","data":%s}`, endpoint, payload(id))
}

// publish sends an event that must be accepted.
func (c client) publish(t testing.TB, endpoint, id string) {
	t.Helper()
	r, err := c.do(t.Context(), http.MethodPost, "/events", publication(endpoint, id))
	if err != nil {
		t.Fatalf("publish %s: %v", id, err)
	}
	if r.status != http.StatusCreated {
		t.Fatalf("publish %s: status %d: %s", id, r.status, r.raw)
	}
}

// event and delivery are the parts of rows in lists that tests look at.
type event struct {
	UID    string `json:"uid"`
	Status string `json:"status"`
}

type delivery struct {
	UID         string `json:"uid"`
	EventID     string `json:"event_id"`
	EndpointID  string `json:"endpoint_id"`
	Status      string `json:"status"`
	Description string `json:"description"`
	Metadata    struct {
		Raw    string `json:"raw"`
		Trials int    `json:"num_trials"`
	} `json:"metadata"`
}

type attempt struct {
	UID        string `json:"uid"`
	HTTPStatus string `json:"http_status"`
	Status     bool   `json:"status"`
}

// page is one page of a list.
type page[T any] struct {
	Content    []T `json:"content"`
	Pagination struct {
		HasNext bool   `json:"has_next_page"`
		Next    string `json:"next_page_cursor"`
	} `json:"pagination"`
}

// list reads all pages of a list.
func list[T any](t testing.TB, c client, path string, query url.Values) []T {
	t.Helper()
	if query == nil {
		query = url.Values{}
	}
	query.Set("perPage", "500")
	var all []T
	const maxPages = 1000
	for range maxPages {
		var p page[T]
		c.must(t, http.MethodGet, path+"?"+query.Encode(), nil, http.StatusOK, &p)
		all = append(all, p.Content...)
		if !p.Pagination.HasNext {
			return all
		}
		query.Set("next_page_cursor", p.Pagination.Next)
	}
	t.Fatalf("%s has more than %d pages", path, maxPages)
	return nil
}

// unfinished returns nil when no delivery waits for another try, and otherwise
// says what one of them waits for.
func (c client) unfinished(ctx context.Context) error {
	r, err := c.do(ctx, http.MethodGet, "/eventdeliveries?perPage=1&status=Scheduled&status=Processing&status=Retry", nil)
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return fmt.Errorf("list of deliveries: status %d: %s", r.status, r.raw)
	}
	var p page[delivery]
	if err := json.Unmarshal(r.Data, &p); err != nil {
		return err
	}
	if len(p.Content) > 0 {
		d := p.Content[0]
		return fmt.Errorf("delivery %s of %s is %s after %d tries: %q", d.UID, d.Metadata.Raw, d.Status, d.Metadata.Trials, d.Description)
	}
	return nil
}
