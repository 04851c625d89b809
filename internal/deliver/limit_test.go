package deliver

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/limit"
	"convoy/internal/store"
	"convoy/internal/testenv"
)

// clocked is an endpoint that notes when it is called.
type clocked struct {
	*sink
	mu sync.Mutex
	at []time.Time
}

func newClocked(t *testing.T) *clocked {
	t.Helper()
	c := &clocked{}
	c.sink = newSink(t, func(http.ResponseWriter, *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.at = append(c.at, time.Now())
	})
	return c
}

// times are those of the calls until now, in order.
func (c *clocked) times() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.Clone(c.at)
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// most is the largest number of times within any stretch of d.
func most(at []time.Time, d time.Duration) int {
	best, from := 0, 0
	for to := range at {
		for at[to].Sub(at[from]) >= d {
			from++
		}
		best = max(best, to-from+1)
	}
	return best
}

// limitedTo makes an endpoint with a limit.
func (p *place) limitedTo(t *testing.T, url string, count int, period time.Duration) *convoy.Endpoint {
	t.Helper()
	e := p.endpoint(t, url)
	e.RateLimit, e.RateLimitDuration = count, period
	if err := p.store.UpdateEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	p.changed(t)
	return e
}

// lines does what the scheduler does with the lines of limits, until the test
// ends.
func (p *place) lines(t *testing.T, l Line) {
	t.Helper()
	if l.Store == nil {
		l.Store = p.store
	}
	l.Projects, l.Limiter = p.catalog, p.limiter
	if !p.queueIsStore {
		l.Claim = time.Minute
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			items, err := l.Release(ctx, time.Now())
			if err == nil && len(items) > 0 {
				err = p.queue.Push(ctx, items)
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// delivered checks that rate limits cost no tries.
func delivered(t *testing.T, p *place, jobs []convoy.Job) {
	t.Helper()
	for _, d := range p.ended(t, jobs) {
		if d.Status != convoy.DeliverySuccess || d.Trials != 1 || d.Description != "" || !d.PermitAt.IsZero() || d.HeldBy != "" {
			t.Errorf("delivery %+v", d)
		}
		if n := len(p.attempts(t, d.ID)); n != 1 {
			t.Errorf("%d attempts of delivery %s", n, d.ID)
		}
	}
}

// TestRateLimit sends more than a limit lets through before the line begins.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		sink := newClocked(t)
		e := p.limitedTo(t, sink.URL, 10, time.Second)
		d := start(t, p.config(t))
		taken, pulled := p.routed(t, e, 15, at(3)), p.routed(t, e, 15, at(3))
		d.Take(t.Context(), taken)
		p.push(t, pulled)
		delivered(t, p, slices.Concat(taken, pulled))
		times := sink.times()
		if len(times) != 30 {
			t.Fatalf("%d requests", len(times))
		}
		// One at once and one each 100 ms; on a busy machine a late one is close to the next.
		if n := most(times, time.Second); n > 20 {
			t.Errorf("%d requests within a second", n)
		}
		if took := times[29].Sub(times[0]); took < 2*time.Second || took > 20*time.Second {
			t.Errorf("30 requests took %v", took)
		}
	})
}

var minute = flag.Bool("minute", false, "measure the accuracy of rate limits for a minute")

// TestRateLimitOfFourProcesses keeps 600 a minute with a long line.
func TestRateLimitOfFourProcesses(t *testing.T) {
	t.Parallel()
	measure := 10 * time.Second
	if *minute {
		measure = time.Minute
	}
	const perSecond = 10
	for _, name := range []string{"postgres and redis", "postgres and no more"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := engines[name](t)
			sink := newClocked(t)
			e := p.limitedTo(t, sink.URL, 60*perSecond, time.Minute)
			jobs := p.routed(t, e, perSecond*int(measure/time.Second)+200, at(3))
			p.lines(t, Line{})
			processes := make([]*running, 4)
			for i := range processes {
				cfg := p.config(t)
				cfg.Queue, cfg.Projects, cfg.Limiter = p.another(), p.newCatalog(), p.anotherLimiter()
				processes[i] = start(t, cfg)
			}
			for i := 0; i < len(jobs); i += 10 {
				processes[(i/10)%4].Take(t.Context(), jobs[i:min(i+10, len(jobs))])
			}
			enough := perSecond*int(measure/time.Second) + 40
			testenv.Eventually(t, measure+patience, func() bool { return len(sink.times()) >= enough })
			times := sink.times()
			from := times[0].Add(time.Second) // the burst is over
			n := 0
			for _, x := range times {
				if !x.Before(from) && x.Before(from.Add(measure)) {
					n++
				}
			}
			want := perSecond * int(measure/time.Second)
			t.Logf("%d requests within %v at 600 a minute; at most %d within any second", n, measure, most(times, time.Second))
			if n < want*95/100 || n > want*105/100 {
				t.Errorf("%d requests within %v, want %d", n, measure, want)
			}
			if *minute {
				if n := most(times, time.Minute); n > 630 {
					t.Errorf("%d requests within a minute", n)
				}
			}
		})
	}
}

// TestRateLimitsTogether has a subscription, an endpoint and a project with
// limits, each the tightest for somebody.
func TestRateLimitsTogether(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		p.settings(t, func(c *convoy.ProjectConfig) { c.RateLimit = convoy.RateLimitConfig{Count: 20, Duration: 1} })
		sink := newClocked(t)
		free, tight := p.endpoint(t, sink.URL+"/free"), p.limitedTo(t, sink.URL+"/tight", 10, time.Second)
		now := time.Now()
		sub := &convoy.Subscription{
			ID: convoy.SubscriptionID(id.New(now)), ProjectID: p.project.ID, Name: "slow", EndpointID: tight.ID,
			Filters: []convoy.Filter{{EventType: "*", EnabledAt: now}}, Mode: convoy.AtLeastOnce,
			RateLimit: convoy.RateLimitConfig{Count: 2, Duration: 1}, CreatedAt: now, UpdatedAt: now,
		}
		if err := p.store.CreateSubscription(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
		p.changed(t)
		d := start(t, p.config(t))
		p.lines(t, Line{}) // slots of one limit between those of another can put some beyond the horizon
		slow := p.routedBy(t, sub.ID, tight, 6)
		quick, others := p.routed(t, tight, 25, at(3)), p.routed(t, free, 40, at(3))
		d.Take(t.Context(), slow)
		d.Take(t.Context(), quick)
		d.Take(t.Context(), others)
		delivered(t, p, slices.Concat(slow, quick, others))
		times := sink.times()
		if took := times[len(times)-1].Sub(times[0]); took < 2800*time.Millisecond {
			t.Errorf("71 requests of a project with 20 a second took %v", took)
		}
		if n := most(times, 2*time.Second); n > 52 {
			t.Errorf("%d requests of the project within two seconds", n)
		}
		var at []time.Time
		for _, j := range slow {
			at = append(at, p.attempts(t, j.Delivery.ID)[0].RequestedAt)
		}
		slices.SortFunc(at, time.Time.Compare)
		if n := most(at, time.Second); n > 3 {
			t.Errorf("%d requests of the subscription within a second", n)
		}
		if took := at[len(at)-1].Sub(at[0]); took < 2*time.Second {
			t.Errorf("6 at 2 a second took %v", took)
		}
	})
}

// asked counts what a limiter is asked.
type asked struct {
	limit.Limiter
	n    atomic.Int32
	fail atomic.Bool
}

func (a *asked) Reserve(ctx context.Context, requests []limit.Request) ([]limit.Grant, error) {
	a.n.Add(1)
	if a.fail.Load() {
		return nil, errors.New("limiter away")
	}
	return a.Limiter.Reserve(ctx, requests)
}

// Nobody is asked about what has no limit, which the settings that every
// project is born with are not.
func TestNoRateLimit(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	limiter := &asked{Limiter: limit.NewMemory()}
	cfg := p.config(t)
	cfg.Limiter = limiter
	sink := newClocked(t)
	half := p.limitedTo(t, sink.URL, 5, 0) // no duration
	d := start(t, cfg)
	jobs := slices.Concat(p.routed(t, p.endpoint(t, sink.URL), 50, at(3)), p.routed(t, half, 50, at(3)))
	d.Take(t.Context(), jobs)
	delivered(t, p, jobs)
	if n := limiter.n.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// Without the limiter deliveries are made.
func TestLimiterAway(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	limiter := &asked{Limiter: limit.NewMemory()}
	limiter.fail.Store(true)
	cfg := p.config(t)
	cfg.Limiter = limiter
	sink := newClocked(t)
	e := p.limitedTo(t, sink.URL, 1, time.Hour)
	d := start(t, cfg)
	jobs := p.routed(t, e, 100, at(3))
	d.Take(t.Context(), jobs)
	delivered(t, p, jobs)
	if n := limiter.n.Load(); n > 60 {
		t.Errorf("a limiter that fails was asked %d times", n)
	}
}

// TestPermit looks at what is stored of one that waits, and at the permit.
func TestPermit(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		limiter := &asked{Limiter: p.limiter}
		cfg := p.config(t)
		cfg.Limiter = limiter
		sink := newClocked(t)
		e := p.limitedTo(t, sink.URL, 1, 4*time.Second)
		d := start(t, cfg)
		jobs := p.routed(t, e, 3, at(3))
		for i := range jobs {
			d.Take(t.Context(), jobs[i:i+1])
			testenv.Eventually(t, patience, func() bool { return limiter.n.Load() == int32(i+1) })
		}
		reserved := p.await(t, jobs[1:2], func(d *convoy.Delivery) bool { return !d.PermitAt.IsZero() })[0]
		if reserved.Status != convoy.DeliveryScheduled || reserved.Trials != 0 || reserved.Description != reasonLimited ||
			!reserved.DueAt.Equal(reserved.PermitAt) || reserved.ClaimAt.Before(reserved.DueAt) {
			t.Errorf("delivery %+v", reserved)
		}
		held := p.await(t, jobs[2:], func(d *convoy.Delivery) bool { return d.ClaimAt.Equal(convoy.Held) })[0]
		if held.Status != convoy.DeliveryScheduled || held.Trials != 0 || held.HeldBy != "endpoint/"+string(p.project.ID)+"/"+string(e.ID) ||
			!held.PermitAt.IsZero() || !held.DueAt.After(time.Now().Add(freshHorizon/2)) {
			t.Errorf("delivery %+v", held)
		}
		p.sweep(t) // which leaves it alone
		p.ended(t, jobs[:2])
		if n := limiter.n.Load(); n != 3 {
			t.Errorf("asked %d times about 3 deliveries", n)
		}
		p.lines(t, Line{})
		delivered(t, p, jobs)
		times := sink.times()
		for i, want := range []time.Duration{4 * time.Second, 8 * time.Second} {
			if after := times[i+1].Sub(times[0]); after < want-200*time.Millisecond || after > want+3*time.Second {
				t.Errorf("request %d after %v", i+1, after)
			}
		}
	})
}

// A permit that is long past is none.
func TestLatePermit(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	limiter := &asked{Limiter: limit.NewMemory()}
	cfg := p.config(t)
	cfg.Limiter = limiter
	d := New(cfg)
	e := &convoy.Endpoint{ID: "E", ProjectID: "P", RateLimit: 1, RateLimitDuration: time.Hour}
	target := &target{rates: newRates(&convoy.Project{}, e, nil)}
	now := time.Now()
	for _, c := range []struct {
		permit time.Time
		asks   bool
	}{
		{now, false},
		{now.Add(-permitLife / 2), false},
		{now.Add(500 * time.Millisecond), false},
		{now.Add(-permitLife), true},
		{now.Add(time.Minute), true},
		{time.Time{}, true},
	} {
		before := limiter.n.Load()
		d.limited(t.Context(), &job{Job: convoy.Job{Delivery: &convoy.Delivery{PermitAt: c.permit}}}, target, now)
		if asked := limiter.n.Load() > before; asked != c.asks {
			t.Errorf("permit at %v: asked %v", c.permit.Sub(now), asked)
		}
	}
}

// counting counts the work of a store.
type counting struct {
	*store.Store
	loaded, recorded atomic.Int32
}

func (c *counting) Jobs(ctx context.Context, ids []convoy.DeliveryID) ([]convoy.Job, error) {
	c.loaded.Add(int32(len(ids)))
	return c.Store.Jobs(ctx, ids)
}

func (c *counting) Record(ctx context.Context, outcomes []store.Outcome) error {
	c.recorded.Add(int32(len(outcomes)))
	return c.Store.Record(ctx, outcomes)
}

func (c *counting) ReleaseHeld(ctx context.Context, limit string, max int, now, claim time.Time) ([]store.Due, error) {
	return c.Store.ReleaseHeld(ctx, limit, max, now, claim)
}

// A long line costs what leaves it and no more, and holds nobody else up.
func TestLongLine(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		s := &counting{Store: p.store}
		cfg := p.config(t)
		cfg.Store = s
		slow, quick := newClocked(t), newClocked(t)
		e, other := p.limitedTo(t, slow.URL, 2, time.Second), p.endpoint(t, quick.URL)
		d := start(t, cfg)
		const n = 3000
		jobs := p.routed(t, e, n, at(3))
		d.Take(t.Context(), jobs)
		start := time.Now()
		d.Take(t.Context(), p.routed(t, other, 1, at(3)))
		testenv.Eventually(t, patience, func() bool { return len(quick.times()) == 1 })
		t.Logf("another endpoint was served after %v", time.Since(start))
		testenv.Eventually(t, 2*patience, func() bool {
			waiting, _ := d.Depth()
			return waiting == 0 && s.recorded.Load() >= n
		})
		p.lines(t, Line{})
		loaded, recorded, sent := s.loaded.Load(), s.recorded.Load(), len(slow.times())
		testenv.Eventually(t, patience, func() bool { return len(slow.times()) >= sent+12 })
		// 15 seconds of the line are on their way, and each is loaded twice.
		if l, r := s.loaded.Load()-loaded, s.recorded.Load()-recorded; l > 150 || r > 150 {
			t.Errorf("%d loaded and %d recorded while 12 were sent of a line of %d", l, r, n)
		}
	})
}

// A limit that is lifted lets its line go at once; so does an endpoint that is
// deleted.
func TestLineWithoutLimit(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		sink := newClocked(t)
		e, gone := p.limitedTo(t, sink.URL, 1, time.Hour), p.limitedTo(t, sink.URL, 1, time.Hour)
		d := start(t, p.config(t))
		jobs, lost := p.routed(t, e, 50, at(3)), p.routed(t, gone, 5, at(3))
		d.Take(t.Context(), jobs)
		d.Take(t.Context(), lost)
		testenv.Eventually(t, patience, func() bool {
			keys, err := p.store.HeldBy(t.Context(), "", 10)
			// What is sent but not recorded is discarded with its endpoint.
			return err == nil && len(keys) == 2 && p.succeeded(t, lost) == 1
		})
		p.lines(t, Line{})
		e.RateLimit = 0
		if err := p.store.UpdateEndpoint(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := p.store.DeleteEndpoint(t.Context(), p.project.ID, gone.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		p.changed(t)
		delivered(t, p, jobs)
		discarded := 0
		for _, got := range p.ended(t, lost) {
			if got.Status == convoy.DeliveryDiscarded && got.Description == reasonNoEndpoint {
				discarded++
			}
		}
		if discarded != 4 {
			t.Errorf("%d of 4 discarded", discarded)
		}
	})
}

// succeeded counts the deliveries that are recorded as Success.
func (p *place) succeeded(t *testing.T, jobs []convoy.Job) int {
	t.Helper()
	n := 0
	for _, j := range jobs {
		d, err := p.store.Delivery(t.Context(), p.project.ID, j.Delivery.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d.Status == convoy.DeliverySuccess {
			n++
		}
	}
	return n
}

// TestLineRoom counts what leaves lines at a turn.
func TestLineRoom(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	e := p.limitedTo(t, "http://endpoint.example", 10, time.Second)
	l := Line{Store: p.store, Projects: p.catalog, Limiter: limit.NewMemory()}
	lim, _ := endpointLimit(e)
	keys := []string{lim.Key, "endpoint/" + string(p.project.ID) + "/NONE", "project/NONE", "project/" + string(p.project.ID), "x"}
	check := func(want ...int) {
		t.Helper()
		got, err := l.room(t.Context(), keys)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	check(31, releaseMax, releaseMax, releaseMax, releaseMax)
	taking := slices.Repeat([]limit.Request{{Group: "g", Limits: []limit.Limit{lim}, N: 1, Horizon: time.Hour}}, 300)
	if _, err := l.Limiter.Reserve(t.Context(), taking); err != nil {
		t.Fatal(err)
	}
	check(0, releaseMax, releaseMax, releaseMax, releaseMax)
	l.Limiter = &asked{Limiter: l.Limiter}
	l.Limiter.(*asked).fail.Store(true)
	check(31, releaseMax, releaseMax, releaseMax, releaseMax)
	l.Projects = unavailable{}
	if _, err := l.room(t.Context(), keys); err == nil {
		t.Error("no error")
	}
}

type unavailable struct{}

func (unavailable) Project(context.Context, convoy.ProjectID) (*catalog.Project, error) {
	return nil, convoy.E(convoy.Unavailable, "store away")
}

func (unavailable) Reload(context.Context, convoy.ProjectID) (*catalog.Project, error) {
	return nil, convoy.E(convoy.Unavailable, "store away")
}

// TestLimitOfAChangedSubscription changes the limit of a subscription: its
// endpoint and project are the versions they were, and the next try knows.
func TestLimitOfAChangedSubscription(t *testing.T) {
	t.Parallel()
	var ts targets
	project, e := &convoy.Project{Config: convoy.DefaultProjectConfig()}, endpointAt("https://endpoint.example")
	limited := func(count int) []*catalog.Subscription {
		return []*catalog.Subscription{{Subscription: &convoy.Subscription{ID: "S", RateLimit: convoy.RateLimitConfig{Count: count, Duration: 60}}}}
	}
	get := func(list []*catalog.Subscription) *target {
		t.Helper()
		target, err := ts.get(project, e, list...)
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	list := limited(1)
	first := get(list)
	if get(list) != first {
		t.Error("worked out again without a change")
	}
	for _, count := range []int{2, 0} {
		n := 0
		if limits := get(limited(count)).rates.of("S"); len(limits) > 0 {
			n = limits[0].Count
		}
		if n != count {
			t.Errorf("limit %d, want %d", n, count)
		}
	}
}
