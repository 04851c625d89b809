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
