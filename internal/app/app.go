// Package app puts a process together: it chooses the engines, makes the parts
// of a role, and runs them. It is the only package that knows which engine is
// in use; it holds no logic of its own.
package app

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"convoy"
	"convoy/internal/api"
	"convoy/internal/bulk"
	"convoy/internal/catalog"
	"convoy/internal/config"
	"convoy/internal/deliver"
	"convoy/internal/function"
	"convoy/internal/guard"
	"convoy/internal/id"
	"convoy/internal/intake"
	"convoy/internal/limit"
	"convoy/internal/notify"
	"convoy/internal/oauth"
	"convoy/internal/queue"
	"convoy/internal/route"
	"convoy/internal/run"
	"convoy/internal/schedule"
	"convoy/internal/telemetry"
)

// Options are what a process is besides its configuration.
type Options struct {
	Role    config.Role
	Config  config.Config
	Version string
	// Functions is the command that runs users' functions in a process of its
	// own; without it they run in this one. See function.Config.
	Functions []string
	Log       *slog.Logger
	// Ready, if set, is called with the address served once requests are
	// taken.
	Ready func(addr string)
}

// parts says what a role consists of.
type parts struct {
	api, deliver, schedule bool
}

var roles = map[config.Role]parts{
	config.RoleServer:     {api: true},
	config.RoleAgent:      {api: true, deliver: true},
	config.RoleWorker:     {deliver: true},
	config.RoleScheduler:  {schedule: true},
	config.RoleStandalone: {api: true, deliver: true, schedule: true},
}

// Run runs a role until ctx ends, then drains it.
func Run(ctx context.Context, o Options) error {
	p := &process{Options: o, parts: roles[o.Role], owner: id.New(time.Now()), metrics: telemetry.NewMetrics()}
	var err error
	if p.engines, err = openEngines(ctx, o.Config, p.owner, o.Log); err != nil {
		return err
	}
	defer p.engines.close()
	return p.run(ctx)
}

// process is one running role.
type process struct {
	Options
	parts   parts
	owner   string
	metrics *telemetry.Metrics
	engines *engines

	catalog *catalog.Catalog
	guard   *guard.Policy
	// functions are those of subscriptions and sources; tried are those that people save and
	// try out, which must not keep deliveries waiting.
	functions, tried *function.Cache
	deliverer        *deliver.Deliverer
	stages           []run.Stage
}

func (p *process) log(service string) *slog.Logger { return p.Log.With("svc", service) }

func (p *process) stage(name string, fn func(context.Context) error) {
	p.stages = append(p.stages, run.Stage{Name: name, Run: fn})
}

// run makes the stages in the order of their needs and runs them.
func (p *process) run(ctx context.Context) error {
	e := p.engines
	p.catalog = catalog.New(e.store, e.bus, p.log("catalog"), time.Now)
	p.guard = guard.New(guard.Config{Allow: p.Config.Dispatcher.AllowList, Block: p.Config.Dispatcher.BlockList})
	p.functions = function.New(function.Config{Command: p.Functions})
	defer p.functions.Close()
	p.tried = function.New(function.Config{Command: p.Functions, Processes: 2})
	defer p.tried.Close()
	p.stages = append(p.stages, e.stages...)

	push := p.pusher("intake")
	var taker intake.Taker = push
	router := routerOf(p)
	if p.parts.deliver {
		if err := p.makeDeliverer(router); err != nil {
			return err
		}
		taker = p.deliverer
	}
	cfg := intake.Config{
		Router:    router,
		Store:     e.store,
		Endpoints: timeouts{p.catalog},
		Teller:    teller{p.catalog},
		Taker:     taker,
		Queue:     push, QueueIsStore: e.queueIsStore,
		Claimable: e.queueIsStore && !p.parts.deliver,
		Window:    p.Config.Idempotency.Window,
		Metrics:   p.metrics, Log: p.log("intake"), Now: time.Now,
	}
	persister := intake.NewPersister(cfg)
	p.stage("expander", persister.Run)
	if p.parts.deliver && e.stream != nil {
		p.stage("consumer", intake.NewConsumer(cfg, e.stream, persister).Run)
	}
	if p.parts.deliver {
		p.stage("bulk", p.runner(persister).Run)
	}
	if p.parts.schedule {
		p.stage("scheduler", p.scheduler(persister).Run)
		p.stage("notices", p.notices().Run)
	}
	p.stage("gauges", p.gauges)
	if p.parts.api {
		p.stage("uses", p.uses)
	}
	handler, err := p.handler(cfg, persister)
	if err != nil {
		return err
	}
	listen, err := p.listener(ctx, handler)
	if err != nil {
		return err
	}
	p.stage("http", listen)
	debug.FreeOSMemory() // making the API's document and the first password took more than serving will
	p.Log.Info("process starts", "role", p.Role, "version", p.Version, "store", p.Config.Database.Type,
		"queue", p.Config.Queue(), "intake", p.Config.IntakeMode())
	return run.Group{Stages: p.stages, Drain: p.Config.Server.HTTP.ShutdownTimeout}.Run(ctx)
}

func (p *process) makeDeliverer(router *route.Router) error {
	c := p.Config.Dispatcher
	roots, err := authorities(c)
	if err != nil {
		return err
	}
	transport := deliver.NewTransport(deliver.TransportConfig{
		Dialer:             p.guard.Dialer(10*time.Second, 30*time.Second),
		InsecureSkipVerify: c.InsecureSkipVerify, RootCAs: roots, PerEndpoint: c.EndpointConcurrency,
	})
	p.deliverer = deliver.New(deliver.Config{
		Store: p.engines.store, Projects: p.catalog, Queue: p.engines.queue,
		Disabler:  disabler{p.engines.store, p.catalog, p.pusher("deliver"), p.alarm()},
		Alarm:     p.alarm(),
		Functions: router,
		Transport: transport, Showing: deliver.Showing(transport), Tokens: p.tokens(roots),
		Limiter:      p.engines.limiter,
		QueueIsStore: p.engines.queueIsStore,
		Concurrency:  p.Config.ConsumerPoolSize, PerEndpoint: c.EndpointConcurrency,
		StartLimit:  intake.StartLimit,
		MaxResponse: p.Config.MaxResponseSize << 10,
		MaxDelay:    p.Config.MaxRetry,
		UserAgent:   "Convoy/" + p.Version,
		Metrics:     p.metrics, Log: p.log("deliver"), Now: time.Now,
	})
	p.stage("deliver", p.deliverer.Run)
	return nil
}

// tokens gets OAuth 2.0 tokens. Its certificate checks cannot be switched off:
// it sends secrets.
func (p *process) tokens(roots *x509.CertPool) *oauth.Client {
	return oauth.New(deliver.NewTransport(deliver.TransportConfig{
		Dialer: p.guard.Dialer(10*time.Second, 30*time.Second), RootCAs: roots, PerEndpoint: 4,
	}), time.Now)
}

// authorities are the system's and those of the configuration.
func authorities(c config.Dispatcher) (*x509.CertPool, error) {
	pem := []byte(c.CACertString)
	if c.CACertPath != "" {
		var err error
		if pem, err = os.ReadFile(c.CACertPath); err != nil {
			return nil, fmt.Errorf("dispatcher.ca_cert_path: %w", err)
		}
	}
	if len(pem) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("system certificates: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, convoy.E(convoy.Invalid, "dispatcher.ca_cert_path, dispatcher.ca_cert_string: no PEM certificate found")
	}
	return pool, nil
}

func (p *process) scheduler(persister *intake.Persister) *schedule.Scheduler {
	e := p.engines
	cfg := schedule.Config{
		Store: e.store, Router: persister, Queue: e.queue,
		SweepAge:        intake.SweepAge,
		SweepInterval:   p.Config.Scheduler.SweepInterval,
		PartitionsAhead: p.Config.Scheduler.PartitionsAhead,
		Locker:          e.locker, Owner: p.owner,
		Metrics: p.metrics, Log: p.log("scheduler"), Now: time.Now,
	}
	line := deliver.Line{Store: e.store, Projects: p.catalog, Limiter: e.limiter}
	if !e.queueIsStore {
		cfg.Due = dueTable{e.store}
		line.Claim = time.Minute // as what the scheduler claims
	}
	cfg.Line = line
	return schedule.New(cfg)
}

// alarm notices what people should know of.
func (p *process) alarm() *notify.Alarm {
	return &notify.Alarm{
		Projects: p.catalog, Store: p.engines.store, Mail: p.Config.SMTP.URL != "", Log: p.log("notify"), Now: time.Now,
	}
}

// notices sends what the alarm has stored.
func (p *process) notices() *notify.Post {
	sender := &notify.Sender{Client: notify.NewClient(deliver.NewTransport(deliver.TransportConfig{
		Dialer: p.guard.Dialer(10*time.Second, 30*time.Second), PerEndpoint: 4,
	}))}
	sender.Mail = p.mail()
	return notify.NewPost(notify.Config{
		Store: p.engines.store, Sender: sender, Locker: p.engines.locker, Owner: p.owner,
		Metrics: p.metrics, Log: p.log("notify"), Now: time.Now,
	})
}

// runner works on batch jobs; a message wakes it when one is made.
func (p *process) runner(persister *intake.Persister) *bulk.Runner {
	r := bulk.New(bulk.Config{
		Jobs: p.engines.store, Replayer: persister, Traffic: traffic{p.engines}, Log: p.log("bulk"), Now: time.Now,
	})
	p.engines.bus.Subscribe(topicJobs, func(string) { r.Wake() })
	return r
}

// publisher is the intake of the configured mode, with its stage.
func (p *process) publisher(cfg intake.Config, persister *intake.Persister) interface {
	Publish(ctx context.Context, e *convoy.Event) error
	PublishAll(ctx context.Context, events []*convoy.Event) []error
} {
	if p.engines.stream != nil {
		q := intake.NewQueued(cfg, p.engines.stream)
		p.stage("intake", q.Run)
		return q
	}
	s := intake.NewStored(cfg, persister)
	p.stage("intake", s.Run)
	return s
}

func (p *process) handler(cfg intake.Config, persister *intake.Persister) (http.Handler, error) {
	if !p.parts.api {
		return p.operations(http.NotFoundHandler()), nil
	}
	var checks []api.Check
	for _, c := range p.engines.checks {
		checks = append(checks, api.Check{Name: c.name, Probe: c.probe})
	}
	desk, err := p.desk()
	if err != nil {
		return nil, err
	}
	h, err := api.New(api.Config{
		SignIn: desk, PortalDisabled: !p.Config.Auth.Portal.Enabled, TrustedProxies: p.Config.Server.HTTP.TrustedProxies,
		IngestRate: p.rate("instance-ingest", p.Config.IngestRate), APIRate: p.rate("http-api", p.Config.APIRate),
		KeyRate: p.callerRate("http-key", p.Config.KeyRate), UserRate: p.callerRate("http-user", p.Config.UserRate), AddressRate: p.callerRate("http-address", p.Config.AddressRate),
		Store: p.engines.store, Catalog: p.catalog, Publisher: p.publisher(cfg, persister), Guard: p.guard,
		Replayer: persister, Jobs: jobs{p.engines, p.log("api")}, BatchRate: p.Config.Batch.Rate, MaxRetry: p.Config.MaxRetry, Taker: p.pusher("api"), Alarm: p.alarm(),
		Ping: p.pinger(), Tokens: p.apiTokens(), Functions: p.tried, Transformer: p.functions, PublicURL: p.Config.PublicURL(), Ready: checks, Log: p.log("api"), Metrics: p.metrics, Version: p.Version,
		APIVersion: p.Config.APIVersion, RootPath: p.Config.RootPath, MaxBody: p.Config.Server.HTTP.MaxBodySize,
	})
	if err != nil {
		return nil, err
	}
	return p.operations(h), nil
}

// rate is a limit of so many requests a second, counted over a minute: of this
// process, or of all that share a Redis.
func (p *process) rate(name string, perSecond int) api.Rate {
	if perSecond == 0 {
		return api.Rate{}
	}
	l := perMinute(name, perSecond)
	if p.Config.Redis.Enabled() {
		return api.Rate{Bucket: limit.NewShared(p.engines.limiter, l, p.log("limit")), Count: l.Count}
	}
	return api.Rate{Bucket: limit.NewMeter(l), Count: l.Count}
}

// callerRate is a limit of each caller, kept where [process.rate] is.
func (p *process) callerRate(name string, perSecond int) api.CallerRate {
	if perSecond == 0 {
		return api.CallerRate{}
	}
	l, limiter := perMinute(name, perSecond), p.engines.limiter
	if !p.Config.Redis.Enabled() {
		limiter = nil
	}
	return api.CallerRate{Buckets: limit.NewEach(limiter, l, p.log("limit")), Count: l.Count}
}

func perMinute(name string, perSecond int) limit.Limit {
	return limit.Limit{Key: name, Count: 60 * perSecond, Period: time.Minute, Burst: 60 * perSecond}
}

// pusher gives stored deliveries to whoever pulls from the queue.
type pusher struct {
	queue queue.Queue
	log   *slog.Logger
}

func (p *process) pusher(service string) pusher {
	return pusher{queue: p.engines.queue, log: p.log(service)}
}

// pushTimeout bounds a push; what it misses the store offers again.
const pushTimeout = 3 * time.Second

func (t pusher) Take(ctx context.Context, jobs []convoy.Job) {
	if len(jobs) == 0 {
		return
	}
	items := make([]queue.Item, len(jobs))
	for i, j := range jobs {
		items[i] = queue.Item{ID: deliver.QueueID(j.Delivery.ID, j.Delivery.EndpointID), Due: j.Delivery.DueAt}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushTimeout)
	defer cancel()
	if err := t.queue.Push(ctx, items); err != nil {
		t.log.Warn("deliveries not queued, left to the sweep", "deliveries", len(items), "err", err)
	}
}
