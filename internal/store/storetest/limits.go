package storetest

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

func limits(t *testing.T, f *Fixture) {
	ctx := t.Context()
	change := func(names []string, want []string, to []string, end time.Time) {
		t.Helper()
		ok(t, f.S.ChangeLimits(ctx, names, func(states []string) ([]string, []time.Time) {
			same(t, slices.Clone(states), want)
			return to, slices.Repeat([]time.Time{end}, len(to))
		}))
	}
	soon, late := f.Now.Add(time.Second), f.Now.Add(time.Hour)
	change([]string{"a", "b"}, []string{"", ""}, []string{"1", "2"}, soon)
	change([]string{"a", "b", "c"}, []string{"1", "2", ""}, []string{"", "3 4", "5"}, late)
	change([]string{"a", "c"}, []string{"1", "5"}, []string{"", ""}, late)
	n, err := f.S.ForgetLimits(ctx, f.Now.Add(time.Minute), 100)
	ok(t, err)
	same(t, n, 1)
	change([]string{"a", "b", "c"}, []string{"", "3 4", "5"}, []string{"", "", ""}, late)
	ok(t, f.S.ChangeLimits(ctx, nil, func([]string) ([]string, []time.Time) { panic("nothing to change") }))

	// Nobody changes what somebody else has read and not yet written.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				err := f.S.ChangeLimits(ctx, []string{"b", "n"}, func(states []string) ([]string, []time.Time) {
					n, err := strconv.Atoi("0" + states[1])
					if err != nil {
						t.Error(err)
					}
					return []string{"", strconv.Itoa(n + 1)}, []time.Time{late, late}
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	change([]string{"n"}, []string{"80"}, []string{""}, late)
}

// held are deliveries in the lines of limits.
func held(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	ev := f.Event(p.ID, f.Now)
	e := f.Endpoint(t, p)
	var (
		ds       []*convoy.Delivery
		outcomes []store.Outcome
	)
	for i := range 7 {
		d := f.Delivery(ev, e.ID)
		ds = append(ds, d)
		after := *d
		after.ClaimAt, after.HeldBy, after.DueAt = convoy.Held, "x", f.Now.Add(time.Hour)
		switch i {
		case 5:
			after.HeldBy = "y"
		case 6: // was, and is not any more
			after.ClaimAt, after.PermitAt = f.Now.Add(time.Minute), f.Now.Add(time.Minute)
		}
		outcomes = append(outcomes, store.Outcome{Delivery: &after})
	}
	f.Append(t, []*convoy.Event{ev}, ds...)
	ok(t, f.S.Record(ctx, outcomes))
	if got := f.delivery(t, ds[6]); !got.PermitAt.Equal(f.Now.Add(time.Minute)) || got.HeldBy != "x" {
		t.Fatalf("permit at %v, held by %q", got.PermitAt, got.HeldBy)
	}

	lines := func(after string, max int, want ...string) {
		t.Helper()
		got, err := f.S.HeldBy(ctx, after, max)
		ok(t, err)
		if !slices.Equal(got, want) {
			t.Fatalf("lines of %q, want %q", got, want)
		}
	}
	lines("", 10, "x", "y")
	lines("", 1, "x")
	lines("x", 10, "y")
	lines("y", 10)

	// Nothing but their limit lets them go.
	n, err := f.S.Unpark(ctx, f.Now)
	ok(t, err)
	same(t, n, 0)
	ok(t, f.S.Resume(ctx, e.ID, f.Now))
	ok(t, f.S.Recover(ctx, f.Now.Add(time.Second)))
	if due, _, err := f.S.ClaimDue(ctx, f.Now.Add(30*time.Second), time.Second, 10); err != nil || len(due) != 0 {
		t.Fatalf("%d claimed, %v", len(due), err)
	}
	lines("", 10, "x", "y")

	at := f.Now.Add(10 * time.Second)
	oldest := make([]convoy.DeliveryID, 5)
	for i := range oldest {
		oldest[i] = ds[i].ID
	}
	slices.Sort(oldest)
	released, err := f.S.ReleaseHeld(ctx, "x", 2, at, at.Add(time.Second))
	ok(t, err)
	same(t, released, []store.Due{{ID: oldest[0], Endpoint: e.ID, At: at}, {ID: oldest[1], Endpoint: e.ID, At: at}})
	for _, d := range ds[:5] {
		got := f.delivery(t, d)
		if free := got.ClaimAt.Equal(at.Add(time.Second)) && got.DueAt.Equal(at); free != slices.Contains(oldest[:2], d.ID) {
			t.Errorf("delivery %s: due at %v, claimed from %v", d.ID, got.DueAt, got.ClaimAt)
		}
		if got.HeldBy != "x" {
			t.Errorf("delivery %s was in the line of %q", d.ID, got.HeldBy)
		}
	}
	released, err = f.S.ReleaseHeld(ctx, "x", 100, at, at)
	ok(t, err)
	same(t, dueIDs(released), oldest[2:])
	released, err = f.S.ReleaseHeld(ctx, "x", 100, at, at)
	ok(t, err)
	same(t, len(released), 0)
	lines("", 10, "y")
}
