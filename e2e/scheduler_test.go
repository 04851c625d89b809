package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

var errNothing = errors.New("nothing has happened yet")

// takeover is how long an instance may be without a leader: the lease of the
// dead one lasts 5 s, the others ask every second.
const takeover = 8 * time.Second

// TestSchedulerTakeover kills the scheduler that acts.
func TestSchedulerTakeover(t *testing.T) {
	t.Parallel()
	long(t)
	for name, top := range map[string]topology{
		"redis":          {redis: true, servers: 1, schedulers: 2},
		"postgres alone": {servers: 1, schedulers: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, top)
			var leader int
			await(t, 20*time.Second, "one scheduler leads", func() error {
				led, err := leaders(c.schedulers)
				if err == nil && len(led) == 1 {
					leader = led[0]
					return nil
				}
				return fmt.Errorf("leaders are %v: %w", led, err)
			})
			// Two renewals of the lease: the other one does not take it.
			for end := time.Now().Add(2 * time.Second); time.Now().Before(end); rest(t.Context(), 100*time.Millisecond) {
				if led, err := leaders(c.schedulers); err != nil || len(led) != 1 || led[0] != leader {
					t.Fatalf("leaders are %v, want %d: %v", led, leader, err)
				}
			}
			start := time.Now()
			c.schedulers[leader].kill()
			other := c.schedulers[1-leader]
			await(t, takeover, "the other scheduler leads", func() error {
				v, err := other.metric("convoy_scheduler_leader")
				if err == nil && v != 1 {
					err = errNothing
				}
				return err
			})
			t.Logf("taken over after %v", time.Since(start).Round(time.Millisecond))
			c.schedulers[leader].start()
			if led, err := leaders(c.schedulers); err != nil || len(led) != 1 || led[0] != 1-leader {
				t.Errorf("leaders are %v after the old one came back: %v", led, err)
			}
		})
	}
}

// leaders returns which of the schedulers say that they act.
func leaders(schedulers []*process) (led []int, err error) {
	for i, p := range schedulers {
		v, err := p.metric("convoy_scheduler_leader")
		if err != nil {
			return nil, err
		}
		if v == 1 {
			led = append(led, i)
		}
	}
	return led, nil
}
