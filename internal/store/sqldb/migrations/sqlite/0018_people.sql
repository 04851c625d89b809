-- +goose Up
-- People: how they sign in, and what they belong to. Tokens of all kinds are kept by their SHA-256.
ALTER TABLE users ADD COLUMN email_verified_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN instance_admin INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN totp_secret TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN totp_confirmed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN totp_step INTEGER NOT NULL DEFAULT 0;
UPDATE users SET email = lower(email);

ALTER TABLE organisations ADD COLUMN owner_id TEXT NOT NULL DEFAULT '';
ALTER TABLE organisations ADD COLUMN deleted_at INTEGER NOT NULL DEFAULT 0;
-- Who set the instance up owns what there is.
UPDATE organisations SET owner_id = coalesce((SELECT m.user_id FROM memberships m WHERE m.organisation_id = organisations.id
  AND m.role_type IN ('organisation_admin', 'instance_admin') ORDER BY m.created_at, m.user_id LIMIT 1), '');
UPDATE users SET instance_admin = 1 WHERE id IN (SELECT owner_id FROM organisations);

ALTER TABLE memberships ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE memberships ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
-- An id is unique in its organisation, which the user's is too.
UPDATE memberships SET id = user_id, updated_at = created_at;
CREATE UNIQUE INDEX memberships_organisation ON memberships (organisation_id, id);

ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX api_keys_user ON api_keys (user_id, id) WHERE user_id <> '';

CREATE TABLE sessions (
  id TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  method TEXT NOT NULL,
  ip TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expires ON sessions (expires_at);

-- kind is access or refresh. A refresh token that was used stays until it expires: who presents it again is a thief, or was robbed.
-- salt is what its successors were derived with.
CREATE TABLE session_tokens (
  hash BLOB NOT NULL PRIMARY KEY,
  session_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  salt TEXT NOT NULL,
  used_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX session_tokens_session ON session_tokens (session_id, expires_at);

-- What was sent to an address by mail, for one use.
CREATE TABLE user_tokens (
  hash BLOB NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  purpose TEXT NOT NULL,
  email TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX user_tokens_user ON user_tokens (user_id, purpose);
CREATE INDEX user_tokens_expires ON user_tokens (expires_at);

CREATE TABLE recovery_codes (
  user_id TEXT NOT NULL,
  hash BLOB NOT NULL,
  PRIMARY KEY (user_id, hash)
) STRICT;

CREATE TABLE invitations (
  id TEXT NOT NULL PRIMARY KEY,
  organisation_id TEXT NOT NULL,
  inviter_id TEXT NOT NULL,
  email TEXT NOT NULL,
  role_type TEXT NOT NULL,
  role_project TEXT NOT NULL,
  hash BLOB NOT NULL,
  status TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX invitations_hash ON invitations (hash);
CREATE UNIQUE INDEX invitations_pending ON invitations (organisation_id, email) WHERE status = 'pending';
CREATE INDEX invitations_organisation ON invitations (organisation_id, id) WHERE status = 'pending';
