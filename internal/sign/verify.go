package sign

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"convoy"
)

// Reasons why [Verify] refuses a header.
var (
	ErrHeader   = errors.New("malformed signature header")
	ErrStale    = errors.New("signature timestamp outside the tolerance")
	ErrMismatch = errors.New("signature does not match")
)

const (
	// maxHeaderValue admits [MaxVersions] times [MaxSecrets] of the longest
	// signature: 128 hex digits, the label and a comma.
	maxHeaderValue = 32 + MaxVersions*MaxSecrets*(128+4)
	// maxTimestampDigits keeps the seconds well inside time.Time's range.
	maxTimestampDigits = 12
)

// Verify checks the value of a signature header, in either form, against the
// bytes received, as an endpoint that knows one version and one secret does. An
// advanced header passes when any of its vN digests matches. A positive
// tolerance bounds the distance of its timestamp from now, either way; the
// simple form has no timestamp, so the tolerance does not apply to it. The error
// is [ErrHeader], [ErrStale], [ErrMismatch], or an [convoy.Invalid] for a version
// or secret that cannot be used.
func Verify(version convoy.SignatureVersion, header, secret string, body []byte, tolerance time.Duration, now time.Time) error {
	cfg := convoy.SignatureConfig{
		Header:   convoy.DefaultSignatureHeader,
		Versions: []convoy.SignatureVersion{version},
	}
	if err := Validate(cfg); err != nil {
		return err
	}
	if secret == "" {
		return invalid("secret is required")
	}
	h, err := parse(header)
	if err != nil {
		return err
	}
	mac := hmac.New(digest(version.Hash), []byte(secret))
	if h.timestamp != "" {
		if tolerance > 0 && now.Sub(h.at).Abs() > tolerance {
			return ErrStale
		}
		mac.Write([]byte(h.timestamp + ","))
	}
	mac.Write(body)
	want := appendEncoded(nil, mac.Sum(nil), version.Encoding)
	matched := false
	for _, got := range h.digests {
		// Every digest is compared, so the time tells nothing about which matched.
		if hmac.Equal(want, []byte(got)) {
			matched = true
		}
	}
	if !matched {
		return ErrMismatch
	}
	return nil
}

// header is a parsed header value. The simple form has no timestamp and one
// digest.
type header struct {
	// timestamp is the text that was signed, at the instant it stands for.
	timestamp string
	at        time.Time
	digests   []string
}

// parse splits a header value. Elements with unknown names are skipped, so that
// elements can be added to the format.
func parse(value string) (header, error) {
	if value == "" || len(value) > maxHeaderValue {
		return header{}, fmt.Errorf("%w: %d bytes", ErrHeader, len(value))
	}
	// No digest begins with "t=": "=" ends a base64 text of at least 16 bytes.
	if !strings.HasPrefix(value, "t=") {
		if strings.ContainsAny(value, ", ") {
			return header{}, fmt.Errorf("%w: no timestamp", ErrHeader)
		}
		return header{digests: []string{value}}, nil
	}
	var h header
	for element := range strings.SplitSeq(value, ",") {
		name, text, ok := strings.Cut(element, "=")
		switch {
		case !ok || text == "":
			return header{}, fmt.Errorf("%w: element without a value", ErrHeader)
		case name == "t":
			if h.timestamp != "" {
				return header{}, fmt.Errorf("%w: two timestamps", ErrHeader)
			}
			if len(text) > maxTimestampDigits || !digitsOnly(text) {
				return header{}, fmt.Errorf("%w: timestamp is not in Unix seconds", ErrHeader)
			}
			seconds, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return header{}, fmt.Errorf("%w: %w", ErrHeader, err)
			}
			h.timestamp, h.at = text, time.Unix(seconds, 0)
		case len(name) > 1 && name[0] == 'v' && digitsOnly(name[1:]):
			h.digests = append(h.digests, text)
		}
	}
	if len(h.digests) == 0 {
		return header{}, fmt.Errorf("%w: no signature", ErrHeader)
	}
	return h, nil
}

func digitsOnly(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
