package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// Failures are deliveries of one subscription that have failed for good.
type Failures struct {
	Subscription convoy.SubscriptionID
	Alert        convoy.AlertConfig
	Times        []time.Time
	// Notices are sent if these failures make it too many.
	Notices []convoy.Notice
}

var insertNotices = sqldb.InsertBatch("notices", "ON CONFLICT (id) DO NOTHING",
	"id:text", "project_id:text", "channel:text", "target:text", "title:text", "body:text", "tries:int", "due_at:int", "created_at:int")

func (s *Store) bindNotices(notices []convoy.Notice) (sqldb.Bound, error) {
	targets := make([]string, len(notices))
	for i := range notices {
		var err error
		if targets[i], err = s.secrets.seal(noticeTarget, string(notices[i].ID), notices[i].Target); err != nil {
			return sqldb.Bound{}, err
		}
	}
	return insertNotices.Bind(len(notices), func(i int, w *sqldb.RowWriter) {
		n := &notices[i]
		w.Text(string(n.ID)).Text(string(n.ProjectID)).Text(string(n.Channel)).Text(targets[i]).Text(n.Title).Text(n.Text).
			Int(int64(n.Tries)).Int(micros(n.DueAt)).Int(micros(n.CreatedAt))
	}), nil
}

// NoteFailures counts failures of a subscription and reports whether its alert
// was raised: there are Alert.Count within Alert.Threshold, and no alert was
// raised for that long. The notices are stored then, and the count begins anew.
func (s *Store) NoteFailures(ctx context.Context, f Failures) (raised bool, err error) {
	if f.Alert.Count <= 0 || len(f.Times) == 0 {
		return false, nil
	}
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		// A row that is not there cannot be locked.
		if _, err := tx.Exec(ctx, `INSERT INTO alerts (subscription_id, failures, raised_at, updated_at) VALUES ($1, '', 0, 0)
			ON CONFLICT (subscription_id) DO NOTHING`, f.Subscription); err != nil {
			return err
		}
		var (
			text     string
			raisedAt int64
		)
		if err := tx.QueryRow(ctx, `SELECT failures, raised_at FROM alerts WHERE subscription_id = $1`+s.db.Dialect().ForUpdate(),
			f.Subscription).Scan(&text, &raisedAt); err != nil {
			return err
		}
		last := f.recent(text)
		now := last[len(last)-1]
		raised = len(last) >= f.Alert.Count && now-raisedAt >= f.Alert.Threshold.Microseconds()
		if raised {
			last, raisedAt = nil, now
			notices, err := s.bindNotices(f.Notices)
			if err != nil {
				return err
			}
			if err := tx.Apply(ctx, notices); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE alerts SET failures = $1, raised_at = $2, updated_at = $3 WHERE subscription_id = $4`,
			timesText(last), raisedAt, now, f.Subscription)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("note failures: %w", err)
	}
	return raised, nil
}

// recent are the failures within the threshold of the last one, known and new,
// in order and no more than the alert is about.
func (f *Failures) recent(known string) []int64 {
	var times []int64
	for field := range strings.FieldsSeq(known) {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil { // what is no time is as good as none
			times = append(times, n)
		}
	}
	for _, t := range f.Times {
		times = append(times, micros(t))
	}
	slices.Sort(times)
	from := times[len(times)-1] - f.Alert.Threshold.Microseconds()
	times = slices.DeleteFunc(times, func(t int64) bool { return t < from })
	return times[max(0, len(times)-f.Alert.Count):]
}

func timesText(times []int64) string {
	var b []byte
	for i, t := range times {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, t, 10)
	}
	return string(b)
}

// AddNotices stores notices that are to be sent.
func (s *Store) AddNotices(ctx context.Context, notices []convoy.Notice) error {
	if len(notices) == 0 {
		return nil
	}
	bound, err := s.bindNotices(notices)
	if err == nil {
		err = s.db.Apply(ctx, bound)
	}
	if err != nil {
		return fmt.Errorf("add notices: %w", err)
	}
	return nil
}

// DueNotices returns at most max notices that are due, the longest due first. One
// whose target cannot be opened has none: sending it fails, and it is given up as
// others are.
func (s *Store) DueNotices(ctx context.Context, now time.Time, max int) ([]convoy.Notice, error) {
	list, err := opened(ctx, s, func(o *opener) ([]convoy.Notice, error) {
		rows, err := s.db.Query(ctx, `SELECT id, project_id, channel, target, title, body, tries, due_at, created_at FROM notices
			WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2`, micros(now), max)
		return collect(rows, err, o.notice)
	})
	if err != nil {
		return nil, fmt.Errorf("due notices: %w", err)
	}
	return list, nil
}

func (o *opener) notice(row sqldb.Row) (n convoy.Notice, err error) {
	var (
		target       string
		due, created int64
	)
	if err := row.Scan(&n.ID, &n.ProjectID, &n.Channel, &target, &n.Title, &n.Text, &n.Tries, &due, &created); err != nil {
		return n, err
	}
	n.Target, _ = o.open(noticeTarget, string(n.ID), target)
	n.DueAt, n.CreatedAt = instant(due), instant(created)
	return n, nil
}

// PostponeNotice keeps a notice that was sent in vain for another try.
func (s *Store) PostponeNotice(ctx context.Context, id convoy.NoticeID, tries int, due time.Time) error {
	_, err := s.exec(ctx, `UPDATE notices SET tries = $1, due_at = $2 WHERE id = $3`, tries, micros(due), id)
	if err != nil {
		return fmt.Errorf("postpone notice: %w", err)
	}
	return nil
}

// DropNotice deletes a notice that was sent or is given up.
func (s *Store) DropNotice(ctx context.Context, id convoy.NoticeID) error {
	if _, err := s.exec(ctx, `DELETE FROM notices WHERE id = $1`, id); err != nil {
		return fmt.Errorf("drop notice: %w", err)
	}
	return nil
}

// ForgetAlerts deletes at most max counts of failures of which the last was
// before a time, and returns how many.
func (s *Store) ForgetAlerts(ctx context.Context, before time.Time, max int) (int, error) {
	n, err := s.exec(ctx, `DELETE FROM alerts WHERE subscription_id IN
		(SELECT subscription_id FROM alerts WHERE updated_at < $1 ORDER BY updated_at LIMIT $2)`, micros(before), max)
	if err != nil {
		return 0, fmt.Errorf("forget alerts: %w", err)
	}
	return int(n), nil
}
