package function

import (
	"sync"
	"time"
)

const (
	// tiring is how many runs in a row that took too much time or memory make a
	// function rest.
	tiring = 5
	// firstRest is how long it rests then. After a rest it is run once, and rests
	// for twice as long, at most longestRest, if that takes too much again.
	firstRest   = 5 * time.Second
	longestRest = 5 * time.Minute
	// maxTired bounds the functions that are remembered; beyond, an arbitrary one
	// is forgotten.
	maxTired = 1024
)

// rests keeps functions that take too much again and again from holding the
// processes that all functions share.
type rests struct {
	now func() time.Time

	mu    sync.Mutex
	tired map[string]*tired // by source
}

// tired is a function whose last runs took too much.
type tired struct {
	runs  int
	until time.Time
}

func newRests() *rests { return &rests{now: time.Now, tired: make(map[string]*tired)} }

// refuse returns an error while a function rests. Of those that come when its
// rest is over, one passes.
func (r *rests) refuse(source string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tired[source]
	if t == nil || t.runs < tiring {
		return nil
	}
	now := r.now()
	if now.Before(t.until) {
		return refused("function is not run until %s, as it took too much time or memory %d times in a row",
			t.until.UTC().Format(time.RFC3339), t.runs)
	}
	t.until = now.Add(MaxTime + grace) // by then it has been noted how the run went
	return nil
}

// note says how a run went.
func (r *rests) note(source string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !tookTooMuch(err) {
		if len(r.tired) > 0 {
			delete(r.tired, source)
		}
		return
	}
	t := r.tired[source]
	if t == nil {
		if len(r.tired) >= maxTired {
			for other := range r.tired {
				delete(r.tired, other)
				break
			}
		}
		t = &tired{}
		r.tired[source] = t
	}
	if t.runs++; t.runs >= tiring {
		rest := firstRest << min(t.runs-tiring, 10)
		t.until = r.now().Add(min(rest, longestRest))
	}
}

// tookTooMuch reports whether a run was ended because of its time or memory. An
// answer of another process is known by its text.
func tookTooMuch(err error) bool {
	return err != nil && (err.Error() == errSlow.Error() || err.Error() == errGreedy.Error())
}
