package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"convoy"
	"convoy/internal/lock"
	"convoy/internal/telemetry"
)

type outbox interface {
	DueNotices(ctx context.Context, now time.Time, max int) ([]convoy.Notice, error)
	PostponeNotice(ctx context.Context, id convoy.NoticeID, tries int, due time.Time) error
	DropNotice(ctx context.Context, id convoy.NoticeID) error
	ForgetAlerts(ctx context.Context, before time.Time, max int) (int, error)
}

// Config is what sending needs.
type Config struct {
	Store   outbox
	Sender  *Sender
	Locker  lock.Locker
	Owner   string
	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Now     func() time.Time
}

const (
	// pollEvery is how often the store is asked for what is due.
	pollEvery = time.Second
	// batch bounds what is read at once, and parallel what is sent.
	batch, parallel = 50, 8
	// triesMax, with waits from firstWait doubling to longestWait, is some four hours.
	triesMax    = 12
	firstWait   = 10 * time.Second
	longestWait = time.Hour
	// alertsKept is how long counts of failures are kept, and an alert's longest
	// threshold.
	alertsKept  = 31 * 24 * time.Hour
	forgetEvery = time.Hour
	forgetBatch = 1000
)

// Post sends notices. Run it in as many processes as you like: one acts.
type Post struct{ cfg Config }

// NewPost makes a post.
func NewPost(cfg Config) *Post { return &Post{cfg} }

// Run sends until ctx ends.
func (p *Post) Run(ctx context.Context) error {
	return lock.Lead(ctx, lock.LeadConfig{Locker: p.cfg.Locker, Name: "notices", Owner: p.cfg.Owner, Log: p.cfg.Log}, p.lead)
}

func (p *Post) lead(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var forgotten time.Time
	for {
		if err := p.round(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("notices not read", "err", err)
		}
		if now := p.cfg.Now(); now.Sub(forgotten) >= forgetEvery {
			forgotten = now
			if _, err := p.cfg.Store.ForgetAlerts(ctx, now.Add(-alertsKept), forgetBatch); err != nil && ctx.Err() == nil {
				p.cfg.Log.Warn("old counts of failures not deleted", "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// round sends what is due now.
func (p *Post) round(ctx context.Context) error {
	list, err := p.cfg.Store.DueNotices(ctx, p.cfg.Now(), batch)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	free := make(chan struct{}, parallel) // who sends holds a place
	for i := range list {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			p.send(ctx, &list[i])
		})
	}
	wg.Wait()
	return nil
}

func (p *Post) send(ctx context.Context, n *convoy.Notice) {
	err := p.cfg.Sender.send(ctx, n)
	if ctx.Err() != nil {
		return // the next leader's
	}
	log := p.cfg.Log.With("notice_id", n.ID, "project_id", n.ProjectID, "channel", n.Channel)
	var done error
	switch {
	case err == nil:
		p.cfg.Metrics.Notices.Sent.Inc()
		log.Info("notice.sent")
		done = p.cfg.Store.DropNotice(ctx, n.ID)
	case errors.Is(err, errRefused), n.Tries+1 >= triesMax:
		p.cfg.Metrics.Notices.Failed.Inc()
		log.Error("notice given up", "tries", n.Tries+1, "err", err)
		done = p.cfg.Store.DropNotice(ctx, n.ID)
	default:
		wait := min(firstWait<<n.Tries, longestWait)
		log.Warn("notice not sent, tried again", "tries", n.Tries+1, "wait", wait, "err", err)
		done = p.cfg.Store.PostponeNotice(ctx, n.ID, n.Tries+1, p.cfg.Now().Add(wait))
	}
	if done != nil {
		log.Warn("notice is sent again: what became of it was not stored", "err", done)
	}
}
