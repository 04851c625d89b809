package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"convoy"
	"convoy/internal/filter"
)

// selected are the subscriptions of a list that may take a payload, in order.
func selected(l List, data string) []*Subscription {
	d := filter.NewDocument([]byte(data), nil, "", "")
	all := slices.Concat(l.Select(d, nil)...)
	slices.SortFunc(all, Compare)
	return slices.Compact(all)
}

// taken are those that do as an event of one of the types.
func taken(l List, data string, types ...string) []*Subscription {
	return takers(selected(l, data), data, types...)
}

func takers(list []*Subscription, data string, types ...string) (take []*Subscription) {
	for _, s := range list {
		d := filter.NewDocument([]byte(data), nil, "", "")
		for _, t := range types {
			if conditions, ok := s.Takes(t); ok && (conditions == nil || conditions.Match(d)) {
				take = append(take, s)
				break
			}
		}
	}
	return take
}

var (
	someFilters = []string{
		``, `{}`, `{"a":1}`, `{"a":"1.0"}`, `{"a":2,"b":"x"}`, `{"b":"x","kind":"k"}`, `{"b":"y","kind":"k"}`, `{"a":{"$in":[1,2,"x"]},"kind":"k"}`,
		`{"$or":[{"a":1},{"b":"x","kind":"k"}]}`, `{"$or":[]}`, `{"a":{"$gt":1}}`, `{"kind":"k"}`, `{"a":null}`, `{"c.$":1,"kind":"k"}`,
	}
	someData = []string{
		`{}`, `{"a":1}`, `{"a":"1","b":"x"}`, `{"a":2,"kind":"k"}`, `{"a":[1,2],"b":"x","kind":"k"}`, `{"a":{"b":1},"c":[1]}`, `[`,
		`{"a":[0,1,2,3,4,5,6,7,8,9],"b":["x","y"],"kind":"k"}`,
	}
)

func drawTaker(t *rapid.T, n int) *Subscription {
	s := &convoy.Subscription{
		ID: convoy.SubscriptionID(fmt.Sprint("S", n)), EndpointID: convoy.EndpointID(rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "endpoint")),
	}
	s.Filters = filter.ForTypes(s.ID, []string{"*", "a.*"}[:rapid.IntRange(1, 2).Draw(t, "types")], nil, time.Now())
	for i := range s.Filters {
		s.Filters[i].Body = json.RawMessage(rapid.SampledFrom(someFilters).Draw(t, "filter"))
	}
	return compile(s, nil)
}

// A list that has been changed selects all that take an event, as one does that is
// made anew; versions before a change stay as they were.
func TestListSelects(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			l    List
			next int
		)
		check := func(l List) {
			t.Helper()
			for _, data := range someData {
				if got, want := taken(l, data, "a.b", "b"), takers(l.all, data, "a.b", "b"); !slices.Equal(got, want) {
					t.Fatalf("%s is taken by %d, want %d", data, len(got), len(want))
				}
				for _, list := range l.Select(filter.NewDocument([]byte(data), nil, "", ""), nil) {
					if !slices.IsSortedFunc(list, Compare) || len(list) == 0 {
						t.Fatalf("%s: a list is not in order, or empty", data)
					}
				}
			}
		}
		for range rapid.IntRange(0, 40).Draw(t, "first") {
			next++
			l.all = append(l.all, drawTaker(t, next))
		}
		slices.SortFunc(l.all, Compare)
		l = listOf(l.all, ofManyTypes)
		check(l)
		for range rapid.IntRange(0, 60).Draw(t, "changes") {
			before, had := l, make([][]*Subscription, len(someData))
			for i, data := range someData {
				had[i] = selected(l, data)
			}
			if len(l.all) > 0 && rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
				l = listing{ofManyTypes, false}.of(l, rapid.SampledFrom(l.all).Draw(t, "which"))
			} else {
				next++
				l = listing{ofManyTypes, true}.of(l, drawTaker(t, next))
			}
			for i, data := range someData {
				if !slices.Equal(selected(before, data), had[i]) {
					t.Fatalf("%s: an older version has changed", data)
				}
			}
		}
		check(l)
		if fresh := listOf(l.all, ofManyTypes); fresh.needy != l.needy {
			t.Fatalf("%d can be told, want %d", l.needy, fresh.needy)
		}
		// When all are gone the index is empty, too.
		for x, all := l.index, l.all; x != nil && len(all) > 0; all = all[1:] {
			x = x.after(all[0], all[0].needs(ofManyTypes), change[*Subscription]{Compare, false})
			if len(all) == 1 && len(x.always)+len(x.fields) > 0 {
				t.Fatalf("%d and %d fields are left", len(x.always), len(x.fields))
			}
		}
	})
}

// An event meets few of many filters: only these are selected, whichever of their
// conditions all have in common.
func TestListIsSelective(t *testing.T) {
	t.Parallel()
	const n = 1000
	all := make([]*Subscription, n)
	for i := range all {
		s := &convoy.Subscription{ID: convoy.SubscriptionID(fmt.Sprintf("S%04d", i)), EndpointID: "A"}
		s.Filters = filter.ForTypes(s.ID, []string{"*"}, nil, time.Now())
		s.Filters[0].Body = fmt.Appendf(nil, `{"aa":"paid","customer":%d,"region":{"$in":["eu","us"]}}`, i)
		all[i] = compile(s, nil)
	}
	const data = `{"aa":"paid","customer":700,"region":"eu"}`
	whole := listOf(all, ofManyTypes)
	var grown List
	for _, s := range slices.Backward(all) {
		grown = listing{ofManyTypes, true}.of(grown, s)
	}
	for name, l := range map[string]List{"whole": whole, "grown": grown} {
		got := selected(l, data)
		if !slices.Contains(got, all[700]) || len(got) > 2*newField+1 {
			t.Errorf("%s: %d are asked", name, len(got))
		}
		if got := selected(l, `{"customer":"none"}`); len(got) > 0 {
			t.Errorf("%s: %d are asked in vain", name, len(got))
		}
	}
	// No more fields are looked up than are worth it.
	for i, s := range all {
		s.Filters[0].Body = fmt.Appendf(nil, `{"field_%d":1}`, i)
		all[i] = compile(s.Subscription, nil)
	}
	if x := listOf(all, ofManyTypes).index; len(x.fields) != maxFields || len(x.always) != n-maxFields {
		t.Errorf("%d fields, %d always asked", len(x.fields), len(x.always))
	}
}

// BenchmarkListChange replaces one of ten thousand filtered subscriptions.
func BenchmarkListChange(b *testing.B) {
	all := make([]*Subscription, 10_000)
	for i := range all {
		s := &convoy.Subscription{ID: convoy.SubscriptionID(fmt.Sprintf("S%05d", i)), EndpointID: "A"}
		s.Filters = filter.ForTypes(s.ID, []string{"*"}, nil, time.Now())
		s.Filters[0].Body = fmt.Appendf(nil, `{"kind":"paid","customer":%d}`, i)
		all[i] = compile(s, nil)
	}
	l := listOf(all, ofManyTypes)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s := all[i%len(all)]
		l = listing{ofManyTypes, false}.of(l, s)
		l = listing{ofManyTypes, true}.of(l, s)
	}
}
