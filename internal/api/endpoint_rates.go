package api

import (
	"context"
	"errors"
	"time"

	"convoy"
)

const (
	// maxRated is how many endpoints one request counts for; more are left out.
	maxRated = 100
	// rateTime bounds the counting; what it does not reach is null.
	rateTime = 2 * time.Second
)

type ratesInput struct {
	ProjectPath
	DateQuery
	Endpoints []string `query:"endpointId,explode" doc:"The endpoints to count for, at most 100"`
}

// rateView is what became of an endpoint's deliveries in a period; all is null
// when counting took too long.
type rateView struct {
	UID     string   `json:"uid"`
	Rate    *float64 `json:"period_failure_rate" doc:"The share, 0 to 1, of deliveries that failed or are being tried again"`
	Success *int64   `json:"success_count"`
	Failure *int64   `json:"failure_count"`
	Retry   *int64   `json:"retry_count"`
}

func (a *api) failureRates(ctx context.Context, in *ratesInput) ([]rateView, error) {
	p := projectOf(ctx)
	from, to, err := in.dates(a.now())
	if err != nil {
		return nil, err
	}
	asked := in.Endpoints[:min(len(in.Endpoints), maxRated)]
	views := make([]rateView, len(asked))
	for i, uid := range asked {
		views[i].UID = uid
	}
	if len(asked) == 0 {
		return views, nil
	}
	counting, cancel := context.WithTimeout(ctx, rateTime)
	defer cancel()
	outcomes, err := a.Store.EndpointOutcomes(counting, p.Settings().ID, endpointIDs(asked), from, to)
	if errors.Is(counting.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
		return views, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range views {
		v, o := &views[i], outcomes[convoy.EndpointID(views[i].UID)]
		v.Success, v.Failure, v.Retry = &o.Success, &o.Failure, &o.Retry
		rate := 0.0
		if all := o.Success + o.Failure + o.Retry; all > 0 {
			rate = float64(o.Failure+o.Retry) / float64(all)
		}
		v.Rate = &rate
	}
	return views, nil
}
