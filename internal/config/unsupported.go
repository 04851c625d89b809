package config

import (
	"fmt"
	"strings"
)

// unsupportedSetting is a setting that deployments moving here may carry and
// that has no counterpart. It is refused, so that nobody relies on it in vain,
// unless ignoring it changes nothing.
type unsupportedSetting struct {
	// keys are paths in the file; each stands for everything below it too.
	keys []string
	// env are variables; one that ends with * stands for all with that prefix.
	env []string
	why string
	// harmless settings are accepted with a warning: always when only is
	// empty, else when their value is only.
	harmless bool
	only     string
}

const (
	notYet   = "not supported yet"
	notThere = "there is no such thing here"
)

var unsupportedSettings = []unsupportedSetting{
	{keys: []string{"license_key"}, env: []string{"CONVOY_LICENSE_KEY"}, why: "there are no licences: everything is included", harmless: true},
	{keys: []string{"enable_feature_flag"}, env: []string{"CONVOY_ENABLE_FEATURE_FLAG"}, why: "there are no feature flags: everything is included", harmless: true},
	{keys: []string{"analytics.enabled"}, env: []string{"CONVOY_ANALYTICS_ENABLED"}, why: "no usage data is sent anywhere", harmless: true, only: "false"},
	{keys: []string{"license_service"}, env: []string{"CONVOY_LICENSE_SERVICE_*"}, why: notThere + ": there are no licences"},
	{keys: []string{"billing"}, env: []string{"CONVOY_BILLING_*"}, why: notThere},
	{keys: []string{"custom_domain_suffix"}, env: []string{"CONVOY_CUSTOM_DOMAIN_SUFFIX"}, why: notThere},
	{keys: []string{"pyroscope"}, env: []string{"CONVOY_PYROSCOPE_*"}, why: notThere + "; enable_profiling serves pprof"},
	{keys: []string{"hcp_vault"}, env: []string{"CONVOY_HCP_*"}, why: notYet},
	{keys: []string{"prometheus"}, env: []string{"CONVOY_PROM_DSN"}, why: notThere},
	{keys: []string{"metrics.metrics_backend"}, env: []string{"CONVOY_METRICS_BACKEND"}, why: notThere + ": metrics are for Prometheus"},
	{
		keys: []string{"metrics.prometheus_metrics"},
		env:  []string{"CONVOY_METRICS_SAMPLE_TIME", "CONVOY_METRICS_QUERY_TIMEOUT", "CONVOY_METRICS_MATERIALIZED_VIEW_REFRESH_INTERVAL"},
		why:  notThere + ": metrics are counted as things happen, not sampled from the database",
	},
	{
		keys: []string{"queue.postgres", "cache.postgres"},
		env:  []string{"CONVOY_POSTGRES_QUEUE_*", "CONVOY_POSTGRES_CACHE_LOCAL_READ_*"},
		why:  notThere,
	},
	{keys: []string{"worker_execution_mode"}, env: []string{"CONVOY_WORKER_EXECUTION_MODE"}, why: notThere + ": new and retried deliveries share one queue"},
	{
		keys: []string{"verify_dynamic_events_timeout"}, env: []string{"CONVOY_VERIFY_DYNAMIC_EVENTS_TIMEOUT"},
		why: "dynamic events are always resolved before they are acknowledged", harmless: true,
	},
	// HTTP_PROXY and NO_PROXY belong to many programs and are left alone.
	{keys: []string{"server.http.proxy", "server.http.no_proxy"}, why: notYet},
	{
		keys: []string{"retention_policy"},
		env:  []string{"CONVOY_RETENTION_POLICY", "CONVOY_RETENTION_POLICY_ENABLED", "CONVOY_BACKUP_INTERVAL", "CONVOY_CDC_BACKUP_ENABLED", "CONVOY_REPLICATION_DSN"},
		why:  notYet,
	},
	{keys: []string{"storage_policy"}, env: []string{"CONVOY_STORAGE_*"}, why: notYet},
	{keys: []string{"circuit_breaker"}, env: []string{"CONVOY_CIRCUIT_BREAKER_*"}, why: notYet},
	{
		keys: []string{"auth.jwt.secret", "auth.jwt.refresh_secret"}, env: []string{"CONVOY_JWT_SECRET", "CONVOY_JWT_REFRESH_SECRET"},
		why: "tokens of sessions are random and need no secret", harmless: true,
	},
	{
		keys: []string{"auth.native", "auth.jwt.enabled"}, env: []string{"CONVOY_NATIVE_REALM_ENABLED", "CONVOY_JWT_REALM_ENABLED", "CONVOY_PORTAL_REALM_ENABLED"},
		why: "it is always on", harmless: true, only: "true",
	},
	{
		keys: []string{"auth"},
		env:  []string{"CONVOY_JWT_*", "CONVOY_BASIC_AUTH_CONFIG", "CONVOY_API_KEY_CONFIG", "CONVOY_GOOGLE_OAUTH_*", "CONVOY_SSO_*"},
		why:  notThere,
	},
	{keys: []string{"sso_service"}, why: notThere},
	{keys: []string{"smtp.provider"}, env: []string{"CONVOY_SMTP_PROVIDER"}, why: "any mail server is spoken to in the same way", harmless: true},
	{
		keys: []string{"tracer"},
		env:  []string{"CONVOY_TRACER_PROVIDER", "CONVOY_OTEL_*", "CONVOY_SENTRY_*", "CONVOY_DATADOG_AGENT_URL"},
		why:  notYet,
	},
	// After its exact key: whatever else the section holds.
	{keys: []string{"analytics"}, env: []string{"CONVOY_ANALYTICS_*"}, why: notThere},
}

// unsupportedPart reports whether key leads to a setting of the table, as "analytics"
// leads to "analytics.enabled".
func unsupportedPart(key string) bool {
	for _, u := range unsupportedSettings {
		for _, k := range u.keys {
			if strings.HasPrefix(k, key+delim) {
				return true
			}
		}
	}
	return false
}

// unsupportedKey returns the entry of a key in the file, or nil.
func unsupportedKey(key string) *unsupportedSetting {
	for i, u := range unsupportedSettings {
		for _, k := range u.keys {
			if key == k || strings.HasPrefix(key, k+delim) {
				return &unsupportedSettings[i]
			}
		}
	}
	return nil
}

// unsupportedEnv returns the entry of a variable of the environment, or nil.
func unsupportedEnv(name string) *unsupportedSetting {
	for i, u := range unsupportedSettings {
		for _, e := range u.env {
			prefix, wild := strings.CutSuffix(e, "*")
			if name == e || wild && strings.HasPrefix(name, prefix) {
				return &unsupportedSettings[i]
			}
		}
	}
	return nil
}

// unsupported warns of a harmless setting and refuses another, unless it is
// empty, which is how example files leave a setting out.
func (l *loader) unsupported(u *unsupportedSetting, where string, v any) {
	switch {
	case empty(v):
	case u.harmless && (u.only == "" || fmt.Sprint(v) == u.only):
		l.warn("%s is ignored: %s", where, u.why)
	case u.harmless:
		l.problem("%s: %s; leave it out or set it to %s", where, u.why, u.only)
	default:
		l.problem("%s: %s", where, u.why)
	}
}

// empty reports whether a value of the file or the environment says nothing.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, e := range v {
			if !empty(e) {
				return false
			}
		}
		return true
	default:
		return false
	}
}
