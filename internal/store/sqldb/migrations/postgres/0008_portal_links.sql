-- +goose Up
-- Links that show an owner its endpoints.
CREATE TABLE portal_links (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  project_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  owner_id TEXT COLLATE "C" NOT NULL,
  auth TEXT NOT NULL,
  can_manage BIGINT NOT NULL,
  token TEXT COLLATE "C" NOT NULL,
  endpoints TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL
);
CREATE INDEX portal_links_project ON portal_links (project_id, id) WHERE deleted_at = 0;
CREATE UNIQUE INDEX portal_links_token ON portal_links (token);

-- Their keys that last an hour, by hash: whoever reads the table can open nothing.
CREATE TABLE portal_keys (
  hash BYTEA NOT NULL PRIMARY KEY,
  link_id TEXT COLLATE "C" NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX portal_keys_expiry ON portal_keys (expires_at);
CREATE INDEX endpoints_owner ON endpoints (project_id, owner_id, id) WHERE deleted_at = 0;
