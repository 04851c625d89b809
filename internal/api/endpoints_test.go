package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/store/sqldb"
)

const fullEndpoint = `{"url":"https://example.com/hook?a=<b>","name":"main","secret":"s3cret","owner_id":"cust-1","description":"d",
	"advanced_signatures":false,"support_email":"ops@example.com","slack_webhook_url":"https://hooks.slack.example/1",
	"teams_webhook_url":"https://teams.example/1","is_disabled":true,"http_timeout":30,"rate_limit":7,"rate_limit_duration":60,
	"content_type":"application/x-www-form-urlencoded","authentication":{"type":"basic_auth","basic_auth":{"username":"u","password":"p"}}}`

func TestEndpoints(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		a := f.want(call{method: "POST", path: "endpoints", body: `{"url":"http://example.com","name":"a","secret":"x"}`}, 201, "Endpoint created successfully")
		golden(t, "endpoint_created", a.body)
		a = f.want(call{method: "POST", path: "endpoints", body: fullEndpoint}, 201, "Endpoint created successfully")
		golden(t, "endpoint_full", a.body)
		var e endpointView
		a.data(t, &e)
		one := "endpoints/" + string(e.UID)
		read := f.want(call{path: one}, 200, "Endpoint fetched successfully")
		if strings.SplitN(a.body, `"data"`, 2)[1] != strings.SplitN(read.body, `"data"`, 2)[1] {
			t.Errorf("read back:\n%s\n%s", a.body, read.body)
		}
		golden(t, "endpoints", f.want(call{path: "endpoints?query=MAI"}, 200, "Endpoints fetched successfully").body)
		for query, want := range map[string]int{"": 2, "?q=zz": 0, "?ownerId=cust-1": 1, "?ownerId=cust": 0, "?q=&query=": 2, "?q=%25": 0} {
			var page paged[endpointView]
			f.want(call{path: "endpoints" + query}, 200, "Endpoints fetched successfully").data(t, &page)
			if len(page.Content) != want {
				t.Errorf("%q: %d endpoints", query, len(page.Content))
			}
		}

		// What is absent is kept or cleared, field by field; the password was sent back hidden.
		a = f.want(call{method: "PUT", path: one, body: `{"url":"http://example.com/2","name":"other","rate_limit":-1,
			"authentication":{"type":"basic_auth","basic_auth":{"username":"v","password":"[REDACTED]"}}}`}, 202, "Endpoint updated successfully")
		golden(t, "endpoint_updated", a.body)
		stored, err := f.store.Endpoint(t.Context(), f.project.ID, e.UID)
		if err != nil || stored.Authentication.Basic.Password != "p" || stored.Authentication.Basic.Username != "v" {
			t.Errorf("stored %+v (%v)", stored, err)
		}
		f.want(call{method: "PUT", path: one, body: `{"url":"http://example.com/2","name":"other"}`}, 202, "Endpoint updated successfully")
		golden(t, "endpoint_cleared", f.want(call{path: one}, 200, "Endpoint fetched successfully").body)

		f.want(call{method: "DELETE", path: one}, 200, "Endpoint deleted successfully")
		f.want(call{path: one}, 404, "Resource not found")
		for _, gone := range []string{one, "endpoints/x", "endpoints/01K1ZZZZZZZZZZZZZZZZZZZZZZ", "endpoints/%00", "endpoints/a%2Fb"} {
			f.want(call{path: gone}, 404, "Resource not found")
			f.want(call{method: "PUT", path: gone, body: fullEndpoint}, 400, "endpoint not found")
			f.want(call{method: "DELETE", path: gone}, 400, "endpoint not found")
			f.want(call{method: "PUT", path: gone + "/expire_secret", body: "{}"}, 400, "endpoint not found")
			f.want(call{method: "PUT", path: gone + "/pause"}, 400, "failed to find endpoint")
			f.want(call{method: "POST", path: gone + "/activate"}, 400, "failed to find endpoint")
		}
	})
}

func TestEndpointStatus(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		e := f.endpoint("a")
		one := "endpoints/" + string(e)
		status := func(c call, message string) convoy.EndpointStatus {
			t.Helper()
			var v endpointView
			f.want(c, 202, message).data(t, &v)
			return v.Status
		}
		f.want(call{method: "POST", path: one + "/activate"}, 400, "current endpoint status - active, does not support activation")
		// Some clients send a JSON string as body here; nothing reads it.
		if s := status(call{method: "PUT", path: one + "/pause", body: `"{}"`}, "endpoint status updated successfully"); s != convoy.EndpointPaused {
			t.Errorf("paused: %s", s)
		}
		if s := status(call{method: "PUT", path: one + "/pause"}, "endpoint status updated successfully"); s != convoy.EndpointActive {
			t.Errorf("resumed: %s", s)
		}
		if _, err := f.store.SetEndpointStatus(t.Context(), f.project.ID, e, convoy.EndpointInactive, f.now); err != nil {
			t.Fatal(err)
		}
		f.want(call{method: "PUT", path: one + "/pause"}, 400, "current endpoint status - inactive, does not support pausing or unpausing")
		if s := status(call{method: "POST", path: one + "/activate"}, "endpoint status successfully activated"); s != convoy.EndpointActive {
			t.Errorf("activated: %s", s)
		}
	})
}

func TestExpireSecret(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		var e endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"url":"http://example.com","name":"a"}`}, 201, "Endpoint created successfully").data(t, &e)
		if v := e.Secrets[0].Value; len(v) != 25 {
			t.Errorf("generated secret %q", v)
		}
		path := "endpoints/" + string(e.UID) + "/expire_secret"
		f.want(call{method: "PUT", path: path, body: `{"secret":"second","expiration":60}`}, 200, "endpoint secret expired successfully").data(t, &e)
		if len(e.Secrets) != 2 || e.Secrets[0].ExpiresAt.Sub(f.now).Seconds() != 60 || e.Secrets[1].Value != "second" || e.Secrets[1].ExpiresAt != nil {
			t.Errorf("secrets %+v", e.Secrets)
		}
		// An expiration of nothing ends the old one now; it is dropped by the next.
		f.want(call{method: "PUT", path: path, body: `{"secret":"third"}`}, 200, "endpoint secret expired successfully").data(t, &e)
		f.want(call{method: "PUT", path: path, body: `{"secret":"fourth","expiration":9}`}, 200, "endpoint secret expired successfully").data(t, &e)
		var values []string
		for _, s := range e.Secrets[1:] {
			values = append(values, s.Value)
		}
		if strings.Join(values, " ") != "third fourth" {
			t.Errorf("secrets %+v", e.Secrets)
		}
		for body, message := range map[string]string{
			"":                        "body must not be empty",
			`"{}"`:                    "body contains incorrect JSON type (at character 4)",
			`{"expiration":-1}`:       `body contains incorrect JSON type for field "expiration"`,
			`{"expiration":99999999}`: "expiration:must be from 0 to 31622400",
			`{"secret":"\u0000"}`:     "secret:must not contain NUL characters",
			`{"secret":"` + strings.Repeat("x", 513) + `"}`: "secret:must not be longer than 512 characters",
		} {
			f.want(call{method: "PUT", path: path, body: body}, 400, message)
		}
		for range 5 {
			f.want(call{method: "PUT", path: path, body: `{"expiration":60}`}, 200, "endpoint secret expired successfully")
		}
		f.want(call{method: "PUT", path: path, body: `{}`}, 400, "secret:the endpoint has 8 secrets that have not expired")
	})
}

func TestEndpointRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	with := func(change string) string { return `{"url":"http://example.com","name":"a",` + change + `}` }
	long := strings.Repeat("x", 1_000_000)
	cases := map[string]string{
		`{}`:                                                            "url:please provide a url for your endpoint, name:please provide your endpointName",
		`{"url":null,"name":null}`:                                      "url:please provide a url for your endpoint, name:please provide your endpointName",
		with(`"url":"example.com"`):                                     "invalid endpoint scheme",
		with(`"url":"ftp://example.com"`):                               "invalid endpoint scheme",
		with(`"url":"http://"`):                                         "endpoint url must include a valid host",
		with(`"url":"http://127.0.0.1/"`):                               "address 127.0.0.1 (loopback) is not allowed",
		with(`"url":"http://x/\u0000"`):                                 "url:must not contain NUL characters",
		with(`"url":"http://x/` + long + `"`):                           "url:must not be longer than 2048 characters",
		with(`"slack_webhook_url":"http://10.0.0.1"`):                   "slack_webhook_url:invalid slack webhook url",
		with(`"teams_webhook_url":"x"`):                                 "teams_webhook_url:invalid teams webhook url",
		with(`"support_email":"A <a@b.c>"`):                             "support_email:please provide a valid email",
		with(`"support_email":"\u0000@b.c"`):                            "support_email:please provide a valid email",
		with(`"http_timeout":301`):                                      "http_timeout:must not be longer than 300 seconds",
		with(`"http_timeout":18446744073709551615`):                     "http_timeout:must not be longer than 300 seconds",
		with(`"http_timeout":-1`):                                       `body contains incorrect JSON type for field "http_timeout"`,
		with(`"http_timeout":1.5`):                                      `body contains incorrect JSON type for field "http_timeout"`,
		with(`"http_timeout":"30s"`):                                    `body contains incorrect JSON type for field "http_timeout"`,
		with(`"rate_limit_duration":"1m"`):                              `body contains incorrect JSON type for field "rate_limit_duration"`,
		with(`"rate_limit_duration":31622401`):                          "rate_limit_duration:must be from 0 to 31622400",
		with(`"rate_limit":-1`):                                         "rate_limit:must be from 0 to 1000000000",
		with(`"rate_limit":"1"`):                                        `body contains incorrect JSON type for field "rate_limit"`,
		with(`"content_type":"text/plain"`):                             "content_type:must be application/json or application/x-www-form-urlencoded",
		with(`"advanced_signatures":1`):                                 `body contains incorrect JSON type for field "advanced_signatures"`,
		with(`"mtls_client_cert":{"client_cert":"x"}`):                  "mtls_client_cert requires both client_cert and client_key",
		with(`"mtls_client_cert":{"client_cert":"x","client_key":"y"}`): "invalid mTLS client certificate: tls: failed to find any PEM data in certificate input",
		with(`"mtls_client_cert":1`):                                    `body contains incorrect JSON type for field "mtls_client_cert"`,
		with(`"authentication":{"type":"oauth2"}`):                      "oauth2 configuration is required",
		with(`"authentication":{"type":"oauth2","oauth2":{"url":"http://127.0.0.1/","client_id":"c","authentication_type":"shared_secret","client_secret":"s"}}`): "oauth2 url: address 127.0.0.1 (loopback) is not allowed",
		with(`"authentication":{"type":"x"}`):                                                               "authentication:unsupported type, must be api_key, basic_auth or oauth2",
		with(`"authentication":{"type":"oauth2","oauth2":{"url":"x"}}`):                                     "oauth2 client_id is required",
		with(`"authentication":{"type":"api_key"}`):                                                         "api key field is required",
		with(`"authentication":{"type":"api_key","api_key":{"header_name":"A"}}`):                           "api key field is required",
		with(`"authentication":{"type":"api_key","api_key":{"header_value":"A"}}`):                          "api key header_name is required",
		with(`"authentication":{"type":"api_key","api_key":{"header_name":"host","header_value":"A"}}`):     "header_name:" + textReserved,
		with(`"authentication":{"type":"api_key","api_key":{"header_name":"a b","header_value":"A"}}`):      "header_name:must be an HTTP header name",
		with(`"authentication":{"type":"api_key","api_key":{"header_name":"a","header_value":"A\r\nB:1"}}`): "header_value:must be an HTTP header value of at most 4096 bytes",
		with(`"authentication":{"type":"basic_auth"}`):                                                      "username:basic auth username is required, password:basic auth password is required",
		with(`"authentication":{"type":"basic_auth","basic_auth":{"username":"a:b","password":"\u0000"}}`):  "password:must not contain NUL characters, username:must not contain a colon",
	}
	for field, max := range map[string]string{"name": "255", "secret": "512", "owner_id": "255", "description": "4096"} {
		cases[with(`"`+field+`":"a\u0000"`)] = field + ":must not contain NUL characters"
		cases[with("\""+field+"\":\"a\xc0\"")] = field + ":must be valid UTF-8"
		cases[with(`"`+field+`":"`+long+`"`)] = field + ":must not be longer than " + max + " characters"
		cases[with(`"`+field+`":[1]`)] = `body contains incorrect JSON type for field "` + field + `"`
	}
	for body, message := range cases {
		f.want(call{method: "POST", path: "endpoints", body: body}, 400, message)
	}
	f.want(call{method: "PUT", body: `{"name":"shop","config":{"ssl":{"enforce_secure_endpoints":true}}}`}, 202, "Project updated successfully")
	f.want(call{method: "POST", path: "endpoints", body: with(`"owner_id":""`)}, 400, "only https endpoints allowed")
	var page paged[endpointView]
	f.want(call{path: "endpoints"}, 200, "Endpoints fetched successfully").data(t, &page)
	if len(page.Content) != 0 {
		t.Errorf("%d endpoints made by refused requests", len(page.Content))
	}
}

func TestEndpointVersions(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	var keys []string
	for _, tc := range []struct {
		version, url, timeout string
		advanced              bool
	}{
		{"0001-01-01", "target_url", `"1m0s"`, false},
		{"2023-12-31", "target_url", `"1m0s"`, false},
		{"2024-01-01", "target_url", "60", true},
		{"2024-03-31", "target_url", "60", true},
		{"2024-04-01", "url", "60", true},
		{"2025-11-24", "url", "60", true},
		{"2999-01-01", "url", "60", true},
		{"", "url", "60", true},
		{"yesterday", "target_url", `"1m0s"`, false},
		{"2024-13-01", "target_url", `"1m0s"`, false},
	} {
		header := map[string]string{"X-Convoy-Version": tc.version}
		body := `{"url":"http://example.com","name":"` + tc.version + `x","http_timeout":60,"rate_limit_duration":0}`
		if !tc.advanced {
			body = strings.Replace(body, "60", `"1m"`, 1)
		}
		a := f.want(call{method: "POST", path: "endpoints", body: body, header: header}, 201, "Endpoint created successfully")
		var fields map[string]json.RawMessage
		a.data(t, &fields)
		if fields[tc.url] == nil || string(fields["http_timeout"]) != tc.timeout || (string(fields["advanced_signatures"]) == "true") != tc.advanced {
			t.Errorf("%s: %s", tc.version, a.body)
		}
		var id string
		if err := json.Unmarshal(fields["uid"], &id); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, id)
		one := "endpoints/" + id
		for _, c := range []call{
			{path: one}, {method: "PUT", path: one + "/pause"}, {method: "POST", path: one + "/activate"}, {method: "PUT", path: one, body: body},
		} {
			c.header = header
			clear(fields)
			f.do(c).data(t, &fields)
			if fields[tc.url] == nil || string(fields["http_timeout"]) != tc.timeout {
				t.Errorf("%s: %s %s: %v", tc.version, c.method, c.path, fields)
			}
		}
	}
	f.want(call{method: "PUT", path: "endpoints/" + keys[0] + "/expire_secret", body: `{"secret":"s"}`}, 200, "endpoint secret expired successfully")
	f.want(call{method: "PUT", path: "endpoints/" + keys[0] + "/expire_secret", body: `{"secret":"t"}`}, 200, "endpoint secret expired successfully")
	golden(t, "endpoint_oldest", f.want(call{path: "endpoints/" + keys[0], header: map[string]string{"X-Convoy-Version": "0001-01-01"}}, 200,
		"Endpoint fetched successfully").body)
	for body, ok := range map[string]bool{`"30s"`: true, `30`: true, `""`: true, `"x"`: false, `"-1s"`: false, `[]`: false, `"400s"`: false} {
		a := f.do(call{
			method: "POST", path: "endpoints", body: `{"url":"http://example.com","name":"y","http_timeout":` + body + `}`,
			header: map[string]string{"X-Convoy-Version": "0001-01-01"},
		})
		if (a.status == 201) != ok {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}

type pinging struct {
	err  error
	seen []string
}

func (p *pinging) Ping(_ context.Context, url string) error {
	p.seen = append(p.seen, url)
	return p.err
}

func TestPing(t *testing.T) {
	t.Parallel()
	ping := &pinging{err: errors.New("HEAD, GET and POST answered 404")}
	f := setup(t, openSQLite(t), func(c *Config) { c.Ping = ping })
	e := "endpoints/" + string(f.endpoint("plain")) // http is not pinged
	f.want(call{method: "POST", path: "endpoints", body: `{"url":"HTTPS://example.com","name":"a"}`}, 400, "endpoint validation failed: HEAD, GET and POST answered 404")
	f.want(call{method: "PUT", path: e, body: `{"url":"https://example.com/2","name":"a"}`}, 400, "endpoint validation failed: HEAD, GET and POST answered 404")
	ping.err = nil
	f.want(call{method: "PUT", path: e, body: `{"url":"https://example.com/2","name":"a"}`}, 202, "Endpoint updated successfully")
	f.want(call{method: "PUT", path: e, body: `{"url":"https://example.com/2","name":"b"}`}, 202, "Endpoint updated successfully")
	if len(ping.seen) != 3 { // the last update changed no URL
		t.Errorf("pinged %q", ping.seen)
	}
}
