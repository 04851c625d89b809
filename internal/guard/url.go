package guard

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"convoy"
)

// MaxURL is the longest accepted URL, in bytes.
const MaxURL = 2048

const (
	maxHost  = 253 // RFC 1035, section 2.3.4, without the root's dot
	maxLabel = 63
)

var errHost = convoy.E(convoy.Invalid, "endpoint url must include a valid host")

// CheckURL checks a URL when it is saved, without resolving names: an http or
// https URL, https only if TLS is required, with a host, and no user name or
// password, which would show up wherever the URL is shown. A host that is an
// address, or a localhost name, must pass the policy. So must every address at
// dial time, which is what protects: a name may resolve to anything.
//
// Go resolves no numbers such as 2130706433, 0x7f.1 or 127.1, but proxies and
// other resolvers do, so a host whose last label is a number must be an address
// in full. The error is an [convoy.Invalid], and wraps [ErrDenied] when the
// address is what was refused.
func (p *Policy) CheckURL(rawURL string, requireTLS bool) error {
	u, err := parseURL(rawURL)
	if err != nil {
		return err
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return convoy.E(convoy.Invalid, "invalid endpoint scheme")
	case requireTLS && u.Scheme != "https":
		return convoy.E(convoy.Invalid, "only https endpoints allowed")
	case u.User != nil:
		return convoy.E(convoy.Invalid, "endpoint url must not include credentials; use the endpoint's authentication instead")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return convoy.E(convoy.Invalid, "endpoint url must include a valid port")
		}
	}
	return p.checkHost(u.Hostname())
}

// parseURL parses and refuses what no URL in a database, a log line or a request
// should hold.
func parseURL(rawURL string) (*url.URL, error) {
	switch {
	case rawURL == "":
		return nil, convoy.E(convoy.Invalid, "please provide a url for your endpoint")
	case len(rawURL) > MaxURL:
		return nil, convoy.E(convoy.Invalid, "endpoint url must be at most "+strconv.Itoa(MaxURL)+" characters")
	case !utf8.ValidString(rawURL), strings.ContainsFunc(rawURL, unicode.IsControl):
		return nil, convoy.E(convoy.Invalid, "endpoint url must be UTF-8 text without control characters")
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		// The cause alone: the full error repeats the URL, perhaps with a password.
		if cause := (*url.Error)(nil); errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, convoy.Wrap(convoy.Invalid, "endpoint url is not a valid url", err)
	}
	return u, nil
}

func (p *Policy) checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return p.checkLiteral(addr)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if !validName(name) {
		return errHost
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		// RFC 6761: loopback, of either family.
		if p.Allowed(netip.IPv6Loopback()) == nil {
			return nil
		}
		return p.checkLiteral(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return nil
}

func (p *Policy) checkLiteral(addr netip.Addr) error {
	if err := p.Allowed(addr); err != nil {
		return convoy.Wrap(convoy.Invalid, err.Error(), err)
	}
	return nil
}

// validName reports whether name can be a DNS name. Underscores are common in
// practice. Letters beyond ASCII are taken as an internationalised name, but not
// digits and dots beyond ASCII, which clients fold into ASCII ones and so into
// addresses.
func validName(name string) bool {
	if name == "" || len(name) > maxHost {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || strings.ContainsFunc(label, notNameRune) {
			return false
		}
		last = label
	}
	return !numeric(last)
}

func notNameRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
		return false
	case r < utf8.RuneSelf:
		return true
	}
	return !unicode.IsLetter(r) && !unicode.IsMark(r)
}

// numeric reports whether a label is a decimal, octal or hexadecimal number, as
// the WHATWG URL standard decides whether a host is an IPv4 address.
func numeric(label string) bool {
	if digits, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
