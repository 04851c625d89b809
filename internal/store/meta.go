package store

import (
	"context"
	"fmt"
	"slices"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

// bindMeta inserts meta events with their deliveries, those alone that are there
// already. It goes into the transaction of the change they tell of.
func bindMeta(meta []convoy.Job) []sqldb.Bound {
	events, deliveries := make([]*convoy.Event, len(meta)), make([]*convoy.Delivery, len(meta))
	for i, j := range meta {
		events[i], deliveries[i] = j.Event, j.Delivery
	}
	return append(bindEvents(events), bindDeliveries(deliveries))
}

func insertMeta(ctx context.Context, tx sqldb.Tx, meta []convoy.Job) error {
	if len(meta) == 0 {
		return nil
	}
	return tx.Apply(ctx, bindMeta(meta)...)
}

// recordTelling writes outcomes some of which have a meta event. Those that
// somebody else has recorded before tell nothing; unlike the update, an insert
// cannot see that for itself.
func (s *Store) recordTelling(ctx context.Context, outcomes []Outcome, writes []sqldb.Bound) error {
	return s.db.Write(ctx, func(tx sqldb.Tx) error {
		meta, err := s.untold(ctx, tx, outcomes)
		if err != nil {
			return err
		}
		return tx.Apply(ctx, append(writes[:len(writes):len(writes)], bindMeta(meta)...)...)
	})
}

// untold are the meta events of outcomes that are not recorded yet. Their
// deliveries are locked.
func (s *Store) untold(ctx context.Context, tx sqldb.Tx, outcomes []Outcome) ([]convoy.Job, error) {
	telling := make(map[convoy.DeliveryID]*Outcome)
	for i := range outcomes {
		if o := &outcomes[i]; o.Meta != nil {
			telling[o.Delivery.ID] = o
		}
	}
	ids := keys(telling)
	slices.Sort(ids)
	d := s.db.Dialect()
	// In order, so that two processes with the same deliveries wait for each other
	// instead of deadlocking.
	rows, err := tx.Query(ctx, `SELECT d.id, d.trials, d.resends FROM deliveries d WHERE d.id >= $2 AND d.id <= $3 AND `+d.In("d.id", "$1")+`
		AND d.status IN ('Scheduled', 'Retry') ORDER BY d.id`+d.ForUpdate(), sqldb.Texts(d, ids), ids[0], ids[len(ids)-1])
	meta, err := collect(rows, err, func(row sqldb.Row) (j convoy.Job, err error) {
		var (
			id              convoy.DeliveryID
			trials, resends int
		)
		if err := row.Scan(&id, &trials, &resends); err != nil {
			return j, err
		}
		if o := telling[id]; o.Before == trials && o.Delivery.Resends == resends {
			j = *o.Meta
		}
		return j, nil
	})
	return slices.DeleteFunc(meta, func(j convoy.Job) bool { return j.Event == nil }), err
}

// LastAttempts returns the last attempt of each of the given deliveries of a
// project; those without one are left out.
func (s *Store) LastAttempts(ctx context.Context, project convoy.ProjectID, deliveries []convoy.DeliveryID) (map[convoy.DeliveryID]*convoy.Attempt, error) {
	last := make(map[convoy.DeliveryID]*convoy.Attempt, len(deliveries))
	if len(deliveries) == 0 {
		return last, nil
	}
	// Bounded for the reason that [Store.Attempts] gives.
	var from string
	if made := id.Time(string(slices.Min(deliveries))); !made.IsZero() {
		from = id.Floor(made.Add(-attemptSkew))
	}
	d := s.db.Dialect()
	rows, err := s.db.Replica().Query(ctx, `SELECT `+attemptCols+` FROM attempts a WHERE `+d.In("a.delivery_id", "$1")+`
		AND a.id >= $2 AND a.project_id = $3 AND a.id = (SELECT max(b.id) FROM attempts b WHERE b.delivery_id = a.delivery_id AND b.id >= $2)`,
		sqldb.Texts(d, deliveries), from, project)
	list, err := collect(rows, err, scanAttempt)
	if err != nil {
		return nil, fmt.Errorf("last attempts: %w", err)
	}
	for _, a := range list {
		last[a.DeliveryID] = a
	}
	return last, nil
}
