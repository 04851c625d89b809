package deliver

import (
	"net/http"
	"strconv"
	"time"

	"convoy"
)

// result is what came of one request.
type result struct {
	// status is the HTTP status, 0 without a response.
	status     int
	retryAfter time.Duration
	err        error
	// permanent marks an err that another try would meet again.
	permanent bool
}

func (r result) success() bool { return r.err == nil && r.status >= 200 && r.status <= 299 }

// policy is what decide needs beside the delivery.
type policy struct {
	// maxDelay bounds delays that grow, and what Retry-After may ask for.
	maxDelay time.Duration
}

// Texts of Delivery.Description.
const (
	reasonExhausted = "Retry limit exceeded"
	reasonAtMost    = "not retried: delivery mode is at_most_once"
)

// decide returns d as it is after a try with result r. It is the whole retry
// rule:
//
//   - 2xx is a success and nothing else is.
//   - at_most_once is tried again only when no response came.
//   - A failure that another try would meet again ends the delivery.
//   - Otherwise it is tried again after its policy's delay, or after what the
//     endpoint asked for with Retry-After on 429 or 503 when that is longer,
//     until the policy's limit of tries.
func decide(d convoy.Delivery, r result, p policy, now time.Time) convoy.Delivery {
	d.Trials++
	d.UpdatedAt = now
	d.DueAt, d.ClaimAt, d.PermitAt, d.HeldBy = time.Time{}, time.Time{}, time.Time{}, ""
	switch {
	case r.success():
		d.Status, d.Description = convoy.DeliverySuccess, ""
		d.Latency = now.Sub(d.AcknowledgedAt)
	case r.permanent:
		d.Status, d.Description = convoy.DeliveryFailure, cleanText(r.err.Error())
	case d.Mode == convoy.AtMostOnce && r.status != 0:
		d.Status, d.Description = convoy.DeliveryFailure, reasonAtMost
	case d.Trials >= d.Retry.Limit:
		d.Status, d.Description = convoy.DeliveryFailure, reasonExhausted
	default:
		delay := d.Retry.Delay(d.Trials, p.maxDelay)
		if r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable {
			delay = max(delay, min(r.retryAfter, p.maxDelay))
		}
		d.Status, d.DueAt = convoy.DeliveryRetry, now.Add(delay)
		if r.err != nil {
			d.Description = "last try failed: " + cleanText(r.err.Error())
		} else {
			d.Description = "last try was answered with status " + strconv.Itoa(r.status)
		}
	}
	return d
}

// retryAfter reads the header of RFC 9110 §10.2.3: seconds or an HTTP date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
