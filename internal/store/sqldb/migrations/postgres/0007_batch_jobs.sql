-- +goose Up
-- Work on many events or deliveries, in the order of their ids: reached is the
-- last one done with. One process owns a job until lease_until.
CREATE TABLE batch_jobs (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  project_id TEXT COLLATE "C" NOT NULL,
  kind TEXT NOT NULL,
  filter TEXT NOT NULL,
  state TEXT NOT NULL,
  reached TEXT COLLATE "C" NOT NULL,
  matched BIGINT NOT NULL,
  processed BIGINT NOT NULL,
  succeeded BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  reasons TEXT NOT NULL,
  rate BIGINT NOT NULL,
  owner TEXT NOT NULL,
  lease_until BIGINT NOT NULL,
  failing_since BIGINT NOT NULL,
  error TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  finished_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX batch_jobs_project ON batch_jobs (project_id, id);
CREATE INDEX batch_jobs_work ON batch_jobs (lease_until) WHERE state IN ('queued', 'running');
CREATE INDEX batch_jobs_finished ON batch_jobs (finished_at) WHERE finished_at > 0;
-- A project has one retry at a time.
CREATE UNIQUE INDEX batch_jobs_retry ON batch_jobs (project_id) WHERE kind = 'retry' AND state IN ('queued', 'running', 'paused');

-- How often a delivery has been given a new budget of tries. Trials begin anew
-- then, so an outcome also has to be of the same budget.
ALTER TABLE deliveries ADD COLUMN resends BIGINT NOT NULL DEFAULT 0;
