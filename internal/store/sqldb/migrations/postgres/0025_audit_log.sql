-- +goose Up
-- Who changed what, written by the database in the transaction of the change: no
-- write can be forgotten, and none is noted that did not happen. before_row and
-- after_row are rows as JSON objects, without secrets: what is sealed is left out,
-- and of what is hashed it is said only that it changed.
CREATE TABLE audit_log (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  organisation_id TEXT COLLATE "C" NOT NULL,
  project_id TEXT COLLATE "C" NOT NULL,
  user_id TEXT COLLATE "C" NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT COLLATE "C" NOT NULL,
  actor_name TEXT NOT NULL,
  address TEXT NOT NULL,
  request_id TEXT COLLATE "C" NOT NULL,
  action TEXT NOT NULL,
  object_kind TEXT NOT NULL,
  object_id TEXT COLLATE "C" NOT NULL,
  before_row TEXT NOT NULL,
  after_row TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX audit_log_organisation ON audit_log (organisation_id, id);
CREATE INDEX audit_log_project ON audit_log (project_id, id);
CREATE INDEX audit_log_user ON audit_log (user_id, id);

-- Who makes the change of a transaction: a row that the transaction writes first
-- and deletes at its end, so that there never is one for others. Without one it is
-- the gateway itself.
CREATE TABLE audit_actor (
  kind TEXT NOT NULL,
  actor_id TEXT COLLATE "C" NOT NULL,
  name TEXT NOT NULL,
  address TEXT NOT NULL,
  request_id TEXT COLLATE "C" NOT NULL
);

CREATE SEQUENCE audit_log_ids;

-- Arguments: the kind of object; columns that are sealed; that are hashed; the
-- column whose being set ends the object; whether only what somebody does counts;
-- the only column whose change counts.
-- +goose StatementBegin
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  kind TEXT := TG_ARGV[0];
  was JSONB := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
  is_ JSONB := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
  one JSONB := coalesce(is_, was);
  done TEXT := CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'DELETE' THEN 'deleted' ELSE 'updated' END;
  -- What the gateway notes as it works. What is sealed is sealed anew with each write.
  dull CONSTANT TEXT[] := ARRAY['last_used_at', 'totp_step', 'crc_verified_at'];
  who audit_actor;
  col TEXT;
BEGIN
  IF TG_OP = 'UPDATE' AND (CASE WHEN TG_ARGV[5] <> '' THEN was ->> TG_ARGV[5] = is_ ->> TG_ARGV[5]
      ELSE was - dull - string_to_array(TG_ARGV[1], ' ') = is_ - dull - string_to_array(TG_ARGV[1], ' ') END) THEN
    RETURN NULL;
  END IF;
  SELECT * INTO who FROM audit_actor LIMIT 1;
  IF NOT FOUND THEN
    IF TG_ARGV[4] = 'always' OR TG_ARGV[4] = TG_OP THEN
      RETURN NULL;
    END IF;
    who := ROW('system', '', '', '', '');
  END IF;
  IF TG_OP = 'UPDATE' AND TG_ARGV[3] <> '' AND was ->> TG_ARGV[3] = '0' AND is_ ->> TG_ARGV[3] <> '0' THEN
    done := CASE TG_ARGV[3] WHEN 'revoked_at' THEN 'revoked' ELSE 'deleted' END;
  END IF;
  FOREACH col IN ARRAY string_to_array(TG_ARGV[1], ' ') LOOP
    was := was - col;
    is_ := is_ - col;
  END LOOP;
  FOREACH col IN ARRAY string_to_array(TG_ARGV[2], ' ') LOOP
    IF TG_OP = 'UPDATE' AND was ->> col <> is_ ->> col THEN
      was := jsonb_set(was, ARRAY[col], '"[former secret]"');
      is_ := jsonb_set(is_, ARRAY[col], '"[new secret]"');
    ELSE
      was := was - col;
      is_ := is_ - col;
    END IF;
  END LOOP;
  IF kind = 'project' THEN
    was := jsonb_set(was, '{config}', to_jsonb(((was ->> 'config')::jsonb #- '{meta_event,secret}')::text));
    is_ := jsonb_set(is_, '{config}', to_jsonb(((is_ ->> 'config')::jsonb #- '{meta_event,secret}')::text));
  END IF;
  INSERT INTO audit_log (id, organisation_id, project_id, user_id, actor_kind, actor_id, actor_name, address, request_id, action, object_kind,
      object_id, before_row, after_row, created_at)
    VALUES (lpad(nextval('audit_log_ids')::text, 20, '0'),
      CASE WHEN kind = 'organisation' THEN one ->> 'id' ELSE coalesce(one ->> 'organisation_id',
        (SELECT p.organisation_id FROM projects p WHERE p.id = coalesce(one ->> 'project_id', one ->> 'role_project') COLLATE "C"), '') END,
      CASE WHEN kind = 'project' THEN one ->> 'id' ELSE coalesce(one ->> 'project_id', one ->> 'role_project', '') END,
      CASE WHEN kind = 'user' THEN one ->> 'id' ELSE coalesce(one ->> 'user_id', '') END,
      who.kind, who.actor_id, who.name, who.address, who.request_id, kind || '.' || done, kind,
      coalesce(one ->> 'id', one ->> 'subject'), coalesce(was::text, ''), coalesce(is_::text, ''),
      (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
  RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is only added to';
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_log_kept BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_is_kept();

CREATE TRIGGER audit_organisations AFTER INSERT OR UPDATE OR DELETE ON organisations
  FOR EACH ROW EXECUTE FUNCTION audit('organisation', '', '', 'deleted_at', '', '');
CREATE TRIGGER audit_projects AFTER INSERT OR UPDATE OR DELETE ON projects
  FOR EACH ROW EXECUTE FUNCTION audit('project', '', '', 'deleted_at', '', '');
CREATE TRIGGER audit_endpoints AFTER INSERT OR UPDATE OR DELETE ON endpoints
  FOR EACH ROW EXECUTE FUNCTION audit('endpoint', 'secrets slack_webhook_url teams_webhook_url authentication client_certificate', '', 'deleted_at', '', '');
CREATE TRIGGER audit_subscriptions AFTER INSERT OR UPDATE OR DELETE ON subscriptions
  FOR EACH ROW EXECUTE FUNCTION audit('subscription', '', '', 'deleted_at', '', '');
CREATE TRIGGER audit_sources AFTER INSERT OR UPDATE OR DELETE ON sources
  FOR EACH ROW EXECUTE FUNCTION audit('source', 'verifier pub_sub', '', 'deleted_at', '', '');
CREATE TRIGGER audit_event_types AFTER INSERT OR UPDATE OR DELETE ON event_types
  FOR EACH ROW EXECUTE FUNCTION audit('event_type', '', '', '', 'always', '');
CREATE TRIGGER audit_portal_links AFTER INSERT OR UPDATE OR DELETE ON portal_links
  FOR EACH ROW EXECUTE FUNCTION audit('portal_link', '', 'token', 'deleted_at', '', '');
CREATE TRIGGER audit_api_keys AFTER INSERT OR UPDATE OR DELETE ON api_keys
  FOR EACH ROW EXECUTE FUNCTION audit('api_key', '', 'hash', 'revoked_at', '', '');
CREATE TRIGGER audit_users AFTER INSERT OR UPDATE OR DELETE ON users
  FOR EACH ROW EXECUTE FUNCTION audit('user', 'totp_secret', 'password_hash', '', '', '');
CREATE TRIGGER audit_memberships AFTER INSERT OR UPDATE OR DELETE ON memberships
  FOR EACH ROW EXECUTE FUNCTION audit('member', '', '', '', '', '');
CREATE TRIGGER audit_invitations AFTER INSERT OR UPDATE OR DELETE ON invitations
  FOR EACH ROW EXECUTE FUNCTION audit('invitation', '', 'hash', '', '', '');
CREATE TRIGGER audit_sessions AFTER INSERT OR DELETE ON sessions
  FOR EACH ROW EXECUTE FUNCTION audit('session', '', '', '', 'DELETE', '');
CREATE TRIGGER audit_identities AFTER INSERT OR DELETE ON identities
  FOR EACH ROW EXECUTE FUNCTION audit('identity', '', '', '', '', '');
CREATE TRIGGER audit_batch_jobs AFTER INSERT OR UPDATE ON batch_jobs
  FOR EACH ROW EXECUTE FUNCTION audit('batch_job', '', '', '', 'always', 'state');
