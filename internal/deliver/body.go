package deliver

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"convoy"
)

const formContent = "application/x-www-form-urlencoded"

// payload is the body of a request: the event's bytes as they are, or, for an
// endpoint that wants a form, the event's JSON object as one.
func payload(contentType string, e *convoy.Event) ([]byte, error) {
	if contentType != formContent {
		return e.Data, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(e.Data, &fields); err != nil || fields == nil {
		return nil, errors.New("a form can only be made of a JSON object")
	}
	form := make(url.Values, len(fields))
	for name, raw := range fields {
		switch raw[0] {
		case '"':
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, fmt.Errorf("field %q: %w", name, err)
			}
			form.Set(name, s)
		case 'n':
			form.Set(name, "")
		default: // numbers keep their text, objects and arrays are their JSON
			form.Set(name, string(raw))
		}
	}
	return []byte(form.Encode()), nil
}

// drainLimit is how much of a response is read beyond what is kept, so that
// its connection can be used again.
const drainLimit = 64 << 10

// capture reads the beginning of a response body, at most limit bytes after
// decompression, as valid UTF-8 without NUL. What cannot be read or decoded is
// left out: a response's body never decides an attempt.
func capture(res *http.Response, limit int) string {
	// The body that comes with 101 (Switching Protocols) is the connection
	// itself, and reading it does not end with the request.
	if res.ContentLength == 0 || res.StatusCode == http.StatusSwitchingProtocols {
		return ""
	}
	var body io.Reader = res.Body
	if strings.EqualFold(res.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(io.LimitReader(res.Body, int64(limit)+drainLimit))
		if err != nil {
			return ""
		}
		body = z
	}
	var buf bytes.Buffer
	if n := res.ContentLength; n > 0 && n < int64(limit) {
		buf.Grow(int(n) + bytes.MinRead)
	}
	_, _ = buf.ReadFrom(io.LimitReader(body, int64(limit))) // the rest is capture's to ignore
	_, _ = io.CopyN(io.Discard, res.Body, drainLimit)
	return cleanText(buf.String())
}

// cleanText makes text that every store takes.
func cleanText(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}
