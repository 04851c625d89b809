package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/meta"
	"convoy/internal/store"
)

// taker gives deliveries that have just been stored to whoever sends. It may
// lose them: the sweep finds what is due.
type taker interface {
	Take(ctx context.Context, jobs []convoy.Job)
}

// hasten has meta events sent that have been stored with what they tell of.
func (a *api) hasten(ctx context.Context, jobs []convoy.Job) {
	if len(jobs) > 0 && a.Taker != nil {
		a.Taker.Take(store.Whole(context.WithoutCancel(ctx)), jobs)
	}
}

// updated returns what tells of an endpoint that has been changed.
func updated(p *convoy.Project, e *convoy.Endpoint) []convoy.Job {
	return meta.Endpoint(p, convoy.MetaEndpointUpdated, e, e.UpdatedAt)
}

// metaEventView is a meta event as clients see it.
type metaEventView struct {
	UID       convoy.DeliveryID     `json:"uid"`
	ProjectID convoy.ProjectID      `json:"project_id"`
	EventType string                `json:"event_type"`
	Metadata  deliveryMetadata      `json:"metadata"`
	Attempt   *metaAttemptView      `json:"attempt" doc:"The last one"`
	Status    convoy.DeliveryStatus `json:"status"`
	CreatedAt time.Time             `json:"created_at"`
	UpdatedAt time.Time             `json:"updated_at"`
	DeletedAt *time.Time            `json:"deleted_at"`
}

type metaAttemptView struct {
	RequestHeaders  map[string]string `json:"request_http_header"`
	ResponseHeaders map[string]string `json:"response_http_header"`
	Response        string            `json:"response_data,omitempty"`
}

// showMetaEvent shows a meta event of a project, with its last attempt, if there
// is one.
func (a *api) showMetaEvent(project convoy.ProjectID, d store.DeliveryDetail, last *convoy.Attempt) metaEventView {
	v := metaEventView{
		UID: d.ID, ProjectID: project, EventType: d.EventType, Metadata: a.showDelivery(d).Metadata, Status: d.Status,
		CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
	}
	if last != nil {
		v.Attempt = &metaAttemptView{
			RequestHeaders: flatHeaders(last.RequestHeaders), ResponseHeaders: flatHeaders(last.ResponseHeaders), Response: last.Response,
		}
	}
	return v
}

func (a *api) metaEventRoutes(r *registrar) {
	const (
		tag = "Meta Events"
		all = "/api/v1/projects/{projectID}/meta-events"
		one = all + "/{metaEventID}"
	)
	handle(r, operation{
		id: "GetMetaEventsPaged", access: viewsProject, method: http.MethodGet, path: all, tag: tag, summary: "List meta events",
		status: http.StatusOK, message: "Meta events fetched successfully",
	}, a.metaEvents)
	handle(r, operation{
		id: "GetMetaEvent", access: viewsProject, method: http.MethodGet, path: one, tag: tag, summary: "Get a meta event",
		status: http.StatusOK, message: "Meta event fetched successfully",
	}, a.metaEvent)
	handle(r, operation{
		id: "ResendMetaEvent", access: managesProject, method: http.MethodPut, path: one + "/resend", tag: tag, summary: "Send a failed meta event again",
		status: http.StatusOK, message: "Meta event processed for retry successfully",
	}, a.resendMetaEvent)
}

type metaEventsInput struct {
	ProjectPath
	PageQuery
	DateQuery
}

func (a *api) metaEvents(ctx context.Context, in *metaEventsInput) (paged[metaEventView], error) {
	var none paged[metaEventView]
	p := projectOf(ctx)
	page, err := in.page()
	if err != nil {
		return none, err
	}
	from, to, err := in.dates(a.now())
	if err != nil {
		return none, err
	}
	project := p.Settings().ID
	var last map[convoy.DeliveryID]*convoy.Attempt
	list, err := within(ctx, "Meta events took too long. Narrow the date range.",
		func(ctx context.Context) (store.Paged[store.DeliveryDetail], error) {
			list, err := a.Store.Deliveries(ctx, store.DeliveryFilter{Project: project.Meta(), From: from, To: to, Page: page})
			if err != nil {
				return list, err
			}
			ids := make([]convoy.DeliveryID, len(list.Items))
			for i, d := range list.Items {
				ids[i] = d.ID
			}
			last, err = a.Store.LastAttempts(ctx, project.Meta(), ids)
			return list, err
		})
	if err != nil {
		return none, err
	}
	return pageOf(list, page.PerPage, func(d store.DeliveryDetail) metaEventView { return a.showMetaEvent(project, d, last[d.ID]) }), nil
}

// MetaEventPath is the path of one meta event.
type MetaEventPath struct {
	ProjectPath
	MetaEvent string `path:"metaEventID" doc:"The meta event's id"`
}

var errNoMetaEvent = convoy.E(convoy.NotFound, "meta event not found")

// findMetaEvent returns the meta event of a request and the project it tells of.
func (a *api) findMetaEvent(ctx context.Context, in *MetaEventPath) (store.DeliveryDetail, *convoy.Project, error) {
	p := projectOf(ctx)
	if !id.Valid(in.MetaEvent) {
		return store.DeliveryDetail{}, nil, errNoMetaEvent
	}
	d, err := a.Store.DeliveryDetail(ctx, p.Settings().ID.Meta(), convoy.DeliveryID(in.MetaEvent))
	if convoy.IsNotFound(err) {
		err = errNoMetaEvent
	}
	return d, p.Settings(), err
}

// viewMetaEvent shows one meta event.
func (a *api) viewMetaEvent(ctx context.Context, p *convoy.Project, d store.DeliveryDetail) (metaEventView, error) {
	last, err := a.Store.LastAttempts(ctx, d.ProjectID, []convoy.DeliveryID{d.ID})
	if err != nil {
		return metaEventView{}, err
	}
	return a.showMetaEvent(p.ID, d, last[d.ID]), nil
}

func (a *api) metaEvent(ctx context.Context, in *MetaEventPath) (metaEventView, error) {
	d, p, err := a.findMetaEvent(ctx, in)
	if err != nil {
		return metaEventView{}, err
	}
	return a.viewMetaEvent(ctx, p, d)
}

func (a *api) resendMetaEvent(ctx context.Context, in *MetaEventPath) (metaEventView, error) {
	d, p, err := a.findMetaEvent(ctx, in)
	if err != nil {
		return metaEventView{}, err
	}
	if !p.Config.MetaEvent.Enabled {
		return metaEventView{}, convoy.E(convoy.Invalid, "meta_event.is_enabled is false: the project sends no meta events")
	}
	again, err := a.Store.Resend(ctx, d.ProjectID, d.ID, a.now())
	if err != nil {
		if convoy.IsNotFound(err) {
			err = errNoMetaEvent
		}
		return metaEventView{}, err
	}
	d.Delivery = again
	a.hasten(ctx, []convoy.Job{{Delivery: again}})
	return a.viewMetaEvent(ctx, p, d)
}
