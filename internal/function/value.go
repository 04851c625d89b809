package function

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/grafana/sobek"
)

// deeper reports whether a JSON text nests deeper than limit; of a text that is
// no JSON it may say anything.
func deeper(text []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
		case '[', '{':
			if depth++; depth > limit {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}

// stringEnd returns the place of the quote that ends the string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(text) - 1
}

// value is a valid JSON text as a value of the engine. It is quicker than the
// engine's own parser, which also refuses numbers beyond a double.
func (vm *machine) value(text []byte) sobek.Value {
	r := reader{vm: vm, text: text}
	return r.value()
}

// reader reads valid JSON of bounded depth.
type reader struct {
	vm   *machine
	text []byte
	at   int
}

// next skips white space, and returns what follows without taking it.
func (r *reader) next() byte {
	for {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
			r.at++
		default:
			return c
		}
	}
}

func (r *reader) value() sobek.Value {
	switch r.next() {
	case '{':
		return r.object()
	case '[':
		return r.array()
	case '"':
		return r.vm.ToValue(r.string())
	case 't':
		r.at += len("true")
		return r.vm.ToValue(true)
	case 'f':
		r.at += len("false")
		return r.vm.ToValue(false)
	case 'n':
		r.at += len("null")
		return sobek.Null()
	default:
		start := r.at
		r.at = numberEnd(r.text, start)
		return r.vm.ToValue(number(r.text[start:r.at]))
	}
}

func (r *reader) object() sobek.Value {
	r.at++
	o := r.vm.NewObject()
	for r.next() != '}' {
		key := r.string()
		value := r.value()
		if key == "__proto__" { // a key like any other, as JSON.parse has it
			_ = o.DefineDataProperty(key, value, sobek.FLAG_TRUE, sobek.FLAG_TRUE, sobek.FLAG_TRUE)
			continue
		}
		_ = o.Set(key, value) // a new object takes any property
	}
	r.at++
	return o
}

func (r *reader) array() sobek.Value {
	r.at++
	items := []any{}
	for r.next() != ']' {
		items = append(items, r.value())
	}
	r.at++
	return r.vm.NewArray(items...)
}

func (r *reader) string() string {
	end := stringEnd(r.text, r.at)
	quoted := r.text[r.at : end+1]
	r.at = end + 1
	return unquote(quoted)
}

// unquote returns the text of a valid JSON string. Unpaired surrogates become
// U+FFFD.
func unquote(quoted []byte) string {
	plain := string(quoted[1 : len(quoted)-1])
	if strings.IndexByte(plain, '\\') < 0 {
		return plain
	}
	_ = json.Unmarshal(quoted, &plain) // it is valid
	return plain
}

// numberEnd returns the place after the number that begins at i.
func numberEnd(text []byte, i int) int {
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case '0' <= c && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
		default:
			return i
		}
	}
	return i
}

// number is the double nearest to a JSON number.
func number(text []byte) float64 {
	f, _ := strconv.ParseFloat(string(text), 64) // out of range it is an infinity
	return f
}

// plainNumber reports whether JavaScript writes a number of JSON as it is.
func plainNumber(text []byte) bool {
	if plainInteger(text) {
		return true
	}
	f := number(text)
	if math.IsInf(f, 0) || f == 0 {
		return string(text) == "0"
	}
	var buf [32]byte
	format := byte('f')
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		format = 'e'
	}
	written := strconv.AppendFloat(buf[:0], f, format, -1, 64)
	if n := len(written); format == 'e' && n >= 4 && written[n-4] == 'e' && written[n-2] == '0' {
		written = append(written[:n-2], written[n-1]) // e-07 is e-7 in JavaScript
	}
	return string(written) == string(text)
}

// plainInteger reports whether a number is an integer of so few digits that a
// double holds it exactly: nearly all numbers, told cheaply.
func plainInteger(text []byte) bool {
	if len(text) > 15 || text[0] == '-' && text[1] == '0' {
		return false
	}
	for i, c := range text {
		if (c < '0' || c > '9') && (c != '-' || i > 0) {
			return false
		}
	}
	return true
}
