package deliver

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/limit"
	"convoy/internal/queue"
	"convoy/internal/store"
)

// A delivery over a rate limit is postponed once, and costs no try. If a slot
// is near it is reserved, and the delivery comes back at its time with a permit.
// Else so many are before it that it stands in the line of the limit, in the
// store and nowhere else; a [Line] lets as many go, oldest first, as slots come
// near, and these ask once more. Those from the line may reserve further ahead
// than others, so that no newcomer takes what they wait for.
const (
	// lineHorizon is how far ahead those from a line may reserve. It is also how
	// long a leader may be missing before slots stay unused, and what a limiter
	// that has lost its memory lets through too much of.
	lineHorizon = 15 * time.Second
	// freshHorizon is how far ahead others may. The difference is what a line
	// has between two of its turns.
	freshHorizon = 5 * time.Second
	// permitLife is how late a delivery may be with its permit: later, the
	// process has been away, and all those permits together would be a burst.
	permitLife = 30 * time.Second
	// limiterPause is how long limits are not kept after the limiter failed.
	limiterPause = time.Second
	// limiterWarn keeps an outage from filling the log.
	limiterWarn = 30 * time.Second
	// limitTimeout bounds the wait for the limiter.
	limitTimeout = time.Second
)

// reasonLimited is the Delivery.Description of one that waits for a slot.
const reasonLimited = "rate limited"

// rates are the limits of what goes to one endpoint.
type rates struct {
	// all are those of endpoint and project.
	all []limit.Limit
	// bySubscription are all of a subscription's deliveries, when it has a limit.
	bySubscription map[convoy.SubscriptionID][]limit.Limit
}

// Keys of limits begin with what they are of, then comes the project.
const (
	ofEndpoint     = "endpoint/"
	ofSubscription = "subscription/"
	ofProject      = "project/"
)

func endpointLimit(e *convoy.Endpoint) (limit.Limit, bool) {
	l := limit.Limit{Key: ofEndpoint + string(e.ProjectID) + "/" + string(e.ID), Count: e.RateLimit, Period: e.RateLimitDuration}
	return l, l.Count > 0 && l.Period > 0
}

func subscriptionLimit(s *catalog.Subscription) (limit.Limit, bool) {
	l := limit.Limit{
		Key:   ofSubscription + string(s.ProjectID) + "/" + string(s.EndpointID) + "/" + string(s.ID),
		Count: s.RateLimit.Count, Period: seconds(s.RateLimit.Duration),
	}
	return l, l.Count > 0 && l.Period > 0
}

// projectLimit is that of a project which has changed it: what all projects
// are born with stands for none.
func projectLimit(p *convoy.Project) (limit.Limit, bool) {
	c := p.Config.RateLimit
	l := limit.Limit{Key: ofProject + string(p.ID), Count: c.Count, Period: seconds(c.Duration)}
	return l, l.Count > 0 && l.Period > 0 && c != convoy.DefaultProjectConfig().RateLimit
}

// seconds bounds what people ask for.
func seconds(n uint64) time.Duration { return time.Duration(min(n, 1<<31)) * time.Second }

func newRates(project *convoy.Project, e *convoy.Endpoint, subscriptions []*catalog.Subscription) rates {
	var r rates
	if l, ok := endpointLimit(e); ok {
		r.all = append(r.all, l)
	}
	if l, ok := projectLimit(project); ok {
		r.all = append(r.all, l)
	}
	for _, s := range subscriptions {
		if l, ok := subscriptionLimit(s); ok {
			if r.bySubscription == nil {
				r.bySubscription = make(map[convoy.SubscriptionID][]limit.Limit)
			}
			r.bySubscription[s.ID] = append([]limit.Limit{l}, r.all...)
		}
	}
	return r
}

// of returns the limits of a delivery.
func (r *rates) of(s convoy.SubscriptionID) []limit.Limit {
	if limits, ok := r.bySubscription[s]; ok {
		return limits
	}
	return r.all
}

// throttle asks the limiter, and goes without it when it is away: a limit that
// is not kept for a while does less harm than deliveries that are not made.
type throttle struct {
	limiter limit.Limiter
	log     *slog.Logger

	mu            sync.Mutex
	failed, warnd time.Time
}

// reserve asks for a slot.
func (t *throttle) reserve(ctx context.Context, q limit.Request, now time.Time) limit.Grant {
	t.mu.Lock()
	away := now.Sub(t.failed) < limiterPause
	t.mu.Unlock()
	if away {
		return limit.Grant{OK: true}
	}
	ctx, cancel := context.WithTimeout(ctx, limitTimeout)
	defer cancel()
	grants, err := t.limiter.Reserve(ctx, []limit.Request{q})
	if err == nil {
		return grants[0]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = now
	if now.Sub(t.warnd) >= limiterWarn {
		t.warnd = now
		t.log.Warn("rate limits not kept while the limiter is away", "err", err)
	}
	return limit.Grant{OK: true}
}

// limited asks the limits of a delivery. It reports true, with the delivery
// as it is afterwards, when it has to wait.
func (d *Deliverer) limited(ctx context.Context, j *job, t *target, now time.Time) (store.Outcome, bool) {
	del := j.Delivery
	limits := t.rates.of(del.SubscriptionID)
	if len(limits) == 0 {
		return store.Outcome{}, false
	}
	if p := del.PermitAt; !p.IsZero() && now.Sub(p) < permitLife && p.Sub(now) < time.Second {
		return store.Outcome{}, false
	}
	horizon := freshHorizon
	if del.HeldBy != "" || !del.PermitAt.IsZero() { // has waited already
		horizon = lineHorizon
	}
	g := d.throttle.reserve(ctx, limit.Request{Group: string(del.ProjectID), Limits: limits, N: 1, Horizon: horizon}, now)
	if g.OK && g.Wait == 0 {
		return store.Outcome{}, false
	}
	after := *del
	after.Description, after.UpdatedAt = reasonLimited, now
	after.DueAt = now.Add(g.Wait)
	if g.OK {
		d.cfg.Metrics.Limited.Reserved.Inc()
		after.PermitAt, after.ClaimAt = after.DueAt, after.DueAt
		if !d.cfg.QueueIsStore {
			after.ClaimAt = after.DueAt.Add(grace)
		}
	} else {
		d.cfg.Metrics.Limited.Held.Inc()
		after.PermitAt, after.ClaimAt, after.HeldBy = time.Time{}, convoy.Held, limits[g.By].Key
	}
	return store.Outcome{Delivery: &after, Before: del.Trials}, true
}

// line is where deliveries stand that have no slot.
type line interface {
	HeldBy(ctx context.Context, after string, max int) ([]string, error)
	ReleaseHeld(ctx context.Context, limit string, max int, now, claim time.Time) ([]store.Due, error)
}

// Line lets deliveries go that stand in the line of a rate limit.
type Line struct {
	Store    line
	Projects projects
	Limiter  limit.Limiter
	// Claim is how long those let go are left to the queue; zero when the queue
	// is the store.
	Claim time.Duration
}

const (
	// linesMax bounds the lines of one turn.
	linesMax = 1000
	// releaseMax bounds what one line lets go at a turn.
	releaseMax = 10_000
	// releaseAhead is how much at a turn goes out of one line: enough for the
	// turns that follow each other a second apart, and not so much that many are
	// let go again before the first have taken their slots.
	releaseAhead = 3 * time.Second
)

// Release lets go as many as slots come near, and returns them for the queue. A
// line whose limit is not there any more, or cannot be asked, is let go batch
// by batch.
func (l Line) Release(ctx context.Context, now time.Time) ([]queue.Item, error) {
	keys, err := l.Store.HeldBy(ctx, "", linesMax)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	room, err := l.room(ctx, keys)
	if err != nil {
		return nil, err
	}
	claim := now.Add(l.Claim)
	var items []queue.Item
	for i, key := range keys {
		if room[i] == 0 {
			continue
		}
		due, err := l.Store.ReleaseHeld(ctx, key, room[i], now, claim)
		if err != nil {
			return items, err // the others have their turn
		}
		for _, x := range due {
			items = append(items, queue.Item{ID: QueueID(x.ID, x.Endpoint), Due: x.At})
		}
	}
	return items, nil
}

// room is how many may leave each line.
func (l Line) room(ctx context.Context, keys []string) ([]int, error) {
	var (
		room     = make([]int, len(keys))
		requests []limit.Request
		asked    []int
	)
	for i, key := range keys {
		lim, project, err := l.limit(ctx, key)
		switch {
		case convoy.IsNotFound(err):
			room[i] = releaseMax
		case err != nil:
			return nil, err
		default:
			requests = append(requests, limit.Request{Group: string(project), Limits: []limit.Limit{lim}, Horizon: lineHorizon})
			asked = append(asked, i)
		}
	}
	if len(requests) == 0 {
		return room, nil
	}
	grants, err := l.Limiter.Reserve(ctx, requests)
	for k, i := range asked {
		lim := requests[k].Limits[0]
		room[i] = limit.Free(lim, 0, releaseAhead)
		if err == nil {
			room[i] = min(room[i], limit.Free(lim, grants[k].Wait, lineHorizon))
		}
		room[i] = min(room[i], releaseMax)
	}
	return room, nil
}

// limit finds what a key stands for; a NotFound error says that it is not there
// any more.
func (l Line) limit(ctx context.Context, key string) (limit.Limit, convoy.ProjectID, error) {
	kind, rest, _ := strings.Cut(key, "/")
	name, rest, _ := strings.Cut(rest, "/")
	endpoint, subscription, _ := strings.Cut(rest, "/")
	project := convoy.ProjectID(name)
	view, err := l.Projects.Project(ctx, project)
	if err != nil {
		return limit.Limit{}, project, err
	}
	var (
		found limit.Limit
		ok    bool
	)
	switch kind + "/" {
	case ofProject:
		found, ok = projectLimit(view.Settings())
	case ofEndpoint:
		if e, there := view.Endpoint(convoy.EndpointID(endpoint)); there {
			found, ok = endpointLimit(e)
		}
	case ofSubscription:
		for _, s := range view.Subscriptions(convoy.EndpointID(endpoint)) {
			if s.ID == convoy.SubscriptionID(subscription) {
				found, ok = subscriptionLimit(s)
			}
		}
	}
	if !ok {
		return limit.Limit{}, project, convoy.E(convoy.NotFound, "limit not found")
	}
	return found, project, nil
}
