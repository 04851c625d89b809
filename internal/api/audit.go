package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"convoy"
	"convoy/internal/store"
)

func (a *api) auditRoutes(r *registrar) {
	const tag = "Audit log"
	handle(r, operation{
		id: "GetAuditLog", access: managesOrganisation, method: http.MethodGet, path: "/ui/organisations/{orgID}/audit-logs", tag: tag,
		summary: "List the changes in an organisation", status: http.StatusOK, message: "Audit logs fetched successfully",
	}, a.organisationChanges)
	handle(r, operation{
		id: "GetProjectAuditLog", access: managesProject, method: http.MethodGet, path: "/ui/organisations/{orgID}/projects/{projectID}/audit-logs", tag: tag,
		summary: "List the changes in a project", status: http.StatusOK, message: "Audit logs fetched successfully",
	}, a.projectChanges)
	handle(r, operation{
		id: "GetOwnAuditLog", access: signedIn, method: http.MethodGet, path: "/ui/users/{userID}/audit-logs", tag: tag,
		summary: "List the changes of your account, its sessions and keys", status: http.StatusOK, message: "Audit logs fetched successfully",
	}, a.ownChanges)
}

// actor is who makes the changes of a request.
func (x *exchange) actor() store.Actor {
	who := store.Actor{Kind: "anonymous", Address: x.address, RequestID: x.id}
	switch c := &x.caller; {
	case c.link != nil:
		who.Kind, who.ID, who.Name = "portal", string(c.link.ID), c.link.OwnerID
	case c.person():
		who.Kind, who.ID, who.Name = "user", string(c.user), string(c.key)
	case c.key != "":
		who.Kind, who.ID = "key", string(c.key)
	}
	return who
}

// ChangeQuery is the filter of the lists of changes.
type ChangeQuery struct {
	PageQuery
	Start  string `query:"startDate" doc:"Earliest time, 2006-01-02T15:04:05 in UTC; no bound unless given"`
	End    string `query:"endDate" doc:"Latest time, inclusive; no bound unless given"`
	Actor  string `query:"actor" doc:"Only changes by the user, key or portal link with this id"`
	Action string `query:"action" doc:"Only this action, such as endpoint.updated"`
	Kind   string `query:"objectType" doc:"Only changes of this kind of object, such as endpoint"`
	Object string `query:"objectId" doc:"Only changes of the object with this id"`
}

type changeView struct {
	UID          string                `json:"uid"`
	At           time.Time             `json:"created_at"`
	Actor        changeActor           `json:"actor"`
	Address      string                `json:"ip_address"`
	RequestID    string                `json:"request_id"`
	Action       string                `json:"action" doc:"The kind of object, and created, updated, deleted or revoked"`
	Object       changeObject          `json:"object"`
	Organisation convoy.OrganisationID `json:"organisation_id"`
	Project      convoy.ProjectID      `json:"project_id"`
	Before       map[string]any        `json:"before" doc:"Columns of the row before, without secrets; of an update only those that have changed; empty where there was none"`
	After        map[string]any        `json:"after" doc:"The same of the row after"`
}

type changeActor struct {
	Type string `json:"type" enum:"user,key,portal,anonymous,system"`
	ID   string `json:"id"`
	Name string `json:"name" doc:"The personal key of a user, the owner of a portal link"`
}

type changeObject struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

func viewChange(c *store.Change) changeView {
	v := changeView{
		UID: c.ID, At: c.At, Actor: changeActor{c.Actor.Kind, c.Actor.ID, c.Actor.Name}, Address: c.Actor.Address, RequestID: c.Actor.RequestID,
		Action: c.Action, Object: changeObject{c.Kind, c.Object}, Organisation: c.Organisation, Project: c.Project,
		Before: columnsOf(c.Before), After: columnsOf(c.After),
	}
	if c.Before != nil && c.After != nil {
		for name, before := range v.Before {
			if reflect.DeepEqual(before, v.After[name]) {
				delete(v.Before, name)
				delete(v.After, name)
			}
		}
	}
	return v
}

// columnsOf decodes a row; numbers stay as they are.
func columnsOf(row json.RawMessage) map[string]any {
	columns := map[string]any{}
	if row == nil {
		return columns
	}
	dec := json.NewDecoder(bytes.NewReader(row))
	dec.UseNumber()
	if dec.Decode(&columns) != nil {
		return map[string]any{}
	}
	return columns
}

// changes lists what a filter and a query select.
func (a *api) changes(ctx context.Context, f store.ChangeFilter, q *ChangeQuery) (paged[changeView], error) {
	var none paged[changeView]
	var err error
	if f.Page, err = q.page(); err != nil {
		return none, err
	}
	var ok bool
	if f.From, ok, err = parseDate(q.Start); err != nil {
		return none, errStartDate
	} else if !ok {
		f.From = time.Time{}
	}
	if f.To, ok, err = parseDate(q.End); err != nil {
		return none, errEndDate
	} else if ok {
		f.To = f.To.Add(time.Second - time.Microsecond)
	}
	if !f.To.IsZero() && f.From.After(f.To) {
		return none, errDateOrder
	}
	f.Actor, f.Action, f.Kind, f.Object = q.Actor, q.Action, q.Kind, q.Object
	list, err := within(ctx, "The audit log took too long. Narrow the date range.",
		func(ctx context.Context) (store.Paged[*store.Change], error) { return a.Store.Changes(ctx, f) })
	if err != nil {
		return none, err
	}
	return pageOf(list, f.Page.PerPage, viewChange), nil
}

type organisationChangesInput struct {
	OrganisationPath
	ChangeQuery
	Project string `query:"projectId" doc:"Only changes in this project"`
}

func (a *api) organisationChanges(ctx context.Context, in *organisationChangesInput) (paged[changeView], error) {
	return a.changes(ctx, store.ChangeFilter{Organisation: in.organisation(), Project: convoy.ProjectID(in.Project)}, &in.ChangeQuery)
}

type projectChangesInput struct {
	OrganisationProjectPath
	ChangeQuery
}

func (a *api) projectChanges(ctx context.Context, in *projectChangesInput) (paged[changeView], error) {
	return a.changes(ctx, store.ChangeFilter{Project: projectOf(ctx).Settings().ID}, &in.ChangeQuery)
}

type ownChangesInput struct {
	UserPath
	ChangeQuery
}

func (a *api) ownChanges(ctx context.Context, in *ownChangesInput) (paged[changeView], error) {
	return a.changes(ctx, store.ChangeFilter{User: in.user()}, &in.ChangeQuery)
}
