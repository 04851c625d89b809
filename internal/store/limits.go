package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

var putLimits = sqldb.InsertBatch("limits", "ON CONFLICT (name) DO UPDATE SET state = excluded.state, expires_at = excluded.expires_at",
	"name:text", "state:text", "expires_at:int")

// ChangeLimits calls change with the states of rate limits, which are given in
// order and distinct, and keeps what it returns until the given ends; a state
// that is unknown or forgotten is empty, and one that is returned empty stays
// as it is. Limits are locked in their order meanwhile.
func (s *Store) ChangeLimits(ctx context.Context, names []string, change func(states []string) (changed []string, ends []time.Time)) error {
	if len(names) == 0 {
		return nil
	}
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		found, err := s.lockLimits(ctx, tx, names)
		if err == nil && len(found) < len(names) {
			// A row that is not there cannot be locked.
			err = tx.Apply(ctx, makeLimits.Bind(len(names), func(i int, w *sqldb.RowWriter) { w.Text(names[i]).Text("").Int(0) }))
			if err == nil {
				found, err = s.lockLimits(ctx, tx, names)
			}
		}
		if err != nil {
			return err
		}
		states := make([]string, len(names))
		for i, name := range names {
			states[i] = found[name]
		}
		changed, ends := change(states)
		var at []int
		for i, state := range changed {
			if state != "" {
				at = append(at, i)
			}
		}
		return tx.Apply(ctx, putLimits.Bind(len(at), func(k int, w *sqldb.RowWriter) {
			i := at[k]
			w.Text(names[i]).Text(changed[i]).Int(micros(ends[i]))
		}))
	})
	if err != nil {
		return fmt.Errorf("change limits: %w", err)
	}
	return nil
}

// lockLimits returns the states that are there, by name, and keeps others from
// changing them until the end of the transaction.
func (s *Store) lockLimits(ctx context.Context, tx sqldb.Tx, names []string) (map[string]string, error) {
	type row struct{ name, state string }
	d := s.db.Dialect()
	rows, err := tx.Query(ctx, `SELECT name, state FROM limits WHERE `+d.In("name", "$1")+` ORDER BY name`+d.ForUpdate(), sqldb.Texts(d, names))
	list, err := collect(rows, err, func(r sqldb.Row) (x row, err error) { err = r.Scan(&x.name, &x.state); return })
	if err != nil {
		return nil, err
	}
	found := make(map[string]string, len(list))
	for _, x := range list {
		found[x.name] = x.state
	}
	return found, nil
}

// makeLimits makes rows that are to be locked; one whose transaction fails or
// does not change it is gone or forgotten at the next look.
var makeLimits = sqldb.InsertBatch("limits", "ON CONFLICT (name) DO NOTHING", "name:text", "state:text", "expires_at:int")

// ForgetLimits deletes at most max states that have ended, and returns how many.
func (s *Store) ForgetLimits(ctx context.Context, now time.Time, max int) (int, error) {
	n, err := s.exec(ctx, `DELETE FROM limits WHERE name IN (SELECT name FROM limits WHERE expires_at < $1 ORDER BY expires_at LIMIT $2`+
		s.db.Dialect().SkipLocked()+`)`, micros(now), max)
	if err != nil {
		return 0, fmt.Errorf("forget limits: %w", err)
	}
	return int(n), nil
}

// held is the condition on deliveries in the line of a limit. It is a literal,
// so that a plan for any parameters can use the index that has it.
var held = fmt.Sprintf("claim_at = %d", micros(convoy.Held))

// HeldBy returns the limits that have deliveries in their line: at most max, in
// order, those after a name.
func (s *Store) HeldBy(ctx context.Context, after string, max int) ([]string, error) {
	var names []string
	for len(names) < max { // one seek each, however long the lines are
		err := s.db.QueryRow(ctx, `SELECT held_by FROM deliveries WHERE `+held+` AND held_by > $1 ORDER BY held_by LIMIT 1`, after).Scan(&after)
		if errors.Is(err, sqldb.ErrNoRows) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("limits with a line: %w", err)
		}
		names = append(names, after)
	}
	return names, nil
}

// ReleaseHeld makes the first deliveries in the line of a limit due: at most
// max, the oldest. The store offers them from claim on.
func (s *Store) ReleaseHeld(ctx context.Context, limit string, max int, now, claim time.Time) ([]Due, error) {
	var released []Due
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		d := s.db.Dialect()
		rows, err := tx.Query(ctx, `SELECT id, endpoint_id FROM deliveries WHERE `+held+` AND held_by = $1 ORDER BY id LIMIT $2`+d.SkipLocked(), limit, max)
		released, err = collect(rows, err, func(r sqldb.Row) (x Due, err error) { err = r.Scan(&x.ID, &x.Endpoint); return })
		if err != nil || len(released) == 0 {
			return err
		}
		ids := make([]convoy.DeliveryID, len(released))
		for i := range released {
			ids[i], released[i].At = released[i].ID, now
		}
		_, err = tx.Exec(ctx, `UPDATE deliveries SET claim_at = $1, due_at = $2 WHERE `+held+` AND id >= $4 AND id <= $5 AND `+d.In("id", "$3"),
			micros(claim), micros(now), sqldb.Texts(d, ids), ids[0], ids[len(ids)-1])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("release held deliveries: %w", err)
	}
	return released, nil
}
