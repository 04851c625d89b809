package urltemplate

import (
	"net/url"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		template, url string
		want          bool
	}{
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/t/7/hook", true},
		{"https://a.example.com/t/{id}/hook", "HTTPS://A.example.com:443/t/7/hook", true},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/t/a%2Fb%20c/hook", true},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/t//hook", false},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/t/a/b/hook", false},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/t/../hook", false},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/t/%2e%2E/hook", false},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/t/7/hook/", false},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/t/7/hook?x=1", false},
		{"https://a.example.com/t/{id}/hook", "http://a.example.com/t/7/hook", false},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com:8443/t/7/hook", false},
		{"https://a.example.com/t/{id}/hook", "https://b.example.com/t/7/hook", false},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com@evil.example.com/t/7/hook", false},
		{"https://a.example.com/t/{id}/hook", "https://a.example.com/T/7/hook", false},
		{"http://a:80/{x}", "http://a/1", true},
		{"http://a/{x}", "http://a/", false},
		{"http://a/{x}", "http://a", false},
		{"http://a/{x}#f", "http://a/1", true},
		{"http://a/{x}", "http://a/1#f", true},
		{"http://a/p-{x}.json", "http://a/p-1.json", true},
		{"http://a/p-{x}.json", "http://a/p-.json", false},
		{"http://a/p-{x}.json", "http://a/p-1.JSON", false},
		{"http://a/aa{x}aa", "http://a/aaa", false},
		{"http://a/aa{x}aa", "http://a/aaaaa", true},
		{"http://a/{x}-{y}-{z}", "http://a/1-2-3", true},
		{"http://a/{x}-{y}-{z}", "http://a/--a--", true},
		{"http://a/{x}-{y}-{z}", "http://a/-2-3", false},
		{"http://a/{x}-{y}-{z}", "http://a/1-2-", false},
		{"http://a/%7Bb%7D/{x}", "http://a/%7Bb%7D/1", true},
		{"http://a/%7Bb%7D/{x}", "http://a/c/1", false},
		{"http://a?r={r}&k=1", "http://a/?k=1&r=eu", true},
		{"http://a/?r={r}&k=1", "http://a?r=a+b%26&k=1", true},
		{"http://a/?r={r}&k=1", "http://a/?r=eu&k=2", false},
		{"http://a/?r={r}&k=1", "http://a/?r=&k=1", false},
		{"http://a/?r={r}&k=1", "http://a/?r=eu", false},
		{"http://a/?r={r}&k=1", "http://a/?r=eu&k=1&z=1", false},
		{"http://a/?r={r}&k=1", "http://a/?r=eu&k=1&r=us", false},
		{"http://a/?r={r}&r=1", "http://a/?r=eu&r=1", true},
		{"http://a/?r=x-{r}", "http://a/?r=%zz", false},
	} {
		tmpl, err := Parse(tt.template)
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		if got := tmpl.Match(tt.url); got != tt.want {
			t.Errorf("%s matches %s: %v", tt.template, tt.url, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]error{
		"http://a/{": errBraces, "http://a/}": errBraces, "http://a/{}": errBraces, "http://a/{a b}": errBraces, "http://a/{a-b}": errBraces,
		"http://a/{a}}": errBraces, "http://a/{{a}}": errBraces, "http://a/{a/b}": errBraces, "http://a/": errBraces, "http://a/{é}": errBraces,
		"http://a/{a}{b}": errNeighbour, "http://a.example.com/x#{a}": errPlace, "http://a/?{n}=1": errPlace, "http://a/?n={": errBraces,
		"/x/{a}": errURL, "mailto:{a}": errURL, "": errURL, "http://a/" + strings.Repeat("{a}-", 33): errMany,
	} {
		if _, err := Parse(raw); err != want { //nolint:errorlint // they are values
			t.Errorf("%s: %v, want %v", raw, err, want)
		}
	}
}

func TestSetPrefersTheSpecific(t *testing.T) {
	t.Parallel()
	var s Set[string]
	if _, ok := s.Match("http://a/x"); ok || s.Len() != 0 {
		t.Error("an empty set matches")
	}
	for _, raw := range []string{"http://a/{x}/{y}", "http://a/{first}/hook", "http://a/{second}/hook", "http://a/eu-{x}/hook", "http://b/{x}/hook"} {
		tmpl, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		s.Add(tmpl, raw)
	}
	for raw, want := range map[string]string{
		"http://a/1/2": "http://a/{x}/{y}", "http://a/1/hook": "http://a/{first}/hook", "http://a/eu-1/hook": "http://a/eu-{x}/hook",
		"http://b/1/hook": "http://b/{x}/hook", "http://b/1/2": "", "http://c/1/2": "",
	} {
		if got, ok := s.Match(raw); got != want || ok != (want != "") {
			t.Errorf("%s matches %q, want %q", raw, got, want)
		}
	}
	if s.Len() != 5 {
		t.Errorf("%d templates", s.Len())
	}
}

// TestSetChanges takes templates off a copy, and orders equals by value.
func TestSetChanges(t *testing.T) {
	t.Parallel()
	s := Set[string]{Compare: strings.Compare}
	add := func(s *Set[string], value, raw string) *Template {
		t.Helper()
		tmpl, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		s.Add(tmpl, value)
		return tmpl
	}
	add(&s, "b", "http://a/{x}/hook")
	first := add(&s, "a", "http://a/{y}/hook")
	add(&s, "c", "http://a/{z}/hook")
	only := add(&s, "d", "http://d/{x}")
	changed := s.Clone()
	changed.Remove(first, func(v string) bool { return v == "a" })
	changed.Remove(only, func(v string) bool { return v == "d" })
	changed.Remove(only, func(v string) bool { return v == "d" }) // is gone
	add(&changed, "e", "http://d/eu-{x}")
	for _, tt := range []struct {
		name, url, want string
		s               *Set[string]
	}{
		{"the set", "http://a/1/hook", "a", &s}, {"the set", "http://d/eu-1", "d", &s},
		{"its copy", "http://a/1/hook", "b", &changed}, {"its copy", "http://d/eu-1", "e", &changed}, {"its copy", "http://d/1", "", &changed},
	} {
		if got, _ := tt.s.Match(tt.url); got != tt.want {
			t.Errorf("%s matches %s with %q, want %q", tt.name, tt.url, got, tt.want)
		}
	}
	if s.Len() != 4 || changed.Len() != 3 {
		t.Errorf("%d and %d templates, want 4 and 3", s.Len(), changed.Len())
	}
}

// FuzzParse looks for templates that do not match themselves with their
// placeholders filled in.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"http://a/{x}", "https://a:8/{x}/b%2F?c={d}&e", "http://a/{x}-{y}#z", "http://[::1]/{a}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		tmpl, err := Parse(raw)
		if err != nil {
			return
		}
		var filled strings.Builder
		for rest := raw; ; {
			text, after, ok := strings.Cut(rest, "{")
			filled.WriteString(text)
			if !ok {
				break
			}
			filled.WriteString("val")
			_, rest, _ = strings.Cut(after, "}")
		}
		u, err := url.Parse(filled.String())
		if err != nil {
			return
		}
		if _, err := url.ParseQuery(u.RawQuery); err != nil {
			return // a semicolon
		}
		if !tmpl.Match(filled.String()) {
			t.Errorf("%q does not match %q", raw, filled.String())
		}
	})
}
