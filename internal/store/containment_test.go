package store

import (
	"context"
	"errors"
	"strings"
	"testing"

	"convoy"
)

func TestContainment(t *testing.T) {
	t.Parallel()
	const payload = `{"a":1,"b":{"c":[1,{"d":"é"},[2,3]],"e":null,"f":true},"g":"x","g":"y","n":9007199254740993,"":0,"h":[]}`
	for pattern, want := range map[string]bool{
		`{}`: true, `{"a":1}`: true, `{"a":1.0}`: true, `{"a":10e-1}`: true, `{"a":"1"}`: false, `{"a":true}`: false, `{"a":[1]}`: false, `{"A":1}`: false,
		`{"b":{}}`: true, `{"b":[]}`: false, `{"b":{"c":[]}}`: true, `{"b":{"c":[{"d":"\u00e9"}]}}`: true, `{"b":{"c":[[3],1]}}`: true, `{"b":{"c":[3]}}`: false,
		`{"b":{"c":[1,1,1]}}`: true, `{"b":{"c":1}}`: false, `{"b":{"e":null}}`: true, `{"b":{"z":null}}`: false, `{"b":{"f":false}}`: false, `{"b":{"f":true}}`: true,
		`{"g":"y"}`: true, `{"g":"x"}`: false, `{"n":9007199254740993}`: true, `{"n":9007199254740992}`: false, `{"n":90071992547409930e-1}`: true,
		`{"":-0.0}`: true, `{"h":[]}`: true, `{"h":[1]}`: false, `{"a":1,"g":"y"}`: true, `{"a":1,"z":"y"}`: false,
	} {
		c, err := ParseContainment(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if got, err := c.in(t.Context(), []byte(payload)); got != want || err != nil {
			t.Errorf("%s: %v, %v", pattern, got, err)
		}
		terms := make(map[term]struct{})
		eventTerms(&convoy.Event{ProjectID: "p", Data: []byte(payload)}, func(t term) { terms[t] = struct{}{} })
		for _, term := range c.terms("p") {
			if _, ok := terms[term]; want && !ok {
				t.Errorf("%s: a term is not the payload's", pattern)
			}
		}
		if c.Empty() != (pattern == "{}") {
			t.Errorf("%s: empty is %v", pattern, c.Empty())
		}
		for _, other := range []string{`[{"a":1}]`, `"a"`, `null`, `7`} {
			if got, _ := c.in(t.Context(), []byte(other)); got {
				t.Errorf("%s is in %s", pattern, other)
			}
		}
	}
	for _, bad := range []string{
		``, `[]`, `"x"`, `{`, `{"a":1}}`, "{\"a\":\"\xff\"}", `{"a":[` + strings.Repeat("1,", 100) + `1]}`,
		`{"a":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`,
	} {
		if _, err := ParseContainment(bad); err == nil {
			t.Errorf("%.40s is taken", bad)
		}
	}
}

func TestDecimals(t *testing.T) {
	t.Parallel()
	for _, equal := range [][]string{
		{"0", "-0", "0.000", "0e9", "-0.0E-5"}, {"1", "1.0", "0.1e1", "10E-1", "1e0", "100e-00002"}, {"-12.5", "-125e-1", "-0.125e+2"},
		{"1e999999999999999999999", "1e9999999999999999999999"}, {"1e-999999999"}, {"12345678901234567890"}, {"12345678901234567891"}, {"0.1"}, {"0.01", "1e-2"},
	} {
		for _, a := range equal {
			if decimalOf(a) != decimalOf(equal[0]) {
				t.Errorf("%s is not %s: %+v", a, equal[0], decimalOf(a))
			}
			for _, b := range []string{"7", "-1", "1e1", "0.001", "12345678901234567892"} {
				if decimalOf(a) == decimalOf(b) {
					t.Errorf("%s is %s", a, b)
				}
			}
		}
	}
}

// One payload that takes long to look at ends when the search does.
func TestContainmentEnds(t *testing.T) {
	t.Parallel()
	c, err := ParseContainment(`{"a":[` + strings.Repeat("1,", 90) + `1]}`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	payload := `{"a":[` + strings.Repeat("2,", 100_000) + `1]}`
	if _, err := c.in(ctx, []byte(payload)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if ok, err := c.in(t.Context(), []byte(payload)); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}
