package api

import (
	"slices"
	"testing"
)

// An operation that does not say what its caller needs is noted, and the API
// does not start with it.
func TestUndeclaredAccess(t *testing.T) {
	t.Parallel()
	r := &registrar{}
	r.declare(operation{id: "Undeclared"}, &ProjectPath{})
	r.declare(operation{id: "Nowhere", access: viewsProject}, &struct{}{})
	r.declare(operation{id: "Elsewhere", access: managesOrganisation}, &ProjectPath{})
	r.declare(operation{id: "Declared", access: managesProject}, &ProjectPath{})
	if want := []string{"Undeclared", "Nowhere", "Elsewhere"}; !slices.Equal(r.undeclared, want) {
		t.Errorf("undeclared %v, want %v", r.undeclared, want)
	}
}

// Every route of the API declares its access; those that change nothing ask for
// no more than reading.
func TestEveryRouteDeclaresAccess(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	routes := f.server.Config.Handler.(*api).routes
	if len(routes) < 68 {
		t.Errorf("%d routes", len(routes))
	}
	for name, to := range routes {
		reads := name[:4] == "GET "
		switch {
		case to.access == undeclared:
			t.Errorf("%s declares nothing", name)
		case to.access >= anybody: // what is one's own
		case reads != (to.access.right() == view) && !tries[name] && !makes[name]:
			t.Errorf("%s: access %d", name, to.access)
		}
	}
}

// makes are the routes that are GETs and make something, or show what is for
// managers.
var makes = map[string]bool{
	"GET /ui/organisations/{orgID}/audit-logs":                                   true,
	"GET /ui/organisations/{orgID}/projects/{projectID}/audit-logs":              true,
	"GET /api/v1/projects/{projectID}/portal-links/{portalLinkID}/refresh_token": true,
	"GET /ui/organisations/{orgID}/projects/{projectID}/security/keys":           true,
	"GET /ui/organisations/{orgID}/invites/pending":                              true,
}

// tries are the routes that change nothing and are no GET.
var tries = map[string]bool{
	"POST /api/v1/projects/{projectID}/subscriptions/test_filter":                               true,
	"POST /api/v1/projects/{projectID}/subscriptions/test_function":                             true,
	"POST /api/v1/projects/{projectID}/sources/test_function":                                   true,
	"POST /api/v1/projects/{projectID}/subscriptions/{subscriptionID}/filters/test/{eventType}": true,
}
