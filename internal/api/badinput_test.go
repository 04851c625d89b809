package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"convoy/internal/store/sqldb"
)

// leniency is bad input that is taken on purpose, or refused in words that do not
// name the field. Empty members stand for all.
type leniency struct {
	op, field, what string
	// says is what the message has instead of the field's name; empty where the
	// input is accepted.
	says   string
	reason string
}

// lenient is everything that is not refused, or refused in other words.
var lenient = []leniency{
	{op: "CreateEndpointEvent", field: "endpoint_id", says: "endpoint not found", reason: "the contract's words for any id that is unknown"},
	{op: "CreateEndpointEvent", field: "app_id", says: "app id has no configured endpoints", reason: "the contract's words"},
	{op: "CreateBatchEvents", field: "endpoint_id", says: "endpoint not found", reason: "as of a single event"},
	{op: "CreateSubscription", field: "endpoint_id", says: "failed to find endpoint by id", reason: "the contract's words"},
	{op: "UpdateSubscription", field: "endpoint_id", says: "failed to find endpoint by id", reason: "the contract's words"},
	{op: "CreateSubscription", field: "source_id", says: "failed to find source by id", reason: "the contract's words"},
	{op: "UpdateSubscription", field: "source_id", says: "failed to find source by id", reason: "the contract's words"},
	{op: "CreateFilter", field: "enabled_at", what: "the type object", says: "already exists", reason: "some clients send an object (contract, 9.5)"},
	{op: "BulkCreateFilters", field: "enabled_at", what: "the type object", says: "already exists", reason: "as above"},
	{op: "CreateFilter", field: "enabled_at", what: "the type object", reason: "as above"},
	{op: "BulkCreateFilters", field: "enabled_at", what: "the type object", reason: "as above"},
	{op: "UpdateFilter", field: "enabled_at", what: "the type object", reason: "as above"},
	{op: "BulkUpdateFilters", field: "enabled_at", what: "the type object", reason: "as above"},
	{op: "UpdateFilter", field: "uid", reason: "the path says which filter is meant; the body's id is not read"},
	{op: "UpdateProject", field: "type", reason: "a project keeps its type; an update does not read it"},
	{op: "UpdateProject", what: "absent", reason: "a nested setting replaces the old one wholly: what it leaves out is zero"},
	{op: "UpdatePortalLink", field: "body", what: "a string", reason: "how the Go SDK revokes (contract, 9.2)"},
	{op: "CreateDynamicEvent", field: "event_types", what: "too many", reason: "repeated types count once"},
	{op: "CreateSource", field: "body", says: "source custom response too large", reason: "the contract's words"},
	{op: "UpdateSource", field: "body", says: "source custom response too large", reason: "the contract's words"},
	{op: "ForceResendEventDeliveries", field: "ids", what: "absent", reason: "as an empty list: nothing is asked for"},
	{op: "TestFilter", field: "eventType", reason: "any text may be an event type"},
	{op: "ToggleSubscriptionStatus", reason: "does nothing and checks nothing (contract, 3.6)"},
	{op: "RegenerateProjectKey", field: "body", what: "empty", reason: "the body has nothing that is needed"},
	{field: "sort", what: "no such value", reason: "has always meant the default order (contract, 1.7)"},
}

func (l *leniency) covers(c *badCase) bool {
	return (l.op == "" || l.op == c.op.id) && (l.field == "" || l.field == c.field) && (l.what == "" || strings.HasSuffix(c.what, ": "+l.what) || l.what == c.what)
}

// TestBadInput sends every operation of the document everything that is wrong in
// every place of its request. Whatever comes, the answer is the JSON envelope, is
// in the document, and is no fault of ours; what cannot be right is refused by
// name.
func TestBadInput(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		w := newWorld(t, db)
		d := walkedDocument(t, w.fixture)
		w.checkValid(w.ask(d), "before")
		foreign := w.foreign()
		calls := w.ask(d)
		var cases []badCase
		for i := range calls {
			op := &calls[i]
			cases = append(cases, bodyCases(t, d, op, op.target(w, nil, op.query))...)
			cases = append(cases, parameterCases(op, w, foreign)...)
		}
		if t.Failed() {
			return
		}
		aside(w, cases)
		failures := w.sendAll(cases)
		slices.Sort(failures)
		const shown = 100
		for i, f := range failures {
			if i == shown {
				t.Errorf("and %d more", len(failures)-shown)
				break
			}
			t.Error(f)
		}
		if log := w.log.String(); strings.Contains(log, `"level":"ERROR"`) {
			t.Error("the log has errors")
		}
		w.checkValid(w.ask(d), "after")
		t.Logf("bad input: %d requests, %d operations", len(cases), len(calls))
	})
}

// aside gives the one case that destroys what it is sent to a target of its own.
func aside(w *world, cases []badCase) {
	for i := range cases {
		if c := &cases[i]; c.op.id == "UpdatePortalLink" && c.what == "a string" {
			own := *c.op
			own.specimen = samples[c.op.id](w)
			c.target = own.target(w, nil, own.query)
		}
	}
}

// sendAll sends cases, several at a time, and returns what is wrong with the
// answers.
func (w *world) sendAll(cases []badCase) []string {
	const senders = 8
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		failures []string
		next     = make(chan *badCase) // unbuffered: the senders are the bound
	)
	for range senders {
		wg.Go(func() {
			for c := range next {
				if problem := w.send(c); problem != "" {
					mu.Lock()
					failures = append(failures, fmt.Sprintf("%s: %s: %s", c.op.id, c.what, problem))
					mu.Unlock()
				}
			}
		})
	}
	for i := range cases {
		next <- &cases[i]
	}
	close(next)
	wg.Wait()
	return failures
}

// send sends one case and says what is wrong with the answer.
func (w *world) send(c *badCase) string {
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	if c.chunked {
		body = io.MultiReader(body) // of unknown length
	}
	req, err := http.NewRequestWithContext(w.t.Context(), c.op.method, w.server.URL+c.target, body)
	if err != nil {
		return err.Error()
	}
	if key := c.op.credential(w); key != "-" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for name, value := range c.op.header {
		req.Header.Set(name, value)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.contentType != "" {
		req.Header["Content-Type"] = []string{c.contentType}
	}
	res, err := w.server.Client().Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return c.judge(res.StatusCode, answer)
}

// judge says what is wrong with an answer; empty when it is right.
func (c *badCase) judge(status int, body []byte) string {
	short := fmt.Sprintf("%d %.300s", status, body)
	var e struct {
		Status  *bool
		Message *string
		Data    json.RawMessage
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Status == nil || e.Message == nil || *e.Status != (status < 300) {
		return "no envelope: " + short
	}
	_, documented := c.op.doc.Responses[strconv.Itoa(status)]
	switch {
	case status >= 500:
		return short
	case !documented:
		return "not in the document: " + short
	case strings.Contains(string(body), rivalMark):
		return "shows what is the rival's: " + short
	case c.status != 0:
		if status != c.status {
			return fmt.Sprintf("want %d: %s", c.status, short)
		}
		return ""
	case !c.refused:
		return ""
	}
	said := strings.ToLower(*e.Message + string(e.Data)) // some refusals are lists
	if status >= 400 && (!c.named || strings.Contains(said, strings.ToLower(c.field))) {
		return ""
	}
	for i := range lenient {
		l := &lenient[i]
		if l.covers(c) && (status < 300) == (l.says == "") && strings.Contains(said, l.says) {
			return ""
		}
	}
	if status < 300 {
		return "accepted: " + short
	}
	return "does not name " + c.field + ": " + short
}
