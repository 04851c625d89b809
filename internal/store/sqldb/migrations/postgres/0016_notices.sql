-- +goose Up
-- Messages to people that are to be sent. What has been sent, or given up, is deleted.
CREATE TABLE notices (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  project_id TEXT COLLATE "C" NOT NULL,
  channel TEXT NOT NULL,
  target TEXT NOT NULL,
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  tries BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX notices_due ON notices (due_at, id);

-- Failures of subscriptions that ask for an alert: the times of the last ones, as many as the alert is about, in microseconds with
-- spaces between.
CREATE TABLE alerts (
  subscription_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  failures TEXT NOT NULL,
  raised_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX alerts_updated ON alerts (updated_at);
