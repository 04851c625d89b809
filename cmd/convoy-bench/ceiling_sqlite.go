package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "modernc.org/sqlite" // driver "sqlite"
)

type sqliteLedger struct {
	db     *sql.DB
	url    string
	insert struct{ event, delivery, attempt *sql.Stmt }
	finish *sql.Stmt
}

func openSQLite(path string) (*sql.DB, error) {
	query := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "cache_size(-65536)",
	}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+path+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1) // the one writer
	return db, nil
}

func openSQLiteLedger(ctx context.Context, path, endpointURL string) (*sqliteLedger, error) {
	db, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	l := &sqliteLedger{db: db, url: endpointURL}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return l, nil
}

func (l *sqliteLedger) prepare(ctx context.Context) error {
	schema := fmt.Sprintf(ceilingSchema, "", "BLOB", "INTEGER", "STRICT", "STRICT")
	if _, err := l.db.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	for _, s := range []struct {
		into *(*sql.Stmt)
		text string
	}{
		{&l.insert.event, `INSERT INTO ` + eventColumns + ` VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, ` + eventConstants + `)`},
		{&l.insert.delivery, `INSERT INTO ` + deliveryColumns + ` VALUES ($1, $2, $3, $4, $5, $6, $6, $6, ` + deliveryConstants + `)`},
		{&l.insert.attempt, `INSERT INTO ` + attemptColumns +
			` VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, 'POST', '127.0.0.1')`},
		{&l.finish, `UPDATE deliveries SET status = $2, trials = 1, latency = $3, updated_at = $4 WHERE id = $1`},
	} {
		var err error
		*s.into, err = l.db.PrepareContext(ctx, s.text) //nolint:sqlclosecheck // closed with the database
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

func (l *sqliteLedger) commit(ctx context.Context, events []*ceilingEvent, attempts []*ceilingAttempt) error {
	// A context that can end makes the driver start a goroutine per statement;
	// a batch takes milliseconds and is never worth interrupting.
	ctx = context.WithoutCancel(ctx)
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := l.write(ctx, tx, events, attempts); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (l *sqliteLedger) write(ctx context.Context, tx *sql.Tx, events []*ceilingEvent, attempts []*ceilingAttempt) error {
	//nolint:sqlclosecheck // closed with the transaction
	insertEvent, insertDelivery := tx.StmtContext(ctx, l.insert.event), tx.StmtContext(ctx, l.insert.delivery)
	for _, e := range events {
		_, err := insertEvent.ExecContext(ctx, e.id, e.project, e.eventType, e.endpoint, e.headers, e.data, e.key, e.createdAt)
		if err != nil {
			return fmt.Errorf("insert event: %w", err)
		}
		_, err = insertDelivery.ExecContext(ctx, e.deliveryID, e.project, e.id, e.endpoint, e.eventType, e.createdAt)
		if err != nil {
			return fmt.Errorf("insert delivery: %w", err)
		}
	}
	//nolint:sqlclosecheck // closed with the transaction
	insertAttempt, finish := tx.StmtContext(ctx, l.insert.attempt), tx.StmtContext(ctx, l.finish)
	for _, a := range attempts {
		_, err := insertAttempt.ExecContext(ctx, a.event.deliveryID, a.id, a.event.project, a.event.endpoint, a.status,
			a.error, a.success, a.requestHeaders, a.responseHeaders, a.response, a.requested, a.ended, l.url)
		if err != nil {
			return fmt.Errorf("insert attempt: %w", err)
		}
		status := "Failure"
		if a.success == 1 {
			status = "Success"
		}
		if _, err := finish.ExecContext(ctx, a.event.deliveryID, status, a.ended-a.event.createdAt, a.ended); err != nil {
			return fmt.Errorf("finish delivery: %w", err)
		}
	}
	return nil
}

func (l *sqliteLedger) close() error { return l.db.Close() }
