package api

import (
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/limit"
	"convoy/internal/store/sqldb"
)

// signIn signs somebody in by their password.
func (f *fixture) signIn(u *convoy.User) signedInView {
	f.t.Helper()
	var v signedInView
	f.want(call{method: "POST", path: "/ui/auth/login", key: "-", body: `{"username":"` + u.Email + `","password":"` + samplePassword + `"}`},
		200, "Login successful").data(f.t, &v)
	return v
}

// TestSignIn follows a session: it acts on the API and below /ui, is refreshed,
// listed, and ended.
func TestSignIn(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		u := f.newUser("ada@example.com")
		f.join(u, convoy.RoleProjectViewer)
		const login = "/ui/auth/login"
		for _, body := range []string{
			`{"username":"ada@example.com","password":"another horse battery"}`, `{"username":"nobody@example.com","password":"` + samplePassword + `"}`,
		} {
			f.want(call{method: "POST", path: login, key: "-", body: body}, 403, "Invalid credentials")
		}
		v := f.signIn(&convoy.User{Email: " ADA@example.com"})
		if v.UID != u.ID {
			t.Fatalf("signed in as %+v", v)
		}
		access := v.Token.Access
		f.want(call{path: "endpoints", key: access}, 200, "Endpoints fetched successfully")
		f.want(call{method: "POST", path: "endpoints", key: access, body: `{"name":"a","url":"http://example.com"}`}, 403, "Unauthorized")
		f.want(call{path: "/ui/users/" + string(u.ID) + "/profile", key: access}, 200, "User fetched successfully")
		f.want(call{path: "/ui/users/" + string(f.user.ID) + "/profile", key: access}, 403, "Unauthorized")
		f.want(call{path: "/ui/users/" + string(u.ID) + "/profile", key: "-"}, 401, "Authentication required")
		f.want(call{path: "/ui/users/" + string(u.ID) + "/profile", key: f.key}, 403, "Unauthorized")
		f.want(call{path: "endpoints", key: v.Token.Refresh}, 401, "authorization failed")

		// A key of a person is not a session.
		personal := f.newKey(func(k *convoy.APIKey) { k.Type, k.UserID = convoy.PersonalKey, u.ID })
		change := call{method: "PUT", path: "/ui/users/" + string(u.ID) + "/password", key: personal,
			body: `{"current_password":"` + samplePassword + `","password":"another horse","password_confirmation":"another horse"}`}
		f.want(change, 403, "sign in to do this: a key is not enough")

		// The tokens are exchanged; who comes at the same moment gets the same.
		refresh := call{method: "POST", path: "/ui/auth/token/refresh", key: "-", body: `{"access_token":"` + access + `","refresh_token":"` + v.Token.Refresh + `"}`}
		var one, two tokensView
		f.want(refresh, 200, "Token refresh successful").data(t, &one)
		f.want(refresh, 200, "Token refresh successful").data(t, &two)
		if one != two || one == v.Token {
			t.Fatalf("tokens %v, then %v", one, two)
		}
		f.want(call{path: "endpoints", key: one.Access}, 200, "Endpoints fetched successfully")

		other := f.signIn(u)
		var list []sessionView
		sessions := call{path: "/ui/users/" + string(u.ID) + "/sessions", key: one.Access}
		f.want(sessions, 200, "Sessions fetched successfully").data(t, &list)
		if len(list) != 2 || list[0].Current || !list[1].Current || list[0].IP != "127.0.0.1" {
			t.Fatalf("sessions %+v", list)
		}
		f.want(call{method: "DELETE", path: sessions.path + "/" + string(list[0].UID), key: one.Access}, 200, "Session ended successfully")
		f.want(call{path: "endpoints", key: other.Token.Access}, 401, "authorization failed")
		f.want(call{method: "POST", path: "/ui/auth/logout", key: one.Access}, 200, "Logout successful")
		f.want(call{path: "endpoints", key: one.Access}, 401, "authorization failed")
		f.want(refresh, 401, "Invalid or expired token")

		// Another password ends all other sessions.
		mine, theirs := f.signIn(u), f.signIn(u)
		change.key = mine.Token.Access
		bad := change
		bad.body = strings.Replace(bad.body, samplePassword, "not it, not at all", 1)
		f.want(bad, 400, "current password is invalid")
		f.want(change, 200, "Password updated successfully")
		f.want(call{path: "endpoints", key: theirs.Token.Access}, 401, "authorization failed")
		f.want(call{path: "endpoints", key: mine.Token.Access}, 200, "Endpoints fetched successfully")
		f.want(call{method: "POST", path: login, key: "-", body: `{"username":"` + u.Email + `","password":"` + samplePassword + `"}`}, 403, "Invalid credentials")
		if log := f.log.String(); strings.Contains(log, mine.Token.Access) || strings.Contains(log, "another horse") {
			t.Error("the log has a secret")
		}
	})
}

// TestRefreshReuse presents a refresh token again after the grace: the whole
// session ends.
func TestRefreshReuse(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		v := f.signIn(f.newUser("ada@example.com"))
		refresh := func(token string) call {
			return call{method: "POST", path: "/ui/auth/token/refresh", key: "-", body: `{"refresh_token":"` + token + `"}`}
		}
		var next tokensView
		f.want(refresh(v.Token.Refresh), 200, "Token refresh successful").data(t, &next)
		f.api.SignIn.Now = func() time.Time { return f.now.Add(11 * time.Second) }
		f.want(refresh(v.Token.Refresh), 401, "Invalid or expired token")
		f.want(refresh(next.Refresh), 401, "Invalid or expired token")
		f.want(call{path: "/ui/users/" + string(v.UID) + "/profile", key: next.Access}, 401, "authorization failed")
	})
}

// TestCookies signs in as a browser does.
func TestCookies(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t), func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	u := f.newUser("ada@example.com")
	body := `{"username":"` + u.Email + `","password":"` + samplePassword + `"}`
	tls := map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9, 198.51.100.7, 127.0.0.2"}
	a := f.want(call{method: "POST", path: "/ui/auth/login", key: "-", body: body, header: tls}, 200, "Login successful")
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) != 2 {
		t.Fatalf("cookies %v", cookies)
	}
	for i, name := range []string{"__Host-convoy_session", "__Host-convoy_refresh"} {
		if c := cookies[i]; c.Name != name || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteStrictMode || c.MaxAge <= 0 {
			t.Errorf("cookie %+v", c)
		}
	}
	list, err := f.store.Sessions(t.Context(), u.ID, f.now)
	if err != nil || len(list) != 1 || list[0].IP != "198.51.100.7" {
		t.Fatalf("sessions %+v, %v", list, err)
	}
	under := func(c call, more ...string) call {
		c.key, c.header = "-", map[string]string{"Cookie": cookies[0].Name + "=" + cookies[0].Value, "X-Forwarded-Proto": "https"}
		for i := 0; i < len(more); i += 2 {
			c.header[more[i]] = more[i+1]
		}
		return c
	}
	profile := call{path: "/ui/users/" + string(u.ID) + "/profile"}
	f.want(under(profile), 200, "User fetched successfully")
	plain := under(profile)
	plain.header["Cookie"] = "convoy_session=" + cookies[0].Value // as another host could have set it
	f.want(plain, 401, "Authentication required")
	f.want(under(call{path: "/api/v1/projects?orgID=" + string(f.org.ID)}), 403, "Unauthorized: must be a member of the organisation")

	// What another site's page asks for is refused, unless it only reads.
	out := call{method: "POST", path: "/ui/auth/logout"}
	f.want(under(out, "Sec-Fetch-Site", "cross-site"), 403, "requests of other origins are refused")
	f.want(under(out, "Origin", "https://evil.example.com"), 403, "requests of other origins are refused")
	f.want(under(call{method: "POST", path: "endpoints", body: "{}"}, "Sec-Fetch-Site", "same-site"), 403, "requests of other origins are refused")
	f.want(call{method: "POST", path: "/ui/auth/login", key: "-", body: body, header: map[string]string{"Sec-Fetch-Site": "cross-site"}},
		403, "requests of other origins are refused")
	f.want(under(profile, "Sec-Fetch-Site", "cross-site"), 200, "User fetched successfully")
	gone := f.want(under(out, "Sec-Fetch-Site", "same-origin"), 200, "Logout successful")
	for _, c := range (&http.Response{Header: gone.header}).Cookies() {
		if c.MaxAge >= 0 || c.Value != "" {
			t.Errorf("cookie %+v after signing out", c)
		}
	}
	f.want(under(profile), 401, "authorization failed")

	// A browser without TLS keeps them under other names, and refreshes by them alone.
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	f.server.Client().Jar = jar
	f.want(call{method: "POST", path: "/ui/auth/login", key: "-", body: body}, 200, "Login successful")
	at, err := url.Parse(f.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	before := jar.Cookies(at)
	f.want(profile.with("-"), 200, "User fetched successfully")
	f.want(call{method: "POST", path: "/ui/auth/token/refresh", key: "-"}, 200, "Token refresh successful")
	if after := jar.Cookies(at); len(after) != 2 || after[0].Value == before[0].Value || strings.HasPrefix(after[0].Name, hostPrefix) {
		t.Fatalf("cookies %v, then %v", before, after)
	}
	f.want(profile.with("-"), 200, "User fetched successfully")
}

// with is the call with another key.
func (c call) with(key string) call {
	c.key = key
	return c
}

// TestThrottle guesses passwords: the account is closed after ten, then the
// address after fifty, also for those who know theirs.
func TestThrottle(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	f.api.SignIn = f.desk(limit.NewMemory())
	a, b := f.newUser("ada@example.com"), f.newUser("bob@example.com")
	guess := func(email, password string) answer {
		return f.do(call{method: "POST", path: "/ui/auth/login", key: "-", body: `{"username":"` + email + `","password":"` + password + `"}`})
	}
	fail := func(email string, n int) {
		for i := range n {
			if got := guess(email, "a wrong password"); got.status != 403 {
				t.Fatalf("guess %d for %s: %d %s", i, email, got.status, got.body)
			}
		}
	}
	closed := func(email string) {
		got := guess(email, samplePassword)
		if got.status != 429 || got.header.Get("Retry-After") == "" {
			t.Fatalf("%s after too many failures: %d %s", email, got.status, got.body)
		}
	}
	fail(a.Email, 10)
	closed(a.Email)
	if got := guess(b.Email, samplePassword); got.status != 200 {
		t.Fatalf("another account: %d %s", got.status, got.body)
	}
	for _, nobody := range []string{"c@example.com", "d@example.com", "e@example.com", "f@example.com"} {
		fail(nobody, 10)
		closed(nobody)
	}
	// The address is what is closed. One failure is forgotten every 18 s, which this
	// may have taken on a busy machine, so that some more are needed.
	for i := 0; guess(b.Email, samplePassword).status != 429; i++ {
		if i == 5 {
			t.Fatal("the address is not closed")
		}
		guess("g@example.com", "a wrong password")
	}
}

// TestSignUp is refused unless it is allowed.
func TestSignUp(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		up := call{method: "POST", path: "/ui/auth/register", key: "-",
			body: `{"first_name":"Grace","last_name":"Hopper","email":"Grace@Example.com","password":"` + samplePassword + `","org_name":"Navy"}`}
		f.want(up, 403, "user registration is disabled")
		f.api.SignIn.Config.SignUp = true
		short := up
		short.body = strings.Replace(up.body, samplePassword, "elevenchars", 1)
		f.want(short, 400, "password:must have at least 12 characters")
		var v signedInView
		f.want(up, 201, "Registration successful").data(t, &v)
		if v.Email != "grace@example.com" || v.EmailVerified || v.InstanceAdmin {
			t.Fatalf("%+v", v)
		}
		f.want(up, 400, "this email is taken")
		f.api.SignIn.Wait()
		mail := f.mails.take(t, "grace@example.com")
		token := tokenIn(t, mail, "/verify-email?token=")
		verify := call{method: "POST", path: "/ui/users/verify_email?token=" + token, key: "-"}
		f.want(verify, 200, "Email has been verified successfully")
		f.want(verify, 400, "invalid or expired token")
		var u UserView
		f.want(call{path: "/ui/users/" + string(v.UID) + "/profile", key: v.Token.Access}, 200, "User fetched successfully").data(t, &u)
		if !u.EmailVerified {
			t.Fatalf("%+v", u)
		}
		f.want(call{method: "POST", path: "/ui/users/resend_verification_email", key: v.Token.Access}, 200, "Verification email sent successfully")
		f.api.SignIn.Wait()
		if f.mails.count() != 0 {
			t.Error("a verified address is asked to be verified")
		}
	})
}

// TestResetPassword asks for a link and uses it, once.
func TestResetPassword(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		u := f.newUser("ada@example.com")
		v := f.signIn(u)
		ask := func(email string) answer {
			a := f.do(call{method: "POST", path: "/ui/users/forgot-password", key: "-", body: `{"email":"` + email + `"}`})
			f.api.SignIn.Wait()
			return a
		}
		known, unknown := ask("ada@example.com"), ask("nobody@example.com")
		if known.status != 200 || known.body != unknown.body || f.mails.count() != 1 {
			t.Fatalf("%s, %s and %d mails", known.body, unknown.body, f.mails.count())
		}
		token := tokenIn(t, f.mails.take(t, u.Email), "/reset-password?token=")
		reset := call{method: "POST", path: "/ui/users/reset-password?token=" + token, key: "-",
			body: `{"password":"a brand new one","password_confirmation":"a brand new one"}`}
		other := reset
		other.path = "/ui/users/reset-password?token=" + strings.Repeat("a", 64)
		f.want(other, 400, "invalid or expired token")
		other.path, other.body = reset.path, `{"password":"a brand new one","password_confirmation":"another"}`
		f.want(other, 400, "password_confirmation:must be the same as password")
		f.want(reset, 200, "Password reset successful")
		f.want(reset, 400, "invalid or expired token")
		f.want(call{path: "/ui/users/" + string(u.ID) + "/profile", key: v.Token.Access}, 401, "authorization failed")
		f.want(call{method: "POST", path: "/ui/auth/login", key: "-", body: `{"username":"ada@example.com","password":"a brand new one"}`}, 200, "Login successful")
		if strings.Contains(f.log.String(), token) {
			t.Error("the log has a token")
		}

		// A link ends after an hour.
		ask("ada@example.com")
		late := tokenIn(t, f.mails.take(t, u.Email), "/reset-password?token=")
		f.api.SignIn.Now = func() time.Time { return f.now.Add(time.Hour) }
		reset.path = "/ui/users/reset-password?token=" + late
		f.want(reset, 400, "invalid or expired token")
	})
}
