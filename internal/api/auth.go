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

// authenticate returns the key that a request presents.
func (a *api) authenticate(r *http.Request) (*convoy.APIKey, error) {
	scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || value == "" || strings.Contains(value, " ") {
		return nil, errAuthentication
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
	case strings.EqualFold(scheme, "Basic"):
		return nil, errAuthorization
	default:
		return nil, errAuthentication
	}
	if !auth.IsKey(value) {
		return nil, errAuthorization
	}
	key, err := a.Catalog.Key(r.Context(), value)
	if convoy.IsNotFound(err) {
		return nil, errAuthorization
	}
	return key, err
}

// right is what a request wants to do with a project.
type right uint8

const (
	// view is reading.
	view right = iota
	// manage is everything else.
	manage
)

// enter returns the project a request acts on and checks that its caller may.
// A project key acts on its own project, whatever the URL says; the URL of such
// a request has always been ignored.
func (a *api) enter(ctx context.Context, x *exchange, urlProject string, want right) (*catalog.Project, error) {
	project := convoy.ProjectID(urlProject)
	personal := x.key.Type == convoy.PersonalKey
	if !personal {
		project = x.key.Role.Project
		if want == manage && x.key.Role.Type == convoy.RoleProjectViewer {
			return nil, errForbidden
		}
	}
	if _, hidden := project.MetaOf(); hidden || !id.Valid(string(project)) {
		return nil, convoy.E(convoy.Invalid, "project not found")
	}
	p, err := a.Catalog.Project(ctx, project)
	if err != nil {
		return nil, refuse(err, "project not found")
	}
	x.project = project
	if personal {
		if err := a.member(ctx, x.key, p.Settings(), want); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// member checks the right of a person, by their role in the organisation, to a
// project of it.
func (a *api) member(ctx context.Context, key *convoy.APIKey, p *convoy.Project, want right) error {
	m, err := a.Store.Membership(ctx, key.UserID, p.OrganisationID)
	if convoy.IsNotFound(err) {
		return errForbidden
	}
	if err != nil {
		return err
	}
	if !allows(m.Role, p.ID, want) {
		return errForbidden
	}
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
