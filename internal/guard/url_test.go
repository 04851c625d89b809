package guard_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/guard"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	const (
		scheme  = "invalid endpoint scheme"
		host    = "endpoint url must include a valid host"
		port    = "endpoint url must include a valid port"
		parse   = "endpoint url is not a valid url"
		control = "endpoint url must be UTF-8 text without control characters"
		creds   = "endpoint url must not include credentials; use the endpoint's authentication instead"
	)
	denied := func(addr, class string) string { return "address " + addr + " (" + class + ") is not allowed" }
	loopback := denied("127.0.0.1", "loopback")
	tests := []struct {
		name string
		url  string
		want string // the message, empty for valid
	}{
		{"https", "https://example.com/hook?a=b", ""},
		{"http", "http://example.com", ""},
		{"upper case", "HTTPS://EXAMPLE.COM/", ""},
		{"port", "https://example.com:8443/", ""},
		{"highest port", "https://example.com:65535/", ""},
		{"empty port", "https://example.com:/", ""},
		{"root dot", "https://example.com./", ""},
		{"underscore", "https://my_host.example.com/", ""},
		{"one label", "http://receiver:8080/", ""},
		{"number first", "https://1password.com/", ""},
		{"number in front", "https://127.0.0.1.example.com/", ""},
		{"looks like hex", "https://0xg.dev/", ""},
		{"hex without prefix", "https://example.cafe/", ""},
		{"international", "https://bücher.example/", ""},
		{"punycode", "https://xn--bcher-kva.example/", ""},
		{"public IPv4", "https://8.8.8.8/", ""},
		{"public IPv6", "https://[2606:4700::1]:8443/", ""},
		{"placeholders", "https://example.com/{tenant}/hook?x={y}", ""},
		{"escapes", "https://example.com/a%20b%00?c=%0d%0a", ""},
		{"longest", "https://example.com/" + strings.Repeat("a", guard.MaxURL-20), ""},

		{"empty", "", "please provide a url for your endpoint"},
		{"too long", "https://example.com/" + strings.Repeat("a", guard.MaxURL-19), "endpoint url must be at most 2048 characters"},
		{"ftp", "ftp://example.com/", scheme},
		{"file", "file:///etc/passwd", scheme},
		{"javascript", "javascript:alert(1)", scheme},
		{"no scheme", "example.com/hook", scheme},
		{"scheme relative", "//example.com/hook", scheme},
		{"no host", "https:///hook", host},
		{"opaque", "https:example.com", host},
		{"only a port", "https://:443/", host},
		{"no name", "https://./", host},
		{"empty label", "https://a..example.com/", host},
		{"two root dots", "https://example.com../", host},
		{"long label", "https://" + strings.Repeat("a", 64) + ".com/", host},
		{"long name", "https://" + strings.Repeat("a.", 127) + "com/", host},
		{"placeholder host", "https://{tenant}.example.com/", parse},
		{"quote", `https://exa"mple.com/`, host},
		{"semicolon", "https://exa;mple.com/", host},
		{"credentials", "https://user:secret@example.com/", creds},
		{"user", "https://user@example.com/", creds},
		{"no user", "https://@example.com/", creds},
		{"port 0", "https://example.com:0/", port},
		{"port 65536", "https://example.com:65536/", port},
		{"port word", "https://example.com:http/", parse},
		{"space", "https://exa mple.com/", parse},
		{"space before", " https://example.com/", parse},
		{"backslash", `https://example.com\@127.0.0.1/`, parse},
		{"escaped dot", "https://127%2e0.0.1/", parse},
		{"nul", "https://example.com/\x00", control},
		{"line break", "https://example.com/\r\nX: y", control},
		{"next line", "https://example.com/\u0085", control},
		{"not UTF-8", "https://example.com/\xff", control},

		{"loopback", "http://127.0.0.1:8080/", loopback},
		{"metadata", "http://169.254.169.254/latest/meta-data/", denied("169.254.169.254", "link-local or metadata")},
		{"private", "https://10.1.2.3/", denied("10.1.2.3", "private network")},
		{"IPv6 loopback", "http://[::1]/", denied("::1", "loopback")},
		{"mapped", "http://[::ffff:127.0.0.1]/", denied("::ffff:127.0.0.1", "loopback")},
		{"zone", "http://[fe80::1%25eth0]/", denied("fe80::1%eth0", "link-local or metadata")},
		{"localhost", "http://localhost:3000/", loopback},
		{"localhost, spelled", "http://LocalHost./", loopback},
		{"below localhost", "http://app.localhost/", loopback},
		{"ends like localhost", "http://notlocalhost/", ""},

		{"decimal", "http://2130706433/", host},
		{"octal", "http://0177.0.0.1/", host},
		{"hex", "http://0x7f000001/", host},
		{"hex part", "http://127.0.0.0X1/", host},
		{"empty hex", "http://127.0.0.0x/", host},
		{"short", "http://127.1/", host},
		{"five parts", "http://1.2.3.4.5/", host},
		{"address with root dot", "http://127.0.0.1./", host},
		{"full-width digits", "http://１２７.0.0.1/", host},
		{"full-width digit last", "http://127.0.0.１/", host},
		{"ideographic dot", "http://127。0。0。1/", host},
		{"superscript", "http://127.0.0.¹/", host},
	}
	policy := guard.New(guard.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := policy.CheckURL(tt.url, false)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("CheckURL(%q): %v", tt.url, err)
				}
				return
			}
			var e *convoy.Error
			if !errors.As(err, &e) || e.Kind != convoy.Invalid || e.Msg != tt.want {
				t.Fatalf("CheckURL(%q) = %v, want %q", tt.url, err, tt.want)
			}
			if strings.HasPrefix(tt.want, "address ") != errors.Is(err, guard.ErrDenied) {
				t.Fatalf("CheckURL(%q) = %v, ErrDenied: %v", tt.url, err, errors.Is(err, guard.ErrDenied))
			}
		})
	}
}

func TestCheckURLRequiresTLS(t *testing.T) {
	t.Parallel()
	policy := guard.New(guard.Config{})
	if err := policy.CheckURL("https://example.com/", true); err != nil {
		t.Errorf("https: %v", err)
	}
	for url, want := range map[string]string{
		"http://example.com/": "only https endpoints allowed",
		"ftp://example.com/":  "invalid endpoint scheme",
	} {
		if err := policy.CheckURL(url, true); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func TestCheckURLFollowsLists(t *testing.T) {
	t.Parallel()
	policy := guard.New(guard.Config{
		Allow: prefixes("127.0.0.0/8", "10.0.0.0/8"),
		Block: prefixes("8.8.8.0/24", "10.1.0.0/16"),
	})
	for url, allowed := range map[string]bool{
		"http://127.0.0.1/":          true,
		"http://[::ffff:127.0.0.1]/": true,
		"http://localhost/":          true,
		"http://[::1]/":              false,
		"http://10.0.0.1/":           true,
		"http://10.1.0.1/":           false,
		"http://8.8.8.8/":            false,
		"http://8.8.4.4/":            true,
	} {
		if err := policy.CheckURL(url, false); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed %v", url, err, allowed)
		}
	}
	six := guard.New(guard.Config{Allow: prefixes("::1/128")})
	if err := six.CheckURL("http://localhost/", false); err != nil {
		t.Errorf("localhost with IPv6 loopback allowed: %v", err)
	}
}

// The message is shown and the cause is logged, so neither may repeat secrets.
func TestCheckURLErrorHidesURL(t *testing.T) {
	t.Parallel()
	policy := guard.New(guard.Config{})
	for _, u := range []string{"https://user:hunter2@exa mple.com/", "https://user:hunter2@example.com/", "https://user:hunter2@h:port/"} {
		if err := policy.CheckURL(u, false); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// FuzzCheckURL looks for accepted URLs that the HTTP client cannot use or would
// send elsewhere than the check believed.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/hook?a=b#c", "http://127.0.0.1:80/", "http://[::ffff:10.0.0.1]/", "http://2130706433/",
		"http://0x7f.1/", "http://a@b@c/", "http://[fe80::1%25eth0]:1/", "https://bücher.example:/", "//x", "https:x", "http://localhost.",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	policy := guard.New(guard.Config{})
	f.Fuzz(func(t *testing.T, raw string, requireTLS bool) {
		err := policy.CheckURL(raw, requireTLS)
		if err != nil {
			if convoy.KindOf(err) != convoy.Invalid {
				t.Fatalf("CheckURL(%q) = %v, want an Invalid", raw, err)
			}
			return
		}
		request, err := http.NewRequest(http.MethodPost, raw, nil)
		if err != nil {
			t.Fatalf("accepted %q: %v", raw, err)
		}
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatalf("accepted %q: %v", raw, err)
		}
		switch {
		case u.Scheme != "https" && (requireTLS || u.Scheme != "http"):
			t.Fatalf("accepted scheme of %q", raw)
		case u.User != nil || request.URL.Hostname() == "" || len(raw) > guard.MaxURL:
			t.Fatalf("accepted %q", raw)
		}
		name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
		if addr, err := netip.ParseAddr(name); err == nil && policy.Allowed(addr) != nil {
			t.Fatalf("accepted denied address in %q", raw)
		}
		if name == "localhost" || strings.HasSuffix(name, ".localhost") {
			t.Fatalf("accepted %q", raw)
		}
	})
}
