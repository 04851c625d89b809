package catalog

import (
	"cmp"
	"slices"

	"convoy"
	"convoy/internal/store"
	"convoy/internal/urltemplate"
)

// Project is one project as it was at some moment, with the indexes that
// routing needs. It never changes: the next version is another Project, which
// shares with this one what is the same in both. So a pointer to an endpoint, a
// subscription or the settings identifies a version of that, and the list of an
// endpoint's subscriptions is the same slice for as long as none of them changes.
type Project struct {
	// revision is that of the settings when they were read, or later.
	revision  store.SettingsRevision
	settings  *convoy.Project
	endpoints table[convoy.EndpointID, *convoy.Endpoint]
	// byOwner are the endpoints of each owner, byURL those of each URL, by id and
	// so oldest first.
	byOwner table[string, []*convoy.Endpoint]
	byURL   table[string, []*convoy.Endpoint]
	// templates are the endpoints whose URLs have placeholders.
	templates urltemplate.Set[*convoy.Endpoint]

	subscriptions table[convoy.SubscriptionID, *Subscription]
	// byEndpoint are the subscriptions of each endpoint, oldest first.
	byEndpoint table[convoy.EndpointID, []*Subscription]
	// The lists below are in the order of [Compare]. exact has a list for each
	// event type that is named by a filter, patterns has the subscriptions with a
	// filter for many types; both are of subscriptions to events of the API.
	bySource table[convoy.SourceID, List]
	exact    table[string, List]
	patterns List

	sources table[convoy.SourceID, *convoy.Source]
	byMask  table[string, *convoy.Source]
	// eventTypes are by name; nil when publishing need not know any.
	eventTypes map[string]eventType
}

// rows are settings as they are stored.
type rows struct {
	endpoints     []*convoy.Endpoint
	subscriptions []*Subscription
	sources       []*convoy.Source
	eventTypes    []*convoy.EventType
}

// newProject indexes everything that a project has.
func newProject(revision store.SettingsRevision, settings *convoy.Project, all rows) *Project {
	p := &Project{revision: revision, settings: settings}
	p.templates.Compare = compareEndpoints
	// Whole lists are sorted once, and not kept in order one by one.
	var (
		byOwner, byURL = map[string][]*convoy.Endpoint{}, map[string][]*convoy.Endpoint{}
		byEndpoint     = map[convoy.EndpointID][]*Subscription{}
		bySource       = map[convoy.SourceID][]*Subscription{}
		exact          = map[string][]*Subscription{}
		patterns       []*Subscription
	)
	slices.SortFunc(all.endpoints, compareEndpoints)
	for _, e := range all.endpoints {
		p.endpoints.put(e.ID, e)
		if e.OwnerID != "" {
			byOwner[e.OwnerID] = append(byOwner[e.OwnerID], e)
		}
		byURL[e.URL] = append(byURL[e.URL], e)
		p.addTemplate(e)
	}
	p.byOwner, p.byURL = tableOf(byOwner), tableOf(byURL)
	slices.SortFunc(all.subscriptions, Compare)
	for _, s := range all.subscriptions {
		p.subscriptions.put(s.ID, s)
		byEndpoint[s.EndpointID] = append(byEndpoint[s.EndpointID], s)
		if s.SourceID != "" {
			bySource[s.SourceID] = append(bySource[s.SourceID], s)
			continue
		}
		types, many := s.listed()
		for _, t := range types {
			exact[t] = append(exact[t], s)
		}
		if many {
			patterns = append(patterns, s)
		}
	}
	p.byEndpoint = tableOf(byEndpoint)
	p.bySource = listsOf(bySource, func(convoy.SourceID) asked { return ofAnyType })
	p.exact = listsOf(exact, ofType)
	p.patterns = listOf(patterns, ofManyTypes)
	for _, s := range all.sources {
		p.addSource(s)
	}
	p.addEventTypes(all.eventTypes)
	p.seal()
	return p
}

// seal ends the making of a version.
func (p *Project) seal() {
	p.endpoints.seal()
	p.byOwner.seal()
	p.byURL.seal()
	p.subscriptions.seal()
	p.byEndpoint.seal()
	p.bySource.seal()
	p.exact.seal()
	p.sources.seal()
	p.byMask.seal()
}

// Compare is the order of the project's lists: by endpoint, then by age.
func Compare(a, b *Subscription) int {
	return cmp.Or(cmp.Compare(a.EndpointID, b.EndpointID), cmp.Compare(a.ID, b.ID))
}

func compareEndpoints(a, b *convoy.Endpoint) int { return cmp.Compare(a.ID, b.ID) }

// listed are the event types under which a subscription is found, each once, and
// whether it has a filter for many.
func (s *Subscription) listed() (types []string, many bool) {
	for i := range s.Filters {
		f := &s.Filters[i]
		switch {
		case f.EnabledAt.IsZero():
		case convoy.EventTypePattern(f.EventType):
			many = true
		case !slices.Contains(types, f.EventType):
			types = append(types, f.EventType)
		}
	}
	return types, many
}

// Source looks a source up.
func (p *Project) Source(id convoy.SourceID) (*convoy.Source, bool) {
	return p.sources.get(id)
}

// SourceByMask looks a source up by its public name.
func (p *Project) SourceByMask(mask string) (*convoy.Source, bool) {
	return p.byMask.get(mask)
}

// Settings is the project itself.
func (p *Project) Settings() *convoy.Project { return p.settings }

// Endpoint looks an endpoint up.
func (p *Project) Endpoint(id convoy.EndpointID) (*convoy.Endpoint, bool) {
	return p.endpoints.get(id)
}

// EndpointCount is how many endpoints there are.
func (p *Project) EndpointCount() int { return p.endpoints.size() }

// EndpointByURL looks the oldest endpoint up that has exactly this URL.
func (p *Project) EndpointByURL(url string) (*convoy.Endpoint, bool) {
	list, ok := p.byURL.get(url)
	if !ok {
		return nil, false
	}
	return list[0], true
}

// EndpointByTemplate looks the endpoint up whose URL has placeholders and stands
// for this one.
func (p *Project) EndpointByTemplate(url string) (*convoy.Endpoint, bool) {
	return p.templates.Match(url)
}

// EndpointsOf are the endpoints of an owner, by id.
func (p *Project) EndpointsOf(owner string) []*convoy.Endpoint {
	list, _ := p.byOwner.get(owner)
	return list
}

// Subscriptions are those of one endpoint, oldest first.
func (p *Project) Subscriptions(id convoy.EndpointID) []*Subscription {
	list, _ := p.byEndpoint.get(id)
	return list
}

// SubscriptionsTo are those to the events of one source.
func (p *Project) SubscriptionsTo(source convoy.SourceID) List {
	list, _ := p.bySource.get(source)
	return list
}

// SubscriptionsFor are those to events of the API whose filters may take events
// of type t, in two lists. A subscription that names the type and has a pattern,
// too, is in both.
func (p *Project) SubscriptionsFor(t string) (exact, patterns List) {
	exact, _ = p.exact.get(t)
	return exact, p.patterns
}
