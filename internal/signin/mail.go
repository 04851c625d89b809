package signin

import (
	"context"
	"net/url"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/limit"
	"convoy/internal/store"
)

const (
	// resetLife and verifyLife are how long a link in a mail works.
	resetLife  = time.Hour
	verifyLife = 24 * time.Hour
	// mailsPerHour is how many mails of a kind an address is sent, so that nobody fills
	// somebody's mailbox by us.
	mailsPerHour = 5
)

// Forgot sends a link to reset the password with to an address that has an
// account. Who asks cannot tell whether it has, from the answer or its time: what
// there is to do is done after it.
func (d *Desk) Forgot(ctx context.Context, email string) {
	d.later(ctx, func(ctx context.Context) error {
		u, err := d.Store.UserByEmail(ctx, convoy.NormalEmail(email))
		if err != nil {
			return err
		}
		return d.send(ctx, u, store.TokenReset)
	})
}

// Verify sends a user a link that verifies their address.
func (d *Desk) Verify(ctx context.Context, user convoy.UserID) {
	d.later(ctx, func(ctx context.Context) error {
		u, err := d.Store.User(ctx, user)
		if err != nil || !u.EmailVerifiedAt.IsZero() {
			return err
		}
		return d.send(ctx, u, store.TokenVerify)
	})
}

const (
	// laterTimeout bounds what is done after an answer.
	laterTimeout = 10 * time.Second
	// maxLater is how many of those there are at once; more are dropped, which their
	// users notice by a mail that does not come.
	maxLater = 32
)

// later does something that the caller is not told about.
func (d *Desk) later(ctx context.Context, fn func(ctx context.Context) error) {
	if d.Mail == nil {
		d.Log.WarnContext(ctx, "no mail is sent: smtp.url is not set")
		return
	}
	select {
	case d.behind <- struct{}{}:
	default:
		d.Log.WarnContext(ctx, "no mail is sent: too many are asked for at once")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), laterTimeout)
	d.pending.Go(func() {
		defer func() { <-d.behind }()
		defer cancel()
		if err := fn(ctx); err != nil && !convoy.IsNotFound(err) {
			d.Log.WarnContext(ctx, "no mail is sent", "err", err)
		}
	})
}

// Wait returns when nothing is left to do after answers.
func (d *Desk) Wait() { d.pending.Wait() }

// send makes a token of a user and mails it.
func (d *Desk) send(ctx context.Context, u *convoy.User, purpose store.TokenPurpose) error {
	if ok, err := d.mayMail(ctx, u.Email, string(purpose)); err != nil || !ok {
		return err
	}
	now := d.now()
	token := auth.NewMailToken()
	t := store.UserToken{Hash: auth.Hash(token), UserID: u.ID, Purpose: purpose, Email: u.Email, CreatedAt: now, ExpiresAt: now.Add(verifyLife)}
	title, text := "Verify your e-mail address", "Open this link within 24 hours to verify that this address is yours:\n\n"+d.link("verify-email", token)
	if purpose == store.TokenReset {
		t.ExpiresAt = now.Add(resetLife)
		title, text = "Reset your password", "Open this link within an hour to choose a new password:\n\n"+d.link("reset-password", token)+
			"\n\nIf you did not ask for it, you need not do anything."
	}
	if err := d.Store.PutUserToken(ctx, t); err != nil {
		return err
	}
	d.mail(ctx, u.Email, title, text)
	return nil
}

// mail hands a mail over. Its text has a token, which is in no log.
func (d *Desk) mail(ctx context.Context, to, title, text string) {
	if d.Mail == nil {
		d.Log.WarnContext(ctx, "no mail is sent: smtp.url is not set", "title", title)
		return
	}
	if !d.Mail.Post(to, title, text) {
		d.Log.WarnContext(ctx, "no mail is sent: too many wait", "title", title)
	}
}

// mayMail reports whether an address may be sent another mail of a kind.
func (d *Desk) mayMail(ctx context.Context, email, kind string) (bool, error) {
	if d.Limiter == nil {
		return true, nil
	}
	key := "mail:" + kind + ":" + accountKey(email)
	grants, err := d.Limiter.Reserve(ctx, []limit.Request{{Group: key, N: 1, Limits: []limit.Limit{
		{Key: key, Count: mailsPerHour, Period: time.Hour, Burst: mailsPerHour},
	}}})
	if err != nil {
		return false, err
	}
	return grants[0].OK, nil
}

// link is a page of the dashboard, which sends the token back.
func (d *Desk) link(page, token string) string {
	return d.PublicURL + "/" + page + "?token=" + url.QueryEscape(token)
}

var errMailToken = convoy.E(convoy.Invalid, "invalid or expired token")

// Reset sets the password of the user whom a token was mailed to, and ends all of
// their sessions.
func (d *Desk) Reset(ctx context.Context, token, password string) error {
	if !auth.IsMailToken(token) {
		return errMailToken
	}
	hash, err := d.hash(ctx, password)
	if err != nil {
		return err
	}
	u, err := d.Store.ResetPassword(ctx, auth.Hash(token), hash, d.now())
	if convoy.IsNotFound(err) {
		return errMailToken
	}
	if err != nil {
		return err
	}
	d.Log.InfoContext(ctx, "password.reset", "user_id", u.ID)
	d.told(ctx)
	return nil
}

// Verified takes the token that was mailed to an address.
func (d *Desk) Verified(ctx context.Context, token string) error {
	if !auth.IsMailToken(token) {
		return errMailToken
	}
	err := d.Store.VerifyEmail(ctx, auth.Hash(token), d.now())
	if convoy.IsNotFound(err) {
		return errMailToken
	}
	return err
}
