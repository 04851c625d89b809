package catalog

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"convoy"
	"convoy/internal/store"
	"convoy/internal/urltemplate"
)

// update reads what has changed of a project since its last version and makes
// the next. The work is that of the rows that were written, not of the project;
// but lists that have a changed row are copied.
func (c *Catalog) update(ctx context.Context, before *Project, changes store.SettingsChanges) (*Project, error) {
	var (
		ids     written
		project = before.settings.ID
	)
	for _, row := range changes.Rows {
		if !ids.add(row) {
			return c.read(ctx, project, before) // a kind that a later version knows
		}
	}
	p := *before
	p.revision = changes.Revision
	if ids.settings {
		settings, err := c.src.Project(ctx, project)
		if err != nil {
			return nil, err
		}
		p.settings = settings
	}
	if len(ids.endpoints) > 0 {
		list, err := c.src.AllEndpoints(ctx, project, sorted(ids.endpoints)...)
		if err != nil {
			return nil, err
		}
		p.changeEndpoints(ids.endpoints, list)
	}
	if len(ids.subscriptions) > 0 {
		list, err := c.src.AllSubscriptions(ctx, project, sorted(ids.subscriptions)...)
		if err != nil {
			return nil, err
		}
		p.changeSubscriptions(ids.subscriptions, c.compile(list, before))
	}
	if len(ids.sources) > 0 {
		list, err := c.src.AllSources(ctx, project, sorted(ids.sources)...)
		if err != nil {
			return nil, err
		}
		p.changeSources(ids.sources, list)
	}
	if ids.settings || len(ids.eventTypes) > 0 {
		which := sorted(ids.eventTypes)
		if ids.settings { // they say what the types are for
			p.eventTypes, which = nil, nil
		}
		list, err := c.src.NotedEventTypes(ctx, project, which...)
		if err != nil {
			return nil, err
		}
		p.changeEventTypes(ids.eventTypes, list)
	}
	p.seal()
	return &p, nil
}

// written are the rows that have changed.
type written struct {
	settings      bool
	endpoints     set[convoy.EndpointID]
	subscriptions set[convoy.SubscriptionID]
	sources       set[convoy.SourceID]
	eventTypes    set[convoy.EventTypeID]
}

// add is false for a kind that is not known.
func (w *written) add(row store.SettingsChange) bool {
	switch row.Kind {
	case store.ProjectSettings:
		w.settings = true
	case store.EndpointSettings:
		w.endpoints.add(convoy.EndpointID(row.ID))
	case store.SubscriptionSettings:
		w.subscriptions.add(convoy.SubscriptionID(row.ID))
	case store.SourceSettings:
		w.sources.add(convoy.SourceID(row.ID))
	case store.EventTypeSettings:
		w.eventTypes.add(convoy.EventTypeID(row.ID))
	default:
		return false
	}
	return true
}

type set[K comparable] map[K]bool

func (s *set[K]) add(k K) {
	if *s == nil {
		*s = make(set[K])
	}
	(*s)[k] = true
}

func sorted[K cmp.Ordered](s set[K]) []K { return slices.Sorted(maps.Keys(s)) }

// changeEndpoints replaces the endpoints that were written by those that are.
func (p *Project) changeEndpoints(written set[convoy.EndpointID], are []*convoy.Endpoint) {
	templates := false // the set is copied once
	template := func(e *convoy.Endpoint) bool {
		if !urltemplate.Is(e.URL) {
			return false
		}
		if !templates {
			p.templates, templates = p.templates.Clone(), true
		}
		return true
	}
	for id := range written {
		e, ok := p.endpoints.get(id)
		if !ok {
			continue
		}
		p.endpoints.remove(id)
		p.listEndpoint(e, false)
		if template(e) {
			if t, err := urltemplate.Parse(e.URL); err == nil {
				p.templates.Remove(t, func(had *convoy.Endpoint) bool { return had == e })
			}
		}
	}
	for _, e := range are {
		p.endpoints.put(e.ID, e)
		p.listEndpoint(e, true)
		if template(e) {
			p.addTemplate(e)
		}
	}
}

// addTemplate adds an endpoint whose URL has placeholders.
func (p *Project) addTemplate(e *convoy.Endpoint) {
	if !urltemplate.Is(e.URL) {
		return
	}
	if t, err := urltemplate.Parse(e.URL); err == nil { // braces that are no placeholders are just braces
		p.templates.Add(t, e)
	}
}

// changeSubscriptions replaces the subscriptions that were written by those that
// are.
func (p *Project) changeSubscriptions(written set[convoy.SubscriptionID], are []*Subscription) {
	for id := range written {
		if s, ok := p.subscriptions.get(id); ok {
			p.subscriptions.remove(id)
			p.list(s, false)
		}
	}
	for _, s := range are {
		p.subscriptions.put(s.ID, s)
		p.list(s, true)
	}
}

// list adds a subscription to the lists that it belongs to, or takes it off them.
func (p *Project) list(s *Subscription, add bool) {
	edit(&p.byEndpoint, s.EndpointID, s, change[*Subscription]{Compare, add})
	if s.SourceID != "" {
		editList(&p.bySource, s.SourceID, s, listing{ofAnyType, add})
		return
	}
	types, many := s.listed()
	for _, t := range types {
		editList(&p.exact, t, s, listing{ofType(t), add})
	}
	if many {
		p.patterns = listing{ofManyTypes, add}.of(p.patterns, s)
	}
}

func (p *Project) listEndpoint(e *convoy.Endpoint, add bool) {
	if e.OwnerID != "" {
		edit(&p.byOwner, e.OwnerID, e, change[*convoy.Endpoint]{compareEndpoints, add})
	}
	edit(&p.byURL, e.URL, e, change[*convoy.Endpoint]{compareEndpoints, add})
}

// change adds a value to a list in order, or removes it.
type change[V any] struct {
	order func(a, b V) int
	add   bool
}

// of returns the list after the change; the one before stays as it is.
func (c change[V]) of(list []V, v V) []V {
	i, found := slices.BinarySearchFunc(list, v, c.order)
	switch {
	case c.add:
		return slices.Concat(list[:i], []V{v}, list[i:])
	case found:
		return slices.Concat(list[:i], list[i+1:])
	}
	return list
}

// edit changes one list of a table.
func edit[K ~string, V any](t *table[K, []V], k K, v V, c change[V]) {
	list, _ := t.get(k)
	if list = c.of(list, v); len(list) > 0 {
		t.put(k, list)
	} else {
		t.remove(k)
	}
}

func (p *Project) addSource(s *convoy.Source) {
	p.sources.put(s.ID, s)
	p.byMask.put(s.MaskID, s)
}

// changeSources replaces the sources that were written by those that are.
func (p *Project) changeSources(written set[convoy.SourceID], are []*convoy.Source) {
	for id := range written {
		if s, ok := p.sources.get(id); ok {
			p.sources.remove(id)
			p.byMask.remove(s.MaskID)
		}
	}
	for _, s := range are {
		p.addSource(s)
	}
}

// changeEventTypes replaces the event types that were written by those that are.
func (p *Project) changeEventTypes(written set[convoy.EventTypeID], are []*convoy.EventType) {
	kept := maps.Clone(p.eventTypes)
	maps.DeleteFunc(kept, func(_ string, t eventType) bool { return written[t.id] })
	if len(kept) == 0 {
		kept = nil
	}
	p.eventTypes = kept
	p.addEventTypes(are)
}
