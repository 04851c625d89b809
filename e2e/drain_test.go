package e2e

import (
	"net/http"
	"syscall"
	"testing"
	"time"
)

// drain is the time a process has to finish what it has begun, which is the
// default, and a little for a busy machine.
const drain = 25*time.Second + 3*time.Second

// TestDrain ends processes with SIGTERM under load. They finish what they have
// begun and leave the rest to others or to the next start: nothing is lost and
// nothing comes twice.
func TestDrain(t *testing.T) {
	t.Parallel()
	stopped := func(t *testing.T, p *process) {
		t.Helper()
		start := time.Now()
		p.signal(syscall.SIGTERM)
		if code := p.wait(drain); code != 0 {
			t.Errorf("%s ends with %d", p.name, code)
		}
		t.Logf("%s has drained within %v", p.name, time.Since(start).Round(time.Millisecond))
		p.start()
	}
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		s := startStandalone(t)
		receivers, endpoints := newReceivers(t, s.client())
		l := newLoad("drain", endpoints...)
		under(t, l, []client{s.client()}, func() { stopped(t, s.process) })
		noneTwice(t, l.settle(t, s.client(), time.Minute, nil, receivers...))
	})
	for name, top := range map[string]topology{
		"queued":         {redis: true, servers: 1, agents: 2, schedulers: 1},
		"postgres alone": {servers: 1, agents: 2, schedulers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			long(t)
			st := newStage(t, top)
			l := st.under(t, "drain", func() {
				for _, p := range []*process{st.servers[0], st.agents[0], st.schedulers[0]} {
					stopped(t, p)
				}
			})
			// What was given back is taken at once: nobody waits for a sweep.
			noneTwice(t, l.settle(t, st.api(), 20*time.Second, nil, st.receivers...))
		})
	}
}

// TestDrainCutShort ends a process that has a request in flight that is never
// answered: a second signal does not wait for it.
func TestDrainCutShort(t *testing.T) {
	t.Parallel()
	i := startStandalone(t)
	s := newSink(t)
	r := s.receive("hangs", always(answer{status: http.StatusOK, after: time.Minute}))
	endpoint := i.client().endpoint(t, s, r)
	i.client().publish(t, endpoint, "stuck")
	await(t, 20*time.Second, "the request is in flight", func() error {
		if _, requests := r.count(); requests == 0 {
			return errNothing
		}
		return nil
	})
	i.signal(syscall.SIGTERM)
	await(t, 5*time.Second, "the process takes no more requests", func() error {
		if _, _, err := fetch(t.Context(), i.url()+"/healthz"); err != nil {
			return nil //nolint:nilerr // a refused connection is what is waited for
		}
		return errNothing
	})
	if !i.running() {
		t.Fatal("the process has not waited for its request")
	}
	start := time.Now()
	i.signal(syscall.SIGTERM)
	if code := i.wait(2 * time.Second); code != 128+int(syscall.SIGTERM) {
		t.Errorf("ends with %d", code)
	}
	t.Logf("ended %v after the second signal", time.Since(start).Round(time.Millisecond))
}
