package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"convoy"
)

func (f *Fixture) eventType(p *convoy.Project) *convoy.EventType {
	return &convoy.EventType{
		ID: convoy.EventTypeID(f.ID(f.Now)), ProjectID: p.ID, Name: fmt.Sprintf("type.%d", f.next()), Description: "a description",
		Category: "billing", JSONSchema: `{"type":"object"}`, CreatedAt: f.Now, UpdatedAt: f.Now,
	}
}

func anyType(p *convoy.Project) *convoy.EventType {
	return &convoy.EventType{ID: convoy.EventTypeID(p.ID), ProjectID: p.ID, Name: "*", CreatedAt: p.CreatedAt, UpdatedAt: p.CreatedAt}
}

func eventTypes(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	list := func(p *convoy.Project, want ...*convoy.EventType) {
		t.Helper()
		got, err := f.S.EventTypes(ctx, p.ID)
		ok(t, err)
		same(t, got, want)
	}
	list(p, anyType(p))

	a, b := f.eventType(p), f.eventType(p)
	b.JSONSchema = ""
	ok(t, f.S.CreateEventType(ctx, a))
	ok(t, f.S.CreateEventType(ctx, b))
	again := f.eventType(p)
	again.Name = a.Name
	refused(t, f.S.CreateEventType(ctx, again), convoy.Conflict, "an event type with this name already exists")
	again.ProjectID = other.ID
	ok(t, f.S.CreateEventType(ctx, again))
	upper := f.eventType(p)
	upper.Name = "TYPE" + a.Name[len("type"):]
	ok(t, f.S.CreateEventType(ctx, upper))
	list(p, upper, b, a, anyType(p))
	list(other, again, anyType(other))

	got, err := f.S.EventType(ctx, p.ID, a.ID)
	ok(t, err)
	same(t, got, a)
	_, err = f.S.EventType(ctx, other.ID, a.ID)
	refused(t, err, convoy.NotFound, "event type not found")

	changed := *a
	changed.Name, changed.Description, changed.Category, changed.JSONSchema = "ignored", "", "c", `{}`
	changed.UpdatedAt = f.Now.Add(time.Second)
	ok(t, f.S.UpdateEventType(ctx, &changed))
	changed.Name = a.Name
	got, err = f.S.EventType(ctx, p.ID, a.ID)
	ok(t, err)
	same(t, got, changed)
	changed.ProjectID = other.ID
	refused(t, f.S.UpdateEventType(ctx, &changed), convoy.NotFound, "event type not found")

	at := f.Now.Add(time.Minute)
	got, err = f.S.DeprecateEventType(ctx, p.ID, b.ID, at)
	ok(t, err)
	b.DeprecatedAt, b.UpdatedAt = at, at
	same(t, got, b)
	got, err = f.S.DeprecateEventType(ctx, p.ID, b.ID, at.Add(time.Minute))
	ok(t, err)
	same(t, got, b)
	_, err = f.S.DeprecateEventType(ctx, other.ID, b.ID, at)
	refused(t, err, convoy.NotFound, "event type not found")

	noted, err := f.S.NotedEventTypes(ctx, other.ID)
	ok(t, err)
	same(t, noted, []*convoy.EventType{again})
	if noted, err = f.S.NotedEventTypes(ctx, p.ID); err != nil || len(noted) != 3 {
		t.Fatalf("%d noted types, %v, want those with a schema and the deprecated one", len(noted), err)
	}
}

func typeNames(t *testing.T, f *Fixture, p *convoy.Project) map[string]int {
	t.Helper()
	list, err := f.S.EventTypes(t.Context(), p.ID)
	ok(t, err)
	names := make(map[string]int)
	for _, e := range list {
		names[e.Name]++
	}
	return names
}

func ensureEventTypes(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	a := f.eventType(p)
	ok(t, f.S.CreateEventType(ctx, a))
	given := []string{"b", a.Name, "*", "b", "c.*"}
	unknown, err := f.S.UnknownEventTypes(ctx, p.ID, given)
	ok(t, err)
	same(t, unknown, []string{"b", "c.*"})
	ok(t, f.S.EnsureEventTypes(ctx, p.ID, given, f.Now))
	unknown, err = f.S.UnknownEventTypes(ctx, p.ID, given)
	ok(t, err)
	same(t, len(unknown), 0)
	ok(t, f.S.EnsureEventTypes(ctx, p.ID, []string{"b"}, f.Now))
	ok(t, f.S.EnsureEventTypes(ctx, p.ID, nil, f.Now))
	same(t, typeNames(t, f, p), map[string]int{"*": 1, a.Name: 1, "b": 1, "c.*": 1})
	got, err := f.S.EventType(ctx, p.ID, a.ID)
	ok(t, err)
	same(t, got, a)
}

// ensureEventTypesRace adds the same names from several sides.
func ensureEventTypesRace(t *testing.T, f *Fixture) {
	p := f.Project(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := f.S.EnsureEventTypes(t.Context(), p.ID, []string{"a", "b", "c"}, f.Now); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, typeNames(t, f, p), map[string]int{"*": 1, "a": 1, "b": 1, "c": 1})
}

func importEventTypes(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	known, kept := f.eventType(p), f.eventType(p)
	ok(t, f.S.CreateEventType(ctx, known))
	ok(t, f.S.CreateEventType(ctx, kept))
	added, update, nothing := f.eventType(p), f.eventType(p), f.eventType(p)
	update.Name, update.Description, update.JSONSchema, update.UpdatedAt = known.Name, "another", `{"a":1}`, f.Now.Add(time.Hour)
	nothing.Name, nothing.Description, nothing.Category, nothing.JSONSchema = kept.Name, "", "", ""
	ok(t, f.S.ImportEventTypes(ctx, p.ID, []*convoy.EventType{added, update, nothing}))

	known.Description, known.JSONSchema, known.UpdatedAt = "another", `{"a":1}`, f.Now.Add(time.Hour)
	same(t, update, known)
	same(t, nothing, kept)
	for _, want := range []*convoy.EventType{added, known, kept} {
		got, err := f.S.EventType(ctx, p.ID, want.ID)
		ok(t, err)
		same(t, got, want)
	}
	ok(t, f.S.ImportEventTypes(ctx, p.ID, nil))
}

// manyEventTypes fills catalogues.
func manyEventTypes(t *testing.T, f *Fixture) {
	ctx := t.Context()
	long := f.Project(t)
	big := f.eventType(long)
	big.JSONSchema = `{"x":"` + strings.Repeat("x", convoy.MaxEventTypeSchemas-100) + `"}`
	ok(t, f.S.CreateEventType(ctx, big))
	another := f.eventType(long)
	another.JSONSchema = `{"x":"` + strings.Repeat("x", 100) + `"}`
	const tooLong = "the schemas of a project's event types may have at most 8388608 characters together"
	refused(t, f.S.CreateEventType(ctx, another), convoy.Conflict, tooLong)
	refused(t, f.S.ImportEventTypes(ctx, long.ID, []*convoy.EventType{another}), convoy.Conflict, tooLong)
	refused(t, f.S.UpdateEventType(ctx, another), convoy.Conflict, tooLong)
	big.JSONSchema = ""
	ok(t, f.S.UpdateEventType(ctx, big))
	ok(t, f.S.CreateEventType(ctx, another))

	p := f.Project(t)
	names := make([]string, convoy.MaxEventTypes-1) // and *
	for i := range names {
		names[i] = fmt.Sprintf("many.%d", i)
	}
	ok(t, f.S.EnsureEventTypes(ctx, p.ID, names, f.Now))
	ok(t, f.S.EnsureEventTypes(ctx, p.ID, names[:10], f.Now))
	const full = "a project may have at most 5000 event types"
	refused(t, f.S.EnsureEventTypes(ctx, p.ID, []string{"one more"}, f.Now), convoy.Conflict, full)
	refused(t, f.S.CreateEventType(ctx, f.eventType(p)), convoy.Conflict, full)
	refused(t, f.S.ImportEventTypes(ctx, p.ID, []*convoy.EventType{f.eventType(p)}), convoy.Conflict, full)
	if n := len(typeNames(t, f, p)); n != convoy.MaxEventTypes {
		t.Fatalf("%d event types", n)
	}
}
