package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/explain"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/testenv"
)

// planOf returns the plan of a query.
func planOf(t *testing.T, db sqldb.DB, query string, args ...any) string {
	t.Helper()
	return strings.Join(texts(t, db, "EXPLAIN (COSTS OFF) "+query, args...), "\n")
}

func number(t *testing.T, q sqldb.Querier, query string, args ...any) (n int64) {
	t.Helper()
	if err := q.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPartitionsMove checks that rows for which there was no partition are kept,
// and move to theirs once there is one.
func TestPartitionsMove(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	f := storetest.NewFixture(t, db)
	ctx := t.Context()
	p := f.Project(t)
	days := []time.Time{f.Now.AddDate(0, 0, -3), f.Now.AddDate(0, 0, -1), f.Now, f.Now.AddDate(0, 0, 1), f.Now.AddDate(1, 0, 0)}
	var deliveries []*convoy.Delivery
	for _, day := range days {
		_, ds := f.Fill(t, p.ID, "endpoint", day, 5)
		deliveries = append(deliveries, ds...)
		var outcomes []store.Outcome
		for _, d := range ds {
			after := *d
			after.Status, after.Trials, after.DueAt, after.ClaimAt = convoy.DeliverySuccess, 1, time.Time{}, time.Time{}
			outcomes = append(outcomes, store.Outcome{Delivery: &after, Attempt: f.Attempt(d, d.CreatedAt)})
		}
		must(t, f.S.Record(ctx, outcomes))
	}
	tables := []string{"events", "deliveries", "attempts"}
	for _, table := range tables {
		if n := number(t, db, "SELECT count(*) FROM "+table+"_default"); n != 25 {
			t.Fatalf("%s: %d rows in the default partition before there are others, want 25", table, n)
		}
	}
	for range 2 { // the second time there is nothing to do
		must(t, f.S.EnsurePartitions(ctx, f.Now, 1))
		for _, table := range tables {
			if all, left := number(t, db, "SELECT count(*) FROM "+table), number(t, db, "SELECT count(*) FROM "+table+"_default"); all != 25 || left != 10 {
				t.Fatalf("%s: %d rows, %d of them without a partition; want 25, 10", table, all, left)
			}
			for _, day := range days[1:4] {
				name := table + "_" + day.Format("20060102")
				if n := number(t, db, "SELECT count(*) FROM "+name); n != 5 {
					t.Fatalf("%s has %d rows, want 5", name, n)
				}
			}
		}
	}
	for _, d := range deliveries {
		got, err := f.S.DeliveryDetail(ctx, p.ID, d.ID)
		if err != nil || got.Event == nil || got.Status != convoy.DeliverySuccess {
			t.Fatalf("delivery of %v: %+v, %v", d.CreatedAt, got, err)
		}
	}
	// A partition that comes later has the indexes and options of the others.
	if n := number(t, db, "SELECT count(*) FROM pg_indexes WHERE tablename = 'deliveries_20260714'"); n != number(t, db, "SELECT count(*) FROM pg_indexes WHERE tablename = 'deliveries_default'") || n < 4 {
		t.Errorf("a new partition has %d indexes", n)
	}
	options := texts(t, db, "SELECT array_to_string(reloptions, ',') FROM pg_class WHERE relname IN ('deliveries_20260714', 'deliveries_default')")
	if strings.Join(options, " ") != "fillfactor=50 fillfactor=50" {
		t.Errorf("options of delivery partitions: %q", options)
	}
	if n := number(t, db, `SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND is_nullable <> 'NO' AND table_name IN
		('events_20260714', 'deliveries_20260714', 'attempts_20260714')`); n > 0 {
		t.Errorf("%d columns of new partitions may be NULL", n)
	}
}

// TestPartitionsUnderLoad makes partitions while rows for them are written.
func TestPartitionsUnderLoad(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	f := storetest.NewFixture(t, db)
	p := f.Project(t)
	ctx, stop := context.WithCancel(t.Context())
	var (
		wg      sync.WaitGroup
		written [4]int
		errs    [5]error
		under   = make(chan struct{}, len(written)) // one token of each writer
	)
	for w := range written {
		wg.Go(func() {
			for ctx.Err() == nil {
				e := f.Event(p.ID, f.Now)
				d := f.Delivery(e, "endpoint")
				if errs[w] = f.S.Append(context.WithoutCancel(ctx), &store.Routed{Events: []*convoy.Event{e}, Deliveries: []*convoy.Delivery{d}}, f.Now, time.Hour); errs[w] != nil {
					return
				}
				if written[w]++; written[w] == 20 {
					under <- struct{}{}
				}
			}
		})
	}
	for range written {
		select {
		case <-under:
		case <-time.After(30 * time.Second):
			t.Fatal("writers do not get on")
		}
	}
	// Two processes at once; one may find the lock taken for too long, and
	// comes back.
	other := storetest.New(t, db)
	wg.Go(func() { errs[4] = other.EnsurePartitions(context.WithoutCancel(ctx), f.Now, 1) })
	err := f.S.EnsurePartitions(t.Context(), f.Now, 1)
	stop()
	wg.Wait()
	if err := errors.Join(append(errs[:], err)...); err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	for _, n := range written {
		want += int64(n)
	}
	if got := number(t, db, "SELECT count(*) FROM deliveries_20260714"); got != want {
		t.Fatalf("%d of %d rows in their partition", got, want)
	}
}

// TestPartitionsPruned checks that a look-up by id reads one partition, also
// where the plan is made before the id is known.
func TestPartitionsPruned(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	f := storetest.NewFixture(t, db)
	must(t, f.S.EnsurePartitions(t.Context(), f.Now, 5))
	delivery := id.New(f.Now)
	for _, q := range []string{
		"SELECT status FROM deliveries d WHERE d.id = $1 AND d.project_id = 'p'",
		"SELECT status FROM events e WHERE e.id = $1 AND e.project_id = 'p'",
		"SELECT url FROM attempts a WHERE a.delivery_id = 'd' AND a.id = $1 AND a.project_id = 'p'",
		"UPDATE deliveries SET trials = 0 WHERE id = $1 AND project_id = 'p'",
	} {
		plan := planOf(t, db, q, delivery)
		if n := strings.Count(plan, "_20260714"); n == 0 || strings.Contains(plan, "_20260715") || strings.Contains(plan, "_default") {
			t.Errorf("%s\n%s", q, plan)
		}
	}
	// Record's update, as the planner sees it: the bounds prune, the join does not.
	plan := planOf(t, db, `UPDATE deliveries SET trials = u.n FROM unnest($1::text[], $2::bigint[]) AS u(id, n)
		WHERE deliveries.id = u.id AND deliveries.id >= $3 AND deliveries.id <= $4`, []string{delivery}, []int64{1}, delivery, delivery)
	if strings.Contains(plan, "_20260715") || strings.Contains(plan, "_default") {
		t.Errorf("update with bounds:\n%s", plan)
	}
	// A page that its dates confine to a day reads that day.
	e := &explain.DB{DB: db}
	_, err := store.New(e, store.Secrets{}).Deliveries(t.Context(), store.DeliveryFilter{Project: "p", From: f.Now, To: f.Now.Add(time.Hour)})
	must(t, err)
	if plan := e.Take()[0].String(); !strings.Contains(plan, "deliveries_20260714") || strings.Contains(plan, "_20260715") || strings.Contains(plan, "_default") {
		t.Errorf("deliveries of a day: %s", plan)
	}
}

// TestHeapOnlyUpdates checks that the usual life of a delivery, inserted and
// then found delivered, updates no index.
func TestHeapOnlyUpdates(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	f := storetest.NewFixture(t, db)
	ctx := t.Context()
	must(t, f.S.EnsurePartitions(ctx, f.Now, 1))
	p := f.Project(t)
	const batches, size = 10, 100
	for b := range batches {
		var (
			events     []*convoy.Event
			deliveries []*convoy.Delivery
			outcomes   []store.Outcome
		)
		for i := range size {
			e := f.Event(p.ID, f.Now.Add(time.Duration(b*size+i)*time.Millisecond))
			d := f.Delivery(e, "endpoint")
			d.ClaimAt = time.Time{}
			after := *d
			after.Status, after.Trials, after.DueAt, after.Latency = convoy.DeliverySuccess, 1, time.Time{}, time.Second
			events, deliveries = append(events, e), append(deliveries, d)
			outcomes = append(outcomes, store.Outcome{Delivery: &after, Attempt: f.Attempt(d, f.Now)})
		}
		f.Append(t, events, deliveries...)
		must(t, f.S.Record(ctx, outcomes))
	}
	// Sessions report their counts when they are idle for a while, or asked to.
	var updated, hot int64
	testenv.Eventually(t, 30*time.Second, func() bool {
		must(t, db.Write(ctx, func(tx sqldb.Tx) error { _, err := tx.Exec(ctx, `SELECT pg_stat_force_next_flush()`); return err }))
		err := db.QueryRow(ctx, `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'deliveries_20260714'`).Scan(&updated, &hot)
		return err == nil && updated == batches*size
	})
	// The fill factor leaves room for most updates, whatever shares their page.
	if hot < updated*9/10 {
		t.Errorf("%d of %d updates were heap-only, want 90%%", hot, updated)
	}
	t.Logf("%d of %d updates were heap-only", hot, updated)
}

// TestReplica checks that lists are read from a replica when it answers and
// from the primary when it does not.
func TestReplica(t *testing.T) {
	t.Parallel()
	primaryURL, replicaURL := testenv.PostgresDSN(t), testenv.PostgresDSN(t)
	// The “replica” holds something else, so that it shows who answers.
	replica := storetest.NewFixture(t, openConfig(t, sqldb.PostgresConfig{URL: replicaURL, MaxOpen: 4}))
	primary := storetest.NewFixture(t, openConfig(t, sqldb.PostgresConfig{URL: primaryURL, MaxOpen: 4}))
	project := primary.Project(t).ID
	primary.Fill(t, project, "primary", primary.Now, 1)
	replica.Fill(t, project, "replica", replica.Now, 1)

	const nobody = "postgres://postgres@127.0.0.1:1/none?sslmode=disable" // tcpmux, which nobody serves
	for _, tt := range []struct {
		name     string
		replicas []string
		want     []convoy.EndpointID
	}{
		{"none", nil, []convoy.EndpointID{"primary"}},
		{"one", []string{replicaURL}, []convoy.EndpointID{"replica"}},
		{"absent", []string{nobody}, []convoy.EndpointID{"primary"}},
		{"one of two absent", []string{nobody, replicaURL}, []convoy.EndpointID{"replica", "primary"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := storetest.New(t, openConfig(t, sqldb.PostgresConfig{URL: primaryURL, ReplicaURLs: tt.replicas, MaxOpen: 4}))
			seen := map[convoy.EndpointID]bool{}
			for range 6 {
				page, err := s.Deliveries(t.Context(), store.DeliveryFilter{Project: project})
				must(t, err)
				if len(page.Items) != 1 {
					t.Fatalf("%d deliveries, want 1", len(page.Items))
				}
				from := page.Items[0].EndpointID
				seen[from] = true
				// What a caller acts upon comes from the primary.
				_, err = s.Delivery(t.Context(), project, page.Items[0].ID)
				if convoy.IsNotFound(err) != (from == "replica") {
					t.Fatalf("a delivery of the %s: %v", from, err)
				}
			}
			if !seen[tt.want[0]] || len(seen) > len(tt.want) {
				t.Fatalf("lists came from %v, want %v", seen, tt.want)
			}
		})
	}

	t.Run("lost while in use", func(t *testing.T) {
		db := openConfig(t, sqldb.PostgresConfig{URL: primaryURL, ReplicaURLs: []string{replicaURL}, MaxOpen: 4})
		s := storetest.New(t, db)
		from := func() convoy.EndpointID {
			page, err := s.Deliveries(t.Context(), store.DeliveryFilter{Project: project})
			must(t, err)
			return page.Items[0].EndpointID
		}
		if got := from(); got != "replica" {
			t.Fatalf("list from the %s", got)
		}
		// End the sessions under the pool's feet.
		number(t, replica.DB, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		if got := from(); got != "primary" {
			t.Fatalf("list from the %s after its sessions ended", got)
		}
		var one int
		must(t, db.Replica().QueryRow(t.Context(), "SELECT 1").Scan(&one))
	})

	t.Run("refuses", func(t *testing.T) {
		db := openConfig(t, sqldb.PostgresConfig{URL: primaryURL, ReplicaURLs: []string{replicaURL}, MaxOpen: 4})
		must(t, db.Write(t.Context(), func(tx sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), "CREATE TABLE only_primary AS SELECT 1 AS n")
			return err
		}))
		var n int
		// A query that a replica answers with an error is an error.
		if err := db.Replica().QueryRow(t.Context(), "SELECT n FROM only_primary").Scan(&n); err == nil {
			t.Fatal("the primary was asked")
		}
		rows, err := db.Replica().Query(t.Context(), "SELECT n FROM only_primary")
		if err == nil {
			rows.Close()
			err = rows.Err()
		}
		if err == nil {
			t.Fatal("the primary was asked")
		}
	})
}
