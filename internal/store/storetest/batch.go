package storetest

import (
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// batch makes a job without storing it.
func (f *Fixture) batch(p convoy.ProjectID, kind convoy.BatchKind, filter convoy.BatchFilter) *convoy.BatchJob {
	return &convoy.BatchJob{
		ID: convoy.BatchJobID(f.ID(f.Now)), ProjectID: p, Kind: kind, Filter: filter, State: convoy.BatchQueued, Matched: 3, Rate: 100,
		Reasons: map[string]int{}, CreatedAt: f.Now, UpdatedAt: f.Now,
	}
}

func (f *Fixture) job(t *testing.T, j *convoy.BatchJob) *convoy.BatchJob {
	t.Helper()
	got, err := f.S.BatchJob(t.Context(), j.ProjectID, j.ID)
	ok(t, err)
	return got
}

// claimJob claims the job that is next, for a minute.
func (f *Fixture) claimJob(t *testing.T, owner string, at time.Time) *convoy.BatchJob {
	t.Helper()
	j, err := f.S.ClaimBatchJob(t.Context(), owner, at, at.Add(time.Minute))
	ok(t, err)
	return j
}

func batchJobs(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	if j := f.claimJob(t, "a", f.Now); j != nil {
		t.Fatalf("claimed %+v of nothing", j)
	}
	filter := convoy.BatchFilter{
		Endpoints: []convoy.EndpointID{"e"}, Sources: []convoy.SourceID{"s"}, Event: "v", Subscription: "b", EventType: "t", IdempotencyKey: "k",
		Statuses: []convoy.DeliveryStatus{convoy.DeliveryFailure}, From: f.Now.Add(-time.Hour), To: f.Now,
	}
	one, two := f.batch(p.ID, convoy.BatchReplay, filter), f.batch(p.ID, convoy.BatchRetry, filter)
	ok(t, f.S.CreateBatchJob(ctx, one))
	ok(t, f.S.CreateBatchJob(ctx, two))
	same(t, f.job(t, one), one)
	_, err := f.S.BatchJob(ctx, other.ID, one.ID)
	refused(t, err, convoy.NotFound, "batch job not found")
	walk(t, []string{string(two.ID), string(one.ID)}, func(at store.Page) (list, error) {
		page, err := f.S.BatchJobs(ctx, p.ID, at)
		return listed(page, func(j *convoy.BatchJob) string { return string(j.ID) }), err
	})

	// The oldest first; what is claimed is nobody else's until the lease ends.
	a, b := f.claimJob(t, "a", f.Now), f.claimJob(t, "b", f.Now)
	one.State, one.Owner, one.LeaseUntil, one.StartedAt = convoy.BatchRunning, "a", f.Now.Add(time.Minute), f.Now
	same(t, a, one)
	same(t, b.ID, two.ID)
	if j := f.claimJob(t, "c", f.Now); j != nil {
		t.Fatalf("%s claimed twice", j.ID)
	}
	a.Reached = "here"
	a.Count(2, map[string]int{"gone": 1})
	later := f.Now.Add(10 * time.Second)
	ok(t, f.S.SaveBatchJob(ctx, a, later))
	one.Reached, one.Processed, one.Succeeded, one.Failed, one.Reasons, one.UpdatedAt = "here", 3, 2, 1, map[string]int{"gone": 1}, later
	same(t, f.job(t, one), one)
	state, err := f.S.RenewBatchJob(ctx, a, f.Now.Add(2*time.Minute))
	ok(t, err)
	same(t, state, convoy.BatchRunning)
	if j := f.claimJob(t, "c", f.Now.Add(90*time.Second)); j == nil || j.ID != two.ID {
		t.Fatalf("claimed %+v, want the one whose lease has ended", j)
	}
	// The old owner is fenced off.
	refused(t, f.S.SaveBatchJob(ctx, b, later), convoy.Conflict, "the batch job is somebody else's")
	_, err = f.S.RenewBatchJob(ctx, b, later)
	refused(t, err, convoy.Conflict, "the batch job is somebody else's")
	_, err = f.S.RetryBatch(ctx, b, 10, later)
	refused(t, err, convoy.Conflict, "the batch job is somebody else's")
	b.State = convoy.BatchDone
	ok(t, f.S.LeaveBatchJob(ctx, b, time.Time{}, later))
	same(t, f.job(t, two).State, convoy.BatchRunning)

	// A job that is left waits until the time given, and takes its turn then.
	a.FailingSince, a.Error = later, "down"
	ok(t, f.S.LeaveBatchJob(ctx, a, f.Now.Add(3*time.Minute), later))
	if j := f.claimJob(t, "d", f.Now.Add(150*time.Second)); j == nil || j.ID != two.ID {
		t.Fatalf("claimed %+v", j)
	}
	c := f.claimJob(t, "d", f.Now.Add(3*time.Minute))
	if c == nil || c.ID != one.ID || c.Error != "down" || !c.FailingSince.Equal(later) || c.Processed != 3 {
		t.Fatalf("claimed %+v", c)
	}
	c.State = convoy.BatchDone
	ok(t, f.S.LeaveBatchJob(ctx, c, time.Time{}, later))
	if got := f.job(t, one); got.State != convoy.BatchDone || !got.FinishedAt.Equal(later) || got.Owner != "" {
		t.Fatalf("ended %+v", got)
	}
	n, err := f.S.ForgetBatchJobs(ctx, later.Add(-1), 10)
	ok(t, err)
	same(t, n, 0)
	n, err = f.S.ForgetBatchJobs(ctx, later, 10)
	ok(t, err)
	same(t, n, 1)
	_, err = f.S.BatchJob(ctx, p.ID, one.ID)
	refused(t, err, convoy.NotFound, "batch job not found")
}

func batchStates(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	j := f.batch(p.ID, convoy.BatchRetry, convoy.BatchFilter{})
	ok(t, f.S.CreateBatchJob(ctx, j))
	second := f.batch(p.ID, convoy.BatchRetry, convoy.BatchFilter{})
	refused(t, f.S.CreateBatchJob(ctx, second), convoy.Conflict, "an active batch retry already exists")
	active, err := f.S.ActiveBatchRetry(ctx, p.ID)
	ok(t, err)
	same(t, active, true)
	set := func(j *convoy.BatchJob, to convoy.BatchState) error {
		got, err := f.S.SetBatchState(ctx, p.ID, j.ID, to, f.Now)
		if err != nil {
			return err
		}
		stored, err := f.S.BatchJob(ctx, p.ID, j.ID)
		same(t, got, stored)
		return err
	}
	for range 2 { // the second time changes nothing
		ok(t, set(j, convoy.BatchPaused))
	}
	if got := f.claimJob(t, "a", f.Now); got != nil {
		t.Fatal("a paused job was claimed")
	}
	ok(t, set(j, convoy.BatchQueued))
	got := f.claimJob(t, "a", f.Now)
	ok(t, set(j, convoy.BatchQueued)) // it runs: nothing to resume
	ok(t, set(j, convoy.BatchPaused))
	got.Count(1, nil)
	ok(t, f.S.SaveBatchJob(ctx, got, f.Now)) // what was done counts
	same(t, got.State, convoy.BatchPaused)
	// Resumed before its owner has noticed, it is the owner's still.
	ok(t, set(j, convoy.BatchQueued))
	ok(t, f.S.SaveBatchJob(ctx, got, f.Now))
	same(t, got.State, convoy.BatchRunning)
	ok(t, set(j, convoy.BatchCancelled))
	got.State = convoy.BatchDone
	ok(t, f.S.LeaveBatchJob(ctx, got, time.Time{}, f.Now.Add(time.Hour)))
	if got := f.job(t, j); got.State != convoy.BatchCancelled || !got.FinishedAt.Equal(f.Now) || got.Processed != 1 {
		t.Fatalf("cancelled %+v", got)
	}
	for _, to := range []convoy.BatchState{convoy.BatchPaused, convoy.BatchQueued} {
		refused(t, set(j, to), convoy.Invalid, "the batch job is cancelled")
	}
	// A failed one may be resumed, unless another is under way.
	ok(t, f.S.CreateBatchJob(ctx, second))
	failed := f.claimJob(t, "a", f.Now)
	failed.State, failed.Error, failed.FailingSince = convoy.BatchFailed, "down", f.Now
	ok(t, f.S.LeaveBatchJob(ctx, failed, time.Time{}, f.Now))
	third := f.batch(p.ID, convoy.BatchRetry, convoy.BatchFilter{})
	ok(t, f.S.CreateBatchJob(ctx, third))
	refused(t, set(second, convoy.BatchQueued), convoy.Conflict, "an active batch retry already exists")
	ok(t, set(third, convoy.BatchCancelled))
	ok(t, set(second, convoy.BatchQueued))
	if got := f.job(t, second); got.State != convoy.BatchQueued || got.Error != "" || !got.FailingSince.IsZero() || !got.FinishedAt.IsZero() {
		t.Fatalf("resumed %+v", got)
	}
	_, err = f.S.SetBatchState(ctx, "other", j.ID, convoy.BatchPaused, f.Now)
	refused(t, err, convoy.NotFound, "batch job not found")
	// Replays are bounded.
	for range 100 {
		ok(t, f.S.CreateBatchJob(ctx, f.batch(p.ID, convoy.BatchReplay, convoy.BatchFilter{})))
	}
	refused(t, f.S.CreateBatchJob(ctx, f.batch(p.ID, convoy.BatchReplay, convoy.BatchFilter{})), convoy.Conflict,
		"the project has 100 batch replays that have not ended")
}

// batchRace: of many that claim at once each gets another job.
func batchRace(t *testing.T, f *Fixture) {
	const jobs, claimers = 20, 8
	p := f.Project(t)
	for range jobs {
		ok(t, f.S.CreateBatchJob(t.Context(), f.batch(p.ID, convoy.BatchReplay, convoy.BatchFilter{})))
	}
	claimed := make([][]convoy.BatchJobID, claimers)
	for _, err := range together(claimers, func(i int) error {
		for len(claimed[i]) < jobs {
			j, err := f.S.ClaimBatchJob(t.Context(), "owner", f.Now, f.Now.Add(time.Minute))
			if err != nil || j == nil {
				return err
			}
			claimed[i] = append(claimed[i], j.ID)
		}
		return nil
	}) {
		ok(t, err)
	}
	all := slices.Sorted(slices.Values(slices.Concat(claimed...)))
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Fatalf("%d claims of %d jobs", len(all), n)
	}
	// A claimer that met only locked rows has stopped early.
	for len(all) < jobs {
		j := f.claimJob(t, "owner", f.Now)
		if j == nil {
			t.Fatalf("%d of %d jobs were claimed", len(all), jobs)
		}
		all = append(all, j.ID)
	}
}

// batchEvents walks the events of a job as a process does.
func batchEvents(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	a, b := f.Endpoint(t, p), f.Endpoint(t, p)
	events, _ := f.Fill(t, p.ID, a.ID, f.Now, 30)
	more, _ := f.Fill(t, p.ID, b.ID, f.Now.Add(time.Second), 20)
	more[3].Type = "other"
	late := f.Event(p.ID, f.Now.Add(2*time.Second))
	late.SourceID, late.IdempotencyKey = "elsewhere", "key"
	late.Headers = map[string][]string{store.BrokerMessageHeader: {"m-1"}}
	replay := f.Replay(late, a.ID, f.Now.Add(time.Hour))
	f.Append(t, []*convoy.Event{late}, f.Delivery(late, b.ID), replay)
	twice := f.Replay(events[0], a.ID, f.Now.Add(time.Hour))
	f.Append(t, nil, twice)
	f.Fill(t, f.Project(t).ID, a.ID, f.Now, 5) // another project's
	both := []convoy.EndpointID{a.ID, b.ID}
	for name, tt := range map[string]struct {
		filter convoy.BatchFilter
		want   int
	}{
		"all":               {convoy.BatchFilter{}, 51},
		"window":            {convoy.BatchFilter{From: f.Now.Add(5 * time.Millisecond), To: f.Now.Add(14 * time.Millisecond)}, 10},
		"endpoint":          {convoy.BatchFilter{Endpoints: both[:1]}, 31}, // late came by its replay
		"endpoints":         {convoy.BatchFilter{Endpoints: both}, 51},
		"unknown":           {convoy.BatchFilter{Endpoints: []convoy.EndpointID{"x"}}, 0},
		"endpoint, window":  {convoy.BatchFilter{Endpoints: both[:1], From: f.Now.Add(time.Second)}, 1},
		"source":            {convoy.BatchFilter{Sources: []convoy.SourceID{"elsewhere"}}, 1},
		"sources, endpoint": {convoy.BatchFilter{Sources: []convoy.SourceID{"source", "x"}, Endpoints: both[1:]}, 20},
		"type":              {convoy.BatchFilter{EventType: "invoice.paid"}, 51},
		"type, endpoint":    {convoy.BatchFilter{EventType: "other", Endpoints: both}, 0},
		"key":               {convoy.BatchFilter{IdempotencyKey: "key"}, 1},
		"message":           {convoy.BatchFilter{BrokerMessage: "m-1"}, 1},
		"message, endpoint": {convoy.BatchFilter{BrokerMessage: "m-1", Endpoints: both}, 1},
		"no message":        {convoy.BatchFilter{BrokerMessage: "m", Endpoints: both}, 0},
		"key, endpoint":     {convoy.BatchFilter{IdempotencyKey: "key", Endpoints: both[1:]}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			j := f.batch(p.ID, convoy.BatchReplay, tt.filter)
			n, err := f.S.BatchCount(ctx, j)
			ok(t, err)
			if n != tt.want {
				t.Errorf("%d counted, want %d", n, tt.want)
			}
			for _, max := range []int{1, 7, tt.want + 1} {
				j.Reached = ""
				seen := 0
				for more := true; more; {
					got, err := f.S.BatchEvents(ctx, j, max, 1<<20)
					ok(t, err)
					for _, e := range got.Events {
						if string(e.ID) <= j.Reached {
							t.Fatalf("%s after %s", e.ID, j.Reached)
						}
						j.Reached = string(e.ID)
					}
					if seen += len(got.Events); len(got.Events) > max || got.Reached < j.Reached {
						t.Fatalf("%d events to %s, asked for %d", len(got.Events), got.Reached, max)
					}
					j.Reached, more = got.Reached, got.More
				}
				if seen != tt.want {
					t.Errorf("%d at a time: %d seen, want %d", max, seen, tt.want)
				}
			}
		})
	}
	// Bytes bound a chunk too, but one event always fits.
	for _, endpoints := range [][]convoy.EndpointID{nil, both} {
		j := f.batch(p.ID, convoy.BatchReplay, convoy.BatchFilter{Endpoints: endpoints})
		for bytes, want := range map[int]int{3 * events[0].Size(): 3, 1: 1} {
			got, err := f.S.BatchEvents(ctx, j, 50, bytes)
			if ok(t, err); len(got.Events) != want || !got.More || got.Reached != string(got.Events[want-1].ID) {
				t.Errorf("%d events to %s, more %v; want %d", len(got.Events), got.Reached, got.More, want)
			}
		}
	}
	n, err := f.S.CountEvents(ctx, store.EventFilter{Project: p.ID})
	ok(t, err)
	same(t, n, 51)
}

// batchRetry sends failed deliveries again in chunks.
func batchRetry(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	fine, paused := f.Endpoint(t, p), f.Endpoint(t, p)
	events, ds := f.Fill(t, p.ID, fine.ID, f.Now, 40)
	now := f.Now.Add(time.Hour)
	var outcomes []store.Outcome
	end := func(d *convoy.Delivery, status convoy.DeliveryStatus, due time.Time) {
		before := d.Trials
		d.Status, d.Trials, d.DueAt, d.ClaimAt, d.UpdatedAt = status, 5, due, due, f.Now
		outcomes = append(outcomes, store.Outcome{Delivery: d, Before: before})
	}
	for i, d := range ds {
		switch i % 4 {
		case 0:
			end(d, convoy.DeliveryFailure, time.Time{})
		case 1:
			end(d, convoy.DeliverySuccess, time.Time{})
		case 2:
			end(d, convoy.DeliveryDiscarded, time.Time{})
		}
	}
	end(ds[3], convoy.DeliveryRetry, now.Add(time.Minute)) // waits
	end(ds[7], convoy.DeliveryRetry, now.Add(-time.Second))
	held, gone, lost := f.Delivery(events[0], paused.ID), f.Delivery(events[0], "gone"), f.Delivery(f.Event(p.ID, f.Now), fine.ID)
	f.Append(t, nil, held, gone, lost)
	for _, d := range []*convoy.Delivery{held, gone, lost} {
		end(d, convoy.DeliveryFailure, time.Time{})
	}
	ok(t, f.S.Record(ctx, outcomes))
	_, err := f.S.SetEndpointStatus(ctx, p.ID, paused.ID, convoy.EndpointPaused, f.Now)
	ok(t, err)

	troubles := []convoy.DeliveryStatus{convoy.DeliveryDiscarded, convoy.DeliveryFailure, convoy.DeliveryRetry}
	j := f.batch(p.ID, convoy.BatchRetry, convoy.BatchFilter{Statuses: troubles})
	ok(t, f.S.CreateBatchJob(ctx, j))
	n, err := f.S.BatchCount(ctx, j)
	ok(t, err)
	same(t, n, 25)
	n, err = f.S.CountDeliveries(ctx, store.DeliveryFilter{Project: p.ID, Endpoints: []convoy.EndpointID{paused.ID, "gone"}, Statuses: troubles})
	ok(t, err)
	same(t, n, 2)
	none := f.batch(p.ID, convoy.BatchRetry, convoy.BatchFilter{Statuses: troubles, IdempotencyKey: "nobody's"})
	n, err = f.S.BatchCount(ctx, none)
	ok(t, err)
	same(t, n, 0)

	work := f.claimJob(t, "a", now)
	chunks := 0
	for more := true; more; chunks++ {
		more, err = f.S.RetryBatch(ctx, work, 10, now)
		ok(t, err)
		same(t, f.job(t, j).Reached, work.Reached) // saved with what it did
	}
	if work.Processed != 25 || work.Succeeded != 21 || chunks != 3 {
		t.Fatalf("%d processed, %d succeeded in %d chunks", work.Processed, work.Succeeded, chunks)
	}
	same(t, work.Reasons, map[string]int{
		"endpoint is paused": 1, "endpoint was deleted": 1, "event is no longer kept": 1, "a try is under way": 1,
	})
	for i, d := range ds {
		got := f.delivery(t, d)
		if again := i%4 == 0 || i%4 == 2 || i == 3; !again {
			same(t, got, d)
		} else if got.Status != convoy.DeliveryScheduled || got.Trials != 0 || got.Resends != 1 || !got.ClaimAt.Equal(now) || !got.DueAt.Equal(now) {
			t.Fatalf("delivery %d is %+v", i, got)
		}
	}
	for _, d := range []*convoy.Delivery{held, gone, lost} {
		same(t, f.delivery(t, d), d)
	}

	// A job that is to stop does nothing more.
	work.Reached = ""
	ok(t, f.S.Record(ctx, []store.Outcome{{Delivery: failed(f.delivery(t, ds[0])), Before: 0}}))
	_, err = f.S.SetBatchState(ctx, p.ID, j.ID, convoy.BatchPaused, now)
	ok(t, err)
	_, err = f.S.RetryBatch(ctx, work, 10, now)
	ok(t, err)
	if got := f.delivery(t, ds[0]); work.State != convoy.BatchPaused || got.Status != convoy.DeliveryFailure {
		t.Fatalf("a paused job went on: %v, %+v", work.State, got)
	}
}

func failed(d *convoy.Delivery) *convoy.Delivery {
	d.Status, d.DueAt, d.ClaimAt = convoy.DeliveryFailure, time.Time{}, time.Time{}
	d.Trials++
	return d
}

func forceResend(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	fine, paused := f.Endpoint(t, p), f.Endpoint(t, p)
	_, ds := f.Fill(t, p.ID, fine.ID, f.Now, 3)
	_, held := f.Fill(t, p.ID, paused.ID, f.Now, 1)
	_, foreign := f.Fill(t, other.ID, f.Endpoint(t, other).ID, f.Now, 1)
	var outcomes []store.Outcome
	for _, d := range slices.Concat(ds, held, foreign) {
		d.Status, d.Trials, d.DueAt, d.ClaimAt = convoy.DeliverySuccess, 1, time.Time{}, time.Time{}
		outcomes = append(outcomes, store.Outcome{Delivery: d})
	}
	outcomes[2].Delivery.Status = convoy.DeliveryFailure
	ok(t, f.S.Record(ctx, outcomes))
	_, err := f.S.SetEndpointStatus(ctx, p.ID, paused.ID, convoy.EndpointInactive, f.Now)
	ok(t, err)
	_, _, err = f.S.ForceResend(ctx, p.ID, []convoy.DeliveryID{ds[0].ID, ds[2].ID}, f.Now)
	refused(t, err, convoy.Invalid, "only successful events can be force resent")
	same(t, f.delivery(t, ds[0]), ds[0])
	n, reasons, err := f.S.ForceResend(ctx, p.ID, []convoy.DeliveryID{ds[0].ID, ds[1].ID, ds[0].ID, held[0].ID, foreign[0].ID, "unknown"}, f.Now)
	ok(t, err)
	same(t, n, 2)
	same(t, reasons, map[string]int{"endpoint is inactive": 1})
	if got := f.delivery(t, ds[1]); got.Status != convoy.DeliveryScheduled || got.Trials != 0 || got.Resends != 1 || !got.ClaimAt.Equal(f.Now) {
		t.Fatalf("resent %+v", got)
	}
	same(t, f.delivery(t, foreign[0]), foreign[0])
	n, _, err = f.S.ForceResend(ctx, p.ID, nil, f.Now)
	ok(t, err)
	same(t, n, 0)
}
