package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"convoy"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

// Dynamic asks for an endpoint and its subscription.
type Dynamic struct {
	// Endpoint is made unless the project has one with its URL.
	Endpoint *convoy.Endpoint
	// Known says that Endpoint is one of the project's.
	Known bool
	// Types become those of the endpoint's subscription; nil keeps them, or
	// means all for a new one.
	Types []string
	Now   time.Time
	// Meta are the meta events that tell of Endpoint, if it is made.
	Meta []convoy.Job
}

// EnsureDynamic returns the endpoint that dynamic events go to. It has a
// subscription to events of the API then, and the oldest of those, which such
// events go through, has the types that were asked for. However many processes
// ask for one URL at once, there is one endpoint.
func (s *Store) EnsureDynamic(ctx context.Context, d Dynamic) (*convoy.Endpoint, error) {
	e, err := opened(ctx, s, func(o *opener) (e *convoy.Endpoint, err error) {
		err = s.db.Write(ctx, func(tx sqldb.Tx) error {
			var err error
			if e, err = s.dynamicEndpoint(ctx, tx, o, d); err != nil {
				return err
			}
			return s.dynamicSubscription(ctx, tx, e, d)
		})
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("ensure dynamic endpoint: %w", err)
	}
	return e, nil
}

// dynamicEndpoint finds or makes the endpoint and locks it.
func (s *Store) dynamicEndpoint(ctx context.Context, tx sqldb.Tx, o *opener, d Dynamic) (*convoy.Endpoint, error) {
	e := d.Endpoint
	var status convoy.EndpointStatus
	if d.Known {
		return e, found(s.lockEndpoint(ctx, tx, e.ProjectID, e.ID).Scan(&status), endpointMissing)
	}
	// Who asks second waits here and then sees what the first has made.
	var project convoy.ProjectID
	err := tx.QueryRow(ctx, `SELECT id FROM projects WHERE id = $1 AND deleted_at = 0`+s.db.Dialect().ForUpdate(), e.ProjectID).Scan(&project)
	if err != nil {
		return nil, found(err, projectMissing)
	}
	had, err := o.endpoint(tx.QueryRow(ctx, `SELECT `+endpointCols+` FROM endpoints p
		WHERE p.project_id = $1 AND p.url = $2 AND p.deleted_at = 0 ORDER BY p.id LIMIT 1`, e.ProjectID, e.URL))
	switch {
	case err == nil:
		return had, found(s.lockEndpoint(ctx, tx, had.ProjectID, had.ID).Scan(&status), endpointMissing)
	case !errors.Is(err, sqldb.ErrNoRows):
		return nil, err
	}
	if err := s.insertEndpoint(ctx, tx, e); err != nil {
		return nil, err
	}
	return e, insertMeta(ctx, tx, d.Meta)
}

func (s *Store) dynamicSubscription(ctx context.Context, tx sqldb.Tx, e *convoy.Endpoint, d Dynamic) error {
	sub, err := scanSubscription(tx.QueryRow(ctx, `SELECT `+subscriptionCols+` FROM subscriptions s
		WHERE s.endpoint_id = $1 AND s.source_id = '' AND s.deleted_at = 0 ORDER BY s.id LIMIT 1`+s.db.Dialect().ForUpdate(), e.ID))
	if errors.Is(err, sqldb.ErrNoRows) {
		sub = &convoy.Subscription{
			ID: convoy.SubscriptionID(id.New(d.Now)), ProjectID: e.ProjectID, Name: "dynamic-subscription-" + string(e.ID),
			EndpointID: e.ID, Mode: convoy.AtLeastOnce, CreatedAt: d.Now, UpdatedAt: d.Now,
		}
		types := d.Types
		if len(types) == 0 {
			types = []string{convoy.AnyEventType}
		}
		sub.Filters = filter.ForTypes(sub.ID, types, nil, d.Now)
		return insertSubscription(ctx, tx, sub)
	}
	if err != nil || len(d.Types) == 0 || slices.Equal(sub.EventTypes(), d.Types) {
		return err
	}
	sub.Filters = filter.ForTypes(sub.ID, d.Types, sub.Filters, d.Now)
	t, err := subscriptionTexts(sub)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE subscriptions SET filters = $1, updated_at = $2 WHERE id = $3`, t.filters, micros(d.Now), sub.ID)
	return err
}

// maxTemplates bounds the endpoints that a URL is compared with.
const maxTemplates = 1000

// EndpointTemplates returns the endpoints of a project whose URLs have braces,
// the oldest maxTemplates of them.
func (s *Store) EndpointTemplates(ctx context.Context, project convoy.ProjectID) ([]*convoy.Endpoint, error) {
	list, err := opened(ctx, s, func(o *opener) ([]*convoy.Endpoint, error) {
		rows, err := s.db.Query(ctx, `SELECT `+endpointCols+` FROM endpoints p
			WHERE p.project_id = $1 AND p.deleted_at = 0 AND replace(p.url, '{', '') <> p.url ORDER BY p.id LIMIT $2`, project, maxTemplates)
		return collect(rows, err, o.endpoint)
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint templates: %w", err)
	}
	return list, nil
}
