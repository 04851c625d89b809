package e2e

import (
	"net/http"
	"syscall"
	"testing"
	"time"
)

// refusalHanging bounds the wait of a publisher while the store says nothing: 5 s
// each for the project and the key, which are known but old, and 10 s each for
// the batch before and its own.
const refusalHanging = 30*time.Second + 5*time.Second

// TestEngineHangs stops an engine so that its connections stay open and say
// nothing, which no error tells. Publishing is still refused within a bounded
// time, and works again when the engine goes on, without a restart. What was
// refused then may have been taken all the same; what was acknowledged has.
func TestEngineHangs(t *testing.T) {
	t.Parallel()
	long(t)
	for name, tc := range map[string]struct {
		topology
		down string
	}{
		// PgBouncer is one process, PostgreSQL is one for each session.
		"postgres": {topology{pooler: true, servers: 1, agents: 1, schedulers: 1}, "store"},
		"redis":    {topology{redis: true, servers: 1, agents: 1, schedulers: 1}, "queue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, tc.topology)
			var pid int
			if tc.down == "store" {
				pid = st.pooler.PID()
			} else {
				pid = st.redis.PID()
			}
			l := st.under(t, "hang", func() {
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
						t.Error(err)
					}
				}()
				for _, p := range st.doors() {
					start := time.Now()
					r, err := st.client(p).do(t.Context(), http.MethodPost, "/events", publication(st.endpoints[0], "hang-"+p.name))
					if err != nil || r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
						t.Errorf("publish at %s: status %d, %v: %s", p.name, r.status, err, r.raw)
					}
					took := time.Since(start)
					if took > refusalHanging {
						t.Errorf("publish at %s: refused only after %v", p.name, took)
					}
					t.Logf("publish at %s: refused after %v", p.name, took.Round(time.Millisecond))
				}
				for _, p := range st.processes() {
					ready(t, p, tc.down)
					if status, body, err := fetch(t.Context(), p.url()+"/healthz"); err != nil || status != http.StatusOK {
						t.Errorf("healthz of %s: %d %s %v", p.name, status, body, err)
					}
				}
			})
			for _, p := range st.processes() {
				await(t, 20*time.Second, p.name+" is ready again", func() error { return state(p, "") })
			}
			b := l.settle(t, st.api(), recovery, nil, st.receivers...)
			if n := len(b.twice); n > unrecorded {
				t.Errorf("%d events came twice, a process has at most %d unrecorded", n, unrecorded)
			}
		})
	}
}
