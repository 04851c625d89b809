package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
)

// Every payload carries numbers of a fixed width, so that a request can be patched
// in place instead of being encoded. JSON forbids leading zeros, so the sequence
// starts at seqBase and groups at groupBase.
//
//	{"bench_run":1,"bench_seq":1000000042,"bench_sent":1795383182000000000,"bench_group":1042,"pad":"…"}
const (
	runKey  = `"bench_run":`
	seqKey  = `"bench_seq":`
	sentKey = `"bench_sent":`
	// groupKey is what filters ask for.
	groupKey = `"bench_group":`

	seqBase   = 1_000_000_000
	seqDigits = 10
	// maxEvents keeps seqBase+n at ten digits.
	maxEvents  = 8_000_000_000
	runDigits  = 10
	sentDigits = 19 // Unix nanoseconds until the year 2286

	groupBase   = 1000
	groupDigits = 4
	maxGroups   = 9000
)

var errNotBench = errors.New("payload not sent by convoy-bench")

// stamp is what a payload says about itself.
type stamp struct {
	run  int64 // tells the deliveries of this run from those of an earlier one
	seq  int   // 0 … events-1
	sent int64 // Unix nanoseconds: when the event was sent, or should have been
}

// request is a publish request whose stamp can be replaced in place. It is
// owned by one connection.
type request struct {
	wire                    []byte
	run, seq, sentAt, group int // offsets of the digits in wire
	groups                  int
}

// publishing describes the request to build.
type publishing struct {
	host, path, apiKey string
	endpointID         string // "" publishes to all subscribers
	groups             int    // events take turns in so many; 0 is one
	eventType          string
	payload            int // bytes of data, stamp included
}

func newRequest(p publishing) *request {
	data := paddedData(p.payload)
	body := fmt.Appendf(nil, `{"event_type":%s,"data":`, jsonString(p.eventType))
	if p.endpointID != "" {
		body = fmt.Appendf(nil, `{"endpoint_id":%s,"event_type":%s,"data":`, jsonString(p.endpointID), jsonString(p.eventType))
	}
	body = append(append(body, data...), '}')
	wire := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", p.path, p.host, p.apiKey, len(body))
	r := &request{wire: append(wire, body...), groups: max(1, p.groups)}
	after := func(key string) int { return bytes.Index(r.wire, []byte(key)) + len(key) }
	r.run, r.seq, r.sentAt, r.group = after(runKey), after(seqKey), after(sentKey), after(groupKey)
	return r
}

// clone returns a copy that another connection may own.
func (r *request) clone() *request {
	c := *r
	c.wire = bytes.Clone(r.wire)
	return &c
}

// stamp writes s into the request.
func (r *request) stamp(s stamp) {
	putDigits(r.wire[r.run:r.run+runDigits], s.run)
	putDigits(r.wire[r.seq:r.seq+seqDigits], seqBase+int64(s.seq))
	putDigits(r.wire[r.sentAt:r.sentAt+sentDigits], s.sent)
	putDigits(r.wire[r.group:r.group+groupDigits], int64(groupBase+s.seq%r.groups))
}

// paddedData is a JSON object of the given size (or the smallest possible one)
// with placeholder digits. The padding is random text from a fixed seed, so
// that no layer below profits from compressing it.
func paddedData(size int) []byte {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	data := fmt.Appendf(nil, `{%s%0*d,%s%0*d,%s%0*d,%s%0*d,"pad":"`,
		runKey, runDigits, 0, seqKey, seqDigits, 0, sentKey, sentDigits, 0, groupKey, groupDigits, 0)
	random := rand.New(rand.NewPCG(1, 2))
	for len(data) < size-2 {
		data = append(data, alphabet[random.IntN(len(alphabet))])
	}
	return append(data, '"', '}')
}

// jsonString cannot fail: every Go string has a JSON form.
func jsonString(s string) []byte {
	text, _ := json.Marshal(s)
	return text
}

func putDigits(dst []byte, n int64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// readStamp finds the stamp in a delivered body. The body may be wrapped or
// reformatted by the server: only the keys are searched for.
func readStamp(body []byte) (stamp, error) {
	run, rest, err := numberAfter(body, runKey)
	if err != nil {
		return stamp{}, err
	}
	// The stamp's numbers are neighbours unless a server sorts the keys, so
	// the rest is tried first and the whole body only when that fails.
	seq, _, err := numberAfter(rest, seqKey)
	if err != nil {
		if seq, _, err = numberAfter(body, seqKey); err != nil {
			return stamp{}, err
		}
	}
	sent, _, err := numberAfter(rest, sentKey)
	if err != nil {
		if sent, _, err = numberAfter(body, sentKey); err != nil {
			return stamp{}, err
		}
	}
	if seq < seqBase || seq >= seqBase+maxEvents {
		return stamp{}, errNotBench
	}
	return stamp{run: run, seq: int(seq - seqBase), sent: sent}, nil
}

// numberAfter reads the digits that follow key and optional spaces.
func numberAfter(body []byte, key string) (int64, []byte, error) {
	i := bytes.Index(body, []byte(key))
	if i < 0 {
		return 0, nil, errNotBench
	}
	rest := bytes.TrimLeft(body[i+len(key):], " ")
	var n int64
	digits := 0
	for digits < len(rest) && digits < sentDigits && rest[digits] >= '0' && rest[digits] <= '9' {
		n = n*10 + int64(rest[digits]-'0')
		digits++
	}
	if digits == 0 || n < 0 {
		return 0, nil, errNotBench
	}
	return n, rest[digits:], nil
}
