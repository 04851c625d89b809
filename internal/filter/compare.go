package filter

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// holds asks a value that exists. text says that numbers are written as strings.
func (op *operator) holds(v gjson.Result, text bool) bool {
	switch op.kind {
	case opIs:
		return is(v, op.operand)
	case opEq:
		return equal(v, op.operand)
	case opNeq:
		return !equal(v, op.operand)
	case opGt, opGte, opLt, opLte:
		return op.ordered(v, text)
	case opIn:
		return op.member(v)
	case opNin:
		return !op.member(v)
	case opRegex:
		return v.Type == gjson.String && op.pattern.MatchString(v.Str)
	case opExists:
		return op.operand == true
	}
	return false
}

// is compares with a plain value: equal, or an array with an element that is.
// Neither null nor an array is matched this way; $eq does.
func is(v gjson.Result, operand any) bool {
	switch operand.(type) {
	case nil, []any:
		return false
	}
	if !v.IsArray() {
		return equal(v, operand)
	}
	found := false
	v.ForEach(func(_, element gjson.Result) bool {
		found = !element.IsObject() && !element.IsArray() && equal(element, operand)
		return !found
	})
	return found
}

// equal compares whole values. A string that is a number equals that number.
func equal(v gjson.Result, operand any) bool {
	if s, ok := operand.(string); ok && v.Type == gjson.Number {
		return numeric(s) && compareNumbers(v.Raw, s) == 0
	}
	if n, ok := operand.(json.Number); ok && v.Type == gjson.String {
		return numeric(v.Str) && compareNumbers(v.Str, string(n)) == 0
	}
	return same(v, operand)
}

// same compares values of the same type.
func same(v gjson.Result, operand any) bool {
	switch o := operand.(type) {
	case nil:
		return v.Type == gjson.Null && v.Raw != ""
	case bool:
		return o && v.Type == gjson.True || !o && v.Type == gjson.False
	case string:
		return v.Type == gjson.String && v.Str == o
	case json.Number:
		return v.Type == gjson.Number && compareNumbers(v.Raw, string(o)) == 0
	case []any:
		return sameArray(v, o)
	case map[string]any:
		return sameObject(v, o)
	}
	return false
}

func sameArray(v gjson.Result, operand []any) bool {
	if !v.IsArray() {
		return false
	}
	n, equal := 0, true
	v.ForEach(func(_, element gjson.Result) bool {
		equal = n < len(operand) && same(element, operand[n])
		n++
		return equal
	})
	return equal && n == len(operand)
}

func sameObject(v gjson.Result, operand map[string]any) bool {
	if !v.IsObject() {
		return false
	}
	equal := true
	seen := make(map[string]bool, len(operand)) // a document may repeat a name
	v.ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		want, ok := operand[name]
		equal = ok && same(value, want)
		seen[name] = true
		return equal
	})
	return equal && len(seen) == len(operand)
}

// ordered compares numbers; nothing else is greater or less.
func (op *operator) ordered(v gjson.Result, text bool) bool {
	n := v.Raw
	switch {
	case v.Type == gjson.Number:
	case text && v.Type == gjson.String && numeric(v.Str):
		n = v.Str
	default:
		return false
	}
	c := compareNumbers(n, string(op.operand.(json.Number)))
	switch op.kind {
	case opGt:
		return c > 0
	case opGte:
		return c >= 0
	case opLt:
		return c < 0
	}
	return c <= 0
}

// member is $in: a scalar that is one of an array, or an array that has a
// string.
func (op *operator) member(v gjson.Result) bool {
	if s, ok := op.operand.(string); ok {
		return v.IsArray() && is(v, s)
	}
	if v.IsArray() || v.IsObject() {
		return false
	}
	return op.members.has(v)
}

// set holds scalars, so that asking for one costs no more when there are many.
type set struct {
	texts           map[string]bool
	numbers         []decimal // sorted
	yes, no, nulled bool
}

// setOf leaves out arrays and objects, which are no member of anything.
func setOf(list []any) set {
	s := set{texts: make(map[string]bool)}
	for _, item := range list {
		switch i := item.(type) {
		case nil:
			s.nulled = true
		case bool:
			s.yes, s.no = s.yes || i, s.no || !i
		case string:
			s.texts[i] = true
		case json.Number:
			s.numbers = append(s.numbers, parseDecimal(string(i)))
		}
	}
	slices.SortFunc(s.numbers, decimal.compare)
	return s
}

func (s *set) has(v gjson.Result) bool {
	switch v.Type {
	case gjson.Null:
		return s.nulled
	case gjson.True:
		return s.yes
	case gjson.False:
		return s.no
	case gjson.String:
		return s.texts[v.Str]
	case gjson.Number:
		if len(s.numbers) == 0 {
			return false
		}
		_, ok := slices.BinarySearchFunc(s.numbers, parseDecimal(v.Raw), decimal.compare)
		return ok
	}
	return false
}

// numeric reports whether s is a decimal number, leading zeros and sign allowed.
func numeric(s string) bool {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	if s == "" || s[0] < '0' || s[0] > '9' || s[len(s)-1] == '.' {
		return false
	}
	digits, dots, exponent := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && dots == 0 && !exponent && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			dots++
		case (c == 'e' || c == 'E') && !exponent && i+1 < len(s):
			exponent = true
			if s[i+1] == '+' || s[i+1] == '-' {
				i++
			}
			if i+1 >= len(s) {
				return false
			}
		default:
			return false
		}
	}
	return digits > 0
}

// exact is how many digits a float64 holds without loss, if it is at least tiny.
const (
	exact = 15
	tiny  = 0x1p-1022
)

// compareNumbers compares decimal numbers exactly, however long: a float64 has
// no integers beyond 2^53.
func compareNumbers(a, b string) int {
	if whole(a) && whole(b) { // the usual case
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	}
	if len(a) <= exact && len(b) <= exact {
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		if errX == nil && errY == nil && math.Abs(x) >= tiny && math.Abs(y) >= tiny {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	return parseDecimal(a).compare(parseDecimal(b))
}

// whole reports whether a number is nothing but digits, the first no zero.
func whole(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && s[0] != '0'
}

// decimal is sign × 0.digits × 10^exponent; digits neither begin nor end with a
// zero, and are empty for zero.
type decimal struct {
	sign     int
	digits   string
	exponent int64
}

// maxExponent bounds exponents, so that they can be added; numbers beyond are
// compared as if they had it.
const maxExponent = 1 << 40

func parseDecimal(s string) decimal {
	d := decimal{sign: 1}
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			d.sign = -1
		}
		s = s[1:]
	}
	mantissa := s
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa = s[:i]
		n, err := strconv.ParseInt(s[i+1:], 10, 64)
		if err != nil || n > maxExponent || n < -maxExponent { // out of range, or beyond the bound
			n = maxExponent
			if strings.HasPrefix(s[i+1:], "-") {
				n = -maxExponent
			}
		}
		d.exponent = n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	whole = strings.TrimLeft(whole, "0")
	d.exponent += int64(len(whole))
	digits := whole + fraction
	if whole == "" {
		trimmed := strings.TrimLeft(fraction, "0")
		d.exponent -= int64(len(fraction) - len(trimmed))
		digits = trimmed
	}
	d.digits = strings.TrimRight(digits, "0")
	if d.digits == "" {
		return decimal{}
	}
	return d
}

func (d decimal) compare(o decimal) int {
	if d.sign != o.sign {
		return sign(d.sign - o.sign)
	}
	return d.sign * d.magnitude(o)
}

// magnitude compares without sign.
func (d decimal) magnitude(o decimal) int {
	if d.exponent != o.exponent {
		return sign(int(min(max(d.exponent-o.exponent, -1), 1)))
	}
	return strings.Compare(d.digits, o.digits)
}

func sign(n int) int { return min(max(n, -1), 1) }
