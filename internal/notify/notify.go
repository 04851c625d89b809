// Package notify tells people by chat and e-mail when an endpoint does not do as
// it should: too many deliveries of a subscription fail, or the endpoint is
// switched off for failing. It says so to the addresses that the endpoint names.
//
// A notice is a row in the store until it is sent or given up, so it outlives
// the process. It may be sent twice when a process dies at the wrong moment.
// Meta events, which programs read, are package meta's.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/store"
)

type projects interface {
	Project(ctx context.Context, id convoy.ProjectID) (*catalog.Project, error)
}

type noter interface {
	NoteFailures(ctx context.Context, f store.Failures) (raised bool, err error)
	AddNotices(ctx context.Context, notices []convoy.Notice) error
}

// Alarm notices what people should know of.
type Alarm struct {
	Projects projects
	Store    noter
	// Mail says that e-mails can be sent.
	Mail bool
	Log  *slog.Logger
	Now  func() time.Time
}

const (
	// noteTimeout bounds what a batch of outcomes waits for its failures to be
	// counted.
	noteTimeout = 5 * time.Second
	// maxShown bounds what is quoted of names, URLs and errors, in bytes.
	maxShown = 300
)

// Failed counts the deliveries that have failed among outcomes that were just
// recorded. Those of subscriptions without an alert cost a look-up in memory.
func (a *Alarm) Failed(ctx context.Context, outcomes []store.Outcome) {
	var failed map[convoy.SubscriptionID]*failures
	for i := range outcomes {
		o := &outcomes[i]
		if o.Delivery.Status != convoy.DeliveryFailure || o.Delivery.SubscriptionID == "" {
			continue
		}
		f := failed[o.Delivery.SubscriptionID]
		if f == nil {
			if f = a.of(ctx, o.Delivery); f == nil {
				continue
			}
			if failed == nil {
				failed = make(map[convoy.SubscriptionID]*failures)
			}
			failed[o.Delivery.SubscriptionID] = f
		}
		f.times, f.last = append(f.times, o.Delivery.UpdatedAt), o
	}
	if len(failed) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	for id, f := range failed {
		raised, err := a.Store.NoteFailures(ctx, store.Failures{
			Subscription: id, Alert: f.subscription.Alert, Times: f.times, Notices: a.notices(f.project, f.endpoint, f.message()),
		})
		switch {
		case err != nil:
			a.Log.Warn("failures not counted for an alert", "subscription_id", id, "failures", len(f.times), "err", err)
		case raised:
			a.Log.Info("alert.raised", "subscription_id", id, "endpoint_id", f.endpoint.ID, "project_id", f.project.ID)
		}
	}
}

// failures are deliveries of a subscription that asks for an alert.
type failures struct {
	project      *convoy.Project
	endpoint     *convoy.Endpoint
	subscription *convoy.Subscription
	times        []time.Time
	last         *store.Outcome
}

// of returns the failures that a delivery belongs to; nil when nobody asks.
func (a *Alarm) of(ctx context.Context, d *convoy.Delivery) *failures {
	view, err := a.Projects.Project(ctx, d.ProjectID)
	if err != nil {
		return nil // deleted, or the store is away, which others say
	}
	for _, s := range view.Subscriptions(d.EndpointID) {
		if s.ID != d.SubscriptionID {
			continue
		}
		e, ok := view.Endpoint(d.EndpointID)
		if !ok || s.Alert.Count <= 0 || s.Alert.Threshold <= 0 {
			return nil
		}
		return &failures{project: view.Settings(), endpoint: e, subscription: s.Subscription}
	}
	return nil
}

// message is what there is to say.
type message struct{ title, text string }

func (f *failures) message() message {
	text := fmt.Sprintf("%d deliveries of the subscription %s to %s failed within %s.\n%s",
		f.subscription.Alert.Count, shown(f.subscription.Name), place(f.endpoint), f.subscription.Alert.Threshold, projectLine(f.project))
	if why := reason(f.last); why != "" {
		text += "\nThe last one: " + why
	}
	return message{"Deliveries to " + shown(f.endpoint.Name) + " fail", text}
}

// reason is how the last try of a delivery ended.
func reason(o *store.Outcome) string {
	switch a := o.Attempt; {
	case a != nil && a.Error != "":
		return shown(a.Error)
	case a != nil && a.HTTPStatus != "":
		return "answered " + shown(a.HTTPStatus)
	}
	return shown(o.Delivery.Description)
}

// Disabled tells that an endpoint was switched off because its deliveries fail.
func (a *Alarm) Disabled(ctx context.Context, p *convoy.Project, e *convoy.Endpoint) {
	a.add(ctx, p, e, message{
		shown(e.Name) + " was switched off",
		place(e) + " was switched off because a delivery has failed for good. Deliveries to it are discarded until it is activated again.\n" + projectLine(p),
	})
}

// Activated is the all-clear.
func (a *Alarm) Activated(ctx context.Context, p *convoy.Project, e *convoy.Endpoint) {
	a.add(ctx, p, e, message{shown(e.Name) + " is active again", place(e) + " takes deliveries again.\n" + projectLine(p)})
}

func (a *Alarm) add(ctx context.Context, p *convoy.Project, e *convoy.Endpoint, m message) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if err := a.Store.AddNotices(ctx, a.notices(p, e, m)); err != nil {
		a.Log.Warn("notice not sent", "endpoint_id", e.ID, "project_id", p.ID, "err", err)
	}
}

// notices are a message to all the addresses that an endpoint names.
func (a *Alarm) notices(p *convoy.Project, e *convoy.Endpoint, m message) []convoy.Notice {
	var list []convoy.Notice
	now := a.Now().Truncate(time.Microsecond)
	for _, to := range []struct {
		channel convoy.Channel
		target  string
	}{
		{convoy.ChannelSlack, e.SlackWebhookURL}, {convoy.ChannelTeams, e.TeamsWebhookURL}, {convoy.ChannelEmail, e.SupportEmail},
	} {
		if to.target == "" || to.channel == convoy.ChannelEmail && !a.Mail {
			continue
		}
		list = append(list, convoy.Notice{
			ID: convoy.NoticeID(id.New(now)), ProjectID: p.ID, Channel: to.channel, Target: to.target, Title: m.title, Text: m.text,
			DueAt: now, CreatedAt: now,
		})
	}
	return list
}

func projectLine(p *convoy.Project) string {
	return "Project: " + shown(p.Name) + " (" + string(p.ID) + ")"
}

// place is an endpoint with its address, without what may be secret in it.
func place(e *convoy.Endpoint) string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return shown(e.Name)
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return shown(e.Name) + " (" + shown(bare.String()) + ")"
}

// shown is text from outside in a line of ours: one line, and not too long.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}
