package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// EventFilter selects events of a project.
type EventFilter struct {
	Project convoy.ProjectID
	// Endpoints are those that the events have deliveries to.
	Endpoints      []convoy.EndpointID
	Sources        []convoy.SourceID
	Type           string
	IdempotencyKey string
	// BrokerMessage is the first value of [BrokerMessageHeader], if it has at most
	// [maxBrokerMessage] bytes.
	BrokerMessage string
	// From and To bound the time the event was accepted, both inclusive, in
	// milliseconds.
	From, To time.Time
	Search   Search
	Page     Page

	// part is a part of the window.
	part span
}

func (f *EventFilter) window() span { return between(f.From, f.To).and(f.part) }

// Events returns a page of a project's events.
func (s *Store) Events(ctx context.Context, f EventFilter) (Paged[*convoy.Event], error) {
	own, ctx := within(ctx)
	q := s.db.Replica()
	var some bool
	var err error
	if f.Endpoints, some, err = own.among(ctx, q, f.Endpoints); err != nil || !some {
		return Paged[*convoy.Event]{Items: []*convoy.Event{}}, err
	}
	look, err := f.lookup(ctx, q, s.db.Dialect())
	if err != nil {
		return Paged[*convoy.Event]{}, fmt.Errorf("events: %w", err)
	}
	fetch := s.fetchFiltered(ctx, q, f)
	if look != nil {
		fetch = s.fetchSearched(ctx, q, f, look)
	}
	page, err := paginate(f.Page, func(e *convoy.Event) string { return string(e.ID) }, fetch)
	if err != nil {
		return page, fmt.Errorf("events: %w", err)
	}
	own.only(f.Endpoints, page.Items...)
	return page, nil
}

func (s *Store) fetchFiltered(ctx context.Context, q sqldb.Querier, f EventFilter) fetcher[*convoy.Event] {
	switch {
	case len(f.Endpoints) == 0:
		return fetchEvents(ctx, q, eventListing(s.db.Dialect(), f), f.Search.keeper(ctx))
	case f.IdempotencyKey == "" && f.BrokerMessage == "":
		return s.fetchDelivered(ctx, q, f)
	}
	return fetchEvents(ctx, q, keyedListing(s.db.Dialect(), f), f.Search.keeper(ctx))
}

func eventListing(d sqldb.Dialect, f EventFilter) listing {
	l := listing{cols: eventCols, table: "events", alias: "e", key: "e.id", ids: f.window(), where: eventWhere(d, f)}
	if n := len(f.Sources); n > 1 && n <= maxBranches {
		ofEach(&l, d, "e.source_id", slices.Compact(slices.Sorted(slices.Values(f.Sources))))
	}
	return l
}

func eventWhere(d sqldb.Dialect, f EventFilter) where {
	var w where
	w.add("e.project_id = ?", f.Project)
	if f.Type != "" {
		w.add("e.event_type = ?", f.Type)
	}
	if f.IdempotencyKey != "" {
		// The second condition is that of the partial index.
		w.add("e.idempotency_key = ? AND e.idempotency_key <> ''", f.IdempotencyKey)
	}
	if f.BrokerMessage != "" {
		w.add("e.broker_message_id = ? AND e.broker_message_id <> ''", f.BrokerMessage)
	}
	if len(f.Sources) > 0 {
		w.add("e.source_id <> ''") // the index's condition
	}
	addIn(&w, d, "e.source_id", f.Sources)
	w.addSearch(d, f.Project, f.Search)
	return w
}

// keyedListing is the events of one idempotency key or broker message, which are few, without
// those that have no delivery to the endpoints.
func keyedListing(d sqldb.Dialect, f EventFilter) listing {
	l := eventListing(d, f)
	var w where
	w.args = l.where.args
	addIn(&w, d, "d.endpoint_id", f.Endpoints)
	l.where.args = w.args
	// By id, or of a replay: each way has an index.
	one := "EXISTS (SELECT 1 FROM deliveries d WHERE " + strings.Join(w.conds, " AND ") + " AND d.event_id = e.id AND "
	l.where.add("(" + one + "d.id >= substr(e.id, 1, 10) AND d.id < substr(e.id, 1, 10) || '~') OR " + one + replayed + "))")
	return l
}

// fetchDelivered reads the events that have a delivery to one of the endpoints,
// from the endpoints' deliveries: the events that an endpoint gets may be few
// among many, and no index has the events of an endpoint. A delivery's id
// carries its event's time, so the endpoint's index has the events in order, but
// for those of one millisecond.
func (s *Store) fetchDelivered(ctx context.Context, q sqldb.Querier, f EventFilter) fetcher[*convoy.Event] {
	keep := f.Search.keeper(ctx)
	return func(k seek) ([]*convoy.Event, error) {
		out := []*convoy.Event{}
		for len(out) < k.limit {
			step := k
			if keep != nil {
				step.limit = searchChunk
			}
			ids, err := s.deliveredIDs(ctx, q, f, step)
			if err != nil || len(ids) == 0 {
				return out, err
			}
			batch, err := s.eventsByID(ctx, q, slices.Sorted(slices.Values(ids)), eventWhere(s.db.Dialect(), f))
			if err == nil {
				batch, err = keepOf(batch, keep)
			}
			if err != nil {
				return nil, err
			}
			if k.desc {
				slices.Reverse(batch)
			}
			out = append(out, batch...)
			// Fewer than asked for: some did not meet the filter. Go on behind.
			k.from, k.after = string(ids[len(ids)-1]), true
		}
		return out[:k.limit], nil
	}
}

// deliveredIDs returns the ids of the next events, in order: k.limit of them at
// least, unless the list ends.
func (s *Store) deliveredIDs(ctx context.Context, q sqldb.Querier, f EventFilter, k seek) ([]convoy.EventID, error) {
	keep := func(id convoy.EventID) bool { // the ids of k.from's millisecond may lie on either side
		if f.part.from > string(id) || f.part.to != "" && f.part.to <= string(id) {
			return false
		}
		c := strings.Compare(string(id), k.from)
		return k.from == "" || c == 0 && !k.after || c != 0 && (c < 0) == k.desc
	}
	ids, err := s.timelyIDs(ctx, q, f, k, keep)
	if err != nil {
		return nil, err
	}
	late, err := s.replayedIDs(ctx, q, f, k)
	if err != nil {
		return nil, err
	}
	// Both lists are complete as far as they go; the union is complete as far as
	// the shorter one goes, which is k.limit ids at least.
	ids = append(ids, late...)
	slices.SortFunc(ids, func(a, b convoy.EventID) int {
		if k.desc {
			return cmp.Compare(b, a)
		}
		return cmp.Compare(a, b)
	})
	ids = slices.Compact(ids)
	return ids[:min(len(ids), k.limit)], nil
}

// maxPass bounds the rows that are passed over at once.
const maxPass = 20_000

// timelyIDs finds events by deliveries whose ids carry their time.
func (s *Store) timelyIDs(ctx context.Context, q sqldb.Querier, f EventFilter, k seek, keep func(convoy.EventID) bool) ([]convoy.EventID, error) {
	type pair struct {
		delivery string
		event    convoy.EventID
	}
	l := deliveryListing(s.db.Dialect(), DeliveryFilter{Project: f.Project, Endpoints: f.Endpoints, Type: f.Type, From: f.From, To: f.To})
	l.cols = "d.id, d.event_id"
	if f.part.from != "" {
		l.ids.from = max(l.ids.from, moment(f.part.from))
	}
	if f.part.to != "" {
		l.ids = l.ids.and(span{to: momentEnd(f.part.to)})
	}
	fetch := fetchRows(ctx, q, l, func(row sqldb.Row) (p pair, err error) { err = row.Scan(&p.delivery, &p.event); return })
	// A little more than asked for, as an event may have several deliveries.
	at := seek{from: moment(k.from), desc: k.desc, limit: 2*k.limit + 10}
	if k.desc && k.from != "" {
		at.from = momentEnd(k.from)
	}
	seen := make(map[convoy.EventID]bool)
	var ids []convoy.EventID
	for {
		found := len(ids)
		rows, err := fetch(at)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			last := moment(at.from)
			if len(ids) >= k.limit && moment(r.delivery) != last {
				return ids, nil // the millisecond that filled it is complete
			}
			at.from, at.after = r.delivery, true
			if moment(string(r.event)) == moment(r.delivery) && !seen[r.event] && keep(r.event) {
				seen[r.event] = true
				ids = append(ids, r.event)
			}
		}
		if len(rows) < at.limit {
			return ids, nil
		}
		if len(ids) == found { // a replay may have a million of one millisecond
			at.limit = min(4*at.limit, maxPass)
		}
	}
}

// replayedIDs finds events by the deliveries of their replays.
func (s *Store) replayedIDs(ctx context.Context, q sqldb.Querier, f EventFilter, k seek) ([]convoy.EventID, error) {
	var w where
	w.add("d.project_id = ?", f.Project)
	w.add(replayed)
	w.within("d.event_id", f.window().and(k.span()))
	addIn(&w, s.db.Dialect(), "d.endpoint_id", f.Endpoints)
	if f.Type != "" {
		w.add("d.event_type = ?", f.Type)
	}
	rows, err := q.Query(ctx, `SELECT DISTINCT d.event_id FROM deliveries d`+w.String()+` ORDER BY d.event_id`+k.order()+` LIMIT `+w.param(k.limit), w.args...)
	return collect(rows, err, scanID[convoy.EventID])
}
