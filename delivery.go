package convoy

import (
	"math/rand/v2"
	"time"
)

// DeliveryStatus is where a delivery is in its life. The names are wire values.
//
//	Scheduled ─▶ (Processing) ─▶ Success
//	     │            ├──▶ Retry ─▶ …
//	     │            └──▶ Failure
//	     └──▶ Discarded
//
// Processing is never stored: a delivery in flight is held by a lease, so that
// a crash leaves nothing that looks taken.
type DeliveryStatus string

const (
	DeliveryScheduled  DeliveryStatus = "Scheduled"
	DeliveryProcessing DeliveryStatus = "Processing"
	DeliverySuccess    DeliveryStatus = "Success"
	DeliveryRetry      DeliveryStatus = "Retry"
	DeliveryFailure    DeliveryStatus = "Failure"
	DeliveryDiscarded  DeliveryStatus = "Discarded"
)

// Terminal reports whether nothing more will happen without a resend.
func (s DeliveryStatus) Terminal() bool {
	return s == DeliverySuccess || s == DeliveryFailure || s == DeliveryDiscarded
}

// DeliveryMode says what a try without a known result means.
type DeliveryMode string

const (
	// AtLeastOnce tries again after every failure.
	AtLeastOnce DeliveryMode = "at_least_once"
	// AtMostOnce tries again only when the request never reached the endpoint.
	AtMostOnce DeliveryMode = "at_most_once"
)

// RetryType is the shape of the delays between tries.
type RetryType string

const (
	RetryLinear      RetryType = "linear"
	RetryExponential RetryType = "exponential"
)

// RetryPolicy says how often and when a delivery is tried again. It is copied
// to each delivery, so that a later change of settings leaves it alone.
type RetryPolicy struct {
	Type RetryType
	// Interval is the delay after the first failed try.
	Interval time.Duration
	// Limit counts all tries, the first included.
	Limit int
}

// Delay returns how long to wait after the given number of failed tries
// (1 after the first). Linear keeps the interval; exponential doubles it each
// time up to max, which bounds nothing else. Up to a tenth, at most 5 s, is
// added at random, so that deliveries that failed together do not come back
// together.
func (p RetryPolicy) Delay(failed int, max time.Duration) time.Duration {
	d := p.Interval
	if p.Type == RetryExponential {
		for i := 1; i < failed && d < max; i++ {
			d *= 2
		}
		d = min(d, max)
	}
	if spread := min(d/10, 5*time.Second); spread > 0 {
		d += rand.N(spread)
	}
	return d
}

// Delivery is one event on its way to one endpoint through one subscription.
type Delivery struct {
	ID             DeliveryID
	ProjectID      ProjectID
	EventID        EventID
	EndpointID     EndpointID
	SubscriptionID SubscriptionID
	EventType      string
	// TargetURL is where the last try went, or will go when it differs from
	// the endpoint's URL.
	TargetURL string
	Mode      DeliveryMode
	Status    DeliveryStatus
	// Description says why a delivery failed or was discarded.
	Description string
	Retry       RetryPolicy
	// Trials counts the tries made in the current budget, and Resends the budgets
	// given after the first. Together they never repeat, so they tell an outcome
	// of now from one of a process that slept through a resend.
	Trials, Resends int
	// DueAt is when the next try is due; zero once the status is terminal.
	DueAt time.Time
	// ClaimAt is from when the store offers the delivery to any process. It is
	// zero when the status is terminal, and while the process that routed it is
	// making the first try; see store.SweepFresh for what happens when that
	// process dies.
	ClaimAt time.Time
	// PermitAt is the time for which the rate limits of the delivery have let it
	// through; zero when they have not been asked, or have said no.
	PermitAt time.Time
	// HeldBy is the rate limit in whose line the next try stands or has stood;
	// see [Held].
	HeldBy string
	// Latency is from acknowledgement to success.
	Latency        time.Duration
	AcknowledgedAt time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Job is a delivery together with the event it carries: all that is needed to
// make a try, beside the settings of its endpoint and project.
type Job struct {
	Delivery *Delivery
	Event    *Event
	// Payload is nil when the event's data is sent.
	Payload *Payload
}

// Payload is what is sent in a delivery instead of its event's data: the output
// of its subscription's function.
type Payload struct {
	Delivery DeliveryID
	Data     []byte
	// Failure is why the function had no output. Such a delivery is not sent: the
	// function runs again before it is tried.
	Failure string
}

// Parked is the claim time of a delivery whose endpoint is paused.
var Parked = time.UnixMicro(1<<53 - 1).UTC()

// Held is the claim time of a delivery that stands in the line of a rate limit:
// so many are before it that it has no slot yet.
var Held = Parked.Add(-time.Microsecond)

// Attempt is one HTTP try of a delivery.
type Attempt struct {
	ID         AttemptID
	DeliveryID DeliveryID
	ProjectID  ProjectID
	EndpointID EndpointID
	URL        string
	Method     string
	// IP is the remote address without its port.
	IP              string
	RequestHeaders  map[string][]string
	ResponseHeaders map[string][]string
	// HTTPStatus is the status line's text, "200 OK"; empty without a response.
	HTTPStatus string
	// Response is the beginning of the decoded response body, valid UTF-8.
	Response string
	// Error is the transport error, or why a response was not a success.
	Error       string
	Success     bool
	RequestedAt time.Time
	RespondedAt time.Time
	CreatedAt   time.Time
}
