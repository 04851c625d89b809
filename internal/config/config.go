// Package config holds every setting of every role in one struct, reads it from
// flags, the environment and convoy.json, and writes its documentation.
//
// It only says what was asked for. It opens no connection and no certificate,
// chooses no engine and never reads the process environment itself: cmd passes
// the environment in, and app passes the pieces on by value.
package config

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config is the whole configuration, nested as in convoy.json.
//
// The tags are the single source of what can be set, and the documentation is
// made from them:
//
//	json        key in the file, relative to the section
//	env         environment variable
//	flag        command-line flag, where there is one
//	roles       roles that have the flag; all when absent
//	default     value when nothing sets it, in the spelling of the environment
//	standalone  the default in the standalone role, where it differs
//	oneof       allowed values, separated by |
//	min, max    inclusive bounds, in the spelling of the environment
//	unit        "seconds": a bare number is accepted too and means seconds
//	secret      "true": never shown
//	doc         what it means
type Config struct {
	Host             string        `json:"host" env:"CONVOY_HOST" flag:"host" default:"localhost:5005" doc:"Public host name, with a port unless it is the usual one, under which the server is reached; used in links"`
	Env              string        `json:"env" env:"CONVOY_ENV" flag:"env" default:"oss" doc:"Name of the deployment, for people"`
	RootPath         string        `json:"root_path" env:"CONVOY_ROOT_PATH" flag:"root-path" doc:"Path below which everything is served, such as /hooks; starts with a slash and does not end with one"`
	APIVersion       string        `json:"api_version" env:"CONVOY_API_VERSION" default:"2025-11-24" doc:"API version of requests that do not name one, as a date"`
	EnableProfiling  bool          `json:"enable_profiling" env:"CONVOY_ENABLE_PROFILING" flag:"enable-profiling" default:"false" doc:"Serve net/http/pprof under /debug/pprof"`
	MaxResponseSize  int           `json:"max_response_size" env:"CONVOY_MAX_RESPONSE_SIZE" flag:"max-response-size" default:"50" min:"1" max:"10240" doc:"How much of an endpoint's response body is kept, after decompression, in KB of 1024 bytes"`
	MaxRetry         time.Duration `json:"max_retry_seconds" env:"CONVOY_MAX_RETRY_SECONDS" flag:"max-retry-seconds" default:"7200" min:"1s" max:"720h" unit:"seconds" doc:"Longest wait between two attempts that exponential delays grow to, and that a Retry-After is granted"`
	ConsumerPoolSize int           `json:"consumer_pool_size" env:"CONVOY_CONSUMER_POOL_SIZE" flag:"consumers" roles:"agent,worker,standalone" default:"512" min:"1" max:"100000" doc:"Requests to endpoints in flight at once, in each process that delivers"`
	QueueProvider    string        `json:"queue_provider" env:"CONVOY_QUEUE_PROVIDER" oneof:"|redis|postgres|memory" doc:"Engine of the queue. Empty: redis when Redis is configured, else postgres with a PostgreSQL database, else memory. memory needs the standalone role"`
	IngestRate       int           `json:"instance_ingest_rate" env:"CONVOY_INSTANCE_INGEST_RATE" flag:"instance-ingest-rate" roles:"server,agent,standalone" default:"0" min:"0" max:"1000000" doc:"Events accepted per second on average over a minute, by all processes together when there is Redis, else by each; more is answered 429. 0 for no limit"`
	APIRate          int           `json:"api_rate_limit" env:"CONVOY_API_RATE_LIMIT" flag:"api-rate-limit" roles:"server,agent,standalone" default:"1000" min:"0" max:"1000000" doc:"Other API requests served per second, in the same way. 0 for no limit"`
	KeyRate          int           `json:"api_rate_limit_per_key" env:"CONVOY_API_RATE_LIMIT_PER_KEY" flag:"api-rate-limit-per-key" roles:"server,agent,standalone" default:"500" min:"0" max:"1000000" doc:"Of these, requests per second of one API key. 0 for no limit"`
	UserRate         int           `json:"api_rate_limit_per_user" env:"CONVOY_API_RATE_LIMIT_PER_USER" flag:"api-rate-limit-per-user" roles:"server,agent,standalone" default:"200" min:"0" max:"1000000" doc:"Of these, requests per second of one person, with sessions and personal keys. 0 for no limit"`
	AddressRate      int           `json:"api_rate_limit_per_address" env:"CONVOY_API_RATE_LIMIT_PER_ADDRESS" flag:"api-rate-limit-per-address" roles:"server,agent,standalone" default:"50" min:"0" max:"1000000" doc:"Requests per second without a credential that is accepted, also such that would publish, from one IPv4 address or one /64 of IPv6. 0 for no limit"`
	DataDir          string        `json:"data_dir" env:"CONVOY_DATA_DIR" flag:"data-dir" roles:"standalone,tool" default:"./convoy-data" doc:"Directory of everything a standalone process keeps"`

	Logger      Logger      `json:"logger" doc:"Logs are JSON lines on standard error"`
	Server      Server      `json:"server" doc:"Listeners"`
	Database    Database    `json:"database" doc:"The store: PostgreSQL, or one SQLite file in a standalone process"`
	Redis       Redis       `json:"redis" doc:"Redis is used when redis.host is set"`
	Intake      Intake      `json:"intake" doc:"How an event is made durable before it is acknowledged"`
	Idempotency Idempotency `json:"idempotency" doc:"Duplicate events"`
	Dispatcher  Dispatcher  `json:"dispatcher" doc:"Requests to endpoints"`
	Scheduler   Scheduler   `json:"scheduler" doc:"Periodic work"`
	SMTP        SMTP        `json:"smtp" doc:"The mail server that notices go out by"`
	Auth        Auth        `json:"auth" doc:"How people sign in"`
	Batch       Batch       `json:"batch" doc:"Batch replays and retries"`
	Encryption  Encryption  `json:"encryption" doc:"Secrets at rest, see security.md. At most one of key, key_file and key_command; a standalone process on SQLite without one makes encryption.key in data_dir"`
	Metrics     Metrics     `json:"metrics" doc:"Prometheus metrics at /metrics"`
}

// Logger is how much is logged.
type Logger struct {
	Level string `json:"level" env:"CONVOY_LOGGER_LEVEL" flag:"log-level" default:"info" oneof:"debug|info|warn|error" doc:"Least severe level that is logged"`
}

// Server holds the listeners.
type Server struct {
	HTTP HTTP `json:"http" doc:"HTTP listeners; a port of 0 takes any free one"`
}

// HTTP holds the ports of the roles and the limits of what they serve.
type HTTP struct {
	Port            int            `json:"port" env:"PORT" flag:"port" roles:"server,standalone" default:"5005" min:"0" max:"65535" doc:"Port of the server and of a standalone process"`
	AgentPort       int            `json:"agent_port" env:"AGENT_PORT" flag:"port" roles:"agent" default:"5008" min:"0" max:"65535" doc:"Port of the agent"`
	WorkerPort      int            `json:"worker_port" env:"WORKER_PORT" flag:"port" roles:"worker" default:"5006" min:"0" max:"65535" doc:"Port of the worker, for metrics and health"`
	SchedulerPort   int            `json:"scheduler_port" env:"SCHEDULER_PORT" flag:"port" roles:"scheduler" default:"5007" min:"0" max:"65535" doc:"Port of the scheduler, for metrics and health"`
	SSL             bool           `json:"ssl" env:"SSL" flag:"ssl" default:"false" doc:"Serve HTTPS; needs a certificate and its key"`
	SSLCertFile     string         `json:"ssl_cert_file" env:"CONVOY_SSL_CERT_FILE" flag:"ssl-cert-file" doc:"PEM file of the certificate chain. This file and that of the key are read again every 10 seconds, so that they can be replaced"`
	SSLKeyFile      string         `json:"ssl_key_file" env:"CONVOY_SSL_KEY_FILE" flag:"ssl-key-file" doc:"PEM file of the private key"`
	TrustedProxies  []netip.Prefix `json:"trusted_proxies" env:"CONVOY_TRUSTED_PROXIES" doc:"Networks of proxies in front of the server that are believed in X-Forwarded-For and X-Forwarded-Proto: where a request comes from, and whether by TLS"`
	MaxBodySize     int64          `json:"max_body_size" env:"CONVOY_MAX_BODY_SIZE" default:"1048576" min:"1" max:"67108864" doc:"Largest request body accepted when publishing an event, in bytes"`
	ShutdownTimeout time.Duration  `json:"shutdown_timeout" env:"CONVOY_SHUTDOWN_TIMEOUT" default:"25s" min:"100ms" max:"1h" doc:"How long a process that is told to stop may finish what it has begun; keep it below the grace period of whatever stops it"`
}

// The values of Database.Type.
const (
	Postgres = "postgres"
	SQLite   = "sqlite"
)

// Database is where the store is. The parts from Scheme to Options are used
// when DSN is empty.
type Database struct {
	Type              string        `json:"type" env:"CONVOY_DB_TYPE" flag:"db-type" default:"postgres" standalone:"sqlite" oneof:"postgres|sqlite" doc:"Engine of the store; sqlite needs the standalone role"`
	Scheme            string        `json:"scheme" env:"CONVOY_DB_SCHEME" flag:"db-scheme" default:"postgres" oneof:"postgres|postgresql" doc:"Scheme of the connection URL"`
	Host              string        `json:"host" env:"CONVOY_DB_HOST" flag:"db-host" default:"localhost" doc:"Host, or the directory of a Unix socket"`
	Port              int           `json:"port" env:"CONVOY_DB_PORT" flag:"db-port" default:"5432" min:"1" max:"65535" doc:"Port"`
	Username          string        `json:"username" env:"CONVOY_DB_USERNAME" flag:"db-username" default:"postgres" doc:"User"`
	Password          string        `json:"password" env:"CONVOY_DB_PASSWORD" flag:"db-password" default:"postgres" secret:"true" doc:"Password"`
	Database          string        `json:"database" env:"CONVOY_DB_DATABASE" flag:"db-database" default:"convoy" doc:"Name of the database"`
	Options           string        `json:"options" env:"CONVOY_DB_OPTIONS" flag:"db-options" default:"sslmode=disable&connect_timeout=30" doc:"Query string of the connection URL"`
	DSN               string        `json:"dsn" env:"CONVOY_DB_DSN" secret:"true" doc:"Whole connection string, a postgres:// URL or key=value pairs; replaces the seven parts above"`
	DirectDSN         string        `json:"direct_dsn" env:"CONVOY_DB_DIRECT_DSN" secret:"true" doc:"Connection string that reaches PostgreSQL itself, for LISTEN, when the other one goes through a transaction pooler such as PgBouncer"`
	ReadReplicas      []Replica     `json:"read_replicas" env:"CONVOY_DB_READ_REPLICAS" flag:"read-replicas-dsn" secret:"true" doc:"Replicas for reads that may lag. A list of objects with a dsn; the same as JSON in the environment; one connection string per flag"`
	MaxOpenConn       int           `json:"max_open_conn" env:"CONVOY_DB_MAX_OPEN_CONN" default:"10" min:"1" max:"10000" doc:"Connections of one process, at most"`
	MaxIdleConn       int           `json:"max_idle_conn" env:"CONVOY_DB_MAX_IDLE_CONN" default:"10" min:"0" max:"10000" doc:"Connections kept while idle, at most"`
	ConnMaxLifetime   time.Duration `json:"conn_max_lifetime" env:"CONVOY_DB_CONN_MAX_LIFETIME" default:"600" min:"1s" max:"24h" unit:"seconds" doc:"Age at which a connection is replaced"`
	SQLitePath        string        `json:"sqlite_path" env:"CONVOY_DB_SQLITE_PATH" doc:"SQLite file; empty: convoy.db in data_dir"`
	SQLiteSynchronous string        `json:"sqlite_synchronous" env:"CONVOY_DB_SQLITE_SYNCHRONOUS" default:"full" oneof:"full|normal" doc:"full: an acknowledged event survives a power cut. normal: it survives a crash of the process only, and writes are faster"`
}

// Replica is one read-only copy of the database.
type Replica struct {
	DSN string `json:"dsn"`
}

// URL returns the PostgreSQL connection string: DSN when that is set, else a
// URL made of the parts (PostgreSQL manual, "Connection URIs"). A Host that
// begins with a slash is a socket directory and goes into the query. The result
// holds the password. It has no meaning for SQLite.
func (d Database) URL() string {
	if d.DSN != "" {
		return d.DSN
	}
	u := url.URL{Scheme: d.Scheme, Path: "/" + d.Database, RawQuery: d.Options}
	switch {
	case d.Password != "":
		u.User = url.UserPassword(d.Username, d.Password)
	case d.Username != "":
		u.User = url.User(d.Username)
	}
	if !strings.HasPrefix(d.Host, "/") {
		u.Host = hostPort(d.Host, d.Port)
		return u.String()
	}
	socket := url.Values{"host": {d.Host}, "port": {strconv.Itoa(d.Port)}}.Encode()
	if u.RawQuery != "" {
		socket = "&" + socket
	}
	u.RawQuery += socket
	return u.String()
}

// Redis is where Redis is; it is optional.
type Redis struct {
	Scheme           string   `json:"scheme" env:"CONVOY_REDIS_SCHEME" flag:"redis-scheme" default:"redis" oneof:"redis|rediss" doc:"rediss is TLS"`
	Host             string   `json:"host" env:"CONVOY_REDIS_HOST" flag:"redis-host" doc:"Host; empty: Redis is not used"`
	Port             int      `json:"port" env:"CONVOY_REDIS_PORT" flag:"redis-port" default:"6379" min:"1" max:"65535" doc:"Port"`
	Username         string   `json:"username" env:"CONVOY_REDIS_USERNAME" flag:"redis-username" doc:"User"`
	Password         string   `json:"password" env:"CONVOY_REDIS_PASSWORD" flag:"redis-password" secret:"true" doc:"Password"`
	Database         int      `json:"database" env:"CONVOY_REDIS_DATABASE" flag:"redis-database" default:"0" min:"0" max:"65535" doc:"Number of the logical database"`
	Addresses        []string `json:"addresses" env:"CONVOY_REDIS_CLUSTER_ADDRESSES" flag:"redis-addresses" doc:"Nodes of a cluster, host:port. Not supported yet: refused when set"`
	MasterName       string   `json:"master_name" env:"CONVOY_REDIS_SENTINEL_MASTER_NAME" flag:"redis-sentinel-master-name" doc:"Name of the master in Sentinel. Not supported yet: refused when set"`
	SentinelUsername string   `json:"sentinel_username" env:"CONVOY_REDIS_SENTINEL_USERNAME" flag:"redis-sentinel-username" doc:"User at Sentinel. Not supported yet: refused when set"`
	SentinelPassword string   `json:"sentinel_password" env:"CONVOY_REDIS_SENTINEL_PASSWORD" flag:"redis-sentinel-password" secret:"true" doc:"Password at Sentinel. Not supported yet: refused when set"`
	TLSSkipVerify    bool     `json:"tls_skip_verify" env:"CONVOY_REDIS_TLS_SKIP_VERIFY" default:"false" doc:"Accept any certificate; needs the scheme rediss, as do the three below"`
	TLSCertFile      string   `json:"tls_cert_file" env:"CONVOY_REDIS_TLS_CERT_FILE" doc:"PEM file of the client certificate"`
	TLSKeyFile       string   `json:"tls_key_file" env:"CONVOY_REDIS_TLS_KEY_FILE" doc:"PEM file of the client key"`
	TLSCACertFile    string   `json:"tls_ca_cert_file" env:"CONVOY_REDIS_TLS_CA_CERT_FILE" doc:"PEM file of the authorities that are trusted, in place of those of the system"`
}

// Enabled reports whether Redis is configured.
func (r Redis) Enabled() bool { return r.Host != "" }

// Address returns host:port.
func (r Redis) Address() string { return hostPort(r.Host, r.Port) }

// TLS reports whether the connection is encrypted.
func (r Redis) TLS() bool { return r.Scheme == "rediss" }

// The values of Intake.Mode.
const (
	IntakeQueued = "queued"
	IntakeStored = "stored"
)

// Intake is how events are accepted.
type Intake struct {
	Mode       string `json:"mode" env:"CONVOY_INTAKE_MODE" oneof:"|queued|stored" doc:"queued: append to a Redis stream, then acknowledge. stored: commit to the store, then acknowledge. Empty: queued when Redis is configured, else stored"`
	MaxBacklog int64  `json:"max_backlog" env:"CONVOY_INTAKE_MAX_BACKLOG" default:"100000" min:"1" max:"1000000000" doc:"Entries waiting in the stream above which publishing answers 503; an entry holds the events that arrived together, at most 128"`
}

// Idempotency is how long duplicates are recognised.
type Idempotency struct {
	Window time.Duration `json:"window" env:"CONVOY_IDEMPOTENCY_WINDOW" default:"720h" min:"1m" max:"8760h" doc:"How long an idempotency key is remembered"`
}

// Dispatcher is how endpoints are called.
type Dispatcher struct {
	InsecureSkipVerify  bool           `json:"insecure_skip_verify" env:"CONVOY_DISPATCHER_INSECURE_SKIP_VERIFY" default:"false" doc:"Accept any certificate of an endpoint"`
	AllowList           []netip.Prefix `json:"allow_list" env:"CONVOY_DISPATCHER_ALLOW_LIST" flag:"ip-allow-list" doc:"Networks exempted from the built-in refusal of private, loopback, link-local and metadata addresses"`
	BlockList           []netip.Prefix `json:"block_list" env:"CONVOY_DISPATCHER_BLOCK_LIST" flag:"ip-block-list" doc:"Networks refused besides the built-in ones"`
	CACertPath          string         `json:"ca_cert_path" env:"CONVOY_DISPATCHER_CACERT_PATH" doc:"PEM file of authorities trusted besides those of the system"`
	CACertString        string         `json:"ca_cert_string" env:"CONVOY_DISPATCHER_CACERT_STRING" doc:"The same as PEM text; at most one of the two"`
	EndpointConcurrency int            `json:"endpoint_concurrency" env:"CONVOY_DISPATCHER_ENDPOINT_CONCURRENCY" default:"64" min:"1" max:"100000" doc:"Requests in flight to one endpoint, in each process that delivers"`
	SkipPingValidation  bool           `json:"skip_ping_validation" env:"CONVOY_DISPATCHER_SKIP_PING_VALIDATION" default:"false" doc:"Do not call an endpoint when it is created or its URL changes"`
	PingMethods         []string       `json:"ping_methods" env:"CONVOY_DISPATCHER_PING_METHODS" default:"HEAD,GET,POST" oneof:"HEAD|GET|POST|PUT|OPTIONS" doc:"Methods of that call, tried in turn"`
}

// SMTP is where e-mails are handed over; none are sent without a host.
type SMTP struct {
	URL      string `json:"url" env:"CONVOY_SMTP_URL" flag:"smtp-url" doc:"Host of the mail server; empty: no e-mail is sent"`
	Port     int    `json:"port" env:"CONVOY_SMTP_PORT" flag:"smtp-port" default:"587" min:"1" max:"65535" doc:"Port"`
	Username string `json:"username" env:"CONVOY_SMTP_USERNAME" flag:"smtp-username" doc:"User; empty: no authentication"`
	Password string `json:"password" env:"CONVOY_SMTP_PASSWORD" flag:"smtp-password" secret:"true" doc:"Password; it is sent only under TLS or to this machine"`
	From     string `json:"from" env:"CONVOY_SMTP_FROM" flag:"smtp-from" doc:"Address that e-mails come from, such as Convoy <convoy@example.com>; needed with url"`
	ReplyTo  string `json:"reply-to" env:"CONVOY_SMTP_REPLY_TO" flag:"smtp-reply-to" doc:"Address for answers"`
	SSL      bool   `json:"ssl" env:"CONVOY_SMTP_SSL" flag:"smtp-ssl" default:"false" doc:"Speak TLS from the start, as on port 465; else STARTTLS is used where the server offers it"`
}

// Auth is how people sign in.
type Auth struct {
	SignUp bool        `json:"is_signup_enabled" env:"CONVOY_SIGNUP_ENABLED" default:"false" doc:"Let anybody make an account, with an organisation of its own"`
	Portal PortalRealm `json:"portal" doc:"Portal links"`
	OIDC   OIDC        `json:"oidc" doc:"A provider of OpenID Connect by which people sign in"`
	JWT    JWT         `json:"jwt" doc:"Tokens of sessions. They are random and kept as hashes, so they need no secrets; the names are older"`
}

// PortalRealm is whether portal links open anything.
type PortalRealm struct {
	Enabled bool `json:"enabled" env:"CONVOY_PORTAL_REALM_ENABLED" default:"true" doc:"Let those in who hold a portal link"`
}

// OIDC is a provider of OpenID Connect.
type OIDC struct {
	Issuer       string   `json:"issuer" env:"CONVOY_OIDC_ISSUER" doc:"The provider's issuer URL, exactly as it calls itself; empty: none. https, or http on this machine"`
	ClientID     string   `json:"client_id" env:"CONVOY_OIDC_CLIENT_ID" doc:"What the provider calls this instance; needed with issuer"`
	ClientSecret string   `json:"client_secret" env:"CONVOY_OIDC_CLIENT_SECRET" secret:"true" doc:"The secret that it has given this instance; empty for a public client"`
	RedirectURL  string   `json:"redirect_url" env:"CONVOY_OIDC_REDIRECT_URL" doc:"The page that it sends people back to; /sso/callback at this instance's public URL unless given"`
	Scopes       []string `json:"scopes" env:"CONVOY_OIDC_SCOPES" default:"openid,email,profile" doc:"What it is asked for"`
	Name         string   `json:"name" env:"CONVOY_OIDC_NAME" default:"Single sign-on" doc:"What a button may say"`
	SignUp       bool     `json:"is_signup_enabled" env:"CONVOY_OIDC_SIGNUP_ENABLED" default:"false" doc:"Make an account, with an organisation of its own, for whoever has none"`
}

// JWT is how long the tokens of sessions live.
type JWT struct {
	Expiry        time.Duration `json:"expiry" env:"CONVOY_JWT_EXPIRY" default:"1800" min:"1m" max:"24h" unit:"seconds" doc:"How long an access token works"`
	RefreshExpiry time.Duration `json:"refresh_expiry" env:"CONVOY_JWT_REFRESH_EXPIRY" default:"86400" min:"5m" max:"720h" unit:"seconds" doc:"How long a session lasts that is not used"`
}

// Scheduler is the pace of periodic work.
type Scheduler struct {
	SweepInterval   time.Duration `json:"sweep_interval" env:"CONVOY_SCHEDULER_SWEEP_INTERVAL" default:"1s" min:"100ms" max:"10m" doc:"How often due work that no queue holds is looked for"`
	PartitionsAhead int           `json:"partitions_ahead" env:"CONVOY_SCHEDULER_PARTITIONS_AHEAD" default:"7" min:"1" max:"90" doc:"How many days ahead partitions are made in PostgreSQL"`
}

// Batch is the pace of batch jobs.
type Batch struct {
	Rate int `json:"rate" env:"CONVOY_BATCH_RATE" default:"1000" min:"1" max:"1000000" doc:"Events or deliveries that a batch job works on in a second, at most, unless the request says otherwise; it makes way for live traffic in any case"`
}

// The values of Encryption.Mode.
const (
	EncryptionSealed    = "sealed"
	EncryptionPlaintext = "plaintext"
)

// Encryption is where the key comes from that protects secrets in the store.
type Encryption struct {
	Mode       string `json:"mode" env:"CONVOY_ENCRYPTION_MODE" flag:"encryption-mode" default:"sealed" oneof:"sealed|plaintext" doc:"sealed: secrets of endpoints, sources and projects are encrypted in the store. plaintext: they are kept in the clear"`
	Key        string `json:"key" env:"CONVOY_ENCRYPTION_KEY" secret:"true" doc:"The key, 32 bytes in base64, as convoy secrets key prints one"`
	KeyFile    string `json:"key_file" env:"CONVOY_ENCRYPTION_KEY_FILE" flag:"encryption-key-file" doc:"File with the key, which nobody but its owner may read"`
	KeyCommand string `json:"key_command" env:"CONVOY_ENCRYPTION_KEY_COMMAND" doc:"Program with arguments, separated by spaces, that prints the key within 15 seconds; no shell reads it"`
}

// Metrics is whether metrics are served.
type Metrics struct {
	Enabled bool `json:"enabled" env:"CONVOY_METRICS_ENABLED" default:"true" doc:"Serve /metrics"`
}

// The engines of the queue.
const (
	QueueRedis    = "redis"
	QueuePostgres = "postgres"
	QueueMemory   = "memory"
)

// Queue returns the engine of the queue, never empty: QueueProvider, or what
// the rest of the configuration implies.
func (c Config) Queue() string {
	switch {
	case c.QueueProvider != "":
		return c.QueueProvider
	case c.Redis.Enabled():
		return QueueRedis
	case c.Database.Type == Postgres:
		return QueuePostgres
	default:
		return QueueMemory
	}
}

// IntakeMode returns how events are accepted, never empty: Intake.Mode, or what
// the rest of the configuration implies.
func (c Config) IntakeMode() string {
	switch {
	case c.Intake.Mode != "":
		return c.Intake.Mode
	case c.Redis.Enabled():
		return IntakeQueued
	default:
		return IntakeStored
	}
}

// SQLitePath returns the path of the SQLite file.
func (c Config) SQLitePath() string {
	if c.Database.SQLitePath != "" {
		return c.Database.SQLitePath
	}
	return filepath.Join(c.DataDir, "convoy.db")
}

// hostPort joins host and port; an IPv6 host may already have its brackets.
func hostPort(host string, port int) string {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// PublicURL is where the outside world reaches the server, without a slash at the
// end. It is by https, unless the host is this machine and nothing here speaks
// TLS: elsewhere something in front of the server does.
func (c *Config) PublicURL() string {
	host, _, err := net.SplitHostPort(c.Host)
	if err != nil {
		host = c.Host
	}
	ip, _ := netip.ParseAddr(strings.Trim(host, "[]")) // the zero address is no loopback
	if !c.Server.HTTP.SSL && (host == "localhost" || ip.IsLoopback()) {
		return "http://" + c.Host
	}
	return "https://" + c.Host
}
