package route

import (
	"cmp"
	"context"
	"runtime/debug"
	"slices"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/filter"
)

// Texts of Event.FailureReason.
const (
	reasonProject  = "project not found"
	reasonEndpoint = "endpoint not found"
	reasonOwner    = "no subscription matched this event: no endpoint has its owner"
	reasonSource   = "no subscription matched this event: none is to its source"
	reasonType     = "no subscription matched this event: none takes its type"
	reasonFilter   = "no subscription matched this event: a filter refused it"
)

// settle sets what became of an event whose expansion is done. A replay
// changes an event only from failed to routed.
func settle(x *convoy.Expansion) {
	e := x.Event
	switch {
	case x.Replay != "" && (x.Deliveries == 0 || e.Status != convoy.EventFailure):
		return
	case x.Deliveries == 0:
		e.Status, e.FailureReason = convoy.EventFailure, x.Reason
		if e.FailureReason == "" {
			e.FailureReason = unreached(e.Kind)
		}
		return
	}
	e.Status, e.FailureReason = convoy.EventSuccess, ""
	if x.Deliveries <= convoy.WideEvent {
		if x.Functions { // the passes may have met the same endpoints
			slices.Sort(x.Matched)
			x.Matched = slices.Compact(x.Matched)
		}
		e.Endpoints = x.Matched
	}
}

// unreached is why an event failed that met no subscription.
func unreached(k convoy.EventKind) string {
	switch k {
	case convoy.KindFanout:
		return reasonOwner
	case convoy.KindSource:
		return reasonSource
	case convoy.KindBroadcast:
		return reasonType
	default:
		return reasonEndpoint
	}
}

// maxLooks bounds the subscriptions that one step looks at.
const maxLooks = 5000

// walk goes through the subscriptions that an event may be for, in the order of
// [catalog.Compare].
type walk struct {
	*batch
	x    *convoy.Expansion
	view *catalog.Project
	ds   []*convoy.Delivery
	// room is how many more deliveries are wanted, looks how many more
	// subscriptions are looked at.
	room, looks int
	// document is the event as filters see it, once one has conditions.
	document *filter.Document
	// behind is where an earlier step ended, at its last look.
	behind struct {
		endpoint     convoy.EndpointID
		subscription convoy.SubscriptionID
	}
}

// run goes on with the pass that the expansion is in, to its end at most.
func (w *walk) run(ctx context.Context) error {
	x := w.x
	w.behind.endpoint, w.behind.subscription = x.Endpoint, x.Subscription
	var (
		end bool
		err error
	)
	switch x.Event.Kind {
	case convoy.KindFanout:
		end = w.fanout()
	case convoy.KindBroadcast:
		end = w.broadcast()
	case convoy.KindSource:
		end = w.source()
	default:
		end, err = w.single(ctx)
	}
	if err != nil || !end {
		return err
	}
	if x.Pending && !x.Functions {
		x.Functions, x.Endpoint, x.Subscription, x.Last = true, "", "", ""
		return nil
	}
	x.Done = true
	if x.Deliveries == 0 && x.Reason != reasonFilter && w.refused() {
		x.Reason = reasonFilter
	}
	return nil
}

// single looks at the subscriptions of the endpoints that an event names; a
// dynamic event takes the first of each.
func (w *walk) single(ctx context.Context) (end bool, err error) {
	e := w.x.Event
	ids := e.Endpoints
	if len(ids) > 1 {
		ids = slices.Clone(ids)
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	for _, eid := range ids {
		endpoint, subs, err := w.endpoint(ctx, &w.view, eid)
		if err != nil {
			return false, err
		}
		if endpoint == nil {
			continue
		}
		if e.Kind == convoy.KindDynamic {
			if !w.look(endpoint, subs[0]) {
				return false, nil
			}
		} else if !w.endpointLooks(endpoint, subs) {
			return false, nil
		}
	}
	return true, nil
}

func (w *walk) fanout() (end bool) {
	for _, endpoint := range w.view.EndpointsOf(w.x.Event.OwnerID) {
		if !w.endpointLooks(endpoint, w.view.Subscriptions(endpoint.ID)) {
			return false
		}
	}
	return true
}

// endpointLooks looks at those subscriptions of an endpoint that are to events
// of the API; it is false when there is no room to go on.
func (w *walk) endpointLooks(endpoint *convoy.Endpoint, subs []*catalog.Subscription) bool {
	if w.x.Reason == "" {
		w.x.Reason = reasonType
	}
	for _, s := range subs {
		if s.SourceID == "" && !w.look(endpoint, s) {
			return false
		}
	}
	return true
}

func (w *walk) source() (end bool) {
	return w.listed(w.view.SubscriptionsTo(w.x.Event.SourceID))
}

func (w *walk) broadcast() (end bool) {
	return w.listed(w.view.SubscriptionsFor(w.x.Event.Type))
}

// listed looks at those subscriptions of lists that may take the event, each
// once; a broadcast makes one delivery to each endpoint.
func (w *walk) listed(lists ...catalog.List) (end bool) {
	w.lists = w.lists[:0]
	for _, l := range lists {
		w.selectFrom(l)
	}
	for {
		s := w.next()
		if s == nil {
			return true
		}
		if s.EndpointID == w.x.Last && w.x.Event.Kind == convoy.KindBroadcast {
			continue
		}
		if !w.look(nil, s) {
			return false
		}
	}
}

// selectFrom adds those of a list that may take the event to w.lists; all, if that
// panics.
func (w *walk) selectFrom(l catalog.List) {
	n := len(w.lists)
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("index of filters panicked", "project_id", w.view.Settings().ID, "panic", p, "stack", string(debug.Stack()))
			w.lists = append(w.lists[:n], l.All())
		}
	}()
	var d *filter.Document
	if l.Selective() {
		d = w.read()
	}
	w.lists = l.Select(d, w.lists)
}

// next takes the first subscription off the lists, nil when none is left.
func (w *walk) next() (first *catalog.Subscription) {
	for _, l := range w.lists {
		if len(l) > 0 && l[0] != first && (first == nil || catalog.Compare(l[0], first) < 0) {
			first = l[0]
		}
	}
	if first == nil {
		return nil
	}
	for i, l := range w.lists {
		if len(l) > 0 && l[0] == first {
			w.lists[i] = l[1:]
		}
	}
	return first
}

// refused reports whether a subscription that may be among those left out takes
// events of the type, but not this one.
func (w *walk) refused() bool {
	var lists [2]catalog.List
	switch e := w.x.Event; e.Kind {
	case convoy.KindSource:
		lists[0] = w.view.SubscriptionsTo(e.SourceID)
	case convoy.KindBroadcast:
		lists[0], lists[1] = w.view.SubscriptionsFor(e.Type)
	}
	for _, l := range lists {
		if !l.Selective() {
			continue // all have been asked
		}
		for _, s := range l.All() {
			if w.x.Reason == "" {
				w.x.Reason = reasonType
			}
			if conditions, ok := s.Takes(w.x.Event.Type); ok && conditions != nil {
				return true
			}
		}
	}
	return false
}

// look adds the delivery to a subscription if it takes the event; it is false
// when there is no room to go on. The endpoint, nil for the subscription's own, is
// needed only by those that do: many may be asked in vain.
func (w *walk) look(endpoint *convoy.Endpoint, s *catalog.Subscription) bool {
	x := w.x
	if w.behind.endpoint != "" && cmp.Or(cmp.Compare(s.EndpointID, w.behind.endpoint), cmp.Compare(s.ID, w.behind.subscription)) <= 0 {
		return true
	}
	if w.room <= 0 || w.looks <= 0 {
		return false
	}
	w.looks--
	x.Endpoint, x.Subscription = s.EndpointID, s.ID
	if !w.takes(s) {
		return true
	}
	if endpoint == nil {
		var ok bool
		if endpoint, ok = w.view.Endpoint(s.EndpointID); !ok {
			return true
		}
	}
	first := x.Last != endpoint.ID
	x.Last = endpoint.ID // a broadcast is past this endpoint, in whichever pass
	if (s.Function != "") != x.Functions {
		x.Pending = true
		return true
	}
	w.ds = append(w.ds, w.delivery(w.view, endpoint, s, x))
	w.room--
	x.Deliveries++
	switch {
	case x.Deliveries > convoy.WideEvent:
		x.Matched = nil
	case first || len(x.Matched) == 0:
		x.Matched = append(x.Matched, endpoint.ID)
	}
	return true
}

// takes asks the filters of a subscription.
func (w *walk) takes(s *catalog.Subscription) bool {
	x := w.x
	if x.Event.Kind == convoy.KindDynamic {
		return true
	}
	if x.Reason == "" {
		x.Reason = reasonType
	}
	conditions, ok := s.Takes(x.Event.Type)
	switch {
	case s.Broken != nil:
		x.Reason = reasonFilter
		return false
	case !ok || conditions == nil:
		return ok
	}
	if !w.match(conditions, s) {
		x.Reason = reasonFilter
		return false
	}
	return true
}

// match asks the conditions of a subscription. The parts of the event are read
// once for all. A panic is a refusal by this subscription and nobody else's.
func (w *walk) match(conditions *filter.Program, s *catalog.Subscription) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("filter panicked", "subscription_id", s.ID, "event_id", w.x.Event.ID, "panic", p, "stack", string(debug.Stack()))
			ok = false
		}
	}()
	return conditions.Match(w.read())
}

// read is the event as filters see it.
func (w *walk) read() *filter.Document {
	if w.document == nil {
		e := w.x.Event
		w.document = filter.NewDocument(e.Data, e.Headers, e.URLQuery, e.URLPath)
	}
	return w.document
}
