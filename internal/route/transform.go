package route

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"convoy"
	"convoy/internal/catalog"
)

// transformer runs functions, with a clock that stands still. A failure of the
// function is an error of kind convoy.Invalid; any other is a fault of ours.
type transformer interface {
	TransformAt(ctx context.Context, source string, payload []byte, now time.Time) ([]byte, error)
}

// Texts of Payload.Failure.
const (
	reasonUnsubscribed = "the subscription was deleted before its function ran"
	reasonFunction     = "the subscription's function failed: "
)

// maxReason bounds what a function says of its failure, in bytes.
const maxReason = 512

// Transform runs the function of a delivery's subscription on the event. It
// returns nil when the event's data is what is to be sent. A function that
// fails has a payload that says so; an error is a fault of ours, and the
// function may be run again.
func (r *Router) Transform(ctx context.Context, e *convoy.Event, d *convoy.Delivery) (*convoy.Payload, error) {
	view, err := r.projects.Project(ctx, e.ProjectID)
	if err != nil {
		return nil, fmt.Errorf("transform: %w", err)
	}
	subs := view.Subscriptions(d.EndpointID)
	i := slices.IndexFunc(subs, func(s *catalog.Subscription) bool { return s.ID == d.SubscriptionID })
	if i < 0 {
		return &convoy.Payload{Delivery: d.ID, Failure: reasonUnsubscribed}, nil
	}
	if subs[i].Function == "" {
		return nil, nil
	}
	out, err := r.functions.TransformAt(ctx, subs[i].Function, e.Data, e.CreatedAt)
	switch {
	case convoy.KindOf(err) == convoy.Invalid:
		return &convoy.Payload{Delivery: d.ID, Failure: reasonFunction + clean(err.Error())}, nil
	case err != nil:
		return nil, fmt.Errorf("transform: %w", err)
	case bytes.Equal(out, e.Data):
		return nil, nil
	}
	return &convoy.Payload{Delivery: d.ID, Data: out}, nil
}

// clean makes a text short, and one that a store takes.
func clean(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s[:min(len(s), maxReason)], "\x00", "\uFFFD"), "\uFFFD")
}
