package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"convoy"
)

const (
	// maxContainment and maxContainmentDepth bound what looking at one payload
	// costs: the values of a pattern and how deep they are nested.
	maxContainment      = 100
	maxContainmentDepth = 16
	// breath is how many values are compared between two looks at the clock.
	breath = 4096
)

// Containment is a JSON object that payloads are searched for. A payload
// contains an object if it is one that has all its keys with values that contain
// theirs; an array if it is one that has, for each element, one that contains
// it, in whatever order; and a scalar if it is equal to it. Numbers are equal if
// their values are: 1.0 is 1, and no digit is lost.
type Containment struct{ pattern gjson.Result }

// ParseContainment reads a JSON object. Its errors are convoy.Invalid.
func ParseContainment(text string) (Containment, error) {
	if !utf8.ValidString(text) || !gjson.Valid(text) || !gjson.Parse(text).IsObject() {
		return Containment{}, convoy.E(convoy.Invalid, "must be a JSON object")
	}
	pattern := gjson.Parse(text)
	left := maxContainment
	if !bounded(pattern, maxContainmentDepth, &left) {
		return Containment{}, convoy.E(convoy.Invalid, "must not have more than 100 values or be nested deeper than 16")
	}
	return Containment{pattern}, nil
}

// Empty reports whether the object has no keys, which every object contains.
func (c Containment) Empty() bool {
	empty := true
	c.pattern.ForEach(func(_, _ gjson.Result) bool { empty = false; return false })
	return empty
}

// maxTexts bounds the texts of a pattern that a database looks for.
const maxTexts = 3

// longest returns the longest texts, keys and strings, that a payload has all of
// if it contains the object and has no escapes.
func (c Containment) longest() []string {
	var texts []string
	var walk func(v gjson.Result)
	walk = func(v gjson.Result) {
		v.ForEach(func(key, value gjson.Result) bool {
			if v.IsObject() {
				texts = append(texts, key.Str)
			}
			if value.Type == gjson.String {
				texts = append(texts, value.Str)
			} else if value.IsObject() || value.IsArray() {
				walk(value)
			}
			return true
		})
	}
	walk(c.pattern)
	slices.SortStableFunc(texts, func(a, b string) int { return len(b) - len(a) })
	return slices.DeleteFunc(texts[:min(len(texts), maxTexts)], func(s string) bool { return s == "" })
}

func bounded(v gjson.Result, depth int, left *int) bool {
	*left--
	if *left < 0 || depth < 0 {
		return false
	}
	ok := true
	if v.IsObject() || v.IsArray() {
		v.ForEach(func(_, value gjson.Result) bool {
			ok = bounded(value, depth-1, left)
			return ok
		})
	}
	return ok
}

var errSearchEnded = errors.New("search ended")

// in reports whether a payload contains the pattern. Its only error is that ctx
// has ended.
func (c Containment) in(ctx context.Context, payload []byte) (bool, error) {
	m := matching{ctx: ctx}
	ok := m.contains(gjson.ParseBytes(payload), c.pattern)
	if m.ended {
		return false, errors.Join(errSearchEnded, ctx.Err())
	}
	return ok, nil
}

// matching is one look at a payload.
type matching struct {
	ctx   context.Context //nolint:containedctx // it lives as long as the call that it came with
	steps int
	ended bool
}

func (m *matching) contains(v, pattern gjson.Result) bool {
	switch {
	case pattern.IsObject():
		return v.IsObject() && m.all(pattern, func(key, want gjson.Result) bool {
			var found gjson.Result
			has := false
			m.all(v, func(k, value gjson.Result) bool { // of equal keys the last counts
				if k.Str == key.Str {
					found, has = value, true
				}
				return true
			})
			return has && m.contains(found, want)
		})
	case pattern.IsArray():
		return v.IsArray() && m.all(pattern, func(_, want gjson.Result) bool {
			has := false
			m.all(v, func(_, value gjson.Result) bool {
				has = m.contains(value, want)
				return !has
			})
			return has
		})
	case pattern.Type == gjson.Number:
		return v.Type == gjson.Number && (v.Raw == pattern.Raw || decimalOf(v.Raw) == decimalOf(pattern.Raw))
	case pattern.Type == gjson.String:
		return v.Type == gjson.String && v.Str == pattern.Str
	}
	return v.Type == pattern.Type // true, false and null have one value each
}

// all calls fn for each member or element until it returns false, and reports
// whether none did. It ends early, too, when time is up.
func (m *matching) all(v gjson.Result, fn func(key, value gjson.Result) bool) bool {
	ok := true
	v.ForEach(func(key, value gjson.Result) bool {
		if m.steps++; m.steps%breath == 0 && m.ctx.Err() != nil {
			m.ended = true
		}
		ok = !m.ended && fn(key, value)
		return ok
	})
	return ok
}

// decimal is the value of a JSON number: 0.digits × 10^exponent. Zero has no
// digits and no sign.
type decimal struct {
	negative bool
	digits   string
	exponent int64
}

// decimalOf reads a number of any length without computing it.
func decimalOf(raw string) decimal {
	var d decimal
	raw, d.negative = strings.CutPrefix(raw, "-")
	mantissa, exponent := raw, ""
	if i := strings.IndexAny(raw, "eE"); i >= 0 {
		mantissa, exponent = raw[:i], raw[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.exponent = int64(len(whole)) + smallInt(exponent)
	digits := whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	d.exponent -= int64(len(digits) - len(trimmed))
	if d.digits = strings.TrimRight(trimmed, "0"); d.digits == "" {
		return decimal{}
	}
	return d
}

// smallInt reads an exponent; beyond ±10^15 they are all the same.
func smallInt(s string) int64 {
	s, negative := strings.CutPrefix(strings.TrimPrefix(s, "+"), "-")
	var n int64
	for i := range len(s) {
		if n = n*10 + int64(s[i]-'0'); n > 1e15 {
			n = 1e15
		}
	}
	if negative {
		return -n
	}
	return n
}
