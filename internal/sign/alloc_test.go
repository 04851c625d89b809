//go:build !race

package sign_test

import "testing"

// Not under the race detector, where sync.Pool drops values at random. Not
// parallel, because testing.AllocsPerRun counts for the whole process.
func TestHeaderAllocates(t *testing.T) {
	s := newSigner(t, config(sha256Hex, sha512Base64), secrets(oldSecret, newSecret), true)
	payload := make([]byte, 1024)
	s.Header(payload, sentAt)
	if n := testing.AllocsPerRun(500, func() { s.Header(payload, sentAt) }); n > 1 {
		t.Fatalf("%v allocations per header, want at most the value itself", n)
	}
}
