package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"path"
	"strconv"
	"sync"
	"time"

	"convoy/internal/config"
	"convoy/internal/run"
)

// operations adds what every role serves for its operators. The API has health
// checks of its own, in its envelope.
func (p *process) operations(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	if p.Config.Metrics.Enabled {
		mux.Handle("GET /metrics", p.metrics.Handler())
	}
	if p.Config.EnableProfiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	}
	if !p.parts.api {
		mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "Convoy "+p.Version, nil) })
		mux.HandleFunc("/readyz", p.readyz)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux redirects paths that are not clean; the API makes of repeated
		// slashes what their sender means.
		if clean := path.Clean(r.URL.Path); r.URL.Path != clean && r.URL.Path != clean+"/" {
			next.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// readyTimeout bounds each check of /readyz.
const readyTimeout = 2 * time.Second

func (p *process) readyz(w http.ResponseWriter, r *http.Request) {
	states, status, message := map[string]string{}, http.StatusOK, "ready"
	for _, c := range p.engines.checks {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		err := c.probe(ctx)
		cancel()
		states[c.name] = "ok"
		if err != nil {
			states[c.name], status, message = "down", http.StatusServiceUnavailable, "not ready: "+c.name+" is down"
		}
	}
	answer(w, status, message, states)
}

func answer(w http.ResponseWriter, status int, message string, data any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status < 400, "message": message, "data": data}) // the client is gone otherwise
}

func (p *process) port() int {
	h := p.Config.Server.HTTP
	switch p.Role {
	case config.RoleAgent:
		return h.AgentPort
	case config.RoleWorker:
		return h.WorkerPort
	case config.RoleScheduler:
		return h.SchedulerPort
	default:
		return h.Port
	}
}

// listener binds the port now, so that a port in use is an error at start, and
// returns the stage that serves on it.
func (p *process) listener(ctx context.Context, h http.Handler) (func(context.Context) error, error) {
	addr := net.JoinHostPort("", strconv.Itoa(p.port()))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on port %d: %w", p.port(), err)
	}
	var cert *certificate
	if tls := p.Config.Server.HTTP; tls.SSL {
		if cert, err = newCertificate(tls.SSLCertFile, tls.SSLKeyFile, p.log("http")); err != nil {
			return nil, errors.Join(fmt.Errorf("server.http.ssl: %w", err), l.Close())
		}
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(p.log("http").Handler(), slog.LevelWarn),
	}
	return func(ctx context.Context) error {
		if cert != nil {
			srv.TLSConfig = cert.config()
			watched, end := context.WithCancel(ctx)
			var watching sync.WaitGroup
			watching.Go(func() { cert.watch(watched) })
			defer watching.Wait()
			defer end()
		}
		failed := make(chan error, 1) // one value, when serving ends
		go func() {
			if cert != nil {
				failed <- srv.ServeTLS(l, "", "")
			} else {
				failed <- srv.Serve(l)
			}
		}()
		if p.Ready != nil {
			p.Ready(l.Addr().String())
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
		}
		if err := srv.Shutdown(run.Abandon(ctx)); err != nil {
			_ = srv.Close() // requests that outlast the drain are cut
		}
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, nil
}

// gaugeEvery is how often the gauges that ask an engine are refreshed.
const gaugeEvery = 5 * time.Second

func (p *process) gauges(ctx context.Context) error {
	tick := time.NewTicker(gaugeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		p.measure(ctx)
	}
}

func (p *process) measure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, gaugeEvery)
	defer cancel()
	if p.deliverer != nil {
		waiting, inFlight := p.deliverer.Depth()
		p.metrics.Buffered.Set(float64(waiting))
		p.metrics.InFlight.Set(float64(inFlight))
	}
	if !p.parts.deliver && !p.parts.schedule {
		return
	}
	if d, err := p.engines.queue.Depth(ctx); err == nil {
		p.metrics.QueueDepth.Set(float64(d.Waiting))
		age := 0.0
		if !d.Oldest.IsZero() {
			age = max(0, time.Since(d.Oldest).Seconds())
		}
		p.metrics.QueueOldestDue.Set(age)
	}
	if p.engines.stream != nil {
		if n, _, err := p.engines.stream.Backlog(ctx); err == nil {
			p.metrics.StreamBacklog.Set(float64(n))
		}
	}
}
