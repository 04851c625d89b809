package api

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/function"
	"convoy/internal/store/sqldb"
)

// withFunctions runs functions in the test's process.
func withFunctions(t testing.TB) func(*Config) {
	t.Helper()
	c := function.New(function.Config{})
	t.Cleanup(c.Close)
	return func(cfg *Config) { cfg.Functions, cfg.Transformer, cfg.PublicURL = c, c, "https://hooks.example.com" }
}

var (
	anyMask = regexp.MustCompile(`("mask_id": "|/ingest/)\w{16}"`)
	// a JSON object that is a key of Google's as far as we know.
	googleKey = base64.StdEncoding.EncodeToString([]byte(`{"type":"service_account"}`))
)

// goldenSource is golden without the public name.
func goldenSource(t *testing.T, name, body string) {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(json.RawMessage(body)); err != nil {
		t.Fatal(err)
	}
	golden(t, name, anyMask.ReplaceAllString(b.String(), `$1<mask>"`))
}

func (f *fixture) source(body string) sourceView {
	f.t.Helper()
	var s sourceView
	f.want(call{method: "POST", path: "sources", body: body}, 201, "Source created successfully").data(f.t, &s)
	return s
}

func TestSources(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db, withFunctions(t))
		a := f.want(call{method: "POST", path: "sources", body: `{"name":"gh","type":"http","provider":"github","verifier":{"type":"hmac","hmac":{"secret":"s"}},
			"custom_response":{"body":"ok","content_type":"text/plain"},"idempotency_keys":["request.header.X-GitHub-Delivery"],
			"event_type_location":"request.body.action","body_function":"function transform(p) { return p }"}`}, 201, "Source created successfully")
		goldenSource(t, "source_created", a.body)
		var s sourceView
		a.data(t, &s)
		if s.URL != "https://hooks.example.com/ingest/"+s.MaskID {
			t.Errorf("url %s of %s", s.URL, s.MaskID)
		}
		path := "sources/" + string(s.UID)
		again := f.want(call{path: path}, 200, "Source fetched successfully")
		var read sourceView
		again.data(t, &read)
		if !sameJSON(t, encoded(t, read), encoded(t, s)) {
			t.Errorf("read as %s\nmade as %s", again.body, a.body)
		}

		// What is absent stays; what is there is replaced.
		f.want(call{method: "POST", path: path, body: `{"name":"renamed","type":"http","is_disabled":true,"forward_headers":["X-A","x-b"]}`}, 202, "Source updated successfully").data(t, &read)
		if read.Name != "renamed" || !read.Disabled || len(read.ForwardHeaders) != 2 || read.Verifier.HMAC == nil || read.Verifier.HMAC.Secret != "s" || read.BodyFunction == nil {
			t.Errorf("updated to %+v", read)
		}
		a = f.want(call{method: "PUT", path: path, body: `{"name":"renamed","type":"pub_sub","provider":"","verifier":{"type":"noop"},"is_disabled":false,"forward_headers":[],
			"idempotency_keys":[],"event_type_location":"","body_function":"","custom_response":{},"pub_sub":{"type":"amqp","workers":2,
			"amqp":{"schema":"amqps","host":"h","port":"5671","queue":"q","vhost":"/","auth":{"user":"u","password":"p"},"bindExchange":{"exchange":"x","routingKey":"k"}}}}`}, 202, "Source updated successfully")
		goldenSource(t, "source_amqp", a.body)

		f.want(call{method: "DELETE", path: path}, 200, "Source deleted successfully")
		for _, c := range []call{
			{path: path},
			{method: "PUT", path: path, body: `{"name":"a","type":"http"}`},
			{method: "DELETE", path: path},
			{path: path + "/refusals"},
			{path: "sources/nonsense"},
		} {
			f.want(c, 404, "source not found")
		}
	})
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSourceLists(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		f.source(`{"name":"Alpha","type":"http"}`)
		f.source(`{"name":"beta","type":"http","provider":"twitter","verifier":{"hmac":{"secret":"s"}}}`)
		f.source(`{"name":"gamma","type":"rest_api"}`)
		for query, want := range map[string]string{
			"":                          "gamma beta Alpha",
			"?type=http":                "beta Alpha",
			"?provider=twitter":         "beta",
			"?q=A":                      "gamma beta Alpha",
			"?q=alp":                    "Alpha",
			"?type=http&q=b":            "beta",
			"?type=nothing":             "",
			"?perPage=1":                "gamma",
			"?sort=ASC&perPage=2":       "Alpha beta",
			"?provider=&type=&q=&sort=": "gamma beta Alpha",
		} {
			var list paged[sourceView]
			f.want(call{path: "sources" + query}, 200, "Sources fetched successfully").data(t, &list)
			var names []string
			for _, s := range list.Content {
				names = append(names, s.Name)
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		a := f.want(call{path: "sources?q=beta"}, 200, "Sources fetched successfully")
		goldenSource(t, "sources", a.body)
	})
}

func TestSourceRules(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), withFunctions(t))
	const provider = "unsupported provider, must be one of github, shopify, slack, standard_webhooks, stripe, twitter"
	http := func(more string) string { return `{"name":"a","type":"http",` + more + `}` }
	hmac := func(more string) string {
		return http(`"verifier":{"type":"hmac","hmac":{"header":"X-S","hash":"SHA256","secret":"s","encoding":"hex"` + more + `}}`)
	}
	broker := func(more string) string { return `{"name":"a","type":"pub_sub","pub_sub":{` + more + `}}` }
	kafka := func(more string) string { return broker(`"type":"kafka","workers":1,"kafka":{` + more + `}`) }
	for _, tt := range []struct{ name, body, message string }{
		{"nothing", `{}`, "name:please provide a source name, type:please provide a type"},
		{"type", `{"name":"a","type":"ftp"}`, "type:unsupported source type"},
		{"NUL", `{"name":"a\u0000","type":"http"}`, "name:must not contain NUL characters"},
		{"long", `{"name":"` + strings.Repeat("a", 256) + `","type":"http"}`, "name:must not be longer than 255 characters"},
		{"wrong type", `{"name":1,"type":"http"}`, `body contains incorrect JSON type for field "name"`},
		{"provider", http(`"provider":"acme"`), "provider:" + provider},
		{"provider's secret", http(`"provider":"github"`), "hmac secret is required for github source"},
		{"empty secret", http(`"provider":"shopify","verifier":{"type":"hmac","hmac":{"secret":""}}`), "hmac secret is required for shopify source"},
		{"another verifier", http(`"provider":"twitter","verifier":{"type":"api_key"}`), "hmac secret is required for twitter source"},
		{"standard secret", http(`"provider":"standard_webhooks","verifier":{"hmac":{"secret":"whsec_?"}}`), "secret:must be base64, with or without whsec_ before it"},
		{"verifier", http(`"verifier":{"type":"magic"}`), "type:please provide a valid verifier type"},
		{"hmac", http(`"verifier":{"type":"hmac"}`), "invalid verifier config for hmac"},
		{"api key", http(`"verifier":{"type":"api_key"}`), "invalid verifier config for api key"},
		{"basic auth", http(`"verifier":{"type":"basic_auth"}`), "invalid verifier config for basic auth"},
		{"hmac fields", http(`"verifier":{"type":"hmac","hmac":{}}`), "header:non zero value required, hash:non zero value required, encoding:non zero value required, secret:non zero value required"},
		{"api key fields", http(`"verifier":{"type":"api_key","api_key":{}}`), "header_name:non zero value required, header_value:non zero value required"},
		{"basic fields", http(`"verifier":{"type":"basic_auth","basic_auth":{}}`), "username:non zero value required, password:non zero value required"},
		{"colon", http(`"verifier":{"type":"basic_auth","basic_auth":{"username":"a:b","password":"c"}}`), "username:must not contain a colon"},
		{"hash", hmac(`,"hash":"CRC32"`), "hash:unsupported hash, must be one of " + strings.Join(hashes, ", ")},
		{"encoding", hmac(`,"encoding":"base32"`), "encoding:unsupported encoding, must be hex or base64"},
		{"header", hmac(`,"header":"X S"`), "header:must be a valid HTTP header token"},
		{"template", hmac(`,"template":"{timestamp}"`), "template:must have {body} in it for the body to be signed"},
		{"loose timestamp", hmac(`,"timestamp_header":"X-T"`), "template:must have {timestamp} in it for the timestamp to be signed"},
		{"tolerance", hmac(`,"tolerance":99999999999`), "tolerance:must be from 0 to 31536000"},
		{"response", http(`"custom_response":{"body":"` + strings.Repeat("a", 51201) + `"}`), "source custom response too large"},
		{"content type", http(`"custom_response":{"body":"a","content_type":"text/plain\r\nX-A: b"}`), "content_type:must not contain control characters"},
		{"short location", http(`"idempotency_keys":["request.body"]`), "not enough parts set for idempotency key location with value: request.body"},
		{"location", http(`"idempotency_keys":["request.cookie.a"]`), "unsupported input format for request.cookie.a"},
		{"locations", http(`"idempotency_keys":[` + strings.Repeat(`"req.body.a",`, 16) + `"req.body.a"]`), "idempotency_keys:must not be more than 16"},
		{"event type", http(`"event_type_location":"body.type"`), "event_type_location:must be request.body.<path>, request.header.<name> or request.query.<name>"},
		{"event type not signed", strings.Replace(hmac(""), `"type":"http"`, `"type":"http","event_type_location":"request.header.X-Type"`, 1), "event type location cannot use request headers or query parameters with payload signature verification"},
		{"event type of a provider", http(`"provider":"github","verifier":{"hmac":{"secret":"s"}},"event_type_location":"request.query.t"`), "event type location cannot use request headers or query parameters with payload signature verification"},
		{"forwarded", http(`"forward_headers":["a b",""]`), "forward_headers:must be a valid HTTP header token, forward_headers:non zero value required"},
		{"no broker", `{"name":"a","type":"pub_sub"}`, "type is required"},
		{"no type of broker", broker(""), "type is required"},
		{"type of broker", broker(`"type":"mqtt"`), "unsupported pub sub type"},
		{"sqs", broker(`"type":"sqs","workers":1`), "sqs config is required"},
		{"google", broker(`"type":"google","workers":1`), "google pub sub config is required"},
		{"kafka", broker(`"type":"kafka","workers":1`), "kafka config is required"},
		{"amqp", broker(`"type":"amqp","workers":1`), "amqp config is required"},
		{"workers", broker(`"type":"sqs","sqs":{"access_key_id":"a","secret_key":"b","default_region":"c","queue_name":"d"}`), "workers:non zero value required"},
		{"many workers", broker(`"type":"sqs","workers":101,"sqs":{"access_key_id":"a","secret_key":"b","default_region":"c","queue_name":"d"}`), "workers:must be from 1 to 100"},
		{"sqs fields", broker(`"type":"sqs","workers":1,"sqs":{}`), "access_key_id:non zero value required, secret_key:non zero value required, default_region:non zero value required, queue_name:non zero value required"},
		{"google key", broker(`"type":"google","workers":1,"google":{"subscription_id":"a","project_id":"b","service_account":"?"}`), "service_account:must be a JSON key in base64"},
		{"kafka fields", kafka(""), "brokers:brokers list is required, topic_name:topic name is required"},
		{"kafka auth", kafka(`"brokers":["h:1"],"topic_name":"t","auth":{"type":"gssapi","username":"u","password":"p"}`), "type:unsupported auth type"},
		{"kafka hash", kafka(`"brokers":["h:1"],"topic_name":"t","auth":{"type":"scram","hash":"MD5","username":"u","password":"p"}`), "hash:unsupported hashing algorithm"},
		{"amqp fields", broker(`"type":"amqp","workers":1,"amqp":{"schema":"http","port":"x"}`), "schema:must be amqp or amqps, host:non zero value required, port:must be a port number, queue:non zero value required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := *f
			g.t = t
			g.want(call{method: "POST", path: "sources", body: tt.body}, 400, tt.message)
		})
	}
	a := f.do(call{method: "POST", path: "sources", body: http(`"header_function":"function transform("`)})
	if a.status != 400 || !strings.HasPrefix(a.message(t), "header_function:") {
		t.Errorf("bad function: %d %s", a.status, a.body)
	}
	for _, body := range []string{
		hmac(`,"hash":"SHA3_512","encoding":"base64","template":"{timestamp}.{body}","tolerance":60`),
		http(`"verifier":{"type":"basic_auth","basic_auth":{"username":"a","password":"b:c"}},"event_type_location":"req.header.X-Type"`),
		broker(`"type":"google","workers":1,"google":{"subscription_id":"a","project_id":"b","service_account":"` + googleKey + `"}`),
		kafka(`"brokers":["h:1"],"topic_name":"t"`),
		broker(`"type":"amqp","workers":1,"amqp":{"schema":"amqp","host":"h","port":"5672","queue":"q"}`),
	} {
		f.source(body)
	}
	viewer := f.newKey(func(k *convoy.APIKey) { k.Role = convoy.Role{Type: convoy.RoleProjectViewer, Project: f.project.ID} })
	f.want(call{method: "POST", path: "sources", body: http(`"is_disabled":false`), key: viewer}, 403, "Unauthorized")
	f.want(call{path: "sources", key: viewer}, 200, "Sources fetched successfully")
}
