package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// UnroutedFilter selects events that were stored and have not been routed.
type UnroutedFilter struct {
	// After and Before are ids, or parts of ids, between which the events are.
	After, Before string
	// Idle is a time since when nobody has touched them.
	Idle time.Time
	// Max bounds the list.
	Max int
}

// Unrouted returns events that have not been routed, oldest first.
func (s *Store) Unrouted(ctx context.Context, f UnroutedFilter) ([]*convoy.Event, error) {
	rows, err := s.db.Query(ctx, `SELECT `+eventCols+` FROM events e WHERE e.status = 'Pending' AND e.id > $1 AND e.id < $2
		AND e.updated_at <= $3 ORDER BY e.id LIMIT $4`, f.After, f.Before, micros(f.Idle), f.Max)
	events, err := collect(rows, err, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("unrouted events: %w", err)
	}
	return events, nil
}

// Hold is an unrouted event as somebody has seen it. Who sets its time of
// update first holds it; the others find that it has moved.
type Hold struct {
	ID   convoy.EventID
	Seen time.Time
}

// Hold takes unrouted events for the caller alone and returns them, oldest
// first. It leaves those out that are routed or that somebody else has taken.
func (s *Store) Hold(ctx context.Context, holds []Hold, now time.Time) ([]*convoy.Event, error) {
	if len(holds) == 0 {
		return nil, nil
	}
	var events []*convoy.Event
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		held, err := s.hold(ctx, tx, holds, now)
		if err != nil || len(held) == 0 {
			return err
		}
		events, err = s.eventsByID(ctx, tx, held, where{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("hold events: %w", err)
	}
	return events, nil
}

// hold moves the time of update of those events that still have the one seen,
// and returns their ids in order.
func (s *Store) hold(ctx context.Context, tx sqldb.Tx, holds []Hold, now time.Time) ([]convoy.EventID, error) {
	ids, seen := make([]convoy.EventID, len(holds)), make([]string, len(holds))
	for i, h := range holds {
		ids[i], seen[i] = h.ID, string(h.ID)+strconv.FormatInt(micros(h.Seen), 10)
	}
	d := s.db.Dialect()
	rows, err := tx.Query(ctx, `UPDATE events SET updated_at = $1 WHERE status = 'Pending' AND id >= $2 AND id <= $3
		AND `+d.In("id", "$4")+` AND `+d.In("id || updated_at", "$5")+` RETURNING id`,
		micros(now), slices.Min(ids), slices.Max(ids), sqldb.Texts(d, ids), sqldb.Texts(d, seen))
	held, err := collect(rows, err, scanID[convoy.EventID])
	slices.Sort(held)
	return held, err
}

// Expand stores deliveries of unrouted events that the caller holds, and what
// has become of the events. It drops those from the batch that somebody else
// holds by now, with their deliveries; the others are held on until they are
// routed.
func (s *Store) Expand(ctx context.Context, r *Routed, now time.Time) error {
	events := slices.Clone(r.Events)
	holds := make([]Hold, len(events))
	for i, e := range r.Events {
		holds[i] = Hold{e.ID, e.UpdatedAt}
		if !now.After(e.UpdatedAt) {
			now = e.UpdatedAt.Add(time.Microsecond) // a hold must be seen to move
		}
	}
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		held, err := s.hold(ctx, tx, holds, now)
		if err != nil {
			return err
		}
		if len(held) < len(r.Events) {
			r.keep(held)
		}
		for _, e := range r.Events {
			e.UpdatedAt = now
		}
		return tx.Apply(ctx, append([]sqldb.Bound{bindRouted(r.Events)}, r.bind()...)...)
	})
	if err != nil {
		for i, e := range events { // as they were
			e.UpdatedAt = holds[i].Seen
		}
		return fmt.Errorf("expand events: %w", err)
	}
	return nil
}

// keep drops what is not of the given events, which are in order.
func (r *Routed) keep(events []convoy.EventID) {
	kept := func(id convoy.EventID) bool { _, ok := slices.BinarySearch(events, id); return ok }
	r.Events = slices.DeleteFunc(r.Events, func(e *convoy.Event) bool { return !kept(e.ID) })
	dropped := make(map[convoy.DeliveryID]bool)
	r.Deliveries = slices.DeleteFunc(r.Deliveries, func(d *convoy.Delivery) bool {
		if !kept(d.EventID) {
			dropped[d.ID] = true
		}
		return dropped[d.ID]
	})
	r.Payloads = slices.DeleteFunc(r.Payloads, func(p *convoy.Payload) bool { return dropped[p.Delivery] })
	maps.DeleteFunc(r.Meta, func(d convoy.DeliveryID, _ convoy.Job) bool { return dropped[d] })
}
