package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"

	"convoy"
)

// Limits of an event, beside that of the whole body.
const (
	maxEventType = 255
	// maxIdempotencyKey is in bytes: keys are indexed, and PostgreSQL's index
	// rows end at 2.7 kB.
	maxIdempotencyKey = 1024
	maxCustomHeaders  = 64
	// maxHeaderBytes bounds the names and values of custom headers together.
	maxHeaderBytes = 16 << 10
	// maxDepth is how deep encoding/json goes, which has to read payloads later.
	maxDepth = 10_000
)

// publication is an event as a publish request asks for it; data aliases the
// body, the rest does not.
type publication struct {
	// kind is set before parse and says which of the addresses below are read.
	kind                      convoy.EventKind
	eventType, idempotencyKey string
	headers                   map[string][]string
	data                      []byte

	endpointID, appID string // of single events
	ownerID           string // of fan-outs
	dynamic           dynamicAddress
}

// dynamicAddress is whom a dynamic event is for.
type dynamicAddress struct {
	url, secret string
	// types are nil when they are not given.
	types []string
}

// parse reads a body leniently: unknown keys are ignored, keys match in any
// case, null is absent, and of repeated keys the last counts.
func (p *publication) parse(body []byte) error {
	if blank(body) {
		return errBodyEmpty
	}
	if !validJSON(body) {
		return slowError(body)
	}
	// The view lives as long as this call, and nobody writes to body meanwhile.
	view := gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body)))
	if view.Type == gjson.Null {
		return nil
	}
	if !view.IsObject() {
		return slowError(body)
	}
	if !utf8.Valid(body) {
		return invalidUTF8(body)
	}
	var err error
	view.ForEach(func(key, value gjson.Result) bool {
		err = p.field(key.Str, value, body)
		return err == nil
	})
	return err
}

// field takes one top-level key.
func (p *publication) field(key string, value gjson.Result, body []byte) error {
	switch {
	case is(key, "data"):
		// Index and Raw point into body.
		p.data = body[value.Index : value.Index+len(value.Raw)]
		return nil
	case is(key, "event_type"):
		return stringField(&p.eventType, "event_type", value)
	case is(key, "idempotency_key"):
		return stringField(&p.idempotencyKey, "idempotency_key", value)
	case is(key, "custom_headers"):
		return p.customHeaders(value)
	}
	return p.address(key, value)
}

// address takes one top-level key that says whom an event of this kind is for.
func (p *publication) address(key string, value gjson.Result) error {
	switch p.kind {
	case convoy.KindSingle:
		switch {
		case is(key, "endpoint_id"):
			return stringField(&p.endpointID, "endpoint_id", value)
		case is(key, "app_id"):
			return stringField(&p.appID, "app_id", value)
		}
	case convoy.KindFanout:
		if is(key, "owner_id") {
			return stringField(&p.ownerID, "owner_id", value)
		}
	case convoy.KindDynamic:
		switch {
		case is(key, "url"):
			return stringField(&p.dynamic.url, "url", value)
		case is(key, "secret"):
			return stringField(&p.dynamic.secret, "secret", value)
		case is(key, "event_types"):
			return p.dynamic.eventTypes(value)
		}
	}
	return nil
}

func (d *dynamicAddress) eventTypes(value gjson.Result) error {
	d.types = nil
	switch {
	case value.Type == gjson.Null:
		return nil
	case !value.IsArray():
		return wrongType("event_types")
	}
	d.types = []string{}
	var err error
	value.ForEach(func(_, v gjson.Result) bool {
		var t string
		if v.Type != gjson.String {
			err = wrongType("event_types")
		} else if err = stringField(&t, "event_types", v); err == nil && !slices.Contains(d.types, t) {
			d.types = append(d.types, t)
		}
		if len(d.types) > maxEventTypes {
			err = invalid("event_types", "must not be more than "+itoa(maxEventTypes))
		}
		return err == nil
	})
	return err
}

// is compares a key as encoding/json does.
func is(key, name string) bool {
	return key == name || len(key) == len(name) && strings.EqualFold(key, name)
}

// stringField takes a copy of a string value.
func stringField(dst *string, name string, value gjson.Result) error {
	switch {
	case value.Type == gjson.Null:
		return nil
	case value.Type != gjson.String:
		return wrongType(name)
	case strings.IndexByte(value.Raw, '\\') >= 0:
		// encoding/json mends unpaired surrogates, as other fields' are.
		if err := json.Unmarshal([]byte(value.Raw), dst); err != nil {
			return decodeError(err)
		}
		return nil
	}
	*dst = strings.Clone(value.Str)
	return nil
}

func (p *publication) customHeaders(value gjson.Result) error {
	if value.Type == gjson.Null {
		return nil
	}
	if !value.IsObject() {
		return wrongType("custom_headers")
	}
	var (
		err  error
		size int
	)
	p.headers = make(map[string][]string)
	value.ForEach(func(key, v gjson.Result) bool {
		var text string
		if v.Type != gjson.Null {
			if err = stringField(&text, "custom_headers", v); err != nil {
				return false
			}
		}
		size += len(key.Str) + len(text)
		switch {
		case !validHeaderName(key.Str):
			err = invalid("custom_headers", "names must be HTTP header names")
		case !validHeaderValue(text):
			err = invalid("custom_headers", "values must not contain control characters")
		case len(p.headers) >= maxCustomHeaders:
			err = invalid("custom_headers", "must not have more than "+itoa(maxCustomHeaders)+" headers")
		case size > maxHeaderBytes:
			err = invalid("custom_headers", "must not be longer than "+itoa(maxHeaderBytes)+" bytes together")
		case v.Type != gjson.Null:
			p.headers[strings.Clone(key.Str)] = []string{text}
		}
		return err == nil
	})
	return err
}

// check applies the rules that need no endpoint.
func (p *publication) check(project *convoy.Project) error {
	if p.kind == convoy.KindSingle && badText(p.eventType, maxEventType) == "" && p.eventType != "" && p.data != nil &&
		p.idempotencyKey == "" && !needsKey(project) {
		return nil // the usual case
	}
	var found problems
	switch p.kind {
	case convoy.KindFanout:
		found.required("owner_id", p.ownerID, maxName, "please provide an owner id")
	case convoy.KindDynamic:
		p.dynamic.check(&found)
	}
	found.required("event_type", p.eventType, maxEventType, "please provide an event type")
	if p.data == nil {
		found.add("data", missingData(p.kind))
	}
	if len(p.idempotencyKey) > maxIdempotencyKey {
		found.add("idempotency_key", textTooLong+itoa(maxIdempotencyKey)+" bytes")
	} else {
		found.text("idempotency_key", p.idempotencyKey, maxIdempotencyKey)
	}
	if err := found.err(); err != nil {
		return err
	}
	if p.idempotencyKey == "" && needsKey(project) {
		return convoy.E(convoy.Invalid, "idempotency_key is required when a custom request_id_header is configured")
	}
	return nil
}

func missingData(kind convoy.EventKind) string {
	if kind == convoy.KindDynamic {
		return "please provide your webhook event data"
	}
	return "please provide your data"
}

func (d *dynamicAddress) check(found *problems) {
	found.required("url", d.url, maxURL, "please provide an endpoint url")
	found.text("secret", d.secret, maxSecret)
	for _, t := range d.types {
		found.required("event_types", t, maxEventType, "must not be empty")
	}
}

// needsKey reports whether receivers rely on a header of the project's own that
// carries the idempotency key.
func needsKey(project *convoy.Project) bool {
	h := project.Config.RequestIDHeader
	return h != "" && project.Type == convoy.Outgoing && !strings.EqualFold(h, convoy.DefaultRequestIDHeader)
}

// validJSON is gjson.ValidBytes with bounded depth: it recurses, and a Go stack
// that runs out cannot be recovered from.
func validJSON(body []byte) bool {
	if bytes.Count(body, []byte{'['})+bytes.Count(body, []byte{'{'}) > maxDepth {
		return json.Valid(body) // has a bound of its own
	}
	return gjson.ValidBytes(body)
}

// slowError finds the words for a body that is known to be bad.
func slowError(body []byte) error {
	var v publishRequest
	if err := json.Unmarshal(body, &v); err != nil {
		return decodeError(err)
	}
	return errBodyMalformed
}

// validHeaderName reports whether s is a token (RFC 9110, section 5.6.2).
func validHeaderName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// validHeaderValue reports whether s has no control characters but tabs.
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
