// Package bustest holds the tests that every [bus.Bus] passes.
package bustest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/testenv"
)

// Open returns two handles on the same bus, as two processes have them, before
// Run. An engine for one process returns the same twice.
type Open func(t testing.TB) (a, b bus.Bus)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"ReachesEverybodyOnce", reachesEverybodyOnce},
		{"TopicsAreApart", topicsAreApart},
		{"InOrder", inOrder},
		{"Refusals", refusals},
		{"AnyText", anyText},
		{"Overflow", overflow},
		{"StartIsAGap", startIsAGap},
		{"Fast", fast},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open)
		})
	}
}

// Log collects what a subscriber is told.
type Log struct {
	mu   sync.Mutex
	msgs []string
}

// Subscribe returns the log of a new subscriber.
func Subscribe(b bus.Bus, topic string) *Log {
	l := &Log{}
	b.Subscribe(topic, func(msg string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.msgs = append(l.msgs, msg)
	})
	return l
}

// All returns the messages so far, without those that announce a gap.
func (l *Log) All() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.msgs), func(m string) bool { return m == "" })
}

// Gaps counts how often the subscriber was told that it may have missed
// messages.
func (l *Log) Gaps() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.msgs) - len(slices.DeleteFunc(slices.Clone(l.msgs), func(m string) bool { return m == "" }))
}

// Await fails the test unless the messages become want within seconds.
func (l *Log) Await(t testing.TB, want ...string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() bool { return len(l.All()) >= len(want) })
	if got := l.All(); !slices.Equal(got, want) {
		t.Errorf("got %.40q, want %.40q", got, want)
	}
}

// Start runs the buses until the test ends, and returns when they are
// connected. Each must have a subscriber.
func Start(t testing.TB, buses ...bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	seen := map[bus.Bus]bool{}
	var connected []*Log
	for _, b := range buses {
		if seen[b] {
			continue
		}
		seen[b] = true
		connected = append(connected, Subscribe(b, "start"))
		wg.Go(func() {
			if err := b.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	for _, l := range connected {
		testenv.Eventually(t, 10*time.Second, func() bool { return l.Gaps() > 0 })
	}
}

func publish(t testing.TB, b bus.Bus, topic, msg string) {
	t.Helper()
	if err := b.Publish(t.Context(), topic, msg); err != nil {
		t.Fatal(err)
	}
}

func reachesEverybodyOnce(t *testing.T, open Open) {
	a, b := open(t)
	logs := []*Log{Subscribe(a, "x"), Subscribe(a, "x"), Subscribe(b, "x")}
	Start(t, a, b)
	publish(t, a, "x", "1")
	for _, l := range logs {
		l.Await(t, "1")
	}
	publish(t, b, "x", "2")
	for _, l := range logs {
		l.Await(t, "1", "2")
	}
	// What would come twice would come before this.
	publish(t, a, "x", "3")
	for _, l := range logs {
		l.Await(t, "1", "2", "3")
	}
}

func topicsAreApart(t *testing.T, open Open) {
	a, b := open(t)
	x, y := Subscribe(b, "x"), Subscribe(b, "y")
	Start(t, a, b)
	publish(t, a, "x", "1")
	publish(t, a, "nobody", "2")
	publish(t, a, "y", "3")
	y.Await(t, "3")
	x.Await(t, "1")
}

func inOrder(t *testing.T, open Open) {
	a, b := open(t)
	l := Subscribe(b, "x")
	Start(t, a, b)
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprint(i))
		publish(t, a, "x", want[i])
	}
	l.Await(t, want...)
}

func refusals(t *testing.T, open Open) {
	a, b := open(t)
	l := Subscribe(b, "x")
	Start(t, a, b)
	for name, msg := range map[string]string{
		"empty": "", "long": strings.Repeat("x", bus.MaxMessage+1), "not utf-8": "\xff", "nul": "a\x00b",
	} {
		if err := a.Publish(t.Context(), "x", msg); convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	publish(t, a, "x", "end")
	l.Await(t, "end")
}

func anyText(t *testing.T, open Open) {
	a, b := open(t)
	l := Subscribe(b, "x")
	Start(t, a, b)
	want := []string{" ", "a b c", "line\r\nline", `{"id":"ä"}`, "'; --", strings.Repeat("ü", bus.MaxMessage/2)}
	for _, msg := range want {
		publish(t, a, "x", msg)
	}
	l.Await(t, want...)
}

// A subscriber that is too slow misses messages and is told so; the others are
// not held up by more than the one call.
func overflow(t *testing.T, open Open) {
	a, b := open(t)
	l := Subscribe(b, "x")
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.Subscribe("block", func(msg string) {
		if msg != "" {
			once.Do(func() { close(entered) })
			<-leave
		}
	})
	Start(t, a, b)
	publish(t, a, "block", "now")
	<-entered
	gaps := l.Gaps()
	for i := range 5000 {
		publish(t, b, "x", fmt.Sprint(i))
	}
	close(leave)
	testenv.Eventually(t, 10*time.Second, func() bool { return l.Gaps() > gaps })
	if n := len(l.All()); n >= 5000 {
		t.Errorf("all %d messages were kept", n)
	}
	publish(t, a, "x", "end")
	testenv.Eventually(t, 10*time.Second, func() bool { return slices.Contains(l.All(), "end") })
}

func startIsAGap(t *testing.T, open Open) {
	a, b := open(t)
	l := Subscribe(a, "x")
	Start(t, a, b)
	testenv.Eventually(t, 10*time.Second, func() bool { return l.Gaps() > 0 })
}

func fast(t *testing.T, open Open) {
	a, b := open(t)
	l := Subscribe(b, "x")
	Start(t, a, b)
	var took []time.Duration
	for i := range 9 {
		start := time.Now()
		publish(t, a, "x", fmt.Sprint(i))
		testenv.Eventually(t, 10*time.Second, func() bool { return len(l.All()) > i })
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 50*time.Millisecond {
		t.Errorf("a message took %v (all: %v)", median, took)
	}
}
