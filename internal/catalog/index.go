package catalog

import (
	"math"
	"slices"

	"convoy/internal/filter"
)

// index finds subscriptions by what their filters need. A subscription is listed
// under the terms of one of its needs, so an event is asked only about those it has
// a term of, and about those without needs. An index does not change; the next
// version shares with it what is the same in both.
type index struct {
	// always are the subscriptions that no event is known not to be for.
	always []*Subscription
	fields []*field // at most maxFields
}

// field has the subscriptions that need a field to have some value.
type field struct {
	filter.Field
	takers  table[filter.Value, []*Subscription]
	entries int
	// sealed says that versions may share it: it is written to no more.
	sealed bool
}

const (
	// maxFields bounds what is looked up for each event.
	maxFields = 64
	// newField is how many subscriptions may rather be asked in vain than another
	// field looked up.
	newField = 8
	// maxSelected is up to how many lists are left as they are; more are put
	// together.
	maxSelected = 4
)

// indexOf makes the index of a list.
func indexOf(all []*Subscription, which asked) *index {
	x := &index{}
	for _, s := range all {
		// They come in order, and nobody has these lists yet.
		x.put(s.needs(which), func(list []*Subscription) []*Subscription { return append(list, s) })
	}
	x.seal()
	return x
}

// after is the index after a subscription with these needs is added or removed.
func (x *index) after(s *Subscription, needs [][]filter.Term, edit change[*Subscription]) *index {
	next := &index{always: x.always, fields: slices.Clone(x.fields)}
	if edit.add {
		next.put(needs, func(list []*Subscription) []*Subscription { return edit.of(list, s) })
	} else {
		next.remove(s, needs, edit)
	}
	next.seal()
	return next
}

// put inserts a subscription under one of its needs.
func (x *index) put(needs [][]filter.Term, insert func([]*Subscription) []*Subscription) {
	need, ok := x.choose(needs)
	if !ok {
		x.always = insert(x.always)
		return
	}
	for _, t := range need {
		i := x.find(t.Field)
		if i < 0 {
			i = len(x.fields)
			x.fields = append(x.fields, &field{Field: t.Field})
		}
		f := x.own(i)
		list, _ := f.takers.get(t.Value)
		f.takers.put(t.Value, insert(list))
		f.entries++
	}
}

// remove takes a subscription off, under whichever need it is.
func (x *index) remove(s *Subscription, needs [][]filter.Term, edit change[*Subscription]) {
	x.always = edit.of(x.always, s)
	for _, need := range needs {
		for _, t := range need {
			i := x.find(t.Field)
			if i < 0 {
				continue
			}
			list, _ := x.fields[i].takers.get(t.Value)
			if _, found := slices.BinarySearchFunc(list, s, Compare); !found {
				continue
			}
			f := x.own(i)
			if list = edit.of(list, s); len(list) > 0 {
				f.takers.put(t.Value, list)
			} else {
				f.takers.remove(t.Value)
			}
			if f.entries--; f.entries == 0 {
				x.fields = slices.Delete(x.fields, i, i+1)
			}
		}
	}
}

// choose picks the need that tells most: what many others need, too, is of little
// help.
func (x *index) choose(needs [][]filter.Term) (best []filter.Term, ok bool) {
	least := math.MaxInt
	for _, need := range needs {
		cost, fields := 0, len(x.fields)
		var last filter.Field
		for _, t := range need {
			cost++
			if i := x.find(t.Field); i >= 0 {
				list, _ := x.fields[i].takers.get(t.Value)
				cost += len(list)
			} else if t.Field != last {
				cost += newField
				fields++
			}
			last = t.Field
		}
		if fields <= maxFields && cost < least {
			best, least, ok = need, cost, true
		}
	}
	return best, ok
}

func (x *index) find(f filter.Field) int {
	return slices.IndexFunc(x.fields, func(is *field) bool { return is.Field == f })
}

// own makes a field this index's alone.
func (x *index) own(i int) *field {
	if x.fields[i].sealed {
		f := *x.fields[i]
		f.sealed = false
		x.fields[i] = &f
	}
	return x.fields[i]
}

// seal ends the making of a version.
func (x *index) seal() {
	for _, f := range x.fields {
		if !f.sealed {
			f.takers.seal()
			f.sealed = true
		}
	}
}

// appendTo appends the lists of those whose needs an event meets.
func (x *index) appendTo(d *filter.Document, into [][]*Subscription) [][]*Subscription {
	start := len(into)
	for _, f := range x.fields {
		values, ok := d.Values(f.Field)
		if !ok { // it cannot be told from all
			f.takers.each(func(_ filter.Value, list []*Subscription) { into = append(into, list) })
			continue
		}
		for _, v := range values {
			if list, ok := f.takers.get(v); ok {
				into = append(into, list)
			}
		}
	}
	if len(into)-start <= maxSelected {
		return into
	}
	together := slices.Concat(into[start:]...)
	slices.SortFunc(together, Compare)
	return append(into[:start], slices.Compact(together))
}
