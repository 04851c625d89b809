package testenv

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = " S 7 1 1 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 99 1 2"
	for name, tc := range map[string]struct {
		text string
		want stat
		err  bool
	}{
		"plain":              {"12 (redis)" + rest, stat{7, 1270 * time.Millisecond}, false},
		"spaces and parens":  {"12 (a) (b c)" + rest, stat{7, 1270 * time.Millisecond}, false},
		"empty":              {"", stat{}, true},
		"cut":                {"12 (redis) S 7 1", stat{}, true},
		"parent is no digit": {"12 (redis) S x 1 1 0 -1 4194560 1 2 3 4 100 20 3 4 20", stat{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStat(tc.text)
			if got != tc.want || (err != nil) != tc.err {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestProcessUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	cpu, rss, err := processUsage(os.Getpid())
	if err != nil || cpu < 0 || rss < 1<<20 {
		t.Errorf("got %v, %d, %v", cpu, rss, err)
	}
}
