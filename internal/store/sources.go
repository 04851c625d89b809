package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

const sourceMissing = "source not found"

const sourceCols = `s.id, s.project_id, s.mask, s.name, s.type, s.provider, s.is_disabled, s.verifier, s.custom_response, s.crc_verified_at,
	s.forward_headers, s.pub_sub, s.idempotency_keys, s.event_type_location, s.body_function, s.header_function, s.created_at, s.updated_at, s.deleted_at`

// source reads a row. Credentials that do not open are the source's Damaged.
func (o *opener) source(row sqldb.Row) (*convoy.Source, error) {
	var (
		src                                       convoy.Source
		disabled                                  int64
		verifier, response, forward, broker, keys string
		verified, created, updated, deleted       int64
	)
	if err := row.Scan(&src.ID, &src.ProjectID, &src.MaskID, &src.Name, &src.Type, &src.Provider, &disabled, &verifier, &response, &verified,
		&forward, &broker, &keys, &src.EventTypeLocation, &src.BodyFunction, &src.HeaderFunction, &created, &updated, &deleted); err != nil {
		return nil, err
	}
	var damages [2]error
	verifier, damages[0] = o.openDocument(sourceVerifier, string(src.ID), verifier)
	broker, damages[1] = o.openDocument(sourceBroker, string(src.ID), broker)
	src.Damaged = errors.Join(damages[:]...)
	for _, d := range []struct {
		name, text string
		into       any
	}{
		{"verifier", verifier, &src.Verifier},
		{"custom response", response, &src.CustomResponse},
		{"forwarded headers", forward, &src.ForwardHeaders},
		{"broker", broker, &src.PubSub},
		{"idempotency keys", keys, &src.IdempotencyKeys},
	} {
		if err := json.Unmarshal([]byte(d.text), d.into); err != nil {
			return nil, fmt.Errorf("%s of source %s: %w", d.name, src.ID, err)
		}
	}
	src.Disabled = disabled != 0
	src.CRCVerifiedAt = instant(verified)
	src.CreatedAt, src.UpdatedAt, src.DeletedAt = instant(created), instant(updated), instant(deleted)
	return &src, nil
}

// sourceText are the parts of a source that are stored as documents.
type sourceText struct{ verifier, response, forward, broker, keys string }

func (s *Store) sourceTexts(src *convoy.Source) (t sourceText, err error) {
	if src.Damaged != nil {
		return t, src.Damaged // what was not read would be lost
	}
	for _, d := range []struct {
		into *string
		from any
	}{
		{&t.response, src.CustomResponse}, {&t.forward, src.ForwardHeaders}, {&t.keys, src.IdempotencyKeys},
	} {
		if *d.into, err = document(d.from); err != nil {
			return t, err
		}
	}
	if t.verifier, err = s.secrets.sealDocument(sourceVerifier, string(src.ID), src.Verifier); err != nil {
		return t, err
	}
	t.broker, err = s.secrets.sealDocument(sourceBroker, string(src.ID), src.PubSub)
	return t, err
}

// CreateSource stores a new source.
func (s *Store) CreateSource(ctx context.Context, src *convoy.Source) error {
	t, err := s.sourceTexts(src)
	if err == nil {
		_, err = s.exec(ctx, `INSERT INTO sources (id, project_id, mask, name, type, provider, is_disabled, verifier, custom_response, crc_verified_at,
			forward_headers, pub_sub, idempotency_keys, event_type_location, body_function, header_function, created_at, updated_at, deleted_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
			src.ID, src.ProjectID, src.MaskID, src.Name, src.Type, src.Provider, flag(src.Disabled), t.verifier, t.response, micros(src.CRCVerifiedAt),
			t.forward, t.broker, t.keys, src.EventTypeLocation, src.BodyFunction, src.HeaderFunction,
			micros(src.CreatedAt), micros(src.UpdatedAt), micros(src.DeletedAt))
	}
	if err != nil {
		return fmt.Errorf("create source: %w", err)
	}
	return nil
}

// Source returns one source of a project.
func (s *Store) Source(ctx context.Context, project convoy.ProjectID, id convoy.SourceID) (*convoy.Source, error) {
	if own, _ := within(ctx); own != nil {
		return nil, convoy.E(convoy.NotFound, sourceMissing) // none is an owner's
	}
	return s.source(ctx, `s.id = $1 AND s.project_id = $2`, id, project)
}

func (s *Store) source(ctx context.Context, where string, args ...any) (*convoy.Source, error) {
	src, err := opened(ctx, s, func(o *opener) (*convoy.Source, error) {
		return o.source(s.db.QueryRow(ctx, `SELECT `+sourceCols+` FROM sources s WHERE `+where+` AND s.deleted_at = 0`, args...))
	})
	if err == nil && src.Damaged != nil {
		return nil, fmt.Errorf("source: %w", src.Damaged)
	}
	return src, found(err, sourceMissing)
}

// SourceByMask returns the source with a public name, of whatever project.
func (s *Store) SourceByMask(ctx context.Context, mask string) (*convoy.Source, error) {
	return s.source(ctx, `s.mask = $1`, mask)
}

// SourceFilter selects sources of a project.
type SourceFilter struct {
	Project  convoy.ProjectID
	Type     convoy.SourceType
	Provider string
	// Name is a part of the name; the case of ASCII letters does not matter.
	Name string
	Page Page
}

// Sources returns a page of a project's sources.
func (s *Store) Sources(ctx context.Context, f SourceFilter) (Paged[*convoy.Source], error) {
	var w where
	w.add("s.project_id = ?", f.Project)
	w.add("s.deleted_at = 0")
	if f.Type != "" {
		w.add("s.type = ?", f.Type)
	}
	if f.Provider != "" {
		w.add("s.provider = ?", f.Provider)
	}
	w.contains("s.name", f.Name)
	l := listing{cols: sourceCols, table: "sources", alias: "s", key: "s.id", where: w}
	page, err := opened(ctx, s, func(o *opener) (Paged[*convoy.Source], error) {
		return paginate(f.Page, func(src *convoy.Source) string { return string(src.ID) }, fetchRows(ctx, s.db.Replica(), l, o.source))
	})
	if err != nil {
		return page, fmt.Errorf("sources: %w", err)
	}
	return page, nil
}

// AllSources returns every source of a project, oldest first, however many
// there are: what comes in must find its own. With ids it returns those of them
// that there are.
func (s *Store) AllSources(ctx context.Context, project convoy.ProjectID, ids ...convoy.SourceID) ([]*convoy.Source, error) {
	var w where
	w.add("s.project_id = ?", project)
	w.add("s.deleted_at = 0")
	addIn(&w, s.db.Dialect(), "s.id", ids)
	list, err := opened(ctx, s, func(o *opener) ([]*convoy.Source, error) {
		rows, err := s.db.Query(ctx, `SELECT `+sourceCols+` FROM sources s`+w.String()+` ORDER BY s.id`, w.args...)
		return collect(rows, err, o.source)
	})
	if err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	return list, nil
}

// UpdateSource writes a source's settings. Its id, project and mask id stay, and
// so does when it was verified.
func (s *Store) UpdateSource(ctx context.Context, src *convoy.Source) error {
	t, err := s.sourceTexts(src)
	if err != nil {
		return fmt.Errorf("update source: %w", err)
	}
	n, err := s.exec(ctx, `UPDATE sources SET name = $1, type = $2, provider = $3, is_disabled = $4, verifier = $5, custom_response = $6,
		forward_headers = $7, pub_sub = $8, idempotency_keys = $9, event_type_location = $10, body_function = $11, header_function = $12, updated_at = $13
		WHERE id = $14 AND project_id = $15 AND deleted_at = 0`,
		src.Name, src.Type, src.Provider, flag(src.Disabled), t.verifier, t.response,
		t.forward, t.broker, t.keys, src.EventTypeLocation, src.BodyFunction, src.HeaderFunction, micros(src.UpdatedAt), src.ID, src.ProjectID)
	if err := changed(n, err, sourceMissing); err != nil {
		return fmt.Errorf("update source: %w", err)
	}
	return nil
}

// MarkSourceVerified notes when a source's provider had proof that it reaches
// us.
func (s *Store) MarkSourceVerified(ctx context.Context, project convoy.ProjectID, id convoy.SourceID, at time.Time) error {
	n, err := s.exec(ctx, `UPDATE sources SET crc_verified_at = $1 WHERE id = $2 AND project_id = $3 AND deleted_at = 0`, micros(at), id, project)
	if err := changed(n, err, sourceMissing); err != nil {
		return fmt.Errorf("mark source verified: %w", err)
	}
	return nil
}

// DeleteSource hides a source and removes its subscriptions; deliveries they
// have made go on.
func (s *Store) DeleteSource(ctx context.Context, project convoy.ProjectID, id convoy.SourceID, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sources SET deleted_at = $1, updated_at = $1 WHERE id = $2 AND project_id = $3 AND deleted_at = 0`,
			micros(now), id, project)
		if err := changed(n, err, sourceMissing); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE subscriptions SET deleted_at = $1, updated_at = $1 WHERE project_id = $2 AND source_id = $3 AND deleted_at = 0`,
			micros(now), project, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM source_refusals WHERE source_id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete source: %w", err)
	}
	return nil
}

// MaxRefusals is how many refusals are kept of each source.
const MaxRefusals = 20

const refusalCols = `r.id, r.source_id, r.status, r.reason, r.unkept, r.ip, r.user_agent, r.content_type, r.length, r.created_at`

func scanRefusal(row sqldb.Row) (r convoy.SourceRefusal, err error) {
	var created int64
	err = row.Scan(&r.ID, &r.SourceID, &r.Status, &r.Reason, &r.Unkept, &r.IP, &r.UserAgent, &r.ContentType, &r.Length, &created)
	r.CreatedAt = instant(created)
	return r, err
}

// KeepRefusal stores a refusal in the place of its source's oldest.
func (s *Store) KeepRefusal(ctx context.Context, r *convoy.SourceRefusal) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO source_refusals (id, source_id, status, reason, unkept, ip, user_agent, content_type, length, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			r.ID, r.SourceID, r.Status, r.Reason, r.Unkept, r.IP, r.UserAgent, r.ContentType, r.Length, micros(r.CreatedAt)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM source_refusals WHERE source_id = $1 AND id NOT IN
			(SELECT id FROM source_refusals WHERE source_id = $1 ORDER BY id DESC LIMIT $2)`, r.SourceID, MaxRefusals)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep refusal: %w", err)
	}
	return nil
}

// Refusals returns the refusals that are kept of a source, newest first.
func (s *Store) Refusals(ctx context.Context, project convoy.ProjectID, source convoy.SourceID) ([]convoy.SourceRefusal, error) {
	rows, err := s.db.Query(ctx, `SELECT `+refusalCols+` FROM source_refusals r JOIN sources s ON s.id = r.source_id
		WHERE r.source_id = $1 AND s.project_id = $2 AND s.deleted_at = 0 ORDER BY r.id DESC LIMIT $3`, source, project, MaxRefusals)
	list, err := collect(rows, err, scanRefusal)
	if err != nil {
		return nil, fmt.Errorf("refusals: %w", err)
	}
	return list, nil
}
