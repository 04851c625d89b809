package store

import (
	"context"
	"fmt"
	"strings"

	"convoy"
	"convoy/internal/store/sqldb"
)

// BrokerMessageHeader is the header of an event that carries the id of the
// broker message that brought it in.
const BrokerMessageHeader = "X-Broker-Message-Id"

// Search narrows a list of events by what no index has: it reads the events of
// the window, newest or oldest first, until the page is full. Callers bound its
// time.
type Search struct {
	// Text is the beginning of the id, or a part of the idempotency key, of the
	// event type or of the source's name; the case of ASCII letters does not
	// matter.
	Text string
	// Contains are objects that the payload must all contain.
	Contains []Containment
}

// searchChunk bounds the events that are read at once to be looked at, and so
// how many payloads are in memory that are not part of the page.
const searchChunk = 100

// addSearch adds what can be asked of the database.
func (w *where) addSearch(d sqldb.Dialect, project convoy.ProjectID, s Search) {
	w.addContained(d, s)
	if s.Text != "" {
		part := likePart(s.Text)
		prefix := strings.ToUpper(s.Text)
		conds := []string{
			"e.id >= ? AND e.id < ?",
			lowered(d, "e.idempotency_key") + ` LIKE ? ESCAPE '\'`,
			lowered(d, "e.event_type") + ` LIKE ? ESCAPE '\'`,
			`e.source_id IN (SELECT o.id FROM sources o WHERE o.project_id = ? AND ` + lowered(d, "o.name") + ` LIKE ? ESCAPE '\')`,
		}
		w.add("("+strings.Join(conds, " OR ")+")", prefix, prefix+"~", part, part, project, part)
	}
}

// addContained leaves out the payloads that lack a text of a pattern, of which
// the database sees more in a second than this process. In one with escapes a
// text may be spelt in another way.
func (w *where) addContained(d sqldb.Dialect, s Search) {
	has := `instr(e.data, ?) > 0`
	if d == sqldb.Postgres { // fork: each has its own name for it
		has = `position(?::bytea in e.data) > 0`
	}
	for _, c := range s.Contains {
		var conds []string
		var args []any
		for _, text := range c.longest() {
			conds, args = append(conds, has), append(args, []byte(text))
		}
		if len(conds) > 0 {
			w.add("("+strings.Join(conds, " AND ")+" OR "+has+")", append(args, []byte(`\`))...)
		}
	}
}

// lowered is a column with the letters of ASCII in lower case.
// fork: PostgreSQL's lower depends on the collation; SQLite has no "C", and
// knows no other letters.
func lowered(d sqldb.Dialect, column string) string {
	if d == sqldb.Postgres {
		return `lower(` + column + ` COLLATE "C")`
	}
	return `lower(` + column + `)`
}

// keeper looks at events one by one; it is nil when there is nothing to look at.
type keeper func(e *convoy.Event) (bool, error)

func (s Search) keeper(ctx context.Context) keeper {
	if len(s.Contains) == 0 {
		return nil
	}
	return func(e *convoy.Event) (bool, error) {
		for _, c := range s.Contains {
			if ok, err := c.in(ctx, e.Data); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

// maxBrokerMessage bounds, in bytes, the ids that are found: an index takes no
// text of any length.
const maxBrokerMessage = 512

// brokerMessage is the first value of [BrokerMessageHeader].
func brokerMessage(headers map[string][]string) string {
	for name, values := range headers {
		if strings.EqualFold(name, BrokerMessageHeader) && len(values) > 0 && len(values[0]) <= maxBrokerMessage {
			return values[0]
		}
	}
	return ""
}

// fetchEvents is fetchRows for events that are looked at, too.
func fetchEvents(ctx context.Context, q sqldb.Querier, l listing, keep keeper) fetcher[*convoy.Event] {
	if keep == nil {
		return fetchRows(ctx, q, l, scanEvent)
	}
	return func(k seek) ([]*convoy.Event, error) {
		out := []*convoy.Event{}
		for {
			chunk := k
			chunk.limit = searchChunk
			read, err := eachEvent(ctx, q, l, chunk, func(e *convoy.Event) (more bool, err error) {
				k.from, k.after = string(e.ID), true
				ok, err := keep(e)
				if ok {
					out = append(out, e)
				}
				return len(out) < k.limit, err
			})
			if err != nil || len(out) >= k.limit || read < searchChunk {
				return out, err
			}
		}
	}
}

// eachEvent reads events one by one, as long as fn wants more.
func eachEvent(ctx context.Context, q sqldb.Querier, l listing, k seek, fn func(e *convoy.Event) (more bool, err error)) (read int, err error) {
	query, args := l.query(k)
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return read, err
		}
		read++
		if more, err := fn(e); !more || err != nil {
			return read, err
		}
	}
	return read, rows.Err()
}

// keepOf leaves out the events that keep does not want.
func keepOf(events []*convoy.Event, keep keeper) ([]*convoy.Event, error) {
	if keep == nil {
		return events, nil
	}
	kept := events[:0]
	for _, e := range events {
		ok, err := keep(e)
		if err != nil {
			return nil, err
		}
		if ok {
			kept = append(kept, e)
		}
	}
	clear(events[len(kept):])
	return kept, nil
}
