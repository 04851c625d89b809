package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "convoy"

// Metrics are the metrics of one process. Every child of a metric with labels
// is looked up once, when the Metrics are made, so counting is an atomic
// addition. All of it is safe for concurrent use.
type Metrics struct {
	// Accepted counts events made durable and acknowledged, by intake mode.
	Accepted Accepted
	// Rejected counts events that were not accepted, by reason.
	Rejected Rejected
	// Routed counts events that were routed, by what came of them.
	Routed Routed
	// Attempts counts finished tries of deliveries, by what follows from them.
	Attempts Attempts
	// Limited counts the deliveries that rate limits made wait.
	Limited Limited
	// Notices counts messages to people by what became of them.
	Notices Notices

	// EndToEnd observes the seconds from accepting an event to the success of
	// one of its deliveries, whatever the number of tries.
	EndToEnd prometheus.Histogram
	// Attempt observes the seconds one request to an endpoint took.
	Attempt prometheus.Histogram

	// QueueDepth is the number of deliveries in the queue.
	QueueDepth prometheus.Gauge
	// QueueOldestDue is the age, in seconds, of the delivery that has been due
	// for longest; 0 when none is due.
	QueueOldestDue prometheus.Gauge
	// StreamBacklog is the number of accepted events that wait to be routed.
	StreamBacklog prometheus.Gauge
	// InFlight is the number of requests to endpoints that this process waits for.
	InFlight prometheus.Gauge
	// Buffered is the number of deliveries this process holds in memory and has
	// not begun.
	Buffered prometheus.Gauge

	// Intake, Route and Record are the batches written at each stage: events
	// accepted, events with their deliveries, attempts with outcomes.
	Intake, Route, Record Batch

	// SchedulerLeader is 1 in the process that does the periodic work, else 0.
	SchedulerLeader prometheus.Gauge
	// Swept counts what periodic work put right, by kind.
	Swept Swept

	registry     *prometheus.Registry
	httpRequests *prometheus.CounterVec
	httpSeconds  *prometheus.HistogramVec
}

// Accepted are the modes of intake.
type Accepted struct{ Stored, Queued prometheus.Counter }

// Rejected are the reasons for refusing an event.
type Rejected struct {
	Invalid      prometheus.Counter // body or parameters are wrong
	Unauthorized prometheus.Counter // credential is missing, wrong or without the right
	NotFound     prometheus.Counter // no such project or source
	TooLarge     prometheus.Counter // body over the limit
	Limited      prometheus.Counter // over a rate
	Unavailable  prometheus.Counter // could not be made durable, or the backlog is full
	Internal     prometheus.Counter // a fault of ours
}

// Routed are the results of routing an event.
type Routed struct {
	Delivered prometheus.Counter // at least one delivery
	Unmatched prometheus.Counter // no subscription matched
	Duplicate prometheus.Counter // idempotency key seen before
}

// Attempts are the outcomes of a try.
type Attempts struct {
	Success   prometheus.Counter // the endpoint took it
	Retry     prometheus.Counter // another try is scheduled
	Failure   prometheus.Counter // it was the last try
	Discarded prometheus.Counter // given up without a request
}

// Limited are the ways to wait for a slot of a rate limit.
type Limited struct {
	Reserved prometheus.Counter // has a slot, and comes back at its time
	Held     prometheus.Counter // stands in line in the store
}

// Notices are the ends of a message.
type Notices struct {
	Sent   prometheus.Counter
	Failed prometheus.Counter // given up
}

// Batch observes the batches of one stage.
type Batch struct{ Items, Seconds prometheus.Observer }

// Observe records a batch of items that took d.
func (b Batch) Observe(items int, d time.Duration) {
	b.Items.Observe(float64(items))
	b.Seconds.Observe(d.Seconds())
}

// Swept are the kinds of things that periodic work finds.
type Swept struct {
	Due        prometheus.Counter // due deliveries that no queue held, put back
	Stuck      prometheus.Counter // deliveries whose process never finished them, put back
	Unrouted   prometheus.Counter // accepted events that had not been routed
	Keys       prometheus.Counter // idempotency keys past their window, deleted
	Partitions prometheus.Counter // partitions made ahead
	Indexed    prometheus.Counter // events indexed for searches
}

var (
	// A delivery takes a millisecond when all is well, and hours of retries when not.
	endToEndBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	// The time-out of an endpoint is at most a minute or so.
	attemptBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	batchBuckets   = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}
	// A commit is a fraction of a millisecond on a good disk; a request is little more.
	workBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// NewMetrics returns metrics with a registry of their own, which also has those
// of the Go runtime and of the process.
func NewMetrics() *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return build(registry, registry)
}

// Discard returns metrics that work and that nobody sees, for tests.
func Discard() *Metrics { return build(prometheus.NewRegistry(), nil) }

// build makes the metrics and registers them with to, unless that is nil.
func build(registry *prometheus.Registry, to prometheus.Registerer) *Metrics {
	f := factory{promauto.With(to)}
	accepted := f.counters("events_accepted_total", "Events made durable and acknowledged.", "mode")
	rejected := f.counters("events_rejected_total", "Events that were not accepted.", "reason")
	routed := f.counters("events_routed_total", "Events that were routed.", "result")
	attempts := f.counters("delivery_attempts_total", "Finished tries of deliveries.", "outcome")
	limited := f.counters("deliveries_limited_total", "Deliveries that rate limits made wait.", "kind")
	notices := f.counters("notices_total", "Messages to people.", "outcome")
	swept := f.counters("swept_total", "Things that periodic work put right.", "kind")
	items := f.histograms("batch_items", "Items written together.", batchBuckets, "stage")
	seconds := f.histograms("batch_seconds", "Time to write a batch.", workBuckets, "stage")
	batch := func(stage string) Batch {
		return Batch{Items: items.WithLabelValues(stage), Seconds: seconds.WithLabelValues(stage)}
	}
	return &Metrics{
		Accepted: Accepted{Stored: accepted("stored"), Queued: accepted("queued")},
		Rejected: Rejected{
			Invalid: rejected("invalid"), Unauthorized: rejected("unauthorized"), NotFound: rejected("not_found"),
			TooLarge: rejected("too_large"), Limited: rejected("limited"), Unavailable: rejected("unavailable"),
			Internal: rejected("internal"),
		},
		Routed: Routed{Delivered: routed("delivered"), Unmatched: routed("unmatched"), Duplicate: routed("duplicate")},
		Attempts: Attempts{
			Success: attempts("success"), Retry: attempts("retry"),
			Failure: attempts("failure"), Discarded: attempts("discarded"),
		},
		Limited:         Limited{Reserved: limited("reserved"), Held: limited("held")},
		Notices:         Notices{Sent: notices("sent"), Failed: notices("failed")},
		EndToEnd:        f.histogram("end_to_end_seconds", "Time from accepting an event to a successful delivery.", endToEndBuckets),
		Attempt:         f.histogram("attempt_seconds", "Time of a request to an endpoint.", attemptBuckets),
		QueueDepth:      f.gauge("queue_depth", "Deliveries in the queue."),
		QueueOldestDue:  f.gauge("queue_oldest_due_seconds", "Age of the delivery that has been due for longest."),
		StreamBacklog:   f.gauge("stream_backlog", "Accepted events that wait to be routed."),
		InFlight:        f.gauge("deliveries_in_flight", "Requests to endpoints that are waited for."),
		Buffered:        f.gauge("deliveries_buffered", "Deliveries in memory that have not begun."),
		Intake:          batch("intake"),
		Route:           batch("route"),
		Record:          batch("record"),
		SchedulerLeader: f.gauge("scheduler_leader", "Whether this process does the periodic work."),
		Swept: Swept{
			Due: swept("due"), Stuck: swept("stuck"), Unrouted: swept("unrouted"),
			Keys: swept("idempotency_keys"), Partitions: swept("partitions"), Indexed: swept("indexed"),
		},
		registry: registry,
		httpRequests: f.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "http_requests_total", Help: "Requests that were served.",
		}, []string{"route", "method", "code"}),
		httpSeconds: f.histograms("http_request_seconds", "Time to serve a request.", workBuckets, "route"),
	}
}

// Handler serves the metrics in the exposition formats of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		// Prometheus, a spare one and a curious person.
		MaxRequestsInFlight: 3,
		Timeout:             10 * time.Second,
	})
}

// factory makes metrics in the namespace.
type factory struct{ promauto.Factory }

// counters returns a function that looks up the counter of a label's value.
func (f factory) counters(name, help, label string) func(value string) prometheus.Counter {
	vec := f.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	return func(value string) prometheus.Counter { return vec.WithLabelValues(value) }
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return f.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return f.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
}

func (f factory) histograms(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
	return f.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, []string{label})
}
