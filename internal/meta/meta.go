// Package meta makes meta events: webhooks that tell a project's owner what has
// become of its endpoints and deliveries. A meta event is an event with one
// delivery in the hidden project that [convoy.ProjectID.Meta] names, so the rest
// of the pipeline treats it like any other. The package says what is in one; it
// stores and sends nothing. No secret and no credential is ever in one.
package meta

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"convoy"
	"convoy/internal/id"
)

// Endpoint returns what tells of a change of an endpoint, which is given as it is
// after it: nothing, unless the project asks for it.
func Endpoint(p *convoy.Project, eventType string, e *convoy.Endpoint, at time.Time) []convoy.Job {
	if !p.Config.MetaEvent.Wants(eventType) || p.ID.Meta() == "" {
		return nil
	}
	data := endpointData{
		UID: e.ID, ProjectID: e.ProjectID, OwnerID: e.OwnerID, URL: e.URL, Name: e.Name, Description: e.Description,
		AdvancedSignatures: e.AdvancedSignatures, SupportEmail: e.SupportEmail, Status: e.Status,
		HTTPTimeout: int64(e.Timeout() / time.Second), RateLimit: e.RateLimit,
		RateLimitDuration: int64(e.RateLimitDuration / time.Second), ContentType: e.ContentType,
		Authentication: authenticationData{e.Authentication.Type},
		CreatedAt:      e.CreatedAt, UpdatedAt: e.UpdatedAt, DeletedAt: nullTime(e.DeletedAt),
	}
	return []convoy.Job{job(p, content{eventType, data}, id.New(at), at)}
}

// endpointData is an endpoint as the API shows it, but for secrets, the values
// of its authentication, its certificate, and the addresses of chat channels,
// which anybody may write to who knows them.
type endpointData struct {
	UID                convoy.EndpointID     `json:"uid"`
	ProjectID          convoy.ProjectID      `json:"project_id"`
	OwnerID            string                `json:"owner_id,omitempty"`
	URL                string                `json:"url"`
	Name               string                `json:"name"`
	Description        string                `json:"description"`
	AdvancedSignatures bool                  `json:"advanced_signatures"`
	SupportEmail       string                `json:"support_email,omitempty"`
	Status             convoy.EndpointStatus `json:"status"`
	HTTPTimeout        int64                 `json:"http_timeout"`
	RateLimit          int                   `json:"rate_limit"`
	RateLimitDuration  int64                 `json:"rate_limit_duration"`
	ContentType        string                `json:"content_type"`
	Authentication     authenticationData    `json:"authentication"`
	CreatedAt          time.Time             `json:"created_at"`
	UpdatedAt          time.Time             `json:"updated_at"`
	DeletedAt          *time.Time            `json:"deleted_at"`
}

type authenticationData struct {
	Type string `json:"type,omitempty"`
}

// Delivery returns what tells of the end of a delivery, which is given as it is
// then, with the event that it carries and its last attempt, if one was made:
// nil, unless it succeeded or failed and the project asks for that. The ids are
// derived, so that telling of one end twice tells once.
func Delivery(p *convoy.Project, d *convoy.Delivery, e *convoy.Event, a *convoy.Attempt) *convoy.Job {
	eventType := convoy.MetaDeliverySuccess
	switch d.Status {
	case convoy.DeliverySuccess:
	case convoy.DeliveryFailure:
		eventType = convoy.MetaDeliveryFailed
	default:
		return nil
	}
	if !p.Config.MetaEvent.Wants(eventType) || p.ID.Meta() == "" {
		return nil
	}
	data := deliveryData{
		UID: d.ID, ProjectID: d.ProjectID, EventID: d.EventID, EndpointID: d.EndpointID, SubscriptionID: d.SubscriptionID,
		EventType: d.EventType, TargetURL: d.TargetURL, Mode: d.Mode, Status: d.Status, Description: d.Description,
		LatencySeconds: d.Latency.Seconds(),
		Metadata: metadata{
			Strategy: d.Retry.Type, Trials: d.Trials, IntervalSeconds: int64(d.Retry.Interval / time.Second), RetryLimit: d.Retry.Limit,
		},
		AcknowledgedAt: nullTime(d.AcknowledgedAt), CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
	}
	if e != nil {
		data.IdempotencyKey = e.IdempotencyKey
	}
	if a != nil {
		data.Attempt = &attemptData{
			UID: a.ID, URL: a.URL, IP: a.IP, HTTPStatus: a.HTTPStatus, Error: a.Error, Success: a.Success,
			RequestedAt: nullTime(a.RequestedAt), RespondedAt: nullTime(a.RespondedAt),
		}
	}
	at := d.UpdatedAt
	if d.Trials == 0 { // made as failed, and if that is repeated, at another time
		at = id.Time(string(d.ID))
	}
	told := id.Derive(at, eventType, string(d.ID), strconv.Itoa(d.Resends), strconv.Itoa(d.Trials))
	j := job(p, content{eventType, data}, told, at)
	return &j
}

// deliveryData is a delivery as the API shows it, but for what it carries: its
// payload and headers, which may hold credentials.
type deliveryData struct {
	UID            convoy.DeliveryID     `json:"uid"`
	ProjectID      convoy.ProjectID      `json:"project_id"`
	EventID        convoy.EventID        `json:"event_id"`
	EndpointID     convoy.EndpointID     `json:"endpoint_id"`
	SubscriptionID convoy.SubscriptionID `json:"subscription_id"`
	EventType      string                `json:"event_type"`
	IdempotencyKey string                `json:"idempotency_key"`
	TargetURL      string                `json:"target_url"`
	Mode           convoy.DeliveryMode   `json:"delivery_mode"`
	Status         convoy.DeliveryStatus `json:"status"`
	Description    string                `json:"description"`
	LatencySeconds float64               `json:"latency_seconds"`
	Metadata       metadata              `json:"metadata"`
	Attempt        *attemptData          `json:"attempt"`
	AcknowledgedAt *time.Time            `json:"acknowledged_at"`
	CreatedAt      time.Time             `json:"created_at"`
	UpdatedAt      time.Time             `json:"updated_at"`
}

type metadata struct {
	Strategy        convoy.RetryType `json:"strategy"`
	Trials          int              `json:"num_trials"`
	IntervalSeconds int64            `json:"interval_seconds"`
	RetryLimit      int              `json:"retry_limit"`
}

// attemptData sums an attempt up.
type attemptData struct {
	UID         convoy.AttemptID `json:"uid"`
	URL         string           `json:"url"`
	IP          string           `json:"ip_address,omitempty"`
	HTTPStatus  string           `json:"http_status,omitempty"`
	Error       string           `json:"error,omitempty"`
	Success     bool             `json:"status"`
	RequestedAt *time.Time       `json:"requested_at"`
	RespondedAt *time.Time       `json:"responded_at"`
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// content is the body of a meta event.
type content struct {
	Type string `json:"event_type"`
	Data any    `json:"data"`
}

// job makes a meta event and its delivery, which share an id and are due at
// once. It is claimable from the start, so it needs no queue to be found.
func job(p *convoy.Project, c content, name string, at time.Time) convoy.Job {
	project, endpoint := p.ID.Meta(), convoy.MetaEndpoint(p.ID)
	key := sha256.Sum256([]byte(name))
	return convoy.Job{
		Event: &convoy.Event{
			ID: convoy.EventID(name), ProjectID: project, Type: c.Type, Endpoints: []convoy.EndpointID{endpoint}, Data: c.encode(),
			IdempotencyKey: hex.EncodeToString(key[:]), Status: convoy.EventSuccess, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
		},
		Delivery: &convoy.Delivery{
			ID: convoy.DeliveryID(name), ProjectID: project, EventID: convoy.EventID(name), EndpointID: endpoint, EventType: c.Type,
			Mode: convoy.AtLeastOnce, Status: convoy.DeliveryScheduled, Retry: p.Config.Strategy.Policy(),
			DueAt: at, ClaimAt: at, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
		},
	}
}

func (c content) encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // URLs read as they are
	if err := enc.Encode(c); err != nil {
		panic(err) // texts, numbers and times always encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
