package catalog

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/id"
)

// maskCounting counts the look-ups of mask ids, too.
type maskCounting struct {
	*counting
	masks atomic.Int32
}

func (c *maskCounting) SourceByMask(ctx context.Context, mask string) (*convoy.Source, error) {
	c.masks.Add(1)
	if c.down.Load() {
		return nil, errDown
	}
	return c.counting.SourceByMask(ctx, mask)
}

func (b *bundle) source(t *testing.T, mask string) *convoy.Source {
	t.Helper()
	now := time.Now()
	s := &convoy.Source{
		ID: convoy.SourceID(id.New(now)), ProjectID: b.project.ID, MaskID: mask, Name: mask, Type: convoy.SourceHTTP,
		Verifier: convoy.Verifier{Type: convoy.VerifierNone}, CreatedAt: now, UpdatedAt: now,
	}
	if err := b.src.CreateSource(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSource(t *testing.T) {
	t.Parallel()
	b := setup(t)
	src := &maskCounting{counting: b.src}
	c := New(src, &direct{}, b.log, b.clock.now)
	look := func(mask string, want convoy.SourceID, lookups int32) {
		t.Helper()
		s, view, err := c.Source(t.Context(), mask)
		switch {
		case want == "" && !convoy.IsNotFound(err):
			t.Errorf("%s: %+v, %v, want it missing", mask, s, err)
		case want != "" && (err != nil || s.ID != want || view.Settings().ID != b.project.ID):
			t.Errorf("%s: %+v, %v, want %s", mask, s, err, want)
		}
		if n := src.masks.Load(); n != lookups {
			t.Errorf("%s: %d look-ups by now, want %d", mask, n, lookups)
		}
	}
	changed := func() {
		t.Helper()
		if err := c.Changed(t.Context(), b.project.ID); err != nil {
			t.Fatal(err)
		}
	}
	look("first", "", 1)
	look("first", "", 1)
	first := b.source(t, "first")
	look("first", "", 1) // nobody has been told
	changed()
	look("first", first.ID, 2)
	look("first", first.ID, 2)

	second := b.source(t, "second") // by another process, whose message is late
	look("second", second.ID, 3)
	look("third", "", 4)
	b.clock.advance(missTTL + time.Millisecond)
	look("third", "", 5)

	if err := b.src.DeleteSource(t.Context(), b.project.ID, first.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	changed()
	look("first", "", 6)
	look("first", "", 6)
	if v, err := c.Project(t.Context(), b.project.ID); err != nil {
		t.Error(err)
	} else if s, ok := v.Source(second.ID); !ok || s.MaskID != "second" {
		t.Errorf("source %+v, %v", s, ok)
	}
}

func TestSourceWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	src := &maskCounting{counting: b.src}
	c := New(src, &direct{}, b.log, b.clock.now)
	s := b.source(t, "known")
	if _, _, err := c.Source(t.Context(), "known"); err != nil {
		t.Fatal(err)
	}
	src.down.Store(true)
	b.clock.advance(time.Minute)
	if got, _, err := c.Source(t.Context(), "known"); err != nil || got.ID != s.ID {
		t.Errorf("known source: %v, %v", got, err)
	}
	if _, _, err := c.Source(t.Context(), "unknown"); convoy.KindOf(err) != convoy.Unavailable {
		t.Errorf("unknown source: %v, want unavailable", err)
	}
}
