package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"convoy/internal/testenv"
)

// bench compares several systems in several scenarios, in interleaved rounds:
// the speed of a shared machine drifts by more than the differences of
// interest, so only neighbours in time are comparable.
type bench struct {
	loadFlags
	only      []string
	scenarios []string
	rounds    int
	warmup    int
	out       string
	convoy    string // path of the binary under test
	keep      bool

	openDuration time.Duration
	idleDuration time.Duration
	outage       outageFlags
	preloaded    int
	filters      int

	systems  []system
	dir      string
	places   int
	sink     *sink
	postgres *testenv.Postgres
	redis    *testenv.Redis
	key      string            // of the secrets of systems on PostgreSQL
	filled   map[string]*place // by system
	results  []result
}

// outageFlags describe the scenario with an endpoint that is down.
type outageFlags struct {
	events int
	hold   time.Duration // from the last acknowledgement until the endpoint is back
	retry  time.Duration
}

func newAllCommand() *cobra.Command {
	b := &bench{}
	command := &cobra.Command{
		Use:   "all",
		Short: "Build Convoy, start private servers, and compare it with the ceiling",
		Long: "All builds convoy, starts private PostgreSQL and Redis servers, runs every scenario on every system in\n" +
			"interleaved rounds, and prints tables with each round, medians, and the ratio to the ceiling.\n" +
			"A system is left out of a scenario that it has no part in (the ceilings neither retry nor idle).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context()) },
	}
	b.flags(command, scenarioNames())
	command.Flags().StringSliceVar(&b.only, "only", []string{"embedded", "queued", "stored"},
		"systems to measure, with the ceilings of their engines")
	command.Flags().StringVar(&b.convoy, "convoy", "", "binary to measure (default: build it)")
	return command
}

// flags registers what `all` and `ceiling` share.
func (b *bench) flags(command *cobra.Command, scenarios []string) {
	b.register(command, 3*time.Hour)
	flags := command.Flags()
	flags.IntVar(&b.rounds, "rounds", 3, "interleaved rounds per scenario")
	flags.StringSliceVar(&b.scenarios, "scenario", scenarios, "scenarios to run: "+strings.Join(scenarioNames(), ", "))
	flags.IntVar(&b.warmup, "warmup", 1000, "events before each measurement")
	flags.StringVar(&b.out, "out", "", "also write the report to this file")
	flags.BoolVar(&b.keep, "keep", false, "keep the working directory with logs and data")
	flags.DurationVar(&b.openDuration, "open-duration", 20*time.Second, "length of an open-loop run")
	flags.DurationVar(&b.idleDuration, "idle-duration", 10*time.Second, "length of an idle run")
	flags.IntVar(&b.outage.events, "outage-events", 10_000, "events accepted while the endpoint is down")
	flags.DurationVar(&b.outage.hold, "outage-hold", 5*time.Second, "how long the endpoint stays down after the last event")
	flags.DurationVar(&b.outage.retry, "outage-retry", time.Second, "retry interval of the project in an outage")
	flags.IntVar(&b.filters, "filters", 1000, "endpoints with a filtered subscription in a filtered run")
	flags.IntVar(&b.preloaded, "preload-events", 1_000_000, "events stored before a preload run")
}

func (b *bench) run(ctx context.Context) error {
	if err := b.choose(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.timeout, fmt.Errorf("not done within --timeout %v", b.timeout))
	defer cancel()
	err := b.prepare(ctx)
	if err == nil {
		err = b.compare(ctx)
	}
	if len(b.results) > 0 {
		err = errors.Join(err, b.publish(context.WithoutCancel(ctx)))
	}
	keep := b.keep || err != nil
	if keep && b.dir != "" {
		fmt.Fprintln(os.Stderr, "logs and data are in", b.dir)
	}
	return errors.Join(err, b.close(keep))
}

// choose resolves and checks the flags.
func (b *bench) choose() error {
	if err := b.validate(); err != nil {
		return err
	}
	if b.rounds < 1 || b.warmup < 1 || b.outage.events < 1 || b.preloaded < 1 {
		return errors.New("--rounds, --warmup, --outage-events and --preload-events must be positive")
	}
	if b.filters < 1 || b.filters > maxGroups {
		return fmt.Errorf("--filters must be between 1 and %d", maxGroups)
	}
	for _, name := range b.scenarios {
		if _, err := scenarioNamed(name); err != nil {
			return err
		}
	}
	chosen := map[string]bool{}
	for _, name := range b.only {
		s, err := systemNamed(name)
		if err != nil {
			return err
		}
		chosen[s.name] = true
		if !s.isCeiling() {
			chosen[s.ceiling] = true
		}
	}
	for _, s := range systems {
		if chosen[s.name] {
			b.systems = append(b.systems, s)
		}
	}
	b.filled = map[string]*place{}
	return nil
}

// compare runs every scenario in rounds. A failed run is part of the report
// and does not keep the others from running.
func (b *bench) compare(ctx context.Context) error {
	var failures []error
	for _, name := range b.scenarios {
		sc, err := scenarioNamed(name)
		if err != nil {
			return err
		}
		for round := range b.rounds {
			for i := range b.systems {
				s := b.systems[(i+round)%len(b.systems)] // nobody is always the first
				if s.isCeiling() && !sc.ceilings {
					continue
				}
				fmt.Fprintf(os.Stderr, "%s  %s, round %d of %d: %s\n",
					time.Now().Format(time.TimeOnly), sc.name, round+1, b.rounds, s.name)
				r, err := sc.run(ctx, b, s)
				r.scenario, r.system, r.round, r.err = sc.name, s.name, round+1, err
				b.results = append(b.results, r)
				if err != nil {
					err = fmt.Errorf("%s, %s, round %d: %w", sc.name, s.name, round+1, err)
					fmt.Fprintln(os.Stderr, err)
					failures = append(failures, err)
				}
				if ctx.Err() != nil {
					return errors.Join(append(failures, context.Cause(ctx))...)
				}
			}
		}
	}
	if len(failures) > 0 {
		return fmt.Errorf("%d of %d runs failed", len(failures), len(b.results))
	}
	return nil
}

// on runs a measurement on a started, warmed-up system. A nil place is a new
// store, removed afterwards.
func (b *bench) on(ctx context.Context, s system, p *place, do func(*running) (measurement, error)) (_ measurement, err error) {
	cleanup := context.WithoutCancel(ctx)
	if p == nil {
		if p, err = b.newPlace(ctx, s); err != nil {
			return measurement{}, err
		}
		defer func() { err = errors.Join(err, b.drop(cleanup, p)) }()
	}
	r, err := b.start(ctx, s, p)
	if err != nil {
		return measurement{}, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	return do(r)
}

// warm brings connections, caches and the first pages of each table into
// place, so that a short run does not measure them.
func (b *bench) warm(ctx context.Context, s system, r *running, l load) error {
	if !s.sqlite {
		// A checkpoint in the middle of one run only would be its bad luck.
		if err := b.sql(ctx, "postgres", "CHECKPOINT"); err != nil {
			return err
		}
	}
	l.events, l.rate, l.settle = b.warmup, 0, 300*time.Millisecond
	if _, err := measure(ctx, r.target, l, watched{}, b.sink, steps{}); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	return nil
}

// systemNames lists the systems with a result in a scenario, in a fixed order.
func (b *bench) systemNames(scenario string) []string {
	var names []string
	for _, s := range b.systems {
		if slices.ContainsFunc(b.results, func(r result) bool { return r.scenario == scenario && r.system == s.name }) {
			names = append(names, s.name)
		}
	}
	return names
}
