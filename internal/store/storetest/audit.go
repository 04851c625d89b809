package storetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// audit finds changes in the log: who made them, what they were, no secrets, and
// none that was not made.
func audit(t *testing.T, f *Fixture) {
	actor := store.Actor{Kind: "user", ID: "u1", Name: "ada@example.com", Address: "192.0.2.7", RequestID: "r1"}
	ctx := store.As(t.Context(), actor)
	org := f.organisation()
	ok(t, f.S.CreateOrganisation(ctx, org))
	p := &convoy.Project{
		ID: convoy.ProjectID(f.ID(f.Now)), OrganisationID: org.ID, Name: "p", Type: convoy.Outgoing, Config: convoy.DefaultProjectConfig(),
		CreatedAt: f.Now, UpdatedAt: f.Now,
	}
	p.Config.MetaEvent.Secret = "planted-meta"
	ok(t, f.S.CreateProject(ctx, p))
	e := f.Endpoint(t, p) // by the gateway itself
	e.Name, e.Secrets, e.SlackWebhookURL = "renamed", []convoy.Secret{{ID: "s", Value: "planted-secret"}}, "https://hooks.test/planted-slack"
	ok(t, f.S.UpdateEndpoint(ctx, e))
	src := f.createSource(t, p, func(s *convoy.Source) { s.Name = "of the gateway" })
	k := f.key(p.ID)
	ok(t, f.S.CreateKey(ctx, k))
	ok(t, f.S.NoteKeysUsed(ctx, map[convoy.KeyID]time.Time{k.ID: f.Now.Add(time.Hour)}))
	ok(t, f.S.RevokeKey(ctx, p.ID, k.ID, f.Now.Add(time.Second)))
	refused(t, f.S.DeleteEndpoint(ctx, p.ID, "unknown", f.Now), convoy.NotFound, "endpoint not found")
	ok(t, f.S.DeleteEndpoint(ctx, p.ID, e.ID, f.Now.Add(time.Second)))

	changes := func(filter store.ChangeFilter) []*store.Change {
		t.Helper()
		filter.Page = store.Page{PerPage: 100}
		page, err := f.S.Changes(t.Context(), filter)
		ok(t, err)
		return page.Items
	}
	var actions []string
	for _, c := range changes(store.ChangeFilter{Organisation: org.ID}) {
		actions = append(actions, c.Actor.Kind+" "+c.Action)
		same(t, c.Organisation, org.ID)
		if text := string(c.Before) + string(c.After); strings.Contains(text, "planted") || strings.Contains(text, "sealed:") {
			t.Errorf("%s has a secret: %s", c.Action, text)
		}
	}
	same(t, actions, []string{
		"user endpoint.deleted", "user api_key.revoked", "user api_key.created", "system source.created", "user endpoint.updated",
		"system endpoint.created", "user event_type.created", "user project.created", "user organisation.created",
	})
	updated := changes(store.ChangeFilter{Project: p.ID, Action: "endpoint.updated", Actor: "u1", Kind: "endpoint", Object: string(e.ID)})
	same(t, len(updated), 1)
	same(t, updated[0].Actor, actor)
	name := func(row json.RawMessage) (name string) {
		var v struct{ Name string }
		ok(t, json.Unmarshal(row, &v))
		return v.Name
	}
	if before, after := name(updated[0].Before), name(updated[0].After); before == after || after != "renamed" {
		t.Errorf("from %q to %q", before, after)
	}
	same(t, len(changes(store.ChangeFilter{Object: string(src.ID)})), 1)
	same(t, len(changes(store.ChangeFilter{Organisation: org.ID, From: time.Now().Add(time.Hour)})), 0)
	same(t, len(changes(store.ChangeFilter{Organisation: org.ID, To: time.Now().Add(time.Hour)})), 9)

	// A person's own, and what only says that it changed.
	u := f.user()
	ok(t, f.S.CreateUser(ctx, u))
	ok(t, f.S.SetPassword(ctx, u.ID, "another hash", "", f.Now.Add(time.Second)))
	own := changes(store.ChangeFilter{User: u.ID})
	same(t, len(own), 2)
	if text := string(own[0].Before) + string(own[0].After); strings.Contains(text, "another hash") || !strings.Contains(text, "[former secret]") || !strings.Contains(text, "[new secret]") {
		t.Errorf("a new password: %s", text)
	}
	// Pages.
	walk(t, []string{own[0].ID, own[1].ID}, func(at store.Page) (list, error) {
		page, err := f.S.Changes(t.Context(), store.ChangeFilter{User: u.ID, Page: at})
		return listed(page, func(c *store.Change) string { return c.ID }), err
	})
}
