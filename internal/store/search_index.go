package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

// The search index tells which events may have what is searched for. It is made
// behind the events, so that taking them in costs nothing; what it has not reached
// yet is read. See ADR 0013.

const (
	eventsPerBlock   = 64
	blocksPerSegment = 256
	idLength         = 26
	// indexEvents and indexBytes bound what one call reads, and so how long the
	// writer of SQLite is held.
	indexEvents = 64 * eventsPerBlock
	indexBytes  = 8 << 20
	// indexLag is left to those who are writing. Fewer events than indexFew wait
	// until one of them has waited for indexPatience, so that blocks are full.
	indexLag      = 10 * time.Second
	indexFew      = 16 * eventsPerBlock
	indexPatience = time.Minute
	// Events that are older than lateAge when they are written look whether the
	// index has passed them; those that were younger are written before what was
	// indexed is checkAge old, when it is counted again.
	lateAge  = time.Minute
	checkAge = 2 * time.Minute
	// maxLate and maxChecks bound what one call reads of each.
	maxLate   = 500
	maxChecks = 20
)

// searchMark is the fact that says up to which id events are indexed.
const searchMark = "search.mark"

// writeLate remembers events that the index has passed. Its lock keeps the index
// from passing them meanwhile.
var writeLate = &sqldb.Batch{
	Columns: []sqldb.Type{sqldb.Text},
	Postgres: `WITH mark AS MATERIALIZED (SELECT value FROM facts WHERE name = '` + searchMark + `' FOR SHARE)
		INSERT INTO search_late (id) SELECT u.id FROM unnest($1::text[]) AS u(id), mark WHERE u.id <= mark.value COLLATE "C" ON CONFLICT DO NOTHING`,
	SQLite: `INSERT INTO search_late (id) SELECT u.id FROM (SELECT ? AS id) AS u, facts WHERE name = '` + searchMark + `' AND u.id <= value ON CONFLICT DO NOTHING`,
}

// withLate adds to an insertion of events that those are found that come late.
func withLate(inserted sqldb.Bound, events []*convoy.Event) []sqldb.Bound {
	before := id.Floor(time.Now().Add(-lateAge))
	var late []convoy.EventID
	for _, e := range events {
		if string(e.ID) < before {
			late = append(late, e.ID)
		}
	}
	if len(late) == 0 {
		return []sqldb.Bound{inserted}
	}
	return []sqldb.Bound{inserted, writeLate.Bind(len(late), func(i int, w *sqldb.RowWriter) { w.Text(string(late[i])) })}
}

// IndexEvents has the search index follow the events by a step. It returns how many
// it has indexed, and whether more are waiting.
func (s *Store) IndexEvents(ctx context.Context, now time.Time) (indexed int, more bool, err error) {
	if err := s.checkIndexed(ctx, now); err != nil {
		return 0, false, fmt.Errorf("check search index: %w", err)
	}
	late, err := s.indexLate(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("index late events: %w", err)
	}
	indexed, more, err = s.indexNext(ctx, now)
	if err != nil {
		return late, false, fmt.Errorf("index events: %w", err)
	}
	return late + indexed, more || late > 0, nil
}

// segment is 256 blocks of the index.
type segment struct {
	id          int64
	after, last string
	bounds      string
}

func scanSegment(row sqldb.Row) (s segment, err error) {
	err = row.Scan(&s.id, &s.after, &s.last, &s.bounds)
	return s, err
}

const segmentCols = `id, after_id, last_id, bounds`

// block is the last id of a block.
func (s *segment) block(n int) string { return s.bounds[n*idLength : (n+1)*idLength] }

func (s *segment) size() int { return len(s.bounds) / idLength }

// entry is that an event has a term: what is kept of the term, and the event's mark.
type entry uint64

func newEntry(t term, m mark) entry { return entry(t>>32)<<16 | entry(m) }

// term has zeros for what is not kept.
func (e entry) term() term { return term(e>>16) << 32 }

func (e entry) mark() mark { return mark(e & 0xffff) }

// place is a row of postings.
type place struct {
	segment int64
	bucket  int
}

// postingsOf are what the entries of segments add to the index.
func postingsOf(bySegment map[int64][]entry) map[place][]byte {
	added := make(map[place][]byte)
	for segment, entries := range bySegment {
		slices.Sort(entries)
		var m marks
		for i, e := range entries {
			if i == 0 || entries[i-1] != e {
				m = append(m, e.mark())
			}
			if i+1 == len(entries) || entries[i+1].term() != e.term() {
				at := place{segment, e.term().bucket()}
				added[at] = appendPosting(added[at], e.term(), m)
				m = m[:0]
			}
		}
	}
	return added
}

// indexing is a step of the index that is not written yet.
type indexing struct {
	segments []segment // those that are new or longer
	entries  map[int64][]entry
	types    map[projectType]struct{}
	n        int // events in the block that is being filled
	last     string
}

type projectType struct {
	project convoy.ProjectID
	name    string
}

func (x *indexing) event(e *convoy.Event) {
	if x.n == eventsPerBlock {
		x.close()
	}
	at := &x.segments[len(x.segments)-1]
	if at.size() == blocksPerSegment {
		x.segments = append(x.segments, segment{id: at.id + 1, after: at.last})
		at = &x.segments[len(x.segments)-1]
	}
	m := newMark(at.size(), e.ID)
	entries := x.entries[at.id]
	eventTerms(e, func(t term) { entries = append(entries, newEntry(t, m)) })
	x.entries[at.id] = entries
	x.types[projectType{e.ProjectID, e.Type}] = struct{}{}
	x.n++
	x.last = string(e.ID)
}

// close ends a block.
func (x *indexing) close() {
	at := &x.segments[len(x.segments)-1]
	at.bounds += x.last
	at.last = x.last
	x.n = 0
}

func (s *Store) indexNext(ctx context.Context, now time.Time) (n int, more bool, err error) {
	mark, err := readFact(ctx, s.db, searchMark)
	if err != nil {
		return 0, false, err
	}
	end := id.Floor(now.Add(-indexLag))
	var waiting int
	var first string
	if err := s.db.QueryRow(ctx, `SELECT count(*), coalesce(min(id), '') FROM
		(SELECT id FROM events WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3) AS waiting`, mark, end, indexFew).Scan(&waiting, &first); err != nil {
		return 0, false, err
	}
	if waiting == 0 || waiting < indexFew && id.Time(first).After(now.Add(-indexPatience)) {
		return 0, false, nil
	}
	x := indexing{segments: []segment{{id: 1}}, entries: make(map[int64][]entry), types: make(map[projectType]struct{})}
	rows, err := s.db.Query(ctx, `SELECT `+segmentCols+` FROM search_segments ORDER BY id DESC LIMIT 1`)
	last, err := collect(rows, err, scanSegment)
	if err != nil {
		return 0, false, err
	}
	if len(last) > 0 {
		x.segments = last
	}
	size := 0
	n, err = s.eachIndexed(ctx, `e.id > $1 AND e.id < $2 ORDER BY e.id LIMIT $3`, []any{mark, end, indexEvents}, func(e *convoy.Event) bool {
		x.event(e)
		size += len(e.Data)
		return size < indexBytes
	})
	if err != nil || n == 0 {
		return 0, false, err
	}
	x.close()
	added := postingsOf(x.entries)
	err = s.db.Write(ctx, func(tx sqldb.Tx) error { return s.writeIndexed(ctx, tx, mark, &x, n, added) })
	if errors.Is(err, errIndexMoved) {
		return 0, false, nil
	}
	return n, n == indexEvents || size >= indexBytes, err
}

// eachIndexed reads what is searched of events until fn wants no more.
func (s *Store) eachIndexed(ctx context.Context, cond string, args []any, fn func(*convoy.Event) (more bool)) (n int, err error) {
	rows, err := s.db.Query(ctx, `SELECT e.id, e.project_id, e.event_type, e.source_id, e.idempotency_key, e.data FROM events e WHERE `+cond, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var e convoy.Event
		if err := rows.Scan(&e.ID, &e.ProjectID, &e.Type, &e.SourceID, &e.IdempotencyKey, &e.Data); err != nil {
			return n, err
		}
		n++
		if !fn(&e) {
			break
		}
	}
	return n, rows.Err()
}

// errIndexMoved is that another process has indexed.
var errIndexMoved = errors.New("search index has moved")

// lockIndex makes sure that nobody else writes the index, nor an event that it has
// passed, until the transaction ends.
func lockIndex(ctx context.Context, tx sqldb.Tx, d sqldb.Dialect) (mark string, err error) {
	err = tx.QueryRow(ctx, `SELECT value FROM facts WHERE name = $1`+d.ForUpdate(), searchMark).Scan(&mark)
	return mark, err
}

var (
	putSegments = sqldb.InsertBatch("search_segments", "ON CONFLICT (id) DO UPDATE SET last_id = excluded.last_id, bounds = excluded.bounds",
		"id:int", "after_id:text", "last_id:text", "bounds:text")
	putPostings = sqldb.InsertBatch("search_postings", "ON CONFLICT (bucket, segment) DO UPDATE SET postings = excluded.postings",
		"bucket:int", "segment:int", "postings:bytes")
	insertTypes = sqldb.InsertBatch("search_types", "ON CONFLICT DO NOTHING", "project_id:text", "event_type:text")
)

func putTypes(ctx context.Context, tx sqldb.Tx, types map[projectType]struct{}) error {
	list := slices.Collect(maps.Keys(types))
	return tx.Apply(ctx, insertTypes.Bind(len(list), func(i int, w *sqldb.RowWriter) { w.Text(string(list[i].project)).Text(list[i].name) }))
}

func (s *Store) writeIndexed(ctx context.Context, tx sqldb.Tx, mark string, x *indexing, n int, added map[place][]byte) error {
	held, err := lockIndex(ctx, tx, s.db.Dialect())
	if err != nil {
		return err
	}
	if held != mark {
		return errIndexMoved
	}
	if _, err := tx.Exec(ctx, `INSERT INTO search_checks (last_id, after_id, events) VALUES ($1, $2, $3)`, x.last, mark, n); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE facts SET value = $1 WHERE name = $2`, x.last, searchMark); err != nil {
		return err
	}
	if err := tx.Apply(ctx, putSegments.Bind(len(x.segments), func(i int, w *sqldb.RowWriter) {
		at := x.segments[i]
		w.Int(at.id).Text(at.after).Text(at.last).Text(at.bounds)
	})); err != nil {
		return err
	}
	if err := putTypes(ctx, tx, x.types); err != nil {
		return err
	}
	return writePostings(ctx, tx, added)
}

// allBuckets is a list of them for SQL.
var allBuckets = func() string {
	var b strings.Builder
	for i := range buckets {
		fmt.Fprintf(&b, ", %d", i)
	}
	return b.String()[2:]
}()

// writePostings appends to the rows that are there.
func writePostings(ctx context.Context, tx sqldb.Tx, added map[place][]byte) error {
	places := make([]place, 0, len(added))
	segments := make(map[int64]bool)
	for at := range added {
		places = append(places, at)
		segments[at.segment] = true
	}
	for segment := range segments {
		if err := eachPostings(ctx, tx, `bucket IN (`+allBuckets+`) AND segment = $1`, []any{segment}, func(at place, kept []byte) error {
			if len(added[at]) > 0 {
				added[at] = slices.Concat(kept, added[at])
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return tx.Apply(ctx, putPostings.Bind(len(places), func(i int, w *sqldb.RowWriter) {
		w.Int(int64(places[i].bucket)).Int(places[i].segment).Bytes(added[places[i]])
	}))
}

func eachPostings(ctx context.Context, q sqldb.Querier, cond string, args []any, fn func(at place, postings []byte) error) error {
	rows, err := q.Query(ctx, `SELECT segment, bucket, postings FROM search_postings WHERE `+cond, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var at place
		var kept []byte
		if err := rows.Scan(&at.segment, &at.bucket, &kept); err != nil {
			return err
		}
		if err := fn(at, kept); err != nil {
			return err
		}
	}
	return rows.Err()
}

// indexLate adds events to the blocks that have passed them, a segment's at a time.
func (s *Store) indexLate(ctx context.Context) (n int, err error) {
	rows, err := s.db.Query(ctx, `SELECT id FROM search_late ORDER BY id LIMIT $1`, maxLate)
	ids, err := collect(rows, err, scanID[convoy.EventID])
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	rows, err = s.db.Query(ctx, `SELECT `+segmentCols+` FROM search_segments WHERE last_id >= $1 ORDER BY last_id LIMIT 1`, ids[0])
	at, err := collect(rows, err, scanSegment)
	if err != nil {
		return 0, err
	}
	if len(at) == 0 {
		return 0, fmt.Errorf("no segment has %s", ids[0])
	}
	ids = slices.DeleteFunc(ids, func(id convoy.EventID) bool { return string(id) > at[0].last })
	var entries []entry
	types := make(map[projectType]struct{})
	d := s.db.Dialect()
	if _, err := s.eachIndexed(ctx, `e.id >= $1 AND e.id <= $2 AND `+d.In("e.id", "$3"), []any{ids[0], ids[len(ids)-1], sqldb.Texts(d, ids)},
		func(e *convoy.Event) bool {
			m := newMark(at[0].blockOf(string(e.ID)), e.ID)
			eventTerms(e, func(t term) { entries = append(entries, newEntry(t, m)) })
			types[projectType{e.ProjectID, e.Type}] = struct{}{}
			return true
		}); err != nil {
		return 0, err
	}
	added := postingsOf(map[int64][]entry{at[0].id: entries})
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		if _, err := lockIndex(ctx, tx, d); err != nil {
			return err
		}
		if err := putTypes(ctx, tx, types); err != nil {
			return err
		}
		if err := writePostings(ctx, tx, added); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM search_late WHERE `+d.In("id", "$1"), sqldb.Texts(d, ids))
		return err
	})
	return len(ids), err
}

// blockOf is the block that an id of the segment belongs to.
func (s *segment) blockOf(id string) int {
	lo, hi := 0, s.size()-1
	for lo < hi {
		if mid := (lo + hi) / 2; s.block(mid) < id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// checkIndexed counts again what was indexed a while ago. Where the number has
// changed all are taken for late: some were being written then.
func (s *Store) checkIndexed(ctx context.Context, now time.Time) error {
	type check struct {
		last, after string
		events      int
	}
	rows, err := s.db.Query(ctx, `SELECT last_id, after_id, events FROM search_checks WHERE last_id < $1 ORDER BY last_id LIMIT $2`,
		id.Floor(now.Add(-checkAge)), maxChecks)
	checks, err := collect(rows, err, func(row sqldb.Row) (c check, err error) {
		err = row.Scan(&c.last, &c.after, &c.events)
		return c, err
	})
	if err != nil {
		return err
	}
	for _, c := range checks {
		const between = ` FROM events WHERE id > $1 AND id <= $2`
		var events int
		if err := s.db.QueryRow(ctx, `SELECT count(*)`+between, c.after, c.last).Scan(&events); err != nil {
			return err
		}
		if err := s.db.Write(ctx, func(tx sqldb.Tx) error {
			if events != c.events {
				if _, err := tx.Exec(ctx, `INSERT INTO search_late (id) SELECT id`+between+` ON CONFLICT DO NOTHING`, c.after, c.last); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, `DELETE FROM search_checks WHERE last_id = $1`, c.last)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
