package limit

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The rule of all engines (limit_reserve.lua has it once more).
//
// A limit alone is a GCRA (ITU-T I.371): its state is the theoretical arrival
// time of the next event, tat; an event may come tolerance before that, and
// moves it by spacing from there or from the event, whichever is later.
// Reserving a slot in the future is the same with the slot's time.
//
// A request under several limits gets the first time at which all of them have
// a slot. To the limit that made it wait, this slot is simply the next one. To
// one that would have allowed it earlier it is a mark ahead: events before the
// mark are still allowed as far as they leave it its place, and once the tat or
// the present reaches the mark it is charged as an event of its time. Marks are
// few, since a limit that often waits for another is not the one that is
// reached; beyond maxMarks the first is charged early, which can make others
// wait but never lets too many through.
const maxMarks = 256

// state is what is known of one limit. Times are Unix microseconds.
type state struct {
	tat   int64
	marks []int64 // ascending
}

// rule is a limit in microseconds.
type rule struct{ spacing, tolerance int64 }

func (l Limit) rule() rule {
	spacing := l.Spacing().Microseconds()
	return rule{spacing, (l.burst() - 1) * spacing}
}

// charge counts n events at a time.
func (r rule) charge(tat, at, n int64) int64 { return max(tat, at) + n*r.spacing }

// next returns the first time from at on with a slot for n. It also returns how
// many marks lie before it and the tat with them charged.
func (s *state) next(r rule, at, n int64) (slot, tat int64, passed int) {
	tat = s.tat
	for {
		slot = max(at, tat+(n-1)*r.spacing-r.tolerance)
		rest := s.marks[passed:]
		if len(rest) == 0 || rest[0] > slot && r.fits(r.charge(tat, slot, n), rest) {
			return slot, tat, passed
		}
		tat = r.charge(tat, rest[0], 1)
		passed++
	}
}

// fits reports whether marks keep their places after a tat.
func (r rule) fits(tat int64, marks []int64) bool {
	for _, m := range marks {
		if tat <= m {
			return true // as if nothing had been before
		}
		if tat-r.tolerance > m {
			return false
		}
		tat = r.charge(tat, m, 1)
	}
	return true
}

// reserve finds the first slot for n tokens that suits all limits and, if it is
// at most horizon away and n is not 0, charges it. Rules and states go together.
func reserve(rules []rule, states []*state, now, horizon, n int64) (slot int64, by int, ok bool) {
	cost := max(n, 1)
	slot = now
	for settled := false; !settled; {
		settled = true
		for i, r := range rules {
			if at, _, _ := states[i].next(r, slot, cost); at > slot {
				slot, by, settled = at, i, false
			}
		}
		if slot-now > horizon {
			return slot, by, false
		}
	}
	if n == 0 {
		return slot, by, true
	}
	for i, r := range rules {
		states[i].take(r, now, slot, n)
	}
	return slot, by, true
}

// take charges a slot for n that next has found to be free.
func (s *state) take(r rule, now, slot, n int64) {
	if first, tat, passed := s.next(r, now, n); first == slot {
		s.tat, s.marks = r.charge(tat, slot, n), s.marks[passed:]
		return
	}
	i, _ := slices.BinarySearch(s.marks, slot)
	s.marks = slices.Insert(s.marks, i, slot)
	if len(s.marks) > maxMarks {
		s.tat, s.marks = r.charge(s.tat, s.marks[0], 1), s.marks[1:]
	}
}

// end is when the state stops to matter.
func (s *state) end() int64 {
	if n := len(s.marks); n > 0 {
		return max(s.tat, s.marks[n-1]) + time.Second.Microseconds()
	}
	return s.tat
}

// text is the state as Redis and the database keep it: the tat and the marks,
// decimal, with spaces between.
func (s *state) text() string {
	b := strconv.AppendInt(nil, s.tat, 10)
	for _, m := range s.marks {
		b = strconv.AppendInt(append(b, ' '), m, 10)
	}
	return string(b)
}

// parseState undoes text; what is no state is as good as none.
func parseState(text string) *state {
	s := &state{}
	for i, field := range strings.Fields(text) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return &state{}
		}
		if i == 0 {
			s.tat = n
		} else {
			s.marks = append(s.marks, n)
		}
	}
	return s
}
