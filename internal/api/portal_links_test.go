package api

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/store/sqldb"
)

var portalKeyForm = regexp.MustCompile(`^PRT\.[0-9A-Za-z]{16}\.[0-9A-Za-z]{64}$`)

func TestPortalLinks(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db, func(c *Config) { c.PublicURL = "https://hooks.example.com" })
		first, other := string(f.endpoint("a")), string(f.endpoint("b"))
		var l portalLinkView
		f.want(call{method: "POST", path: "portal-links", body: `{"name":"cust","owner_id":"cust-1","can_manage_endpoint":true,"endpoints":["` + first + `"]}`},
			201, "Portal link created successfully").data(t, &l)
		if len(l.Token) != 24 || l.URL != "https://hooks.example.com/portal?token="+l.Token || l.AuthType != "static_token" || l.AuthKey != "" ||
			l.Count != 1 || !l.CanManage || len(l.Metadata) != 1 || string(l.Metadata[0].UID) != first || len(l.Endpoints) != 1 {
			t.Errorf("created %+v", l)
		}
		one := "portal-links/" + string(l.UID)
		var e endpointView
		f.want(call{path: "endpoints/" + first}, 200, "Endpoint fetched successfully").data(t, &e)
		if e.OwnerID != "cust-1" {
			t.Errorf("the endpoint's owner is %q", e.OwnerID)
		}
		f.want(call{method: "POST", path: "portal-links", body: `{"name":"x","owner_id":"cust-2","endpoints":["` + other + `","` + first + `"]}`},
			400, "endpoint "+first+" already has owner_id cust-1")
		e = endpointView{}
		f.want(call{path: "endpoints/" + other}, 200, "Endpoint fetched successfully").data(t, &e)
		if e.OwnerID != "" {
			t.Errorf("a refused link left owner %q", e.OwnerID)
		}

		var r portalLinkView
		f.want(call{method: "POST", path: "portal-links", body: `{"name":"Refreshing","owner_id":"cust-2","auth_type":"refresh_token"}`}, 201, "Portal link created successfully").data(t, &r)
		if !portalKeyForm.MatchString(r.AuthKey) || !strings.HasSuffix(r.URL, "&auth_token="+r.AuthKey) || r.Count != 0 {
			t.Errorf("created %+v", r)
		}
		two := "portal-links/" + string(r.UID)
		var key string
		f.want(call{path: two + "/refresh_token"}, 200, "Portal link fetched successfully").data(t, &key)
		viewer := f.newKey(func(k *convoy.APIKey) { k.Role = convoy.Role{Type: convoy.RoleProjectViewer, Project: f.project.ID} })
		f.want(call{path: two + "/refresh_token", key: viewer}, 403, "Unauthorized")
		for _, k := range []string{r.AuthKey, key} { // earlier keys stay good
			if got, err := f.store.PortalLinkByKey(t.Context(), auth.Hash(k), f.now.Add(59*time.Minute)); err != nil || got.ID != r.UID {
				t.Errorf("key %s opens %v, %v", k, got, err)
			}
			if _, err := f.store.PortalLinkByKey(t.Context(), auth.Hash(k), f.now.Add(time.Hour)); err == nil {
				t.Error("a key lasts longer than an hour")
			}
		}
		f.want(call{path: one + "/refresh_token"}, 400, "auth_type:the portal link is not of type refresh_token")

		for query, want := range map[string]string{
			"": "Refreshing cust", "?q=REFRESH": "Refreshing", "?ownerId=cust-1": "cust", "?endpointId=" + first: "cust",
			"?endpointId=" + first + "&endpointId=" + other: "cust", "?endpointId=" + other: "", "?sort=ASC": "cust Refreshing", "?ownerId=x": "",
		} {
			var page paged[portalLinkView]
			f.want(call{path: "portal-links" + query}, 200, "Portal links fetched successfully").data(t, &page)
			var names []string
			for _, v := range page.Content {
				names = append(names, v.Name)
				if (v.AuthKey != "") != (v.AuthType == "refresh_token") {
					t.Errorf("%s: key %q", v.AuthType, v.AuthKey)
				}
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%q: %q", query, got)
			}
		}

		// An update replaces everything.
		f.want(call{method: "PUT", path: one, body: `{"name":"renamed"}`}, 202, "Portal link updated successfully")
		l = portalLinkView{}
		f.want(call{path: one}, 200, "Portal link fetched successfully").data(t, &l)
		if l.Name != "renamed" || l.OwnerID != "" || l.CanManage || len(l.Endpoints) != 0 || l.Count != 0 {
			t.Errorf("updated %+v", l)
		}
		f.want(call{method: "PUT", path: two + "/revoke", body: `"{}"`}, 200, "Portal link revoked successfully")
		if _, err := f.store.PortalLinkByKey(t.Context(), auth.Hash(key), f.now); err == nil {
			t.Error("a key outlives its link")
		}
		// Some clients revoke by an update with this string.
		if a := f.want(call{method: "PUT", path: one, body: `"{}"`}, 200, "Portal link revoked successfully"); !strings.Contains(a.body, `"data":null`) {
			t.Errorf("revoked: %s", a.body)
		}
		for _, gone := range []string{one, two, "portal-links/x", "portal-links/%00"} {
			f.want(call{path: gone}, 404, "Resource not found")
			f.want(call{path: gone + "/refresh_token"}, 404, "Resource not found")
			f.want(call{method: "PUT", path: gone, body: `{"name":"x"}`}, 404, "Resource not found")
			f.want(call{method: "PUT", path: gone + "/revoke"}, 404, "Resource not found")
		}
	})
}

func TestPortalLinkRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	for body, message := range map[string]string{
		``:                                 "body must not be empty",
		`{}`:                               "name:please provide a name for the portal link, owner_id:please provide an owner id",
		`[]`:                               "body contains incorrect JSON type (at character 1)",
		`{"name":"a","owner_id":"\u0000"}`: "owner_id:must not contain NUL characters",
		`{"name":5,"owner_id":"a"}`:        `body contains incorrect JSON type for field "name"`,
		`{"name":"a","owner_id":"a","auth_type":"password"}`:                               "auth_type:must be static_token or refresh_token",
		`{"name":"a","owner_id":"a","endpoints":["x"]}`:                                    "endpoints:endpoint not found",
		`{"name":"a","owner_id":"a","endpoints":"x"}`:                                      `body contains incorrect JSON type for field "endpoints"`,
		`{"name":"a","owner_id":"a","can_manage_endpoint":1}`:                              `body contains incorrect JSON type for field "can_manage_endpoint"`,
		`{"name":"a","owner_id":"` + strings.Repeat("x", 256) + `"}`:                       "owner_id:must not be longer than 255 characters",
		`{"name":"a","owner_id":"a","endpoints":["01K1ZZZZZZZZZZZZZZZZZZZZZZ"]}`:           "endpoint not found",
		`{"name":"a","owner_id":"a","endpoints":[` + strings.Repeat(`"x",`, 200) + `"x"]}`: "endpoints:must not be more than 200",
	} {
		f.want(call{method: "POST", path: "portal-links", body: body}, 400, message)
	}
}
