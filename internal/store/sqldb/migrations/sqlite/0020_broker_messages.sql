-- +goose Up
-- The broker message that brought an event in, so that it is found by it.
ALTER TABLE events ADD COLUMN broker_message_id TEXT NOT NULL DEFAULT '';
CREATE INDEX events_broker_message ON events (project_id, broker_message_id, id) WHERE broker_message_id <> '';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('events', 'events_broker_message', '100000 10000 1 1');
