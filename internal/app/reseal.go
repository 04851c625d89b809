package app

import (
	"context"
	"fmt"
	"time"

	"convoy"
	"convoy/internal/config"
	"convoy/internal/seal"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// RotationWait is how long after a rotation other processes may still seal with
// the former key: until they read the keys again, and a write under way ends.
const RotationWait = keysTTL + 10*time.Second

const (
	// sealBatch rows are read and written at a time, with sealPause between: each
	// is a change of a project's settings for every process to read, and more than
	// 1,000 between two looks of theirs would make them read all.
	sealBatch = 200
	sealPause = 250 * time.Millisecond
	// maxPasses bounds the goes over all rows. What others write meanwhile is
	// sealed with the newest key from the second on, or soon after.
	maxPasses = 100
)

// Sealing is what [SealAll] has done.
type Sealing struct {
	Rows int
	// Unopened says which values do not open, as of the last pass.
	Unopened []error
}

// SealAll seals with the newest key what is in the clear or sealed with another,
// while everybody goes on. It goes over all rows until one pass that begins after
// a time finds nothing to do. Broken off, it can be begun again.
func SealAll(ctx context.Context, s *store.Store, until time.Time) (Sealing, error) {
	var out Sealing
	for range maxPasses {
		last := !time.Now().Before(until)
		p, missed, err := sealPass(ctx, s)
		out.Rows += p.Rows
		out.Unopened = p.Unopened
		if err != nil {
			return out, err
		}
		if p.Rows > 0 || missed > 0 {
			continue
		}
		if last {
			return out, nil
		}
		if err := pause(ctx, time.Until(until)); err != nil {
			return out, err
		}
	}
	return out, convoy.E(convoy.Conflict, "other processes keep writing secrets that are not sealed with the newest key")
}

func sealPass(ctx context.Context, s *store.Store) (out Sealing, missed int, err error) {
	for at, done := (store.SealMark{}), false; !done; {
		step, err := s.Reseal(ctx, at, sealBatch)
		if err != nil {
			return out, missed, err
		}
		out.Rows += step.Rows
		missed += step.Missed
		out.Unopened = append(out.Unopened, step.Unopened...)
		at, done = step.Next, step.Done
		if step.Rows > 0 {
			if err := pause(ctx, sealPause); err != nil {
				return out, missed, err
			}
		}
	}
	return out, missed, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SecretsStatus is how the secrets of a database are kept.
type SecretsStatus struct {
	// Key seals now; zero when there is no keyset.
	Key    seal.KeyID
	Counts []store.SecretCount
}

// Secrets says how the secrets of a database are kept. It makes no keyset.
func Secrets(ctx context.Context, cfg config.Config, db sqldb.DB) (SecretsStatus, error) {
	has, err := store.HasKeys(ctx, db)
	if err != nil {
		return SecretsStatus{}, err
	}
	var secrets store.Secrets
	if has {
		if secrets, err = OpenSecrets(ctx, cfg, db); err != nil {
			return SecretsStatus{}, err
		}
	}
	counts, err := store.New(db, secrets).SecretCounts(ctx)
	return SecretsStatus{Key: secrets.PrimaryKey(), Counts: counts}, err
}

// RewrapSecrets wraps the keyset with another key, which is then the one that
// processes need to start.
func RewrapSecrets(ctx context.Context, cfg config.Config, db sqldb.DB, next seal.Source) error {
	next.Timeout = keyCommandTimeout
	key, err := next.Key(ctx)
	if err != nil {
		return fmt.Errorf("new key: %w", err)
	}
	secrets, err := OpenSecrets(ctx, cfg, db)
	if err != nil {
		return err
	}
	return store.New(db, secrets).RewrapKeys(ctx, key, time.Now())
}
