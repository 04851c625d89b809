package signin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/store"
)

// OIDC is a provider of OpenID Connect Core 1.0 by which people sign in: with the
// authorization code flow, PKCE (RFC 7636), a state and a nonce.
type OIDC struct {
	Issuer, ClientID, ClientSecret string
	// RedirectURL is the page that the provider sends people back to.
	RedirectURL string
	Scopes      []string
	// Name is what the button says.
	Name string
	// SignUp makes an account, with an organisation of its own, for whoever has none.
	SignUp bool
	// Transport asks the provider.
	Transport http.RoundTripper
}

// maxAnswer bounds what a provider answers, in bytes.
const maxAnswer = 1 << 20

// bounded reads answers up to [maxAnswer].
type bounded struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}

func newProvider(c OIDC, now func() time.Time) *provider {
	return &provider{OIDC: c, now: now, client: &http.Client{Transport: bounded{c.Transport}, Timeout: providerTimeout}}
}

const (
	// attemptLife is how long somebody may take at the provider.
	attemptLife = 10 * time.Minute
	// discoveryPause is the wait after a discovery that failed.
	discoveryPause = 5 * time.Second
	// providerTimeout bounds each exchange with the provider.
	providerTimeout = 10 * time.Second
)

// What the refused are told.
var (
	errNoOIDC      = convoy.E(convoy.NotFound, "single sign-on is not set up")
	errAttempt     = convoy.E(convoy.Unauthorized, "sign-in has expired or was not begun here, try again")
	errRefused     = convoy.E(convoy.Unauthorized, "the provider did not confirm the sign-in, try again")
	errUnconfirmed = convoy.E(convoy.Forbidden, "the provider has not verified your e-mail address")
	errUnverified  = convoy.E(convoy.Forbidden, "there is an account with your e-mail address, which is not verified: sign in to it and verify the address first")
	errStranger    = convoy.E(convoy.Forbidden, "there is no account with your e-mail address: ask to be invited")
)

// provider is the [OIDC] of a desk, which is discovered when it is first needed: a
// provider that is away must not keep the gateway from starting.
type provider struct {
	OIDC
	client *http.Client
	now    func() time.Time

	mu     sync.Mutex
	found  *oidc.Provider
	failed time.Time
	err    error
}

// attempt is one sign-in under way. All that belongs to it follows from a secret
// that the browser keeps in a cookie, so nothing need be stored, and who does not
// have the cookie cannot finish it.
type attempt struct {
	begun  time.Time
	secret string
}

func (a attempt) cookie() string { return strconv.FormatInt(a.begun.Unix(), 10) + "." + a.secret }

// derive returns one of the values of an attempt, which tell nothing of the others.
func (a attempt) derive(what string) string {
	sum := sha256.Sum256([]byte("convoy oidc " + what + " " + a.cookie()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// maxAttempt bounds the cookie.
const maxAttempt = 128

func attemptOf(cookie string, now time.Time) (a attempt, ok bool) {
	begun, secret, ok := strings.Cut(cookie, ".")
	unix, err := strconv.ParseInt(begun, 10, 64)
	if !ok || err != nil || secret == "" || len(cookie) > maxAttempt {
		return a, false
	}
	a = attempt{time.Unix(unix, 0), secret}
	age := now.Sub(a.begun)
	return a, age >= -time.Minute && age <= attemptLife
}

// discover returns the provider's description.
func (p *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.err != nil && p.now().Sub(p.failed) < discoveryPause {
		return nil, p.err
	}
	// Its keys are read with this context's client later, too, so it must not end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), providerTimeout)
	defer cancel()
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.Issuer)
	if err != nil {
		p.failed, p.err = p.now(), convoy.Wrap(convoy.Unavailable, "the sign-in provider does not answer, try again later", err)
		return nil, p.err
	}
	p.found, p.err = found, nil
	return found, nil
}

func (p *provider) config(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: p.RedirectURL, Scopes: p.Scopes,
	}
}

// OIDCName is what the button of the provider says; empty without one.
func (d *Desk) OIDCName() string {
	if d.provider == nil {
		return ""
	}
	return d.provider.Name
}

// BeginOIDC returns where to send a browser, the cookie that it needs when it comes
// back, and how long that is good for.
func (d *Desk) BeginOIDC(ctx context.Context) (url, cookie string, life time.Duration, err error) {
	if d.provider == nil {
		return "", "", 0, errNoOIDC
	}
	found, err := d.provider.discover(ctx)
	if err != nil {
		return "", "", 0, err
	}
	a := attempt{d.now(), auth.NewSeed()}
	url = d.provider.config(found).AuthCodeURL(a.derive("state"), oidc.Nonce(a.derive("nonce")), oauth2.S256ChallengeOption(a.derive("verifier")))
	return url, a.cookie(), attemptLife, nil
}

// Return is what a browser comes back from the provider with.
type Return struct{ Cookie, Code, State string }

// FinishOIDC begins a session for whom the provider has confirmed.
func (d *Desk) FinishOIDC(ctx context.Context, r Return, v Visit) (*convoy.User, Tokens, error) {
	if d.provider == nil {
		return nil, Tokens{}, errNoOIDC
	}
	a, ok := attemptOf(r.Cookie, d.now())
	if !ok || subtle.ConstantTimeCompare([]byte(r.State), []byte(a.derive("state"))) != 1 {
		return nil, Tokens{}, errAttempt
	}
	who, err := d.provider.confirm(ctx, a, r.Code)
	if err != nil {
		d.Log.WarnContext(ctx, "signin.refused", "method", convoy.ByOIDC, "ip", v.IP, "err", err)
		return nil, Tokens{}, err
	}
	u, err := d.identified(ctx, who)
	if err != nil {
		return nil, Tokens{}, err
	}
	t, err := d.begin(ctx, u.ID, convoy.ByOIDC, v)
	return u, t, err
}

// person is whom a provider has confirmed.
type person struct {
	subject  string
	email    string
	verified bool
	first    string
	last     string
}

// confirm exchanges a code for what the provider says of who has it.
func (p *provider) confirm(ctx context.Context, a attempt, code string) (*person, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), providerTimeout)
	defer cancel()
	token, err := p.config(found).Exchange(ctx, code, oauth2.VerifierOption(a.derive("verifier")))
	if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < http.StatusInternalServerError {
		return nil, convoy.Wrap(errRefused.Kind, errRefused.Msg, err)
	}
	if err != nil {
		return nil, convoy.Wrap(convoy.Unavailable, "the sign-in provider does not answer, try again later", err)
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := found.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.now}).Verify(ctx, raw)
	if err != nil {
		return nil, convoy.Wrap(errRefused.Kind, errRefused.Msg, err)
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(a.derive("nonce"))) != 1 {
		return nil, convoy.Wrap(errRefused.Kind, errRefused.Msg, errors.New("the nonce is another"))
	}
	return personOf(verified)
}

// maxSubject bounds the name that a provider has for somebody; OpenID Connect Core
// 1.0, section 2, allows 255 characters.
const maxSubject = 255

func personOf(t *oidc.IDToken) (*person, error) {
	var claims struct {
		Email    string `json:"email"`
		Verified any    `json:"email_verified"` // some send a text
		First    string `json:"given_name"`
		Last     string `json:"family_name"`
		Name     string `json:"name"`
	}
	if err := t.Claims(&claims); err != nil {
		return nil, convoy.Wrap(errRefused.Kind, errRefused.Msg, err)
	}
	if t.Subject == "" || len(t.Subject) > maxSubject || strings.ContainsRune(t.Subject, 0) {
		return nil, convoy.Wrap(errRefused.Kind, errRefused.Msg, errors.New("the subject is empty or too long"))
	}
	p := &person{subject: t.Subject, email: convoy.NormalEmail(claims.Email), first: claims.First, last: claims.Last}
	p.verified = claims.Verified == true || claims.Verified == "true"
	if p.first == "" && p.last == "" {
		p.first, p.last, _ = strings.Cut(claims.Name, " ")
	}
	p.first, p.last = plain(p.first), plain(p.last)
	return p, nil
}

// plain is a name as it can be stored.
func plain(name string) string {
	name = strings.ToValidUTF8(strings.ReplaceAll(name, "\x00", ""), "")
	const most = 255
	if runes := []rune(name); len(runes) > most {
		name = string(runes[:most])
	}
	return name
}

// identified returns the user that a person is. One who comes for the first time is
// the user with the same address, if both sides have verified that it is theirs:
// else whoever can name an address at either could take the account at the other.
func (d *Desk) identified(ctx context.Context, who *person) (*convoy.User, error) {
	issuer := d.provider.Issuer
	u, err := d.Store.UserByIdentity(ctx, issuer, who.subject)
	if err == nil || !convoy.IsNotFound(err) {
		return u, err
	}
	if !who.verified || !validEmail(who.email) {
		return nil, errUnconfirmed
	}
	u, err = d.Store.UserByEmail(ctx, who.email)
	switch {
	case convoy.IsNotFound(err):
		if u, err = d.welcome(ctx, who); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case u.EmailVerifiedAt.IsZero():
		return nil, errUnverified
	}
	err = d.Store.LinkIdentity(ctx, store.Identity{Issuer: issuer, Subject: who.subject, UserID: u.ID, Email: who.email, CreatedAt: d.now()})
	if err != nil {
		return nil, fmt.Errorf("link identity: %w", err)
	}
	d.Log.InfoContext(ctx, "identity.linked", "user_id", u.ID, "issuer", issuer)
	return u, nil
}

func validEmail(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text && len(text) <= 254
}

// welcome makes an account without a password.
func (d *Desk) welcome(ctx context.Context, who *person) (*convoy.User, error) {
	if !d.provider.SignUp {
		return nil, errStranger
	}
	now := d.now()
	u := newUser(Newcomer{FirstName: who.first, LastName: who.last, Email: who.email}, "", now)
	u.EmailVerifiedAt = now
	org, member := Found(u, strings.TrimSpace(who.first+" "+who.last))
	if org.Name == "" {
		org.Name = who.email
	}
	return u, d.Store.Setup(ctx, store.Setup{Organisation: org, User: u, Membership: member})
}
