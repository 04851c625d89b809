package convoy

import (
	"errors"
	"time"
)

// Kind classifies an error by what a caller can do about it. One table in
// internal/api maps each kind to an HTTP status.
type Kind uint8

const (
	// Internal is a fault of ours; its text is for operators, not for callers.
	Internal Kind = iota
	// Invalid is bad input; the message names the field and what was expected.
	Invalid
	// NotFound is an unknown id, or one the caller may not see.
	NotFound
	// Conflict is a request that contradicts the present state.
	Conflict
	// Unauthorized is a missing or refused credential.
	Unauthorized
	// Forbidden is an accepted credential without the right.
	Forbidden
	// TooLarge is a body over a limit.
	TooLarge
	// Limited is a caller over its rate.
	Limited
	// Unavailable is a dependency that does not answer; trying again is right.
	Unavailable
)

var kindNames = [...]string{
	"internal", "invalid", "not_found", "conflict", "unauthorized",
	"forbidden", "too_large", "limited", "unavailable",
}

// String returns the stable, snake_case name used in logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Error is the one error type with meaning across packages. Anything else is
// treated as [Internal].
type Error struct {
	Kind Kind
	// Msg is shown to the caller.
	Msg string
	// RetryAfter, when positive, tells the caller how long to wait.
	RetryAfter time.Duration
	// Err is the cause, for logs; it is not shown to the caller.
	Err error
}

// E makes an *Error without a cause.
func E(kind Kind, msg string) *Error { return &Error{Kind: kind, Msg: msg} }

// Wrap makes an *Error around cause.
func Wrap(kind Kind, msg string, cause error) *Error {
	return &Error{Kind: kind, Msg: msg, Err: cause}
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Msg
	}
	return e.Msg + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost [Error] in err's chain, or
// [Internal] when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// IsNotFound reports whether err is a [NotFound].
func IsNotFound(err error) bool { return err != nil && KindOf(err) == NotFound }
