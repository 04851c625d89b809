// Package urltemplate matches URLs against URLs with placeholders, such as
// https://api.example.com/tenants/{tenant}/hooks?region={region}. A placeholder
// stands for a part of one path segment or of one query value, never for a part
// of the host: whoever owns the template decides which servers it leads to. The
// package knows no endpoint and makes no request.
package urltemplate

import (
	"cmp"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// maxPlaceholders bounds what matching one URL costs.
const maxPlaceholders = 32

var (
	errBraces    = errors.New("braces must be pairs around a name of letters, digits and underscores, such as {id}")
	errPlace     = errors.New("placeholders are for the path and for values of the query")
	errNeighbour = errors.New("placeholders must have text between them")
	errMany      = errors.New("must not have more than 32 placeholders")
	errURL       = errors.New("must be a URL")
)

// Is reports whether a URL has braces, and so is a template or a mistake.
func Is(raw string) bool { return strings.ContainsAny(raw, "{}") }

// Template is a parsed template. It is immutable.
type Template struct {
	origin string
	path   []pattern
	query  map[string][]pattern
	// holes and literals count placeholders and the bytes beside them.
	holes, literals int
}

// pattern is literal texts with a placeholder between each two of them.
type pattern []string

// Parse reads a URL with at least one placeholder. Its errors are fit for the
// person who wrote the URL.
func Parse(raw string) (*Template, error) {
	at, err := split(raw)
	if err != nil {
		return nil, err
	}
	if Is(at.origin) || Is(at.fragment) {
		return nil, errPlace
	}
	t := &Template{origin: at.origin}
	for _, segment := range at.path {
		p, err := t.pattern(segment, url.PathUnescape)
		if err != nil {
			return nil, err
		}
		t.path = append(t.path, p)
	}
	if err := t.parseQuery(at.query); err != nil {
		return nil, err
	}
	switch {
	case t.holes == 0:
		return nil, errBraces
	case t.holes > maxPlaceholders:
		return nil, errMany
	}
	return t, nil
}

// parts are those of a URL as they were written: an escaped brace is no
// placeholder, an escaped slash ends no segment.
type parts struct {
	// origin says which server it is.
	origin string
	// path are the segments; no path is the root.
	path            []string
	query, fragment string
}

func split(raw string) (parts, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return parts{}, errURL
	}
	_, rest, _ := strings.Cut(raw, "//")
	at := strings.IndexAny(rest, "/?#")
	if at < 0 {
		at = len(rest)
	}
	rest, fragment, _ := strings.Cut(rest[at:], "#")
	path, query, _ := strings.Cut(rest, "?")
	return parts{origin(u), strings.Split(strings.TrimPrefix(path, "/"), "/"), query, fragment}, nil
}

func (t *Template) parseQuery(query string) error {
	if query == "" {
		return nil
	}
	t.query = make(map[string][]pattern)
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawName, value, _ := strings.Cut(pair, "=")
		if Is(rawName) {
			return errPlace
		}
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return errURL
		}
		p, err := t.pattern(value, url.QueryUnescape)
		if err != nil {
			return err
		}
		t.literals += len(name)
		t.query[name] = append(t.query[name], p)
	}
	return nil
}

// pattern splits a text at its placeholders.
func (t *Template) pattern(text string, unescape func(string) (string, error)) (pattern, error) {
	var p pattern
	for {
		literal, rest, hole := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return nil, errBraces
		}
		if hole && literal == "" && len(p) > 0 {
			return nil, errNeighbour
		}
		literal, err := unescape(literal)
		if err != nil {
			return nil, errURL
		}
		p = append(p, literal)
		t.literals += len(literal)
		if !hole {
			return p, nil
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok || !validName(name) {
			return nil, errBraces
		}
		t.holes++
		text = after
	}
}

func validName(s string) bool {
	for _, c := range s {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// Match reports whether a URL is one that the template stands for: the same
// scheme, host and port, path segments that fit one for one, and exactly the
// template's query parameters, whatever their order.
func (t *Template) Match(raw string) bool {
	at, err := split(raw)
	return err == nil && t.matches(at)
}

func (t *Template) matches(at parts) bool {
	if t.origin != at.origin || len(at.path) != len(t.path) {
		return false
	}
	for i, segment := range at.path {
		text, err := url.PathUnescape(segment)
		// Servers resolve dot segments, which would lead out of the template.
		if err != nil || !t.path[i].match(text) || len(t.path[i]) > 1 && (text == "." || text == "..") {
			return false
		}
	}
	query, err := url.ParseQuery(at.query)
	if err != nil || len(query) != len(t.query) {
		return false
	}
	for name, patterns := range t.query {
		values := query[name]
		if len(values) != len(patterns) {
			return false
		}
		for i, p := range patterns {
			if !p.match(values[i]) {
				return false
			}
		}
	}
	return true
}

// match reports whether a text is the pattern's with something for each
// placeholder.
func (p pattern) match(text string) bool {
	if len(p) == 1 {
		return text == p[0]
	}
	text, ok := strings.CutPrefix(text, p[0])
	if !ok {
		return false
	}
	text, ok = strings.CutSuffix(text, p[len(p)-1])
	if !ok {
		return false
	}
	for _, literal := range p[1 : len(p)-1] {
		// The first place that leaves the placeholder something is as good as any.
		if text == "" {
			return false
		}
		i := strings.Index(text[1:], literal)
		if i < 0 {
			return false
		}
		text = text[1+i+len(literal):]
	}
	return text != ""
}

// origin is the part of a URL that says which server it leads to.
func origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + host
}

// Set is many templates, each with what it stands for. Its zero value is empty.
type Set[T any] struct {
	// Compare orders templates that fit equally well; with nil it is the order in
	// which they were added. It is set before the first is.
	Compare func(a, b T) int

	byOrigin map[string][]entry[T]
	n        int
}

type entry[T any] struct {
	template *Template
	value    T
}

// Clone returns a set that changes apart from s.
func (s *Set[T]) Clone() Set[T] {
	return Set[T]{Compare: s.Compare, byOrigin: maps.Clone(s.byOrigin), n: s.n} // Add and Remove replace lists
}

// Add adds a template. Not safe for concurrent use, as Match is.
func (s *Set[T]) Add(t *Template, value T) {
	if s.byOrigin == nil {
		s.byOrigin = make(map[string][]entry[T])
	}
	list, added := s.byOrigin[t.origin], entry[T]{t, value}
	i, _ := slices.BinarySearchFunc(list, added, func(had, added entry[T]) int {
		return cmp.Or(s.order(had, added), -1) // behind its equals
	})
	s.byOrigin[t.origin] = slices.Concat(list[:i], []entry[T]{added}, list[i:])
	s.n++
}

// order puts first what fits best.
func (s *Set[T]) order(a, b entry[T]) int {
	c := cmp.Or(cmp.Compare(a.template.holes, b.template.holes), cmp.Compare(b.template.literals, a.template.literals))
	if c == 0 && s.Compare != nil {
		c = s.Compare(a.value, b.value)
	}
	return c
}

// Remove removes the values asked for that stand at the template's scheme, host
// and port.
func (s *Set[T]) Remove(t *Template, is func(T) bool) {
	list := s.byOrigin[t.origin]
	kept := make([]entry[T], 0, len(list))
	for _, e := range list {
		if !is(e.value) {
			kept = append(kept, e)
		}
	}
	s.n -= len(list) - len(kept)
	switch {
	case len(kept) > 0:
		s.byOrigin[t.origin] = kept
	case len(list) > 0:
		delete(s.byOrigin, t.origin)
	}
}

// Len is the number of templates.
func (s *Set[T]) Len() int { return s.n }

// Match returns the value of the template that fits a URL best: the one with
// the fewest placeholders, then with the most text beside them, then the first
// by Compare or addition.
func (s *Set[T]) Match(raw string) (value T, ok bool) {
	if s.n == 0 {
		return value, false
	}
	at, err := split(raw)
	if err != nil {
		return value, false
	}
	for _, e := range s.byOrigin[at.origin] {
		if e.template.matches(at) {
			return e.value, true
		}
	}
	return value, false
}
