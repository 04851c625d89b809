package storetest

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

func dueIDs(due []store.Due) []convoy.DeliveryID {
	ids := []convoy.DeliveryID{}
	for _, d := range due {
		ids = append(ids, d.ID)
	}
	return ids
}

func claimOrder(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	ev := f.Event(p.ID, f.Now)
	// Due at +3, +1, +2 and +60 seconds, never, and not before it is resumed.
	var ds []*convoy.Delivery
	for _, after := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second, time.Minute} {
		d := f.Delivery(ev, "endpoint")
		d.DueAt, d.ClaimAt = f.Now.Add(after), f.Now.Add(after)
		ds = append(ds, d)
	}
	done, parked := f.Delivery(ev, "endpoint"), f.Delivery(ev, "endpoint")
	done.Status, done.DueAt, done.ClaimAt = convoy.DeliverySuccess, time.Time{}, time.Time{}
	parked.ClaimAt = convoy.Parked
	f.Append(t, []*convoy.Event{ev}, append(ds, done, parked)...)

	at, lease := f.Now.Add(10*time.Second), 30*time.Second
	n, oldest, err := f.S.DueDepth(ctx, at, 100)
	ok(t, err)
	if n != 3 || !oldest.Equal(f.Now.Add(time.Second)) {
		t.Fatalf("%d due, the oldest at %v", n, oldest)
	}
	if n, _, err = f.S.DueDepth(ctx, at, 2); err != nil || n != 2 {
		t.Fatalf("DueDepth up to 2 = %d, %v", n, err)
	}

	first, next, err := f.S.ClaimDue(ctx, at, lease, 2)
	ok(t, err)
	slices.SortFunc(first, func(a, b store.Due) int { return a.At.Compare(b.At) })
	same(t, first, []store.Due{{ID: ds[1].ID, Endpoint: "endpoint", At: ds[1].DueAt}, {ID: ds[2].ID, Endpoint: "endpoint", At: ds[2].DueAt}})
	if next.IsZero() || next.After(at) {
		t.Fatalf("next = %v after a full claim, want at once", next)
	}
	second, next, err := f.S.ClaimDue(ctx, at, lease, 2)
	ok(t, err)
	same(t, dueIDs(second), []convoy.DeliveryID{ds[0].ID})
	if want := at.Add(lease); !next.Equal(want) {
		t.Fatalf("next = %v, want %v, when the leases end", next, want)
	}
	if n, oldest, err = f.S.DueDepth(ctx, at, 100); err != nil || n != 0 || !oldest.IsZero() {
		t.Fatalf("DueDepth = %d, %v, %v with everything claimed", n, oldest, err)
	}

	// A lease that ends offers the delivery again; a release moves it.
	ok(t, f.S.Release(ctx, []store.Due{{ID: ds[2].ID, At: at.Add(time.Hour)}, {ID: done.ID, At: at}}))
	third, _, err := f.S.ClaimDue(ctx, at.Add(lease), lease, 10)
	ok(t, err)
	want := []convoy.DeliveryID{ds[0].ID, ds[1].ID}
	got := dueIDs(third)
	slices.Sort(want)
	slices.Sort(got)
	same(t, got, want)
	if d := f.delivery(t, done); !d.ClaimAt.IsZero() {
		t.Fatal("a delivery that has ended was released")
	}
	if d := f.delivery(t, ds[2]); !d.ClaimAt.Equal(at.Add(time.Hour)) || !d.DueAt.Equal(ds[2].DueAt) {
		t.Fatalf("released delivery: claim %v, due %v", d.ClaimAt, d.DueAt)
	}
}

func claimRace(t *testing.T, f *Fixture) {
	const rows, claimers, batch = 5000, 8, 64
	p := f.Project(t)
	f.Fill(t, p.ID, "endpoint", f.Now, rows)
	at := f.Now.Add(time.Minute)
	var (
		mu      sync.Mutex
		claimed = make(map[convoy.DeliveryID]int, rows)
	)
	for _, err := range together(claimers, func(int) error {
		for {
			due, _, err := f.S.ClaimDue(t.Context(), at, time.Hour, batch)
			if err != nil {
				return err
			}
			mu.Lock()
			for _, d := range due {
				claimed[d.ID]++
			}
			all := len(claimed) == rows
			mu.Unlock()
			// A claim may come up empty while others hold what is left; only
			// when all rows are gone, or none is due, is there nothing to do.
			if all {
				return nil
			}
			if len(due) == 0 {
				if n, _, err := f.S.DueDepth(t.Context(), at, 1); err != nil || n == 0 {
					return err
				}
			}
		}
	}) {
		ok(t, err)
	}
	double := 0
	for _, n := range claimed {
		if n > 1 {
			double++
		}
	}
	if len(claimed) != rows || double > 0 {
		t.Fatalf("%d of %d rows claimed, %d of them twice", len(claimed), rows, double)
	}
}

// fresh makes a delivery as the process does that makes the first try itself.
func (f *Fixture) fresh(t *testing.T, p convoy.ProjectID, at time.Time) *convoy.Delivery {
	t.Helper()
	e := f.Event(p, at)
	d := f.Delivery(e, "endpoint")
	d.ClaimAt = time.Time{}
	f.Append(t, []*convoy.Event{e}, d)
	return d
}

func (f *Fixture) claimable(t *testing.T, d *convoy.Delivery, want bool) {
	t.Helper()
	if got := f.delivery(t, d); got.ClaimAt.IsZero() == want {
		t.Fatalf("delivery of %v has claim time %v, want claimable %v", d.CreatedAt, got.ClaimAt, want)
	}
}

func sweepFresh(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	var old []*convoy.Delivery
	for i := range 5 {
		old = append(old, f.fresh(t, p.ID, f.Now.Add(time.Duration(i)*time.Second)))
	}
	ended := f.fresh(t, p.ID, f.Now)
	success := *ended
	success.Status, success.Trials, success.DueAt = convoy.DeliverySuccess, 1, time.Time{}
	ok(t, f.S.Record(ctx, []store.Outcome{{Delivery: &success}}))
	young := f.fresh(t, p.ID, f.Now.Add(time.Minute))

	before := f.Now.Add(10 * time.Second)
	for _, want := range []struct {
		swept int
		done  bool
	}{{2, false}, {2, false}, {1, true}, {0, true}} {
		n, done, err := f.S.SweepFresh(ctx, before, 2)
		ok(t, err)
		if n != want.swept || done != want.done {
			t.Fatalf("swept %d, done %v; want %d, %v", n, done, want.swept, want.done)
		}
	}
	for _, d := range old {
		d.ClaimAt = d.DueAt
		same(t, f.delivery(t, d), d)
	}
	same(t, f.delivery(t, ended), success)
	f.claimable(t, young, false)

	// What is stored below the mark afterwards is the business of whoever
	// stored it: the sweep reads each id once.
	late := f.fresh(t, p.ID, f.Now.Add(5*time.Second))
	// A mark never goes back.
	n, done, err := f.S.SweepFresh(ctx, f.Now, 10)
	ok(t, err)
	if n != 0 || !done {
		t.Fatalf("a sweep to an earlier time found %d, done %v", n, done)
	}
	n, done, err = f.S.SweepFresh(ctx, f.Now.Add(2*time.Minute), 10)
	ok(t, err)
	if n != 1 || !done {
		t.Fatalf("the next sweep found %d, done %v; want the young one", n, done)
	}
	f.claimable(t, young, true)
	f.claimable(t, late, false)
}

func recovery(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	fresh := f.fresh(t, p.ID, f.Now.Add(-time.Minute))
	_, _, err := f.S.SweepFresh(ctx, f.Now.Add(-2*time.Minute), 10)
	ok(t, err)
	ev := f.Event(p.ID, f.Now)
	claimed, parked, retry := f.Delivery(ev, "endpoint"), f.Delivery(ev, "endpoint"), f.Delivery(ev, "endpoint")
	claimed.DueAt = f.Now.Add(-time.Second)
	claimed.ClaimAt = f.Now.Add(time.Hour) // leased by a process that is gone
	parked.ClaimAt = convoy.Parked
	retry.Status, retry.DueAt, retry.ClaimAt = convoy.DeliveryRetry, f.Now.Add(time.Hour), f.Now.Add(time.Hour)
	f.Append(t, []*convoy.Event{ev}, claimed, parked, retry)

	ok(t, f.S.Recover(ctx, f.Now))
	for _, tt := range []struct {
		d    *convoy.Delivery
		want time.Time
	}{{fresh, fresh.DueAt}, {claimed, claimed.DueAt}, {parked, convoy.Parked}, {retry, retry.DueAt}} {
		if got := f.delivery(t, tt.d); !got.ClaimAt.Equal(tt.want) || !got.DueAt.Equal(tt.d.DueAt) {
			t.Errorf("claim time %v, due %v; want %v, %v", got.ClaimAt, got.DueAt, tt.want, tt.d.DueAt)
		}
	}
	due, _, err := f.S.ClaimDue(ctx, f.Now, time.Minute, 10)
	ok(t, err)
	if len(due) != 2 {
		t.Fatalf("%d deliveries due after recovery, want 2", len(due))
	}

	// What is made at once after a recovery is found by the next.
	soon := f.fresh(t, p.ID, f.Now.Add(2*time.Millisecond))
	ok(t, f.S.Recover(ctx, f.Now.Add(500*time.Millisecond)))
	f.claimable(t, soon, true)
}

func jobs(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	events, ds := f.Fill(t, p.ID, "endpoint", f.Now, 3)
	ended := f.Delivery(events[0], "endpoint")
	ended.Status = convoy.DeliveryFailure
	f.Append(t, nil, ended)
	got, err := f.S.Jobs(ctx, []convoy.DeliveryID{ds[2].ID, ended.ID, "unknown", ds[0].ID})
	ok(t, err)
	slices.SortFunc(got, func(a, b convoy.Job) int { return cmp.Compare(a.Event.ID, b.Event.ID) })
	same(t, got, []convoy.Job{{Delivery: ds[0], Event: events[0]}, {Delivery: ds[2], Event: events[2]}})
	none, err := f.S.Jobs(ctx, nil)
	ok(t, err)
	if len(none) != 0 {
		t.Fatalf("%d jobs for no ids", len(none))
	}
}

// Attempt makes an attempt of a delivery at a time.
func (f *Fixture) Attempt(d *convoy.Delivery, at time.Time) *convoy.Attempt {
	return &convoy.Attempt{
		ID: convoy.AttemptID(f.ID(at)), DeliveryID: d.ID, ProjectID: d.ProjectID, EndpointID: d.EndpointID,
		URL: "https://example.com/hook?a=1", Method: "POST", IP: "203.0.113.5",
		RequestHeaders: map[string][]string{"X-Convoy-Signature": {"abc"}}, ResponseHeaders: map[string][]string{"Content-Type": {"text/plain"}},
		HTTPStatus: "200 OK", Response: "ok", Success: true, RequestedAt: at, RespondedAt: at.Add(time.Millisecond), CreatedAt: at,
	}
}

// outcome makes what a successful try leaves.
func (f *Fixture) outcome(d *convoy.Delivery) store.Outcome {
	after := *d
	after.Status, after.Trials, after.Latency = convoy.DeliverySuccess, d.Trials+1, 1500*time.Microsecond
	after.DueAt, after.ClaimAt, after.UpdatedAt = time.Time{}, time.Time{}, f.Now.Add(time.Second)
	return store.Outcome{Delivery: &after, Before: d.Trials, Attempt: f.Attempt(d, f.Now)}
}

func record(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	_, ds := f.Fill(t, p.ID, "endpoint", f.Now, 3)
	sent := f.outcome(ds[0])
	retry := f.outcome(ds[1])
	retry.Delivery.Status, retry.Delivery.Description, retry.Delivery.TargetURL = convoy.DeliveryRetry, "status 500", "https://moved.example.com"
	retry.Delivery.DueAt, retry.Delivery.ClaimAt = f.Now.Add(time.Hour), f.Now.Add(time.Hour)
	retry.Attempt.Success, retry.Attempt.HTTPStatus, retry.Attempt.Error = false, "500 Internal Server Error", "status 500"
	retry.Attempt.RequestHeaders, retry.Attempt.ResponseHeaders, retry.Attempt.RespondedAt = nil, nil, time.Time{}
	discarded := f.outcome(ds[2])
	discarded.Attempt, discarded.Delivery.Status, discarded.Delivery.Trials = nil, convoy.DeliveryDiscarded, 0
	all := []store.Outcome{sent, retry, discarded}
	for range 2 { // the second time changes nothing
		ok(t, f.S.Record(ctx, all))
		for _, o := range all {
			same(t, f.delivery(t, o.Delivery), o.Delivery)
			list, err := f.S.Attempts(ctx, p.ID, o.Delivery.ID, 10)
			ok(t, err)
			want := []*convoy.Attempt{}
			if o.Attempt != nil {
				want = append(want, o.Attempt)
			}
			same(t, list, want)
		}
	}
	ok(t, f.S.Record(ctx, nil))
}

func recordFence(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	_, ds := f.Fill(t, p.ID, "endpoint", f.Now, 2)
	first := f.outcome(ds[0])
	first.Delivery.Status, first.Delivery.DueAt, first.Delivery.ClaimAt = convoy.DeliveryRetry, f.Now.Add(time.Hour), f.Now.Add(time.Hour)
	ok(t, f.S.Record(ctx, []store.Outcome{first}))

	// Another process held a lease that had ended and comes second: what it says
	// is dropped, its request is kept on record.
	second := f.outcome(ds[0])
	ok(t, f.S.Record(ctx, []store.Outcome{second}))
	same(t, f.delivery(t, ds[0]), first.Delivery)
	list, err := f.S.Attempts(ctx, p.ID, ds[0].ID, 10)
	ok(t, err)
	if len(list) != 2 {
		t.Fatalf("%d attempts, want both", len(list))
	}

	// A delivery that has ended stays so, whatever the number of its trials.
	ended := f.outcome(ds[1])
	ended.Delivery.Trials = 0
	ok(t, f.S.Record(ctx, []store.Outcome{ended}))
	late := f.outcome(ds[1])
	late.Delivery.Status = convoy.DeliveryFailure
	ok(t, f.S.Record(ctx, []store.Outcome{late}))
	same(t, f.delivery(t, ds[1]), ended.Delivery)
}

// resendFence: a process that slept through the whole life of a delivery and
// its resend cannot end the new life with what came of the first try.
func resendFence(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	_, ds := f.Fill(t, p.ID, "endpoint", f.Now, 1)
	asleep := f.outcome(ds[0])
	failed := f.outcome(ds[0])
	failed.Delivery.Status = convoy.DeliveryFailure
	ok(t, f.S.Record(ctx, []store.Outcome{failed}))
	again, err := f.S.Resend(ctx, p.ID, ds[0].ID, f.Now.Add(time.Hour))
	ok(t, err)
	ok(t, f.S.Record(ctx, []store.Outcome{asleep}))
	same(t, f.delivery(t, ds[0]), again)
}

func park(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	active, paused := f.Endpoint(t, p), f.Endpoint(t, p)
	_, err := f.S.SetEndpointStatus(ctx, p.ID, paused.ID, convoy.EndpointPaused, f.Now)
	ok(t, err)
	ev := f.Event(p.ID, f.Now)
	var ds []*convoy.Delivery
	for _, to := range []convoy.EndpointID{active.ID, paused.ID, "gone"} {
		d := f.Delivery(ev, to)
		d.ClaimAt = convoy.Parked
		ds = append(ds, d)
	}
	f.Append(t, []*convoy.Event{ev}, ds...)
	n, err := f.S.Unpark(ctx, f.Now)
	ok(t, err)
	if n != 2 {
		t.Fatalf("%d unparked, want 2", n)
	}
	for i, want := range []time.Time{f.Now, convoy.Parked, f.Now} {
		if got := f.delivery(t, ds[i]); !got.ClaimAt.Equal(want) {
			t.Fatalf("delivery %d: claim time %v, want %v", i, got.ClaimAt, want)
		}
	}
	ok(t, f.S.Resume(ctx, paused.ID, f.Now.Add(time.Second)))
	if got := f.delivery(t, ds[1]); !got.ClaimAt.Equal(f.Now.Add(time.Second)) {
		t.Fatalf("resumed delivery: claim time %v", got.ClaimAt)
	}
}

func resend(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	ev := f.Event(p.ID, f.Now)
	later := f.Now.Add(time.Hour)
	for _, tt := range []struct {
		status  convoy.DeliveryStatus
		refusal string
	}{
		{convoy.DeliveryFailure, ""},
		{convoy.DeliveryDiscarded, ""},
		{convoy.DeliverySuccess, "event already sent"},
		{convoy.DeliveryScheduled, "cannot resend event that did not fail previously"},
		{convoy.DeliveryRetry, "cannot resend event that did not fail previously"},
	} {
		d := f.Delivery(ev, "endpoint")
		d.Status, d.Trials, d.Description = tt.status, 5, "the endpoint said no"
		if tt.status.Terminal() {
			d.DueAt, d.ClaimAt = time.Time{}, time.Time{}
		}
		f.Append(t, []*convoy.Event{ev}, d)
		_, err := f.S.Resend(ctx, "another", d.ID, later)
		refused(t, err, convoy.NotFound, "event delivery not found")
		got, err := f.S.Resend(ctx, p.ID, d.ID, later)
		if tt.refusal != "" {
			refused(t, err, convoy.Invalid, tt.refusal)
			same(t, f.delivery(t, d), d)
			continue
		}
		ok(t, err)
		d.Status, d.Trials, d.Resends, d.Description = convoy.DeliveryScheduled, 0, 1, ""
		d.DueAt, d.ClaimAt, d.UpdatedAt = later, later, later
		same(t, got, d)
		same(t, f.delivery(t, d), d)
		// It is tried again like any other.
		ok(t, f.S.Record(ctx, []store.Outcome{f.outcome(d)}))
		if after := f.delivery(t, d); after.Status != convoy.DeliverySuccess || after.Trials != 1 {
			t.Fatalf("after the resend: %s with %d trials", after.Status, after.Trials)
		}
	}
}

func attempts(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	_, ds := f.Fill(t, p.ID, "endpoint", f.Now, 2)
	d := ds[0]
	var all []*convoy.Attempt
	for i := range 12 {
		o := f.outcome(d)
		o.Attempt = f.Attempt(d, f.Now.Add(time.Duration(2*i)*time.Hour)) // into the next partition
		all = append(all, o.Attempt)
		ok(t, f.S.Record(ctx, []store.Outcome{o}))
	}
	list, err := f.S.Attempts(ctx, p.ID, d.ID, 10)
	ok(t, err)
	same(t, list, all[2:])
	for _, other := range []struct {
		project  convoy.ProjectID
		delivery convoy.DeliveryID
	}{{"another", d.ID}, {p.ID, ds[1].ID}, {p.ID, "x"}} {
		list, err = f.S.Attempts(ctx, other.project, other.delivery, 10)
		ok(t, err)
		same(t, list, []*convoy.Attempt{})
	}
	got, err := f.S.Attempt(ctx, p.ID, d.ID, all[0].ID)
	ok(t, err)
	same(t, got, all[0])
	_, err = f.S.Attempt(ctx, "another", d.ID, all[0].ID)
	refused(t, err, convoy.NotFound, "event delivery attempt not found")
	_, err = f.S.Attempt(ctx, p.ID, ds[1].ID, all[0].ID)
	refused(t, err, convoy.NotFound, "event delivery attempt not found")
}

func leases(t *testing.T, f *Fixture) {
	ctx := t.Context()
	for _, step := range []struct {
		owner string
		after time.Duration
		want  bool
	}{
		{"a", 0, true},
		{"b", time.Second, false},
		{"a", 5 * time.Second, true}, // renewed until 15 s
		{"b", 14 * time.Second, false},
		{"b", 15 * time.Second, true},
		{"a", 16 * time.Second, false},
	} {
		now := f.Now.Add(step.after)
		held, err := f.S.AcquireLease(ctx, "sweep", step.owner, now, now.Add(10*time.Second))
		ok(t, err)
		if held != step.want {
			t.Fatalf("%s after %v: %v, want %v", step.owner, step.after, held, step.want)
		}
	}
	now := f.Now.Add(17 * time.Second)
	ok(t, f.S.ReleaseLease(ctx, "sweep", "a")) // it does not hold it
	if held, err := f.S.AcquireLease(ctx, "sweep", "a", now, now.Add(time.Second)); err != nil || held {
		t.Fatalf("a took the lease of b: %v, %v", held, err)
	}
	ok(t, f.S.ReleaseLease(ctx, "sweep", "b"))
	holders := 0
	held := make([]bool, 8)
	for _, err := range together(len(held), func(i int) (err error) {
		held[i], err = f.S.AcquireLease(ctx, "sweep", string(rune('c'+i)), now, now.Add(time.Second))
		return err
	}) {
		ok(t, err)
	}
	for _, h := range held {
		if h {
			holders++
		}
	}
	if holders != 1 {
		t.Fatalf("%d hold the lease at once", holders)
	}
}

// text checks that texts come back as they went in, whatever an array literal
// or a JSON document would make of them.
func text(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	for _, s := range []string{`"`, `\`, `{a,b}`, `NULL`, ``, ` `, "a\nb", "ä€😀", `'; DROP TABLE events; --`, "$1", "?", strings.Repeat("x", 70_000)} {
		e := f.Event(p.ID, f.Now)
		e.Type, e.URLQuery = s, s
		if s != "" {
			e.Headers = map[string][]string{s: {s, ""}}
			e.Data = []byte(s)
			e.IdempotencyKey = s[:min(len(s), 255)]
		}
		d := f.Delivery(e, convoy.EndpointID(s))
		d.Description = s
		f.Append(t, []*convoy.Event{e}, d)
		got, err := f.S.Event(ctx, p.ID, e.ID)
		ok(t, err)
		same(t, got, e)
		same(t, f.delivery(t, d), d)
		if s == "" {
			continue
		}
		page, err := f.S.Deliveries(ctx, store.DeliveryFilter{
			Project: p.ID, Type: s, Endpoints: []convoy.EndpointID{d.EndpointID, "x"}, Statuses: []convoy.DeliveryStatus{"y", d.Status}})
		ok(t, err)
		if len(page.Items) != 1 || page.Items[0].ID != d.ID {
			t.Fatalf("text %.20q: %d deliveries found, want 1", s, len(page.Items))
		}
	}
}

func maintenance(t *testing.T, f *Fixture) {
	ctx := t.Context()
	ok(t, f.S.Ping(ctx))
	for range 2 {
		for _, err := range together(4, func(int) error { return f.S.EnsurePartitions(ctx, f.Now.AddDate(0, 0, 3), 2) }) {
			ok(t, err)
		}
	}
	p := f.Project(t)
	for day := range 8 {
		f.Fill(t, p.ID, "endpoint", f.Now.AddDate(0, 0, day-1), 3)
	}
	page, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Page: store.Page{PerPage: 100}})
	ok(t, err)
	if len(page.Items) != 24 {
		t.Fatalf("%d events, want 24", len(page.Items))
	}
}
