package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"convoy"
)

// statuses is the one place where a kind of error becomes an HTTP status. A
// conflict is a 400, as clients of this API expect for every refused write.
var statuses = [...]int{
	convoy.Internal:     http.StatusInternalServerError,
	convoy.Invalid:      http.StatusBadRequest,
	convoy.NotFound:     http.StatusNotFound,
	convoy.Conflict:     http.StatusBadRequest,
	convoy.Unauthorized: http.StatusUnauthorized,
	convoy.Forbidden:    http.StatusForbidden,
	convoy.TooLarge:     http.StatusRequestEntityTooLarge,
	convoy.Limited:      http.StatusTooManyRequests,
	convoy.Unavailable:  http.StatusServiceUnavailable,
}

const (
	// internalMessage is all a caller learns of a fault of ours.
	internalMessage = "an internal error occurred"
	// statusClosed is the status in logs of a request whose caller has gone; it
	// is never seen by one.
	statusClosed = 499
	// defaultRetryAfter is for a dependency that does not say how long it will
	// be away.
	defaultRetryAfter = time.Second
)

// statusError is an answer of HTTP itself, for which there is no [convoy.Kind].
type statusError struct {
	status int
	msg    string
	allow  string
}

func (e *statusError) Error() string { return e.msg }

// Fixed answers, allocated once because the publish route returns them too.
var (
	errAuthentication = convoy.E(convoy.Unauthorized, "Authentication required")
	errAuthorization  = convoy.E(convoy.Unauthorized, "authorization failed")
	errForbidden      = convoy.E(convoy.Forbidden, "Unauthorized")
	errNotMember      = convoy.E(convoy.Forbidden, "Unauthorized: must be a member of the organisation")
	errCrossOrigin    = convoy.E(convoy.Forbidden, "requests of other origins are refused")
	errBodyEmpty      = convoy.E(convoy.Invalid, "body must not be empty")
	errBodyMalformed  = convoy.E(convoy.Invalid, "body contains badly-formed JSON")
	errBodyUnread     = convoy.E(convoy.Invalid, "body could not be read")
	errBodyTooLarge   = convoy.E(convoy.TooLarge, "request body too large")
	errContentType    = &statusError{status: http.StatusUnsupportedMediaType, msg: "Content-Type must be application/json"}
	errNoRoute        = &statusError{status: http.StatusNotFound, msg: "404 page not found"}
)

// failure is an error as its caller sees it.
type failure struct {
	status     int
	msg        string
	retryAfter time.Duration
	allow      string
	// rate is the limit that was reached.
	rate int
}

// classify turns any error into what the caller of a request with ctx sees.
func classify(ctx context.Context, err error) failure {
	var (
		se *statusError
		ce *convoy.Error
		le *limitedError
	)
	switch {
	case errors.As(err, &le):
		return failure{status: http.StatusTooManyRequests, msg: le.Error(), retryAfter: le.wait, rate: le.rate}
	case errors.As(err, &se):
		return failure{status: se.status, msg: se.msg, allow: se.allow}
	case errors.As(err, &ce) && ce.Kind != convoy.Internal && int(ce.Kind) < len(statuses):
		f := failure{status: statuses[ce.Kind], msg: ce.Msg, retryAfter: ce.RetryAfter}
		if ce.Kind == convoy.Unavailable && f.retryAfter <= 0 {
			f.retryAfter = defaultRetryAfter
		}
		return f
	case ctx.Err() != nil:
		return failure{status: statusClosed, msg: "the request was cancelled"}
	}
	return failure{status: http.StatusInternalServerError, msg: internalMessage}
}

// refuse turns a missing thing into a bad request with the given message, which
// is how this API answers a write that names what does not exist. Other errors
// pass.
func refuse(err error, msg string) error {
	if convoy.IsNotFound(err) {
		return convoy.Wrap(convoy.Invalid, msg, err)
	}
	return err
}

// invalid is a bad request about one field.
func invalid(field, text string) error { return convoy.E(convoy.Invalid, field+":"+text) }

// problems gathers what is wrong with the fields of a request. The message
// names each field: "event_type:please provide an event type, data:…".
type problems []string

func (p *problems) add(field, text string) { *p = append(*p, field+":"+text) }

// text checks a field that is stored as text: at most max characters, and
// nothing PostgreSQL refuses.
func (p *problems) text(field, value string, max int) {
	if text := badText(value, max); text != "" {
		p.add(field, text)
	}
}

// required is text that must not be empty.
func (p *problems) required(field, value string, max int, missing string) {
	if value == "" {
		p.add(field, missing)
		return
	}
	p.text(field, value, max)
}

// err is nil when there are no problems.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return convoy.E(convoy.Invalid, strings.Join(p, ", "))
}

const (
	textNUL     = "must not contain NUL characters"
	textUTF8    = "must be valid UTF-8"
	textTooLong = "must not be longer than "
)

// badText says what is wrong with a text of at most max characters; empty when
// nothing is.
func badText(s string, max int) string {
	switch {
	// Bytes bound characters, so the usual case counts nothing.
	case len(s) > max && utf8.RuneCountInString(s) > max:
		return textTooLong + itoa(max) + " characters"
	case strings.IndexByte(s, 0) >= 0:
		return textNUL
	case !utf8.ValidString(s):
		return textUTF8
	}
	return ""
}
