package api

import (
	"context"
	"net/http"
	"strings"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/catalog"
	"convoy/internal/id"
)

// caller is who makes a request: a person, or the holder of a project's key. The
// zero value is nobody.
type caller struct {
	// user is the person; empty for others.
	user convoy.UserID
	// role is what a project's key may do, in the project it names. What a person
	// may do depends on where.
	role convoy.Role
	// key is the API key that was presented; session what the token was of.
	key     convoy.KeyID
	session convoy.SessionID
	// link is the portal link whose holder this is.
	link *convoy.PortalLink
}

// person reports whether the caller is one, whose rights are those of a member.
func (c *caller) person() bool { return c.user != "" }

// authenticate returns who presents what a request carries.
func (a *api) authenticate(r *http.Request) (caller, error) {
	var nobody caller
	if len(r.Header["Authorization"]) == 0 {
		return a.authenticateCookie(r)
	}
	scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || value == "" || strings.Contains(value, " ") {
		return nobody, errAuthentication
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
	case strings.EqualFold(scheme, "Basic"):
		return nobody, errAuthorization
	default:
		return nobody, errAuthentication
	}
	if auth.IsAccessToken(value) {
		return a.authenticateSession(r.Context(), value)
	}
	if auth.IsPortalKey(value) || auth.IsPortalToken(value) {
		return a.authenticateLink(r.Context(), value)
	}
	if !auth.IsKey(value) {
		return nobody, errAuthorization
	}
	key, err := a.Catalog.Key(r.Context(), value)
	switch {
	case convoy.IsNotFound(err):
		return nobody, errAuthorization
	case err != nil:
		return nobody, err
	case key.Type != convoy.PersonalKey:
		return caller{key: key.ID, role: key.Role}, nil
	case key.UserID == "": // nobody's: a damaged row must not pass for a project's key
		return nobody, errAuthorization
	}
	return caller{key: key.ID, user: key.UserID}, nil
}

// access is what the caller of an operation must be allowed to do. Every
// operation declares it, and no handler checks it: [api.enter] does.
type access uint8

const (
	undeclared access = iota
	viewsProject
	managesProject
	viewsOrganisation
	managesOrganisation
	// anybody needs no credential.
	anybody
	// signedIn is a person; where the path names a user, that one.
	signedIn
	// hasSession is a person who has signed in: what a key of theirs must not do,
	// or it could make itself last.
	hasSession
	// holdsLink is the holder of a portal link, and nobody else.
	holdsLink
)

// right is what a role gives.
type right uint8

const (
	// view is reading.
	view right = iota
	// manage is everything else.
	manage
)

func (n access) right() right {
	switch n {
	case managesProject, managesOrganisation:
		return manage
	}
	return view
}

// inProject and inOrganisation are inputs that say where an operation happens.
type (
	inProject      interface{ project() string }
	inOrganisation interface{ organisation() convoy.OrganisationID }
	// ofUser is an input that names a user.
	ofUser interface{ user() convoy.UserID }
)

// declared reports whether an operation says what its caller must be allowed to
// do, and its input where.
func (n access) declared(in any) bool {
	switch n {
	case viewsProject, managesProject:
		_, ok := in.(inProject)
		return ok
	case viewsOrganisation, managesOrganisation:
		_, ok := in.(inOrganisation)
		return ok
	case anybody, signedIn, hasSession, holdsLink:
		return true
	}
	return false
}

// enter checks that the caller of an operation may do what it declares, and
// leaves what it acts on in the exchange.
func (a *api) enter(ctx context.Context, x *exchange, n access, in any) error {
	switch {
	case n == anybody:
		return nil
	case x.caller.link != nil:
		return a.enterPortal(ctx, x)
	case n == holdsLink:
		return errNotOwned
	case n == signedIn, n == hasSession:
		return x.enterSelf(n, in)
	}
	if x.unknown != nil {
		return x.unknown
	}
	org, inOrg := in.(inOrganisation)
	if p, ok := in.(inProject); ok {
		err := a.enterProject(ctx, x, p.project(), n.right())
		if err == nil && inOrg && x.entered.Settings().OrganisationID != org.organisation() {
			err = convoy.E(convoy.Invalid, "project not found")
		}
		return err
	}
	err := a.enterOrganisation(ctx, x, org.organisation(), n.right())
	if _, ok := in.(interface{ inPath() }); ok && convoy.KindOf(err) == convoy.Invalid {
		return convoy.Wrap(convoy.NotFound, "Organization not found", err)
	}
	return err
}

// projectOf is the project that the operation of ctx acts on.
func projectOf(ctx context.Context) *catalog.Project { return exchangeOf(ctx).entered }

// enterProject enters the project of a path. A project key acts on its own
// project, whatever the URL says; the URL of such a request has always been
// ignored.
func (a *api) enterProject(ctx context.Context, x *exchange, urlProject string, want right) error {
	if x.caller.link != nil {
		return a.enterPortal(ctx, x)
	}
	project := convoy.ProjectID(urlProject)
	if !x.caller.person() {
		project = x.caller.role.Project
		x.manages = x.caller.role.Type != convoy.RoleProjectViewer
		if want == manage && x.caller.role.Type == convoy.RoleProjectViewer {
			return errForbidden
		}
	}
	if _, hidden := project.MetaOf(); hidden || !id.Valid(string(project)) {
		return convoy.E(convoy.Invalid, "project not found")
	}
	p, err := a.Catalog.Project(ctx, project)
	if err != nil {
		return refuse(err, "project not found")
	}
	x.project = project
	if x.caller.person() {
		m, err := a.Catalog.Membership(ctx, x.caller.user, p.Settings().OrganisationID)
		if convoy.IsNotFound(err) {
			return errForbidden
		}
		if err != nil {
			return err
		}
		if !allows(m.Role, project, want) {
			return errForbidden
		}
		x.manages = allows(m.Role, project, manage)
	}
	x.entered = p
	return nil
}

// enterOrganisation enters an organisation with the role that the caller has in
// it. A project's key sees that of its project, and changes nothing in it.
func (a *api) enterOrganisation(ctx context.Context, x *exchange, org convoy.OrganisationID, want right) error {
	person := x.caller.person()
	switch {
	case !person && want == manage:
		return errForbidden
	case org == "" && want == manage:
		return convoy.E(convoy.NotFound, "Organization not found")
	case org == "":
		return invalid("orgID", "please provide an organisation id")
	case !person:
		return a.enterOwn(ctx, x, org)
	case !id.Valid(string(org)):
		return convoy.E(convoy.Invalid, "organisation not found")
	}
	if _, err := a.Store.Organisation(ctx, org); err != nil {
		return refuse(err, "organisation not found")
	}
	m, err := a.Catalog.Membership(ctx, x.caller.user, org)
	if convoy.IsNotFound(err) {
		return errNotMember
	}
	if err != nil {
		return err
	}
	if !allows(m.Role, "", want) {
		return errForbidden
	}
	x.role = m.Role
	return nil
}

// enterOwn enters the organisation of a project's key.
func (a *api) enterOwn(ctx context.Context, x *exchange, org convoy.OrganisationID) error {
	p, err := a.Catalog.Project(ctx, x.caller.role.Project)
	if err != nil {
		return refuse(err, "project not found")
	}
	if p.Settings().OrganisationID != org {
		return errNotMember
	}
	x.role = convoy.Role{Type: convoy.RoleOrganisationAdmin}
	return nil
}

// allows reports whether a role gives a right to a project, or to its whole
// organisation when project is empty.
func allows(role convoy.Role, project convoy.ProjectID, want right) bool {
	switch role.Type {
	case convoy.RoleInstanceAdmin, convoy.RoleOrganisationAdmin:
		return true
	case convoy.RoleProjectAdmin, convoy.RoleProjectViewer:
		if role.Type == convoy.RoleProjectViewer && want != view {
			return false
		}
		if project == "" {
			return want == view
		}
		return role.Project == "" || role.Project == project
	}
	return false
}
