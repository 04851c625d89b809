-- +goose Up
-- What a subscription's function made of an event's data, for the few deliveries
-- that do not send that; id is the delivery's. failure is why there is no such
-- payload yet: the function runs again before the delivery is tried.
CREATE TABLE delivery_payloads (
  id TEXT NOT NULL PRIMARY KEY,
  data BLOB NOT NULL,
  failure TEXT NOT NULL
) STRICT;
