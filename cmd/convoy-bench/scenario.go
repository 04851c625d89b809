package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// scenario is one question, asked of each system in each round.
type scenario struct {
	name     string
	about    string
	ceilings bool // whether the ceilings take part
	run      func(ctx context.Context, b *bench, s system) (result, error)
	columns  []column
}

// result is the outcome of one run of a scenario.
type result struct {
	scenario, system string
	round            int
	err              error
	m                measurement
	took             time.Duration // start: to the first accepted event
	back             time.Time     // outage: when the endpoint was up again
}

func scenarios() []scenario {
	return []scenario{
		{
			name: "closed", ceilings: true, run: runClosed, columns: closedColumns,
			about: "Closed loop on an empty store: each connection sends its next event when the last one is accepted.",
		},
		{
			name: "filtered", ceilings: true, run: runFiltered, columns: againstClosedColumns,
			about: "Closed loop of events to all subscribers: many endpoints, each with a subscription whose filter is on the body, " +
				"of which each event meets one. The ceiling is as in closed: it has no filters.",
		},
		{
			name: "open", ceilings: true, run: runOpen(500), columns: openColumns,
			about: "Open loop at 500 events/s; latency counts from the time at which an event was due to be sent.",
		},
		{
			name: "quiet", ceilings: true, run: runOpen(50), columns: openColumns,
			about: "Open loop at 50 events/s.",
		},
		{
			name: "idle", ceilings: true, run: runIdle, columns: idleColumns,
			about: "Started, with an endpoint, without load.",
		},
		{
			name: "start", ceilings: true, run: runStart, columns: startColumns,
			about: "From the start of the process to the first accepted event: embedded on an empty directory " +
				"(project, endpoint and subscription included), server with migrations applied and an endpoint.",
		},
		{
			name: "outage", run: runOutage, columns: outageColumns,
			about: "The endpoint refuses connections while the events are accepted, and is then back. The drain " +
				"counts from the first delivery.",
		},
		{
			name: "preload", ceilings: true, run: runPreload, columns: againstClosedColumns,
			about: "Closed loop on a store that already holds many delivered events.",
		},
	}
}

func scenarioNames() []string {
	var names []string
	for _, sc := range scenarios() {
		names = append(names, sc.name)
	}
	return names
}

func scenarioNamed(name string) (scenario, error) {
	all := scenarios()
	i := slices.IndexFunc(all, func(sc scenario) bool { return sc.name == name })
	if i < 0 {
		return scenario{}, fmt.Errorf("unknown scenario %q", name)
	}
	return all[i], nil
}

func runClosed(ctx context.Context, b *bench, s system) (result, error) {
	m, err := b.on(ctx, s, nil, func(r *running) (measurement, error) {
		if err := b.warm(ctx, s, r, b.load); err != nil {
			return measurement{}, err
		}
		return measure(ctx, r.target, b.load, r.watched, b.sink, steps{})
	})
	return result{m: m}, err
}

func runOpen(rate float64) func(context.Context, *bench, system) (result, error) {
	return func(ctx context.Context, b *bench, s system) (result, error) {
		m, err := b.on(ctx, s, nil, func(r *running) (measurement, error) {
			if err := b.warm(ctx, s, r, b.load); err != nil {
				return measurement{}, err
			}
			l := b.load
			l.rate, l.events = rate, max(1, int(rate*b.openDuration.Seconds()))
			return measure(ctx, r.target, l, r.watched, b.sink, steps{})
		})
		return result{m: m}, err
	}
}

// idleRest lets the work of starting up end before memory is read.
const idleRest = 2 * time.Second

func runIdle(ctx context.Context, b *bench, s system) (result, error) {
	m, err := b.on(ctx, s, nil, func(r *running) (measurement, error) {
		if err := pause(ctx, idleRest); err != nil {
			return measurement{}, err
		}
		begin := time.Now()
		meter, err := startMeter(ctx, r.watched.processes)
		if err != nil {
			return measurement{}, err
		}
		err = pause(ctx, b.idleDuration)
		processes, endErr := meter.end()
		return measurement{Processes: processes, Elapsed: time.Since(begin)}, errors.Join(err, endErr)
	})
	return result{m: m}, err
}

func runStart(ctx context.Context, b *bench, s system) (_ result, err error) {
	cleanup := context.WithoutCancel(ctx)
	p, err := b.newPlace(ctx, s)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, b.drop(cleanup, p)) }()
	role := "standalone"
	if s.isDistributed() {
		role = "server"
		// The endpoint is part of the store that the measured start finds.
		r, err := b.start(ctx, s, p)
		if err != nil {
			return result{}, err
		}
		if err := r.stop(); err != nil {
			return result{}, err
		}
	}
	begin := time.Now()
	c, err := b.spawn(ctx, s, p, role)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	err = c.poll(ctx, "accepting an event", func(ctx context.Context) error {
		if err := b.subscribe(ctx, s, p, c); err != nil {
			return err
		}
		return newAPI(p.target).publish(ctx, p.target.endpointID, b.payload)
	})
	return result{took: time.Since(begin)}, err
}

func runOutage(ctx context.Context, b *bench, s system) (result, error) {
	var back time.Time
	m, err := b.on(ctx, s, nil, func(r *running) (measurement, error) {
		if err := newAPI(r.target).retryQuickly(ctx, b.outage.retry); err != nil {
			return measurement{}, err
		}
		if err := b.warm(ctx, s, r, b.load); err != nil {
			return measurement{}, err
		}
		b.sink.down()
		isBack := false
		up := func(ctx context.Context) error {
			if err := pause(ctx, b.outage.hold); err != nil {
				return err
			}
			back, isBack = time.Now(), true
			return b.sink.up(ctx)
		}
		l := b.load
		l.events = b.outage.events
		m, err := measure(ctx, r.target, l, r.watched, b.sink, steps{acked: up})
		if !isBack {
			err = errors.Join(err, b.sink.up(context.WithoutCancel(ctx))) // the next run needs it
		}
		return m, err
	})
	return result{m: m, back: back}, err
}

func runPreload(ctx context.Context, b *bench, s system) (result, error) {
	p, err := b.filledPlace(ctx, s)
	if err != nil {
		return result{}, fmt.Errorf("fill: %w", err)
	}
	m, err := b.on(ctx, s, p, func(r *running) (measurement, error) {
		if err := b.warm(ctx, s, r, b.load); err != nil {
			return measurement{}, err
		}
		return measure(ctx, r.target, b.load, r.watched, b.sink, steps{})
	})
	return result{m: m}, err
}
