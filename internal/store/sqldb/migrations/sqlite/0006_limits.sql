-- +goose Up
-- What rate limits do to deliveries. permit_at is the slot a delivery has; held_by is the limit in whose line it has stood, and
-- those that stand there now have a claim time of their own, so that no other delivery is in the index.
ALTER TABLE deliveries ADD COLUMN permit_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN held_by TEXT NOT NULL DEFAULT '';
CREATE INDEX deliveries_held ON deliveries (held_by, id) WHERE claim_at = 9007199254740990;

-- The states of limits, for stores without Redis.
CREATE TABLE limits (
  name TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX limits_expiry ON limits (expires_at);
