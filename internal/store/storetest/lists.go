package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// list is a page with ids for items.
type list = store.Paged[string]

func listed[T any](p store.Paged[T], id func(T) string) list {
	ids := []string{}
	for _, item := range p.Items {
		ids = append(ids, id(item))
	}
	return list{Items: ids, HasNext: p.HasNext, HasPrev: p.HasPrev, PrevCursor: p.PrevCursor, NextCursor: p.NextCursor}
}

// walk goes through a list whose ids are given newest first, in both orders and
// both directions, in pages of several lengths, and checks every page.
func walk(t *testing.T, ids []string, get func(p store.Page) (list, error)) {
	t.Helper()
	for _, asc := range []bool{false, true} {
		ids := slices.Clone(ids)
		if asc {
			slices.Reverse(ids)
		}
		n := len(ids)
		for _, per := range []int{1, 2, 3, n - 1, n, n + 1} {
			if per < 1 {
				continue
			}
			// expect is the page from i on, as the contract has it.
			expect := func(i, j int) list {
				want := list{Items: ids[i:j], HasPrev: i > 0, HasNext: j < n}
				if i < j {
					want.PrevCursor = ids[i]
				}
				switch {
				case j < n:
					want.NextCursor = ids[j]
				case n > 1 && j > i:
					want.NextCursor = ids[j-1]
				}
				return want
			}
			at := store.Page{PerPage: per, Asc: asc}
			i := 0
			for { // forward, as a client does
				got, err := get(at)
				ok(t, err)
				same(t, got, expect(i, min(i+per, n)))
				if !got.HasNext {
					break
				}
				at.Cursor = got.NextCursor
				i += per
			}
			for at.Prev = true; i > 0; i -= per { // and back
				at.Cursor = ids[i]
				got, err := get(at)
				ok(t, err)
				same(t, got, expect(i-per, i))
			}
			// Back from the first page there is only the first page.
			if n > 0 {
				at.Cursor = ids[0]
			}
			got, err := get(at)
			ok(t, err)
			same(t, got, expect(0, min(per, n)))
			// Back from nowhere is the end of the list.
			at.Cursor = ""
			got, err = get(at)
			ok(t, err)
			same(t, got, expect(max(0, n-per), n))
		}
	}
}

func newestFirst[T any](items []T, key func(T) string) []string {
	ids := []string{}
	for _, item := range items {
		ids = append(ids, key(item))
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids
}

func eventID(e *convoy.Event) string       { return string(e.ID) }
func deliveryID(d *convoy.Delivery) string { return string(d.ID) }
func detailID(d store.DeliveryDetail) string {
	return string(d.ID)
}

func pages(t *testing.T, f *Fixture) {
	ctx := t.Context()
	for n := range 8 {
		p, foreign := f.Project(t), f.Project(t)
		events, deliveries := f.Fill(t, p.ID, "endpoint", f.Now.Add(-time.Duration(n)*time.Hour), n)
		f.Fill(t, foreign.ID, "endpoint", f.Now.Add(-time.Duration(n)*time.Hour), 3)
		walk(t, newestFirst(events, eventID), func(at store.Page) (list, error) {
			page, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Page: at})
			return listed(page, eventID), err
		})
		walk(t, newestFirst(deliveries, deliveryID), func(at store.Page) (list, error) {
			page, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Page: at})
			return listed(page, detailID), err
		})
	}
}

func pageEdges(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	events, _ := f.Fill(t, p.ID, "endpoint", f.Now, store.MaxPerPage+1)
	get := func(at store.Page) list {
		t.Helper()
		page, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Page: at})
		ok(t, err)
		return listed(page, eventID)
	}
	for _, tt := range []struct{ per, want int }{
		{0, store.DefaultPerPage}, {-1, store.DefaultPerPage}, {7, 7}, {store.MaxPerPage, store.MaxPerPage}, {1 << 40, store.MaxPerPage},
	} {
		if got := get(store.Page{PerPage: tt.per}); len(got.Items) != tt.want || !got.HasNext || got.HasPrev {
			t.Errorf("perPage %d: %d rows, next %v, prev %v; want %d, true, false", tt.per, len(got.Items), got.HasNext, got.HasPrev, tt.want)
		}
	}
	// The row of a cursor may be gone: the page starts where it was.
	ids := newestFirst(events, eventID)
	gap := f.ID(f.Now.Add(5*time.Millisecond + 500*time.Microsecond)) // after the sixth oldest, in its millisecond
	same(t, get(store.Page{Cursor: gap, PerPage: 1}).Items, []string{ids[len(ids)-6]})
	got := get(store.Page{Cursor: gap, PerPage: 2, Prev: true})
	same(t, got.Items, []string{ids[len(ids)-8], ids[len(ids)-7]})
	if got.NextCursor != ids[len(ids)-6] || !got.HasNext {
		t.Errorf("next of the page before a gap is %s, want %s", got.NextCursor, ids[len(ids)-6])
	}
	// Any text is a cursor.
	same(t, get(store.Page{Cursor: "~", PerPage: 1}).Items, ids[:1])
	same(t, get(store.Page{Cursor: "0", PerPage: 1}), list{Items: []string{}})
	same(t, get(store.Page{Cursor: "0", PerPage: 1, Asc: true}).Items, ids[len(ids)-1:])
}

func eventFilters(t *testing.T, f *Fixture) {
	p := f.Project(t)
	var events []*convoy.Event
	for i := range 6 {
		e := f.Event(p.ID, f.Now.Add(time.Duration(i)*time.Second))
		e.Type = []string{"a", "b"}[i%2]
		e.SourceID = convoy.SourceID(fmt.Sprint("source ", i%3))
		events = append(events, e)
	}
	events[2].IdempotencyKey, events[4].IdempotencyKey = "key", "key"
	f.Append(t, events, f.Delivery(events[2], "x"), f.Replay(events[1], "x", f.Now.Add(time.Hour)))
	at := func(i int) time.Time { return f.Now.Add(time.Duration(i) * time.Second) }
	for name, tt := range map[string]struct {
		filter store.EventFilter
		want   []int
	}{
		"all":                   {store.EventFilter{}, []int{5, 4, 3, 2, 1, 0}},
		"type":                  {store.EventFilter{Type: "b"}, []int{5, 3, 1}},
		"unknown type":          {store.EventFilter{Type: "B"}, nil},
		"source":                {store.EventFilter{Sources: []convoy.SourceID{"source 1"}}, []int{4, 1}},
		"sources":               {store.EventFilter{Sources: []convoy.SourceID{"source 1", "source 0"}}, []int{4, 3, 1, 0}},
		"key":                   {store.EventFilter{IdempotencyKey: "key"}, []int{4, 2}},
		"unknown key":           {store.EventFilter{IdempotencyKey: "k"}, nil},
		"key and endpoint":      {store.EventFilter{IdempotencyKey: "key", Endpoints: []convoy.EndpointID{"y", "x"}}, []int{2}},
		"from":                  {store.EventFilter{From: at(3)}, []int{5, 4, 3}},
		"to":                    {store.EventFilter{To: at(1)}, []int{1, 0}},
		"window":                {store.EventFilter{From: at(2), To: at(2)}, []int{2}},
		"just before":           {store.EventFilter{From: at(1).Add(time.Millisecond), To: at(3).Add(-time.Millisecond)}, []int{2}},
		"empty window":          {store.EventFilter{From: at(3), To: at(2)}, nil},
		"endpoint":              {store.EventFilter{Endpoints: []convoy.EndpointID{"x"}}, []int{2, 1}},
		"endpoint and type":     {store.EventFilter{Endpoints: []convoy.EndpointID{"x"}, Type: "b"}, []int{1}},
		"endpoint and source":   {store.EventFilter{Endpoints: []convoy.EndpointID{"x"}, Sources: []convoy.SourceID{"source 2"}}, []int{2}},
		"endpoint in a window":  {store.EventFilter{Endpoints: []convoy.EndpointID{"x"}, To: at(1)}, []int{1}},
		"unknown endpoint":      {store.EventFilter{Endpoints: []convoy.EndpointID{"z"}}, nil},
		"everything, ascending": {store.EventFilter{Type: "a", From: at(1), Page: store.Page{Asc: true}}, []int{2, 4}},
	} {
		tt.filter.Project = p.ID
		filtered(t, f, name, tt.filter, events, tt.want)
	}
}

// filtered checks that a filter's page has the wanted ones of some events, in order.
func filtered(t *testing.T, f *Fixture, name string, filter store.EventFilter, events []*convoy.Event, wanted []int) {
	t.Helper()
	page, err := f.S.Events(t.Context(), filter)
	ok(t, err)
	want := []string{}
	for _, i := range wanted {
		want = append(want, string(events[i].ID))
	}
	if got := listed(page, eventID).Items; !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v of %v", name, got, want, newestFirst(events, eventID))
	}
}

// eventsOfEndpoints checks the merge of what an endpoint got in time and by
// replays, with events that share a millisecond, in every direction.
func eventsOfEndpoints(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	var all, ofA, ofB []*convoy.Event
	for i := range 12 {
		e := f.Event(p.ID, f.Now.Add(time.Duration(i/4)*time.Millisecond)) // four in each
		var ds []*convoy.Delivery
		if i%2 == 0 { // twice, as through two subscriptions
			ds = append(ds, f.Delivery(e, "a"), f.Delivery(e, "a"))
			ofA = append(ofA, e)
		}
		switch i % 3 {
		case 0:
			ds = append(ds, f.Delivery(e, "b"), f.Replay(e, "b", f.Now.Add(time.Hour)))
			ofB = append(ofB, e)
		case 1: // only its replay came here
			ds = append(ds, f.Replay(e, "b", f.Now.Add(time.Minute)))
			ofB = append(ofB, e)
		}
		f.Append(t, []*convoy.Event{e}, ds...)
		all = append(all, e)
	}
	either := slices.Compact(newestFirst(append(slices.Clone(ofA), ofB...), eventID))
	for _, tt := range []struct {
		endpoints []convoy.EndpointID
		want      []string
	}{
		{[]convoy.EndpointID{"a"}, newestFirst(ofA, eventID)},
		{[]convoy.EndpointID{"b"}, newestFirst(ofB, eventID)},
		{[]convoy.EndpointID{"a", "b", "c", "a"}, either},
	} {
		walk(t, tt.want, func(at store.Page) (list, error) {
			page, err := f.S.Events(ctx, store.EventFilter{Project: p.ID, Endpoints: tt.endpoints, Page: at})
			return listed(page, eventID), err
		})
	}
	if len(either) == len(all) {
		t.Fatal("the case has no event that neither endpoint got")
	}
}

// eventsOfEndpointsRandom compares pages with what a plain filter would give.
func eventsOfEndpointsRandom(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	got := make(map[convoy.EventID]map[convoy.EndpointID]bool)
	var (
		events     []*convoy.Event
		deliveries []*convoy.Delivery
		endpoints  []convoy.EndpointID
	)
	for i := range 60 { // more than the endpoints that are merged
		endpoints = append(endpoints, convoy.EndpointID(fmt.Sprintf("endpoint %02d", i)))
	}
	for range 200 {
		e := f.Event(p.ID, f.Now.Add(time.Duration(r.IntN(60))*time.Millisecond))
		e.Type = []string{"a", "b"}[r.IntN(2)]
		e.SourceID = convoy.SourceID(fmt.Sprint(r.IntN(3)))
		got[e.ID] = make(map[convoy.EndpointID]bool)
		for range r.IntN(4) {
			to := endpoints[r.IntN(len(endpoints))/(1+r.IntN(20))]
			got[e.ID][to] = true
			if r.IntN(4) == 0 {
				deliveries = append(deliveries, f.Replay(e, to, f.Now.Add(time.Second)))
			} else {
				deliveries = append(deliveries, f.Delivery(e, to))
			}
		}
		events = append(events, e)
	}
	f.Append(t, events, deliveries...)
	for i := range 12 {
		some := endpoints[:1+r.IntN(8)]
		if i%6 == 0 {
			some = endpoints[:40+r.IntN(20)]
		}
		filter := store.EventFilter{Project: p.ID, Endpoints: some, Page: store.Page{PerPage: 5 + r.IntN(30), Asc: r.IntN(2) == 0}}
		if r.IntN(2) == 0 {
			filter.Type = "a"
		}
		if r.IntN(2) == 0 {
			filter.Sources = []convoy.SourceID{"1"}
		}
		if r.IntN(2) == 0 {
			filter.From, filter.To = f.Now.Add(10*time.Millisecond), f.Now.Add(50*time.Millisecond)
		}
		want := newestFirst(slices.DeleteFunc(slices.Clone(events), func(e *convoy.Event) bool {
			return !slices.ContainsFunc(filter.Endpoints, func(x convoy.EndpointID) bool { return got[e.ID][x] }) ||
				filter.Type != "" && e.Type != filter.Type || len(filter.Sources) > 0 && e.SourceID != "1" ||
				!filter.From.IsZero() && (e.CreatedAt.Before(filter.From) || e.CreatedAt.After(filter.To))
		}), eventID)
		if filter.Page.Asc {
			slices.Reverse(want)
		}
		ids := []string{}
		for {
			page, err := f.S.Events(ctx, filter)
			ok(t, err)
			ids = append(ids, listed(page, eventID).Items...)
			if !page.HasNext {
				break
			}
			filter.Page.Cursor = page.NextCursor
		}
		if !slices.Equal(ids, want) {
			t.Fatalf("filter %+v: %d events, want %d:\n%v\n%v", filter, len(ids), len(want), ids, want)
		}
	}
}

func deliveryFilters(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	e1, e2 := f.Endpoint(t, p), f.Endpoint(t, p)
	ok(t, f.S.DeleteEndpoint(ctx, p.ID, e2.ID, f.Now)) // still shown
	gone, err := f.S.DeliveryDetail(ctx, p.ID, "x")
	refused(t, err, convoy.NotFound, "event delivery not found")
	same(t, gone, store.DeliveryDetail{})
	var (
		events []*convoy.Event
		ds     []*convoy.Delivery
	)
	for i := range 6 {
		e := f.Event(p.ID, f.Now.Add(time.Duration(i)*time.Second))
		e.Type = []string{"a", "b"}[i%2]
		events = append(events, e)
		d := f.Delivery(e, []convoy.EndpointID{e1.ID, e2.ID, "unknown"}[i%3])
		d.Status = []convoy.DeliveryStatus{convoy.DeliveryScheduled, convoy.DeliverySuccess, convoy.DeliveryFailure}[i/2]
		d.SubscriptionID = convoy.SubscriptionID(fmt.Sprint(i / 3))
		ds = append(ds, d)
	}
	events[3].IdempotencyKey = "key"
	f.Append(t, events, ds...)
	dup := f.Event(p.ID, f.Now.Add(time.Minute))
	dup.IdempotencyKey = "key"
	f.Append(t, []*convoy.Event{dup})
	late := f.Event(p.ID, f.Now.Add(2*time.Hour)) // in the key's next window
	late.IdempotencyKey = "key"
	d6 := f.Delivery(late, "elsewhere")
	ok(t, f.S.Append(ctx, &store.Routed{Events: []*convoy.Event{late}, Deliveries: []*convoy.Delivery{d6}}, f.Now.Add(2*time.Hour), time.Hour))
	events, ds = append(events, late), append(ds, d6)
	at := func(i int) time.Time { return f.Now.Add(time.Duration(i) * time.Second) }

	for name, tt := range map[string]struct {
		filter store.DeliveryFilter
		want   []int
	}{
		"all":                   {store.DeliveryFilter{}, []int{6, 5, 4, 3, 2, 1, 0}},
		"endpoint":              {store.DeliveryFilter{Endpoints: []convoy.EndpointID{e1.ID}}, []int{3, 0}},
		"endpoints":             {store.DeliveryFilter{Endpoints: []convoy.EndpointID{e1.ID, e2.ID, e1.ID, "nothing"}}, []int{4, 3, 1, 0}},
		"event":                 {store.DeliveryFilter{Event: events[2].ID}, []int{2}},
		"event elsewhere":       {store.DeliveryFilter{Event: events[2].ID, Endpoints: []convoy.EndpointID{e1.ID, e2.ID}}, nil},
		"unknown event":         {store.DeliveryFilter{Event: "x"}, nil},
		"subscription":          {store.DeliveryFilter{Subscription: "1"}, []int{5, 4, 3}},
		"type":                  {store.DeliveryFilter{Type: "b"}, []int{5, 3, 1}},
		"status":                {store.DeliveryFilter{Statuses: []convoy.DeliveryStatus{"Success"}}, []int{3, 2}},
		"statuses":              {store.DeliveryFilter{Statuses: []convoy.DeliveryStatus{"Failure", "Success", "Nonsense"}}, []int{5, 4, 3, 2}},
		"trouble at one of two": {store.DeliveryFilter{Endpoints: []convoy.EndpointID{e1.ID, "nothing"}, Statuses: []convoy.DeliveryStatus{"Failure"}}, nil},
		"waiting at one of two": {store.DeliveryFilter{Endpoints: []convoy.EndpointID{e1.ID, "nothing"}, Statuses: []convoy.DeliveryStatus{"Failure", "Scheduled"}}, []int{0}},
		"unknown status":        {store.DeliveryFilter{Statuses: []convoy.DeliveryStatus{"success"}}, nil},
		"key":                   {store.DeliveryFilter{IdempotencyKey: "key"}, []int{6, 3}},
		"key and status":        {store.DeliveryFilter{IdempotencyKey: "key", Statuses: []convoy.DeliveryStatus{"Success"}}, []int{3}},
		"key and event":         {store.DeliveryFilter{IdempotencyKey: "key", Event: events[2].ID}, nil},
		"unknown key":           {store.DeliveryFilter{IdempotencyKey: "K"}, nil},
		"from":                  {store.DeliveryFilter{From: at(4), To: at(60)}, []int{5, 4}},
		"to":                    {store.DeliveryFilter{To: at(1)}, []int{1, 0}},
		"several, upwards":      {store.DeliveryFilter{Type: "a", Statuses: []convoy.DeliveryStatus{"Scheduled", "Failure"}, Endpoints: []convoy.EndpointID{e1.ID, e2.ID}, Page: store.Page{Asc: true}}, []int{0, 4}},
	} {
		tt.filter.Project = p.ID
		page, err := f.S.Deliveries(ctx, tt.filter)
		ok(t, err)
		want := []string{}
		for _, i := range tt.want {
			want = append(want, string(ds[i].ID))
		}
		if got := listed(page, detailID).Items; !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v of %v", name, got, want, newestFirst(ds, deliveryID))
			continue
		}
		for k, i := range tt.want {
			detail := page.Items[k]
			same(t, detail.Delivery, ds[i])
			same(t, detail.Event, events[i])
			switch ds[i].EndpointID {
			case e1.ID:
				same(t, detail.Endpoint, e1)
			case e2.ID:
				if detail.Endpoint == nil || !detail.Endpoint.DeletedAt.Equal(f.Now) || detail.Endpoint.Name != e2.Name {
					t.Errorf("deleted endpoint is shown as %+v", detail.Endpoint)
				}
			default:
				if detail.Endpoint != nil {
					t.Errorf("unknown endpoint is shown as %+v", detail.Endpoint)
				}
			}
		}
	}
}

func deliveryReplays(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	e, neighbour := f.Event(p.ID, f.Now), f.Event(p.ID, f.Now) // of one millisecond
	ds := []*convoy.Delivery{f.Delivery(e, "a"), f.Delivery(e, "b"), f.Replay(e, "a", f.Now.Add(time.Hour)), f.Replay(e, "a", f.Now.Add(24*time.Hour)), f.Replay(e, "c", f.Now.Add(time.Hour))}
	f.Append(t, []*convoy.Event{e, neighbour}, append(ds, f.Delivery(neighbour, "a"), f.Replay(neighbour, "a", f.Now.Add(time.Hour)))...)
	walk(t, newestFirst(ds, deliveryID), func(at store.Page) (list, error) {
		page, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Event: e.ID, Page: at})
		return listed(page, detailID), err
	})
	page, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Event: e.ID, Endpoints: []convoy.EndpointID{"a", "c"}, From: f.Now.Add(time.Minute), To: f.Now.Add(2 * time.Hour)})
	ok(t, err)
	same(t, listed(page, detailID).Items, newestFirst([]*convoy.Delivery{ds[2], ds[4]}, deliveryID))

	// A replay outlives its event.
	orphan := f.Replay(f.Event(p.ID, f.Now.AddDate(0, -1, 0)), "a", f.Now.Add(48*time.Hour))
	f.Append(t, nil, orphan)
	page, err = f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, Page: store.Page{PerPage: 1}})
	ok(t, err)
	same(t, page.Items, []store.DeliveryDetail{{Delivery: orphan}})
}
