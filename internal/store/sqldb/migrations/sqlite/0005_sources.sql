-- +goose Up
-- Where events of third parties come from.
CREATE TABLE sources (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL,
  mask TEXT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  provider TEXT NOT NULL,
  is_disabled INTEGER NOT NULL,
  verifier TEXT NOT NULL,
  custom_response TEXT NOT NULL,
  crc_verified_at INTEGER NOT NULL,
  forward_headers TEXT NOT NULL,
  pub_sub TEXT NOT NULL,
  idempotency_keys TEXT NOT NULL,
  event_type_location TEXT NOT NULL,
  body_function TEXT NOT NULL,
  header_function TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER NOT NULL
) STRICT;
-- Of all that ever were: an old URL must not lead to a new source.
CREATE UNIQUE INDEX sources_mask ON sources (mask);
CREATE INDEX sources_project ON sources (project_id, id) WHERE deleted_at = 0;

-- The last few requests that each source refused.
CREATE TABLE source_refusals (
  id TEXT NOT NULL PRIMARY KEY,
  source_id TEXT NOT NULL,
  status INTEGER NOT NULL,
  reason TEXT NOT NULL,
  unkept INTEGER NOT NULL,
  ip TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  content_type TEXT NOT NULL,
  length INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX source_refusals_source ON source_refusals (source_id, id);
