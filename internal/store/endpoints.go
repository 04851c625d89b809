package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const endpointMissing = "endpoint not found"

const endpointCols = `p.id, p.project_id, p.owner_id, p.url, p.name, p.description, p.secrets, p.advanced_signatures,
	p.slack_webhook_url, p.teams_webhook_url, p.support_email, p.status, p.http_timeout, p.rate_limit, p.rate_limit_duration,
	p.content_type, p.authentication, p.client_certificate, p.created_at, p.updated_at, p.deleted_at`

// endpoint reads a row. Credentials that do not open are the endpoint's Damaged.
func (o *opener) endpoint(row sqldb.Row) (*convoy.Endpoint, error) {
	var (
		e                                  convoy.Endpoint
		secrets, auth, cert                string
		advanced, timeout, limit, duration int64
		created, updated, deleted          int64
	)
	if err := row.Scan(&e.ID, &e.ProjectID, &e.OwnerID, &e.URL, &e.Name, &e.Description, &secrets, &advanced,
		&e.SlackWebhookURL, &e.TeamsWebhookURL, &e.SupportEmail, &e.Status, &timeout, &limit, &duration,
		&e.ContentType, &auth, &cert, &created, &updated, &deleted); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		column column
		text   string
		into   any
	}{
		{endpointSecrets, secrets, &e.Secrets}, {endpointAuth, auth, &e.Authentication}, {endpointCertificate, cert, &e.ClientCertificate},
	} {
		text, damage := o.openDocument(d.column, string(e.ID), d.text)
		e.Damaged = errors.Join(e.Damaged, damage)
		if err := json.Unmarshal([]byte(text), d.into); err != nil {
			return nil, fmt.Errorf("credentials of endpoint %s: %w", e.ID, err)
		}
	}
	var slack, teams error
	e.SlackWebhookURL, slack = o.open(endpointSlack, string(e.ID), e.SlackWebhookURL)
	e.TeamsWebhookURL, teams = o.open(endpointTeams, string(e.ID), e.TeamsWebhookURL)
	e.Damaged = errors.Join(e.Damaged, slack, teams)
	e.AdvancedSignatures = advanced != 0
	e.HTTPTimeout = time.Duration(timeout) * time.Microsecond
	e.RateLimit, e.RateLimitDuration = int(limit), time.Duration(duration)*time.Microsecond
	e.CreatedAt, e.UpdatedAt, e.DeletedAt = instant(created), instant(updated), instant(deleted)
	return &e, nil
}

// CreateEndpoint stores a new endpoint, and the meta events that tell of it.
func (s *Store) CreateEndpoint(ctx context.Context, e *convoy.Endpoint, meta ...convoy.Job) error {
	own, ctx := within(ctx)
	if !own.has(e.ProjectID, e.OwnerID) {
		return errNotOwner
	}
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := s.insertEndpoint(ctx, tx, e); err != nil {
			return err
		}
		return insertMeta(ctx, tx, meta)
	})
	if err != nil {
		return fmt.Errorf("create endpoint: %w", err)
	}
	return nil
}

// CreateSubscribed stores new endpoints, each with a new subscription, and the
// meta events that tell of them, all or none.
func (s *Store) CreateSubscribed(ctx context.Context, endpoints []*convoy.Endpoint, subscriptions []*convoy.Subscription, meta ...convoy.Job) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		for i, e := range endpoints {
			if err := s.insertEndpoint(ctx, tx, e); err != nil {
				return err
			}
			if err := insertSubscription(ctx, tx, subscriptions[i]); err != nil {
				return err
			}
		}
		return insertMeta(ctx, tx, meta)
	})
	if err != nil {
		return fmt.Errorf("create endpoints: %w", err)
	}
	return nil
}

func (s *Store) insertEndpoint(ctx context.Context, tx sqldb.Tx, e *convoy.Endpoint) error {
	c, err := s.credentials(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO endpoints (id, project_id, owner_id, url, name, description, secrets, advanced_signatures,
			slack_webhook_url, teams_webhook_url, support_email, status, http_timeout, rate_limit, rate_limit_duration,
			content_type, authentication, client_certificate, created_at, updated_at, deleted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`,
		e.ID, e.ProjectID, e.OwnerID, e.URL, e.Name, e.Description, c.secrets, flag(e.AdvancedSignatures),
		c.slack, c.teams, e.SupportEmail, e.Status, e.HTTPTimeout.Microseconds(), e.RateLimit,
		e.RateLimitDuration.Microseconds(), e.ContentType, c.auth, c.cert, micros(e.CreatedAt), micros(e.UpdatedAt), micros(e.DeletedAt))
	return err
}

// credentialTexts are an endpoint's credentials as they are stored.
type credentialTexts struct{ secrets, auth, cert, slack, teams string }

func (s *Store) credentials(e *convoy.Endpoint) (c credentialTexts, err error) {
	if e.Damaged != nil {
		return c, e.Damaged // what was not read would be lost
	}
	id := string(e.ID)
	if c.secrets, err = s.secrets.sealDocument(endpointSecrets, id, e.Secrets); err != nil {
		return c, err
	}
	if c.auth, err = s.secrets.sealDocument(endpointAuth, id, e.Authentication); err != nil {
		return c, err
	}
	if c.cert, err = s.secrets.sealDocument(endpointCertificate, id, e.ClientCertificate); err != nil {
		return c, err
	}
	if c.slack, err = s.secrets.seal(endpointSlack, id, e.SlackWebhookURL); err != nil {
		return c, err
	}
	c.teams, err = s.secrets.seal(endpointTeams, id, e.TeamsWebhookURL)
	return c, err
}

// Endpoint returns one endpoint of a project.
func (s *Store) Endpoint(ctx context.Context, project convoy.ProjectID, id convoy.EndpointID) (*convoy.Endpoint, error) {
	own, ctx := within(ctx)
	var w where
	w.add("p.id = ? AND p.project_id = ? AND p.deleted_at = 0", id, project)
	own.endpoints(&w)
	e, err := opened(ctx, s, func(o *opener) (*convoy.Endpoint, error) {
		return o.endpoint(s.db.QueryRow(ctx, `SELECT `+endpointCols+` FROM endpoints p`+w.String(), w.args...))
	})
	if err == nil && e.Damaged != nil {
		return nil, fmt.Errorf("endpoint: %w", e.Damaged)
	}
	return e, found(err, endpointMissing)
}

// EndpointFilter selects endpoints of a project.
type EndpointFilter struct {
	Project convoy.ProjectID
	// Query is a part of the name; the case of ASCII letters does not matter.
	Query string
	Owner string
	Page  Page
}

// Endpoints returns a page of a project's endpoints.
func (s *Store) Endpoints(ctx context.Context, f EndpointFilter) (Paged[*convoy.Endpoint], error) {
	var w where
	w.add("p.project_id = ?", f.Project)
	w.add("p.deleted_at = 0")
	own, ctx := within(ctx)
	own.endpoints(&w)
	w.contains("p.name", f.Query)
	if f.Owner != "" {
		w.add("p.owner_id = ?", f.Owner)
	}
	l := listing{cols: endpointCols, table: "endpoints", alias: "p", key: "p.id", where: w}
	page, err := opened(ctx, s, func(o *opener) (Paged[*convoy.Endpoint], error) {
		return paginate(f.Page, func(e *convoy.Endpoint) string { return string(e.ID) }, fetchRows(ctx, s.db.Replica(), l, o.endpoint))
	})
	if err != nil {
		return page, fmt.Errorf("endpoints: %w", err)
	}
	return page, nil
}

// AllEndpoints returns every endpoint of a project, oldest first, however many
// there are: routing must know them all. With ids it returns those of them that
// there are.
func (s *Store) AllEndpoints(ctx context.Context, project convoy.ProjectID, ids ...convoy.EndpointID) ([]*convoy.Endpoint, error) {
	var w where
	w.add("p.project_id = ?", project)
	w.add("p.deleted_at = 0")
	addIn(&w, s.db.Dialect(), "p.id", ids)
	list, err := opened(ctx, s, func(o *opener) ([]*convoy.Endpoint, error) {
		rows, err := s.db.Query(ctx, `SELECT `+endpointCols+` FROM endpoints p`+w.String()+` ORDER BY p.id`, w.args...)
		return collect(rows, err, o.endpoint)
	})
	if err != nil {
		return nil, fmt.Errorf("endpoints: %w", err)
	}
	return list, nil
}

// UpdateEndpoint writes an endpoint's settings, and the meta events that tell of
// that. Its id and project stay, and so
// does its status, which only [Store.SetEndpointStatus] changes: a caller that
// read the endpoint a moment ago must not switch it on again.
func (s *Store) UpdateEndpoint(ctx context.Context, e *convoy.Endpoint, meta ...convoy.Job) error {
	own, ctx := within(ctx)
	if !own.has(e.ProjectID, e.OwnerID) {
		return errNotOwner
	}
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := s.keepToOwner(ctx, tx, own, e.ProjectID, e.ID); err != nil {
			return err
		}
		if err := s.updateEndpoint(ctx, tx, e); err != nil {
			return err
		}
		return insertMeta(ctx, tx, meta)
	})
	if err != nil {
		return fmt.Errorf("update endpoint: %w", err)
	}
	return nil
}

func (s *Store) updateEndpoint(ctx context.Context, tx sqldb.Tx, e *convoy.Endpoint) error {
	c, err := s.credentials(e)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE endpoints SET owner_id = $1, url = $2, name = $3, description = $4, secrets = $5,
			advanced_signatures = $6, slack_webhook_url = $7, teams_webhook_url = $8, support_email = $9, http_timeout = $10,
			rate_limit = $11, rate_limit_duration = $12, content_type = $13, authentication = $14,
			client_certificate = $15, updated_at = $16
		WHERE id = $17 AND project_id = $18 AND deleted_at = 0`,
		e.OwnerID, e.URL, e.Name, e.Description, c.secrets, flag(e.AdvancedSignatures), c.slack, c.teams,
		e.SupportEmail, e.HTTPTimeout.Microseconds(), e.RateLimit, e.RateLimitDuration.Microseconds(), e.ContentType, c.auth, c.cert,
		micros(e.UpdatedAt), e.ID, e.ProjectID)
	return changed(n, err, endpointMissing)
}

// Outcomes counts an endpoint's deliveries of a period by what has become of
// them.
type Outcomes struct{ Success, Failure, Retry int64 }

// EndpointOutcomes counts the deliveries that were made for endpoints between
// two times, both inclusive, in milliseconds. It reads each of them, so callers
// bound its time.
func (s *Store) EndpointOutcomes(ctx context.Context, project convoy.ProjectID, endpoints []convoy.EndpointID, from, to time.Time) (map[convoy.EndpointID]Outcomes, error) {
	var w where
	own, ctx := within(ctx)
	own.of(&w, "d.endpoint_id")
	addIn(&w, s.db.Dialect(), "d.endpoint_id", endpoints)
	w.add("d.project_id = ?", project)
	w.within("d.id", between(from, to))
	rows, err := s.db.Replica().Query(ctx, `SELECT d.endpoint_id, d.status, count(*) FROM deliveries d
		WHERE `+strings.Join(w.conds, " AND ")+` GROUP BY d.endpoint_id, d.status`, w.args...)
	type row struct {
		endpoint convoy.EndpointID
		status   convoy.DeliveryStatus
		n        int64
	}
	list, err := collect(rows, err, func(r sqldb.Row) (v row, err error) {
		err = r.Scan(&v.endpoint, &v.status, &v.n)
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint outcomes: %w", err)
	}
	outcomes := make(map[convoy.EndpointID]Outcomes, len(endpoints))
	for _, v := range list {
		o := outcomes[v.endpoint]
		switch v.status {
		case convoy.DeliverySuccess:
			o.Success = v.n
		case convoy.DeliveryFailure:
			o.Failure = v.n
		case convoy.DeliveryRetry:
			o.Retry = v.n
		}
		outcomes[v.endpoint] = o
	}
	return outcomes, nil
}

// SetEndpointStatus switches an endpoint and reports whether it had another
// status before. An endpoint that becomes active gets its parked deliveries
// back in the same transaction. The meta events tell of the switch.
func (s *Store) SetEndpointStatus(ctx context.Context, project convoy.ProjectID, id convoy.EndpointID,
	status convoy.EndpointStatus, now time.Time, meta ...convoy.Job,
) (switched bool, err error) {
	own, ctx := within(ctx)
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := s.keepToOwner(ctx, tx, own, project, id); err != nil {
			return err
		}
		var old convoy.EndpointStatus
		if err := s.lockEndpoint(ctx, tx, project, id).Scan(&old); err != nil {
			return found(err, endpointMissing)
		}
		switched = old != status
		if !switched {
			return nil
		}
		if _, err := tx.Exec(ctx, `UPDATE endpoints SET status = $1, updated_at = $2 WHERE id = $3`, status, micros(now), id); err != nil {
			return err
		}
		if status == convoy.EndpointActive {
			if err := resume(ctx, tx, id, now); err != nil {
				return err
			}
		}
		return insertMeta(ctx, tx, meta)
	})
	if err != nil {
		return false, fmt.Errorf("endpoint status: %w", err)
	}
	return switched, nil
}

// lockEndpoint returns the endpoint's status and keeps other transactions that
// lock it waiting.
// fork: SQLite has one writer and no row locks.
func (s *Store) lockEndpoint(ctx context.Context, tx sqldb.Tx, project convoy.ProjectID, id convoy.EndpointID) sqldb.Row {
	return tx.QueryRow(ctx, `SELECT status FROM endpoints WHERE id = $1 AND project_id = $2 AND deleted_at = 0`+s.db.Dialect().ForUpdate(),
		id, project)
}

// errNotOwner is the answer to who would make something somebody else's.
var errNotOwner = convoy.E(convoy.NotFound, endpointMissing)

// keepToOwner keeps an endpoint as it is and refuses one that does not belong to the
// owner, if there is a scope.
func (s *Store) keepToOwner(ctx context.Context, tx sqldb.Tx, own *ownership, project convoy.ProjectID, id convoy.EndpointID) error {
	if own == nil {
		return nil
	}
	var owner string
	err := tx.QueryRow(ctx, `SELECT owner_id FROM endpoints WHERE id = $1 AND project_id = $2 AND deleted_at = 0`+s.db.Dialect().ForUpdate(), id, project).Scan(&owner)
	if err == nil && !own.has(project, owner) {
		return errNotOwner
	}
	return found(err, endpointMissing)
}

// endpointDeleted is the description of deliveries whose endpoint went.
const endpointDeleted = "endpoint was deleted"

// DeleteEndpoint hides an endpoint, removes its subscriptions and discards its
// waiting deliveries. The meta events tell of it.
func (s *Store) DeleteEndpoint(ctx context.Context, project convoy.ProjectID, id convoy.EndpointID, now time.Time, meta ...convoy.Job) error {
	own, ctx := within(ctx)
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if err := s.keepToOwner(ctx, tx, own, project, id); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE endpoints SET deleted_at = $1, updated_at = $1 WHERE id = $2 AND project_id = $3 AND deleted_at = 0`,
			micros(now), id, project)
		if err := changed(n, err, endpointMissing); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE subscriptions SET deleted_at = $1, updated_at = $1 WHERE endpoint_id = $2 AND deleted_at = 0`,
			micros(now), id); err != nil {
			return err
		}
		mark, err := readFact(ctx, tx, freshMark)
		if err != nil {
			return err
		}
		// A waiting delivery has a claim time or is younger than the mark (see
		// SweepFresh), so the endpoint's whole history need not be read. What is
		// locked is being recorded, by a transaction that may lock rows in another
		// order and must not be waited for: whoever takes it up again finds the
		// endpoint gone.
		skip := s.db.Dialect().SkipLocked() + `)`
		const discard = `UPDATE deliveries SET status = 'Discarded', description = $1, due_at = 0, claim_at = 0, updated_at = $2
			WHERE id IN (SELECT id FROM deliveries WHERE endpoint_id = $3 AND status IN ('Scheduled', 'Retry')`
		if _, err := tx.Exec(ctx, discard+` AND claim_at > 0`+skip, endpointDeleted, micros(now), id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, discard+` AND id >= $4`+skip, endpointDeleted, micros(now), id, mark); err != nil {
			return err
		}
		return insertMeta(ctx, tx, meta)
	})
	if err != nil {
		return fmt.Errorf("delete endpoint: %w", err)
	}
	return nil
}
