package catalog

import (
	"context"
	"slices"

	"convoy"
	"convoy/internal/store"
)

// refreshMeta is [Catalog.refresh] for the project of an owner's meta events,
// which follows from the owner's own settings and nothing else.
func (c *Catalog) refreshMeta(ctx context.Context, owner convoy.ProjectID, before *Project, whole bool) (_ *Project, isWhole bool, err error) {
	since := store.NewestSettings
	if before != nil && !whole {
		since = before.revision
	}
	changes, err := c.src.SettingsChanges(ctx, owner, since)
	if err != nil {
		return nil, false, err
	}
	own := func(row store.SettingsChange) bool { return row.Kind == store.ProjectSettings }
	if changes.Complete && !slices.ContainsFunc(changes.Rows, own) {
		if len(changes.Rows) == 0 {
			return before, false, nil
		}
		p := *before // with the same settings and endpoint, which identify the version
		p.revision = changes.Revision
		return &p, false, nil
	}
	settings, err := c.src.Project(ctx, owner)
	if err != nil {
		return nil, false, err
	}
	meta, endpoint := settings.Meta()
	return newProject(changes.Revision, meta, rows{endpoints: []*convoy.Endpoint{endpoint}}), true, nil
}
