package signin

import (
	"context"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
)

// Newcomer is somebody who makes an account.
type Newcomer struct {
	FirstName, LastName, Email, Password string
	// Organisation is the name of the one that they make with it.
	Organisation string
}

// SignUp makes an account with an organisation of its own, and a session.
func (d *Desk) SignUp(ctx context.Context, n Newcomer, v Visit) (*convoy.User, Tokens, error) {
	if !d.Config.SignUp {
		return nil, Tokens{}, convoy.E(convoy.Forbidden, "user registration is disabled")
	}
	u, err := d.user(ctx, n)
	if err != nil {
		return nil, Tokens{}, err
	}
	org, member := Found(u, n.Organisation)
	err = d.Store.Setup(ctx, store.Setup{Organisation: org, User: u, Membership: member})
	if convoy.KindOf(err) == convoy.Conflict {
		return nil, Tokens{}, convoy.Wrap(convoy.Invalid, "this email is taken", err)
	}
	if err != nil {
		return nil, Tokens{}, err
	}
	d.Verify(ctx, u.ID)
	t, err := d.begin(ctx, u.ID, convoy.ByPassword, v)
	return u, t, err
}

// user makes the user that a newcomer will be.
func (d *Desk) user(ctx context.Context, n Newcomer) (*convoy.User, error) {
	hash, err := d.hash(ctx, n.Password)
	if err != nil {
		return nil, err
	}
	return newUser(n, hash, d.now()), nil
}

func newUser(n Newcomer, hash string, now time.Time) *convoy.User {
	return &convoy.User{
		ID: convoy.UserID(id.New(now)), FirstName: n.FirstName, LastName: n.LastName, Email: convoy.NormalEmail(n.Email), PasswordHash: hash,
		CreatedAt: now, UpdatedAt: now,
	}
}

// Found makes an organisation that a user owns, as of the user's last change.
func Found(u *convoy.User, name string) (*convoy.Organisation, *convoy.Membership) {
	now := u.UpdatedAt
	org := &convoy.Organisation{ID: convoy.OrganisationID(id.New(now)), Name: name, OwnerID: u.ID, CreatedAt: now, UpdatedAt: now}
	return org, &convoy.Membership{
		ID: convoy.MembershipID(id.New(now)), UserID: u.ID, OrganisationID: org.ID, Role: convoy.Role{Type: convoy.RoleOrganisationAdmin},
		CreatedAt: now, UpdatedAt: now,
	}
}
