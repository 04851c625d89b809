// Package verify checks that a request to an ingest URL comes from whom its
// source expects, and reads from it what makes it an event: its type, its
// idempotency key, and the fields of a form. It works on bytes that are in
// memory, knows no HTTP server and no store, and decides nothing about what
// happens to the event.
package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"convoy"
)

// Request is what a check and the locations of a source look at.
type Request struct {
	Header http.Header
	Query  url.Values
	// Body is as it came.
	Body []byte
	// Data is the JSON text that is made of the body. To verify a request only
	// that of a form is needed, to find values in it that of any.
	Data []byte
	// Form says that the body is a form.
	Form bool
}

// Refusal says why a request was not taken, in words for the owner of the
// source. It holds nothing of the request and no secret.
type Refusal string

// Reasons of refusals.
const (
	NoSignature   Refusal = "the signature header is missing"
	NoMatch       Refusal = "the signature does not match"
	NoTimestamp   Refusal = "the timestamp is missing or no number"
	Stale         Refusal = "the timestamp is too far from now"
	NoHeader      Refusal = "a header that is signed is missing"
	NotAnObject   Refusal = "the body is not a JSON object"
	NoCredential  Refusal = "the credential is missing"
	BadCredential Refusal = "the credential is wrong"
)

func (r Refusal) Error() string { return string(r) }

// Verifier checks the requests of one source.
type Verifier struct {
	check  func(r *Request, now time.Time) error
	signed bool
	// headers carry the credential itself, which nobody else may see.
	headers []string
}

// errUnknown is the error for a source whose requests nothing can check.
var errUnknown = convoy.E(convoy.Invalid, "source has no valid verifier configured")

// New returns the verifier that a source asks for. One that asks for something
// unknown or incomplete is refused: its requests must not pass unchecked.
func New(src *convoy.Source) (*Verifier, error) {
	if src.Provider != "" {
		p, ok := providers[src.Provider]
		if !ok || src.Verifier.HMAC == nil || src.Verifier.HMAC.Secret == "" {
			return nil, errUnknown
		}
		return p.verifier(src.Verifier.HMAC)
	}
	switch v := src.Verifier; {
	case v.Type == convoy.VerifierNone || v.Type == "":
		return &Verifier{check: func(*Request, time.Time) error { return nil }}, nil
	case v.Type == convoy.VerifierHMAC && v.HMAC != nil:
		s, err := newScheme(v.HMAC)
		if err != nil {
			return nil, err
		}
		return &Verifier{check: s.check, signed: true}, nil
	case v.Type == convoy.VerifierBasic && v.Basic != nil:
		want := v.Basic.Username + ":" + v.Basic.Password
		return &Verifier{check: func(r *Request, _ time.Time) error { return checkBasic(r, want) }, headers: []string{authorization}}, nil
	case v.Type == convoy.VerifierAPIKey && v.APIKey != nil && v.APIKey.HeaderValue != "":
		name := http.CanonicalHeaderKey(v.APIKey.HeaderName)
		if name == "" {
			name = authorization
		}
		want := v.APIKey.HeaderValue
		return &Verifier{check: func(r *Request, _ time.Time) error { return checkKey(r, name, want) }, headers: []string{name}}, nil
	}
	return nil, errUnknown
}

// Verify returns nil when the request is genuine, else a [Refusal].
func (v *Verifier) Verify(r *Request, now time.Time) error {
	err := v.check(r, now)
	if err == nil || !r.Form || !v.signed {
		return err
	}
	// Some producers of forms sign the JSON that they mean.
	form := *r
	form.Body = r.Data
	if v.check(&form, now) == nil {
		return nil
	}
	return err
}

// Credentials are the headers that carry the credential itself.
func (v *Verifier) Credentials() []string { return v.headers }

const authorization = "Authorization"

// checkBasic checks RFC 7617 credentials: want is user, colon, password, and of
// these only the user has no colon.
func checkBasic(r *Request, want string) error {
	value := r.Header.Get(authorization)
	if value == "" {
		return NoCredential
	}
	scheme, encoded, _ := strings.Cut(value, " ")
	given, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if !strings.EqualFold(scheme, "Basic") || err != nil || !equal(string(given), want) {
		return BadCredential
	}
	return nil
}

// checkKey compares a header, of Authorization also what follows the scheme.
func checkKey(r *Request, name, want string) error {
	given := r.Header.Get(name)
	if given == "" {
		return NoCredential
	}
	good := equal(given, want)
	if name == authorization {
		_, rest, _ := strings.Cut(given, " ")
		good = equal(strings.TrimSpace(rest), want) || good
	}
	if !good {
		return BadCredential
	}
	return nil
}

// equal compares in a time that depends on neither text's contents nor on the
// length of the secret one.
func equal(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
