package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// again gives deliveries a fresh budget of tries, due at once. Its conditions
// say which; $1 is the time.
const again = `UPDATE deliveries SET status = 'Scheduled', description = '', trials = 0, resends = resends + 1,
	due_at = $1, claim_at = $1, permit_at = 0, held_by = '', updated_at = $1 WHERE `

// Resend schedules a delivery that failed or was discarded, with a fresh budget
// of tries, and returns it. Another status is a convoy.Invalid error.
func (s *Store) Resend(ctx context.Context, project convoy.ProjectID, delivery convoy.DeliveryID, now time.Time) (*convoy.Delivery, error) {
	var d *convoy.Delivery
	own, ctx := within(ctx)
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		clause, args := own.clause([]any{micros(now), delivery, project}, "endpoint_id")
		n, err := tx.Exec(ctx, again+`id = $2 AND project_id = $3 AND status IN ('Failure', 'Discarded')`+clause, args...)
		if err != nil {
			return err
		}
		clause, args = own.clause([]any{delivery, project}, "d.endpoint_id")
		d, err = scanDelivery(tx.QueryRow(ctx, `SELECT `+deliveryCols+` FROM deliveries d WHERE d.id = $1 AND d.project_id = $2`+clause, args...))
		switch {
		case err != nil:
			return found(err, deliveryMissing)
		case n == 0 && d.Status == convoy.DeliverySuccess:
			return convoy.E(convoy.Invalid, "event already sent")
		case n == 0:
			return convoy.E(convoy.Invalid, "cannot resend event that did not fail previously")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("resend: %w", err)
	}
	return d, nil
}

// Reasons for which a delivery is not sent again; they are shown to users.
const (
	reasonEndpointGone = "endpoint was deleted"
	reasonEventGone    = "event is no longer kept"
	reasonMeanwhile    = "changed meanwhile"
	reasonUnderWay     = "a try is under way"
)

// ForceResend sends deliveries again that succeeded. It returns how many are
// scheduled, and why the others are not. Ids that are unknown in the project
// are left out; if one of the others did not succeed nothing is done, and the
// error is convoy.Invalid.
func (s *Store) ForceResend(ctx context.Context, project convoy.ProjectID, ids []convoy.DeliveryID, now time.Time) (n int, failed map[string]int, err error) {
	if len(ids) == 0 {
		return 0, nil, nil
	}
	own, ctx := within(ctx)
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		ids = slices.Compact(slices.Sorted(slices.Values(ids)))
		d := s.db.Dialect()
		clause, args := own.clause([]any{sqldb.Texts(d, ids), ids[0], ids[len(ids)-1], project}, "d.endpoint_id")
		rows, err := tx.Query(ctx, `SELECT `+deliveryCols+` FROM deliveries d WHERE d.id >= $2 AND d.id <= $3 AND d.project_id = $4 AND `+d.In("d.id", "$1")+clause, args...)
		list, err := collect(rows, err, scanDelivery)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(d *convoy.Delivery) bool { return d.Status != convoy.DeliverySuccess }) {
			return convoy.E(convoy.Invalid, "only successful events can be force resent")
		}
		n, failed, err = s.sendAgain(ctx, tx, list, now)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("force resend: %w", err)
	}
	return n, failed, nil
}

// sendAgain schedules deliveries that still are as they were read, unless their
// event or endpoint keeps them from being sent.
func (s *Store) sendAgain(ctx context.Context, tx sqldb.Tx, list []*convoy.Delivery, now time.Time) (n int, failed map[string]int, err error) {
	failed = make(map[string]int)
	if len(list) == 0 {
		return 0, failed, nil
	}
	held, err := s.heldBack(ctx, tx, list)
	if err != nil {
		return 0, nil, err
	}
	byStatus := make(map[convoy.DeliveryStatus][]convoy.DeliveryID)
	for _, d := range list {
		switch reason := held(d); {
		case reason != "":
			failed[reason]++
		case d.Status == convoy.DeliveryRetry && !d.DueAt.After(now):
			failed[reasonUnderWay]++ // or about to be: it needs no help
		default:
			byStatus[d.Status] = append(byStatus[d.Status], d.ID)
		}
	}
	d := s.db.Dialect()
	for _, status := range keys(byStatus) {
		ids := byStatus[status]
		// A retry that is due may be in somebody's hands: taking it from them
		// would send it twice.
		sent, err := tx.Exec(ctx, again+`id >= $3 AND id <= $4 AND `+d.In("id", "$2")+` AND status = $5 AND (status <> 'Retry' OR due_at > $1)`,
			micros(now), sqldb.Texts(d, ids), slices.Min(ids), slices.Max(ids), status)
		if err != nil {
			return 0, nil, err
		}
		n += int(sent)
		if missed := len(ids) - int(sent); missed > 0 {
			failed[reasonMeanwhile] += missed
		}
	}
	return n, failed, nil
}

// heldBack tells why a delivery of the list cannot be sent; "" when it can.
func (s *Store) heldBack(ctx context.Context, q sqldb.Querier, list []*convoy.Delivery) (func(*convoy.Delivery) string, error) {
	events := make(map[convoy.EventID]bool)
	endpoints := make(map[convoy.EndpointID]string)
	for _, d := range list {
		events[d.EventID], endpoints[d.EndpointID] = false, reasonEndpointGone
	}
	dialect, ids := s.db.Dialect(), keys(events)
	rows, err := q.Query(ctx, `SELECT e.id FROM events e WHERE e.id >= $2 AND e.id <= $3 AND `+dialect.In("e.id", "$1"),
		sqldb.Texts(dialect, ids), ids[0], ids[len(ids)-1])
	kept, err := collect(rows, err, scanID[convoy.EventID])
	if err != nil {
		return nil, err
	}
	for _, e := range kept {
		events[e] = true
	}
	type state struct {
		id     convoy.EndpointID
		status convoy.EndpointStatus
	}
	rows, err = q.Query(ctx, `SELECT p.id, p.status FROM endpoints p WHERE p.deleted_at = 0 AND `+dialect.In("p.id", "$1"),
		sqldb.Texts(dialect, keys(endpoints)))
	states, err := collect(rows, err, func(r sqldb.Row) (v state, err error) { err = r.Scan(&v.id, &v.status); return v, err })
	if err != nil {
		return nil, err
	}
	for _, v := range states {
		endpoints[v.id] = ""
		if v.status != convoy.EndpointActive {
			endpoints[v.id] = "endpoint is " + string(v.status)
		}
	}
	return func(d *convoy.Delivery) string {
		if reason := endpoints[d.EndpointID]; reason != "" {
			return reason
		}
		if !events[d.EventID] {
			return reasonEventGone
		}
		return ""
	}, nil
}
