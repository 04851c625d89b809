package verify

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"convoy"
	"convoy/internal/sign"
)

const (
	// maxSignatures bounds the signatures of one header: a producer that rotates
	// its secret sends two.
	maxSignatures = 16
	// maxTimestampDigits admits milliseconds and keeps far from overflow.
	maxTimestampDigits = 14
	// millisecondsFrom tells seconds from milliseconds; as seconds it is in the
	// year 5138.
	millisecondsFrom = 100_000_000_000
)

// scheme is one way of signing requests: an HMAC (RFC 2104) of a text that a
// template makes of the request.
type scheme struct {
	header    string
	hash      func() hash.Hash
	key       []byte
	decode    func(string) ([]byte, error)
	template  template
	timestamp string
	tolerance time.Duration
	// object asks for a body that is a JSON object.
	object bool
}

func newScheme(c *convoy.HMACVerifier) (*scheme, error) {
	s := &scheme{
		header: c.Header, hash: sign.Hash(c.Hash), key: []byte(c.Secret), decode: decoders[c.Encoding],
		timestamp: c.TimestampHeader, tolerance: time.Duration(min(c.Tolerance, maxTolerance)) * time.Second,
	}
	if s.tolerance == 0 {
		s.tolerance = convoy.DefaultTolerance
	}
	if s.header == "" || s.hash == nil || len(s.key) == 0 || s.decode == nil {
		return nil, errUnknown
	}
	var err error
	if s.template, err = parseTemplate(c.Template); err != nil {
		return nil, err
	}
	if s.timestamp != "" && !s.template.timed {
		return nil, convoy.E(convoy.Invalid, "template:must have {timestamp} in it for the timestamp to be signed")
	}
	return s, nil
}

// maxTolerance is a year in seconds.
const maxTolerance = 365 * 24 * 3600

var decoders = map[string]func(string) ([]byte, error){
	"hex":    hex.DecodeString,
	"base64": base64.StdEncoding.DecodeString,
}

// check computes what the request should have been signed with and looks for it
// in the signature header: a digest, or several separated by commas or spaces,
// each with or without a label such as sha256=.
func (s *scheme) check(r *Request, now time.Time) error {
	values := r.Header.Values(s.header)
	if len(values) == 0 {
		return NoSignature
	}
	given := strings.Join(values, ",")
	if s.object && (len(r.Body) == 0 || r.Body[0] != '{') {
		return NotAnObject
	}
	var stamp string
	if s.template.timed {
		if stamp = s.stamp(r.Header, given); stamp == "" {
			return NoTimestamp
		}
		at, ok := parseTimestamp(stamp)
		if !ok {
			return NoTimestamp
		}
		if now.Sub(at).Abs() > s.tolerance {
			return Stale
		}
	}
	mac := hmac.New(s.hash, s.key)
	if !s.template.write(mac, r, stamp) {
		return NoHeader
	}
	want := mac.Sum(nil)
	n := 0
	for candidate := range strings.FieldsFuncSeq(given, func(c rune) bool { return c == ',' || c == ' ' }) {
		if n++; n > maxSignatures {
			break
		}
		if s.matches(candidate, want) {
			return nil
		}
		// A label ends at the first equals sign; base64 ends with them.
		if _, digest, ok := strings.Cut(candidate, "="); ok && s.matches(digest, want) {
			return nil
		}
	}
	return NoMatch
}

func (s *scheme) matches(digest string, want []byte) bool {
	given, err := s.decode(digest)
	return err == nil && hmac.Equal(given, want)
}

// stamp is the text of the timestamp, from its own header or from the element
// t=… of the signature's.
func (s *scheme) stamp(h http.Header, given string) string {
	if s.timestamp != "" {
		return h.Get(s.timestamp)
	}
	for element := range strings.SplitSeq(given, ",") {
		if t, ok := strings.CutPrefix(strings.TrimSpace(element), "t="); ok {
			return t
		}
	}
	return ""
}

// parseTimestamp reads Unix seconds or milliseconds.
func parseTimestamp(s string) (time.Time, bool) {
	if s == "" || len(s) > maxTimestampDigits || s[0] < '0' || s[0] > '9' {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if n >= millisecondsFrom {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}
