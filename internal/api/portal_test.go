package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// TestPortal walks through what the holder of a link does, and what it does not.
func TestPortal(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		ada := f.portalLink("ada", nil).Token
		ben := f.portalLink("ben", nil).Token
		reader := f.portalLink("ada", func(l *convoy.PortalLink) { l.CanManage = false }).Token
		create := call{method: "POST", path: "/portal-api/endpoints", key: ada, body: `{"name":"mine","url":"http://example.com/mine","owner_id":"ben"}`}
		var e endpointView
		f.want(create, 201, "Endpoint created successfully").data(t, &e)
		if e.OwnerID != "ada" {
			t.Errorf("owner %q, want that of the link", e.OwnerID)
		}
		f.want(create.with(reader), 403, "Unauthorized")
		one := "/portal-api/endpoints/" + string(e.UID)
		f.want(call{path: one, key: reader}, 200, "Endpoint fetched successfully")
		f.want(call{path: one, key: ben}, 404, "Resource not found")
		f.want(call{path: one}, 401, "unauthorized") // a project's key has its own paths
		update := call{method: "PUT", path: one, key: ada, body: `{"name":"ours","url":"http://example.com/mine","owner_id":"ben"}`}
		f.want(update, 202, "Endpoint updated successfully").data(t, &e)
		if e.OwnerID != "ada" || e.Name != "ours" {
			t.Errorf("%+v", e)
		}
		f.want(update.with(ben), 400, "endpoint not found")

		// Events, to an endpoint of one's own.
		publish := call{method: "POST", path: "/portal-api/events", key: ada, body: `{"endpoint_id":"` + string(e.UID) + `","event_type":"a","data":{"n":1}}`}
		f.want(publish.with(ben), 401, "unauthorized")
		f.want(publish, 201, publishedMessage)
		event := f.history(f.now, "", e.UID).event
		var events paged[eventView]
		f.want(call{path: "/portal-api/events", key: ada}, 200, "App events fetched successfully").data(t, &events)
		if len(events.Content) != 1 || events.Content[0].UID != event.ID {
			t.Errorf("%+v", events.Content)
		}
		f.want(call{path: "/portal-api/events", key: ben}, 200, "App events fetched successfully").data(t, &events)
		if len(events.Content) != 0 {
			t.Errorf("%+v", events.Content)
		}
		f.want(call{path: "/portal-api/events/" + string(event.ID), key: ben}, 404, "event not found")
		var deliveries paged[deliveryView]
		f.want(call{path: "/portal-api/eventdeliveries", key: ada}, 200, "Event deliveries fetched successfully").data(t, &deliveries)
		if len(deliveries.Content) != 1 {
			t.Fatalf("%+v", deliveries)
		}
		if h := deliveries.Content[0].Headers; h["X-Tenant"][0] != "7" {
			t.Errorf("headers %v", h)
		}
		f.want(call{method: "PUT", path: "/portal-api/events/" + string(event.ID) + "/replay", key: ada}, 200, "Endpoint event replayed successfully")
		f.want(call{method: "POST", path: "/portal-api/events/batchreplay", key: ada}, 401, "unauthorized")
		f.want(call{method: "POST", path: "/portal-api/events/broadcast", key: ada, body: `{"event_type":"a","data":1}`}, 401, "unauthorized")
		f.want(call{path: "/portal-api/sources", key: ada}, 401, "unauthorized")
		f.want(call{path: "/portal-api/portal-links", key: ada}, 401, "unauthorized")

		// The same on the API itself, whatever project its path names.
		f.want(call{path: "/api/v1/projects/anything/endpoints/" + string(e.UID), key: ada}, 200, "Endpoint fetched successfully")
		var own ownLinkView
		a := f.want(call{path: "/portal-api/portal_link", key: ada}, 200, "Portal link fetched successfully")
		a.data(t, &own)
		if own.OwnerID != "ada" || own.Count != 1 || !own.CanManage {
			t.Errorf("%+v", own)
		}
		f.want(call{method: "DELETE", path: one, key: ben}, 400, "endpoint not found")
		f.want(call{method: "DELETE", path: one, key: ada}, 200, "Endpoint deleted successfully")
	})
}

// TestPortalKeys ends what opens a link.
func TestPortalKeys(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		create := call{method: "POST", path: "portal-links", body: `{"name":"p","owner_id":"ada","auth_type":"refresh_token"}`}
		var link portalLinkView
		f.want(create, 201, "Portal link created successfully").data(t, &link)
		list := call{path: "/portal-api/endpoints"}
		f.want(list.with(link.AuthKey), 200, "Endpoints fetched successfully")
		f.want(list.with(link.Token), 401, "authorization failed") // it opens nothing
		var key string
		f.want(call{path: "portal-links/" + string(link.UID) + "/refresh_token"}, 200, "Portal link fetched successfully").data(t, &key)
		f.want(list.with(key), 200, "Endpoints fetched successfully")
		expired := auth.NewPortalKey()
		keep := []convoy.PortalKey{{Hash: auth.Hash(expired), LinkID: link.UID, ExpiresAt: f.now.Add(-time.Second)}}
		if err := f.store.KeepPortalKeys(t.Context(), keep, f.now); err != nil {
			t.Fatal(err)
		}
		f.want(list.with(expired), 401, "authorization failed")

		// Who may only look at a project gets no key of its links.
		viewer := f.newKey(func(k *convoy.APIKey) {
			k.Name, k.Role = "viewer", convoy.Role{Type: convoy.RoleProjectViewer, Project: f.project.ID}
		})
		var seen portalLinkView
		f.want(call{path: "portal-links/" + string(link.UID), key: viewer}, 200, "Portal link fetched successfully").data(t, &seen)
		if seen.AuthKey != "" {
			t.Error("a viewer is given a key")
		}
		f.want(call{method: http.MethodPut, path: "portal-links/" + string(link.UID) + "/revoke"}, 200, "Portal link revoked successfully")
		f.want(list.with(key), 401, "authorization failed")
		f.want(list.with(link.AuthKey), 401, "authorization failed")

		static := f.portalLink("ada", nil)
		f.want(list.with(static.Token), 200, "Endpoints fetched successfully")
		f.want(call{method: http.MethodPut, path: "portal-links/" + string(static.ID), body: `{"name":"no owner"}`}, 202, "Portal link updated successfully")
		f.want(list.with(static.Token), 401, "unauthorized")
		f.api.PortalDisabled = true
		f.want(list.with(f.portalLink("ada", nil).Token), 401, "authorization failed")
	})
}

// TestPortalReplay refuses to replay what is not for the owner alone.
func TestPortalReplay(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		ada := f.portalLink("ada", nil).Token
		var own, other endpointView
		for owner, e := range map[string]*endpointView{"ada": &own, "ben": &other} {
			f.want(call{method: "POST", path: "endpoints", body: `{"name":"` + owner + `","url":"http://example.com/` + owner + `","owner_id":"` + owner + `"}`},
				201, "Endpoint created successfully").data(t, e)
		}
		replay := func(e *convoy.Event) call {
			return call{method: "PUT", path: "/portal-api/events/" + string(e.ID) + "/replay", key: ada}
		}
		both := f.history(f.now, "", own.UID, other.UID).event
		var seen eventView
		f.want(call{path: "/portal-api/events/" + string(both.ID), key: ada}, 200, "Endpoint event fetched successfully").data(t, &seen)
		if len(seen.Endpoints) != 1 || seen.Endpoints[0] != own.UID {
			t.Errorf("sees endpoints %s", seen.Endpoints)
		}
		f.want(replay(both), 401, "unauthorized")
		f.want(replay(f.history(f.now, "", other.UID).event), 400, "event not found")
		f.want(replay(f.history(f.now, "", own.UID).event), 200, "Endpoint event replayed successfully")
		for kind, status := range map[convoy.EventKind]int{convoy.KindBroadcast: 401, convoy.KindDynamic: 401, convoy.KindFanout: 200, convoy.KindSingle: 200} {
			e := &convoy.Event{
				ID: convoy.EventID(id.New(f.now)), ProjectID: f.project.ID, Kind: kind, Type: "a", OwnerID: "ada", Endpoints: []convoy.EndpointID{own.UID},
				Data: []byte("1"), Status: convoy.EventSuccess, CreatedAt: f.now, UpdatedAt: f.now,
			}
			d := &convoy.Delivery{
				ID: convoy.DeliveryID(id.Derive(f.now, string(e.ID))), ProjectID: f.project.ID, EventID: e.ID, EndpointID: own.UID, EventType: "a",
				Status: convoy.DeliverySuccess, CreatedAt: f.now, UpdatedAt: f.now,
			}
			if err := f.store.Append(t.Context(), &store.Routed{Events: []*convoy.Event{e}, Deliveries: []*convoy.Delivery{d}}, f.now, time.Hour); err != nil {
				t.Fatal(err)
			}
			if a := f.do(replay(e)); a.status != status {
				t.Errorf("%s: %d %s, want %d", kind, a.status, a.body, status)
			}
		}
	})
}

// TestSensitiveHeaders masks what opens something.
func TestSensitiveHeaders(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"Authorization": true, "X-Api-Key": true, "X-APIKEY": true, "Cookie": true, "X-Auth-Token": true, "My-Secret": true,
		"X-Tenant": false, "Content-Type": false, "X-Convoy-Signature": false,
	} {
		if isSensitive(name) != want {
			t.Errorf("%s is sensitive: %t", name, !want)
		}
	}
}

// TestPortalPage has the page say who may show it in a frame.
func TestPortalPage(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	static := f.portalLink("ada", nil).Token
	frames := func(query string) string {
		t.Helper()
		a := f.do(call{path: "/portal" + query})
		if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(a.body, "<title>") {
			t.Fatalf("%d %s", a.status, a.body)
		}
		policy := a.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'sha256-") {
			t.Errorf("policy %q", policy)
		}
		_, frames, _ := strings.Cut(policy, "frame-ancestors ")
		return frames
	}
	set := func(origins string) call {
		return call{method: "PUT", path: "", body: `{"name":"p","config":{"portal_frame_ancestors":` + origins + `}}`}
	}
	if got := frames("?token=" + static); got != "'none'" {
		t.Errorf("nobody is named: %q", got)
	}
	f.want(set(`["https://App.example.com","http://*.example.org:8080"]`), 202, "Project updated successfully")
	for query, want := range map[string]string{
		"?token=" + static: "https://app.example.com http://*.example.org:8080", "": "'none'", "?token=x": "'none'", "?auth_token=x&token=" + static: "'none'",
	} {
		if got := frames(query); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	many := `["https://a.example"` + strings.Repeat(`,"https://a.example"`, 50) + `]`
	for _, bad := range []string{
		`["app.example.com"]`, `["*"]`, `["https://a.example/path"]`, `["https://a.example; script-src *"]`, `["https://a.example https://b.example"]`,
		`["javascript:alert(1)"]`, `["https://*"]`, `["https://a.*.example"]`, `["'self'"]`, `["https://u@a.example"]`, `[""]`, many,
	} {
		if a := f.do(set(bad)); a.status != 400 || !strings.Contains(a.body, "portal_frame_ancestors") {
			t.Errorf("%.60s: %d %s", bad, a.status, a.body)
		}
	}
	if got := frames("?token=" + static); got != "https://app.example.com http://*.example.org:8080" {
		t.Errorf("after refused settings: %q", got)
	}
	f.want(set(`[]`), 202, "Project updated successfully")
	if got := frames("?token=" + static); got != "'none'" {
		t.Errorf("nobody is named any more: %q", got)
	}
	if a := f.do(call{method: "POST", path: "/portal"}); a.status != 405 {
		t.Errorf("POST: %d", a.status)
	}
}
