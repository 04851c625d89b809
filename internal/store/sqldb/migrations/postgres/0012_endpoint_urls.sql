-- +goose Up
-- Dynamic events look endpoints up by URL, and those whose URLs have placeholders.
CREATE INDEX endpoints_url ON endpoints (project_id, url) WHERE deleted_at = 0;
CREATE INDEX endpoints_template ON endpoints (project_id, id) WHERE deleted_at = 0 AND replace(url, '{', '') <> url;
