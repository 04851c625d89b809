package api

import (
	"context"
	"net/http"
	"net/mail"
	"time"
	"unicode/utf8"

	"convoy"
	"convoy/internal/id"
)

// uiPrefix is below which what people do is served that no key may: signing in,
// their accounts, and who belongs to an organisation.
const uiPrefix = "/ui/"

// ui serves what is below [uiPrefix]; p is the clean path.
func (a *api) ui(x *exchange, r *http.Request, p string) {
	if ct := r.Header["Content-Type"]; len(ct) > 0 && !isJSON(ct[0]) {
		a.fail(x, r, errContentType)
		return
	}
	// Also where nobody is signed in yet: a foreign page must not sign anybody in.
	if len(r.Header["Authorization"]) == 0 && a.crossOrigin.Check(r) != nil {
		a.fail(x, r, errCrossOrigin)
		return
	}
	x.visit = a.visitOf(r)
	x.caller, x.unknown = a.authenticate(r)
	if err := a.takeVisit(x, r); err != nil {
		a.fail(x, r, err)
		return
	}
	if x.unknown == nil && !x.caller.person() {
		x.unknown = errForbidden // a project's key is nobody here
	}
	a.dispatch(x, r, p)
}

// authenticateSession returns the person that an access token speaks for.
func (a *api) authenticateSession(ctx context.Context, token string) (caller, error) {
	s, err := a.Catalog.Session(ctx, token)
	switch {
	case convoy.IsNotFound(err):
		return caller{}, errAuthorization
	case err != nil:
		return caller{}, err
	}
	return caller{user: s.User, session: s.Session}, nil
}

// authenticateCookie is for browsers, which send their cookies with whatever a page
// of another origin asks for: such requests are refused unless they only read.
func (a *api) authenticateCookie(r *http.Request) (caller, error) {
	token := cookieOf(r, sessionCookie, a.secure(r))
	if token == "" {
		return caller{}, errAuthentication
	}
	if a.crossOrigin.Check(r) != nil {
		return caller{}, errCrossOrigin
	}
	return a.authenticateSession(r.Context(), token)
}

// enterSelf checks that the caller is a person, and the one that the path names.
func (x *exchange) enterSelf(n access, in any) error {
	switch {
	case x.unknown != nil:
		return x.unknown
	case n == hasSession && x.caller.session == "":
		return convoy.E(convoy.Forbidden, "sign in to do this: a key is not enough")
	}
	if in, ok := in.(ofUser); ok && in.user() != x.caller.user {
		return errForbidden
	}
	return nil
}

// UserPath is the path of everything of a user.
type UserPath struct {
	User string `path:"userID" doc:"The user's id; only that of whoever asks"`
}

func (p *UserPath) user() convoy.UserID { return convoy.UserID(p.User) }

// Bounds of what people are asked for, in characters.
const (
	minPassword = 12
	maxPassword = 128
	maxEmail    = 254
	maxCode     = 32
)

// email checks an address and returns it in the form that is kept.
func (p *problems) email(field, value string) string {
	before := len(*p)
	if p.required(field, value, maxEmail, "please provide a valid email"); len(*p) > before {
		return ""
	}
	value = convoy.NormalEmail(value)
	if a, err := mail.ParseAddress(value); err != nil || a.Address != value {
		p.add(field, "please provide a valid email")
	}
	return value
}

// newPassword checks a password that is to be kept.
func (p *problems) newPassword(field, value string) {
	switch n := utf8.RuneCountInString(value); {
	case value == "":
		p.add(field, "please provide a password")
	case badText(value, maxPassword) != "":
		p.add(field, badText(value, maxPassword))
	case n < minPassword:
		p.add(field, "must have at least "+itoa(minPassword)+" characters")
	}
}

// UserView is a user as clients see them. It is exported because huma reads only
// exported fields.
type UserView struct {
	UID           convoy.UserID `json:"uid"`
	FirstName     string        `json:"first_name"`
	LastName      string        `json:"last_name"`
	Email         string        `json:"email"`
	EmailVerified bool          `json:"email_verified"`
	CreatedAt     time.Time     `json:"created_at"`
	UpdatedAt     time.Time     `json:"updated_at"`
	DeletedAt     *time.Time    `json:"deleted_at"`
	// ResetExpires is of a link to reset the password, which is not shown.
	ResetExpires  *time.Time `json:"reset_password_expires_at"`
	AuthType      string     `json:"auth_type" enum:"local,oidc" doc:"oidc for people without a password"`
	TwoFactor     bool       `json:"two_factor_enabled" doc:"Signing in takes a code too"`
	InstanceAdmin bool       `json:"instance_admin"`
}

func viewUser(u *convoy.User) UserView {
	v := UserView{
		UID: u.ID, FirstName: u.FirstName, LastName: u.LastName, Email: u.Email, EmailVerified: !u.EmailVerifiedAt.IsZero(),
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, AuthType: "local", TwoFactor: u.TOTP.On(), InstanceAdmin: u.InstanceAdmin,
	}
	if u.PasswordHash == "" {
		v.AuthType = "oidc"
	}
	return v
}

// sessionView is a session as its user sees it.
type sessionView struct {
	UID       convoy.SessionID    `json:"uid"`
	Method    convoy.SignInMethod `json:"method" enum:"password,oidc"`
	IP        string              `json:"ip_address" doc:"Where it was begun"`
	UserAgent string              `json:"user_agent"`
	Current   bool                `json:"current" doc:"It is the one that asks"`
	CreatedAt time.Time           `json:"created_at"`
	UsedAt    time.Time           `json:"last_used_at" doc:"When it was refreshed last"`
	ExpiresAt time.Time           `json:"expires_at" doc:"When it ends unless it is refreshed"`
}

func (a *api) sessionRoutes(r *registrar) {
	const (
		tag = "Account"
		all = "/ui/users/{userID}/sessions"
	)
	handle(r, operation{
		id: "GetSessions", access: signedIn, method: http.MethodGet, path: all, tag: tag, summary: "List your sessions",
		status: http.StatusOK, message: "Sessions fetched successfully",
	}, a.sessions)
	handle(r, operation{
		id: "EndSession", access: signedIn, method: http.MethodDelete, path: all + "/{sessionID}", tag: tag, summary: "End a session",
		status: http.StatusOK, message: "Session ended successfully",
	}, a.endSession)
}

func (a *api) sessions(ctx context.Context, in *UserPath) ([]sessionView, error) {
	list, err := a.Store.Sessions(ctx, in.user(), a.now())
	if err != nil {
		return nil, err
	}
	out, current := make([]sessionView, len(list)), exchangeOf(ctx).caller.session
	for i, s := range list {
		out[i] = sessionView{
			UID: s.ID, Method: s.Method, IP: s.IP, UserAgent: s.UserAgent, Current: s.ID == current,
			CreatedAt: s.CreatedAt, UsedAt: s.UsedAt, ExpiresAt: s.ExpiresAt,
		}
	}
	return out, nil
}

type endSessionInput struct {
	UserPath
	Session string `path:"sessionID" doc:"The session's id"`
}

func (a *api) endSession(ctx context.Context, in *endSessionInput) (none, error) {
	if !id.Valid(in.Session) {
		return nil, convoy.E(convoy.NotFound, "session not found")
	}
	return nil, a.SignIn.SignOut(ctx, in.user(), convoy.SessionID(in.Session))
}
