package storetest

import (
	"fmt"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

func (f *Fixture) organisation() *convoy.Organisation {
	return &convoy.Organisation{ID: convoy.OrganisationID(f.ID(f.Now)), Name: fmt.Sprintf("organisation %d", f.next()), CreatedAt: f.Now, UpdatedAt: f.Now}
}

func (f *Fixture) user() *convoy.User {
	n := f.next()
	return &convoy.User{
		ID: convoy.UserID(f.ID(f.Now)), FirstName: "Ada", LastName: "Lovelace", Email: fmt.Sprintf("ada%d@example.com", n),
		PasswordHash: "hash", CreatedAt: f.Now, UpdatedAt: f.Now,
	}
}

func organisations(t *testing.T, f *Fixture) {
	ctx := t.Context()
	empty, err := f.S.Empty(ctx)
	ok(t, err)
	if !empty {
		t.Fatal("a new database is not empty")
	}
	a, b := f.organisation(), f.organisation()
	ok(t, f.S.CreateOrganisation(ctx, a))
	ok(t, f.S.CreateOrganisation(ctx, b))
	got, err := f.S.Organisation(ctx, a.ID)
	ok(t, err)
	same(t, got, a)
	all, err := f.S.Organisations(ctx)
	ok(t, err)
	same(t, all, []*convoy.Organisation{b, a})
	if empty, err = f.S.Empty(ctx); err != nil || empty {
		t.Fatalf("Empty = %v, %v with two organisations", empty, err)
	}
	_, err = f.S.Organisation(ctx, "nobody")
	refused(t, err, convoy.NotFound, "organisation not found")

	u := f.user()
	ok(t, f.S.CreateUser(ctx, u))
	gotUser, err := f.S.User(ctx, u.ID)
	ok(t, err)
	same(t, gotUser, u)
	gotUser, err = f.S.UserByEmail(ctx, u.Email)
	ok(t, err)
	same(t, gotUser, u)
	twin := f.user()
	twin.Email = u.Email
	refused(t, f.S.CreateUser(ctx, twin), convoy.Conflict, "a user with this email already exists")
	_, err = f.S.User(ctx, twin.ID)
	refused(t, err, convoy.NotFound, "user not found")
	_, err = f.S.UserByEmail(ctx, "nobody@example.com")
	refused(t, err, convoy.NotFound, "user not found")

	m := &convoy.Membership{ID: convoy.MembershipID(u.ID), UserID: u.ID, OrganisationID: a.ID, Role: convoy.Role{Type: convoy.RoleOrganisationAdmin, Project: "p"}, CreatedAt: f.Now}
	ok(t, f.S.CreateMembership(ctx, m))
	gotMember, err := f.S.Membership(ctx, u.ID, a.ID)
	ok(t, err)
	same(t, gotMember, m)
	refused(t, f.S.CreateMembership(ctx, m), convoy.Conflict, "the user is a member of this organisation already")
	_, err = f.S.Membership(ctx, u.ID, b.ID)
	refused(t, err, convoy.NotFound, "membership not found")
}

func (f *Fixture) instance() store.Setup {
	o, u := f.organisation(), f.user()
	p := &convoy.Project{
		ID: convoy.ProjectID(f.ID(f.Now)), OrganisationID: o.ID, Name: "first", Type: convoy.Outgoing,
		Config: convoy.DefaultProjectConfig(), CreatedAt: f.Now, UpdatedAt: f.Now,
	}
	return store.Setup{
		Organisation: o, User: u, Project: p, Key: f.key(p.ID), IfEmpty: true,
		Membership: &convoy.Membership{ID: convoy.MembershipID(u.ID), UserID: u.ID, OrganisationID: o.ID, Role: convoy.Role{Type: convoy.RoleInstanceAdmin}, CreatedAt: f.Now},
	}
}

func setup(t *testing.T, f *Fixture) {
	ctx := t.Context()
	first := f.instance()
	ok(t, f.S.Setup(ctx, first))
	p, err := f.S.Project(ctx, first.Project.ID)
	ok(t, err)
	same(t, p, first.Project)
	k, err := f.S.KeyByHash(ctx, first.Key.Hash)
	ok(t, err)
	same(t, k, first.Key)
	m, err := f.S.Membership(ctx, first.User.ID, first.Organisation.ID)
	ok(t, err)
	same(t, m, first.Membership)

	refused(t, f.S.Setup(ctx, f.instance()), convoy.Conflict, "the instance has been set up already")

	second := f.instance()
	second.IfEmpty = false
	second.Key.Hash = first.Key.Hash // the last part fails
	refused(t, f.S.Setup(ctx, second), convoy.Conflict, "this api key exists already")
	_, err = f.S.Organisation(ctx, second.Organisation.ID)
	refused(t, err, convoy.NotFound, "organisation not found")
	_, err = f.S.UserByEmail(ctx, second.User.Email)
	refused(t, err, convoy.NotFound, "user not found")

	second.Key = f.key(second.Project.ID)
	ok(t, f.S.Setup(ctx, second))
	third := store.Setup{Organisation: f.organisation()}
	ok(t, f.S.Setup(ctx, third))
	_, err = f.S.Organisation(ctx, third.Organisation.ID)
	ok(t, err)
}

func setupRace(t *testing.T, f *Fixture) {
	setups := make([]store.Setup, 8)
	for i := range setups {
		setups[i] = f.instance()
	}
	done := 0
	for i, err := range together(len(setups), func(i int) error { return f.S.Setup(t.Context(), setups[i]) }) {
		if err == nil {
			done++
			continue
		}
		if convoy.KindOf(err) != convoy.Conflict {
			t.Errorf("setup %d: %v", i, err)
		}
	}
	all, err := f.S.Organisations(t.Context())
	ok(t, err)
	if done != 1 || len(all) != 1 {
		t.Fatalf("%d setups succeeded and made %d organisations, want 1", done, len(all))
	}
}

func projects(t *testing.T, f *Fixture) {
	ctx := t.Context()
	a, b := f.Project(t), f.Project(t)
	got, err := f.S.Project(ctx, a.ID)
	ok(t, err)
	same(t, got, a)
	all, err := f.S.Projects(ctx, "org")
	ok(t, err)
	same(t, all, []*convoy.Project{b, a})
	none, err := f.S.Projects(ctx, "another")
	ok(t, err)
	same(t, none, []*convoy.Project{})

	twin := *a
	twin.ID = convoy.ProjectID(f.ID(f.Now))
	refused(t, f.S.CreateProject(ctx, &twin), convoy.Conflict, "a project with this name already exists")
	twin.OrganisationID = "another"
	ok(t, f.S.CreateProject(ctx, &twin))

	renamed := *a
	renamed.Name = b.Name
	refused(t, f.S.UpdateProject(ctx, &renamed), convoy.Conflict, "a project with this name already exists")
	renamed.Name, renamed.LogoURL, renamed.UpdatedAt = "renamed", "", f.Now.Add(time.Second)
	renamed.Config.Signature.Header = "X-Signature"
	renamed.Config.CircuitBreaker = nil
	renamed.Config.AddEventIDTraceHeaders, renamed.Config.MultipleEndpointSubscriptions = true, true
	ok(t, f.S.UpdateProject(ctx, &renamed))
	got, err = f.S.Project(ctx, a.ID)
	ok(t, err)
	same(t, got, renamed)

	ok(t, f.S.DeleteProject(ctx, b.ID, f.Now))
	_, err = f.S.Project(ctx, b.ID)
	refused(t, err, convoy.NotFound, "project not found")
	refused(t, f.S.DeleteProject(ctx, b.ID, f.Now), convoy.NotFound, "project not found")
	refused(t, f.S.UpdateProject(ctx, b), convoy.NotFound, "project not found")
	all, err = f.S.Projects(ctx, "org")
	ok(t, err)
	same(t, all, []convoy.Project{renamed})
	again := *b
	again.ID = convoy.ProjectID(f.ID(f.Now)) // the name is free again
	ok(t, f.S.CreateProject(ctx, &again))
}

func keys(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	a, b, personal := f.key(p.ID), f.key(p.ID), f.key("")
	b.ExpiresAt = time.Time{}
	personal.Type, personal.UserID = convoy.PersonalKey, "user"
	for _, k := range []*convoy.APIKey{a, b, personal} {
		ok(t, f.S.CreateKey(ctx, k))
	}
	got, err := f.S.KeyByHash(ctx, b.Hash)
	ok(t, err)
	same(t, got, b)
	_, err = f.S.KeyByHash(ctx, [32]byte{1})
	refused(t, err, convoy.NotFound, "api key not found")
	list, err := f.S.Keys(ctx, p.ID)
	ok(t, err)
	same(t, list, []*convoy.APIKey{b, a})
	list, err = f.S.Keys(ctx, "")
	ok(t, err)
	same(t, list, []*convoy.APIKey{personal})
	twin := f.key(p.ID)
	twin.Hash = a.Hash
	refused(t, f.S.CreateKey(ctx, twin), convoy.Conflict, "this api key exists already")

	refused(t, f.S.RevokeKey(ctx, "another", a.ID, f.Now), convoy.NotFound, "api key not found")
	ok(t, f.S.RevokeKey(ctx, p.ID, a.ID, f.Now))
	refused(t, f.S.RevokeKey(ctx, p.ID, a.ID, f.Now), convoy.NotFound, "api key not found")
	got, err = f.S.KeyByHash(ctx, a.Hash)
	ok(t, err)
	if got.Valid(f.Now) || !got.RevokedAt.Equal(f.Now) {
		t.Fatalf("revoked key %+v", got)
	}
	list, err = f.S.Keys(ctx, p.ID)
	ok(t, err)
	same(t, list, []*convoy.APIKey{b})
}
