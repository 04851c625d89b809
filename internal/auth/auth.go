// Package auth makes and checks credentials: API keys, passwords, and names that
// must not be guessed. It keeps
// nothing and decides nothing about what a credential may do.
package auth

import (
	"crypto/hkdf"
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

// IsPortalKey reports whether token has the form of [NewPortalKey].
func IsPortalKey(token string) bool { return isToken(token, portalPrefix) }

// IsPortalToken reports whether token has the form of [NewPortalToken].
func IsPortalToken(token string) bool {
	return len(token) == portalTokenLength && alphanumerical(token)
}

// IsKey reports whether a bearer token has the form of an API key, so that one
// that has not need not be looked up.
func IsKey(token string) bool { return isToken(token, keyPrefix) }

// isToken is for all prefixes, which have one length.
func isToken(token, prefix string) bool {
	dot := len(prefix) + maskLength
	return len(token) == dot+1+tokenLength && token[:len(prefix)] == prefix && token[dot] == '.' &&
		alphanumerical(token[len(prefix):dot]) && alphanumerical(token[dot+1:])
}

func alphanumerical(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		default:
			return false
		}
	}
	return true
}

// accessPrefix and refreshPrefix begin the tokens of sessions.
const (
	accessPrefix  = "CS."
	refreshPrefix = "CR."
)

// NewSeed returns what the first tokens of a session are made of, and what their
// successors are salted with: 256 bits in 43 characters.
func NewSeed() string { return text(secretAlphabet, 43) }

// SessionTokens makes the tokens of a session, each of the form of an API key with
// another prefix, from a secret and a salt; the same from the same, and nothing is
// learnt from a token about the secret or the other token. The secret is what only
// the caller's client has: a seed at first, then the refresh token before.
func SessionTokens(secret, salt string) (access, refresh string) {
	prk, err := hkdf.Extract(sha256.New, []byte(secret), []byte(salt))
	if err != nil {
		panic(err) // the hash is known
	}
	token := func(prefix string) string {
		// Of 192 bytes, 80 good ones are found but once in 2^200.
		stream, err := hkdf.Expand(sha256.New, prk, "convoy "+prefix, 2*pickLength)
		if err != nil {
			panic(err) // the length is below the bound
		}
		both := pick(alphanumeric, maskLength+tokenLength, func(b []byte) { stream = stream[copy(b, stream):] })
		return prefix + both[:maskLength] + "." + both[maskLength:]
	}
	return token(accessPrefix), token(refreshPrefix)
}

// IsAccessToken reports whether a text has the form of a session's access token, so
// that one that has not need not be looked up.
func IsAccessToken(s string) bool { return isToken(s, accessPrefix) }

// IsRefreshToken is the same for refresh tokens.
func IsRefreshToken(s string) bool { return isToken(s, refreshPrefix) }

// NewMailToken returns a token that is sent by mail: 64 alphanumerics.
func NewMailToken() string { return text(alphanumeric, tokenLength) }

// IsMailToken reports whether a text has the form of a token that is sent by mail.
func IsMailToken(s string) bool { return len(s) == tokenLength && alphanumerical(s) }

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
	return pick(alphabet, n, func(b []byte) { rand.Read(b) })
}

// pickLength is how many bytes pick asks for at once.
const pickLength = 96

// pick returns n characters, each equally likely when the bytes of fill are.
func pick(alphabet string, n int, fill func([]byte)) string {
	// Bytes at or above limit would favour the alphabet's first characters.
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var random [pickLength]byte
	for {
		fill(random[:])
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
