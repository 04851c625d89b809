package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"convoy"
)

func TestPostings(t *testing.T) {
	t.Parallel()
	want := map[term]marks{
		0x01aaaaaa_00000000: {0},
		0x01aaaaab_12345678: {1, 2, 3, 300, 65535},
		0x01ffffff_ffffffff: {65534},
	}
	var row []byte
	for t, m := range want {
		row = appendPosting(row, t, m)
	}
	got := map[uint32]marks{0xaaaaaa: {7}, 0xaaaaab: nil, 0xffffff: nil, 0xeeeeee: nil}
	want[0x01aaaaaa_00000000] = marks{7, 0} // what was there is kept
	want[0x01eeeeee_00000000] = nil
	if err := readPostings(row, got); err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for term, m := range want {
		if term.bucket() != 1 || !slices.Equal(got[term.rest()], m) {
			t.Errorf("%x in bucket %d: %v, want %v", term, term.bucket(), got[term.rest()], m)
		}
	}
	one := appendPosting(nil, term(7)<<32, marks{5, 1000})
	for n := 1; n < len(one); n++ {
		if err := readPostings(one[:n], map[uint32]marks{7: nil}); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(one))
		}
	}
	if err := readPostings([]byte{7, 0, 0, 1, 0xff}, map[uint32]marks{7: nil}); err == nil {
		t.Error("half a mark is read")
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	a, b := marks{1, 3, 5, 700}, marks{2, 3, 700, 9000}
	if got := a.and(b); !slices.Equal(got, marks{3, 700}) {
		t.Errorf("and: %v", got)
	}
	if got := a.or(b); !slices.Equal(got, marks{1, 2, 3, 5, 700, 9000}) {
		t.Errorf("or: %v", got)
	}
	if got := a.and(nil); len(got) != 0 {
		t.Errorf("and nothing: %v", got)
	}
	if got := (marks{5, 9, 1, 5}).ordered(); !slices.Equal(got, marks{1, 5, 9}) {
		t.Errorf("ordered: %v", got)
	}
	for _, id := range []convoy.EventID{"01KXG7Z5JB0000000000000011", "01KXG7Z5JB00000000000000ZZ", "01KXG7Z5JB00000000000000A0"} {
		if m := newMark(255, id); m.block() != 255 || m.end() != id[len(id)-1] {
			t.Errorf("%s: block %d, end %c", id, m.block(), m.end())
		}
	}
}

// TestParts checks that a key has the terms of whatever part of it is asked for.
func TestParts(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	letters := []rune("abcXYZ019-_é%")
	for range 500 {
		key := make([]rune, 1+random.IntN(40))
		for i := range key {
			key[i] = letters[random.IntN(len(letters))]
		}
		has := make(map[term]bool)
		eventTerms(&convoy.Event{ProjectID: "p", IdempotencyKey: string(key), Data: []byte("{}")}, func(t term) { has[t] = true })
		from := random.IntN(len(key))
		part := string(key[from : from+1+random.IntN(len(key)-from)])
		terms := partTerms("p", part)
		if len(terms) == 0 || len(terms) > maxParts {
			t.Errorf("%q is looked up by %d terms", part, len(terms))
		}
		for _, term := range terms {
			if !has[term] {
				t.Errorf("%q lacks a term of its part %q", string(key), part)
			}
		}
		for _, term := range partTerms("another", part) {
			if has[term] {
				t.Errorf("%q has a term of another project", string(key))
			}
		}
	}
}
