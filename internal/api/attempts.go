package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"convoy"
	"convoy/internal/id"
)

// shownAttempts is how many attempts the list of a delivery shows, the last
// ones.
const shownAttempts = 10

// attemptView is an attempt as clients see it. A failed one has no status.
type attemptView struct {
	UID             convoy.AttemptID  `json:"uid"`
	URL             string            `json:"url"`
	Method          string            `json:"method"`
	EndpointID      convoy.EndpointID `json:"endpoint_id"`
	APIVersion      string            `json:"api_version" doc:"The server's version"`
	ProjectID       convoy.ProjectID  `json:"project_id"`
	DeliveryID      convoy.DeliveryID `json:"msg_id"`
	IP              string            `json:"ip_address,omitempty"`
	RequestHeaders  map[string]string `json:"request_http_header,omitempty"`
	ResponseHeaders map[string]string `json:"response_http_header,omitempty"`
	HTTPStatus      string            `json:"http_status,omitempty"`
	Response        string            `json:"response_data,omitempty"`
	Error           string            `json:"error,omitempty"`
	Success         bool              `json:"status,omitempty"`
	RequestedAt     *time.Time        `json:"requested_at"`
	RespondedAt     *time.Time        `json:"responded_at"`
	CreatedAt       time.Time         `json:"created_at"`
	UpdatedAt       time.Time         `json:"updated_at"`
	DeletedAt       *time.Time        `json:"deleted_at"`
}

func (a *api) viewAttempt(ctx context.Context, t *convoy.Attempt) attemptView {
	return attemptView{
		UID: t.ID, URL: t.URL, Method: t.Method, EndpointID: t.EndpointID, APIVersion: a.Version, ProjectID: t.ProjectID,
		DeliveryID: t.DeliveryID, IP: t.IP, RequestHeaders: flatHeaders(maskHeaders(ctx, t.RequestHeaders)), ResponseHeaders: flatHeaders(maskHeaders(ctx, t.ResponseHeaders)),
		HTTPStatus: t.HTTPStatus, Response: t.Response, Error: t.Error, Success: t.Success,
		RequestedAt: nullTime(t.RequestedAt), RespondedAt: nullTime(t.RespondedAt), CreatedAt: t.CreatedAt, UpdatedAt: t.CreatedAt,
	}
}

// flatHeaders joins repeated headers as RFC 9110, section 5.3, allows.
func flatHeaders(h map[string][]string) map[string]string {
	flat := make(map[string]string, len(h))
	for name, values := range h {
		flat[name] = strings.Join(values, ", ")
	}
	return flat
}

func (a *api) attemptRoutes(r *registrar) {
	const (
		tag = "Delivery Attempts"
		all = "/api/v1/projects/{projectID}/eventdeliveries/{eventDeliveryID}/deliveryattempts"
	)
	handle(r, operation{
		id: "GetDeliveryAttempts", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all, tag: tag, summary: "List the last attempts of an event delivery",
		status: http.StatusOK, message: "Event delivery attempts fetched successfully",
	}, a.attempts)
	handle(r, operation{
		id: "GetDeliveryAttempt", access: viewsProject, portal: portalViews, method: http.MethodGet, path: all + "/{deliveryAttemptID}", tag: tag, summary: "Get an attempt",
		status: http.StatusOK, message: "Event delivery attempt fetched successfully",
	}, a.attempt)
}

func (a *api) attempts(ctx context.Context, in *DeliveryPath) ([]attemptView, error) {
	d, err := a.findDelivery(ctx, in)
	if err != nil {
		return nil, refuse(err, "event delivery not found")
	}
	list, err := a.Store.Attempts(ctx, d.ProjectID, d.ID, shownAttempts)
	if err != nil {
		return nil, err
	}
	views := make([]attemptView, len(list))
	for i, t := range list {
		views[i] = a.viewAttempt(ctx, t)
	}
	return views, nil
}

type attemptInput struct {
	DeliveryPath
	Attempt string `path:"deliveryAttemptID" doc:"The attempt's id"`
}

func (a *api) attempt(ctx context.Context, in *attemptInput) (attemptView, error) {
	d, err := a.findDelivery(ctx, &in.DeliveryPath)
	if err != nil {
		return attemptView{}, refuse(err, "event delivery not found")
	}
	missing := convoy.E(convoy.NotFound, "event delivery attempt not found")
	if !id.Valid(in.Attempt) {
		return attemptView{}, refuse(missing, missing.Msg)
	}
	t, err := a.Store.Attempt(ctx, d.ProjectID, d.ID, convoy.AttemptID(in.Attempt))
	if err != nil {
		return attemptView{}, refuse(err, missing.Msg)
	}
	return a.viewAttempt(ctx, t), nil
}
