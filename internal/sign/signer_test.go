package sign_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/sign"
)

const (
	body      = `{"event":"invoice.paid","data":{"id":"inv_123","amount":1200}}`
	oldSecret = "whsec_old111"
	newSecret = "whsec_4f8d2c"

	v1Old = "184c6b58dc04dfc093837fb7762c7b0a598f838abd15262c8fcd838e1fef0ecb"
	v1New = "81fb9753aa2a1b3641f83ba3c36075d836bf2120b91cedd89d065456ceee6612"
	v2Old = "m/amjs368rb8B8mzhufwm0gG78K7Wgdj3LMs/INJeIdLF5vd//TJBBnMcXwQXP7nVnZht3bth1GFlQ1egT9FbQ=="
	v2New = "S0+BVryaJAQKZAJ4tvaigP4VkmHgs9uLZNsboB1aVlyacRw4QWj5jrb5VShYP4T8A2UDhl1KW1k9YH1CcyMWQg=="

	simpleSHA256Hex    = "9beac90511cdbf34b110ae3c6e013de9bf80e9ab607801937207207c6e1d8a09"
	simpleSHA512Base64 = "7jE/2evEM/pbeK4zW10EFf4CRKLxE+SdtvecjFmDSBMxBUctcIrc+GA8DDP3a7MRDwb3ZuNZb0QQLnDAZJ6AGA=="
)

var (
	sentAt       = time.Unix(1735689600, 0)
	sha256Hex    = convoy.SignatureVersion{Hash: "SHA256", Encoding: "hex"}
	sha512Base64 = convoy.SignatureVersion{Hash: "SHA512", Encoding: "base64"}
)

func config(versions ...convoy.SignatureVersion) convoy.SignatureConfig {
	return convoy.SignatureConfig{Header: "X-Convoy-Signature", Versions: versions}
}

func secrets(values ...string) []convoy.Secret {
	out := make([]convoy.Secret, len(values))
	for i, v := range values {
		out[i].Value = v
	}
	return out
}

// expiring is a secret that expires the given time after sentAt.
func expiring(value string, after time.Duration) convoy.Secret {
	return convoy.Secret{Value: value, ExpiresAt: sentAt.Add(after)}
}

func newSigner(t testing.TB, cfg convoy.SignatureConfig, secrets []convoy.Secret, advanced bool) *sign.Signer {
	t.Helper()
	s, err := sign.New(cfg, secrets, advanced)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

func TestHeader(t *testing.T) {
	t.Parallel()
	both := secrets(oldSecret, newSecret)
	tests := []struct {
		name     string
		versions []convoy.SignatureVersion
		secrets  []convoy.Secret
		advanced bool
		body     string
		want     string
	}{
		{"simple hex", []convoy.SignatureVersion{sha256Hex}, secrets(newSecret), false, body, simpleSHA256Hex},
		{"simple base64", []convoy.SignatureVersion{sha512Base64}, secrets(newSecret), false, body, simpleSHA512Base64},
		{"no versions", nil, secrets(newSecret), false, body, simpleSHA256Hex},
		{"last version and secret", []convoy.SignatureVersion{sha256Hex, sha512Base64}, both, false, body, simpleSHA512Base64},
		{
			// The bytes that are sent are signed, whatever white space they hold.
			"raw bytes", []convoy.SignatureVersion{sha256Hex}, secrets(newSecret), false,
			`{ "event": "invoice.paid", "data": {"id": "inv_123", "amount": 1200} }`,
			"f354cdbf630b7c2eaaad52090cd574bc417a1fdc631e8a73266df330b7c15a98",
		},
		{"advanced", []convoy.SignatureVersion{sha256Hex}, secrets(newSecret), true, body, "t=1735689600,v1=" + v1New},
		{
			"advanced, full", []convoy.SignatureVersion{sha256Hex, sha512Base64}, both, true, body,
			"t=1735689600,v1=" + v1Old + ",v1=" + v1New + ",v2=" + v2Old + ",v2=" + v2New,
		},
		{
			"rotation", []convoy.SignatureVersion{sha256Hex},
			[]convoy.Secret{expiring(oldSecret, time.Second), {Value: newSecret}}, true, body,
			"t=1735689600,v1=" + v1Old + ",v1=" + v1New,
		},
		{
			"expired to the instant", []convoy.SignatureVersion{sha256Hex},
			[]convoy.Secret{expiring(oldSecret, 0), {Value: newSecret}}, true, body,
			"t=1735689600,v1=" + v1New,
		},
		{
			"simple, newest expired", []convoy.SignatureVersion{sha256Hex},
			[]convoy.Secret{{Value: newSecret}, expiring(oldSecret, -time.Second)}, false, body, simpleSHA256Hex,
		},
		{
			"simple, all expired", []convoy.SignatureVersion{sha256Hex},
			[]convoy.Secret{expiring(oldSecret, -time.Second), expiring(newSecret, -time.Hour)}, false, body, simpleSHA256Hex,
		},
		{
			"advanced, all expired", []convoy.SignatureVersion{sha256Hex},
			[]convoy.Secret{expiring(oldSecret, -time.Second), expiring(newSecret, -time.Hour)}, true, body,
			"t=1735689600,v1=" + v1New,
		},
		{
			"empty secret", []convoy.SignatureVersion{sha256Hex}, secrets(oldSecret, newSecret, ""), true, body,
			"t=1735689600,v1=" + v1Old + ",v1=" + v1New,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSigner(t, config(tt.versions...), tt.secrets, tt.advanced)
			// Later calls use states that earlier ones left behind.
			for range 3 {
				name, value := s.Header([]byte(tt.body), sentAt)
				if name != "X-Convoy-Signature" || value != tt.want {
					t.Fatalf("Header = %q, %q\nwant %q", name, value, tt.want)
				}
			}
		})
	}
}

// The digests come from OpenSSL, not from the packages under test.
func TestHeaderHashes(t *testing.T) {
	t.Parallel()
	tests := []struct{ hash, want string }{
		{"MD5", "946e07839a5e8edbef3da4cc7f0b0643"},
		{"SHA1", "2284349f217c3e7178f79cb2ed129b00e55c6882"},
		{"SHA224", "7b424ff1e55fe7c26c0894dd30d879c8e5017bfcb6ca6bfb788ea65f"},
		{"SHA256", simpleSHA256Hex},
		{"SHA384", "5ffeb4c1b15cf56fe0ddd3ef492428e01b624a39909a9db4c86b28639b7b6b6bd72275465a112f058002d3cdba909edd"},
		{"SHA512", "ee313fd9ebc433fa5b78ae335b5d0415fe0244a2f113e49db6f79c8c598348133105472d708adcf8603c0c33f76bb3110f06f766e3596f44102e70c0649e8018"},
		{"SHA3_224", "9c3e4d0b9d6cac91ebc86502864a9aeddd4fd94b98c6041bd3bec51a"},
		{"SHA3_256", "c2f9bc315feb183e4bad7a5047f6365d93c681e14999b493a8975063f892f8ec"},
		{"SHA3_384", "454d143cb4288f8057861740c5c1f57abf904bd684427d96f134a2f7bc5b32bc83d919d4b5e1ad3fb2852580564b9cf9"},
		{"SHA3_512", "d0037bde51c8f9db207d2b0c1a7dfedda7f8e0d76f8ca680f168b89ee6ce3fcdbd3339e076a6c341936085347afc9a3f03dfee868fe833ab405e052f38b25a9d"},
		{"SHA512_224", "0f13f9a2c4aa5f30ace9f4976bf47ebb6b9eedd4521397e368fd5517"},
		{"SHA512_256", "b475d63ec615c43f48a1a139b13b6541cfe54a22dbd9536f2c435c72b2c9f996"},
	}
	if len(tests) != len(sign.Hashes()) {
		t.Fatalf("%d vectors for %d hashes", len(tests), len(sign.Hashes()))
	}
	for _, tt := range tests {
		t.Run(tt.hash, func(t *testing.T) {
			t.Parallel()
			version := convoy.SignatureVersion{Hash: tt.hash, Encoding: "hex"}
			s := newSigner(t, config(version), secrets(newSecret), false)
			// Twice: the second digest comes from a state that was reset.
			for range 2 {
				if _, got := s.Header([]byte(body), sentAt); got != tt.want {
					t.Fatalf("Header = %q, want %q", got, tt.want)
				}
			}
			if err := sign.Verify(version, tt.want, newSecret, []byte(body), 0, sentAt); err != nil {
				t.Fatalf("Verify: %v", err)
			}
		})
	}
}

// A body longer than one block, and one longer than all buffers, must not leak
// into the next signature.
func TestHeaderKeepsNothingBetweenBodies(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config(sha256Hex), secrets(newSecret), false)
	_, before := s.Header([]byte(body), sentAt)
	for _, size := range []int{0, 1, 63, 64, 65, 1 << 20} {
		s.Header(make([]byte, size), sentAt)
		if _, after := s.Header([]byte(body), sentAt); after != before {
			t.Fatalf("after %d bytes: %q, want %q", size, after, before)
		}
	}
}

func TestHeaderOutlivesExpiry(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config(sha256Hex), []convoy.Secret{expiring(oldSecret, time.Minute), {Value: newSecret}}, true)
	for after, want := range map[time.Duration]int{0: 2, time.Minute - 1: 2, time.Minute: 1, time.Hour: 1} {
		if _, value := s.Header([]byte(body), sentAt.Add(after)); strings.Count(value, "v1=") != want {
			t.Errorf("%v later: %q, want %d signatures", after, value, want)
		}
	}
}

func TestHeaderIsBounded(t *testing.T) {
	t.Parallel()
	var many []convoy.Secret
	for i := range sign.MaxSecrets + 5 {
		many = append(many, convoy.Secret{Value: fmt.Sprint("secret-", i)})
	}
	s := newSigner(t, config(sha256Hex), many, true)
	_, value := s.Header([]byte(body), sentAt)
	if n := strings.Count(value, "v1="); n != sign.MaxSecrets {
		t.Fatalf("%d signatures, want %d", n, sign.MaxSecrets)
	}
	for i, secret := range many {
		err := sign.Verify(sha256Hex, value, secret.Value, []byte(body), 0, sentAt)
		if signs := i >= 5; signs != (err == nil) {
			t.Errorf("Verify with secret %d: %v", i, err)
		}
	}
}

func TestHeaderNameIsCanonical(t *testing.T) {
	t.Parallel()
	cfg := config(sha256Hex)
	cfg.Header = "x-acme-SIGNATURE"
	s := newSigner(t, cfg, secrets(newSecret), false)
	if name, _ := s.Header(nil, sentAt); name != "X-Acme-Signature" {
		t.Fatalf("name = %q", name)
	}
}

func TestHeaderConcurrently(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config(sha256Hex, sha512Base64), secrets(oldSecret, newSecret), true)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				own := fmt.Appendf(nil, `{"goroutine":%d,"i":%d}`, g, i)
				_, value := s.Header(own, sentAt)
				if err := sign.Verify(sha256Hex, value, newSecret, own, time.Second, sentAt); err != nil {
					t.Errorf("Verify %s: %v", own, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		cfg     convoy.SignatureConfig
		secrets []convoy.Secret
	}{
		{"no secret", config(sha256Hex), nil},
		{"empty secret", config(sha256Hex), secrets("")},
		{"no header", convoy.SignatureConfig{}, secrets(newSecret)},
		{"unknown hash", config(convoy.SignatureVersion{Hash: "X", Encoding: "hex"}), secrets(newSecret)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := sign.New(tt.cfg, tt.secrets, true); convoy.KindOf(err) != convoy.Invalid || err == nil {
				t.Fatalf("New = %v, want an Invalid", err)
			}
		})
	}
}

// The caller's slices may change after New without changing signatures.
func TestNewCopies(t *testing.T) {
	t.Parallel()
	list, cfg := secrets("", newSecret), config(sha256Hex)
	s := newSigner(t, cfg, list, false)
	list[1].Value, cfg.Versions[0].Hash = "other", "MD5"
	if _, value := s.Header([]byte(body), sentAt); value != simpleSHA256Hex {
		t.Fatalf("Header = %q, want %q", value, simpleSHA256Hex)
	}
}

func BenchmarkHeader(b *testing.B) {
	payload := make([]byte, 1024)
	benchmarks := []struct {
		name     string
		versions []convoy.SignatureVersion
		secrets  []convoy.Secret
		advanced bool
	}{
		{"simple/SHA256", []convoy.SignatureVersion{sha256Hex}, secrets(newSecret), false},
		{"advanced/SHA256", []convoy.SignatureVersion{sha256Hex}, secrets(newSecret), true},
		{"advanced/SHA512", []convoy.SignatureVersion{sha512Base64}, secrets(newSecret), true},
		{"advanced/2x2", []convoy.SignatureVersion{sha256Hex, sha512Base64}, secrets(oldSecret, newSecret), true},
	}
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			s := newSigner(b, config(bm.versions...), bm.secrets, bm.advanced)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				s.Header(payload, sentAt)
			}
		})
	}
}
