package convoy

import "slices"

// Types of meta events: webhooks that tell a project's owner what becomes of its
// endpoints and deliveries. The names are wire values.
const (
	MetaEndpointCreated = "endpoint.created"
	MetaEndpointUpdated = "endpoint.updated"
	MetaEndpointDeleted = "endpoint.deleted"
	MetaDeliverySuccess = "eventdelivery.success"
	MetaDeliveryFailed  = "eventdelivery.failed"
)

// MetaEventTypes are all types that a project may ask for.
func MetaEventTypes() []string {
	return []string{MetaEndpointCreated, MetaEndpointUpdated, MetaEndpointDeleted, MetaDeliverySuccess, MetaDeliveryFailed}
}

// MetaHTTP is the one way meta events are sent.
const MetaHTTP = "http"

// Wants reports whether meta events of a type are to be made.
func (c *MetaEventConfig) Wants(eventType string) bool {
	return c.Enabled && slices.Contains(c.EventType, eventType)
}

// Meta events are events with one delivery each, in a project of their own that
// is stored nowhere: it is made from the settings of the project they tell of.
// Ids are ULIDs, whose first character is metaOwner until the year 3084; that of
// the hidden project has metaMark instead, so that each tells the other and no
// project has the id of a hidden one.
const (
	metaOwner = "0"
	metaMark  = "4"
)

// Meta is the project of p's meta events; empty for an id that can have none.
func (p ProjectID) Meta() ProjectID {
	if len(p) != 26 || p[:1] != metaOwner {
		return ""
	}
	return metaMark + p[1:]
}

// MetaOf is the project whose meta events are in p; it reports whether p is such
// a project.
func (p ProjectID) MetaOf() (ProjectID, bool) {
	if len(p) != 26 || p[:1] != metaMark {
		return "", false
	}
	return metaOwner + p[1:], true
}

// MetaEndpoint is where the meta events of a project go.
func MetaEndpoint(p ProjectID) EndpointID { return EndpointID(p.Meta()) }

// Meta returns the project of p's meta events and its one endpoint. Nothing but
// the address, the secret and the retry policy is p's to choose. When meta events
// are switched off the endpoint is inactive: what waits is discarded.
func (p *Project) Meta() (*Project, *Endpoint) {
	c := DefaultProjectConfig()
	c.Strategy = p.Config.Strategy
	meta := &Project{
		ID: p.ID.Meta(), OrganisationID: p.OrganisationID, Name: p.Name, Type: Outgoing, Config: c,
		CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
	e := &Endpoint{
		ID: MetaEndpoint(p.ID), ProjectID: meta.ID, Name: "meta events", URL: p.Config.MetaEvent.URL, Status: EndpointActive,
		Secrets:   []Secret{{ID: string(meta.ID), Value: p.Config.MetaEvent.Secret, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt}},
		CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
	if !p.Config.MetaEvent.Enabled {
		e.Status = EndpointInactive
	}
	return meta, e
}
