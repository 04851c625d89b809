package api

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"convoy"
	"convoy/internal/filter"
	"convoy/internal/function"
	"convoy/internal/id"
)

const (
	// maxEventTypes bounds what routing compares each event with, per subscription.
	maxEventTypes = 200
	// maxFunction bounds a function's source text, in characters.
	maxFunction = 64 << 10
)

// functionRunner runs users' functions. What is wrong with a function is an error
// of kind convoy.Invalid, with a text for whoever wrote it.
type functionRunner interface {
	Check(ctx context.Context, source string) error
	Test(ctx context.Context, source string, payload []byte, now time.Time) (function.Result, error)
}

type subscriptionRequest struct {
	Name            string            `json:"name,omitempty" maxLength:"255" doc:"Needed to create"`
	EndpointID      string            `json:"endpoint_id,omitempty" doc:"Needed to create"`
	SourceID        string            `json:"source_id,omitempty" doc:"Needed for incoming projects"`
	Function        string            `json:"function,omitempty" maxLength:"65536" doc:"JavaScript with a function transform(payload)"`
	AlertConfig     *alertRequest     `json:"alert_config,omitempty"`
	RetryConfig     *retryRequest     `json:"retry_config,omitempty" doc:"Replaces the project's strategy"`
	FilterConfig    *filterRequest    `json:"filter_config,omitempty"`
	RateLimitConfig *rateLimitRequest `json:"rate_limit_config,omitempty"`
	DeliveryMode    string            `json:"delivery_mode,omitempty" enum:"at_least_once,at_most_once"`
	AppID           string            `json:"app_id,omitempty" hidden:"true"`
}

type alertRequest struct {
	Count     int    `json:"count,omitempty" maximum:"1000" doc:"How many deliveries have to fail; 0 for no alert"`
	Threshold string `json:"threshold,omitempty" doc:"Within how long: a duration such as 1h30m, at most 720h"`
}

type retryRequest struct {
	Type     string `json:"type,omitempty" enum:"linear,exponential"`
	Duration period `json:"duration,omitempty"`
	Interval uint64 `json:"interval_seconds,omitempty" doc:"Used when there is no duration"`
	Count    int    `json:"retry_count,omitempty" doc:"All tries, the first included"`
}

type rateLimitRequest struct {
	Count    int    `json:"count,omitempty"`
	Duration uint64 `json:"duration,omitempty" doc:"Seconds"`
}

type filterRequest struct {
	EventTypes []string         `json:"event_types,omitempty" doc:"Exact names, * for all, or a.b.* for all below a.b"`
	Filter     *contentsRequest `json:"filter,omitempty" doc:"For all of the event types; see the filters of a subscription for one each"`
}

type contentsRequest struct {
	Headers   conditions `json:"headers,omitempty"`
	Body      conditions `json:"body,omitempty"`
	Query     conditions `json:"query,omitempty"`
	Path      conditions `json:"path,omitempty"`
	Flattened bool       `json:"is_flattened,omitempty" doc:"Has no effect"`
}

func (c *contentsRequest) filter() convoy.Filter {
	if c == nil {
		return convoy.Filter{}
	}
	return convoy.Filter{
		Headers: json.RawMessage(c.Headers), Body: json.RawMessage(c.Body), Query: json.RawMessage(c.Query), Path: json.RawMessage(c.Path),
	}
}

// conditions are one scope of a filter, a JSON object.
type conditions json.RawMessage

// Schema implements [huma.SchemaProvider].
func (conditions) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Nullable: true, Description: "See the documentation of filters"}
}

// MarshalJSON writes {} for none.
func (c conditions) MarshalJSON() ([]byte, error) {
	if len(c) == 0 || string(c) == "null" {
		return []byte("{}"), nil
	}
	return c, nil
}

// UnmarshalJSON keeps the text.
func (c *conditions) UnmarshalJSON(b []byte) error {
	*c = append((*c)[:0], b...)
	return nil
}

// period is a duration in a request: a Go duration string or a number of seconds.
type period time.Duration

// Schema implements [huma.SchemaProvider].
func (period) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		OneOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeInteger}},
		Description: "A duration such as 30s, or seconds",
	}
}

// UnmarshalJSON takes both forms.
func (p *period) UnmarshalJSON(b []byte) error {
	*p = 0
	wrong := &json.UnmarshalTypeError{Value: "value " + string(b[:min(len(b), 20)]), Type: reflect.TypeFor[uint64]()}
	switch {
	case string(b) == "null" || string(b) == `""`:
		return nil
	case len(b) > 0 && b[0] == '"':
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return wrong
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return convoy.E(convoy.Invalid, "duration:please provide a valid time duration")
		}
		*p = period(d)
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 32)
	if err != nil {
		return wrong
	}
	*p = period(time.Duration(n) * time.Second)
	return nil
}

// check finds what is wrong with a request; creating tells the two uses apart.
func (q *subscriptionRequest) check(p *convoy.Project, creating bool) error {
	var found problems
	if creating {
		found.required("name", q.Name, maxName, "please provide a valid subscription name")
		if q.EndpointID == "" {
			found.add("endpoint_id", "please provide a valid endpoint id")
		}
	} else {
		found.text("name", q.Name, maxName)
	}
	switch convoy.DeliveryMode(q.DeliveryMode) {
	case "", convoy.AtLeastOnce, convoy.AtMostOnce:
	default:
		found.add("delivery_mode", "invalid delivery mode value, must be either 'at_least_once' or 'at_most_once'")
	}
	found.text("function", q.Function, maxFunction)
	q.AlertConfig.check(&found)
	q.RetryConfig.check(&found)
	if l := q.RateLimitConfig; l != nil {
		checkCount(&found, "count", l.Count, maxCount)
		checkMost(&found, "duration", l.Duration, maxSeconds)
	}
	checkEventTypes(&found, q.FilterConfig.eventTypes())
	if err := found.err(); err != nil {
		return err
	}
	if q.FilterConfig != nil {
		f := q.FilterConfig.Filter.filter()
		if _, err := filter.Compile(&f); err != nil {
			return err
		}
	}
	if creating && p.Type == convoy.Incoming && q.SourceID == "" {
		return convoy.E(convoy.Invalid, "source_id is required for incoming projects")
	}
	return nil
}

func checkEventTypes(found *problems, types []string) {
	if len(types) > maxEventTypes {
		found.add("event_types", "must not be more than "+itoa(maxEventTypes))
		return
	}
	for _, t := range types {
		found.required("event_types", t, maxEventType, "must not be empty")
	}
}

func (q *alertRequest) check(found *problems) {
	if q == nil {
		return
	}
	checkCount(found, "count", q.Count, maxAlertCount)
	if d, err := time.ParseDuration(q.Threshold); q.Threshold != "" && (err != nil || d < 0 || d > 0 && d < time.Second || d > maxAlertThreshold) {
		found.add("threshold", "please provide a valid time duration")
	}
}

func (q *retryRequest) check(found *problems) {
	if q == nil {
		return
	}
	switch convoy.RetryType(q.Type) {
	case "", convoy.RetryLinear, convoy.RetryExponential:
	default:
		found.add("type", "unsupported strategy type")
	}
	if d := time.Duration(q.Duration); d < 0 || d > maxSeconds*time.Second || d > 0 && d < time.Second {
		found.add("duration", "please provide a valid time duration, from 1s to "+(maxSeconds*time.Second).String())
	}
	checkMost(found, "interval_seconds", q.Interval, maxSeconds)
	checkCount(found, "retry_count", q.Count, maxTries)
}

// apply makes a policy of a request and of what it does not say.
func (q *retryRequest) apply(old *convoy.RetryPolicy, p *convoy.Project) *convoy.RetryPolicy {
	if q == nil || *q == (retryRequest{}) {
		return old
	}
	policy := p.Config.Strategy.Policy()
	if old != nil {
		policy = *old
	}
	if q.Type != "" {
		policy.Type = convoy.RetryType(q.Type)
	}
	if q.Duration > 0 {
		policy.Interval = time.Duration(q.Duration)
	} else if q.Interval > 0 {
		policy.Interval = time.Duration(q.Interval) * time.Second
	}
	if q.Count > 0 {
		policy.Limit = q.Count
	}
	return &policy
}

func (f *filterRequest) eventTypes() []string {
	if f == nil {
		return nil
	}
	return f.EventTypes
}

// checkFunction refuses what cannot run.
func (a *api) checkFunction(ctx context.Context, source string) error {
	switch {
	case source == "":
		return nil
	case a.Functions == nil:
		return invalid("function", textUnsupported)
	}
	return a.Functions.Check(ctx, source)
}

// checkSource refuses a source that the project does not have.
func (a *api) checkSource(ctx context.Context, p convoy.ProjectID, source string) error {
	const missing = "failed to find source by id"
	switch {
	case source == "":
		return nil
	case !id.Valid(source):
		return convoy.E(convoy.Invalid, missing)
	}
	_, err := a.Store.Source(ctx, p, convoy.SourceID(source))
	return refuse(err, missing)
}

// apply sets s to what a checked request asks for; what is empty stays.
func (q *subscriptionRequest) apply(s *convoy.Subscription, p *convoy.Project, now time.Time) error {
	if err := q.FilterConfig.apply(s, now); err != nil {
		return err
	}
	if q.Name != "" {
		s.Name = q.Name
	}
	if q.SourceID != "" {
		s.SourceID = convoy.SourceID(q.SourceID)
	}
	if q.DeliveryMode != "" {
		s.Mode = convoy.DeliveryMode(q.DeliveryMode)
	}
	if q.Function != "" {
		s.Function = q.Function
	}
	s.Retry = q.RetryConfig.apply(s.Retry, p)
	if l := q.RateLimitConfig; l != nil {
		if l.Count > 0 {
			s.RateLimit.Count = l.Count
		}
		if l.Duration > 0 {
			s.RateLimit.Duration = l.Duration
		}
	}
	if c := q.AlertConfig; c != nil {
		if c.Count > 0 {
			s.Alert.Count = c.Count
		}
		if d, err := time.ParseDuration(c.Threshold); err == nil {
			s.Alert.Threshold = d
		}
	}
	return nil
}

// apply makes one filter of each event type. Conditions replace those of all
// filters, unless they are what the subscription shows: who sends back what it
// has read changes nothing. A new type takes over the first filter's.
func (f *filterRequest) apply(s *convoy.Subscription, now time.Time) error {
	if f == nil {
		return nil
	}
	first := convoy.Filter{}
	if len(s.Filters) > 0 {
		first = s.Filters[0]
	}
	wanted := f.Filter.filter()
	asked := wanted.Conditional() && !alike(&wanted, &first)
	if asked {
		first = wanted
	}
	old := s.Filters
	if len(f.EventTypes) > 0 {
		s.Filters = filter.ForTypes(s.ID, f.EventTypes, old, now)
	}
	for i := range s.Filters {
		row := &s.Filters[i]
		if asked || !has(old, row.EventType) {
			row.Body, row.Headers, row.Query, row.Path = first.Body, first.Headers, first.Query, first.Path
		}
	}
	return checkFilters(s.Filters)
}

// alike reports whether two filters are shown with the same conditions.
func alike(a, b *convoy.Filter) bool {
	same := func(a, b json.RawMessage) bool { return bytes.Equal(flatten(a), flatten(b)) }
	return same(a.Body, b.Body) && same(a.Headers, b.Headers) && same(a.Query, b.Query) && same(a.Path, b.Path)
}

// maxFilters bounds the conditions of all filters of a subscription, in bytes:
// they are one document, which routing holds in memory.
const maxFilters = 1 << 20

func checkFilters(filters []convoy.Filter) error {
	n := 0
	for i := range filters {
		n += len(filters[i].Body) + len(filters[i].Headers) + len(filters[i].Query) + len(filters[i].Path)
	}
	if n > maxFilters {
		return invalid("filter", "the filters of a subscription must not have more than "+itoa(maxFilters)+" bytes together")
	}
	return nil
}

func has(filters []convoy.Filter, eventType string) bool {
	for i := range filters {
		if filters[i].EventType == eventType {
			return true
		}
	}
	return false
}
