package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/id"
	"convoy/internal/store"
)

// Lengths of texts that several resources have, in characters.
const (
	maxName        = 255
	maxDescription = 4096
	maxURL         = 2048
)

const textName = "please provide a name"

type projectRequest struct {
	Name    string         `json:"name" maxLength:"255"`
	Type    string         `json:"type,omitempty" enum:"incoming,outgoing" doc:"Needed to create; an update ignores it"`
	LogoURL *string        `json:"logo_url,omitempty" maxLength:"2048"`
	Config  *configRequest `json:"config,omitempty"`
}

// projectView is a project as clients see it.
type projectView struct {
	UID            convoy.ProjectID      `json:"uid"`
	Name           string                `json:"name"`
	LogoURL        string                `json:"logo_url"`
	OrganisationID convoy.OrganisationID `json:"organisation_id"`
	Type           convoy.ProjectType    `json:"type"`
	Config         convoy.ProjectConfig  `json:"config"`
	Statistics     none                  `json:"statistics"`
	RetainedEvents int                   `json:"retained_events"`
	CreatedAt      time.Time             `json:"created_at"`
	UpdatedAt      time.Time             `json:"updated_at"`
	DeletedAt      *time.Time            `json:"deleted_at"`
}

func viewProject(p *convoy.Project) projectView {
	config := p.Config
	if config.MetaEvent.EventType == nil {
		config.MetaEvent.EventType = []string{}
	}
	config.MetaEvent.PubSub = &convoy.PubSub{}
	if config.PortalFrameAncestors == nil {
		config.PortalFrameAncestors = []string{}
	}
	config.EventTypeValidation = cmp.Or(config.EventTypeValidation, convoy.ValidationOff)
	return projectView{
		UID: p.ID, Name: p.Name, LogoURL: p.LogoURL, OrganisationID: p.OrganisationID, Type: p.Type, Config: config,
		CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, DeletedAt: nullTime(p.DeletedAt),
	}
}

// keyView is a key as it is shown, once, to who made it.
type keyView struct {
	Name      string         `json:"name"`
	Role      convoy.Role    `json:"role"`
	Type      convoy.KeyType `json:"key_type"`
	ExpiresAt *time.Time     `json:"expires_at"`
	Key       string         `json:"key"`
	UID       convoy.KeyID   `json:"uid"`
	CreatedAt time.Time      `json:"created_at"`
}

// createdProject is a new project and its only key.
type createdProject struct {
	Key     keyView     `json:"api_key"`
	Project projectView `json:"project"`
}

func (a *api) projectRoutes(r *registrar) {
	const (
		tag = "Projects"
		all = "/api/v1/projects"
		one = all + "/{projectID}"
	)
	handle(r, operation{
		id: "GetProjects", access: viewsOrganisation, method: http.MethodGet, path: all, tag: tag, summary: "List an organisation's projects",
		status: http.StatusOK, message: "Projects fetched successfully",
	}, a.projects)
	handle(r, operation{
		id: "CreateProject", access: managesOrganisation, method: http.MethodPost, path: all, tag: tag, summary: "Create a project",
		status: http.StatusCreated, message: "Project created successfully",
	}, a.createProject)
	handle(r, operation{
		id: "GetProject", access: viewsProject, method: http.MethodGet, path: one, tag: tag, summary: "Get a project",
		status: http.StatusOK, message: "Project fetched successfully",
	}, a.project)
	handle(r, operation{
		id: "UpdateProject", access: managesProject, method: http.MethodPut, alias: http.MethodPost, path: one, tag: tag, summary: "Update a project",
		status: http.StatusAccepted, message: "Project updated successfully",
	}, a.updateProject)
	handle(r, operation{
		id: "DeleteProject", access: managesProject, method: http.MethodDelete, path: one, tag: tag, summary: "Delete a project",
		status: http.StatusOK, message: "Project deleted successfully",
	}, a.deleteProject)
}

// ProjectPath is the path of everything in a project.
type ProjectPath struct {
	Project string `path:"projectID" doc:"The project's id; a project's key acts on its own project whatever this says"`
}

func (p *ProjectPath) project() string { return p.Project }

// OrganisationQuery names an organisation, in the query or a header.
type OrganisationQuery struct {
	Org    string `query:"orgID" doc:"The organisation's id"`
	Header string `header:"X-Organisation-Id" doc:"The same, where orgID is not given"`
}

func (q *OrganisationQuery) organisation() convoy.OrganisationID {
	if q.Org != "" {
		return convoy.OrganisationID(q.Org)
	}
	return convoy.OrganisationID(q.Header)
}

type projectsInput struct{ OrganisationQuery }

func (a *api) projects(ctx context.Context, in *projectsInput) ([]projectView, error) {
	list, err := a.Store.Projects(ctx, in.organisation())
	if err != nil {
		return nil, err
	}
	role, views := exchangeOf(ctx).role, []projectView{}
	for _, p := range list {
		if allows(role, p.ID, view) {
			views = append(views, viewProject(p))
		}
	}
	return views, nil
}

type createProjectInput struct {
	OrganisationQuery
	Payload payload[projectRequest]
}

func (a *api) createProject(ctx context.Context, in *createProjectInput) (createdProject, error) {
	var none createdProject
	x, org := exchangeOf(ctx), in.organisation()
	req, err := in.Payload.decode()
	if err != nil {
		return none, err
	}
	now := a.now()
	p := &convoy.Project{
		ID: convoy.ProjectID(id.New(now)), OrganisationID: org, Type: convoy.ProjectType(req.Type),
		Config: convoy.DefaultProjectConfig(), CreatedAt: now,
	}
	if p.Type != convoy.Outgoing && p.Type != convoy.Incoming {
		return none, invalid("type", "please provide a project type, incoming or outgoing")
	}
	if err := a.applyProject(ctx, p, &req, now); err != nil {
		return none, err
	}
	token, key := auth.NewKey(now)
	key.Name = p.Name + "'s default key"
	key.Role = convoy.Role{Type: convoy.RoleProjectAdmin, Project: p.ID}
	if err := a.Store.Setup(ctx, store.Setup{Project: p, Key: key}); err != nil {
		return none, err
	}
	a.changed(ctx, p.ID)
	if err := a.Catalog.KeysChanged(ctx); err != nil {
		a.Log.WarnContext(ctx, "other processes were not told of a new key", "err", err)
	}
	x.project = p.ID
	created := viewProject(p)
	if m := &created.Config.MetaEvent; !m.Enabled {
		m.EventType, m.PubSub = nil, nil // null in this answer alone
	}
	return createdProject{
		Key: keyView{
			Name: key.Name, Role: key.Role, Type: key.Type, ExpiresAt: nullTime(key.ExpiresAt),
			Key: token, UID: key.ID, CreatedAt: key.CreatedAt,
		},
		Project: created,
	}, nil
}

// applyProject checks a request and applies it.
func (a *api) applyProject(ctx context.Context, p *convoy.Project, req *projectRequest, now time.Time) error {
	var found problems
	found.required("name", req.Name, maxName, textName)
	logo := p.LogoURL
	if req.LogoURL != nil {
		if logo = *req.LogoURL; logo != "" && !isWebURL(logo) {
			found.add("logo_url", "please provide a valid logo url")
		}
	}
	config := p.Config
	if req.Config != nil {
		req.Config.apply(&config, p.Type, now, &found)
		if m := req.Config.MetaEvent; m != nil {
			m.apply(&config, a.Guard, &found)
		}
	}
	nameVersions(&config, now)
	if err := found.err(); err != nil {
		return err
	}
	if m, old := config.MetaEvent, p.Config.MetaEvent; m.Enabled && (m.URL != old.URL || !old.Enabled) {
		if err := a.ping(ctx, m.URL); err != nil {
			return err
		}
	}
	p.Name, p.LogoURL, p.Config, p.UpdatedAt = req.Name, logo, config, now
	return nil
}

func (a *api) project(ctx context.Context, _ *ProjectPath) (projectView, error) {
	p := projectOf(ctx)
	return viewProject(p.Settings()), nil
}

type updateProjectInput struct {
	ProjectPath
	Payload payload[projectRequest]
}

func (a *api) updateProject(ctx context.Context, in *updateProjectInput) (projectView, error) {
	entered := projectOf(ctx)
	req, err := in.Payload.decode()
	if err != nil {
		return projectView{}, err
	}
	p, err := a.Store.Project(ctx, entered.Settings().ID)
	if err != nil {
		return projectView{}, refuse(err, "project not found")
	}
	disabling := p.Config.DisableEndpoint
	if err := a.applyProject(ctx, p, &req, a.now()); err != nil {
		return projectView{}, err
	}
	if err := a.Store.UpdateProject(ctx, p); err != nil {
		return projectView{}, refuse(err, "project not found")
	}
	defer a.changed(ctx, p.ID)
	if disabling && !p.Config.DisableEndpoint {
		if err := a.reactivate(ctx, p); err != nil {
			return projectView{}, err
		}
	}
	return viewProject(p), nil
}

// reactivate switches on what was switched off for failing, because the project
// no longer wants that.
func (a *api) reactivate(ctx context.Context, p *convoy.Project) error {
	list, err := a.Store.AllEndpoints(ctx, p.ID)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Status != convoy.EndpointInactive {
			continue
		}
		e.Status, e.UpdatedAt = convoy.EndpointActive, a.now()
		told := updated(p, e)
		_, err := a.Store.SetEndpointStatus(ctx, p.ID, e.ID, e.Status, e.UpdatedAt, told...)
		if err != nil && !convoy.IsNotFound(err) { // deleted meanwhile is fine
			return err
		}
		a.hasten(ctx, told)
		if a.Alarm != nil {
			a.Alarm.Activated(ctx, p, e)
		}
	}
	return nil
}

func (a *api) deleteProject(ctx context.Context, _ *ProjectPath) (none, error) {
	p := projectOf(ctx)
	if err := a.Store.DeleteProject(ctx, p.Settings().ID, a.now()); err != nil {
		return nil, refuse(err, "project not found")
	}
	a.changed(ctx, p.Settings().ID)
	return nil, nil
}

// changed tells the catalog of a write. The write stands whatever becomes of
// the message: others then see it when their entry expires.
func (a *api) changed(ctx context.Context, project convoy.ProjectID) {
	err := a.Catalog.Changed(context.WithoutCancel(ctx), project) // bounds its own wait
	if err != nil {
		a.Log.WarnContext(ctx, "other processes were not told of a change", "project_id", project, "err", err)
	}
}
