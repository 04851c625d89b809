package queue_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"convoy/internal/queue"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	q := queue.NewMemory(3)
	now := time.Now()
	for i := range 5 {
		if err := q.Push(t.Context(), []queue.Item{{ID: fmt.Sprint(i), Due: now}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := q.Dropped(); n != 2 {
		t.Errorf("%d dropped, want 2", n)
	}
	// Known ids need no room.
	if err := q.Later(t.Context(), []queue.Item{{ID: "0", Due: now}, {ID: "9", Due: now}}); err != nil {
		t.Fatal(err)
	}
	if n := q.Dropped(); n != 3 {
		t.Errorf("%d dropped, want 3", n)
	}
	if err := q.Done(t.Context(), []string{"0"}); err != nil {
		t.Fatal(err)
	}
	if err := q.Push(t.Context(), []queue.Item{{ID: "9", Due: now}}); err != nil {
		t.Fatal(err)
	}
	if n := q.Dropped(); n != 3 {
		t.Errorf("%d dropped after room was made, want 3", n)
	}
	if d, err := q.Depth(t.Context()); err != nil || d.Waiting != 3 {
		t.Errorf("depth %+v, %v", d, err)
	}
}

// With a clock that moves only when everybody sleeps, due times and leases are
// exact, which shows that nothing polls.
func TestMemoryIsExact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.NewMemory(10)
		start := time.Now()
		type pulled struct {
			id string
			at time.Duration
		}
		out := make(chan pulled, 10) // all that the test pulls
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			go func() {
				for {
					items, err := q.Pull(ctx, 1, time.Minute)
					if err != nil {
						return
					}
					out <- pulled{items[0].ID, time.Since(start)}
				}
			}()
		}
		synctest.Wait()
		push := func(id string, in time.Duration) {
			if err := q.Push(ctx, []queue.Item{{ID: id, Due: start.Add(in)}}); err != nil {
				t.Fatal(err)
			}
		}
		push("c", 3*time.Second)
		push("a", time.Second)
		push("b", 2*time.Second)
		push("b2", 2*time.Second)
		want := []pulled{
			{"a", time.Second}, {"b", 2 * time.Second}, {"b2", 2 * time.Second}, {"c", 3 * time.Second},
			{"a", 61 * time.Second}, // its lease has ended
		}
		for _, w := range want {
			got := <-out
			if got.at != w.at || got.id[0] != w.id[0] {
				t.Errorf("%s came after %v, want %s after %v", got.id, got.at, w.id, w.at)
			}
		}
		if err := q.Done(ctx, []string{"a", "b", "b2", "c"}); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
	})
}

// A puller that gives up while it holds the timer passes it on.
func TestMemoryLeaderLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.NewMemory(10)
		start := time.Now()
		if err := q.Push(t.Context(), []queue.Item{{ID: "x", Due: start.Add(time.Minute)}}); err != nil {
			t.Fatal(err)
		}
		leader, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		go func() { _, _ = q.Pull(leader, 1, time.Minute) }() // ends with its context
		synctest.Wait()
		items, err := q.Pull(t.Context(), 1, time.Minute)
		if err != nil || len(items) != 1 || time.Since(start) != time.Minute {
			t.Errorf("pulled %v, %v after %v", items, err, time.Since(start))
		}
	})
}

// A puller that learns of something earlier than the timer of the leader runs a
// timer of its own.
func TestMemoryEarlierThanTheLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.NewMemory(10)
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		pulled := make(chan time.Duration, 2) // one for each puller
		for range 2 {
			go func() {
				if _, err := q.Pull(ctx, 1, time.Hour); err == nil {
					pulled <- time.Since(start)
				}
			}()
			synctest.Wait()
		}
		// The first wakes the leader, who waits again behind the other puller;
		// the second reaches that one.
		for _, it := range []queue.Item{{ID: "x", Due: start.Add(30 * time.Minute)}, {ID: "y", Due: start.Add(time.Second)}} {
			if err := q.Push(ctx, []queue.Item{it}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if d := <-pulled; d != time.Second {
			t.Errorf("the first came after %v", d)
		}
		if d := <-pulled; d != 30*time.Minute {
			t.Errorf("the second came after %v", d)
		}
	})
}
