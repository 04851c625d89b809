package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Bounds of one HTTP message. Neither side of the harness sends or receives
// anything larger: payloads are about 1 KB and answers are small.
const (
	maxHead = 16 << 10
	maxBody = 1 << 20
)

var (
	errHeadTooLarge = errors.New("http head too large")
	errBodyTooLarge = errors.New("http body too large")
	errMalformed    = errors.New("malformed http message")
	errUnframed     = errors.New("http body without content-length or chunked encoding")
)

// framing is how the body of a message is delimited (RFC 9112 §6).
type framing struct {
	length  int // -1 when there is no Content-Length
	chunked bool
	closing bool // Connection: close
}

// message is one HTTP/1.1 request or response. Its slices are valid until the
// next read.
type message struct {
	start   []byte // request or status line, without CRLF
	body    []byte
	closing bool
}

// status returns the status code of a response, or 0 when the start line is
// not a status line.
func (m message) status() int { return statusOf(m.start) }

func statusOf(line []byte) int {
	// "HTTP/1.1 201": the code is the three digits after the first space.
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return 0
	}
	code := 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0
		}
		code = code*10 + int(c-'0')
	}
	return code
}

// messageReader reads HTTP/1.1 messages off a kept-alive connection. It exists
// because net/http costs as much per request as the server under test; this
// costs one system call and no allocation.
type messageReader struct {
	src        io.Reader
	buf        []byte
	start, end int // unread bytes are buf[start:end]
}

func newMessageReader(src io.Reader) *messageReader {
	return &messageReader{src: src, buf: make([]byte, 4<<10)}
}

// response reads the next final response; interim (1xx) ones are skipped.
func (r *messageReader) response() (message, error) {
	for {
		head, frame, err := r.head()
		if err != nil {
			return message{}, err
		}
		code := statusOf(startLine(r.buf[r.start : r.start+head]))
		switch {
		case code == 0:
			return message{}, fmt.Errorf("status line: %w", errMalformed)
		case code < 200:
			r.start += head
			continue
		case code == 204 || code == 304:
			frame.length, frame.chunked = 0, false
		case frame.length < 0 && !frame.chunked:
			return message{}, errUnframed
		}
		return r.body(head, frame)
	}
}

// request reads the next request. A clean end of the connection is io.EOF.
func (r *messageReader) request() (message, error) {
	head, frame, err := r.head()
	if err != nil {
		return message{}, err
	}
	if frame.length < 0 {
		frame.length = 0
	}
	return r.body(head, frame)
}

// head buffers a whole head and returns its size, including the empty line.
func (r *messageReader) head() (int, framing, error) {
	scanned := 0
	for {
		pending := r.buf[r.start:r.end]
		from := max(0, scanned-3)
		if i := bytes.Index(pending[from:], []byte("\r\n\r\n")); i >= 0 {
			size := from + i + 4
			frame, err := parseHead(pending[:size])
			return size, frame, err
		}
		if len(pending) > maxHead {
			return 0, framing{}, errHeadTooLarge
		}
		scanned = len(pending)
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) && scanned > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, framing{}, err
		}
	}
}

// body buffers the body after a head of the given size and consumes both.
func (r *messageReader) body(head int, frame framing) (message, error) {
	size := frame.length
	if frame.chunked {
		decoded, wire, err := r.chunks(head)
		if err != nil {
			return message{}, err
		}
		m := message{start: startLine(r.buf[r.start:]), closing: frame.closing}
		m.body = r.buf[r.start+head : r.start+head+decoded]
		r.start += head + wire
		return m, nil
	}
	for r.end-r.start < head+size {
		if err := r.fill(); err != nil {
			return message{}, unexpected(err)
		}
	}
	m := message{start: startLine(r.buf[r.start:]), closing: frame.closing}
	m.body = r.buf[r.start+head : r.start+head+size]
	r.start += head + size
	return m, nil
}

// chunks decodes a chunked body in place and returns its decoded size and the
// size it had on the wire. Trailers are skipped.
func (r *messageReader) chunks(head int) (decoded, wire int, err error) {
	for {
		line, err := r.line(head + wire)
		if err != nil {
			return 0, 0, err
		}
		size, err := chunkSize(line)
		if err != nil {
			return 0, 0, err
		}
		if decoded+size > maxBody {
			return 0, 0, errBodyTooLarge
		}
		wire += len(line)
		if size == 0 {
			break
		}
		for r.end-r.start < head+wire+size+2 {
			if err := r.fill(); err != nil {
				return 0, 0, unexpected(err)
			}
		}
		at := r.start + head
		copy(r.buf[at+decoded:], r.buf[at+wire:at+wire+size])
		if !bytes.Equal(r.buf[at+wire+size:at+wire+size+2], []byte("\r\n")) {
			return 0, 0, fmt.Errorf("chunk end: %w", errMalformed)
		}
		decoded += size
		wire += size + 2
	}
	for trailers := 0; trailers < 64; trailers++ {
		line, err := r.line(head + wire)
		if err != nil {
			return 0, 0, err
		}
		wire += len(line)
		if len(line) == 2 {
			return decoded, wire, nil
		}
	}
	return 0, 0, fmt.Errorf("chunk trailers: %w", errMalformed)
}

// line returns the line that starts at offset from the current message,
// including its CRLF.
func (r *messageReader) line(offset int) ([]byte, error) {
	for {
		pending := r.buf[r.start+offset : r.end]
		if i := bytes.Index(pending, []byte("\r\n")); i >= 0 {
			return pending[:i+2], nil
		}
		if len(pending) > maxHead {
			return nil, errHeadTooLarge
		}
		if err := r.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// fill reads more bytes, moving the pending ones to the front and growing the
// buffer when it is full. What is pending is bounded by maxHead and maxBody,
// plus at most as much again of chunk framing.
func (r *messageReader) fill() error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	if r.end == len(r.buf) {
		if len(r.buf) > 2*(maxHead+maxBody) {
			return errBodyTooLarge
		}
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

func startLine(head []byte) []byte {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	return line
}

// parseHead reads the three headers that decide how a message ends.
func parseHead(head []byte) (framing, error) {
	frame := framing{length: -1}
	_, rest, _ := bytes.Cut(head, []byte("\r\n"))
	for len(rest) > 2 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			return framing{}, fmt.Errorf("header line: %w", errMalformed)
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			length, err := decimal(value)
			if err != nil {
				return framing{}, fmt.Errorf("content-length: %w", err)
			}
			frame.length = length
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			if !bytes.EqualFold(value, []byte("chunked")) {
				return framing{}, fmt.Errorf("transfer-encoding: %w", errMalformed)
			}
			frame.chunked = true
		case bytes.EqualFold(name, []byte("connection")):
			frame.closing = bytes.EqualFold(value, []byte("close"))
		}
	}
	return frame, nil
}

func decimal(text []byte) (int, error) {
	if len(text) == 0 || len(text) > 9 {
		return 0, errMalformed
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, errMalformed
		}
		n = n*10 + int(c-'0')
	}
	if n > maxBody {
		return 0, errBodyTooLarge
	}
	return n, nil
}

// chunkSize reads the hexadecimal size of a chunk line; extensions are ignored.
func chunkSize(line []byte) (int, error) {
	text, _, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r\n")), []byte(";"))
	text = bytes.TrimSpace(text)
	if len(text) == 0 || len(text) > 6 {
		return 0, fmt.Errorf("chunk size: %w", errMalformed)
	}
	n := 0
	for _, c := range bytes.ToLower(text) {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | int(c-'a'+10)
		default:
			return 0, fmt.Errorf("chunk size: %w", errMalformed)
		}
	}
	return n, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
