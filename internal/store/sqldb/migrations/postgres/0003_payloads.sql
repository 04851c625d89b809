-- +goose Up
-- What a subscription's function made of an event's data, for the few deliveries
-- that do not send that; id is the delivery's. failure is why there is no such
-- payload yet: the function runs again before the delivery is tried.
CREATE TABLE delivery_payloads (
  id TEXT COLLATE "C" NOT NULL,
  data BYTEA NOT NULL,
  failure TEXT NOT NULL,
  PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE TABLE delivery_payloads_default PARTITION OF delivery_payloads DEFAULT;
