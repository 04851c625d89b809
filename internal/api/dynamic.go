package api

import (
	"context"
	"net/url"
	"slices"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/meta"
	"convoy/internal/store"
	"convoy/internal/urltemplate"
)

// resolve finds the endpoint that a dynamic event goes to: the one with its URL,
// the one whose URL has placeholders that stand for it, or a new one. All but
// the last is done in memory, unless the event changes the types of the
// endpoint's subscription.
func (a *api) resolve(ctx context.Context, project *catalog.Project, p *publication, e *convoy.Event) error {
	d := &p.dynamic
	settings := project.Settings()
	if err := a.Guard.CheckURL(d.url, settings.Config.SSL.EnforceSecureEndpoints); err != nil {
		return err
	}
	if urltemplate.Is(d.url) {
		return invalid("url", "must not have placeholders")
	}
	endpoint, known := project.EndpointByURL(d.url)
	if !known {
		endpoint, known = project.EndpointByTemplate(d.url)
	}
	if !known || !dynamicReady(project, endpoint, d.types) {
		var err error
		if endpoint, err = a.ensureDynamic(ctx, settings, endpoint, d); err != nil {
			return err
		}
	}
	e.Endpoints = []convoy.EndpointID{endpoint.ID}
	if endpoint.URL != d.url {
		e.TargetURL = d.url
	}
	return nil
}

// dynamicReady reports whether the subscription that dynamic events go through
// is there and has the types that are asked for.
func dynamicReady(project *catalog.Project, endpoint *convoy.Endpoint, types []string) bool {
	for _, s := range project.Subscriptions(endpoint.ID) {
		if s.SourceID == "" {
			return len(types) == 0 || slices.Equal(s.EventTypes(), types)
		}
	}
	return false
}

// ensureDynamic asks the store for the endpoint, which is nil when this process
// knows none.
func (a *api) ensureDynamic(ctx context.Context, p *convoy.Project, endpoint *convoy.Endpoint, d *dynamicAddress) (*convoy.Endpoint, error) {
	now := a.now()
	want := store.Dynamic{Endpoint: endpoint, Known: endpoint != nil, Types: d.types, Now: now}
	if endpoint == nil {
		// Another process may have made a template a moment ago.
		templates, err := a.templates(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		if want.Endpoint, want.Known = templates.Match(d.url); !want.Known {
			if templates.Len() > 0 && !p.Config.AllowUnmatchedDynamicURLs {
				return nil, invalid("url", "no endpoint of the project has a url with placeholders that stands for it")
			}
			want.Endpoint = newDynamicEndpoint(p, d, now)
			want.Meta = meta.Endpoint(p, convoy.MetaEndpointCreated, want.Endpoint, now)
		}
	}
	if err := a.Store.EnsureEventTypes(ctx, p.ID, d.types, now); err != nil {
		return nil, err
	}
	got, err := a.Store.EnsureDynamic(ctx, want)
	if err != nil {
		return nil, refuse(err, "endpoint not found")
	}
	a.changed(ctx, p.ID)
	if got == want.Endpoint { // and not one that somebody else has just made
		a.hasten(ctx, want.Meta)
	}
	return got, nil
}

// templates returns the project's URLs with placeholders as the store has them.
func (a *api) templates(ctx context.Context, p convoy.ProjectID) (*urltemplate.Set[*convoy.Endpoint], error) {
	var set urltemplate.Set[*convoy.Endpoint]
	list, err := a.Store.EndpointTemplates(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if t, err := urltemplate.Parse(e.URL); err == nil { // braces that are no placeholders are just braces
			set.Add(t, e)
		}
	}
	return &set, nil
}

// newDynamicEndpoint is the endpoint that a dynamic event makes. Its URL has
// been checked.
func newDynamicEndpoint(p *convoy.Project, d *dynamicAddress, now time.Time) *convoy.Endpoint {
	secret := d.secret
	if secret == "" {
		secret = auth.NewSecret()
	}
	name := "dynamic endpoint"
	if u, err := url.Parse(d.url); err == nil && u.Host != "" {
		name = u.Host
	}
	return &convoy.Endpoint{
		ID: convoy.EndpointID(id.New(now)), ProjectID: p.ID, URL: d.url, Name: name, Status: convoy.EndpointActive,
		Secrets:            []convoy.Secret{{ID: id.New(now), Value: secret, CreatedAt: now, UpdatedAt: now}},
		AdvancedSignatures: true, HTTPTimeout: convoy.DefaultHTTPTimeout, ContentType: contentJSON, CreatedAt: now, UpdatedAt: now,
	}
}
