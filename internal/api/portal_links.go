package api

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/store"
)

// maxPortalEndpoints bounds the endpoints that a link names.
const maxPortalEndpoints = 200

// portalLinkView is a portal link as clients see it. Its static token is shown,
// as whoever embeds the portal needs it.
type portalLinkView struct {
	UID       convoy.PortalLinkID `json:"uid"`
	Name      string              `json:"name"`
	ProjectID convoy.ProjectID    `json:"project_id"`
	OwnerID   string              `json:"owner_id"`
	Endpoints []convoy.EndpointID `json:"endpoints"`
	Count     int                 `json:"endpoint_count" doc:"How many endpoints the owner has"`
	CanManage bool                `json:"can_manage_endpoint"`
	Token     string              `json:"token"`
	Metadata  []*endpointView     `json:"endpoints_metadata"`
	URL       string              `json:"url"`
	AuthType  convoy.PortalAuth   `json:"auth_type"`
	AuthKey   string              `json:"auth_key" doc:"A new key that lasts an hour, if the link is of type refresh_token and you may change the project"`
	CreatedAt time.Time           `json:"created_at"`
	UpdatedAt time.Time           `json:"updated_at"`
	DeletedAt *time.Time          `json:"deleted_at"`
}

// viewPortalLinks shows links, and makes a key for each that has keys.
func (a *api) viewPortalLinks(ctx context.Context, p *catalog.Project, links []*convoy.PortalLink) (map[convoy.PortalLinkID]portalLinkView, error) {
	views := make(map[convoy.PortalLinkID]portalLinkView, len(links))
	if len(links) == 0 {
		return views, nil
	}
	now := a.now()
	owners := make([]string, 0, len(links))
	var keys []convoy.PortalKey
	tokens := make(map[convoy.PortalLinkID]string)
	for _, l := range links {
		owners = append(owners, l.OwnerID)
		if l.Auth == convoy.PortalRefresh && exchangeOf(ctx).manages {
			tokens[l.ID] = auth.NewPortalKey()
			keys = append(keys, convoy.PortalKey{Hash: auth.Hash(tokens[l.ID]), LinkID: l.ID, ExpiresAt: now.Add(convoy.PortalKeyLife)})
		}
	}
	if len(keys) > 0 {
		if err := a.Store.KeepPortalKeys(ctx, keys, now); err != nil {
			return nil, err
		}
	}
	counts, err := a.Store.OwnerEndpoints(ctx, p.Settings().ID, owners)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		v := portalLinkView{
			UID: l.ID, Name: l.Name, ProjectID: l.ProjectID, OwnerID: l.OwnerID, Endpoints: l.Endpoints, CanManage: l.CanManage, Token: l.Token,
			Metadata: []*endpointView{}, AuthType: l.Auth, AuthKey: tokens[l.ID],
			CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt, DeletedAt: nullTime(l.DeletedAt),
		}
		if l.OwnerID != "" {
			v.Count = counts[l.OwnerID]
		}
		if v.Endpoints == nil {
			v.Endpoints = []convoy.EndpointID{}
		}
		for _, eid := range l.Endpoints {
			if e, ok := p.Endpoint(eid); ok {
				v.Metadata = append(v.Metadata, viewEndpoint(&convoy.Endpoint{ID: e.ID, Name: e.Name, ProjectID: e.ProjectID, URL: e.URL}, newestVersion))
			}
		}
		v.URL = a.PublicURL + a.prefix + "/portal?token=" + url.QueryEscape(l.Token)
		if v.AuthKey != "" {
			v.URL += "&auth_token=" + url.QueryEscape(v.AuthKey)
		}
		views[l.ID] = v
	}
	return views, nil
}

func (a *api) viewPortalLink(ctx context.Context, p *catalog.Project, l *convoy.PortalLink) (portalLinkView, error) {
	views, err := a.viewPortalLinks(ctx, p, []*convoy.PortalLink{l})
	return views[l.ID], err
}

func (a *api) portalRoutes(r *registrar) {
	const (
		tag = "Portal links"
		all = "/api/v1/projects/{projectID}/portal-links"
		one = all + "/{portalLinkID}"
	)
	handle(r, operation{
		id: "CreatePortalLink", access: managesProject, method: http.MethodPost, path: all, tag: tag, summary: "Create a portal link",
		status: http.StatusCreated, message: "Portal link created successfully",
	}, a.createPortalLink)
	handle(r, operation{
		id: "LoadPortalLinksPaged", access: viewsProject, method: http.MethodGet, path: all, tag: tag, summary: "List portal links",
		status: http.StatusOK, message: "Portal links fetched successfully",
	}, a.portalLinks)
	handle(r, operation{
		id: "GetPortalLink", access: viewsProject, method: http.MethodGet, path: one, tag: tag, summary: "Get a portal link",
		status: http.StatusOK, message: "Portal link fetched successfully",
	}, a.portalLink)
	handle(r, operation{
		id: "UpdatePortalLink", access: managesProject, method: http.MethodPut, path: one, tag: tag, summary: "Update a portal link",
		status: http.StatusAccepted, message: "Portal link updated successfully",
		also: map[int]alternative{http.StatusOK: {message: "Portal link revoked successfully", body: reflect.TypeFor[envelope[none]]()}},
	}, a.updatePortalLink)
	handle(r, operation{
		id: "RevokePortalLink", access: managesProject, method: http.MethodPut, path: one + "/revoke", tag: tag, summary: "End a portal link",
		status: http.StatusOK, message: "Portal link revoked successfully",
	}, a.revokePortalLink)
	handle(r, operation{
		id: "RefreshPortalLinkAuthToken", access: managesProject, method: http.MethodGet, path: one + "/refresh_token", tag: tag, summary: "Make a key of a portal link",
		status: http.StatusOK, message: "Portal link fetched successfully",
	}, a.refreshPortalLink)
}

type portalLinkRequest struct {
	Name      string   `json:"name" maxLength:"255"`
	OwnerID   string   `json:"owner_id,omitempty" maxLength:"255" doc:"Needed to create; an update without it leaves the link without an owner"`
	AuthType  string   `json:"auth_type,omitempty" enum:"static_token,refresh_token"`
	CanManage bool     `json:"can_manage_endpoint,omitempty"`
	Endpoints []string `json:"endpoints,omitempty" deprecated:"true" doc:"Endpoints without an owner that become this owner's"`
}

// apply sets l to what is asked for; nothing of the old stays.
func (q *portalLinkRequest) apply(l *convoy.PortalLink, creating bool) error {
	var found problems
	found.required("name", q.Name, maxName, "please provide a name for the portal link")
	if creating {
		found.required("owner_id", q.OwnerID, maxName, "please provide an owner id")
	} else {
		found.text("owner_id", q.OwnerID, maxName)
	}
	switch convoy.PortalAuth(q.AuthType) {
	case "":
		q.AuthType = string(convoy.PortalStatic)
	case convoy.PortalStatic, convoy.PortalRefresh:
	default:
		found.add("auth_type", "must be static_token or refresh_token")
	}
	if len(q.Endpoints) > maxPortalEndpoints {
		found.add("endpoints", "must not be more than "+itoa(maxPortalEndpoints))
	} else {
		for _, e := range q.Endpoints {
			if !id.Valid(e) {
				found.add("endpoints", "endpoint not found")
				break
			}
		}
	}
	if err := found.err(); err != nil {
		return err
	}
	l.Name, l.OwnerID, l.Auth, l.CanManage, l.Endpoints = q.Name, q.OwnerID, convoy.PortalAuth(q.AuthType), q.CanManage, endpointIDs(q.Endpoints)
	return nil
}

type createPortalLinkInput struct {
	ProjectPath
	Payload payload[portalLinkRequest]
}

func (a *api) createPortalLink(ctx context.Context, in *createPortalLinkInput) (portalLinkView, error) {
	var none portalLinkView
	p := projectOf(ctx)
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	now := a.now()
	l := &convoy.PortalLink{
		ID: convoy.PortalLinkID(id.New(now)), ProjectID: p.Settings().ID, Token: auth.NewPortalToken(), CreatedAt: now, UpdatedAt: now,
	}
	if err := req.apply(l, true); err != nil {
		return none, err
	}
	if err := a.Store.CreatePortalLink(ctx, l); err != nil {
		return none, err
	}
	if p, err = a.owned(ctx, p, l); err != nil {
		return none, err
	}
	return a.viewPortalLink(ctx, p, l)
}

// owned returns the project after a link may have given endpoints to its owner.
func (a *api) owned(ctx context.Context, p *catalog.Project, l *convoy.PortalLink) (*catalog.Project, error) {
	if len(l.Endpoints) == 0 {
		return p, nil
	}
	a.changed(ctx, l.ProjectID)
	p, err := a.Catalog.Project(ctx, l.ProjectID)
	return p, refuse(err, "project not found")
}

type portalLinksInput struct {
	ProjectPath
	PageQuery
	Endpoints []string `query:"endpointId,explode" doc:"Only links of these endpoints' owners"`
	Owner     string   `query:"ownerId" doc:"Only links of this owner"`
	Q         string   `query:"q" doc:"Part of the name"`
}

func (a *api) portalLinks(ctx context.Context, in *portalLinksInput) (paged[portalLinkView], error) {
	var none paged[portalLinkView]
	p := projectOf(ctx)
	page, err := in.page()
	if err != nil {
		return none, err
	}
	list, err := a.Store.PortalLinks(ctx, store.PortalLinkFilter{
		Project: p.Settings().ID, Owner: in.Owner, Query: in.Q, Endpoints: endpointIDs(in.Endpoints), Page: page,
	})
	if err != nil {
		return none, err
	}
	views, err := a.viewPortalLinks(ctx, p, list.Items)
	if err != nil {
		return none, err
	}
	return pageOf(list, page.PerPage, func(l *convoy.PortalLink) portalLinkView { return views[l.ID] }), nil
}

// PortalLinkPath is the path of one portal link.
type PortalLinkPath struct {
	ProjectPath
	Link string `path:"portalLinkID" doc:"The portal link's id"`
}

func (a *api) findPortalLink(ctx context.Context, in *PortalLinkPath) (*convoy.PortalLink, *catalog.Project, error) {
	p := projectOf(ctx)
	const missing = "Resource not found"
	if !id.Valid(in.Link) {
		return nil, nil, convoy.E(convoy.NotFound, missing)
	}
	l, err := a.Store.PortalLink(ctx, p.Settings().ID, convoy.PortalLinkID(in.Link))
	if convoy.IsNotFound(err) {
		err = convoy.Wrap(convoy.NotFound, missing, err)
	}
	return l, p, err
}

func (a *api) portalLink(ctx context.Context, in *PortalLinkPath) (portalLinkView, error) {
	l, p, err := a.findPortalLink(ctx, in)
	if err != nil {
		return portalLinkView{}, err
	}
	return a.viewPortalLink(ctx, p, l)
}

type updatePortalLinkInput struct {
	PortalLinkPath
	Payload payload[portalLinkRequest]
}

// updatedLink is the answer to an update: the link, or null for one that the
// request has ended.
type updatedLink struct{ *portalLinkView }

// MarshalJSON writes null without a link.
func (u updatedLink) MarshalJSON() ([]byte, error) { return encode(u.portalLinkView) }

func (u updatedLink) outcome() (status int, message string) {
	if u.portalLinkView == nil {
		return http.StatusOK, "Portal link revoked successfully"
	}
	return http.StatusAccepted, "Portal link updated successfully"
}

func (a *api) updatePortalLink(ctx context.Context, in *updatePortalLinkInput) (updatedLink, error) {
	l, p, err := a.findPortalLink(ctx, &in.PortalLinkPath)
	if err != nil {
		return updatedLink{}, err
	}
	if string(bytes.TrimSpace(in.Payload.raw)) == `"{}"` {
		// An old client's way to revoke: an update is an object.
		return updatedLink{}, a.endPortalLink(ctx, l)
	}
	req, err := in.Payload.decode()
	if err != nil {
		return updatedLink{}, err
	}
	if err := req.apply(l, false); err != nil {
		return updatedLink{}, err
	}
	l.UpdatedAt = a.now()
	if err := a.Store.UpdatePortalLink(ctx, l); err != nil {
		return updatedLink{}, err
	}
	a.peopleChanged(ctx)
	if p, err = a.owned(ctx, p, l); err != nil {
		return updatedLink{}, err
	}
	v, err := a.viewPortalLink(ctx, p, l)
	return updatedLink{&v}, err
}

// endPortalLink ends a link for all who hold it.
func (a *api) endPortalLink(ctx context.Context, l *convoy.PortalLink) error {
	if err := a.Store.RevokePortalLink(ctx, l.ProjectID, l.ID, a.now()); err != nil {
		return err
	}
	a.peopleChanged(ctx)
	return nil
}

func (a *api) revokePortalLink(ctx context.Context, in *PortalLinkPath) (none, error) {
	l, _, err := a.findPortalLink(ctx, in)
	if err != nil {
		return nil, err
	}
	return nil, a.endPortalLink(ctx, l)
}

func (a *api) refreshPortalLink(ctx context.Context, in *PortalLinkPath) (string, error) {
	l, _, err := a.findPortalLink(ctx, in)
	if err != nil {
		return "", err
	}
	if l.Auth != convoy.PortalRefresh {
		return "", invalid("auth_type", "the portal link is not of type refresh_token")
	}
	now, token := a.now(), auth.NewPortalKey()
	key := convoy.PortalKey{Hash: auth.Hash(token), LinkID: l.ID, ExpiresAt: now.Add(convoy.PortalKeyLife)}
	return token, a.Store.KeepPortalKeys(ctx, []convoy.PortalKey{key}, now)
}
