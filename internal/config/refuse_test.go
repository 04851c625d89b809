package config

import (
	"errors"
	"strings"
	"testing"
)

// problems loads g and returns what it is refused for, nil when it is accepted.
func problems(t *testing.T, g given) []string {
	t.Helper()
	_, _, err := g.load(t)
	if err == nil {
		return nil
	}
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %T %v, want an *InvalidError", err, err)
	}
	return invalid.Problems
}

func TestRefused(t *testing.T) {
	t.Parallel()
	env := func(vars ...string) given { return given{env: vars} }
	file := func(text string) given { return given{file: text} }
	tests := map[string]struct {
		given given
		want  string // part of the only problem
	}{
		"unknown variable":           {env("CONVOY_DB_PASWORD=x"), "unknown environment variable CONVOY_DB_PASWORD; did you mean CONVOY_DB_PASSWORD?"},
		"unknown variable, no clue":  {env("CONVOY_COMPLETELY_DIFFERENT="), "unknown environment variable CONVOY_COMPLETELY_DIFFERENT"},
		"unknown key":                {file(`{"server": {"http": {"prt": 1}}}`), `convoy.json: unknown key "server.http.prt"; did you mean server.http.port?`},
		"unknown section":            {file(`{"databse": {"host": "x"}}`), `unknown key "databse"; did you mean database?`},
		"dotted key":                 {file(`{"server.http.port": 1}`), "sections are nested objects"},
		"key in another case":        {file(`{"Host": "x"}`), `unknown key "Host"; did you mean host?`},
		"section is no object":       {file(`{"server": 5}`), "server: want an object"},
		"not JSON":                   {file("{\n\"host\": }"), "convoy.json: line 2"},
		"two values":                 {file(`{} {}`), "convoy.json: line 1"},
		"not an object":              {file(`[]`), "want a JSON object"},
		"null":                       {file(`null`), "got null"},
		"null value":                 {file(`{"host": null}`), "host (convoy.json): got null, want text"},
		"number for text":            {file(`{"host": 5}`), "host (convoy.json): got 5, want text"},
		"text for a number":          {env("PORT=http"), `server.http.port (PORT): got "http", want a whole number, from 0 to 65535`},
		"fraction":                   {file(`{"server": {"http": {"port": 1.5}}}`), "got 1.5, want a whole number"},
		"huge":                       {file(`{"server": {"http": {"port": 1e300}}}`), "want a whole number"},
		"too high":                   {env("PORT=65536"), "from 0 to 65535"},
		"too low":                    {env("CONVOY_CONSUMER_POOL_SIZE=0"), "from 1 to 100000"},
		"boolean":                    {env("SSL=maybe"), `want true or false`},
		"enumeration":                {env("CONVOY_LOGGER_LEVEL=trace"), "want debug, info, warn or error"},
		"automatic enumeration":      {env("CONVOY_QUEUE_PROVIDER=kafka"), "want redis, postgres, memory or empty for automatic"},
		"duration without unit":      {env("CONVOY_SHUTDOWN_TIMEOUT=25"), `want a duration such as "30s"`},
		"duration as a bare number":  {file(`{"idempotency": {"window": 60}}`), `want a duration such as "30s"`},
		"seconds out of range":       {env("CONVOY_MAX_RETRY_SECONDS=99999999999999999999"), "or a number of seconds"},
		"negative seconds":           {file(`{"max_retry_seconds": -5}`), "got -5"},
		"network":                    {env("CONVOY_DISPATCHER_ALLOW_LIST=10.0.0.0/8,10.0.0.0/33"), "want a list of networks"},
		"zone":                       {env("CONVOY_DISPATCHER_ALLOW_LIST=fe80::1%eth0"), "want a list of networks"},
		"list with a number":         {file(`{"dispatcher": {"block_list": ["10.0.0.0/8", 5]}}`), "want a list of networks"},
		"object for a list":          {file(`{"dispatcher": {"block_list": {"a": 1}}}`), "want a list of networks"},
		"list element":               {env("CONVOY_DISPATCHER_PING_METHODS=GET,BREW"), "want a list of HEAD, GET"},
		"no methods":                 {file(`{"dispatcher": {"ping_methods": []}}`), "at least one method"},
		"flag":                       {given{flags: []string{"--db-port=x"}}, `database.port (--db-port): got "x"`},
		"root path":                  {env("CONVOY_ROOT_PATH=hooks/"), "root_path (CONVOY_ROOT_PATH)"},
		"root path with query":       {env("CONVOY_ROOT_PATH=/a?b"), "root_path"},
		"host with scheme":           {env("CONVOY_HOST=https://x.example"), "without a scheme"},
		"API version":                {env("CONVOY_API_VERSION=v2"), "a date such as"},
		"no data directory":          {given{role: RoleStandalone, flags: []string{"--data-dir="}}, "data_dir (--data-dir)"},
		"ssl without files":          {env("SSL=true"), "needs server.http.ssl_cert_file"},
		"several database hosts":     {env("CONVOY_DB_HOST=a,b"), "one host name"},
		"database options":           {env("CONVOY_DB_OPTIONS=a=%zz"), "database.options"},
		"sqlite in a server":         {env("CONVOY_DB_TYPE=sqlite"), "needs the standalone role"},
		"sqlite path with postgres":  {env("CONVOY_DB_SQLITE_PATH=/x"), "needs database.type sqlite"},
		"standalone with a dsn":      {given{role: RoleStandalone, env: []string{"CONVOY_DB_DSN=postgres://x/y"}}, "uses sqlite unless database.type is postgres"},
		"two encryption keys":        {env("CONVOY_ENCRYPTION_KEY=a", "CONVOY_ENCRYPTION_KEY_FILE=b"), "encryption.key, encryption.key_file: set only one of them"},
		"key for plaintext":          {env("CONVOY_ENCRYPTION_MODE=plaintext", "CONVOY_ENCRYPTION_KEY_FILE=b"), "plaintext uses no key, but encryption.key_file is set"},
		"encryption mode":            {env("CONVOY_ENCRYPTION_MODE=none"), "want sealed or plaintext"},
		"redis cluster":              {env("CONVOY_REDIS_CLUSTER_ADDRESSES=a:1,b:2"), "redis.addresses (CONVOY_REDIS_CLUSTER_ADDRESSES): not supported yet"},
		"redis sentinel":             {env("CONVOY_REDIS_SENTINEL_MASTER_NAME=m"), "redis.master_name (CONVOY_REDIS_SENTINEL_MASTER_NAME): not supported yet"},
		"redis certificate, no key":  {env("CONVOY_REDIS_HOST=r", "CONVOY_REDIS_SCHEME=rediss", "CONVOY_REDIS_TLS_CERT_FILE=c"), "set both or neither"},
		"redis TLS without rediss":   {env("CONVOY_REDIS_HOST=r", "CONVOY_REDIS_TLS_CA_CERT_FILE=c"), "needs redis.scheme rediss"},
		"redis host with a port":     {env("CONVOY_REDIS_HOST=r/x"), "one host name"},
		"redis queue without redis":  {env("CONVOY_QUEUE_PROVIDER=redis"), "want redis.host to be set"},
		"postgres queue on sqlite":   {given{role: RoleStandalone, env: []string{"CONVOY_QUEUE_PROVIDER=postgres"}}, "want database.type postgres"},
		"memory queue in a server":   {env("CONVOY_QUEUE_PROVIDER=memory"), "want the standalone role"},
		"queued without redis":       {env("CONVOY_INTAKE_MODE=queued"), "want redis.host to be set, or stored"},
		"two authorities":            {env("CONVOY_DISPATCHER_CACERT_PATH=a", "CONVOY_DISPATCHER_CACERT_STRING="+testCA), "set at most one"},
		"authority is not PEM":       {env("CONVOY_DISPATCHER_CACERT_STRING=abc"), "certificates in PEM"},
		"unsupported variable":       {env("CONVOY_OTEL_COLLECTOR_URL=x"), "CONVOY_OTEL_COLLECTOR_URL: not supported yet"},
		"mail without a sender":      {env("CONVOY_SMTP_URL=mail.example.com"), "smtp.from: must be an e-mail address, since smtp.url is set"},
		"mail that is answered to":   {env("CONVOY_SMTP_URL=m", "CONVOY_SMTP_FROM=a@example.com", "CONVOY_SMTP_REPLY_TO=x\ny"), "smtp.reply-to: must be an e-mail address"},
		"unsupported exact variable": {env("CONVOY_PROM_DSN=x"), "CONVOY_PROM_DSN: there is no such thing here"},
		"rate below zero":            {env("CONVOY_API_RATE_LIMIT=-1"), "api_rate_limit"},
		"rate over all bounds":       {env("CONVOY_INSTANCE_INGEST_RATE=1000001"), "instance_ingest_rate"},
		"unsupported key":            {file(`{"auth": {"file": {"basic": [1]}}}`), "convoy.json: auth.file: there is no such thing here"},
		"unsupported nested key":     {file(`{"queue": {"postgres": {"batch_size": 5}}}`), "convoy.json: queue.postgres: there is no such thing here"},
		"typo near unsupported":      {file(`{"queue": {"postgress": 5}}`), `unknown key "queue.postgress"`},
		"analytics on":               {env("CONVOY_ANALYTICS_ENABLED=true"), "leave it out or set it to false"},
		"analytics on in the file":   {file(`{"analytics": {"enabled": true}}`), "analytics.enabled: no usage data"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := problems(t, tt.given)
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("problems:\n%s\nwant one with: %s", strings.Join(got, "\n"), tt.want)
			}
		})
	}
}

func TestAllProblemsTogether(t *testing.T) {
	t.Parallel()
	got := problems(t, given{
		file:  `{"hots": 1, "logger": {"level": "loud"}}`,
		env:   []string{"CONVOY_NO_SUCH=1", "PORT=x", "CONVOY_INTAKE_MODE=queued"},
		flags: []string{"--db-port=0"},
	})
	for _, want := range []string{"hots", "logger.level", "CONVOY_NO_SUCH", "server.http.port", "intake.mode", "database.port"} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%s is not among the problems:\n%s", want, strings.Join(got, "\n"))
		}
	}
	if len(got) != 6 {
		t.Errorf("got %d problems, want 6:\n%s", len(got), strings.Join(got, "\n"))
	}
}

func TestWarned(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		given given
		want  string // part of the only warning; empty: no warning
	}{
		"licence key":                {given{env: []string{"CONVOY_LICENSE_KEY=abc"}}, "CONVOY_LICENSE_KEY is ignored: there are no licences"},
		"licence key in the file":    {given{file: `{"license_key": "abc"}`}, "convoy.json: license_key is ignored"},
		"feature flags":              {given{env: []string{"CONVOY_ENABLE_FEATURE_FLAG=prometheus"}}, "there are no feature flags"},
		"feature flags in the file":  {given{file: `{"enable_feature_flag": ["prometheus"]}`}, "there are no feature flags"},
		"analytics off":              {given{env: []string{"CONVOY_ANALYTICS_ENABLED=false"}}, "no usage data"},
		"analytics off in the file":  {given{file: `{"analytics": {"enabled": false}}`}, "no usage data"},
		"unsupported but empty":      {given{env: []string{"CONVOY_OTEL_COLLECTOR_URL=", "CONVOY_LICENSE_KEY="}}, ""},
		"unsupported empty in file":  {given{file: `{"tracer": {"type": "", "otel": null}, "auth": {}}`}, ""},
		"parts beside a dsn":         {given{env: []string{"CONVOY_DB_DSN=postgres://x/y", "CONVOY_DB_PORT=1"}}, "database.port is ignored"},
		"redis without host":         {given{env: []string{"CONVOY_REDIS_PORT=1"}}, "redis.port is ignored"},
		"sqlite chosen beside parts": {given{role: RoleStandalone, env: []string{"CONVOY_DB_TYPE=sqlite", "CONVOY_DB_HOST=x"}}, "database.host is ignored"},
		"everything allowed":         {given{env: []string{"CONVOY_DISPATCHER_ALLOW_LIST=0.0.0.0/0"}}, "exempts every address"},
		"certificate without ssl":    {given{env: []string{"CONVOY_SSL_CERT_FILE=x"}}, "server.http.ssl_cert_file is ignored"},
		"tests and benchmarks":       {given{env: []string{"CONVOY_TEST_POSTGRES=x", "CONVOY_BENCH_N=5"}}, ""},
		"other programs":             {given{env: []string{"HOME=/root", "HTTP_PROXY=http://p", "NOT AN ASSIGNMENT"}}, ""},
		"kubernetes services": {given{env: []string{
			"CONVOY_SERVICE_HOST=10.0.0.1", "CONVOY_SERVICE_PORT=80", "CONVOY_SERVICE_PORT_HTTP=80", "CONVOY_PORT=tcp://10.0.0.1:80",
			"CONVOY_PORT_80_TCP=tcp://10.0.0.1:80", "CONVOY_PORT_80_TCP_PROTO=tcp", "CONVOY_PORT_80_TCP_PORT=80", "CONVOY_PORT_80_TCP_ADDR=10.0.0.1",
			"CONVOY_REDIS_SERVICE_HOST=10.0.0.2", "CONVOY_REDIS_PORT=tcp://10.0.0.2:6379",
		}}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, warnings, err := tt.given.load(t)
			if err != nil {
				t.Fatalf("load: %v", err)
			}
			if tt.want == "" && len(warnings) != 0 || tt.want != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], tt.want)) {
				t.Errorf("warnings %q, want one with %q", warnings, tt.want)
			}
		})
	}
}

const secretText = "hunter2hunter2"

func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	for _, s := range settings {
		if !s.secret {
			continue
		}
		good := given{role: RoleServer, file: `{"redis": {"host": "r"}}`, env: []string{s.env + "=" + secretText}}
		switch s.key {
		case "database.dsn", "database.direct_dsn":
			good.env = []string{s.env + "=postgres://u:" + secretText + "@h/d"}
		case "database.read_replicas":
			good.env = []string{s.env + `=[{"dsn": "postgres://u:` + secretText + `@h/d"}]`}
		}
		c, warnings, err := good.load(t)
		if s.key == "redis.sentinel_password" {
			// Refused for now; the error is what must not show it.
			if err == nil || strings.Contains(err.Error(), secretText) {
				t.Errorf("%s: error %v must be there and not show the secret", s.key, err)
			}
			c = Config{Redis: Redis{SentinelPassword: secretText}}
		} else if err != nil {
			t.Fatalf("%s: %v", s.key, err)
		}
		shown := string(c.Redacted())
		if !strings.Contains(shown, redacted) || strings.Contains(shown+strings.Join(warnings, "\n"), secretText) {
			t.Errorf("%s: the secret is not redacted in:\n%s", s.key, shown)
		}
	}
	refused := given{
		env: []string{
			"CONVOY_DB_DSN=mysql://u:" + secretText + "@h/d",
			"CONVOY_DB_DIRECT_DSN=postgres://u:%zz" + secretText + "@h/d",
			`CONVOY_DB_READ_REPLICAS=[{"dsn": "` + secretText + `"}]`,
			"CONVOY_GOOGLE_OAUTH_SECRET=" + secretText,
			"CONVOY_DB_PASWORD=" + secretText,
		},
		file: `{"redis": {"password": ["` + secretText + `"]}}`,
	}
	got := problems(t, refused)
	if len(got) != 6 {
		t.Errorf("got %d problems, want 6:\n%s", len(got), strings.Join(got, "\n"))
	}
	if strings.Contains(strings.Join(got, "\n"), secretText) {
		t.Errorf("a secret is shown in:\n%s", strings.Join(got, "\n"))
	}
}

// testCA is a self-signed certificate that nothing trusts.
const testCA = `-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUA/OJ9DjW/9LraE+Iw1zt9xW1mF4wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjIyMTQ5MTRaGA8yMTI2MTAyOTIxNDkx
NFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPOZ
5L9RYRcDK/Fe1jzs6cSwEPqVNO/6rYHyN4pePRLYxH3dhkK89XI7gVyrtRXiHfIk
4abOiWj0Hs2kBOWtZlajUzBRMB0GA1UdDgQWBBRhMpal9AN6qQf7Lb/1yxGaPJCA
1DAfBgNVHSMEGDAWgBRhMpal9AN6qQf7Lb/1yxGaPJCA1DAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIDU/MwyU85wHUVWNBVw2ehoTz/uRe0OSeMPc
2sqiYifTAiBADCZ+kY9BK0Kw1kHtDVEMifLxlx5cel9N6qNhMp5weg==
-----END CERTIFICATE-----
`
