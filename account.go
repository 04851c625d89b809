package convoy

import "time"

// Organisation owns projects.
type Organisation struct {
	ID        OrganisationID
	Name      string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// User is a person who signs in.
type User struct {
	ID           UserID
	FirstName    string
	LastName     string
	Email        string
	PasswordHash string
	CreatedAt    time.Time
	UpdatedAt    time.Time
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
	UserID         UserID
	OrganisationID OrganisationID
	Role           Role
	CreatedAt      time.Time
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
	CreatedAt time.Time
	UpdatedAt time.Time
	RevokedAt time.Time
}

// Valid reports whether the key is accepted at the given time.
func (k *APIKey) Valid(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}
