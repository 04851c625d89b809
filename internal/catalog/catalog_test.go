package catalog

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
	"convoy/internal/store/storetest"
	"convoy/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting is a store whose loads are counted, and which can be away.
type counting struct {
	*store.Store
	// loads are of projects or of what has changed of them, whole those of all.
	loads, whole, keys atomic.Int32
	down               atomic.Bool
	// reading, when set, is called before anything of a project is read.
	reading atomic.Pointer[func()]
}

var errDown = errors.New("store is down")

func (c *counting) SettingsChanges(ctx context.Context, id convoy.ProjectID, since store.SettingsRevision) (store.SettingsChanges, error) {
	c.loads.Add(1)
	if since == store.NewestSettings {
		c.whole.Add(1)
	}
	if fn := c.reading.Load(); fn != nil {
		(*fn)()
	}
	if c.down.Load() {
		return store.SettingsChanges{}, errDown
	}
	return c.Store.SettingsChanges(ctx, id, since)
}

func (c *counting) KeyByHash(ctx context.Context, hash [32]byte) (*convoy.APIKey, error) {
	c.keys.Add(1)
	if c.down.Load() {
		return nil, errDown
	}
	return c.Store.KeyByHash(ctx, hash)
}

func (c *counting) NoteKeysUsed(ctx context.Context, used map[convoy.KeyID]time.Time) error {
	if c.down.Load() {
		return errDown
	}
	return c.Store.NoteKeysUsed(ctx, used)
}

// clock is set by hand.
type clock struct{ us atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.us.Load()) }
func (c *clock) advance(d time.Duration) { c.us.Add(d.Microseconds()) }

// bundle is a store with a project, and a catalog of it.
type bundle struct {
	src     *counting
	clock   *clock
	project *convoy.Project
	*Catalog
}

func setup(t *testing.T) *bundle {
	t.Helper()
	ctx := t.Context()
	db, err := sqldb.OpenSQLite(ctx, sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Synchronous: "normal", Readers: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return setupOn(t, db)
}

func setupOn(t *testing.T, db sqldb.DB) *bundle {
	t.Helper()
	ctx := t.Context()
	if _, err := sqldb.Migrate(ctx, db); err != nil {
		t.Fatal(err)
	}
	b := &bundle{src: &counting{Store: storetest.New(t, db)}, clock: &clock{}}
	now := time.Now()
	b.clock.us.Store(now.UnixMicro())
	org := &convoy.Organisation{ID: convoy.OrganisationID(id.New(now)), Name: "Acme", CreatedAt: now, UpdatedAt: now}
	if err := b.src.CreateOrganisation(ctx, org); err != nil {
		t.Fatal(err)
	}
	b.project = &convoy.Project{
		ID: convoy.ProjectID(id.New(now)), OrganisationID: org.ID, Name: "Shop", Type: convoy.Outgoing,
		Config: convoy.DefaultProjectConfig(), CreatedAt: now, UpdatedAt: now,
	}
	if err := b.src.CreateProject(ctx, b.project); err != nil {
		t.Fatal(err)
	}
	b.Catalog = b.catalog(bus.NewMemory())
	return b
}

func (b *bundle) catalog(m messenger) *Catalog {
	return New(b.src, m, slog.New(slog.DiscardHandler), b.clock.now)
}

func (b *bundle) endpoint(t *testing.T) *convoy.Endpoint {
	t.Helper()
	now := time.Now()
	e := &convoy.Endpoint{
		ID: convoy.EndpointID(id.New(now)), ProjectID: b.project.ID, URL: "https://endpoint.example", Name: "one",
		Status: convoy.EndpointActive, Secrets: []convoy.Secret{{ID: "s", Value: "v"}}, CreatedAt: now, UpdatedAt: now,
	}
	if err := b.src.CreateEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return e
}

func (b *bundle) view(t *testing.T) *Project {
	t.Helper()
	v, err := b.Project(t.Context(), b.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (b *bundle) rename(t *testing.T, name string) {
	t.Helper()
	p := *b.project
	p.Name = name
	if err := b.src.UpdateProject(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
}

func TestReadsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.endpoint(t)
	now := time.Now()
	var subs []*convoy.Subscription
	for i := range 2 {
		sub := &convoy.Subscription{
			ID: convoy.SubscriptionID(id.New(now.Add(time.Duration(i) * time.Second))), ProjectID: b.project.ID, EndpointID: e.ID,
			Filters: []convoy.Filter{{ID: "f", EventType: "a.*", EnabledAt: now.Truncate(time.Microsecond).UTC()}}, Mode: convoy.AtLeastOnce, CreatedAt: now, UpdatedAt: now,
		}
		if err := b.src.CreateSubscription(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	first := b.view(t)
	for range 10 {
		if b.view(t) != first {
			t.Error("another version without a change")
		}
	}
	if n := b.src.loads.Load(); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
	if first.Settings().Name != "Shop" {
		t.Errorf("settings %+v", first.Settings())
	}
	if got, ok := first.Endpoint(e.ID); !ok || got.URL != e.URL {
		t.Errorf("endpoint %+v, %v", got, ok)
	}
	if _, ok := first.Endpoint("other"); ok {
		t.Error("an unknown endpoint is found")
	}
	got := first.Subscriptions(e.ID)
	if len(got) != 2 || got[0].ID != subs[0].ID || got[1].ID != subs[1].ID {
		t.Errorf("subscriptions %v, want both, oldest first", got)
	}
}

func TestReadsYourWrites(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view(t)
	for range 5 {
		e := b.endpoint(t)
		if err := b.Changed(t.Context(), b.project.ID); err != nil {
			t.Fatal(err)
		}
		if _, ok := b.view(t).Endpoint(e.ID); !ok {
			t.Fatal("a change is not seen by the process that made it")
		}
	}
}

// TestChangeDuringALoad makes a change after a load has begun: what that load
// read may be older, so it is not kept.
func TestChangeDuringALoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var once sync.Once
	change := func() {
		once.Do(func() {
			if err := b.Changed(t.Context(), b.project.ID); err != nil {
				t.Error(err)
			}
		})
	}
	b.src.reading.Store(&change)
	b.view(t)
	b.view(t)
	if n := b.src.loads.Load(); n != 2 {
		t.Errorf("%d loads, want a second one after the change", n)
	}
	b.view(t)
	if n := b.src.loads.Load(); n != 2 {
		t.Errorf("%d loads without a change", n)
	}
}

// TestTellsOtherProcesses shares a bus between two catalogs.
func TestTellsOtherProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := bus.NewMemory()
	one, two := b.catalog(m), b.catalog(m)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = m.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for _, c := range []*Catalog{one, two} {
		if _, err := c.Project(ctx, b.project.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.rename(t, "Store")
	if err := one.Changed(ctx, b.project.ID); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool {
		v, err := two.Project(ctx, b.project.ID)
		return err == nil && v.Settings().Name == "Store"
	})
	// Its own message must not cost the sender another load.
	if _, err := one.Project(ctx, b.project.ID); err != nil {
		t.Fatal(err)
	}
	loads := b.src.loads.Load()
	if _, err := one.Project(ctx, b.project.ID); err != nil || b.src.loads.Load() != loads {
		t.Errorf("%d loads after %d, %v", b.src.loads.Load(), loads, err)
	}
}

// direct is a bus without goroutines.
type direct struct {
	mu  sync.Mutex
	fns map[string][]func(string)
}

func (d *direct) Publish(_ context.Context, topic, msg string) error {
	d.mu.Lock()
	fns := d.fns[topic]
	d.mu.Unlock()
	for _, fn := range fns {
		fn(msg)
	}
	return nil
}

func (d *direct) Subscribe(topic string, fn func(string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fns == nil {
		d.fns = map[string][]func(string){}
	}
	d.fns[topic] = append(d.fns[topic], fn)
}

func TestMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := &direct{}
	b.Catalog = b.catalog(m)
	loads := func(want int32, when string) {
		t.Helper()
		b.view(t)
		if n := b.src.loads.Load(); n != want {
			t.Errorf("%s: %d loads, want %d", when, n, want)
		}
	}
	send := func(msg string) {
		if err := m.Publish(t.Context(), topicProject, msg); err != nil {
			t.Fatal(err)
		}
	}
	loads(1, "at first")
	send("other " + string(b.project.ID))
	loads(2, "after a message of another process")
	send(b.self + " " + string(b.project.ID))
	loads(2, "after its own")
	send("other " + id.New(time.Now()))
	loads(2, "after one about another project")
	send("nonsense")
	loads(2, "after nonsense")
	send("")
	loads(3, "after a gap")
	loads(3, "later")
}

func TestLostMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view(t)
	b.rename(t, "Store") // nobody is told
	b.clock.advance(checkAfter)
	if name := b.view(t).Settings().Name; name != "Shop" {
		t.Errorf("name %q before the store is asked", name)
	}
	b.clock.advance(time.Millisecond)
	view := b.view(t)
	if name := view.Settings().Name; name != "Store" {
		t.Errorf("name %q, want what is stored", name)
	}
	b.clock.advance(checkAfter + time.Millisecond)
	if b.view(t) != view {
		t.Error("another version without a change")
	}
	if n := b.src.whole.Load(); n != 1 {
		t.Errorf("read whole %d times, want once", n)
	}
	b.clock.advance(wholeAfter)
	if b.view(t); b.src.whole.Load() != 2 {
		t.Errorf("read whole %d times by now, want twice", b.src.whole.Load())
	}
}

// TestOldIsServedDuringTheLoad has one caller reload what is old; the others
// do not wait for it.
func TestOldIsServedDuringTheLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.view(t)
	b.clock.advance(checkAfter + time.Second)
	begun, release := make(chan struct{}), make(chan struct{})
	hold := func() { close(begun); <-release }
	b.src.reading.Store(&hold)
	var wg sync.WaitGroup
	wg.Go(func() { b.view(t) })
	<-begun
	for range 10 {
		if b.view(t) != first {
			t.Error("another version while the load goes on")
		}
	}
	close(release)
	wg.Wait()
	if n := b.src.loads.Load(); n != 2 {
		t.Errorf("%d loads, want 2", n)
	}
}

func TestStoreDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.view(t)
	b.src.down.Store(true)
	b.clock.advance(checkAfter + time.Second)
	if b.view(t) != first {
		t.Error("old: not the last version")
	}
	if err := b.Changed(t.Context(), b.project.ID); err != nil {
		t.Fatal(err)
	}
	if b.view(t) != first {
		t.Error("changed: not the last version")
	}
	loads := b.src.loads.Load()
	for range 100 {
		b.view(t)
	}
	if n := b.src.loads.Load() - loads; n != 0 {
		t.Errorf("%d more loads right after one failed", n)
	}
	// Another process without a version of its own cannot say.
	other := b.catalog(bus.NewMemory())
	if _, err := other.Project(t.Context(), b.project.ID); convoy.KindOf(err) != convoy.Unavailable || !errors.Is(err, errDown) {
		t.Errorf("without a version: %v, want unavailable", err)
	}
	b.src.down.Store(false)
	b.rename(t, "Store")
	if err := b.Changed(t.Context(), b.project.ID); err != nil {
		t.Fatal(err)
	}
	if name := b.view(t).Settings().Name; name != "Store" {
		t.Errorf("name %q after the store is back and a change was made", name)
	}
	if _, err := other.Project(t.Context(), b.project.ID); convoy.KindOf(err) != convoy.Unavailable {
		t.Errorf("within the pause: %v", err)
	}
	b.clock.advance(failPause)
	if v, err := other.Project(t.Context(), b.project.ID); err != nil || v.Settings().Name != "Store" {
		t.Errorf("after the pause: %v, %v", v, err)
	}
}

func TestOneLoadForAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, down := range map[string]bool{"store up": false, "store down": true} {
		c := b.catalog(bus.NewMemory())
		b.src.down.Store(down)
		b.src.loads.Store(0)
		release := make(chan struct{})
		hold := func() { <-release }
		b.src.reading.Store(&hold)
		var arrived atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				arrived.Add(1)
				v, err := c.Project(t.Context(), b.project.ID)
				if (err != nil) != down || (v == nil) != down {
					t.Errorf("%s: %v, %v", name, v, err)
				}
			})
		}
		testenv.Eventually(t, 10*time.Second, func() bool { return arrived.Load() == 100 && b.src.loads.Load() > 0 })
		close(release)
		wg.Wait()
		if n := b.src.loads.Load(); n != 1 {
			t.Errorf("%s: %d loads for 100 callers, want 1", name, n)
		}
	}
}

func TestUnknownProject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 {
		if _, err := b.Project(t.Context(), convoy.ProjectID(id.New(time.Now()))); !convoy.IsNotFound(err) {
			t.Errorf("unknown: %v", err)
		}
	}
	loads := b.src.loads.Load()
	for _, p := range []convoy.ProjectID{"", "nonsense", "../../etc"} {
		if _, err := b.Project(t.Context(), p); !convoy.IsNotFound(err) {
			t.Errorf("%q: %v", p, err)
		}
	}
	if n := b.src.loads.Load(); n != loads {
		t.Error("the store was asked for what cannot be an id")
	}
	if len(b.projects) != 0 {
		t.Errorf("%d unknown projects are kept", len(b.projects))
	}
	b.view(t)
	if err := b.src.DeleteProject(t.Context(), b.project.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := b.Changed(t.Context(), b.project.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Project(t.Context(), b.project.ID); !convoy.IsNotFound(err) {
		t.Errorf("deleted: %v", err)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view(t)
	e := b.endpoint(t) // by another process
	if _, ok := b.view(t).Endpoint(e.ID); ok {
		t.Fatal("seen without a reload")
	}
	v, err := b.Reload(t.Context(), b.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Endpoint(e.ID); !ok {
		t.Error("not seen after a reload")
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.src.down.Store(true) // nothing needs to be there
	for range maxProjects + 100 {
		_, err := b.Project(t.Context(), convoy.ProjectID(id.New(time.Now())))
		if convoy.KindOf(err) != convoy.Unavailable {
			t.Fatal(err)
		}
	}
	if n := len(b.projects); n > maxProjects {
		t.Errorf("%d projects are kept, the bound is %d", n, maxProjects)
	}
	b.src.down.Store(false)
	m := map[int]int{}
	for i := range 100 {
		evict(m, 7)
		m[i] = i
		if len(m) > 7 {
			t.Fatalf("%d entries, the bound is 7", len(m))
		}
	}
	if m[99] != 99 {
		t.Error("the newest was evicted")
	}
}

// TestIndexes looks everything up by what routing knows of an event.
func TestIndexes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	endpoint := func(id convoy.EndpointID, owner, url string) *convoy.Endpoint {
		return &convoy.Endpoint{ID: id, OwnerID: owner, URL: url}
	}
	sub := func(id convoy.SubscriptionID, e convoy.EndpointID, source convoy.SourceID, types ...string) *Subscription {
		s := &convoy.Subscription{ID: id, EndpointID: e, SourceID: source}
		for _, et := range types {
			s.Filters = append(s.Filters, convoy.Filter{EventType: et, EnabledAt: now})
		}
		return &Subscription{Subscription: s}
	}
	off := sub("S6", "A", "", "paid")
	off.Filters[0].EnabledAt = time.Time{}
	p := newProject(1, &convoy.Project{}, rows{
		endpoints: []*convoy.Endpoint{endpoint("B", "acme", "u"), endpoint("A", "acme", "u"), endpoint("C", "", "v")},
		subscriptions: []*Subscription{
			sub("S1", "B", "", "paid"), sub("S2", "A", "", "paid", "paid.*"), sub("S3", "A", "", "*"),
			sub("S4", "C", "X", "paid"), sub("S5", "A", "X", "*"), off,
		},
	})
	ids := func(list []*Subscription) (out string) {
		for _, s := range list {
			out += string(s.ID) + " "
		}
		return out
	}
	exact, patterns := p.SubscriptionsFor("paid")
	for what, got := range map[string][2]string{
		"exact": {ids(exact.All()), "S2 S1 "}, "patterns": {ids(patterns.All()), "S2 S3 "}, "of the source": {ids(p.SubscriptionsTo("X").All()), "S5 S4 "},
		"of A": {ids(p.Subscriptions("A")), "S2 S3 S5 S6 "}, "of no source": {ids(p.SubscriptionsTo("Y").All()), ""},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s, want %s", what, got[0], got[1])
		}
	}
	if e, ok := p.EndpointByURL("u"); !ok || e.ID != "A" {
		t.Errorf("by url: %+v", e)
	}
	if _, ok := p.EndpointByURL("w"); ok {
		t.Error("an endpoint has an unknown url")
	}
	if list := p.EndpointsOf("acme"); len(list) != 2 || list[0].ID != "A" || len(p.EndpointsOf("")) != 0 {
		t.Errorf("of the owner: %v", list)
	}
}
