// Package signin lets people in: by password and a second factor, or by an OpenID
// Connect provider. It begins, refreshes and ends sessions, and sends the mails by
// which an address is verified, a password reset and a member invited. What a person
// may do is package api's to decide; it knows no HTTP but what OpenID Connect needs.
//
// Whoever guesses is slowed down by [throttle], by account and by address. What an
// answer says, and how long it takes, does not depend on whether an account exists,
// but for sign-up, which must say that an address is taken.
package signin

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/id"
	"convoy/internal/limit"
	"convoy/internal/store"
)

// teller tells all processes that sessions or memberships have changed.
type teller interface {
	PeopleChanged(ctx context.Context) error
}

// mailer takes mails to be sent; false when it cannot, now or at all.
type mailer interface {
	Post(to, title, text string) bool
}

// Config is what [New] needs.
type Config struct {
	Store *store.Store
	Told  teller
	// Limiter slows down whoever guesses; nil does not.
	Limiter limit.Limiter
	// Mail is nil when no mail can be sent.
	Mail mailer
	// PublicURL begins the links in mails.
	PublicURL string
	// SignUp lets anybody make an account.
	SignUp bool
	// OIDC, if not nil, is a provider by which people sign in, too.
	OIDC *OIDC
	// Access and Refresh are how long tokens live.
	Access, Refresh time.Duration
	Log             *slog.Logger
	Now             func() time.Time
}

const (
	// DefaultAccess and DefaultRefresh are how long tokens live unless configured.
	DefaultAccess  = 30 * time.Minute
	DefaultRefresh = 24 * time.Hour
	// grace is how long a used refresh token is answered again, with the tokens it
	// was answered with first: two windows of a browser come with the same one.
	grace = 10 * time.Second
	// longest is how long a session can go on, however often it is refreshed.
	longest = 30 * 24 * time.Hour
	// hashers is how many passwords are hashed at once, each with 19 MiB.
	hashers = 4
)

// What the refused are told.
var (
	errCredentials = convoy.E(convoy.Forbidden, "Invalid credentials")
	errToken       = convoy.E(convoy.Unauthorized, "Invalid or expired token")
)

// Desk is where people sign in. It is safe for concurrent use.
type Desk struct {
	Config
	hashing  chan struct{} // holds a place for each password being hashed
	throttle throttle
	provider *provider // nil without one
	// nobody is a hash that no password has, checked where there is no account.
	nobody func() string
	// behind holds a place for each thing that is done after an answer; pending waits
	// for all.
	behind  chan struct{}
	pending sync.WaitGroup
}

// New makes a desk.
func New(cfg Config) (*Desk, error) {
	if cfg.Store == nil || cfg.Told == nil || cfg.Log == nil {
		return nil, errors.New("signin: store, told and log are required")
	}
	if cfg.Access <= 0 {
		cfg.Access = DefaultAccess
	}
	if cfg.Refresh <= 0 {
		cfg.Refresh = DefaultRefresh
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var p *provider
	if cfg.OIDC != nil {
		if cfg.OIDC.Transport == nil {
			return nil, errors.New("signin: a provider needs a transport")
		}
		p = newProvider(*cfg.OIDC, cfg.Now)
	}
	return &Desk{
		Config: cfg, provider: p, hashing: make(chan struct{}, hashers), throttle: throttle{cfg.Limiter}, behind: make(chan struct{}, maxLater),
		nobody: sync.OnceValue(func() string { return auth.HashPassword(auth.NewMailToken()) }),
	}, nil
}

// now is the time with the precision that the store keeps.
func (d *Desk) now() time.Time { return d.Now().UTC().Truncate(time.Microsecond) }

// hold waits for a place among those who hash, and returns what gives it back.
func (d *Desk) hold(ctx context.Context) (release func(), err error) {
	select {
	case d.hashing <- struct{}{}:
		return func() { <-d.hashing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash hashes a new password.
func (d *Desk) hash(ctx context.Context, password string) (string, error) {
	release, err := d.hold(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return auth.HashPassword(password), nil
}

// Visit is where a request comes from.
type Visit struct {
	// IP is the address of whoever asks, as far as it is known.
	IP        string
	UserAgent string
}

// Credentials are what somebody signs in with.
type Credentials struct {
	Email, Password string
	// Code is that of the second factor, or a recovery code.
	Code string
}

// Tokens are those of a session. Whoever has them is its user.
type Tokens struct {
	Access, Refresh               string
	AccessExpires, RefreshExpires time.Time
	// Session is the family that they belong to.
	Session convoy.SessionID
}

// SignIn begins a session for whoever knows the password, and the code where there
// is a second factor.
func (d *Desk) SignIn(ctx context.Context, c Credentials, v Visit) (*convoy.User, Tokens, error) {
	u, err := d.check(ctx, c, v)
	if err != nil {
		return nil, Tokens{}, err
	}
	t, err := d.begin(ctx, u.ID, convoy.ByPassword, v)
	return u, t, err
}

// check returns the user that credentials are of.
func (d *Desk) check(ctx context.Context, c Credentials, v Visit) (*convoy.User, error) {
	email := convoy.NormalEmail(c.Email)
	// One place at a time is asked for before the throttle is, so that no more than
	// there are places pass a throttle that is about to close.
	release, err := d.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := d.throttle.ask(ctx, email, v); err != nil {
		return nil, err
	}
	u, err := d.Store.UserByEmail(ctx, email)
	hash := ""
	switch {
	case err == nil:
		hash = u.PasswordHash
	case !convoy.IsNotFound(err):
		return nil, err
	}
	known := hash != ""
	if !known {
		hash = d.nobody()
	}
	if ok := auth.CheckPassword(hash, c.Password); !ok || !known {
		return nil, d.failed(ctx, email, v, errCredentials)
	}
	if u.TOTP.On() {
		if err := d.checkCode(ctx, u, c.Code); err != nil {
			if errors.Is(err, errCode) {
				err = d.failed(ctx, email, v, errCode)
			}
			return nil, err
		}
	}
	return u, nil
}

// failed counts a failure and returns what is said of it.
func (d *Desk) failed(ctx context.Context, email string, v Visit, why error) error {
	if err := d.throttle.fail(ctx, email, v); err != nil {
		return err
	}
	d.Log.WarnContext(ctx, "signin.refused", "ip", v.IP)
	return why
}

// begin makes a session.
func (d *Desk) begin(ctx context.Context, user convoy.UserID, by convoy.SignInMethod, v Visit) (Tokens, error) {
	now := d.now()
	s := &convoy.Session{
		ID: convoy.SessionID(id.New(now)), UserID: user, Method: by, IP: v.IP, UserAgent: v.UserAgent, CreatedAt: now, UsedAt: now,
	}
	t, hashes := d.issue(s, auth.NewSeed(), "", now)
	s.ExpiresAt = t.RefreshExpires
	if err := d.Store.CreateSession(ctx, s, hashes); err != nil {
		return Tokens{}, err
	}
	d.Log.InfoContext(ctx, "session.begun", "user_id", user, "session_id", s.ID, "method", by, "ip", v.IP)
	return t, nil
}

// issue makes the tokens that follow from a secret and a salt.
func (d *Desk) issue(s *convoy.Session, secret, salt string, now time.Time) (Tokens, store.SessionTokens) {
	access, refresh := auth.SessionTokens(secret, salt)
	end := s.CreatedAt.Add(longest)
	t := Tokens{
		Access: access, Refresh: refresh, Session: s.ID,
		AccessExpires: earlier(now.Add(d.Access), end), RefreshExpires: earlier(now.Add(d.Refresh), end),
	}
	return t, store.SessionTokens{
		Access: auth.Hash(access), AccessExpires: t.AccessExpires, Refresh: auth.Hash(refresh), RefreshExpires: t.RefreshExpires,
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Renew exchanges a refresh token for new tokens. Whoever comes with a token
// that was exchanged before ends the session, see [grace].
func (d *Desk) Renew(ctx context.Context, refresh string, v Visit) (*convoy.User, Tokens, error) {
	if !auth.IsRefreshToken(refresh) {
		return nil, Tokens{}, errToken
	}
	now := d.now()
	s, salt, err := d.Store.RotateSession(ctx, store.Rotation{
		Refresh: auth.Hash(refresh), Salt: auth.NewSeed(), Grace: grace, Now: now,
		Issue: func(s *convoy.Session, salt string) (store.SessionTokens, bool) {
			_, hashes := d.issue(s, refresh, salt, now)
			return hashes, now.Before(s.CreatedAt.Add(longest))
		},
	})
	if errors.Is(err, store.ErrTokenReused) {
		d.Log.WarnContext(ctx, "session.revoked: a refresh token was used twice", "ip", v.IP)
		d.told(ctx)
	}
	if convoy.IsNotFound(err) {
		return nil, Tokens{}, errToken
	}
	if err != nil {
		return nil, Tokens{}, err
	}
	u, err := d.Store.User(ctx, s.UserID)
	if err != nil {
		return nil, Tokens{}, err
	}
	t, _ := d.issue(s, refresh, salt, s.UsedAt)
	return u, t, nil
}

// SignOut ends a session of a user.
func (d *Desk) SignOut(ctx context.Context, user convoy.UserID, session convoy.SessionID) error {
	if err := d.Store.EndSession(ctx, user, session); err != nil {
		return err
	}
	d.told(ctx)
	return nil
}

// told tells other processes. What was written stands whatever becomes of the
// message: they see it a moment later.
func (d *Desk) told(ctx context.Context) {
	if err := d.Told.PeopleChanged(context.WithoutCancel(ctx)); err != nil {
		d.Log.WarnContext(ctx, "other processes were not told of a session that ended", "err", err)
	}
}

// ChangePassword sets a user's password, who must know the present one, and ends
// all other sessions.
func (d *Desk) ChangePassword(ctx context.Context, user convoy.UserID, session convoy.SessionID, p NewPassword, v Visit) error {
	if _, err := d.confirm(ctx, user, p.Current, v); err != nil {
		return err
	}
	hash, err := d.hash(ctx, p.Password)
	if err != nil {
		return err
	}
	if err := d.Store.SetPassword(ctx, user, hash, session, d.now()); err != nil {
		return err
	}
	d.told(ctx)
	return nil
}

// CheckPassword refuses who is signed in and does not know the password.
func (d *Desk) CheckPassword(ctx context.Context, user convoy.UserID, password string, v Visit) error {
	_, err := d.confirm(ctx, user, password, v)
	return err
}

// NewPassword is a password, and the one that it replaces.
type NewPassword struct{ Current, Password string }

// confirm makes sure that who is signed in knows the password: a session alone may
// be somebody else's.
func (d *Desk) confirm(ctx context.Context, user convoy.UserID, password string, v Visit) (*convoy.User, error) {
	release, err := d.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	u, err := d.Store.User(ctx, user)
	if err != nil {
		return nil, err
	}
	if err := d.throttle.ask(ctx, u.Email, v); err != nil {
		return nil, err
	}
	if !auth.CheckPassword(u.PasswordHash, password) {
		return nil, d.failed(ctx, u.Email, v, convoy.E(convoy.Invalid, "current password is invalid"))
	}
	return u, nil
}
