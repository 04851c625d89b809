package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/store"
)

// roleRequest is the role that a member is given.
type roleRequest struct {
	Type    string `json:"type" enum:"organisation_admin,project_admin,project_viewer"`
	Project string `json:"project,omitempty" maxLength:"26" doc:"The project that a project's role is limited to; empty for all of the organisation"`
}

// role checks a role in an organisation.
func (a *api) role(ctx context.Context, org convoy.OrganisationID, r *roleRequest) (convoy.Role, error) {
	role := convoy.Role{Type: convoy.RoleType(r.Type), Project: convoy.ProjectID(r.Project)}
	switch role.Type {
	case convoy.RoleProjectAdmin, convoy.RoleProjectViewer:
	case convoy.RoleOrganisationAdmin:
		if role.Project != "" {
			return role, invalid("project", "must be empty for an organisation_admin")
		}
	default:
		return role, invalid("type", "please provide a role: organisation_admin, project_admin or project_viewer")
	}
	if role.Project == "" {
		return role, nil
	}
	if text := badText(r.Project, maxName); text != "" {
		return role, invalid("project", text)
	}
	p, err := a.Store.Project(ctx, role.Project)
	if convoy.IsNotFound(err) || err == nil && p.OrganisationID != org {
		return role, invalid("project", "must be a project of the organisation")
	}
	return role, err
}

// memberView is a member as clients see them.
type memberView struct {
	UID            convoy.MembershipID   `json:"uid"`
	OrganisationID convoy.OrganisationID `json:"organisation_id"`
	UserID         convoy.UserID         `json:"user_id"`
	Role           convoy.Role           `json:"role"`
	User           memberUserView        `json:"user_metadata"`
	CreatedAt      time.Time             `json:"created_at"`
	UpdatedAt      time.Time             `json:"updated_at"`
	DeletedAt      *time.Time            `json:"deleted_at"`
}

type memberUserView struct {
	UserID    convoy.UserID `json:"user_id"`
	FirstName string        `json:"first_name"`
	LastName  string        `json:"last_name"`
	Email     string        `json:"email"`
}

func viewMember(m *store.Member) memberView {
	return memberView{
		UID: m.ID, OrganisationID: m.OrganisationID, UserID: m.UserID, Role: m.Role,
		User:      memberUserView{m.UserID, m.FirstName, m.LastName, m.Email},
		CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt,
	}
}

func (a *api) memberRoutes(r *registrar) {
	const (
		tag = "Members"
		all = "/ui/organisations/{orgID}/members"
		one = all + "/{memberID}"
	)
	handle(r, operation{
		id: "GetMembers", access: viewsOrganisation, method: http.MethodGet, path: all, tag: tag, summary: "List an organisation's members",
		status: http.StatusOK, message: "Organisation members fetched successfully",
	}, a.members)
	handle(r, operation{
		id: "GetMember", access: viewsOrganisation, method: http.MethodGet, path: one, tag: tag, summary: "Get a member",
		status: http.StatusOK, message: "Organisation member fetched successfully",
	}, a.member)
	handle(r, operation{
		id: "UpdateMember", access: managesOrganisation, method: http.MethodPut, path: one, tag: tag, summary: "Change a member's role",
		status: http.StatusAccepted, message: "Organisation member updated successfully",
	}, a.updateMember)
	handle(r, operation{
		id: "DeleteMember", access: managesOrganisation, method: http.MethodDelete, path: one, tag: tag,
		summary: "Remove a member, whose keys act in the organisation no more",
		status:  http.StatusOK, message: "Organisation member deleted successfully",
	}, a.deleteMember)
}

type membersInput struct {
	OrganisationPath
	PageQuery
	User string `query:"userID" doc:"Only the member who is this user"`
}

func (a *api) members(ctx context.Context, in *membersInput) (paged[memberView], error) {
	page, err := in.page()
	if err != nil {
		return paged[memberView]{}, err
	}
	list, err := a.Store.Members(ctx, in.organisation(), convoy.UserID(in.User), page)
	if err != nil {
		return paged[memberView]{}, err
	}
	return pageOf(list, page.PerPage, viewMember), nil
}

// MemberPath is the path of a member.
type MemberPath struct {
	OrganisationPath
	Member string `path:"memberID" doc:"The membership's id"`
}

// findMember returns the member of a path.
func (a *api) findMember(ctx context.Context, in *MemberPath) (*store.Member, error) {
	if badText(in.Member, maxName) != "" {
		return nil, convoy.E(convoy.NotFound, "membership not found")
	}
	return a.Store.Member(ctx, in.organisation(), convoy.MembershipID(in.Member))
}

func (a *api) member(ctx context.Context, in *MemberPath) (memberView, error) {
	m, err := a.findMember(ctx, in)
	if err != nil {
		return memberView{}, err
	}
	return viewMember(m), nil
}

type memberRequest struct {
	Role roleRequest `json:"role"`
}

type updateMemberInput struct {
	MemberPath
	Payload payload[memberRequest]
}

func (a *api) updateMember(ctx context.Context, in *updateMemberInput) (memberView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return memberView{}, err
	}
	role, err := a.role(ctx, in.organisation(), &req.Role)
	if err != nil {
		return memberView{}, err
	}
	m, err := a.findMember(ctx, &in.MemberPath)
	if err != nil {
		return memberView{}, err
	}
	m.Role, m.UpdatedAt = role, a.now()
	if err := a.Store.SetRole(ctx, m.OrganisationID, m.ID, role, m.UpdatedAt); err != nil {
		return memberView{}, err
	}
	a.peopleChanged(ctx)
	return viewMember(m), nil
}

func (a *api) deleteMember(ctx context.Context, in *MemberPath) (none, error) {
	m, err := a.findMember(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := a.Store.RemoveMember(ctx, m.OrganisationID, m.ID); err != nil {
		return nil, err
	}
	a.peopleChanged(ctx)
	return nil, nil
}
