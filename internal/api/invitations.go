package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/signin"
)

// invitationView is an invitation as administrators see it.
type invitationView struct {
	UID            convoy.InvitationID     `json:"uid"`
	OrganisationID convoy.OrganisationID   `json:"organisation_id"`
	Email          string                  `json:"invitee_email"`
	Role           convoy.Role             `json:"role"`
	Status         convoy.InvitationStatus `json:"status" enum:"pending,accepted,declined,cancelled"`
	Token          string                  `json:"token,omitempty" doc:"Only where no mail can be sent: pass it on"`
	ExpiresAt      time.Time               `json:"expires_at"`
	CreatedAt      time.Time               `json:"created_at"`
	UpdatedAt      time.Time               `json:"updated_at"`
}

func viewInvitation(v *convoy.Invitation) invitationView {
	return invitationView{
		UID: v.ID, OrganisationID: v.OrganisationID, Email: v.Email, Role: v.Role, Status: v.Status,
		ExpiresAt: v.ExpiresAt, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
}

func (a *api) invitationRoutes(r *registrar) {
	const (
		tag = "Invitations"
		all = "/ui/organisations/{orgID}/invites"
		one = all + "/{inviteID}"
	)
	handle(r, operation{
		id: "CreateInvite", access: managesOrganisation, method: http.MethodPost, path: all, tag: tag, summary: "Invite somebody",
		status: http.StatusCreated, message: "invite created successfully",
	}, a.invite)
	handle(r, operation{
		id: "GetPendingInvites", access: managesOrganisation, method: http.MethodGet, path: all + "/pending", tag: tag, summary: "List invitations that wait for an answer",
		status: http.StatusOK, message: "Invites fetched successfully",
	}, a.invitations)
	handle(r, operation{
		id: "ResendInvite", access: managesOrganisation, method: http.MethodPost, path: one + "/resend", tag: tag,
		summary: "Send an invitation again, with another token",
		status:  http.StatusOK, message: "invite resent successfully",
	}, a.resendInvite)
	handle(r, operation{
		id: "CancelInvite", access: managesOrganisation, method: http.MethodPost, path: one + "/cancel", tag: tag, summary: "Cancel an invitation",
		status: http.StatusOK, message: "invite cancelled successfully",
	}, a.cancelInvite)
	handle(r, operation{
		id: "FindInvite", access: anybody, method: http.MethodGet, path: "/ui/users/token", tag: tag, summary: "Look at the invitation that a token is of",
		status: http.StatusOK, message: "retrieved user",
	}, a.findInvite)
	handle(r, operation{
		id: "ProcessInvite", access: anybody, method: http.MethodPost, path: "/ui/organisations/process_invite", tag: tag,
		summary: "Answer an invitation: as a new user, or as one who is signed in or gives a password",
		status:  http.StatusOK, message: "invite processed successfully",
	}, a.processInvite)
}

type inviteRequest struct {
	Email string      `json:"invitee_email" maxLength:"254"`
	Role  roleRequest `json:"role"`
}

type inviteInput struct {
	OrganisationPath
	Payload payload[inviteRequest]
}

func (a *api) invite(ctx context.Context, in *inviteInput) (invitationView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return invitationView{}, err
	}
	var found problems
	email := found.email("invitee_email", req.Email)
	if err := found.err(); err != nil {
		return invitationView{}, err
	}
	role, err := a.role(ctx, in.organisation(), &req.Role)
	if err != nil {
		return invitationView{}, err
	}
	org, err := a.Store.Organisation(ctx, in.organisation())
	if err != nil {
		return invitationView{}, err
	}
	if u, err := a.Store.UserByEmail(ctx, email); err == nil {
		if _, err := a.Store.Membership(ctx, u.ID, org.ID); err == nil {
			return invitationView{}, convoy.E(convoy.Invalid, "the user is a member of this organisation already")
		}
	}
	v := &convoy.Invitation{InviterID: exchangeOf(ctx).caller.user, Email: email, Role: role}
	token, err := a.SignIn.Invite(ctx, org, v)
	if err != nil {
		return invitationView{}, err
	}
	view := viewInvitation(v)
	view.Token = token
	return view, nil
}

type invitationsInput struct {
	OrganisationPath
	PageQuery
}

func (a *api) invitations(ctx context.Context, in *invitationsInput) (paged[invitationView], error) {
	page, err := in.page()
	if err != nil {
		return paged[invitationView]{}, err
	}
	list, err := a.Store.Invitations(ctx, in.organisation(), page)
	if err != nil {
		return paged[invitationView]{}, err
	}
	return pageOf(list, page.PerPage, viewInvitation), nil
}

// InvitationPath is the path of an invitation.
type InvitationPath struct {
	OrganisationPath
	Invite string `path:"inviteID" doc:"The invitation's id"`
}

func (a *api) resendInvite(ctx context.Context, in *InvitationPath) (invitationView, error) {
	if !id.Valid(in.Invite) {
		return invitationView{}, convoy.E(convoy.NotFound, "invitation not found")
	}
	v, err := a.Store.Invitation(ctx, in.organisation(), convoy.InvitationID(in.Invite))
	if err != nil {
		return invitationView{}, err
	}
	org, err := a.Store.Organisation(ctx, in.organisation())
	if err != nil {
		return invitationView{}, err
	}
	token, err := a.SignIn.Reinvite(ctx, org, v)
	if err != nil {
		return invitationView{}, err
	}
	view := viewInvitation(v)
	view.Token = token
	return view, nil
}

func (a *api) cancelInvite(ctx context.Context, in *InvitationPath) (invitationView, error) {
	if !id.Valid(in.Invite) {
		return invitationView{}, convoy.E(convoy.NotFound, "invitation not found")
	}
	invite := convoy.InvitationID(in.Invite)
	if err := a.Store.CloseInvitation(ctx, in.organisation(), invite, convoy.InvitationCancelled, a.now()); err != nil {
		return invitationView{}, err
	}
	v, err := a.Store.Invitation(ctx, in.organisation(), invite)
	if err != nil {
		return invitationView{}, err
	}
	return viewInvitation(v), nil
}

// invitedView is an invitation as whoever has its token sees it.
type invitedView struct {
	Token     invitedTokenView `json:"token"`
	UserKnown bool             `json:"user_exists" doc:"There is an account with the address"`
	FirstName string           `json:"first_name,omitempty"`
	LastName  string           `json:"last_name,omitempty"`
}

type invitedTokenView struct {
	Organisation string                  `json:"organisation_name"`
	Email        string                  `json:"invitee_email"`
	Role         convoy.Role             `json:"role"`
	Status       convoy.InvitationStatus `json:"status" enum:"pending"`
}

type findInviteInput struct{ TokenQuery }

func (a *api) findInvite(ctx context.Context, in *findInviteInput) (invitedView, error) {
	found, err := a.SignIn.Invited(ctx, in.Token)
	if err != nil {
		return invitedView{}, err
	}
	v := invitedView{
		Token:     invitedTokenView{found.Organisation.Name, found.Invitation.Email, found.Invitation.Role, found.Invitation.Status},
		UserKnown: found.User != nil,
	}
	if found.User != nil {
		v.FirstName, v.LastName = found.User.FirstName, found.User.LastName
	}
	return v, nil
}

type joinRequest struct {
	FirstName string `json:"first_name,omitempty" maxLength:"255" doc:"Of a new user"`
	LastName  string `json:"last_name,omitempty" maxLength:"255" doc:"Of a new user"`
	Password  string `json:"password,omitempty" maxLength:"128" doc:"The one that a new user chooses, or that of a user who is not signed in"`
	Code      string `json:"code,omitempty" maxLength:"32" doc:"The code of the second factor, with such a password"`
}

type processInviteInput struct {
	TokenQuery
	Accepted string               `query:"accepted" enum:"true,false" doc:"The answer; false unless true"`
	Payload  payload[joinRequest] `nullable:"true"`
}

func (a *api) processInvite(ctx context.Context, in *processInviteInput) (none, error) {
	var req joinRequest
	if !blank(in.Payload.raw) || in.Payload.err != nil {
		var err error
		if req, err = in.Payload.decode(); err != nil {
			return nil, err
		}
	}
	if in.Accepted != "true" && in.Accepted != "false" && in.Accepted != "" {
		return nil, invalid("accepted", "must be true or false")
	}
	var found problems
	found.text("first_name", req.FirstName, maxName)
	found.text("last_name", req.LastName, maxName)
	found.text("password", req.Password, maxPassword)
	found.text("code", req.Code, maxCode)
	if err := found.err(); err != nil {
		return nil, err
	}
	invited, err := a.SignIn.Invited(ctx, in.Token)
	if err != nil {
		return nil, err
	}
	x := exchangeOf(ctx)
	switch {
	case in.Accepted != "true":
		return nil, a.SignIn.Decline(ctx, invited)
	case invited.User != nil:
		user := x.caller.user
		if x.caller.session == "" {
			user = ""
		}
		if user != invited.User.ID && req.Password == "" {
			return nil, convoy.E(convoy.Unauthorized, "sign in as "+invited.User.Email+", or provide the password")
		}
		return nil, a.SignIn.Join(ctx, invited, user, signin.Credentials{Password: req.Password, Code: req.Code}, x.visit.Visit)
	}
	found.required("first_name", req.FirstName, maxName, "please provide your first name")
	found.required("last_name", req.LastName, maxName, "please provide your last name")
	found.newPassword("password", req.Password)
	if err := found.err(); err != nil {
		return nil, err
	}
	_, err = a.SignIn.JoinNew(ctx, invited, signin.Newcomer{FirstName: req.FirstName, LastName: req.LastName, Password: req.Password})
	return nil, err
}
