package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
)

// replayTimeout bounds a single replay, which goes on when its caller does not
// wait; an event may have many thousand deliveries.
const replayTimeout = time.Minute

const (
	tooLongEvents     = "Search took too long. Narrow the time range or search term."
	tooLongDeliveries = "Event deliveries took too long. Narrow the date range."
)

func (a *api) replayRoutes(r *registrar) {
	const (
		tag = "Events"
		all = "/api/v1/projects/{projectID}/events"
	)
	handle(r, operation{
		id: "ReplayEndpointEvent", access: managesProject, portal: portalViews, method: http.MethodPut, path: all + "/{eventID}/replay", tag: tag, summary: "Deliver an event again",
		status: http.StatusOK, message: "Endpoint event replayed successfully",
	}, a.replay)
	handle(r, operation{
		id: "BatchReplayEvents", access: managesProject, method: http.MethodPost, path: all + "/batchreplay", tag: tag, summary: "Deliver many events again",
		status: http.StatusOK, message: "<n> successful, <m> failed",
	}, a.batchReplay)
	handle(r, operation{
		id: "CountAffectedEvents", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all + "/countbatchreplayevents", tag: tag,
		summary: "Count the events that a batch replay would deliver again",
		status:  http.StatusOK, message: "events count successful",
	}, a.countReplay)
}

// replay routes one event anew, before it answers.
func (a *api) replay(ctx context.Context, in *eventInput) (eventView, error) {
	const missing = "event not found"
	p := projectOf(ctx)
	if !id.Valid(in.Event) {
		return eventView{}, convoy.E(convoy.Invalid, missing)
	}
	project, event := p.Settings().ID, convoy.EventID(in.Event)
	e, err := a.Store.Event(ctx, project, event)
	if err != nil {
		return eventView{}, refuse(err, missing)
	}
	if err := a.mayReplay(ctx, event); err != nil {
		return eventView{}, err
	}
	now := a.now()
	rctx, cancel := context.WithTimeout(store.Whole(context.WithoutCancel(ctx)), replayTimeout)
	defer cancel()
	if _, _, err := a.Replayer.Replay(rctx, []*convoy.Event{e}, id.New(now), now); err != nil {
		return eventView{}, err
	}
	return viewEvent(e), nil
}

// batched is the answer of an operation that works on many things: it has no
// data, a message of its own, and the id of the job, if any, in a header.
type batched struct {
	job  convoy.BatchJobID
	text string
}

// MarshalJSON is null.
func (batched) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// Schema implements [huma.SchemaProvider].
func (batched) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: "null"} }

// outcome is the success with its own text.
func (b batched) outcome() (status int, message string) { return http.StatusOK, b.text }

// tally is the message of what was counted.
func tally(succeeded, failed int) string {
	return fmt.Sprintf("%d successful, %d failed", succeeded, failed)
}

// counted is the payload of a count.
type counted struct {
	Num int `json:"num"`
}

// RateQuery is the part of a batch's query that says how fast it may go.
type RateQuery struct {
	Rate string `query:"rate" doc:"The most that is processed in a second; a setting of the instance unless given"`
}

const maxBatchRate = 1_000_000

func (q *RateQuery) rate(usual int) (int, error) {
	if q.Rate == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(q.Rate)
	if err != nil || n < 1 || n > maxBatchRate {
		return 0, invalid("rate", "must be from 1 to "+itoa(maxBatchRate))
	}
	return n, nil
}

// ReplayQuery is the filter of a batch replay. It takes what the list of events
// takes, but for the searches, which are refused.
type ReplayQuery struct {
	DateQuery
	Endpoints       []string `query:"endpointId,explode" doc:"Only events delivered to one of these endpoints"`
	Sources         []string `query:"sourceId,explode" doc:"Only events from one of these sources"`
	IdempotencyKey  string   `query:"idempotencyKey" doc:"Only events with this key"`
	Owner           string   `query:"ownerId" doc:"Only events delivered to an endpoint of this owner"`
	BrokerMessageID string   `query:"brokerMessageId" doc:"Only events that this broker message brought in"`
	Query           string   `query:"query" hidden:"true"`
	Containing      string   `query:"body" hidden:"true"`
}

// replayJob makes the job of a replay, as of now and with its matches counted. It is
// nil when the filter can match nothing.
func (a *api) replayJob(ctx context.Context, project convoy.ProjectID, q *ReplayQuery, noSearch string) (*convoy.BatchJob, error) {
	if q.Query != "" || q.Containing != "" {
		return nil, convoy.E(convoy.Invalid, noSearch)
	}
	j, err := a.newJob(project, convoy.BatchReplay, &q.DateQuery)
	if err != nil {
		return nil, err
	}
	f := &j.Filter
	f.Endpoints, f.IdempotencyKey, f.BrokerMessage = endpointIDs(q.Endpoints), q.IdempotencyKey, q.BrokerMessageID
	for _, s := range q.Sources {
		if s != "" {
			f.Sources = append(f.Sources, convoy.SourceID(s))
		}
	}
	if q.Owner != "" {
		f.Endpoints, err = a.ownedBy(ctx, project, q.Owner, f.Endpoints)
		if err != nil || len(f.Endpoints) == 0 {
			return nil, err
		}
	}
	return a.counted(ctx, j, tooLongEvents)
}

// newJob makes a job on what there is now: what comes later is not its business.
func (a *api) newJob(project convoy.ProjectID, kind convoy.BatchKind, q *DateQuery) (*convoy.BatchJob, error) {
	now := a.now()
	from, to, err := q.dates(now)
	if err != nil {
		return nil, err
	}
	if to.After(now) {
		to = now
	}
	return &convoy.BatchJob{
		ID: convoy.BatchJobID(id.New(now)), ProjectID: project, Kind: kind, State: convoy.BatchQueued,
		Filter: convoy.BatchFilter{From: from, To: to}, CreatedAt: now, UpdatedAt: now,
	}, nil
}

// counted counts the matches of a job; it is nil when there are none.
func (a *api) counted(ctx context.Context, j *convoy.BatchJob, tooLong string) (*convoy.BatchJob, error) {
	n, err := within(ctx, tooLong, func(ctx context.Context) (int, error) { return a.Store.BatchCount(ctx, j) })
	if err != nil || n == 0 {
		return nil, err
	}
	j.Matched = n
	return j, nil
}

// start makes a job durable and wakes whoever works on it.
func (a *api) start(ctx context.Context, j *convoy.BatchJob) error {
	if err := a.Store.CreateBatchJob(ctx, j); err != nil {
		return err
	}
	a.Jobs.Wake(ctx)
	return nil
}

type batchReplayInput struct {
	ProjectPath
	ReplayQuery
	RateQuery
}

// batchReplay counts what it has accepted: the job goes on after the answer.
func (a *api) batchReplay(ctx context.Context, in *batchReplayInput) (batched, error) {
	p := projectOf(ctx)
	rate, err := in.rate(a.BatchRate)
	if err != nil {
		return batched{}, err
	}
	j, err := a.replayJob(ctx, p.Settings().ID, &in.ReplayQuery, "batch replay does not support search filters")
	if err != nil || j == nil {
		return batched{text: tally(0, 0)}, err
	}
	j.Rate = rate
	if err := a.start(ctx, j); err != nil {
		return batched{}, err
	}
	return batched{job: j.ID, text: tally(j.Matched, 0)}, nil
}

type countReplayInput struct {
	ProjectPath
	ReplayQuery
}

func (a *api) countReplay(ctx context.Context, in *countReplayInput) (counted, error) {
	p := projectOf(ctx)
	j, err := a.replayJob(ctx, p.Settings().ID, &in.ReplayQuery, "batch replay count does not support search filters")
	if err != nil || j == nil {
		return counted{}, err
	}
	return counted{j.Matched}, nil
}
