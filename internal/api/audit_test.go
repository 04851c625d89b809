package api

import (
	"testing"

	"convoy"
	"convoy/internal/store/sqldb"
)

// TestAuditLog has changes of a person, a key and a portal link in the log of their
// project, with what has changed and no more.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		u := f.newUser("ada@example.com")
		f.join(u, convoy.RoleOrganisationAdmin)
		token := f.signIn(u).Token.Access
		project := "/ui/organisations/" + string(f.org.ID) + "/projects/" + string(f.project.ID)
		endpoint := f.endpoint("a") // by the project's key
		link := f.portalLink("dora", nil)
		f.want(call{method: "POST", path: "/portal-api/endpoints", key: link.Token, body: `{"name":"hers","url":"http://example.com/hers"}`}, 201, "Endpoint created successfully")
		update := call{method: "PUT", path: "endpoints/" + string(endpoint), key: token, body: `{"name":"b","url":"http://example.com/a","secret":"planted-secret-of-hers"}`}
		update.header = map[string]string{"X-Request-Id": "request-7"}
		f.want(update, 202, "Endpoint updated successfully")

		list := func(path, query string) []changeView {
			t.Helper()
			var page paged[changeView]
			f.want(call{path: path + "/audit-logs?" + query, key: token}, 200, "Audit logs fetched successfully").data(t, &page)
			return page.Content
		}
		changes := list(project, "objectType=endpoint")
		if len(changes) != 3 || changes[0].Action != "endpoint.updated" || changes[1].Actor != (changeActor{"portal", string(link.ID), "dora"}) || changes[2].Actor.Type != "key" {
			t.Fatalf("%+v", changes)
		}
		last := changes[0]
		if last.Actor.Type != "user" || last.Actor.ID != string(u.ID) || last.Address != "127.0.0.1" || last.RequestID != "request-7" || last.Object.ID != string(endpoint) {
			t.Errorf("%+v", last)
		}
		if last.Before["name"] != "a" || last.After["name"] != "b" || last.Before["url"] != nil || len(last.After) != len(last.Before) {
			t.Errorf("from %v to %v", last.Before, last.After)
		}
		if got := list(project, "actor="+string(link.ID)); len(got) != 1 {
			t.Errorf("%+v", got)
		}
		if got := list("/ui/organisations/"+string(f.org.ID), "action=endpoint.updated&projectId="+string(f.project.ID)); len(got) != 1 {
			t.Errorf("%+v", got)
		}
		if got := list(project, "endDate=2020-01-01T00:00:00"); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		own := list("/ui/users/"+string(u.ID), "")
		if len(own) == 0 || own[0].Action != "session.created" || own[0].Actor.Type != "anonymous" || own[0].Address != "127.0.0.1" {
			t.Errorf("%+v", own)
		}
		f.want(call{path: project + "/audit-logs?startDate=x", key: token}, 400, errStartDate.Error())
		f.want(call{path: project + "/audit-logs?startDate=2026-01-02T00:00:00&endDate=2026-01-01T00:00:00", key: token}, 400, errDateOrder.Error())
	})
}
