package api

import (
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// TestInvitations invites a new and an existing user, who become members.
func TestInvitations(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		admin := f.newUser("admin@example.com")
		f.join(admin, convoy.RoleOrganisationAdmin)
		viewer := f.newUser("viewer@example.com")
		f.join(viewer, convoy.RoleProjectViewer)
		key, org := f.signIn(admin).Token.Access, "/ui/organisations/"+string(f.org.ID)
		invite := func(email, role string) call {
			return call{method: "POST", path: org + "/invites", key: key, body: `{"invitee_email":"` + email + `","role":` + role + `}`}
		}
		const viewing = `{"type":"project_viewer"}`
		f.want(invite("new@example.com", viewing).with(f.signIn(viewer).Token.Access), 403, "Unauthorized")
		f.want(invite("new@example.com", `{"type":"instance_admin"}`), 400, "type:please provide a role: organisation_admin, project_admin or project_viewer")
		f.want(invite("new@example.com", `{"type":"project_viewer","project":"01K1ZZZZZZZZZZZZZZZZZZZZZZ"}`), 400, "project:must be a project of the organisation")
		f.want(invite("viewer@example.com", viewing), 400, "the user is a member of this organisation already")
		var v invitationView
		f.want(invite("New@example.com", `{"type":"project_viewer","project":"`+string(f.project.ID)+`"}`), 201, "invite created successfully").data(t, &v)
		if v.Token != "" || v.Email != "new@example.com" || !v.ExpiresAt.Equal(f.now.Add(14*24*time.Hour)) {
			t.Fatalf("%+v", v)
		}
		token := tokenIn(t, f.mails.take(t, "new@example.com"), "/accept-invite?token=")
		f.want(invite("new@example.com", viewing), 400, "an invite for this email exists")
		var list paged[invitationView]
		f.want(call{path: org + "/invites/pending", key: key}, 200, "Invites fetched successfully").data(t, &list)
		if len(list.Content) != 1 || list.Content[0].UID != v.UID {
			t.Fatalf("%+v", list)
		}
		// Sent again, it has another token.
		f.want(call{method: "POST", path: org + "/invites/" + string(v.UID) + "/resend", key: key}, 200, "invite resent successfully")
		again := tokenIn(t, f.mails.take(t, "new@example.com"), "/accept-invite?token=")
		look := call{path: "/ui/users/token?token=" + token, key: "-"}
		f.want(look, 400, "invalid or expired token")
		look.path = "/ui/users/token?token=" + again
		var seen invitedView
		f.want(look, 200, "retrieved user").data(t, &seen)
		if seen.UserKnown || seen.Token.Organisation != "acme" || seen.Token.Email != "new@example.com" {
			t.Fatalf("%+v", seen)
		}
		answer := call{method: "POST", path: "/ui/organisations/process_invite?accepted=true&token=" + again, key: "-",
			body: `{"first_name":"New","last_name":"One","password":"` + samplePassword + `"}`}
		short := answer
		short.body = `{"first_name":"New","last_name":"One","password":"short"}`
		f.want(short, 400, "password:must have at least 12 characters")
		f.want(answer, 200, "invite processed successfully")
		f.want(answer, 400, "invalid or expired token")
		joined := f.signIn(&convoy.User{Email: "new@example.com"})
		if !joined.EmailVerified {
			t.Errorf("%+v", joined)
		}
		f.want(call{path: "endpoints", key: joined.Token.Access}, 200, "Endpoints fetched successfully")
		f.want(call{method: "POST", path: "endpoints", key: joined.Token.Access, body: "{}"}, 403, "Unauthorized")

		// Who has an account joins with the password, or signed in.
		known := f.newUser("known@example.com")
		f.want(invite(known.Email, viewing), 201, "invite created successfully")
		answer.path = "/ui/organisations/process_invite?accepted=true&token=" + tokenIn(t, f.mails.take(t, known.Email), "/accept-invite?token=")
		answer.body = ""
		f.want(answer, 401, "sign in as known@example.com, or provide the password")
		f.want(answer.with(joined.Token.Access), 401, "sign in as known@example.com, or provide the password")
		answer.body = `{"password":"not the password"}`
		f.want(answer, 403, "Invalid credentials")
		answer.body = ""
		f.want(answer.with(f.signIn(known).Token.Access), 200, "invite processed successfully")
		second := f.newUser("second@example.com")
		f.want(invite(second.Email, viewing), 201, "invite created successfully")
		answer.path = "/ui/organisations/process_invite?accepted=true&token=" + tokenIn(t, f.mails.take(t, second.Email), "/accept-invite?token=")
		answer.body = `{"password":"` + samplePassword + `"}`
		f.want(answer, 200, "invite processed successfully")

		// Declined and cancelled ones are over.
		for _, end := range []string{"declined", "cancelled"} {
			f.want(invite(end+"@example.com", viewing), 201, "invite created successfully").data(t, &v)
			token := tokenIn(t, f.mails.take(t, end+"@example.com"), "/accept-invite?token=")
			if end == "declined" {
				f.want(call{method: "POST", path: "/ui/organisations/process_invite?accepted=false&token=" + token, key: "-"}, 200, "invite processed successfully")
			} else {
				f.want(call{method: "POST", path: org + "/invites/" + string(v.UID) + "/cancel", key: key}, 200, "invite cancelled successfully")
			}
			f.want(call{path: "/ui/users/token?token=" + token, key: "-"}, 400, "invalid or expired token")
			f.want(call{method: "POST", path: org + "/invites/" + string(v.UID) + "/resend", key: key}, 404, "invitation not found")
		}
		f.want(invite("late@example.com", viewing), 201, "invite created successfully")
		late := tokenIn(t, f.mails.take(t, "late@example.com"), "/accept-invite?token=")
		f.api.SignIn.Now = func() time.Time { return f.now.Add(14 * 24 * time.Hour) }
		f.want(call{path: "/ui/users/token?token=" + late, key: "-"}, 400, "invalid or expired token")
	})
}

// TestInvitationsWithoutMail gives the token to who invites; the address is not
// verified by it.
func TestInvitationsWithoutMail(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.api.SignIn.Mail = nil
	admin := f.newUser("admin@example.com")
	f.join(admin, convoy.RoleOrganisationAdmin)
	var v invitationView
	f.want(call{method: "POST", path: "/ui/organisations/" + string(f.org.ID) + "/invites", key: f.signIn(admin).Token.Access,
		body: `{"invitee_email":"new@example.com","role":{"type":"organisation_admin"}}`}, 201, "invite created successfully").data(t, &v)
	f.want(call{method: "POST", path: "/ui/organisations/process_invite?accepted=true&token=" + v.Token, key: "-",
		body: `{"first_name":"New","last_name":"One","password":"` + samplePassword + `"}`}, 200, "invite processed successfully")
	if joined := f.signIn(&convoy.User{Email: "new@example.com"}); joined.EmailVerified {
		t.Errorf("%+v", joined)
	}
	f.want(call{method: "POST", path: "/ui/users/forgot-password", key: "-", body: `{"email":"new@example.com"}`}, 200,
		"If there is an account with this address, a link to reset its password has been sent there")
	if log := f.log.String(); !strings.Contains(log, "no mail is sent: smtp.url is not set") || strings.Contains(log, v.Token) {
		t.Errorf("log %s", log)
	}
}

// TestMembers changes roles and removes members, whose sessions and keys lose
// their rights at once.
func TestMembers(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		f.org.OwnerID = f.user.ID
		admin, other := f.newUser("admin@example.com"), f.newUser("other@example.com")
		f.join(admin, convoy.RoleOrganisationAdmin)
		m := f.join(other, convoy.RoleProjectViewer)
		personal := f.newKey(func(k *convoy.APIKey) { k.Type, k.UserID = convoy.PersonalKey, other.ID })
		key, org := f.signIn(admin).Token.Access, "/ui/organisations/"+string(f.org.ID)
		one := call{method: "PUT", path: org + "/members/" + string(m.ID), key: key, body: `{"role":{"type":"project_admin","project":"` + string(f.project.ID) + `"}}`}
		create := call{method: "POST", path: "endpoints", key: personal, body: `{"name":"a","url":"http://example.com/a"}`}
		f.want(create, 403, "Unauthorized")
		f.want(one.with(personal), 403, "Unauthorized")
		f.want(one.with(f.key), 403, "Unauthorized")
		var v memberView
		f.want(one, 202, "Organisation member updated successfully").data(t, &v)
		if v.Role.Type != convoy.RoleProjectAdmin || v.User.Email != other.Email {
			t.Fatalf("%+v", v)
		}
		f.want(create, 201, "Endpoint created successfully")
		var list paged[memberView]
		f.want(call{path: org + "/members?userID=" + string(other.ID), key: key}, 200, "Organisation members fetched successfully").data(t, &list)
		if len(list.Content) != 1 || list.Content[0] != v {
			t.Fatalf("%+v, want %+v", list.Content, v)
		}
		f.want(call{path: org + "/members", key: key}, 200, "Organisation members fetched successfully").data(t, &list)
		if len(list.Content) != 3 {
			t.Fatalf("%+v", list.Content)
		}
		f.want(call{method: "DELETE", path: one.path, key: key}, 200, "Organisation member deleted successfully")
		f.want(create, 403, "Unauthorized")
		f.want(call{path: org, key: personal}, 403, "Unauthorized: must be a member of the organisation")
		f.want(call{path: one.path, key: key}, 404, "membership not found")
		f.want(call{path: "/ui/organisations/01K1ZZZZZZZZZZZZZZZZZZZZZZ", key: key}, 404, "Organization not found")
	})
}

// TestOrganisations makes one, renames and deletes it.
func TestOrganisations(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		u := f.newUser("ada@example.com")
		key := f.signIn(u).Token.Access
		create := call{method: "POST", path: "/ui/organisations", key: key, body: `{"name":"Navy"}`}
		f.want(create, 403, "Unauthorized") // nobody may sign up, and she is no administrator
		f.api.SignIn.Config.SignUp = true
		var o organisationView
		f.want(create, 201, "Organisation created successfully").data(t, &o)
		if o.OwnerID != u.ID {
			t.Fatalf("%+v", o)
		}
		one := "/ui/organisations/" + string(o.UID)
		f.want(call{method: "PUT", path: one, key: key, body: `{"name":"Army"}`}, 202, "Organisation updated successfully")
		var list pagedTotal[organisationView]
		f.want(call{path: "/ui/organisations", key: key}, 200, "Organisations fetched successfully").data(t, &list)
		if len(list.Content) != 1 || list.Content[0].Name != "Army" || list.Pagination.Total != 1 {
			t.Fatalf("%+v", list)
		}
		// The owner stays; another administrator cannot delete what is not theirs.
		admin := f.newUser("admin@example.com")
		if err := f.store.CreateMembership(t.Context(), &convoy.Membership{
			UserID: admin.ID, OrganisationID: o.UID, Role: convoy.Role{Type: convoy.RoleOrganisationAdmin}, CreatedAt: f.now,
		}); err != nil {
			t.Fatal(err)
		}
		theirs := f.signIn(admin).Token.Access
		var members paged[memberView]
		f.want(call{path: one + "/members?userID=" + string(u.ID), key: theirs}, 200, "Organisation members fetched successfully").data(t, &members)
		owner := one + "/members/" + string(members.Content[0].UID)
		f.want(call{method: "DELETE", path: owner, key: theirs}, 403, "cannot deactivate organisation owner")
		f.want(call{method: "PUT", path: owner, key: theirs, body: `{"role":{"type":"project_viewer"}}`}, 403, "cannot deactivate organisation owner")
		f.want(call{method: "DELETE", path: one, key: theirs}, 403, "only its owner can delete an organisation")

		var p createdProject
		f.want(call{method: "POST", path: "/api/v1/projects?orgID=" + string(o.UID), key: key, body: `{"name":"fleet","type":"outgoing"}`}, 201, "Project created successfully").data(t, &p)
		f.want(call{path: "/api/v1/projects/" + string(p.Project.UID), key: p.Key.Key}, 200, "Project fetched successfully")
		f.want(call{method: "DELETE", path: one, key: key}, 200, "Organisation deleted successfully")
		f.want(call{path: "/api/v1/projects/" + string(p.Project.UID), key: p.Key.Key}, 400, "project not found")
		f.want(call{path: one, key: key}, 404, "Organization not found")
	})
}
