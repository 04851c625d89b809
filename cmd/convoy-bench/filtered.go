package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// subscribers is how many endpoints are made at once.
const subscribers = 8

// runFiltered publishes to all subscribers of a project with many, each of which
// wants the events of one group.
func runFiltered(ctx context.Context, b *bench, s system) (result, error) {
	m, err := b.on(ctx, s, nil, func(r *running) (measurement, error) {
		l := b.load
		if !s.isCeiling() {
			if err := b.subscribeGroups(ctx, r); err != nil {
				return measurement{}, err
			}
			r.target.endpointID = ""
			l.groups = b.filters
		}
		if err := b.warm(ctx, s, r, l); err != nil {
			return measurement{}, err
		}
		return measure(ctx, r.target, l, r.watched, b.sink, steps{})
	})
	return result{m: m}, err
}

// subscribeGroups replaces the endpoint that takes everything by one for each
// group.
func (b *bench) subscribeGroups(ctx context.Context, r *running) error {
	transport := &http.Transport{MaxIdleConnsPerHost: subscribers}
	defer transport.CloseIdleConnections()
	a := &api{r.target, &http.Client{Timeout: 15 * time.Second, Transport: transport}}
	if err := a.call(ctx, http.MethodDelete, "/endpoints/"+r.target.endpointID, nil, nil); err != nil {
		return fmt.Errorf("delete endpoint: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for worker := range subscribers {
		wg.Go(func() {
			for group := worker; group < b.filters && ctx.Err() == nil; group += subscribers {
				if err := a.subscribeGroup(ctx, b.sink.url(), group); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// subscribeGroup makes an endpoint for the events of one group. The second
// condition is one that every event meets.
func (a *api) subscribeGroup(ctx context.Context, endpointURL string, group int) error {
	_, err := a.subscribeTo(ctx, endpointURL, map[string]any{
		"event_types": []string{"*"},
		"filter":      map[string]any{"body": map[string]any{"bench_group": groupBase + group, "pad": map[string]any{"$exist": true}}},
	})
	return err
}
