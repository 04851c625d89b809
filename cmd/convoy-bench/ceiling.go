package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// The ceiling is the least that a durable gateway can do with the libraries
// that the real one uses: accept, decode, group-commit event and delivery,
// acknowledge, hand over in memory, sign, POST, group-commit attempt and
// status. It has no authentication, matching, limits, retries, recovery or
// metrics; events it has not delivered when it ends stay undelivered.

// Bounds of the pipeline.
const (
	// commitRows bounds a transaction. Batches form by themselves from what
	// arrives during the last commit, so this is reached only after a stall.
	commitRows = 1000
	// senders is the number of concurrent outbound requests.
	senders = 64
	// handedOver bounds the deliveries that wait for a sender: about 64 MB of
	// 1 KB payloads. When it is full, publishers wait.
	handedOver = 1 << 16
	// responseLimit is how much of an endpoint's answer is kept.
	responseLimit = 50 << 10
)

// ceilingEvent is one accepted event with the one delivery that follows from it.
type ceilingEvent struct {
	id, deliveryID     string
	project, eventType string
	endpoint           string
	key, headers       string
	data               []byte
	createdAt          int64      // Unix microseconds
	stored             chan error // one value per commit, from the committer
}

// ceilingAttempt is the outcome of sending a delivery.
type ceilingAttempt struct {
	event             *ceilingEvent
	id, status, error string
	success           int64
	requestHeaders    string
	responseHeaders   string
	response          string
	requested, ended  int64 // Unix microseconds
}

// ledger is a storage engine of the ceiling. One goroutine calls commit.
type ledger interface {
	// commit stores both batches durably in one transaction; either may be empty.
	commit(ctx context.Context, events []*ceilingEvent, attempts []*ceilingAttempt) error
	close() error
}

type ceiling struct {
	ledger   ledger
	endpoint string
	secret   []byte
	client   *http.Client

	events   chan *ceilingEvent   // bounded by the publishers: each waits for its event
	attempts chan *ceilingAttempt // bounded by the senders' need to be free: one batch
	due      chan *ceilingEvent
}

func newCeiling(l ledger, endpointURL string) *ceiling {
	return &ceiling{
		ledger: l, endpoint: endpointURL, secret: []byte("bench-secret-0123456789abcdef"),
		client: &http.Client{
			Timeout: 10 * time.Second,
			Transport: &http.Transport{
				MaxIdleConns: senders, MaxIdleConnsPerHost: senders, IdleConnTimeout: 30 * time.Second,
				// As the real one does, which decodes within bounds itself.
				DisableCompression: true,
			},
		},
		events: make(chan *ceilingEvent, commitRows), attempts: make(chan *ceilingAttempt, commitRows),
		due: make(chan *ceilingEvent, handedOver),
	}
}

// run serves until ctx ends, or until a commit fails.
func (c *ceiling) run(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/projects/{project}/events", c.accept)
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	var group sync.WaitGroup
	group.Go(func() { cancel(c.commitAll(ctx)) })
	for range senders {
		group.Go(func() { c.sendAll(ctx) })
	}
	group.Go(func() {
		<-ctx.Done()
		_ = server.Close() // ends Serve, whose error says why
	})
	err := server.Serve(listener)
	cancel(err)
	group.Wait()
	c.client.CloseIdleConnections()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, http.ErrServerClosed) {
		return cause
	}
	return nil
}

// envelope is a publish request.
type envelope struct {
	EndpointID     string            `json:"endpoint_id"`
	EventType      string            `json:"event_type"`
	Data           json.RawMessage   `json:"data"`
	CustomHeaders  map[string]string `json:"custom_headers"`
	IdempotencyKey string            `json:"idempotency_key"`
}

func (c *ceiling) accept(w http.ResponseWriter, r *http.Request) {
	event, err := decodeEvent(r)
	if err != nil {
		http.Error(w, `{"status":false,"message":"Invalid input provided"}`, http.StatusBadRequest)
		return
	}
	select {
	case c.events <- event:
	case <-r.Context().Done():
		return
	}
	if err := <-event.stored; err != nil {
		http.Error(w, `{"status":false,"message":"not stored"}`, http.StatusServiceUnavailable)
		return
	}
	select {
	case c.due <- event:
	case <-r.Context().Done():
		return
	}
	answer := make([]byte, 0, 160)
	answer = append(answer, `{"status":true,"message":"Endpoint event created successfully","data":{"uid":"`...)
	answer = append(append(answer, event.id...), `"}}`...)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(answer) // a publisher that is gone does not undo the event
}

func decodeEvent(r *http.Request) (*ceilingEvent, error) {
	if r.ContentLength < 0 || r.ContentLength > maxBody {
		return nil, errBodyTooLarge
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	headers := "{}"
	if len(e.CustomHeaders) > 0 {
		headers = string(jsonHeaders(e.CustomHeaders))
	}
	return &ceilingEvent{
		id: newID(), deliveryID: newID(), project: r.PathValue("project"), eventType: e.EventType,
		endpoint: e.EndpointID, key: e.IdempotencyKey, headers: headers, data: e.Data,
		createdAt: time.Now().UnixMicro(), stored: make(chan error, 1),
	}, nil
}

// commitAll is the only goroutine that writes: one committer with natural
// batches is faster on few cores than several.
func (c *ceiling) commitAll(ctx context.Context) error {
	events := make([]*ceilingEvent, 0, commitRows)
	attempts := make([]*ceilingAttempt, 0, commitRows)
	for {
		events, attempts = events[:0], attempts[:0]
		select {
		case e := <-c.events:
			events = append(events, e)
		case a := <-c.attempts:
			attempts = append(attempts, a)
		case <-ctx.Done():
			return nil
		}
		// Whoever is ready to run may have something to add.
		runtime.Gosched()
		events, attempts = drain(c.events, events), drain(c.attempts, attempts)
		err := c.ledger.commit(ctx, events, attempts)
		for _, e := range events {
			e.stored <- err
		}
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
}

// drain appends what is waiting in the channel, up to the batch's capacity.
func drain[T any](from chan T, batch []T) []T {
	for len(batch) < cap(batch) {
		select {
		case item := <-from:
			batch = append(batch, item)
		default:
			return batch
		}
	}
	return batch
}

func (c *ceiling) sendAll(ctx context.Context) {
	for {
		select {
		case event := <-c.due:
			attempt := c.send(ctx, event)
			select {
			case c.attempts <- attempt:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// send makes one attempt. A failure is part of the attempt.
func (c *ceiling) send(ctx context.Context, event *ceilingEvent) *ceilingAttempt {
	start := time.Now()
	attempt := &ceilingAttempt{event: event, id: newID(), requested: start.UnixMicro(), responseHeaders: "{}"}
	defer func() { attempt.ended = time.Now().UnixMicro() }()

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(event.data))
	if err != nil {
		attempt.error = err.Error()
		return attempt
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "convoy-bench-ceiling")
	request.Header.Set("X-Convoy-Signature", c.signature(event.data, start))
	attempt.requestHeaders = string(jsonHeaders(firstValues(request.Header)))
	response, err := c.client.Do(request)
	if err != nil {
		attempt.error = err.Error()
		return attempt
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, responseLimit))
	if err != nil {
		attempt.error = err.Error()
	}
	attempt.status = response.Status
	attempt.response = string(body)
	attempt.responseHeaders = string(jsonHeaders(firstValues(response.Header)))
	if err == nil && response.StatusCode >= 200 && response.StatusCode < 300 {
		attempt.success = 1
	}
	return attempt
}

// signature is the advanced format: t=<unix seconds>,v1=<hex HMAC-SHA256 of
// "<t>,<body>">.
func (c *ceiling) signature(body []byte, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, c.secret)
	mac.Write([]byte(t))
	mac.Write([]byte{','})
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func firstValues(headers http.Header) map[string]string {
	values := make(map[string]string, len(headers))
	for name, all := range headers {
		values[name] = all[0]
	}
	return values
}

// jsonHeaders cannot fail: every map of strings has a JSON form.
func jsonHeaders(headers map[string]string) []byte {
	text, _ := json.Marshal(headers)
	return text
}

func newID() string { return ulid.Make().String() }
