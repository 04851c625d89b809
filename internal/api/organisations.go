package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/signin"
	"convoy/internal/store"
)

const tagOrganisations = "Organisations"

// organisationView is an organisation as clients see it.
type organisationView struct {
	UID            convoy.OrganisationID `json:"uid"`
	OwnerID        convoy.UserID         `json:"OwnerID"` // so spelt
	Name           string                `json:"name"`
	CustomDomain   *string               `json:"custom_domain"`
	AssignedDomain *string               `json:"assigned_domain"`
	DisabledAt     *time.Time            `json:"disabled_at"`
	CreatedAt      time.Time             `json:"created_at"`
	UpdatedAt      time.Time             `json:"updated_at"`
	DeletedAt      *time.Time            `json:"deleted_at"`
}

func viewOrganisation(o *convoy.Organisation) organisationView {
	return organisationView{UID: o.ID, OwnerID: o.OwnerID, Name: o.Name, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt}
}

// OrganisationPath is the path of everything in an organisation.
type OrganisationPath struct {
	Org string `path:"orgID" doc:"The organisation's id"`
}

func (p *OrganisationPath) organisation() convoy.OrganisationID { return convoy.OrganisationID(p.Org) }

// inPath marks inputs whose organisation is in the path: an unknown one is a 404.
func (p *OrganisationPath) inPath() {}

func (a *api) organisationRoutes(r *registrar) {
	const (
		all = "/ui/organisations"
		one = all + "/{orgID}"
	)
	handle(r, operation{
		id: "GetOrganisations", access: signedIn, method: http.MethodGet, path: all, tag: tagOrganisations, summary: "List your organisations",
		status: http.StatusOK, message: "Organisations fetched successfully",
	}, a.organisations)
	handle(r, operation{
		id: "CreateOrganisation", access: hasSession, method: http.MethodPost, path: all, tag: tagOrganisations, summary: "Create an organisation",
		status: http.StatusCreated, message: "Organisation created successfully",
	}, a.createOrganisation)
	handle(r, operation{
		id: "GetOrganisation", access: viewsOrganisation, method: http.MethodGet, path: one, tag: tagOrganisations, summary: "Get an organisation",
		status: http.StatusOK, message: "Organisation fetched successfully",
	}, a.organisation)
	handle(r, operation{
		id: "UpdateOrganisation", access: managesOrganisation, method: http.MethodPut, path: one, tag: tagOrganisations, summary: "Rename an organisation",
		status: http.StatusAccepted, message: "Organisation updated successfully",
	}, a.updateOrganisation)
	handle(r, operation{
		id: "DeleteOrganisation", access: managesOrganisation, method: http.MethodDelete, path: one, tag: tagOrganisations,
		summary: "Delete an organisation and its projects; only for its owner",
		status:  http.StatusOK, message: "Organisation deleted successfully",
	}, a.deleteOrganisation)
}

type organisationsInput struct{ PageQuery }

// pagedTotal is the payload of a list that says how long it is.
type pagedTotal[T any] struct {
	Content    []T             `json:"content"`
	Pagination totalPagination `json:"pagination"`
}

// totalPagination has the fields of pagination, which huma would not find in it.
type totalPagination struct {
	Total      int    `json:"total"`
	PerPage    int    `json:"per_page"`
	HasNext    bool   `json:"has_next_page"`
	HasPrev    bool   `json:"has_prev_page"`
	PrevCursor string `json:"prev_page_cursor"`
	NextCursor string `json:"next_page_cursor"`
}

func (a *api) organisations(ctx context.Context, in *organisationsInput) (pagedTotal[organisationView], error) {
	var out pagedTotal[organisationView]
	page, err := in.page()
	if err != nil {
		return out, err
	}
	list, total, err := a.Store.OrganisationsOf(ctx, exchangeOf(ctx).caller.user, page)
	if err != nil {
		return out, err
	}
	p := pageOf(list, page.PerPage, viewOrganisation)
	n := p.Pagination
	return pagedTotal[organisationView]{p.Content, totalPagination{total, n.PerPage, n.HasNext, n.HasPrev, n.PrevCursor, n.NextCursor}}, nil
}

type organisationRequest struct {
	Name string `json:"name" maxLength:"255"`
}

type createOrganisationInput struct{ Payload payload[organisationRequest] }

// organisationName reads and checks the only thing that can be set.
func organisationName(p *payload[organisationRequest]) (string, error) {
	req, err := p.decode()
	if err != nil {
		return "", err
	}
	var found problems
	found.required("name", req.Name, maxName, "please provide a valid name")
	return req.Name, found.err()
}

// createOrganisation is for those who may let others in: where nobody can sign up,
// the administrators of the instance.
func (a *api) createOrganisation(ctx context.Context, in *createOrganisationInput) (organisationView, error) {
	name, err := organisationName(&in.Payload)
	if err != nil {
		return organisationView{}, err
	}
	u, err := a.Store.User(ctx, exchangeOf(ctx).caller.user)
	if err != nil {
		return organisationView{}, err
	}
	if !u.InstanceAdmin && !a.SignIn.Config.SignUp {
		return organisationView{}, errForbidden
	}
	u.UpdatedAt = a.now() // of this copy: it is the time of what is founded
	org, member := signin.Found(u, name)
	if err := a.Store.Setup(ctx, store.Setup{Organisation: org, Membership: member}); err != nil {
		return organisationView{}, err
	}
	return viewOrganisation(org), nil
}

func (a *api) organisation(ctx context.Context, in *OrganisationPath) (organisationView, error) {
	o, err := a.Store.Organisation(ctx, in.organisation())
	if err != nil {
		return organisationView{}, err
	}
	return viewOrganisation(o), nil
}

type updateOrganisationInput struct {
	OrganisationPath
	Payload payload[organisationRequest]
}

func (a *api) updateOrganisation(ctx context.Context, in *updateOrganisationInput) (organisationView, error) {
	name, err := organisationName(&in.Payload)
	if err != nil {
		return organisationView{}, err
	}
	o, err := a.Store.Organisation(ctx, in.organisation())
	if err != nil {
		return organisationView{}, err
	}
	o.Name, o.UpdatedAt = name, a.now()
	if err := a.Store.UpdateOrganisation(ctx, o); err != nil {
		return organisationView{}, err
	}
	return viewOrganisation(o), nil
}

func (a *api) deleteOrganisation(ctx context.Context, in *OrganisationPath) (none, error) {
	o, err := a.Store.Organisation(ctx, in.organisation())
	if err != nil {
		return nil, err
	}
	if x := exchangeOf(ctx); o.OwnerID != x.caller.user || x.caller.session == "" {
		return nil, convoy.E(convoy.Forbidden, "only its owner can delete an organisation")
	}
	projects, err := a.Store.DeleteOrganisation(ctx, o.ID, a.now())
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		a.changed(ctx, p)
	}
	a.peopleChanged(ctx)
	return nil, nil
}

// peopleChanged tells the catalog of a write to memberships. The write stands
// whatever becomes of the message: others then see it within a second.
func (a *api) peopleChanged(ctx context.Context) {
	if err := a.Catalog.PeopleChanged(context.WithoutCancel(ctx)); err != nil {
		a.Log.WarnContext(ctx, "other processes were not told of a member", "err", err)
	}
}
