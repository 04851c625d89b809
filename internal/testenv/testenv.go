// Package testenv runs private servers for tests and benchmarks: PostgreSQL, Redis and PgBouncer
// from the binaries of this machine, each on a free loopback port with its own directory, and
// ended with the process that started it. It also hands each test a part of its own (an empty
// database, a key prefix) on the servers that `make test` starts for a whole run.
//
// It is not used by the gateway itself and knows nothing about it. Starting a server returns
// errors rather than failing a test, so that commands can use it; only the functions that take a
// testing.TB fail or skip one.
package testenv

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// minPostgres is the oldest major version of PostgreSQL that Convoy supports.
const minPostgres = 15

// Options says where and how a server runs. The zero value is a server in a new directory below
// os.TempDir, with the package's settings.
type Options struct {
	// Dir keeps the server's data, configuration and socket. Empty means a new directory, which
	// Close removes; a directory that the caller names is created if need be and left in place.
	//
	// PostgreSQL and PgBouncer refuse to run as root, so when the caller is root they run as
	// user postgres, and every parent of Dir must let that user through. The directories of
	// testing.TB.TempDir do not.
	Dir string

	// Log receives what the server writes to its standard output and error. Nil drops it, save
	// for the last lines, which errors quote.
	Log io.Writer

	// Settings are added to the package's settings of this server and win over them: postgres -c
	// parameters, redis.conf directives, or keys of pgbouncer.ini's [pgbouncer] section.
	Settings map[string]string
}

// Find returns the path of a server binary: the newest supported PostgreSQL of Debian's layout
// first (its wrappers in PATH leave out initdb and postgres), then PATH, then the directories for
// daemons, which are often not in PATH.
func Find(name string) (string, error) {
	if path := findPostgres(name); path != "" {
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s (.ci/install installs the servers that tests need): %w", name, err)
}

// findPostgres returns the path of name below /usr/lib/postgresql/<major>/bin, "" if there is none.
func findPostgres(name string) string {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return ""
	}
	newest, found := minPostgres-1, ""
	for _, dir := range dirs {
		major, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err != nil || major <= newest {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			newest, found = major, path
		}
	}
	return found
}

// place is the directory that a server runs in, and the account that it runs under.
type place struct {
	dir     string
	created bool     // by this package, which therefore removes it
	account *account // nil: the caller's own
}

// account is a user of this machine.
type account struct{ uid, gid uint32 }

// newPlace makes the directory of opts ready for a server that runs under acc.
func newPlace(opts Options, name string, acc *account) (place, error) {
	p := place{dir: opts.Dir, account: acc}
	if p.dir == "" {
		dir, err := os.MkdirTemp("", "convoy-"+name+"-")
		if err != nil {
			return place{}, fmt.Errorf("directory of %s: %w", name, err)
		}
		p.dir, p.created = dir, true
	} else {
		dir, err := filepath.Abs(p.dir)
		if err != nil {
			return place{}, fmt.Errorf("directory of %s: %w", name, err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return place{}, fmt.Errorf("directory of %s: %w", name, err)
		}
		p.dir = dir
	}
	if err := p.handOver(); err != nil {
		return place{}, errors.Join(fmt.Errorf("directory of %s: %w", name, err), p.remove())
	}
	return p, nil
}

// handOver gives the directory to the account, and checks that it can get there.
func (p place) handOver() error {
	if p.account == nil {
		return nil
	}
	for dir := filepath.Dir(p.dir); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s is closed to the user that the server runs as: leave Options.Dir empty, or open it with chmod o+x", dir)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return os.Chown(p.dir, int(p.account.uid), int(p.account.gid))
}

// write creates a file in the directory that the account can read.
func (p place) write(name, text string) (string, error) {
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	if p.account == nil {
		return path, nil
	}
	return path, os.Chown(path, int(p.account.uid), int(p.account.gid))
}

// remove deletes the directory if this package created it.
func (p place) remove() error {
	if !p.created {
		return nil
	}
	return os.RemoveAll(p.dir)
}

// merged returns defaults with the caller's settings over them, as sorted key-value pairs.
func merged(defaults, settings map[string]string) [][2]string {
	all := make(map[string]string, len(defaults)+len(settings))
	for k, v := range defaults {
		all[k] = v
	}
	for k, v := range settings {
		all[k] = v
	}
	pairs := make([][2]string, 0, len(all))
	for k, v := range all {
		pairs = append(pairs, [2]string{k, v})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return pairs
}

// Ports below the kernel's ephemeral range (32768 and up by default on Linux): a server that
// restarts on its port does not find it taken by some outgoing connection.
const (
	firstPort = 15000
	lastPort  = 31999
)

// freePort returns a loopback port that nothing listens on at this moment.
func freePort() (int, error) {
	const tries = 200 // of 17,000 ports; a machine that has none free after this has a problem
	var last error
	for range tries {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if last = listenable(port); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("free loopback port: %w", last)
}

func listenable(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // it never waits
	if err != nil {
		return err
	}
	return l.Close()
}
