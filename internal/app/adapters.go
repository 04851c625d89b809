package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/deliver"
	"convoy/internal/meta"
	"convoy/internal/notify"
	"convoy/internal/oauth"
	"convoy/internal/route"
	"convoy/internal/store"
)

func routerOf(p *process) *route.Router {
	return route.New(p.catalog, p.engines.store, p.functions, p.log("route"))
}

// timeouts answers from the catalog; routing has just loaded the project.
type timeouts struct{ catalog *catalog.Catalog }

func (t timeouts) Timeout(ctx context.Context, project convoy.ProjectID, endpoint convoy.EndpointID) time.Duration {
	view, err := t.catalog.Project(ctx, project)
	if err != nil {
		return convoy.MaxHTTPTimeout
	}
	e, ok := view.Endpoint(endpoint)
	if !ok {
		return convoy.MaxHTTPTimeout
	}
	return e.Timeout()
}

// teller makes the meta events of deliveries that end before they are tried.
type teller struct{ catalog *catalog.Catalog }

func (t teller) Tell(ctx context.Context, e *convoy.Event, d *convoy.Delivery) (*convoy.Job, error) {
	view, err := t.catalog.Project(ctx, d.ProjectID)
	if convoy.IsNotFound(err) {
		return nil, nil // nobody to tell
	}
	if err != nil {
		return nil, err
	}
	return meta.Delivery(view.Settings(), d, e, nil), nil
}

// disabler switches endpoints off and tells everybody.
type disabler struct {
	store   *store.Store
	catalog *catalog.Catalog
	push    pusher
	alarm   *notify.Alarm
}

func (d disabler) Disable(ctx context.Context, project convoy.ProjectID, endpoint convoy.EndpointID) error {
	now := time.Now()
	told, err := d.tell(ctx, project, endpoint, now)
	if err != nil {
		return err
	}
	switched, err := d.store.SetEndpointStatus(ctx, project, endpoint, convoy.EndpointInactive, now, told...)
	if err != nil {
		return err
	}
	d.push.Take(ctx, told)
	if switched {
		d.notify(ctx, project, endpoint)
	}
	return d.catalog.Changed(ctx, project)
}

// notify tells people; who has just deleted the endpoint need not know.
func (d disabler) notify(ctx context.Context, project convoy.ProjectID, endpoint convoy.EndpointID) {
	view, err := d.catalog.Project(ctx, project)
	if err != nil {
		return
	}
	if e, ok := view.Endpoint(endpoint); ok {
		d.alarm.Disabled(ctx, view.Settings(), e)
	}
}

// tell makes the meta event of an endpoint that is switched off.
func (d disabler) tell(ctx context.Context, project convoy.ProjectID, endpoint convoy.EndpointID, now time.Time) ([]convoy.Job, error) {
	view, err := d.catalog.Project(ctx, project)
	if err != nil {
		return nil, err
	}
	e, ok := view.Endpoint(endpoint)
	if !ok || e.Status == convoy.EndpointInactive {
		return nil, nil
	}
	after := *e
	after.Status, after.UpdatedAt = convoy.EndpointInactive, now
	return meta.Endpoint(view.Settings(), convoy.MetaEndpointUpdated, &after, now), nil
}

// pinger asks https endpoints for a sign of life when they are saved; nil when
// configured away.
func (p *process) pinger() interface {
	Ping(ctx context.Context, url string) error
} {
	if p.Config.Dispatcher.SkipPingValidation {
		return nil
	}
	roots, err := authorities(p.Config.Dispatcher)
	if err != nil {
		roots = nil // makeDeliverer reports it where it matters
	}
	return ping{
		client: &http.Client{
			Transport: deliver.NewTransport(deliver.TransportConfig{
				Dialer:             p.guard.Dialer(10*time.Second, 30*time.Second),
				InsecureSkipVerify: p.Config.Dispatcher.InsecureSkipVerify, RootCAs: roots, PerEndpoint: 1,
			}),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       10 * time.Second,
		},
		methods: p.Config.Dispatcher.PingMethods, agent: "Convoy/" + p.Version,
	}
}

// apiTokens tries OAuth 2.0 configurations out.
func (p *process) apiTokens() *oauth.Client {
	roots, err := authorities(p.Config.Dispatcher)
	if err != nil {
		roots = nil // makeDeliverer reports it where it matters
	}
	return p.tokens(roots)
}

type ping struct {
	client  *http.Client
	methods []string
	agent   string
}

// Ping passes when one of the methods is answered with any 2xx.
func (p ping) Ping(ctx context.Context, url string) error {
	var last error
	for _, m := range p.methods {
		req, err := http.NewRequestWithContext(ctx, m, url, http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", p.agent)
		res, err := p.client.Do(req)
		if err != nil {
			last = err
			continue
		}
		_, _ = io.CopyN(io.Discard, res.Body, 4096) // only the status counts
		_ = res.Body.Close()
		if res.StatusCode >= 200 && res.StatusCode <= 299 {
			return nil
		}
		last = fmt.Errorf("%s was answered with status %s", m, res.Status)
	}
	return last
}
