-- +goose Up
-- What a dashboard shows, counted as it is written: by the day, in UTC, how many
-- events were made, and how many deliveries ended and how. Days are whole, since
-- 1970. A delivery that is sent again may end again, and counts again.
CREATE TABLE day_counts (
  project_id TEXT NOT NULL,
  day INTEGER NOT NULL,
  events INTEGER NOT NULL,
  succeeded INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  PRIMARY KEY (project_id, day)
) STRICT;

-- Changes that are not in day_counts yet. There are none here, where there is one
-- writer, who adds at once; in PostgreSQL transactions must not wait for each other.
CREATE TABLE day_count_changes (
  project_id TEXT NOT NULL,
  day INTEGER NOT NULL,
  events INTEGER NOT NULL,
  succeeded INTEGER NOT NULL,
  failed INTEGER NOT NULL
) STRICT;

INSERT INTO day_counts
  SELECT project_id, day, sum(events), sum(succeeded), sum(failed) FROM (
    SELECT project_id, created_at / 86400000000 AS day, count(*) AS events, 0 AS succeeded, 0 AS failed FROM events GROUP BY 1, 2
    UNION ALL
    SELECT project_id, updated_at / 86400000000, 0, count(*) FILTER (WHERE status = 'Success'), count(*) FILTER (WHERE status = 'Failure')
      FROM deliveries WHERE status IN ('Success', 'Failure') GROUP BY 1, 2
  ) AS kept GROUP BY 1, 2;

-- +goose StatementBegin
CREATE TRIGGER events_counted AFTER INSERT ON events BEGIN
  INSERT INTO day_counts (project_id, day, events, succeeded, failed) VALUES (NEW.project_id, NEW.created_at / 86400000000, 1, 0, 0)
    ON CONFLICT (project_id, day) DO UPDATE SET events = events + 1;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER deliveries_counted AFTER UPDATE OF status ON deliveries
  WHEN NEW.status IN ('Success', 'Failure') AND OLD.status IN ('Scheduled', 'Retry')
BEGIN
  INSERT INTO day_counts (project_id, day, events, succeeded, failed)
    VALUES (NEW.project_id, NEW.updated_at / 86400000000, 0, NEW.status = 'Success', NEW.status = 'Failure')
    ON CONFLICT (project_id, day) DO UPDATE SET succeeded = succeeded + excluded.succeeded, failed = failed + excluded.failed;
END;
-- +goose StatementEnd
