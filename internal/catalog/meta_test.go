package catalog

import (
	"context"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/testenv"
)

// The project of meta events follows the settings of its owner: at once where
// they are changed, and soon elsewhere. The clock stands still, so that no entry
// is read again because of its age.
func TestMetaProject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := bus.NewMemory()
	here, there := b.catalog(m), b.catalog(m)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = m.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	hidden := b.project.ID.Meta()
	follows := func(c *Catalog, want convoy.MetaEventConfig) bool {
		t.Helper()
		v, err := c.Project(ctx, hidden)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := v.Endpoint(convoy.MetaEndpoint(b.project.ID))
		return ok && e.URL == want.URL && e.Secrets[0].Value == want.Secret && (e.Status == convoy.EndpointActive) == want.Enabled
	}
	for _, want := range []convoy.MetaEventConfig{
		{}, {Enabled: true, URL: "https://one.example", Secret: "a"}, {Enabled: true, URL: "https://two.example", Secret: "b"}, {},
	} {
		p := *b.project
		p.Config.MetaEvent = want
		if err := b.src.UpdateProject(ctx, &p); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := here.Changed(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		if !follows(here, want) {
			t.Errorf("%+v is not seen where it was made", want)
		}
		testenv.Eventually(t, 10*time.Second, func() bool { return follows(there, want) })
		if took := time.Since(start); took > time.Second {
			t.Errorf("%+v took %v", want, took)
		}
	}
	// A pointer identifies a version, also when something else of the owner changes.
	before, err := here.Project(ctx, hidden)
	if err != nil {
		t.Fatal(err)
	}
	b.endpoint(t)
	if err := here.Changed(ctx, b.project.ID); err != nil {
		t.Fatal(err)
	}
	after, err := here.Project(ctx, hidden)
	if err != nil {
		t.Fatal(err)
	}
	was, _ := before.Endpoint(convoy.MetaEndpoint(b.project.ID))
	is, ok := after.Endpoint(convoy.MetaEndpoint(b.project.ID))
	if !ok || is != was || after.Settings() != before.Settings() {
		t.Error("another version, though nothing of it has changed")
	}
	if err := b.src.DeleteProject(ctx, b.project.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := here.Changed(ctx, b.project.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Catalog{here, there} {
		testenv.Eventually(t, 10*time.Second, func() bool {
			_, err := c.Project(ctx, hidden)
			return convoy.IsNotFound(err)
		})
	}
}
