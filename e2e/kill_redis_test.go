package e2e

import (
	"errors"
	"maps"
	"syscall"
	"testing"
	"time"
)

// TestKillRedis takes Redis all it holds, once by emptying it and once by
// killing it (it keeps nothing on disk). In stored mode that loses nothing. In
// queued mode an acknowledged event is as durable as Redis: what the log held
// at that moment may be lost, and no more.
func TestKillRedis(t *testing.T) {
	t.Parallel()
	long(t)
	for _, mode := range []string{"queued", "stored"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, topology{redis: true, intake: mode, servers: 1, agents: 2, schedulers: 1})
			lost := make(map[string]bool)
			l := st.under(t, mode, func() {
				maps.Copy(lost, st.flush(t))
				rest(t.Context(), 2*time.Second)
				maps.Copy(lost, st.freeze(t))
				if err := st.redis.Kill(); err != nil {
					t.Fatal(err)
				}
				rest(t.Context(), time.Second)
				if err := st.redis.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			if mode == "stored" && len(lost) > 0 {
				t.Errorf("%d events in the log in stored mode", len(lost))
			}
			b := l.settle(t, st.api(), recovery, lost, st.receivers...)
			t.Logf("%s: %d of %d acknowledged events were lost; Redis held %d when it lost its data",
				mode, len(b.missing), b.acked, len(lost))
			// Agents hold what they have pulled; they send it once whatever
			// Redis remembers.
			noneTwice(t, b)
		})
	}
}

// TestKillEverything cuts the power of an instance whose engines all keep on
// disk what they acknowledge: first of Redis alone, then of every process and
// every engine at once. Nothing is lost.
func TestKillEverything(t *testing.T) {
	t.Parallel()
	long(t)
	st := newStage(t, topology{redis: true, durable: true, servers: 1, agents: 2, schedulers: 1})
	t.Run("redis", func(t *testing.T) {
		l := st.under(t, "redis", func() {
			if err := st.redis.Kill(); err != nil {
				t.Fatal(err)
			}
			rest(t.Context(), time.Second)
			if err := st.redis.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		// Agents cannot tell Redis what they have stored, and are told again.
		noneTwice(t, l.settle(t, st.api(), recovery, nil, st.receivers...))
	})
	t.Run("everything", func(t *testing.T) {
		var killed killing
		l := st.under(t, "everything", func() {
			for _, p := range st.processes() {
				p.signal(syscall.SIGKILL)
			}
			if err := errors.Join(st.redis.Kill(), st.postgres.Kill()); err != nil {
				t.Fatal(err)
			}
			for _, p := range st.processes() {
				<-p.ended
			}
			at := time.Now()
			if err := errors.Join(st.redis.Start(t.Context()), st.postgres.Start(t.Context())); err != nil {
				t.Fatal(err)
			}
			killed = killing{at: at, recorded: st.recorded(t)}
			for _, p := range st.processes() {
				p.spawn()
			}
			for _, p := range st.processes() {
				p.awaitReady()
			}
		})
		killed.bounds(t, l.settle(t, st.api(), recovery, nil, st.receivers...), 2*unrecorded)
	})
}
