-- +goose Up
-- What events are searched for, made behind them by the scheduler; see the store's
-- search_index.go. Events are taken in the order of their ids, in blocks of up to
-- 64, and 256 blocks are a segment.
CREATE TABLE search_segments (
  id INTEGER NOT NULL PRIMARY KEY,
  -- The segment has the events after one id and up to another.
  after_id TEXT NOT NULL,
  last_id TEXT NOT NULL,
  -- The last id of each block, 26 characters each.
  bounds TEXT NOT NULL
) STRICT;
CREATE INDEX search_segments_last ON search_segments (last_id);

-- The terms of a segment whose hashes fall into a bucket, each with the events that
-- have it.
CREATE TABLE search_postings (
  bucket INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  postings BLOB NOT NULL,
  PRIMARY KEY (bucket, segment)
) STRICT;

-- The types that indexed events have, of which a search may name a part.
CREATE TABLE search_types (
  project_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  PRIMARY KEY (project_id, event_type)
) STRICT;

-- Events that were written when the index had passed their place.
CREATE TABLE search_late (id TEXT NOT NULL PRIMARY KEY) STRICT;

-- How many events were found from one id to another, to be counted once more when
-- whoever was writing then is done.
CREATE TABLE search_checks (
  last_id TEXT NOT NULL PRIMARY KEY,
  after_id TEXT NOT NULL,
  events INTEGER NOT NULL
) STRICT;

-- The last id that is indexed.
INSERT INTO facts (name, value) VALUES ('search.mark', '');
