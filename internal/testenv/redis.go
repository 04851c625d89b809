package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Redis is a private Redis server.
type Redis struct {
	server
	port int
}

// StartRedis serves an empty Redis, or the data that Options.Dir holds. It keeps nothing on disk by
// default, so a restart loses all of it, which is what Convoy must stand; the settings
// {"appendonly": "yes"} keep it.
func StartRedis(ctx context.Context, opts Options) (*Redis, error) {
	path, err := Find("redis-server")
	if err != nil {
		return nil, err
	}
	place, err := newPlace(opts, "redis", nil)
	if err != nil {
		return nil, err
	}
	r := &Redis{}
	specify := func(port int) spec { return r.specify(port, path, place, opts) }
	if _, err := onFreePort(ctx, &r.server, specify); err != nil {
		return nil, errors.Join(err, place.remove())
	}
	return r, nil
}

func (r *Redis) specify(port int, path string, place place, opts Options) spec {
	r.port = port
	return spec{
		name: "redis", path: path, args: redisArgs(place.dir, port, opts.Settings),
		place: place, log: opts.Log,
		orphan: syscall.SIGKILL, crash: syscall.SIGKILL,
		stops: []stop{{syscall.SIGTERM, 10 * time.Second}, {syscall.SIGKILL, 5 * time.Second}},
		ready: r.serves,
	}
}

func redisArgs(dir string, port int, settings map[string]string) []string {
	defaults := map[string]string{
		"bind":       "127.0.0.1",
		"daemonize":  "no",
		"appendonly": "no",
		"save":       "", // no snapshots, neither while running nor at the end
	}
	var args []string
	for _, kv := range merged(defaults, settings) {
		args = append(args, "--"+kv[0], kv[1])
	}
	return append(args, "--port", strconv.Itoa(port), "--dir", dir)
}

// Addr returns the server's host:port.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// serves returns nil if the server on the port is process pid and has loaded its data. It speaks
// the inline form of the protocol (https://redis.io/docs/latest/develop/reference/protocol-spec),
// so that this package needs no client.
func (r *Redis) serves(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	// Should this fail, the connection is closed already.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write([]byte("INFO\r\nQUIT\r\n")); err != nil {
		return err
	}
	var id, loading string
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if value, ok := strings.CutPrefix(line, "process_id:"); ok {
			id = value
		}
		if value, ok := strings.CutPrefix(line, "loading:"); ok {
			loading = value
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if id != strconv.Itoa(pid) {
		return fmt.Errorf("another server, process %q, has the port", id)
	}
	if loading != "0" {
		return errors.New("still loading its data")
	}
	return nil
}
