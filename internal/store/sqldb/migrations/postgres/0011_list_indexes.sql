-- +goose Up
-- Lists by what few rows have must not read the many. A status cannot be in an
-- index: the update that ends a first try would then change every index of the
-- table (see docs/adr/0002). trouble is the status of those that did not go well,
-- and stays empty on the way from Scheduled to Success.
ALTER TABLE deliveries ADD COLUMN trouble TEXT NOT NULL
  GENERATED ALWAYS AS (CASE WHEN status IN ('Retry', 'Failure', 'Discarded') THEN status ELSE '' END) STORED;
CREATE INDEX deliveries_trouble ON deliveries (project_id, trouble, id) WHERE trouble <> '';
CREATE INDEX deliveries_waiting ON deliveries (project_id, id) WHERE claim_at > 0;
CREATE INDEX deliveries_type ON deliveries (project_id, event_type, id);
CREATE INDEX deliveries_subscription ON deliveries (subscription_id, id);
CREATE INDEX events_source ON events (source_id, id) WHERE source_id <> '';
