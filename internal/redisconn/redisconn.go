// Package redisconn opens connections to Redis for the engines that use it,
// and keeps their subscriptions. It decides time-outs, retries and memory once
// for all of them. It holds no keys and no meaning: those belong to the
// engines.
package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const (
	// dialTimeout bounds one attempt to connect.
	dialTimeout = 5 * time.Second
	// answerTimeout is how long a server may take to answer before the
	// connection counts as dead.
	answerTimeout = 5 * time.Second
	// keepAlive is how often an idle connection is checked. A dead server is
	// noticed after keepAlive and answerTimeout at the latest.
	keepAlive = 5 * time.Second
	// minimum is the oldest version with all commands the engines use
	// (ZMSCORE, ZADD LT and XAUTOCLAIM came with 6.2).
	minMajor, minMinor = 6, 2
)

// Config says which Redis to use, and how.
type Config struct {
	// Addrs holds host:port addresses: of one server, of some nodes of a
	// cluster, or of the sentinels when Sentinel.Master is set.
	Addrs              []string
	Username, Password string
	// DB selects a numbered database; a cluster has only 0.
	DB int
	// TLS, when set, is used for every connection.
	TLS *tls.Config
	// Prefix starts every key and channel, so that several installations can
	// share a server. The engines are given it by whoever makes them.
	Prefix   string
	Sentinel Sentinel
}

// Sentinel finds the server through Redis Sentinel. The zero value does not.
type Sentinel struct {
	// Master is the name the sentinels know the server by.
	Master             string
	Username, Password string
}

// Open connects and checks that the server answers and is recent enough. A
// connection that is lost later is made again by itself; calls meanwhile
// return errors: at once when the server refuses, within fifteen seconds when
// it hangs, or when their context ends. Opening takes up to five seconds for each
// address that does not answer.
func Open(ctx context.Context, cfg Config) (rueidis.Client, error) {
	name := strings.Join(cfg.Addrs, ", ")
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("redis at %s: %w", name, err)
	}
	client, err := rueidis.NewClient(options(cfg))
	if err != nil {
		if client != nil {
			client.Close()
		}
		return nil, fmt.Errorf("redis at %s: %w", name, err)
	}
	if err := check(ctx, client); err != nil {
		client.Close()
		return nil, fmt.Errorf("redis at %s: %w", name, err)
	}
	return client, nil
}

func options(cfg Config) rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress: cfg.Addrs,
		Username:    cfg.Username,
		Password:    cfg.Password,
		SelectDB:    cfg.DB,
		TLSConfig:   cfg.TLS,
		ClientName:  "convoy",
		Sentinel: rueidis.SentinelOption{
			MasterSet: cfg.Sentinel.Master,
			Username:  cfg.Sentinel.Username,
			Password:  cfg.Sentinel.Password,
			TLSConfig: cfg.TLS,
			Dialer:    net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive},
			// A missed fail-over message must not bind us to the old master.
			TopologyRefreshInterval: 5 * time.Second,
		},
		ClusterOption: rueidis.ClusterOption{ShardsRefreshInterval: 30 * time.Second, MaxMovedRedirections: 5},

		Dialer:           net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive},
		ConnWriteTimeout: answerTimeout,
		RetryDelay:       retryDelay,
		DisableCache:     true,

		// Sized for an idle process of a few tens of MiB. The ring holds 2^8
		// commands in flight per connection, and two connections (2^1) carry
		// all that does not block: Redis runs commands one at a time, so more
		// would only split the pipelines.
		RingScaleEachConn:   8,
		ReadBufferEachConn:  64 << 10,
		WriteBufferEachConn: 64 << 10,
		PipelineMultiplex:   1,
		// Only reads of streams block: one connection each.
		BlockingPoolSize:    16,
		BlockingPoolCleanup: time.Minute,
		BlockingPoolMinSize: 1,
	}
}

// retryDelay lets a command that may safely run twice survive a connection
// that was closed while idle, and no more: an outage is the caller's to handle,
// and a server that did not answer in time is not asked again.
func retryDelay(attempts int, _ rueidis.Completed, err error) time.Duration {
	var failure net.Error
	if attempts > 3 || errors.As(err, &failure) && failure.Timeout() {
		return -1
	}
	return time.Duration(attempts*attempts) * 5 * time.Millisecond
}

// check asks one server for its version. A server that does not say passes.
func check(ctx context.Context, client rueidis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+answerTimeout)
	defer cancel()
	info, err := client.Do(ctx, client.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return fmt.Errorf("server version: %w", err)
	}
	version := field(info, "redis_version")
	major, minor, ok := parseVersion(version)
	if ok && (major < minMajor || major == minMajor && minor < minMinor) {
		return fmt.Errorf("version %s is too old: %d.%d or later is needed", version, minMajor, minMinor)
	}
	return nil
}

// field reads one line of an INFO reply: name:value, lines end with \r\n.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func parseVersion(v string) (major, minor int, ok bool) {
	parts := strings.Split(v, ".")
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(parts[1])
	return major, minor, err == nil
}

// Ping asks the server for a sign of life.
func Ping(ctx context.Context, client rueidis.Client) error {
	return client.Do(ctx, client.B().Ping().Build()).Error()
}
