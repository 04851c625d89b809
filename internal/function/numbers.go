package function

import (
	"hash/maphash"
	"math"
)

// In JavaScript a number is a double, so 9007199254740993, 1.0 and 1e400 would
// come back as 9007199254740992, 1 and null. Payloads carry such numbers as
// identifiers and amounts, and a function that does not touch them must not
// change them. So the texts of such numbers are kept, and put back into the
// output:
//
//   - where the output has the same number at the same place;
//   - elsewhere, where the output has a number that JavaScript could not hold
//     exactly, and the payload has one that it takes for the same: the function
//     has moved or copied it.

// spot is a number, or null, of a JSON text.
type spot struct {
	path       uint64 // hash of the keys and indexes that lead to it
	start, end int
}

// kept is a number whose text JavaScript would change.
type kept struct {
	text  []byte
	value float64
}

// restoreNumbers puts the texts of numbers of payload back into output.
func restoreNumbers(payload, output []byte) []byte {
	if plainNumbers(payload) {
		return output
	}
	places := make(map[uint64]kept)
	moved := make(map[float64][]byte) // nil for a value with several texts
	seed := maphash.MakeSeed()
	visit(seed, payload, func(s spot) {
		text := payload[s.start:s.end]
		if text[0] == 'n' || plainInteger(text) {
			return
		}
		k := kept{text: text, value: number(text)}
		if !plainNumber(text) {
			places[s.path] = k
		}
		if math.Abs(k.value) < 1<<53 {
			return
		}
		if other, ok := moved[k.value]; ok && string(other) != string(text) {
			text = nil
		}
		moved[k.value] = text
	})
	restored := make([]byte, 0, len(output)+64)
	done := 0
	visit(seed, output, func(s spot) {
		text := output[s.start:s.end]
		k, ok := places[s.path]
		if text[0] == 'n' { // null is how JavaScript writes an infinity
			ok = ok && math.IsInf(k.value, 0)
		} else {
			value := number(text)
			if ok = ok && k.value == value; !ok {
				k.text = moved[value]
				ok = k.text != nil
			}
		}
		if ok {
			restored = append(append(restored, output[done:s.start]...), k.text...)
			done = s.end
		}
	})
	return append(restored, output[done:]...)
}

// plainNumbers reports whether JavaScript changes the text of no number of a
// valid JSON text: the usual case, which must cost little.
func plainNumbers(text []byte) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i = stringEnd(text, i)
		case c == '-', '0' <= c && c <= '9':
			end := numberEnd(text, i)
			if !plainNumber(text[i:end]) {
				return false
			}
			i = end - 1
		}
	}
	return true
}

// visit calls fn for each number and null of a valid JSON text, in order.
func visit(seed maphash.Seed, text []byte, fn func(spot)) {
	type level struct {
		path  uint64 // of the container
		index uint64 // of the item; unused in an object
		array bool
	}
	var (
		buf    [16]level
		levels = buf[:0]
		path   uint64 // of the value that comes next
		key    bool   // a key comes next
	)
	step := func(from uint64, key string) uint64 {
		return maphash.Comparable(seed, struct {
			from uint64
			key  string
		}{from, key})
	}
	item := func(l *level) {
		path = maphash.Comparable(seed, [2]uint64{l.path, l.index})
		l.index++
	}
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '{', '[':
			levels = append(levels, level{path: path, array: c == '['})
			if key = c == '{'; !key {
				item(&levels[len(levels)-1])
			}
			i++
		case '}', ']':
			key = false
			levels = levels[:len(levels)-1]
			i++
		case ',':
			if l := &levels[len(levels)-1]; l.array {
				item(l)
			} else {
				key = true
			}
			i++
		case '"':
			end := stringEnd(text, i) + 1
			if key {
				path, key = step(levels[len(levels)-1].path, unquote(text[i:end])), false
			}
			i = end
		case 'n':
			fn(spot{path, i, i + len("null")})
			i += len("null")
		case 't':
			i += len("true")
		case 'f':
			i += len("false")
		case ' ', '\t', '\n', '\r', ':':
			i++
		default:
			end := numberEnd(text, i)
			fn(spot{path, i, end})
			i = end
		}
	}
}
