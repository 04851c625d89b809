package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/http/cookiejar"
	"net/mail"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoy/internal/testenv"
)

// TestPeople has people invited, signed in and shut out, over HTTP and with an SMTP
// server, by every process of an instance in turn.
func TestPeople(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		letters, dir := make(letters, 16), filepath.Join(t.TempDir(), "data")
		env, provider := peopleSettings(t, letters)
		p := newProcess(t, "standalone", append(environment(t), env...), "standalone", "--data-dir", dir)
		p.start()
		people(t, letters, provider, client{p.url(), credentials(t, dir)})
	})
	for name, top := range map[string]topology{
		"redis":          {redis: true, intake: "queued", servers: 2, agents: 1, schedulers: 1},
		"postgres alone": {servers: 2, agents: 1, schedulers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			long(t)
			letters := make(letters, 16)
			env, provider := peopleSettings(t, letters)
			top.env = env
			c := startCluster(t, top)
			people(t, letters, provider, c.client(c.servers[0]), c.client(c.servers[1]))
		})
	}
}

// peopleSettings are for mail, signing up and a provider of OpenID Connect.
func peopleSettings(t *testing.T, letters letters) (env []string, provider *testenv.IdentityProvider) {
	t.Helper()
	provider = testenv.NewIdentityProvider(t, time.Now)
	return append(letters.serve(t), "CONVOY_SIGNUP_ENABLED=true", "CONVOY_OIDC_ISSUER="+provider.URL, "CONVOY_OIDC_CLIENT_ID="+testenv.ClientID,
		"CONVOY_OIDC_CLIENT_SECRET="+testenv.ClientSecret), provider
}

// visitor is somebody with a browser or a program, at one process after the other.
type visitor struct {
	t     *testing.T
	doors []client
	turn  int
	// token is sent, if any.
	token string
}

// ask sends a request to the next process and returns its answer.
func (v *visitor) ask(method, path string, body any) reply {
	v.t.Helper()
	c := v.doors[v.turn%len(v.doors)]
	v.turn++
	return v.at(c, method, path, body)
}

func (v *visitor) at(c client, method, path string, body any) reply {
	v.t.Helper()
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			v.t.Fatal(err)
		}
	}
	c.APIKey = v.token
	r, err := c.send(v.t.Context(), web, method, path, raw)
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// must is ask for an answer with a status, whose data it reads into into unless that
// is nil.
func (v *visitor) must(method, path string, body any, status int, into any) {
	v.t.Helper()
	r := v.ask(method, path, body)
	if r.status != status {
		v.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, status, r.raw)
	}
	if into != nil {
		if err := json.Unmarshal(r.Data, into); err != nil {
			v.t.Fatalf("%s %s: %v in %s", method, path, err, r.Data)
		}
	}
}

// tokens are those of a session.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// signedIn is the answer to who signs in or up.
type signedIn struct {
	UID   string `json:"uid"`
	Token tokens `json:"token"`
}

func (v *visitor) signIn(email, password string) signedIn {
	v.t.Helper()
	var s signedIn
	v.must(http.MethodPost, "/ui/auth/login", map[string]string{"username": email, "password": password}, http.StatusOK, &s)
	return s
}

// everywhere waits until every process refuses the token, and says how long it took.
func (v *visitor) everywhere(what, path string, status int) {
	v.t.Helper()
	start := time.Now()
	for _, c := range v.doors {
		await(v.t, time.Second, what+" acts at "+c.base, func() error {
			if r := v.at(c, http.MethodGet, path, nil); r.status != status {
				return fmt.Errorf("status %d, want %d: %s", r.status, status, r.raw)
			}
			return nil
		})
	}
	v.t.Logf("%s acted everywhere after %v", what, time.Since(start).Round(time.Millisecond))
}

var mailedToken = regexp.MustCompile(`token=([0-9A-Za-z]{64})`)

// tokenFor is the token in the next letter, which is to somebody.
func (l letters) tokenFor(t *testing.T, to, title string) string {
	t.Helper()
	select {
	case text := <-l:
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		body := m.Body
		if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(body)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		found := mailedToken.FindSubmatch(b)
		if m.Header.Get("To") != "<"+to+">" || !strings.Contains(m.Header.Get("Subject"), title) || found == nil {
			t.Fatalf("letter %s", text)
		}
		return string(found[1])
	case <-time.After(30 * time.Second):
		t.Fatalf("no letter to %s came", to)
	}
	return ""
}

// Passwords that people choose.
const (
	firstPassword = "correct horse battery staple"
	nextPassword  = "staple battery horse correct"
)

// people is what happens in an instance whose processes are doors.
func people(t *testing.T, letters letters, provider *testenv.IdentityProvider, doors ...client) {
	t.Helper()
	admin := &visitor{t: t, doors: doors}
	admin.token = admin.signIn(doors[0].AdminEmail, doors[0].AdminPassword).Token.Access
	var organisations struct{ Content []struct{ UID string } }
	admin.must(http.MethodGet, "/ui/organisations", nil, http.StatusOK, &organisations)
	organisation := "/ui/organisations/" + organisations.Content[0].UID

	ben := invited(t, letters, admin, organisation, doors)
	rotated(t, ben)
	reset(t, letters, ben)
	removed(t, admin, ben, organisation)
	signedUp(t, letters, doors)
	single(t, provider, doors)
	browsed(t, doors[0])
	keys(t, admin, organisation, doors)
	linked(t, doors)
	guessed(t, doors)
}

const benAddress = "ben@example.com"

// invited invites somebody by mail, who accepts and signs in.
func invited(t *testing.T, letters letters, admin *visitor, organisation string, doors []client) *visitor {
	t.Helper()
	admin.must(http.MethodPost, organisation+"/invites", map[string]any{
		"invitee_email": benAddress, "role": map[string]string{"type": "project_admin", "project": doors[0].ProjectID},
	}, http.StatusCreated, nil)
	token := letters.tokenFor(t, benAddress, "nvit")
	ben := &visitor{t: t, doors: doors}
	var found struct {
		Known bool `json:"user_exists"`
	}
	ben.must(http.MethodGet, "/ui/users/token?token="+token, nil, http.StatusOK, &found)
	if found.Known {
		t.Error("who has no account is known")
	}
	accept := map[string]string{"first_name": "Ben", "last_name": "B", "password": firstPassword}
	ben.must(http.MethodPost, "/ui/organisations/process_invite?accepted=true&token="+token, accept, http.StatusOK, nil)
	if r := ben.ask(http.MethodPost, "/ui/organisations/process_invite?accepted=true&token="+token, accept); r.status < 400 {
		t.Errorf("an invitation is accepted twice: %s", r.raw)
	}
	ben.token = ben.signIn(benAddress, firstPassword).Token.Access
	ben.must(http.MethodGet, "/api/v1/projects/"+doors[0].ProjectID+"/endpoints", nil, http.StatusOK, nil)
	if r := ben.ask(http.MethodGet, organisation+"/invites/pending", nil); r.status != http.StatusForbidden {
		t.Errorf("a project's administrator lists invitations: %d", r.status)
	}
	return ben
}

// grace is for how long a refresh token may be brought once more.
const grace = 10 * time.Second

// rotated refreshes a session and later brings its first token again, as a thief
// would: the session ends.
func rotated(t *testing.T, ben *visitor) {
	t.Helper()
	thief := &visitor{t: t, doors: ben.doors}
	s := thief.signIn(benAddress, firstPassword)
	stolen := s.Token
	for range 2 {
		thief.must(http.MethodPost, "/ui/auth/token/refresh", map[string]string{"refresh_token": s.Token.Refresh}, http.StatusOK, &s.Token)
	}
	rest(t.Context(), grace+time.Second)
	thief.token = s.Token.Access
	thief.must(http.MethodGet, "/ui/users/"+s.UID+"/profile", nil, http.StatusOK, nil)
	if r := thief.ask(http.MethodPost, "/ui/auth/token/refresh", map[string]string{"refresh_token": stolen.Refresh}); r.status != http.StatusUnauthorized {
		t.Errorf("a refresh token that was exchanged: %d", r.status)
	}
	thief.everywhere("the end of a session whose token was stolen", "/ui/users/"+s.UID+"/profile", http.StatusUnauthorized)
}

// reset forgets a password and chooses another, which ends all sessions.
func reset(t *testing.T, letters letters, ben *visitor) {
	t.Helper()
	anybody := &visitor{t: t, doors: ben.doors}
	anybody.must(http.MethodPost, "/ui/users/forgot-password", map[string]string{"email": "nobody@example.com"}, http.StatusOK, nil)
	anybody.must(http.MethodPost, "/ui/users/forgot-password", map[string]string{"email": benAddress}, http.StatusOK, nil)
	token := letters.tokenFor(t, benAddress, "Reset")
	choose := map[string]string{"password": nextPassword, "password_confirmation": nextPassword}
	anybody.must(http.MethodPost, "/ui/users/reset-password?token="+token, choose, http.StatusOK, nil)
	if r := anybody.ask(http.MethodPost, "/ui/users/reset-password?token="+token, choose); r.status < 400 {
		t.Errorf("a token resets a password twice: %s", r.raw)
	}
	ben.everywhere("a reset password", "/ui/organisations", http.StatusUnauthorized)
	if r := anybody.ask(http.MethodPost, "/ui/auth/login", map[string]string{"username": benAddress, "password": firstPassword}); r.status < 400 {
		t.Errorf("the old password: %s", r.raw)
	}
	ben.token = ben.signIn(benAddress, nextPassword).Token.Access
}

// removed takes a member's rights away.
func removed(t *testing.T, admin, ben *visitor, organisation string) {
	t.Helper()
	var members struct {
		Content []struct {
			UID  string
			User struct{ Email string } `json:"user_metadata"`
		}
	}
	admin.must(http.MethodGet, organisation+"/members", nil, http.StatusOK, &members)
	path := "/api/v1/projects/" + ben.doors[0].ProjectID + "/endpoints"
	for range 2 * len(ben.doors) { // each process knows the membership
		ben.must(http.MethodGet, path, nil, http.StatusOK, nil)
	}
	for _, m := range members.Content {
		if m.User.Email == benAddress {
			admin.must(http.MethodDelete, organisation+"/members/"+m.UID, nil, http.StatusOK, nil)
		}
	}
	ben.everywhere("the removal of a member", path, http.StatusForbidden)
}

// signedUp makes an account and verifies its address.
func signedUp(t *testing.T, letters letters, doors []client) {
	t.Helper()
	cleo := &visitor{t: t, doors: doors}
	var s signedIn
	cleo.must(http.MethodPost, "/ui/auth/register", map[string]string{
		"first_name": "Cleo", "last_name": "C", "email": "cleo@example.com", "password": firstPassword, "org_name": "Cleo's",
	}, http.StatusCreated, &s)
	token := letters.tokenFor(t, "cleo@example.com", "Verify")
	cleo.token = s.Token.Access
	profile := func() (verified bool) {
		var p struct {
			Verified bool `json:"email_verified"`
		}
		cleo.must(http.MethodGet, "/ui/users/"+s.UID+"/profile", nil, http.StatusOK, &p)
		return p.Verified
	}
	if profile() {
		t.Error("the address is verified before the letter was read")
	}
	cleo.must(http.MethodPost, "/ui/users/verify_email?token="+token, map[string]string{}, http.StatusOK, nil)
	if !profile() {
		t.Error("the address is not verified")
	}
}

// single signs somebody in by the provider, whose address is verified on both sides,
// and turns a stranger away.
func single(t *testing.T, provider *testenv.IdentityProvider, doors []client) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second, Transport: web.Transport}
	by := func(email string) reply {
		t.Helper()
		provider.Say(map[string]any{"sub": email, "email": email})
		var begun struct {
			RedirectURL string `json:"redirectUrl"`
		}
		// Cookies are for a host, whatever the port: what one process begins another ends.
		r, err := doors[0].send(t.Context(), browser, http.MethodGet, "/ui/auth/sso", nil)
		if err != nil || json.Unmarshal(r.Data, &begun) != nil || r.status != http.StatusOK {
			t.Fatalf("%v, %s", err, r.raw)
		}
		code, state := provider.Consent(begun.RedirectURL)
		back, err := json.Marshal(map[string]string{"code": code, "state": state})
		if err != nil {
			t.Fatal(err)
		}
		r, err = doors[len(doors)-1].send(t.Context(), browser, http.MethodPost, "/ui/auth/sso", back)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var s signedIn
	if r := by("cleo@example.com"); r.status != http.StatusOK || json.Unmarshal(r.Data, &s) != nil {
		t.Fatalf("%s", r.raw)
	}
	cleo := &visitor{t: t, doors: doors, token: s.Token.Access}
	cleo.must(http.MethodGet, "/ui/users/"+s.UID+"/profile", nil, http.StatusOK, nil)
	if r := by("stranger@example.com"); r.status != http.StatusForbidden {
		t.Errorf("a stranger: %s", r.raw)
	}
}

// browsed signs in with cookies, which no other page can use.
func browsed(t *testing.T, c client) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second, Transport: web.Transport}
	send := func(method, path, from string, body any) int {
		t.Helper()
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, c.base+path, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Sec-Fetch-Site", from)
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		for _, cookie := range res.Cookies() {
			if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
				t.Errorf("cookie %s", cookie)
			}
		}
		return res.StatusCode
	}
	login := map[string]string{"username": c.AdminEmail, "password": c.AdminPassword}
	for _, step := range []struct {
		method, path, from string
		body               any
		status             int
	}{
		{http.MethodGet, "/ui/organisations", "same-origin", nil, http.StatusUnauthorized},
		{http.MethodPost, "/ui/auth/login", "cross-site", login, http.StatusForbidden},
		{http.MethodPost, "/ui/auth/login", "same-origin", login, http.StatusOK},
		{http.MethodGet, "/ui/organisations", "same-origin", nil, http.StatusOK},
		{http.MethodPost, "/ui/organisations", "cross-site", map[string]string{"name": "theirs"}, http.StatusForbidden},
		{http.MethodPost, "/ui/organisations", "same-origin", map[string]string{"name": "ours"}, http.StatusCreated},
		{http.MethodPost, "/ui/auth/token/refresh", "same-origin", map[string]string{}, http.StatusOK},
		{http.MethodPost, "/ui/auth/logout", "same-origin", map[string]string{}, http.StatusOK},
		{http.MethodGet, "/ui/organisations", "same-origin", nil, http.StatusUnauthorized},
	} {
		if status := send(step.method, step.path, step.from, step.body); status != step.status {
			t.Errorf("%s %s from %s: %d, want %d", step.method, step.path, step.from, status, step.status)
		}
	}
}

// guessed tries passwords at every process in turn, which count together.
func guessed(t *testing.T, doors []client) {
	t.Helper()
	const allowed = 10
	thief := &visitor{t: t, doors: doors}
	guess := map[string]string{"username": "cleo@example.com", "password": "not her password"}
	for i := range allowed {
		if r := thief.ask(http.MethodPost, "/ui/auth/login", guess); r.status != http.StatusForbidden {
			t.Fatalf("guess %d: %d %s", i, r.status, r.raw)
		}
	}
	for range 2 * len(doors) {
		r := thief.ask(http.MethodPost, "/ui/auth/login", guess)
		if after, err := strconv.Atoi(r.header.Get("Retry-After")); r.status != http.StatusTooManyRequests || err != nil || after < 1 || after > 90 {
			t.Errorf("one guess more: %d %v %s", r.status, r.header, r.raw)
		}
	}
	// Others sign in.
	thief.signIn(doors[0].AdminEmail, doors[0].AdminPassword)
}

// keys makes a key of the project, uses it everywhere and revokes it.
func keys(t *testing.T, admin *visitor, organisation string, doors []client) {
	t.Helper()
	all := organisation + "/projects/" + doors[0].ProjectID + "/security/keys"
	var key struct{ UID, Key string }
	admin.must(http.MethodPost, all, map[string]any{"name": "billing", "role": "project_admin"}, http.StatusCreated, &key)
	holder := &visitor{t: t, doors: doors, token: key.Key}
	path := "/api/v1/projects/" + doors[0].ProjectID + "/endpoints"
	for range 2 * len(doors) {
		holder.must(http.MethodGet, path, nil, http.StatusOK, nil)
	}
	admin.must(http.MethodPut, all+"/"+key.UID+"/revoke", nil, http.StatusOK, nil)
	holder.everywhere("the revocation of a key", path, http.StatusUnauthorized)
}

// linked opens the portal with a key of a link, and revokes the link.
func linked(t *testing.T, doors []client) {
	t.Helper()
	api := doors[0]
	var link struct {
		UID string
		Key string `json:"auth_key"`
	}
	api.must(t, http.MethodPost, "/portal-links", map[string]any{"name": "p", "owner_id": "dora", "auth_type": "refresh_token", "can_manage_endpoint": true},
		http.StatusCreated, &link)
	api.must(t, http.MethodPost, "/endpoints", map[string]any{"name": "not hers", "url": "http://127.0.0.1:1/"}, http.StatusCreated, nil)
	dora := &visitor{t: t, doors: doors, token: link.Key}
	var made struct {
		UID   string
		Owner string `json:"owner_id"`
	}
	dora.must(http.MethodPost, "/portal-api/endpoints", map[string]any{"name": "hers", "url": "http://127.0.0.1:1/"}, http.StatusCreated, &made)
	if made.Owner != "dora" {
		t.Errorf("owner %q", made.Owner)
	}
	for range 2 * len(doors) {
		var list struct{ Content []struct{ UID string } }
		dora.must(http.MethodGet, "/portal-api/endpoints", nil, http.StatusOK, &list)
		if len(list.Content) != 1 || list.Content[0].UID != made.UID {
			t.Errorf("she sees %+v", list.Content)
		}
	}
	api.must(t, http.MethodPut, "/portal-links/"+link.UID+"/revoke", nil, http.StatusOK, nil)
	dora.everywhere("the revocation of a portal link", "/portal-api/endpoints", http.StatusUnauthorized)
}
