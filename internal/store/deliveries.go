package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

const deliveryMissing = "event delivery not found"

const deliveryCols = `d.id, d.project_id, d.event_id, d.endpoint_id, d.subscription_id, d.event_type, d.target_url, d.mode,
	d.status, d.description, d.retry_type, d.retry_interval, d.retry_limit, d.trials, d.resends, d.due_at, d.claim_at, d.latency,
	d.acknowledged_at, d.created_at, d.updated_at, d.permit_at, d.held_by`

// deliveryDest is where a row of deliveryCols is scanned to.
type deliveryDest struct {
	d                                                                          *convoy.Delivery
	interval, limit, trials, resends, due, claim, latency, ack, cr, up, permit int64
}

func (d *deliveryDest) dest() []any {
	d.d = new(convoy.Delivery)
	x := d.d
	return []any{&x.ID, &x.ProjectID, &x.EventID, &x.EndpointID, &x.SubscriptionID, &x.EventType, &x.TargetURL, &x.Mode,
		&x.Status, &x.Description, &x.Retry.Type, &d.interval, &d.limit, &d.trials, &d.resends, &d.due, &d.claim, &d.latency,
		&d.ack, &d.cr, &d.up, &d.permit, &x.HeldBy}
}

func (d *deliveryDest) delivery() *convoy.Delivery {
	x := d.d
	x.Retry.Interval = time.Duration(d.interval) * time.Second
	x.Retry.Limit, x.Trials, x.Resends = int(d.limit), int(d.trials), int(d.resends)
	x.DueAt, x.ClaimAt = instant(d.due), instant(d.claim)
	x.Latency = time.Duration(d.latency) * time.Microsecond
	x.AcknowledgedAt, x.CreatedAt, x.UpdatedAt = instant(d.ack), instant(d.cr), instant(d.up)
	x.PermitAt = instant(d.permit)
	return x
}

func scanDelivery(row sqldb.Row) (*convoy.Delivery, error) {
	var d deliveryDest
	if err := row.Scan(d.dest()...); err != nil {
		return nil, err
	}
	return d.delivery(), nil
}

// Delivery returns one delivery of a project.
func (s *Store) Delivery(ctx context.Context, project convoy.ProjectID, id convoy.DeliveryID) (*convoy.Delivery, error) {
	own, ctx := within(ctx)
	clause, args := own.clause([]any{id, project}, "d.endpoint_id")
	d, err := scanDelivery(s.db.QueryRow(ctx, `SELECT `+deliveryCols+` FROM deliveries d WHERE d.id = $1 AND d.project_id = $2`+clause, args...))
	return d, found(err, deliveryMissing)
}

var insertDeliveries = sqldb.InsertBatch("deliveries", "ON CONFLICT (id) DO NOTHING",
	"id:text", "project_id:text", "event_id:text", "endpoint_id:text", "subscription_id:text", "event_type:text",
	"target_url:text", "mode:text", "status:text", "description:text", "retry_type:text", "retry_interval:int",
	"retry_limit:int", "trials:int", "due_at:int", "claim_at:int", "latency:int", "acknowledged_at:int",
	"created_at:int", "updated_at:int")

func bindDeliveries(ds []*convoy.Delivery) sqldb.Bound {
	return insertDeliveries.Bind(len(ds), func(i int, w *sqldb.RowWriter) {
		d := ds[i]
		w.Text(string(d.ID)).Text(string(d.ProjectID)).Text(string(d.EventID)).Text(string(d.EndpointID)).
			Text(string(d.SubscriptionID)).Text(d.EventType).Text(d.TargetURL).Text(string(d.Mode)).
			Text(string(d.Status)).Text(d.Description).Text(string(d.Retry.Type)).
			Int(int64(d.Retry.Interval / time.Second)).Int(int64(d.Retry.Limit)).Int(int64(d.Trials)).
			Int(micros(d.DueAt)).Int(micros(d.ClaimAt)).Int(d.Latency.Microseconds()).
			Int(micros(d.AcknowledgedAt)).Int(micros(d.CreatedAt)).Int(micros(d.UpdatedAt))
	})
}

// Due is a delivery, the endpoint it goes to, and when its next try is due.
type Due struct {
	ID       convoy.DeliveryID
	Endpoint convoy.EndpointID
	At       time.Time
}

// ClaimDue takes at most max deliveries whose claim time has come, oldest
// first, and moves their claim time to now plus lease, so that nobody else
// gets them before. It also returns when the next one may be claimed (zero
// when none waits); only a claim that found fewer than max looks that up.
func (s *Store) ClaimDue(ctx context.Context, now time.Time, lease time.Duration, max int) (claimed []Due, next time.Time, err error) {
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE deliveries SET claim_at = $1 WHERE id IN
			(SELECT id FROM deliveries WHERE claim_at > 0 AND claim_at <= $2 ORDER BY claim_at LIMIT $3`+s.db.Dialect().SkipLocked()+`)
			RETURNING id, endpoint_id, due_at`, micros(now.Add(lease)), micros(now), max)
		claimed, err = collect(rows, err, scanDue)
		return err
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("claim deliveries: %w", err)
	}
	if len(claimed) == max {
		return claimed, now, nil
	}
	var at int64
	err = s.db.QueryRow(ctx, `SELECT claim_at FROM deliveries WHERE claim_at > 0 ORDER BY claim_at LIMIT 1`).Scan(&at)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return claimed, time.Time{}, nil // the claim stands; the next look will tell
	}
	return claimed, instant(at), nil
}

func scanDue(row sqldb.Row) (Due, error) {
	var (
		d  Due
		at int64
	)
	err := row.Scan(&d.ID, &d.Endpoint, &at)
	d.At = instant(at)
	return d, err
}

var releaseDeliveries = &sqldb.Batch{
	Columns: []sqldb.Type{sqldb.Text, sqldb.Int},
	Postgres: `UPDATE deliveries SET claim_at = u.at FROM unnest($1::text[], $2::bigint[]) AS u(id, at)
		WHERE deliveries.id = u.id AND deliveries.status IN ('Scheduled', 'Retry')`,
	SQLite: `UPDATE deliveries SET claim_at = $2 WHERE id = $1 AND status IN ('Scheduled', 'Retry')`,
}

// Release lets the store offer deliveries again at the given times.
func (s *Store) Release(ctx context.Context, due []Due) error {
	err := s.db.Apply(ctx, releaseDeliveries.Bind(len(due), func(i int, w *sqldb.RowWriter) {
		w.Text(string(due[i].ID)).Int(micros(due[i].At))
	}))
	if err != nil {
		return fmt.Errorf("release deliveries: %w", err)
	}
	return nil
}

// freshMark is the fact that says up to which id SweepFresh has come.
const freshMark = "deliveries.fresh_mark"

// SweepFresh finds deliveries whose first try never ended. A delivery routed
// and sent in one process is inserted with claim time 0, so that the usual case
// touches no index twice; when that process dies, nothing but the row knows of
// it. Each sweep reads the rows whose ids lie between the last sweep's end and
// before, once, and makes those still waiting claimable at their due time. It
// stops after max rows, and reports how many it found and whether it reached
// the end.
func (s *Store) SweepFresh(ctx context.Context, before time.Time, max int) (swept int, done bool, err error) {
	end := id.Floor(before)
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		mark, err := readFact(ctx, tx, freshMark)
		if err != nil {
			return err
		}
		if mark >= end {
			done = true
			return nil
		}
		rows, err := tx.Query(ctx, `SELECT id FROM deliveries WHERE id >= $1 AND id < $2 AND claim_at = 0
			AND status IN ('Scheduled', 'Retry') ORDER BY id LIMIT $3`, mark, end, max)
		ids, err := collect(rows, err, func(r sqldb.Row) (d convoy.DeliveryID, err error) { err = r.Scan(&d); return })
		if err != nil {
			return err
		}
		swept, done = len(ids), len(ids) < max
		if !done {
			end = string(ids[len(ids)-1])
		}
		d := s.db.Dialect()
		if swept > 0 {
			if _, err := tx.Exec(ctx, `UPDATE deliveries SET claim_at = due_at WHERE claim_at = 0 AND status IN ('Scheduled', 'Retry')
				AND id >= $2 AND id <= $3 AND `+d.In("id", "$1"), sqldb.Texts(d, ids), ids[0], ids[len(ids)-1]); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, freshMark, end)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("sweep fresh deliveries: %w", err)
	}
	return swept, done, nil
}

// Recover makes every unfinished delivery claimable at its due time. It is for
// the start of a process that owns the store alone: whoever held a claim is
// gone.
func (s *Store) Recover(ctx context.Context, now time.Time) error {
	for {
		// No further than now: what this process makes from here on must lie beyond
		// the mark, or nobody finds it should the process die soon.
		_, done, err := s.SweepFresh(ctx, now.Add(time.Millisecond), 10_000)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE deliveries SET claim_at = due_at WHERE claim_at > 0 AND claim_at < $1 AND claim_at > due_at AND due_at > 0`, micros(convoy.Held))
		return err
	})
	if err != nil {
		return fmt.Errorf("recover deliveries: %w", err)
	}
	return nil
}

// Jobs loads what is needed to try the given deliveries. Ids that are unknown
// or whose delivery has ended are left out.
func (s *Store) Jobs(ctx context.Context, ids []convoy.DeliveryID) ([]convoy.Job, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	jobs, err := s.jobs(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("load deliveries: %w", err)
	}
	return jobs, nil
}

func (s *Store) jobs(ctx context.Context, ids []convoy.DeliveryID) ([]convoy.Job, error) {
	d := s.db.Dialect()
	lo, hi := slices.Min(ids), slices.Max(ids)
	cols, join, shared := eventCols, "JOIN events e ON e.id = d.event_id", sharedEvents(ids)
	if shared { // an event that many have is read once
		cols, join = "''", ""
	}
	rows, err := s.db.Query(ctx, `SELECT `+deliveryCols+`, p.data, p.failure, `+cols+` FROM deliveries d `+join+`
		LEFT JOIN delivery_payloads p ON p.id = d.id AND p.id >= $2 AND p.id <= $3
		WHERE d.id >= $2 AND d.id <= $3 AND `+d.In("d.id", "$1")+` AND d.status IN ('Scheduled', 'Retry')`,
		sqldb.Texts(d, ids), lo, hi)
	jobs, err := collect(rows, err, func(row sqldb.Row) (convoy.Job, error) {
		var (
			j       convoy.Job
			dd      deliveryDest
			ed      eventDest
			data    []byte
			failure *string
			none    string
		)
		dest := append(dd.dest(), &data, &failure)
		if shared {
			dest = append(dest, &none)
		} else {
			dest = append(dest, ed.dest()...)
		}
		err := row.Scan(dest...)
		if err == nil && !shared {
			j.Event, err = ed.event()
		}
		if err != nil {
			return j, err
		}
		j.Delivery = dd.delivery()
		if failure != nil {
			j.Payload = &convoy.Payload{Delivery: j.Delivery.ID, Data: data, Failure: *failure}
		}
		return j, nil
	})
	if err != nil || !shared || len(jobs) == 0 {
		return jobs, err
	}
	return s.withEvents(ctx, jobs)
}

// sharedEvents guesses whether deliveries are of fewer events than deliveries:
// those of an event have its time.
func sharedEvents(ids []convoy.DeliveryID) bool {
	moments := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		moments[moment(string(id))] = struct{}{}
	}
	return len(ids) > 8*len(moments)
}

// withEvents adds the events; jobs of the same share it.
func (s *Store) withEvents(ctx context.Context, jobs []convoy.Job) ([]convoy.Job, error) {
	events := make(map[convoy.EventID]*convoy.Event)
	for i := range jobs {
		events[jobs[i].Delivery.EventID] = nil
	}
	loaded, err := s.eventsByID(ctx, s.db, keys(events), where{})
	if err != nil {
		return nil, err
	}
	for _, e := range loaded {
		events[e.ID] = e
	}
	for i := range jobs {
		jobs[i].Event = events[jobs[i].Delivery.EventID]
	}
	// Without its event a delivery cannot be made.
	return slices.DeleteFunc(jobs, func(j convoy.Job) bool { return j.Event == nil }), nil
}

// Outcome is what one try, or the decision not to try, makes of a delivery.
type Outcome struct {
	// Delivery is the delivery after it.
	Delivery *convoy.Delivery
	// Before is the number of trials it had. The write is skipped when the
	// stored delivery has another, or was resent since: someone else got there
	// first.
	Before int
	// Attempt is nil when no request was made.
	Attempt *convoy.Attempt
	// Payload, if not nil, replaces the delivery's own payload.
	Payload *convoy.Payload
	// Meta, if not nil, is the meta event that tells of it.
	Meta *convoy.Job
}

var insertAttempts = sqldb.InsertBatch("attempts", "ON CONFLICT DO NOTHING",
	"delivery_id:text", "id:text", "project_id:text", "endpoint_id:text", "url:text", "method:text", "ip:text",
	"http_status:text", "error:text", "success:int", "request_headers:text", "response_headers:text", "response:text",
	"requested_at:int", "responded_at:int", "created_at:int")

var updateDeliveries = &sqldb.Batch{
	Columns: []sqldb.Type{
		sqldb.Text, sqldb.Text, sqldb.Text, sqldb.Int, sqldb.Int, sqldb.Int, sqldb.Int, sqldb.Int, sqldb.Int, sqldb.Text,
		sqldb.Text, sqldb.Int, sqldb.Int,
	},
	Postgres: countOutcomes(`UPDATE deliveries SET status = u.status, description = u.description, target_url = u.url, trials = u.trials,
			due_at = u.due_at, claim_at = u.claim_at, latency = u.latency, updated_at = u.updated_at, permit_at = u.permit_at,
			held_by = u.held_by
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
				$9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::bigint[])
			AS u(status, description, url, trials, due_at, claim_at, latency, updated_at, permit_at, held_by, id, before, resends)
		WHERE deliveries.id = u.id AND deliveries.trials = u.before AND deliveries.resends = u.resends AND deliveries.status IN ('Scheduled', 'Retry')
			AND deliveries.id >= $14 AND deliveries.id <= $15`),
	SQLite: `UPDATE deliveries SET status = ?, description = ?, target_url = ?, trials = ?,
			due_at = ?, claim_at = ?, latency = ?, updated_at = ?, permit_at = ?, held_by = ?
		WHERE id = ? AND trials = ? AND resends = ? AND status IN ('Scheduled', 'Retry')`,
	Scalars: 2,
}

// Record writes outcomes, their attempts and their meta events in one
// transaction. A meta event is stored when its outcome is.
func (s *Store) Record(ctx context.Context, outcomes []Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	attempts := make([]*convoy.Attempt, 0, len(outcomes))
	var payloads []*convoy.Payload
	telling := false
	lo, hi := outcomes[0].Delivery.ID, outcomes[0].Delivery.ID
	for i := range outcomes {
		o := &outcomes[i]
		lo, hi = min(lo, o.Delivery.ID), max(hi, o.Delivery.ID)
		if o.Attempt != nil {
			attempts = append(attempts, o.Attempt)
		}
		if o.Payload != nil {
			payloads = append(payloads, o.Payload)
		}
		telling = telling || o.Meta != nil
	}
	update := updateDeliveries.Bind(len(outcomes), func(i int, w *sqldb.RowWriter) {
		d := outcomes[i].Delivery
		w.Text(string(d.Status)).Text(d.Description).Text(d.TargetURL).
			Int(int64(d.Trials)).Int(micros(d.DueAt)).Int(micros(d.ClaimAt)).Int(d.Latency.Microseconds()).Int(micros(d.UpdatedAt)).
			Int(micros(d.PermitAt)).Text(d.HeldBy).
			Text(string(d.ID)).Int(int64(outcomes[i].Before)).Int(int64(d.Resends))
	})
	writes := []sqldb.Bound{bindAttempts(attempts), bindPayloads(putPayloads, payloads), update.With(string(lo), string(hi))}
	var err error
	if telling {
		err = s.recordTelling(ctx, outcomes, writes)
	} else {
		err = s.db.Apply(ctx, writes...)
	}
	if err != nil {
		return fmt.Errorf("record outcomes: %w", err)
	}
	return nil
}

func bindAttempts(attempts []*convoy.Attempt) sqldb.Bound {
	return insertAttempts.Bind(len(attempts), func(i int, w *sqldb.RowWriter) {
		a := attempts[i]
		w.Text(string(a.DeliveryID)).Text(string(a.ID)).Text(string(a.ProjectID)).Text(string(a.EndpointID)).
			Text(a.URL).Text(a.Method).Text(a.IP).Text(a.HTTPStatus).Text(a.Error).Bool(a.Success).
			Text(headersText(a.RequestHeaders)).Text(headersText(a.ResponseHeaders)).Text(a.Response).
			Int(micros(a.RequestedAt)).Int(micros(a.RespondedAt)).Int(micros(a.CreatedAt))
	})
}

// Resume makes an endpoint's parked deliveries due.
func (s *Store) Resume(ctx context.Context, endpoint convoy.EndpointID, now time.Time) error {
	if err := s.db.Write(ctx, func(tx sqldb.Tx) error { return resume(ctx, tx, endpoint, now) }); err != nil {
		return fmt.Errorf("resume endpoint: %w", err)
	}
	return nil
}

func resume(ctx context.Context, tx sqldb.Tx, endpoint convoy.EndpointID, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE deliveries SET claim_at = $1 WHERE claim_at = $2 AND claim_at > 0 AND endpoint_id = $3`,
		micros(now), micros(convoy.Parked), endpoint)
	return err
}

// Unpark makes the parked deliveries claimable whose endpoint is not paused: a
// process that did not know yet that the endpoint was resumed may park one
// after [Store.SetEndpointStatus] has looked. It returns how many it found.
func (s *Store) Unpark(ctx context.Context, now time.Time) (int, error) {
	n, err := s.exec(ctx, `UPDATE deliveries SET claim_at = $1 WHERE claim_at = $2 AND claim_at > 0 AND endpoint_id NOT IN
		(SELECT id FROM endpoints WHERE status <> 'active' AND deleted_at = 0)`, micros(now), micros(convoy.Parked))
	if err != nil {
		return 0, fmt.Errorf("unpark deliveries: %w", err)
	}
	return int(n), nil
}

// DueDepth counts the deliveries that may be claimed, up to max, and returns
// the due time of the one that has waited longest (zero when none waits).
func (s *Store) DueDepth(ctx context.Context, now time.Time, max int) (n int, oldest time.Time, err error) {
	var at int64
	err = s.db.QueryRow(ctx, `SELECT count(*), coalesce(min(due_at), 0) FROM
		(SELECT due_at FROM deliveries WHERE claim_at > 0 AND claim_at <= $1 LIMIT $2) AS waiting`, micros(now), max).Scan(&n, &at)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("due deliveries: %w", err)
	}
	return n, instant(at), nil
}
