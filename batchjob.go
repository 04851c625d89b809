package convoy

import (
	"maps"
	"time"
)

// BatchJobID names a batch job; it is a ULID like other ids.
type BatchJobID string

// BatchKind is what a batch job does.
type BatchKind string

const (
	// BatchReplay routes events again.
	BatchReplay BatchKind = "replay"
	// BatchRetry sends deliveries again that did not succeed.
	BatchRetry BatchKind = "retry"
)

// BatchState is where a batch job is in its life.
//
//	queued ─▶ running ─▶ done
//	   ▲         ├─────▶ failed ──┐
//	   └─ paused ◀┘  (either) ────┴─▶ queued
//
// Whatever has not ended can be cancelled.
type BatchState string

const (
	BatchQueued    BatchState = "queued"
	BatchRunning   BatchState = "running"
	BatchPaused    BatchState = "paused"
	BatchCancelled BatchState = "cancelled"
	BatchDone      BatchState = "done"
	// BatchFailed could not go on for a long time; it may be resumed.
	BatchFailed BatchState = "failed"
)

// Ended reports whether a job does nothing more unless it is resumed.
func (s BatchState) Ended() bool {
	return s == BatchCancelled || s == BatchDone || s == BatchFailed
}

// BatchJob is work on many events or deliveries, in the order of their ids, that
// outlives the process that does it.
type BatchJob struct {
	ID        BatchJobID
	ProjectID ProjectID
	Kind      BatchKind
	Filter    BatchFilter
	State     BatchState
	// Reached is the id of the last event or delivery that is done with; empty
	// at the beginning.
	Reached string
	// Matched is how many met the filter when the job was made. Processed counts
	// those done with since: Succeeded and Failed together.
	Matched, Processed, Succeeded, Failed int
	// Reasons counts the failed ones by why.
	Reasons map[string]int
	// Rate is the most that are processed in a second.
	Rate int
	// Owner names who works on the job until LeaseUntil; then anybody may.
	Owner      string
	LeaseUntil time.Time
	// FailingSince is when the job began to fail as a whole; zero when it
	// proceeds. Error says why.
	FailingSince time.Time
	Error        string

	CreatedAt, StartedAt, FinishedAt, UpdatedAt time.Time
}

// Count adds what became of some of the matches.
func (j *BatchJob) Count(succeeded int, failed map[string]int) {
	reasons := maps.Clone(j.Reasons)
	if reasons == nil {
		reasons = make(map[string]int, len(failed))
	}
	for reason, n := range failed {
		reasons[reason] += n
		j.Failed += n
		j.Processed += n
	}
	j.Reasons = reasons // a new map: the old one may be being read
	j.Succeeded += succeeded
	j.Processed += succeeded
}

// BatchFilter selects what a batch job works on; an empty field asks for
// nothing. It is kept and shown as JSON.
type BatchFilter struct {
	Endpoints      []EndpointID     `json:"endpoint_ids,omitempty"`
	Sources        []SourceID       `json:"source_ids,omitempty"`
	Event          EventID          `json:"event_id,omitempty"`
	Subscription   SubscriptionID   `json:"subscription_id,omitempty"`
	EventType      string           `json:"event_type,omitempty"`
	IdempotencyKey string           `json:"idempotency_key,omitempty"`
	BrokerMessage  string           `json:"broker_message_id,omitempty"`
	Statuses       []DeliveryStatus `json:"statuses,omitempty"`
	// From and To bound the time an event was accepted, or replayed, both
	// inclusive, in milliseconds.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}
