package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/id"
)

// listedKeyView is a key as it is listed: not the key.
type listedKeyView struct {
	UID        convoy.KeyID   `json:"uid"`
	Name       string         `json:"name"`
	Mask       string         `json:"mask" doc:"The part of the key after the first dot, by which it is recognised"`
	Type       convoy.KeyType `json:"key_type"`
	Role       convoy.Role    `json:"role"`
	ExpiresAt  *time.Time     `json:"expires_at"`
	LastUsedAt *time.Time     `json:"last_used_at" doc:"When the key was used last, as it was written within half a minute; null if never"`
	CreatedAt  time.Time      `json:"created_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
}

func viewKeys(list []*convoy.APIKey) []listedKeyView {
	out := make([]listedKeyView, len(list))
	for i, k := range list {
		out[i] = listedKeyView{
			UID: k.ID, Name: k.Name, Mask: k.Mask, Type: k.Type, Role: k.Role, ExpiresAt: nullTime(k.ExpiresAt), LastUsedAt: nullTime(k.LastUsedAt),
			CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt,
		}
	}
	return out
}

func viewNewKey(k *convoy.APIKey, token string) keyView {
	return keyView{
		Name: k.Name, Role: k.Role, Type: k.Type, ExpiresAt: nullTime(k.ExpiresAt), Key: token, UID: k.ID, CreatedAt: k.CreatedAt,
	}
}

func (a *api) keyRoutes(r *registrar) {
	const (
		tag      = "Keys"
		personal = "/ui/users/{userID}/security"
		project  = "/ui/organisations/{orgID}/projects/{projectID}/security/keys"
	)
	handle(r, operation{
		id: "CreatePersonalKey", access: hasSession, method: http.MethodPost, path: personal + "/personal_api_keys", tag: tag, summary: "Create a key that acts as you",
		status: http.StatusCreated, message: "Personal API Key created successfully",
	}, a.createPersonalKey)
	handle(r, operation{
		id: "GetPersonalKeys", access: signedIn, method: http.MethodGet, path: personal, tag: tag, summary: "List your keys",
		status: http.StatusOK, message: "api keys fetched successfully",
	}, a.personalKeys)
	handle(r, operation{
		id: "RevokePersonalKey", access: signedIn, method: http.MethodPut, path: personal + "/{keyID}/revoke", tag: tag, summary: "Revoke a key of yours",
		status: http.StatusOK, message: "personal api key revoked successfully",
	}, a.revokePersonalKey)
	handle(r, operation{
		id: "GetProjectKeys", access: managesProject, method: http.MethodGet, path: project, tag: tag, summary: "List a project's keys",
		status: http.StatusOK, message: "api keys fetched successfully",
	}, a.projectKeys)
	handle(r, operation{
		id: "CreateProjectKey", access: managesProject, method: http.MethodPost, path: project, tag: tag, summary: "Create a key of a project",
		status: http.StatusCreated, message: "API Key created successfully",
	}, a.createProjectKey)
	handle(r, operation{
		id: "RevokeProjectKey", access: managesProject, method: http.MethodPut, path: project + "/{keyID}/revoke", tag: tag, summary: "Revoke a key of a project",
		status: http.StatusOK, message: "api key revoked successfully",
	}, a.revokeProjectKey)
	handle(r, operation{
		id: "RegenerateProjectKey", access: managesProject, method: http.MethodPut, path: project + "/regenerate", tag: tag,
		summary: "Replace a project's keys by a new one",
		status:  http.StatusOK, message: "api key regenerated successfully",
	}, a.regenerateProjectKey)
}

// keysChanged tells the catalog of a write to keys, as [api.changed].
func (a *api) keysChanged(ctx context.Context) {
	if err := a.Catalog.KeysChanged(context.WithoutCancel(ctx)); err != nil {
		a.Log.WarnContext(ctx, "other processes were not told of a key", "err", err)
	}
}

// maxKeyDays bounds the life of a key.
const maxKeyDays = 3650

const textDays = "must be from 1 to 3650 days"

type personalKeyRequest struct {
	Name string `json:"name" maxLength:"255"`
	Days *int   `json:"expiration,omitempty" minimum:"1" maximum:"3650" doc:"Days until it ends; 1 unless given"`
}

type personalKeyInput struct {
	UserPath
	Payload payload[personalKeyRequest]
}

func (a *api) createPersonalKey(ctx context.Context, in *personalKeyInput) (keyView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return keyView{}, err
	}
	days := 1
	if req.Days != nil {
		days = *req.Days
	}
	var found problems
	found.required("name", req.Name, maxName, textName)
	if days < 1 || days > maxKeyDays {
		found.add("expiration", textDays)
	}
	if err := found.err(); err != nil {
		return keyView{}, err
	}
	now := a.now()
	token, key := auth.NewKey(now)
	key.Name, key.Type, key.UserID, key.ExpiresAt = req.Name, convoy.PersonalKey, in.user(), now.AddDate(0, 0, days)
	if err := a.Store.CreateKey(ctx, key); err != nil {
		return keyView{}, err
	}
	a.keysChanged(ctx)
	return viewNewKey(key, token), nil
}

type personalKeysInput struct {
	UserPath
	Type string `query:"keyType" enum:"personal_key" doc:"Which keys; there is one kind"`
}

func (a *api) personalKeys(ctx context.Context, in *personalKeysInput) ([]listedKeyView, error) {
	if in.Type != "" && in.Type != string(convoy.PersonalKey) {
		return nil, invalid("keyType", "must be personal_key")
	}
	list, err := a.Store.PersonalKeys(ctx, in.user())
	if err != nil {
		return nil, err
	}
	return viewKeys(list), nil
}

type revokePersonalKeyInput struct {
	UserPath
	Key string `path:"keyID" doc:"The key's id"`
}

var errKeyMissing = convoy.E(convoy.NotFound, "api key not found")

func (a *api) revokePersonalKey(ctx context.Context, in *revokePersonalKeyInput) (none, error) {
	if !id.Valid(in.Key) {
		return nil, errKeyMissing
	}
	if err := a.Store.RevokePersonalKey(ctx, in.user(), convoy.KeyID(in.Key), a.now()); err != nil {
		return nil, err
	}
	a.keysChanged(ctx)
	return nil, nil
}

// OrganisationProjectPath is the path of a project below its organisation.
type OrganisationProjectPath struct {
	OrganisationPath
	ProjectPath
}

func (a *api) projectKeys(ctx context.Context, _ *OrganisationProjectPath) ([]listedKeyView, error) {
	list, err := a.Store.Keys(ctx, projectOf(ctx).Settings().ID)
	if err != nil {
		return nil, err
	}
	return viewKeys(list), nil
}

type projectKeyRequest struct {
	Name string `json:"name" maxLength:"255"`
	Role string `json:"role,omitempty" enum:"project_admin,project_viewer" doc:"project_admin unless given"`
	Days *int   `json:"expiration,omitempty" minimum:"1" maximum:"3650" doc:"Days until it ends; it does not unless given"`
}

type projectKeyInput struct {
	OrganisationProjectPath
	Payload payload[projectKeyRequest]
}

func (a *api) createProjectKey(ctx context.Context, in *projectKeyInput) (keyView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return keyView{}, err
	}
	role := convoy.Role{Type: convoy.RoleProjectAdmin, Project: projectOf(ctx).Settings().ID}
	var found problems
	found.required("name", req.Name, maxName, textName)
	if req.Role != "" {
		role.Type = convoy.RoleType(req.Role)
	}
	if role.Type != convoy.RoleProjectAdmin && role.Type != convoy.RoleProjectViewer {
		found.add("role", "must be project_admin or project_viewer")
	}
	if req.Days != nil && (*req.Days < 1 || *req.Days > maxKeyDays) {
		found.add("expiration", textDays)
	}
	if err := found.err(); err != nil {
		return keyView{}, err
	}
	now := a.now()
	token, key := auth.NewKey(now)
	key.Name, key.Role = req.Name, role
	if req.Days != nil {
		key.ExpiresAt = now.AddDate(0, 0, *req.Days)
	}
	if err := a.Store.CreateKey(ctx, key); err != nil {
		return keyView{}, err
	}
	a.keysChanged(ctx)
	return viewNewKey(key, token), nil
}

type revokeProjectKeyInput struct {
	OrganisationProjectPath
	Key string `path:"keyID" doc:"The key's id"`
}

func (a *api) revokeProjectKey(ctx context.Context, in *revokeProjectKeyInput) (none, error) {
	if !id.Valid(in.Key) {
		return nil, errKeyMissing
	}
	if err := a.Store.RevokeKey(ctx, projectOf(ctx).Settings().ID, convoy.KeyID(in.Key), a.now()); err != nil {
		return nil, err
	}
	a.keysChanged(ctx)
	return nil, nil
}

// maxOverlap bounds how long a key that was replaced works on.
const maxOverlap = 7 * 24 * time.Hour

type regenerateRequest struct {
	Overlap int `json:"overlap_seconds,omitempty" minimum:"0" maximum:"604800" doc:"How long the former keys work on; not at all unless given"`
}

type regenerateInput struct {
	OrganisationProjectPath
	Payload payload[regenerateRequest]
}

func (a *api) regenerateProjectKey(ctx context.Context, in *regenerateInput) (keyView, error) {
	var req regenerateRequest
	if !blank(in.Payload.raw) || in.Payload.err != nil {
		var err error
		if req, err = in.Payload.decode(); err != nil {
			return keyView{}, err
		}
	}
	if req.Overlap < 0 || req.Overlap > int(maxOverlap/time.Second) {
		return keyView{}, invalid("overlap_seconds", "must be from 0 to 604800")
	}
	p, now := projectOf(ctx).Settings(), a.now()
	token, key := auth.NewKey(now)
	key.Name, key.Role = p.Name+"'s default key", convoy.Role{Type: convoy.RoleProjectAdmin, Project: p.ID}
	if err := a.Store.ReplaceKeys(ctx, key, now.Add(time.Duration(req.Overlap)*time.Second), now); err != nil {
		return keyView{}, err
	}
	a.keysChanged(ctx)
	return viewNewKey(key, token), nil
}
