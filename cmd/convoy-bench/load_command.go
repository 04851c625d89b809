package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// loadFlags are the settings of a load that every command shares.
type loadFlags struct {
	load
	timeout time.Duration
}

func (f *loadFlags) register(command *cobra.Command, timeout time.Duration) {
	flags := command.Flags()
	flags.IntVar(&f.events, "events", 20_000, "events per closed-loop run")
	flags.IntVar(&f.connections, "connections", 64, "connections of the generator")
	flags.IntVar(&f.payload, "payload", 1024, "bytes of an event's data")
	flags.DurationVar(&f.stall, "stall", 30*time.Second, "give a run up when nothing moves for so long")
	flags.DurationVar(&f.settle, "settle", time.Second, "keep measuring for so long after the last delivery")
	flags.DurationVar(&f.timeout, "timeout", timeout, "end the whole command after this")
	f.eventType = "bench.event"
}

func (f *loadFlags) validate() error {
	switch {
	case f.events < 1 || f.events > maxTallied:
		return fmt.Errorf("--events must be between 1 and %d", maxTallied)
	case f.connections < 1 || f.connections > 10_000:
		return errors.New("--connections must be between 1 and 10000")
	case f.payload < 1 || f.payload > maxBody/2:
		return fmt.Errorf("--payload must be between 1 and %d", maxBody/2)
	case f.rate < 0:
		return errors.New("--rate must not be negative")
	}
	return nil
}

// loadCommand drives a server that somebody else has started.
type loadCommand struct {
	loadFlags
	target      target
	endpointURL string
	listen      string
	sinkURL     string
	duration    time.Duration
	processes   []string
	watched     watched
	json        bool
}

func newLoadCommand() *cobra.Command {
	c := &loadCommand{}
	command := &cobra.Command{
		Use:   "load",
		Short: "Publish events to a running server and measure what arrives",
		Long: "Load makes an endpoint and a catch-all subscription (unless --endpoint names one), publishes events,\n" +
			"counts the deliveries in a sink of its own (or in a `convoy-bench sink`), and prints a report.",
		Example: "  convoy-bench load --url http://127.0.0.1:5005 --project 01J… --api-key CO.… --process server=4711\n" +
			"  convoy-bench load --url http://127.0.0.1:5005 --project 01J… --api-key CO.… --rate 500 --duration 20s",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
			defer cancel()
			return c.run(ctx)
		},
	}
	c.register(command, 30*time.Minute)
	flags := command.Flags()
	flags.StringVar(&c.target.url, "url", "", "server address, such as http://127.0.0.1:5005")
	flags.StringVar(&c.target.project, "project", "", "project id")
	flags.StringVar(&c.target.apiKey, "api-key", "", "API key of the project (or CONVOY_BENCH_API_KEY)")
	flags.StringVar(&c.target.endpointID, "endpoint", "", "id of an existing endpoint at the sink, with a subscription")
	flags.StringVar(&c.endpointURL, "endpoint-url", "", "where the server reaches the sink (default: the sink's own address)")
	flags.StringVar(&c.listen, "listen", "127.0.0.1:0", "address of the sink in this process")
	flags.StringVar(&c.sinkURL, "sink", "", "address of a `convoy-bench sink` to count in instead")
	flags.Float64Var(&c.rate, "rate", 0, "open loop: events per second (0: closed loop)")
	flags.DurationVar(&c.duration, "duration", 0, "open loop: how long, instead of --events")
	flags.StringSliceVar(&c.processes, "process", nil, "name=pid of a process tree to measure (repeatable)")
	flags.StringVar(&c.watched.dsn, "dsn", "", "PostgreSQL whose WAL to measure")
	flags.StringVar(&c.watched.dataDir, "data-dir", "", "directory whose growth to measure")
	flags.BoolVar(&c.json, "json", false, "print the report as JSON")
	for _, name := range []string{"url", "project"} {
		_ = command.MarkFlagRequired(name) // fails only for a flag that does not exist
	}
	return command
}

func (c *loadCommand) run(ctx context.Context) error {
	if c.duration > 0 {
		if c.rate <= 0 {
			return errors.New("--duration needs --rate")
		}
		c.events = int(c.duration.Seconds() * c.rate)
	}
	if err := c.validate(); err != nil {
		return err
	}
	var err error
	if c.watched.processes, err = namedProcesses(c.processes); err != nil {
		return err
	}
	c.target.url = strings.TrimSuffix(c.target.url, "/")
	c.target.apiKey = cmp.Or(c.target.apiKey, os.Getenv("CONVOY_BENCH_API_KEY"))

	var counter receiver
	sinkURL := c.sinkURL
	if c.sinkURL != "" {
		counter = newRemoteSink(c.sinkURL)
	} else {
		s, err := newSink(ctx, c.listen)
		if err != nil {
			return err
		}
		defer s.down()
		counter, sinkURL = s, s.url()
	}
	if c.target.endpointID == "" {
		c.target.endpointID, err = newAPI(c.target).subscribe(ctx, cmp.Or(c.endpointURL, sinkURL))
		if err != nil {
			return err
		}
	}
	m, runErr := measure(ctx, c.target, c.load, c.watched, counter, steps{})
	return errors.Join(runErr, c.print(m))
}

func (c *loadCommand) print(m measurement) error {
	if c.json {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(m)
	}
	_, err := os.Stdout.WriteString(m.text())
	return err
}

// namedProcesses reads name=pid arguments.
func namedProcesses(arguments []string) ([]process, error) {
	var all []process
	for _, argument := range arguments {
		name, text, _ := strings.Cut(argument, "=")
		pid, err := strconv.Atoi(text)
		if err != nil || name == "" || pid < 1 {
			return nil, fmt.Errorf("--process %q: want name=pid", argument)
		}
		all = append(all, process{name: name, pid: pid})
	}
	return all, nil
}
