package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"convoy"
)

// term is the hash of something that events are searched for and that an event
// has: a part of its key, its type, its source, or a value at a place in its
// payload. Different things may have the same term; whoever looks for one looks at
// the events then.
type term uint64

// A term's first 8 bits say in which bucket it is, the next 24 are kept there.
const buckets = 256

func (t term) bucket() int { return int(t >> 56) }

func (t term) rest() uint32 { return uint32(t>>32) & 0xffffff }

// hash is FNV-1a of 64 bits, which has to be the same in all processes and for ever.
type hash uint64

func (h hash) byte(b byte) hash { return (h ^ hash(b)) * 1099511628211 }

func (h hash) text(s string) hash {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h.byte(0)
}

// term spreads the hash over all bits, by the last steps of MurmurHash3.
func (h hash) term() term {
	x := uint64(h)
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return term(x ^ x>>33)
}

// The kinds of terms. They and the texts that are hashed are what is stored:
// changing them takes a migration that empties the index.
const (
	aPart    = 'p' // a part of an idempotency key
	aType    = 't'
	aSource  = 's'
	aValue   = 'v'
	anything = '*' // an event that has too many terms to be told by them
)

func termsOf(project convoy.ProjectID, kind byte) hash {
	return hash(14695981039346656037).byte(kind).text(string(project))
}

func anythingTerm(project convoy.ProjectID) term { return termsOf(project, anything).term() }

func typeTerm(project convoy.ProjectID, eventType string) term {
	return termsOf(project, aType).text(eventType).term()
}

func sourceTerm(project convoy.ProjectID, id convoy.SourceID) term {
	return termsOf(project, aSource).text(string(id)).term()
}

const (
	// maxTerms bounds those of an event.
	maxTerms = 4096
	// longestPart is that of the parts of a text that are terms, in bytes.
	longestPart = 3
)

// eventTerms calls add for the terms of an event, some more than once.
func eventTerms(e *convoy.Event, add func(term)) {
	left := maxTerms
	bounded := func(t term) bool {
		left--
		if left < 0 {
			add(anythingTerm(e.ProjectID))
			return false
		}
		add(t)
		return true
	}
	add(typeTerm(e.ProjectID, e.Type))
	if e.SourceID != "" {
		add(sourceTerm(e.ProjectID, e.SourceID))
	}
	addParts(e.ProjectID, e.IdempotencyKey, bounded)
	addValues(termsOf(e.ProjectID, aValue), gjson.ParseBytes(e.Data), maxContainmentDepth, func(t term, _ gjson.Result) bool { return bounded(t) })
}

// addParts adds every part of a text, up to the longest.
func addParts(project convoy.ProjectID, text string, add func(term) bool) {
	text = lowerASCII(text)
	start := termsOf(project, aPart)
	for i := range len(text) {
		h := start
		for j := i; j < min(i+longestPart, len(text)); j++ {
			h = h.byte(text[j])
			if !add(h.term()) {
				return
			}
		}
	}
}

// maxParts bounds the terms that a text is searched by.
const maxParts = 5

// partTerms are terms of every key that has a part.
func partTerms(project convoy.ProjectID, part string) []term {
	part = lowerASCII(part)
	n := min(len(part), longestPart)
	places := len(part) - n + 1
	step := max(1, (places+maxParts-1)/maxParts)
	var terms []term
	for i := 0; i < places; i += step {
		h := termsOf(project, aPart)
		for j := range n {
			h = h.byte(part[i+j])
		}
		terms = append(terms, h.term())
	}
	return terms
}

// lowerASCII is what [lowered] is in a database.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// addValues adds the values in v, each with the keys that lead to it: a payload
// that contains an object, see [Containment], has all its terms. What is nested
// deeper than a pattern may be is left out.
func addValues(at hash, v gjson.Result, depth int, add func(t term, v gjson.Result) bool) bool {
	switch {
	case v.IsObject() || v.IsArray():
		kind := byte('a')
		if v.IsObject() {
			kind = 'o'
		}
		if !add(at.byte(kind).term(), v) {
			return false
		}
		if depth == 0 {
			return true
		}
		more := true
		v.ForEach(func(key, value gjson.Result) bool {
			under := at
			if kind == 'o' {
				under = at.byte('.').text(key.Str)
			}
			more = addValues(under, value, depth-1, add)
			return more
		})
		return more
	case v.Type == gjson.String:
		return add(at.byte('s').text(v.Str).term(), v)
	case v.Type == gjson.Number:
		return add(decimalOf(v.Raw).hash(at.byte('n')).term(), v)
	}
	return add(at.byte(byte(v.Type)).term(), v) // true, false and null have one value each
}

func (d decimal) hash(h hash) hash {
	if d.negative {
		h = h.byte('-')
	}
	return h.text(d.digits).text(strconv.FormatInt(d.exponent, 10))
}

// maxValues bounds the terms that an object is searched by.
const maxValues = 4

// terms are of every payload that contains the object: those of its longest texts
// and numbers, or else of what it has.
func (c Containment) terms(project convoy.ProjectID) []term {
	type value struct {
		term   term
		weight int
	}
	var values []value
	addValues(termsOf(project, aValue), c.pattern, maxContainmentDepth, func(t term, v gjson.Result) bool {
		weight := 0
		if v.Type == gjson.String || v.Type == gjson.Number {
			weight = len(v.Raw)
		}
		values = append(values, value{t, weight})
		return true
	})
	slices.SortStableFunc(values, func(a, b value) int { return cmp.Compare(b.weight, a.weight) })
	var terms []term
	for _, v := range values[:min(len(values), maxValues)] {
		if v.weight > 0 || values[0].weight == 0 {
			terms = append(terms, v.term)
		}
	}
	return terms
}

// mark stands for an event in a segment: its block, and 8 bits of its id, which
// other events of the block may have, too: its last character, which is random, and
// 3 bits of the one before.
type mark uint16

// digits are those of ids (Crockford's base 32).
const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

func newMark(block int, id convoy.EventID) mark {
	digit := func(c byte) mark { return mark(max(0, strings.IndexByte(digits, c))) }
	m := mark(block) << 8
	if n := len(id); n > 1 {
		m |= digit(id[n-1])<<3 | digit(id[n-2])&7
	}
	return m
}

func (m mark) block() int { return int(m >> 8) }

// end is the last character of the event's id.
func (m mark) end() byte { return digits[m>>3&31] }

// marks is a set of them in ascending order.
type marks []mark

func (a marks) and(b marks) marks {
	out := make(marks, 0, min(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			out = append(out, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return out
}

func (a marks) or(b marks) marks {
	if len(a) == 0 {
		return b
	}
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// appendPosting says which events have a term: 24 bits of the term, and the length
// in bytes of their marks, each but for the first as what it is above the one before.
func appendPosting(to []byte, t term, m marks) []byte {
	rest := t.rest()
	length := 0
	var before mark
	for _, x := range m {
		length += uvarintLen(x - before)
		before = x
	}
	to = append(to, byte(rest), byte(rest>>8), byte(rest>>16))
	to = binary.AppendUvarint(to, uint64(length))
	before = 0
	for _, x := range m {
		to = binary.AppendUvarint(to, uint64(x-before))
		before = x
	}
	return to
}

func uvarintLen(x mark) int { return max(1, (bits.Len16(uint16(x))+6)/7) }

var errPostings = errors.New("the postings of the search index are damaged")

// readPostings adds the marks of those terms that are wanted, by their rests. A term
// may come more than once.
func readPostings(from []byte, found map[uint32]marks) error {
	for len(from) > 0 {
		if len(from) < 4 {
			return errPostings
		}
		rest := uint32(from[0]) | uint32(from[1])<<8 | uint32(from[2])<<16
		length, size := binary.Uvarint(from[3:])
		if from = from[3+max(size, 0):]; size <= 0 || length > uint64(len(from)) {
			return errPostings
		}
		m, wanted := found[rest]
		at := mark(0)
		for held := from[:length]; wanted && len(held) > 0; {
			above, size := binary.Uvarint(held)
			if size <= 0 {
				return errPostings
			}
			held = held[size:]
			at += mark(above)
			m = append(m, at)
		}
		if wanted {
			found[rest] = m
		}
		from = from[length:]
	}
	return nil
}

// ordered puts marks that were read in order; all but those of late events are.
func (a marks) ordered() marks {
	if !slices.IsSorted(a) {
		slices.Sort(a)
	}
	return slices.Compact(a)
}
