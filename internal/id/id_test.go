package id

import (
	"testing"
	"time"
)

// Not parallel: ids ascend while the time does not go back, and other tests
// make ids of other times.
func TestNewAscends(t *testing.T) {
	at := time.UnixMilli(1767225600123)
	last := ""
	for range 1000 {
		s := New(at)
		if !Valid(s) {
			t.Fatalf("New = %q, not an id", s)
		}
		if s <= last {
			t.Fatalf("%q does not sort after %q", s, last)
		}
		if !Time(s).Equal(at) {
			t.Fatalf("Time(%q) = %v, want %v", s, Time(s), at)
		}
		last = s
	}
}

func TestDerive(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1767225600123)
	a := Derive(at, "event", "subscription")
	if b := Derive(at, "event", "subscription"); a != b {
		t.Errorf("the same parts gave %q and %q", a, b)
	}
	if b := Derive(at, "events", "ubscription"); a == b {
		t.Error("parts run into each other")
	}
	if !Valid(a) || !Time(a).Equal(at) {
		t.Errorf("%q is not an id of %v", a, at)
	}
}

func TestFloor(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1767225600123)
	f := Floor(at)
	if !(New(at) > f) || !(New(at.Add(-time.Millisecond)) < f) {
		t.Errorf("Floor = %q does not part the ids at %v", f, at)
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"01KAP2V8J0N6T6ZX3F5M0QG8RC":    true,
		"01kap2v8j0n6t6zx3f5m0qg8rc":    false,
		"":                              false,
		"01KAP2V8J0N6T6ZX3F5M0QG8R":     false,
		"81KAP2V8J0N6T6ZX3F5M0QG8RC":    false,
		"01KAP2V8J0N6T6ZX3F5M0QG8R\x00": false,
		"01KAP2V8J0N6T6ZX3F5M0QG8RU":    false,
	} {
		if got := Valid(s); got != want {
			t.Errorf("Valid(%q) = %v, want %v", s, got, want)
		}
	}
}
