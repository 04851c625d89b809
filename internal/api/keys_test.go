package api

import (
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// TestPersonalKeys makes a key that acts as its user, and revokes it.
func TestPersonalKeys(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		u := f.newUser("ada@example.com")
		f.join(u, convoy.RoleProjectViewer)
		token, all := f.signIn(u).Token.Access, "/ui/users/"+string(u.ID)+"/security"
		create := call{method: "POST", path: all + "/personal_api_keys", key: token, body: `{"name":"laptop"}`}
		var k keyView
		f.want(create, 201, "Personal API Key created successfully").data(t, &k)
		if k.Type != convoy.PersonalKey || k.ExpiresAt == nil || !k.ExpiresAt.Equal(f.now.AddDate(0, 0, 1)) {
			t.Fatalf("%+v", k)
		}
		f.want(call{path: "endpoints", key: k.Key}, 200, "Endpoints fetched successfully")
		f.want(create.with(k.Key), 403, "sign in to do this: a key is not enough")
		var list []listedKeyView
		f.want(call{path: all + "?keyType=personal_key", key: k.Key}, 200, "api keys fetched successfully").data(t, &list)
		if len(list) != 1 || list[0].UID != k.UID || len(list[0].Mask) != 16 {
			t.Fatalf("%+v", list)
		}
		f.want(call{method: "PUT", path: all + "/" + string(k.UID) + "/revoke", key: token}, 200, "personal api key revoked successfully")
		f.want(call{path: "endpoints", key: k.Key}, 401, "authorization failed")
	})
}

// TestProjectKeys makes, replaces and revokes the keys of a project.
func TestProjectKeys(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		u, viewer := f.newUser("ada@example.com"), f.newUser("viewer@example.com")
		f.join(u, convoy.RoleOrganisationAdmin)
		f.join(viewer, convoy.RoleProjectViewer)
		token := f.signIn(u).Token.Access
		keys := "/ui/organisations/" + string(f.org.ID) + "/projects/" + string(f.project.ID) + "/security/keys"
		create := call{method: "POST", path: keys, key: token, body: `{"name":"reader","role":"project_viewer","expiration":7}`}
		f.want(create.with(f.signIn(viewer).Token.Access), 403, "Unauthorized")
		f.want(create.with(f.key), 403, "Unauthorized")
		other := create
		other.path = "/ui/organisations/01K1ZZZZZZZZZZZZZZZZZZZZZZ/projects/" + string(f.project.ID) + "/security/keys"
		f.want(other, 400, "project not found")
		var k keyView
		f.want(create, 201, "API Key created successfully").data(t, &k)
		f.want(call{path: "endpoints", key: k.Key}, 200, "Endpoints fetched successfully")
		f.want(call{method: "POST", path: "endpoints", key: k.Key, body: "{}"}, 403, "Unauthorized")
		var list []listedKeyView
		f.want(call{path: keys, key: token}, 200, "api keys fetched successfully").data(t, &list)
		if len(list) != 2 {
			t.Fatalf("%+v", list)
		}
		f.want(call{method: "PUT", path: keys + "/" + string(k.UID) + "/revoke", key: token}, 200, "api key revoked successfully")
		f.want(call{path: "endpoints", key: k.Key}, 401, "authorization failed")

		roll := call{method: "PUT", path: keys + "/regenerate", key: token, body: `{"overlap_seconds":60}`}
		var first, second keyView
		f.want(roll, 200, "api key regenerated successfully").data(t, &first)
		f.want(call{path: "endpoints"}, 200, "Endpoints fetched successfully") // for a minute yet
		f.want(call{path: "endpoints", key: first.Key}, 200, "Endpoints fetched successfully")
		f.want(call{path: keys, key: token}, 200, "api keys fetched successfully").data(t, &list)
		old := slices.IndexFunc(list, func(k listedKeyView) bool { return k.ExpiresAt != nil })
		if len(list) != 2 || old < 0 || !list[old].ExpiresAt.Equal(f.now.Add(time.Minute)) || list[1-old].ExpiresAt != nil {
			t.Fatalf("%+v", list)
		}
		roll.body = ""
		f.want(roll, 200, "api key regenerated successfully").data(t, &second)
		f.want(call{path: "endpoints"}, 401, "authorization failed")
		f.want(call{path: "endpoints", key: first.Key}, 401, "authorization failed")
		f.want(call{path: "endpoints", key: second.Key}, 200, "Endpoints fetched successfully")
	})
}

// TestTOTP signs in with a second factor: a code works once, and so does a
// recovery code.
func TestTOTP(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		u := f.newUser("ada@example.com")
		key, all := f.signIn(u).Token.Access, "/ui/users/"+string(u.ID)+"/totp"
		f.want(call{method: "POST", path: all, key: key, body: `{"password":"not the password"}`}, 400, "current password is invalid")
		f.want(call{method: "POST", path: all + "/confirm", key: key, body: `{"code":"123456"}`}, 400, "two-factor authentication is not being set up")
		secret := f.enrol(u, key)
		f.signIn(u) // it is not on yet
		wrong := "000000"
		if codeOf(t, secret, f.now) == wrong {
			wrong = "000001"
		}
		f.want(call{method: "POST", path: all + "/confirm", key: key, body: `{"code":"` + wrong + `"}`}, 400, "code:is not the one that the app shows now")
		var v recoveryView
		f.want(call{method: "POST", path: all + "/confirm", key: key, body: `{"code":"` + codeOf(t, secret, f.now) + `"}`}, 200, "Two-factor authentication is on").data(t, &v)
		if len(v.Codes) != 10 {
			t.Fatalf("%+v", v)
		}
		login := func(code string) call {
			return call{method: "POST", path: "/ui/auth/login", key: "-", body: `{"username":"ada@example.com","password":"` + samplePassword + `","code":"` + code + `"}`}
		}
		f.want(login(""), 401, "two-factor code required")
		f.want(login(wrong), 401, "two-factor code invalid")
		f.want(login(codeOf(t, secret, f.now)), 401, "two-factor code invalid") // it confirmed
		next := codeOf(t, secret, f.now.Add(30*time.Second))
		f.want(login(next), 200, "Login successful")
		f.want(login(next), 401, "two-factor code invalid")
		f.want(login(codeOf(t, secret, f.now.Add(2*time.Minute))), 401, "two-factor code invalid")
		f.want(login(v.Codes[3]), 200, "Login successful")
		f.want(login(v.Codes[3]), 401, "two-factor code invalid")
		bad := login("").body
		f.want(call{method: "POST", path: "/ui/auth/login", key: "-", body: bad[:len(bad)-len(`","code":""}`)] + `!"}`}, 403, "Invalid credentials")

		f.want(call{method: "POST", path: all, key: key, body: `{"password":"` + samplePassword + `"}`}, 400, "two-factor authentication is on already")
		f.want(call{method: "POST", path: all + "/disable", key: key, body: `{"password":"not the password"}`}, 400, "current password is invalid")
		f.want(call{method: "POST", path: all + "/disable", key: key, body: `{"password":"` + samplePassword + `"}`}, 200, "Two-factor authentication is off")
		f.want(login(""), 200, "Login successful")
	})
}
