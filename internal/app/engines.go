package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/config"
	"convoy/internal/deliver"
	"convoy/internal/limit"
	"convoy/internal/lock"
	"convoy/internal/queue"
	"convoy/internal/redisconn"
	"convoy/internal/run"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// redisPrefix starts every key and channel of ours.
const redisPrefix = "convoy:"

// engines are the parts of a process that have more than one kind.
type engines struct {
	db     sqldb.DB
	store  *store.Store
	queue  queue.Queue
	bus    bus.Bus
	locker lock.Locker
	// limiter keeps limits that processes share.
	limiter limit.Limiter
	// stream is nil in stored mode.
	stream *queue.Stream
	// queueIsStore says that queue claims from the deliveries table.
	queueIsStore bool
	// stages run the engines' own goroutines.
	stages []run.Stage
	// checks are what must answer for the process to be ready.
	checks []check
	closes []func()
}

// check is a dependency and how to ask it for a sign of life.
type check struct {
	name  string
	probe func(ctx context.Context) error
}

func (e *engines) close() {
	for i := len(e.closes) - 1; i >= 0; i-- {
		e.closes[i]()
	}
}

// openEngines opens what cfg asks for. The caller closes it.
func openEngines(ctx context.Context, cfg config.Config, owner string, log *slog.Logger) (_ *engines, err error) {
	e := &engines{}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if e.db, err = openDatabase(ctx, cfg, log); err != nil {
		return nil, err
	}
	e.closes = append(e.closes, e.db.Close)
	if err := schemaReady(ctx, e.db); err != nil {
		return nil, err
	}
	secrets, err := OpenSecrets(ctx, cfg, e.db)
	if err != nil {
		return nil, err
	}
	e.store = store.New(e.db, secrets)
	e.stages = append(e.stages, run.Stage{Name: "keys", Run: followKeys(e.store, log.With("svc", "store"))})
	e.checks = append(e.checks, check{"store", e.store.Ping})
	if cfg.Redis.Enabled() {
		err = e.openRedis(ctx, cfg, owner, log)
	} else if cfg.Database.Type == config.SQLite {
		e.bus, e.locker, e.limiter = bus.NewMemory(), lock.NewMemory(), limit.NewMemory()
	} else {
		e.bus, e.locker = bus.NewStored(e.db, busChannel, log.With("svc", "bus")), lock.NewStored(e.store)
		limiter := limit.NewStored(e.store)
		e.limiter = limiter
		e.stages = append(e.stages, run.Stage{Name: "limits", Run: limiter.Run})
	}
	if err != nil {
		return nil, err
	}
	e.stages = append(e.stages, run.Stage{Name: "bus", Run: e.bus.Run})
	switch {
	case e.queue != nil:
	case cfg.Queue() == config.QueuePostgres:
		e.queueIsStore = true
		stored := queue.NewStored(dueTable{e.store}, func(ctx context.Context) error { return e.bus.Publish(ctx, topicDue, "now") })
		e.bus.Subscribe(topicDue, func(string) { stored.Wake() })
		e.queue = stored
	case cfg.Queue() == config.QueueMemory:
		memory := queue.NewMemory(memoryQueueLimit)
		e.queue = memory
		e.checks = append(e.checks, check{"queue", func(ctx context.Context) error {
			_, err := memory.Depth(ctx)
			return err
		}})
	default:
		return nil, fmt.Errorf("queue provider %q is not available here", cfg.Queue())
	}
	return e, nil
}

// busChannel is the PostgreSQL notification channel of the bus.
const busChannel = "convoy_bus"

// topicDue tells pullers in other processes that deliveries became due.
const topicDue = "due"

// topicJobs tells runners in all processes that a batch job waits.
const topicJobs = "jobs"

// memoryQueueLimit bounds the queue in memory, at some 300 bytes an id; the
// store holds what does not fit.
const memoryQueueLimit = 100_000

func openDatabase(ctx context.Context, cfg config.Config, log *slog.Logger) (sqldb.DB, error) {
	d := cfg.Database
	if d.Type == config.SQLite {
		return sqldb.OpenSQLite(ctx, sqldb.SQLiteConfig{Path: cfg.SQLitePath(), Synchronous: d.SQLiteSynchronous, Readers: 4})
	}
	replicas := make([]string, len(d.ReadReplicas))
	for i, r := range d.ReadReplicas {
		replicas[i] = r.DSN
	}
	return sqldb.OpenPostgres(ctx, sqldb.PostgresConfig{
		URL: d.URL(), DirectURL: d.DirectDSN, ReplicaURLs: replicas,
		MaxOpen: d.MaxOpenConn, MaxIdle: d.MaxIdleConn, MaxLifetime: d.ConnMaxLifetime,
		Log: log.With("svc", "store"),
	})
}

func (e *engines) openRedis(ctx context.Context, cfg config.Config, owner string, log *slog.Logger) error {
	tlsConfig, err := redisTLS(cfg.Redis)
	if err != nil {
		return err
	}
	client, err := redisconn.Open(ctx, redisconn.Config{
		Addrs: []string{cfg.Redis.Address()}, Username: cfg.Redis.Username, Password: cfg.Redis.Password,
		DB: cfg.Redis.Database, TLS: tlsConfig, Prefix: redisPrefix,
	})
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	e.closes = append(e.closes, client.Close)
	e.bus = bus.NewRedis(client, redisPrefix, log.With("svc", "bus"))
	e.locker = lock.NewRedis(client, redisPrefix)
	limiter := limit.NewRedis(client, redisPrefix)
	e.limiter = limiter
	e.stages = append(e.stages, run.Stage{Name: "limits", Run: limiter.Run})
	if cfg.Queue() == config.QueueRedis {
		q := queue.NewRedis(client, redisPrefix, log.With("svc", "queue"))
		e.queue = q
		e.stages = append(e.stages, run.Stage{Name: "queue", Run: q.Run})
	}
	e.checks = append(e.checks, check{"queue", func(ctx context.Context) error {
		return redisconn.Ping(ctx, client)
	}})
	if cfg.IntakeMode() == config.IntakeQueued {
		e.stream, err = queue.OpenStream(ctx, client, queue.StreamConfig{
			Key: redisPrefix + "{intake}", Group: "agents", Consumer: owner, MaxLen: cfg.Intake.MaxBacklog,
		})
		if err != nil {
			return fmt.Errorf("intake stream: %w", err)
		}
	}
	return nil
}

func redisTLS(r config.Redis) (*tls.Config, error) {
	if !r.TLS() {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.Host, InsecureSkipVerify: r.TLSSkipVerify} //nolint:gosec // an explicit setting of the operator
	if r.TLSCertFile != "" {
		cert, err := tls.LoadX509KeyPair(r.TLSCertFile, r.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("redis client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	if r.TLSCACertFile != "" {
		pem, err := os.ReadFile(r.TLSCACertFile)
		if err != nil {
			return nil, fmt.Errorf("redis authorities: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("redis authorities: no certificate in %s", r.TLSCACertFile)
		}
	}
	return t, nil
}

// dueTable is the store's deliveries as the queue sees them.
type dueTable struct{ store *store.Store }

// queueItems names deliveries as the queue does.
func queueItems(due []store.Due) []queue.Item {
	items := make([]queue.Item, len(due))
	for i, d := range due {
		items[i] = queue.Item{ID: deliver.QueueID(d.ID, d.Endpoint), Due: d.At}
	}
	return items
}

func (t dueTable) ClaimDue(ctx context.Context, now time.Time, lease time.Duration, max int) ([]queue.Item, time.Time, error) {
	due, next, err := t.store.ClaimDue(ctx, now, lease, max)
	return queueItems(due), next, err
}

func (t dueTable) ReleaseDue(ctx context.Context, items []queue.Item) error {
	due := make([]store.Due, len(items))
	for i, it := range items {
		id, endpoint := deliver.ParseQueueID(it.ID)
		due[i] = store.Due{ID: id, Endpoint: endpoint, At: it.Due}
	}
	return t.store.Release(ctx, due)
}

// depthMax bounds the count of due deliveries: beyond it "many" is enough.
const depthMax = 100_000

func (t dueTable) DueDepth(ctx context.Context, now time.Time) (queue.Depth, error) {
	n, oldest, err := t.store.DueDepth(ctx, now, depthMax)
	return queue.Depth{Waiting: n, Oldest: oldest}, err
}

// schemaReady says whether the schema is up to date.
func schemaReady(ctx context.Context, db sqldb.DB) error {
	ms, err := sqldb.Migrations(ctx, db)
	if err != nil {
		return err
	}
	var pending []string
	for _, m := range ms {
		if m.AppliedAt.IsZero() {
			pending = append(pending, m.Name)
		}
	}
	if len(pending) > 0 {
		return convoy.Wrap(convoy.Conflict, fmt.Sprintf("the database lacks %d migrations, run \"convoy migrate up\"", len(pending)),
			errors.New(pending[0]))
	}
	return nil
}
