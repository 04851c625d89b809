package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"convoy/internal/seal"
	"convoy/internal/store/sqldb"
)

// sealedTable is a table with columns that hold secrets, and an id.
type sealedTable struct {
	name    string
	columns []column
}

var sealedTables = []sealedTable{
	{"projects", []column{projectMeta}},
	{"endpoints", []column{endpointSecrets, endpointAuth, endpointCertificate, endpointSlack, endpointTeams}},
	{"sources", []column{sourceVerifier, sourceBroker}},
	{"notices", []column{noticeTarget}},
	{"users", []column{userTOTP}},
}

// sql is the name of the column that holds the value, or the document that it is
// in.
func (c column) sql() string {
	name, _, _ := strings.Cut(c.name, ".")
	return name
}

// inside is the way to the value in a document; empty when the value is all of
// the column.
func (c column) inside() []string { return strings.Split(c.name, ".")[1:] }

// SecretCount says how the values of a column are kept.
type SecretCount struct {
	Table, Column string
	// Clear values are not sealed.
	Clear int
	// Sealed counts by key; the key 0 is of values that are damaged.
	Sealed map[seal.KeyID]int
}

// sealedRow is a row's columns as they are stored.
type sealedRow struct {
	id    string
	texts []string
}

// sealedRows reads rows in the order of their ids, those of deleted things too.
func (s *Store) sealedRows(ctx context.Context, t sealedTable, after string, max int) ([]sealedRow, error) {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.sql()
	}
	rows, err := s.db.Query(ctx, `SELECT id, `+strings.Join(names, ", ")+` FROM `+t.name+` WHERE id > $1 ORDER BY id LIMIT $2`, after, max)
	return collect(rows, err, func(row sqldb.Row) (sealedRow, error) {
		r := sealedRow{texts: make([]string, len(names))}
		dest := []any{&r.id}
		for i := range r.texts {
			dest = append(dest, &r.texts[i])
		}
		return r, row.Scan(dest...)
	})
}

// SecretCounts counts secrets by how they are kept. It reads all of them.
func (s *Store) SecretCounts(ctx context.Context) ([]SecretCount, error) {
	const batch = 1000
	var counts []SecretCount
	for _, t := range sealedTables {
		first := len(counts)
		for _, c := range t.columns {
			counts = append(counts, SecretCount{Table: t.name, Column: c.name, Sealed: make(map[seal.KeyID]int)})
		}
		for after, more := "", true; more; {
			rows, err := s.sealedRows(ctx, t, after, batch)
			if err != nil {
				return nil, fmt.Errorf("count secrets: %w", err)
			}
			for _, r := range rows {
				after = r.id
				for i, c := range t.columns {
					counts[first+i].add(c, r.texts[i])
				}
			}
			more = len(rows) == batch
		}
	}
	return counts, nil
}

func (n *SecretCount) add(c column, text string) {
	value, err := innerText(text, c.inside())
	switch {
	case err != nil:
		n.Sealed[0]++
	case value == "" || value == c.empty:
	case !seal.IsSealed(value):
		n.Clear++
	default:
		key, _ := seal.SealedWith(value)
		n.Sealed[key]++
	}
}

// SealMark is a place between the rows that hold secrets; the zero value is before
// all of them.
type SealMark struct {
	table int
	after string
}

// Resealed is what [Store.Reseal] has done.
type Resealed struct {
	Next SealMark
	// Done says that no rows are left behind Next.
	Done bool
	// Rows have been sealed anew. Missed ones were written by somebody else in the
	// meantime, perhaps with a former key.
	Rows, Missed int
	// Unopened says which values do not open; they stay as they are.
	Unopened []error
}

// Reseal seals with the newest key what is in the clear or sealed with another, of
// at most max rows behind a mark. Everybody may read and write meanwhile; what was
// written since it was read here stays.
func (s *Store) Reseal(ctx context.Context, at SealMark, max int) (Resealed, error) {
	out := Resealed{Next: at}
	if s.secrets.ring == nil {
		return out, fmt.Errorf("reseal: %w", errNotSealing)
	}
	t := sealedTables[at.table]
	rows, err := s.sealedRows(ctx, t, at.after, max)
	if err != nil {
		return out, fmt.Errorf("reseal: %w", err)
	}
	var writes []rowWrite
	for _, r := range rows {
		out.Next.after = r.id
		w, damages := s.resealRow(ctx, t, r)
		out.Unopened = append(out.Unopened, damages...)
		if len(w.sets) > 0 {
			writes = append(writes, w)
		}
	}
	if len(rows) < max {
		out.Next = SealMark{table: at.table + 1}
		out.Done = out.Next.table == len(sealedTables)
	}
	if len(writes) == 0 {
		return out, nil
	}
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		out.Rows, out.Missed = 0, 0 // a transaction may be run again
		for _, w := range writes {
			n, err := w.run(ctx, tx, t.name)
			if err != nil {
				return err
			}
			out.Rows += int(n)
			out.Missed += 1 - int(n)
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("reseal: %w", err)
	}
	return out, nil
}

// rowWrite changes columns of a row that still has the values it was read with.
type rowWrite struct {
	id   string
	sets []struct{ column, before, after string }
}

func (w rowWrite) run(ctx context.Context, tx sqldb.Tx, table string) (int64, error) {
	var (
		wh   where
		sets []string
	)
	for _, c := range w.sets {
		sets = append(sets, c.column+" = "+wh.param(c.after))
	}
	wh.add("id = ?", w.id)
	for _, c := range w.sets {
		wh.add(c.column+" = ?", c.before)
	}
	return tx.Exec(ctx, `UPDATE `+table+` SET `+strings.Join(sets, ", ")+wh.String(), wh.args...)
}

func (s *Store) resealRow(ctx context.Context, t sealedTable, r sealedRow) (w rowWrite, damages []error) {
	w.id = r.id
	for i, c := range t.columns {
		after, err := s.resealText(ctx, c, r.id, r.texts[i])
		if err != nil {
			damages = append(damages, err)
			continue
		}
		if after != r.texts[i] {
			w.sets = append(w.sets, struct{ column, before, after string }{c.sql(), r.texts[i], after})
		}
	}
	return w, damages
}

// resealText returns a column's text with its value sealed by the newest key.
func (s *Store) resealText(ctx context.Context, c column, row, text string) (string, error) {
	value, err := innerText(text, c.inside())
	if err != nil {
		return "", fmt.Errorf("%s.%s of %s: %w", c.table, c.name, row, err)
	}
	if key, ok := seal.SealedWith(value); ok && key == s.secrets.ring.Keyset().Primary() {
		return text, nil
	}
	plain, err := opened(ctx, s, func(o *opener) (string, error) { return o.open(c, row, value) })
	if err != nil {
		return "", err
	}
	sealed, err := s.secrets.seal(c, row, plain)
	if err != nil || sealed == value {
		return text, err
	}
	return withInnerText(text, c.inside(), sealed)
}

// innerText returns a text in a document; one that is not there is empty.
func innerText(document string, path []string) (string, error) {
	if len(path) == 0 {
		return document, nil
	}
	raw := json.RawMessage(document)
	for _, name := range path {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			return "", err
		}
		if raw = fields[name]; raw == nil {
			return "", nil
		}
	}
	var text string
	err := json.Unmarshal(raw, &text)
	return text, err
}

// withInnerText returns a document with another text in the place of one that is
// there.
func withInnerText(document string, path []string, text string) (string, error) {
	if len(path) == 0 {
		return text, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(document), &fields); err != nil {
		return "", err
	}
	inner := string(fields[path[0]])
	if len(path) == 1 {
		quoted, err := json.Marshal(text)
		if err != nil {
			return "", err
		}
		inner = string(quoted)
	} else {
		var err error
		if inner, err = withInnerText(inner, path[1:], text); err != nil {
			return "", err
		}
	}
	fields[path[0]] = json.RawMessage(inner)
	b, err := json.Marshal(fields)
	return string(b), err
}
