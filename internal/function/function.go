// Package function runs the JavaScript that users attach to subscriptions and
// sources to change a payload on its way. It is the only place that runs users'
// code, and bounds what that code can take: time, memory, stack and output. It
// knows nothing of events, and a function knows nothing of the gateway: it has
// no network, no files, no timers and no state between runs.
//
// A [Program] runs in the calling process, which a hostile one can stall:
// built-in functions of the engine cannot be interrupted, and memory is the
// process's. A [Cache] with a command runs them in processes of their own,
// which are killed; see [Config].
package function

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"convoy"
)

// Limits of a run. What goes beyond them fails with a message that names them.
const (
	// MaxSource is how long a function may be, in bytes.
	MaxSource = 64 << 10
	// MaxPayload is how long a payload may be that is given to a function, and
	// MaxOutput how long what it returns, in bytes.
	MaxPayload = 4 << 20
	MaxOutput  = 4 << 20
	// MaxTime is how long a run may take, of which compiling is a part.
	MaxTime = time.Second
	// MaxMemory is how much a run may hold at a time, in bytes, as far as it is
	// in a process of its own.
	MaxMemory = 128 << 20
	// maxCalls is how many calls may be under way inside each other.
	maxCalls = 1000
	// maxDepth is how deep payloads may nest.
	maxDepth = 1000
	// maxLogLines, maxLogLine and maxLog bound what console.log keeps: lines,
	// and bytes of one and of all.
	maxLogLines = 100
	maxLogLine  = 1 << 10
	maxLog      = 16 << 10
	// maxMessage is how much is kept of what a function throws, in bytes.
	maxMessage = 1 << 10
)

// Result is what a run gave.
type Result struct {
	// Payload is a JSON text.
	Payload []byte
	// Log are the lines that the function logged, nil for none.
	Log []string
}

// refused is the error of a function that is at fault itself. Its text is shown
// to whoever wrote the function, and must be fit for the store: valid UTF-8
// without control characters.
func refused(format string, args ...any) error {
	return convoy.E(convoy.Invalid, printable(fmt.Sprintf(format, args...), maxMessage))
}

// printable makes text fit for the store and for one line.
func printable(s string, limit int) string {
	s = clip(s, limit)
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// clip shortens text to a number of bytes.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func checkSource(source string) error {
	switch {
	case strings.TrimSpace(source) == "":
		return refused("function must not be empty")
	case len(source) > MaxSource:
		return refused("function must not be longer than %d bytes", MaxSource)
	case !utf8.ValidString(source) || strings.IndexByte(source, 0) >= 0:
		return refused("function must be UTF-8 without NUL characters")
	}
	return nil
}

func checkPayload(payload []byte) error {
	switch {
	case len(payload) > MaxPayload:
		return refused("payload must not be longer than %d bytes to be given to a function", MaxPayload)
	case deeper(payload, maxDepth):
		return refused("payload must not nest deeper than %d levels to be given to a function", maxDepth)
	case !json.Valid(payload) || !utf8.Valid(payload):
		return refused("payload must be JSON in UTF-8 to be given to a function")
	}
	return nil
}
