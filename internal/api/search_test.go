package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"convoy/internal/store/sqldb"
)

func TestEventSearch(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		h := f.history(f.now, "Key-7", f.endpoint("a"))
		found := func(query string, want int) {
			t.Helper()
			var page paged[eventView]
			f.want(call{path: "events?" + query}, 200, "App events fetched successfully").data(t, &page)
			if len(page.Content) != want {
				t.Errorf("%s: %d events, want %d", query, len(page.Content), want)
			}
		}
		for query, want := range map[string]int{
			"key-": 1, string(h.event.ID)[:12]: 1, "VOICE": 1, "nothing": 0, `{"id":9}`: 1, `{"id":9,"s":"<&>"}`: 1, `{"id":"9"}`: 0, "{}": 1, `{"id":9`: 0, "[9]": 0,
		} {
			found("query="+url.QueryEscape(query), want)
		}
		found("body="+url.QueryEscape(`{"s":"<&>"}`), 1)
		found("query=key&body="+url.QueryEscape(`{"s":"<&>"}`), 1)
		found("query=nothing&body="+url.QueryEscape(`{"s":"<&>"}`), 0)
		found("query="+url.QueryEscape(`{"id":9}`)+"&body="+url.QueryEscape(`{"id":8}`), 0)
		found("query=key&endDate=2026-01-01T00:00:00&startDate=2025-01-01T00:00:00", 0)
		found("brokerMessageId=7", 0)
		found("query=&body=", 1)
		f.history(f.now.Add(-48*time.Hour), "old", f.endpoint("b"))
		found("query=old&startDate=2026-01-01T00:00:00", 1)
		f.want(call{method: "PUT", body: `{"name":"shop","config":{"search_policy":"24h"}}`}, 202, "Project updated successfully")
		found("query=old&startDate=2026-01-01T00:00:00", 0)
		found("query=key&startDate=2026-01-01T00:00:00", 1)
		found("idempotencyKey=old&startDate=2026-01-01T00:00:00", 1) // no search
		for query, message := range map[string]string{
			"body={}": "body must be a nonempty JSON object", "body=[1]": "body must be a nonempty JSON object", "body=x": "body must be a nonempty JSON object",
			"body=" + url.QueryEscape(`{"a":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`}`): "body:must not have more than 100 values or be nested deeper than 16",
			"query=" + url.QueryEscape(`{"a":[`+strings.Repeat("1,", 101)+`1]}`):                   "query:must not have more than 100 values or be nested deeper than 16",
			"query=a%00": "query:must not contain NUL characters", "body=%ff": "body:must be valid UTF-8",
			"query=" + strings.Repeat("x", maxFilter+1): "query:must not be longer than 1024 characters",
		} {
			f.want(call{path: "events?" + query}, 400, message)
		}
	})
}

// A search that takes too long is a 504; one whose caller has gone is not.
func TestWithin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, errors.New("canceling statement")
		}
		_, err := within(t.Context(), "too long", hang)
		if got := classify(t.Context(), err); got.status != http.StatusGatewayTimeout || got.msg != "too long" {
			t.Errorf("answer %+v", got)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err = within(gone, "too long", hang); classify(gone, err).status != statusClosed {
			t.Errorf("answer %+v", classify(gone, err))
		}
	})
}
