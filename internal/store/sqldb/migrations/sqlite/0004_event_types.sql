-- +goose Up
-- The names of a project's events, and what is known about each.
CREATE TABLE event_types (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  category TEXT NOT NULL,
  json_schema TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deprecated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_types_name ON event_types (project_id, name);

-- Every project has *, whose id is the project's.
INSERT INTO event_types (id, project_id, name, description, category, json_schema, created_at, updated_at, deprecated_at)
  SELECT id, id, '*', '', '', '', created_at, created_at, 0 FROM projects;

-- What an event that was accepted all the same has against its type's schema.
ALTER TABLE events ADD COLUMN schema_error TEXT NOT NULL DEFAULT '';
