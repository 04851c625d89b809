package api

import (
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/signin"
	"convoy/internal/store/sqldb"
	"convoy/internal/testenv"
)

// single sets single sign-on up.
func (f *fixture) single(change func(*signin.OIDC)) *testenv.IdentityProvider {
	f.t.Helper()
	p := testenv.NewIdentityProvider(f.t, func() time.Time { return f.now })
	o := signin.OIDC{
		Issuer: p.URL, ClientID: testenv.ClientID, ClientSecret: testenv.ClientSecret, RedirectURL: "https://convoy.example.com/sso/callback",
		Scopes: []string{"openid", "email", "profile"}, Name: "Example", Transport: http.DefaultTransport,
	}
	if change != nil {
		change(&o)
	}
	desk, err := signin.New(signin.Config{
		Store: f.store, Told: f.catalog, Mail: f.mails, OIDC: &o, PublicURL: "https://convoy.example.com", Log: slog.New(slog.NewJSONHandler(f.log, nil)),
		Now: func() time.Time { return f.now },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(desk.Wait)
	desk.Config.SignUp = f.api.SignIn.Config.SignUp
	f.api.SignIn = desk
	return p
}

// begin goes to the provider, and returns the request that comes back from it.
func (f *fixture) begin(p *testenv.IdentityProvider) call {
	f.t.Helper()
	a := f.want(call{path: ssoPath, key: "-"}, 200, "Single sign-on begun successfully")
	var v ssoBegunView
	a.data(f.t, &v)
	cookie, _, ok := strings.Cut(a.header.Get("Set-Cookie"), ";")
	if !ok || !strings.HasPrefix(cookie, ssoCookie+"=") || !strings.Contains(a.header.Get("Set-Cookie"), "HttpOnly; SameSite=Strict") {
		f.t.Fatalf("cookie %q", a.header.Get("Set-Cookie"))
	}
	code, state := p.Consent(v.RedirectURL)
	return call{
		method: "POST", path: ssoPath, key: "-", body: `{"code":"` + code + `","state":"` + state + `"}`, header: map[string]string{"Cookie": cookie},
	}
}

// verified makes a user whose address is verified.
func (f *fixture) verified(email string) *convoy.User {
	f.t.Helper()
	u := f.newUser(email)
	u.EmailVerifiedAt = f.now
	if err := f.store.UpdateProfile(f.t.Context(), u); err != nil {
		f.t.Fatal(err)
	}
	return u
}

// TestSSO signs in by a provider: as who has a verified address first, then as
// whom the provider says, whatever the address has become.
func TestSSO(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		f.want(call{path: ssoPath, key: "-"}, 404, "single sign-on is not set up")
		p := f.single(nil)
		u := f.verified("ada@example.com")
		var config authConfigurationView
		f.want(call{path: "/ui/configuration/auth", key: "-"}, 200, "Configuration fetched successfully").data(t, &config)
		if !config.SSO.Enabled || config.SSO.Name != "Example" {
			t.Errorf("%+v", config)
		}
		finish := f.begin(p)
		var in signedInView
		f.want(finish, 200, "Login successful").data(t, &in)
		if in.UID != u.ID {
			t.Errorf("signed in as %s, want %s", in.UID, u.ID)
		}
		f.want(call{path: "/ui/users/" + string(u.ID) + "/profile", key: in.Token.Access}, 200, "User fetched successfully")
		f.want(finish, 401, "the provider did not confirm the sign-in, try again") // the code was used

		p.Say(map[string]any{"email": "other@example.com", "email_verified": false})
		f.want(f.begin(p), 200, "Login successful").data(t, &in)
		if in.UID != u.ID {
			t.Errorf("signed in as %s, want %s", in.UID, u.ID)
		}
		sessions, err := f.store.Sessions(t.Context(), u.ID, f.now)
		if err != nil || len(sessions) != 2 || sessions[0].Method != convoy.ByOIDC {
			t.Errorf("%+v, %v", sessions, err)
		}
	})
}

// TestSSORefuses refuses what does not come from this browser, this provider, this
// moment, or whose address is not certain.
func TestSSORefuses(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		p := f.single(nil)
		f.verified("ada@example.com")
		f.newUser("unverified@example.com")
		const refused, foreign = "the provider did not confirm the sign-in, try again", "sign-in has expired or was not begun here, try again"
		other, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			claims map[string]any
			change func(*call)
			key    *rsa.PrivateKey
			after  time.Duration
			status int
			says   string
		}{
			"no cookie":                 {change: func(c *call) { c.header = nil }, status: 401, says: foreign},
			"another browser":           {change: func(c *call) { c.header = f.begin(p).header }, status: 401, says: foreign},
			"another state":             {change: func(c *call) { c.body = strings.Replace(c.body, `"state":"`, `"state":"x`, 1) }, status: 401, says: foreign},
			"another's code":            {change: func(c *call) { c.body = codeOfBody(f.begin(p).body, c.body) }, status: 401, says: refused},
			"too late":                  {after: 11 * time.Minute, status: 401, says: foreign},
			"another nonce":             {claims: map[string]any{"nonce": "another"}, status: 401, says: refused},
			"another audience":          {claims: map[string]any{"aud": "another"}, status: 401, says: refused},
			"another issuer":            {claims: map[string]any{"iss": "https://elsewhere.example.com"}, status: 401, says: refused},
			"expired":                   {claims: map[string]any{"exp": 1}, status: 401, says: refused},
			"another key":               {key: other, status: 401, says: refused},
			"no subject":                {claims: map[string]any{"sub": ""}, status: 401, says: refused},
			"address not verified":      {claims: map[string]any{"sub": "2", "email_verified": false}, status: 403, says: "the provider has not verified your e-mail address"},
			"address not said verified": {claims: map[string]any{"sub": "2", "email_verified": nil}, status: 403, says: "the provider has not verified your e-mail address"},
			"no address":                {claims: map[string]any{"sub": "2", "email": ""}, status: 403, says: "the provider has not verified your e-mail address"},
			"not verified here": {
				claims: map[string]any{"sub": "2", "email": "unverified@example.com"}, status: 403,
				says: "there is an account with your e-mail address, which is not verified: sign in to it and verify the address first",
			},
			"a stranger": {
				claims: map[string]any{"sub": "2", "email": "stranger@example.com"}, status: 403,
				says: "there is no account with your e-mail address: ask to be invited",
			},
		} {
			t.Run(name, func(*testing.T) {
				p.Say(c.claims)
				p.SignWith(c.key)
				finish := f.begin(p)
				if c.change != nil {
					c.change(&finish)
				}
				before := f.now
				f.now = f.now.Add(c.after)
				defer func() { f.now = before }()
				f.want(finish, c.status, c.says)
			})
		}
	})
}

// codeOfBody puts the code of one body into another.
func codeOfBody(from, into string) string {
	code := func(body string) string { return strings.SplitN(body, `"`, 5)[3] }
	return strings.Replace(into, code(into), code(from), 1)
}

// TestSSOSignUp makes an account for whoever has none.
func TestSSOSignUp(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		p := f.single(func(o *signin.OIDC) { o.SignUp = true })
		var one, two signedInView
		f.want(f.begin(p), 200, "Login successful").data(t, &one)
		f.want(f.begin(p), 200, "Login successful").data(t, &two)
		if one.UID != two.UID || one.Email != "ada@example.com" || one.FirstName != "Ada" || !one.EmailVerified {
			t.Errorf("%+v, %+v", one, two)
		}
		var organisations pagedTotal[organisationView]
		f.want(call{path: "/ui/organisations", key: one.Token.Access}, 200, "Organisations fetched successfully").data(t, &organisations)
		if len(organisations.Content) != 1 || organisations.Content[0].Name != "Ada Lovelace" {
			t.Errorf("%+v", organisations)
		}
		// There is no password to guess.
		f.want(call{method: "POST", path: "/ui/auth/login", key: "-", body: `{"username":"ada@example.com","password":""}`}, 400, "password:please provide your password")
		f.want(call{method: "POST", path: "/ui/auth/login", key: "-", body: `{"username":"ada@example.com","password":"-"}`}, 403, "Invalid credentials")
	})
}

// TestSSOProviderDown says that the provider is away, and goes on when it is back.
func TestSSOProviderDown(t *testing.T) {
	t.Parallel()
	f := setup(t, openSQLite(t))
	p := f.single(nil)
	f.verified("ada@example.com")
	p.GoDown(true)
	const away = "the sign-in provider does not answer, try again later"
	f.want(call{path: ssoPath, key: "-"}, 503, away)
	p.GoDown(false)
	f.want(call{path: ssoPath, key: "-"}, 503, away) // not asked again at once
	f.now = f.now.Add(6 * time.Second)
	finish := f.begin(p)
	p.GoDown(true)
	f.want(finish, 503, away)
}
