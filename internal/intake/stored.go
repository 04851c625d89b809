package intake

import (
	"context"
	"time"

	"convoy"
	"convoy/internal/batch"
)

// Stored is the mode in which an acknowledged event is in the store.
type Stored struct {
	cfg       Config
	persister *Persister
	batch     *batch.Batcher[*convoy.Event]
}

// NewStored makes a stored intake; it works while Run does.
func NewStored(cfg Config, p *Persister) *Stored {
	s := &Stored{cfg: cfg, persister: p}
	s.batch = batch.New(batch.Config{
		MaxItems: 512, MaxBytes: 4 << 20,
		// Each waiting item is a request held open; beyond this the callers
		// wait in the listener's backlog.
		Pending:      1024,
		FlushTimeout: 10 * time.Second,
		Observe:      cfg.Metrics.Intake.Observe,
	}, (*convoy.Event).Size, s.flush)
	return s
}

// Run commits batches until ctx ends and the last waiting event is stored.
func (s *Stored) Run(ctx context.Context) error { return s.batch.Run(ctx) }

// maxRefusals bounds the writes that are tried to find out which events of a
// batch the store refuses: one event takes about ten.
const maxRefusals = 64

// flush stores a batch. When the store is there and refuses it, it is stored in
// parts, so that what is wrong with one event is not the others' problem.
func (s *Stored) flush(ctx context.Context, events []*convoy.Event) error {
	err := s.persister.Persist(ctx, events)
	if err == nil || len(events) == 1 {
		return err
	}
	i := isolation{Stored: s, errs: make(batch.Errors, len(events))}
	i.split(ctx, events, 0, err)
	return i.errs
}

// isolation finds the events that a store refuses.
type isolation struct {
	*Stored
	errs     batch.Errors
	refusals int
}

// split stores the halves of a part of the batch, which begins at from and was
// refused with err.
func (i *isolation) split(ctx context.Context, events []*convoy.Event, from int, err error) {
	i.refusals++
	if len(events) == 1 || i.refusals > maxRefusals || ctx.Err() != nil || !answers(ctx, i.cfg.Store) {
		for n := range events {
			i.errs[from+n] = err
		}
		if len(events) == 1 {
			i.cfg.Log.Error("event refused by the store", "event_id", events[0].ID, "project_id", events[0].ProjectID, "err", err)
		}
		return
	}
	mid := len(events) / 2
	if err := i.persister.Persist(ctx, events[:mid]); err != nil {
		i.split(ctx, events[:mid], from, err)
	}
	if err := i.persister.Persist(ctx, events[mid:]); err != nil {
		i.split(ctx, events[mid:], from+mid, err)
	}
}

// Publish returns when e is stored; it sets e's status and duplicate mark. An
// event that could not be stored is a convoy.Unavailable error, and may be
// published again with the same id.
func (s *Stored) Publish(ctx context.Context, e *convoy.Event) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := s.batch.Do(ctx, e); err != nil {
		return refused(err)
	}
	s.cfg.Metrics.Accepted.Stored.Inc()
	accepted(ctx, s.cfg.Log, e, "stored")
	return nil
}

// PublishAll is Publish for several events at once. It returns an error for
// each, nil for those that are stored.
func (s *Stored) PublishAll(ctx context.Context, events []*convoy.Event) []error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	errs := s.batch.DoAll(ctx, events)
	for i, e := range events {
		if errs[i] != nil {
			errs[i] = refused(errs[i])
			continue
		}
		s.cfg.Metrics.Accepted.Stored.Inc()
		accepted(ctx, s.cfg.Log, e, "stored")
	}
	return errs
}
