package intake

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"convoy"
)

// anyEvent draws an event with all that a log entry keeps.
func anyEvent() *rapid.Generator[*convoy.Event] {
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 300, -1), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	return rapid.Custom(func(r *rapid.T) *convoy.Event {
		at := time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(r, "at")).UTC()
		e := &convoy.Event{
			ID: convoy.EventID(text.Draw(r, "id")), ProjectID: convoy.ProjectID(text.Draw(r, "project")), Type: text.Draw(r, "type"),
			SourceID: convoy.SourceID(text.Draw(r, "source")), Kind: convoy.EventKind(text.Draw(r, "kind")),
			OwnerID: text.Draw(r, "owner"), SchemaError: text.Draw(r, "schema"), TargetURL: text.Draw(r, "target"), Data: rapid.SliceOf(rapid.Byte()).Draw(r, "data"),
			Headers:        rapid.MapOf(text, rapid.SliceOfN(text, 0, 4)).Draw(r, "headers"),
			IdempotencyKey: text.Draw(r, "key"), URLQuery: text.Draw(r, "query"), URLPath: text.Draw(r, "path"),
			Status: convoy.EventPending, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
		}
		for range rapid.IntRange(0, 5).Draw(r, "endpoints") {
			e.Endpoints = append(e.Endpoints, convoy.EndpointID(text.Draw(r, "endpoint")))
		}
		return e
	})
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		events := rapid.SliceOfN(anyEvent(), 0, 6).Draw(r, "events")
		prefix := rapid.SliceOf(rapid.Byte()).Draw(r, "prefix")
		entry := appendEvents(bytes.Clone(prefix), events)
		if !bytes.HasPrefix(entry, prefix) {
			r.Fatal("the buffer's beginning has changed")
		}
		got, err := parseEvents(entry[len(prefix):])
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(events, got, cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("events (-written +read):\n%s", diff)
		}
	})
}

// TestCodecCut cuts an entry at every byte: it is the events before the cut,
// or an error, but never something else.
func TestCodecCut(t *testing.T) {
	t.Parallel()
	at := time.UnixMicro(1_700_000_000_000_000).UTC()
	event := func(id string) *convoy.Event {
		return &convoy.Event{
			ID: convoy.EventID(id), ProjectID: "P", Type: "a.b", Endpoints: []convoy.EndpointID{"E1", "E2"},
			Headers: map[string][]string{"X-A": {"1", "2"}}, Data: []byte(`{"a":1}`), AcknowledgedAt: at,
		}
	}
	first := len(appendEvents(nil, []*convoy.Event{event("1")}))
	entry := appendEvents(nil, []*convoy.Event{event("1"), event("2")})
	for n := range entry {
		got, err := parseEvents(entry[:n])
		switch {
		case n == 1 && (err != nil || len(got) != 0):
			t.Errorf("cut after the version: %d events, %v", len(got), err)
		case n == first && (err != nil || len(got) != 1 || got[0].ID != "1"):
			t.Errorf("cut after the first event: %d events, %v", len(got), err)
		case n != 1 && n != first && err == nil:
			t.Errorf("cut at %d of %d: %d events and no error", n, len(entry), len(got))
		}
	}
	if _, err := parseEvents(append([]byte{codecVersion + 1}, entry[1:]...)); err == nil || !strings.Contains(err.Error(), "version 4") {
		t.Errorf("an entry of another version: %v", err)
	}
}

// TestCodecOlder reads what the releases before wrote: no kind, owner and
// target, and no schema error.
func TestCodecOlder(t *testing.T) {
	t.Parallel()
	entry := []byte("\x01\x01I\x01P\x01t\x01S\x01\x01E\x00\x02{}\x01k\x01q\x01p\x02")
	got, err := parseEvents(entry)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	at := time.UnixMicro(1).UTC()
	want := &convoy.Event{
		ID: "I", ProjectID: "P", Type: "t", SourceID: "S", Endpoints: []convoy.EndpointID{"E"}, Data: []byte("{}"),
		IdempotencyKey: "k", URLQuery: "q", URLPath: "p", Status: convoy.EventPending, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
	second := []byte("\x02\x01I\x01P\x01t\x01S\x00\x01o\x01u\x01\x01E\x00\x02{}\x01k\x01q\x01p\x02")
	if got, err = parseEvents(second); err != nil || len(got) != 1 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	want.OwnerID, want.TargetURL = "o", "u"
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
}

// TestCodecBoundsMemory reads entries that claim to be longer than they are.
// It does not run beside others, because it measures what is allocated.
func TestCodecBoundsMemory(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x07} // 2^31-1 as a varint
	for name, entry := range map[string][]byte{
		"id":      append([]byte{codecVersion}, huge...),
		"list":    append([]byte{codecVersion, 0, 0, 0, 0, 0, 0, 0}, huge...),
		"headers": append([]byte{codecVersion, 0, 0, 0, 0, 0, 0, 0, 0}, huge...),
		"values":  append([]byte{codecVersion, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, huge...),
	} {
		var err error
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			_, err = parseEvents(entry)
		}
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		allocated := (after.TotalAlloc - before.TotalAlloc) / 100
		if allocated > 64<<10 {
			t.Errorf("%s: %d bytes for an entry of %d", name, allocated, len(entry))
		}
	}
}

func FuzzParseEvents(f *testing.F) {
	at := time.UnixMicro(1_700_000_000_000_000)
	f.Add([]byte{})
	f.Add([]byte{codecVersion})
	f.Add(appendEvents(nil, []*convoy.Event{{ID: "1", Data: []byte("{}"), AcknowledgedAt: at}}))
	f.Add(appendEvents(nil, []*convoy.Event{
		{ID: "1", Endpoints: []convoy.EndpointID{"E"}, Headers: map[string][]string{"A": {"1"}, "B": nil}, AcknowledgedAt: at}, {ID: "2"},
	}))
	f.Fuzz(func(t *testing.T, entry []byte) {
		events, err := parseEvents(entry)
		if err != nil {
			if events != nil {
				t.Error("events beside an error")
			}
			return
		}
		again, err := parseEvents(appendEvents(nil, events))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if diff := cmp.Diff(events, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("written again (-first +second):\n%s", diff)
		}
	})
}
