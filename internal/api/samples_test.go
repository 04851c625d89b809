package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/guard"
	"convoy/internal/id"
	"convoy/internal/oauth"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/testenv"
)

// specimen is a request that an operation accepts. The project is the world's
// unless path says otherwise.
type specimen struct {
	path  map[string]string
	query string
	// bodies are JSON; together they have every field that the document describes.
	// The first is the example of the document.
	bodies []string
	// key is the credential; the world's person's unless set.
	key string
	// header is sent besides.
	header map[string]string
}

// world is a fixture with something of everything, and a rival: another
// organisation with the same, which nobody here may see.
type world struct {
	*fixture
	rival *fixture
	// issuer answers as an OAuth 2.0 token endpoint.
	issuer string
	// provider is one of OpenID Connect.
	provider *testenv.IdentityProvider
	names    int
	// cert and key are a client certificate as JSON strings.
	cert, certKey string
}

// rivalMark is in the name of everything that belongs to the rival.
const rivalMark = "rival-mark"

func newWorld(t *testing.T, db sqldb.DB) *world {
	t.Helper()
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"tok","token_type":"bearer","expires_in":60}`))
	}))
	t.Cleanup(issuer.Close)
	w := &world{issuer: issuer.URL}
	w.fixture = setup(t, db, func(c *Config) {
		c.Guard = guard.New(guard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		c.Tokens = oauth.New(http.DefaultTransport, c.Clock)
	}, withFunctions(t))
	cert, key := certificate(t)
	w.cert, w.certKey = quote(t, cert), quote(t, key)
	w.provider = w.single(nil)
	w.api.SignIn.Config.SignUp = true
	w.setPassword(w.user.ID) // which ends sessions
	w.person = w.session(w.user.ID, w.now).Access
	w.want(call{method: "PUT", body: `{"name":"shop","config":{"multiple_endpoint_subscriptions":true}}`}, 202, "Project updated successfully")

	rival := *w.fixture
	rival.org = &convoy.Organisation{ID: convoy.OrganisationID(id.New(w.now)), Name: rivalMark, CreatedAt: w.now, UpdatedAt: w.now}
	rival.project = &convoy.Project{
		ID: convoy.ProjectID(id.New(w.now)), OrganisationID: rival.org.ID, Name: rivalMark, Type: convoy.Outgoing,
		Config: convoy.DefaultProjectConfig(), CreatedAt: w.now, UpdatedAt: w.now,
	}
	token, k := auth.NewKey(w.now)
	k.Role = convoy.Role{Type: convoy.RoleProjectAdmin, Project: rival.project.ID}
	rival.key = token
	if err := w.store.Setup(t.Context(), store.Setup{Organisation: rival.org, Project: rival.project, Key: k}); err != nil {
		t.Fatal(err)
	}
	rival.user = w.newUser(rivalMark + "@example.com")
	rival.join(rival.user, convoy.RoleOrganisationAdmin)
	rival.person = w.session(rival.user.ID, w.now).Access
	w.rival = &rival
	return w
}

// made is the id of what a POST to a list creates.
func (f *fixture) made(path, body string) string {
	f.t.Helper()
	a := f.do(call{method: http.MethodPost, path: path, body: body})
	if a.status != http.StatusCreated {
		f.t.Fatalf("%s %s: %d %s", path, body, a.status, a.body)
	}
	var v struct{ UID string }
	a.data(f.t, &v)
	return v.UID
}

// name is one that nothing has.
func (w *world) name(what string) string {
	w.names++
	return fmt.Sprintf("%s-%d", what, w.names)
}

func (w *world) endpointID() string { return string(w.endpoint(w.name("endpoint"))) }

func (f *fixture) subscriptionOf(endpoint, name string) string {
	return f.made("subscriptions", `{"name":"`+name+`","endpoint_id":"`+endpoint+`","filter_config":{"event_types":["invoice.paid"]}}`)
}

func (w *world) subscription() string {
	return w.subscriptionOf(w.endpointID(), w.name("subscription"))
}

// firstFilter is the id of a subscription's filter.
func (f *fixture) firstFilter(subscription string) string {
	f.t.Helper()
	var list []filterView
	f.want(call{path: "subscriptions/" + subscription + "/filters"}, 200, "Filters retrieved successfully").data(f.t, &list)
	return string(list[0].UID)
}

func (f *fixture) portal(name string) string {
	return f.made("portal-links", `{"name":"`+name+`","owner_id":"`+name+`","auth_type":"refresh_token"}`)
}

func (f *fixture) eventType(name string) string { return f.made("event-types", `{"name":"`+name+`"}`) }

func (f *fixture) newProject(name string) string {
	f.t.Helper()
	p := &convoy.Project{
		ID: convoy.ProjectID(id.New(f.now)), OrganisationID: f.org.ID, Name: name, Type: convoy.Outgoing,
		Config: convoy.DefaultProjectConfig(), CreatedAt: f.now, UpdatedAt: f.now,
	}
	if err := f.store.Setup(f.t.Context(), store.Setup{Project: p}); err != nil {
		f.t.Fatal(err)
	}
	return string(p.ID)
}

// tried is a delivery that has failed once for ever, and its attempt.
func (f *fixture) tried(endpoint convoy.EndpointID) (h history, attempt *convoy.Attempt) {
	h = f.history(f.now.Add(-1e9), "", endpoint)
	return h, f.attempt(h.deliveries[0], convoy.DeliveryFailure)
}

// params says how to fill each path parameter with an id of the rival's: what
// nobody else may reach by it.
func (w *world) foreign() map[string]string {
	r := w.rival
	e := r.endpoint(rivalMark)
	s := r.subscriptionOf(string(e), rivalMark)
	h, attempt := r.tried(e)
	rivalMember := string(r.join(w.newUser(w.name(rivalMark)+"@example.com"), convoy.RoleProjectViewer).ID)
	invite, _ := r.invite(r.org, w.name(rivalMark)+"@example.com")
	rivalInvite := string(invite.ID)
	return map[string]string{
		"projectID": string(r.project.ID), "endpointID": string(e), "subscriptionID": s, "filterID": r.firstFilter(s),
		"portalLinkID": r.portal(rivalMark), "eventTypeId": r.eventType(rivalMark), "sourceID": r.sourceID(rivalMark), "eventID": string(h.event.ID),
		"eventDeliveryID": string(h.deliveries[0].ID), "deliveryAttemptID": string(attempt.ID), "jobID": r.jobIn(convoy.BatchRunning),
		"metaEventID": r.metaEvent(rivalMark), "orgID": string(r.org.ID), "userID": string(r.user.ID),
		"memberID": rivalMember, "inviteID": rivalInvite, "keyID": string(r.projectKey(r.project.ID)),
		"sessionID": string(r.session(r.user.ID, w.now).Session),
	}
}

const (
	sampleConfig = `{"max_payload_read_size":51200,"replay_attacks_prevention_enabled":true,"add_event_id_trace_headers":true,"disable_endpoint":false,
		"multiple_endpoint_subscriptions":true,"verify_dynamic_events":false,"allow_unmatched_dynamic_urls":false,"search_policy":"720h","event_type_validation":"off",
		"portal_frame_ancestors":["https://app.example.com"],
		"ssl":{"enforce_secure_endpoints":false},"ratelimit":{"count":1000,"duration":60},
		"strategy":{"type":"exponential","duration":10,"retry_count":5},
		"signature":{"header":"X-Shop-Signature","versions":[{"uid":"","hash":"SHA512","encoding":"hex"}]},
		"request_id_header":"X-Convoy-Idempotency-Key","meta_event":{"is_enabled":true,"type":"http",
			"event_type":["endpoint.created","endpoint.updated","endpoint.deleted","eventdelivery.success","eventdelivery.failed"],
			"url":"https://ops.example.com/convoy","secret":"a secret of yours"},
		"circuit_breaker":{"sample_rate":30,"error_timeout":30,"failure_threshold":70,"success_threshold":5,"observability_window":5,
			"minimum_request_count":10,"consecutive_failure_threshold":10}}`
	sampleConditions = `"headers":{},"body":{"amount":{"$gte":100}},"query":{},"path":{}`
	sampleContent    = `"event_type":"invoice.paid","data":{"id":9,"amount":1200},"custom_headers":{"X-Tenant":"7"},"idempotency_key":""`
	sampleParts      = `{"body":{"amount":120},"headers":{"X-Tenant":"7"},"header":{"X-Tenant":"7"},"query":{"page":"1"},"path":"/hooks"}`
	// The key is the example of RFC 7517, appendix A.2.
	sampleJWK = `{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
		"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}`
	sampleSpec = `{"openapi":"3.1.0","info":{"title":"Shop","version":"1"},"webhooks":{"order.placed":{"post":{"description":"An order has been placed",` +
		`"responses":{"200":{"description":"ok"}}}}}}`
	sampleFunction = `function transform(payload) { return { event_type: 'invoice.paid', data: payload } }`
	samplePage     = "perPage=20&sort=DESC&direction=next&next_page_cursor=&prev_page_cursor="
	sampleDates    = "startDate=2026-07-30T00:00:00&endDate=2026-08-01T23:59:59"
)

// oauth2 is a configuration in full; only one of the types' own fields count.
func (w *world) oauth2(typ string) string {
	return `{"url":"` + w.issuer + `","client_id":"c","authentication_type":"` + typ + `","grant_type":"client_credentials","scope":"a","audience":"b",
		"client_secret":"s3","signing_key":` + sampleJWK + `,"signing_algorithm":"ES256","issuer":"i","subject":"s",
		"field_mapping":{"access_token":"access_token","token_type":"token_type","expires_in":"expires_in"},"expiry_time_unit":"seconds"}`
}

func (w *world) endpointBodies() []string {
	with := func(more string) string {
		return `{"url":"https://api.example.com/hook","name":"main",` + more + `}`
	}
	return []string{
		with(`"secret":"a secret of yours","owner_id":"customer-1","description":"Invoices","advanced_signatures":true,"support_email":"ops@example.com",
			"slack_webhook_url":"https://slack.example.com/a","teams_webhook_url":"https://teams.example.com/a","is_disabled":false,"http_timeout":10,
			"rate_limit":100,"rate_limit_duration":60,"content_type":"application/json",
			"authentication":{"type":"api_key","api_key":{"header_name":"X-Api-Key","header_value":"s3cret"}}`),
		with(`"authentication":{"type":"basic_auth","basic_auth":{"username":"u","password":"p"}}`),
		with(`"authentication":{"type":"oauth2","oauth2":` + w.oauth2("shared_secret") + `}`),
		with(`"mtls_client_cert":{"client_cert":` + w.cert + `,"client_key":` + w.certKey + `}`),
	}
}

func subscriptionBodies(endpoint string) []string {
	return []string{`{"name":"invoices","endpoint_id":"` + endpoint + `","source_id":"","function":"function transform(payload) { return payload }",
		"alert_config":{"count":3,"threshold":"1h"},"retry_config":{"type":"linear","duration":"30s","interval_seconds":30,"retry_count":3},
		"filter_config":{"event_types":["invoice.paid"],"filter":{` + sampleConditions + `,"is_flattened":false}},
		"rate_limit_config":{"count":10,"duration":60},"delivery_mode":"at_least_once"}`}
}

// sent is a sample of an operation without parameters of its own.
func sent(bodies ...string) func(*world) specimen {
	return func(*world) specimen { return specimen{bodies: bodies} }
}

// one is a sample of an operation on one thing.
func one(param string, make func(w *world) string, bodies ...string) func(*world) specimen {
	return func(w *world) specimen { return specimen{path: map[string]string{param: make(w)}, bodies: bodies} }
}

func (f *fixture) sourceID(name string) string {
	return string(f.source(`{"name":"` + name + `","type":"http","verifier":{"type":"noop"}}`).UID)
}

// refused is a source that has refused a request.
func refused(w *world) string {
	s := w.source(`{"name":"` + w.name("source") + `","type":"http","verifier":{"type":"api_key","api_key":{"header_name":"X-Key","header_value":"k"}}}`)
	w.do(call{method: http.MethodPost, path: "/ingest/" + s.MaskID, body: "{}", key: "-"})
	return string(s.UID)
}

// sourceBodies together have every field; each has one verifier or one broker.
func sourceBodies() []string {
	with := func(typ, more string) string { return `{"name":"webhooks","type":"` + typ + `",` + more + `}` }
	broker := func(typ, config string) string {
		return with("pub_sub", `"pub_sub":{"type":"`+typ+`","workers":2,"`+typ+`":`+config+`}`)
	}
	return []string{
		with("http", `"provider":"","verifier":{"type":"hmac","hmac":{"header":"X-Signature","hash":"SHA256","secret":"s3cret","encoding":"hex",
			"template":"{timestamp}.{body}","timestamp_header":"X-Timestamp","tolerance":300}},
			"custom_response":{"body":"ok","content_type":"text/plain"},"idempotency_keys":["request.header.X-Delivery"],
			"event_type_location":"request.body.action","body_function":"function transform(payload) { return payload }",
			"header_function":"function transform(headers) { return headers }","is_disabled":false,"forward_headers":["X-Delivery"]`),
		with("http", `"verifier":{"type":"basic_auth","basic_auth":{"username":"u","password":"p"}}`),
		with("http", `"verifier":{"type":"api_key","api_key":{"header_name":"X-Api-Key","header_value":"s3cret"}}`),
		broker("sqs", `{"access_key_id":"a","secret_key":"s","default_region":"eu-west-1","queue_name":"q","endpoint":"http://localhost:4566"}`),
		broker("google", `{"subscription_id":"s","service_account":"`+googleKey+`","project_id":"p"}`),
		broker("kafka", `{"brokers":["localhost:9092"],"consumer_group_id":"g","topic_name":"t",
			"auth":{"type":"scram","hash":"SHA256","username":"u","password":"p","tls":true}}`),
		broker("amqp", `{"schema":"amqp","host":"localhost","port":"5672","queue":"q","vhost":"/","auth":{"user":"u","password":"p"},
			"bindExchange":{"exchange":"e","routingKey":"r"},"deadLetterExchange":"d"}`),
	}
}

// listed is a specimen of a list that has something in it.
func listed(make func(w *world) string, query string) func(*world) specimen {
	return func(w *world) specimen {
		make(w)
		return specimen{query: query}
	}
}

func oneSource(w *world) string     { return w.sourceID(w.name("source")) }
func oneProject(w *world) string    { return w.newProject(w.name("project")) }
func onePortal(w *world) string     { return w.portal(w.name("portal")) }
func oneEventType(w *world) string  { return w.eventType(w.name("type")) }
func oneEndpoint(w *world) string   { return w.endpointID() }
func oneSubscribed(w *world) string { return w.subscription() }
func oneDelivery(w *world) string {
	h, _ := w.tried(w.endpoint(w.name("endpoint")))
	return string(h.deliveries[0].ID)
}
func oneEvent(w *world) string {
	h, _ := w.tried(w.endpoint(w.name("endpoint")))
	return string(h.event.ID)
}
func oneMetaEvent(w *world) string   { return w.metaEvent(w.name("endpoint")) }
func ofOrganisation(w *world) string { return "orgID=" + string(w.org.ID) }

// jobIn is the id of a batch job in a state.
func (f *fixture) jobIn(state convoy.BatchState) string {
	f.t.Helper()
	j := &convoy.BatchJob{
		ID: convoy.BatchJobID(id.New(f.now)), ProjectID: f.project.ID, Kind: convoy.BatchReplay, State: state,
		Filter: convoy.BatchFilter{From: f.now.Add(-3600e9), To: f.now}, Matched: 3, Rate: 100, CreatedAt: f.now, UpdatedAt: f.now,
	}
	if err := f.store.CreateBatchJob(f.t.Context(), j); err != nil {
		f.t.Fatal(err)
	}
	return string(j.ID)
}

// cancelJobs cancels all that can be cancelled.
func (f *fixture) cancelJobs() {
	f.t.Helper()
	var page paged[jobView]
	f.want(call{path: "jobs?perPage=100"}, 200, "Batch jobs fetched successfully").data(f.t, &page)
	for _, j := range page.Content {
		f.do(call{method: http.MethodPut, path: "jobs/" + string(j.UID) + "/cancel"})
	}
}

// oneJob is a sample of an operation on a job in a state.
func oneJob(state convoy.BatchState) func(*world) specimen {
	return one("jobID", func(w *world) string { return w.jobIn(state) })
}

// filtered is a sample of an operation on one filter.
func filtered(bodies ...string) func(*world) specimen {
	return func(w *world) specimen {
		s := w.subscription()
		return specimen{path: map[string]string{"subscriptionID": s, "filterID": w.firstFilter(s)}, bodies: bodies}
	}
}

// samples has every operation, by id. Each call makes what it names anew.
var samples = map[string]func(w *world) specimen{
	"GetProjects": func(w *world) specimen { return specimen{query: ofOrganisation(w)} },
	"CreateProject": func(w *world) specimen {
		return specimen{query: ofOrganisation(w), bodies: []string{
			`{"name":"` + w.name("project") + `","type":"outgoing","logo_url":"https://example.com/logo.png","config":` + sampleConfig + `}`}}
	},
	"GetProject": func(*world) specimen { return specimen{} },
	"UpdateProject": func(w *world) specimen {
		name := w.name("project")
		return specimen{path: map[string]string{"projectID": w.newProject(name)}, bodies: []string{
			`{"name":"` + name + `","type":"outgoing","logo_url":"https://example.com/logo.png","config":` + sampleConfig + `}`}}
	},
	"DeleteProject": one("projectID", oneProject),

	"CreateEndpoint": func(w *world) specimen { return specimen{bodies: w.endpointBodies()} },
	"GetEndpoints":   listed(oneEndpoint, samplePage+"&q=&query=&ownerId="),
	"TestOAuth2Connection": func(w *world) specimen {
		return specimen{bodies: []string{`{"oauth2":` + w.oauth2("shared_secret") + `}`, `{"oauth2":` + w.oauth2("client_assertion") + `}`}}
	},
	"GetEndpointPeriodFailureRates": func(w *world) specimen { return specimen{query: sampleDates + "&endpointId=" + w.endpointID()} },
	"GetEndpoint":                   one("endpointID", oneEndpoint),
	"UpdateEndpoint": func(w *world) specimen {
		return specimen{path: map[string]string{"endpointID": w.endpointID()}, bodies: w.endpointBodies()}
	},
	"DeleteEndpoint": one("endpointID", oneEndpoint),
	"PauseEndpoint":  one("endpointID", oneEndpoint),
	"ActivateEndpoint": one("endpointID", func(w *world) string {
		e := w.endpointID()
		w.want(call{method: "PUT", path: "endpoints/" + e + "/pause"}, 202, "endpoint status updated successfully")
		return e
	}),
	"ExpireSecret": one("endpointID", oneEndpoint, `{"secret":"the next secret","expiration":3600}`),

	"CreateSubscription":     func(w *world) specimen { return specimen{bodies: subscriptionBodies(w.endpointID())} },
	"TestSubscriptionFilter": sent(`{"request":`+sampleParts+`,"schema":{`+sampleConditions+`}}`, `{"schema":{"header":{}}}`),
	"GetSubscriptions":       listed(oneSubscribed, samplePage+"&name=&endpointId="),
	"GetSubscription":        one("subscriptionID", oneSubscribed),
	"UpdateSubscription": func(w *world) specimen {
		return specimen{path: map[string]string{"subscriptionID": w.subscription()}, bodies: subscriptionBodies(w.endpointID())}
	},
	"DeleteSubscription":       one("subscriptionID", oneSubscribed),
	"ToggleSubscriptionStatus": one("subscriptionID", oneSubscribed),
	"TestSubscriptionFunction": sent(`{"payload":{"id":9},"function":"` + sampleFunction + `","type":"body"}`),
	"TestSourceFunction":       sent(`{"payload":{"id":9},"function":"` + sampleFunction + `","type":"body"}`),

	"CreateSource":     func(*world) specimen { return specimen{bodies: sourceBodies()} },
	"LoadSourcesPaged": listed(oneSource, samplePage+"&type=&provider=&q="),
	"GetSource":        one("sourceID", oneSource),
	"UpdateSource": func(w *world) specimen {
		return specimen{path: map[string]string{"sourceID": oneSource(w)}, bodies: sourceBodies()}
	},
	"DeleteSource":      one("sourceID", oneSource),
	"GetSourceRefusals": one("sourceID", refused),

	"GetFilters":        one("subscriptionID", oneSubscribed),
	"CreateFilter":      one("subscriptionID", oneSubscribed, `{"event_type":"user.*","enabled_at":"2026-08-01T10:00:00Z",`+sampleConditions+`}`),
	"BulkCreateFilters": one("subscriptionID", oneSubscribed, `[{"event_type":"user.*","enabled_at":"2026-08-01T10:00:00Z",`+sampleConditions+`}]`),
	"BulkUpdateFilters": func(w *world) specimen {
		s := w.subscription()
		return specimen{path: map[string]string{"subscriptionID": s}, bodies: []string{
			`[{"uid":"` + w.firstFilter(s) + `","event_type":"invoice.paid","enabled_at":"2026-08-01T10:00:00Z",` + sampleConditions + `}]`}}
	},
	"TestFilter": func(w *world) specimen {
		return specimen{path: map[string]string{"subscriptionID": w.subscription(), "eventType": "invoice.paid"},
			bodies: []string{`{"payload":{"id":9},"request":` + sampleParts + `}`}}
	},
	"GetFilter":    filtered(),
	"UpdateFilter": filtered(`{"uid":"","event_type":"invoice.paid","enabled_at":"2026-08-01T10:00:00Z",` + sampleConditions + `}`),
	"DeleteFilter": filtered(),

	"GetEventTypes": listed(oneEventType, ""),
	"CreateEventType": func(w *world) specimen {
		return specimen{bodies: []string{`{"name":"` + w.name("type") + `","category":"billing","description":"An invoice","json_schema":{"type":"object"}}`}}
	},
	"UpdateEventType":    one("eventTypeId", oneEventType, `{"category":"billing","description":"An invoice","json_schema":{"type":"object"}}`),
	"DeprecateEventType": one("eventTypeId", oneEventType),
	"ImportOpenApiSpec":  sent(`{"spec":"` + strings.ReplaceAll(sampleSpec, `"`, `\"`) + `"}`),

	"CreatePortalLink": func(w *world) specimen {
		return specimen{bodies: []string{`{"name":"customer","owner_id":"customer-1","auth_type":"refresh_token","can_manage_endpoint":true,"endpoints":["` + w.endpointID() + `"]}`}}
	},
	"LoadPortalLinksPaged": listed(onePortal, samplePage+"&endpointId=&ownerId=&q="),
	"GetPortalLink":        one("portalLinkID", onePortal),
	"UpdatePortalLink": func(w *world) specimen {
		return specimen{path: map[string]string{"portalLinkID": onePortal(w)}, bodies: []string{
			`{"name":"customer","owner_id":"customer-1","auth_type":"refresh_token","can_manage_endpoint":true,"endpoints":["` + w.endpointID() + `"]}`}}
	},
	"RevokePortalLink":           one("portalLinkID", onePortal),
	"RefreshPortalLinkAuthToken": one("portalLinkID", onePortal),

	"BulkOnboard": func(*world) specimen {
		return specimen{query: "dry_run=false", bodies: []string{
			`{"items":[{"name":"a","url":"https://api.example.com/a","event_type":"invoice.paid","auth_username":"u","auth_password":"p"}]}`}}
	},

	"CreateEndpointEvent": func(w *world) specimen {
		e := w.endpointID()
		return specimen{bodies: []string{`{"endpoint_id":"` + e + `",` + sampleContent + `}`, `{"app_id":"` + e + `",` + sampleContent + `}`}}
	},
	"CreateEndpointFanoutEvent": sent(`{"owner_id":"customer-1",` + sampleContent + `}`),
	"CreateBroadcastEvent":      sent(`{` + sampleContent + `}`),
	"CreateDynamicEvent":        sent(`{"url":"https://api.example.com/dynamic","secret":"theirs","event_types":["*"],` + sampleContent + `}`),
	"CreateBatchEvents": func(w *world) specimen {
		return specimen{bodies: []string{
			`[{"type":"single","endpoint_id":"` + w.endpointID() + `",` + sampleContent + `}]`, `[{"type":"fanout","owner_id":"customer-1",` + sampleContent + `}]`}}
	},
	"GetEventsPaged":      listed(oneDelivery, samplePage+"&"+sampleDates+"&endpointId=&sourceId=&idempotencyKey=&ownerId="),
	"GetEndpointEvent":    one("eventID", oneEvent),
	"ReplayEndpointEvent": one("eventID", oneEvent),
	"BatchReplayEvents":   listed(oneEvent, sampleDates+"&endpointId=&sourceId=&idempotencyKey=&ownerId=&brokerMessageId=&rate=100"),
	"CountAffectedEvents": listed(oneEvent, sampleDates+"&endpointId=&sourceId=&idempotencyKey=&ownerId=&brokerMessageId="),

	"BatchRetryEventDelivery": func(w *world) specimen {
		w.cancelJobs() // there may be one retry at a time
		oneDelivery(w)
		return specimen{query: sampleDates + "&endpointId=&eventId=&subscriptionId=&idempotencyKey=&eventType=&event_type=&status=Failure&brokerMessageId=&rate=100"}
	},
	"CountBatchRetryEventDeliveries": listed(oneDelivery,
		sampleDates+"&endpointId=&eventId=&subscriptionId=&idempotencyKey=&eventType=&event_type=&status=Failure&brokerMessageId="),
	"ForceResendEventDeliveries": func(w *world) specimen {
		h := w.history(w.now.Add(-1e9), "", w.endpoint(w.name("endpoint")))
		w.attempt(h.deliveries[0], convoy.DeliverySuccess)
		return specimen{bodies: []string{`{"ids":["` + string(h.deliveries[0].ID) + `"]}`}}
	},
	"ListBatchJobs":  listed(func(w *world) string { return w.jobIn(convoy.BatchRunning) }, samplePage),
	"GetBatchJob":    oneJob(convoy.BatchRunning),
	"PauseBatchJob":  oneJob(convoy.BatchRunning),
	"ResumeBatchJob": oneJob(convoy.BatchPaused),
	"CancelBatchJob": oneJob(convoy.BatchRunning),

	"GetEventDeliveriesPaged": listed(oneDelivery, samplePage+"&"+sampleDates+"&endpointId=&eventId=&subscriptionId=&idempotencyKey=&eventType=&event_type=&status=Failure"),
	"GetEventDelivery":        one("eventDeliveryID", oneDelivery),
	"ResendEventDelivery":     one("eventDeliveryID", oneDelivery),
	"GetDeliveryAttempts":     one("eventDeliveryID", oneDelivery),
	"GetDeliveryAttempt": func(w *world) specimen {
		h, attempt := w.tried(w.endpoint(w.name("endpoint")))
		return specimen{path: map[string]string{"eventDeliveryID": string(h.deliveries[0].ID), "deliveryAttemptID": string(attempt.ID)}}
	},

	"GetMetaEventsPaged": listed(oneMetaEvent, samplePage+"&"+sampleDates),
	"GetMetaEvent":       one("metaEventID", oneMetaEvent),
	"ResendMetaEvent":    one("metaEventID", oneMetaEvent),
}

func init() { maps.Copy(samples, peopleSamples) }

// operationCall is an operation of the document with a request for it.
type operationCall struct {
	id, method, pattern string
	doc                 *documentedOperation
	specimen
}

// ask makes the sample of every operation, in the order of their ids.
func (w *world) ask(d *apiDocument) []operationCall {
	w.t.Helper()
	operations := d.operations()
	var calls []operationCall
	for _, id := range slices.Sorted(maps.Keys(operations)) {
		op := operations[id]
		make, ok := samples[id]
		if !ok {
			w.t.Errorf("operation %s has no sample in samples_test.go", id)
			continue
		}
		op.specimen = make(w)
		calls = append(calls, op)
	}
	for id := range samples {
		if _, ok := operations[id]; !ok {
			w.t.Errorf("there is a sample of %s, which the document does not have", id)
		}
	}
	return calls
}

// target is the path of a call with its path parameters, some of them replaced.
// Values are as they are on the wire.
func (c *operationCall) target(w *world, replaced map[string]string, query string) string {
	path := c.pattern
	for _, p := range c.doc.Parameters {
		if p.In != "path" {
			continue
		}
		value, ok := replaced[p.Name]
		if !ok {
			value, ok = c.path[p.Name]
		}
		if own := map[string]string{"projectID": string(w.project.ID), "orgID": string(w.org.ID), "userID": string(w.user.ID)}; !ok {
			value = own[p.Name]
		}
		path = strings.Replace(path, "{"+p.Name+"}", value, 1)
	}
	if query != "" {
		path += "?" + query
	}
	return path
}

// valid sends the first sample.
func (c *operationCall) valid(w *world) answer {
	w.t.Helper()
	return w.do(call{method: c.method, path: c.target(w, nil, c.query), body: c.firstBody(), key: c.credential(w), header: c.header})
}

// credential is what the call is made with.
func (c *operationCall) credential(w *world) string { return cmp.Or(c.key, w.person) }

func (c *operationCall) firstBody() string {
	if len(c.bodies) == 0 {
		return ""
	}
	return c.bodies[0]
}

// checkValid sends every sample and wants success.
func (w *world) checkValid(calls []operationCall, when string) {
	w.t.Helper()
	for _, c := range calls {
		a := c.valid(w)
		if a.status >= 300 || !json.Valid([]byte(a.body)) {
			w.t.Errorf("%s: a valid %s %s is answered with %d %.500s\n%s", when, c.id, c.target(w, nil, c.query), a.status, a.body, c.firstBody())
		}
	}
}
