package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The ceiling's tables have the columns and indexes of the real ones, so that
// both write the same rows; they are not partitioned.
const ceilingSchema = `
CREATE TABLE IF NOT EXISTS events (
  id TEXT %[1]s NOT NULL PRIMARY KEY, project_id TEXT %[1]s NOT NULL, event_type TEXT NOT NULL,
  source_id TEXT %[1]s NOT NULL, endpoints TEXT NOT NULL, headers TEXT NOT NULL, data %[2]s NOT NULL,
  idempotency_key TEXT NOT NULL, is_duplicate %[3]s NOT NULL, url_query TEXT NOT NULL, url_path TEXT NOT NULL,
  status TEXT NOT NULL, failure_reason TEXT NOT NULL, acknowledged_at %[3]s NOT NULL,
  created_at %[3]s NOT NULL, updated_at %[3]s NOT NULL) %[4]s;
CREATE INDEX IF NOT EXISTS events_project ON events (project_id, id);
CREATE TABLE IF NOT EXISTS deliveries (
  id TEXT %[1]s NOT NULL PRIMARY KEY, project_id TEXT %[1]s NOT NULL, event_id TEXT %[1]s NOT NULL,
  endpoint_id TEXT %[1]s NOT NULL, subscription_id TEXT %[1]s NOT NULL, event_type TEXT NOT NULL,
  target_url TEXT NOT NULL, mode TEXT NOT NULL, status TEXT NOT NULL, description TEXT NOT NULL,
  retry_type TEXT NOT NULL, retry_interval %[3]s NOT NULL, retry_limit %[3]s NOT NULL, trials %[3]s NOT NULL,
  due_at %[3]s NOT NULL, claim_at %[3]s NOT NULL, latency %[3]s NOT NULL, acknowledged_at %[3]s NOT NULL,
  created_at %[3]s NOT NULL, updated_at %[3]s NOT NULL) %[5]s;
CREATE INDEX IF NOT EXISTS deliveries_project ON deliveries (project_id, id);
CREATE INDEX IF NOT EXISTS deliveries_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX IF NOT EXISTS deliveries_claim ON deliveries (claim_at) WHERE claim_at > 0;
CREATE TABLE IF NOT EXISTS attempts (
  delivery_id TEXT %[1]s NOT NULL, id TEXT %[1]s NOT NULL, project_id TEXT %[1]s NOT NULL,
  endpoint_id TEXT %[1]s NOT NULL, url TEXT NOT NULL, method TEXT NOT NULL, ip TEXT NOT NULL,
  http_status TEXT NOT NULL, error TEXT NOT NULL, success %[3]s NOT NULL, request_headers TEXT NOT NULL,
  response_headers TEXT NOT NULL, response TEXT NOT NULL, requested_at %[3]s NOT NULL,
  responded_at %[3]s NOT NULL, created_at %[3]s NOT NULL, PRIMARY KEY (delivery_id, id)) %[4]s;
`

// The columns that a program without any feature never fills are constants.
const (
	eventColumns = `events (id, project_id, event_type, endpoints, headers, data, idempotency_key, created_at, updated_at,
 source_id, is_duplicate, url_query, url_path, status, failure_reason, acknowledged_at)`
	deliveryColumns = `deliveries (id, project_id, event_id, endpoint_id, event_type, due_at, created_at, updated_at,
 subscription_id, target_url, mode, status, description, retry_type, retry_interval, retry_limit, trials,
 claim_at, latency, acknowledged_at)`
	attemptColumns = `attempts (delivery_id, id, project_id, endpoint_id, http_status, error, success, request_headers,
 response_headers, response, requested_at, responded_at, created_at, url, method, ip)`
	eventConstants    = `'', 0, '', '', 'Success', '', 0`
	deliveryConstants = `'01JDBENCHSUBSCRIPTION00000', '', 'at_least_once', 'Processing', '', 'linear', 100, 10, 0, 0, 0, 0`
)

type postgresLedger struct {
	conn *pgx.Conn
	url  string
}

func openPostgresLedger(ctx context.Context, dsn, endpointURL string) (*postgresLedger, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("dsn: %w", err)
	}
	// The update is planned while the table is empty, and the plan is kept: a
	// sequential scan would be cheapest then and ruinous soon after.
	config.RuntimeParams["enable_seqscan"] = "off"
	config.RuntimeParams["enable_hashjoin"] = "off"
	config.RuntimeParams["enable_mergejoin"] = "off"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	schema := fmt.Sprintf(ceilingSchema, `COLLATE "C"`, "BYTEA", "BIGINT", "", "WITH (fillfactor = 60)")
	if _, err := conn.Exec(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("create tables: %w", err), conn.Close(ctx))
	}
	return &postgresLedger{conn, endpointURL}, nil
}

func (l *postgresLedger) commit(ctx context.Context, events []*ceilingEvent, attempts []*ceilingAttempt) error {
	// One round trip; the statements of a batch are one transaction.
	batch := &pgx.Batch{}
	l.queueEvents(batch, events)
	l.queueAttempts(batch, attempts)
	return l.conn.SendBatch(ctx, batch).Close()
}

func (l *postgresLedger) queueEvents(batch *pgx.Batch, events []*ceilingEvent) {
	if len(events) == 0 {
		return
	}
	n := len(events)
	ids, projects, types, endpoints := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	headers, data, keys, created := make([]string, n), make([][]byte, n), make([]string, n), make([]int64, n)
	deliveries := make([]string, n)
	for i, e := range events {
		ids[i], projects[i], types[i], endpoints[i] = e.id, e.project, e.eventType, e.endpoint
		headers[i], data[i], keys[i], created[i] = e.headers, e.data, e.key, e.createdAt
		deliveries[i] = e.deliveryID
	}
	batch.Queue(`INSERT INTO `+eventColumns+`
SELECT id, project, type, endpoint, headers, data, key, created, created, `+eventConstants+`
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::bigint[])
  AS u (id, project, type, endpoint, headers, data, key, created)`,
		ids, projects, types, endpoints, headers, data, keys, created)
	batch.Queue(`INSERT INTO `+deliveryColumns+`
SELECT id, project, event, endpoint, type, created, created, created, `+deliveryConstants+`
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
  AS u (id, project, event, endpoint, type, created)`,
		deliveries, projects, ids, endpoints, types, created)
}

func (l *postgresLedger) queueAttempts(batch *pgx.Batch, attempts []*ceilingAttempt) {
	if len(attempts) == 0 {
		return
	}
	n := len(attempts)
	deliveries, ids, projects, endpoints := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	statuses, failures, success := make([]string, n), make([]string, n), make([]int64, n)
	sentHeaders, gotHeaders, responses := make([]string, n), make([]string, n), make([]string, n)
	requested, ended, latency := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, a := range attempts {
		deliveries[i], ids[i], projects[i], endpoints[i] = a.event.deliveryID, a.id, a.event.project, a.event.endpoint
		statuses[i], failures[i], success[i] = a.status, a.error, a.success
		sentHeaders[i], gotHeaders[i], responses[i] = a.requestHeaders, a.responseHeaders, a.response
		requested[i], ended[i], latency[i] = a.requested, a.ended, a.ended-a.event.createdAt
	}
	batch.Queue(`INSERT INTO `+attemptColumns+`
SELECT delivery, id, project, endpoint, status, error, success, sent, got, response, requested, ended, ended, $13::text, 'POST', '127.0.0.1'
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[],
  $10::text[], $11::bigint[], $12::bigint[])
  AS u (delivery, id, project, endpoint, status, error, success, sent, got, response, requested, ended)`,
		deliveries, ids, projects, endpoints, statuses, failures, success, sentHeaders, gotHeaders,
		responses, requested, ended, l.url)
	batch.Queue(`UPDATE deliveries d SET status = CASE WHEN success = 1 THEN 'Success' ELSE 'Failure' END,
  trials = 1, latency = u.latency, updated_at = u.ended
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u (delivery, success, latency, ended)
WHERE d.id = u.delivery`, deliveries, success, latency, ended)
}

func (l *postgresLedger) close() error { return l.conn.Close(context.Background()) }
