-- +goose Up
-- What events are searched for, made behind them by the scheduler; see the store's
-- search_index.go. Events are taken in the order of their ids, in blocks of up to
-- 64, and 256 blocks are a segment.
CREATE TABLE search_segments (
  id BIGINT NOT NULL PRIMARY KEY,
  -- The segment has the events after one id and up to another.
  after_id TEXT COLLATE "C" NOT NULL,
  last_id TEXT COLLATE "C" NOT NULL,
  -- The last id of each block, 26 characters each.
  bounds TEXT COLLATE "C" NOT NULL
);
CREATE INDEX search_segments_last ON search_segments (last_id);

-- The terms of a segment whose hashes fall into a bucket, each with the events that
-- have it.
CREATE TABLE search_postings (
  bucket BIGINT NOT NULL,
  segment BIGINT NOT NULL,
  postings BYTEA NOT NULL,
  PRIMARY KEY (bucket, segment)
);
ALTER TABLE search_postings ALTER COLUMN postings SET STORAGE EXTERNAL; -- hashes do not compress

-- The types that indexed events have, of which a search may name a part.
CREATE TABLE search_types (
  project_id TEXT COLLATE "C" NOT NULL,
  event_type TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project_id, event_type)
);

-- Events that were written when the index had passed their place.
CREATE TABLE search_late (id TEXT COLLATE "C" NOT NULL PRIMARY KEY);

-- How many events were found from one id to another, to be counted once more when
-- whoever was writing then is done.
CREATE TABLE search_checks (
  last_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  after_id TEXT COLLATE "C" NOT NULL,
  events BIGINT NOT NULL
);

-- The last id that is indexed.
INSERT INTO facts (name, value) VALUES ('search.mark', '');
