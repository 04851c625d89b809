package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// text is the report of one measurement for a terminal.
func (m measurement) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, values...))
	}
	row("events", "%d in %v", m.Events, m.Elapsed.Round(time.Millisecond))
	row("accepted", "%d (%.0f/s), rejected %d%s, without an answer %d",
		m.Sent.Accepted, m.AcceptedRate, m.Sent.Rejected, statuses(m.Sent.Statuses), m.Sent.Unknown)
	row("delivered", "%d (%.0f/s), lost %d, duplicates %d, strays %d",
		m.Received.Unique, m.DeliveredRate, m.Lost, m.Received.Duplicates, m.Received.Strays)
	row("accept latency", "%s", m.Sent.Ack)
	row("end-to-end latency", "%s", m.Received.Latency)
	if m.WAL > 0 {
		row("WAL", "%.2f KB per event", m.perEvent(m.WAL)/1e3)
	}
	if m.Grown != 0 {
		row("data directory", "%.2f KB per event", m.perEvent(m.Grown)/1e3)
	}
	for _, p := range m.Processes {
		row(p.Name, "%.3f CPU-s per 1,000 events, memory %s before, %s at most, %.2f KB per event written",
			m.perEvent(int64(p.CPU))/1e6, mebibytes(p.Idle), mebibytes(p.Peak), m.perEvent(p.Written)/1e3)
	}
	_ = w.Flush() // writes to a strings.Builder
	return b.String()
}

// perEvent divides by the delivered events: the ones that all work was for.
func (m measurement) perEvent(total int64) float64 {
	if m.Received.Unique == 0 {
		return 0
	}
	return float64(total) / float64(m.Received.Unique)
}

// harness is the name of this process among the measured ones.
const harness = "generator and sink"

// cpuPerThousand is CPU-seconds per 1,000 events of everything under test: all
// processes but the harness.
func (m measurement) cpuPerThousand() float64 { return m.perEvent(int64(m.cpu())) / 1e6 }

func (m measurement) cpu() time.Duration {
	var total time.Duration
	for _, p := range m.Processes {
		if p.Name != harness {
			total += p.CPU
		}
	}
	return total
}

// memory is the sum of a figure over the processes of the server itself,
// without the harness and the engines.
func (m measurement) memory(figure func(spent) int64) int64 {
	var total int64
	for _, p := range m.Processes {
		if p.Name != harness && p.Name != "postgresql" && p.Name != "redis" {
			total += figure(p)
		}
	}
	return total
}

func (d distribution) String() string {
	return fmt.Sprintf("p50 %s, p95 %s, p99 %s, max %s ms",
		millis(d.P50), millis(d.P95), millis(d.P99), millis(d.Max))
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

func statuses(counts map[int]int) string {
	var parts []string
	for status, n := range counts {
		parts = append(parts, fmt.Sprintf("%d×%d", status, n))
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return " (" + strings.Join(parts, ", ") + ")"
}
