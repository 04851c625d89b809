package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestFunctions publishes to endpoints whose subscriptions have functions: one
// that works, and some that try to stop the gateway.
func TestFunctions(t *testing.T) {
	t.Parallel()
	i := startStandalone(t)
	c := i.client()
	s := newSink(t)
	got := make(inbox, 16) // more than the requests that come
	s.close()
	s.handler = got
	s.open()

	hostile := map[string]string{
		"endless":  `function transform(p) { return Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1) }`,
		"memory":   `function transform(p) { return new Uint8Array(new ArrayBuffer(4e9)).length }`,
		"stack":    `function* g() { yield* g() } function transform(p) { return [...g()] }`,
		"mistaken": `function transform(p) { return p.nothing.here }`,
	}
	subscribe := func(name, function string) string {
		endpoint := c.endpoint(t, s, s.receive(name, always(ok)))
		c.must(t, http.MethodPost, "/subscriptions", map[string]any{"name": name, "endpoint_id": endpoint, "function": function}, http.StatusCreated, nil)
		return endpoint
	}
	publish := func(endpoint string) string {
		var e struct {
			UID string `json:"uid"`
		}
		c.must(t, http.MethodPost, "/events", map[string]any{"endpoint_id": endpoint, "event_type": "e2e.happened", "data": map[string]any{"id": 1}}, http.StatusCreated, &e)
		return e.UID
	}
	events := make(map[string]string)
	for name, source := range hostile {
		endpoint := subscribe(name, source)
		events[name] = publish(endpoint)
		c.must(t, http.MethodPost, "/subscriptions/test_function", map[string]any{"payload": map[string]any{}, "function": source}, http.StatusBadRequest, nil)
	}
	good := subscribe("good", `function transform(p) { return {was: p, big: p.big} }`)
	r, err := c.do(t.Context(), http.MethodPost, "/events", fmt.Appendf(nil, `{"endpoint_id":%q,"event_type":"e2e.happened","data":{ "big": 9007199254740993, "n": 1.0 }}`, good))
	if err != nil || r.status != http.StatusCreated {
		t.Fatalf("%v, %s", err, r.raw)
	}
	select {
	case r := <-got:
		// n has moved, and is no more than a double there.
		if want := `{"was":{"big":9007199254740993,"n":1},"big":9007199254740993}`; r.path != "/good" || string(r.body) != want {
			t.Errorf("%s got %s, want %s", r.path, r.body, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the working function's event was not delivered")
	}
	for name, event := range events {
		await(t, 30*time.Second, name+" fails", func() error {
			var list struct {
				Content []struct {
					Status, Description string
				}
			}
			c.must(t, http.MethodGet, "/eventdeliveries?eventId="+event, nil, http.StatusOK, &list)
			if len(list.Content) != 1 || list.Content[0].Status != "Failure" || !strings.Contains(list.Content[0].Description, "function") {
				return fmt.Errorf("deliveries %+v", list.Content)
			}
			return nil
		})
	}
	select {
	case r := <-got:
		t.Errorf("%s got %s", r.path, r.body)
	default:
	}
}
