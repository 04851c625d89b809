package sqldb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PostgresConfig says how to reach PostgreSQL.
type PostgresConfig struct {
	// URL is a connection string. "default_query_exec_mode=exec" makes it safe
	// behind a transaction-pooling PgBouncer older than 1.21.
	URL string
	// DirectURL is used where a session is needed (LISTEN); URL when empty.
	DirectURL string
	// ReplicaURLs are read replicas for list queries.
	ReplicaURLs []string
	MaxOpen     int
	MaxIdle     int
	MaxLifetime time.Duration
	// Log is told when a replica is set aside; nil drops it.
	Log *slog.Logger
}

var _ DB = (*PostgresDB)(nil)

// PostgresDB is the PostgreSQL engine.
type PostgresDB struct {
	pgQuerier
	pool *pgxpool.Pool
	cfg  PostgresConfig
	// lists asks the primary with a plan for each statement's own values: the
	// plan that PostgreSQL keeps for a prepared statement after some runs is for
	// usual values, and walks a whole table for a rare one.
	lists    pgQuerier
	replicas []*replica
	next     atomic.Uint32
	// knowsTypes says that the types of parameters are known when they are
	// encoded: not so without prepared statements, where all go as text.
	knowsTypes bool
}

// connectTimeout bounds one attempt to connect to the primary.
const connectTimeout = 30 * time.Second

// OpenPostgres makes the pools. It does not wait for the server: the first
// statement does, so that a process starts while its database restarts.
func OpenPostgres(ctx context.Context, cfg PostgresConfig) (*PostgresDB, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	primary, err := openPool(ctx, cfg, cfg.URL, connectTimeout)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	mode := primary.Config().ConnConfig.DefaultQueryExecMode
	db := &PostgresDB{
		pgQuerier: pgQuerier{conn: primary}, pool: primary, cfg: cfg,
		knowsTypes: mode != pgx.QueryExecModeExec && mode != pgx.QueryExecModeSimpleProtocol,
	}
	db.lists = db.pgQuerier
	if db.knowsTypes {
		db.lists.mode = pgx.QueryExecModeCacheDescribe
	}
	for i, u := range cfg.ReplicaURLs {
		pool, err := openPool(ctx, cfg, u, replicaConnectTimeout)
		if err != nil {
			db.Close()
			return nil, fmt.Errorf("read replica %d: %w", i+1, err)
		}
		db.replicas = append(db.replicas, &replica{pgQuerier: pgQuerier{pool, db.lists.mode}, pool: pool})
	}
	return db, nil
}

func openPool(ctx context.Context, cfg PostgresConfig, url string, timeout time.Duration) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	pc.MaxConns = int32(max(cfg.MaxOpen, 2))
	pc.MaxConnLifetime = cfg.MaxLifetime
	pc.MaxConnLifetimeJitter = cfg.MaxLifetime / 10
	pc.MaxConnIdleTime = 5 * time.Minute
	pc.MinIdleConns = 0
	if t := pc.ConnConfig.ConnectTimeout; t == 0 || t > timeout {
		pc.ConnConfig.ConnectTimeout = timeout
	}
	if _, ok := pc.ConnConfig.RuntimeParams["application_name"]; !ok {
		pc.ConnConfig.RuntimeParams["application_name"] = "convoy"
	}
	pc.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		registerArrays(conn.TypeMap())
		return nil
	}
	return pgxpool.NewWithConfig(ctx, pc)
}

// Dialect is [Postgres].
func (*PostgresDB) Dialect() Dialect { return Postgres }

// Close closes every pool.
func (db *PostgresDB) Close() {
	db.pool.Close()
	for _, r := range db.replicas {
		r.pool.Close()
	}
}

// Ping asks the primary.
func (db *PostgresDB) Ping(ctx context.Context) error { return db.pool.Ping(ctx) }

// Write runs fn in a READ COMMITTED transaction.
func (db *PostgresDB) Write(ctx context.Context, fn func(Tx) error) error {
	return translate(pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		return fn(pgTx{pgQuerier{conn: tx}, tx, db.knowsTypes})
	}))
}

// Apply sends all batches in one pipeline; PostgreSQL runs a pipeline without
// BEGIN as one transaction.
func (db *PostgresDB) Apply(ctx context.Context, batches ...Bound) error {
	return applyPipelined(ctx, db.pool, db.knowsTypes, batches)
}

// Notify runs NOTIFY.
func (db *PostgresDB) Notify(ctx context.Context, channel, payload string) error {
	_, err := db.Exec(ctx, "SELECT pg_notify($1, $2)", channel, payload)
	return err
}

// Listen holds one connection of its own, outside the pool.
func (db *PostgresDB) Listen(ctx context.Context, channels []string, on func(channel, payload string), ready func()) error {
	url := db.cfg.DirectURL
	if url == "" {
		url = db.cfg.URL
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(end) // the connection is done with either way
	}()
	for _, c := range channels {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{c}.Sanitize()); err != nil {
			return err
		}
	}
	ready()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		on(n.Channel, n.Payload)
	}
}

// pgConn is what pools and transactions share.
type pgConn interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

type pgQuerier struct {
	conn pgConn
	// mode is how statements are run when it is not the connection's default.
	mode pgx.QueryExecMode
}

// with puts the mode where pgx looks for it.
func (q pgQuerier) with(args []any) []any {
	if q.mode == 0 {
		return args
	}
	return append([]any{q.mode}, args...)
}

func (q pgQuerier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := q.conn.Exec(ctx, query, args...)
	return tag.RowsAffected(), translate(err)
}

func (q pgQuerier) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	rows, err := q.conn.Query(ctx, query, q.with(args)...)
	if err != nil {
		return nil, translate(err)
	}
	return rows, nil
}

func (q pgQuerier) QueryRow(ctx context.Context, query string, args ...any) Row {
	return pgRow{q.conn.QueryRow(ctx, query, q.with(args)...)}
}

type pgRow struct{ row pgx.Row }

func (r pgRow) Scan(dest ...any) error { return translate(r.row.Scan(dest...)) }

type pgTx struct {
	pgQuerier
	tx    pgx.Tx
	knows bool
}

func (t pgTx) Apply(ctx context.Context, batches ...Bound) error {
	return applyPipelined(ctx, t.tx, t.knows, batches)
}

func applyPipelined(ctx context.Context, conn pgConn, knowsTypes bool, batches []Bound) error {
	var pb pgx.Batch
	for i := range batches {
		if batches[i].n > 0 {
			pb.Queue(batches[i].batch.Postgres, batches[i].arrays(knowsTypes)...)
		}
	}
	if pb.Len() == 0 {
		return nil
	}
	return translate(conn.SendBatch(ctx, &pb).Close())
}

// translate maps the errors the store tells apart.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoRows
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Code == "23505" {
		return fmt.Errorf("%w: %s", ErrUnique, pe.ConstraintName)
	}
	return err
}
