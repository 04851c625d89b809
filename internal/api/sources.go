package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/verify"
)

// sourceView is a source as clients see it. Its secrets are shown: whoever may
// see them may also replace them.
type sourceView struct {
	UID               convoy.SourceID       `json:"uid"`
	ProjectID         convoy.ProjectID      `json:"project_id"`
	MaskID            string                `json:"mask_id"`
	Name              string                `json:"name"`
	URL               string                `json:"url" doc:"Where a source of type http takes events"`
	Type              convoy.SourceType     `json:"type"`
	Provider          string                `json:"provider"`
	Disabled          bool                  `json:"is_disabled"`
	Verifier          convoy.Verifier       `json:"verifier"`
	CustomResponse    convoy.CustomResponse `json:"custom_response"`
	ProviderConfig    *providerConfig       `json:"provider_config"`
	ForwardHeaders    []string              `json:"forward_headers"`
	PubSub            convoy.PubSub         `json:"pub_sub"`
	IdempotencyKeys   []string              `json:"idempotency_keys"`
	EventTypeLocation string                `json:"event_type_location"`
	BodyFunction      *string               `json:"body_function"`
	HeaderFunction    *string               `json:"header_function"`
	CreatedAt         time.Time             `json:"created_at"`
	UpdatedAt         time.Time             `json:"updated_at"`
	DeletedAt         *time.Time            `json:"deleted_at"`
}

// providerConfig is what is known of a source's provider.
type providerConfig struct {
	Twitter struct {
		CRCVerifiedAt *time.Time `json:"crc_verified_at"`
	} `json:"twitter"`
}

func (a *api) viewSource(s *convoy.Source) sourceView {
	v := sourceView{
		UID: s.ID, ProjectID: s.ProjectID, MaskID: s.MaskID, Name: s.Name, Type: s.Type, Provider: s.Provider, Disabled: s.Disabled,
		Verifier: s.Verifier, CustomResponse: s.CustomResponse, ForwardHeaders: s.ForwardHeaders, IdempotencyKeys: s.IdempotencyKeys,
		EventTypeLocation: s.EventTypeLocation, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, DeletedAt: nullTime(s.DeletedAt),
	}
	if s.Type == convoy.SourceHTTP {
		v.URL = a.PublicURL + a.prefix + ingestPrefix + s.MaskID
	}
	if v.ForwardHeaders == nil {
		v.ForwardHeaders = []string{}
	}
	if v.IdempotencyKeys == nil {
		v.IdempotencyKeys = []string{}
	}
	if s.PubSub != nil {
		v.PubSub = *s.PubSub
	}
	if s.Provider == verify.Twitter {
		v.ProviderConfig = new(providerConfig)
		v.ProviderConfig.Twitter.CRCVerifiedAt = nullTime(s.CRCVerifiedAt)
	}
	if s.BodyFunction != "" {
		v.BodyFunction = &s.BodyFunction
	}
	if s.HeaderFunction != "" {
		v.HeaderFunction = &s.HeaderFunction
	}
	return v
}

func (a *api) sourceRoutes(r *registrar) {
	const (
		tag = "Sources"
		all = "/api/v1/projects/{projectID}/sources"
		one = all + "/{sourceID}"
	)
	handle(r, operation{
		id: "CreateSource", access: managesProject, method: http.MethodPost, path: all, tag: tag, summary: "Create a source",
		status: http.StatusCreated, message: "Source created successfully",
	}, a.createSource)
	handle(r, operation{
		id: "LoadSourcesPaged", access: viewsProject, method: http.MethodGet, path: all, tag: tag, summary: "List sources",
		status: http.StatusOK, message: "Sources fetched successfully",
	}, a.sources)
	handle(r, operation{
		id: "GetSource", access: viewsProject, method: http.MethodGet, path: one, tag: tag, summary: "Get a source",
		status: http.StatusOK, message: "Source fetched successfully",
	}, a.source)
	handle(r, operation{
		id: "UpdateSource", access: managesProject, method: http.MethodPut, alias: http.MethodPost, path: one, tag: tag, summary: "Update a source",
		status: http.StatusAccepted, message: "Source updated successfully",
	}, a.updateSource)
	handle(r, operation{
		id: "DeleteSource", access: managesProject, method: http.MethodDelete, path: one, tag: tag, summary: "Delete a source and its subscriptions",
		status: http.StatusOK, message: "Source deleted successfully",
	}, a.deleteSource)
	handle(r, operation{
		id: "GetSourceRefusals", access: viewsProject, method: http.MethodGet, path: one + "/refusals", tag: tag,
		summary: "List the last requests that the source refused, or some of them",
		status:  http.StatusOK, message: "Source refusals fetched successfully",
	}, a.refusals)
}

type createSourceInput struct {
	ProjectPath
	Payload payload[sourceRequest]
}

func (a *api) createSource(ctx context.Context, in *createSourceInput) (sourceView, error) {
	var none sourceView
	p := projectOf(ctx)
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	now := a.now()
	s := &convoy.Source{
		ID: convoy.SourceID(id.New(now)), ProjectID: p.Settings().ID, MaskID: auth.NewMask(), CreatedAt: now, UpdatedAt: now,
	}
	if err := req.apply(ctx, s, a.Functions); err != nil {
		return none, err
	}
	if err := a.Store.CreateSource(ctx, s); err != nil {
		return none, err
	}
	a.changed(ctx, s.ProjectID)
	return a.viewSource(s), nil
}

type sourcesInput struct {
	ProjectPath
	PageQuery
	Type     string `query:"type" doc:"Only sources of this type"`
	Provider string `query:"provider" doc:"Only sources of this provider"`
	Query    string `query:"q" doc:"Part of the name"`
}

func (a *api) sources(ctx context.Context, in *sourcesInput) (paged[sourceView], error) {
	var none paged[sourceView]
	p := projectOf(ctx)
	page, err := in.page()
	if err != nil {
		return none, err
	}
	list, err := a.Store.Sources(ctx, store.SourceFilter{
		Project: p.Settings().ID, Type: convoy.SourceType(in.Type), Provider: in.Provider, Name: in.Query, Page: page,
	})
	if err != nil {
		return none, err
	}
	return pageOf(list, page.PerPage, a.viewSource), nil
}

// SourcePath is the path of one source.
type SourcePath struct {
	ProjectPath
	Source string `path:"sourceID" doc:"The source's id"`
}

// findSource returns the source of a request; a missing one is NotFound.
func (a *api) findSource(ctx context.Context, in *SourcePath) (*convoy.Source, error) {
	p := projectOf(ctx)
	if !id.Valid(in.Source) {
		return nil, convoy.E(convoy.NotFound, "source not found")
	}
	return a.Store.Source(ctx, p.Settings().ID, convoy.SourceID(in.Source))
}

func (a *api) source(ctx context.Context, in *SourcePath) (sourceView, error) {
	s, err := a.findSource(ctx, in)
	if err != nil {
		return sourceView{}, err
	}
	return a.viewSource(s), nil
}

type updateSourceInput struct {
	SourcePath
	Payload payload[sourceRequest]
}

func (a *api) updateSource(ctx context.Context, in *updateSourceInput) (sourceView, error) {
	var none sourceView
	s, err := a.findSource(ctx, &in.SourcePath)
	if err != nil {
		return none, err
	}
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	if err := req.apply(ctx, s, a.Functions); err != nil {
		return none, err
	}
	s.UpdatedAt = a.now()
	if err := a.Store.UpdateSource(ctx, s); err != nil {
		return none, err
	}
	a.changed(ctx, s.ProjectID)
	return a.viewSource(s), nil
}

func (a *api) deleteSource(ctx context.Context, in *SourcePath) (none, error) {
	s, err := a.findSource(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := a.Store.DeleteSource(ctx, s.ProjectID, s.ID, a.now()); err != nil {
		return nil, err
	}
	a.changed(ctx, s.ProjectID)
	return nil, nil
}
