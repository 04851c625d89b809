package config

import (
	"crypto/x509"
	"net/mail"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// check finds what is wrong between settings that are each allowed.
func (l *loader) check(c Config) {
	l.checkNames(c)
	l.checkServer(c.Server.HTTP)
	l.checkSMTP(c.SMTP)
	l.checkOIDC(c.Auth.OIDC)
	l.checkDatabase(c.Database)
	l.checkEncryption(c.Encryption)
	l.checkRedis(c.Redis)
	l.checkQueue(c)
	l.checkDispatcher(c.Dispatcher)
}

// wrong reports that the value of a setting is refused because of want.
func (l *loader) wrong(key, want string, value any) {
	source := l.given[key]
	if source == "" {
		source = "default"
	}
	l.problem("%s (%s): got %s, want %s", key, source, byKey[key].show(value), want)
}

var hostName = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

func (l *loader) checkNames(c Config) {
	if !hostName.MatchString(c.Host) {
		l.wrong("host", "a host name or address, with or without a port, and without a scheme or path", c.Host)
	}
	if p := c.RootPath; p != "" && !validRootPath(p) {
		l.wrong("root_path", "nothing, or a path such as /hooks that starts with a slash and does not end with one", p)
	}
	if _, err := time.Parse(time.DateOnly, c.APIVersion); err != nil {
		l.wrong("api_version", "a date such as 2025-11-24", c.APIVersion)
	}
	if c.DataDir == "" {
		l.wrong("data_dir", "a directory", c.DataDir)
	}
}

func validRootPath(p string) bool {
	u, err := url.Parse(p)
	return err == nil && u.Path == p && strings.HasPrefix(p, "/") && !strings.HasSuffix(p, "/") &&
		!strings.Contains(p, "//")
}

func (l *loader) checkServer(h HTTP) {
	if h.SSL && (h.SSLCertFile == "" || h.SSLKeyFile == "") {
		l.problem("server.http.ssl: needs server.http.ssl_cert_file and server.http.ssl_key_file")
	}
	for _, key := range []string{"server.http.ssl_cert_file", "server.http.ssl_key_file"} {
		if !h.SSL && l.given[key] != "" {
			l.warn("%s is ignored: server.http.ssl is false", key)
		}
	}
}

func (l *loader) checkSMTP(c SMTP) {
	if c.URL == "" {
		return
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		l.problem("smtp.from: must be an e-mail address, since smtp.url is set")
	}
	if _, err := mail.ParseAddress(c.ReplyTo); c.ReplyTo != "" && err != nil {
		l.problem("smtp.reply-to: must be an e-mail address")
	}
}

func (l *loader) checkOIDC(c OIDC) {
	if c.Issuer == "" {
		return
	}
	u, err := url.Parse(c.Issuer)
	local := err == nil && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1")
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !local) {
		l.wrong("auth.oidc.issuer", "an https URL without query, or an http URL of this machine", c.Issuer)
	}
	if c.ClientID == "" {
		l.problem("auth.oidc.client_id: needed, since auth.oidc.issuer is set")
	}
	if u, err := url.Parse(c.RedirectURL); c.RedirectURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		l.wrong("auth.oidc.redirect_url", "the URL of a page", c.RedirectURL)
	}
	if !slices.Contains(c.Scopes, "openid") {
		l.problem("auth.oidc.scopes: must have openid")
	}
}

// connectionParts make up a connection URL; a DSN replaces them.
var connectionParts = []string{
	"database.scheme", "database.host", "database.port", "database.username",
	"database.password", "database.database", "database.options",
}

func (l *loader) checkDatabase(d Database) {
	if d.Type == SQLite {
		l.checkSQLite()
		return
	}
	if l.given["database.sqlite_path"] != "" && d.SQLitePath != "" {
		l.problem("database.sqlite_path: needs database.type sqlite")
	}
	if d.DSN != "" {
		for _, key := range connectionParts {
			if l.given[key] != "" {
				l.warn("%s is ignored: database.dsn replaces it", key)
			}
		}
	}
	const dsnForm = "a postgres:// URL or key=value pairs"
	if d.DSN != "" && !validDSN(d.DSN) {
		l.wrong("database.dsn", dsnForm, d.DSN)
	}
	if d.DirectDSN != "" && !validDSN(d.DirectDSN) {
		l.wrong("database.direct_dsn", dsnForm, d.DirectDSN)
	}
	if d.Host == "" || strings.ContainsAny(d.Host, " \t\r\n@?#,") {
		l.wrong("database.host", "one host name, address or socket directory; several hosts go into database.dsn", d.Host)
	}
	if _, err := url.ParseQuery(d.Options); err != nil {
		l.wrong("database.options", "a query string such as sslmode=disable", d.Options)
	}
}

// checkSQLite makes sure that settings of PostgreSQL are not left unused
// without a word.
func (l *loader) checkSQLite() {
	switch l.role {
	case RoleStandalone, RoleTool:
	default:
		l.problem("database.type (%s): sqlite needs the standalone role, which keeps all work in one process", l.given["database.type"])
	}
	chosen := l.given["database.type"] != ""
	for _, key := range append(slices.Clone(connectionParts), "database.dsn", "database.direct_dsn", "database.read_replicas") {
		switch {
		case l.given[key] == "":
		case chosen:
			l.warn("%s is ignored: database.type is sqlite", key)
		default:
			l.problem("%s (%s): is set, but this role uses sqlite unless database.type is postgres", key, l.given[key])
		}
	}
}

// validDSN reports whether a text has one of the two forms of a PostgreSQL
// connection string.
func validDSN(dsn string) bool {
	if u, err := url.Parse(dsn); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		return true
	}
	key, _, pair := strings.Cut(dsn, "=")
	return pair && !strings.Contains(key, "/") && strings.TrimSpace(key) != ""
}

func (l *loader) checkEncryption(e Encryption) {
	var set []string
	for _, s := range []condition{
		{"encryption.key", e.Key != ""}, {"encryption.key_file", e.KeyFile != ""}, {"encryption.key_command", e.KeyCommand != ""},
	} {
		if s.set {
			set = append(set, s.key)
		}
	}
	if len(set) > 1 {
		l.problem("%s: set only one of them", strings.Join(set, ", "))
	}
	if len(set) > 0 && e.Mode == EncryptionPlaintext {
		l.problem("encryption.mode: plaintext uses no key, but %s is set", set[0])
	}
}

func (l *loader) checkRedis(r Redis) {
	l.refuseSet("not supported yet; use one Redis with redis.host", []condition{
		{"redis.addresses", len(r.Addresses) > 0},
		{"redis.master_name", r.MasterName != ""},
		{"redis.sentinel_username", r.SentinelUsername != ""},
		{"redis.sentinel_password", r.SentinelPassword != ""},
	})
	if !r.TLS() {
		l.refuseSet("needs redis.scheme rediss", []condition{
			{"redis.tls_skip_verify", r.TLSSkipVerify},
			{"redis.tls_cert_file", r.TLSCertFile != ""},
			{"redis.tls_key_file", r.TLSKeyFile != ""},
			{"redis.tls_ca_cert_file", r.TLSCACertFile != ""},
		})
	}
	if (r.TLSCertFile == "") != (r.TLSKeyFile == "") {
		l.problem("redis.tls_cert_file and redis.tls_key_file: set both or neither")
	}
	if strings.ContainsAny(r.Host, " \t\r\n/@,") {
		l.wrong("redis.host", "one host name or address", r.Host)
	}
	if r.Enabled() {
		return
	}
	for _, s := range settings {
		if s.section == "redis" && l.given[s.key] != "" && s.key != "redis.host" {
			l.warn("%s is ignored: redis.host is not set, so Redis is not used", s.key)
		}
	}
}

// condition is whether the setting key has a value that matters.
type condition struct {
	key string
	set bool
}

func (l *loader) refuseSet(why string, conditions []condition) {
	for _, c := range conditions {
		if c.set {
			l.problem("%s (%s): %s", c.key, l.given[c.key], why)
		}
	}
}

func (l *loader) checkQueue(c Config) {
	switch c.Queue() {
	case QueueRedis:
		if !c.Redis.Enabled() {
			l.wrong("queue_provider", "redis.host to be set, or another engine", c.QueueProvider)
		}
	case QueuePostgres:
		if c.Database.Type != Postgres {
			l.wrong("queue_provider", "database.type postgres, or another engine", c.QueueProvider)
		}
	case QueueMemory:
		if c.QueueProvider == QueueMemory && l.role != RoleStandalone && l.role != RoleTool {
			l.wrong("queue_provider", "the standalone role, or an engine that several processes share", c.QueueProvider)
		}
	}
	if c.Intake.Mode == IntakeQueued && !c.Redis.Enabled() {
		l.wrong("intake.mode", "redis.host to be set, or stored", c.Intake.Mode)
	}
}

func (l *loader) checkDispatcher(d Dispatcher) {
	if d.CACertPath != "" && d.CACertString != "" {
		l.problem("dispatcher.ca_cert_path and dispatcher.ca_cert_string: set at most one")
	}
	if d.CACertString != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(d.CACertString)) {
		l.wrong("dispatcher.ca_cert_string", "certificates in PEM", d.CACertString)
	}
	for _, p := range d.AllowList {
		if p.Bits() == 0 {
			l.warn("dispatcher.allow_list: %s exempts every address from the refusal of private networks; an empty list allows all public ones", p)
		}
	}
	if len(d.PingMethods) == 0 && !d.SkipPingValidation {
		l.wrong("dispatcher.ping_methods", "at least one method, or dispatcher.skip_ping_validation", d.PingMethods)
	}
}

// valueOf returns the field of a setting.
func (s *setting) valueOf(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(s.index)
}
