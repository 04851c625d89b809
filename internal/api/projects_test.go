package api

import (
	"slices"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

func TestProjects(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		list := "/api/v1/projects?orgID=" + string(f.org.ID)
		a := f.want(call{method: "POST", path: list, key: f.person, body: `{"NAME":"acme","type":"outgoing","config":null,"x":1}`}, 201, "Project created successfully")
		golden(t, "project_created", a.body)
		var created createdProject
		a.data(t, &created)

		// The new key opens the new project at once, though it was just unknown.
		b := f.want(call{path: "/api/v1/projects/x", key: created.Key.Key}, 200, "Project fetched successfully")
		golden(t, "project", b.body)

		var all []projectView
		f.want(call{path: list, key: f.person}, 200, "Projects fetched successfully").data(t, &all)
		if len(all) != 2 || !slices.ContainsFunc(all, func(p projectView) bool { return p.UID == created.Project.UID }) {
			t.Errorf("projects %+v", all)
		}
		f.want(call{path: "/api/v1/projects", header: map[string]string{"X-Organisation-Id": string(f.org.ID)}}, 200, "Projects fetched successfully")
		f.want(call{path: "/api/v1/projects"}, 400, "orgID:please provide an organisation id")
		f.want(call{path: "/api/v1/projects?orgID=" + id.New(f.now)}, 403, "Unauthorized: must be a member of the organisation")
		f.want(call{path: "/api/v1/projects?orgID=" + id.New(f.now), key: f.person}, 400, "organisation not found")
		f.want(call{path: "/api/v1/projects?orgID=x", key: f.person}, 400, "organisation not found")
		f.want(call{method: "POST", path: list, body: `{"name":"b","type":"outgoing"}`}, 403, "Unauthorized")
		f.want(call{method: "POST", path: "/api/v1/projects", key: f.person, body: `{}`}, 404, "Organization not found")
		f.want(call{method: "POST", path: list, key: f.person, body: `{"name":"acme","type":"incoming"}`}, 400, "a project with this name already exists")
		f.want(call{method: "POST", path: list, key: f.person, body: `{"name":"b","type":"sideways"}`}, 400, "type:please provide a project type, incoming or outgoing")
		f.want(call{method: "POST", path: list, key: f.person}, 400, "body must not be empty")

		f.want(call{method: "DELETE", path: "/api/v1/projects/x", key: created.Key.Key}, 200, "Project deleted successfully")
		f.want(call{path: "/api/v1/projects/x", key: created.Key.Key}, 400, "project not found")
		f.want(call{path: "/api/v1/projects/" + string(created.Project.UID), key: f.person}, 400, "project not found")
	})
}

func TestUpdateProject(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		a := f.want(call{method: "PUT", body: `{"name":"new","logo_url":"https://example.com/l.png","config":{"max_payload_read_size":99,
			"multiple_endpoint_subscriptions":true,"add_event_id_trace_headers":true,"search_policy":"24h","ssl":{"enforce_secure_endpoints":true},
			"ratelimit":{"count":5},"strategy":{"type":"exponential","duration":7,"retry_count":3},
			"signature":{"header":"X-Sig","versions":[{"hash":"SHA512","encoding":"base64"}]},"request_id_header":"X-Id",
			"meta_event":{"is_enabled":false},"circuit_breaker":{"failure_threshold":10}}}`}, 202, "Project updated successfully")
		golden(t, "project_updated", a.body)
		b := f.want(call{}, 200, "Project fetched successfully")
		if strings.SplitN(a.body, `"data"`, 2)[1] != strings.SplitN(b.body, `"data"`, 2)[1] {
			t.Errorf("read back:\n%s\n%s", a.body, b.body)
		}
		// What is absent stays.
		f.want(call{method: "PUT", body: `{"name":"newer","config":{"max_payload_read_size":0,"disable_endpoint":true}}`}, 202, "Project updated successfully")
		var p projectView
		f.want(call{}, 200, "Project fetched successfully").data(t, &p)
		c := p.Config
		if c.MaxPayloadReadSize != 99 || !c.DisableEndpoint || !c.MultipleEndpointSubscriptions || !c.AddEventIDTraceHeaders ||
			c.Strategy.RetryCount != 3 || c.SearchPolicy != "24h" || c.RequestIDHeader != "X-Id" || p.LogoURL == "" || p.Name != "newer" {
			t.Errorf("after a patch: %+v", p)
		}
	})
}

func TestReactivate(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	dead, paused := f.endpoint("dead"), f.endpoint("paused")
	f.want(call{method: "PUT", body: `{"name":"shop","config":{"disable_endpoint":true}}`}, 202, "Project updated successfully")
	for e, status := range map[convoy.EndpointID]convoy.EndpointStatus{dead: convoy.EndpointInactive, paused: convoy.EndpointPaused} {
		if _, err := f.store.SetEndpointStatus(t.Context(), f.project.ID, e, status, f.now); err != nil {
			t.Fatal(err)
		}
	}
	f.want(call{method: "PUT", body: `{"name":"shop","config":{"disable_endpoint":false}}`}, 202, "Project updated successfully")
	for e, want := range map[convoy.EndpointID]convoy.EndpointStatus{dead: convoy.EndpointActive, paused: convoy.EndpointPaused} {
		var v endpointView
		f.want(call{path: "endpoints/" + string(e)}, 200, "Endpoint fetched successfully").data(t, &v)
		if v.Status != want {
			t.Errorf("%s is %s", v.Name, v.Status)
		}
	}
}

func TestProjectRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	config := func(c string) string { return `{"name":"shop","config":{` + c + `}}` }
	for body, message := range map[string]string{
		`{}`:                  "name:please provide a name",
		`{"name":null}`:       "name:please provide a name",
		`{"name":1}`:          `body contains incorrect JSON type for field "name"`,
		`[]`:                  "body contains incorrect JSON type (at character 1)",
		`{"name":"a"`:         "body contains badly-formed JSON",
		"{\"name\":\"\xff\"}": "name:must be valid UTF-8",
		`{"name":"a\u0000"}`:  "name:must not contain NUL characters",
		`{"name":"` + strings.Repeat("é", 256) + `"}`:                                                    "name:must not be longer than 255 characters",
		`{"name":"` + strings.Repeat("x", 1_000_000) + `"}`:                                              "name:must not be longer than 255 characters",
		`{"name":` + strings.Repeat("[", 20_000):                                                         "body contains badly-formed JSON (at character 10008)",
		`{"name":"a","logo_url":"ftp://x"}`:                                                              "logo_url:please provide a valid logo url",
		`{"name":"a","logo_url":"http://x/\u0000"}`:                                                      "logo_url:please provide a valid logo url",
		`{"name":"a","config":[]}`:                                                                       `body contains incorrect JSON type for field "config"`,
		config(`"max_payload_read_size":-1`):                                                             `body contains incorrect JSON type for field "config.max_payload_read_size"`,
		config(`"max_payload_read_size":1e18`):                                                           `body contains incorrect JSON type for field "config.max_payload_read_size"`,
		config(`"max_payload_read_size":999999999999`):                                                   "max_payload_read_size:must not be more than 67108864",
		config(`"disable_endpoint":"yes"`):                                                               `body contains incorrect JSON type for field "config.disable_endpoint"`,
		config(`"sync_dynamic_event_ack":true`):                                                          "sync_dynamic_event_ack:sync_dynamic_event_ack has been renamed to verify_dynamic_events",
		config(`"search_policy":"a day"`):                                                                "search_policy:please provide a valid time duration",
		config(`"search_policy":"\u0000"`):                                                               "search_policy:please provide a valid time duration",
		config(`"ratelimit":{"count":-1}`):                                                               "count:must be from 0 to 1000000000",
		config(`"ratelimit":{"duration":18446744073709551615}`):                                          "duration:must be from 0 to 31622400",
		config(`"strategy":{"type":"x"}`):                                                                "type:unsupported strategy type",
		config(`"strategy":{"type":"linear","retry_count":99999}`):                                       "retry_count:must be from 0 to 10000",
		config(`"signature":{}`):                                                                         "header:please provide a signature header",
		config(`"signature":{"header":"a b"}`):                                                           "header:must be a valid HTTP header token",
		config(`"signature":{"header":"a","versions":[{"hash":"X","encoding":"hex"}]}`):                  "hash:unsupported hash, must be one of " + strings.Join(hashes, ", "),
		config(`"signature":{"header":"a","versions":[{"hash":"MD5","encoding":"x"}]}`):                  "encoding:unsupported encoding, must be hex or base64",
		config(`"signature":{"header":"a","versions":[{"uid":"\u0000","hash":"MD5","encoding":"hex"}]}`): "uid:must not contain NUL characters",
		config(`"signature":{"header":"host"}`):                                                          "header:" + textReserved,
		config(`"signature":{"header":"` + strings.Repeat("a", 129) + `"}`):                              "header:must be a valid HTTP header token",
		config(`"signature":{"header":"a","versions":[` + strings.Repeat(`{},`, 8) + `{}]}`):             "versions:must not be more than 8",
		config(`"request_id_header":"Content-Type"`):                                                     "request_id_header:" + textReserved,
		config(`"request_id_header":"x-convoy-signature"`):                                               "request_id_header:must not be the header of the signature",
		config(`"signature":{"header":"X-Convoy-Idempotency-Key"}`):                                      "request_id_header:must not be the header of the signature",
		config(`"request_id_header":"a b"`):                                                              "request_id_header:request_id_header must be a valid HTTP header token",
		config(`"circuit_breaker":{"failure_threshold":101}`):                                            "failure_threshold:must be from 0 to 100",
	} {
		f.want(call{method: "PUT", body: body}, 400, message)
	}
	f.want(call{method: "PUT", body: strings.Repeat(" ", 1<<20) + "{}"}, 413, "request body too large")
	var p projectView
	f.want(call{}, 200, "Project fetched successfully").data(t, &p)
	if p.Name != "shop" || !p.UpdatedAt.Equal(f.now) {
		t.Errorf("changed by refused requests: %+v", p)
	}
}
