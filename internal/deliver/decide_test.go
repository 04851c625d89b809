package deliver

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"convoy"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	// due bounds DueAt-noon; both zero for none.
	type due struct{ from, to time.Duration }
	linear := convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: 10 * time.Second, Limit: 3}
	exponential := convoy.RetryPolicy{Type: convoy.RetryExponential, Interval: 10 * time.Second, Limit: 20}
	seconds := convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: 300 * time.Second, Limit: 3}
	const (
		once  = convoy.AtLeastOnce
		most  = convoy.AtMostOnce
		again = convoy.DeliveryRetry
		fail  = convoy.DeliveryFailure
		ok    = convoy.DeliverySuccess
	)
	tests := []struct {
		name   string
		mode   convoy.DeliveryMode
		policy convoy.RetryPolicy
		trials int // before
		result result
		status convoy.DeliveryStatus
		due    due
		reason string
	}{
		{"200", once, linear, 0, result{status: 200}, ok, due{}, ""},
		{"204", once, linear, 0, result{status: 204}, ok, due{}, ""},
		{"299", once, linear, 0, result{status: 299}, ok, due{}, ""},
		{"success on the last try", once, linear, 2, result{status: 200}, ok, due{}, ""},
		{"success beyond the limit", once, linear, 7, result{status: 200}, ok, due{}, ""},
		{"success at most once", most, linear, 0, result{status: 201}, ok, due{}, ""},
		{"300", once, linear, 0, result{status: 300}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 300"},
		{"302", once, linear, 0, result{status: 302}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 302"},
		{"304", once, linear, 1, result{status: 304}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 304"},
		{"400", once, linear, 0, result{status: 400}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 400"},
		{"410 has no special meaning", once, linear, 0, result{status: 410}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 410"},
		{"500", once, linear, 1, result{status: 500}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 500"},
		{"199", once, linear, 0, result{status: 199}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 199"},
		{"transport error", once, linear, 0, result{err: refused}, again, due{10 * time.Second, 11 * time.Second}, "last try failed: connection refused"},
		{"limit reached", once, linear, 2, result{status: 500}, fail, due{}, "Retry limit exceeded"},
		{"limit reached by an error", once, linear, 2, result{err: refused}, fail, due{}, "Retry limit exceeded"},
		{"beyond the limit", once, linear, 5, result{status: 500}, fail, due{}, "Retry limit exceeded"},
		{"limit of one", once, convoy.RetryPolicy{Type: convoy.RetryLinear, Limit: 1}, 0, result{status: 500}, fail, due{}, "Retry limit exceeded"},
		{"limit of none", once, convoy.RetryPolicy{}, 0, result{status: 500}, fail, due{}, "Retry limit exceeded"},
		{"permanent", once, linear, 0, result{err: errors.New("no form"), permanent: true}, fail, due{}, "no form"},
		{"permanent at most once", most, linear, 0, result{err: errors.New("no form"), permanent: true}, fail, due{}, "no form"},
		{"at most once, answered 500", most, linear, 0, result{status: 500}, fail, due{}, "not retried: delivery mode is at_most_once"},
		{"at most once, answered 302", most, linear, 0, result{status: 302}, fail, due{}, "not retried: delivery mode is at_most_once"},
		{"at most once, answered 429", most, linear, 0, result{status: 429, retryAfter: time.Second}, fail, due{}, "not retried: delivery mode is at_most_once"},
		{"at most once, no answer", most, linear, 0, result{err: refused}, again, due{10 * time.Second, 11 * time.Second}, "last try failed: connection refused"},
		{"at most once, no answer, limit", most, linear, 2, result{err: refused}, fail, due{}, "Retry limit exceeded"},
		{"second exponential", once, exponential, 1, result{status: 500}, again, due{20 * time.Second, 22 * time.Second}, "last try was answered with status 500"},
		{"fourth exponential", once, exponential, 3, result{status: 500}, again, due{80 * time.Second, 85 * time.Second}, "last try was answered with status 500"},
		{"exponential, bounded", once, exponential, 15, result{status: 500}, again, due{7200 * time.Second, 7205 * time.Second}, "last try was answered with status 500"},
		{"fifth linear", once, convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: 10 * time.Second, Limit: 9}, 4, result{status: 500}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 500"},
		{"linear is not bounded", once, convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: 6 * time.Hour, Limit: 9}, 4, result{status: 500}, again, due{6 * time.Hour, 6*time.Hour + 5*time.Second}, "last try was answered with status 500"},
		{"jitter is at most 5 s", once, seconds, 0, result{status: 500}, again, due{300 * time.Second, 305 * time.Second}, "last try was answered with status 500"},
		{"no interval", once, convoy.RetryPolicy{Type: convoy.RetryLinear, Limit: 3}, 0, result{status: 500}, again, due{0, 0}, "last try was answered with status 500"},
		{"Retry-After on 429", once, linear, 0, result{status: 429, retryAfter: time.Minute}, again, due{time.Minute, time.Minute}, "last try was answered with status 429"},
		{"Retry-After on 503", once, linear, 0, result{status: 503, retryAfter: time.Minute}, again, due{time.Minute, time.Minute}, "last try was answered with status 503"},
		{"Retry-After on 500", once, linear, 0, result{status: 500, retryAfter: time.Minute}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 500"},
		{"Retry-After shorter than the delay", once, linear, 0, result{status: 429, retryAfter: time.Second}, again, due{10 * time.Second, 11 * time.Second}, "last try was answered with status 429"},
		{"Retry-After bounded", once, linear, 0, result{status: 503, retryAfter: 1000 * time.Hour}, again, due{7200 * time.Second, 7200 * time.Second}, "last try was answered with status 503"},
		{"Retry-After at the limit", once, linear, 2, result{status: 429, retryAfter: time.Minute}, fail, due{}, "Retry limit exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := convoy.Delivery{
				ID: "D", Mode: tt.mode, Retry: tt.policy, Trials: tt.trials, Status: convoy.DeliveryScheduled,
				Description: "before", DueAt: noon, ClaimAt: noon, AcknowledgedAt: noon.Add(-3 * time.Second),
			}
			kept := before
			for range 50 { // the delay is random
				after := decide(before, tt.result, policy{maxDelay: 7200 * time.Second}, noon)
				want := before
				want.Trials, want.Status, want.Description, want.UpdatedAt = tt.trials+1, tt.status, tt.reason, noon
				want.ClaimAt, want.DueAt = time.Time{}, after.DueAt
				if tt.status == ok {
					want.Latency = 3 * time.Second
				}
				if diff := cmp.Diff(want, after); diff != "" {
					t.Fatalf("outcome (-want +got):\n%s", diff)
				}
				if tt.status != again {
					if !after.DueAt.IsZero() {
						t.Fatalf("due at %v after the end", after.DueAt)
					}
					continue
				}
				if wait := after.DueAt.Sub(noon); wait < tt.due.from || wait > tt.due.to {
					t.Fatalf("due after %v, want between %v and %v", wait, tt.due.from, tt.due.to)
				}
			}
			if diff := cmp.Diff(kept, before); diff != "" {
				t.Errorf("decide changed its argument:\n%s", diff)
			}
		})
	}
}

// TestDecideToTheEnd plays deliveries to their end with arbitrary results.
func TestDecideToTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		maxDelay := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(r, "max"))
		limit := rapid.IntRange(0, 40).Draw(r, "limit")
		d := convoy.Delivery{
			Status: convoy.DeliveryScheduled,
			Mode:   rapid.SampledFrom([]convoy.DeliveryMode{convoy.AtLeastOnce, convoy.AtMostOnce}).Draw(r, "mode"),
			Retry: convoy.RetryPolicy{
				Type:     rapid.SampledFrom([]convoy.RetryType{convoy.RetryLinear, convoy.RetryExponential, ""}).Draw(r, "type"),
				Interval: time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(r, "interval")),
				Limit:    limit,
			},
			AcknowledgedAt: noon,
		}
		results := rapid.Custom(func(r *rapid.T) result {
			switch rapid.IntRange(0, 9).Draw(r, "kind") {
			case 0:
				return result{err: errors.New("permanent"), permanent: true}
			case 1, 2, 3:
				return result{err: errors.New("no answer")}
			default:
				return result{
					status:     rapid.IntRange(100, 599).Draw(r, "status"),
					retryAfter: time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(r, "retry after")),
				}
			}
		})
		now := noon
		for !d.Status.Terminal() {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(r, "later")))
			res := results.Draw(r, "result")
			before := d.Trials
			d = decide(d, res, policy{maxDelay}, now)
			if d.Trials != before+1 {
				r.Fatalf("trials %d after %d", d.Trials, before)
			}
			if d.Status.Terminal() != d.DueAt.IsZero() {
				r.Fatalf("status %s, due at %v", d.Status, d.DueAt)
			}
			if (d.Status == convoy.DeliverySuccess) != res.success() {
				r.Fatalf("status %s after %+v", d.Status, res)
			}
			if !d.ClaimAt.IsZero() {
				r.Fatalf("claim time %v: decide does not set it", d.ClaimAt)
			}
			if d.Trials > max(limit, 1) {
				r.Fatalf("%d tries, the limit is %d", d.Trials, limit)
			}
			if !d.Status.Terminal() {
				bound := maxDelay
				if d.Retry.Type != convoy.RetryExponential { // whose delays do not grow
					bound = max(bound, d.Retry.Interval)
				}
				// Up to a tenth, at most 5 s, is added to the bound.
				if wait, most := d.DueAt.Sub(now), bound+min(bound/10, 5*time.Second); wait < 0 || wait > most {
					r.Fatalf("delay %v, at most %v", wait, most)
				}
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"":                                     0,
		"0":                                    0,
		"1":                                    time.Second,
		"120":                                  2 * time.Minute,
		"2147483647":                           2147483647 * time.Second,
		"2147483648":                           0, // out of any sensible range
		"99999999999999999999":                 0,
		"-1":                                   0,
		"1.5":                                  0,
		"soon":                                 0,
		"Sun, 01 Mar 2026 12:01:30 GMT":        90 * time.Second,
		"Sunday, 01-Mar-26 12:01:30 GMT":       90 * time.Second,
		"Sun, 01 Mar 2026 11:59:00 GMT":        0, // past
		"Sun, 01 Mar 2026 12:00:00 GMT":        0,
		"Sun, 01 Mar 9999 12:00:00 GMT":        time.Duration(1<<63 - 1), // the longest there is; decide bounds it
		"Sun, 01 Mar 2026 12:01:30 +0200 CEST": 0,
	} {
		h := http.Header{}
		if value != "" {
			h.Set("Retry-After", value)
		}
		if got := retryAfter(h, noon); got != want {
			t.Errorf("Retry-After %q = %v, want %v", value, got, want)
		}
	}
}
