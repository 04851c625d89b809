package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/catalog"
	"convoy/internal/store"
)

// portalPrefix is below which who holds a portal link finds what is below a project
// in the API, without the project.
const portalPrefix = "/portal-api/"

// portalRight is what an operation lets the holder of a portal link do. The store
// shows and changes only what belongs to the link's owner, whatever a handler asks
// for; see [store.OwnedBy].
type portalRight uint8

const (
	// noPortal is for what is not the owner's business: those operations do not
	// exist for it.
	noPortal portalRight = iota
	portalViews
	// portalManages is for links that may manage endpoints.
	portalManages
)

var (
	errNotOwned       = convoy.E(convoy.Unauthorized, "unauthorized")
	errPortalDisabled = convoy.E(convoy.Unauthorized, "authorization failed")
)

// authenticateLink returns the holder of a portal link.
func (a *api) authenticateLink(ctx context.Context, token string) (caller, error) {
	if a.PortalDisabled {
		return caller{}, errPortalDisabled
	}
	link, err := a.Catalog.PortalLink(ctx, token, auth.IsPortalKey(token))
	switch {
	case convoy.IsNotFound(err):
		return caller{}, errAuthorization
	case err != nil:
		return caller{}, err
	}
	return caller{link: link}, nil
}

// enterPortal enters the project of the caller's link.
func (a *api) enterPortal(ctx context.Context, x *exchange) error {
	link := x.caller.link
	switch {
	case x.route.portal == noPortal, link.OwnerID == "":
		return errNotOwned
	case x.route.portal == portalManages && !link.CanManage:
		return errForbidden
	}
	p, err := a.Catalog.Project(ctx, link.ProjectID)
	if err != nil {
		return refuse(err, "project not found")
	}
	x.project, x.entered, x.manages = link.ProjectID, p, false
	return nil
}

// scoped is the context in which an operation runs for its caller: with whom the
// audit log names, and limited to what an owner has.
func (x *exchange) scoped(ctx context.Context) context.Context {
	ctx = store.As(ctx, x.actor())
	if link := x.caller.link; link != nil && x.entered != nil {
		return store.OwnedBy(ctx, link.ProjectID, link.OwnerID)
	}
	return ctx
}

// linkOf is the portal link that an operation is asked for with, or nil.
func linkOf(ctx context.Context) *convoy.PortalLink { return exchangeOf(ctx).caller.link }

// ownsAll reports whether all endpoints belong to the owner of the caller's link, if
// there is one.
func (c *caller) ownsAll(p *catalog.Project, endpoints []convoy.EndpointID) bool {
	if c.link == nil {
		return true
	}
	return len(endpoints) > 0 && !slices.ContainsFunc(endpoints, func(id convoy.EndpointID) bool {
		e, ok := p.Endpoint(id)
		return !ok || e.OwnerID != c.link.OwnerID
	})
}

// mayReplay refuses the holder of a link the replay of an event that is not for
// its endpoints alone, or might not be when it is routed anew.
func (a *api) mayReplay(ctx context.Context, e convoy.EventID) error {
	x := exchangeOf(ctx)
	link := x.caller.link
	if link == nil {
		return nil
	}
	whole, err := a.Store.Event(store.Whole(ctx), link.ProjectID, e)
	if err != nil {
		return err
	}
	single := whole.Kind == convoy.KindSingle || whole.Kind == ""
	if !single && (whole.Kind != convoy.KindFanout || whole.OwnerID != link.OwnerID) || !x.caller.ownsAll(x.entered, whole.Endpoints) {
		return errNotOwned
	}
	return nil
}

// portal serves what is below [portalPrefix]; p is the clean path.
func (a *api) portal(x *exchange, r *http.Request, p string) {
	var err error
	if x.caller, err = a.identify(r); err == nil && x.caller.link == nil {
		err = errNotOwned
	}
	if err != nil {
		a.fail(x, r, err)
		return
	}
	if own := portalOwn[p]; own {
		if err := a.takeCaller(r.Context(), &x.caller); err != nil {
			a.fail(x, r, err)
			return
		}
		a.dispatch(x, r, p)
		return
	}
	below := func(p string) string {
		return projectsPrefix + string(x.caller.link.ProjectID) + "/" + strings.TrimPrefix(p, portalPrefix)
	}
	r = r.WithContext(r.Context()) // a copy, as the request is the server's
	u := *r.URL
	u.Path = below(p)
	if u.RawPath != "" {
		u.RawPath = below(cleanPath(u.RawPath, a.prefix))
	}
	r.URL = &u
	a.serve(x, r, u.Path)
}

// portalOwn are the paths below [portalPrefix] that stand for themselves.
var portalOwn = map[string]bool{portalPrefix + "portal_link": true, portalPrefix + "configuration": true}

func (a *api) ownPortalRoutes(r *registrar) {
	const tag = "Portal"
	handle(r, operation{
		id: "GetOwnPortalLink", access: holdsLink, portal: portalViews, method: http.MethodGet, path: portalPrefix + "portal_link", tag: tag,
		summary: "Get the portal link that you hold",
		status:  http.StatusOK, message: "Portal link fetched successfully",
	}, a.ownPortalLink)
	handle(r, operation{
		id: "GetPortalConfiguration", access: holdsLink, portal: portalViews, method: http.MethodGet, path: portalPrefix + "configuration", tag: tag,
		summary: "Get what a portal page needs to know",
		status:  http.StatusOK, message: "Configuration fetched successfully",
	}, a.portalConfiguration)
}

// ownLinkView is a portal link as its holder sees it: without what opens it.
type ownLinkView struct {
	UID       convoy.PortalLinkID `json:"uid"`
	Name      string              `json:"name"`
	ProjectID convoy.ProjectID    `json:"project_id"`
	OwnerID   string              `json:"owner_id"`
	Count     int                 `json:"endpoint_count" doc:"How many endpoints the owner has"`
	CanManage bool                `json:"can_manage_endpoint"`
	AuthType  convoy.PortalAuth   `json:"auth_type"`
}

func (a *api) ownPortalLink(ctx context.Context, _ *struct{}) (ownLinkView, error) {
	l := linkOf(ctx)
	return ownLinkView{
		UID: l.ID, Name: l.Name, ProjectID: l.ProjectID, OwnerID: l.OwnerID, Count: len(projectOf(ctx).EndpointsOf(l.OwnerID)),
		CanManage: l.CanManage, AuthType: l.Auth,
	}, nil
}

type portalConfigurationView struct {
	Version     string `json:"version" doc:"The server's version"`
	ProjectName string `json:"project_name"`
	CanManage   bool   `json:"can_manage_endpoint"`
}

func (a *api) portalConfiguration(ctx context.Context, _ *struct{}) (portalConfigurationView, error) {
	return portalConfigurationView{a.Version, projectOf(ctx).Settings().Name, linkOf(ctx).CanManage}, nil
}

// masked is what stands for a value that the holder of a portal link does not see.
const masked = "***"

// sensitive are names, in lower case, of headers whose values open something, and
// sensitiveParts parts of such names.
var (
	sensitive      = []string{"authorization", "proxy-authorization", "cookie", "set-cookie"}
	sensitiveParts = []string{"api-key", "apikey", "token", "secret", "password", "credential"}
)

func isSensitive(header string) bool {
	name := strings.ToLower(header)
	return slices.Contains(sensitive, name) || slices.ContainsFunc(sensitiveParts, func(part string) bool { return strings.Contains(name, part) })
}

// maskHeaders returns headers as the caller may see them.
func maskHeaders(ctx context.Context, headers map[string][]string) map[string][]string {
	if linkOf(ctx) == nil {
		return headers
	}
	out := make(map[string][]string, len(headers))
	for name, values := range headers {
		if isSensitive(name) {
			values = []string{masked}
		}
		out[name] = values
	}
	return out
}
