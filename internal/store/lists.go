package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

// maxBranches is for how many endpoints a list reads one index each and merges.
// With more the project's index is read and filtered: the more endpoints, the
// more of its rows fit.
const maxBranches = 50

// between are the ids that were made from one time to another, both inclusive,
// to the millisecond; the zero time is no bound. Ids carry the time an event was
// accepted, which its deliveries share, so that windows that do not overlap have
// no row in common and no row falls between two that meet.
func between(from, to time.Time) span {
	var s span
	if !from.IsZero() {
		s.from = id.Floor(from)
	}
	if !to.IsZero() {
		s.to = id.Floor(to.Add(time.Millisecond))
	}
	return s
}

// moment is the part of an id that carries its time.
func moment(id string) string { return id[:min(len(id), 10)] }

// momentEnd sorts after every id of a moment.
func momentEnd(id string) string { return moment(id) + "~" }

// replayed is met by the deliveries of a replay, whose ids carry another time
// than their event's. Partial indexes hold them; the conditions must agree.
const replayed = "substr(d.id, 1, 10) <> substr(d.event_id, 1, 10)"

// timely is met by the others.
const timely = "substr(d.id, 1, 10) = substr(d.event_id, 1, 10)"

// DeliveryFilter selects deliveries of a project.
type DeliveryFilter struct {
	Project      convoy.ProjectID
	Endpoints    []convoy.EndpointID
	Event        convoy.EventID
	Subscription convoy.SubscriptionID
	Type         string
	Statuses     []convoy.DeliveryStatus
	// IdempotencyKey is that of the event.
	IdempotencyKey string
	// BrokerMessage is a value of the event's [BrokerMessageHeader]. Of the events
	// that have it the newest of the window count.
	BrokerMessage string
	// From and To bound the time the event was accepted or replayed, both
	// inclusive, in milliseconds.
	From, To time.Time
	Page     Page
}

// DeliveryDetail is a delivery with what it carries and where it goes.
type DeliveryDetail struct {
	*convoy.Delivery
	// Event is nil when retention has taken it: a replay outlives its event.
	Event *convoy.Event
	// Endpoint may be a deleted one.
	Endpoint *convoy.Endpoint
	// Payload is nil when the delivery sends the event's data.
	Payload *convoy.Payload
}

// Deliveries returns a page of a project's deliveries.
func (s *Store) Deliveries(ctx context.Context, f DeliveryFilter) (Paged[DeliveryDetail], error) {
	page, err := s.deliveries(ctx, f)
	if err != nil {
		return Paged[DeliveryDetail]{}, fmt.Errorf("deliveries: %w", err)
	}
	return page, nil
}

func (s *Store) deliveries(ctx context.Context, f DeliveryFilter) (Paged[DeliveryDetail], error) {
	own, ctx := within(ctx)
	q := s.db.Replica()
	var some bool
	var err error
	if f.Endpoints, some, err = own.among(ctx, q, f.Endpoints); err != nil || !some {
		return Paged[DeliveryDetail]{Items: []DeliveryDetail{}}, err
	}
	l, some, err := s.deliveryList(ctx, q, f)
	if err != nil || !some {
		return Paged[DeliveryDetail]{Items: []DeliveryDetail{}}, err
	}
	page, err := paginate(f.Page, func(d *convoy.Delivery) string { return string(d.ID) }, fetchRows(ctx, q, l, scanDelivery))
	if err != nil {
		return Paged[DeliveryDetail]{}, err
	}
	details, err := s.details(ctx, q, page.Items)
	own.hide(f.Endpoints, details)
	return mapPage(page, details), err
}

// deliveryList is the list of a filter. It reports whether anything can be in
// it.
func (s *Store) deliveryList(ctx context.Context, q sqldb.Querier, f DeliveryFilter) (l listing, some bool, err error) {
	l = deliveryListing(s.db.Dialect(), f)
	switch {
	case f.IdempotencyKey != "":
		events, err := s.keyedBy(ctx, q, f.Project, f.IdempotencyKey)
		if err != nil || len(events) == 0 {
			return l, false, err
		}
		l.branches = nil
		for _, e := range events {
			l.branches = append(l.branches, ofEvent(e)...)
		}
	case f.BrokerMessage != "":
		events, err := s.Events(ctx, EventFilter{
			Project: f.Project, From: f.From, To: f.To, BrokerMessage: f.BrokerMessage, Page: Page{PerPage: maxBranches / 2},
		})
		if err != nil || len(events.Items) == 0 {
			return l, false, err
		}
		l.branches = nil
		for _, e := range events.Items {
			l.branches = append(l.branches, ofEvent(e.ID)...)
		}
	case f.Event != "":
		l.branches = ofEvent(f.Event)
	case len(f.Statuses) > 0:
		some, err := l.ofStatuses(ctx, q, s.db.Dialect(), f)
		return l, some, err
	}
	return l, true, nil
}

func deliveryListing(d sqldb.Dialect, f DeliveryFilter) listing {
	l := listing{cols: deliveryCols, table: "deliveries", alias: "d", key: "d.id", ids: between(f.From, f.To)}
	l.where.add("d.project_id = ?", f.Project)
	if f.Event != "" {
		l.where.add("d.event_id = ?", f.Event)
	}
	if f.Subscription != "" {
		l.where.add("d.subscription_id = ?", f.Subscription)
	}
	if f.Type != "" {
		l.where.add("d.event_type = ?", f.Type)
	}
	addIn(&l.where, d, "d.status", f.Statuses)
	if n := len(f.Endpoints); n > 1 && n <= maxBranches && f.Event == "" && f.IdempotencyKey == "" && f.BrokerMessage == "" {
		l.ofEndpoints(d, f.Endpoints)
	} else {
		addIn(&l.where, d, "d.endpoint_id", f.Endpoints)
	}
	return l
}

// ofStatuses reads deliveries that are not done, or did not go well, from the
// indexes that hold no others. Those that went well are most of the project's, so
// a list that includes them reads the project's index. It reports whether any
// delivery can have one of the statuses.
func (l *listing) ofStatuses(ctx context.Context, q sqldb.Querier, d sqldb.Dialect, f DeliveryFilter) (some bool, err error) {
	var troubles []convoy.DeliveryStatus
	scheduled := false
	for _, status := range slices.Compact(slices.Sorted(slices.Values(f.Statuses))) {
		switch status {
		case convoy.DeliverySuccess:
			return true, nil
		case convoy.DeliveryScheduled:
			scheduled = true
		case convoy.DeliveryRetry, convoy.DeliveryFailure, convoy.DeliveryDiscarded:
			troubles = append(troubles, status)
		}
	}
	const column = "d.trouble"
	if len(l.branches) > 0 || l.lateral != "" { // the endpoints', which are dropped
		addIn(&l.where, d, "d.endpoint_id", f.Endpoints)
	}
	l.branches, l.lateral = nil, ""
	if !scheduled {
		l.where.add(column + " <> ''") // the indexes' condition
		ofEach(l, d, column, troubles)
		return len(troubles) > 0, nil
	}
	mark, err := readFact(ctx, q, freshMark)
	if err != nil {
		return false, err
	}
	for _, status := range troubles {
		l.branches = append(l.branches, branch{add: func(w *where) { w.add(column+" = ? AND "+column+" <> ''", status) }})
	}
	l.branches = append(l.branches,
		branch{add: func(w *where) { w.add("d.claim_at > 0 AND d.status = 'Scheduled'") }},
		// Those that nobody may claim yet are younger than the sweep's mark.
		branch{ids: span{from: mark}, add: func(w *where) { w.add("d.claim_at = 0 AND d.status = 'Scheduled'") }})
	return true, nil
}

// ofEndpoints reads the deliveries of each endpoint from its own index.
func (l *listing) ofEndpoints(d sqldb.Dialect, endpoints []convoy.EndpointID) {
	ofEach(l, d, "d.endpoint_id", slices.Compact(slices.Sorted(slices.Values(endpoints))))
}

// fewBranches is for how many values of a column PostgreSQL is asked one by one.
// Each is then planned for itself, a rare one as rare, on every partition; for
// more that takes longer than to run one plan for any value.
const fewBranches = 4

// ofEach reads the rows of each value of a column from where an index has them
// together.
func ofEach[T ~string](l *listing, d sqldb.Dialect, column string, values []T) {
	if d == sqldb.Postgres && len(values) > fewBranches {
		l.lateral, l.lateralValues = column, sqldb.Texts(d, values)
		return
	}
	for _, v := range values {
		l.branches = append(l.branches, branch{add: func(w *where) { w.add(column+" = ?", v) }})
	}
}

// ofEvent are the branches of the deliveries of an event: those whose ids carry
// its time, and those of its replays. There is no index of deliveries by event,
// which every insert would pay for.
func ofEvent(e convoy.EventID) []branch {
	return []branch{
		{ids: span{from: moment(string(e)), to: momentEnd(string(e))}, add: func(w *where) { w.add("d.event_id = ?", e) }},
		{add: func(w *where) { w.add(replayed+" AND d.event_id = ?", e) }},
	}
}

// keyedBy returns the newest events that hold or held an idempotency key; a
// window's end lets another event take it.
func (s *Store) keyedBy(ctx context.Context, q sqldb.Querier, project convoy.ProjectID, key string) ([]convoy.EventID, error) {
	rows, err := q.Query(ctx, `SELECT e.id FROM events e WHERE e.project_id = $1 AND e.idempotency_key = $2 AND e.idempotency_key <> ''
		AND e.is_duplicate = 0 ORDER BY e.id DESC LIMIT $3`, project, key, maxBranches/2)
	return collect(rows, err, scanID[convoy.EventID])
}

func scanID[T ~string](row sqldb.Row) (id T, err error) {
	err = row.Scan(&id)
	return id, err
}

// DeliveryDetail returns one delivery of a project with its event and endpoint.
func (s *Store) DeliveryDetail(ctx context.Context, project convoy.ProjectID, id convoy.DeliveryID) (DeliveryDetail, error) {
	d, err := s.Delivery(ctx, project, id)
	if err != nil {
		return DeliveryDetail{}, err
	}
	own, ctx := within(ctx)
	details, err := s.details(ctx, s.db, []*convoy.Delivery{d})
	if err != nil {
		return DeliveryDetail{}, fmt.Errorf("delivery: %w", err)
	}
	own.hide([]convoy.EndpointID{d.EndpointID}, details)
	return details[0], nil
}

// details looks the events and endpoints of deliveries up, a query each.
func (s *Store) details(ctx context.Context, q sqldb.Querier, ds []*convoy.Delivery) ([]DeliveryDetail, error) {
	out := make([]DeliveryDetail, len(ds))
	if len(ds) == 0 {
		return out, nil
	}
	var (
		events    = make(map[convoy.EventID]*convoy.Event, len(ds))
		endpoints = make(map[convoy.EndpointID]*convoy.Endpoint)
	)
	for _, d := range ds {
		events[d.EventID], endpoints[d.EndpointID] = nil, nil
	}
	loaded, err := s.eventsByID(ctx, q, keys(events), where{})
	if err != nil {
		return nil, err
	}
	for _, e := range loaded {
		events[e.ID] = e
	}
	d := s.db.Dialect()
	targets, err := opened(ctx, s, func(o *opener) ([]*convoy.Endpoint, error) {
		rows, err := q.Query(ctx, `SELECT `+endpointCols+` FROM endpoints p WHERE `+d.In("p.id", "$1"), sqldb.Texts(d, keys(endpoints)))
		return collect(rows, err, o.endpoint)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range targets {
		endpoints[p.ID] = p
	}
	ids := make([]convoy.DeliveryID, len(ds))
	for i, x := range ds {
		ids[i] = x.ID
	}
	slices.Sort(ids)
	payloads, err := s.payloadsByID(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	for i, x := range ds {
		out[i] = DeliveryDetail{Delivery: x, Event: events[x.EventID], Endpoint: endpoints[x.EndpointID], Payload: payloads[x.ID]}
	}
	return out, nil
}

// keys are the keys of a map in order.
func keys[K cmp.Ordered, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// eventsByID loads events by ids in ascending order, if they meet w too.
func (s *Store) eventsByID(ctx context.Context, q sqldb.Querier, ids []convoy.EventID, w where) ([]*convoy.Event, error) {
	d := s.db.Dialect()
	// The bounds let the planner prune partitions.
	w.add("e.id >= ? AND e.id <= ?", ids[0], ids[len(ids)-1])
	w.conds = append(w.conds, d.In("e.id", w.param(sqldb.Texts(d, ids))))
	rows, err := q.Query(ctx, `SELECT `+eventCols+` FROM events e`+w.String()+` ORDER BY e.id`, w.args...)
	return collect(rows, err, scanEvent)
}

// attemptSkew is what the clocks of two processes may differ by.
const attemptSkew = time.Hour

// Attempts returns the newest attempts of a delivery, oldest first.
func (s *Store) Attempts(ctx context.Context, project convoy.ProjectID, delivery convoy.DeliveryID, limit int) ([]*convoy.Attempt, error) {
	// The bound prunes partitions. An attempt is never older than its delivery,
	// give or take the skew.
	var from string
	if made := id.Time(string(delivery)); !made.IsZero() {
		from = id.Floor(made.Add(-attemptSkew))
	}
	own, ctx := within(ctx)
	clause, args := own.clause([]any{delivery, from, project, limit}, "a.endpoint_id")
	rows, err := s.db.Replica().Query(ctx, `SELECT `+attemptCols+` FROM attempts a
		WHERE a.delivery_id = $1 AND a.id >= $2 AND a.project_id = $3`+clause+` ORDER BY a.id DESC LIMIT $4`, args...)
	list, err := collect(rows, err, scanAttempt)
	if err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	slices.Reverse(list)
	return list, nil
}

// Attempt returns one attempt of a delivery.
func (s *Store) Attempt(ctx context.Context, project convoy.ProjectID, delivery convoy.DeliveryID, id convoy.AttemptID) (*convoy.Attempt, error) {
	own, ctx := within(ctx)
	clause, args := own.clause([]any{delivery, id, project}, "a.endpoint_id")
	a, err := scanAttempt(s.db.QueryRow(ctx, `SELECT `+attemptCols+` FROM attempts a
		WHERE a.delivery_id = $1 AND a.id = $2 AND a.project_id = $3`+clause, args...))
	return a, found(err, "event delivery attempt not found")
}

const attemptCols = `a.id, a.delivery_id, a.project_id, a.endpoint_id, a.url, a.method, a.ip, a.http_status, a.error, a.success,
	a.request_headers, a.response_headers, a.response, a.requested_at, a.responded_at, a.created_at`

func scanAttempt(row sqldb.Row) (*convoy.Attempt, error) {
	var (
		a                                      convoy.Attempt
		request, response                      string
		success, requested, responded, created int64
	)
	if err := row.Scan(&a.ID, &a.DeliveryID, &a.ProjectID, &a.EndpointID, &a.URL, &a.Method, &a.IP, &a.HTTPStatus, &a.Error, &success,
		&request, &response, &a.Response, &requested, &responded, &created); err != nil {
		return nil, err
	}
	var err error
	if a.RequestHeaders, err = parseHeaders(request); err == nil {
		a.ResponseHeaders, err = parseHeaders(response)
	}
	if err != nil {
		return nil, fmt.Errorf("headers of attempt %s: %w", a.ID, err)
	}
	a.Success = success != 0
	a.RequestedAt, a.RespondedAt, a.CreatedAt = instant(requested), instant(responded), instant(created)
	return &a, nil
}
