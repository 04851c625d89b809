package convoy

import "time"

// PortalLinkID is a ULID.
type PortalLinkID string

// PortalAuth is how a portal link proves who its visitor is.
type PortalAuth string

const (
	// PortalStatic is a token that lasts until the link is revoked.
	PortalStatic PortalAuth = "static_token"
	// PortalRefresh is a token that lasts an hour and is made anew by the link's
	// project.
	PortalRefresh PortalAuth = "refresh_token"
)

// PortalKeyLife is how long a key of a refreshing portal link lasts.
const PortalKeyLife = time.Hour

// PortalLink lets one owner of endpoints look at them.
type PortalLink struct {
	ID        PortalLinkID
	ProjectID ProjectID
	Name      string
	// OwnerID is whose endpoints the link shows.
	OwnerID string
	Auth    PortalAuth
	// CanManage allows the owner to change its endpoints too.
	CanManage bool
	// Token is the static token; a refreshing link has one too, which opens
	// nothing.
	Token string
	// Endpoints are those that were named when the link was written.
	Endpoints []EndpointID
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time
}

// PortalKey is a short-lived key of a refreshing link, as it is kept.
type PortalKey struct {
	Hash      [32]byte
	LinkID    PortalLinkID
	ExpiresAt time.Time
}
