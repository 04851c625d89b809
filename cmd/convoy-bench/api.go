package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// api is the part of the management API that a measurement needs. Requests are
// few, so it uses net/http.
type api struct {
	target target
	client *http.Client
}

func newAPI(t target) *api {
	return &api{t, &http.Client{
		Timeout: 15 * time.Second,
		// Kept-alive connections would be open files of a server that is restarted.
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

// subscribe makes an endpoint at endpointURL and a subscription for every
// event type, and returns the endpoint's id.
func (a *api) subscribe(ctx context.Context, endpointURL string) (string, error) {
	return a.subscribeTo(ctx, endpointURL, map[string]any{"event_types": []string{"*"}})
}

func (a *api) subscribeTo(ctx context.Context, endpointURL string, filter map[string]any) (string, error) {
	name := fmt.Sprintf("bench %d", time.Now().UnixNano())
	endpoint, err := a.created(ctx, "endpoints", map[string]any{
		"name": name, "url": endpointURL, "secret": "bench-secret-0123456789abcdef", "advanced_signatures": true,
	})
	if err != nil {
		return "", fmt.Errorf("create endpoint: %w", err)
	}
	_, err = a.created(ctx, "subscriptions", map[string]any{
		"name": name, "endpoint_id": endpoint, "filter_config": filter,
	})
	if err != nil {
		return "", fmt.Errorf("create subscription: %w", err)
	}
	return endpoint, nil
}

// publish sends one event by itself.
func (a *api) publish(ctx context.Context, endpointID string, payload int) error {
	_, err := a.created(ctx, "events", map[string]any{
		"endpoint_id": endpointID, "event_type": "bench.event", "data": json.RawMessage(warmData(payload)),
	})
	if err != nil {
		return fmt.Errorf("publish event: %w", err)
	}
	return nil
}

// warmData is a payload that no run counts.
func warmData(size int) []byte {
	return append(append([]byte(`{"pad":"`), bytes.Repeat([]byte("x"), max(0, size-10))...), `"}`...)
}

// retryQuickly makes the project retry at a fixed interval, for long enough
// that no delivery gives up, and its circuit breaker look again as often.
func (a *api) retryQuickly(ctx context.Context, every time.Duration) error {
	var project struct {
		Name string `json:"name"`
	}
	if err := a.call(ctx, http.MethodGet, "", nil, &project); err != nil {
		return fmt.Errorf("project: %w", err)
	}
	seconds := max(1, int(every/time.Second))
	err := a.call(ctx, http.MethodPut, "", map[string]any{
		"name": project.Name,
		"config": map[string]any{
			"strategy": map[string]any{"type": "linear", "duration": seconds, "retry_count": 500},
			"circuit_breaker": map[string]any{
				"sample_rate": seconds, "error_timeout": seconds, "failure_threshold": 70, "success_threshold": 5,
				"observability_window": 5, "minimum_request_count": 10, "consecutive_failure_threshold": 1000,
			},
		},
	}, nil)
	if err != nil {
		return fmt.Errorf("project retry strategy: %w", err)
	}
	return nil
}

// created posts to a collection of the project and returns the new uid.
func (a *api) created(ctx context.Context, collection string, body any) (string, error) {
	var data struct {
		UID string `json:"uid"`
	}
	if err := a.call(ctx, http.MethodPost, "/"+collection, body, &data); err != nil {
		return "", err
	}
	if data.UID == "" {
		return "", fmt.Errorf("answer without data.uid")
	}
	return data.UID, nil
}

// call sends a request below the project and decodes the answer's data.
func (a *api) call(ctx context.Context, method, path string, body, data any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	address := a.target.url + "/api/v1/projects/" + a.target.project + path
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+a.target.apiKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s %s answered %s: %.300s", method, request.URL.Path, response.Status, text)
	}
	if data == nil {
		return nil
	}
	envelope := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal(text, &envelope); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}
