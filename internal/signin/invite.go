package signin

import (
	"context"
	"strings"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/id"
)

// inviteLife is how long an invitation can be answered.
const inviteLife = 14 * 24 * time.Hour

// Invite asks somebody to join an organisation, by mail. Where no mail can be sent
// it returns the token, for who invites to pass on.
func (d *Desk) Invite(ctx context.Context, org *convoy.Organisation, v *convoy.Invitation) (token string, err error) {
	token = auth.NewMailToken()
	now := d.now()
	v.ID, v.OrganisationID, v.Hash, v.Status = convoy.InvitationID(id.New(now)), org.ID, auth.Hash(token), convoy.InvitationPending
	v.ExpiresAt, v.CreatedAt, v.UpdatedAt = now.Add(inviteLife), now, now
	if err := d.Store.CreateInvitation(ctx, v); err != nil {
		return "", err
	}
	return d.sendInvite(ctx, org, v, token)
}

// Reinvite sends an invitation once more, with another token and all its time.
func (d *Desk) Reinvite(ctx context.Context, org *convoy.Organisation, v *convoy.Invitation) (token string, err error) {
	token = auth.NewMailToken()
	now := d.now()
	v.Hash, v.ExpiresAt, v.UpdatedAt = auth.Hash(token), now.Add(inviteLife), now
	if err := d.Store.RenewInvitation(ctx, v); err != nil {
		return "", err
	}
	return d.sendInvite(ctx, org, v, token)
}

func (d *Desk) sendInvite(ctx context.Context, org *convoy.Organisation, v *convoy.Invitation, token string) (string, error) {
	if d.Mail == nil {
		return token, nil
	}
	ok, err := d.mayMail(ctx, v.Email, "invite")
	if err != nil {
		return "", convoy.Wrap(convoy.Unavailable, "the mail cannot be sent now", err)
	}
	if !ok {
		return "", &convoy.Error{Kind: convoy.Limited, Msg: "too many mails to this address, try again later", RetryAfter: time.Hour / mailsPerHour}
	}
	name := strings.Join(strings.Fields(org.Name), " ")
	d.mail(ctx, v.Email, "You are invited", "You are invited to the organisation \""+name+"\". Open this link within 14 days to answer:\n\n"+d.link("accept-invite", token))
	return "", nil
}

// Invited is an invitation as whoever has its token sees it.
type Invited struct {
	Invitation   *convoy.Invitation
	Organisation *convoy.Organisation
	// User is the one with the address; nil when there is none yet.
	User *convoy.User
}

// Invited returns the pending invitation with a token.
func (d *Desk) Invited(ctx context.Context, token string) (*Invited, error) {
	if !auth.IsMailToken(token) {
		return nil, errMailToken
	}
	v, err := d.Store.InvitationByHash(ctx, auth.Hash(token))
	if convoy.IsNotFound(err) || err == nil && (v.Status != convoy.InvitationPending || !d.now().Before(v.ExpiresAt)) {
		return nil, errMailToken
	}
	if err != nil {
		return nil, err
	}
	org, err := d.Store.Organisation(ctx, v.OrganisationID)
	if convoy.IsNotFound(err) {
		return nil, errMailToken
	}
	if err != nil {
		return nil, err
	}
	u, err := d.Store.UserByEmail(ctx, v.Email)
	if err != nil && !convoy.IsNotFound(err) {
		return nil, err
	}
	if err != nil {
		u = nil
	}
	return &Invited{v, org, u}, nil
}

// Decline answers an invitation with no.
func (d *Desk) Decline(ctx context.Context, in *Invited) error {
	v := in.Invitation
	return refused(d.Store.CloseInvitation(ctx, v.OrganisationID, v.ID, convoy.InvitationDeclined, d.now()))
}

// Join makes a member of a user who exists: the one who is signed in, or whose
// credentials are given.
func (d *Desk) Join(ctx context.Context, in *Invited, signedIn convoy.UserID, c Credentials, v Visit) error {
	if signedIn != in.User.ID {
		c.Email = in.User.Email
		if _, err := d.check(ctx, c, v); err != nil {
			return err
		}
	}
	return d.join(ctx, in, in.User, false)
}

// JoinNew makes a member of somebody who has no account yet.
func (d *Desk) JoinNew(ctx context.Context, in *Invited, n Newcomer) (*convoy.User, error) {
	n.Email = in.Invitation.Email
	u, err := d.user(ctx, n)
	if err != nil {
		return nil, err
	}
	if d.Mail != nil { // else who invited may have kept the token
		u.EmailVerifiedAt = u.CreatedAt
	}
	return u, d.join(ctx, in, u, true)
}

func (d *Desk) join(ctx context.Context, in *Invited, u *convoy.User, isNew bool) error {
	now := d.now()
	m := &convoy.Membership{
		ID: convoy.MembershipID(id.New(now)), UserID: u.ID, OrganisationID: in.Organisation.ID, Role: in.Invitation.Role, CreatedAt: now, UpdatedAt: now,
	}
	if err := refused(d.Store.AcceptInvitation(ctx, in.Invitation.Hash, u, isNew, m)); err != nil {
		return err
	}
	d.Log.InfoContext(ctx, "member.joined", "user_id", u.ID, "organisation_id", m.OrganisationID)
	d.told(ctx)
	return nil
}

// refused is for an invitation that somebody else has just answered.
func refused(err error) error {
	if convoy.IsNotFound(err) {
		return errMailToken
	}
	return err
}
