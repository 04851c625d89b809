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

const (
	batchMissing = "batch job not found"
	// openReplays bounds the replays of a project that have not ended.
	openReplays = 100
)

const batchCols = `id, project_id, kind, filter, state, reached, matched, processed, succeeded, failed, reasons,
	rate, owner, lease_until, failing_since, error, created_at, started_at, finished_at, updated_at`

func scanBatch(row sqldb.Row) (*convoy.BatchJob, error) {
	var (
		j                                                convoy.BatchJob
		filter, reasons                                  string
		lease, failing, created, started, ended, updated int64
	)
	if err := row.Scan(&j.ID, &j.ProjectID, &j.Kind, &filter, &j.State, &j.Reached, &j.Matched, &j.Processed, &j.Succeeded, &j.Failed,
		&reasons, &j.Rate, &j.Owner, &lease, &failing, &j.Error, &created, &started, &ended, &updated); err != nil {
		return nil, err
	}
	if err := errors.Join(json.Unmarshal([]byte(filter), &j.Filter), json.Unmarshal([]byte(reasons), &j.Reasons)); err != nil {
		return nil, fmt.Errorf("documents of batch job %s: %w", j.ID, err)
	}
	j.LeaseUntil, j.FailingSince = instant(lease), instant(failing)
	j.CreatedAt, j.StartedAt, j.FinishedAt, j.UpdatedAt = instant(created), instant(started), instant(ended), instant(updated)
	return &j, nil
}

// CreateBatchJob stores a new job. A project has one retry at a time, and a
// bounded number of replays; another one is a convoy.Conflict error.
func (s *Store) CreateBatchJob(ctx context.Context, j *convoy.BatchJob) error {
	own, ctx := within(ctx)
	if err := own.limit(ctx, s.db, j); err != nil {
		return err
	}
	filter, err := document(j.Filter)
	if err != nil {
		return fmt.Errorf("create batch job: %w", err)
	}
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		if j.Kind == convoy.BatchReplay {
			var open int
			if err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT id FROM batch_jobs WHERE project_id = $1 AND kind = 'replay'
				AND state IN ('queued', 'running', 'paused') LIMIT $2) AS n`, j.ProjectID, openReplays).Scan(&open); err != nil {
				return err
			}
			if open >= openReplays {
				return convoy.E(convoy.Conflict, fmt.Sprintf("the project has %d batch replays that have not ended", open))
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO batch_jobs (id, project_id, kind, filter, state, reached, matched, processed, succeeded, failed,
				reasons, rate, owner, lease_until, failing_since, error, created_at, started_at, finished_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, '', $6, 0, 0, 0, '{}', $7, '', 0, 0, '', $8, 0, 0, $8)`,
			j.ID, j.ProjectID, j.Kind, filter, j.State, j.Matched, j.Rate, micros(j.CreatedAt))
		return retryTaken(err)
	})
	if err != nil {
		return fmt.Errorf("create batch job: %w", err)
	}
	return nil
}

// retryTaken names the only unique constraint that can be violated.
func retryTaken(err error) error { return taken(err, "an active batch retry already exists") }

// BatchJob returns one job of a project.
func (s *Store) BatchJob(ctx context.Context, project convoy.ProjectID, id convoy.BatchJobID) (*convoy.BatchJob, error) {
	j, err := scanBatch(s.db.QueryRow(ctx, `SELECT `+batchCols+` FROM batch_jobs WHERE id = $1 AND project_id = $2`, id, project))
	return j, found(err, batchMissing)
}

// BatchJobs returns a page of a project's jobs.
func (s *Store) BatchJobs(ctx context.Context, project convoy.ProjectID, p Page) (Paged[*convoy.BatchJob], error) {
	l := listing{cols: batchCols, table: "batch_jobs", alias: "j", key: "j.id"}
	l.where.add("j.project_id = ?", project)
	page, err := paginate(p, func(j *convoy.BatchJob) string { return string(j.ID) }, fetchRows(ctx, s.db.Replica(), l, scanBatch))
	if err != nil {
		return page, fmt.Errorf("batch jobs: %w", err)
	}
	return page, nil
}

// ActiveBatchRetry reports whether a project has a retry that has not ended.
func (s *Store) ActiveBatchRetry(ctx context.Context, project convoy.ProjectID) (bool, error) {
	var n int
	err := s.db.QueryRow(ofAll(ctx), `SELECT count(*) FROM batch_jobs WHERE project_id = $1 AND kind = 'retry'
		AND state IN ('queued', 'running', 'paused')`, project).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("active batch retry: %w", err)
	}
	return n > 0, nil
}

// SetBatchState pauses, resumes (to queued) or cancels a job, and returns it.
// What its state does not allow is a convoy.Invalid error. Whoever works on it
// learns of it with the next write.
func (s *Store) SetBatchState(ctx context.Context, project convoy.ProjectID, id convoy.BatchJobID, to convoy.BatchState, now time.Time) (*convoy.BatchJob, error) {
	var j *convoy.BatchJob
	err := s.db.Write(ctx, func(tx sqldb.Tx) (err error) {
		j, err = scanBatch(tx.QueryRow(ctx, `SELECT `+batchCols+` FROM batch_jobs WHERE id = $1 AND project_id = $2`+s.db.Dialect().ForUpdate(), id, project))
		if err != nil {
			return found(err, batchMissing)
		}
		resume := to == convoy.BatchQueued
		switch {
		case j.State == to, resume && j.State == convoy.BatchRunning:
			return nil
		case resume && j.State != convoy.BatchPaused && j.State != convoy.BatchFailed, !resume && j.State.Ended():
			return convoy.E(convoy.Invalid, "the batch job is "+string(j.State))
		}
		j.State, j.UpdatedAt, j.FinishedAt = to, now, time.Time{}
		if to == convoy.BatchCancelled {
			j.FinishedAt = now
		}
		if resume {
			j.FailingSince, j.Error = time.Time{}, ""
		}
		_, err = tx.Exec(ctx, `UPDATE batch_jobs SET state = $1, finished_at = $2, failing_since = $3, error = $4, updated_at = $5 WHERE id = $6`,
			j.State, micros(j.FinishedAt), micros(j.FailingSince), j.Error, micros(now), id)
		return retryTaken(err)
	})
	if err != nil {
		return nil, fmt.Errorf("batch job state: %w", err)
	}
	return j, nil
}

// ClaimBatchJob gives owner a job that nobody works on, until the lease ends, and
// returns it; nil when there is none. Jobs take turns: the one that has waited
// longest comes first.
func (s *Store) ClaimBatchJob(ctx context.Context, owner string, now, until time.Time) (*convoy.BatchJob, error) {
	var list []*convoy.BatchJob
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE batch_jobs SET state = 'running', owner = $1, lease_until = $2,
				started_at = CASE WHEN started_at = 0 THEN $3 ELSE started_at END, updated_at = $3
			WHERE id = (SELECT id FROM batch_jobs WHERE state IN ('queued', 'running') AND lease_until <= $3
				ORDER BY lease_until, id LIMIT 1`+s.db.Dialect().SkipLocked()+`)
			RETURNING `+batchCols, owner, micros(until), micros(now))
		list, err = collect(rows, err, scanBatch)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim batch job: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0], nil
}

// RenewBatchJob keeps a job until the lease ends and returns the state that
// others want it in. A job that is somebody else's by now is a convoy.Conflict
// error.
func (s *Store) RenewBatchJob(ctx context.Context, j *convoy.BatchJob, until time.Time) (convoy.BatchState, error) {
	var state convoy.BatchState
	err := s.db.Write(ctx, func(tx sqldb.Tx) error {
		err := tx.QueryRow(ctx, `UPDATE batch_jobs SET lease_until = $1 WHERE id = $2 AND owner = $3 RETURNING state`, micros(until), j.ID, j.Owner).Scan(&state)
		return owned(err)
	})
	if err != nil {
		return "", fmt.Errorf("renew batch job: %w", err)
	}
	return state, nil
}

// owned turns a write that met no row of the owner into a convoy.Conflict error.
func owned(err error) error {
	if errors.Is(err, sqldb.ErrNoRows) {
		return convoy.E(convoy.Conflict, "the batch job is somebody else's")
	}
	return err
}

// SaveBatchJob writes how far a job has come and sets the state that others want
// it in. After this, what was counted is not done again.
func (s *Store) SaveBatchJob(ctx context.Context, j *convoy.BatchJob, now time.Time) error {
	err := s.db.Write(ctx, func(tx sqldb.Tx) error { return saveBatch(ctx, tx, j, now) })
	if err != nil {
		return fmt.Errorf("save batch job: %w", err)
	}
	return nil
}

func saveBatch(ctx context.Context, tx sqldb.Tx, j *convoy.BatchJob, now time.Time) error {
	reasons, err := document(j.Reasons)
	if err != nil {
		return err
	}
	err = tx.QueryRow(ctx, `UPDATE batch_jobs SET reached = $1, processed = $2, succeeded = $3, failed = $4, reasons = $5,
			failing_since = 0, error = '', updated_at = $6, state = CASE WHEN state = 'queued' THEN 'running' ELSE state END
		WHERE id = $7 AND owner = $8 RETURNING state`,
		j.Reached, j.Processed, j.Succeeded, j.Failed, reasons, micros(now), j.ID, j.Owner).Scan(&j.State)
	return owned(err)
}

// LeaveBatchJob gives a job up. In state running it may be claimed by anybody
// from the given time on; done and failed end it, unless it has been paused or
// cancelled meanwhile.
func (s *Store) LeaveBatchJob(ctx context.Context, j *convoy.BatchJob, from, now time.Time) error {
	var ended time.Time
	if j.State.Ended() {
		ended = now
	}
	_, err := s.exec(ctx, `UPDATE batch_jobs SET owner = '', lease_until = $1, failing_since = $2, error = $3, updated_at = $4,
			finished_at = CASE WHEN state IN ('queued', 'running') THEN $5 ELSE finished_at END,
			state = CASE WHEN state IN ('queued', 'running') THEN $6 ELSE state END
		WHERE id = $7 AND owner = $8`,
		micros(from), micros(j.FailingSince), j.Error, micros(now), micros(ended), j.State, j.ID, j.Owner)
	if err != nil {
		return fmt.Errorf("leave batch job: %w", err)
	}
	return nil
}

// RetryBatch sends the next deliveries of a retry again, at most max, and saves
// how far it has come, in one transaction. It reports whether there may be more.
// A job that is not to go on is left as it is, but for its State.
func (s *Store) RetryBatch(ctx context.Context, j *convoy.BatchJob, max int, now time.Time) (more bool, err error) {
	after := *j
	err = s.db.Write(ctx, func(tx sqldb.Tx) error {
		after = *j
		l, some, err := s.deliveryList(ctx, tx, deliveryFilter(j))
		var list []*convoy.Delivery
		if err == nil && some {
			list, err = fetchRows(ctx, tx, l, scanDelivery)(seek{from: j.Reached, after: j.Reached != "", limit: max})
		}
		if err != nil {
			return err
		}
		more = len(list) == max
		if len(list) > 0 {
			after.Reached = string(list[len(list)-1].ID)
		}
		n, failed, err := s.sendAgain(ctx, tx, list, now)
		if err != nil {
			return err
		}
		after.Count(n, failed)
		if err := saveBatch(ctx, tx, &after, now); err != nil {
			return err
		}
		if after.State != convoy.BatchRunning {
			return errHalted
		}
		return nil
	})
	switch {
	case errors.Is(err, errHalted):
		j.State = after.State
		return true, nil
	case err != nil:
		return false, fmt.Errorf("retry batch: %w", err)
	}
	*j = after
	return more, nil
}

// errHalted undoes what a job did that is not to go on.
var errHalted = errors.New("halted")

// ForgetBatchJobs deletes at most max jobs that ended before a time, and returns
// how many.
func (s *Store) ForgetBatchJobs(ctx context.Context, before time.Time, max int) (int, error) {
	n, err := s.exec(ctx, `DELETE FROM batch_jobs WHERE id IN (SELECT id FROM batch_jobs WHERE finished_at > 0 AND finished_at <= $1 LIMIT $2)`,
		micros(before), max)
	if err != nil {
		return 0, fmt.Errorf("forget batch jobs: %w", err)
	}
	return int(n), nil
}
