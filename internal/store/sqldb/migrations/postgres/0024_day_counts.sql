-- +goose Up
-- What a dashboard shows, counted as it is written: by the day, in UTC, how many
-- events were made, and how many deliveries ended and how. Days are whole, since
-- 1970. A delivery that is sent again may end again, and counts again.
CREATE TABLE day_counts (
  project_id TEXT COLLATE "C" NOT NULL,
  day BIGINT NOT NULL,
  events BIGINT NOT NULL,
  succeeded BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  PRIMARY KEY (project_id, day)
);

-- Changes that are not in day_counts yet: transactions that write at the same time
-- must not wait for each other's counts. The scheduler adds them up.
CREATE TABLE day_count_changes (
  project_id TEXT COLLATE "C" NOT NULL,
  day BIGINT NOT NULL,
  events BIGINT NOT NULL,
  succeeded BIGINT NOT NULL,
  failed BIGINT NOT NULL
);

INSERT INTO day_counts
  SELECT project_id, day, sum(events), sum(succeeded), sum(failed) FROM (
    SELECT project_id, created_at / 86400000000 AS day, count(*) AS events, 0 AS succeeded, 0 AS failed FROM events GROUP BY 1, 2
    UNION ALL
    SELECT project_id, updated_at / 86400000000, 0, count(*) FILTER (WHERE status = 'Success'), count(*) FILTER (WHERE status = 'Failure')
      FROM deliveries WHERE status IN ('Success', 'Failure') GROUP BY 1, 2
  ) AS kept GROUP BY 1, 2;
