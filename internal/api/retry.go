package api

import (
	"context"
	"net/http"
	"slices"

	"convoy"
	"convoy/internal/id"
)

// maxForced bounds the deliveries of one request.
const maxForced = 1000

func (a *api) retryRoutes(r *registrar) {
	const (
		tag = "Event Deliveries"
		all = "/api/v1/projects/{projectID}/eventdeliveries"
	)
	handle(r, operation{
		id: "BatchRetryEventDelivery", access: managesProject, portal: portalViews, method: http.MethodPost, path: all + "/batchretry", alias: http.MethodPut, tag: tag,
		summary: "Send many failed event deliveries again",
		status:  http.StatusOK, message: "Batch retry processing",
	}, a.batchRetry)
	handle(r, operation{
		id: "CountBatchRetryEventDeliveries", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all + "/countbatchretryevents", tag: tag,
		summary: "Count the event deliveries that a batch retry would send again",
		status:  http.StatusOK, message: "event deliveries count successful",
	}, a.countRetry)
	handle(r, operation{
		id: "ForceResendEventDeliveries", access: managesProject, portal: portalViews, method: http.MethodPost, path: all + "/forceresend", tag: tag,
		summary: "Send successful event deliveries again",
		status:  http.StatusOK, message: "<n> successful, <m> failed",
	}, a.forceResend)
}

// RetryQuery is the filter of a batch retry: that of the list of deliveries.
type RetryQuery struct {
	DeliveryQuery
	Statuses []string `query:"status,explode" doc:"Only deliveries in one of these statuses; Failure and Discarded unless given. Besides these, only Retry has an effect"`
}

// statuses are those asked for that a retry can do something about.
func (q *RetryQuery) statuses() []convoy.DeliveryStatus {
	var asked []string
	for _, s := range q.Statuses {
		if s != "" {
			asked = append(asked, s)
		}
	}
	if len(asked) == 0 {
		return []convoy.DeliveryStatus{convoy.DeliveryFailure, convoy.DeliveryDiscarded}
	}
	var statuses []convoy.DeliveryStatus
	for _, s := range []convoy.DeliveryStatus{convoy.DeliveryFailure, convoy.DeliveryDiscarded, convoy.DeliveryRetry} {
		if slices.Contains(asked, string(s)) {
			statuses = append(statuses, s)
		}
	}
	return statuses
}

// retryJob makes the job of a retry, as of now and with its matches counted. It
// is nil when there are none.
func (a *api) retryJob(ctx context.Context, project convoy.ProjectID, q *RetryQuery) (*convoy.BatchJob, error) {
	j, err := a.newJob(project, convoy.BatchRetry, &q.DateQuery)
	if err != nil {
		return nil, err
	}
	if q.IdempotencyKey != "" {
		if err := a.requireKey(ctx, project, q.IdempotencyKey); err != nil {
			return nil, err
		}
	}
	f := &j.Filter
	f.Endpoints, f.Event, f.Subscription = endpointIDs(q.Endpoints), convoy.EventID(q.Event), convoy.SubscriptionID(q.Subscription)
	f.IdempotencyKey, f.BrokerMessage, f.EventType = q.IdempotencyKey, q.BrokerMessageID, q.eventType()
	if f.Statuses = q.statuses(); len(f.Statuses) == 0 {
		return nil, nil
	}
	if q.Owner != "" {
		f.Endpoints, err = a.ownedBy(ctx, project, q.Owner, f.Endpoints)
		if err != nil || len(f.Endpoints) == 0 {
			return nil, err
		}
	}
	return a.counted(ctx, j, tooLongDeliveries)
}

type batchRetryInput struct {
	ProjectPath
	RetryQuery
	RateQuery
}

func (a *api) batchRetry(ctx context.Context, in *batchRetryInput) (batched, error) {
	done := batched{text: "Batch retry processing"}
	p := projectOf(ctx)
	rate, err := in.rate(a.BatchRate)
	if err != nil {
		return done, err
	}
	j, err := a.retryJob(ctx, p.Settings().ID, &in.RetryQuery)
	if err != nil {
		return done, err
	}
	if j == nil {
		active, err := a.Store.ActiveBatchRetry(ctx, p.Settings().ID)
		if err == nil && active {
			err = convoy.E(convoy.Invalid, "an active batch retry already exists")
		}
		return done, err
	}
	j.Rate, done.job = rate, j.ID
	return done, a.start(ctx, j)
}

type countRetryInput struct {
	ProjectPath
	RetryQuery
}

func (a *api) countRetry(ctx context.Context, in *countRetryInput) (counted, error) {
	p := projectOf(ctx)
	j, err := a.retryJob(ctx, p.Settings().ID, &in.RetryQuery)
	if err != nil || j == nil {
		return counted{}, err
	}
	return counted{j.Matched}, nil
}

type forceRequest struct {
	IDs []string `json:"ids" maxItems:"1000" doc:"Event deliveries that succeeded; unknown ones are left out"`
}

type forceInput struct {
	ProjectPath
	Payload payload[forceRequest]
}

func (a *api) forceResend(ctx context.Context, in *forceInput) (batched, error) {
	p := projectOf(ctx)
	req, err := in.Payload.decode()
	switch {
	case convoy.KindOf(err) == convoy.Invalid:
		return batched{}, convoy.E(convoy.Invalid, "Request is invalid: "+err.Error())
	case err != nil:
		return batched{}, err
	case len(req.IDs) > maxForced:
		return batched{}, invalid("ids", "must not be more than "+itoa(maxForced))
	}
	var ids []convoy.DeliveryID
	for _, s := range req.IDs {
		switch text := badText(s, maxName); {
		case text != "":
			return batched{}, invalid("ids", text)
		case id.Valid(s):
			ids = append(ids, convoy.DeliveryID(s))
		}
	}
	n, reasons, err := a.Store.ForceResend(ctx, p.Settings().ID, ids, a.now())
	if err != nil {
		return batched{}, err
	}
	failed := 0
	for _, m := range reasons {
		failed += m
	}
	return batched{text: tally(n, failed)}, nil
}
