package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"convoy"
)

// transformTimeout bounds how long a request waits for one function of its
// source.
const transformTimeout = 5 * time.Second

// stampEvery is how often it is noted that a provider has asked for proof:
// anybody may ask. stampTimeout bounds the write.
const (
	stampEvery   = time.Minute
	stampTimeout = 2 * time.Second
)

// forwarded are the headers of a request that go on to the endpoints: those
// that the source names, or all but credentials and cookies. Headers that
// belong to the connection never do.
func forwarded(src *convoy.Source, header http.Header, credentials []string) (map[string][]string, error) {
	out := make(map[string][]string, len(header)+1)
	size := 0
	add := func(name string, values []string) {
		size += len(name)
		for i, v := range values {
			size += len(v)
			if badText(v, len(v)) != "" {
				values = slices.Clone(values)
				values[i] = cleanText(v)
			}
		}
		out[name] = values
	}
	if len(src.ForwardHeaders) > 0 {
		for _, name := range src.ForwardHeaders {
			name = http.CanonicalHeaderKey(name)
			if values := header[name]; len(values) > 0 && !connectionHeader(name) {
				add(name, values)
			}
		}
	} else {
		named := header["Connection"]
		for name, values := range header {
			if connectionHeader(name) || privateHeader(name) || slices.Contains(credentials, name) || namedIn(named, name) {
				continue
			}
			add(name, values)
		}
	}
	if size > maxHeaderBytes {
		return nil, invalid("headers", "must not be longer than "+itoa(maxHeaderBytes)+" bytes together")
	}
	out[headerSourceID] = []string{src.MaskID}
	return out, nil
}

// connectionHeader names headers that are about a connection or the form of a
// body on it (RFC 9110 §7.6.1), by their canonical names.
func connectionHeader(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Host", "Content-Length", "Content-Encoding", "Accept-Encoding", "Expect":
		return true
	}
	return false
}

// privateHeader names headers that are meant for us alone.
func privateHeader(name string) bool { return name == "Authorization" || name == "Cookie" }

// namedIn reports whether a Connection header names another header.
func namedIn(connection []string, name string) bool {
	for _, v := range connection {
		for option := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(option), name) {
				return true
			}
		}
	}
	return false
}

// cleanText makes text that every store takes.
func cleanText(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

// mended makes a JSON text valid UTF-8.
func mended(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}

// transform runs the functions of a source on its event.
func (a *api) transform(ctx context.Context, src *convoy.Source, e *convoy.Event) error {
	if src.BodyFunction != "" {
		data, err := a.runFunction(ctx, src.BodyFunction, e.Data)
		if err != nil {
			return err
		}
		e.Data = mended(data)
	}
	if src.HeaderFunction == "" {
		return nil
	}
	in, err := encode(e.Headers)
	if err != nil {
		return err
	}
	out, err := a.runFunction(ctx, src.HeaderFunction, in)
	if err != nil {
		return err
	}
	e.Headers, err = parseHeaders(out)
	if err != nil {
		return functionFailed(err)
	}
	e.Headers[headerSourceID] = []string{src.MaskID}
	return nil
}

func (a *api) runFunction(ctx context.Context, source string, payload []byte) ([]byte, error) {
	if a.Transformer == nil {
		return nil, convoy.E(convoy.Unavailable, "source functions cannot run now")
	}
	// A run has a bound of its own; this is on the wait for its turn.
	bounded, cancel := context.WithTimeout(ctx, transformTimeout)
	defer cancel()
	out, err := a.Transformer.Transform(bounded, source, payload)
	switch {
	case err == nil:
		return out, nil
	case convoy.KindOf(err) == convoy.Invalid:
		return nil, functionFailed(err)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, convoy.Wrap(convoy.Unavailable, "source functions cannot run now", err)
}

// functionFailed is the refusal of what a source's own function does not take.
func functionFailed(cause error) error {
	return convoy.Wrap(convoy.Invalid, "source function failed", cause)
}

// parseHeaders reads what a header function returns: an object of texts or
// lists of texts.
func parseHeaders(raw []byte) (map[string][]string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		return nil, errors.New("a header function must return an object")
	}
	out := make(map[string][]string, len(object)+1)
	size := 0
	for name, value := range object {
		if string(value) == "null" {
			continue
		}
		var values []string
		if err := json.Unmarshal(value, &values); err != nil {
			var one string
			if err := json.Unmarshal(value, &one); err != nil {
				return nil, fmt.Errorf("header %.64q must be a text or a list of texts", name)
			}
			values = []string{one}
		}
		size += len(name)
		for _, v := range values {
			size += len(v)
			if !validHeaderValue(v) {
				return nil, fmt.Errorf("header %.64q must not contain control characters", name)
			}
		}
		if !validHeaderName(name) {
			return nil, fmt.Errorf("%.64q is no name of a header", name)
		}
		out[name] = values
	}
	if size > maxHeaderBytes {
		return nil, fmt.Errorf("headers must not be longer than %d bytes together", maxHeaderBytes)
	}
	return out, nil
}
