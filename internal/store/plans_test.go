package store_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
	"convoy/internal/store/explain"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
)

// TestPlans checks that nothing that grows with traffic is read by scanning it
// or sorting it.
func TestPlans(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		testPlans(t, openSQLite(t))
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		testPlans(t, openPostgres(t))
	})
}

var (
	// scans are the words for reading a whole table. A MATERIALIZE or SCAN of a
	// subquery in SQLite reads only what the subquery gives.
	postgresScan = regexp.MustCompile(`Seq Scan on (events|deliveries|attempts)`)
	sqliteScan   = regexp.MustCompile(`(?m)^SCAN (e|d|a|events|deliveries|attempts)\b(.*)$`)
	sorts        = regexp.MustCompile(`(?m)^\s*(->  )?(Sort|Incremental Sort|USE TEMP B-TREE FOR ORDER BY)$`)
)

func testPlans(t *testing.T, db sqldb.DB) {
	ctx := t.Context()
	e := &explain.DB{DB: db}
	plain, f := storetest.NewFixture(t, db), storetest.NewFixture(t, e)
	if err := plain.S.EnsurePartitions(ctx, f.Now, 3); err != nil {
		t.Fatal(err)
	}
	// Enough rows, on several days, for several endpoints, that an index pays.
	p := plain.Project(t)
	var (
		event    *convoy.Event
		delivery *convoy.Delivery
		some     []*convoy.Delivery
		ids      []convoy.DeliveryID // of some
	)
	rows := 2000
	if db.Dialect() == sqldb.SQLite {
		rows = 500 // its planner asks for less
	}
	for day := range 4 {
		for _, to := range []convoy.EndpointID{"a", "b", "c"} {
			events, deliveries := plain.Fill(t, p.ID, to, f.Now.AddDate(0, 0, day-1), rows)
			event, delivery = events[0], deliveries[0]
			some = deliveries[:20]
			var outcomes []store.Outcome
			for _, d := range deliveries[10:] { // all but a few are sent
				after := *d
				after.Status, after.Trials, after.DueAt, after.ClaimAt = convoy.DeliverySuccess, 1, time.Time{}, time.Time{}
				outcomes = append(outcomes, store.Outcome{Delivery: &after, Attempt: plain.Attempt(d, d.CreatedAt)})
			}
			if err := plain.S.Record(ctx, outcomes); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, d := range some {
		ids = append(ids, d.ID)
	}
	for more := true; more; {
		var err error
		if _, more, err = plain.S.IndexEvents(ctx, f.Now.AddDate(0, 0, 7)); err != nil {
			t.Fatal(err)
		}
	}
	analyze(t, db)
	doomed := plain.Endpoint(t, p)
	cursor := store.Page{Cursor: string(event.ID)}
	week := f.Now.AddDate(0, 0, -7)
	check := func(name string, sorted bool, run func() error) {
		e.Take()
		if err := run(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		plans := e.Take()
		if len(plans) == 0 {
			t.Errorf("%s: no plan", name)
		}
		for _, plan := range plans {
			steps := strings.Join(plan.Steps, "\n")
			scan := postgresScan.MatchString(steps)
			for _, m := range sqliteScan.FindAllStringSubmatch(steps, -1) {
				// A scan of an index in its order stops at the limit.
				scan = scan || !strings.Contains(m[2], "USING")
			}
			if scan || strings.Contains(steps, explain.NoPlan) || !sorted && sorts.MatchString(steps) {
				t.Errorf("%s: %s", name, plan)
			}
		}
	}
	for name, tt := range map[string]struct {
		// sorted says that a few rows are sorted: those of one page, of one
		// event, or of one claim.
		sorted bool
		run    func() error
	}{
		"events":            {false, func() error { _, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, From: week}); return err }},
		"events, next page": {false, func() error { _, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Page: cursor}); return err }},
		"events, ascending": {false, func() error {
			_, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Page: store.Page{Asc: true}})
			return err
		}},
		"events by type": {false, func() error {
			_, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Type: "invoice.paid", From: week, To: f.Now})
			return err
		}},
		"events searched": {true, func() error {
			_, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Search: store.Search{Text: "none-has-this"}})
			return err
		}},
		"events searched, an id": {true, func() error {
			_, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Search: store.Search{Text: string(event.ID)}})
			return err
		}},
		"events searched, endpoint": {true, func() error {
			_, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Endpoints: []convoy.EndpointID{"a"}, Search: store.Search{Text: string(event.ID)}})
			return err
		}},
		"events by key": {false, func() error {
			_, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, IdempotencyKey: "key"})
			return err
		}},
		"events by endpoint": {true, func() error {
			_, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Endpoints: []convoy.EndpointID{"a"}})
			return err
		}},
		"events by endpoints": {true, func() error {
			_, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Endpoints: []convoy.EndpointID{"a", "b"}, Page: cursor})
			return err
		}},
		"deliveries": {true, func() error { // of the events of a page
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, From: week})
			return err
		}},
		"deliveries by status": {true, func() error {
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Statuses: []convoy.DeliveryStatus{"Success", "Failure"}, Page: cursor})
			return err
		}},
		"deliveries by trouble": {true, func() error {
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Statuses: []convoy.DeliveryStatus{"Failure", "Retry"}, Page: cursor})
			return err
		}},
		"deliveries by type": {true, func() error {
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Type: "rare", From: week})
			return err
		}},
		"deliveries by subscription": {true, func() error {
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Subscription: "rare"})
			return err
		}},
		"deliveries by endpoint": {true, func() error {
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Endpoints: []convoy.EndpointID{"b"}})
			return err
		}},
		"deliveries by endpoints": {true, func() error {
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Endpoints: []convoy.EndpointID{"b", "c"}})
			return err
		}},
		"deliveries by event": {true, func() error {
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Event: event.ID})
			return err
		}},
		"deliveries by key": {true, func() error {
			_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, IdempotencyKey: "key"})
			return err
		}},
		"attempts":      {true, func() error { _, err := f.S.Attempts(ctx, p.ID, delivery.ID, 10); return err }},
		"last attempts": {false, func() error { _, err := f.S.LastAttempts(ctx, p.ID, ids); return err }},
		"outcomes that tell": {true, func() error {
			var outcomes []store.Outcome
			for _, d := range some {
				outcomes = append(outcomes, store.Outcome{Delivery: d, Before: -1, Meta: &convoy.Job{Event: event, Delivery: d}})
			}
			return f.S.Record(ctx, outcomes)
		}},
		"attempt":  {false, func() error { _, err := f.S.Attempt(ctx, p.ID, delivery.ID, "x"); return ignoreMissing(err) }},
		"delivery": {false, func() error { _, err := f.S.Delivery(ctx, p.ID, delivery.ID); return err }},
		"event":    {false, func() error { _, err := f.S.Event(ctx, p.ID, event.ID); return err }},
		"jobs":     {true, func() error { _, err := f.S.Jobs(ctx, []convoy.DeliveryID{delivery.ID}); return err }},
		"claim":    {true, func() error { _, _, err := f.S.ClaimDue(ctx, f.Now, time.Minute, 5); return err }},
		"depth":    {false, func() error { _, _, err := f.S.DueDepth(ctx, f.Now, 10); return err }},
		"unrouted": {false, func() error {
			_, err := f.S.Unrouted(ctx, store.UnroutedFilter{Before: "7", Idle: f.Now, Max: 10})
			return err
		}},
		"sweep": {true, func() error { // of a few milliseconds, as sweeps come often
			if _, _, err := plain.S.SweepFresh(ctx, f.Now.Add(1500*time.Millisecond), 100_000); err != nil {
				return err
			}
			_, _, err := f.S.SweepFresh(ctx, f.Now.Add(1510*time.Millisecond), 10_000)
			return err
		}},
		"unpark": {false, func() error { _, err := f.S.Unpark(ctx, f.Now); return err }},
		"recover": {true, func() error { // from where the last sweep has come
			if _, _, err := plain.S.SweepFresh(ctx, f.Now.Add(990*time.Millisecond), 100_000); err != nil {
				return err
			}
			return f.S.Recover(ctx, f.Now.Add(time.Second))
		}},
		"resume":    {false, func() error { return f.S.Resume(ctx, "a", f.Now) }},
		"forgotten": {false, func() error { _, err := f.S.ForgetKeys(ctx, f.Now, 10); return err }},
		"resend":    {false, func() error { _, err := f.S.Resend(ctx, p.ID, "x", f.Now); return ignoreMissing(err) }},
		"end of an endpoint": {false, func() error {
			return f.S.DeleteEndpoint(ctx, p.ID, doomed.ID, f.Now)
		}},
	} {
		check(name, tt.sorted, tt.run)
	}
	// The sweep has seen all but the newest.
	if _, _, err := plain.S.SweepFresh(ctx, event.CreatedAt.Add(time.Second), 100_000); err != nil {
		t.Fatal(err)
	}
	check("deliveries that wait", true, func() error {
		_, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Statuses: []convoy.DeliveryStatus{"Scheduled", "Discarded"}, Page: cursor})
		return err
	})
}

// analyze does what the database's own housekeeping does: gather statistics of
// the tables that have rows.
func analyze(t *testing.T, db sqldb.DB) {
	t.Helper()
	tables := []string{""}
	if db.Dialect() == sqldb.Postgres {
		tables = texts(t, db, `SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_relation_size(oid) > 0 AND relnamespace = 'public'::regnamespace`)
	}
	for _, table := range tables {
		if err := db.Write(t.Context(), func(tx sqldb.Tx) error { _, err := tx.Exec(t.Context(), "ANALYZE "+table); return err }); err != nil {
			t.Fatal(err)
		}
	}
}

// texts runs a query of one column.
func texts(t *testing.T, q sqldb.Querier, query string, args ...any) []string {
	t.Helper()
	rows, err := q.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func ignoreMissing(err error) error {
	if convoy.IsNotFound(err) {
		return nil
	}
	return err
}
