package limit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// table keeps states under keys, as texts.
type table interface {
	// ChangeLimits calls change with the texts under keys, which are distinct
	// and in order, empty where there is none; and keeps the returned ones, each
	// until its end, or the old one where the returned text is empty. Nobody
	// else changes any of them meanwhile.
	ChangeLimits(ctx context.Context, keys []string, change func(texts []string) (changed []string, ends []time.Time)) error
}

// Stored is the limiter of several processes that share a database and nothing
// else. Times are by the clocks of the processes, which must agree within a
// fraction of what limits are to be exact to.
type Stored struct {
	table table
	*gathering
}

// NewStored makes a limiter over a table; it answers while its Run does.
func NewStored(t table) *Stored {
	s := &Stored{table: t}
	s.gathering = gather(s.reserve)
	return s
}

func (s *Stored) reserve(ctx context.Context, requests []*Request) ([]Grant, error) {
	keys := keysOf(requests)
	grants := make([]Grant, len(requests))
	err := s.table.ChangeLimits(ctx, keys, func(texts []string) ([]string, []time.Time) {
		states := make(map[string]*state, len(keys))
		for i, key := range keys {
			states[key] = parseState(texts[i])
		}
		now := time.Now().UnixMicro() // after the wait for the rows
		for i, q := range requests {
			grants[i] = q.decide(now, func(key string) *state { return states[key] })
		}
		changed, ends := make([]string, len(keys)), make([]time.Time, len(keys))
		for i, key := range keys {
			if text := states[key].text(); text != texts[i] {
				changed[i], ends[i] = text, time.UnixMicro(states[key].end())
			}
		}
		return changed, ends
	})
	if err != nil {
		return nil, fmt.Errorf("reserve slots: %w", err)
	}
	return grants, nil
}

// keysOf are the keys of requests, each once, in order.
func keysOf(requests []*Request) []string {
	set := make(map[string]struct{})
	for _, q := range requests {
		for _, l := range q.Limits {
			set[l.name()] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(set))
}
