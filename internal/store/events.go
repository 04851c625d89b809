package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const eventCols = `e.id, e.project_id, e.kind, e.event_type, e.source_id, e.owner_id, e.target_url, e.endpoints, e.headers, e.data, e.idempotency_key,
	e.is_duplicate, e.url_query, e.url_path, e.status, e.failure_reason, e.schema_error, e.acknowledged_at, e.created_at, e.updated_at`

// eventDest is where a row of eventCols is scanned to before it becomes an
// event.
type eventDest struct {
	e                               *convoy.Event
	endpoints, headers              string
	dup, acknowledged, created, upd int64
}

func (d *eventDest) dest() []any {
	d.e = new(convoy.Event)
	e := d.e
	return []any{&e.ID, &e.ProjectID, &e.Kind, &e.Type, &e.SourceID, &e.OwnerID, &e.TargetURL, &d.endpoints, &d.headers, &e.Data, &e.IdempotencyKey,
		&d.dup, &e.URLQuery, &e.URLPath, &e.Status, &e.FailureReason, &e.SchemaError, &d.acknowledged, &d.created, &d.upd}
}

func (d *eventDest) event() (*convoy.Event, error) {
	e := d.e
	e.Endpoints = parseIDs[convoy.EndpointID](d.endpoints)
	var err error
	if e.Headers, err = parseHeaders(d.headers); err != nil {
		return nil, fmt.Errorf("headers of event %s: %w", e.ID, err)
	}
	e.Duplicate = d.dup != 0
	e.AcknowledgedAt, e.CreatedAt, e.UpdatedAt = instant(d.acknowledged), instant(d.created), instant(d.upd)
	return e, nil
}

func scanEvent(row sqldb.Row) (*convoy.Event, error) {
	var d eventDest
	if err := row.Scan(d.dest()...); err != nil {
		return nil, err
	}
	return d.event()
}

// Event returns one event of a project.
func (s *Store) Event(ctx context.Context, project convoy.ProjectID, id convoy.EventID) (*convoy.Event, error) {
	own, ctx := within(ctx)
	e, err := scanEvent(s.db.QueryRow(ctx, `SELECT `+eventCols+` FROM events e WHERE e.id = $1 AND e.project_id = $2`, id, project))
	if err != nil || own == nil {
		return e, found(err, eventMissing)
	}
	return s.ownEvent(ctx, own, e)
}

const eventMissing = "event not found"

// ownEvent shows an owner an event that has a delivery to one of its endpoints.
func (s *Store) ownEvent(ctx context.Context, own *ownership, e *convoy.Event) (*convoy.Event, error) {
	endpoints, some, err := own.among(ctx, s.db, nil)
	if err != nil {
		return nil, err
	}
	if !some {
		return nil, convoy.E(convoy.NotFound, eventMissing)
	}
	n, err := s.CountDeliveries(ctx, DeliveryFilter{Project: e.ProjectID, Event: e.ID, Endpoints: endpoints})
	if err == nil && n == 0 {
		err = convoy.E(convoy.NotFound, eventMissing)
	}
	own.only(endpoints, e)
	return e, err
}

// Routed is a batch of events and the deliveries that follow from them.
type Routed struct {
	Events     []*convoy.Event
	Deliveries []*convoy.Delivery
	// Payloads are of those deliveries that have one of their own.
	Payloads []*convoy.Payload
	// Meta are the meta events that tell of those deliveries that have ended
	// already.
	Meta map[convoy.DeliveryID]convoy.Job
}

// bind inserts deliveries with what belongs to them.
func (r *Routed) bind() []sqldb.Bound {
	writes := []sqldb.Bound{bindDeliveries(r.Deliveries), bindPayloads(insertPayloads, r.Payloads)}
	if len(r.Meta) > 0 {
		writes = append(writes, bindMeta(slices.Collect(maps.Values(r.Meta)))...)
	}
	return writes
}

var insertEvents = countEvents(sqldb.InsertBatch("events", "ON CONFLICT (id) DO NOTHING",
	"id:text", "project_id:text", "kind:text", "event_type:text", "source_id:text", "owner_id:text", "target_url:text", "endpoints:text", "headers:text", "data:bytes",
	"idempotency_key:text", "is_duplicate:int", "url_query:text", "url_path:text", "status:text", "failure_reason:text", "schema_error:text",
	"acknowledged_at:int", "created_at:int", "updated_at:int", "broker_message_id:text"))

func bindEvents(events []*convoy.Event) []sqldb.Bound {
	return withLate(insertEvents.Bind(len(events), func(i int, w *sqldb.RowWriter) {
		e := events[i]
		w.Text(string(e.ID)).Text(string(e.ProjectID)).Text(string(e.Kind)).Text(e.Type).Text(string(e.SourceID)).
			Text(e.OwnerID).Text(e.TargetURL).Text(idsText(e.Endpoints)).Text(headersText(e.Headers)).Bytes(e.Data).
			Text(e.IdempotencyKey).Bool(e.Duplicate).Text(e.URLQuery).Text(e.URLPath).
			Text(string(e.Status)).Text(e.FailureReason).Text(e.SchemaError).
			Int(micros(e.AcknowledgedAt)).Int(micros(e.CreatedAt)).Int(micros(e.UpdatedAt)).Text(brokerMessage(e.Headers))
	}), events)
}

// Append writes events and their deliveries in one transaction. Writing the
// same batch again changes nothing. An event whose idempotency key another
// event holds is marked a duplicate in place, and its deliveries are dropped
// from the batch; a key is held until now plus window.
func (s *Store) Append(ctx context.Context, r *Routed, now time.Time, window time.Duration) error {
	keyed := keyedEvents(r.Events)
	if len(keyed) == 0 {
		if err := s.db.Apply(ctx, append(bindEvents(r.Events), bindDeliveries(r.Deliveries))...); err != nil {
			return fmt.Errorf("append events: %w", err)
		}
		return nil
	}
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := s.markDuplicates(ctx, tx, keyed, now, window); err != nil {
			return err
		}
		dropDuplicates(r)
		return tx.Apply(ctx, append(bindEvents(r.Events), bindDeliveries(r.Deliveries))...)
	})
	if err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	return nil
}

// keyedEvents returns the events with an idempotency key in key order, so that
// two processes that write the same keys wait for each other instead of
// deadlocking; events of one key stay in the order they came.
func keyedEvents(events []*convoy.Event) []*convoy.Event {
	var keyed []*convoy.Event
	for _, e := range events {
		if e.IdempotencyKey != "" {
			keyed = append(keyed, e)
		}
	}
	slices.SortStableFunc(keyed, func(a, b *convoy.Event) int {
		return cmp.Or(cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.IdempotencyKey, b.IdempotencyKey))
	})
	return keyed
}

var takeKeys = sqldb.InsertBatch("idempotency_keys",
	`ON CONFLICT (project_id, key) DO UPDATE SET event_id = excluded.event_id, expires_at = excluded.expires_at,
	 taken_at = excluded.taken_at WHERE idempotency_keys.expires_at <= excluded.taken_at`,
	"project_id:text", "key:text", "event_id:text", "taken_at:int", "expires_at:int")

// markDuplicates takes the keys for their first events and marks the others.
func (s *Store) markDuplicates(ctx context.Context, tx sqldb.Tx, keyed []*convoy.Event, now time.Time, window time.Duration) error {
	type key struct {
		project convoy.ProjectID
		key     string
	}
	first := make([]*convoy.Event, 0, len(keyed))
	for i, e := range keyed {
		if i == 0 || keyed[i-1].ProjectID != e.ProjectID || keyed[i-1].IdempotencyKey != e.IdempotencyKey {
			first = append(first, e)
		}
	}
	err := tx.Apply(ctx, takeKeys.Bind(len(first), func(i int, w *sqldb.RowWriter) {
		e := first[i]
		w.Text(string(e.ProjectID)).Text(e.IdempotencyKey).Text(string(e.ID)).
			Int(micros(now)).Int(micros(now.Add(window)))
	}))
	if err != nil {
		return fmt.Errorf("idempotency keys: %w", err)
	}
	holders := make(map[key]convoy.EventID, len(first))
	d := s.db.Dialect()
	for lo := 0; lo < len(first); {
		project, hi := first[lo].ProjectID, lo
		var keys []string
		for ; hi < len(first) && first[hi].ProjectID == project; hi++ {
			keys = append(keys, first[hi].IdempotencyKey)
		}
		rows, err := tx.Query(ctx, `SELECT key, event_id FROM idempotency_keys WHERE project_id = $1 AND `+d.In("key", "$2"),
			project, sqldb.Texts(d, keys))
		if err != nil {
			return fmt.Errorf("idempotency keys: %w", err)
		}
		for rows.Next() {
			var (
				k  string
				id convoy.EventID
			)
			if err := rows.Scan(&k, &id); err != nil {
				rows.Close()
				return fmt.Errorf("idempotency keys: %w", err)
			}
			holders[key{project, k}] = id
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return fmt.Errorf("idempotency keys: %w", err)
		}
		lo = hi
	}
	for _, e := range keyed {
		if holders[key{e.ProjectID, e.IdempotencyKey}] != e.ID {
			e.Duplicate, e.Status, e.FailureReason = true, convoy.EventSuccess, ""
		}
	}
	return nil
}

// dropDuplicates removes the deliveries of duplicate events.
func dropDuplicates(r *Routed) {
	dup := make(map[convoy.EventID]bool)
	for _, e := range r.Events {
		if e.Duplicate {
			dup[e.ID] = true
		}
	}
	if len(dup) > 0 {
		r.Deliveries = slices.DeleteFunc(r.Deliveries, func(d *convoy.Delivery) bool { return dup[d.EventID] })
	}
}

// ForgetKeys deletes at most max expired idempotency keys and returns how many
// it deleted.
func (s *Store) ForgetKeys(ctx context.Context, now time.Time, max int) (int, error) {
	var n int64
	err := s.db.Write(ctx, func(tx sqldb.Tx) (err error) {
		n, err = tx.Exec(ctx, `DELETE FROM idempotency_keys WHERE (project_id, key) IN
			(SELECT project_id, key FROM idempotency_keys WHERE expires_at <= $1 LIMIT $2)`, micros(now), max)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("expired idempotency keys: %w", err)
	}
	return int(n), nil
}

var routeEvents = &sqldb.Batch{
	Columns: []sqldb.Type{sqldb.Text, sqldb.Text, sqldb.Text, sqldb.Text, sqldb.Int},
	Postgres: `UPDATE events SET endpoints = u.endpoints, status = u.status, failure_reason = u.reason, updated_at = u.updated_at
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS u(id, endpoints, status, reason, updated_at)
		WHERE events.id = u.id AND events.status = 'Pending'`,
	SQLite: `UPDATE events SET endpoints = $2, status = $3, failure_reason = $4, updated_at = $5
		WHERE id = $1 AND status = 'Pending'`,
}

var settleFailed = &sqldb.Batch{
	Columns: []sqldb.Type{sqldb.Text, sqldb.Text, sqldb.Int},
	Postgres: `UPDATE events SET endpoints = u.endpoints, status = 'Success', failure_reason = '', updated_at = u.updated_at
		FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u(id, endpoints, updated_at)
		WHERE events.id = u.id AND events.status = 'Failure'`,
	SQLite: `UPDATE events SET endpoints = $2, status = 'Success', failure_reason = '', updated_at = $3
		WHERE id = $1 AND status = 'Failure'`,
}

// Replay writes deliveries of events that are stored already, leaving those
// alone that are stored, too. The events of the batch had failed and are routed
// now.
func (s *Store) Replay(ctx context.Context, r *Routed) error {
	settled := settleFailed.Bind(len(r.Events), func(i int, w *sqldb.RowWriter) {
		e := r.Events[i]
		w.Text(string(e.ID)).Text(idsText(e.Endpoints)).Int(micros(e.UpdatedAt))
	})
	err := s.db.Apply(ctx, append([]sqldb.Bound{settled}, r.bind()...)...)
	if err != nil {
		return fmt.Errorf("replay events: %w", err)
	}
	return nil
}

func bindRouted(events []*convoy.Event) sqldb.Bound {
	return routeEvents.Bind(len(events), func(i int, w *sqldb.RowWriter) {
		e := events[i]
		w.Text(string(e.ID)).Text(idsText(e.Endpoints)).Text(string(e.Status)).Text(e.FailureReason).Int(micros(e.UpdatedAt))
	})
}

// Reroute writes what became of events that were stored unrouted.
func (s *Store) Reroute(ctx context.Context, r *Routed) error {
	err := s.db.Apply(ctx, bindRouted(r.Events), bindDeliveries(r.Deliveries))
	if err != nil {
		return fmt.Errorf("reroute events: %w", err)
	}
	return nil
}
