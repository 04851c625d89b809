package filter

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// Document is the parts of an event that filters look at. Each is read when it
// is first asked about, and then for all programs of the event. It is for one
// goroutine at a time.
type Document struct {
	body     []byte
	headers  map[string][]string
	rawQuery string
	rawPath  string

	bodyIs, headersAre, queryIs, pathIs part

	// left is what the match under way may still do; see [maxWork].
	left int
	// matches counts the programs that have been matched. The second is where
	// remembering begins to pay.
	matches int
}

// part is one part of an event.
type part struct {
	read bool
	root gjson.Result
	// text says that it comes from a request's text, where a number is its digits
	// and a repeated name an array.
	text bool
	// places are where paths lead, for programs that ask for the same fields; nil
	// for a path that leads to too much.
	places map[string]*place
}

// place is where a path leads.
type place struct {
	values []reached
	// cost is what it takes to look everywhere.
	cost int
	// scalars are what [Document.Values] says once it is listed, if they are few.
	scalars     []Value
	listed, few bool
}

// reached is a value, and what it takes to come to it.
type reached struct {
	value gjson.Result
	cost  int
}

// Bounds of what is remembered.
const (
	// maxPlaces bounds the paths of a part.
	maxPlaces = 256
	// maxReached bounds the values of a path.
	maxReached = 16
	// maxPlaceWork bounds the search: a millisecond.
	maxPlaceWork = 1 << 20
)

// maxWork bounds one match: about a second, if a filter and a document are made
// for each other. It counts what is done and not the time it takes, so that a
// document always gets the same answer. Its unit is a byte of a document that is
// looked through; the others are measured in it.
const (
	maxWork = 1 << 30
	// perValue is what a value costs besides its bytes.
	perValue = 512
	// perStep is what a regular expression costs for each byte and instruction.
	perStep = 32
)

// spend reports whether there is work left for n more.
func (d *Document) spend(n int) bool {
	d.left -= n
	return d.left >= 0
}

// NewDocument takes an event's payload, a JSON text; its headers; the raw query
// and the path of the request that brought it. It keeps them without a copy.
func NewDocument(body []byte, headers map[string][]string, rawQuery, path string) *Document {
	return &Document{body: body, headers: headers, rawQuery: rawQuery, rawPath: path}
}

func (d *Document) bodyPart() *part {
	p := &d.bodyIs
	if !p.read {
		p.read = true
		if valid(d.body) { // gjson reads on in what is not
			p.root = gjson.ParseBytes(d.body)
		}
	}
	return p
}

// maxNested is up to how many brackets gjson checks a document: it recurses, where
// encoding/json, which is slower, does not.
const maxNested = 10_000

func valid(body []byte) bool {
	if bytes.Count(body, []byte{'['})+bytes.Count(body, []byte{'{'}) > maxNested {
		return json.Valid(body)
	}
	return gjson.ValidBytes(body)
}

// headerPart is an object of lower-case names, with a string or, for a header
// that is repeated, an array of strings.
func (d *Document) headerPart() *part {
	p := &d.headersAre
	if !p.read {
		lower := make(map[string][]string, len(d.headers))
		for name, values := range d.headers {
			name = strings.ToLower(name)
			lower[name] = append(lower[name], values...)
		}
		*p = part{read: true, text: true, root: texts(lower)}
	}
	return p
}

func (d *Document) queryPart() *part {
	p := &d.queryIs
	if !p.read {
		values, err := url.ParseQuery(d.rawQuery)
		if err != nil && values == nil {
			values = url.Values{}
		}
		*p = part{read: true, text: true, root: texts(values)}
	}
	return p
}

func (d *Document) pathPart() *part {
	p := &d.pathIs
	if !p.read {
		*p = part{read: true, text: true, root: texts(map[string][]string{"path": {d.rawPath}})}
	}
	return p
}

func (d *Document) part(in scope) *part {
	switch in {
	case inHeaders:
		return d.headerPart()
	case inQuery:
		return d.queryPart()
	case inPath:
		return d.pathPart()
	}
	return d.bodyPart()
}

// texts is the object of names and their values.
func texts(m map[string][]string) gjson.Result {
	object := make(map[string]any, len(m))
	for name, values := range m {
		switch len(values) {
		case 0:
		case 1:
			object[name] = values[0]
		default:
			object[name] = values
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object); err != nil {
		return gjson.Result{} // strings always encode
	}
	return gjson.ParseBytes(b.Bytes())
}

// all reports whether a part meets all conditions.
func (d *Document) all(nodes []node, p *part) bool {
	for i := range nodes {
		if !d.met(&nodes[i], p) {
			return false
		}
	}
	return true
}

func (d *Document) met(n *node, p *part) bool {
	if n.or != nil {
		for _, alternative := range n.or {
			if d.all(alternative, p) {
				return true
			}
		}
		return false
	}
	q := question{operators: n.operators, text: p.text, document: d}
	if q.reach(p, n.path) {
		return true
	}
	return !q.found && q.satisfiedByNothing()
}

// question is asked of every value at a path until one meets it.
type question struct {
	operators []operator
	text      bool
	found     bool
	document  *Document
	// into, if not nil, has the question only note what is at the path.
	into *place
}

// reach asks the values at a path of a part, in order. What has been found
// before is not looked for again, but costs the same: whether a match does too
// much must not depend on those before it.
func (q *question) reach(p *part, path string) (met bool) {
	d := q.document
	at := d.place(p, path)
	if at == nil {
		return q.ask(p.root, path)
	}
	spent := 0
	for i := range at.values {
		r := &at.values[i]
		if !d.spend(r.cost - spent) {
			return false
		}
		if spent = r.cost; q.answer(r.value) {
			return true
		}
	}
	d.spend(at.cost - spent)
	return false
}

// place returns where a path leads, nil when that is not remembered.
func (d *Document) place(p *part, path string) *place {
	if d.matches < 2 {
		return p.places[path] // an index may have asked
	}
	return d.remember(p, path)
}

// remember returns where a path leads, nil when that is too much.
func (d *Document) remember(p *part, path string) *place {
	at, known := p.places[path]
	if known || len(p.places) >= maxPlaces {
		return at
	}
	left := d.left
	d.left = maxPlaceWork
	at = &place{}
	q := question{document: d, into: at}
	q.ask(p.root, path)
	if at.cost = maxPlaceWork - d.left; d.left < 0 || len(at.values) > maxReached {
		at = nil
	}
	d.left = left
	if p.places == nil {
		p.places = make(map[string]*place)
	}
	p.places[path] = at
	return at
}

// ask looks for path below v: in an object a member whose name is a beginning of
// the path, up to a dot or its end, so that a name with dots is found too; in an
// array the element of that number, or with "$" every element.
func (q *question) ask(v gjson.Result, path string) (met bool) {
	if path == "" {
		return q.answer(v)
	}
	if !q.document.spend(len(v.Raw)) {
		return false
	}
	switch {
	case v.IsObject():
		v.ForEach(func(key, value gjson.Result) bool {
			if rest, ok := below(path, key.String()); ok {
				met = q.ask(value, rest)
			}
			return !met && q.document.spend(perValue)
		})
	case v.IsArray():
		segment, rest, _ := strings.Cut(path, ".")
		n := 0
		v.ForEach(func(_, value gjson.Result) bool {
			if segment == "$" {
				met = q.ask(value, rest)
				return !met && q.document.spend(perValue)
			}
			if !isIndex(segment, n) {
				n++
				return len(segment) <= 10 && q.document.spend(perValue) // no array that fits memory is longer
			}
			met = q.ask(value, rest)
			return false
		})
	}
	return met
}

// below returns what is left of path behind a name.
func below(path, name string) (rest string, ok bool) {
	if len(path) < len(name) || path[:len(name)] != name {
		return "", false
	}
	if len(path) == len(name) {
		return "", true
	}
	if path[len(name)] != '.' || name == "" {
		return "", false
	}
	return path[len(name)+1:], true
}

// isIndex reports whether a segment is the number n in decimal.
func isIndex(segment string, n int) bool {
	if len(segment) > 10 || segment == "" || segment[0] == '0' && len(segment) > 1 {
		return false
	}
	value := 0
	for i := range len(segment) {
		if segment[i] < '0' || segment[i] > '9' {
			return false
		}
		value = value*10 + int(segment[i]-'0')
	}
	return value == n
}

// answer asks one value; a repeated header or query parameter is asked as a whole
// and value by value.
func (q *question) answer(v gjson.Result) bool {
	if q.into != nil {
		q.into.values = append(q.into.values, reached{v, maxPlaceWork - q.document.left})
		return len(q.into.values) > maxReached // enough to know
	}
	q.found = true
	if q.holds(v) {
		return true
	}
	met := false
	if q.text && v.IsArray() {
		v.ForEach(func(_, value gjson.Result) bool {
			met = q.holds(value)
			return !met
		})
	}
	return met
}

func (q *question) holds(v gjson.Result) bool {
	for i := range q.operators {
		op := &q.operators[i]
		if !q.document.spend(op.cost(v)) || !op.holds(v, q.text) {
			return false
		}
	}
	return true
}

// satisfiedByNothing reports whether a missing field meets the condition: only
// $exist asks for that.
func (q *question) satisfiedByNothing() bool {
	for _, op := range q.operators {
		if op.kind != opExists || op.operand != false {
			return false
		}
	}
	return true
}
