// Package id makes and reads the ids of everything the gateway keeps: ULIDs
// (https://github.com/ulid/spec), 26 characters of upper-case Crockford base 32
// whose first ten hold the creation time in milliseconds. Ids therefore sort by
// age, and tables are partitioned by them. It is not for secrets: an id may be
// guessed.
package id

import (
	crand "crypto/rand"
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

var (
	mu      sync.Mutex
	entropy = ulid.Monotonic(seeded(), 0)
)

func seeded() *rand.ChaCha8 {
	var seed [32]byte
	crand.Read(seed[:])
	return rand.NewChaCha8(seed)
}

// New returns a fresh id for the given time. Ids made one after the other
// within the same millisecond ascend.
func New(at time.Time) string {
	mu.Lock()
	u, err := ulid.New(ulid.Timestamp(at), entropy)
	mu.Unlock()
	if err != nil {
		// The monotonic counter ran out within one millisecond, or the time is
		// outside the years a ULID can hold; neither is worth an error path.
		u = ulid.MustNewDefault(at)
	}
	return u.String()
}

// Derive returns the id that belongs to parts at a time: the same arguments
// give the same id, so writing a derived row twice writes it once.
func Derive(at time.Time, parts ...string) string {
	buf := make([]byte, 0, 96)
	for _, p := range parts {
		buf = append(buf, p...)
		buf = append(buf, 0)
	}
	sum := sha256.Sum256(buf)
	var u ulid.ULID
	copy(u[6:], sum[:10])
	if err := u.SetTime(ulid.Timestamp(at)); err != nil {
		panic(err)
	}
	return u.String()
}

// Valid reports whether s is an id.
func Valid(s string) bool {
	_, err := ulid.ParseStrict(s)
	return err == nil && s[0] <= '7' && upper(s)
}

func upper(s string) bool {
	for i := range len(s) {
		if s[i] >= 'a' && s[i] <= 'z' {
			return false
		}
	}
	return true
}

// Time returns the time an id carries, or the zero time when s is not an id.
func Time(s string) time.Time {
	u, err := ulid.ParseStrict(s)
	if err != nil {
		return time.Time{}
	}
	return u.Timestamp()
}

// Floor returns the ten characters that sort at or before every id made at or
// after the given time, and after every id made before its millisecond.
func Floor(at time.Time) string {
	var u ulid.ULID
	if err := u.SetTime(ulid.Timestamp(at)); err != nil {
		panic(err)
	}
	return u.String()[:10]
}
