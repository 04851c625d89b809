package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/id"
	"convoy/internal/meta"
	"convoy/internal/sign"
	"convoy/internal/store"
	"convoy/internal/urltemplate"
)

// maxSecrets is how many secrets of an endpoint sign at once; each adds a digest
// to every delivery.
const maxSecrets = sign.MaxSecrets

func (a *api) endpointRoutes(r *registrar) {
	const (
		tag = "Endpoints"
		all = "/api/v1/projects/{projectID}/endpoints"
		one = all + "/{endpointID}"
	)
	handle(r, operation{
		id: "CreateEndpoint", access: managesProject, portal: portalManages, method: http.MethodPost, path: all, tag: tag, summary: "Create an endpoint",
		status: http.StatusCreated, message: "Endpoint created successfully",
	}, a.createEndpoint)
	handle(r, operation{
		id: "GetEndpoints", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all, tag: tag, summary: "List endpoints",
		status: http.StatusOK, message: "Endpoints fetched successfully",
	}, a.endpoints)
	handle(r, operation{
		id: "TestOAuth2Connection", access: managesProject, method: http.MethodPost, path: all + "/oauth2/test", tag: tag, summary: "Try an OAuth 2.0 configuration out",
		status: http.StatusOK, message: "OAuth2 connection test successful",
	}, a.testOAuth2)
	handle(r, operation{
		id: "GetEndpointPeriodFailureRates", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all + "/period-failure-rates", tag: tag,
		summary: "Count what became of endpoints' deliveries",
		status:  http.StatusOK, message: "Endpoint period failure rates fetched successfully",
	}, a.failureRates)
	handle(r, operation{
		id: "GetEndpoint", access: viewsProject, portal: portalViews, method: http.MethodGet, path: one, tag: tag, summary: "Get an endpoint",
		status: http.StatusOK, message: "Endpoint fetched successfully",
	}, a.endpoint)
	handle(r, operation{
		id: "UpdateEndpoint", access: managesProject, portal: portalManages, method: http.MethodPut, path: one, tag: tag, summary: "Update an endpoint",
		status: http.StatusAccepted, message: "Endpoint updated successfully",
	}, a.updateEndpoint)
	handle(r, operation{
		id: "DeleteEndpoint", access: managesProject, portal: portalManages, method: http.MethodDelete, path: one, tag: tag, summary: "Delete an endpoint",
		status: http.StatusOK, message: "Endpoint deleted successfully",
	}, a.deleteEndpoint)
	handle(r, operation{
		id: "PauseEndpoint", access: managesProject, portal: portalManages, method: http.MethodPut, path: one + "/pause", tag: tag, summary: "Pause an endpoint, or resume it",
		status: http.StatusAccepted, message: "endpoint status updated successfully",
	}, a.pauseEndpoint)
	handle(r, operation{
		id: "ActivateEndpoint", access: managesProject, method: http.MethodPost, path: one + "/activate", tag: tag, summary: "Activate an endpoint",
		status: http.StatusAccepted, message: "endpoint status successfully activated",
	}, a.activateEndpoint)
	handle(r, operation{
		id: "ExpireSecret", access: managesProject, portal: portalManages, method: http.MethodPut, path: one + "/expire_secret", tag: tag, summary: "Replace an endpoint's secret",
		status: http.StatusOK, message: "endpoint secret expired successfully",
	}, a.expireSecret)
}

// EndpointPath is the path of one endpoint.
type EndpointPath struct {
	ProjectPath
	Endpoint string `path:"endpointID" doc:"The endpoint's id"`
}

type createEndpointInput struct {
	ProjectPath
	Payload payload[endpointRequest]
}

func (a *api) createEndpoint(ctx context.Context, in *createEndpointInput) (*endpointView, error) {
	x := exchangeOf(ctx)
	p := projectOf(ctx)
	req, err := in.Payload.decode()
	if err != nil {
		return nil, err
	}
	now := a.now()
	e := &convoy.Endpoint{
		ID: convoy.EndpointID(id.New(now)), ProjectID: p.Settings().ID, Status: convoy.EndpointActive,
		AdvancedSignatures: x.version >= durationsAsNumbers, ContentType: contentJSON, CreatedAt: now,
	}
	if err := req.apply(e, p.Settings(), x.version, a.Guard); err != nil {
		return nil, err
	}
	if link := linkOf(ctx); link != nil {
		e.OwnerID = link.OwnerID
	}
	secret := req.Secret
	if secret == "" {
		secret = auth.NewSecret()
	}
	e.Secrets = []convoy.Secret{{ID: id.New(now), Value: secret, CreatedAt: now, UpdatedAt: now}}
	e.UpdatedAt = now
	if err := a.ping(ctx, e.URL); err != nil {
		return nil, err
	}
	told := meta.Endpoint(p.Settings(), convoy.MetaEndpointCreated, e, now)
	if err := a.Store.CreateEndpoint(ctx, e, told...); err != nil {
		return nil, err
	}
	a.changed(ctx, e.ProjectID)
	a.hasten(ctx, told)
	created := viewEndpoint(e, x.version)
	if e.Authentication.Type == "" {
		created.Authentication = nil // null in this answer, {} in all others
	}
	return created, nil
}

// pingTimeout bounds the tries of all methods together.
const pingTimeout = 30 * time.Second

// ping asks an https URL for a sign of life, if the server is set up to.
func (a *api) ping(ctx context.Context, url string) error {
	if a.Ping == nil || !isTLS(url) || urltemplate.Is(url) { // placeholders lead nowhere
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := a.Ping.Ping(ctx, url); err != nil {
		return convoy.Wrap(convoy.Invalid, "endpoint validation failed: "+err.Error(), err)
	}
	return nil
}

type endpointsInput struct {
	ProjectPath
	PageQuery
	Q     string `query:"q" doc:"Part of the name"`
	Query string `query:"query" deprecated:"true" doc:"Older name of q"`
	Owner string `query:"ownerId" doc:"Only endpoints of this owner"`
}

func (a *api) endpoints(ctx context.Context, in *endpointsInput) (paged[*endpointView], error) {
	x := exchangeOf(ctx)
	p := projectOf(ctx)
	page, err := in.page()
	if err != nil {
		return paged[*endpointView]{}, err
	}
	q := in.Q
	if q == "" {
		q = in.Query
	}
	list, err := a.Store.Endpoints(ctx, store.EndpointFilter{Project: p.Settings().ID, Query: q, Owner: in.Owner, Page: page})
	if err != nil {
		return paged[*endpointView]{}, err
	}
	return pageOf(list, page.PerPage, func(e *convoy.Endpoint) *endpointView { return viewEndpoint(e, x.version) }), nil
}

// find returns the endpoint of a request from the store, which is never behind.
// A missing one is NotFound.
func (a *api) find(ctx context.Context, in *EndpointPath) (*convoy.Endpoint, *convoy.Project, error) {
	p := projectOf(ctx)
	if !id.Valid(in.Endpoint) {
		return nil, nil, convoy.E(convoy.NotFound, "endpoint not found")
	}
	e, err := a.Store.Endpoint(ctx, p.Settings().ID, convoy.EndpointID(in.Endpoint))
	return e, p.Settings(), err
}

func (a *api) endpoint(ctx context.Context, in *EndpointPath) (*endpointView, error) {
	e, _, err := a.find(ctx, in)
	if convoy.IsNotFound(err) {
		err = convoy.E(convoy.NotFound, "Resource not found")
	}
	if err != nil {
		return nil, err
	}
	return viewEndpoint(e, exchangeOf(ctx).version), nil
}

type updateEndpointInput struct {
	EndpointPath
	Payload payload[endpointRequest]
}

func (a *api) updateEndpoint(ctx context.Context, in *updateEndpointInput) (*endpointView, error) {
	x := exchangeOf(ctx)
	e, p, err := a.find(ctx, &in.EndpointPath)
	if err != nil {
		return nil, refuse(err, "endpoint not found")
	}
	req, err := in.Payload.decode()
	if err != nil {
		return nil, err
	}
	old := e.URL
	if err := req.update(e, p, x.version, a.Guard); err != nil {
		return nil, err
	}
	if link := linkOf(ctx); link != nil {
		e.OwnerID = link.OwnerID
	}
	if e.URL != old {
		if err := a.ping(ctx, e.URL); err != nil {
			return nil, err
		}
	}
	e.UpdatedAt = a.now()
	if err := a.saveEndpoint(ctx, p, e); err != nil {
		return nil, err
	}
	return viewEndpoint(e, x.version), nil
}

// saveEndpoint writes an endpoint that has been changed, and says so.
func (a *api) saveEndpoint(ctx context.Context, p *convoy.Project, e *convoy.Endpoint) error {
	told := updated(p, e)
	if err := a.Store.UpdateEndpoint(ctx, e, told...); err != nil {
		return refuse(err, "endpoint not found")
	}
	a.changed(ctx, e.ProjectID)
	a.hasten(ctx, told)
	return nil
}

func (a *api) deleteEndpoint(ctx context.Context, in *EndpointPath) (none, error) {
	e, p, err := a.find(ctx, in)
	if err != nil {
		return nil, refuse(err, "endpoint not found")
	}
	now := a.now()
	e.DeletedAt, e.UpdatedAt = now, now
	told := meta.Endpoint(p, convoy.MetaEndpointDeleted, e, now)
	if err := a.Store.DeleteEndpoint(ctx, e.ProjectID, e.ID, now, told...); err != nil {
		return nil, refuse(err, "endpoint not found")
	}
	a.changed(ctx, e.ProjectID)
	a.hasten(ctx, told)
	return nil, nil
}

func (a *api) pauseEndpoint(ctx context.Context, in *EndpointPath) (*endpointView, error) {
	e, p, err := a.find(ctx, in)
	if err != nil {
		return nil, refuse(err, "failed to find endpoint")
	}
	switch e.Status {
	case convoy.EndpointActive:
		return a.switchEndpoint(ctx, p, e, convoy.EndpointPaused)
	case convoy.EndpointPaused:
		return a.switchEndpoint(ctx, p, e, convoy.EndpointActive)
	}
	return nil, convoy.E(convoy.Invalid, "current endpoint status - "+string(e.Status)+", does not support pausing or unpausing")
}

func (a *api) activateEndpoint(ctx context.Context, in *EndpointPath) (*endpointView, error) {
	e, p, err := a.find(ctx, in)
	if err != nil {
		return nil, refuse(err, "failed to find endpoint")
	}
	if e.Status == convoy.EndpointActive {
		return nil, convoy.E(convoy.Invalid, "current endpoint status - active, does not support activation")
	}
	return a.switchEndpoint(ctx, p, e, convoy.EndpointActive)
}

func (a *api) switchEndpoint(ctx context.Context, p *convoy.Project, e *convoy.Endpoint, status convoy.EndpointStatus) (*endpointView, error) {
	disabled := e.Status == convoy.EndpointInactive
	e.Status, e.UpdatedAt = status, a.now()
	told := updated(p, e)
	if _, err := a.Store.SetEndpointStatus(ctx, e.ProjectID, e.ID, status, e.UpdatedAt, told...); err != nil {
		return nil, refuse(err, "failed to find endpoint")
	}
	if disabled && a.Alarm != nil {
		a.Alarm.Activated(ctx, p, e)
	}
	a.changed(ctx, e.ProjectID)
	a.hasten(ctx, told)
	return viewEndpoint(e, exchangeOf(ctx).version), nil
}

type expireSecretInput struct {
	EndpointPath
	Payload payload[expireSecretRequest]
}

type expireSecretRequest struct {
	Secret     string `json:"secret,omitempty" maxLength:"512" doc:"The new secret; generated unless given"`
	Expiration uint64 `json:"expiration,omitempty" doc:"For how many seconds the old secret goes on signing"`
}

func (a *api) expireSecret(ctx context.Context, in *expireSecretInput) (*endpointView, error) {
	e, p, err := a.find(ctx, &in.EndpointPath)
	if err != nil {
		return nil, refuse(err, "endpoint not found")
	}
	req, err := in.Payload.decode()
	if err != nil {
		return nil, err
	}
	var found problems
	found.text("secret", req.Secret, maxSecret)
	checkMost(&found, "expiration", req.Expiration, maxSeconds)
	if err := found.err(); err != nil {
		return nil, err
	}
	now := a.now()
	end := now.Add(time.Duration(req.Expiration) * time.Second)
	var secrets []convoy.Secret
	for _, s := range e.Secrets {
		if !s.Live(now) {
			continue // it signs nothing any more
		}
		if s.ExpiresAt.IsZero() {
			s.ExpiresAt, s.UpdatedAt = end, now
		}
		secrets = append(secrets, s)
	}
	if len(secrets) >= maxSecrets {
		return nil, invalid("secret", "the endpoint has "+itoa(maxSecrets)+" secrets that have not expired")
	}
	value := req.Secret
	if value == "" {
		value = auth.NewSecret()
	}
	secrets = append(secrets, convoy.Secret{ID: id.New(now), Value: value, CreatedAt: now, UpdatedAt: now})
	e.Secrets = secrets
	e.UpdatedAt = now
	if err := a.saveEndpoint(ctx, p, e); err != nil {
		return nil, err
	}
	return viewEndpoint(e, newestVersion), nil // this answer never had versions
}
