package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
)

// benchmark runs fn on both engines for batches of 64 and 500 rows of 1 KiB.
func benchmark(b *testing.B, fn func(b *testing.B, f *storetest.Fixture, rows int)) {
	engines := []struct {
		name string
		open func(b *testing.B) sqldb.DB
	}{
		{"SQLite", func(b *testing.B) sqldb.DB { return openSQLite(b) }},
		{"Postgres", func(b *testing.B) sqldb.DB { return openPostgres(b) }},
	}
	for _, e := range engines {
		for _, rows := range []int{64, 500} {
			b.Run(fmt.Sprintf("%s/%d", e.name, rows), func(b *testing.B) {
				f := storetest.NewFixture(b, e.open(b))
				// As many partitions as a month's retention has.
				if err := f.S.EnsurePartitions(b.Context(), f.Now, 30); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				fn(b, f, rows)
				b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

var payload = []byte(`{"data":"` + strings.Repeat("x", 1000) + `"}`)

// batches makes n batches of events with a delivery each, as intake does for
// deliveries that this process sends itself.
func batches(f *storetest.Fixture, n, rows int) []*store.Routed {
	out := make([]*store.Routed, n)
	for i := range out {
		r := &store.Routed{}
		for j := range rows {
			e := f.Event("01KXG7Z3KV0000000000000001", f.Now.Add(time.Duration(i*rows+j)*50*time.Microsecond))
			e.Data = payload
			d := f.Delivery(e, "01KXG7Z3KV0000000000000002")
			d.ClaimAt = time.Time{}
			r.Events, r.Deliveries = append(r.Events, e), append(r.Deliveries, d)
		}
		out[i] = r
	}
	return out
}

func BenchmarkAppend(b *testing.B) {
	benchmark(b, func(b *testing.B, f *storetest.Fixture, rows int) {
		all := batches(f, b.N, rows)
		for b.ResetTimer(); len(all) > 0; all = all[1:] {
			if err := f.S.Append(b.Context(), all[0], f.Now, time.Hour); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
	})
}

func BenchmarkRecord(b *testing.B) {
	benchmark(b, func(b *testing.B, f *storetest.Fixture, rows int) {
		outcomes := make([][]store.Outcome, 0, b.N)
		for _, r := range batches(f, b.N, rows) {
			if err := f.S.Append(b.Context(), r, f.Now, time.Hour); err != nil {
				b.Fatal(err)
			}
			batch := make([]store.Outcome, rows)
			for i, d := range r.Deliveries {
				after := *d
				after.Status, after.Trials, after.DueAt, after.Latency = convoy.DeliverySuccess, 1, time.Time{}, time.Second
				batch[i] = store.Outcome{Delivery: &after, Attempt: f.Attempt(d, f.Now)}
			}
			outcomes = append(outcomes, batch)
		}
		for b.ResetTimer(); len(outcomes) > 0; outcomes = outcomes[1:] {
			if err := f.S.Record(b.Context(), outcomes[0]); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
	})
}

// BenchmarkJobs loads what a batch of tries needs.
func BenchmarkJobs(b *testing.B) {
	benchmark(b, func(b *testing.B, f *storetest.Fixture, rows int) {
		r := batches(f, 1, rows)[0]
		if err := f.S.Append(b.Context(), r, f.Now, time.Hour); err != nil {
			b.Fatal(err)
		}
		ids := make([]convoy.DeliveryID, rows)
		for i, d := range r.Deliveries {
			ids[i] = d.ID
		}
		for b.Loop() {
			jobs, err := f.S.Jobs(b.Context(), ids)
			if err != nil || len(jobs) != rows {
				b.Fatal(len(jobs), err)
			}
		}
	})
}

// BenchmarkClaim claims batches of what is due.
func BenchmarkClaim(b *testing.B) {
	benchmark(b, func(b *testing.B, f *storetest.Fixture, rows int) {
		for i := 0; i < b.N; i += 100 {
			r := &store.Routed{}
			for _, x := range batches(f, min(100, b.N-i), rows) {
				r.Events, r.Deliveries = append(r.Events, x.Events...), append(r.Deliveries, x.Deliveries...)
			}
			for _, d := range r.Deliveries {
				d.ClaimAt = d.DueAt
			}
			if err := f.S.Append(b.Context(), r, f.Now, time.Hour); err != nil {
				b.Fatal(err)
			}
		}
		b.ResetTimer()
		for range b.N {
			due, _, err := f.S.ClaimDue(b.Context(), f.Now.Add(time.Hour), 2*time.Hour, rows)
			if err != nil || len(due) != rows {
				b.Fatal(len(due), err)
			}
		}
		b.StopTimer()
	})
}
