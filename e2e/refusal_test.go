package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// unknown is an id that nothing has.
const unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

// request is one that is to be refused.
type request struct {
	method, path string
	body         string
	// contentType and credential replace the usual ones; "-" sends none.
	contentType, credential string
	chunked                 bool

	status int
	// message is a part of the answer's message.
	message string
}

// TestRefusals sends what cannot be accepted. Each answer has its status and
// the envelope, and nothing of it is seen afterwards.
func TestRefusals(t *testing.T) {
	t.Parallel()
	i := startStandalone(t)
	c := i.client()
	s := newSink(t)
	r := s.receive("r", always(ok))
	endpoint := c.endpoint(t, s, r)
	// With connections that are kept: net/http resets one that is to be closed
	// when an answer comes before the end of the request, and the answer with it.
	via := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
	defer via.CloseIdleConnections()

	for group, requests := range map[string][]request{
		"publish":   badEvents(endpoint),
		"transport": badTransport(endpoint),
		"ids":       badIDs(),
		"lists":     badLists(),
		"endpoints": badEndpoints(),
	} {
		for n, q := range requests {
			t.Run(fmt.Sprintf("%s %d", group, n), func(t *testing.T) { refused(t, via, c, q) })
		}
	}

	for _, path := range []string{"/events", "/eventdeliveries", "/subscriptions"} {
		if all := list[json.RawMessage](t, c, path, nil); len(all) != 0 {
			t.Errorf("%d elements in %s after refusals: %s", len(all), path, all[0])
		}
	}
	if all := list[json.RawMessage](t, c, "/endpoints", nil); len(all) != 1 {
		t.Errorf("%d endpoints after refusals, want 1", len(all))
	}
	if came, _ := r.count(); came != 0 {
		t.Errorf("%d events were delivered", came)
	}
	if text := i.stderr.String(); strings.Contains(text, `"level":"ERROR"`) {
		t.Errorf("refusals are errors in the log: %s", text)
	}
	// The process is none the worse for it.
	c.publish(t, endpoint, "good")
	await(t, 20*time.Second, "a good event is delivered", func() error { return got(r, "good") })
}

func badEvents(endpoint string) []request {
	event := func(fields string) string { return `{"endpoint_id":"` + endpoint + `",` + fields + `}` }
	var all []request
	for _, tc := range []struct{ body, message string }{
		{"", "body must not be empty"},
		{" \n", "body must not be empty"},
		{"{", "badly-formed JSON"},
		{`{"endpoint_id":}`, "badly-formed JSON"},
		{event(`"event_type":"a","data":{}`) + "x", "badly-formed JSON"},
		{event(`"event_type":"a","data":{"a":01}`), "badly-formed JSON"},
		{"[]", "incorrect JSON type"},
		{`"text"`, "incorrect JSON type"},
		{event(`"event_type":7,"data":{}`), `incorrect JSON type for field "event_type"`},
		{event(`"event_type":"a","data":{},"idempotency_key":{}`), `incorrect JSON type for field "idempotency_key"`},
		{event(`"event_type":"a","data":{},"custom_headers":[]`), `incorrect JSON type for field "custom_headers"`},
		{`{"endpoint_id":["` + endpoint + `"],"event_type":"a","data":{}}`, `incorrect JSON type for field "endpoint_id"`},
		{"null", "event_type:please provide an event type"},
		{"{}", "data:please provide your data"},
		{event(`"data":{}`), "event_type:please provide an event type"},
		{event(`"event_type":"a"`), "data:please provide your data"},
		{event(`"event_type":"a\u0000b","data":{}`), "event_type:"},
		{event(`"event_type":"` + strings.Repeat("a", 300) + `","data":{}`), "event_type:"},
		{event("\"event_type\":\"a\xff\",\"data\":{}"), "UTF-8"},
		{event("\"event_type\":\"a\",\"data\":{\"a\":\"\xc3\"}"), "UTF-8"},
		{event(`"event_type":"a","data":{},"custom_headers":{"bad name":"v"}`), "custom_headers:"},
		{event(`"event_type":"a","data":{},"custom_headers":{"X-A":"v\r\nX-B: w"}`), "custom_headers:"},
		{event(`"event_type":"a","data":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)), ""},
		{`{"event_type":"a","data":{}}`, "please provide an endpoint ID"},
		{`{"endpoint_id":"` + unknown + `","event_type":"a","data":{}}`, "endpoint not found"},
		{`{"endpoint_id":"nothing","event_type":"a","data":{}}`, "endpoint not found"},
		{`{"app_id":"` + unknown + `","event_type":"a","data":{}}`, "app ID has no configured endpoints"},
	} {
		all = append(all, request{method: http.MethodPost, path: "/events", body: tc.body, status: http.StatusBadRequest, message: tc.message})
	}
	return all
}

func badTransport(endpoint string) []request {
	good := string(publication(endpoint, "good"))
	long := good[:len(good)-1] + strings.Repeat(" ", 1<<20) + "}" // over the default limit of 1 MiB
	return []request{
		{method: http.MethodPost, path: "/events", body: long, status: http.StatusRequestEntityTooLarge, message: "request body too large"},
		{method: http.MethodPost, path: "/events", body: long, chunked: true, status: http.StatusRequestEntityTooLarge, message: "request body too large"},
		{method: http.MethodPost, path: "/endpoints", body: long, status: http.StatusRequestEntityTooLarge, message: "request body too large"},
		{method: http.MethodPost, path: "/endpoints", body: long, chunked: true, status: http.StatusRequestEntityTooLarge, message: "request body too large"},
		{method: http.MethodPost, path: "/events", body: good, contentType: "text/plain", status: http.StatusUnsupportedMediaType},
		{method: http.MethodPost, path: "/events", body: good, credential: "-", status: http.StatusUnauthorized, message: "Authentication required"},
		{method: http.MethodPost, path: "/events", body: good, credential: "Bearer", status: http.StatusUnauthorized, message: "Authentication required"},
		{method: http.MethodPost, path: "/events", body: good, credential: "Digest x", status: http.StatusUnauthorized, message: "Authentication required"},
		{method: http.MethodPost, path: "/events", body: good, credential: "Bearer CO.wrong.key", status: http.StatusUnauthorized, message: "authorization failed"},
		{
			method: http.MethodPost, path: "/events", body: good, status: http.StatusUnauthorized, message: "authorization failed",
			credential: "Bearer CO." + strings.Repeat("a", 16) + "." + strings.Repeat("b", 64),
		},
		{method: http.MethodPatch, path: "/events", body: good, status: http.StatusMethodNotAllowed},
		{method: http.MethodDelete, path: "/eventdeliveries", status: http.StatusMethodNotAllowed},
		{method: http.MethodGet, path: "/nothing", status: http.StatusNotFound},
	}
}

func badIDs() []request {
	return []request{
		{method: http.MethodGet, path: "/events/" + unknown, status: http.StatusNotFound, message: "event not found"},
		{method: http.MethodGet, path: "/events/nothing", status: http.StatusNotFound, message: "event not found"},
		{method: http.MethodGet, path: "/eventdeliveries/" + unknown, status: http.StatusNotFound, message: "event delivery not found"},
		{method: http.MethodGet, path: "/eventdeliveries/%00", status: http.StatusNotFound, message: "event delivery not found"},
		{method: http.MethodPut, path: "/eventdeliveries/" + unknown + "/resend", status: http.StatusBadRequest, message: "event delivery not found"},
		{method: http.MethodGet, path: "/eventdeliveries/" + unknown + "/deliveryattempts/" + unknown, status: http.StatusBadRequest, message: "not found"},
		{method: http.MethodGet, path: "/endpoints/" + unknown, status: http.StatusNotFound, message: "Resource not found"},
		{method: http.MethodPut, path: "/endpoints/" + unknown, body: `{"name":"a","url":"http://127.0.0.1/"}`, status: http.StatusBadRequest, message: "endpoint not found"},
		{method: http.MethodDelete, path: "/endpoints/" + unknown, status: http.StatusBadRequest, message: "endpoint not found"},
		{method: http.MethodPut, path: "/endpoints/" + unknown + "/pause", status: http.StatusBadRequest},
		{method: http.MethodGet, path: "/subscriptions/" + unknown, status: http.StatusNotFound, message: "failed to find subscription"},
		{method: http.MethodDelete, path: "/subscriptions/" + unknown, status: http.StatusNotFound, message: "failed to find subscription"},
		{
			method: http.MethodPost, path: "/subscriptions", body: `{"name":"a","endpoint_id":"` + unknown + `"}`,
			status: http.StatusBadRequest, message: "failed to find endpoint by id",
		},
	}
}

func badLists() []request {
	var all []request
	for _, path := range []string{"/events", "/eventdeliveries", "/endpoints", "/subscriptions"} {
		for _, query := range []string{
			"perPage=0", "perPage=-1", "perPage=1001", "perPage=99999999999999999999", "direction=sideways",
			"next_page_cursor=nothing", "direction=prev&prev_page_cursor=%00", "next_page_cursor=%27%3B--",
		} {
			name, _, _ := strings.Cut(query, "=")
			if strings.Contains(query, "prev_page_cursor") {
				name = "prev_page_cursor"
			}
			all = append(all, request{method: http.MethodGet, path: path + "?" + query, status: http.StatusBadRequest, message: name + ":"})
		}
	}
	for _, path := range []string{"/events", "/eventdeliveries"} {
		all = append(all,
			request{method: http.MethodGet, path: path + "?startDate=yesterday", status: http.StatusBadRequest, message: "please specify a startDate in the format 2006-01-02T15:04:05"},
			request{method: http.MethodGet, path: path + "?endDate=2026-01-02", status: http.StatusBadRequest, message: "please specify a correct endDate in the format 2006-01-02T15:04:05"},
			request{
				method: http.MethodGet, path: path + "?startDate=2026-01-02T00:00:00&endDate=2026-01-01T00:00:00",
				status: http.StatusBadRequest, message: "startDate cannot be greater than endDate",
			},
		)
	}
	return all
}

func badEndpoints() []request {
	var all []request
	for _, tc := range []struct{ body, message string }{
		{"", "body must not be empty"},
		{"{", ""},
		{`{"name":7,"url":"http://127.0.0.1/"}`, ""},
		{`{"name":"a"}`, ""},
		{`{"url":"http://127.0.0.1/"}`, ""},
		{`{"name":"a","url":"ftp://127.0.0.1/"}`, ""},
		{`{"name":"a","url":"http://"}`, ""},
		{`{"name":"a","url":"http://10.0.0.1/"}`, ""},
		{`{"name":"a","url":"http://169.254.169.254/latest"}`, ""},
		{`{"name":"a","url":"http://127.0.0.1/","http_timeout":-1}`, ""},
		{`{"name":"a","url":"http://127.0.0.1/","http_timeout":99999}`, ""},
		{`{"name":"a","url":"http://127.0.0.1/","content_type":"text/plain"}`, ""},
		{`{"name":"a","url":"http://127.0.0.1/","authentication":{"type":"api_key"}}`, "api key field is required"},
	} {
		all = append(all, request{method: http.MethodPost, path: "/endpoints", body: tc.body, status: http.StatusBadRequest, message: tc.message})
	}
	return all
}

// refused sends a request and checks its answer.
func refused(t *testing.T, via *http.Client, c client, q request) {
	t.Helper()
	var body io.Reader = strings.NewReader(q.body)
	if q.chunked {
		body = struct{ io.Reader }{body} // of no known length
	}
	req, err := http.NewRequestWithContext(t.Context(), q.method, c.base+"/api/v1/projects/"+c.ProjectID+q.path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	switch q.credential {
	case "":
		req.Header.Set("Authorization", "Bearer "+c.APIKey)
	case "-":
	default:
		req.Header.Set("Authorization", q.credential)
	}
	res, err := via.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	what := fmt.Sprintf("%s %s %.100q", q.method, q.path, q.body)
	if res.StatusCode != q.status {
		t.Errorf("%s: status %d, want %d: %.300s", what, res.StatusCode, q.status, raw)
	}
	var answer map[string]any
	if err := json.Unmarshal(bytes.TrimSpace(raw), &answer); err != nil {
		t.Fatalf("%s: %v in %.300q", what, err, raw)
	}
	message, _ := answer["message"].(string)
	_, data := answer["data"]
	if answer["status"] != false || message == "" || data || len(answer) != 2 {
		t.Errorf("%s: answer is %.300s", what, raw)
	}
	if !strings.Contains(message, q.message) {
		t.Errorf("%s: message is %q, want %q in it", what, message, q.message)
	}
	for _, name := range []string{"X-Request-Id", "X-Convoy-Version"} {
		if res.Header.Get(name) == "" {
			t.Errorf("%s: no %s", what, name)
		}
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%s: content type %q", what, res.Header.Get("Content-Type"))
	}
	if q.status == http.StatusMethodNotAllowed && res.Header.Get("Allow") == "" {
		t.Errorf("%s: no Allow", what)
	}
}

// TestCheckSignature checks the check, with an example of the documentation.
func TestCheckSignature(t *testing.T) {
	t.Parallel()
	const (
		body   = `{"event":"invoice.paid","data":{"id":"inv_123","amount":1200}}`
		secret = "whsec_4f8d2c"
		header = "t=1735689600,v1=81fb9753aa2a1b3641f83ba3c36075d836bf2120b91cedd89d065456ceee6612"
	)
	now := time.Unix(1735689600, 0)
	if err := checkSignature(header, secret, []byte(body), now); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another body":   checkSignature(header, secret, []byte(body+" "), now),
		"another secret": checkSignature(header, secret+"x", []byte(body), now),
		"another time":   checkSignature(strings.Replace(header, "t=1735689600", "t=1735689601", 1), secret, []byte(body), now),
		"old":            checkSignature(header, secret, []byte(body), now.Add(time.Hour)),
		"none":           checkSignature("", secret, []byte(body), now),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
