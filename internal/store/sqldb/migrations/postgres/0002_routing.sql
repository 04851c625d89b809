-- +goose Up
-- Whom an event is for, and what a subscription takes and how.
ALTER TABLE events ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN owner_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN target_url TEXT NOT NULL DEFAULT '';

ALTER TABLE subscriptions ADD COLUMN source_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN filters TEXT NOT NULL DEFAULT '[]';
ALTER TABLE subscriptions ADD COLUMN function TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN retry_type TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN retry_interval BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN retry_limit BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN rate_limit BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN rate_limit_duration BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN alert TEXT NOT NULL DEFAULT '{}';
-- Each event type becomes a filter; readers derive its id.
UPDATE subscriptions SET filters = (SELECT coalesce(json_agg(json_build_object('uid', '', 'event_type', t)), '[]')::text
  FROM json_array_elements_text(event_types::json) AS t);
ALTER TABLE subscriptions DROP COLUMN event_types;
