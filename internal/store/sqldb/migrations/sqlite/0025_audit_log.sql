-- +goose Up
-- Who changed what, written by the database in the transaction of the change: no
-- write can be forgotten, and none is noted that did not happen. before_row and
-- after_row are rows as JSON objects, without secrets: what is sealed is left out,
-- and of what is hashed it is said only that it changed.
CREATE TABLE audit_log (
  id TEXT NOT NULL PRIMARY KEY,
  organisation_id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  actor_name TEXT NOT NULL,
  address TEXT NOT NULL,
  request_id TEXT NOT NULL,
  action TEXT NOT NULL,
  object_kind TEXT NOT NULL,
  object_id TEXT NOT NULL,
  before_row TEXT NOT NULL,
  after_row TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_log_organisation ON audit_log (organisation_id, id);
CREATE INDEX audit_log_project ON audit_log (project_id, id);
CREATE INDEX audit_log_user ON audit_log (user_id, id);

-- Who makes the change of a transaction: a row that the transaction writes first
-- and deletes at its end, so that there never is one for others. Without one it is
-- the gateway itself.
CREATE TABLE audit_actor (
  kind TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  name TEXT NOT NULL,
  address TEXT NOT NULL,
  request_id TEXT NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_organisations_insert AFTER INSERT ON organisations
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), NEW.id, '', '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'organisation.' || 'created', 'organisation', NEW.id,
      '',
      json_object('id', NEW.id, 'name', NEW.name, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'owner_id', NEW.owner_id, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_organisations_update AFTER UPDATE ON organisations
  WHEN (OLD.id, OLD.name, OLD.created_at, OLD.updated_at, OLD.owner_id, OLD.deleted_at)
    IS NOT (NEW.id, NEW.name, NEW.created_at, NEW.updated_at, NEW.owner_id, NEW.deleted_at)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), NEW.id, '', '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'organisation.' || CASE WHEN OLD.deleted_at = 0 AND NEW.deleted_at <> 0 THEN 'deleted' ELSE 'updated' END, 'organisation', NEW.id,
      json_object('id', OLD.id, 'name', OLD.name, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'owner_id', OLD.owner_id, 'deleted_at', OLD.deleted_at),
      json_object('id', NEW.id, 'name', NEW.name, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'owner_id', NEW.owner_id, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_organisations_delete AFTER DELETE ON organisations
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), OLD.id, '', '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'organisation.' || 'deleted', 'organisation', OLD.id,
      json_object('id', OLD.id, 'name', OLD.name, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'owner_id', OLD.owner_id, 'deleted_at', OLD.deleted_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_projects_insert AFTER INSERT ON projects
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), NEW.organisation_id, NEW.id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'project.' || 'created', 'project', NEW.id,
      '',
      json_object('id', NEW.id, 'organisation_id', NEW.organisation_id, 'name', NEW.name, 'logo_url', NEW.logo_url, 'type', NEW.type, 'config', json_remove(NEW.config, '$.meta_event.secret') || '', 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_projects_update AFTER UPDATE ON projects
  WHEN (OLD.id, OLD.organisation_id, OLD.name, OLD.logo_url, OLD.type, OLD.config, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS NOT (NEW.id, NEW.organisation_id, NEW.name, NEW.logo_url, NEW.type, NEW.config, NEW.created_at, NEW.updated_at, NEW.deleted_at)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), NEW.organisation_id, NEW.id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'project.' || CASE WHEN OLD.deleted_at = 0 AND NEW.deleted_at <> 0 THEN 'deleted' ELSE 'updated' END, 'project', NEW.id,
      json_object('id', OLD.id, 'organisation_id', OLD.organisation_id, 'name', OLD.name, 'logo_url', OLD.logo_url, 'type', OLD.type, 'config', json_remove(OLD.config, '$.meta_event.secret') || '', 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at),
      json_object('id', NEW.id, 'organisation_id', NEW.organisation_id, 'name', NEW.name, 'logo_url', NEW.logo_url, 'type', NEW.type, 'config', json_remove(NEW.config, '$.meta_event.secret') || '', 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_projects_delete AFTER DELETE ON projects
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), OLD.organisation_id, OLD.id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'project.' || 'deleted', 'project', OLD.id,
      json_object('id', OLD.id, 'organisation_id', OLD.organisation_id, 'name', OLD.name, 'logo_url', OLD.logo_url, 'type', OLD.type, 'config', json_remove(OLD.config, '$.meta_event.secret') || '', 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_endpoints_insert AFTER INSERT ON endpoints
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'endpoint.' || 'created', 'endpoint', NEW.id,
      '',
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'owner_id', NEW.owner_id, 'url', NEW.url, 'name', NEW.name, 'description', NEW.description, 'advanced_signatures', NEW.advanced_signatures, 'support_email', NEW.support_email, 'status', NEW.status, 'http_timeout', NEW.http_timeout, 'rate_limit', NEW.rate_limit, 'rate_limit_duration', NEW.rate_limit_duration, 'content_type', NEW.content_type, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_endpoints_update AFTER UPDATE ON endpoints
  WHEN (OLD.id, OLD.project_id, OLD.owner_id, OLD.url, OLD.name, OLD.description, OLD.advanced_signatures, OLD.support_email, OLD.status, OLD.http_timeout, OLD.rate_limit, OLD.rate_limit_duration, OLD.content_type, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS NOT (NEW.id, NEW.project_id, NEW.owner_id, NEW.url, NEW.name, NEW.description, NEW.advanced_signatures, NEW.support_email, NEW.status, NEW.http_timeout, NEW.rate_limit, NEW.rate_limit_duration, NEW.content_type, NEW.created_at, NEW.updated_at, NEW.deleted_at)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'endpoint.' || CASE WHEN OLD.deleted_at = 0 AND NEW.deleted_at <> 0 THEN 'deleted' ELSE 'updated' END, 'endpoint', NEW.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'owner_id', OLD.owner_id, 'url', OLD.url, 'name', OLD.name, 'description', OLD.description, 'advanced_signatures', OLD.advanced_signatures, 'support_email', OLD.support_email, 'status', OLD.status, 'http_timeout', OLD.http_timeout, 'rate_limit', OLD.rate_limit, 'rate_limit_duration', OLD.rate_limit_duration, 'content_type', OLD.content_type, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at),
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'owner_id', NEW.owner_id, 'url', NEW.url, 'name', NEW.name, 'description', NEW.description, 'advanced_signatures', NEW.advanced_signatures, 'support_email', NEW.support_email, 'status', NEW.status, 'http_timeout', NEW.http_timeout, 'rate_limit', NEW.rate_limit, 'rate_limit_duration', NEW.rate_limit_duration, 'content_type', NEW.content_type, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_endpoints_delete AFTER DELETE ON endpoints
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = OLD.project_id), ''), OLD.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'endpoint.' || 'deleted', 'endpoint', OLD.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'owner_id', OLD.owner_id, 'url', OLD.url, 'name', OLD.name, 'description', OLD.description, 'advanced_signatures', OLD.advanced_signatures, 'support_email', OLD.support_email, 'status', OLD.status, 'http_timeout', OLD.http_timeout, 'rate_limit', OLD.rate_limit, 'rate_limit_duration', OLD.rate_limit_duration, 'content_type', OLD.content_type, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_subscriptions_insert AFTER INSERT ON subscriptions
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'subscription.' || 'created', 'subscription', NEW.id,
      '',
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'name', NEW.name, 'endpoint_id', NEW.endpoint_id, 'mode', NEW.mode, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at, 'source_id', NEW.source_id, 'filters', NEW.filters, 'function', NEW.function, 'retry_type', NEW.retry_type, 'retry_interval', NEW.retry_interval, 'retry_limit', NEW.retry_limit, 'rate_limit', NEW.rate_limit, 'rate_limit_duration', NEW.rate_limit_duration, 'alert', NEW.alert),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_subscriptions_update AFTER UPDATE ON subscriptions
  WHEN (OLD.id, OLD.project_id, OLD.name, OLD.endpoint_id, OLD.mode, OLD.created_at, OLD.updated_at, OLD.deleted_at, OLD.source_id, OLD.filters, OLD.function, OLD.retry_type, OLD.retry_interval, OLD.retry_limit, OLD.rate_limit, OLD.rate_limit_duration, OLD.alert)
    IS NOT (NEW.id, NEW.project_id, NEW.name, NEW.endpoint_id, NEW.mode, NEW.created_at, NEW.updated_at, NEW.deleted_at, NEW.source_id, NEW.filters, NEW.function, NEW.retry_type, NEW.retry_interval, NEW.retry_limit, NEW.rate_limit, NEW.rate_limit_duration, NEW.alert)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'subscription.' || CASE WHEN OLD.deleted_at = 0 AND NEW.deleted_at <> 0 THEN 'deleted' ELSE 'updated' END, 'subscription', NEW.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'name', OLD.name, 'endpoint_id', OLD.endpoint_id, 'mode', OLD.mode, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at, 'source_id', OLD.source_id, 'filters', OLD.filters, 'function', OLD.function, 'retry_type', OLD.retry_type, 'retry_interval', OLD.retry_interval, 'retry_limit', OLD.retry_limit, 'rate_limit', OLD.rate_limit, 'rate_limit_duration', OLD.rate_limit_duration, 'alert', OLD.alert),
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'name', NEW.name, 'endpoint_id', NEW.endpoint_id, 'mode', NEW.mode, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at, 'source_id', NEW.source_id, 'filters', NEW.filters, 'function', NEW.function, 'retry_type', NEW.retry_type, 'retry_interval', NEW.retry_interval, 'retry_limit', NEW.retry_limit, 'rate_limit', NEW.rate_limit, 'rate_limit_duration', NEW.rate_limit_duration, 'alert', NEW.alert),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_subscriptions_delete AFTER DELETE ON subscriptions
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = OLD.project_id), ''), OLD.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'subscription.' || 'deleted', 'subscription', OLD.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'name', OLD.name, 'endpoint_id', OLD.endpoint_id, 'mode', OLD.mode, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at, 'source_id', OLD.source_id, 'filters', OLD.filters, 'function', OLD.function, 'retry_type', OLD.retry_type, 'retry_interval', OLD.retry_interval, 'retry_limit', OLD.retry_limit, 'rate_limit', OLD.rate_limit, 'rate_limit_duration', OLD.rate_limit_duration, 'alert', OLD.alert),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_sources_insert AFTER INSERT ON sources
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'source.' || 'created', 'source', NEW.id,
      '',
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'mask', NEW.mask, 'name', NEW.name, 'type', NEW.type, 'provider', NEW.provider, 'is_disabled', NEW.is_disabled, 'custom_response', NEW.custom_response, 'crc_verified_at', NEW.crc_verified_at, 'forward_headers', NEW.forward_headers, 'idempotency_keys', NEW.idempotency_keys, 'event_type_location', NEW.event_type_location, 'body_function', NEW.body_function, 'header_function', NEW.header_function, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_sources_update AFTER UPDATE ON sources
  WHEN (OLD.id, OLD.project_id, OLD.mask, OLD.name, OLD.type, OLD.provider, OLD.is_disabled, OLD.custom_response, OLD.forward_headers, OLD.idempotency_keys, OLD.event_type_location, OLD.body_function, OLD.header_function, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS NOT (NEW.id, NEW.project_id, NEW.mask, NEW.name, NEW.type, NEW.provider, NEW.is_disabled, NEW.custom_response, NEW.forward_headers, NEW.idempotency_keys, NEW.event_type_location, NEW.body_function, NEW.header_function, NEW.created_at, NEW.updated_at, NEW.deleted_at)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'source.' || CASE WHEN OLD.deleted_at = 0 AND NEW.deleted_at <> 0 THEN 'deleted' ELSE 'updated' END, 'source', NEW.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'mask', OLD.mask, 'name', OLD.name, 'type', OLD.type, 'provider', OLD.provider, 'is_disabled', OLD.is_disabled, 'custom_response', OLD.custom_response, 'crc_verified_at', OLD.crc_verified_at, 'forward_headers', OLD.forward_headers, 'idempotency_keys', OLD.idempotency_keys, 'event_type_location', OLD.event_type_location, 'body_function', OLD.body_function, 'header_function', OLD.header_function, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at),
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'mask', NEW.mask, 'name', NEW.name, 'type', NEW.type, 'provider', NEW.provider, 'is_disabled', NEW.is_disabled, 'custom_response', NEW.custom_response, 'crc_verified_at', NEW.crc_verified_at, 'forward_headers', NEW.forward_headers, 'idempotency_keys', NEW.idempotency_keys, 'event_type_location', NEW.event_type_location, 'body_function', NEW.body_function, 'header_function', NEW.header_function, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_sources_delete AFTER DELETE ON sources
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = OLD.project_id), ''), OLD.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'source.' || 'deleted', 'source', OLD.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'mask', OLD.mask, 'name', OLD.name, 'type', OLD.type, 'provider', OLD.provider, 'is_disabled', OLD.is_disabled, 'custom_response', OLD.custom_response, 'crc_verified_at', OLD.crc_verified_at, 'forward_headers', OLD.forward_headers, 'idempotency_keys', OLD.idempotency_keys, 'event_type_location', OLD.event_type_location, 'body_function', OLD.body_function, 'header_function', OLD.header_function, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_event_types_insert AFTER INSERT ON event_types
  WHEN EXISTS (SELECT 1 FROM audit_actor)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'event_type.' || 'created', 'event_type', NEW.id,
      '',
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'name', NEW.name, 'description', NEW.description, 'category', NEW.category, 'json_schema', NEW.json_schema, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deprecated_at', NEW.deprecated_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_event_types_update AFTER UPDATE ON event_types
  WHEN (OLD.id, OLD.project_id, OLD.name, OLD.description, OLD.category, OLD.json_schema, OLD.created_at, OLD.updated_at, OLD.deprecated_at)
    IS NOT (NEW.id, NEW.project_id, NEW.name, NEW.description, NEW.category, NEW.json_schema, NEW.created_at, NEW.updated_at, NEW.deprecated_at) AND EXISTS (SELECT 1 FROM audit_actor)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'event_type.' || 'updated', 'event_type', NEW.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'name', OLD.name, 'description', OLD.description, 'category', OLD.category, 'json_schema', OLD.json_schema, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deprecated_at', OLD.deprecated_at),
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'name', NEW.name, 'description', NEW.description, 'category', NEW.category, 'json_schema', NEW.json_schema, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deprecated_at', NEW.deprecated_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_event_types_delete AFTER DELETE ON event_types
  WHEN EXISTS (SELECT 1 FROM audit_actor)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = OLD.project_id), ''), OLD.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'event_type.' || 'deleted', 'event_type', OLD.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'name', OLD.name, 'description', OLD.description, 'category', OLD.category, 'json_schema', OLD.json_schema, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deprecated_at', OLD.deprecated_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_portal_links_insert AFTER INSERT ON portal_links
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'portal_link.' || 'created', 'portal_link', NEW.id,
      '',
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'name', NEW.name, 'owner_id', NEW.owner_id, 'auth', NEW.auth, 'can_manage', NEW.can_manage, 'endpoints', NEW.endpoints, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_portal_links_update AFTER UPDATE ON portal_links
  WHEN (OLD.id, OLD.project_id, OLD.name, OLD.owner_id, OLD.auth, OLD.can_manage, OLD.endpoints, OLD.created_at, OLD.updated_at, OLD.deleted_at, OLD.token)
    IS NOT (NEW.id, NEW.project_id, NEW.name, NEW.owner_id, NEW.auth, NEW.can_manage, NEW.endpoints, NEW.created_at, NEW.updated_at, NEW.deleted_at, NEW.token)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'portal_link.' || CASE WHEN OLD.deleted_at = 0 AND NEW.deleted_at <> 0 THEN 'deleted' ELSE 'updated' END, 'portal_link', NEW.id,
      CASE WHEN OLD.token <> NEW.token THEN json_set(json_object('id', OLD.id, 'project_id', OLD.project_id, 'name', OLD.name, 'owner_id', OLD.owner_id, 'auth', OLD.auth, 'can_manage', OLD.can_manage, 'endpoints', OLD.endpoints, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at), '$.token', '[former secret]') ELSE json_object('id', OLD.id, 'project_id', OLD.project_id, 'name', OLD.name, 'owner_id', OLD.owner_id, 'auth', OLD.auth, 'can_manage', OLD.can_manage, 'endpoints', OLD.endpoints, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at) END,
      CASE WHEN OLD.token <> NEW.token THEN json_set(json_object('id', NEW.id, 'project_id', NEW.project_id, 'name', NEW.name, 'owner_id', NEW.owner_id, 'auth', NEW.auth, 'can_manage', NEW.can_manage, 'endpoints', NEW.endpoints, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at), '$.token', '[new secret]') ELSE json_object('id', NEW.id, 'project_id', NEW.project_id, 'name', NEW.name, 'owner_id', NEW.owner_id, 'auth', NEW.auth, 'can_manage', NEW.can_manage, 'endpoints', NEW.endpoints, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'deleted_at', NEW.deleted_at) END,
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_portal_links_delete AFTER DELETE ON portal_links
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = OLD.project_id), ''), OLD.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'portal_link.' || 'deleted', 'portal_link', OLD.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'name', OLD.name, 'owner_id', OLD.owner_id, 'auth', OLD.auth, 'can_manage', OLD.can_manage, 'endpoints', OLD.endpoints, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'deleted_at', OLD.deleted_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_api_keys_insert AFTER INSERT ON api_keys
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.role_project), ''), NEW.role_project, NEW.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'api_key.' || 'created', 'api_key', NEW.id,
      '',
      json_object('id', NEW.id, 'name', NEW.name, 'mask', NEW.mask, 'type', NEW.type, 'role_type', NEW.role_type, 'role_project', NEW.role_project, 'user_id', NEW.user_id, 'expires_at', NEW.expires_at, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'revoked_at', NEW.revoked_at, 'last_used_at', NEW.last_used_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_api_keys_update AFTER UPDATE ON api_keys
  WHEN (OLD.id, OLD.name, OLD.mask, OLD.type, OLD.role_type, OLD.role_project, OLD.user_id, OLD.expires_at, OLD.created_at, OLD.updated_at, OLD.revoked_at, OLD.hash)
    IS NOT (NEW.id, NEW.name, NEW.mask, NEW.type, NEW.role_type, NEW.role_project, NEW.user_id, NEW.expires_at, NEW.created_at, NEW.updated_at, NEW.revoked_at, NEW.hash)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.role_project), ''), NEW.role_project, NEW.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'api_key.' || CASE WHEN OLD.revoked_at = 0 AND NEW.revoked_at <> 0 THEN 'revoked' ELSE 'updated' END, 'api_key', NEW.id,
      CASE WHEN OLD.hash <> NEW.hash THEN json_set(json_object('id', OLD.id, 'name', OLD.name, 'mask', OLD.mask, 'type', OLD.type, 'role_type', OLD.role_type, 'role_project', OLD.role_project, 'user_id', OLD.user_id, 'expires_at', OLD.expires_at, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'revoked_at', OLD.revoked_at, 'last_used_at', OLD.last_used_at), '$.hash', '[former secret]') ELSE json_object('id', OLD.id, 'name', OLD.name, 'mask', OLD.mask, 'type', OLD.type, 'role_type', OLD.role_type, 'role_project', OLD.role_project, 'user_id', OLD.user_id, 'expires_at', OLD.expires_at, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'revoked_at', OLD.revoked_at, 'last_used_at', OLD.last_used_at) END,
      CASE WHEN OLD.hash <> NEW.hash THEN json_set(json_object('id', NEW.id, 'name', NEW.name, 'mask', NEW.mask, 'type', NEW.type, 'role_type', NEW.role_type, 'role_project', NEW.role_project, 'user_id', NEW.user_id, 'expires_at', NEW.expires_at, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'revoked_at', NEW.revoked_at, 'last_used_at', NEW.last_used_at), '$.hash', '[new secret]') ELSE json_object('id', NEW.id, 'name', NEW.name, 'mask', NEW.mask, 'type', NEW.type, 'role_type', NEW.role_type, 'role_project', NEW.role_project, 'user_id', NEW.user_id, 'expires_at', NEW.expires_at, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'revoked_at', NEW.revoked_at, 'last_used_at', NEW.last_used_at) END,
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_api_keys_delete AFTER DELETE ON api_keys
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = OLD.role_project), ''), OLD.role_project, OLD.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'api_key.' || 'deleted', 'api_key', OLD.id,
      json_object('id', OLD.id, 'name', OLD.name, 'mask', OLD.mask, 'type', OLD.type, 'role_type', OLD.role_type, 'role_project', OLD.role_project, 'user_id', OLD.user_id, 'expires_at', OLD.expires_at, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'revoked_at', OLD.revoked_at, 'last_used_at', OLD.last_used_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_users_insert AFTER INSERT ON users
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), '', '', NEW.id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'user.' || 'created', 'user', NEW.id,
      '',
      json_object('id', NEW.id, 'first_name', NEW.first_name, 'last_name', NEW.last_name, 'email', NEW.email, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'email_verified_at', NEW.email_verified_at, 'instance_admin', NEW.instance_admin, 'totp_confirmed_at', NEW.totp_confirmed_at, 'totp_step', NEW.totp_step),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_users_update AFTER UPDATE ON users
  WHEN (OLD.id, OLD.first_name, OLD.last_name, OLD.email, OLD.created_at, OLD.updated_at, OLD.email_verified_at, OLD.instance_admin, OLD.totp_confirmed_at, OLD.password_hash)
    IS NOT (NEW.id, NEW.first_name, NEW.last_name, NEW.email, NEW.created_at, NEW.updated_at, NEW.email_verified_at, NEW.instance_admin, NEW.totp_confirmed_at, NEW.password_hash)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), '', '', NEW.id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'user.' || 'updated', 'user', NEW.id,
      CASE WHEN OLD.password_hash <> NEW.password_hash THEN json_set(json_object('id', OLD.id, 'first_name', OLD.first_name, 'last_name', OLD.last_name, 'email', OLD.email, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'email_verified_at', OLD.email_verified_at, 'instance_admin', OLD.instance_admin, 'totp_confirmed_at', OLD.totp_confirmed_at, 'totp_step', OLD.totp_step), '$.password_hash', '[former secret]') ELSE json_object('id', OLD.id, 'first_name', OLD.first_name, 'last_name', OLD.last_name, 'email', OLD.email, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'email_verified_at', OLD.email_verified_at, 'instance_admin', OLD.instance_admin, 'totp_confirmed_at', OLD.totp_confirmed_at, 'totp_step', OLD.totp_step) END,
      CASE WHEN OLD.password_hash <> NEW.password_hash THEN json_set(json_object('id', NEW.id, 'first_name', NEW.first_name, 'last_name', NEW.last_name, 'email', NEW.email, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'email_verified_at', NEW.email_verified_at, 'instance_admin', NEW.instance_admin, 'totp_confirmed_at', NEW.totp_confirmed_at, 'totp_step', NEW.totp_step), '$.password_hash', '[new secret]') ELSE json_object('id', NEW.id, 'first_name', NEW.first_name, 'last_name', NEW.last_name, 'email', NEW.email, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at, 'email_verified_at', NEW.email_verified_at, 'instance_admin', NEW.instance_admin, 'totp_confirmed_at', NEW.totp_confirmed_at, 'totp_step', NEW.totp_step) END,
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_users_delete AFTER DELETE ON users
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), '', '', OLD.id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'user.' || 'deleted', 'user', OLD.id,
      json_object('id', OLD.id, 'first_name', OLD.first_name, 'last_name', OLD.last_name, 'email', OLD.email, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at, 'email_verified_at', OLD.email_verified_at, 'instance_admin', OLD.instance_admin, 'totp_confirmed_at', OLD.totp_confirmed_at, 'totp_step', OLD.totp_step),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_memberships_insert AFTER INSERT ON memberships
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), NEW.organisation_id, '', NEW.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'member.' || 'created', 'member', NEW.id,
      '',
      json_object('user_id', NEW.user_id, 'organisation_id', NEW.organisation_id, 'role_type', NEW.role_type, 'role_project', NEW.role_project, 'created_at', NEW.created_at, 'id', NEW.id, 'updated_at', NEW.updated_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_memberships_update AFTER UPDATE ON memberships
  WHEN (OLD.user_id, OLD.organisation_id, OLD.role_type, OLD.role_project, OLD.created_at, OLD.id, OLD.updated_at)
    IS NOT (NEW.user_id, NEW.organisation_id, NEW.role_type, NEW.role_project, NEW.created_at, NEW.id, NEW.updated_at)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), NEW.organisation_id, '', NEW.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'member.' || 'updated', 'member', NEW.id,
      json_object('user_id', OLD.user_id, 'organisation_id', OLD.organisation_id, 'role_type', OLD.role_type, 'role_project', OLD.role_project, 'created_at', OLD.created_at, 'id', OLD.id, 'updated_at', OLD.updated_at),
      json_object('user_id', NEW.user_id, 'organisation_id', NEW.organisation_id, 'role_type', NEW.role_type, 'role_project', NEW.role_project, 'created_at', NEW.created_at, 'id', NEW.id, 'updated_at', NEW.updated_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_memberships_delete AFTER DELETE ON memberships
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), OLD.organisation_id, '', OLD.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'member.' || 'deleted', 'member', OLD.id,
      json_object('user_id', OLD.user_id, 'organisation_id', OLD.organisation_id, 'role_type', OLD.role_type, 'role_project', OLD.role_project, 'created_at', OLD.created_at, 'id', OLD.id, 'updated_at', OLD.updated_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_invitations_insert AFTER INSERT ON invitations
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), NEW.organisation_id, '', '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'invitation.' || 'created', 'invitation', NEW.id,
      '',
      json_object('id', NEW.id, 'organisation_id', NEW.organisation_id, 'inviter_id', NEW.inviter_id, 'email', NEW.email, 'role_type', NEW.role_type, 'role_project', NEW.role_project, 'status', NEW.status, 'expires_at', NEW.expires_at, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_invitations_update AFTER UPDATE ON invitations
  WHEN (OLD.id, OLD.organisation_id, OLD.inviter_id, OLD.email, OLD.role_type, OLD.role_project, OLD.status, OLD.expires_at, OLD.created_at, OLD.updated_at, OLD.hash)
    IS NOT (NEW.id, NEW.organisation_id, NEW.inviter_id, NEW.email, NEW.role_type, NEW.role_project, NEW.status, NEW.expires_at, NEW.created_at, NEW.updated_at, NEW.hash)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), NEW.organisation_id, '', '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'invitation.' || 'updated', 'invitation', NEW.id,
      CASE WHEN OLD.hash <> NEW.hash THEN json_set(json_object('id', OLD.id, 'organisation_id', OLD.organisation_id, 'inviter_id', OLD.inviter_id, 'email', OLD.email, 'role_type', OLD.role_type, 'role_project', OLD.role_project, 'status', OLD.status, 'expires_at', OLD.expires_at, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at), '$.hash', '[former secret]') ELSE json_object('id', OLD.id, 'organisation_id', OLD.organisation_id, 'inviter_id', OLD.inviter_id, 'email', OLD.email, 'role_type', OLD.role_type, 'role_project', OLD.role_project, 'status', OLD.status, 'expires_at', OLD.expires_at, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at) END,
      CASE WHEN OLD.hash <> NEW.hash THEN json_set(json_object('id', NEW.id, 'organisation_id', NEW.organisation_id, 'inviter_id', NEW.inviter_id, 'email', NEW.email, 'role_type', NEW.role_type, 'role_project', NEW.role_project, 'status', NEW.status, 'expires_at', NEW.expires_at, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at), '$.hash', '[new secret]') ELSE json_object('id', NEW.id, 'organisation_id', NEW.organisation_id, 'inviter_id', NEW.inviter_id, 'email', NEW.email, 'role_type', NEW.role_type, 'role_project', NEW.role_project, 'status', NEW.status, 'expires_at', NEW.expires_at, 'created_at', NEW.created_at, 'updated_at', NEW.updated_at) END,
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_invitations_delete AFTER DELETE ON invitations
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), OLD.organisation_id, '', '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'invitation.' || 'deleted', 'invitation', OLD.id,
      json_object('id', OLD.id, 'organisation_id', OLD.organisation_id, 'inviter_id', OLD.inviter_id, 'email', OLD.email, 'role_type', OLD.role_type, 'role_project', OLD.role_project, 'status', OLD.status, 'expires_at', OLD.expires_at, 'created_at', OLD.created_at, 'updated_at', OLD.updated_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_sessions_insert AFTER INSERT ON sessions
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), '', '', NEW.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'session.' || 'created', 'session', NEW.id,
      '',
      json_object('id', NEW.id, 'user_id', NEW.user_id, 'method', NEW.method, 'ip', NEW.ip, 'user_agent', NEW.user_agent, 'created_at', NEW.created_at, 'used_at', NEW.used_at, 'expires_at', NEW.expires_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_sessions_delete AFTER DELETE ON sessions
  WHEN EXISTS (SELECT 1 FROM audit_actor)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), '', '', OLD.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'session.' || 'deleted', 'session', OLD.id,
      json_object('id', OLD.id, 'user_id', OLD.user_id, 'method', OLD.method, 'ip', OLD.ip, 'user_agent', OLD.user_agent, 'created_at', OLD.created_at, 'used_at', OLD.used_at, 'expires_at', OLD.expires_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_identities_insert AFTER INSERT ON identities
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), '', '', NEW.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'identity.' || 'created', 'identity', NEW.subject,
      '',
      json_object('issuer', NEW.issuer, 'subject', NEW.subject, 'user_id', NEW.user_id, 'email', NEW.email, 'created_at', NEW.created_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_identities_delete AFTER DELETE ON identities
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), '', '', OLD.user_id,
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'identity.' || 'deleted', 'identity', OLD.subject,
      json_object('issuer', OLD.issuer, 'subject', OLD.subject, 'user_id', OLD.user_id, 'email', OLD.email, 'created_at', OLD.created_at),
      '',
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_batch_jobs_insert AFTER INSERT ON batch_jobs
  WHEN EXISTS (SELECT 1 FROM audit_actor)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'batch_job.' || 'created', 'batch_job', NEW.id,
      '',
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'kind', NEW.kind, 'filter', NEW.filter, 'state', NEW.state, 'reached', NEW.reached, 'matched', NEW.matched, 'processed', NEW.processed, 'succeeded', NEW.succeeded, 'failed', NEW.failed, 'reasons', NEW.reasons, 'rate', NEW.rate, 'owner', NEW.owner, 'lease_until', NEW.lease_until, 'failing_since', NEW.failing_since, 'error', NEW.error, 'created_at', NEW.created_at, 'started_at', NEW.started_at, 'finished_at', NEW.finished_at, 'updated_at', NEW.updated_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_batch_jobs_update AFTER UPDATE ON batch_jobs
  WHEN OLD.state <> NEW.state AND EXISTS (SELECT 1 FROM audit_actor)
BEGIN
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    SELECT printf('%020d', coalesce((SELECT max(rowid) FROM audit_log), 0) + 1), coalesce((SELECT organisation_id FROM projects WHERE id = NEW.project_id), ''), NEW.project_id, '',
      coalesce(a.kind, 'system'), coalesce(a.actor_id, ''), coalesce(a.name, ''), coalesce(a.address, ''), coalesce(a.request_id, ''),
      'batch_job.' || 'updated', 'batch_job', NEW.id,
      json_object('id', OLD.id, 'project_id', OLD.project_id, 'kind', OLD.kind, 'filter', OLD.filter, 'state', OLD.state, 'reached', OLD.reached, 'matched', OLD.matched, 'processed', OLD.processed, 'succeeded', OLD.succeeded, 'failed', OLD.failed, 'reasons', OLD.reasons, 'rate', OLD.rate, 'owner', OLD.owner, 'lease_until', OLD.lease_until, 'failing_since', OLD.failing_since, 'error', OLD.error, 'created_at', OLD.created_at, 'started_at', OLD.started_at, 'finished_at', OLD.finished_at, 'updated_at', OLD.updated_at),
      json_object('id', NEW.id, 'project_id', NEW.project_id, 'kind', NEW.kind, 'filter', NEW.filter, 'state', NEW.state, 'reached', NEW.reached, 'matched', NEW.matched, 'processed', NEW.processed, 'succeeded', NEW.succeeded, 'failed', NEW.failed, 'reasons', NEW.reasons, 'rate', NEW.rate, 'owner', NEW.owner, 'lease_until', NEW.lease_until, 'failing_since', NEW.failing_since, 'error', NEW.error, 'created_at', NEW.created_at, 'started_at', NEW.started_at, 'finished_at', NEW.finished_at, 'updated_at', NEW.updated_at),
      CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
    FROM (SELECT 1) LEFT JOIN audit_actor a;
END;
-- +goose StatementEnd
