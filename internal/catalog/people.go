package catalog

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"convoy"
	"convoy/internal/store"
)

const (
	// peopleTTL bounds how long a lost message can leave standing what a person may
	// do no more.
	peopleTTL = 750 * time.Millisecond
	// maxRecent bounds the memory of one [recent].
	maxRecent = 16384
	// topicPeople says that sessions, memberships or portal links have changed.
	topicPeople = "people"
)

// people is what the catalog keeps of persons.
type people struct {
	sessions    recent[[sha256.Size]byte, *store.Access]
	memberships recent[membership, *convoy.Membership]
	links       recent[[sha256.Size]byte, *convoy.PortalLink]
}

type membership struct {
	user         convoy.UserID
	organisation convoy.OrganisationID
}

func (p *people) forget() {
	p.sessions.forget()
	p.memberships.forget()
	p.links.forget()
}

// Session returns whom an access token speaks for now, or a convoy.NotFound error.
func (c *Catalog) Session(ctx context.Context, token string) (*store.Access, error) {
	hash := sha256.Sum256([]byte(token))
	a, err := c.people.sessions.get(c.now(), hash, func() (*store.Access, error) {
		ctx, cancel := context.WithTimeout(ctx, loadTimeout)
		defer cancel()
		return c.src.AccessByHash(ctx, hash)
	})
	if err != nil {
		return nil, unknown(err, "credentials cannot be checked now")
	}
	if !c.now().Before(a.ExpiresAt) {
		return nil, convoy.E(convoy.NotFound, "session not found")
	}
	return a, nil
}

// Membership returns a user's role in an organisation, or a convoy.NotFound error.
func (c *Catalog) Membership(ctx context.Context, user convoy.UserID, organisation convoy.OrganisationID) (*convoy.Membership, error) {
	m, err := c.people.memberships.get(c.now(), membership{user, organisation}, func() (*convoy.Membership, error) {
		ctx, cancel := context.WithTimeout(ctx, loadTimeout)
		defer cancel()
		return c.src.Membership(ctx, user, organisation)
	})
	if err != nil {
		return nil, unknown(err, "membership cannot be checked now")
	}
	return m, nil
}

// PortalLink returns the link that a static token opens now, or with byKey a key
// that was made of a link, or a convoy.NotFound error.
func (c *Catalog) PortalLink(ctx context.Context, token string, byKey bool) (*convoy.PortalLink, error) {
	hash := sha256.Sum256([]byte(token))
	l, err := c.people.links.get(c.now(), hash, func() (*convoy.PortalLink, error) {
		ctx, cancel := context.WithTimeout(ctx, loadTimeout)
		defer cancel()
		if byKey {
			return c.src.PortalLinkByKey(ctx, hash, c.now())
		}
		return c.src.PortalLinkByToken(ctx, token)
	})
	if err != nil {
		return nil, unknown(err, "credentials cannot be checked now")
	}
	return l, nil
}

// PeopleChanged says that a session has ended, or a membership or a portal link has
// been written.
func (c *Catalog) PeopleChanged(ctx context.Context) error {
	c.people.forget()
	return c.bus.Publish(ctx, topicPeople, c.self)
}

// unknown passes what is known not to be, and says of another error that it is not
// known: a right is never older than [peopleTTL], whatever the store does.
func unknown(err error, msg string) error {
	if convoy.IsNotFound(err) {
		return err
	}
	return convoy.Wrap(convoy.Unavailable, msg, err)
}

// recent keeps values for [peopleTTL]. What does not exist is not kept, since it
// may come to exist at any time. The zero value is empty.
type recent[K comparable, V any] struct {
	mu      sync.RWMutex
	values  map[K]recentValue[V]
	changes uint64 // counts forget; what was read before one is not kept after it
}

type recentValue[V any] struct {
	value  V
	loaded time.Time
}

// get returns a value that is not too old, else a new one from load.
func (r *recent[K, V]) get(now time.Time, key K, load func() (V, error)) (V, error) {
	r.mu.RLock()
	e, ok := r.values[key]
	changes := r.changes
	r.mu.RUnlock()
	if ok && now.Sub(e.loaded) <= peopleTTL {
		return e.value, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes == changes {
		if r.values == nil {
			r.values = make(map[K]recentValue[V])
		}
		evict(r.values, maxRecent)
		r.values[key] = recentValue[V]{v, now}
	}
	return v, nil
}

func (r *recent[K, V]) forget() {
	r.mu.Lock()
	clear(r.values)
	r.changes++
	r.mu.Unlock()
}
