package api

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// readyTimeout bounds all checks of /readyz together.
const readyTimeout = 2 * time.Second

// health says that the process runs; it asks nothing else.
func (a *api) health(x *exchange, r *http.Request) {
	body, err := encode(envelope[none]{Status: true, Message: "Convoy " + a.Version})
	a.write(x, r, http.StatusOK, body, err)
}

// readiness is the payload of /readyz: each check, "ok" or "unavailable". Why
// is in the log, for it may name hosts.
type readiness map[string]string

// ready says whether the process can take requests.
func (a *api) ready(x *exchange, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	errs := make([]error, len(a.Ready))
	var wg sync.WaitGroup
	for i, c := range a.Ready {
		wg.Go(func() { errs[i] = c.Probe(ctx) })
	}
	wg.Wait()
	e := envelope[readiness]{Status: true, Message: "ready", Data: make(readiness, len(a.Ready))}
	status := http.StatusOK
	for i, c := range a.Ready {
		e.Data[c.Name] = "ok"
		if errs[i] != nil {
			e.Status, e.Message, e.Data[c.Name], status = false, "not ready", "unavailable", http.StatusServiceUnavailable
			errs[i] = fmt.Errorf("%s: %w", c.Name, errs[i])
		}
	}
	x.err = errors.Join(errs...)
	body, err := encode(e)
	a.write(x, r, status, body, err)
}

// openAPI serves the document.
func (a *api) openAPI(x *exchange, r *http.Request) {
	if err := onlyGet(r); err != nil {
		a.fail(x, r, err)
		return
	}
	a.write(x, r, http.StatusOK, a.document, nil)
}

//go:embed docs.html
var docsHTML []byte

// docs serves a page that shows the document; it loads nothing from elsewhere.
func (a *api) docs(x *exchange, r *http.Request) {
	if err := onlyGet(r); err != nil {
		a.fail(x, r, err)
		return
	}
	h := x.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	x.WriteHeader(http.StatusOK)
	if _, err := x.Write(docsHTML); err != nil {
		return // the reader has gone
	}
}

func onlyGet(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	return methodNotAllowed(http.MethodGet, http.MethodHead)
}

// write answers with an encoded body, or with the error of encoding it.
func (a *api) write(x *exchange, r *http.Request, status int, body []byte, err error) {
	if err != nil {
		a.fail(x, r, err)
		return
	}
	x.Header()["Content-Type"] = jsonType
	x.WriteHeader(status)
	if _, err := x.Write(body); err != nil {
		return // the caller has gone
	}
}
