package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"convoy"
)

// Errors of [ParseLocation].
var (
	ErrParts  = errors.New("not enough parts")
	ErrFormat = errors.New("unsupported format")
)

// Part is a part of a request.
type Part uint8

// The parts that a location may be in.
const (
	Body Part = iota
	Header
	Query
)

// Location is a place in a request that has a value.
type Location struct {
	Part Part
	path string
	text string
}

// maxSteps bounds how deep a location in a body goes.
const maxSteps = 32

// ParseLocation reads request.body.a.b, request.header.X or request.query.x. The
// steps of a path in a body are keys of objects or indexes of arrays.
func ParseLocation(text string) (Location, error) {
	where, rest, _ := strings.Cut(text, ".")
	part, path, _ := strings.Cut(rest, ".")
	l := Location{path: path, text: text}
	if path == "" {
		return l, ErrParts
	}
	if where != "request" && where != "req" {
		return l, ErrFormat
	}
	switch part {
	case "body", "Body":
		l.Part = Body
		if strings.Count(path, ".") >= maxSteps {
			return l, ErrFormat
		}
	case "header", "Header":
		l.Part, l.path = Header, http.CanonicalHeaderKey(path)
	case "query", "QueryParam":
		l.Part = Query
	default:
		return l, ErrFormat
	}
	return l, nil
}

// Value is what the request has at the location; false when it has nothing
// there. It is an error to have an object or an array there.
func (l *Location) Value(r *Request) (string, bool, error) {
	switch l.Part {
	case Header:
		values := r.Header[l.path]
		if len(values) == 0 {
			return "", false, nil
		}
		return values[0], true, nil
	case Query:
		values := r.Query[l.path]
		if len(values) == 0 {
			return "", false, nil
		}
		return values[0], true, nil
	}
	return l.inBody(r.Data)
}

func (l *Location) inBody(body []byte) (string, bool, error) {
	v := gjson.ParseBytes(body)
	for step := range strings.SplitSeq(l.path, ".") {
		if v = child(v, step); !v.Exists() {
			return "", false, nil
		}
	}
	switch v.Type {
	case gjson.Null:
		return "", false, nil
	case gjson.JSON:
		return "", false, convoy.E(convoy.Invalid, l.text+":must be a text, a number or a boolean")
	case gjson.String:
		// encoding/json mends unpaired surrogates and invalid UTF-8.
		var s string
		if err := json.Unmarshal([]byte(v.Raw), &s); err != nil {
			return "", false, convoy.Wrap(convoy.Invalid, l.text+":must be a text, a number or a boolean", err)
		}
		return s, true, nil
	}
	return v.Raw, true, nil
}

// child is a member of an object, of several of one name the last, or an
// element of an array.
func child(v gjson.Result, step string) (found gjson.Result) {
	index, isIndex := -1, false
	if v.IsArray() {
		n, err := strconv.Atoi(step)
		index, isIndex = n, err == nil && n >= 0
	}
	at := 0
	v.ForEach(func(key, value gjson.Result) bool {
		switch {
		case v.IsArray():
			if at == index && isIndex {
				found = value
				return false
			}
			at++
			return isIndex
		case key.Str == step:
			found = value
		}
		return v.IsObject()
	})
	return found
}

// Key is the idempotency key of a request: the hash of the source's name and
// the values at the locations. A query parameter or a place in the body that is
// missing is an error. A header that is missing is an empty text; but where all
// of the locations are headers, and all are missing, there is no key, so that
// requests without them are not taken for one another.
func Key(name string, locations []Location, r *Request) (string, error) {
	h := sha256.New()
	h.Write([]byte(name))
	any := false
	for i := range locations {
		value, ok, err := locations[i].Value(r)
		if err != nil {
			return "", err
		}
		if !ok && locations[i].Part != Header {
			return "", convoy.E(convoy.Invalid, locations[i].text+":must be there for the idempotency key")
		}
		any = any || ok
		h.Write([]byte(value))
	}
	if !any {
		return "", nil
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// EventType is the value at a location, which must be there.
func EventType(l *Location, r *Request) (string, error) {
	value, ok, err := l.Value(r)
	if err != nil {
		return "", err
	}
	if !ok || value == "" {
		return "", convoy.E(convoy.Invalid, l.text+":must be there for the event type")
	}
	return value, nil
}
