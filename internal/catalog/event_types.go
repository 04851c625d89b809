package catalog

import (
	"sync"
	"time"

	"convoy"
	"convoy/internal/schema"
)

// eventType is what publishing must know about a type: it is deprecated, or has
// a schema. Most types are neither, and are not here.
type eventType struct {
	id         convoy.EventTypeID
	deprecated time.Time
	// schema is nil without one. It compiles when the first event asks.
	schema func() (*schema.Schema, error)
}

// addEventTypes writes to the map that p has, which must be its own.
func (p *Project) addEventTypes(noted []*convoy.EventType) {
	if len(noted) == 0 {
		return
	}
	if p.eventTypes == nil {
		p.eventTypes = make(map[string]eventType, len(noted))
	}
	checked := p.settings.Config.EventTypeValidation.Checks()
	for _, t := range noted {
		e := eventType{id: t.ID, deprecated: t.DeprecatedAt}
		if checked && t.JSONSchema != "" {
			e.schema = sync.OnceValues(func() (*schema.Schema, error) { return schema.Compile([]byte(t.JSONSchema)) })
		}
		p.eventTypes[t.Name] = e
	}
}

// Deprecated is when an event type was deprecated; zero for one that is not.
func (p *Project) Deprecated(eventType string) time.Time {
	if p.eventTypes == nil {
		return time.Time{}
	}
	return p.eventTypes[eventType].deprecated
}

// CheckData checks the data of an event that is about to be accepted against the
// schema of its type, if the project wants that: it refuses the event with a
// convoy.Invalid error, or marks it. It is for every way in.
func (p *Project) CheckData(e *convoy.Event) error {
	if p.eventTypes == nil { // the usual case
		return nil
	}
	t := p.eventTypes[e.Type]
	if t.schema == nil {
		return nil
	}
	s, err := t.schema()
	if err != nil {
		return err // it compiled when it was saved
	}
	found := s.Check(e.Data)
	switch {
	case found == "":
		return nil
	case p.settings.Config.EventTypeValidation == convoy.ValidationReject:
		return convoy.E(convoy.Invalid, "data:does not match the schema of "+e.Type+": "+found)
	}
	e.SchemaError = found
	return nil
}
