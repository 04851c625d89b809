package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"convoy/internal/store/sqldb"
)

const (
	// DefaultPerPage is the length of a page that asks for none.
	DefaultPerPage = 20
	// MaxPerPage is the longest page.
	MaxPerPage = 1000
)

// Page says which part of a list is wanted. Lists are ordered by id, newest
// first unless Asc.
type Page struct {
	// Cursor is the id of a row. A page starts at that row, or with Prev ends
	// before it; empty is the beginning of the list, or with Prev its end.
	Cursor string
	// PerPage is how many rows; [DefaultPerPage] unless positive, and at most
	// [MaxPerPage].
	PerPage int
	Prev    bool
	Asc     bool
}

// Paged is a page of a list.
type Paged[T any] struct {
	Items            []T
	HasNext, HasPrev bool
	// PrevCursor is the id of the first row. NextCursor is that of the row after
	// the last one, or of the last one where the list ends. Both are empty when
	// the list is, and NextCursor when the list is one row.
	PrevCursor, NextCursor string
}

// seek says where in a list to read: from a row on, in one of two directions.
type seek struct {
	// from is the first id read; empty is the end that the direction starts at.
	from string
	// after leaves from itself out.
	after bool
	// desc reads towards older rows.
	desc  bool
	limit int
}

// span are the ids that the direction leads to.
func (k seek) span() span {
	switch {
	case k.from == "":
		return span{}
	case k.desc && k.after:
		return span{to: k.from}
	case k.desc:
		return span{to: behind(k.from)}
	case k.after:
		return span{from: behind(k.from)}
	}
	return span{from: k.from}
}

// span bounds ids: from is the least, to is beyond the last; an empty one does
// not bound. However many bounds meet in a list, a statement gets one of each
// kind: SQLite seeks with the first it finds and reads on to the others.
type span struct{ from, to string }

// behind sorts directly after an id: no character of one is less than '!'.
func behind(id string) string { return id + "!" }

func (s span) and(o span) span {
	s.from = max(s.from, o.from)
	if s.to == "" || o.to != "" && o.to < s.to {
		s.to = o.to
	}
	return s
}

// within keeps the rows whose id is in a span.
func (w *where) within(key string, s span) {
	if s.from != "" {
		w.add(key+" >= ?", s.from)
	}
	if s.to != "" {
		w.add(key+" < ?", s.to)
	}
}

// order is the direction of ORDER BY.
func (k seek) order() string {
	if k.desc {
		return " DESC"
	}
	return " ASC"
}

// fetcher reads at most k.limit rows in the order that k says.
type fetcher[T any] func(k seek) ([]T, error)

// paginate reads one page. The cursors hold the ids of rows, so a page is the
// same however much is added before it; a cursor whose row is gone works too.
func paginate[T any](p Page, key func(T) string, fetch fetcher[T]) (Paged[T], error) {
	n := p.PerPage
	if n <= 0 {
		n = DefaultPerPage
	}
	n = min(n, MaxPerPage)
	if p.Prev {
		page, err := before(p, n, key, fetch)
		if err != nil || len(page.Items) > 0 {
			return page, err
		}
		p.Cursor = "" // nothing precedes the cursor: the first page it is
	}
	items, err := fetch(seek{from: p.Cursor, desc: !p.Asc, limit: n + 1})
	if err != nil {
		return Paged[T]{}, err
	}
	page := Paged[T]{Items: items, HasNext: len(items) > n}
	if page.HasNext {
		page.NextCursor = key(items[n])
		page.Items = items[:n:n]
	}
	if len(items) > 0 && p.Cursor != "" {
		older, err := fetch(seek{from: key(items[0]), after: true, desc: p.Asc, limit: 1})
		if err != nil {
			return Paged[T]{}, err
		}
		page.HasPrev = len(older) > 0
	}
	return page.withCursors(key), nil
}

// before reads the rows that precede the cursor, or the last ones of the list.
func before[T any](p Page, n int, key func(T) string, fetch fetcher[T]) (Paged[T], error) {
	items, err := fetch(seek{from: p.Cursor, after: true, desc: p.Asc, limit: n + 1})
	if err != nil {
		return Paged[T]{}, err
	}
	page := Paged[T]{HasPrev: len(items) > n}
	page.Items = items[:min(n, len(items))]
	slices.Reverse(page.Items)
	if len(items) > 0 && p.Cursor != "" {
		next, err := fetch(seek{from: p.Cursor, desc: !p.Asc, limit: 1})
		if err != nil {
			return Paged[T]{}, err
		}
		if page.HasNext = len(next) > 0; page.HasNext {
			page.NextCursor = key(next[0])
		}
	}
	return page.withCursors(key), nil
}

// withCursors fills in the cursors that follow from the items.
func (p Paged[T]) withCursors(key func(T) string) Paged[T] {
	n := len(p.Items)
	if n == 0 {
		return p
	}
	p.PrevCursor = key(p.Items[0])
	if !p.HasNext && (n > 1 || p.HasPrev) {
		p.NextCursor = key(p.Items[n-1])
	}
	return p
}

// mapPage turns a page's items into others, one for one.
func mapPage[T, U any](p Paged[T], items []U) Paged[U] {
	return Paged[U]{Items: items, HasNext: p.HasNext, HasPrev: p.HasPrev, PrevCursor: p.PrevCursor, NextCursor: p.NextCursor}
}

// listing is the rows that a list draws from.
type listing struct {
	cols  string
	table string
	// alias is the table's name in cols, key and conditions.
	alias string
	key   string
	ids   span
	where where
	// branches, if any, add conditions of which a row meets at most one, each
	// with an index of its own that has its rows in order.
	branches []branch
	// lateral, if any, is a column and the values of which it has one: branches
	// too, for PostgreSQL.
	lateral       string
	lateralValues any
}

// branch is a part of a list.
type branch struct {
	ids span
	add func(w *where)
}

// fetchRows reads a list by keyset: at most limit rows from a place in an index
// on, whatever precedes it.
func fetchRows[T any](ctx context.Context, q sqldb.Querier, l listing, scan func(sqldb.Row) (T, error)) fetcher[T] {
	return func(k seek) ([]T, error) {
		query, args := l.query(k)
		rows, err := q.Query(ctx, query, args...)
		return collect(rows, err, scan)
	}
}

func (l listing) query(k seek) (string, []any) {
	w := where{conds: slices.Clone(l.where.conds), args: slices.Clone(l.where.args)}
	ids := l.ids.and(k.span())
	if len(l.branches) == 0 {
		w.within(l.key, ids)
	}
	tail := " ORDER BY " + l.key + k.order() + " LIMIT " + w.param(k.limit)
	from := l.table + " AS " + l.alias
	if l.lateral != "" {
		// fork: the planner would plan every branch of a union on every
		// partition, which takes longer than to run it; SQLite has no LATERAL and
		// no partitions.
		values := w.param(l.lateralValues)
		w.conds = append(w.conds, l.lateral+" = x.v")
		return fmt.Sprintf("SELECT %s FROM unnest(%s::text[]) AS x(v) CROSS JOIN LATERAL (SELECT %s.* FROM %s%s%s) AS %[3]s%[6]s",
			l.cols, values, l.alias, from, w.String(), tail), w.args
	}
	if len(l.branches) == 0 {
		return "SELECT " + l.cols + " FROM " + from + w.String() + tail, w.args
	}
	// Each branch reads its own index in order and stops at the limit; the whole
	// then sorts a few rows.
	var parts []string
	common := len(w.conds)
	for i, b := range l.branches {
		w.conds = w.conds[:common]
		w.within(l.key, ids.and(b.ids))
		b.add(&w)
		parts = append(parts, fmt.Sprintf("SELECT * FROM (SELECT %s.* FROM %s%s%s) AS b%d", l.alias, from, w.String(), tail, i))
	}
	return "SELECT " + l.cols + " FROM (" + strings.Join(parts, " UNION ALL ") + ") AS " + l.alias + tail, w.args
}
