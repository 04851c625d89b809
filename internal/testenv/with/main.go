// Command with runs another command, usually a test run, with a private PostgreSQL and a private
// Redis beside it, and stops both when the command ends:
//
//	go run ./internal/testenv/with -- go test ./...
//
// The command finds the servers in CONVOY_TEST_POSTGRES_DSN and CONVOY_TEST_REDIS_ADDR and gets
// CI=true, so a test that misses a server fails instead of being skipped. It has no standard input,
// and signals that arrive here are passed on to it and to its children. The exit status is the
// command's, or 128 and the number of the signal that ended it.
//
// With -count the command must be `go test` with its flags. Its output is then cut down to one line
// for each package and the full output of each failure, and the last line counts the tests:
// "N passed, N failed, N skipped", where subtests are tests. A run without a single test fails.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"convoy/internal/testenv"
)

const (
	exitFailed = 1   // a test failed, although go test says otherwise, or there was none
	exitUsage  = 2   // this command was called in a wrong way
	exitServer = 125 // a server does not start or stop, or the command cannot be run
	exitSignal = 128 // plus the signal that ended the command
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

type options struct {
	count   bool
	fsync   bool
	command []string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("with", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.count, "count", false, "the command is `go test`: print what failed, and count")
	flags.BoolVar(&o.fsync, "fsync", false, "let PostgreSQL write through to the disk, which tests do not need and which is slow")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: with [flags] -- command [arguments]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	o.command = flags.Args()
	if len(o.command) == 0 {
		flags.Usage()
		return options{}, errors.New("no command")
	}
	if o.count {
		if len(o.command) < 2 || o.command[0] != "go" || o.command[1] != "test" {
			return options{}, errors.New("-count needs a command that starts with `go test`")
		}
		o.command = slices.Insert(slices.Clone(o.command), 2, "-json")
	}
	return o, nil
}

// run does the work of main and returns the exit status.
func run(args []string, stdout, stderr io.Writer) (status int) {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "with:", err)
		return exitUsage
	}
	// From here on, no signal ends this process before it has stopped what it started.
	signals := make(chan os.Signal, 8) // somebody who sends more than 8 in a row means the same
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	env, stop, err := startServers(o.fsync)
	if err != nil {
		fmt.Fprintln(stderr, "with:", err)
		return exitServer
	}
	defer func() {
		if err := stop(); err != nil {
			fmt.Fprintln(stderr, "with:", err)
			status = max(status, exitServer)
		}
	}()
	select {
	case sig := <-signals:
		return exitSignal + int(sig.(syscall.Signal))
	default:
	}
	status, err = runCommand(o, env, signals, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "with:", err)
	}
	return status
}

// startServers starts the servers and returns what to add to the environment, and how to stop them.
func startServers(fsync bool) (env []string, stop func() error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	settings := map[string]string{"max_connections": "500"} // many packages, many pools
	if !fsync {
		settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"] = "off", "off", "off"
	}
	pg, err := testenv.StartPostgres(ctx, testenv.Options{Settings: settings})
	if err != nil {
		return nil, nil, err
	}
	redis, err := testenv.StartRedis(ctx, testenv.Options{})
	if err != nil {
		return nil, nil, errors.Join(err, pg.Close())
	}
	env = []string{
		"CONVOY_TEST_POSTGRES_DSN=" + pg.DSN("postgres"),
		"CONVOY_TEST_REDIS_ADDR=" + redis.Addr(),
		"CI=true",
	}
	return env, func() error { return errors.Join(redis.Close(), pg.Close()) }, nil
}

// runCommand runs the command to its end and returns the exit status.
func runCommand(o options, env []string, signals <-chan os.Signal, stdout, stderr io.Writer) (int, error) {
	cmd := exec.Command(o.command[0], o.command[1:]...) //nolint:noctx // signals end it, see below
	cmd.Env = append(os.Environ(), env...)              // the last value of a name counts
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = commandAttributes()

	var events io.ReadCloser
	if o.count {
		cmd.Stdout = nil
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			return exitServer, fmt.Errorf("output of %s: %w", o.command[0], err)
		}
		events = pipe
	}
	// The command dies with the thread that starts it, see commandAttributes.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return exitServer, fmt.Errorf("start %s: %w", o.command[0], err)
	}
	ended := make(chan struct{})
	forwarded := make(chan struct{})
	go func() {
		defer close(forwarded)
		for {
			select {
			case sig := <-signals:
				// An error means that it has just ended.
				_ = signalCommand(cmd.Process, sig.(syscall.Signal))
			case <-ended:
				return
			}
		}
	}()
	counts := newTally(stdout)
	var readErr error
	if o.count {
		readErr = counts.read(bufio.NewReader(events))
	}
	waitErr := cmd.Wait()
	close(ended)
	<-forwarded

	status := exitStatus(cmd.ProcessState)
	if o.count {
		counts.finish()
		if status == 0 && !counts.good() {
			status = exitFailed
		}
	}
	if exit := new(exec.ExitError); errors.As(waitErr, &exit) {
		waitErr = nil // it is the status
	}
	if err := errors.Join(readErr, waitErr); err != nil {
		return max(status, exitFailed), fmt.Errorf("run %s: %w", o.command[0], err)
	}
	return status, nil
}
