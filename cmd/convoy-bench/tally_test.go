package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	ten := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	tests := []struct {
		sorted []time.Duration
		p      int
		want   time.Duration
	}{
		{nil, 50, 0},
		{[]time.Duration{7}, 0, 7},
		{[]time.Duration{7}, 99, 7},
		{ten, 0, 1},
		{ten, 10, 1},
		{ten, 11, 2},
		{ten, 50, 5},
		{ten, 95, 10},
		{ten, 99, 10},
		{ten, 100, 10},
		{ten[:9], 50, 5},
	}
	for _, tt := range tests {
		if got := percentile(tt.sorted, tt.p); got != tt.want {
			t.Errorf("percentile(%v, %d) = %d, want %d", tt.sorted, tt.p, got, tt.want)
		}
	}
}

// TestPercentileDefinition holds the function to the definition of the nearest rank.
func TestPercentileDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 50), 1, 200).Draw(t, "values")
		p := rapid.IntRange(1, 100).Draw(t, "p")
		d := make([]time.Duration, len(values))
		for i, v := range values {
			d[i] = time.Duration(v)
		}
		_ = distributionOf(d) // sorts
		got := percentile(d, p)
		atMost, below := 0, 0
		for _, v := range d {
			if v <= got {
				atMost++
			}
			if v < got {
				below++
			}
		}
		if atMost*100 < p*len(d) || below*100 >= p*len(d) {
			t.Fatalf("percentile %d of %v is %d: %d values do not exceed it, %d are below it", p, d, got, atMost, below)
		}
	})
}

func TestMedian(t *testing.T) {
	t.Parallel()
	tests := []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}}
	for _, tt := range tests {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}

func TestBitmapConcurrent(t *testing.T) {
	t.Parallel()
	const size, writers = 1000, 4
	b := newBitmap(size)
	added := make([]int, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range size {
				if b.add(n) {
					added[w]++
				}
			}
		})
	}
	group.Wait()
	total := 0
	for _, n := range added {
		total += n
	}
	if total != size {
		t.Errorf("%d additions reported as new, want %d", total, size)
	}
	if b.add(-1) || b.add(len(b)*64) {
		t.Error("a number outside the set was added")
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	want, have := newBitmap(200), newBitmap(200)
	for _, n := range []int{0, 63, 64, 130, 199} {
		want.add(n)
	}
	for _, n := range []int{1, 63, 199} {
		have.add(n)
	}
	if got := missing(want.words(), have.words()); got != 3 {
		t.Errorf("missing = %d, want 3 (0, 64 and 130)", got)
	}
	if got := missing(want.words(), nil); got != 5 {
		t.Errorf("missing from nothing = %d, want 5", got)
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	const run = 1_000_000_007
	body := func(run, seq, sent int64) []byte {
		return fmt.Appendf(nil, `{"bench_run":%d,"bench_seq":%d,"bench_sent":%d}`, run, seqBase+seq, sent)
	}
	start := time.Unix(1_795_383_182, 0)
	tally := newTally(run, 10)
	tally.record(body(run, 3, start.UnixNano()), start.Add(2*time.Millisecond))
	tally.record(body(run, 9, start.UnixNano()), start.Add(4*time.Millisecond))
	tally.record(body(run, 3, start.UnixNano()), start.Add(9*time.Millisecond)) // again
	tally.record(body(run-1, 4, start.UnixNano()), start)                       // an earlier run
	tally.record(body(run, 10, start.UnixNano()), start)                        // beyond the end
	tally.record([]byte(`{}`), start)

	r := tally.result()
	if r.Unique != 2 || r.Duplicates != 1 || r.Strays != 3 {
		t.Errorf("unique %d, duplicates %d, strays %d; want 2, 1, 3", r.Unique, r.Duplicates, r.Strays)
	}
	if r.Latency.P50 != 2*time.Millisecond || r.Latency.Max != 4*time.Millisecond {
		t.Errorf("latency %s, want p50 2 ms and max 4 ms", r.Latency)
	}
	if got := time.Duration(r.Last - r.First); got != 2*time.Millisecond {
		t.Errorf("from first to last %v, want 2ms", got)
	}
}
