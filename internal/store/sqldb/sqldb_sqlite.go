package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLiteConfig says where the file is and how it is kept.
type SQLiteConfig struct {
	Path string
	// Synchronous is "full", so that a commit survives a power cut, or
	// "normal", which survives only a crash of the process.
	Synchronous string
	// Readers is the number of connections for reading.
	Readers int
}

var _ DB = (*SQLiteDB)(nil)

// SQLiteDB is the SQLite engine: one connection that writes and several that
// only read, on a file in WAL mode.
type SQLiteDB struct {
	sqlQuerier
	readers *sql.DB
	writers *sql.DB
	// writer is the writing connection, held for good so that its prepared
	// statements live as long as it.
	writer *sql.Conn
	stmts  map[string]*sql.Stmt
	// rows are the driver's own statements of batches: a batch runs one for
	// each row, and database/sql would lock, convert and allocate for each.
	rows map[*Batch]driver.StmtExecContext
	// turn holds the one token that lets a goroutine use writer and stmts.
	turn chan struct{}
}

// OpenSQLite opens or creates the file.
func OpenSQLite(ctx context.Context, cfg SQLiteConfig) (*SQLiteDB, error) {
	sync := "FULL"
	if cfg.Synchronous == "normal" {
		sync = "NORMAL"
	}
	// mmap stays off (a short file would be a crash); 8,000 pages between
	// checkpoints keep their syncs off most commits and the WAL near 32 MiB.
	common := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(" + sync + ")", "case_sensitive_like(1)",
		"temp_store(MEMORY)", "wal_autocheckpoint(8000)",
	}}
	common.Set("_dqs", "0")
	db := &SQLiteDB{stmts: make(map[string]*sql.Stmt), rows: make(map[*Batch]driver.StmtExecContext), turn: make(chan struct{}, 1)}
	file := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: cfg.Path}).EscapedPath()}).String()
	var err error
	write := url.Values{"_pragma": append([]string{"cache_size(-16000)"}, common["_pragma"]...), "_dqs": common["_dqs"]}
	if db.writers, err = sql.Open("sqlite", file+"?"+write.Encode()); err != nil {
		return nil, fmt.Errorf("database %s: %w", cfg.Path, err)
	}
	db.writers.SetMaxOpenConns(1)
	if db.writer, err = db.writers.Conn(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("database %s: %w", cfg.Path, err)
	}
	read := url.Values{"_pragma": append([]string{"query_only(1)", "cache_size(-4000)"}, common["_pragma"]...), "_dqs": common["_dqs"]}
	if db.readers, err = sql.Open("sqlite", file+"?"+read.Encode()); err != nil {
		db.Close()
		return nil, fmt.Errorf("database %s: %w", cfg.Path, err)
	}
	db.readers.SetMaxOpenConns(max(cfg.Readers, 1))
	db.readers.SetMaxIdleConns(max(cfg.Readers, 1))
	db.sqlQuerier = sqlQuerier{db.readers}
	db.turn <- struct{}{}
	return db, nil
}

// Dialect is [SQLite].
func (*SQLiteDB) Dialect() Dialect { return SQLite }

// Replica is the readers.
func (db *SQLiteDB) Replica() Querier { return db }

// Ping reads from the file.
func (db *SQLiteDB) Ping(ctx context.Context) error { return db.readers.PingContext(ctx) }

// Notify does nothing: there is no other process to tell.
func (*SQLiteDB) Notify(context.Context, string, string) error { return nil }

// Listen waits for ctx to end: there is no other process to hear from.
func (*SQLiteDB) Listen(ctx context.Context, _ []string, _ func(channel, payload string), ready func()) error {
	ready()
	<-ctx.Done()
	return ctx.Err()
}

// Close closes both pools; closing the last connection folds the WAL into the
// file.
func (db *SQLiteDB) Close() {
	if db.readers != nil {
		_ = db.readers.Close()
	}
	db.closeStatements()
	if db.writer != nil {
		_ = db.writer.Close()
	}
	_ = db.writers.Close()
}

// Write waits for its turn and runs fn between BEGIN IMMEDIATE and COMMIT. Once
// begun it is not interrupted: the driver would spend a goroutine on every
// statement to watch a context.
func (db *SQLiteDB) Write(ctx context.Context, fn func(Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-db.turn:
		defer func() { db.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx = context.WithoutCancel(ctx)
	if err := db.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	committed := false
	defer func() { // also when fn panics
		if !committed {
			if rerr := db.run(ctx, "ROLLBACK"); rerr != nil {
				err = errors.Join(err, fmt.Errorf("roll back: %w", rerr))
			}
		}
	}()
	if err := fn(sqliteTx{sqlQuerier{db.writer}, db}); err != nil {
		return err
	}
	if err := db.run(ctx, "COMMIT"); err != nil {
		return err
	}
	committed = true
	return nil
}

// Apply is Write with batches only.
func (db *SQLiteDB) Apply(ctx context.Context, batches ...Bound) error {
	return db.Write(ctx, func(tx Tx) error { return tx.Apply(ctx, batches...) })
}

// run runs a statement without parameters on the writer.
func (db *SQLiteDB) run(ctx context.Context, query string) error {
	stmt, err := db.prepared(ctx, query)
	if err != nil {
		return err
	}
	_, err = stmt.ExecContext(ctx)
	return translateSQLite(err)
}

// prepared returns the writer's statement for query; the number of distinct
// texts is that of the batches in the program.
func (db *SQLiteDB) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := db.stmts[query]; ok {
		return s, nil
	}
	s, err := db.writer.PrepareContext(ctx, query)
	if err != nil {
		return nil, translateSQLite(err)
	}
	db.stmts[query] = s
	return s, nil
}

type sqliteTx struct {
	sqlQuerier
	db *SQLiteDB
}

func (t sqliteTx) Apply(ctx context.Context, batches ...Bound) error {
	ctx = context.WithoutCancel(ctx)
	err := t.db.writer.Raw(func(conn any) error {
		var args []driver.NamedValue
		for i := range batches {
			b := &batches[i]
			if b.n == 0 {
				continue
			}
			stmt, err := t.db.rowStatement(ctx, conn, b.batch)
			if err != nil {
				return err
			}
			for r := range b.n {
				args = b.row(r, args[:0])
				if _, err := stmt.ExecContext(ctx, args); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return translateSQLite(err)
}

// rowStatement returns the statement that writes one row of a batch.
func (db *SQLiteDB) rowStatement(ctx context.Context, conn any, b *Batch) (driver.StmtExecContext, error) {
	if s, ok := db.rows[b]; ok {
		return s, nil
	}
	preparer, ok := conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("driver connection %T prepares no statements", conn)
	}
	s, err := preparer.PrepareContext(ctx, b.SQLite)
	if err != nil {
		return nil, err
	}
	stmt, ok := s.(driver.StmtExecContext)
	if !ok {
		return nil, errors.Join(fmt.Errorf("driver statement %T takes no context", s), s.Close())
	}
	db.rows[b] = stmt
	return stmt, nil
}

// closeStatements forgets what is prepared on the writing connection.
func (db *SQLiteDB) closeStatements() {
	for _, s := range db.stmts {
		_ = s.Close() // nothing to write is left in a statement
	}
	clear(db.stmts)
	for _, s := range db.rows {
		if c, ok := s.(driver.Stmt); ok {
			_ = c.Close()
		}
	}
	clear(db.rows)
}

// sqlConn is what a pool and a connection share.
type sqlConn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

type sqlQuerier struct{ conn sqlConn }

func (q sqlQuerier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := q.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, translateSQLite(err)
	}
	return res.RowsAffected()
}

func (q sqlQuerier) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	rows, err := q.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, translateSQLite(err)
	}
	return sqlRows{rows}, nil
}

func (q sqlQuerier) QueryRow(ctx context.Context, query string, args ...any) Row {
	return sqlRow{q.conn.QueryRowContext(ctx, query, args...)}
}

type sqlRows struct{ *sql.Rows }

func (r sqlRows) Close() { _ = r.Rows.Close() } // reading is over; Err has what matters

type sqlRow struct{ row *sql.Row }

func (r sqlRow) Scan(dest ...any) error { return translateSQLite(r.row.Scan(dest...)) }

func translateSQLite(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoRows
	}
	var se *sqlite.Error
	if errors.As(err, &se) && (se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || se.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return fmt.Errorf("%w: %s", ErrUnique, se.Error())
	}
	if errors.Is(err, driver.ErrBadConn) {
		return fmt.Errorf("database connection: %w", err)
	}
	return err
}
