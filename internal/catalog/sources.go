package catalog

import (
	"context"
	"time"

	"convoy"
)

// maxMasks bounds the mask ids that are remembered, and apart from them those
// that are known to be nobody's.
const maxMasks = 16384

// masks say which project the source of a mask id belongs to. That never
// changes, so what is here is never wrong; whether the source still is, its
// project says.
type masks struct {
	projects map[string]convoy.ProjectID
	// unknown are mask ids that nobody had at a time; any change of a project
	// empties it.
	unknown map[string]time.Time
	changes uint64
}

func newMasks() masks {
	return masks{projects: make(map[string]convoy.ProjectID), unknown: make(map[string]time.Time)}
}

// changed makes every mask id worth asking for again.
func (m *masks) changed() {
	m.changes++
	clear(m.unknown)
}

// Source returns the source with a public name and its project, or a
// convoy.NotFound error.
func (c *Catalog) Source(ctx context.Context, mask string) (*convoy.Source, *Project, error) {
	c.mu.RLock()
	project, known := c.masks.projects[mask]
	since, missed := c.masks.unknown[mask]
	changes := c.masks.changes
	c.mu.RUnlock()
	if known {
		view, err := c.Project(ctx, project)
		if err != nil && !convoy.IsNotFound(err) {
			return nil, nil, err
		}
		if err == nil {
			if s, ok := view.SourceByMask(mask); ok {
				return s, view, nil
			}
		}
	}
	if missed && c.now().Sub(since) <= missTTL {
		return nil, nil, errNoSource
	}
	s, view, err := c.findSource(ctx, mask)
	if convoy.IsNotFound(err) {
		c.mu.Lock()
		if c.masks.changes == changes {
			evict(c.masks.unknown, maxMasks)
			c.masks.unknown[mask] = c.now()
		}
		c.mu.Unlock()
		return nil, nil, errNoSource
	}
	return s, view, err
}

var errNoSource = convoy.E(convoy.NotFound, "source not found")

// findSource asks the store for a source that memory does not have.
func (c *Catalog) findSource(ctx context.Context, mask string) (*convoy.Source, *Project, error) {
	lctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	row, err := c.src.SourceByMask(lctx, mask)
	if err != nil {
		if convoy.IsNotFound(err) {
			return nil, nil, err
		}
		return nil, nil, convoy.Wrap(convoy.Unavailable, "source cannot be loaded now", err)
	}
	c.mu.Lock()
	evict(c.masks.projects, maxMasks)
	c.masks.projects[mask] = row.ProjectID
	c.mu.Unlock()
	view, err := c.Project(ctx, row.ProjectID)
	if err != nil {
		return nil, nil, err
	}
	if s, ok := view.SourceByMask(mask); ok {
		return s, view, nil
	}
	// Another process has made it, and its message is on the way.
	if view, err = c.Reload(ctx, row.ProjectID); err != nil {
		return nil, nil, err
	}
	if s, ok := view.SourceByMask(mask); ok {
		return s, view, nil
	}
	return nil, nil, errNoSource
}
