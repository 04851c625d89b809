package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store/sqldb"
)

const subscriptionMissing = "subscription not found"

const subscriptionCols = `s.id, s.project_id, s.name, s.endpoint_id, s.source_id, s.filters, s.function, s.mode,
	s.retry_type, s.retry_interval, s.retry_limit, s.rate_limit, s.rate_limit_duration, s.alert, s.created_at, s.updated_at, s.deleted_at`

func scanSubscription(row sqldb.Row) (*convoy.Subscription, error) {
	var (
		sub                       convoy.Subscription
		filters, alert            []byte
		retry                     convoy.RetryPolicy
		interval                  int64
		created, updated, deleted int64
	)
	if err := row.Scan(&sub.ID, &sub.ProjectID, &sub.Name, &sub.EndpointID, &sub.SourceID, &filters, &sub.Function, &sub.Mode,
		&retry.Type, &interval, &retry.Limit, &sub.RateLimit.Count, &sub.RateLimit.Duration, &alert, &created, &updated, &deleted); err != nil {
		return nil, err
	}
	if retry.Type != "" {
		retry.Interval = time.Duration(interval) * time.Microsecond
		sub.Retry = &retry
	}
	if err := json.Unmarshal(filters, &sub.Filters); err != nil {
		return nil, fmt.Errorf("filters of subscription %s: %w", sub.ID, err)
	}
	if err := json.Unmarshal(alert, &sub.Alert); err != nil {
		return nil, fmt.Errorf("alert of subscription %s: %w", sub.ID, err)
	}
	sub.CreatedAt, sub.UpdatedAt, sub.DeletedAt = instant(created), instant(updated), instant(deleted)
	for i := range sub.Filters { // the first schema's had no id and no time of their own
		if f := &sub.Filters[i]; f.ID == "" {
			f.ID = convoy.FilterID(id.Derive(sub.CreatedAt, string(sub.ID), f.EventType))
			f.EnabledAt = sub.CreatedAt
		}
	}
	return &sub, nil
}

// subscriptionText are the parts of a subscription that are stored as documents
// or not at all.
type subscriptionText struct {
	filters, alert string
	retry          convoy.RetryPolicy
}

func subscriptionTexts(sub *convoy.Subscription) (subscriptionText, error) {
	var (
		t   subscriptionText
		err error
	)
	list := sub.Filters
	if list == nil {
		list = []convoy.Filter{}
	}
	if t.filters, err = document(list); err != nil {
		return t, err
	}
	if t.alert, err = document(sub.Alert); err != nil {
		return t, err
	}
	if sub.Retry != nil {
		t.retry = *sub.Retry
	}
	return t, nil
}

// CreateSubscription stores a new subscription, also when the endpoint has
// others.
func (s *Store) CreateSubscription(ctx context.Context, sub *convoy.Subscription) error {
	own, ctx := within(ctx)
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := s.keepToOwner(ctx, tx, own, sub.ProjectID, sub.EndpointID); err != nil {
			return err
		}
		var status convoy.EndpointStatus
		if err := s.lockEndpoint(ctx, tx, sub.ProjectID, sub.EndpointID).Scan(&status); err != nil {
			return found(err, endpointMissing)
		}
		return insertSubscription(ctx, tx, sub)
	})
	if err != nil {
		return fmt.Errorf("create subscription: %w", err)
	}
	return nil
}

// EnsureSubscription stores a subscription only if its endpoint has none at
// this moment, and reports whether it did. However many processes ask at once,
// the endpoint ends with one.
func (s *Store) EnsureSubscription(ctx context.Context, sub *convoy.Subscription) (created bool, err error) {
	own, ctx := within(ctx)
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := s.keepToOwner(ctx, tx, own, sub.ProjectID, sub.EndpointID); err != nil {
			return err
		}
		n, err := s.subscribed(ctx, tx, sub)
		if err != nil {
			return err
		}
		created = n == 0
		if !created {
			return nil
		}
		return insertSubscription(ctx, tx, sub)
	})
	if err != nil {
		return false, fmt.Errorf("ensure subscription: %w", err)
	}
	return created, nil
}

// subscribed counts the other subscriptions of sub's endpoint. Who asks second
// waits for the lock of the endpoint, so that the count includes what the first
// has committed.
func (s *Store) subscribed(ctx context.Context, tx sqldb.Tx, sub *convoy.Subscription) (n int, err error) {
	var status convoy.EndpointStatus
	if err := s.lockEndpoint(ctx, tx, sub.ProjectID, sub.EndpointID).Scan(&status); err != nil {
		return 0, found(err, endpointMissing)
	}
	err = tx.QueryRow(ctx, `SELECT count(*) FROM subscriptions WHERE endpoint_id = $1 AND id <> $2 AND deleted_at = 0`,
		sub.EndpointID, sub.ID).Scan(&n)
	return n, err
}

func insertSubscription(ctx context.Context, tx sqldb.Tx, sub *convoy.Subscription) error {
	t, err := subscriptionTexts(sub)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO subscriptions (id, project_id, name, endpoint_id, source_id, filters, function, mode,
		retry_type, retry_interval, retry_limit, rate_limit, rate_limit_duration, alert, created_at, updated_at, deleted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		sub.ID, sub.ProjectID, sub.Name, sub.EndpointID, sub.SourceID, t.filters, sub.Function, sub.Mode,
		t.retry.Type, t.retry.Interval.Microseconds(), t.retry.Limit, sub.RateLimit.Count, int64(sub.RateLimit.Duration), t.alert,
		micros(sub.CreatedAt), micros(sub.UpdatedAt), micros(sub.DeletedAt))
	return err
}

// Subscription returns one subscription of a project.
func (s *Store) Subscription(ctx context.Context, project convoy.ProjectID, id convoy.SubscriptionID) (*convoy.Subscription, error) {
	own, ctx := within(ctx)
	var w where
	w.add("s.id = ? AND s.project_id = ? AND s.deleted_at = 0", id, project)
	own.of(&w, "s.endpoint_id")
	sub, err := scanSubscription(s.db.QueryRow(ctx, `SELECT `+subscriptionCols+` FROM subscriptions s`+w.String(), w.args...))
	return sub, found(err, subscriptionMissing)
}

// SubscriptionFilter selects subscriptions of a project.
type SubscriptionFilter struct {
	Project   convoy.ProjectID
	Endpoints []convoy.EndpointID
	// Name is a part of the name; the case of ASCII letters does not matter.
	Name string
	Page Page
}

// Subscriptions returns a page of a project's subscriptions.
func (s *Store) Subscriptions(ctx context.Context, f SubscriptionFilter) (Paged[*convoy.Subscription], error) {
	var w where
	w.add("s.project_id = ?", f.Project)
	w.add("s.deleted_at = 0")
	own, ctx := within(ctx)
	own.of(&w, "s.endpoint_id")
	w.contains("s.name", f.Name)
	addIn(&w, s.db.Dialect(), "s.endpoint_id", f.Endpoints)
	l := listing{cols: subscriptionCols, table: "subscriptions", alias: "s", key: "s.id", where: w}
	page, err := paginate(f.Page, func(sub *convoy.Subscription) string { return string(sub.ID) },
		fetchRows(ctx, s.db.Replica(), l, scanSubscription))
	if err != nil {
		return page, fmt.Errorf("subscriptions: %w", err)
	}
	return page, nil
}

// AllSubscriptions returns every subscription of a project, oldest first,
// however many there are: routing must know them all. With ids it returns those
// of them that there are.
func (s *Store) AllSubscriptions(ctx context.Context, project convoy.ProjectID, ids ...convoy.SubscriptionID) ([]*convoy.Subscription, error) {
	var w where
	w.add("s.project_id = ?", project)
	w.add("s.deleted_at = 0")
	addIn(&w, s.db.Dialect(), "s.id", ids)
	rows, err := s.db.Query(ctx, `SELECT `+subscriptionCols+` FROM subscriptions s`+w.String()+` ORDER BY s.id`, w.args...)
	list, err := collect(rows, err, scanSubscription)
	if err != nil {
		return nil, fmt.Errorf("subscriptions: %w", err)
	}
	return list, nil
}

// UpdateSubscription writes a subscription's settings. Its id and project stay.
func (s *Store) UpdateSubscription(ctx context.Context, sub *convoy.Subscription) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error { return updateSubscription(ctx, tx, sub) })
	if err != nil {
		return fmt.Errorf("update subscription: %w", err)
	}
	return nil
}

// SubscriptionChange edits one subscription.
type SubscriptionChange struct {
	Project      convoy.ProjectID
	Subscription convoy.SubscriptionID
	// Shared allows to move it to an endpoint that has others.
	Shared bool
	Edit   func(*convoy.Subscription) error
}

// ChangeSubscription reads a subscription, lets c edit it, and writes it; nobody
// else writes it meanwhile. An error of Edit is returned as it is, and nothing is
// written. A subscription that is moved needs an endpoint that exists
// (convoy.NotFound) and, unless they are shared, has no other (convoy.Conflict).
func (s *Store) ChangeSubscription(ctx context.Context, c SubscriptionChange) (sub *convoy.Subscription, err error) {
	own, ctx := within(ctx)
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		sub, err = scanSubscription(tx.QueryRow(ctx, `SELECT `+subscriptionCols+` FROM subscriptions s
			WHERE s.id = $1 AND s.project_id = $2 AND s.deleted_at = 0`+s.db.Dialect().ForUpdate(), c.Subscription, c.Project))
		if err := found(err, subscriptionMissing); err != nil {
			return err
		}
		if err := s.keepToOwner(ctx, tx, own, c.Project, sub.EndpointID); convoy.IsNotFound(err) {
			return convoy.E(convoy.NotFound, subscriptionMissing)
		} else if err != nil {
			return err
		}
		from := sub.EndpointID
		if err := c.Edit(sub); err != nil {
			return err
		}
		if sub.EndpointID != from {
			if err := s.keepToOwner(ctx, tx, own, c.Project, sub.EndpointID); err != nil {
				return err
			}
			n, err := s.subscribed(ctx, tx, sub)
			if err == nil && n > 0 && !c.Shared {
				err = convoy.E(convoy.Conflict, "a subscription for this endpoint already exists")
			}
			if err != nil {
				return err
			}
		}
		return updateSubscription(ctx, tx, sub)
	})
	return sub, err
}

func updateSubscription(ctx context.Context, tx sqldb.Tx, sub *convoy.Subscription) error {
	t, err := subscriptionTexts(sub)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE subscriptions SET name = $1, endpoint_id = $2, source_id = $3, filters = $4, function = $5, mode = $6,
		retry_type = $7, retry_interval = $8, retry_limit = $9, rate_limit = $10, rate_limit_duration = $11, alert = $12, updated_at = $13
		WHERE id = $14 AND project_id = $15 AND deleted_at = 0`,
		sub.Name, sub.EndpointID, sub.SourceID, t.filters, sub.Function, sub.Mode,
		t.retry.Type, t.retry.Interval.Microseconds(), t.retry.Limit, sub.RateLimit.Count, int64(sub.RateLimit.Duration), t.alert,
		micros(sub.UpdatedAt), sub.ID, sub.ProjectID)
	return changed(n, err, subscriptionMissing)
}

// DeleteSubscription hides a subscription; deliveries it has made go on.
func (s *Store) DeleteSubscription(ctx context.Context, project convoy.ProjectID, id convoy.SubscriptionID, now time.Time) error {
	own, ctx := within(ctx)
	clause, args := own.clause([]any{micros(now), id, project}, "endpoint_id")
	n, err := s.exec(ctx, `UPDATE subscriptions SET deleted_at = $1, updated_at = $1 WHERE id = $2 AND project_id = $3 AND deleted_at = 0`+clause, args...)
	if err := changed(n, err, subscriptionMissing); err != nil {
		return fmt.Errorf("delete subscription: %w", err)
	}
	return nil
}
