-- +goose Up
-- Where events of third parties come from.
CREATE TABLE sources (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  project_id TEXT COLLATE "C" NOT NULL,
  mask TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  type TEXT NOT NULL,
  provider TEXT NOT NULL,
  is_disabled BIGINT NOT NULL,
  verifier TEXT NOT NULL,
  custom_response TEXT NOT NULL,
  crc_verified_at BIGINT NOT NULL,
  forward_headers TEXT NOT NULL,
  pub_sub TEXT NOT NULL,
  idempotency_keys TEXT NOT NULL,
  event_type_location TEXT NOT NULL,
  body_function TEXT NOT NULL,
  header_function TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL
);
-- Of all that ever were: an old URL must not lead to a new source.
CREATE UNIQUE INDEX sources_mask ON sources (mask);
CREATE INDEX sources_project ON sources (project_id, id) WHERE deleted_at = 0;

-- The last few requests that each source refused.
CREATE TABLE source_refusals (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  source_id TEXT COLLATE "C" NOT NULL,
  status BIGINT NOT NULL,
  reason TEXT NOT NULL,
  unkept BIGINT NOT NULL,
  ip TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  content_type TEXT NOT NULL,
  length BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX source_refusals_source ON source_refusals (source_id, id);
