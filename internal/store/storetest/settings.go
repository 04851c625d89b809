package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// since returns what has changed of a project's settings, which must be known,
// and the revision.
func (f *Fixture) since(t *testing.T, p convoy.ProjectID, r store.SettingsRevision) ([]store.SettingsChange, store.SettingsRevision) {
	t.Helper()
	c, err := f.S.SettingsChanges(t.Context(), p, r)
	ok(t, err)
	if !c.Complete {
		t.Fatalf("what has changed from revision %d to %d is not known: %d changes are", r, c.Revision, len(c.Rows))
	}
	return c.Rows, c.Revision
}

// settingsChanges writes every kind of setting and reads what has changed.
func settingsChanges(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	rows, at := f.since(t, p.ID, 0)
	same(t, rows, []store.SettingsChange{{Kind: store.ProjectSettings, ID: string(p.ID)}, {Kind: store.EventTypeSettings, ID: string(p.ID)}})
	_, others := f.since(t, other.ID, 0)
	e, sub, src := &convoy.Endpoint{}, &convoy.Subscription{}, f.Source(p)
	et := &convoy.EventType{ID: convoy.EventTypeID(f.ID(f.Now)), ProjectID: p.ID, Name: "a", CreatedAt: f.Now}
	endpoint := func() store.SettingsChange {
		return store.SettingsChange{Kind: store.EndpointSettings, ID: string(e.ID)}
	}
	subscription := func() store.SettingsChange {
		return store.SettingsChange{Kind: store.SubscriptionSettings, ID: string(sub.ID)}
	}
	source := store.SettingsChange{Kind: store.SourceSettings, ID: string(src.ID)}
	eventType := store.SettingsChange{Kind: store.EventTypeSettings, ID: string(et.ID)}
	for _, step := range []struct {
		name  string
		write func() error
		want  func() []store.SettingsChange
	}{
		{"create endpoint", func() error { e = f.Endpoint(t, p); return nil }, func() []store.SettingsChange { return []store.SettingsChange{endpoint()} }},
		{"update endpoint", func() error { return f.S.UpdateEndpoint(ctx, e) }, func() []store.SettingsChange { return []store.SettingsChange{endpoint()} }},
		{"create subscription", func() error {
			sub = f.Subscription(e)
			sub.SourceID = src.ID
			return f.S.CreateSubscription(ctx, sub)
		}, func() []store.SettingsChange { return []store.SettingsChange{subscription()} }},
		{"update subscription", func() error { return f.S.UpdateSubscription(ctx, sub) }, func() []store.SettingsChange { return []store.SettingsChange{subscription()} }},
		{"read only", func() error { _, err := f.S.AllEndpoints(ctx, p.ID); return err }, func() []store.SettingsChange { return nil }},
		{"create source", func() error { return f.S.CreateSource(ctx, src) }, func() []store.SettingsChange { return []store.SettingsChange{source} }},
		{"delete source", func() error { return f.S.DeleteSource(ctx, p.ID, src.ID, f.Now) }, func() []store.SettingsChange { return []store.SettingsChange{source, subscription()} }},
		{"create both", func() error {
			e2 := *e
			e2.ID = convoy.EndpointID(f.ID(f.Now))
			e, sub = &e2, f.Subscription(&e2)
			return f.S.CreateSubscribed(ctx, []*convoy.Endpoint{e}, []*convoy.Subscription{sub})
		}, func() []store.SettingsChange { return []store.SettingsChange{endpoint(), subscription()} }},
		{"delete endpoint", func() error { return f.S.DeleteEndpoint(ctx, p.ID, e.ID, f.Now) }, func() []store.SettingsChange { return []store.SettingsChange{endpoint(), subscription()} }},
		{"in vain", func() error {
			if err := f.S.DeleteEndpoint(ctx, p.ID, e.ID, f.Now); !convoy.IsNotFound(err) {
				return fmt.Errorf("deleted twice: %w", err)
			}
			return nil
		}, func() []store.SettingsChange { return nil }},
		{"create event type", func() error { return f.S.CreateEventType(ctx, et) }, func() []store.SettingsChange { return []store.SettingsChange{eventType} }},
		{"deprecate event type", func() error {
			_, err := f.S.DeprecateEventType(ctx, p.ID, et.ID, f.Now)
			return err
		}, func() []store.SettingsChange { return []store.SettingsChange{eventType} }},
		{"update project", func() error { return f.S.UpdateProject(ctx, p) }, func() []store.SettingsChange {
			return []store.SettingsChange{{Kind: store.ProjectSettings, ID: string(p.ID)}}
		}},
	} {
		if err := step.write(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		rows, now := f.since(t, p.ID, at)
		if want := step.want(); !slices.Equal(rows, want) {
			t.Errorf("%s: %v, want %v", step.name, rows, want)
		}
		if int(now-at) != len(rows) {
			t.Errorf("%s: revision %d after %d with %d changes", step.name, now, at, len(rows))
		}
		at = now
	}
	if rows, now := f.since(t, other.ID, others); len(rows) > 0 || now != others {
		t.Errorf("another project has changed, too: %v", rows)
	}
	for _, r := range []store.SettingsRevision{at + 1, store.NewestSettings} { // those of another history
		c, err := f.S.SettingsChanges(ctx, p.ID, r)
		ok(t, err)
		if c.Complete || c.Revision != at || len(c.Rows) > 0 {
			t.Errorf("since a revision that is not: %+v", c)
		}
	}
}

// settingsForgotten writes more than is remembered.
func settingsForgotten(t *testing.T, f *Fixture) {
	ctx := t.Context()
	e := f.Endpoint(t, f.Project(t))
	_, at := f.since(t, e.ProjectID, 0)
	endpoints := make([]*convoy.Endpoint, 501)
	subs := make([]*convoy.Subscription, len(endpoints))
	for i := range endpoints {
		one := *e
		one.ID = convoy.EndpointID(f.ID(f.Now))
		endpoints[i], subs[i] = &one, f.Subscription(&one)
	}
	ok(t, f.S.CreateSubscribed(ctx, endpoints, subs))
	c, err := f.S.SettingsChanges(ctx, e.ProjectID, at)
	ok(t, err)
	if c.Complete || int(c.Revision-at) != 2*len(endpoints) {
		t.Errorf("complete %v, revision %d after %d", c.Complete, c.Revision, at)
	}
	if rows, _ := f.since(t, e.ProjectID, at+2); len(rows) != 1000 || rows[999].ID != string(subs[500].ID) {
		t.Errorf("%d changes are remembered", len(rows))
	}
}

// settingsRace writes at once and reads what has changed all the while: nothing
// may appear behind a revision that was read, and nobody wait for each other.
func settingsRace(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	_, start := f.since(t, p.ID, 0)
	const writers, writes = 6, 20 // fewer changes than are remembered
	model := f.Endpoint(t, p)
	var (
		wg   sync.WaitGroup
		done = make(chan struct{})
		seen []store.SettingsChange
		read error
	)
	wg.Go(func() {
		at, last := start, false
		for {
			c, err := f.S.SettingsChanges(ctx, p.ID, at)
			if err != nil || !c.Complete {
				read = fmt.Errorf("%d changes from revision %d to %d, %w", len(c.Rows), at, c.Revision, err)
				return
			}
			seen, at = append(seen, c.Rows...), c.Revision
			if last {
				return
			}
			select {
			case <-done:
				last = true
			default:
			}
		}
	})
	for _, err := range together(writers, func(int) error {
		for range writes {
			a, b := *model, *model
			a.ID, a.OwnerID, b.ID, b.OwnerID = convoy.EndpointID(f.ID(f.Now)), "", convoy.EndpointID(f.ID(f.Now)), ""
			subs := []*convoy.Subscription{f.Subscription(&a), f.Subscription(&b)}
			if err := f.S.CreateSubscribed(ctx, []*convoy.Endpoint{&a, &b}, subs); err != nil {
				return err
			}
			// One transaction writes both while another writes the second.
			l := &convoy.PortalLink{
				ID: convoy.PortalLinkID(f.ID(f.Now)), ProjectID: p.ID, OwnerID: "owner", Auth: convoy.PortalStatic, Token: f.ID(f.Now),
				Endpoints: []convoy.EndpointID{a.ID, b.ID}, CreatedAt: f.Now, UpdatedAt: f.Now,
			}
			if err := errors.Join(together(2, func(i int) error {
				if i == 0 {
					return f.S.CreatePortalLink(ctx, l)
				}
				return f.S.UpdateEndpoint(ctx, &b)
			})...); err != nil {
				return err
			}
		}
		return nil
	}) {
		ok(t, err)
	}
	close(done)
	wg.Wait()
	ok(t, read)
	all, end := f.since(t, p.ID, start)
	if want := 1 + 7*writers*writes; len(all) != want || int(end-start) != want || !slices.Equal(all, seen) {
		t.Errorf("%d changes, %d of them seen, revision %d after %d, want %d", len(all), len(seen), end, start, want)
	}
	_, err := f.S.SettingsChanges(ctx, convoy.ProjectID(f.ID(f.Now.Add(time.Hour))), 0)
	ok(t, err) // no such project, no changes
}
