package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Control requests of a sink, for a generator in another process. Anything
// else is a delivery.
const (
	expectPath = "/bench/expect" // POST ?run=&events=: start counting anew
	resultPath = "/bench/result" // GET: received as JSON
)

var delivered = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

// sink answers 200 to every request and counts the deliveries of one run at a
// time. It reads the wire itself so that it costs as little as possible of the
// machine that it shares with the server under test.
type sink struct {
	address string
	tally   atomic.Pointer[tally]

	mu       sync.Mutex
	listener net.Listener // nil while down
	conns    map[net.Conn]struct{}
	serving  sync.WaitGroup
}

// newSink listens on address ("127.0.0.1:0" picks a free port).
func newSink(ctx context.Context, address string) (*sink, error) {
	s := &sink{address: address, conns: map[net.Conn]struct{}{}}
	s.tally.Store(newTally(0, 0))
	if err := s.up(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.address = s.listener.Addr().String()
	s.mu.Unlock()
	return s, nil
}

// url is where deliveries go.
func (s *sink) url() string { return "http://" + s.address + "/" }

// up starts listening, on the same port as before when the sink was down.
func (s *sink) up(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("sink listener: %w", err)
	}
	s.mu.Lock()
	s.listener = listener
	s.mu.Unlock()
	s.serving.Go(func() { s.accept(listener) })
	return nil
}

// down refuses connections and cuts the open ones: the endpoint's host is up
// but nothing listens. It returns when no delivery can be counted any more.
func (s *sink) down() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close() // its only error is that it is closed already
		s.listener = nil
	}
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

func (s *sink) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed by down
		}
		s.mu.Lock()
		if s.listener != listener {
			s.mu.Unlock()
			_ = conn.Close()
			return
		}
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.serving.Go(func() { s.serve(conn) })
	}
}

func (s *sink) serve(conn net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		_ = conn.Close()
	}()
	reader := newMessageReader(conn)
	for {
		m, err := reader.request()
		if err != nil {
			return // the sender's end of a kept-alive connection, or a cut
		}
		answer := delivered
		if path, ok := controlPath(m.start); ok {
			answer = s.control(path)
		} else {
			s.tally.Load().record(m.body, time.Now())
		}
		if _, err := conn.Write(answer); err != nil || m.closing {
			return
		}
	}
}

// controlPath returns the target of a control request.
func controlPath(start []byte) (string, bool) {
	_, rest, _ := bytes.Cut(start, []byte(" "))
	if !bytes.HasPrefix(rest, []byte("/bench/")) {
		return "", false
	}
	target, _, _ := bytes.Cut(rest, []byte(" "))
	return string(target), true
}

func (s *sink) control(target string) []byte {
	u, err := url.Parse(target)
	if err != nil {
		return answer(400, nil)
	}
	switch u.Path {
	case expectPath:
		run, err1 := strconv.ParseInt(u.Query().Get("run"), 10, 64)
		events, err2 := strconv.Atoi(u.Query().Get("events"))
		if err1 != nil || err2 != nil || events < 0 || events > maxTallied {
			return answer(400, nil)
		}
		s.tally.Store(newTally(run, events))
		return answer(200, nil)
	case resultPath:
		text, err := json.Marshal(s.tally.Load().result())
		if err != nil {
			return answer(500, nil)
		}
		return answer(200, text)
	}
	return answer(404, nil)
}

func answer(status int, body []byte) []byte {
	head := fmt.Appendf(nil, "HTTP/1.1 %d Bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		status, len(body))
	return append(head, body...)
}

// expect starts a run: what was counted before is forgotten.
func (s *sink) expect(_ context.Context, run int64, events int) error {
	s.tally.Store(newTally(run, events))
	return nil
}

func (s *sink) progress(context.Context) (int64, error) { return s.tally.Load().unique.Load(), nil }

func (s *sink) result(context.Context) (received, error) { return s.tally.Load().result(), nil }
