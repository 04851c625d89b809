package storetest

import (
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// ensureDynamic asks for the endpoint of one URL from several processes at once.
func ensureDynamic(t *testing.T, f *Fixture) {
	ctx := t.Context()
	model := f.Endpoint(t, f.Project(t))
	project := model.ProjectID
	candidate := func(url string) store.Dynamic {
		e := *model
		e.ID, e.URL = convoy.EndpointID(f.ID(f.Now)), url
		return store.Dynamic{Endpoint: &e, Now: f.Now}
	}
	types := func(e convoy.EndpointID) [][]string {
		t.Helper()
		subs, err := f.S.Subscriptions(ctx, store.SubscriptionFilter{Project: project, Endpoints: []convoy.EndpointID{e}})
		ok(t, err)
		var out [][]string
		for _, s := range subs.Items {
			out = append(out, s.EventTypes())
			if s.Name != "dynamic-subscription-"+string(e) || s.Mode != convoy.AtLeastOnce {
				t.Errorf("subscription %+v", s)
			}
		}
		return out
	}
	stores := []*store.Store{f.S, New(t, f.DB)}
	const url = "https://new.example.com/hook"
	ids := make([]convoy.EndpointID, 16)
	for _, err := range together(len(ids), func(i int) error {
		e, err := stores[i%len(stores)].EnsureDynamic(ctx, candidate(url))
		if err == nil {
			ids[i] = e.ID
		}
		return err
	}) {
		ok(t, err)
	}
	made := ids[0]
	all, err := f.S.AllEndpoints(ctx, project)
	ok(t, err)
	if len(all) != 2 || all[1].URL != url && all[0].URL != url || len(slices.Compact(ids)) != 1 {
		t.Fatalf("%d endpoints, ids %v", len(all), ids)
	}
	if got := types(made); len(got) != 1 || !slices.Equal(got[0], []string{"*"}) {
		t.Errorf("subscriptions for %v", got)
	}

	// Types that are given replace the old ones, none keep them.
	known := candidate(url)
	known.Endpoint, err = f.S.Endpoint(ctx, project, made)
	ok(t, err)
	known.Known, known.Types, known.Now = true, []string{"b", "a"}, f.Now.Add(time.Second)
	for range 2 {
		e, err := f.S.EnsureDynamic(ctx, known)
		ok(t, err)
		if got := types(made); e.ID != made || len(got) != 1 || !slices.Equal(got[0], []string{"b", "a"}) {
			t.Errorf("endpoint %s, subscriptions for %v", e.ID, got)
		}
		known.Types = nil
	}

	// An endpoint of somebody's own gets a subscription only when it has none.
	own := candidate("x")
	own.Endpoint, own.Known, own.Types = model, true, []string{"c"}
	_, err = f.S.EnsureDynamic(ctx, own)
	ok(t, err)
	if got := types(model.ID); len(got) != 1 || !slices.Equal(got[0], []string{"c"}) {
		t.Errorf("subscriptions for %v", got)
	}

	// The oldest of several endpoints with the URL; none that is deleted, or
	// another project's.
	ok(t, f.S.DeleteEndpoint(ctx, project, made, f.Now))
	e, err := f.S.EnsureDynamic(ctx, candidate(url))
	ok(t, err)
	if e.ID == made {
		t.Error("a deleted endpoint is found")
	}
	_, err = f.S.EnsureDynamic(ctx, store.Dynamic{Endpoint: &convoy.Endpoint{ID: made, ProjectID: project}, Known: true, Now: f.Now})
	refused(t, err, convoy.NotFound, "endpoint not found")
	stranger := candidate(url)
	stranger.Endpoint.ProjectID = f.Project(t).ID
	e, err = f.S.EnsureDynamic(ctx, stranger)
	ok(t, err)
	if e.ID != stranger.Endpoint.ID {
		t.Error("another project's endpoint is found")
	}
	stranger.Endpoint.ProjectID = "01NOPROJECT"
	_, err = f.S.EnsureDynamic(ctx, stranger)
	refused(t, err, convoy.NotFound, "project not found")

	// Templates are those with braces.
	for _, u := range []string{"https://a.example.com/{id}", "https://a.example.com/?b={c}"} {
		_, err := f.S.EnsureDynamic(ctx, candidate(u))
		ok(t, err)
	}
	list, err := f.S.EndpointTemplates(ctx, project)
	ok(t, err)
	if len(list) != 2 || list[0].URL != "https://a.example.com/{id}" || list[1].URL != "https://a.example.com/?b={c}" {
		t.Errorf("%d templates", len(list))
	}
}
