package catalog

import (
	"convoy"
	"convoy/internal/filter"
)

// List is subscriptions in the order of [Compare]. When the filters of many need an
// event to have certain values, it has an index of these. Like a [Project], it does
// not change.
type List struct {
	all []*Subscription
	// needy is how many have filters that an index can tell from others.
	needy int
	index *index // nil when there are few
}

// An index is made for so many subscriptions that it can tell, and kept until half
// of them are gone.
const indexFrom = 16

// All are all subscriptions.
func (l List) All() []*Subscription { return l.all }

// Selective reports whether Select may leave any out.
func (l List) Selective() bool { return l.index != nil }

// Select appends lists, each in the order of [Compare], in which are all
// subscriptions whose filters match a document. One may be in several. The lists
// are not to be written to.
func (l List) Select(d *filter.Document, into [][]*Subscription) [][]*Subscription {
	always := l.all
	if l.index != nil {
		into = l.index.appendTo(d, into)
		always = l.index.always
	}
	if len(always) > 0 {
		into = append(into, always)
	}
	return into
}

// asked says which filters of a subscription may be asked when it is found in a
// list.
type asked func(*convoy.Filter) bool

func ofAnyType(*convoy.Filter) bool { return true }

func ofManyTypes(f *convoy.Filter) bool { return convoy.EventTypePattern(f.EventType) }

func ofType(t string) asked { return func(f *convoy.Filter) bool { return f.EventType == t } }

// needs are what an event must have to be taken; see [filter.Needs].
func (s *Subscription) needs(which asked) [][]filter.Term {
	if s.programs == nil {
		return nil
	}
	var programs []*filter.Program
	for i := range s.Filters {
		switch f := &s.Filters[i]; {
		case f.EnabledAt.IsZero() || !which(f):
		case s.programs[i] == nil:
			return nil
		default:
			programs = append(programs, s.programs[i])
		}
	}
	return filter.Needs(programs...)
}

// listOf makes a list of subscriptions that are in order.
func listOf(all []*Subscription, which asked) List {
	l := List{all: all}
	for _, s := range all {
		if len(s.needs(which)) > 0 {
			l.needy++
		}
	}
	if l.needy >= indexFrom {
		l.index = indexOf(all, which)
	}
	return l
}

// listsOf makes the lists of a table.
func listsOf[K ~string](m map[K][]*Subscription, which func(K) asked) (t table[K, List]) {
	for k, all := range m {
		t.put(k, listOf(all, which(k)))
	}
	t.seal()
	return t
}

// listing adds a subscription to a list, or takes it off.
type listing struct {
	which asked
	add   bool
}

// of returns the list after the change; the one before stays as it is.
func (c listing) of(l List, s *Subscription) List {
	edit := change[*Subscription]{Compare, c.add}
	l.all = edit.of(l.all, s)
	needs := s.needs(c.which)
	step := 1
	if !c.add {
		step = -1
	}
	if len(needs) > 0 {
		l.needy += step
	}
	switch {
	case l.index == nil && l.needy >= indexFrom:
		l.index = indexOf(l.all, c.which)
	case l.index != nil && l.needy < indexFrom/2:
		l.index = nil
	case l.index != nil:
		l.index = l.index.after(s, needs, edit)
	}
	return l
}

// editList changes one list of a table.
func editList[K ~string](t *table[K, List], k K, s *Subscription, c listing) {
	l, _ := t.get(k)
	if l = c.of(l, s); len(l.all) > 0 {
		t.put(k, l)
	} else {
		t.remove(k)
	}
}
