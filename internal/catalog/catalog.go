// Package catalog keeps what the hot path looks up for every event in memory:
// projects with their endpoints, subscriptions and sources, API keys, and for a moment
// the sessions and memberships of persons. The store is
// the truth; a change made in this process is seen at once, one made elsewhere
// within milliseconds of its message on the bus, or within [checkAfter] when the
// message is lost. A project is read whole once; then only what has changed is. The
// package holds no events and decides nothing about routing.
package catalog

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
)

const (
	// checkAfter bounds how long a lost message can leave a project stale: one that
	// is used asks the store for its revision this often, which is one short query.
	checkAfter = 750 * time.Millisecond
	// wholeAfter is the age at which a project is read whole all the same, should a
	// store ever have forgotten a change.
	wholeAfter = 5 * time.Minute
	// maxProjects bounds memory; beyond it an arbitrary entry goes.
	maxProjects = 4096
	// failPause is the wait after a load that failed, so that callers do not
	// queue for a store that hangs. A change ends it.
	failPause = 500 * time.Millisecond
	// loadTimeout bounds one load, whoever waits for it.
	loadTimeout = 5 * time.Second
)

// Bus topics.
const (
	topicProject = "project"
	topicKeys    = "keys"
)

// source is what the catalog reads from the store.
type source interface {
	Project(ctx context.Context, id convoy.ProjectID) (*convoy.Project, error)
	SettingsChanges(ctx context.Context, project convoy.ProjectID, since store.SettingsRevision) (store.SettingsChanges, error)
	AllEndpoints(ctx context.Context, project convoy.ProjectID, ids ...convoy.EndpointID) ([]*convoy.Endpoint, error)
	AllSubscriptions(ctx context.Context, project convoy.ProjectID, ids ...convoy.SubscriptionID) ([]*convoy.Subscription, error)
	AllSources(ctx context.Context, project convoy.ProjectID, ids ...convoy.SourceID) ([]*convoy.Source, error)
	NotedEventTypes(ctx context.Context, project convoy.ProjectID, ids ...convoy.EventTypeID) ([]*convoy.EventType, error)
	SourceByMask(ctx context.Context, mask string) (*convoy.Source, error)
	KeyByHash(ctx context.Context, hash [32]byte) (*convoy.APIKey, error)
	NoteKeysUsed(ctx context.Context, used map[convoy.KeyID]time.Time) error
	PortalLinkByToken(ctx context.Context, token string) (*convoy.PortalLink, error)
	PortalLinkByKey(ctx context.Context, hash [32]byte, now time.Time) (*convoy.PortalLink, error)
	AccessByHash(ctx context.Context, hash [32]byte) (*store.Access, error)
	Membership(ctx context.Context, user convoy.UserID, organisation convoy.OrganisationID) (*convoy.Membership, error)
}

// messenger tells other processes what changed.
type messenger interface {
	Publish(ctx context.Context, topic, msg string) error
	Subscribe(topic string, fn func(msg string))
}

// Catalog is safe for concurrent use.
type Catalog struct {
	src source
	bus messenger
	log *slog.Logger
	now func() time.Time
	// self marks this process's own messages, which it has acted on already.
	self string

	mu       sync.RWMutex // guards the maps, not the entries
	projects map[convoy.ProjectID]*entry
	masks    masks
	keys     keys
	people   people
}

// entry is a project's place in the catalog.
type entry struct {
	// loading is held by whoever loads; mu guards the fields and is never held
	// across a load. Lock order: loading, then mu.
	loading sync.Mutex
	mu      sync.RWMutex
	view    *Project
	// checked is when the store was last asked what has changed, whole when the
	// project was last read whole.
	checked, whole time.Time
	// changes counts invalidations; seen is the count the view includes.
	changes, seen uint64
	// loads counts loads that have ended; failure is the error of the last one,
	// at the given time and count of changes, nil if it went well.
	loads         uint64
	failure       error
	failed        time.Time
	failedChanges uint64
}

// last is what a load that failed leaves: the version before, if there is one.
// e.mu is held.
func (e *entry) last() (*Project, error) {
	if e.view != nil {
		return e.view, nil
	}
	return nil, e.failure
}

// New makes an empty catalog and subscribes it to bus.
func New(src source, bus messenger, log *slog.Logger, now func() time.Time) *Catalog {
	c := &Catalog{
		src: src, bus: bus, log: log, now: now, self: id.New(now()),
		projects: make(map[convoy.ProjectID]*entry),
		masks:    newMasks(),
	}
	bus.Subscribe(topicProject, func(msg string) {
		if msg == "" { // messages may have been missed
			c.invalidateAll()
			return
		}
		if from, project, ok := strings.Cut(msg, " "); ok && from != c.self {
			c.invalidate(convoy.ProjectID(project))
		}
	})
	bus.Subscribe(topicKeys, func(msg string) {
		if msg != c.self {
			c.keys.forget()
		}
	})
	bus.Subscribe(topicPeople, func(msg string) {
		if msg != c.self {
			c.people.forget()
		}
	})
	return c
}

// Changed says that a project, or an endpoint, subscription, source or event type of it, has
// been written. This process sees the change when Changed returns; an error means
// only that others may see it late.
func (c *Catalog) Changed(ctx context.Context, project convoy.ProjectID) error {
	c.invalidate(project)
	return c.bus.Publish(ctx, topicProject, c.self+" "+string(project))
}

// Project returns the project as it is now, or a convoy.NotFound error. While
// the store is down it returns the last version it has.
func (c *Catalog) Project(ctx context.Context, project convoy.ProjectID) (*Project, error) {
	c.mu.RLock()
	e := c.projects[project]
	c.mu.RUnlock()
	if e == nil {
		if !id.Valid(string(project)) {
			return nil, convoy.E(convoy.NotFound, "project not found")
		}
		e = c.entry(project)
	}
	e.mu.RLock()
	view, current, old := e.view, e.seen == e.changes, c.now().Sub(e.checked) > checkAfter
	loads, resting := e.loads, e.failure != nil && e.failedChanges == e.changes && c.now().Sub(e.failed) < failPause
	if resting {
		defer e.mu.RUnlock()
		return e.last()
	}
	e.mu.RUnlock()
	if view != nil && current {
		if !old || !e.loading.TryLock() {
			return view, nil
		}
		// Old but not known to be wrong: one caller asks, others go on.
		defer e.loading.Unlock()
		return c.load(ctx, project, e)
	}
	e.loading.Lock()
	defer e.loading.Unlock()
	e.mu.RLock()
	view, current = e.view, e.seen == e.changes
	if e.loads != loads && e.failure != nil && e.failedChanges == e.changes { // a load failed while this caller waited
		defer e.mu.RUnlock()
		return e.last()
	}
	e.mu.RUnlock()
	if view != nil && current { // loaded while this caller waited
		return view, nil
	}
	return c.load(ctx, project, e)
}

// Reload returns the project as the store has it at this moment. It is for a
// caller that missed something it has reason to expect, such as an endpoint
// made by another process a moment ago.
func (c *Catalog) Reload(ctx context.Context, project convoy.ProjectID) (*Project, error) {
	c.invalidate(project)
	return c.Project(ctx, project)
}

// load reads the project, or what has changed of it; e.loading is held.
func (c *Catalog) load(ctx context.Context, project convoy.ProjectID, e *entry) (*Project, error) {
	e.mu.RLock()
	changes, before, whole := e.changes, e.view, c.now().Sub(e.whole) > wholeAfter
	e.mu.RUnlock()
	// The load serves everybody who waits, so one caller's end does not end it.
	// It is the gateway's own, too: a caller's scope is not that of the project.
	ctx, cancel := context.WithTimeout(store.Whole(context.WithoutCancel(ctx)), loadTimeout)
	defer cancel()
	view, whole, err := c.refresh(ctx, project, before, whole)
	if err != nil {
		if convoy.IsNotFound(err) {
			c.mu.Lock()
			delete(c.projects, project)
			c.mu.Unlock()
			return nil, err
		}
		c.log.Warn("project not refreshed", "project_id", project, "err", err)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.loads++
		e.failure, e.failed, e.failedChanges = convoy.Wrap(convoy.Unavailable, "project cannot be loaded now", err), c.now(), changes
		return e.last()
	}
	e.mu.Lock()
	e.view, e.checked, e.seen = view, c.now(), changes
	if whole {
		e.whole = e.checked
	}
	e.loads++
	e.failure = nil
	e.mu.Unlock()
	return view, nil
}

// refresh returns the project as it is now, given its last version, nil if there
// is none; whole says to read all of it, and whether all has been read.
func (c *Catalog) refresh(ctx context.Context, project convoy.ProjectID, before *Project, whole bool) (_ *Project, isWhole bool, err error) {
	if owner, ok := project.MetaOf(); ok {
		return c.refreshMeta(ctx, owner, before, whole)
	}
	if before != nil && !whole {
		changes, err := c.src.SettingsChanges(ctx, project, before.revision)
		switch {
		case err != nil:
			return nil, false, err
		case changes.Complete && len(changes.Rows) == 0:
			return before, false, nil
		case changes.Complete:
			view, err := c.update(ctx, before, changes)
			return view, false, err
		}
	}
	view, err := c.read(ctx, project, before)
	return view, true, err
}

// read reads a whole project; before is its last version, if there is one.
func (c *Catalog) read(ctx context.Context, project convoy.ProjectID, before *Project) (*Project, error) {
	// What is written from here on has a later revision, and is read again.
	now, err := c.src.SettingsChanges(ctx, project, store.NewestSettings)
	if err != nil {
		return nil, err
	}
	settings, err := c.src.Project(ctx, project)
	if err != nil {
		return nil, err
	}
	var all rows
	if all.endpoints, err = c.src.AllEndpoints(ctx, project); err != nil {
		return nil, err
	}
	subscriptions, err := c.src.AllSubscriptions(ctx, project)
	if err != nil {
		return nil, err
	}
	if all.sources, err = c.src.AllSources(ctx, project); err != nil {
		return nil, err
	}
	if all.eventTypes, err = c.src.NotedEventTypes(ctx, project); err != nil {
		return nil, err
	}
	all.subscriptions = c.compile(subscriptions, before)
	return newProject(now.Revision, settings, all), nil
}

// compile prepares subscriptions; before is the last version of their project, if
// there is one.
func (c *Catalog) compile(subscriptions []*convoy.Subscription, before *Project) []*Subscription {
	list := make([]*Subscription, len(subscriptions))
	for i, s := range subscriptions {
		var old *Subscription
		if before != nil {
			old, _ = before.subscriptions.get(s.ID)
		}
		list[i] = compile(s, old)
		if err := list[i].Broken; err != nil && (old == nil || old.Broken != err) { //nolint:errorlint // the very one was logged
			c.log.Error("subscription takes nothing: its filter cannot be read", "subscription_id", s.ID, "project_id", s.ProjectID, "err", err)
		}
	}
	return list
}

func (c *Catalog) entry(project convoy.ProjectID) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.projects[project]
	if e == nil {
		evict(c.projects, maxProjects)
		e = &entry{changes: 1}
		c.projects[project] = e
	}
	return e
}

// invalidate is for a project and for that of its meta events.
func (c *Catalog) invalidate(project convoy.ProjectID) {
	c.mu.Lock()
	entries := [...]*entry{c.projects[project], c.projects[project.Meta()]}
	c.masks.changed()
	c.mu.Unlock()
	for _, e := range entries {
		if e != nil {
			e.mu.Lock()
			e.changes++
			e.mu.Unlock()
		}
	}
}

func (c *Catalog) invalidateAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.masks.changed()
	for _, e := range c.projects {
		e.mu.Lock()
		e.changes++
		e.mu.Unlock()
	}
}

// evict makes room for one more in a map of at most max.
func evict[K comparable, V any](m map[K]V, max int) {
	for k := range m {
		if len(m) < max {
			return
		}
		delete(m, k)
	}
}
