package app

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"time"

	"convoy/internal/notify"
	"convoy/internal/run"
	"convoy/internal/signin"
)

// mail is where e-mails are handed over; nil when none are sent.
func (p *process) mail() *notify.Mail {
	c := p.Config.SMTP
	if c.URL == "" {
		return nil
	}
	return &notify.Mail{
		Host: c.URL, Port: c.Port, Username: c.Username, Password: c.Password, From: c.From, ReplyTo: c.ReplyTo, TLS: c.SSL,
	}
}

// desk is where people sign in, with the stages that it needs.
func (p *process) desk() (*signin.Desk, error) {
	cfg := signin.Config{
		Store: p.engines.store, Told: p.catalog, Limiter: p.engines.limiter,
		PublicURL: p.Config.PublicURL() + p.Config.RootPath, SignUp: p.Config.Auth.SignUp,
		Access: p.Config.Auth.JWT.Expiry, Refresh: p.Config.Auth.JWT.RefreshExpiry, Log: p.log("signin"), Now: time.Now,
	}
	if c := p.Config.Auth.OIDC; c.Issuer != "" {
		cfg.OIDC = &signin.OIDC{
			Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret, RedirectURL: cmp.Or(c.RedirectURL, cfg.PublicURL+"/sso/callback"),
			Scopes: c.Scopes, Name: cmp.Or(c.Name, c.Issuer), SignUp: c.SignUp, Transport: toProvider(),
		}
	}
	if m := p.mail(); m != nil {
		courier := notify.NewCourier(m, p.log("mail"))
		p.stage("mail", courier.Run)
		cfg.Mail = courier
	}
	desk, err := signin.New(cfg)
	if err != nil {
		return nil, err
	}
	p.stage("signin", func(ctx context.Context) error {
		<-ctx.Done()
		desk.Wait() // each thing that is done after an answer has a time limit
		return nil
	})
	return desk, nil
}

// toProvider reaches the provider that the operator has named, wherever it is: the
// rules for endpoints are for URLs of others.
func toProvider() http.RoundTripper {
	const patience = 10 * time.Second
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: patience}).DialContext, TLSHandshakeTimeout: patience,
		ResponseHeaderTimeout: patience, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true,
	}
}

const (
	// usesEvery is how often uses of keys are written, usesTimeout how long that may
	// take.
	usesEvery   = 30 * time.Second
	usesTimeout = 5 * time.Second
)

// uses writes when keys were used last, now and then and at the end.
func (p *process) uses(ctx context.Context) error {
	tick := time.NewTicker(usesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.writeUses(run.Abandon(ctx))
			return nil
		case <-tick.C:
			p.writeUses(ctx)
		}
	}
}

func (p *process) writeUses(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, usesTimeout)
	defer cancel()
	if err := p.catalog.WriteUses(ctx); err != nil {
		p.log("catalog").Warn("uses of keys not written", "err", err)
	}
}
