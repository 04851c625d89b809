package deliver

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"convoy"
)

func TestPayload(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, contentType, data, want string
		fails                         bool
	}{
		{"json as it came", "application/json", " {\"b\" : 1.50,\n \"a\":\"<\\u00e9>\"} ", " {\"b\" : 1.50,\n \"a\":\"<\\u00e9>\"} ", false},
		{"json that is no object", "application/json", `[1, 2]`, `[1, 2]`, false},
		{"other type as it came", "text/plain", `{"a":1}`, `{"a":1}`, false},
		{"form sorted", formContent, `{"b":"2","a":"1"}`, "a=1&b=2", false},
		{"form keeps number text", formContent, `{"f":12.50,"big":12345678901234567890,"e":1e3,"n":-0.0}`, "big=12345678901234567890&e=1e3&f=12.50&n=-0.0", false},
		{"form literals", formContent, `{"t":true,"f":false,"n":null}`, "f=false&n=&t=true", false},
		{"form nested", formContent, `{"o":{"x": 1},"l":[1, "a"]}`, "l=%5B1%2C+%22a%22%5D&o=%7B%22x%22%3A+1%7D", false},
		{"form escapes", formContent, `{"a b":"x&y=z","é":"\u00fc\n"}`, "a+b=x%26y%3Dz&%C3%A9=%C3%BC%0A", false},
		{"form empty", formContent, ` {} `, "", false},
		{"form of a list", formContent, `[1]`, "", true},
		{"form of a text", formContent, `"a"`, "", true},
		{"form of null", formContent, `null`, "", true},
		{"form of nothing", formContent, ``, "", true},
		{"form of a broken object", formContent, `{"a":1`, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := payload(tt.contentType, &convoy.Event{Data: []byte(tt.data)})
			if string(got) != tt.want || (err != nil) != tt.fails {
				t.Errorf("payload = %q, %v; want %q, error %v", got, err, tt.want, tt.fails)
			}
		})
	}
}

// endless counts what is read of an endless body.
type endless struct {
	read   int
	closed bool
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func (e *endless) Close() error { e.closed = true; return nil }

func zipped(t testing.TB, s []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCapture(t *testing.T) {
	t.Parallel()
	const limit = 1024
	bomb := zipped(t, make([]byte, 10<<20))
	text := zipped(t, []byte("a compressed answer"))
	noise := make([]byte, 4000)
	for i := range noise { // does not compress, so a cut falls into the data
		noise[i] = 'a' + byte(i*i*7919>>5)%26
	}
	tests := []struct {
		name, encoding string
		body           []byte
		want           string
	}{
		{"plain", "", []byte("hello"), "hello"},
		{"empty", "", nil, ""},
		{"at the limit", "", bytes.Repeat([]byte("x"), limit), strings.Repeat("x", limit)},
		{"over the limit", "", bytes.Repeat([]byte("x"), 5*limit), strings.Repeat("x", limit)},
		{"gzip", "gzip", text, "a compressed answer"},
		{"gzip in capitals", "GZIP", text, "a compressed answer"},
		{"gzip bomb", "gzip", bomb, strings.Repeat("\uFFFD", limit)}, // NULs
		{"gzip without a body", "gzip", nil, ""},
		{"gzip that is none", "gzip", []byte("plain text"), ""},
		{"gzip cut in its header", "gzip", text[:5], ""},
		{"other encoding as it came", "br", []byte("abc"), "abc"},
		{"invalid UTF-8", "", []byte("a\xff\xfeb\xc3"), "a\uFFFDb\uFFFD"},
		{"NUL", "", []byte("a\x00b"), "a\uFFFDb"},
		{"NUL and invalid UTF-8", "", []byte("\x00\xff"), "\uFFFD\uFFFD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, length := range []int64{int64(len(tt.body)), -1} {
				res := &http.Response{
					Header: http.Header{"Content-Encoding": {tt.encoding}}, ContentLength: length,
					Body: io.NopCloser(bytes.NewReader(tt.body)),
				}
				got := capture(res, limit)
				if len(tt.want) < 100 && got != tt.want || len(got) != len(tt.want) {
					t.Errorf("capture with length %d = %d bytes %.80q, want %d bytes %.80q", length, len(got), got, len(tt.want), tt.want)
				}
				if !utf8.ValidString(got) || strings.ContainsRune(got, 0) {
					t.Errorf("capture = %.80q, not text that a store takes", got)
				}
			}
		})
	}
	t.Run("gzip cut in its data", func(t *testing.T) {
		t.Parallel()
		whole := zipped(t, noise)
		res := &http.Response{
			Header: http.Header{"Content-Encoding": {"gzip"}}, ContentLength: -1,
			Body: io.NopCloser(bytes.NewReader(whole[:len(whole)/2])),
		}
		if got := capture(res, 1<<20); !strings.HasPrefix(string(noise), got) {
			t.Errorf("capture = %.40q…, want a beginning of what was sent", got)
		}
	})
	t.Run("endless", func(t *testing.T) {
		t.Parallel()
		for _, encoding := range []string{"", "gzip"} {
			body := &endless{}
			capture(&http.Response{Header: http.Header{"Content-Encoding": {encoding}}, ContentLength: -1, Body: body}, limit)
			if most := 2*limit + 2*drainLimit; body.read > most {
				t.Errorf("encoding %q: %d bytes were read, at most %d are wanted", encoding, body.read, most)
			}
		}
	})
}

func FuzzCapture(f *testing.F) {
	f.Add([]byte("plain"), "")
	f.Add(zipped(f, []byte("text")), "gzip")
	f.Add(zipped(f, make([]byte, 1<<16))[:40], "gzip")
	f.Add([]byte("\x00\xff\xc3"), "br")
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		const limit = 512
		got := capture(&http.Response{
			Header: http.Header{"Content-Encoding": {encoding}}, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(body)),
		}, limit)
		// A replaced byte takes three.
		if len(got) > 3*limit || !utf8.ValidString(got) || strings.ContainsRune(got, 0) {
			t.Errorf("capture of %q = %q", body, got)
		}
	})
}
