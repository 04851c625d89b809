package convoy

import "time"

// Expansion is an event on its way to its deliveries, a bounded number of them
// at a time. Its zero value but for Event is at the beginning. It holds no list
// that grows with the number of deliveries beyond [WideEvent], and may be
// started again at any time: the deliveries are the same ones.
type Expansion struct {
	Event *Event
	// Replay names the replay that this is, and At is its time, which the ids of
	// its deliveries carry; Replay is empty when the event is routed for the
	// first time.
	Replay string
	At     time.Time

	// Endpoint and Subscription are those looked at last, and Last is the
	// endpoint of the last delivery found.
	Endpoint, Last EndpointID
	Subscription   SubscriptionID
	// The first pass leaves out subscriptions with a function, so that none
	// waits for another's, and sets Pending when it has met one; Functions says
	// that the second pass is under way, which is for these.
	Functions, Pending bool
	// Reason is why there is no delivery, as far as is known.
	Reason string
	// Deliveries counts those found so far, and Matched are their endpoints,
	// unless they are more than [WideEvent].
	Deliveries int
	Matched    []EndpointID
	// Done says that the expansion is complete.
	Done bool
}

// WideEvent is the most deliveries that an event is stored with at once. An
// event with more is stored alone and expanded in chunks of this size; the
// endpoints it matched are known from its deliveries only.
const WideEvent = 500
