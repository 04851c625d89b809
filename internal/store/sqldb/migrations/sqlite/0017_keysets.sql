-- +goose Up
-- The keys that secrets are sealed with, wrapped with a key that is kept elsewhere. There is one row.
CREATE TABLE keysets (
  name TEXT NOT NULL PRIMARY KEY,
  wrapped TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
