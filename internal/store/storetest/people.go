package storetest

import (
	"crypto/sha256"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

func token(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func users(t *testing.T, f *Fixture) {
	ctx := t.Context()
	u := f.user()
	u.InstanceAdmin, u.EmailVerifiedAt = true, f.Now
	u.TOTP = convoy.TOTP{Secret: "s", ConfirmedAt: f.Now, Step: 7}
	ok(t, f.S.CreateUser(ctx, u))
	got, err := f.S.User(ctx, u.ID)
	ok(t, err)
	same(t, got, u)
	other := f.user()
	ok(t, f.S.CreateUser(ctx, other))

	u.FirstName, u.LastName, u.Email, u.EmailVerifiedAt, u.UpdatedAt = "Grace", "Hopper", "grace@example.com", time.Time{}, f.Now.Add(time.Second)
	ok(t, f.S.UpdateProfile(ctx, u))
	got, err = f.S.UserByEmail(ctx, "grace@example.com")
	ok(t, err)
	same(t, got, u)
	twin := *u
	twin.Email = other.Email
	refused(t, f.S.UpdateProfile(ctx, &twin), convoy.Conflict, "a user with this email already exists")
	twin.ID = "nobody"
	twin.Email = "nobody@example.com"
	refused(t, f.S.UpdateProfile(ctx, &twin), convoy.NotFound, "user not found")
	refused(t, f.S.SetPassword(ctx, "nobody", "x", "", f.Now), convoy.NotFound, "user not found")

	a, b := f.session(t, u.ID), f.session(t, u.ID)
	ok(t, f.S.SetPassword(ctx, u.ID, "hash 2", b.ID, f.Now))
	got, err = f.S.User(ctx, u.ID)
	ok(t, err)
	if got.PasswordHash != "hash 2" {
		t.Fatalf("password hash %q", got.PasswordHash)
	}
	list, err := f.S.Sessions(ctx, u.ID, f.Now)
	ok(t, err)
	same(t, list, []*convoy.Session{b})
	_, err = f.S.AccessByHash(ctx, token("access "+string(a.ID)))
	refused(t, err, convoy.NotFound, "session not found")
}

func userTokens(t *testing.T, f *Fixture) {
	ctx := t.Context()
	u := f.user()
	ok(t, f.S.CreateUser(ctx, u))
	put := func(name string, purpose store.TokenPurpose, email string) {
		ok(t, f.S.PutUserToken(ctx, store.UserToken{
			Hash: token(name), UserID: u.ID, Purpose: purpose, Email: email, CreatedAt: f.Now, ExpiresAt: f.Now.Add(time.Hour),
		}))
	}
	put("old", store.TokenReset, u.Email)
	put("new", store.TokenReset, u.Email)
	put("verify", store.TokenVerify, u.Email)
	f.session(t, u.ID)
	reset := func(name string, at time.Time) error {
		_, err := f.S.ResetPassword(ctx, token(name), "hash of "+name, at)
		return err
	}
	refused(t, reset("old", f.Now), convoy.NotFound, "token not found")
	refused(t, reset("verify", f.Now), convoy.NotFound, "token not found")
	refused(t, reset("new", f.Now.Add(time.Hour)), convoy.NotFound, "token not found")
	got, err := f.S.User(ctx, u.ID)
	ok(t, err)
	same(t, got, u)

	errs := together(8, func(int) error { return reset("new", f.Now) })
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !convoy.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	if done != 1 {
		t.Fatalf("a token was used %d times", done)
	}
	got, err = f.S.User(ctx, u.ID)
	ok(t, err)
	if got.PasswordHash != "hash of new" || !got.EmailVerifiedAt.Equal(f.Now) {
		t.Fatalf("after the reset %+v", got)
	}
	list, err := f.S.Sessions(ctx, u.ID, f.Now)
	ok(t, err)
	same(t, list, []*convoy.Session{})

	refused(t, f.S.VerifyEmail(ctx, token("unknown"), f.Now), convoy.NotFound, "token not found")
	put("elsewhere", store.TokenVerify, "old@example.com") // takes the place of "verify"
	refused(t, f.S.VerifyEmail(ctx, token("verify"), f.Now), convoy.NotFound, "token not found")
	refused(t, f.S.VerifyEmail(ctx, token("elsewhere"), f.Now), convoy.NotFound, "token not found")
	u.EmailVerifiedAt = time.Time{}
	ok(t, f.S.UpdateProfile(ctx, u))
	put("mine", store.TokenVerify, u.Email)
	ok(t, f.S.VerifyEmail(ctx, token("mine"), f.Now))
	got, err = f.S.User(ctx, u.ID)
	ok(t, err)
	if !got.EmailVerifiedAt.Equal(f.Now) {
		t.Fatalf("verified at %v", got.EmailVerifiedAt)
	}
	put("forgotten", store.TokenReset, u.Email)
	n, err := f.S.ForgetUserTokens(ctx, f.Now, 10)
	ok(t, err)
	m, err := f.S.ForgetUserTokens(ctx, f.Now.Add(time.Hour), 10)
	ok(t, err)
	if n != 0 || m != 1 {
		t.Fatalf("forgot %d and %d tokens", n, m)
	}
}

func totp(t *testing.T, f *Fixture) {
	ctx := t.Context()
	u := f.user()
	ok(t, f.S.CreateUser(ctx, u))
	ok(t, f.S.PutTOTP(ctx, u.ID, "first", f.Now))
	ok(t, f.S.PutTOTP(ctx, u.ID, "second", f.Now))
	on := convoy.TOTP{Secret: "first", ConfirmedAt: f.Now, Step: 5}
	refused(t, f.S.ConfirmTOTP(ctx, u.ID, on, nil), convoy.Conflict, "two-factor authentication is on already")
	on.Secret = "second"
	ok(t, f.S.ConfirmTOTP(ctx, u.ID, on, [][32]byte{token("a"), token("b")}))
	refused(t, f.S.PutTOTP(ctx, u.ID, "third", f.Now), convoy.Conflict, "two-factor authentication is on already")
	got, err := f.S.User(ctx, u.ID)
	ok(t, err)
	same(t, got.TOTP, on)
	for step, want := range map[int64]bool{4: false, 5: false} {
		if took, err := f.S.SpendTOTP(ctx, u.ID, step); err != nil || took != want {
			t.Fatalf("step %d: %v, %v", step, took, err)
		}
	}
	spend := func(fn func() (bool, error)) int {
		var took [8]bool
		for _, err := range together(len(took), func(i int) (err error) { took[i], err = fn(); return err }) {
			ok(t, err)
		}
		n := 0
		for _, b := range took {
			if b {
				n++
			}
		}
		return n
	}
	if n := spend(func() (bool, error) { return f.S.SpendTOTP(ctx, u.ID, 6) }); n != 1 {
		t.Fatalf("a code was taken %d times", n)
	}
	if n := spend(func() (bool, error) { return f.S.SpendRecoveryCode(ctx, u.ID, token("a")) }); n != 1 {
		t.Fatalf("a recovery code was taken %d times", n)
	}
	ok(t, f.S.RemoveTOTP(ctx, u.ID, f.Now))
	if took, err := f.S.SpendRecoveryCode(ctx, u.ID, token("b")); err != nil || took {
		t.Fatalf("a recovery code outlives its factor: %v", err)
	}
	got, err = f.S.User(ctx, u.ID)
	ok(t, err)
	same(t, got, u)
	refused(t, f.S.RemoveTOTP(ctx, "nobody", f.Now), convoy.NotFound, "user not found")
}

func members(t *testing.T, f *Fixture) {
	ctx := t.Context()
	o := f.organisation()
	owner, second, third := f.user(), f.user(), f.user()
	o.OwnerID = owner.ID
	ok(t, f.S.CreateOrganisation(ctx, o))
	join := func(u *convoy.User, role convoy.RoleType) *store.Member {
		ok(t, f.S.CreateUser(ctx, u))
		m := convoy.Membership{
			ID: convoy.MembershipID(f.ID(f.Now)), UserID: u.ID, OrganisationID: o.ID, Role: convoy.Role{Type: role}, CreatedAt: f.Now, UpdatedAt: f.Now,
		}
		ok(t, f.S.CreateMembership(ctx, &m))
		return &store.Member{Membership: m, FirstName: u.FirstName, LastName: u.LastName, Email: u.Email}
	}
	a, b, c := join(owner, convoy.RoleOrganisationAdmin), join(second, convoy.RoleOrganisationAdmin), join(third, convoy.RoleProjectViewer)
	page, err := f.S.Members(ctx, o.ID, "", store.Page{PerPage: 2})
	ok(t, err)
	same(t, page.Items, []*store.Member{c, b})
	page, err = f.S.Members(ctx, o.ID, "", store.Page{PerPage: 2, Cursor: page.NextCursor})
	ok(t, err)
	same(t, page.Items, []*store.Member{a})
	page, err = f.S.Members(ctx, o.ID, second.ID, store.Page{})
	ok(t, err)
	same(t, page.Items, []*store.Member{b})
	page, err = f.S.Members(ctx, "another", "", store.Page{})
	ok(t, err)
	same(t, page.Items, []*store.Member{})
	got, err := f.S.Member(ctx, o.ID, c.ID)
	ok(t, err)
	same(t, got, c)
	_, err = f.S.Member(ctx, "another", c.ID)
	refused(t, err, convoy.NotFound, "membership not found")

	role := convoy.Role{Type: convoy.RoleProjectAdmin, Project: "p"}
	ok(t, f.S.SetRole(ctx, o.ID, c.ID, role, f.Now.Add(time.Second)))
	c.Role, c.UpdatedAt = role, f.Now.Add(time.Second)
	got, err = f.S.Member(ctx, o.ID, c.ID)
	ok(t, err)
	same(t, got, c)
	refused(t, f.S.SetRole(ctx, o.ID, "nobody", role, f.Now), convoy.NotFound, "membership not found")
	refused(t, f.S.SetRole(ctx, o.ID, a.ID, role, f.Now), convoy.Forbidden, "cannot deactivate organisation owner")
	refused(t, f.S.RemoveMember(ctx, o.ID, a.ID), convoy.Forbidden, "cannot deactivate organisation owner")
	refused(t, f.S.RemoveMember(ctx, "another", c.ID), convoy.NotFound, "organisation not found")
	ok(t, f.S.RemoveMember(ctx, o.ID, c.ID))
	refused(t, f.S.RemoveMember(ctx, o.ID, c.ID), convoy.NotFound, "membership not found")
	ok(t, f.S.RemoveMember(ctx, o.ID, b.ID))
}

// Two administrators of an organisation without an owner cannot both remove the
// other.
func memberRace(t *testing.T, f *Fixture) {
	ctx := t.Context()
	for range 10 {
		o := f.organisation()
		ok(t, f.S.CreateOrganisation(ctx, o))
		var ids [2]convoy.MembershipID
		for i := range ids {
			u := f.user()
			ok(t, f.S.CreateUser(ctx, u))
			ids[i] = convoy.MembershipID(u.ID)
			ok(t, f.S.CreateMembership(ctx, &convoy.Membership{UserID: u.ID, OrganisationID: o.ID, Role: convoy.Role{Type: convoy.RoleOrganisationAdmin}, CreatedAt: f.Now}))
		}
		errs := together(2, func(i int) error {
			if i == 0 {
				return f.S.RemoveMember(ctx, o.ID, ids[0])
			}
			return f.S.SetRole(ctx, o.ID, ids[1], convoy.Role{Type: convoy.RoleProjectViewer}, f.Now)
		})
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("errors %v", errs)
		}
		for _, err := range errs {
			if err != nil {
				refused(t, err, convoy.Forbidden, "an organisation needs an administrator")
			}
		}
	}
}

func organisationsOf(t *testing.T, f *Fixture) {
	ctx := t.Context()
	u := f.user()
	ok(t, f.S.CreateUser(ctx, u))
	var mine []*convoy.Organisation
	for i := range 3 {
		o := f.organisation()
		o.OwnerID = u.ID
		ok(t, f.S.CreateOrganisation(ctx, o))
		if i < 2 {
			ok(t, f.S.CreateMembership(ctx, &convoy.Membership{UserID: u.ID, OrganisationID: o.ID, CreatedAt: f.Now}))
			mine = append([]*convoy.Organisation{o}, mine...)
		}
	}
	page, total, err := f.S.OrganisationsOf(ctx, u.ID, store.Page{PerPage: 1})
	ok(t, err)
	same(t, page.Items, mine[:1])
	if total != 2 || !page.HasNext {
		t.Fatalf("total %d, next %v", total, page.HasNext)
	}
	o := mine[0]
	o.Name, o.UpdatedAt = "renamed", f.Now.Add(time.Second)
	ok(t, f.S.UpdateOrganisation(ctx, o))
	got, err := f.S.Organisation(ctx, o.ID)
	ok(t, err)
	same(t, got, o)

	p := f.Project(t)
	moved := *p
	moved.ID, moved.OrganisationID = convoy.ProjectID(f.ID(f.Now)), o.ID
	ok(t, f.S.CreateProject(ctx, &moved))
	gone, err := f.S.DeleteOrganisation(ctx, o.ID, f.Now)
	ok(t, err)
	same(t, gone, []convoy.ProjectID{moved.ID})
	_, err = f.S.Project(ctx, moved.ID)
	refused(t, err, convoy.NotFound, "project not found")
	_, err = f.S.Organisation(ctx, o.ID)
	refused(t, err, convoy.NotFound, "organisation not found")
	_, err = f.S.Membership(ctx, u.ID, o.ID)
	refused(t, err, convoy.NotFound, "membership not found")
	_, err = f.S.DeleteOrganisation(ctx, o.ID, f.Now)
	refused(t, err, convoy.NotFound, "organisation not found")
	refused(t, f.S.UpdateOrganisation(ctx, o), convoy.NotFound, "organisation not found")
	_, total, err = f.S.OrganisationsOf(ctx, u.ID, store.Page{})
	if err != nil || total != 1 {
		t.Fatalf("total %d, %v", total, err)
	}
}

func invitations(t *testing.T, f *Fixture) {
	ctx := t.Context()
	invite := func(email string) *convoy.Invitation {
		i := convoy.InvitationID(f.ID(f.Now))
		return &convoy.Invitation{
			ID: i, OrganisationID: "org", InviterID: "user", Email: email, Role: convoy.Role{Type: convoy.RoleProjectViewer, Project: "p"},
			Hash: token(string(i)), Status: convoy.InvitationPending, ExpiresAt: f.Now.Add(time.Hour), CreatedAt: f.Now, UpdatedAt: f.Now,
		}
	}
	a, b := invite("a@example.com"), invite("b@example.com")
	ok(t, f.S.CreateInvitation(ctx, a))
	ok(t, f.S.CreateInvitation(ctx, b))
	got, err := f.S.Invitation(ctx, "org", a.ID)
	ok(t, err)
	same(t, got, a)
	_, err = f.S.Invitation(ctx, "another", a.ID)
	refused(t, err, convoy.NotFound, "invitation not found")
	got, err = f.S.InvitationByHash(ctx, b.Hash)
	ok(t, err)
	same(t, got, b)
	page, err := f.S.Invitations(ctx, "org", store.Page{})
	ok(t, err)
	same(t, page.Items, []*convoy.Invitation{b, a})
	refused(t, f.S.CreateInvitation(ctx, invite("a@example.com")), convoy.Conflict, "an invite for this email exists")

	was := a.Hash
	a.Hash, a.ExpiresAt, a.UpdatedAt = token("renewed"), f.Now.Add(2*time.Hour), f.Now.Add(time.Second)
	ok(t, f.S.RenewInvitation(ctx, a))
	_, err = f.S.InvitationByHash(ctx, was)
	refused(t, err, convoy.NotFound, "invitation not found")
	ok(t, f.S.CloseInvitation(ctx, "org", b.ID, convoy.InvitationCancelled, f.Now))
	refused(t, f.S.CloseInvitation(ctx, "org", b.ID, convoy.InvitationCancelled, f.Now), convoy.NotFound, "invitation not found")
	refused(t, f.S.RenewInvitation(ctx, b), convoy.NotFound, "invitation not found")

	u := f.user()
	u.Email = a.Email
	m := &convoy.Membership{ID: convoy.MembershipID(f.ID(f.Now)), UserID: u.ID, OrganisationID: "org", Role: a.Role, CreatedAt: f.Now, UpdatedAt: f.Now}
	late := *m
	late.CreatedAt = a.ExpiresAt
	refused(t, f.S.AcceptInvitation(ctx, a.Hash, u, true, &late), convoy.NotFound, "invitation not found")
	stranger := *u
	stranger.Email = "c@example.com"
	refused(t, f.S.AcceptInvitation(ctx, a.Hash, &stranger, true, m), convoy.NotFound, "invitation not found")
	done := 0
	for _, err := range together(4, func(int) error { return f.S.AcceptInvitation(ctx, a.Hash, u, true, m) }) {
		if err == nil {
			done++
		} else if !convoy.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	if done != 1 {
		t.Fatalf("accepted %d times", done)
	}
	member, err := f.S.Member(ctx, "org", m.ID)
	ok(t, err)
	same(t, member.Membership, m)

	// One that has expired makes room; a user who exists joins.
	c := invite(a.Email)
	c.OrganisationID, c.ExpiresAt = "second", f.Now
	ok(t, f.S.CreateInvitation(ctx, c))
	d := invite(a.Email)
	d.OrganisationID = "second"
	ok(t, f.S.CreateInvitation(ctx, d))
	n := *m
	n.OrganisationID = "second"
	ok(t, f.S.AcceptInvitation(ctx, d.Hash, u, false, &n))
	_, err = f.S.Membership(ctx, u.ID, "second")
	ok(t, err)
}

func peoplesKeys(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	mine, theirs, first, second := f.key(""), f.key(""), f.key(p.ID), f.key(p.ID)
	mine.Type, mine.UserID = convoy.PersonalKey, "me"
	theirs.Type, theirs.UserID = convoy.PersonalKey, "them"
	second.ExpiresAt = f.Now.Add(time.Minute)
	for _, k := range []*convoy.APIKey{mine, theirs, first, second} {
		ok(t, f.S.CreateKey(ctx, k))
	}
	list, err := f.S.PersonalKeys(ctx, "me")
	ok(t, err)
	same(t, list, []*convoy.APIKey{mine})
	list, err = f.S.PersonalKeys(ctx, "")
	ok(t, err)
	same(t, list, []*convoy.APIKey{})
	refused(t, f.S.RevokePersonalKey(ctx, "me", theirs.ID, f.Now), convoy.NotFound, "api key not found")
	refused(t, f.S.RevokePersonalKey(ctx, "", first.ID, f.Now), convoy.NotFound, "api key not found")
	ok(t, f.S.RevokePersonalKey(ctx, "me", mine.ID, f.Now))
	refused(t, f.S.RevokePersonalKey(ctx, "me", mine.ID, f.Now), convoy.NotFound, "api key not found")

	ok(t, f.S.NoteKeysUsed(ctx, map[convoy.KeyID]time.Time{first.ID: f.Now.Add(time.Minute), "none": f.Now}))
	ok(t, f.S.NoteKeysUsed(ctx, map[convoy.KeyID]time.Time{first.ID: f.Now}))
	got, err := f.S.KeyByHash(ctx, first.Hash)
	ok(t, err)
	if !got.LastUsedAt.Equal(f.Now.Add(time.Minute)) {
		t.Fatalf("last used at %v", got.LastUsedAt)
	}

	third := f.key(p.ID)
	end := f.Now.Add(10 * time.Minute)
	ok(t, f.S.ReplaceKeys(ctx, third, end, f.Now))
	ends := func(k *convoy.APIKey) time.Time {
		got, err := f.S.KeyByHash(ctx, k.Hash)
		ok(t, err)
		return got.ExpiresAt
	}
	if !ends(first).Equal(end) || !ends(second).Equal(f.Now.Add(time.Minute)) || !ends(third).Equal(third.ExpiresAt) || !ends(theirs).Equal(theirs.ExpiresAt) {
		t.Fatal("the ends of the keys that were replaced")
	}
	fourth := f.key(p.ID)
	ok(t, f.S.ReplaceKeys(ctx, fourth, f.Now, f.Now))
	list, err = f.S.Keys(ctx, p.ID)
	ok(t, err)
	same(t, list, []*convoy.APIKey{fourth})
}

// identities have a provider's person be one user for good.
func identities(t *testing.T, f *Fixture) {
	ctx := t.Context()
	u, other := f.user(), f.user()
	ok(t, f.S.CreateUser(ctx, u))
	ok(t, f.S.CreateUser(ctx, other))
	_, err := f.S.UserByIdentity(ctx, "https://a", "1")
	refused(t, err, convoy.NotFound, "user not found")
	link := store.Identity{Issuer: "https://a", Subject: "1", UserID: u.ID, Email: u.Email, CreatedAt: f.Now}
	ok(t, f.S.LinkIdentity(ctx, link))
	link.UserID = other.ID
	refused(t, f.S.LinkIdentity(ctx, link), convoy.Conflict, "somebody else is this person already")
	link.Issuer = "https://b"
	ok(t, f.S.LinkIdentity(ctx, link))
	for issuer, want := range map[string]*convoy.User{"https://a": u, "https://b": other} {
		got, err := f.S.UserByIdentity(ctx, issuer, "1")
		ok(t, err)
		same(t, got, want)
	}
}
