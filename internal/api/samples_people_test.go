package api

import (
	"strings"
	"sync"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/id"
	"convoy/internal/signin"
	"convoy/internal/store"
)

// samplePassword is everybody's.
const samplePassword = "correct horse battery staple"

// sampleHash takes a while to make.
var sampleHash = sync.OnceValue(func() string { return auth.HashPassword(samplePassword) })

// newUser makes a user with the [samplePassword].
func (f *fixture) newUser(email string) *convoy.User {
	f.t.Helper()
	u := &convoy.User{
		ID: convoy.UserID(id.New(f.now)), FirstName: "Ada", LastName: "Lovelace", Email: email, PasswordHash: sampleHash(), CreatedAt: f.now, UpdatedAt: f.now,
	}
	if err := f.store.CreateUser(f.t.Context(), u); err != nil {
		f.t.Fatal(err)
	}
	return u
}

func (f *fixture) setPassword(user convoy.UserID) {
	f.t.Helper()
	if err := f.store.SetPassword(f.t.Context(), user, sampleHash(), f.session(user, f.now).Session, f.now); err != nil {
		f.t.Fatal(err)
	}
}

// join makes a user a member of the fixture's organisation.
func (f *fixture) join(u *convoy.User, role convoy.RoleType) *convoy.Membership {
	f.t.Helper()
	m := &convoy.Membership{
		ID: convoy.MembershipID(id.New(f.now)), UserID: u.ID, OrganisationID: f.org.ID, Role: convoy.Role{Type: role}, CreatedAt: f.now, UpdatedAt: f.now,
	}
	if err := f.store.CreateMembership(f.t.Context(), m); err != nil {
		f.t.Fatal(err)
	}
	return m
}

// session begins one without a password.
func (f *fixture) session(user convoy.UserID, now time.Time) signin.Tokens {
	f.t.Helper()
	access, refresh := auth.SessionTokens(auth.NewSeed(), "")
	t := signin.Tokens{
		Access: access, Refresh: refresh, AccessExpires: now.Add(30 * time.Minute), RefreshExpires: now.Add(24 * time.Hour),
		Session: convoy.SessionID(id.New(now)),
	}
	err := f.store.CreateSession(f.t.Context(), &convoy.Session{
		ID: t.Session, UserID: user, Method: convoy.ByPassword, IP: "192.0.2.1", UserAgent: "browser", CreatedAt: now, UsedAt: now, ExpiresAt: t.RefreshExpires,
	}, store.SessionTokens{
		Access: auth.Hash(access), Refresh: auth.Hash(refresh), AccessExpires: t.AccessExpires, RefreshExpires: t.RefreshExpires,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return t
}

// mailed puts a token of a user, as it is sent by mail.
func (f *fixture) mailed(u *convoy.User, purpose store.TokenPurpose) string {
	f.t.Helper()
	token := auth.NewMailToken()
	err := f.store.PutUserToken(f.t.Context(), store.UserToken{
		Hash: auth.Hash(token), UserID: u.ID, Purpose: purpose, Email: u.Email, CreatedAt: f.now, ExpiresAt: f.now.Add(time.Hour),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// somebody is a new user, and the specimen of something that they do themselves.
func (w *world) somebody(bodies ...string) (*convoy.User, specimen) {
	u := w.newUser(w.name("user") + "@example.com")
	for i := range bodies {
		bodies[i] = strings.ReplaceAll(bodies[i], "EMAIL", u.Email)
	}
	return u, specimen{path: map[string]string{"userID": string(u.ID)}, key: w.session(u.ID, w.now).Access, bodies: bodies}
}

// own is a sample of what a user does themselves.
func own(bodies ...string) func(*world) specimen {
	return func(w *world) specimen {
		_, s := w.somebody(append([]string(nil), bodies...)...)
		return s
	}
}

// peopleSamples are those of the operations below /ui.
var peopleSamples = map[string]func(w *world) specimen{
	"Login": own(`{"username":"EMAIL","password":"` + samplePassword + `","code":""}`),
	"Register": func(w *world) specimen {
		return specimen{bodies: []string{`{"first_name":"Ada","last_name":"Lovelace","email":"` + w.name("new") + `@example.com","password":"` + samplePassword + `","org_name":"Acme"}`}}
	},
	"RefreshToken": func(w *world) specimen {
		t := w.session(w.user.ID, w.now)
		return specimen{bodies: []string{`{"access_token":"` + t.Access + `","refresh_token":"` + t.Refresh + `"}`}}
	},
	"Logout":                  own(),
	"GetAuthConfiguration":    sent(),
	"ForgotPassword":          own(`{"email":"EMAIL"}`),
	"ResendVerificationEmail": own(),
	"ResetPassword": func(w *world) specimen {
		u, s := w.somebody(`{"password":"another horse","password_confirmation":"another horse"}`)
		s.query = "token=" + w.mailed(u, store.TokenReset)
		return s
	},
	"VerifyEmail": func(w *world) specimen {
		u, s := w.somebody()
		s.query = "token=" + w.mailed(u, store.TokenVerify)
		return s
	},
	"GetProfile":     own(),
	"UpdateProfile":  own(`{"first_name":"Ada","last_name":"King","email":"EMAIL","current_password":""}`),
	"UpdatePassword": own(`{"current_password":"` + samplePassword + `","password":"another horse","password_confirmation":"another horse"}`),
	"GetSessions":    own(),
	"EndSession": func(w *world) specimen {
		u, s := w.somebody()
		s.path["sessionID"] = string(w.session(u.ID, w.now).Session)
		return s
	},
}
