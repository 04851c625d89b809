package app

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"convoy/internal/config"
	"convoy/internal/telemetry"
)

// Paths reach the API as they are sent, and nobody is redirected.
func TestOperationsPass(t *testing.T) {
	t.Parallel()
	p := &process{Options: Options{Config: config.Config{Metrics: config.Metrics{Enabled: true}}}, parts: parts{api: true}, metrics: telemetry.NewMetrics()}
	h := p.operations(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(r.URL.Path)) // to a recorder
	}))
	for path, want := range map[string]int{
		"/api//v1/projects": http.StatusTeapot, "//api/v1": http.StatusTeapot, "/api/v1/": http.StatusTeapot, "/api/../metrics": http.StatusTeapot,
		"/": http.StatusTeapot, "/metrics": http.StatusOK,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if w.Code != want || want == http.StatusTeapot && w.Body.String() != path {
			t.Errorf("%s: %d %.80s", path, w.Code, w.Body)
		}
	}
}
