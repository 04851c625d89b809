package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// eventSearch looks for events by what no index has, in chunks and pages.
func eventSearch(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	source, stranger := f.Source(p), f.Source(f.Project(t))
	source.Name, stranger.Name = "Billing É_1", "Billing of others"
	ok(t, f.S.CreateSource(ctx, source))
	ok(t, f.S.CreateSource(ctx, stranger))
	const n = 250 // more than two chunks
	events := make([]*convoy.Event, n)
	for i := range events {
		e := f.Event(p.ID, f.Now.Add(time.Duration(i)*time.Second))
		e.Data = fmt.Appendf(nil, `{"n": %d, "deep":{"list":[%d,{"even":%v}]}}`, i, i, i%2 == 0)
		e.Type, e.SourceID = "invoice.paid", ""
		events[i] = e
	}
	events[3].Type, events[200].Type = "Order%Late", "order_late"
	events[4].IdempotencyKey, events[5].IdempotencyKey = "KEY-ÄB", "key"
	events[6].SourceID, events[7].SourceID = source.ID, stranger.ID
	events[8].Data = []byte(`[1]`)
	events[9].Headers = map[string][]string{"x-broker-message-id": {`<"7">\`, "a"}}
	events[10].Headers = map[string][]string{"X-Other": {`<"7">\`}}
	events[12].Headers = map[string][]string{store.BrokerMessageHeader: {strings.Repeat("long", 4096)}} // too long to be found, and no reason to refuse
	events[11].Headers = map[string][]string{"X-Broker-Message-ID": {`<"7">\`}}
	events[14].Data, events[16].Data = []byte(`{"wörd":"café \"","n":1.40e1}`), []byte(`{"w\u00f6rd":"caf\u00e9 \u0022","n":16}`)
	events[18].Data = []byte(`{"wörd":"tea","n":18}`)
	f.Append(t, events, f.Delivery(events[20], "x"), f.Delivery(events[21], "x"), f.Delivery(events[11], "x"), f.Delivery(events[9], "y"))

	contains := func(texts ...string) (s store.Search) {
		for _, text := range texts {
			c, err := store.ParseContainment(text)
			ok(t, err)
			s.Contains = append(s.Contains, c)
		}
		return s
	}
	everySecond := make([]int, 0, n)
	for i := n - 2; i >= 0; i -= 2 {
		if i != 8 && i != 14 && i != 16 && i != 18 {
			everySecond = append(everySecond, i)
		}
	}
	cases := map[string]struct {
		filter store.EventFilter
		want   []int
	}{
		"id":                  {store.EventFilter{Search: store.Search{Text: string(events[17].ID)}}, []int{17}},
		"id in lower case":    {store.EventFilter{Search: store.Search{Text: strings.ToLower(string(events[17].ID))}}, []int{17}},
		"end of an id":        {store.EventFilter{Search: store.Search{Text: string(events[17].ID)[4:]}}, nil},
		"type":                {store.EventFilter{Search: store.Search{Text: "ORDER"}}, []int{200, 3}},
		"percent":             {store.EventFilter{Search: store.Search{Text: "r%l"}}, []int{3}},
		"underscore":          {store.EventFilter{Search: store.Search{Text: "r_L"}}, []int{200}},
		"quote":               {store.EventFilter{Search: store.Search{Text: `'"\$1?`}}, nil},
		"key":                 {store.EventFilter{Search: store.Search{Text: "key"}}, []int{5, 4}},
		"key beyond ASCII":    {store.EventFilter{Search: store.Search{Text: "-Äb"}}, []int{4}},
		"source":              {store.EventFilter{Search: store.Search{Text: "ling"}}, []int{6}},
		"source beyond ASCII": {store.EventFilter{Search: store.Search{Text: "É_"}}, []int{6}},
		"in a window":         {store.EventFilter{To: events[100].CreatedAt, Search: store.Search{Text: "order"}}, []int{3}},
		"oldest first":        {store.EventFilter{Page: store.Page{Asc: true}, Search: store.Search{Text: "order"}}, []int{3, 200}},
		"payload":             {store.EventFilter{Search: contains(`{"n":8.0e1}`)}, []int{80}},
		"payloads":            {store.EventFilter{Search: contains(`{"deep":{"list":[{"even":false}]}}`, `{"n":33}`)}, []int{33}},
		"neither":             {store.EventFilter{Search: contains(`{"n":34}`, `{"n":33}`)}, nil},
		"every second":        {store.EventFilter{Page: store.Page{PerPage: n}, Search: contains(`{"deep":{"list":[{"even":true}]}}`)}, everySecond},
		"text and payload":    {store.EventFilter{Search: store.Search{Text: "order", Contains: contains(`{"n":3}`).Contains}}, []int{3}},
		"payload and type":    {store.EventFilter{Type: "order_late", Search: contains(`{}`)}, []int{200}},
		"payload, endpoint":   {store.EventFilter{Endpoints: []convoy.EndpointID{"x"}, Search: contains(`{"n":20}`)}, []int{20}},
		"text, endpoint":      {store.EventFilter{Endpoints: []convoy.EndpointID{"x"}, Search: store.Search{Text: "voice"}}, []int{21, 20, 11}},
		"payload, key":        {store.EventFilter{IdempotencyKey: "key", Search: contains(`{"n":5}`)}, []int{5}},
		"payload, key, none":  {store.EventFilter{IdempotencyKey: "key", Endpoints: []convoy.EndpointID{"x"}, Search: contains(`{"n":5}`)}, nil},
		"escapes":             {store.EventFilter{Search: contains(`{"wörd":"café \""}`)}, []int{16, 14}},
		"no escapes":          {store.EventFilter{Search: contains(`{"wörd":"tea"}`)}, []int{18}},
		"escaped pattern":     {store.EventFilter{Search: contains(`{"w\u00f6rd":"t\u0065a"}`)}, []int{18}},
		"no text":             {store.EventFilter{Search: contains(`{"n":14}`)}, []int{14}},
		"empty key":           {store.EventFilter{Search: contains(`{"":1}`)}, nil},
		"broker message":      {store.EventFilter{BrokerMessage: `<"7">\`}, []int{11, 9}},
		"another":             {store.EventFilter{BrokerMessage: `a`}, nil},
		"broker, endpoint":    {store.EventFilter{Endpoints: []convoy.EndpointID{"x"}, BrokerMessage: `<"7">\`}, []int{11}},
		"part of a type":      {store.EventFilter{Type: "order_late", Search: store.Search{Text: "late"}}, []int{200}},
		"of a source":         {store.EventFilter{Sources: []convoy.SourceID{source.ID}, Search: store.Search{Text: "invoice"}}, []int{6}},
		"part of an id":       {store.EventFilter{To: events[2].CreatedAt, Search: store.Search{Text: string(events[2].ID)[:7]}}, []int{2, 1, 0}},
		"oldest, endpoint":    {store.EventFilter{Page: store.Page{Asc: true}, Endpoints: []convoy.EndpointID{"x"}, Search: store.Search{Text: "voice"}}, []int{11, 20, 21}},
		"more than one page":  {store.EventFilter{Page: store.Page{PerPage: 1, Cursor: string(events[150].ID)}, Search: store.Search{Text: "order"}}, []int{3}},
		"the page before":     {store.EventFilter{Page: store.Page{PerPage: 1, Cursor: string(events[3].ID), Prev: true}, Search: store.Search{Text: "order"}}, []int{200}},
	}
	for _, stage := range []struct {
		name  string
		until int // how many events are indexed
	}{{"nothing indexed", 0}, {"a part indexed", 130}, {"all indexed", n}} {
		if stage.until > 0 {
			index(t, f, events[stage.until-1].CreatedAt)
		}
		for name, tt := range cases {
			tt.filter.Project = p.ID
			filtered(t, f, stage.name+", "+name, tt.filter, events, tt.want)
		}
	}

	// Pages of what is found, there and back.
	filter := store.EventFilter{Project: p.ID, Page: store.Page{PerPage: 30}, Search: contains(`{"deep":{"list":[{"even":true}]}}`)}
	var got []int
	for {
		page, err := f.S.Events(ctx, filter)
		ok(t, err)
		for _, e := range page.Items {
			got = append(got, slices.IndexFunc(events, func(x *convoy.Event) bool { return x.ID == e.ID }))
		}
		if page.HasPrev != (filter.Page.Cursor != "") {
			t.Errorf("from %q: has a page before: %v", filter.Page.Cursor, page.HasPrev)
		}
		if !page.HasNext {
			break
		}
		filter.Page.Cursor = page.NextCursor
	}
	if !slices.Equal(got, everySecond) {
		t.Errorf("pages have %v", got)
	}
	filter.Page.Prev = true
	page, err := f.S.Events(ctx, filter)
	ok(t, err)
	if len(page.Items) != 30 || page.Items[29].ID != events[everySecond[119]].ID || !page.HasNext || !page.HasPrev {
		t.Errorf("the page before has %d events", len(page.Items))
	}

	deliveries, err := f.S.Deliveries(ctx, store.DeliveryFilter{Project: p.ID, BrokerMessage: `<"7">\`})
	ok(t, err)
	if len(deliveries.Items) != 2 || deliveries.Items[0].EventID != events[11].ID || deliveries.Items[1].EventID != events[9].ID {
		t.Errorf("%d deliveries of a broker message", len(deliveries.Items))
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := f.S.Events(ended, store.EventFilter{Project: p.ID, Search: contains(`{"n":-1}`)}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended search: %v", err)
	}
}

// index has the search index follow the events up to a time.
func index(t *testing.T, f *Fixture, until time.Time) (indexed int) {
	t.Helper()
	for {
		n, more, err := f.S.IndexEvents(t.Context(), until.Add(10*time.Second+time.Millisecond))
		ok(t, err)
		if indexed += n; !more {
			return indexed
		}
	}
}

// searchIndex has the index follow events, in more than one segment, and find those
// that were written when it had passed them.
func searchIndex(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	begin := f.Now.Add(-24 * time.Hour)
	at := func(i int) time.Time { return begin.Add(time.Duration(i) * 2 * time.Minute) }
	numbered := func(p *convoy.Project, i int, key string) *convoy.Event {
		e := f.Event(p.ID, at(i))
		e.Type, e.IdempotencyKey, e.Data = "invoice.paid", key, fmt.Appendf(nil, `{"n":%d,"all":[true]}`, i)
		return e
	}
	found := func(what string, filter store.EventFilter, want ...convoy.EventID) {
		t.Helper()
		filter.Project = p.ID
		page, err := f.S.Events(ctx, filter)
		ok(t, err)
		got := []convoy.EventID{}
		for _, e := range page.Items {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, append([]convoy.EventID{}, want...)) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	containing := func(text string) (s store.EventFilter) {
		c, err := store.ParseContainment(text)
		ok(t, err)
		s.Search.Contains = []store.Containment{c}
		return s
	}

	const n = 300 // a segment and more, of blocks that have an event each
	events := make([]*convoy.Event, n)
	indexed := 0
	for i := range events {
		events[i] = numbered(p, i, fmt.Sprintf("key-%d-%d", i, i*7919))
		f.Append(t, []*convoy.Event{events[i]})
		indexed += index(t, f, at(i).Add(time.Minute))
	}
	if indexed != n {
		t.Errorf("%d of %d events indexed", indexed, n)
	}
	if again := index(t, f, at(n)); again != 0 {
		t.Errorf("%d events indexed again", again)
	}
	for _, i := range []int{0, 1, 255, 256, 257, n - 1} {
		found("value", containing(fmt.Sprintf(`{"n":%d}`, i)), events[i].ID)
		found("key", store.EventFilter{Search: store.Search{Text: fmt.Sprintf("EY-%d-", i)}}, events[i].ID)
		found("id", store.EventFilter{Search: store.Search{Text: string(events[i].ID)}}, events[i].ID)
	}
	oldest := containing(`{"all":[true]}`)
	oldest.Page = store.Page{Asc: true, PerPage: 3, Cursor: string(events[254].ID)}
	found("oldest first", oldest, events[254].ID, events[255].ID, events[256].ID)
	window := containing(`{"all":[true]}`)
	window.From, window.To = at(254), at(257)
	found("window", window, events[257].ID, events[256].ID, events[255].ID, events[254].ID)

	// Late by more than a minute: known when they are written. Before the first,
	// between two, in the second segment, and of another project.
	late := []*convoy.Event{numbered(p, -5, "late-one"), numbered(p, 100, "late-two"), numbered(p, 280, "late-three")}
	f.Append(t, append(late, numbered(other, 100, "late-other")))
	f.Append(t, late[:1]) // once more, which changes nothing
	if got := index(t, f, at(n)); got != 4 {
		t.Errorf("%d late events indexed", got)
	}
	found("late", store.EventFilter{Search: store.Search{Text: "late-"}}, late[2].ID, late[1].ID, late[0].ID)
	found("late, by value", containing(`{"n":-5}`), late[0].ID)

	// Late by less: found when they are counted.
	young := f.Event(p.ID, time.Now())
	young.IdempotencyKey = "young-one"
	last := f.Event(p.ID, time.Now().Add(time.Minute))
	f.Append(t, []*convoy.Event{last})
	index(t, f, last.CreatedAt.Add(time.Minute))
	f.Append(t, []*convoy.Event{young})
	index(t, f, last.CreatedAt.Add(time.Hour))
	found("young", store.EventFilter{Search: store.Search{Text: "ung-o"}}, young.ID)

	// An event with too many values to tell is looked at.
	huge := f.Event(p.ID, f.Now.Add(time.Hour))
	huge.Data = []byte(`{"list":[` + strings.Repeat(`{"a":1},`, 5000) + `{"a":"needle"}]}`)
	odd := f.Event(p.ID, f.Now.Add(2*time.Hour))
	odd.Data = []byte("not \xff JSON {")
	f.Append(t, []*convoy.Event{huge, odd})
	index(t, f, f.Now.Add(3*time.Hour))
	found("among many values", containing(`{"list":[{"a":"needle"}]}`), huge.ID)
	found("nothing", containing(`{"list":[{"a":"nothing"}]}`))
}

// searchIndexRace has several processes follow the events while they are written.
func searchIndexRace(t *testing.T, f *Fixture) {
	p := f.Project(t)
	begin := f.Now.Add(-time.Hour) // all are late
	const writers, each = 4, 50
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				if _, _, err := f.S.IndexEvents(t.Context(), f.Now.Add(time.Hour)); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for i := range each {
				e := f.Event(p.ID, begin.Add(time.Duration(i)*time.Second))
				e.Data = []byte(`{"needle":1}`)
				f.Append(t, []*convoy.Event{e})
			}
		})
	}
	writing.Wait()
	close(stop)
	wg.Wait()
	index(t, f, f.Now.Add(time.Hour))
	c, err := store.ParseContainment(`{"needle":1.0}`)
	ok(t, err)
	page, err := f.S.Events(t.Context(), store.EventFilter{
		Project: p.ID, Search: store.Search{Contains: []store.Containment{c}}, Page: store.Page{PerPage: 1000},
	})
	ok(t, err)
	if len(page.Items) != writers*each {
		t.Errorf("%d of %d events found", len(page.Items), writers*each)
	}
}
