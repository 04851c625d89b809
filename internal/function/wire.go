package function

import (
	"encoding/binary"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"convoy"
)

// Requests and answers are frames of four-byte lengths and bytes. Both ends are
// this program; still, what comes from a process that runs users' code is read
// with bounds.

const (
	flagCheck = 1 << iota
	flagLog
	flagClock
)

// writeRequest sends flags, time, source and payload in one write.
func writeRequest(w io.Writer, r request) error {
	var flags byte
	if r.check {
		flags |= flagCheck
	}
	if r.log {
		flags |= flagLog
	}
	var now int64
	if !r.now.IsZero() {
		flags |= flagClock
		now = r.now.UnixMicro()
	}
	b := make([]byte, 0, 1+8+8+len(r.source)+len(r.payload))
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(now))
	b = appendText(b, r.source)
	b = appendText(b, r.payload)
	_, err := w.Write(b)
	return err
}

func readRequest(r io.Reader) (request, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return request{}, err
	}
	q := request{check: head[0]&flagCheck != 0, log: head[0]&flagLog != 0}
	if head[0]&flagClock != 0 {
		q.now = time.UnixMicro(int64(binary.BigEndian.Uint64(head[1:]))).UTC()
	}
	source, err := readText(r, MaxSource)
	if err != nil {
		return request{}, err
	}
	q.source = string(source)
	q.payload, err = readText(r, MaxPayload)
	return q, err
}

// writeAnswer sends whether the function is at fault, its output or the error's
// text, and the log.
func writeAnswer(w io.Writer, result Result, fault error) error {
	b := make([]byte, 0, 1+4+len(result.Payload)+4)
	if fault != nil {
		b = appendText(append(b, 1), fault.Error())
	} else {
		b = appendText(append(b, 0), result.Payload)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(result.Log)))
	for _, line := range result.Log {
		b = appendText(b, line)
	}
	_, err := w.Write(b)
	return err
}

func readAnswer(r io.Reader) (result Result, fault, err error) {
	var head [1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Result{}, nil, err
	}
	body, err := readText(r, MaxOutput)
	if err != nil {
		return Result{}, nil, err
	}
	var count [4]byte
	if _, err := io.ReadFull(r, count[:]); err != nil {
		return Result{}, nil, err
	}
	n := binary.BigEndian.Uint32(count[:])
	if n > maxLogLines+1 {
		return Result{}, nil, errFrame
	}
	for range n {
		line, err := readText(r, 2*maxLogLine)
		if err != nil {
			return Result{}, nil, err
		}
		if !utf8.Valid(line) {
			return Result{}, nil, errFrame
		}
		result.Log = append(result.Log, string(line))
	}
	if head[0] != 0 {
		return result, convoy.E(convoy.Invalid, printable(string(body), 2*maxMessage)), nil
	}
	result.Payload = body
	return result, nil, nil
}

var errFrame = errors.New("malformed frame")

func appendText[T ~string | ~[]byte](b []byte, text T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
}

func readText(r io.Reader, limit uint32) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > limit {
		return nil, errFrame
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
