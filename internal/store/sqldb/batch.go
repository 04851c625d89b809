package sqldb

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
)

// Type is the type of a batch column.
type Type uint8

const (
	Text Type = iota
	Int
	Bytes
)

var arrayTypes = [...]string{Text: "text[]", Int: "bigint[]", Bytes: "bytea[]"}

// Batch is one statement run for many rows.
// fork: PostgreSQL takes the rows as one array per column in a single
// execution, ten times the speed of one execution per row; SQLite has no
// arrays and runs a prepared statement per row, which in process is as fast.
type Batch struct {
	// Columns are the types of the parameters in both texts.
	Columns  []Type
	Postgres string
	// SQLite may have ? for $1, $2, … where they come in this order, which
	// spares the driver to look each name up for each row.
	SQLite string
	// Scalars is how many parameters follow the columns in the PostgreSQL text
	// only: bounds that let the planner prune partitions.
	Scalars int
}

// InsertBatch makes the statement that inserts rows into table. columns are
// "name:type" with the types text, int and bytes; conflict is the text after
// the values, such as "ON CONFLICT DO NOTHING".
func InsertBatch(table, conflict string, columns ...string) *Batch {
	var (
		b       Batch
		names   = make([]string, len(columns))
		arrays  = make([]string, len(columns))
		singles = make([]string, len(columns))
	)
	for i, c := range columns {
		name, kind, _ := strings.Cut(c, ":")
		t, ok := map[string]Type{"text": Text, "int": Int, "bytes": Bytes}[kind]
		if !ok {
			panic("column " + c + ": unknown type")
		}
		b.Columns = append(b.Columns, t)
		names[i] = name
		arrays[i] = fmt.Sprintf("$%d::%s", i+1, arrayTypes[t])
		singles[i] = "?" // in order, so that the driver need not look names up
	}
	head := "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") "
	b.Postgres = head + "SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ") " + conflict
	b.SQLite = head + "VALUES (" + strings.Join(singles, ", ") + ") " + conflict
	return &b
}

// Bound is a batch and its rows.
type Bound struct {
	batch   *Batch
	n       int
	cols    []column
	scalars []any
}

type column struct {
	texts []string
	ints  []int64
	bytes [][]byte
}

// Bind gathers n rows: row is called for each index and writes every column in
// order.
func (b *Batch) Bind(n int, row func(i int, w *RowWriter)) Bound {
	cols := make([]column, len(b.Columns))
	for c, t := range b.Columns {
		switch t {
		case Text:
			cols[c].texts = make([]string, 0, n)
		case Int:
			cols[c].ints = make([]int64, 0, n)
		case Bytes:
			cols[c].bytes = make([][]byte, 0, n)
		}
	}
	w := RowWriter{batch: b, cols: cols}
	for i := range n {
		w.next = 0
		row(i, &w)
		if w.next != len(cols) {
			panic(fmt.Sprintf("row has %d columns, want %d", w.next, len(cols)))
		}
	}
	return Bound{batch: b, n: n, cols: cols}
}

// With adds the scalar parameters of the PostgreSQL text.
func (b Bound) With(scalars ...any) Bound {
	if len(scalars) != b.batch.Scalars {
		panic(fmt.Sprintf("%d scalars, want %d", len(scalars), b.batch.Scalars))
	}
	b.scalars = scalars
	return b
}

// RowWriter takes the columns of one row, in order.
type RowWriter struct {
	batch *Batch
	cols  []column
	next  int
}

// Text writes a text column.
func (w *RowWriter) Text(s string) *RowWriter {
	c := w.column(Text)
	c.texts = append(c.texts, s)
	return w
}

// Int writes an integer column.
func (w *RowWriter) Int(n int64) *RowWriter {
	c := w.column(Int)
	c.ints = append(c.ints, n)
	return w
}

// Bool writes an integer column as 0 or 1.
func (w *RowWriter) Bool(b bool) *RowWriter {
	if b {
		return w.Int(1)
	}
	return w.Int(0)
}

// Bytes writes a bytes column; nil is written as empty, never as NULL.
func (w *RowWriter) Bytes(b []byte) *RowWriter {
	if b == nil {
		b = []byte{}
	}
	c := w.column(Bytes)
	c.bytes = append(c.bytes, b)
	return w
}

func (w *RowWriter) column(t Type) *column {
	if w.batch.Columns[w.next] != t {
		panic(fmt.Sprintf("column %d is a %s", w.next+1, arrayTypes[w.batch.Columns[w.next]]))
	}
	w.next++
	return &w.cols[w.next-1]
}

// arrays are the parameters of the PostgreSQL text, for a connection that knows
// the types of [registerArrays] or as plain slices.
func (b *Bound) arrays(registered bool) []any {
	args := make([]any, 0, len(b.cols)+len(b.scalars))
	for i, t := range b.batch.Columns {
		c := &b.cols[i]
		var arg any
		switch {
		case t == Text && registered:
			arg = textArray(c.texts)
		case t == Text:
			arg = c.texts
		case t == Int && registered:
			arg = intArray(c.ints)
		case t == Int:
			arg = c.ints
		case t == Bytes && registered:
			arg = bytesArray(c.bytes)
		case t == Bytes:
			arg = c.bytes
		}
		args = append(args, arg)
	}
	return append(args, b.scalars...)
}

// row appends the parameters of row i of the SQLite text to dst.
func (b *Bound) row(i int, dst []driver.NamedValue) []driver.NamedValue {
	for c, t := range b.batch.Columns {
		v := driver.NamedValue{Ordinal: c + 1}
		switch t {
		case Text:
			v.Value = b.cols[c].texts[i]
		case Int:
			v.Value = b.cols[c].ints[i]
		case Bytes:
			v.Value = b.cols[c].bytes[i]
		}
		dst = append(dst, v)
	}
	return dst
}

// Texts is the parameter that [Dialect.In] compares with.
func Texts[T ~string](d Dialect, ss []T) any {
	if d == Postgres {
		out := make([]string, len(ss))
		for i, s := range ss {
			out[i] = string(s)
		}
		return out
	}
	if ss == nil {
		ss = []T{}
	}
	b, err := json.Marshal(ss)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}
