package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

func (f *Fixture) notice(p convoy.ProjectID, due time.Time) convoy.Notice {
	return convoy.Notice{
		ID: convoy.NoticeID(f.ID(f.Now)), ProjectID: p, Channel: convoy.ChannelSlack, Target: "https://hooks.example.com/a",
		Title: "Deliveries fail", Text: "three\nlines\n", DueAt: due, CreatedAt: f.Now,
	}
}

func notices(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	later, now := f.notice(p.ID, f.Now.Add(time.Minute)), f.notice(p.ID, f.Now)
	ok(t, f.S.AddNotices(ctx, nil))
	ok(t, f.S.AddNotices(ctx, []convoy.Notice{later, now}))
	ok(t, f.S.AddNotices(ctx, []convoy.Notice{now})) // again is nothing new
	due := func(at time.Time, want ...convoy.Notice) {
		t.Helper()
		got, err := f.S.DueNotices(ctx, at, 10)
		ok(t, err)
		same(t, got, append([]convoy.Notice{}, want...))
	}
	due(f.Now.Add(-time.Second))
	due(f.Now, now)
	due(f.Now.Add(time.Minute), now, later)
	now.Tries, now.DueAt = 1, f.Now.Add(time.Hour)
	ok(t, f.S.PostponeNotice(ctx, now.ID, now.Tries, now.DueAt))
	due(f.Now.Add(time.Hour), later, now)
	one, err := f.S.DueNotices(ctx, f.Now.Add(time.Hour), 1)
	ok(t, err)
	same(t, one, []convoy.Notice{later})
	ok(t, f.S.DropNotice(ctx, later.ID))
	ok(t, f.S.DropNotice(ctx, later.ID))
	due(f.Now.Add(time.Hour), now)
}

func alerts(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	id := convoy.SubscriptionID(f.ID(f.Now))
	sent := 0
	note := func(want bool, at ...time.Duration) {
		t.Helper()
		failures := store.Failures{
			Subscription: id, Alert: convoy.AlertConfig{Count: 3, Threshold: time.Minute},
			Notices: []convoy.Notice{f.notice(p.ID, f.Now)},
		}
		for _, d := range at {
			failures.Times = append(failures.Times, f.Now.Add(d))
		}
		raised, err := f.S.NoteFailures(ctx, failures)
		ok(t, err)
		if raised {
			sent++
		}
		list, err := f.S.DueNotices(ctx, f.Now, 100)
		ok(t, err)
		if raised != want || len(list) != sent {
			t.Errorf("at %v: raised %v, want %v; %d notices, want %d", at, raised, want, len(list), sent)
		}
	}
	note(false)
	note(false, 0)
	note(false, 30*time.Second)
	note(false, 61*time.Second) // the first is too old by then
	note(true, 85*time.Second)  // the last three are within a minute
	note(false, 86*time.Second, 87*time.Second, 88*time.Second, 89*time.Second)
	note(false, 144*time.Second)
	note(true, 145*time.Second) // a minute after the first alert
	note(false, time.Hour)
	note(true, time.Hour+time.Second, time.Hour+2*time.Second, time.Hour+3*time.Second)
	n, err := f.S.ForgetAlerts(ctx, f.Now.Add(time.Minute), 10)
	ok(t, err)
	same(t, n, 0)
	n, err = f.S.ForgetAlerts(ctx, f.Now.Add(2*time.Hour), 10)
	ok(t, err)
	same(t, n, 1)
	raised, err := f.S.NoteFailures(ctx, store.Failures{Subscription: id, Times: []time.Time{f.Now}})
	ok(t, err)
	same(t, raised, false)
}

// alertRace has many processes find too many failures at once.
func alertRace(t *testing.T, f *Fixture) {
	p := f.Project(t)
	id := convoy.SubscriptionID(f.ID(f.Now))
	var (
		wg     sync.WaitGroup
		raised atomic.Int32
	)
	for i := range 8 {
		n := f.notice(p.ID, f.Now)
		wg.Go(func() {
			for k := range 10 {
				ok, err := f.S.NoteFailures(context.WithoutCancel(t.Context()), store.Failures{
					Subscription: id, Alert: convoy.AlertConfig{Count: 3, Threshold: time.Hour},
					Times:   []time.Time{f.Now.Add(time.Duration(10*i+k) * time.Second)},
					Notices: []convoy.Notice{n},
				})
				if err != nil {
					t.Error(err)
				}
				if ok {
					raised.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if raised.Load() != 1 {
		t.Errorf("raised %d times", raised.Load())
	}
}
