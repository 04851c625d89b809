package function

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"convoy"
)

// TestRest has a function take too much time: it is run less and less often,
// until it does not.
func TestRest(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 14, 12, 0, 0, 0, time.UTC)
	r := newRests()
	r.now = func() time.Time { return now }
	// run runs the function until the end of the period, as often as it may,
	// and counts.
	run := func(d time.Duration, outcome error) (n int) {
		for end := now.Add(d); now.Before(end); now = now.Add(time.Second) {
			if err := r.refuse("f"); err != nil {
				if convoy.KindOf(err) != convoy.Invalid || !strings.Contains(err.Error(), "is not run until 2026-07-14T1") {
					t.Fatalf("refused with %v", err)
				}
				continue
			}
			n++
			r.note("f", outcome)
		}
		return n
	}
	if n := run(4*time.Second, errSlow); n != 4 {
		t.Errorf("%d runs at first, want 4", n)
	}
	if n := run(time.Second, errors.New("function threw: x")); n != 1 || len(r.tired) != 0 {
		t.Errorf("what fails in time is not tired: %d runs, %d remembered", n, len(r.tired))
	}
	// 5 runs, then one after 5, 10, 20, 40, 80 and 160 seconds, then every 300.
	if n := run(10*time.Minute, errGreedy); n != 11 {
		t.Errorf("%d runs in ten minutes, want 11", n)
	}
	if n := run(time.Hour, errSlow); n != 12 {
		t.Errorf("%d runs in an hour, want 12", n)
	}
	if err := r.refuse("g"); err != nil {
		t.Errorf("another function: %v", err)
	}
	now = now.Add(longestRest)
	if first, second := r.refuse("f"), r.refuse("f"); first != nil || second == nil {
		t.Errorf("after a rest: %v, then %v, want one to pass", first, second)
	}
	r.note("f", nil)
	if n := run(time.Minute, nil); n != 60 || len(r.tired) != 0 {
		t.Errorf("%d runs in a minute after it went well, %d remembered", n, len(r.tired))
	}
	for i := range maxTired + 10 {
		r.note(fmt.Sprint(i), errSlow)
	}
	if n := len(r.tired); n != maxTired {
		t.Errorf("%d functions are remembered, the bound is %d", n, maxTired)
	}
}

// TestTired runs one that never ends.
func TestTired(t *testing.T) {
	t.Parallel()
	const forever, good = `function transform() { for (;;); }`, `function transform(p) { return p }`
	caches(t, func(t *testing.T, c *Cache) {
		c.rests.now = func() time.Time { return time.Unix(0, 0) } // a rest does not end
		for range tiring {
			if _, err := c.Transform(t.Context(), forever, []byte(`1`)); !tookTooMuch(err) {
				t.Fatalf("%v", err)
			}
		}
		if _, err := c.Transform(t.Context(), forever, []byte(`1`)); err == nil || !strings.Contains(err.Error(), "is not run until") {
			t.Errorf("the next run: %v", err)
		}
		if _, err := c.Transform(t.Context(), good, []byte(`1`)); err != nil {
			t.Errorf("another function: %v", err)
		}
		if _, err := c.Test(t.Context(), forever, []byte(`1`), time.Time{}); !tookTooMuch(err) {
			t.Errorf("tried out: %v", err)
		}
	})
}
