package api

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"strings"
	"testing"

	"convoy/internal/store/sqldb"
)

// form is a multipart body with one part.
func form(t *testing.T, field, content string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, "endpoints.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

func TestOnboard(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		var items []string
		for i := range 120 {
			items = append(items, fmt.Sprintf(`{"name":"e%d","url":"http://example.com/%d","event_type":"order.*","auth_username":"u","auth_password":"p"}`, i, i))
		}
		body := `{"items":[` + strings.Join(items, ",") + `]}`
		if a := f.want(call{method: "POST", path: "onboard?dry_run=true", body: body}, 200, "Dry run validation complete"); !strings.Contains(a.body, `"data":{"total_rows":120,"valid_count":120,"errors":[]}`) {
			t.Errorf("dry run: %s", a.body)
		}
		var page paged[endpointView]
		f.want(call{path: "endpoints"}, 200, "Endpoints fetched successfully").data(t, &page)
		if len(page.Content) != 0 {
			t.Fatal("a dry run creates")
		}
		if a := f.want(call{method: "POST", path: "onboard", body: body}, 202, "Bulk onboard request accepted"); !strings.Contains(a.body, `"data":{"batch_count":3,"total_items":120,"message":`) {
			t.Errorf("accepted: %s", a.body)
		}
		f.want(call{path: "endpoints?perPage=1000"}, 200, "Endpoints fetched successfully").data(t, &page)
		var subs paged[subscriptionView]
		f.want(call{path: "subscriptions?perPage=1000"}, 200, "Subscriptions fetched successfully").data(t, &subs)
		if len(page.Content) != 120 || len(subs.Content) != 120 || subs.Content[0].FilterConfig.EventTypes[0] != "order.*" || page.Content[0].Authentication.Basic.Username != "u" {
			t.Errorf("%d endpoints, %d subscriptions, %+v", len(page.Content), len(subs.Content), subs.Content[0])
		}

		if _, ok := f.eventTypes()["order.*"]; !ok {
			t.Errorf("event types %v", f.eventTypes())
		}

		csv, ct := form(t, "file", "\xef\xbb\xbfURL,name, event_type\r\n\"http://example.com/a,b\",\"A \"\"quoted\"\" name\",\r\nhttp://example.com/2,second,x\r\n")
		f.want(call{method: "POST", path: "onboard", body: csv, header: map[string]string{"Content-Type": ct}}, 202, "Bulk onboard request accepted")
		f.want(call{path: "endpoints?q=quoted"}, 200, "Endpoints fetched successfully").data(t, &page)
		if len(page.Content) != 1 || page.Content[0].Name != `A "quoted" name` || page.Content[0].URL != "http://example.com/a,b" {
			t.Errorf("from a file: %+v", page.Content)
		}
		if types := f.eventTypes(); len(types) != 3 { // with *
			t.Errorf("event types %v", types)
		}
	})
}

func TestOnboardRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	a := f.do(call{method: "POST", path: "onboard", body: `{"items":[{"name":"ok","url":"http://example.com"},{"name":"","url":"ftp://x"},
		{"name":"a\u0000","url":"http://127.0.0.1","event_type":"` + strings.Repeat("x", 256) + `","auth_username":"u"},{"name":"b","url":"","auth_password":"p"},{"name":"c","url":"http://x","auth_username":"u:v","auth_password":"p"}]}`})
	golden(t, "onboard_refused", a.body)
	if a.status != 400 {
		t.Errorf("status %d", a.status)
	}
	for body, message := range map[string]string{
		``:                       "body must not be empty",
		`{}`:                     "items list cannot be empty",
		`{"items":[]}`:           "items list cannot be empty",
		`{"items":{}}`:           `body contains incorrect JSON type for field "items"`,
		`{"items":[{"name":5}]}`: `body contains incorrect JSON type for field "items.name"`,
		`{"items":[` + strings.Repeat("{},", 1000) + `{}]}`: "items:must not be more than 1000",
	} {
		f.want(call{method: "POST", path: "onboard", body: body}, 400, message)
	}
	f.want(call{method: "POST", path: "onboard?dry_run=maybe", body: `{"items":[{}]}`}, 400, "dry_run:must be true or false")
	for content, message := range map[string]string{
		"":                        "file:is empty",
		"name\na":                 "file:has no column url",
		"name,url\na":             "file:is not CSV: record on line 2: wrong number of fields",
		"name,url\n\"a":           "file:is not CSV: parse error on line 2, column 3: extraneous or missing \" in quoted-field",
		"name,url\n\xff,http://x": "file:must be valid UTF-8",
		"name,url\n":              "items list cannot be empty",
		"name,url\n" + strings.Repeat("a,http://x\n", 1001): "items:must not be more than 1000",
	} {
		body, ct := form(t, "file", content)
		f.want(call{method: "POST", path: "onboard", body: body, header: map[string]string{"Content-Type": ct}}, 400, message)
	}
	body, ct := form(t, "other", "x")
	const want = "file:must be a CSV file in a multipart form"
	f.want(call{method: "POST", path: "onboard", body: body, header: map[string]string{"Content-Type": ct}}, 400, want)
	f.want(call{method: "POST", path: "onboard", body: body, header: map[string]string{"Content-Type": "multipart/form-data"}}, 400, want)
	f.want(call{method: "POST", path: "onboard", body: body[:20], header: map[string]string{"Content-Type": ct}}, 400, want)
	f.want(call{method: "POST", path: "endpoints", body: body, header: map[string]string{"Content-Type": ct}}, 415, "Content-Type must be application/json")
	huge, ct := form(t, "file", "name,url\n"+strings.Repeat("x", maxOnboardBody))
	f.want(call{method: "POST", path: "onboard", body: huge, header: map[string]string{"Content-Type": ct}}, 413, "request body too large")
}
