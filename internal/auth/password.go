package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of Argon2id for new passwords: the OWASP Password Storage Cheat
// Sheet's first choice (19 MiB, two passes, one lane), since a sign-in must not
// double the memory of a process that is otherwise small.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	argonSalt    = 16
	argonSum     = 32
)

// Bounds on the parameters that a stored hash may ask for, so that a damaged
// row cannot exhaust memory.
const (
	maxArgonTime   = 16
	maxArgonMemory = 1 << 20 // KiB
	maxArgonSum    = 64
)

// HashPassword returns the Argon2id hash of a password (RFC 9106) in the PHC
// string format, "$argon2id$v=19$m=…,t=…,p=…$salt$hash". It takes some 50 ms
// and 19 MiB; callers bound how many run at once.
func HashPassword(password string) string {
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonSum)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// CheckPassword reports whether password is the one that hash was made from by
// [HashPassword]. A hash of another form matches nothing.
func CheckPassword(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	var (
		memory, passes uint32
		threads        uint8
	)
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); n != 3 || err != nil {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	sum, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return false
	}
	if passes == 0 || passes > maxArgonTime || memory > maxArgonMemory || threads == 0 || len(sum) < 16 || len(sum) > maxArgonSum {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1
}
