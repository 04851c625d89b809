package catalog

import (
	"cmp"
	"slices"

	"convoy"
	"convoy/internal/urltemplate"
)

// Project is one project as it was at some moment, with the indexes that
// routing needs; it never changes, so a pointer into it identifies a version.
type Project struct {
	settings  *convoy.Project
	endpoints map[convoy.EndpointID]*convoy.Endpoint
	// byOwner are the endpoints of each owner by id, byURL the oldest endpoint
	// of each URL.
	byOwner map[string][]*convoy.Endpoint
	byURL   map[string]*convoy.Endpoint
	// templates are the endpoints whose URLs have placeholders.
	templates urltemplate.Set[*convoy.Endpoint]
	// subscriptions are those of each endpoint, oldest first.
	subscriptions map[convoy.EndpointID][]*Subscription
	// The lists below are by endpoint, those of one endpoint oldest first.
	// exact has a list for each event type that is named by a filter, patterns
	// has the subscriptions with a filter for many types; both are of
	// subscriptions to events of the API.
	bySource map[convoy.SourceID][]*Subscription
	exact    map[string][]*Subscription
	patterns []*Subscription
	// compiled are the subscriptions that have conditions.
	compiled map[convoy.SubscriptionID]*Subscription
	sources  map[convoy.SourceID]*convoy.Source
	byMask   map[string]*convoy.Source
	// eventTypes are by name; nil when publishing need not know any.
	eventTypes map[string]eventType
}

// newProject indexes what was loaded: endpoints and subscriptions come oldest
// first.
func newProject(settings *convoy.Project, endpoints []*convoy.Endpoint, subscriptions []*Subscription) *Project {
	p := &Project{
		settings:      settings,
		endpoints:     make(map[convoy.EndpointID]*convoy.Endpoint, len(endpoints)),
		byOwner:       make(map[string][]*convoy.Endpoint),
		byURL:         make(map[string]*convoy.Endpoint, len(endpoints)),
		subscriptions: make(map[convoy.EndpointID][]*Subscription, len(endpoints)),
		bySource:      make(map[convoy.SourceID][]*Subscription),
		exact:         make(map[string][]*Subscription),
		compiled:      make(map[convoy.SubscriptionID]*Subscription),
	}
	for _, e := range endpoints {
		p.endpoints[e.ID] = e
		if e.OwnerID != "" {
			p.byOwner[e.OwnerID] = append(p.byOwner[e.OwnerID], e)
		}
		if _, ok := p.byURL[e.URL]; !ok {
			p.byURL[e.URL] = e
		}
		if urltemplate.Is(e.URL) {
			if t, err := urltemplate.Parse(e.URL); err == nil {
				p.templates.Add(t, e)
			}
		}
	}
	for _, list := range p.byOwner {
		slices.SortFunc(list, func(a, b *convoy.Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	}
	for _, s := range subscriptions {
		p.subscriptions[s.EndpointID] = append(p.subscriptions[s.EndpointID], s)
		if s.programs != nil || s.Broken != nil {
			p.compiled[s.ID] = s
		}
	}
	ordered := slices.Clone(subscriptions)
	slices.SortStableFunc(ordered, Compare)
	for _, s := range ordered {
		p.index(s)
	}
	return p
}

// Compare is the order of the project's lists: by endpoint, then by age.
func Compare(a, b *Subscription) int {
	return cmp.Or(cmp.Compare(a.EndpointID, b.EndpointID), cmp.Compare(a.ID, b.ID))
}

// index adds a subscription to the lists it belongs to.
func (p *Project) index(s *Subscription) {
	if s.SourceID != "" {
		p.bySource[s.SourceID] = append(p.bySource[s.SourceID], s)
		return
	}
	many := false
	for i := range s.Filters {
		f := &s.Filters[i]
		switch {
		case f.EnabledAt.IsZero():
		case convoy.EventTypePattern(f.EventType):
			many = true
		default:
			p.exact[f.EventType] = append(p.exact[f.EventType], s)
		}
	}
	if many {
		p.patterns = append(p.patterns, s)
	}
}

func (p *Project) addSources(sources []*convoy.Source) {
	p.sources = make(map[convoy.SourceID]*convoy.Source, len(sources))
	p.byMask = make(map[string]*convoy.Source, len(sources))
	for _, s := range sources {
		p.sources[s.ID], p.byMask[s.MaskID] = s, s
	}
}

// Source looks a source up.
func (p *Project) Source(id convoy.SourceID) (*convoy.Source, bool) {
	s, ok := p.sources[id]
	return s, ok
}

// SourceByMask looks a source up by its public name.
func (p *Project) SourceByMask(mask string) (*convoy.Source, bool) {
	s, ok := p.byMask[mask]
	return s, ok
}

// Settings is the project itself.
func (p *Project) Settings() *convoy.Project { return p.settings }

// Endpoint looks an endpoint up.
func (p *Project) Endpoint(id convoy.EndpointID) (*convoy.Endpoint, bool) {
	e, ok := p.endpoints[id]
	return e, ok
}

// EndpointByURL looks the oldest endpoint up that has exactly this URL.
func (p *Project) EndpointByURL(url string) (*convoy.Endpoint, bool) {
	e, ok := p.byURL[url]
	return e, ok
}

// EndpointByTemplate looks the endpoint up whose URL has placeholders and stands
// for this one.
func (p *Project) EndpointByTemplate(url string) (*convoy.Endpoint, bool) {
	return p.templates.Match(url)
}

// EndpointsOf are the endpoints of an owner, by id.
func (p *Project) EndpointsOf(owner string) []*convoy.Endpoint { return p.byOwner[owner] }

// Subscriptions are those of one endpoint, oldest first.
func (p *Project) Subscriptions(id convoy.EndpointID) []*Subscription {
	return p.subscriptions[id]
}

// SubscriptionsTo are those to the events of one source, in the order of
// [Compare].
func (p *Project) SubscriptionsTo(source convoy.SourceID) []*Subscription {
	return p.bySource[source]
}

// SubscriptionsFor are those to events of the API whose filters may take events
// of type t, in two lists, each in the order of [Compare]. A subscription that
// names the type and has a pattern, too, is in both.
func (p *Project) SubscriptionsFor(t string) (exact, patterns []*Subscription) {
	return p.exact[t], p.patterns
}
