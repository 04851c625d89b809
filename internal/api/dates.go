package api

import (
	"time"

	"convoy"
)

// dateLayout is the form of dates in queries: no zone, UTC is meant.
const dateLayout = "2006-01-02T15:04:05"

// defaultDays is how far back lists go unless asked.
const defaultDays = 7

var (
	errStartDate = convoy.E(convoy.Invalid, "please specify a startDate in the format "+dateLayout)
	errEndDate   = convoy.E(convoy.Invalid, "please specify a correct endDate in the format "+dateLayout+" or none at all")
	errDateOrder = convoy.E(convoy.Invalid, "startDate cannot be greater than endDate")
)

// epoch is the earliest time an id can carry.
var epoch = time.Unix(0, 0).UTC()

// DateQuery is the part of a list's query that bounds creation times.
type DateQuery struct {
	Start string `query:"startDate" doc:"Earliest creation time, 2006-01-02T15:04:05 in UTC; midnight seven days ago unless given"`
	End   string `query:"endDate" doc:"Latest creation time, inclusive; the end of today unless given"`
}

// dates returns the bounds, both inclusive, in whole seconds. A date in year 1
// is what some clients send for none.
func (q *DateQuery) dates(now time.Time) (from, to time.Time, err error) {
	day := now.UTC().Truncate(24 * time.Hour)
	from, to = day.AddDate(0, 0, -defaultDays), day.Add(24*time.Hour-time.Second)
	if t, ok, err := parseDate(q.Start); err != nil {
		return from, to, errStartDate
	} else if ok {
		from = t
	}
	if t, ok, err := parseDate(q.End); err != nil {
		return from, to, errEndDate
	} else if ok {
		to = t
	}
	if from.After(to) {
		return from, to, errDateOrder
	}
	return from, to.Add(time.Second - time.Microsecond), nil
}

func parseDate(s string) (t time.Time, ok bool, err error) {
	if s == "" {
		return t, false, nil
	}
	// time.Parse takes a fraction that the layout does not have.
	if t, err = time.Parse(dateLayout, s); err != nil || len(s) != len(dateLayout) {
		return t, false, errStartDate
	}
	if t.Year() <= 1 {
		return t, false, nil
	}
	if t.Before(epoch) {
		t = epoch
	}
	return t, true, nil
}
