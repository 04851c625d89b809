-- +goose Up
-- Whom an event is for, and what a subscription takes and how.
ALTER TABLE events ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN owner_id TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN target_url TEXT NOT NULL DEFAULT '';

ALTER TABLE subscriptions ADD COLUMN source_id TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN filters TEXT NOT NULL DEFAULT '[]';
ALTER TABLE subscriptions ADD COLUMN function TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN retry_type TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN retry_interval INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN retry_limit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN rate_limit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN rate_limit_duration INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN alert TEXT NOT NULL DEFAULT '{}';
-- Each event type becomes a filter; readers derive its id.
UPDATE subscriptions SET filters = (SELECT json_group_array(json_object('uid', '', 'event_type', t.value)) FROM json_each(event_types) AS t);
ALTER TABLE subscriptions DROP COLUMN event_types;
