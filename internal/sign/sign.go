// Package sign computes and checks the signature header of what is delivered to
// endpoints: an HMAC (RFC 2104) over exactly the bytes that are sent.
//
// It knows header formats, digests and secrets. It does not rotate or store
// secrets, does not set headers on requests, and does not verify what third
// parties send in.
package sign

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"convoy"
)

const (
	// MaxVersions bounds the digests of one header, and with [MaxSecrets] the
	// header's size: many servers refuse requests with more than 8 KB of headers.
	MaxVersions = 8
	// MaxSecrets bounds the secrets of one header.
	MaxSecrets = 8

	// MaxHeaderName bounds the name of the header, in bytes.
	MaxHeaderName = 128
)

// Names of the encodings of a digest.
const (
	encodingHex    = "hex"
	encodingBase64 = "base64"
)

// digests are the hash functions a version may name, in the order that error
// messages list them.
var digests = []struct {
	name string
	make func() hash.Hash
}{
	{"MD5", md5.New},
	{"SHA1", sha1.New},
	{"SHA224", sha256.New224},
	{"SHA256", sha256.New},
	{"SHA384", sha512.New384},
	{"SHA512", sha512.New},
	{"SHA3_224", func() hash.Hash { return sha3.New224() }},
	{"SHA3_256", func() hash.Hash { return sha3.New256() }},
	{"SHA3_384", func() hash.Hash { return sha3.New384() }},
	{"SHA3_512", func() hash.Hash { return sha3.New512() }},
	{"SHA512_224", sha512.New512_224},
	{"SHA512_256", sha512.New512_256},
}

// reservedHeaders cannot carry a signature, an idempotency key or credentials:
// the HTTP client or the delivery sets or drops them, so what is put there would
// be lost or break the request.
var reservedHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length",
	"Content-Type", "Expect", "Host", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
}

// Hashes returns the names a version's hash may have.
func Hashes() []string {
	names := make([]string, len(digests))
	for i, d := range digests {
		names[i] = d.name
	}
	return names
}

// Hash returns the constructor of the named hash, nil if there is none.
func Hash(name string) func() hash.Hash { return digest(name) }

// Validate checks a signature setting before it is stored. The header must be a
// token (RFC 9110, section 5.6.2). No versions at all is valid and means one
// SHA256/hex version. The error is an [convoy.Invalid] that names the field.
func Validate(cfg convoy.SignatureConfig) error {
	if err := validateHeader(cfg.Header); err != nil {
		return err
	}
	if len(cfg.Versions) > MaxVersions {
		return invalid("signature.versions must hold at most %d versions", MaxVersions)
	}
	for i, v := range cfg.Versions {
		if digest(v.Hash) == nil {
			return invalid("signature.versions[%d].hash must be one of %s", i, strings.Join(Hashes(), ", "))
		}
		if v.Encoding != encodingHex && v.Encoding != encodingBase64 {
			return invalid("signature.versions[%d].encoding must be hex or base64", i)
		}
	}
	return nil
}

func validateHeader(name string) error {
	switch {
	case name == "":
		return invalid("signature.header is required")
	case len(name) > MaxHeaderName:
		return invalid("signature.header must be at most %d characters", MaxHeaderName)
	case strings.ContainsFunc(name, notToken):
		return invalid("signature.header must be a valid HTTP header token")
	}
	if Reserved(name) {
		return invalid("signature.header must not be %s, which the request itself uses", name)
	}
	return nil
}

// Reserved reports whether a request itself uses a header, so that nothing of
// ours can go there.
func Reserved(name string) bool {
	return slices.ContainsFunc(reservedHeaders, func(h string) bool { return strings.EqualFold(h, name) })
}

// notToken reports whether r is no tchar of RFC 9110.
func notToken(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func invalid(format string, args ...any) error {
	return convoy.E(convoy.Invalid, fmt.Sprintf(format, args...))
}

// digest returns the constructor of the named hash, nil if there is none.
func digest(name string) func() hash.Hash {
	for _, d := range digests {
		if d.name == name {
			return d.make
		}
	}
	return nil
}

// appendEncoded appends the text form of sum: lower-case hex, or padded
// standard base64 (RFC 4648, section 4).
func appendEncoded(dst, sum []byte, encoding string) []byte {
	if encoding == encodingBase64 {
		return base64.StdEncoding.AppendEncode(dst, sum)
	}
	return hex.AppendEncode(dst, sum)
}
