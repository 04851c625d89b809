package lock

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// LeadConfig says who wants to lead what.
type LeadConfig struct {
	Locker Locker
	// Name is what is led, Owner who wants to: unique to this process.
	Name, Owner string
	// TTL is the length of a lease; zero means 5 s. When a leader dies, another
	// follows after TTL and a fifth of it at the latest.
	TTL time.Duration
	Log *slog.Logger
}

const defaultTTL = 5 * time.Second

// Lead waits until this process is the leader, runs fn, and waits again when
// the lead was lost. The context of fn ends a fifth of the TTL before another
// process can take over, or when the lock says that one has; fn must return
// soon after. Lead returns when ctx has ended, or with what fn returned of its
// own accord; it gives the lead back then.
func Lead(ctx context.Context, cfg LeadConfig, fn func(context.Context) error) error {
	if cfg.TTL <= 0 {
		cfg.TTL = defaultTTL
	}
	c := campaign{cfg: cfg, log: cfg.Log.With("lock", cfg.Name)}
	for {
		until, won := c.try(ctx)
		if won {
			c.log.Info("lead taken")
			lost, err := c.reign(ctx, until, fn)
			if !lost {
				c.resign(ctx)
				return err
			}
			c.log.Warn("lead lost")
			if err != nil {
				return err
			}
		}
		if !pause(ctx, cfg.TTL/5) {
			return nil
		}
	}
}

// campaign is one process's wish to lead.
type campaign struct {
	cfg LeadConfig
	log *slog.Logger
	// failing keeps an outage at one line in the log.
	failing bool
}

// try asks for the lock once. The lease it returns is counted from before the
// question, so that it ends no later here than for the locker.
func (c *campaign) try(ctx context.Context) (until time.Time, won bool) {
	until = time.Now().Add(c.cfg.TTL)
	bounded, cancel := context.WithTimeout(ctx, c.cfg.TTL/2)
	defer cancel()
	won, err := c.cfg.Locker.TryLock(bounded, c.cfg.Name, c.cfg.Owner, c.cfg.TTL)
	if err != nil && ctx.Err() == nil && !c.failing {
		c.log.Warn("lock unavailable", "err", err)
	}
	c.failing = err != nil
	return until, err == nil && won
}

// reign runs fn while the lease that ends at until is renewed, and reports
// whether the lead was lost before fn was asked to stop or returned.
func (c *campaign) reign(ctx context.Context, until time.Time, fn func(context.Context) error) (lost bool, err error) {
	led, stop := context.WithCancel(ctx)
	defer stop()
	margin := c.cfg.TTL / 5
	// The watchdog does not depend on the locker to answer.
	watchdog := time.AfterFunc(time.Until(until)-margin, stop)
	defer watchdog.Stop()
	ended := make(chan error, 1) // its one result, so that fn can always end
	go func() { ended <- fn(led) }()

	renewal := time.NewTicker(c.cfg.TTL / 5)
	defer renewal.Stop()
	for {
		select {
		case err := <-ended:
			return outcome(ctx, led, err)
		case <-led.Done():
			return outcome(ctx, led, <-ended)
		case <-renewal.C:
		}
		next, held, err := c.renew(led)
		switch {
		case held:
			// A watchdog that was too fast has stopped fn already.
			if watchdog.Stop() {
				watchdog.Reset(time.Until(next) - margin)
			}
		case err == nil:
			stop() // somebody else has it
		}
	}
}

// outcome says what it means that fn has returned err: of its own accord,
// because ctx has ended, or because the lead was lost.
func outcome(ctx, led context.Context, err error) (lost bool, _ error) {
	if led.Err() == nil {
		return false, err
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return ctx.Err() == nil, err
}

// renew asks for another lease.
func (c *campaign) renew(ctx context.Context) (until time.Time, held bool, err error) {
	until = time.Now().Add(c.cfg.TTL)
	bounded, cancel := context.WithTimeout(ctx, c.cfg.TTL/2)
	defer cancel()
	held, err = c.cfg.Locker.TryLock(bounded, c.cfg.Name, c.cfg.Owner, c.cfg.TTL)
	if err != nil && ctx.Err() == nil {
		c.log.Warn("lead not renewed", "err", err)
	}
	return until, held && err == nil, err
}

// resign gives the lead back, so that the next leader need not wait for the
// lease to end. When that fails it does.
func (c *campaign) resign(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := c.cfg.Locker.Unlock(ctx, c.cfg.Name, c.cfg.Owner); err != nil {
		c.log.Warn("lead not given back", "err", err)
		return
	}
	c.log.Info("lead given back")
}

// pause waits for d, more or less, so that campaigns do not march in step. It
// reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d - d/10 + rand.N(d/10+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
