package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
)

// Of so many rows one is rare in each way.
const rarity = 5000

const rareType = "rare.type"

// listDays is over how many days the rows are spread; the API's lists show the
// last seven unless asked.
const listDays = 6

// listData is what a filled store holds and what its lists are asked for.
type listData struct {
	events, deliveries, attempts int

	project      string
	endpoints    []convoy.EndpointID
	rareEndpoint convoy.EndpointID
	// The others that few rows have.
	rareSource, rareSubscription, rareOwner, key, keyPart, brokerMessage string

	middleEvent     convoy.EventID
	middleDelivery  convoy.DeliveryID
	start, day, end time.Time
}

// fillLists writes events of the last days with a delivery each, most of which
// went well at the first try.
func fillLists(ctx context.Context, s *store.Store, t target, n int) (*listData, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	d := &listData{
		project: t.project, rareSource: id.New(now), rareSubscription: id.New(now), rareOwner: "rare-owner", key: "the-key", brokerMessage: "message-7",
		start: now.AddDate(0, 0, -listDays), day: now.AddDate(0, 0, -2), end: now.Add(time.Hour),
	}
	if err := s.EnsurePartitions(ctx, d.start, listDays+2); err != nil {
		return nil, err
	}
	for i := range 20 {
		e := &convoy.Endpoint{
			ID: convoy.EndpointID(id.New(now)), ProjectID: convoy.ProjectID(t.project), URL: "http://127.0.0.1:9/", Name: fmt.Sprintf("endpoint %d", i),
			Secrets: []convoy.Secret{{ID: id.New(now), Value: "secret"}}, Status: convoy.EndpointPaused, ContentType: "application/json",
			CreatedAt: now, UpdatedAt: now,
		}
		if i == 19 {
			e.Name, e.OwnerID, d.rareEndpoint = "rare", d.rareOwner, e.ID
		} else {
			d.endpoints = append(d.endpoints, e.ID)
		}
		if err := s.CreateEndpoint(ctx, e); err != nil {
			return nil, err
		}
	}
	const batch = 1000
	step := now.Sub(d.start) / time.Duration(n+1)
	for lo := 0; lo < n; lo += batch {
		if err := d.write(ctx, s, lo, min(lo+batch, n), n, step); err != nil {
			return nil, err
		}
	}
	return d, indexAll(ctx, s)
}

// indexAll has the search index reach the last event, as the scheduler would.
func indexAll(ctx context.Context, s *store.Store) error {
	begin, indexed := time.Now(), 0
	for more := true; more; {
		n, further, err := s.IndexEvents(ctx, time.Now().Add(time.Minute))
		if err != nil {
			return err
		}
		indexed, more = indexed+n, further
	}
	took := time.Since(begin)
	fmt.Fprintf(os.Stderr, "%d events indexed in %v, %v each\n", indexed, took.Round(time.Millisecond), took/time.Duration(max(indexed, 1)))
	return nil
}

// customers is of how many the events tell, each of as many.
const customers = 10_000

var padding = strings.Repeat("x", 850)

func listPayload(i int) []byte {
	return fmt.Appendf(nil, `{"id":"inv_%08d","amount":%d.5,"customer":{"id":"cus_%d","tier":"gold"},"lines":[{"sku":"sku-%d","quantity":%d}],"pad":"%s"}`,
		i, i%9973, i%customers, i%997, i%13, padding)
}

// listKey is the idempotency key of some events.
func listKey(i int) string {
	sum := sha256.Sum256(strconv.AppendInt(nil, int64(i), 10))
	return hex.EncodeToString(sum[:16])
}

// write stores the events lo to hi of n.
func (d *listData) write(ctx context.Context, s *store.Store, lo, hi, n int, step time.Duration) error {
	var (
		r        store.Routed
		outcomes []store.Outcome
	)
	for i := lo; i < hi; i++ {
		at := d.start.Add(time.Duration(i+1) * step).Truncate(time.Microsecond)
		e := &convoy.Event{
			ID: convoy.EventID(id.New(at)), ProjectID: convoy.ProjectID(d.project), Type: "invoice.paid", Data: listPayload(i),
			Endpoints: []convoy.EndpointID{d.endpoints[i%len(d.endpoints)]}, Status: convoy.EventSuccess,
			AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
		}
		del := &convoy.Delivery{
			ID: convoy.DeliveryID(id.New(at)), ProjectID: e.ProjectID, EventID: e.ID, EndpointID: e.Endpoints[0],
			SubscriptionID: convoy.SubscriptionID(e.Endpoints[0]), Mode: convoy.AtLeastOnce, Status: convoy.DeliveryScheduled,
			Retry: convoy.RetryPolicy{Type: convoy.RetryLinear, Interval: time.Minute, Limit: 10},
			DueAt: at, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
		}
		if i%10 == 0 {
			e.IdempotencyKey = listKey(i)
		}
		status := d.rare(i%rarity, e, del)
		del.EventType = e.Type
		if i == n/2 {
			e.IdempotencyKey = d.key
			e.Headers = map[string][]string{store.BrokerMessageHeader: {d.brokerMessage}}
			e.Data = []byte(`{"id":"the-one"}`)
			d.middleEvent, d.middleDelivery = e.ID, del.ID
		}
		if i == n/20*10+10 {
			d.keyPart = listKey(i)[9:17]
		}
		r.Events, r.Deliveries = append(r.Events, e), append(r.Deliveries, del)
		if status == convoy.DeliveryScheduled {
			continue
		}
		if i%5 == 0 { // a try that failed before
			outcomes = append(outcomes, outcomeOf(del, convoy.DeliveryRetry, at))
			before := *outcomes[len(outcomes)-1].Delivery
			del = &before
		}
		outcomes = append(outcomes, outcomeOf(del, status, at))
	}
	if err := s.Append(ctx, &r, d.start, time.Hour); err != nil {
		return err
	}
	// An outcome follows from the one before, which has to be written first.
	var first, second []store.Outcome
	for _, o := range outcomes {
		if o.Before == 0 {
			first = append(first, o)
		} else {
			second = append(second, o)
		}
	}
	for _, part := range [][]store.Outcome{first, second} {
		if len(part) == 0 {
			continue
		}
		if err := s.Record(ctx, part); err != nil {
			return err
		}
	}
	d.events, d.deliveries, d.attempts = d.events+len(r.Events), d.deliveries+len(r.Deliveries), d.attempts+len(outcomes)
	return nil
}

// rare makes one of many rows rare in some way and returns how its delivery
// ends.
func (d *listData) rare(k int, e *convoy.Event, del *convoy.Delivery) convoy.DeliveryStatus {
	switch k {
	case 1:
		e.Type = rareType
	case 2:
		e.SourceID, e.Kind = convoy.SourceID(d.rareSource), convoy.KindSource
	case 3:
		del.SubscriptionID = convoy.SubscriptionID(d.rareSubscription)
	case 4:
		del.EndpointID = d.rareEndpoint
		e.Endpoints = []convoy.EndpointID{d.rareEndpoint}
	case 5:
		e.Type = rareType
		del.EndpointID = d.rareEndpoint
		e.Endpoints = []convoy.EndpointID{d.rareEndpoint}
	case 6:
		return convoy.DeliveryFailure
	case 7:
		return convoy.DeliveryRetry
	case 8:
		return convoy.DeliveryDiscarded
	case 9:
		del.ClaimAt = convoy.Parked // its endpoint is paused
		return convoy.DeliveryScheduled
	}
	return convoy.DeliverySuccess
}

// outcomeOf is what follows a try.
func outcomeOf(del *convoy.Delivery, status convoy.DeliveryStatus, at time.Time) store.Outcome {
	after := *del
	after.Status, after.Trials, after.UpdatedAt = status, del.Trials+1, at.Add(time.Second)
	after.DueAt, after.ClaimAt = time.Time{}, time.Time{}
	if status == convoy.DeliveryRetry {
		after.DueAt, after.ClaimAt = at, convoy.Parked // nothing is sent while lists are measured
	}
	a := &convoy.Attempt{
		ID: convoy.AttemptID(id.New(at.Add(time.Duration(del.Trials) * time.Second))), DeliveryID: del.ID, ProjectID: del.ProjectID, EndpointID: del.EndpointID,
		URL: "http://127.0.0.1:9/", Method: "POST", RequestHeaders: map[string][]string{"Content-Type": {"application/json"}},
		HTTPStatus: "200 OK", Response: "ok", Success: status == convoy.DeliverySuccess,
		RequestedAt: at, RespondedAt: at, CreatedAt: at,
	}
	return store.Outcome{Delivery: &after, Before: del.Trials, Attempt: a}
}
