package limit

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// conforms checks events of one limit, in order of time, by the definition of
// the algorithm unrolled: an event may not come before any earlier one plus the
// spacings between them less the tolerance.
func conforms(r rule, events []int64) bool {
	for i := range events {
		for k := range i {
			if events[i] < events[k]+int64(i-k)*r.spacing-r.tolerance {
				return false
			}
		}
	}
	return true
}

// earliest is the model of one limit alone: the first time that conforms.
func earliest(r rule, events []int64, now int64) int64 {
	at := now
	for k, e := range events {
		at = max(at, e+int64(len(events)-k)*r.spacing-r.tolerance)
	}
	return at
}

func anyRule(t *rapid.T) rule {
	spacing := rapid.Int64Range(1, 1000).Draw(t, "spacing")
	return rule{spacing, spacing * rapid.Int64Range(0, 5).Draw(t, "burst")}
}

func TestOneLimitIsAsItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, s, now := anyRule(t), &state{}, int64(1_000_000)
		var events []int64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, 2000).Draw(t, "pause")
			horizon := rapid.Int64Range(0, 5000).Draw(t, "horizon")
			want := earliest(r, events, now)
			got, _, ok := reserve([]rule{r}, []*state{s}, now, horizon, 1)
			if got != want || ok != (want-now <= horizon) {
				t.Fatalf("slot %d, %v; want %d within %d of %d", got, ok, want, horizon, now)
			}
			if ok {
				events = append(events, got)
			}
			s = parseState(s.text()) // as other engines keep it
		}
	})
}

// Whatever is asked for, no limit lets too many through, and a slot is as early
// as the latest that a limit alone would give at least.
func TestLimitsHoldTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const limits = 4
		var (
			rules  [limits]rule
			states [limits]*state
			events [limits][]int64
		)
		for i := range limits {
			rules[i], states[i] = anyRule(t), &state{}
		}
		now := int64(1_000_000)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, 500).Draw(t, "pause")
			which := rapid.Permutation([]int{0, 1, 2, 3}).Draw(t, "which")[:rapid.IntRange(1, 3).Draw(t, "n")]
			var (
				rs []rule
				ss []*state
			)
			for _, i := range which {
				rs, ss = append(rs, rules[i]), append(ss, states[i])
			}
			horizon := rapid.Int64Range(0, 20_000).Draw(t, "horizon")
			at, by, ok := reserve(rs, ss, now, horizon, 1)
			if at < now || by < 0 || by >= len(which) || ok != (at-now <= horizon) {
				t.Fatalf("slot %d by %d, %v, now %d", at, by, ok, now)
			}
			if !ok {
				continue
			}
			for _, i := range which {
				k, _ := slices.BinarySearch(events[i], at)
				events[i] = slices.Insert(events[i], k, at)
				if !conforms(rules[i], events[i]) {
					t.Fatalf("limit %d (%+v): %v", i, rules[i], events[i])
				}
			}
		}
	})
}

// More marks than are kept make others wait, and let nobody through.
func TestManyMarks(t *testing.T) {
	t.Parallel()
	small, large := rule{10, 0}, rule{1, 0}
	a, b := &state{}, &state{}
	var all []int64
	for range 2 * maxMarks {
		at, _, ok := reserve([]rule{small, large}, []*state{a, b}, 1000, 1<<40, 1)
		if !ok {
			t.Fatal("refused")
		}
		all = append(all, at)
	}
	if len(b.marks) > maxMarks {
		t.Errorf("%d marks", len(b.marks))
	}
	for range 3 * maxMarks {
		at, _, _ := reserve([]rule{large}, []*state{b}, 1000, 1<<40, 1)
		all = append(all, at)
	}
	slices.Sort(all)
	if !conforms(large, all) {
		t.Error("too many")
	}
}

func TestParseState(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", " ", "x", "1 x", "9999999999999999999"} {
		if s := parseState(bad); s.tat != 0 && bad != "1 x" || len(s.marks) != 0 {
			t.Errorf("%q: %+v", bad, s)
		}
	}
	if s := parseState("5 7 9"); s.tat != 5 || !slices.Equal(s.marks, []int64{7, 9}) {
		t.Errorf("%+v", s)
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter(Limit{Count: 60_000, Period: time.Minute, Burst: 60_000})
		n := 0
		for m.Take(t.Context(), 1) == 0 {
			n++
		}
		if n != 60_000 {
			t.Errorf("%d at once", n)
		}
		if wait := m.Take(t.Context(), 1); wait != time.Millisecond {
			t.Errorf("wait of %v", wait)
		}
		<-time.After(time.Second)
		for n = 0; m.Take(t.Context(), 1) == 0; n++ {
		}
		if n != 1000 {
			t.Errorf("%d a second later", n)
		}
		<-time.After(10 * time.Second)
		if wait := m.Take(t.Context(), 10_001); wait != time.Millisecond {
			t.Errorf("wait of %v for more than there are", wait)
		}
		if wait := m.Take(t.Context(), 10_000); wait != 0 {
			t.Errorf("wait of %v for all that are there", wait)
		}
		if wait := m.Take(t.Context(), 1<<40); wait != time.Minute {
			t.Errorf("wait of %v for all that there can be", wait)
		}
	})
}

// States that do not matter any more are dropped.
func TestMemoryPrunes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		for i := range 50_000 {
			q := Request{Limits: []Limit{{Key: string(rune(i)), Count: 1, Period: time.Second}}, N: 1}
			if _, err := m.Reserve(t.Context(), []Request{q}); err != nil {
				t.Fatal(err)
			}
			if i%100 == 0 {
				<-time.After(time.Second)
			}
		}
		if len(m.states) > 2*leastPrune {
			t.Errorf("%d states", len(m.states))
		}
	})
}

func BenchmarkMeter(b *testing.B) {
	m := NewMeter(Limit{Count: 1 << 40, Period: time.Hour, Burst: 1 << 40})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Take(b.Context(), 1)
		}
	})
}
