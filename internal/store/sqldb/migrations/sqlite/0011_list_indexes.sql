-- +goose Up
-- Lists by what few rows have must not read the many. trouble is the status of
-- deliveries that did not go well, and stays empty on the way from Scheduled to
-- Success.
ALTER TABLE deliveries ADD COLUMN trouble TEXT NOT NULL
  GENERATED ALWAYS AS (CASE WHEN status IN ('Retry', 'Failure', 'Discarded') THEN status ELSE '' END) VIRTUAL;
CREATE INDEX deliveries_trouble ON deliveries (project_id, trouble, id) WHERE trouble <> '';
CREATE INDEX deliveries_waiting ON deliveries (project_id, id) WHERE claim_at > 0;
CREATE INDEX deliveries_type ON deliveries (project_id, event_type, id);
CREATE INDEX deliveries_subscription ON deliveries (subscription_id, id);
CREATE INDEX events_source ON events (source_id, id) WHERE source_id <> '';

-- The planner cannot know how few rows an index leads to, as nobody runs ANALYZE,
-- so it is told: rows of the index, then rows for each value of its first column,
-- of its first two, and so on (https://www.sqlite.org/fileformat2.html#stat1tab).
ANALYZE;
DELETE FROM sqlite_stat1 WHERE tbl IN ('events', 'deliveries', 'attempts');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('events', 'sqlite_autoindex_events_1', '1000000 1'),
  ('events', 'events_project', '1000000 100000 1'),
  ('events', 'events_unrouted', '10 1'),
  ('events', 'events_idempotency', '100000 10000 1 1'),
  ('events', 'events_source', '100000 1000 1'),
  ('deliveries', 'sqlite_autoindex_deliveries_1', '1000000 1'),
  ('deliveries', 'deliveries_project', '1000000 100000 1'),
  ('deliveries', 'deliveries_endpoint', '1000000 1000 1'),
  ('deliveries', 'deliveries_claim', '1000 2'),
  ('deliveries', 'deliveries_replay_event', '1000 2 1'),
  ('deliveries', 'deliveries_replay_endpoint', '1000 100 2'),
  ('deliveries', 'deliveries_trouble', '10000 1000 300 1'),
  ('deliveries', 'deliveries_waiting', '1000 100 1'),
  ('deliveries', 'deliveries_type', '1000000 100000 1000 1'),
  ('deliveries', 'deliveries_subscription', '1000000 1000 1'),
  ('attempts', 'sqlite_autoindex_attempts_1', '1000000 1 1');
