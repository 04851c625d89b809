package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"convoy"
	"convoy/internal/store/sqldb"
)

// lookup is what the search index is asked for: events that meet all clauses.
type lookup struct {
	clauses []clause
	// anything is the term of the events that may meet every clause.
	anything term
}

// clause is met by events that have all terms of one of its alternatives, or whose
// id is in a span.
type clause struct {
	alternatives [][]term
	ids          span
}

// maxNames bounds the sources, and the types, that a text may be a part of the name
// of. A search that more have is not looked up: it finds soon what it looks for.
const maxNames = 32

// lookup returns what a filter asks the index for; nil is nothing that the index
// would help with.
func (f *EventFilter) lookup(ctx context.Context, q sqldb.Querier, d sqldb.Dialect) (*lookup, error) {
	if f.Search.Text == "" && len(f.Search.Contains) == 0 || f.IdempotencyKey != "" || f.BrokerMessage != "" {
		return nil, nil
	}
	l := &lookup{anything: anythingTerm(f.Project)}
	all := func(terms ...term) {
		for _, t := range terms {
			l.clauses = append(l.clauses, clause{alternatives: [][]term{{t}}})
		}
	}
	for _, c := range f.Search.Contains {
		all(c.terms(f.Project)...)
	}
	if f.Type != "" {
		all(typeTerm(f.Project, f.Type))
	}
	if n := len(f.Sources); n > 0 && n <= maxNames {
		var c clause
		for _, source := range f.Sources {
			c.alternatives = append(c.alternatives, []term{sourceTerm(f.Project, source)})
		}
		l.clauses = append(l.clauses, c)
	}
	if f.Search.Text != "" {
		c, err := textClause(ctx, q, d, f.Project, f.Search.Text)
		if err != nil {
			return nil, err
		}
		if c != nil {
			l.clauses = append(l.clauses, *c)
		}
	}
	if len(l.clauses) == 0 {
		return nil, nil
	}
	return l, nil
}

// textClause is that of [Search].Text; nil when too many names have it.
func textClause(ctx context.Context, q sqldb.Querier, d sqldb.Dialect, project convoy.ProjectID, text string) (*clause, error) {
	prefix := strings.ToUpper(text)
	c := &clause{alternatives: [][]term{partTerms(project, text)}, ids: span{from: prefix, to: prefix + "~"}}
	named := func(table, column, name string) ([]string, error) {
		var w where
		w.add("project_id = ?", project)
		w.add(lowered(d, name)+` LIKE ? ESCAPE '\'`, likePart(text))
		rows, err := q.Query(ctx, `SELECT `+column+` FROM `+table+w.String()+` LIMIT `+w.param(maxNames+1), w.args...)
		return collect(rows, err, scanID[string])
	}
	sources, err := named("sources", "id", "name")
	if err != nil {
		return nil, err
	}
	types, err := named("search_types", "event_type", "event_type")
	if err != nil || len(sources) > maxNames || len(types) > maxNames {
		return nil, err
	}
	for _, source := range sources {
		c.alternatives = append(c.alternatives, []term{sourceTerm(project, convoy.SourceID(source))})
	}
	for _, name := range types {
		c.alternatives = append(c.alternatives, []term{typeTerm(project, name)})
	}
	return c, nil
}

// terms are all that are looked up.
func (l *lookup) terms() []term {
	terms := []term{l.anything}
	for _, c := range l.clauses {
		terms = append(terms, slices.Concat(c.alternatives...)...)
	}
	return terms
}

// in returns the events of a segment that may be what is looked for.
func (l *lookup) in(s *segment, found map[term]marks) marks {
	var all marks
	for i, c := range l.clauses {
		var some marks
		for _, terms := range c.alternatives {
			with := found[terms[0]]
			for _, t := range terms[1:] {
				with = with.and(found[t])
			}
			some = some.or(with)
		}
		if c.ids.from != "" {
			some = some.or(s.marksIn(c.ids))
		}
		if i == 0 {
			all = some
		} else {
			all = all.and(some)
		}
	}
	return all.or(found[l.anything])
}

// marksIn are the marks of all events that the blocks may have that reach into a
// span.
func (s *segment) marksIn(ids span) marks {
	var out marks
	for block := range s.size() {
		if !ids.and(s.span(block)).empty() {
			for x := range 256 {
				out = append(out, mark(block<<8|x))
			}
		}
	}
	return out
}

// span are the ids of a block.
func (s *segment) span(block int) span {
	after := s.after
	if block > 0 {
		after = s.block(block - 1)
	}
	return span{from: behind(after), to: behind(s.block(block))}
}

func (s span) empty() bool { return s.to != "" && s.from >= s.to }

const (
	// Segments are looked at few at first, since a page of what many events have is
	// full soon, and then more at a time.
	firstSegments = 8
	mostSegments  = 64
	// sparse is how many events of one look may be what is searched for, and are
	// looked at one by one; when there are more, all are read, as a page is full soon.
	sparse = 4096
)

// part is a part of a list: what is read as a whole, or events of some blocks.
type part struct {
	span   span
	blocks []wanted
}

// wanted is a block that has events that may be what is looked for.
type wanted struct {
	ids   span
	block int
	marks map[mark]bool
	// ends are the last characters of the ids that are wanted.
	ends string
}

func (b *wanted) has(id convoy.EventID) bool { return b.marks[newMark(b.block, id)] }

// walk goes through the parts of a list that may have what is looked for.
type walk struct {
	q      sqldb.Querier
	lookup *lookup
	window span
	desc   bool

	mark    string
	started bool
	ended   bool
	next    []part
	// at is the last segment that was looked at, and many is how many will be.
	at   int64
	many int
}

// part returns the next one, and whether there was one.
func (w *walk) part(ctx context.Context) (part, bool, error) {
	for len(w.next) == 0 {
		if w.ended {
			return part{}, false, nil
		}
		if err := w.look(ctx); err != nil {
			return part{}, false, fmt.Errorf("search index: %w", err)
		}
	}
	p := w.next[0]
	w.next = w.next[1:]
	return p, true, nil
}

// look finds more parts: those of some segments, and what is not indexed.
func (w *walk) look(ctx context.Context) error {
	if !w.started {
		mark, err := readFact(ctx, w.q, searchMark)
		if err != nil {
			return err
		}
		w.started, w.mark, w.many = true, mark, firstSegments
		if w.desc {
			w.at = math.MaxInt64
			w.whole(span{from: behind(mark)})
			return nil
		}
	}
	segments, err := w.segments(ctx)
	if err != nil {
		return err
	}
	w.ended = len(segments) < w.many
	w.many = min(2*w.many, mostSegments)
	if len(segments) > 0 {
		w.at = segments[len(segments)-1].id
		if err := w.inSegments(ctx, segments); err != nil {
			return err
		}
	}
	if w.ended && !w.desc {
		w.whole(span{from: behind(w.mark)})
	}
	return nil
}

// whole has all events of a span read.
func (w *walk) whole(s span) {
	if s = s.and(w.window); !s.empty() {
		w.next = append(w.next, part{span: s})
	}
}

// segments are the next ones in the window.
func (w *walk) segments(ctx context.Context) ([]segment, error) {
	var c where
	if w.window.from != "" {
		c.add("last_id >= ?", w.window.from)
	}
	if w.window.to != "" {
		c.add("after_id < ?", w.window.to)
	}
	order := "ASC"
	if w.desc {
		order = "DESC"
		c.add("id < ?", w.at)
	} else {
		c.add("id > ?", w.at)
	}
	rows, err := w.q.Query(ctx, `SELECT `+segmentCols+` FROM search_segments`+c.String()+` ORDER BY id `+order+` LIMIT `+c.param(w.many), c.args...)
	return collect(rows, err, scanSegment)
}

// inSegments adds the parts of segments. What was indexed since the walk began is
// left out: it began with that.
func (w *walk) inSegments(ctx context.Context, segments []segment) error {
	first, last := segments[0], segments[len(segments)-1]
	if w.desc {
		first, last = last, first
	}
	found, err := w.find(ctx, first.id, last.id)
	if err != nil {
		return err
	}
	known := w.window.and(span{to: behind(w.mark)})
	n := 0
	var p part
	for i := range segments {
		s := &segments[i]
		in := w.lookup.in(s, found[s.id])
		if n += len(in); n > sparse {
			w.whole(span{from: behind(first.after), to: behind(last.last)}.and(known))
			return nil
		}
		p.blocks = append(p.blocks, w.wanted(s, in, known)...)
	}
	if len(p.blocks) > 0 {
		w.next = append(w.next, p)
	}
	return nil
}

// wanted are the blocks of a segment that have one of the marks, in the walk's order.
func (w *walk) wanted(s *segment, in marks, known span) (blocks []wanted) {
	set := make(map[mark]bool, len(in))
	for len(in) > 0 && in[0].block() < s.size() {
		b := wanted{ids: s.span(in[0].block()).and(known), block: in[0].block(), marks: set}
		var ends []byte
		for ; len(in) > 0 && in[0].block() == b.block; in = in[1:] {
			set[in[0]] = true
			ends = append(ends, in[0].end())
		}
		if b.ends = string(slices.Compact(ends)); !b.ids.empty() {
			blocks = append(blocks, b)
		}
	}
	if w.desc {
		slices.Reverse(blocks)
	}
	return blocks
}

// find looks the terms up in segments.
func (w *walk) find(ctx context.Context, first, last int64) (map[int64]map[term]marks, error) {
	wanted := make(map[int][]term) // by bucket
	var c where
	var names []string
	for _, t := range w.lookup.terms() {
		if wanted[t.bucket()] == nil {
			names = append(names, c.param(t.bucket()))
		}
		wanted[t.bucket()] = append(wanted[t.bucket()], t)
	}
	c.conds = append(c.conds, `bucket IN (`+strings.Join(names, ", ")+`)`)
	c.add(`segment >= ?`, first)
	c.add(`segment <= ?`, last)
	found := make(map[int64]map[term]marks)
	err := eachPostings(ctx, w.q, strings.Join(c.conds, " AND "), c.args, func(at place, postings []byte) error {
		if found[at.segment] == nil {
			found[at.segment] = make(map[term]marks)
		}
		byRest := make(map[uint32]marks)
		for _, t := range wanted[at.bucket] {
			byRest[t.rest()] = nil
		}
		err := readPostings(postings, byRest)
		for _, t := range wanted[at.bucket] {
			if m := byRest[t.rest()]; len(m) > 0 {
				found[at.segment][t] = m.ordered()
			}
		}
		return err
	})
	return found, err
}
