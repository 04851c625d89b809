package catalog

import (
	"bytes"
	"fmt"
	"slices"

	"convoy"
	"convoy/internal/filter"
)

// Subscription is a subscription with its filters compiled.
type Subscription struct {
	*convoy.Subscription
	// programs are the conditions of the filters, in their order, nil for one
	// without; there are none when no filter has any.
	programs []*filter.Program
	// Broken is why a filter does not compile, nil when all do. Such a
	// subscription takes nothing: what was filtered out must not be sent.
	Broken error
}

// Takes reports whether the subscription wants events of type t, and on what
// conditions; nil is none.
func (s *Subscription) Takes(t string) (conditions *filter.Program, ok bool) {
	f := s.Filter(t)
	if f == nil || s.Broken != nil {
		return nil, false
	}
	for i := range s.programs {
		if &s.Filters[i] == f {
			return s.programs[i], true
		}
	}
	return nil, true
}

// compile prepares a subscription; before is what it was in the last version of
// its project, nil if it was not.
func compile(s *convoy.Subscription, before *Subscription) *Subscription {
	out := &Subscription{Subscription: s}
	if before != nil && slices.EqualFunc(s.Filters, before.Filters, sameConditions) {
		out.programs, out.Broken = before.programs, before.Broken
		return out
	}
	for i := range s.Filters {
		f := &s.Filters[i]
		if !f.Conditional() {
			continue
		}
		p, err := filter.Compile(f)
		if err != nil {
			return &Subscription{Subscription: s, Broken: fmt.Errorf("filter for %s: %w", f.EventType, err)}
		}
		if out.programs == nil {
			out.programs = make([]*filter.Program, len(s.Filters))
		}
		out.programs[i] = p
	}
	return out
}

// sameConditions reports whether two filters have the same programs.
func sameConditions(a, b convoy.Filter) bool {
	return a.EventType == b.EventType && bytes.Equal(a.Body, b.Body) && bytes.Equal(a.Headers, b.Headers) &&
		bytes.Equal(a.Query, b.Query) && bytes.Equal(a.Path, b.Path)
}
