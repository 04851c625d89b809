package sign_test

import (
	"errors"
	"strings"
	"testing"

	"convoy"
	"convoy/internal/sign"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	one := func(hash, encoding string) []convoy.SignatureVersion {
		return []convoy.SignatureVersion{{Hash: hash, Encoding: encoding}}
	}
	tests := []struct {
		name     string
		header   string
		versions []convoy.SignatureVersion
		want     string // beginning of the message, empty for valid
	}{
		{"default", "X-Convoy-Signature", one("SHA256", "hex"), ""},
		{"no versions", "X-Convoy-Signature", nil, ""},
		{"token punctuation", "!#$%&'*+-.^_`|~aZ09", one("SHA256", "base64"), ""},
		{"no header", "", one("SHA256", "hex"), "signature.header is required"},
		{"space", "X Sig", one("SHA256", "hex"), "signature.header must be a valid HTTP header token"},
		{"colon", "X-Sig:", one("SHA256", "hex"), "signature.header must be a valid HTTP header token"},
		{"line break", "X-Sig\r\nX-Evil", one("SHA256", "hex"), "signature.header must be a valid HTTP header token"},
		{"nul", "X\x00", one("SHA256", "hex"), "signature.header must be a valid HTTP header token"},
		{"not ASCII", "X-Ünter", one("SHA256", "hex"), "signature.header must be a valid HTTP header token"},
		{"not UTF-8", "X-\xff", one("SHA256", "hex"), "signature.header must be a valid HTTP header token"},
		{"long", strings.Repeat("x", 129), one("SHA256", "hex"), "signature.header must be at most 128"},
		{"reserved", "content-TYPE", one("SHA256", "hex"), "signature.header must not be content-TYPE"},
		{"dropped by the client", "Host", one("SHA256", "hex"), "signature.header must not be Host"},
		{"hash", "X-Sig", one("CRC32", "hex"), "signature.versions[0].hash must be one of MD5, SHA1, "},
		{"hash case", "X-Sig", one("sha256", "hex"), "signature.versions[0].hash must be one of"},
		{"no hash", "X-Sig", one("", "hex"), "signature.versions[0].hash must be one of"},
		{"encoding", "X-Sig", one("SHA256", "base32"), "signature.versions[0].encoding must be hex or base64"},
		{"second version", "X-Sig", append(one("SHA256", "hex"), one("SHA512", "")...), "signature.versions[1].encoding"},
		{"many versions", "X-Sig", make([]convoy.SignatureVersion, sign.MaxVersions+1), "signature.versions must hold at most 8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := sign.Validate(convoy.SignatureConfig{Header: tt.header, Versions: tt.versions})
			if tt.want == "" {
				if err != nil {
					t.Fatalf("Validate: %v", err)
				}
				return
			}
			var e *convoy.Error
			if !errors.As(err, &e) || e.Kind != convoy.Invalid || !strings.HasPrefix(e.Msg, tt.want) {
				t.Fatalf("Validate = %v, want an Invalid beginning with %q", err, tt.want)
			}
		})
	}
}

func TestValidateAcceptsEveryHash(t *testing.T) {
	t.Parallel()
	want := strings.Fields(`MD5 SHA1 SHA224 SHA256 SHA384 SHA512 SHA3_224 SHA3_256 SHA3_384 SHA3_512 SHA512_224 SHA512_256`)
	if got := sign.Hashes(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("Hashes() = %v, want %v", got, want)
	}
	for _, hash := range want {
		for _, encoding := range []string{"hex", "base64"} {
			cfg := convoy.SignatureConfig{Header: "X-Sig", Versions: []convoy.SignatureVersion{{Hash: hash, Encoding: encoding}}}
			if err := sign.Validate(cfg); err != nil {
				t.Errorf("Validate(%s, %s): %v", hash, encoding, err)
			}
		}
	}
}
