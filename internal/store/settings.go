package store

import (
	"context"
	"fmt"
	"math"

	"convoy"
	"convoy/internal/store/sqldb"
)

// SettingsKind says what a row that has changed is. It is the row's table.
type SettingsKind string

// The kinds of settings.
const (
	ProjectSettings      SettingsKind = "projects"
	EndpointSettings     SettingsKind = "endpoints"
	SubscriptionSettings SettingsKind = "subscriptions"
	SourceSettings       SettingsKind = "sources"
	EventTypeSettings    SettingsKind = "event_types"
)

// SettingsChange names a row that was written: made, changed, hidden or removed.
type SettingsChange struct {
	Kind SettingsKind
	ID   string
}

// SettingsRevision is a point in the history of a project's settings. Who has
// read the settings after the revision and reads what changed since has them as
// of the next.
type SettingsRevision int64

// NewestSettings is later than any revision.
const NewestSettings SettingsRevision = math.MaxInt64

// SettingsChanges is what has become of a project's settings since a revision.
type SettingsChanges struct {
	Revision SettingsRevision
	// Rows are those that have been written since, in that order. Complete is
	// false when more have than are remembered, or when the history is not one
	// that had the revision asked about, as after a restored backup: then all
	// must be read again.
	Rows     []SettingsChange
	Complete bool
}

// SettingsChanges returns what has changed since a revision. What it names may
// have changed once more when it is read; a later revision says so then.
func (s *Store) SettingsChanges(ctx context.Context, project convoy.ProjectID, since SettingsRevision) (SettingsChanges, error) {
	var out SettingsChanges
	// One statement: the revision and the rows are of one moment.
	rows, err := s.db.Query(ctx, `SELECT r.revision, coalesce(c.kind, ''), coalesce(c.row_id, '') FROM settings_revisions r
		LEFT JOIN settings_changes c ON c.project_id = r.project_id AND c.revision > $2
		WHERE r.project_id = $1 ORDER BY c.revision NULLS FIRST`, project, int64(since))
	list, err := collect(rows, err, func(row sqldb.Row) (c SettingsChange, err error) {
		err = row.Scan(&out.Revision, &c.Kind, &c.ID)
		return c, err
	})
	if err != nil {
		return out, fmt.Errorf("changes of settings: %w", err)
	}
	if len(list) > 0 && list[0].Kind != "" { // else the revision stands alone
		out.Rows = list
	}
	out.Complete = int64(len(out.Rows)) == int64(out.Revision-since)
	return out, nil
}
