package api

import (
	"bytes"
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tidwall/gjson"

	"convoy"
	"convoy/internal/catalog"
)

const (
	// maxBatch is how many events one request may publish.
	maxBatch = 1000
	// batchBodies is how many times the body of another request that of a batch
	// may be long.
	batchBodies = 8
	// batchBudget bounds the bodies of batches that are held at once, in bytes;
	// what comes beyond waits, at most batchWait.
	batchBudget = 64 << 20
	batchWait   = 5 * time.Second
	// The events of a batch are made and published some at a time, which bounds
	// the copies of their data and lets other requests in between.
	batchChunk      = 128
	batchChunkBytes = 1 << 20

	ndjsonType = "application/x-ndjson"
)

// Messages of the answer to a batch: of all, of some and of none of its events.
const (
	batchMessage        = "Events queued successfully"
	batchPartialMessage = "Some events were not queued"
	batchRefusedMessage = "No event was queued"
)

// batchItem is one event of a batch.
type batchItem struct {
	Type       string `json:"type,omitempty" enum:"single,fanout,broadcast" doc:"Whom the event is for: an endpoint, those of an owner, or all; single unless given"`
	EndpointID string `json:"endpoint_id,omitempty" doc:"Of single events"`
	OwnerID    string `json:"owner_id,omitempty" maxLength:"255" doc:"Of fan-outs"`
	PublishContent
}

// batchView is the answer to a batch.
type batchView struct {
	Accepted int           `json:"accepted" doc:"How many events are durable now"`
	Rejected int           `json:"rejected"`
	Results  []batchResult `json:"results" doc:"One for each event, in their order"`
}

// batchResult is what became of one event of a batch.
type batchResult struct {
	Status    int            `json:"status" doc:"The HTTP status that the event alone would have had"`
	UID       convoy.EventID `json:"uid,omitempty" doc:"The id of an event that was accepted"`
	Duplicate bool           `json:"is_duplicate_event,omitempty"`
	Error     string         `json:"error,omitempty" doc:"What is wrong, for people"`
}

// describeBatch adds what only this operation has.
func describeBatch(op *huma.Operation) {
	content := op.RequestBody.Content
	content[ndjsonType] = &huma.MediaType{Schema: content[jsonType[0]].Schema.Items}
}

// isNDJSON reports whether a Content-Type is lines of JSON.
func isNDJSON(ct string) bool {
	t, _, err := mime.ParseMediaType(ct)
	return err == nil && (t == ndjsonType || t == "application/ndjson" || t == "application/jsonl")
}

// maxBatchBody is the longest body of a batch, given that of other requests.
func maxBatchBody(maxBody int64) int64 { return batchBodies * maxBody }

// publishBatch takes many events. A body that is no batch is refused whole;
// after that each event stands for itself, and is durable when its result says
// 201.
func (a *api) publishBatch(x *exchange, r *http.Request, urlProject string, _ *publishing) {
	view, err := a.acceptBatch(x, r, urlProject)
	if err != nil {
		a.fail(x, r, err)
		return
	}
	status, message := http.StatusCreated, batchMessage
	switch {
	case view.Accepted == 0:
		status, message = http.StatusBadRequest, batchRefusedMessage
	case view.Rejected > 0:
		status, message = http.StatusMultiStatus, batchPartialMessage
	}
	out, err := encode(envelope[batchView]{Status: view.Accepted > 0, Message: message, Data: view})
	if err != nil {
		a.fail(x, r, err)
		return
	}
	x.Header()["Content-Type"] = jsonType
	x.WriteHeader(status)
	if _, err := x.Write(out); err != nil {
		return // the producer has gone; the events stay
	}
}

func (a *api) acceptBatch(x *exchange, r *http.Request, urlProject string) (batchView, error) {
	ctx := r.Context()
	var none batchView
	err := a.enterProject(ctx, x, urlProject, x.route.access.right())
	if err != nil {
		return none, err
	}
	project := x.entered
	longest := maxBatchBody(a.MaxBody)
	size := r.ContentLength
	if size > longest {
		return none, errBodyTooLarge
	}
	if size < 0 {
		size = longest
	}
	wait, cancel := context.WithTimeout(ctx, batchWait)
	err = a.batchBytes.Acquire(wait, size)
	cancel()
	if err != nil {
		return none, &convoy.Error{Kind: convoy.Unavailable, Msg: "too many batches at once, try again", RetryAfter: batchWait, Err: err}
	}
	defer a.batchBytes.Release(size)
	body, err := readBody(x.ResponseWriter, r, make([]byte, 0, 16<<10), longest)
	if err != nil {
		return none, err
	}
	ct := r.Header.Get("Content-Type")
	items, err := splitBatch(body, !isJSON(ct))
	if err != nil {
		return none, err
	}
	if err := a.IngestRate.take(ctx, max(len(items), 1)); err != nil {
		return none, err
	}
	b := batchRun{api: a, exchange: x, project: project, results: make([]batchResult, len(items))}
	for i, item := range items {
		b.add(ctx, i, item)
	}
	b.flush(ctx)
	x.err = b.down
	view := batchView{Results: b.results}
	for i := range b.results {
		if b.results[i].Status == http.StatusCreated {
			view.Accepted++
		}
	}
	view.Rejected = len(items) - view.Accepted
	if view.Accepted == 0 && b.down != nil {
		return none, b.down
	}
	return view, nil
}

// splitBatch finds the events of a body: the elements of a JSON array, or the
// lines that are not blank. The elements are valid JSON, the lines may be
// anything.
func splitBatch(body []byte, lines bool) ([][]byte, error) {
	if blank(body) {
		return nil, errBodyEmpty
	}
	var items [][]byte
	if lines {
		for line := range bytes.Lines(body) {
			if !blank(line) {
				items = append(items, line)
			}
			if len(items) > maxBatch {
				return nil, errBatchTooLong
			}
		}
		return items, nil
	}
	if !validJSON(body) {
		return nil, slowError(body)
	}
	// The view lives as long as this call, and nobody writes to body meanwhile.
	view := gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body)))
	if !view.IsArray() {
		return nil, convoy.E(convoy.Invalid, "body must be a JSON array of events, or lines of them with Content-Type "+ndjsonType)
	}
	view.ForEach(func(_, item gjson.Result) bool {
		items = append(items, body[item.Index:item.Index+len(item.Raw)])
		return len(items) <= maxBatch
	})
	switch {
	case len(items) == 0:
		return nil, convoy.E(convoy.Invalid, "body must have at least one event")
	case len(items) > maxBatch:
		return nil, errBatchTooLong
	}
	return items, nil
}

var errBatchTooLong = convoy.E(convoy.Invalid, "body must not have more than "+strconv.Itoa(maxBatch)+" events")

// batchRun publishes the events of one batch, some at a time.
type batchRun struct {
	*api
	exchange *exchange
	project  *catalog.Project
	results  []batchResult
	// events wait to be published, at are their places in the batch.
	events []*convoy.Event
	at     []int
	bytes  int
	// down is a fault of ours: what follows is refused without a try, so that
	// the request does not wait for it once per chunk.
	down error
}

// add takes one event.
func (b *batchRun) add(ctx context.Context, i int, item []byte) {
	e, err := b.event(ctx, item)
	if err != nil {
		b.refuse(ctx, i, err)
		return
	}
	b.events, b.at = append(b.events, e), append(b.at, i)
	b.bytes += len(e.Data)
	if len(b.events) >= batchChunk || b.bytes >= batchChunkBytes {
		b.flush(ctx)
	}
}

func (b *batchRun) event(ctx context.Context, item []byte) (*convoy.Event, error) {
	if b.down != nil {
		return nil, b.down
	}
	if int64(len(item)) > b.MaxBody {
		return nil, errBodyTooLarge
	}
	var p publication
	if err := p.parseItem(item); err != nil {
		return nil, err
	}
	return b.eventOf(ctx, b.project, &p)
}

// flush publishes what waits.
func (b *batchRun) flush(ctx context.Context) {
	if len(b.events) == 0 {
		return
	}
	errs := make([]error, len(b.events))
	if b.down != nil {
		for i := range errs {
			errs[i] = b.down
		}
	} else {
		errs = b.Publisher.PublishAll(ctx, b.events)
	}
	for i, e := range b.events {
		if errs[i] != nil {
			b.refuse(ctx, b.at[i], errs[i])
			continue
		}
		b.exchange.noteType(b.project, e)
		b.results[b.at[i]] = batchResult{Status: http.StatusCreated, UID: e.ID, Duplicate: e.Duplicate}
	}
	clear(b.events)
	b.events, b.at, b.bytes = b.events[:0], b.at[:0], 0
}

func (b *batchRun) refuse(ctx context.Context, i int, err error) {
	f := classify(ctx, err)
	if f.status >= statusClosed && b.down == nil {
		b.down = err
	}
	b.results[i] = batchResult{Status: f.status, Error: f.msg}
}

// parseItem reads an event of a batch, whose type says what kind it is.
func (p *publication) parseItem(item []byte) error {
	if !validJSON(item) {
		return slowError(item)
	}
	var (
		typ string
		err error
	)
	if view := gjson.Parse(unsafe.String(unsafe.SliceData(item), len(item))); view.IsObject() {
		view.ForEach(func(key, value gjson.Result) bool {
			if is(key.Str, "type") {
				err = stringField(&typ, "type", value)
			}
			return err == nil
		})
	}
	if err != nil {
		return err
	}
	switch strings.ToLower(typ) {
	case "", "single":
	case "fanout":
		p.kind = convoy.KindFanout
	case "broadcast":
		p.kind = convoy.KindBroadcast
	default:
		return invalid("type", "must be single, fanout or broadcast")
	}
	return p.parse(item)
}
