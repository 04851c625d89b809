package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// column is one figure of a scenario's table.
type column struct {
	name   string
	format string
	value  func(b *bench, r result) float64
	// plain leaves the ratio to the ceiling out: for counts of faults, and for
	// figures that are ratios themselves.
	plain bool
}

func figure(name, format string, value func(m measurement) float64) column {
	return column{name: name, format: format, value: func(_ *bench, r result) float64 { return value(r.m) }}
}

func count(name string, value func(m measurement) float64) column {
	c := figure(name, "%.0f", value)
	c.plain = true
	return c
}

func inMillis(d time.Duration) float64 { return float64(d) / 1e6 }

var (
	latencyColumns = []column{
		figure("e2e p50 ms", "%.2f", func(m measurement) float64 { return inMillis(m.Received.Latency.P50) }),
		figure("e2e p95 ms", "%.2f", func(m measurement) float64 { return inMillis(m.Received.Latency.P95) }),
		figure("e2e p99 ms", "%.2f", func(m measurement) float64 { return inMillis(m.Received.Latency.P99) }),
		figure("accept p50 ms", "%.2f", func(m measurement) float64 { return inMillis(m.Sent.Ack.P50) }),
		figure("accept p99 ms", "%.2f", func(m measurement) float64 { return inMillis(m.Sent.Ack.P99) }),
	}
	faultColumns = []column{
		count("lost", func(m measurement) float64 { return float64(m.Lost) }),
		count("duplicates", func(m measurement) float64 { return float64(m.Received.Duplicates) }),
		count("rejected", func(m measurement) float64 { return float64(m.Sent.Rejected) }),
		count("unanswered", func(m measurement) float64 { return float64(m.Sent.Unknown) }),
	}
	rateColumns = []column{
		figure("accepted/s", "%.0f", func(m measurement) float64 { return m.AcceptedRate }),
		figure("delivered/s", "%.0f", func(m measurement) float64 { return m.DeliveredRate }),
	}
	costColumns = []column{
		figure("CPU-s/1,000", "%.3f", measurement.cpuPerThousand),
		figure("peak MiB", "%.0f", func(m measurement) float64 {
			return float64(m.memory(func(p spent) int64 { return p.Peak })) / (1 << 20)
		}),
	}
	storageColumns = []column{
		figure("WAL KB/event", "%.2f", func(m measurement) float64 { return m.perEvent(m.WAL) / 1e3 }),
		figure("files KB/event", "%.2f", func(m measurement) float64 { return m.perEvent(m.Grown) / 1e3 }),
		figure("written KB/event", "%.2f", func(m measurement) float64 {
			var total int64
			for _, p := range m.Processes {
				if p.Name != harness {
					total += p.Written
				}
			}
			return m.perEvent(total) / 1e3
		}),
	}

	closedColumns        = slices.Concat(rateColumns, latencyColumns, costColumns, storageColumns, faultColumns)
	againstClosedColumns = slices.Concat(rateColumns, []column{
		{name: "delivered ÷ closed", format: "%.2f", plain: true, value: func(b *bench, r result) float64 {
			return ratio(r.m.DeliveredRate, b.median("closed", r.system, rateColumns[1]))
		}},
	}, latencyColumns, costColumns, storageColumns, faultColumns)
	openColumns = slices.Concat(latencyColumns, costColumns, rateColumns, faultColumns)
	idleColumns = []column{
		figure("memory MiB", "%.0f", func(m measurement) float64 {
			return float64(m.memory(func(p spent) int64 { return p.Idle })) / (1 << 20)
		}),
		figure("CPU ms/s", "%.2f", func(m measurement) float64 {
			if m.Elapsed == 0 {
				return 0
			}
			return inMillis(m.cpu()) / m.Elapsed.Seconds()
		}),
	}
	startColumns = []column{
		{name: "seconds", format: "%.3f", value: func(_ *bench, r result) float64 { return r.took.Seconds() }},
	}
	outageColumns = slices.Concat([]column{
		rateColumns[0],
		{name: "accepted ÷ closed", format: "%.2f", plain: true, value: func(b *bench, r result) float64 {
			return ratio(r.m.AcceptedRate, b.median("closed", r.system, rateColumns[0]))
		}},
		{name: "drain/s", format: "%.0f", value: func(_ *bench, r result) float64 { return r.drain() }},
		{name: "drain ÷ closed", format: "%.2f", plain: true, value: func(b *bench, r result) float64 {
			return ratio(r.drain(), b.median("closed", r.system, rateColumns[1]))
		}},
		{name: "first after s", format: "%.2f", value: func(_ *bench, r result) float64 { return r.sinceBack(r.m.Received.First) }},
		{name: "all after s", format: "%.2f", value: func(_ *bench, r result) float64 { return r.sinceBack(r.m.Received.Last) }},
	}, costColumns, storageColumns, faultColumns)
)

// drain is the rate of deliveries from the first to the last.
func (r result) drain() float64 {
	return perSecond(r.m.Received.Unique, r.m.Received.First, r.m.Received.Last)
}

// sinceBack is seconds from the return of the endpoint to a time in Unix
// nanoseconds.
func (r result) sinceBack(unixNano int64) float64 {
	if r.back.IsZero() || unixNano == 0 {
		return 0
	}
	return time.Unix(0, unixNano).Sub(r.back).Seconds()
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// of returns the successful results of a system in a scenario.
func (b *bench) of(scenario, system string) []result {
	var found []result
	for _, r := range b.results {
		if r.scenario == scenario && r.system == system && r.err == nil {
			found = append(found, r)
		}
	}
	return found
}

// median is over the rounds that succeeded; 0 when none did.
func (b *bench) median(scenario, system string, c column) float64 {
	var values []float64
	for _, r := range b.of(scenario, system) {
		values = append(values, c.value(b, r))
	}
	return median(values)
}

// publish prints the report and writes it to --out.
func (b *bench) publish(ctx context.Context) error {
	text := b.markdown(ctx)
	if _, err := os.Stdout.WriteString(text); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	if b.out == "" {
		return nil
	}
	if err := os.WriteFile(b.out, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (b *bench) markdown(ctx context.Context) string {
	var w strings.Builder
	fmt.Fprintf(&w, "# Benchmark\n\n%s. %s. %d-byte payloads, %d connections, %d events per closed-loop run after %d to warm up, one endpoint; "+
		"generator and sink on the same machine. PostgreSQL: %s, everything durable on. SQLite: WAL, synchronous=FULL.\n",
		time.Now().UTC().Format("2006-01-02 15:04 MST"), b.machine(ctx), b.payload, b.connections, b.events, b.warmup, settingsText())
	for _, name := range b.scenarios {
		sc, err := scenarioNamed(name)
		if err != nil || len(b.systemNames(name)) == 0 {
			continue
		}
		fmt.Fprintf(&w, "\n## %s\n\n%s\n\n", sc.name, sc.about)
		b.table(&w, sc)
		b.processTable(&w, sc)
		b.failures(&w, sc)
	}
	return w.String()
}

func (b *bench) table(w *strings.Builder, sc scenario) {
	columns := slices.DeleteFunc(slices.Clone(sc.columns), func(c column) bool { return b.alwaysZero(sc, c) })
	row := func(cells ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	head, rule := []string{"system", "round"}, []string{"---", "---"}
	for _, c := range columns {
		head, rule = append(head, c.name), append(rule, "---:")
	}
	row(head...)
	row(rule...)
	for _, name := range b.systemNames(sc.name) {
		for _, r := range b.of(sc.name, name) {
			cells := []string{name, fmt.Sprint(r.round)}
			for _, c := range columns {
				cells = append(cells, fmt.Sprintf(c.format, c.value(b, r)))
			}
			row(cells...)
		}
		s, err := systemNamed(name)
		if err != nil || len(b.of(sc.name, name)) == 0 {
			continue
		}
		middle, ratios := []string{name, "**median**"}, []string{name, "**÷ " + s.ceiling + "**"}
		for _, c := range columns {
			value := b.median(sc.name, name, c)
			middle = append(middle, "**"+fmt.Sprintf(c.format, value)+"**")
			cell := ""
			if limit := b.median(sc.name, s.ceiling, c); !c.plain && limit != 0 {
				cell = fmt.Sprintf("**%.2f**", value/limit)
			}
			ratios = append(ratios, cell)
		}
		row(middle...)
		if len(b.of(sc.name, s.ceiling)) > 0 {
			row(ratios...)
		}
	}
}

// alwaysZero reports whether a figure says nothing in a scenario, such as the
// WAL of systems on SQLite. Counts of faults are shown even so.
func (b *bench) alwaysZero(sc scenario, c column) bool {
	if c.plain {
		return false
	}
	return !slices.ContainsFunc(b.results, func(r result) bool {
		return r.scenario == sc.name && r.err == nil && c.value(b, r) != 0
	})
}

// processTable shows what each process used, as medians over the rounds.
func (b *bench) processTable(w *strings.Builder, sc scenario) {
	var rows strings.Builder
	for _, system := range b.systemNames(sc.name) {
		results := b.of(sc.name, system)
		if len(results) == 0 {
			continue
		}
		for i, p := range results[0].m.Processes {
			over := func(value func(m measurement, s spent) float64) float64 {
				var values []float64
				for _, r := range results {
					values = append(values, value(r.m, r.m.Processes[i]))
				}
				return median(values)
			}
			fmt.Fprintf(&rows, "| %s | %s | %.3f | %.1f | %.0f | %.0f |\n", system, p.Name,
				over(func(m measurement, s spent) float64 { return m.perEvent(int64(s.CPU)) / 1e6 }),
				over(func(m measurement, s spent) float64 { return 100 * ratio(s.CPU.Seconds(), m.Elapsed.Seconds()) }),
				over(func(_ measurement, s spent) float64 { return float64(s.Idle) / (1 << 20) }),
				over(func(_ measurement, s spent) float64 { return float64(s.Peak) / (1 << 20) }))
		}
	}
	if rows.Len() > 0 {
		fmt.Fprintf(w, "\n| system | process | CPU-s/1,000 | CPU %% of a core | MiB before | MiB peak |\n"+
			"| --- | --- | ---: | ---: | ---: | ---: |\n%s", rows.String())
	}
}

func (b *bench) failures(w *strings.Builder, sc scenario) {
	for _, r := range b.results {
		if r.scenario == sc.name && r.err != nil {
			first, _, _ := strings.Cut(r.err.Error(), "\n")
			fmt.Fprintf(w, "\n**Failed**: %s, round %d: %s\n", r.system, r.round, first)
		}
	}
}

// machine describes where the figures are from.
func (b *bench) machine(ctx context.Context) string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU()), runtime.GOOS + "/" + runtime.GOARCH, runtime.Version()}
	if b.convoy != "" {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if text, err := exec.CommandContext(ctx, b.convoy, "version").Output(); err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
			parts = append(parts, first)
		}
	}
	return strings.Join(parts, ", ")
}

func settingsText() string {
	var parts []string
	for name, value := range postgresSettings {
		parts = append(parts, name+"="+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
