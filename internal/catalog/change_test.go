package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/testenv"
)

// TestChangesAreAWholeLoad makes random changes, of which the catalog reads only
// what has changed: it then has what a catalog has that reads everything.
func TestChangesAreAWholeLoad(t *testing.T) {
	t.Parallel()
	for engine, open := range map[string]func(t *testing.T) *bundle{
		"sqlite": setup,
		"postgres": func(t *testing.T) *bundle {
			db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()), sqldb.PostgresConfig{
				URL: testenv.PostgresDSN(t), MaxOpen: 4, MaxLifetime: time.Hour,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(db.Close)
			return setupOn(t, db)
		},
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			rapid.Check(t, func(rt *rapid.T) {
				h := &history{bundle: b, ctx: t.Context()}
				h.begin(rt)
				before := h.sees(rt, h.Catalog)
				kept := dump(before)
				for range rapid.IntRange(1, 8).Draw(rt, "steps") {
					for range rapid.IntRange(1, 4).Draw(rt, "changes") {
						h.change(rt)
					}
					if rapid.Bool().Draw(rt, "lost message") {
						b.clock.advance(checkAfter + time.Millisecond)
					} else if err := h.Changed(h.ctx, h.project.ID); err != nil {
						rt.Fatal(err)
					}
					after := h.sees(rt, h.Catalog)
					fresh := b.catalog(bus.NewMemory())
					got, want := dump(after), dump(h.sees(rt, fresh))
					for _, what := range slices.Sorted(maps.Keys(want)) {
						if got[what] != want[what] {
							rt.Fatalf("%s:\n%s\nwant\n%s", what, got[what], want[what])
						}
					}
					if len(got) != len(want) {
						rt.Fatalf("%d answers, want %d", len(got), len(want))
					}
					if now := dump(before); !maps.Equal(now, kept) {
						rt.Fatal("an older version has changed")
					}
					before, kept = after, got
				}
			})
		})
	}
}

// history makes changes to a project of its own.
type history struct {
	*bundle
	ctx           context.Context //nolint:containedctx // of one test
	project       *convoy.Project
	endpoints     []convoy.EndpointID
	subscriptions []convoy.SubscriptionID
	sources       []convoy.SourceID
	types         []convoy.EventTypeID
}

func (h *history) begin(rt *rapid.T) {
	p := *h.bundle.project
	p.ID = convoy.ProjectID(id.New(time.Now()))
	p.Name = string(p.ID)
	h.project = &p
	if err := h.src.CreateProject(h.ctx, h.project); err != nil {
		rt.Fatal(err)
	}
	if rapid.IntRange(0, 3).Draw(rt, "large") > 0 {
		return
	}
	// Enough for indexes of filters.
	var (
		endpoints []*convoy.Endpoint
		subs      []*convoy.Subscription
	)
	for range 4 * indexFrom {
		e := h.newEndpoint(rt)
		s := h.newSubscription(rt, e.ID)
		endpoints, subs = append(endpoints, e), append(subs, s)
		h.endpoints, h.subscriptions = append(h.endpoints, e.ID), append(h.subscriptions, s.ID)
	}
	if err := h.src.CreateSubscribed(h.ctx, endpoints, subs); err != nil {
		rt.Fatal(err)
	}
}

func (h *history) sees(rt *rapid.T, c *Catalog) *Project {
	v, err := c.Project(h.ctx, h.project.ID)
	if err != nil {
		rt.Fatal(err)
	}
	return v
}

var (
	someOwners = []string{"", "ann", "bob"}
	someURLs   = []string{
		"https://a.example/x", "https://b.example/y", "https://a.example/{id}", "https://a.example/{id}/hook", "https://a.example/eu-{id}", "https://a.example/{",
	}
	someTypes   = []string{"*", "paid", "paid.*", "sent", "a.b"}
	someBodies  = []string{``, `{"a":1}`, `{"a":2}`, `{"a":{"$in":[1,2]},"b":1}`, `{"a":2,"b":1}`, `{"$or":[{"a":1},{"b":1}]}`, `{"a":{"$what":1}}`}
	someSchemas = []string{"", `{"type": "object", "required": ["n"]}`, `{"type": "array"}`}
)

func pick[T any](rt *rapid.T, name string, list []T) T { return rapid.SampledFrom(list).Draw(rt, name) }

// change makes one change that the store allows; what it refuses is none.
func (h *history) change(rt *rapid.T) {
	kinds := []func(*rapid.T) error{h.writeEndpoint, h.writeSubscription, h.writeSource, h.writeEventType, h.writeOther}
	if err := pick(rt, "kind", kinds)(rt); err != nil && convoy.KindOf(err) == convoy.Internal {
		rt.Fatal(err)
	}
}

func (h *history) newEndpoint(rt *rapid.T) *convoy.Endpoint {
	now := time.Now()
	return &convoy.Endpoint{
		ID: convoy.EndpointID(id.New(now)), ProjectID: h.project.ID, Name: fmt.Sprint("endpoint ", rapid.Uint8().Draw(rt, "name")),
		URL: pick(rt, "url", someURLs), OwnerID: pick(rt, "owner", someOwners), Status: convoy.EndpointActive, CreatedAt: now, UpdatedAt: now,
	}
}

func (h *history) writeEndpoint(rt *rapid.T) error {
	e := h.newEndpoint(rt)
	if len(h.endpoints) > 0 {
		had := pick(rt, "endpoint", h.endpoints)
		switch pick(rt, "what", []string{"create", "update", "pause", "delete", "dynamic"}) {
		case "update":
			e.ID = had
			return h.src.UpdateEndpoint(h.ctx, e)
		case "pause":
			_, err := h.src.SetEndpointStatus(h.ctx, e.ProjectID, had, pick(rt, "status", []convoy.EndpointStatus{convoy.EndpointActive, convoy.EndpointPaused}), time.Now())
			return err
		case "delete":
			return h.src.DeleteEndpoint(h.ctx, e.ProjectID, had, time.Now())
		case "dynamic":
			e, err := h.src.EnsureDynamic(h.ctx, store.Dynamic{Endpoint: e, Types: h.drawTypes(rt), Now: time.Now()})
			if err == nil {
				h.endpoints = append(h.endpoints, e.ID)
			}
			return err
		}
	}
	h.endpoints = append(h.endpoints, e.ID)
	if rapid.Bool().Draw(rt, "subscribed") {
		s := h.newSubscription(rt, e.ID)
		h.subscriptions = append(h.subscriptions, s.ID)
		return h.src.CreateSubscribed(h.ctx, []*convoy.Endpoint{e}, []*convoy.Subscription{s})
	}
	return h.src.CreateEndpoint(h.ctx, e)
}

func (h *history) drawTypes(rt *rapid.T) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(someTypes), 1, 3, rapid.ID).Draw(rt, "types")
}

func (h *history) newSubscription(rt *rapid.T, e convoy.EndpointID) *convoy.Subscription {
	now := time.Now()
	s := &convoy.Subscription{
		ID: convoy.SubscriptionID(id.New(now)), ProjectID: h.project.ID, EndpointID: e, Mode: convoy.AtLeastOnce, CreatedAt: now, UpdatedAt: now,
	}
	if len(h.sources) > 0 && rapid.Bool().Draw(rt, "to a source") {
		s.SourceID = pick(rt, "source", h.sources)
	}
	s.Filters = filter.ForTypes(s.ID, h.drawTypes(rt), nil, now)
	if rapid.IntRange(0, 3).Draw(rt, "off") == 3 {
		s.Filters[0].EnabledAt = time.Time{}
	}
	for i := range s.Filters {
		s.Filters[i].Body = json.RawMessage(pick(rt, "body", someBodies))
	}
	return s
}

func (h *history) writeSubscription(rt *rapid.T) error {
	if len(h.endpoints) == 0 {
		return nil
	}
	s := h.newSubscription(rt, pick(rt, "endpoint", h.endpoints))
	if len(h.subscriptions) > 0 {
		had := pick(rt, "subscription", h.subscriptions)
		switch pick(rt, "what", []string{"create", "update", "change", "delete"}) {
		case "update":
			s.ID = had
			return h.src.UpdateSubscription(h.ctx, s)
		case "change":
			_, err := h.src.ChangeSubscription(h.ctx, store.SubscriptionChange{
				Project: h.project.ID, Subscription: had, Shared: true,
				Edit: func(is *convoy.Subscription) error { is.EndpointID, is.Name = s.EndpointID, "moved"; return nil },
			})
			return err
		case "delete":
			return h.src.DeleteSubscription(h.ctx, h.project.ID, had, time.Now())
		}
	}
	h.subscriptions = append(h.subscriptions, s.ID)
	return h.src.CreateSubscription(h.ctx, s)
}

func (h *history) writeSource(rt *rapid.T) error {
	now := time.Now()
	s := &convoy.Source{
		ID: convoy.SourceID(id.New(now)), ProjectID: h.project.ID, MaskID: id.New(now), Name: fmt.Sprint("source ", rapid.Uint8().Draw(rt, "name")),
		Type: convoy.SourceHTTP, Verifier: convoy.Verifier{Type: convoy.VerifierNone}, CreatedAt: now, UpdatedAt: now,
	}
	if len(h.sources) > 0 {
		had := pick(rt, "source", h.sources)
		switch pick(rt, "what", []string{"create", "update", "verify", "delete"}) {
		case "update":
			s.ID = had
			return h.src.UpdateSource(h.ctx, s)
		case "verify":
			return h.src.MarkSourceVerified(h.ctx, h.project.ID, had, now)
		case "delete":
			return h.src.DeleteSource(h.ctx, h.project.ID, had, now)
		}
	}
	h.sources = append(h.sources, s.ID)
	return h.src.CreateSource(h.ctx, s)
}

func (h *history) writeEventType(rt *rapid.T) error {
	now := time.Now()
	et := &convoy.EventType{
		ID: convoy.EventTypeID(id.New(now)), ProjectID: h.project.ID, Name: pick(rt, "name", someTypes), JSONSchema: pick(rt, "schema", someSchemas),
		CreatedAt: now, UpdatedAt: now,
	}
	if len(h.types) > 0 {
		had := pick(rt, "event type", h.types)
		switch pick(rt, "what", []string{"create", "update", "deprecate", "import", "ensure"}) {
		case "update":
			et.ID = had
			return h.src.UpdateEventType(h.ctx, et)
		case "deprecate":
			_, err := h.src.DeprecateEventType(h.ctx, h.project.ID, had, now)
			return err
		case "import":
			return h.src.ImportEventTypes(h.ctx, h.project.ID, []*convoy.EventType{et})
		case "ensure":
			return h.src.EnsureEventTypes(h.ctx, h.project.ID, someTypes, now)
		}
	}
	if err := h.src.CreateEventType(h.ctx, et); err != nil {
		return err
	}
	h.types = append(h.types, et.ID)
	return nil
}

func (h *history) writeOther(rt *rapid.T) error {
	switch pick(rt, "what", []string{"project", "link"}) {
	case "project":
		h.project.Config.EventTypeValidation = pick(rt, "validation", []convoy.EventTypeValidation{convoy.ValidationReject, convoy.ValidationOff})
		return h.src.UpdateProject(h.ctx, h.project)
	case "link":
		if len(h.endpoints) == 0 {
			return nil
		}
		now := time.Now()
		return h.src.CreatePortalLink(h.ctx, &convoy.PortalLink{
			ID: convoy.PortalLinkID(id.New(now)), ProjectID: h.project.ID, OwnerID: "ann", Auth: convoy.PortalStatic, Token: id.New(now),
			Endpoints: []convoy.EndpointID{pick(rt, "endpoint", h.endpoints)}, CreatedAt: now, UpdatedAt: now,
		})
	}
	return nil
}

// TestMoreThanIsRemembered makes more changes than the store remembers.
func TestMoreThanIsRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view(t)
	now := time.Now()
	endpoints := make([]*convoy.Endpoint, 501)
	subs := make([]*convoy.Subscription, len(endpoints))
	for i := range endpoints {
		endpoints[i] = &convoy.Endpoint{ID: convoy.EndpointID(id.New(now)), ProjectID: b.project.ID, URL: "https://a.example/x", Status: convoy.EndpointActive}
		subs[i] = &convoy.Subscription{ID: convoy.SubscriptionID(id.New(now)), ProjectID: b.project.ID, EndpointID: endpoints[i].ID, Mode: convoy.AtLeastOnce}
		subs[i].Filters = filter.ForTypes(subs[i].ID, []string{"*"}, nil, now)
	}
	if err := b.src.CreateSubscribed(t.Context(), endpoints, subs); err != nil {
		t.Fatal(err)
	}
	if err := b.Changed(t.Context(), b.project.ID); err != nil {
		t.Fatal(err)
	}
	if _, patterns := b.view(t).SubscriptionsFor("a"); len(patterns.All()) != len(subs) {
		t.Errorf("%d subscriptions, want %d", len(patterns.All()), len(subs))
	}
	if n := b.src.whole.Load(); n != 2 {
		t.Errorf("read whole %d times, want twice", n)
	}
}

// dump says in words what a version answers, by question.
func dump(p *Project) map[string]string {
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	of := func(list []*Subscription) string {
		var out []any
		for _, s := range list {
			if is, ok := p.subscriptions.get(s.ID); !ok || is != s {
				return "a list has another version of subscription " + string(s.ID)
			}
			programs := make([]bool, len(s.programs))
			for i := range s.programs {
				programs[i] = s.programs[i] != nil
			}
			out = append(out, s.Subscription, programs, s.Broken != nil)
		}
		return text(out)
	}
	lists := func(l List, types ...string) string {
		answer := of(l.all)
		for _, data := range []string{`{}`, `{"a":1}`, `{"a":2,"b":1}`, `{"a":[1,2]}`} {
			answer += "\n" + data + of(taken(l, data, types...))
		}
		return answer
	}
	out := map[string]string{"settings": text(p.Settings()), "patterns": lists(p.patterns, "paid.late", "other")}
	p.endpoints.each(func(id convoy.EndpointID, e *convoy.Endpoint) { out["endpoint "+string(id)] = text(e) })
	p.byOwner.each(func(owner string, list []*convoy.Endpoint) { out["owner "+owner] = text(list) })
	p.byURL.each(func(url string, list []*convoy.Endpoint) { out["url "+url] = text(list) })
	p.subscriptions.each(func(id convoy.SubscriptionID, s *Subscription) {
		out["subscription "+string(id)] = of([]*Subscription{s})
	})
	p.byEndpoint.each(func(id convoy.EndpointID, list []*Subscription) { out["of endpoint "+string(id)] = of(list) })
	p.bySource.each(func(id convoy.SourceID, list List) {
		out["to source "+string(id)] = lists(list, "paid", "paid.late", "sent", "a.b", "other")
	})
	p.exact.each(func(name string, list List) { out["exact "+name] = lists(list, name) })
	p.sources.each(func(id convoy.SourceID, s *convoy.Source) { out["source "+string(id)] = text(s) })
	p.byMask.each(func(mask string, s *convoy.Source) { out["mask "+mask] = text(s) })
	out["templates"] = fmt.Sprint(p.templates.Len())
	for _, url := range []string{"https://a.example/1", "https://a.example/1/hook", "https://a.example/eu-1"} {
		e, _ := p.EndpointByTemplate(url)
		out["template for "+url] = text(e)
	}
	for name, et := range p.eventTypes {
		out["event type "+name] = text([]any{et.id, et.deprecated, et.schema != nil})
		for _, data := range []string{`{}`, `[]`} {
			out["event type "+name+" of "+data] = fmt.Sprint(p.CheckData(&convoy.Event{Type: name, Data: []byte(data)}))
		}
	}
	return out
}
