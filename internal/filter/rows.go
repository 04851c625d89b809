// Package filter decides whether an event looks the way a subscription wants.
package filter

import (
	"slices"
	"time"

	"convoy"
	"convoy/internal/id"
)

// ForTypes returns the filters of a subscription that takes these event types
// whatever their events look like. Filters of types that are in old stay as they
// are; others are new and switched on. A type that is named twice counts once.
func ForTypes(s convoy.SubscriptionID, types []string, old []convoy.Filter, now time.Time) []convoy.Filter {
	filters := make([]convoy.Filter, 0, len(types))
	for _, t := range types {
		same := func(f convoy.Filter) bool { return f.EventType == t }
		if slices.ContainsFunc(filters, same) {
			continue
		}
		if i := slices.IndexFunc(old, same); i >= 0 {
			filters = append(filters, old[i])
			continue
		}
		filters = append(filters, convoy.Filter{ID: convoy.FilterID(id.Derive(now, string(s), t)), EventType: t, EnabledAt: now})
	}
	return filters
}
