package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/meta"
)

const (
	onboardRoute = "/onboard"
	// maxOnboardItems bounds one request, and maxOnboardFile its CSV file; the body
	// holds the form's parts besides.
	maxOnboardItems = 1000
	maxOnboardFile  = 10 << 20
	maxOnboardBody  = maxOnboardFile + 64<<10
	// onboardBatch is how many items one transaction stores.
	onboardBatch = 50
	// maxOnboardErrors bounds what is said of a file.
	maxOnboardErrors = 1000
)

func (a *api) onboardRoutes(r *registrar) {
	handle(r, operation{
		id: "BulkOnboard", access: managesProject, method: http.MethodPost, path: "/api/v1/projects/{projectID}" + onboardRoute, tag: "Onboarding",
		summary: "Create many endpoints with a subscription each",
		status:  http.StatusAccepted, message: "Bulk onboard request accepted",
		also: map[int]alternative{
			http.StatusOK:         {message: "Dry run validation complete"},
			http.StatusBadRequest: {message: "Validation failed", body: reflect.TypeFor[failedWith[onboardView]]()},
		},
	}, a.onboard)
}

// isForm reports whether a Content-Type is a multipart form.
func isForm(ct string) bool {
	t, _, err := mime.ParseMediaType(ct)
	return err == nil && t == "multipart/form-data"
}

type onboardInput struct {
	ProjectPath
	DryRun      string `query:"dry_run" enum:"true,false" doc:"Check the items and create nothing"`
	ContentType string `header:"Content-Type" hidden:"true"`
	Payload     payload[onboardRequest]
}

// onboardRequest is the JSON form; a CSV file, in the field file of a multipart
// form, has the same names as columns.
type onboardRequest struct {
	Items []onboardItem `json:"items"`
}

type onboardItem struct {
	Name         string `json:"name" maxLength:"255"`
	URL          string `json:"url" maxLength:"2048"`
	EventType    string `json:"event_type,omitempty" maxLength:"255" doc:"All unless given"`
	AuthUsername string `json:"auth_username,omitempty" doc:"For HTTP basic authentication; with auth_password or not at all"`
	AuthPassword string `json:"auth_password,omitempty"`
}

// onboardView is what became of the items. Its fields depend on that.
type onboardView struct {
	Batches *int           `json:"batch_count,omitempty"`
	Items   *int           `json:"total_items,omitempty"`
	Message string         `json:"message,omitempty"`
	Rows    *int           `json:"total_rows,omitempty" doc:"Of a dry run, or of items that are refused"`
	Valid   *int           `json:"valid_count,omitempty"`
	Errors  []onboardError `json:"errors,omitzero"`

	dry bool
}

// onboardError is what is wrong with an item; rows count from 1.
type onboardError struct {
	Row     int    `json:"row"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (v onboardView) outcome() (status int, message string) {
	switch {
	case v.dry:
		return http.StatusOK, "Dry run validation complete"
	case len(v.Errors) > 0:
		return http.StatusBadRequest, "Validation failed"
	}
	return http.StatusAccepted, "Bulk onboard request accepted"
}

// onboard checks all items, then creates them. They exist when the answer is 202;
// a fault in between leaves whole batches.
func (a *api) onboard(ctx context.Context, in *onboardInput) (onboardView, error) {
	var v onboardView
	p := projectOf(ctx)
	settings := p.Settings()
	if settings.Type != convoy.Outgoing {
		return v, convoy.E(convoy.Invalid, "bulk onboard is only supported for outgoing projects")
	}
	switch in.DryRun {
	case "true", "1":
		v.dry = true
	case "", "false", "0":
	default:
		return v, invalid("dry_run", "must be true or false")
	}
	items, err := in.items()
	if err != nil {
		return v, err
	}
	valid := 0
	for i := range items {
		found := items[i].check(settings, a.Guard)
		for _, e := range found {
			e.Row = i + 1
			if len(v.Errors) < maxOnboardErrors {
				v.Errors = append(v.Errors, e)
			}
		}
		if len(found) == 0 {
			valid++
		}
	}
	n := len(items)
	if v.dry || len(v.Errors) > 0 {
		v.Rows, v.Valid = &n, &valid
		if v.Errors == nil {
			v.Errors = []onboardError{}
		}
		return v, nil
	}
	var types []string
	for i := range items {
		types = append(types, cmp.Or(items[i].EventType, convoy.AnyEventType))
	}
	if err := a.Store.EnsureEventTypes(ctx, settings.ID, types, a.now()); err != nil {
		return v, err
	}
	batches := 0
	for lo := 0; lo < n; lo += onboardBatch {
		if err := a.createItems(ctx, settings, items[lo:min(lo+onboardBatch, n)]); err != nil {
			return v, err
		}
		batches++
	}
	a.changed(ctx, settings.ID)
	v.Batches, v.Items = &batches, &n
	v.Message = fmt.Sprintf("%d endpoints with a subscription each were created", n)
	return v, nil
}

// items are those of the request, at least one.
func (in *onboardInput) items() ([]onboardItem, error) {
	var items []onboardItem
	if isForm(in.ContentType) {
		if in.Payload.err != nil {
			return nil, readError(in.Payload.err)
		}
		file, err := formFile(in.ContentType, in.Payload.raw)
		if err != nil {
			return nil, err
		}
		if items, err = readCSV(file); err != nil {
			return nil, err
		}
	} else {
		req, err := in.Payload.decode()
		if err != nil {
			return nil, err
		}
		items = req.Items
	}
	switch {
	case len(items) == 0:
		return nil, convoy.E(convoy.Invalid, "items list cannot be empty")
	case len(items) > maxOnboardItems:
		return nil, invalid("items", "must not be more than "+itoa(maxOnboardItems))
	}
	return items, nil
}

// formFile is the content of the part named file.
func formFile(contentType string, body []byte) ([]byte, error) {
	bad := invalid("file", "must be a CSV file in a multipart form")
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil, bad
	}
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for range 100 { // parts, more than anyone sends
		part, err := form.NextPart()
		if err != nil {
			return nil, bad
		}
		if part.FormName() != "file" {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(part, maxOnboardFile+1))
		switch {
		case err != nil:
			return nil, bad
		case len(content) > maxOnboardFile:
			return nil, errBodyTooLarge
		}
		return content, nil
	}
	return nil, bad
}

// readCSV reads items from a file whose first row names its columns (RFC 4180).
func readCSV(file []byte) ([]onboardItem, error) {
	file = bytes.TrimPrefix(file, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(file) {
		return nil, invalid("file", textUTF8)
	}
	r := csv.NewReader(bytes.NewReader(file))
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, invalid("file", "is empty")
	}
	if err != nil {
		return nil, invalid("file", "is not CSV: "+err.Error())
	}
	columns := make(map[string]int, len(header))
	for i, name := range header {
		columns[strings.ToLower(strings.TrimSpace(name))] = i
	}
	for _, name := range []string{"name", "url"} {
		if _, ok := columns[name]; !ok {
			return nil, invalid("file", "has no column "+name)
		}
	}
	var items []onboardItem
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return items, nil
		}
		if err != nil {
			return nil, invalid("file", "is not CSV: "+err.Error())
		}
		if len(items) >= maxOnboardItems {
			return nil, invalid("items", "must not be more than "+itoa(maxOnboardItems))
		}
		cell := func(name string) string {
			if i, ok := columns[name]; ok {
				return row[i]
			}
			return ""
		}
		items = append(items, onboardItem{
			Name: cell("name"), URL: cell("url"), EventType: cell("event_type"),
			AuthUsername: cell("auth_username"), AuthPassword: cell("auth_password"),
		})
	}
}

// check says what is wrong with an item.
func (it *onboardItem) check(p *convoy.Project, guard urlChecker) []onboardError {
	var found []onboardError
	add := func(field, message string) { found = append(found, onboardError{Field: field, Message: message}) }
	switch {
	case it.Name == "":
		add("name", "please provide a name")
	case badText(it.Name, maxName) != "":
		add("name", badText(it.Name, maxName))
	}
	switch {
	case it.URL == "":
		add("url", "please provide a url")
	case badText(it.URL, maxURL) != "":
		add("url", badText(it.URL, maxURL))
	default:
		if err := guard.CheckURL(it.URL, p.Config.SSL.EnforceSecureEndpoints); err != nil {
			add("url", text(err))
		}
	}
	if problem := badText(it.EventType, maxEventType); problem != "" {
		add("event_type", problem)
	}
	switch {
	case it.AuthUsername == "" && it.AuthPassword == "":
	case it.AuthUsername == "":
		add("auth_username", "must be given with auth_password")
	case it.AuthPassword == "":
		add("auth_password", "must be given with auth_username")
	case strings.Contains(it.AuthUsername, ":"):
		add("auth_username", "must not contain a colon") // RFC 7617, section 2
	case badText(it.AuthUsername, maxName) != "":
		add("auth_username", badText(it.AuthUsername, maxName))
	case badText(it.AuthPassword, maxCredential) != "":
		add("auth_password", badText(it.AuthPassword, maxCredential))
	}
	return found
}

// createItems stores one batch of checked items.
func (a *api) createItems(ctx context.Context, p *convoy.Project, items []onboardItem) error {
	var (
		now           = a.now()
		endpoints     []*convoy.Endpoint
		subscriptions []*convoy.Subscription
		told          []convoy.Job
	)
	for i := range items {
		it := &items[i]
		e := &convoy.Endpoint{
			ID: convoy.EndpointID(id.New(now)), ProjectID: p.ID, URL: it.URL, Name: it.Name, Status: convoy.EndpointActive,
			Secrets:            []convoy.Secret{{ID: id.New(now), Value: auth.NewSecret(), CreatedAt: now, UpdatedAt: now}},
			AdvancedSignatures: true, ContentType: contentJSON, CreatedAt: now, UpdatedAt: now,
		}
		if it.AuthUsername != "" {
			e.Authentication = convoy.Authentication{Type: authBasic, Basic: &convoy.BasicAuth{Username: it.AuthUsername, Password: it.AuthPassword}}
		}
		s := &convoy.Subscription{
			ID: convoy.SubscriptionID(id.New(now)), ProjectID: p.ID, Name: it.Name + "-subscription", EndpointID: e.ID,
			Mode: convoy.AtLeastOnce, CreatedAt: now, UpdatedAt: now,
		}
		s.Filters = filter.ForTypes(s.ID, []string{cmp.Or(it.EventType, convoy.AnyEventType)}, nil, now)
		endpoints, subscriptions = append(endpoints, e), append(subscriptions, s)
		told = append(told, meta.Endpoint(p, convoy.MetaEndpointCreated, e, now)...)
	}
	if err := a.Store.CreateSubscribed(ctx, endpoints, subscriptions, told...); err != nil {
		return err
	}
	a.hasten(ctx, told)
	return nil
}
