package store

import (
	"context"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// Counts of days are written by the statements that they count, so that what is
// written twice counts once: in SQLite by triggers, in PostgreSQL as below, since
// triggers there would have to keep each row as a whole, payload and all.

const addChanges = `) INSERT INTO day_count_changes (project_id, day, events, succeeded, failed) `

// countEvents has an insertion of events count them.
func countEvents(b *sqldb.Batch) *sqldb.Batch {
	b.Postgres = `WITH written AS (` + b.Postgres + ` RETURNING project_id, created_at` + addChanges +
		`SELECT project_id, created_at / 86400000000, count(*), 0, 0 FROM written GROUP BY 1, 2`
	return b
}

// countOutcomes has PostgreSQL's update of deliveries count those that end.
func countOutcomes(update string) string {
	return `WITH written AS (` + update + ` RETURNING deliveries.project_id, deliveries.updated_at, deliveries.status` + addChanges +
		`SELECT project_id, updated_at / 86400000000, 0, count(*) FILTER (WHERE status = 'Success'), count(*) FILTER (WHERE status = 'Failure')
			FROM written WHERE status IN ('Success', 'Failure') GROUP BY 1, 2`
}

// DayCount is what happened in a project on a day.
type DayCount struct {
	// Day is when it began, in UTC.
	Day time.Time
	// Events were made; deliveries ended so.
	Events, Succeeded, Failed int64
}

// DayCounts returns the days of a project, from that of one time to that of
// another, on which anything happened, oldest first. Its cost is that of the days,
// not of the events.
func (s *Store) DayCounts(ctx context.Context, project convoy.ProjectID, from, to time.Time) ([]DayCount, error) {
	rows, err := s.db.Replica().Query(ctx, `SELECT day, CAST(sum(events) AS BIGINT), CAST(sum(succeeded) AS BIGINT), CAST(sum(failed) AS BIGINT) FROM (
			SELECT day, events, succeeded, failed FROM day_counts WHERE project_id = $1 AND day >= $2 AND day <= $3
			UNION ALL SELECT day, events, succeeded, failed FROM day_count_changes WHERE project_id = $1 AND day >= $2 AND day <= $3
		) AS counts GROUP BY day ORDER BY day LIMIT $4`, project, dayOf(from), dayOf(to), maxDays)
	list, err := collect(rows, err, func(row sqldb.Row) (c DayCount, err error) {
		var day int64
		err = row.Scan(&day, &c.Events, &c.Succeeded, &c.Failed)
		c.Day = time.Unix(day*secondsOfDay, 0).UTC()
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("counts of days: %w", err)
	}
	return list, nil
}

const (
	secondsOfDay = 24 * 60 * 60
	// maxDays bounds an answer: more than a century.
	maxDays = 40_000
)

func dayOf(t time.Time) int64 { return t.Unix() / secondsOfDay }

// FoldCounts adds up at most max changes of counts and returns how many it found.
func (s *Store) FoldCounts(ctx context.Context, max int) (int, error) {
	if s.db.Dialect() == sqldb.SQLite {
		return 0, nil // fork: there are none, see the schema
	}
	var found int64
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		return tx.QueryRow(ctx, `WITH gone AS (
				DELETE FROM day_count_changes WHERE ctid IN (SELECT ctid FROM day_count_changes LIMIT $1 FOR UPDATE SKIP LOCKED)
				RETURNING project_id, day, events, succeeded, failed
			), added AS (
				INSERT INTO day_counts AS c (project_id, day, events, succeeded, failed)
				SELECT project_id, day, sum(events), sum(succeeded), sum(failed) FROM gone GROUP BY 1, 2 ORDER BY 1, 2
				ON CONFLICT (project_id, day) DO UPDATE SET events = c.events + excluded.events,
					succeeded = c.succeeded + excluded.succeeded, failed = c.failed + excluded.failed
			) SELECT count(*) FROM gone`, max).Scan(&found)
	})
	if err != nil {
		return 0, fmt.Errorf("fold counts: %w", err)
	}
	return int(found), nil
}

// Presence says what a project has any of.
type Presence struct{ Events, Sources, Endpoints, Subscriptions bool }

// Presence looks for one of each.
func (s *Store) Presence(ctx context.Context, project convoy.ProjectID) (p Presence, err error) {
	var events, sources, endpoints, subscriptions int64
	err = s.db.QueryRow(ctx, `SELECT
		CASE WHEN EXISTS (SELECT 1 FROM events WHERE project_id = $1) THEN 1 ELSE 0 END,
		CASE WHEN EXISTS (SELECT 1 FROM sources WHERE project_id = $1 AND deleted_at = 0) THEN 1 ELSE 0 END,
		CASE WHEN EXISTS (SELECT 1 FROM endpoints WHERE project_id = $1 AND deleted_at = 0) THEN 1 ELSE 0 END,
		CASE WHEN EXISTS (SELECT 1 FROM subscriptions WHERE project_id = $1 AND deleted_at = 0) THEN 1 ELSE 0 END`,
		project).Scan(&events, &sources, &endpoints, &subscriptions)
	if err != nil {
		return p, fmt.Errorf("presence: %w", err)
	}
	return Presence{events != 0, sources != 0, endpoints != 0, subscriptions != 0}, nil
}

// Match is something that was found by an id.
type Match struct {
	// Kind is "event", "delivery", "endpoint", "subscription", "source", "event_type",
	// "portal_link" or "batch_job".
	Kind string
	ID   string
	// Title is what people know it by: a name, a type or a state.
	Title string
}

// maxMatches bounds an answer; only idempotency keys have more than one.
const maxMatches = 20

// Find returns what in a project has an id, or is an event with it as its
// idempotency key, or a source with it as its mask.
func (s *Store) Find(ctx context.Context, project convoy.ProjectID, id string) ([]Match, error) {
	rows, err := s.db.Replica().Query(ctx, `
		SELECT 'event', id, event_type FROM events WHERE id = $2 AND project_id = $1
		UNION ALL SELECT 'delivery', id, event_type FROM deliveries WHERE id = $2 AND project_id = $1
		UNION ALL SELECT 'endpoint', id, name FROM endpoints WHERE id = $2 AND project_id = $1 AND deleted_at = 0
		UNION ALL SELECT 'subscription', id, name FROM subscriptions WHERE id = $2 AND project_id = $1 AND deleted_at = 0
		UNION ALL SELECT 'source', id, name FROM sources WHERE id = $2 AND project_id = $1 AND deleted_at = 0
		UNION ALL SELECT 'source', id, name FROM sources WHERE mask = $2 AND project_id = $1 AND deleted_at = 0
		UNION ALL SELECT 'event_type', id, name FROM event_types WHERE id = $2 AND project_id = $1
		UNION ALL SELECT 'portal_link', id, name FROM portal_links WHERE id = $2 AND project_id = $1 AND deleted_at = 0
		UNION ALL SELECT 'batch_job', id, state FROM batch_jobs WHERE id = $2 AND project_id = $1
		UNION ALL SELECT * FROM (SELECT 'event', id, event_type FROM events WHERE project_id = $1 AND idempotency_key = $2 AND idempotency_key <> ''
			ORDER BY id DESC LIMIT $3) AS keyed
		LIMIT $3`, project, id, maxMatches)
	list, err := collect(rows, err, func(row sqldb.Row) (m Match, err error) {
		err = row.Scan(&m.Kind, &m.ID, &m.Title)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("find: %w", err)
	}
	return list, nil
}
