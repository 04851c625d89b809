package telemetry

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// HTTPRoute counts the requests of one HTTP route. Make it once, when the route is
// registered.
type HTTPRoute struct {
	seconds prometheus.Observer
	byCode  *prometheus.CounterVec // curried: only the code is left
	// known holds the codes answered so far: a handful, so looking through them
	// is faster than hashing labels. It is replaced, never changed.
	known atomic.Pointer[[]codeCounter]
}

type codeCounter struct {
	code    int
	counter prometheus.Counter
}

// HTTPRoute returns the metrics of a route. The route is its pattern, such as
// /api/v1/projects/{projectID}, never the path of a request, and method one
// that the program names: both become labels.
func (m *Metrics) HTTPRoute(route, method string) *HTTPRoute {
	r := &HTTPRoute{
		seconds: m.httpSeconds.WithLabelValues(route),
		byCode:  m.httpRequests.MustCurryWith(prometheus.Labels{"route": route, "method": method}),
	}
	r.known.Store(new([]codeCounter))
	return r
}

// Observe records a request that was answered with the status code after d.
func (r *HTTPRoute) Observe(code int, d time.Duration) {
	r.counter(code).Inc()
	r.seconds.Observe(d.Seconds())
}

func (r *HTTPRoute) counter(code int) prometheus.Counter {
	// RFC 9110, section 15: codes have three digits, from 100 to 599.
	if code < 100 || code > 599 {
		code = 0
	}
	known := r.known.Load()
	for _, k := range *known {
		if k.code == code {
			return k.counter
		}
	}
	label := "other"
	if code != 0 {
		label = strconv.Itoa(code)
	}
	added := codeCounter{code: code, counter: r.byCode.WithLabelValues(label)}
	// Of two that add at once one may be forgotten; the next request adds it again.
	grown := slices.Concat(*known, []codeCounter{added})
	r.known.Store(&grown)
	return added.counter
}
