package api

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

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

	"EnrolTOTP": own(`{"password":"` + samplePassword + `"}`),
	"ConfirmTOTP": func(w *world) specimen {
		u, s := w.somebody(`{"code":""}`)
		s.bodies = []string{`{"code":"` + codeOf(w.t, w.enrol(u, s.key), w.now) + `"}`}
		return s
	},
	"DisableTOTP": own(`{"password":"` + samplePassword + `"}`),

	"CreatePersonalKey": own(`{"name":"laptop","expiration":30}`),
	"GetPersonalKeys": func(w *world) specimen {
		u, s := w.somebody()
		w.personalKey(u.ID)
		s.query = "keyType=personal_key"
		return s
	},
	"RevokePersonalKey": func(w *world) specimen {
		u, s := w.somebody()
		s.path["keyID"] = string(w.personalKey(u.ID))
		return s
	},
	"GetProjectKeys":   sent(),
	"CreateProjectKey": sent(`{"name":"billing","role":"project_viewer","expiration":30}`),
	"RevokeProjectKey": func(w *world) specimen {
		return specimen{path: map[string]string{"keyID": string(w.projectKey(w.project.ID))}}
	},
	"RegenerateProjectKey": func(w *world) specimen {
		return specimen{path: map[string]string{"projectID": w.newProject(w.name("project"))}, bodies: []string{`{"overlap_seconds":3600}`}}
	},

	"GetAuditLog": func(w *world) specimen {
		w.endpointID()
		return specimen{query: samplePage + "&action=endpoint.created"}
	},
	"GetProjectAuditLog": func(w *world) specimen { w.endpointID(); return specimen{query: samplePage + "&objectType=endpoint"} },
	"GetOwnAuditLog":     func(*world) specimen { return specimen{query: samplePage} },
	"BeginSSO":           sent(),
	"FinishSSO": func(w *world) specimen {
		u := w.verified(w.name("sso") + "@example.com")
		w.provider.Say(map[string]any{"sub": u.Email, "email": u.Email})
		finish := w.begin(w.provider)
		return specimen{bodies: []string{finish.body}, header: finish.header, key: "-"}
	},

	"GetOwnPortalLink":       func(w *world) specimen { return specimen{key: w.portalLink("ada", nil).Token} },
	"GetPortalConfiguration": func(w *world) specimen { return specimen{key: w.portalLink("ada", nil).Token} },

	"GetProjectStats": sent(),
	"GetDashboardSummary": func(*world) specimen {
		return specimen{query: "startDate=2026-07-01T00:00:00&endDate=2026-08-31T23:59:59&type=monthly"}
	},
	"SearchProject": func(w *world) specimen {
		return specimen{query: "query=" + string(w.endpoint(w.name("found")))}
	},

	"GetOrganisations":   func(*world) specimen { return specimen{query: samplePage} },
	"CreateOrganisation": sent(`{"name":"Acme"}`),
	"GetOrganisation":    sent(),
	"UpdateOrganisation": sent(`{"name":"Acme"}`),
	"DeleteOrganisation": func(w *world) specimen {
		u, s := w.somebody()
		org, member := signin.Found(u, "Acme")
		if err := w.store.Setup(w.t.Context(), store.Setup{Organisation: org, Membership: member}); err != nil {
			w.t.Fatal(err)
		}
		s.path["orgID"] = string(org.ID)
		return s
	},

	"GetMembers": func(*world) specimen { return specimen{query: samplePage + "&userID="} },
	"GetMember":  one("memberID", oneMember),
	"UpdateMember": func(w *world) specimen {
		return specimen{path: map[string]string{"memberID": oneMember(w)}, bodies: []string{`{"role":{"type":"project_viewer","project":"` + string(w.project.ID) + `"}}`}}
	},
	"DeleteMember": one("memberID", oneMember),

	"CreateInvite": func(w *world) specimen {
		return specimen{bodies: []string{
			`{"invitee_email":"` + w.name("guest") + `@example.com","role":{"type":"project_admin","project":"` + string(w.project.ID) + `"}}`}}
	},
	"GetPendingInvites": listed(oneInvite, samplePage),
	"ResendInvite":      one("inviteID", oneInvite),
	"CancelInvite":      one("inviteID", oneInvite),
	"FindInvite": func(w *world) specimen {
		_, token := w.invite(w.org, w.name("guest")+"@example.com")
		return specimen{query: "token=" + token}
	},
	"ProcessInvite": func(w *world) specimen {
		_, token := w.invite(w.org, w.name("guest")+"@example.com")
		return specimen{query: "token=" + token + "&accepted=true", bodies: []string{
			`{"first_name":"Grace","last_name":"Hopper","password":"` + samplePassword + `","code":""}`}}
	},
}

func oneMember(w *world) string {
	return string(w.join(w.newUser(w.name("member")+"@example.com"), convoy.RoleProjectViewer).ID)
}

func oneInvite(w *world) string {
	v, _ := w.invite(w.org, w.name("guest")+"@example.com")
	return string(v.ID)
}

// invite stores an invitation and returns its token.
func (f *fixture) invite(org *convoy.Organisation, email string) (*convoy.Invitation, string) {
	f.t.Helper()
	token := auth.NewMailToken()
	v := &convoy.Invitation{
		ID: convoy.InvitationID(id.New(f.now)), OrganisationID: org.ID, InviterID: f.user.ID, Email: email, Role: convoy.Role{Type: convoy.RoleProjectViewer},
		Hash: auth.Hash(token), Status: convoy.InvitationPending, ExpiresAt: f.now.Add(time.Hour), CreatedAt: f.now, UpdatedAt: f.now,
	}
	if err := f.store.CreateInvitation(f.t.Context(), v); err != nil {
		f.t.Fatal(err)
	}
	return v, token
}

func (f *fixture) personalKey(user convoy.UserID) convoy.KeyID {
	return f.storeKey(func(k *convoy.APIKey) { k.Type, k.UserID = convoy.PersonalKey, user })
}

func (f *fixture) projectKey(project convoy.ProjectID) convoy.KeyID {
	return f.storeKey(func(k *convoy.APIKey) { k.Role = convoy.Role{Type: convoy.RoleProjectAdmin, Project: project} })
}

// storeKey stores a key of which only the id is wanted.
func (f *fixture) storeKey(change func(*convoy.APIKey)) (key convoy.KeyID) {
	f.t.Helper()
	f.newKey(func(k *convoy.APIKey) { change(k); k.Name, key = "key", k.ID })
	return key
}

// enrol begins a second factor of a user and returns its secret.
func (f *fixture) enrol(u *convoy.User, key string) string {
	f.t.Helper()
	var v enrolmentView
	f.want(call{method: "POST", path: "/ui/users/" + string(u.ID) + "/totp", key: key, body: `{"password":"` + samplePassword + `"}`},
		201, "Two-factor authentication begun: confirm it with a code").data(f.t, &v)
	return v.Secret
}

// codeOf is what an app shows.
func codeOf(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// portalLink makes a link of an owner.
func (f *fixture) portalLink(owner string, change func(*convoy.PortalLink)) *convoy.PortalLink {
	f.t.Helper()
	l := &convoy.PortalLink{
		ID: convoy.PortalLinkID(id.New(f.now)), ProjectID: f.project.ID, Name: "portal of " + owner, OwnerID: owner, Auth: convoy.PortalStatic,
		CanManage: true, Token: auth.NewPortalToken(), CreatedAt: f.now, UpdatedAt: f.now,
	}
	if change != nil {
		change(l)
	}
	if err := f.store.CreatePortalLink(f.t.Context(), l); err != nil {
		f.t.Fatal(err)
	}
	return l
}
