package app

import (
	"context"
	"time"

	"convoy/internal/notify"
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
