package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const portalLinkMissing = "portal link not found"

const portalLinkCols = `l.id, l.project_id, l.name, l.owner_id, l.auth, l.can_manage, l.token, l.endpoints, l.created_at, l.updated_at, l.deleted_at`

func scanPortalLink(row sqldb.Row) (*convoy.PortalLink, error) {
	var (
		l                                 convoy.PortalLink
		manage, created, updated, deleted int64
		endpoints                         []byte
	)
	if err := row.Scan(&l.ID, &l.ProjectID, &l.Name, &l.OwnerID, &l.Auth, &manage, &l.Token, &endpoints, &created, &updated, &deleted); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(endpoints, &l.Endpoints); err != nil {
		return nil, fmt.Errorf("endpoints of portal link %s: %w", l.ID, err)
	}
	l.CanManage = manage != 0
	l.CreatedAt, l.UpdatedAt, l.DeletedAt = instant(created), instant(updated), instant(deleted)
	return &l, nil
}

// CreatePortalLink stores a new link. The endpoints it names that have no owner
// get the link's, in the same transaction; one that has another owner, or is not
// of the project, is a convoy.Invalid error.
func (s *Store) CreatePortalLink(ctx context.Context, l *convoy.PortalLink) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		endpoints, err := s.own(ctx, tx, l)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO portal_links (id, project_id, name, owner_id, auth, can_manage, token, endpoints, created_at, updated_at, deleted_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			l.ID, l.ProjectID, l.Name, l.OwnerID, l.Auth, flag(l.CanManage), l.Token, endpoints,
			micros(l.CreatedAt), micros(l.UpdatedAt), micros(l.DeletedAt))
		return err
	})
	if err != nil {
		return fmt.Errorf("create portal link: %w", err)
	}
	return nil
}

// own gives the endpoints that a link names to its owner.
func (s *Store) own(ctx context.Context, tx sqldb.Tx, l *convoy.PortalLink) (endpoints string, err error) {
	for _, e := range l.Endpoints {
		var owner string
		err := tx.QueryRow(ctx, `SELECT owner_id FROM endpoints WHERE id = $1 AND project_id = $2 AND deleted_at = 0`+s.db.Dialect().ForUpdate(),
			e, l.ProjectID).Scan(&owner)
		if err := found(err, endpointMissing); err != nil {
			if convoy.IsNotFound(err) {
				err = convoy.Wrap(convoy.Invalid, endpointMissing, err)
			}
			return "", err
		}
		switch owner {
		case l.OwnerID:
		case "":
			if _, err := tx.Exec(ctx, `UPDATE endpoints SET owner_id = $1, updated_at = $2 WHERE id = $3`, l.OwnerID, micros(l.UpdatedAt), e); err != nil {
				return "", err
			}
		default:
			return "", convoy.E(convoy.Invalid, fmt.Sprintf("endpoint %s already has owner_id %s", e, owner))
		}
	}
	list := l.Endpoints
	if list == nil {
		list = []convoy.EndpointID{}
	}
	return document(list)
}

// PortalLink returns one link of a project.
func (s *Store) PortalLink(ctx context.Context, project convoy.ProjectID, id convoy.PortalLinkID) (*convoy.PortalLink, error) {
	l, err := scanPortalLink(s.db.QueryRow(ctx, `SELECT `+portalLinkCols+` FROM portal_links l
		WHERE l.id = $1 AND l.project_id = $2 AND l.deleted_at = 0`, id, project))
	return l, found(err, portalLinkMissing)
}

// PortalLinkFilter selects links of a project.
type PortalLinkFilter struct {
	Project convoy.ProjectID
	Owner   string
	// Query is a part of the name; the case of ASCII letters does not matter.
	Query string
	// Endpoints are those whose owners' links are wanted.
	Endpoints []convoy.EndpointID
	Page      Page
}

// PortalLinks returns a page of a project's links.
func (s *Store) PortalLinks(ctx context.Context, f PortalLinkFilter) (Paged[*convoy.PortalLink], error) {
	var w where
	w.add("l.project_id = ?", f.Project)
	w.add("l.deleted_at = 0")
	w.contains("l.name", f.Query)
	if f.Owner != "" {
		w.add("l.owner_id = ?", f.Owner)
	}
	if len(f.Endpoints) > 0 {
		in := where{args: w.args}
		in.add("p.project_id = ?", f.Project)
		addIn(&in, s.db.Dialect(), "p.id", f.Endpoints)
		w.args = in.args
		w.add("l.owner_id <> '' AND l.owner_id IN (SELECT p.owner_id FROM endpoints p WHERE " + strings.Join(in.conds, " AND ") + ")")
	}
	l := listing{cols: portalLinkCols, table: "portal_links", alias: "l", key: "l.id", where: w}
	page, err := paginate(f.Page, func(l *convoy.PortalLink) string { return string(l.ID) },
		fetchRows(ctx, s.db.Replica(), l, scanPortalLink))
	if err != nil {
		return page, fmt.Errorf("portal links: %w", err)
	}
	return page, nil
}

// UpdatePortalLink writes a link's name, owner, way of signing in, rights and
// endpoints; see [Store.CreatePortalLink] for the latter. Its token stays.
func (s *Store) UpdatePortalLink(ctx context.Context, l *convoy.PortalLink) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		endpoints, err := s.own(ctx, tx, l)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE portal_links SET name = $1, owner_id = $2, auth = $3, can_manage = $4, endpoints = $5, updated_at = $6
			WHERE id = $7 AND project_id = $8 AND deleted_at = 0`,
			l.Name, l.OwnerID, l.Auth, flag(l.CanManage), endpoints, micros(l.UpdatedAt), l.ID, l.ProjectID)
		return changed(n, err, portalLinkMissing)
	})
	if err != nil {
		return fmt.Errorf("update portal link: %w", err)
	}
	return nil
}

// RevokePortalLink ends a link and its keys.
func (s *Store) RevokePortalLink(ctx context.Context, project convoy.ProjectID, id convoy.PortalLinkID, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE portal_links SET deleted_at = $1, updated_at = $1 WHERE id = $2 AND project_id = $3 AND deleted_at = 0`,
			micros(now), id, project)
		if err := changed(n, err, portalLinkMissing); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM portal_keys WHERE link_id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke portal link: %w", err)
	}
	return nil
}

var insertPortalKeys = sqldb.InsertBatch("portal_keys", "ON CONFLICT (hash) DO NOTHING", "hash:bytes", "link_id:text", "expires_at:int")

// expiredPortalKeys bounds how many old keys leave when new ones come.
const expiredPortalKeys = 1000

// KeepPortalKeys stores new keys, and forgets some that have expired.
func (s *Store) KeepPortalKeys(ctx context.Context, keys []convoy.PortalKey, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM portal_keys WHERE hash IN
			(SELECT hash FROM portal_keys WHERE expires_at <= $1 LIMIT $2)`, micros(now), expiredPortalKeys); err != nil {
			return err
		}
		return tx.Apply(ctx, insertPortalKeys.Bind(len(keys), func(i int, w *sqldb.RowWriter) {
			w.Bytes(keys[i].Hash[:]).Text(string(keys[i].LinkID)).Int(micros(keys[i].ExpiresAt))
		}))
	})
	if err != nil {
		return fmt.Errorf("keep portal keys: %w", err)
	}
	return nil
}

// PortalLinkByToken returns the link that a static token opens.
func (s *Store) PortalLinkByToken(ctx context.Context, token string) (*convoy.PortalLink, error) {
	l, err := scanPortalLink(s.db.QueryRow(ctx, `SELECT `+portalLinkCols+` FROM portal_links l
		WHERE l.token = $1 AND l.auth = 'static_token' AND l.deleted_at = 0`, token))
	return l, found(err, portalLinkMissing)
}

// PortalLinkByKey returns the link that a key's hash opens at a time.
func (s *Store) PortalLinkByKey(ctx context.Context, hash [32]byte, now time.Time) (*convoy.PortalLink, error) {
	l, err := scanPortalLink(s.db.QueryRow(ctx, `SELECT `+portalLinkCols+` FROM portal_links l JOIN portal_keys k ON k.link_id = l.id
		WHERE k.hash = $1 AND k.expires_at > $2 AND l.auth = 'refresh_token' AND l.deleted_at = 0`, hash[:], micros(now)))
	return l, found(err, portalLinkMissing)
}

// OwnerEndpoints counts the endpoints of owners in a project.
func (s *Store) OwnerEndpoints(ctx context.Context, project convoy.ProjectID, owners []string) (map[string]int, error) {
	var w where
	w.add("p.project_id = ?", project)
	w.add("p.deleted_at = 0")
	addIn(&w, s.db.Dialect(), "p.owner_id", owners)
	rows, err := s.db.Replica().Query(ctx, `SELECT p.owner_id, count(*) FROM endpoints p`+w.String()+` GROUP BY p.owner_id`, w.args...)
	type row struct {
		owner string
		n     int
	}
	list, err := collect(rows, err, func(r sqldb.Row) (v row, err error) {
		err = r.Scan(&v.owner, &v.n)
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("endpoints of owners: %w", err)
	}
	counts := make(map[string]int, len(list))
	for _, v := range list {
		counts[v.owner] = v.n
	}
	return counts, nil
}
