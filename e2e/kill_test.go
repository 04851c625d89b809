package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	// publishers are the closed loops of a kill test.
	publishers = 6
	// before and after are how long the load goes on around a kill.
	before, after = 2 * time.Second, 3 * time.Second

	// recovery bounds the wait for deliveries that died with an agent. Their
	// rows are left alone for 75 s (an event may wait 10 s before it is stored,
	// 20 s in the agent and 30 s for an answer, and 15 s are spare); then the
	// sweeps, every 5 s and every second, offer them again. The rest is for a
	// busy machine. A retry in a queue that was lost waits 60 s.
	recovery = 75*time.Second + 5*time.Second + 25*time.Second

	// unrecorded is how many requests a process may have made whose outcome it
	// has not stored yet: those in flight, those that wait for the next batch of
	// outcomes, and that batch.
	unrecorded = senders + 1024 + 512
)

// stage is a cluster under load with two endpoints: one takes everything after
// a moment, the other each event at the second try.
type stage struct {
	*cluster
	receivers []*receiver
	endpoints []string
}

// latency is how long the receivers take, so that there is always something in
// flight.
const latency = 20 * time.Millisecond

func newStage(t *testing.T, top topology) *stage {
	t.Helper()
	st := &stage{cluster: startCluster(t, top)}
	st.receivers, st.endpoints = newReceivers(t, st.api())
	return st
}

func newReceivers(t *testing.T, c client) (receivers []*receiver, endpoints []string) {
	t.Helper()
	c.retryEvery(t, time.Second, 20)
	s := newSink(t)
	receivers = []*receiver{
		s.receive("slow", always(answer{status: 200, after: latency})),
		s.receive("second", second),
	}
	first, again := c.endpoint(t, s, receivers[0]), c.endpoint(t, s, receivers[1])
	// Most events go straight through.
	return receivers, []string{first, first, first, first, again}
}

// under runs a load, does harm in the middle of it, and returns the load after
// its end.
func (st *stage) under(t *testing.T, label string, harm func()) *load {
	t.Helper()
	var doors []client
	for _, p := range st.doors() {
		doors = append(doors, st.client(p))
	}
	return under(t, newLoad(label, st.endpoints...), doors, harm)
}

func under(t *testing.T, l *load, doors []client, harm func()) *load {
	t.Helper()
	stop := l.run(t.Context(), publishers, doors)
	defer stop()
	rest(t.Context(), before)
	atHarm := l.acknowledged()
	if atHarm == 0 {
		t.Fatalf("nothing was acknowledged before the harm: %v", l.reasons())
	}
	harm()
	rest(t.Context(), after)
	if l.acknowledged() == atHarm {
		t.Errorf("nothing was acknowledged after the harm: %v", l.reasons())
	}
	return l
}

// restart kills a process and starts it again after a moment.
func restart(p *process) {
	p.kill()
	rest(p.t.Context(), 500*time.Millisecond)
	p.start()
}

// noneTwice expects that nothing came twice.
func noneTwice(t *testing.T, b books) {
	t.Helper()
	if len(b.twice) > 0 {
		t.Errorf("%d events were delivered more than once, such as %s", len(b.twice), b.twice[0])
	}
}

// TestKillStandalone kills the only process. What it had in its hands is taken
// back at the next start; only what was answered and not yet recorded may come
// twice.
func TestKillStandalone(t *testing.T) {
	t.Parallel()
	s := startStandalone(t)
	receivers, endpoints := newReceivers(t, s.client())
	for round := range 2 {
		l := newLoad(fmt.Sprintf("standalone%d", round), endpoints...)
		var killed killing
		under(t, l, []client{s.client()}, func() {
			s.kill()
			killed = killing{at: time.Now(), recorded: recordedSQLite(t, s.dir)}
			s.start()
		})
		b := l.settle(t, s.client(), time.Minute, nil, receivers...)
		killed.bounds(t, b, unrecorded)
	}
}

// TestKill kills each role of an instance in turn, and its database. What
// differs between the modes is where an event is when it is acknowledged.
func TestKill(t *testing.T) {
	t.Parallel()
	long(t)
	for name, top := range map[string]topology{
		"queued":         {redis: true, intake: "queued", servers: 1, agents: 2, schedulers: 2},
		"postgres alone": {servers: 1, agents: 2, schedulers: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, top)
			t.Run("server", st.killServer)
			t.Run("scheduler", st.killScheduler)
			t.Run("agent", st.killAgent)
		})
		t.Run(name+" postgres", func(t *testing.T) {
			t.Parallel()
			newStage(t, top).killPostgres(t)
		})
	}
}

// killServer: a server only takes events in; it sends nothing, so nothing is
// sent twice.
func (st *stage) killServer(t *testing.T) {
	l := st.under(t, "server", func() { restart(st.servers[0]) })
	noneTwice(t, l.settle(t, st.api(), recovery, nil, st.receivers...))
}

// killScheduler: a scheduler only offers what is due, and an offer repeated is
// the same offer.
func (st *stage) killScheduler(t *testing.T) {
	l := st.under(t, "scheduler", func() { restart(st.leader(t)) })
	noneTwice(t, l.settle(t, st.api(), recovery, nil, st.receivers...))
}

// killPostgres: while the database is away outcomes wait in the agents, which
// hold their deliveries for a minute; the database is back long before.
func (st *stage) killPostgres(t *testing.T) {
	l := st.under(t, "postgres", func() {
		for name, end := range map[string]func() error{"fast": st.postgres.Stop, "crash": st.postgres.Kill} {
			if err := end(); err != nil {
				t.Fatalf("%s shutdown: %v", name, err)
			}
			rest(t.Context(), time.Second)
			if err := st.postgres.Start(t.Context()); err != nil {
				t.Fatalf("start after %s shutdown: %v", name, err)
			}
			rest(t.Context(), after)
		}
	})
	noneTwice(t, l.settle(t, st.api(), recovery, nil, st.receivers...))
}

// killAgent: what it had answered and not recorded comes twice. What it had
// stored and not yet removed from the log of accepted events does not: whoever
// takes that over sees that it is stored.
func (st *stage) killAgent(t *testing.T) {
	var killed killing
	l := st.under(t, "agent", func() {
		st.agents[1].kill()
		killed = killing{at: time.Now(), recorded: st.recorded(t)}
		rest(t.Context(), 500*time.Millisecond)
		st.agents[1].start()
	})
	killed.bounds(t, l.settle(t, st.api(), recovery, nil, st.receivers...), unrecorded)
}

// leader returns the scheduler that acts.
func (st *stage) leader(t *testing.T) *process {
	t.Helper()
	var leader *process
	await(t, 20*time.Second, "a scheduler leads", func() error {
		for _, p := range st.schedulers {
			if v, err := p.metric("convoy_scheduler_leader"); err == nil && v == 1 {
				leader = p
				return nil
			}
		}
		return fmt.Errorf("none of %d does", len(st.schedulers))
	})
	return leader
}

// killing is what may come twice because of a kill.
type killing struct {
	at time.Time
	// recorded were stored as delivered when the process had ended.
	recorded map[string]bool
}

// bounds expects that only those events came twice that were answered and not
// recorded when the process died, and that they were no more than the killed
// processes may have unrecorded.
func (k killing) bounds(t *testing.T, b books, unrecorded int) {
	t.Helper()
	wrong := slices.DeleteFunc(slices.Clone(b.twice), func(id string) bool {
		// What the dead process had sent is with the receiver within a moment.
		return b.first[id].Before(k.at.Add(time.Second)) && !k.recorded[id]
	})
	if len(wrong) > 0 {
		id := wrong[0]
		t.Errorf("%d of %d events that came twice had no reason to, such as %s: first %v after the kill, recorded before: %v",
			len(wrong), len(b.twice), id, b.first[id].Sub(k.at), k.recorded[id])
	}
	if n := len(b.twice); n > unrecorded {
		t.Errorf("%d events came twice, at most %d can have been unrecorded", n, unrecorded)
	}
}
