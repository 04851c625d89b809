package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// envelope is the form of every answer with a payload. An error has no data.
type envelope[T any] struct {
	Status  bool   `json:"status" doc:"True for success"`
	Message string `json:"message" doc:"What happened, for people"`
	Data    T      `json:"data" nullable:"false"`
}

// failed is the form of every error.
type failed struct {
	Status  bool   `json:"status" doc:"False"`
	Message string `json:"message" doc:"What is wrong, for people"`
}

// failedWith is the form of an error of the few operations that give some of
// theirs data.
type failedWith[T any] struct {
	Status  bool   `json:"status" doc:"False"`
	Message string `json:"message" doc:"What is wrong, for people"`
	Data    T      `json:"data,omitzero"`
}

// none is the payload of an answer that has none: null.
type none = *nothing

type nothing struct{}

// Schema implements [huma.SchemaProvider].
func (nothing) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: "null"} }

// encode writes v as JSON without escaping HTML, so that payloads read as they
// were sent.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("response body: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// appendFailed appends the envelope of an error.
func appendFailed(b []byte, msg string) []byte {
	b = append(b, `{"status":false,"message":`...)
	return append(appendString(b, msg), '}')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string (RFC 8259, section 7); bytes that are
// not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// appendTime appends a time as a JSON string, RFC 3339 in UTC with what
// fraction there is.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	return append(t.UTC().AppendFormat(b, time.RFC3339Nano), '"')
}

// appendNullTime is appendTime, with null for the zero time.
func appendNullTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return appendTime(b, t)
}

// nullTime is the form of a time that is null when unset.
func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func itoa(n int) string { return strconv.Itoa(n) }
