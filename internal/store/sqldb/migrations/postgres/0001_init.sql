-- +goose Up
-- Ids sort by byte (COLLATE "C") on both engines. Times are Unix microseconds, 0 for none; booleans are 0 and 1; documents are
-- JSON text. Texts are never NULL, so that both engines compare them alike.

CREATE TABLE organisations (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE users (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  email TEXT COLLATE "C" NOT NULL,
  password_hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (email);

CREATE TABLE memberships (
  user_id TEXT COLLATE "C" NOT NULL,
  organisation_id TEXT COLLATE "C" NOT NULL,
  role_type TEXT NOT NULL,
  role_project TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (user_id, organisation_id)
);

CREATE TABLE projects (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  organisation_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  logo_url TEXT NOT NULL,
  type TEXT NOT NULL,
  config TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX projects_name ON projects (organisation_id, name) WHERE deleted_at = 0;

CREATE TABLE api_keys (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  mask TEXT COLLATE "C" NOT NULL,
  hash BYTEA NOT NULL,
  type TEXT NOT NULL,
  role_type TEXT NOT NULL,
  role_project TEXT COLLATE "C" NOT NULL,
  user_id TEXT COLLATE "C" NOT NULL,
  expires_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE INDEX api_keys_project ON api_keys (role_project, id);

CREATE TABLE endpoints (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  project_id TEXT COLLATE "C" NOT NULL,
  owner_id TEXT COLLATE "C" NOT NULL,
  url TEXT NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  description TEXT NOT NULL,
  secrets TEXT NOT NULL,
  advanced_signatures BIGINT NOT NULL,
  slack_webhook_url TEXT NOT NULL,
  teams_webhook_url TEXT NOT NULL,
  support_email TEXT NOT NULL,
  status TEXT NOT NULL,
  http_timeout BIGINT NOT NULL,
  rate_limit BIGINT NOT NULL,
  rate_limit_duration BIGINT NOT NULL,
  content_type TEXT NOT NULL,
  authentication TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL
);
CREATE INDEX endpoints_project ON endpoints (project_id, id) WHERE deleted_at = 0;

CREATE TABLE subscriptions (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  project_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  endpoint_id TEXT COLLATE "C" NOT NULL,
  event_types TEXT NOT NULL,
  mode TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL
);
CREATE INDEX subscriptions_project ON subscriptions (project_id, id) WHERE deleted_at = 0;
CREATE INDEX subscriptions_endpoint ON subscriptions (endpoint_id) WHERE deleted_at = 0;

CREATE TABLE events (
  id TEXT COLLATE "C" NOT NULL,
  project_id TEXT COLLATE "C" NOT NULL,
  event_type TEXT NOT NULL,
  source_id TEXT COLLATE "C" NOT NULL,
  endpoints TEXT NOT NULL,
  headers TEXT NOT NULL,
  data BYTEA NOT NULL,
  idempotency_key TEXT NOT NULL,
  is_duplicate BIGINT NOT NULL,
  url_query TEXT NOT NULL,
  url_path TEXT NOT NULL,
  status TEXT NOT NULL,
  failure_reason TEXT NOT NULL,
  acknowledged_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE INDEX events_project ON events (project_id, id);
-- Events are inserted routed; the few that could not be are found here.
CREATE INDEX events_unrouted ON events (id) WHERE status = 'Pending';
CREATE INDEX events_idempotency ON events (project_id, idempotency_key, id) WHERE idempotency_key <> '';

CREATE TABLE idempotency_keys (
  project_id TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  event_id TEXT COLLATE "C" NOT NULL,
  taken_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- events, deliveries and attempts are partitioned by id, which carries the
-- time: a day each, made ahead of time; the default partition takes what has
-- none, so that a missing partition never loses a row.
--
-- A delivery that is first inserted, sent and found delivered changes no
-- indexed column: claim_at stays 0 until the delivery has to be found again by
-- time (a retry, or a process that died with it). The fill factor leaves room
-- on the page for a second version of every row, as one statement updates a
-- whole batch, so that the update is heap-only.
CREATE TABLE deliveries (
  id TEXT COLLATE "C" NOT NULL,
  project_id TEXT COLLATE "C" NOT NULL,
  event_id TEXT COLLATE "C" NOT NULL,
  endpoint_id TEXT COLLATE "C" NOT NULL,
  subscription_id TEXT COLLATE "C" NOT NULL,
  event_type TEXT NOT NULL,
  target_url TEXT NOT NULL,
  mode TEXT NOT NULL,
  status TEXT NOT NULL,
  description TEXT NOT NULL,
  retry_type TEXT NOT NULL,
  retry_interval BIGINT NOT NULL,
  retry_limit BIGINT NOT NULL,
  trials BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  claim_at BIGINT NOT NULL,
  latency BIGINT NOT NULL,
  acknowledged_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT WITH (fillfactor = 50);
CREATE INDEX deliveries_project ON deliveries (project_id, id);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX deliveries_claim ON deliveries (claim_at) WHERE claim_at > 0;
-- A delivery's id carries its event's time, so the deliveries of an event are
-- found by id, without an index that every insert would pay for. Only those of a
-- replay have a time of their own; these two hold no others.
CREATE INDEX deliveries_replay_event ON deliveries (event_id, id) WHERE substr(id, 1, 10) <> substr(event_id, 1, 10);
CREATE INDEX deliveries_replay_endpoint ON deliveries (endpoint_id, event_id) WHERE substr(id, 1, 10) <> substr(event_id, 1, 10);

CREATE TABLE attempts (
  delivery_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  project_id TEXT COLLATE "C" NOT NULL,
  endpoint_id TEXT COLLATE "C" NOT NULL,
  url TEXT NOT NULL,
  method TEXT NOT NULL,
  ip TEXT NOT NULL,
  http_status TEXT NOT NULL,
  error TEXT NOT NULL,
  success BIGINT NOT NULL,
  request_headers TEXT NOT NULL,
  response_headers TEXT NOT NULL,
  response TEXT NOT NULL,
  requested_at BIGINT NOT NULL,
  responded_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (delivery_id, id)
) PARTITION BY RANGE (id);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

-- Leases of periodic work, for stores without Redis.
CREATE TABLE leases (
  name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  owner TEXT COLLATE "C" NOT NULL,
  expires_at BIGINT NOT NULL
);

-- Small facts of the instance, such as how far a sweep has come.
CREATE TABLE facts (
  name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);
