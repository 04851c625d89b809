// Package auth makes and checks credentials: API keys, passwords, and names that
// must not be guessed. It keeps
// nothing and decides nothing about what a credential may do.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"time"

	"convoy"
	"convoy/internal/id"
)

const (
	alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// secretAlphabet has 64 characters, so that a byte maps to one without bias.
	secretAlphabet = alphanumeric + "_-"

	keyPrefix   = "CO."
	maskLength  = 16
	tokenLength = 64
	// secretLength characters of 6 bits are 150 bits.
	secretLength = 25
)

// NewKey returns a fresh API key, "CO.<16 alphanumerics>.<64 alphanumerics>",
// and its record, in which the caller sets name, type, role and user. Only the
// token opens anything, and only the caller ever sees it.
func NewKey(now time.Time) (token string, key *convoy.APIKey) {
	mask := text(alphanumeric, maskLength)
	token = keyPrefix + mask + "." + text(alphanumeric, tokenLength)
	return token, &convoy.APIKey{
		ID:        convoy.KeyID(id.New(now)),
		Mask:      mask,
		Hash:      Hash(token),
		CreatedAt: now,
		UpdatedAt: now,
	}
}

// portalPrefix begins the keys of portal links.
const portalPrefix = "PRT."

// NewPortalKey returns a key of a portal link, "PRT.<16 alphanumerics>.<64
// alphanumerics>". It is kept by its [Hash].
func NewPortalKey() string {
	return portalPrefix + text(alphanumeric, maskLength) + "." + text(alphanumeric, tokenLength)
}

// portalTokenLength characters of 62 are 142 bits.
const portalTokenLength = 24

// NewPortalToken returns the token of a portal link: 24 alphanumerics.
func NewPortalToken() string { return text(alphanumeric, portalTokenLength) }

// IsKey reports whether a bearer token has the form of an API key, so that one
// that has not need not be looked up.
func IsKey(token string) bool {
	const dot = len(keyPrefix) + maskLength
	if len(token) != dot+1+tokenLength || token[:len(keyPrefix)] != keyPrefix || token[dot] != '.' {
		return false
	}
	for i := len(keyPrefix); i < len(token); i++ {
		switch c := token[i]; {
		case i == dot:
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		default:
			return false
		}
	}
	return true
}

// Hash is the form in which an API key is kept and looked up.
func Hash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// NewSecret returns a fresh signing secret: 25 characters of [0-9A-Za-z_-].
func NewSecret() string { return text(secretAlphabet, secretLength) }

// NewMask returns a fresh public name: 16 alphanumerics that nobody guesses.
func NewMask() string { return text(alphanumeric, maskLength) }

// IsMask reports whether a text has the form of a public name.
func IsMask(s string) bool {
	if len(s) != maskLength {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(alphanumeric, s[i]) < 0 {
			return false
		}
	}
	return true
}

// text returns n characters, each equally likely.
func text(alphabet string, n int) string {
	// Bytes at or above limit would favour the alphabet's first characters.
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var random [96]byte
	for {
		rand.Read(random[:])
		for _, b := range random {
			if int(b) >= limit {
				continue
			}
			if out = append(out, alphabet[int(b)%len(alphabet)]); len(out) == n {
				return string(out)
			}
		}
	}
}
