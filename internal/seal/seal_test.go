package seal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"convoy/internal/seal"
)

var place = seal.Place{Table: "endpoints", Column: "secrets", Row: "01A"}

const secret = `[{"value":"whsec_plain"}]`

func newKeyset(t *testing.T) *seal.Keyset {
	t.Helper()
	s, err := seal.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSeal(t *testing.T, s *seal.Keyset, at seal.Place, value string) string {
	t.Helper()
	text, err := s.Seal(at, value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func mustWrap(t *testing.T, s *seal.Keyset, with seal.Key) string {
	t.Helper()
	wrapped, err := s.Wrap(with)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

func TestSealOpens(t *testing.T) {
	t.Parallel()
	s := newKeyset(t)
	for _, value := range []string{"", "x", secret, strings.Repeat("ü", 100_000)} {
		text := mustSeal(t, s, place, value)
		if !seal.IsSealed(text) || (value != "" && len(value) > 1 && strings.Contains(text, value)) {
			t.Fatalf("sealed as %.80q", text)
		}
		if id, ok := seal.SealedWith(text); !ok || id != s.Primary() {
			t.Fatalf("sealed with %v %v, want %v", id, ok, s.Primary())
		}
		if got, err := s.Open(place, text); err != nil || got != value {
			t.Fatalf("opened %.80q, %v", got, err)
		}
	}
	once, again := mustSeal(t, s, place, secret), mustSeal(t, s, place, secret)
	if once == again {
		t.Fatal("equal values are sealed alike")
	}
}

func TestSealedValueOpensOnlyAtItsPlace(t *testing.T) {
	t.Parallel()
	s := newKeyset(t)
	text := mustSeal(t, s, place, secret)
	for _, other := range []seal.Place{
		{Table: "sources", Column: "secrets", Row: "01A"},
		{Table: "endpoints", Column: "authentication", Row: "01A"},
		{Table: "endpoints", Column: "secrets", Row: "01B"},
		{Table: "endpoints", Column: "secret", Row: "s01A"},
		{},
	} {
		_, err := s.Open(other, text)
		if !errors.Is(err, seal.ErrNotOpened) || strings.Contains(err.Error(), "whsec_plain") || !strings.Contains(err.Error(), other.Row) {
			t.Errorf("%+v: %v", other, err)
		}
	}
}

func TestDamagedTextDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := newKeyset(t)
	text := mustSeal(t, s, place, secret)
	if _, err := newKeyset(t).Open(place, text); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("of another keyset: %v", err)
	}
	for i := range text { // each character counts
		b := []byte(text)
		if b[i]++; b[i] == '{' || b[i] == ':' {
			b[i] = 'A'
		}
		if got, err := s.Open(place, string(b)); err == nil {
			t.Fatalf("character %d changed: opened %q", i, got)
		}
	}
	for i := range text {
		if got, err := s.Open(place, text[:i]); err == nil {
			t.Fatalf("cut at %d: opened %q", i, got)
		}
	}
}

func TestWrongKeyDoesNotUnwrap(t *testing.T) {
	t.Parallel()
	key, s := seal.NewKey(), newKeyset(t)
	wrapped := mustWrap(t, s, key)
	back, err := seal.Unwrap(wrapped, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := back.Open(place, mustSeal(t, s, place, secret)); err != nil || got != secret {
		t.Fatalf("opened %q, %v", got, err)
	}
	for _, bad := range []string{"", "%", wrapped[:len(wrapped)/2], "AAAA"} {
		if _, err := seal.Unwrap(bad, key); !errors.Is(err, seal.ErrWrongKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := seal.Unwrap(wrapped, seal.NewKey()); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("another key: %v", err)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	k := seal.NewKey()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != "[key]" {
			t.Errorf("%s: %s", verb, got)
		}
	}
	again, err := seal.ParseKey(" " + k.Reveal() + "\n")
	if err != nil || again != k {
		t.Fatalf("a key is not read back: %v", err)
	}
}

// ringOpen opens a value as a reader of the store does: it looks for a key that it
// does not know, then tries once more.
func ringOpen(ctx context.Context, r *seal.Ring, text string) (string, error) {
	value, err := r.Keyset().Open(place, text)
	id, _ := seal.SealedWith(text)
	if !errors.Is(err, seal.ErrUnknownKey) {
		return value, err
	}
	if known, reading := r.Find(ctx, id); reading != nil || !known {
		return "", errors.Join(err, reading)
	}
	return r.Keyset().Open(place, text)
}

// TestRingFollowsRotation has many readers meet values of a key that another
// process has made.
func TestRingFollowsRotation(t *testing.T) {
	t.Parallel()
	key, first := seal.NewKey(), newKeyset(t)
	var stored atomic.Value
	var reads atomic.Int64
	stored.Store(mustWrap(t, first, key))
	ring, err := seal.NewRing(t.Context(), key, func(context.Context) (string, error) {
		reads.Add(1)
		return stored.Load().(string), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	if second.Primary() == first.Primary() {
		t.Fatal("a rotated keyset seals with the old key")
	}
	before, after := mustSeal(t, first, place, "before"), mustSeal(t, second, place, "after")
	stored.Store(mustWrap(t, second, key))

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for text, want := range map[string]string{before: "before", after: "after"} {
				if got, err := ringOpen(t.Context(), ring, text); err != nil || got != want {
					t.Errorf("opened %q, %v, want %q", got, err, want)
				}
			}
		})
	}
	wg.Wait()
	if n := reads.Load(); n != 2 {
		t.Errorf("read the keyset %d times, want at the start and once more", n)
	}
	if ring.Keyset().Primary() != second.Primary() {
		t.Error("the ring still seals with the old key")
	}
}

// TestRingLooksOnce meets values of a key that nobody has.
func TestRingLooksOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, reads := seal.NewKey(), 0
		wrapped := mustWrap(t, newKeyset(t), key)
		ring, err := seal.NewRing(t.Context(), key, func(context.Context) (string, error) { reads++; return wrapped, nil })
		if err != nil {
			t.Fatal(err)
		}
		foreign := mustSeal(t, newKeyset(t), place, secret)
		for range 3 {
			if _, err := ringOpen(t.Context(), ring, foreign); !errors.Is(err, seal.ErrUnknownKey) {
				t.Fatal(err)
			}
		}
		if reads != 2 {
			t.Errorf("read the keyset %d times, want at the start and once more", reads)
		}
		time.Sleep(11 * time.Second)
		if _, err := ringOpen(t.Context(), ring, foreign); !errors.Is(err, seal.ErrUnknownKey) || reads != 3 {
			t.Errorf("later: %v, read %d times, want once more", err, reads)
		}
		for i := range 200 {
			if known, err := ring.Find(t.Context(), seal.KeyID(i)); known || err != nil {
				t.Fatal(known, err)
			}
		}
		if reads > 70 {
			t.Errorf("read the keyset %d times for keys that nobody has", reads)
		}
	})
}

func TestRingTellsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	key, first := seal.NewKey(), newKeyset(t)
	wrapped, down := mustWrap(t, first, key), error(nil)
	read := func(context.Context) (string, error) { return wrapped, down }
	if _, err := seal.NewRing(t.Context(), seal.NewKey(), read); !errors.Is(err, seal.ErrWrongKey) {
		t.Fatalf("with a wrong key: %v", err)
	}
	ring, err := seal.NewRing(t.Context(), key, read)
	if err != nil {
		t.Fatal(err)
	}
	down = errors.New("database is down")
	foreign := mustSeal(t, newKeyset(t), place, secret)
	if _, err := ringOpen(t.Context(), ring, foreign); !errors.Is(err, down) || !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("without a database: %v", err)
	}
	down = nil // what could not be read was not found missing
	if _, err := ringOpen(t.Context(), ring, foreign); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("of no key of the keyset: %v", err)
	}
	// What it knows, it opens all the same.
	if got, err := ringOpen(t.Context(), ring, mustSeal(t, first, place, secret)); err != nil || got != secret {
		t.Errorf("opened %q, %v", got, err)
	}
}
