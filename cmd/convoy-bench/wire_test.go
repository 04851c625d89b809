package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReaderResponses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, wire string
		status     int
		body       string
		closing    bool
		err        error
	}{
		{name: "length", wire: "HTTP/1.1 201 Created\r\ncontent-LENGTH:  5 \r\n\r\nhello", status: 201, body: "hello"},
		{name: "empty", wire: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", status: 200},
		{name: "no content", wire: "HTTP/1.1 204 No Content\r\n\r\n", status: 204},
		{name: "closing", wire: "HTTP/1.0 503 x\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", status: 503, body: "x", closing: true},
		{name: "interim", wire: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		{
			name:   "chunked",
			wire:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n, world 10\r\n0\r\nTrailer: 1\r\n\r\n",
			status: 200, body: "hello, world 10",
		},
		{name: "unframed", wire: "HTTP/1.1 200 OK\r\n\r\nrest", err: errUnframed},
		{name: "not http", wire: "SSH-2.0-OpenSSH\r\n\r\n", err: errMalformed},
		{name: "bad length", wire: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", err: errMalformed},
		{name: "huge length", wire: "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", err: errBodyTooLarge},
		{name: "bad chunk", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", err: errMalformed},
		{name: "bad chunk end", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", err: errMalformed},
		{name: "huge head", wire: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 2*maxHead), err: errHeadTooLarge},
		{name: "cut head", wire: "HTTP/1.1 200 OK\r\nConte", err: io.ErrUnexpectedEOF},
		{name: "cut body", wire: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", err: io.ErrUnexpectedEOF},
		{name: "end", wire: "", err: io.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, source := range map[string]io.Reader{
				"whole": strings.NewReader(tt.wire),
				"bytes": iotest.OneByteReader(strings.NewReader(tt.wire)),
			} {
				m, err := newMessageReader(source).response()
				if !errors.Is(err, tt.err) {
					t.Fatalf("%s: error %v, want %v", name, err, tt.err)
				}
				if err != nil {
					continue
				}
				if m.status() != tt.status || string(m.body) != tt.body || m.closing != tt.closing {
					t.Errorf("%s: got %d %q closing=%v, want %d %q closing=%v",
						name, m.status(), m.body, m.closing, tt.status, tt.body, tt.closing)
				}
			}
		})
	}
}

func TestReaderPipelinedRequests(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("z", 9000) // larger than the reader's first buffer
	wire := "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\none" +
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n" +
		"GET /x HTTP/1.1\r\nHost: y\r\n\r\n" +
		"POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n" + big
	reader := newMessageReader(iotest.HalfReader(strings.NewReader(wire)))
	for _, want := range []string{"one", "two", "", big} {
		m, err := reader.request()
		if err != nil {
			t.Fatalf("request: %v", err)
		}
		if string(m.body) != want {
			t.Fatalf("body %.20q, want %.20q", m.body, want)
		}
	}
	if _, err := reader.request(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last request: %v, want EOF", err)
	}
}

// FuzzReader feeds arbitrary bytes, and checks that how they are cut into reads
// makes no difference.
func FuzzReader(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		read := func(src io.Reader, next func(*messageReader) (message, error)) (bodies []string) {
			r := newMessageReader(src)
			for range 100 {
				m, err := next(r)
				if err != nil {
					return bodies
				}
				bodies = append(bodies, string(m.start)+"\x00"+string(m.body))
			}
			return bodies
		}
		for _, next := range []func(*messageReader) (message, error){(*messageReader).response, (*messageReader).request} {
			whole := read(bytes.NewReader(wire), next)
			cut := read(iotest.OneByteReader(bytes.NewReader(wire)), next)
			if strings.Join(whole, "\x01") != strings.Join(cut, "\x01") {
				t.Fatalf("read whole: %q, byte by byte: %q", whole, cut)
			}
		}
	})
}

func TestStampRoundTrip(t *testing.T) {
	t.Parallel()
	r := newRequest(publishing{
		host: "127.0.0.1:80", path: "/api/v1/projects/p/events", apiKey: "key",
		endpointID: `a"b`, eventType: "bench.event", payload: 1024,
	})
	other := r.clone()
	want := stamp{run: 1_234_567_890, seq: 42, sent: 1_795_383_182_000_000_001}
	r.stamp(want)
	other.stamp(stamp{run: 1, seq: 2, sent: 3})

	m, err := newMessageReader(bytes.NewReader(r.wire)).request()
	if err != nil {
		t.Fatal(err)
	}
	event := decode(t, m.body)
	if event.EndpointID != `a"b` || event.EventType != "bench.event" {
		t.Errorf("envelope: %+v", event)
	}
	if len(event.Data) != 1024 {
		t.Errorf("data has %d bytes, want 1024", len(event.Data))
	}
	if got, err := readStamp(event.Data); err != nil || got != want {
		t.Errorf("stamp %+v, %v; want %+v", got, err, want)
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	r := newRequest(publishing{host: "h", path: "/events/broadcast", groups: 3, eventType: "bench.event", payload: 200})
	for seq, want := range []int{1000, 1001, 1002, 1000} {
		r.stamp(stamp{run: 1_234_567_890, seq: seq, sent: 1_795_383_182_000_000_001})
		m, err := newMessageReader(bytes.NewReader(r.wire)).request()
		if err != nil {
			t.Fatal(err)
		}
		var data struct {
			Group int `json:"bench_group"`
		}
		event := decode(t, m.body)
		if err := json.Unmarshal(event.Data, &data); err != nil {
			t.Fatal(err)
		}
		if data.Group != want || bytes.Contains(m.body, []byte("endpoint_id")) {
			t.Errorf("event %d is of group %d, want %d: %s", seq, data.Group, want, m.body)
		}
	}
}

func TestReadStamp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		want       stamp
		fails      bool
	}{
		{name: "spaces", body: `{"bench_run": 7, "bench_seq": 1000000003, "bench_sent": 9}`, want: stamp{7, 3, 9}},
		{name: "sorted and wrapped", body: `{"d":{"bench_sent":9,"bench_seq":1000000000,"bench_run":7}}`, want: stamp{7, 0, 9}},
		{name: "other event", body: `{"pad":"x"}`, fails: true},
		{name: "no digits", body: `{"bench_run":,"bench_seq":1000000000,"bench_sent":9}`, fails: true},
		{name: "below the base", body: `{"bench_run":7,"bench_seq":999999999,"bench_sent":9}`, fails: true},
		{name: "overflow", body: `{"bench_run":9999999999999999999,"bench_seq":1000000000,"bench_sent":9}`, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := readStamp([]byte(tt.body))
			if (err != nil) != tt.fails {
				t.Fatalf("error %v, want one: %v", err, tt.fails)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func FuzzReadStamp(f *testing.F) {
	f.Add([]byte(`{"bench_run":7,"bench_seq":1000000003,"bench_sent":9}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if s, err := readStamp(body); err == nil && (s.seq < 0 || s.seq >= maxEvents || s.run < 0 || s.sent < 0) {
			t.Fatalf("stamp out of range: %+v", s)
		}
	})
}

// decode reads a publish request as a server would.
func decode(t *testing.T, body []byte) envelope {
	t.Helper()
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("publish request: %v in %s", err, body)
	}
	return e
}
