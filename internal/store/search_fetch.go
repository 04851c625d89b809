package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"convoy"
	"convoy/internal/store/sqldb"
)

const (
	// blocksAtOnce bounds the blocks whose ids are read by a statement, and
	// eventsAtOnce the events.
	blocksAtOnce = 32
	eventsAtOnce = 100
)

// fetchSearched reads the events of a filter where the search index has them.
func (s *Store) fetchSearched(ctx context.Context, q sqldb.Querier, f EventFilter, l *lookup) fetcher[*convoy.Event] {
	return func(k seek) ([]*convoy.Event, error) {
		f := f
		w := &walk{q: q, lookup: l, window: f.window().and(k.span()), desc: k.desc}
		out := []*convoy.Event{}
		for len(out) < k.limit {
			p, ok, err := w.part(ctx)
			if err != nil || !ok {
				return out, err
			}
			rest := seek{desc: k.desc, limit: k.limit - len(out)}
			var found []*convoy.Event
			if len(p.blocks) > 0 {
				found, err = s.fetchWanted(ctx, q, f, p.blocks, rest)
			} else {
				f.part = p.span
				found, err = s.fetchFiltered(ctx, q, f)(rest)
			}
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
		return out, nil
	}
}

// fetchWanted reads the events of blocks that are wanted.
func (s *Store) fetchWanted(ctx context.Context, q sqldb.Querier, f EventFilter, blocks []wanted, k seek) ([]*convoy.Event, error) {
	d := s.db.Dialect()
	keep := f.Search.keeper(ctx)
	w := eventWhere(d, f)
	var out []*convoy.Event
	for some := range slices.Chunk(blocks, blocksAtOnce) {
		ids, err := wantedIDs(ctx, q, d, some)
		if err != nil {
			return nil, err
		}
		if k.desc {
			slices.Reverse(ids)
		}
		for few := range slices.Chunk(ids, eventsAtOnce) {
			slices.Sort(few)
			events, err := s.eventsByID(ctx, q, few, where{conds: slices.Clone(w.conds), args: slices.Clone(w.args)})
			if err == nil {
				events, err = keepOf(events, keep)
			}
			if err == nil && len(f.Endpoints) > 0 {
				events, err = deliveredTo(ctx, q, d, events, f.Endpoints)
			}
			if err != nil {
				return nil, err
			}
			if k.desc {
				slices.Reverse(events)
			}
			if out = append(out, events...); len(out) >= k.limit {
				return out[:k.limit], nil
			}
		}
	}
	return out, nil
}

// wantedIDs are the ids of the events of blocks that are wanted, in ascending order.
func wantedIDs(ctx context.Context, q sqldb.Querier, d sqldb.Dialect, blocks []wanted) ([]convoy.EventID, error) {
	ordered := slices.SortedFunc(slices.Values(blocks), func(a, b wanted) int { return strings.Compare(a.ids.from, b.ids.from) })
	spans, ends := make([]span, len(ordered)), make([]string, len(ordered))
	for i, b := range ordered {
		spans[i], ends[i] = b.ids, b.ends
	}
	// Most ids of a block have another end.
	ids, err := inSpans(ctx, q, d, "events", "r.id", spans, ends, where{})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	at := 0
	return slices.DeleteFunc(ids, func(id convoy.EventID) bool {
		for at < len(ordered)-1 && string(id) >= ordered[at].ids.to {
			at++
		}
		return !ordered[at].has(id)
	}), nil
}

// deliveredTo leaves those events, in ascending order, that have a delivery to one of
// the endpoints.
func deliveredTo(ctx context.Context, q sqldb.Querier, d sqldb.Dialect, events []*convoy.Event, endpoints []convoy.EndpointID) ([]*convoy.Event, error) {
	if len(events) == 0 {
		return nil, nil
	}
	var spans []span
	ids := make([]convoy.EventID, len(events))
	for i, e := range events {
		ids[i] = e.ID
		if s := (span{from: moment(string(e.ID)), to: momentEnd(string(e.ID))}); i == 0 || spans[len(spans)-1] != s {
			spans = append(spans, s)
		}
	}
	var of, late where
	addIn(&of, d, "r.endpoint_id", endpoints)
	delivered, err := inSpans(ctx, q, d, "deliveries", "r.event_id", spans, nil, of)
	if err != nil {
		return nil, err
	}
	late.add(replayed)
	addIn(&late, d, "d.event_id", ids)
	addIn(&late, d, "d.endpoint_id", endpoints)
	rows, err := q.Query(ctx, `SELECT DISTINCT d.event_id FROM deliveries d`+late.String(), late.args...)
	again, err := collect(rows, err, scanID[convoy.EventID])
	if err != nil {
		return nil, err
	}
	has := make(map[convoy.EventID]bool)
	for _, id := range slices.Concat(delivered, again) {
		has[id] = true
	}
	return slices.DeleteFunc(events, func(e *convoy.Event) bool { return !has[e.ID] }), nil
}

// inSpans reads a column of the rows, r, whose ids are in one of the spans, which are
// in ascending order, end with one of the span's ends, if there are any, and meet w.
// fork: SQLite has no arrays, and no LATERAL.
func inSpans(ctx context.Context, q sqldb.Querier, d sqldb.Dialect, table, column string, spans []span, ends []string, w where) ([]convoy.EventID, error) {
	var from, to []string
	for _, s := range spans {
		from, to = append(from, s.from), append(to, s.to)
	}
	var names []any
	for _, texts := range [][]string{from, to, ends} {
		names = append(names, w.param(sqldb.Texts(d, texts)))
	}
	query := `SELECT ` + column + ` FROM json_each(%s) AS f JOIN json_each(%s) AS t ON t.key = f.key LEFT JOIN json_each(%s) AS n ON n.key = f.key
		CROSS JOIN ` + table + ` AS r`
	if d == sqldb.SQLite {
		w.conds = append(w.conds, "r.id >= f.value", "r.id < t.value")
		if ends != nil {
			w.conds = append(w.conds, "instr(n.value, substr(r.id, 26)) > 0")
		}
		rows, err := q.Query(ctx, fmt.Sprintf(query, names...)+w.String(), w.args...)
		return collect(rows, err, scanID[convoy.EventID])
	}
	query = `SELECT x.* FROM unnest(%s::text[], %s::text[], %s::text[]) AS s(f, t, n) CROSS JOIN LATERAL (SELECT ` + column + ` FROM ` + table + ` AS r`
	w.conds = append(w.conds, "r.id >= s.f", "r.id < s.t")
	if ends != nil {
		w.conds = append(w.conds, "position(substr(r.id, 26) IN s.n) > 0")
	}
	w.within("r.id", span{from: from[0], to: to[len(to)-1]}) // which lets the planner prune partitions
	// OFFSET keeps the planner from joining in another way than span by span: it takes
	// ranges for wide.
	rows, err := q.Query(ctx, fmt.Sprintf(query, names...)+w.String()+` OFFSET 0) AS x`, w.args...)
	return collect(rows, err, scanID[convoy.EventID])
}
