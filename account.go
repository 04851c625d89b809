package convoy

import (
	"strings"
	"time"
)

// Organisation owns projects.
type Organisation struct {
	ID   OrganisationID
	Name string
	// OwnerID is who made it, and stays its administrator; empty where nobody did.
	OwnerID   UserID
	CreatedAt time.Time
	UpdatedAt time.Time
}

// User is a person who signs in.
type User struct {
	ID        UserID
	FirstName string
	LastName  string
	// Email is in the form of [NormalEmail].
	Email string
	// PasswordHash is empty for people who sign in elsewhere only.
	PasswordHash string
	// EmailVerifiedAt is when it was shown that the address is theirs.
	EmailVerifiedAt time.Time
	// InstanceAdmin may do what concerns all organisations.
	InstanceAdmin bool
	TOTP          TOTP
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// TOTP is a user's second factor (RFC 6238).
type TOTP struct {
	// Secret is the seed in base 32; empty without a second factor.
	Secret string
	// ConfirmedAt is when the first code proved that the user has the seed; it is
	// not asked for before.
	ConfirmedAt time.Time
	// Step is the newest time step of which a code was taken: none works twice.
	Step int64
}

// On reports whether signing in takes a code.
func (t *TOTP) On() bool { return t.Secret != "" && !t.ConfirmedAt.IsZero() }

// NormalEmail is the one spelling of an address that is kept and looked up.
func NormalEmail(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// SignInMethod is how a session was begun.
type SignInMethod string

const (
	ByPassword SignInMethod = "password"
	ByOIDC     SignInMethod = "oidc"
)

// Session is a person who has signed in with some device, until it is signed out
// or not used for long. Its tokens are one family: whoever presents a refresh token
// that was replaced ends them all.
type Session struct {
	ID        SessionID
	UserID    UserID
	Method    SignInMethod
	IP        string
	UserAgent string
	CreatedAt time.Time
	// UsedAt is when it was refreshed last, ExpiresAt when it ends unless it is
	// refreshed again.
	UsedAt    time.Time
	ExpiresAt time.Time
}

// InvitationStatus is what has become of an invitation. The names are wire values.
type InvitationStatus string

const (
	InvitationPending   InvitationStatus = "pending"
	InvitationAccepted  InvitationStatus = "accepted"
	InvitationDeclined  InvitationStatus = "declined"
	InvitationCancelled InvitationStatus = "cancelled"
)

// Invitation asks somebody to become a member of an organisation. Its token is
// kept by its SHA-256.
type Invitation struct {
	ID             InvitationID
	OrganisationID OrganisationID
	InviterID      UserID
	Email          string
	Role           Role
	Hash           [32]byte
	Status         InvitationStatus
	ExpiresAt      time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// RoleType is what a credential may do. The names are wire values.
type RoleType string

const (
	RoleInstanceAdmin     RoleType = "instance_admin"
	RoleOrganisationAdmin RoleType = "organisation_admin"
	RoleBillingAdmin      RoleType = "billing_admin"
	RoleProjectAdmin      RoleType = "project_admin"
	RoleProjectViewer     RoleType = "project_viewer"
)

// Role is a role type and the project it is limited to, if any.
type Role struct {
	Type    RoleType  `json:"type"`
	Project ProjectID `json:"project,omitempty"`
}

// Membership is a user's role in an organisation.
type Membership struct {
	// ID is unique in the organisation.
	ID             MembershipID
	UserID         UserID
	OrganisationID OrganisationID
	Role           Role
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// KeyType tells a project's key from a person's.
type KeyType string

const (
	ProjectKey  KeyType = ""
	PersonalKey KeyType = "personal_key"
)

// APIKey is a credential "CO.<16 alphanumerics>.<64 alphanumerics>". The first
// part is its mask, by which people recognise it; only the SHA-256 of the whole
// is kept. A key carries 380 bits of randomness, so a slow hash adds nothing.
type APIKey struct {
	ID        KeyID
	Name      string
	Mask      string
	Hash      [32]byte
	Type      KeyType
	Role      Role
	UserID    UserID
	ExpiresAt time.Time
	// LastUsedAt is when it was presented last, within some minutes.
	LastUsedAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
	RevokedAt  time.Time
}

// Valid reports whether the key is accepted at the given time.
func (k *APIKey) Valid(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}
