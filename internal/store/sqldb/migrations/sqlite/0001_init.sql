-- +goose Up
-- Times are Unix microseconds, 0 for none; booleans are 0 and 1; documents are
-- JSON text. Texts are never NULL, so that both engines compare them alike.

CREATE TABLE organisations (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
  id TEXT NOT NULL PRIMARY KEY,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  email TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_email ON users (email);

CREATE TABLE memberships (
  user_id TEXT NOT NULL,
  organisation_id TEXT NOT NULL,
  role_type TEXT NOT NULL,
  role_project TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (user_id, organisation_id)
) STRICT;

CREATE TABLE projects (
  id TEXT NOT NULL PRIMARY KEY,
  organisation_id TEXT NOT NULL,
  name TEXT NOT NULL,
  logo_url TEXT NOT NULL,
  type TEXT NOT NULL,
  config TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX projects_name ON projects (organisation_id, name) WHERE deleted_at = 0;

CREATE TABLE api_keys (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  mask TEXT NOT NULL,
  hash BLOB NOT NULL,
  type TEXT NOT NULL,
  role_type TEXT NOT NULL,
  role_project TEXT NOT NULL,
  user_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE INDEX api_keys_project ON api_keys (role_project, id);

CREATE TABLE endpoints (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  url TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  secrets TEXT NOT NULL,
  advanced_signatures INTEGER NOT NULL,
  slack_webhook_url TEXT NOT NULL,
  teams_webhook_url TEXT NOT NULL,
  support_email TEXT NOT NULL,
  status TEXT NOT NULL,
  http_timeout INTEGER NOT NULL,
  rate_limit INTEGER NOT NULL,
  rate_limit_duration INTEGER NOT NULL,
  content_type TEXT NOT NULL,
  authentication TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX endpoints_project ON endpoints (project_id, id) WHERE deleted_at = 0;

CREATE TABLE subscriptions (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL,
  name TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  event_types TEXT NOT NULL,
  mode TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX subscriptions_project ON subscriptions (project_id, id) WHERE deleted_at = 0;
CREATE INDEX subscriptions_endpoint ON subscriptions (endpoint_id) WHERE deleted_at = 0;

CREATE TABLE events (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  source_id TEXT NOT NULL,
  endpoints TEXT NOT NULL,
  headers TEXT NOT NULL,
  data BLOB NOT NULL,
  idempotency_key TEXT NOT NULL,
  is_duplicate INTEGER NOT NULL,
  url_query TEXT NOT NULL,
  url_path TEXT NOT NULL,
  status TEXT NOT NULL,
  failure_reason TEXT NOT NULL,
  acknowledged_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX events_project ON events (project_id, id);
-- Events are inserted routed; the few that could not be are found here.
CREATE INDEX events_unrouted ON events (id) WHERE status = 'Pending';
CREATE INDEX events_idempotency ON events (project_id, idempotency_key, id) WHERE idempotency_key <> '';

CREATE TABLE idempotency_keys (
  project_id TEXT NOT NULL,
  key TEXT NOT NULL,
  event_id TEXT NOT NULL,
  taken_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (project_id, key)
) STRICT;
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- A delivery that is first inserted, sent and found delivered changes no
-- indexed column: claim_at stays 0 until the delivery has to be found again by
-- time (a retry, or a process that died with it).
CREATE TABLE deliveries (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL,
  event_id TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  subscription_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  target_url TEXT NOT NULL,
  mode TEXT NOT NULL,
  status TEXT NOT NULL,
  description TEXT NOT NULL,
  retry_type TEXT NOT NULL,
  retry_interval INTEGER NOT NULL,
  retry_limit INTEGER NOT NULL,
  trials INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  claim_at INTEGER NOT NULL,
  latency INTEGER NOT NULL,
  acknowledged_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_project ON deliveries (project_id, id);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX deliveries_claim ON deliveries (claim_at) WHERE claim_at > 0;
-- A delivery's id carries its event's time, so the deliveries of an event are
-- found by id, without an index that every insert would pay for. Only those of a
-- replay have a time of their own; these two hold no others.
CREATE INDEX deliveries_replay_event ON deliveries (event_id, id) WHERE substr(id, 1, 10) <> substr(event_id, 1, 10);
CREATE INDEX deliveries_replay_endpoint ON deliveries (endpoint_id, event_id) WHERE substr(id, 1, 10) <> substr(event_id, 1, 10);

CREATE TABLE attempts (
  delivery_id TEXT NOT NULL,
  id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  url TEXT NOT NULL,
  method TEXT NOT NULL,
  ip TEXT NOT NULL,
  http_status TEXT NOT NULL,
  error TEXT NOT NULL,
  success INTEGER NOT NULL,
  request_headers TEXT NOT NULL,
  response_headers TEXT NOT NULL,
  response TEXT NOT NULL,
  requested_at INTEGER NOT NULL,
  responded_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (delivery_id, id)
) STRICT;

-- Leases of periodic work, for stores without Redis.
CREATE TABLE leases (
  name TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

-- Small facts of the instance, such as how far a sweep has come.
CREATE TABLE facts (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;
