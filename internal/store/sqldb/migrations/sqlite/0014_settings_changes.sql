-- +goose Up
-- What has changed in each project, so that a process that has its settings in
-- memory reads only that. The database keeps this record and not its clients:
-- no write can be forgotten.
CREATE TABLE settings_revisions (
  project_id TEXT NOT NULL PRIMARY KEY,
  revision INTEGER NOT NULL
) STRICT;

-- The newest 1,000 changes of each project; revisions have no gaps. Kind is the
-- table of the row that was written.
CREATE TABLE settings_changes (
  project_id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  kind TEXT NOT NULL,
  row_id TEXT NOT NULL,
  PRIMARY KEY (project_id, revision)
) STRICT;

INSERT INTO settings_revisions (project_id, revision) SELECT id, 0 FROM projects;

-- +goose StatementBegin
CREATE TRIGGER settings_changes_inserted AFTER INSERT ON settings_changes BEGIN
  INSERT INTO settings_revisions (project_id, revision) VALUES (NEW.project_id, NEW.revision)
    ON CONFLICT (project_id) DO UPDATE SET revision = excluded.revision;
  DELETE FROM settings_changes WHERE project_id = NEW.project_id AND revision <= NEW.revision - 1000;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER projects_inserted AFTER INSERT ON projects BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.id, coalesce(max(revision), 0) + 1, 'projects', NEW.id FROM settings_changes WHERE project_id = NEW.id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER projects_updated AFTER UPDATE ON projects BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.id, coalesce(max(revision), 0) + 1, 'projects', NEW.id FROM settings_changes WHERE project_id = NEW.id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER projects_deleted AFTER DELETE ON projects BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT OLD.id, coalesce(max(revision), 0) + 1, 'projects', OLD.id FROM settings_changes WHERE project_id = OLD.id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER endpoints_inserted AFTER INSERT ON endpoints BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.project_id, coalesce(max(revision), 0) + 1, 'endpoints', NEW.id FROM settings_changes WHERE project_id = NEW.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER endpoints_updated AFTER UPDATE ON endpoints BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.project_id, coalesce(max(revision), 0) + 1, 'endpoints', NEW.id FROM settings_changes WHERE project_id = NEW.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER endpoints_deleted AFTER DELETE ON endpoints BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT OLD.project_id, coalesce(max(revision), 0) + 1, 'endpoints', OLD.id FROM settings_changes WHERE project_id = OLD.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER subscriptions_inserted AFTER INSERT ON subscriptions BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.project_id, coalesce(max(revision), 0) + 1, 'subscriptions', NEW.id FROM settings_changes WHERE project_id = NEW.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER subscriptions_updated AFTER UPDATE ON subscriptions BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.project_id, coalesce(max(revision), 0) + 1, 'subscriptions', NEW.id FROM settings_changes WHERE project_id = NEW.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER subscriptions_deleted AFTER DELETE ON subscriptions BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT OLD.project_id, coalesce(max(revision), 0) + 1, 'subscriptions', OLD.id FROM settings_changes WHERE project_id = OLD.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER sources_inserted AFTER INSERT ON sources BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.project_id, coalesce(max(revision), 0) + 1, 'sources', NEW.id FROM settings_changes WHERE project_id = NEW.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER sources_updated AFTER UPDATE ON sources BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.project_id, coalesce(max(revision), 0) + 1, 'sources', NEW.id FROM settings_changes WHERE project_id = NEW.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER sources_deleted AFTER DELETE ON sources BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT OLD.project_id, coalesce(max(revision), 0) + 1, 'sources', OLD.id FROM settings_changes WHERE project_id = OLD.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER event_types_inserted AFTER INSERT ON event_types BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.project_id, coalesce(max(revision), 0) + 1, 'event_types', NEW.id FROM settings_changes WHERE project_id = NEW.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER event_types_updated AFTER UPDATE ON event_types BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT NEW.project_id, coalesce(max(revision), 0) + 1, 'event_types', NEW.id FROM settings_changes WHERE project_id = NEW.project_id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER event_types_deleted AFTER DELETE ON event_types BEGIN
  INSERT INTO settings_changes (project_id, revision, kind, row_id)
    SELECT OLD.project_id, coalesce(max(revision), 0) + 1, 'event_types', OLD.id FROM settings_changes WHERE project_id = OLD.project_id;
END;
-- +goose StatementEnd
