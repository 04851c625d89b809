-- +goose Up
-- What has changed in each project, so that a process that has its settings in
-- memory reads only that. The database keeps this record and not its clients:
-- no write can be forgotten.
CREATE TABLE settings_revisions (
  project_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
);

-- The newest 1,000 changes of each project; revisions have no gaps. Kind is the
-- table of the row that was written.
CREATE TABLE settings_changes (
  project_id TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  kind TEXT NOT NULL,
  row_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project_id, revision)
);

INSERT INTO settings_revisions (project_id, revision) SELECT id, 0 FROM projects;

-- +goose StatementBegin
CREATE FUNCTION settings_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  written RECORD;
  project TEXT COLLATE "C";
  at BIGINT;
BEGIN
  IF TG_OP = 'DELETE' THEN written := OLD; ELSE written := NEW; END IF;
  IF TG_TABLE_NAME = 'projects' THEN project := written.id; ELSE project := written.project_id; END IF;
  INSERT INTO settings_revisions AS r (project_id, revision) VALUES (project, 1)
    ON CONFLICT (project_id) DO UPDATE SET revision = r.revision + 1 RETURNING r.revision INTO at;
  INSERT INTO settings_changes (project_id, revision, kind, row_id) VALUES (project, at, TG_TABLE_NAME, written.id);
  DELETE FROM settings_changes WHERE project_id = project AND revision <= at - 1000;
  RETURN NULL;
END $$;
-- +goose StatementEnd

-- Deferred: the row of the project's revision is locked last, at the commit.
-- Revisions are then in the order of commits, and nobody who holds the lock waits
-- for another.
CREATE CONSTRAINT TRIGGER projects_changed AFTER INSERT OR UPDATE OR DELETE ON projects
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_changed();
CREATE CONSTRAINT TRIGGER endpoints_changed AFTER INSERT OR UPDATE OR DELETE ON endpoints
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_changed();
CREATE CONSTRAINT TRIGGER subscriptions_changed AFTER INSERT OR UPDATE OR DELETE ON subscriptions
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_changed();
CREATE CONSTRAINT TRIGGER sources_changed AFTER INSERT OR UPDATE OR DELETE ON sources
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_changed();
CREATE CONSTRAINT TRIGGER event_types_changed AFTER INSERT OR UPDATE OR DELETE ON event_types
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_changed();
