package sign_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/sign"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	full := "t=1735689600,v1=" + v1Old + ",v1=" + v1New + ",v2=" + v2Old + ",v2=" + v2New
	tests := []struct {
		name      string
		version   convoy.SignatureVersion
		header    string
		secret    string
		body      string
		tolerance time.Duration
		now       time.Time
		want      error
	}{
		{"simple", sha256Hex, simpleSHA256Hex, newSecret, body, 0, sentAt, nil},
		{"simple base64", sha512Base64, simpleSHA512Base64, newSecret, body, 0, sentAt, nil},
		{"simple has no age", sha256Hex, simpleSHA256Hex, newSecret, body, minute, sentAt.Add(time.Hour), nil},
		{"simple, other secret", sha256Hex, simpleSHA256Hex, oldSecret, body, 0, sentAt, sign.ErrMismatch},
		{"simple, other body", sha256Hex, simpleSHA256Hex, newSecret, body + " ", 0, sentAt, sign.ErrMismatch},
		{"simple, cut", sha256Hex, simpleSHA256Hex[:63], newSecret, body, 0, sentAt, sign.ErrMismatch},
		{"full, old secret", sha256Hex, full, oldSecret, body, minute, sentAt, nil},
		{"full, new secret", sha256Hex, full, newSecret, body, minute, sentAt, nil},
		{"full, second version", sha512Base64, full, newSecret, body, minute, sentAt, nil},
		{"full, unknown secret", sha256Hex, full, "whsec_other", body, minute, sentAt, sign.ErrMismatch},
		{"full, other body", sha256Hex, full, newSecret, body[1:], minute, sentAt, sign.ErrMismatch},
		{"other time", sha256Hex, strings.Replace(full, "t=1735689600", "t=1735689601", 1), newSecret, body, minute, sentAt, sign.ErrMismatch},
		{"zero before time", sha256Hex, strings.Replace(full, "t=", "t=0", 1), newSecret, body, minute, sentAt, sign.ErrMismatch},
		{"at the tolerance", sha256Hex, full, newSecret, body, minute, sentAt.Add(minute), nil},
		{"past the tolerance", sha256Hex, full, newSecret, body, minute, sentAt.Add(minute + 1), sign.ErrStale},
		{"from the future", sha256Hex, full, newSecret, body, minute, sentAt.Add(-minute - 1), sign.ErrStale},
		{"no tolerance", sha256Hex, full, newSecret, body, 0, sentAt.Add(1000 * time.Hour), nil},
		{"unknown element", sha256Hex, full + ",x9=abc", newSecret, body, minute, sentAt, nil},
		{"timestamp last", sha256Hex, "v1=" + v1New + ",t=1735689600", newSecret, body, minute, sentAt, sign.ErrHeader},
		{"empty", sha256Hex, "", newSecret, body, 0, sentAt, sign.ErrHeader},
		{"no signature", sha256Hex, "t=1735689600", newSecret, body, 0, sentAt, sign.ErrHeader},
		{"no timestamp value", sha256Hex, "t=,v1=" + v1New, newSecret, body, 0, sentAt, sign.ErrHeader},
		{"two timestamps", sha256Hex, full + ",t=1735689600", newSecret, body, 0, sentAt, sign.ErrHeader},
		{"signed timestamp", sha256Hex, strings.Replace(full, "t=", "t=+", 1), newSecret, body, 0, sentAt, sign.ErrHeader},
		{"huge timestamp", sha256Hex, strings.Replace(full, "t=", "t=999999999", 1), newSecret, body, 0, sentAt, sign.ErrHeader},
		{"space", sha256Hex, "t=1735689600, v1=" + v1New, newSecret, body, 0, sentAt, sign.ErrHeader},
		{"no element", sha256Hex, full + ",", newSecret, body, 0, sentAt, sign.ErrHeader},
		{"no value", sha256Hex, full + ",v1=", newSecret, body, 0, sentAt, sign.ErrHeader},
		{"too long", sha256Hex, full + strings.Repeat(",v1="+v1New, 500), newSecret, body, 0, sentAt, sign.ErrHeader},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := sign.Verify(tt.version, tt.header, tt.secret, []byte(tt.body), tt.tolerance, tt.now)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Verify = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestVerifyRefusesUnusableSettings(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"hash":     sign.Verify(convoy.SignatureVersion{Hash: "X", Encoding: "hex"}, simpleSHA256Hex, newSecret, nil, 0, sentAt),
		"encoding": sign.Verify(convoy.SignatureVersion{Hash: "SHA256"}, simpleSHA256Hex, newSecret, nil, 0, sentAt),
		"secret":   sign.Verify(sha256Hex, simpleSHA256Hex, "", nil, 0, sentAt),
	} {
		if err == nil || convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("%s: %v, want an Invalid", name, err)
		}
	}
}

// The longest header that a signer makes must be one that Verify reads.
func TestVerifyReadsTheLongestHeader(t *testing.T) {
	t.Parallel()
	var versions []convoy.SignatureVersion
	for range sign.MaxVersions {
		versions = append(versions, convoy.SignatureVersion{Hash: "SHA3_512", Encoding: "hex"})
	}
	var list []convoy.Secret
	for range sign.MaxSecrets {
		list = append(list, convoy.Secret{Value: newSecret})
	}
	_, value := newSigner(t, config(versions...), list, true).Header([]byte(body), sentAt)
	if err := sign.Verify(versions[0], value, newSecret, []byte(body), time.Second, sentAt); err != nil {
		t.Fatalf("Verify of %d bytes: %v", len(value), err)
	}
}

// FuzzVerify looks for headers that pass without being made from the secret,
// and for headers of a signer that do not pass.
func FuzzVerify(f *testing.F) {
	f.Add("t=1735689600,v1="+v1Old+",v1="+v1New, []byte(body), int64(0))
	f.Add(simpleSHA256Hex, []byte(body), int64(1735689600))
	f.Add("t=1,v1=", []byte(nil), int64(-1))
	f.Add("t=1,t=2,v1=a,v=b,=,,", []byte("x"), int64(1<<40))
	f.Fuzz(func(t *testing.T, header string, payload []byte, seconds int64) {
		// Only a header that carries the right digest may pass.
		if sign.Verify(sha256Hex, header, newSecret, payload, 0, sentAt) == nil {
			simple := newSigner(t, config(sha256Hex), secrets(newSecret), false)
			if _, want := simple.Header(payload, sentAt); header != want && !strings.HasPrefix(header, "t=") {
				t.Fatalf("%q passes for %q", header, payload)
			}
			if err := sign.Verify(sha256Hex, header, newSecret+"x", payload, 0, sentAt); !errors.Is(err, sign.ErrMismatch) {
				t.Fatalf("%q passes with another secret: %v", header, err)
			}
		}
		now := time.Unix(seconds&(1<<39-1), 0)
		for _, advanced := range []bool{false, true} {
			_, value := newSigner(t, config(sha256Hex), secrets(oldSecret, newSecret), advanced).Header(payload, now)
			if err := sign.Verify(sha256Hex, value, newSecret, payload, time.Second, now); err != nil {
				t.Fatalf("own header %q: %v", value, err)
			}
		}
	})
}
