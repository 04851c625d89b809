-- +goose Up
-- The broker message that brought an event in, so that it is found by it.
ALTER TABLE events ADD COLUMN broker_message_id TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX events_broker_message ON events (project_id, broker_message_id, id) WHERE broker_message_id <> '';
