package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"convoy"
)

func location(t testing.TB, text string) Location {
	t.Helper()
	l, err := ParseLocation(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return l
}

func TestParseLocation(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"request.body.a": nil, "req.Body.a.b.c": nil, "request.header.X-Id": nil, "request.Header.x": nil,
		"request.query.q": nil, "req.QueryParam.q": nil,
		"": ErrParts, "request": ErrParts, "request.body": ErrParts, "request.body.": ErrParts, "a.b": ErrParts,
		"response.body.a": ErrFormat, "request.cookie.a": ErrFormat, "Request.body.a": ErrFormat,
		"request.body" + strings.Repeat(".a", 32): nil, "request.body" + strings.Repeat(".a", 33): ErrFormat,
	} {
		if _, err := ParseLocation(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	r := &Request{
		Header: header("X-Id", "one", "X-Id", "two", "X-Empty", ""),
		Query:  url.Values{"q": {"first", "second"}, "empty": {""}, "a.b": {"dots"}},
		Data: []byte(`{"s":"é\u0041","n":1.0,"big":12345678901234567890,"t":true,"f":false,"null":null,"o":{"x":{"y":"deep"},"*":"star","0":"zero"},
			"l":[{"id":"a"},"b",[7]],"twice":"1","twice":"2","pair":"\ud800","#":"hash"}`),
	}
	for text, want := range map[string]string{
		"request.header.x-id": "one", "request.header.X-Empty": "", "request.query.q": "first", "request.query.empty": "", "request.query.a.b": "dots",
		"request.body.s": "éA", "request.body.n": "1.0", "request.body.big": "12345678901234567890", "request.body.t": "true", "request.body.f": "false",
		"request.body.o.x.y": "deep", "request.body.o.*": "star", "request.body.o.0": "zero", "request.body.l.0.id": "a", "request.body.l.1": "b", "request.body.l.2.0": "7",
		"request.body.twice": "2", "request.body.pair": "\uFFFD", "request.body.#": "hash",
	} {
		l := location(t, text)
		if got, ok, err := l.Value(r); got != want || !ok || err != nil {
			t.Errorf("%s: %q, %v, %v, want %q", text, got, ok, err, want)
		}
	}
	for _, text := range []string{
		"request.header.x-no", "request.query.no", "request.body.no", "request.body.null", "request.body.o.x.z", "request.body.s.x",
		"request.body.l.3", "request.body.l.-1", "request.body.l.x", "request.body.l.#", "request.body.o.@this", "request.body..s", "request.body.n.0",
	} {
		l := location(t, text)
		if got, ok, err := l.Value(r); got != "" || ok || err != nil {
			t.Errorf("%s: %q, %v, %v, want nothing", text, got, ok, err)
		}
	}
	for _, text := range []string{"request.body.o", "request.body.l"} {
		l := location(t, text)
		if _, _, err := l.Value(r); convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	r := &Request{Header: header("X-Id", "evt_42"), Query: url.Values{"i": {"inv_123"}}, Data: []byte(`{"id":"evt_42","inv":"inv_123"}`)}
	// The contract's vector.
	const want = "c821f1a363b17d957b3f27b827909d08863da0b10d98fe2da0ccdbdd3de5f242"
	for _, tt := range []struct {
		want      string
		failing   bool
		locations []string
	}{
		{want, false, []string{"request.body.id", "request.body.inv"}},
		{want, false, []string{"request.header.X-Id", "request.query.i"}},
		{want, false, []string{"request.header.X-No", "request.header.X-Id", "request.query.i"}},
		{"", false, nil},
		{"", false, []string{"request.header.X-No"}},
		{"", false, []string{"request.header.X-No", "request.header.X-Neither"}},
		{"", true, []string{"request.query.no"}},
		{"", true, []string{"request.header.X-Id", "request.body.no"}},
		{"", true, []string{"request.body.id.x"}},
	} {
		var list []Location
		for _, text := range tt.locations {
			list = append(list, location(t, text))
		}
		got, err := Key("my-source", list, r)
		if got != tt.want || (err != nil) != tt.failing || err != nil && convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("%v: %q, %v", tt.locations, got, err)
		}
	}
}

func TestEventType(t *testing.T) {
	t.Parallel()
	r := &Request{Header: header("X-Empty", ""), Data: []byte(`{"type":"invoice.paid","o":{}}`)}
	l := location(t, "request.body.type")
	if got, err := EventType(&l, r); got != "invoice.paid" || err != nil {
		t.Errorf("event type %q, %v", got, err)
	}
	for _, text := range []string{"request.body.no", "request.body.o", "request.header.X-Empty", "request.query.q"} {
		l := location(t, text)
		if got, err := EventType(&l, r); convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func multipartForm(t *testing.T, fill func(w *multipart.Writer)) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func TestForm(t *testing.T) {
	t.Parallel()
	const urlencoded = "application/x-www-form-urlencoded"
	mixed, mixedBody := multipartForm(t, func(w *multipart.Writer) {
		for _, f := range [][2]string{{"b", "x & y"}, {"b", "second"}, {"a", "1"}} {
			if err := w.WriteField(f[0], f[1]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.CreateFormFile("file", "a.bin"); err != nil {
			t.Fatal(err)
		}
	})
	many, manyBody := multipartForm(t, func(w *multipart.Writer) {
		for range maxFields + 1 {
			if err := w.WriteField("a", "1"); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, tt := range []struct {
		name, contentType, body, query, want string
		failing                              bool
	}{
		{"contract", urlencoded, "a=1&b=2", "", `{"a":"1","b":"2"}`, false},
		{"first values and the query's", urlencoded + "; charset=utf-8", "b=2&b=3&a=", "a=9&c=4&c=5", `{"a":"","b":"2","c":"4"}`, false},
		{"text", urlencoded, "a=%3Cb%3E+%26&n=%00&bad=%ff", "", `{"a":"<b> &","bad":"\ufffd","n":"\u0000"}`, false},
		{"empty", urlencoded, "", "", `{}`, false},
		{"escape", urlencoded, "a=%zz", "", "", true},
		{"semicolon", urlencoded, "a=1;b=2", "", "", true},
		{"fields", urlencoded, fields(maxFields + 1), "", "", true},
		{"multipart", mixed, mixedBody, "c=4", `{"a":"1","b":"x & y","c":"4"}`, false},
		{"multipart fields", many, manyBody, "", "", true},
		{"cut off", mixed, mixedBody[:len(mixedBody)-20], "", "", true},
		{"no part", mixed, "a", "", "", true},
		{"no boundary", "multipart/form-data", mixedBody, "", "", true},
		{"JSON", "application/json", "a=1", "", "", false},
		{"no type", "", "a=1", "", "", false},
		{"nonsense", "/;", "a=1", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			query, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Form(tt.contentType, []byte(tt.body), query)
			if string(got) != tt.want || (err != nil) != tt.failing || err != nil && err.Error() != "Invalid request format" {
				t.Errorf("%s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func fields(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&f" + strings.Repeat("x", i%30) + string(rune('a'+i/30%26)) + string(rune('a'+i/780)) + "=1")
	}
	return b.String()[1:]
}

func FuzzVerify(f *testing.F) {
	f.Add("t=1700000000,v1=00", "{header:A}.{timestamp}.{body}", "X-T", "1", "body")
	f.Add("sha256=", "", "", "", "")
	f.Add("v1,AA== v1,", "{body}", "", "", "{}")
	f.Fuzz(func(t *testing.T, signature, tmpl, stampHeader, stamp, body string) {
		for _, src := range []*convoy.Source{
			hmacSource(func(c *convoy.HMACVerifier) { c.Template, c.TimestampHeader = tmpl, stampHeader }),
			hmacSource(func(c *convoy.HMACVerifier) { c.Encoding = "base64" }),
			provided(Twitter, "s"),
		} {
			v, err := New(src)
			if err != nil {
				continue
			}
			h := header("X-Signature", signature, "X-Twitter-Webhooks-Signature", signature, "A", stamp)
			if stampHeader != "" {
				h.Set(stampHeader, stamp)
			}
			if err := v.Verify(&Request{Header: h, Body: []byte(body)}, time.Unix(1_700_000_000, 0)); err == nil {
				t.Errorf("forged: %q", signature)
			}
		}
	})
}

func FuzzForm(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", "a=1&b=%20", "c=1")
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n", "")
	f.Fuzz(func(t *testing.T, contentType, body, rawQuery string) {
		query, _ := url.ParseQuery(rawQuery) // what can be read of it
		data, err := Form(contentType, []byte(body), query)
		if err != nil || data == nil {
			return
		}
		var flat map[string]string
		if err := json.Unmarshal(data, &flat); err != nil || !utf8.Valid(data) {
			t.Errorf("%q is no flat object: %v", data, err)
		}
	})
}

func FuzzLocation(f *testing.F) {
	f.Add("request.body.a.0.b", `{"a":[{"b":1}]}`)
	f.Add("req.Body.x", `"x"`)
	f.Fuzz(func(t *testing.T, text, body string) {
		l, err := ParseLocation(text)
		if err != nil || !json.Valid([]byte(body)) {
			return
		}
		value, ok, err := l.Value(&Request{Data: []byte(body)})
		if (err != nil || !ok) && value != "" {
			t.Errorf("%q with %v, %v", value, ok, err)
		}
		if l.Part == Body && !utf8.ValidString(value) && utf8.ValidString(body) {
			t.Errorf("%q is not UTF-8", value)
		}
	})
}
