package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/store"
)

// deliveryView is a delivery as clients see it.
type deliveryView struct {
	UID              convoy.DeliveryID     `json:"uid"`
	ProjectID        convoy.ProjectID      `json:"project_id,omitempty"`
	EventID          convoy.EventID        `json:"event_id,omitempty"`
	EndpointID       convoy.EndpointID     `json:"endpoint_id,omitempty"`
	DeviceID         string                `json:"device_id"`
	SubscriptionID   convoy.SubscriptionID `json:"subscription_id,omitempty"`
	Headers          map[string][]string   `json:"headers"`
	TargetURL        string                `json:"target_url,omitempty"`
	URLQuery         string                `json:"url_query_params"`
	IdempotencyKey   string                `json:"idempotency_key"`
	Latency          string                `json:"latency"`
	LatencySeconds   float64               `json:"latency_seconds"`
	EventType        string                `json:"event_type,omitempty"`
	Description      string                `json:"description,omitempty"`
	Mode             convoy.DeliveryMode   `json:"delivery_mode"`
	EndpointMetadata endpointStub          `json:"endpoint_metadata"`
	EventMetadata    eventStub             `json:"event_metadata"`
	SourceMetadata   deliveredSource       `json:"source_metadata"`
	DeviceMetadata   deviceStub            `json:"device_metadata"`
	Status           convoy.DeliveryStatus `json:"status"`
	Metadata         deliveryMetadata      `json:"metadata"`
	CLIMetadata      none                  `json:"cli_metadata"`
	AcknowledgedAt   *time.Time            `json:"acknowledged_at"`
	CreatedAt        time.Time             `json:"created_at"`
	UpdatedAt        time.Time             `json:"updated_at"`
	DeletedAt        *time.Time            `json:"deleted_at"`
}

// endpointStub is the part of an endpoint shown in its deliveries; a deleted
// one is shown too.
type endpointStub struct {
	UID          convoy.EndpointID     `json:"uid"`
	ProjectID    convoy.ProjectID      `json:"project_id"`
	OwnerID      string                `json:"owner_id"`
	URL          string                `json:"url"`
	Name         string                `json:"name"`
	SupportEmail string                `json:"support_email"`
	Status       convoy.EndpointStatus `json:"status"`
	Secrets      none                  `json:"secrets"`
	DeletedAt    *time.Time            `json:"deleted_at"`
}

// deliveredSource is the part of a source shown in its deliveries.
type deliveredSource struct {
	UID             convoy.SourceID `json:"uid"`
	Name            string          `json:"name"`
	IdempotencyKeys []string        `json:"idempotency_keys"`
}

type eventStub struct {
	UID       convoy.EventID `json:"uid"`
	EventType string         `json:"event_type"`
	CreatedAt time.Time      `json:"created_at"`
}

type deviceStub struct {
	UID      string `json:"uid"`
	Status   string `json:"status"`
	HostName string `json:"host_name"`
}

type deliveryMetadata struct {
	Data            json.RawMessage  `json:"data"`
	Raw             string           `json:"raw" doc:"The payload byte for byte"`
	Strategy        convoy.RetryType `json:"strategy"`
	NextSendTime    time.Time        `json:"next_send_time"`
	Trials          int              `json:"num_trials"`
	IntervalSeconds int64            `json:"interval_seconds"`
	RetryLimit      int              `json:"retry_limit"`
	MaxRetrySeconds int              `json:"max_retry_seconds"`
}

func (a *api) showDelivery(d store.DeliveryDetail) deliveryView {
	v := deliveryView{
		UID: d.ID, ProjectID: d.ProjectID, EventID: d.EventID, EndpointID: d.EndpointID, SubscriptionID: d.SubscriptionID,
		TargetURL: d.TargetURL, LatencySeconds: d.Latency.Seconds(), EventType: d.EventType, Description: d.Description,
		Mode: d.Mode, Status: d.Status, Headers: map[string][]string{},
		EventMetadata: eventStub{UID: d.EventID, EventType: d.EventType},
		Metadata: deliveryMetadata{
			Data: json.RawMessage("null"), Strategy: d.Retry.Type, NextSendTime: d.DueAt, Trials: d.Trials,
			IntervalSeconds: int64(d.Retry.Interval / time.Second), RetryLimit: d.Retry.Limit, MaxRetrySeconds: int(a.MaxRetry / time.Second),
		},
		AcknowledgedAt: nullTime(d.AcknowledgedAt), CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
	}
	v.SourceMetadata.IdempotencyKeys = []string{}
	if e := d.Event; e != nil {
		if e.Headers != nil {
			v.Headers = e.Headers
		}
		v.URLQuery, v.IdempotencyKey = e.URLQuery, e.IdempotencyKey
		v.EventMetadata.CreatedAt = e.CreatedAt
		v.SourceMetadata.UID = e.SourceID
		v.Metadata.Data, v.Metadata.Raw = payloadJSON(e.Data), string(e.Data)
	}
	if p := d.Payload; p != nil { // null when its function has failed
		v.Metadata.Data, v.Metadata.Raw = payloadJSON(p.Data), string(p.Data)
	}
	if e := d.Endpoint; e != nil {
		v.EndpointMetadata = endpointStub{
			UID: e.ID, ProjectID: e.ProjectID, OwnerID: e.OwnerID, URL: e.URL, Name: e.Name, SupportEmail: e.SupportEmail,
			Status: e.Status, DeletedAt: nullTime(e.DeletedAt),
		}
	}
	return v
}

// viewDeliveryIn is showDelivery with what its project knows of the source.
func (a *api) viewDeliveryIn(ctx context.Context, p *catalog.Project) func(store.DeliveryDetail) deliveryView {
	return func(d store.DeliveryDetail) deliveryView {
		v := a.showDelivery(d)
		v.Headers = maskHeaders(ctx, v.Headers)
		if s, ok := p.Source(v.SourceMetadata.UID); ok {
			v.SourceMetadata.Name = s.Name
			v.SourceMetadata.IdempotencyKeys = append(v.SourceMetadata.IdempotencyKeys, s.IdempotencyKeys...)
		}
		return v
	}
}

func (a *api) deliveryRoutes(r *registrar) {
	const (
		tag = "Event Deliveries"
		all = "/api/v1/projects/{projectID}/eventdeliveries"
		one = all + "/{eventDeliveryID}"
	)
	handle(r, operation{
		id: "GetEventDeliveriesPaged", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all, tag: tag, summary: "List event deliveries",
		status: http.StatusOK, message: "Event deliveries fetched successfully",
	}, a.deliveries)
	handle(r, operation{
		id: "GetEventDelivery", access: viewsProject, portal: portalViews, method: http.MethodGet, path: one, tag: tag, summary: "Get an event delivery",
		status: http.StatusOK, message: "Event Delivery fetched successfully",
	}, a.delivery)
	handle(r, operation{
		id: "ResendEventDelivery", access: managesProject, portal: portalViews, method: http.MethodPut, path: one + "/resend", tag: tag, summary: "Send a failed event delivery again",
		status: http.StatusOK, message: "App event processed for retry successfully",
	}, a.resend)
}

// DeliveryQuery says which deliveries of a project are meant, but for their
// statuses, of which each operation has its own notion.
type DeliveryQuery struct {
	DateQuery
	Endpoints       []string `query:"endpointId,explode" doc:"Only deliveries to one of these endpoints"`
	Event           string   `query:"eventId" doc:"Only deliveries of this event"`
	Subscription    string   `query:"subscriptionId" doc:"Only deliveries of this subscription"`
	IdempotencyKey  string   `query:"idempotencyKey" doc:"That of the event"`
	EventType       string   `query:"eventType" doc:"Only deliveries of events of this type"`
	EventTypeAlias  string   `query:"event_type" hidden:"true" doc:"Other name of eventType, which generated clients could not tell from it"`
	Owner           string   `query:"ownerId" doc:"Only deliveries to endpoints of this owner"`
	BrokerMessageID string   `query:"brokerMessageId" doc:"Only deliveries of events that this broker message brought in"`
}

type deliveriesInput struct {
	ProjectPath
	PageQuery
	DeliveryQuery
	Statuses []string `query:"status,explode" doc:"Only deliveries in one of these statuses"`
}

// eventType is the type asked for, by either name.
func (q *DeliveryQuery) eventType() string {
	if q.EventType != "" {
		return q.EventType
	}
	return q.EventTypeAlias
}

func (a *api) deliveries(ctx context.Context, in *deliveriesInput) (paged[deliveryView], error) {
	var none paged[deliveryView]
	p := projectOf(ctx)
	page, err := in.page()
	if err != nil {
		return none, err
	}
	from, to, err := in.dates(a.now())
	if err != nil {
		return none, err
	}
	f := store.DeliveryFilter{
		Project: p.Settings().ID, Endpoints: endpointIDs(in.Endpoints), Event: convoy.EventID(in.Event),
		Subscription: convoy.SubscriptionID(in.Subscription), Type: in.eventType(), IdempotencyKey: in.IdempotencyKey, BrokerMessage: in.BrokerMessageID,
		From: from, To: to, Page: page,
	}
	for _, s := range in.Statuses {
		if s != "" {
			f.Statuses = append(f.Statuses, convoy.DeliveryStatus(s))
		}
	}
	list, err := within(ctx, "Event deliveries took too long. Narrow the date range.",
		func(ctx context.Context) (list store.Paged[store.DeliveryDetail], err error) {
			if in.Owner != "" {
				f.Endpoints, err = a.ownedBy(ctx, f.Project, in.Owner, f.Endpoints)
				if err != nil || len(f.Endpoints) == 0 {
					return list, err
				}
			}
			list, err = a.Store.Deliveries(ctx, f)
			if err == nil && len(list.Items) == 0 && f.IdempotencyKey != "" {
				err = a.requireKey(ctx, f.Project, f.IdempotencyKey)
			}
			return list, err
		})
	if err != nil {
		return none, err
	}
	return pageOf(list, page.PerPage, a.viewDeliveryIn(ctx, p)), nil
}

// requireKey refuses an idempotency key that no event has.
func (a *api) requireKey(ctx context.Context, project convoy.ProjectID, key string) error {
	events, err := a.Store.Events(ctx, store.EventFilter{Project: project, IdempotencyKey: key, Page: store.Page{PerPage: 1}})
	if err == nil && len(events.Items) == 0 {
		err = convoy.E(convoy.Invalid, "event not found")
	}
	return err
}

// DeliveryPath is the path of one delivery.
type DeliveryPath struct {
	ProjectPath
	Delivery string `path:"eventDeliveryID" doc:"The event delivery's id"`
}

// findDelivery returns the delivery of a request; a missing one is NotFound.
func (a *api) findDelivery(ctx context.Context, in *DeliveryPath) (store.DeliveryDetail, error) {
	p := projectOf(ctx)
	if !id.Valid(in.Delivery) {
		return store.DeliveryDetail{}, convoy.E(convoy.NotFound, "event delivery not found")
	}
	return a.Store.DeliveryDetail(ctx, p.Settings().ID, convoy.DeliveryID(in.Delivery))
}

// viewDelivery shows one delivery.
func (a *api) viewDelivery(ctx context.Context, d store.DeliveryDetail) (deliveryView, error) {
	p, err := a.Catalog.Project(ctx, d.ProjectID)
	if err != nil {
		return deliveryView{}, refuse(err, "project not found")
	}
	return a.viewDeliveryIn(ctx, p)(d), nil
}

func (a *api) delivery(ctx context.Context, in *DeliveryPath) (deliveryView, error) {
	d, err := a.findDelivery(ctx, in)
	if err != nil {
		return deliveryView{}, err
	}
	return a.viewDelivery(ctx, d)
}

func (a *api) resend(ctx context.Context, in *DeliveryPath) (deliveryView, error) {
	d, err := a.findDelivery(ctx, in)
	if err != nil {
		return deliveryView{}, refuse(err, "event delivery not found")
	}
	if d.Status == convoy.DeliveryFailure || d.Status == convoy.DeliveryDiscarded {
		switch e := d.Endpoint; {
		case e == nil || !e.DeletedAt.IsZero():
			return deliveryView{}, convoy.E(convoy.Invalid, "endpoint not found")
		case e.Status != convoy.EndpointActive:
			return deliveryView{}, convoy.E(convoy.Invalid, "the endpoint is currently "+string(e.Status))
		}
		if d.Event == nil {
			return deliveryView{}, convoy.E(convoy.Invalid, "event not found") // retention has taken it
		}
	}
	if d.Delivery, err = a.Store.Resend(ctx, d.ProjectID, d.ID, a.now()); err != nil {
		return deliveryView{}, refuse(err, "event delivery not found")
	}
	return a.viewDelivery(ctx, d)
}
