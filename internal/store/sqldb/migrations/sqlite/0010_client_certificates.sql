-- +goose Up
-- What an endpoint that asks for a client certificate is shown.
ALTER TABLE endpoints ADD COLUMN client_certificate TEXT NOT NULL DEFAULT '{}';
