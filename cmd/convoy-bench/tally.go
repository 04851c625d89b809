package main

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// bitmap is a fixed set of sequence numbers that many goroutines may add to.
type bitmap []atomic.Uint64

func newBitmap(size int) bitmap { return make(bitmap, (size+63)/64) }

// add puts n into the set and reports whether it was absent. A number outside
// the set is reported as present and changes nothing.
func (b bitmap) add(n int) bool {
	if n < 0 || n/64 >= len(b) {
		return false
	}
	mask := uint64(1) << (n % 64)
	return b[n/64].Or(mask)&mask == 0
}

// words is a copy of the set: number n is bit n%64 of word n/64.
func (b bitmap) words() []uint64 {
	words := make([]uint64, len(b))
	for i := range b {
		words[i] = b[i].Load()
	}
	return words
}

// missing counts the numbers that are in want and not in have.
func missing(want, have []uint64) int {
	count := 0
	for i, w := range want {
		var h uint64
		if i < len(have) {
			h = have[i]
		}
		count += bits.OnesCount64(w &^ h)
	}
	return count
}

// tally is what a sink has seen of one run.
type tally struct {
	run        int64
	events     int
	seen       bitmap
	latency    []atomic.Int64 // nanoseconds by sequence number, of the first delivery
	unique     atomic.Int64
	duplicates atomic.Int64
	strays     atomic.Int64 // deliveries of no run or of another one
	first      atomic.Int64 // Unix nanoseconds of the first and last new delivery
	last       atomic.Int64
}

func newTally(run int64, events int) *tally {
	return &tally{run: run, events: events, seen: newBitmap(events), latency: make([]atomic.Int64, events)}
}

// record counts one delivered body.
func (t *tally) record(body []byte, now time.Time) {
	s, err := readStamp(body)
	if err != nil || s.run != t.run || s.seq >= t.events {
		t.strays.Add(1)
		return
	}
	if !t.seen.add(s.seq) {
		t.duplicates.Add(1)
		return
	}
	at := now.UnixNano()
	t.latency[s.seq].Store(at - s.sent)
	t.first.CompareAndSwap(0, at)
	t.last.Store(at)
	t.unique.Add(1)
}

// received is the result of a run on the receiving side.
type received struct {
	Unique     int64        `json:"unique"`
	Duplicates int64        `json:"duplicates"`
	Strays     int64        `json:"strays"`
	First      int64        `json:"first_unix_ns"`
	Last       int64        `json:"last_unix_ns"`
	Latency    distribution `json:"latency"`
	Seen       []uint64     `json:"seen,omitempty"`
}

func (t *tally) result() received {
	seen := t.seen.words()
	latencies := make([]time.Duration, 0, t.unique.Load())
	for i := range t.latency {
		if seen[i/64]&(1<<(i%64)) != 0 {
			latencies = append(latencies, time.Duration(t.latency[i].Load()))
		}
	}
	return received{
		Unique: t.unique.Load(), Duplicates: t.duplicates.Load(), Strays: t.strays.Load(),
		First: t.first.Load(), Last: t.last.Load(),
		Latency: distributionOf(latencies), Seen: seen,
	}
}

// distribution holds the exact percentiles of a set of durations.
type distribution struct {
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// distributionOf sorts its argument.
func distributionOf(d []time.Duration) distribution {
	slices.Sort(d)
	return distribution{percentile(d, 50), percentile(d, 95), percentile(d, 99), percentile(d, 100)}
}

// percentile is the nearest-rank percentile of a sorted slice: the smallest
// value that at least p percent of the values do not exceed. It is 0 for an
// empty slice.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median is the middle value, or the mean of the two middle ones; 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
