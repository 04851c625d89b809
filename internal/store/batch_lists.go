package store

import (
	"context"
	"fmt"
	"math"

	"convoy"
)

// CountEvents counts a project's events that meet a filter, whose page does not
// matter. It reads each of them, so callers bound its time.
func (s *Store) CountEvents(ctx context.Context, f EventFilter) (n int, err error) {
	own, ctx := within(ctx)
	var some bool
	if f.Endpoints, some, err = own.among(ctx, s.db.Replica(), f.Endpoints); err != nil || !some {
		return 0, err
	}
	l := eventListing(s.db.Dialect(), f)
	if len(f.Endpoints) > 0 {
		if f.IdempotencyKey == "" {
			l = s.deliveredListing(f)
		} else {
			l = keyedListing(s.db.Dialect(), f)
		}
	}
	if keep := f.Search.keeper(ctx); keep == nil {
		n, err = s.count(ctx, l)
	} else {
		_, err = eachEvent(ctx, s.db.Replica(), l, seek{limit: math.MaxInt64}, func(e *convoy.Event) (bool, error) {
			ok, err := keep(e)
			if ok {
				n++
			}
			return true, err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("count events: %w", err)
	}
	return n, nil
}

// deliveredListing is the events that have a delivery to one of the endpoints,
// in no order that an index has.
func (s *Store) deliveredListing(f EventFilter) listing {
	d := s.db.Dialect()
	l := listing{cols: eventCols, table: "events", alias: "e", key: "e.id", ids: between(f.From, f.To), where: eventWhere(d, f)}
	// The parameters of the sub-queries follow those of the query.
	var direct, late where
	direct.args = l.where.args
	addIn(&direct, d, "d.endpoint_id", f.Endpoints)
	direct.add("d.project_id = ?", f.Project)
	late.conds, late.args = append(late.conds, direct.conds...), direct.args
	direct.add(timely)
	direct.within("d.id", l.ids)
	late.args = direct.args
	late.add(replayed)
	late.within("d.event_id", l.ids)
	l.where.args = late.args
	l.where.add("e.id IN (SELECT d.event_id FROM deliveries d" + direct.String() + " UNION SELECT d.event_id FROM deliveries d" + late.String() + ")")
	return l
}

// CountDeliveries counts a project's deliveries that meet a filter, whose page
// does not matter. It reads each of them, so callers bound its time.
func (s *Store) CountDeliveries(ctx context.Context, f DeliveryFilter) (int, error) {
	own, ctx := within(ctx)
	var some bool
	var err error
	if f.Endpoints, some, err = own.among(ctx, s.db.Replica(), f.Endpoints); err != nil || !some {
		return 0, err
	}
	l, some, err := s.deliveryList(ctx, s.db.Replica(), f)
	n := 0
	if err == nil && some {
		n, err = s.count(ctx, l)
	}
	if err != nil {
		return 0, fmt.Errorf("count deliveries: %w", err)
	}
	return n, nil
}

func (s *Store) count(ctx context.Context, l listing) (n int, err error) {
	l.cols = l.key
	query, args := l.query(seek{limit: math.MaxInt64})
	err = s.db.Replica().QueryRow(ctx, "SELECT count(*) FROM ("+query+") AS n", args...).Scan(&n)
	return n, err
}

// eventFilter and deliveryFilter are what a batch job works on.
func eventFilter(j *convoy.BatchJob) EventFilter {
	f := j.Filter
	return EventFilter{
		Project: j.ProjectID, Endpoints: f.Endpoints, Sources: f.Sources, Type: f.EventType, IdempotencyKey: f.IdempotencyKey,
		From: f.From, To: f.To, BrokerMessage: f.BrokerMessage,
	}
}

func deliveryFilter(j *convoy.BatchJob) DeliveryFilter {
	f := j.Filter
	return DeliveryFilter{
		Project: j.ProjectID, Endpoints: f.Endpoints, Event: f.Event, Subscription: f.Subscription, Type: f.EventType,
		Statuses: f.Statuses, IdempotencyKey: f.IdempotencyKey, BrokerMessage: f.BrokerMessage,
		From: f.From, To: f.To,
	}
}

// BatchCount counts what a batch job would work on from its beginning.
func (s *Store) BatchCount(ctx context.Context, j *convoy.BatchJob) (int, error) {
	if j.Kind == convoy.BatchRetry {
		return s.CountDeliveries(ctx, deliveryFilter(j))
	}
	return s.CountEvents(ctx, eventFilter(j))
}

// Chunk is some of the events of a batch job, in the order of their ids.
type Chunk struct {
	Events []*convoy.Event
	// Reached is the id of the last event that was looked at.
	Reached string
	// More says that there may be more behind it.
	More bool
}

// BatchEvents returns the next events of a batch job: it looks at max of them at
// most, and stops before those it returns have more than maxBytes together, but
// for the first.
func (s *Store) BatchEvents(ctx context.Context, j *convoy.BatchJob, max, maxBytes int) (Chunk, error) {
	c, err := s.batchEvents(ctx, j, max, maxBytes)
	if err != nil {
		return Chunk{}, fmt.Errorf("events of batch job: %w", err)
	}
	return c, nil
}

func (s *Store) batchEvents(ctx context.Context, j *convoy.BatchJob, max, maxBytes int) (Chunk, error) {
	var (
		c    = Chunk{Reached: j.Reached}
		d    = s.db.Dialect()
		f    = eventFilter(j)
		at   = seek{from: j.Reached, after: j.Reached != "", limit: max}
		l    = eventListing(d, f)
		ids  []convoy.EventID // that the deliveries to the endpoints gave
		keep = f.Search.keeper(ctx)
	)
	if len(f.Endpoints) > 0 && f.IdempotencyKey != "" {
		l = keyedListing(d, f)
	} else if len(f.Endpoints) > 0 {
		var err error
		if ids, err = s.deliveredIDs(ctx, s.db, f, at); err != nil || len(ids) == 0 {
			return c, err
		}
		l = listing{cols: eventCols, table: "events", alias: "e", key: "e.id", where: eventWhere(d, f)}
		l.ids = span{from: string(ids[0]), to: behind(string(ids[len(ids)-1]))}
		addIn(&l.where, d, "e.id", ids)
	}
	size, full := 0, false
	read, err := eachEvent(ctx, s.db, l, at, func(e *convoy.Event) (more bool, err error) {
		if size += e.Size(); size > maxBytes && len(c.Events) > 0 {
			full = true
			return false, nil
		}
		c.Reached = string(e.ID)
		ok := true
		if keep != nil {
			ok, err = keep(e)
		}
		if ok {
			c.Events = append(c.Events, e)
		}
		return true, err
	})
	c.More = full || read == max
	if len(ids) > 0 && !full { // some of these may not have met the rest of the filter
		c.Reached, c.More = string(ids[len(ids)-1]), len(ids) == max
	}
	return c, err
}
