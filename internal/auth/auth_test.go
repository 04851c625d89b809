package auth

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"
)

func TestNewKey(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)
	seen := make(map[string]bool)
	for range 100 {
		token, key := NewKey(now)
		parts := strings.Split(token, ".")
		if len(parts) != 3 || parts[0] != "CO" || len(parts[1]) != 16 || len(parts[2]) != 64 {
			t.Fatalf("token %q", token)
		}
		if strings.Trim(parts[1]+parts[2], alphanumeric) != "" {
			t.Fatalf("token %q has other than alphanumerics", token)
		}
		if !IsKey(token) {
			t.Fatalf("IsKey(%q) = false", token)
		}
		if key.Mask != parts[1] || key.Hash != sha256.Sum256([]byte(token)) || !key.CreatedAt.Equal(now) || len(key.ID) != 26 {
			t.Fatalf("key %+v for %q", key, token)
		}
		if seen[token] {
			t.Fatalf("token %q twice", token)
		}
		seen[token] = true
	}
}

func TestIsKey(t *testing.T) {
	t.Parallel()
	good, _ := NewKey(time.Now())
	for _, bad := range []string{
		"", "CO.", "CO.x.y", good + "x", good[:len(good)-1], "PR." + good[3:], strings.Replace(good, "CO.", "co.", 1),
		good[:10] + "." + good[11:], good[:19] + "x" + good[20:], good[:30] + "\x00" + good[31:], good[:30] + "é" + good[32:],
	} {
		if IsKey(bad) {
			t.Errorf("IsKey(%q) = true", bad)
		}
	}
}

func TestNewSecret(t *testing.T) {
	t.Parallel()
	count := make(map[rune]int)
	for range 2000 {
		s := NewSecret()
		if len(s) != 25 || strings.Trim(s, secretAlphabet) != "" {
			t.Fatalf("secret %q", s)
		}
		for _, r := range s {
			count[r]++
		}
	}
	// 50,000 characters over 64: 781 each, standard deviation 28.
	for _, r := range secretAlphabet {
		if count[r] < 600 || count[r] > 960 {
			t.Errorf("character %q appeared %d times of 50000", r, count[r])
		}
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	hash := HashPassword("correct horse")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("hash %q", hash)
	}
	if !CheckPassword(hash, "correct horse") {
		t.Error("the password is refused")
	}
	for _, wrong := range []string{"", "correct horse ", "Correct horse"} {
		if CheckPassword(hash, wrong) {
			t.Errorf("password %q is accepted", wrong)
		}
	}
	if HashPassword("correct horse") == hash {
		t.Error("two hashes of one password are equal: no salt")
	}
	// A test vector of the reference implementation:
	// argon2id, v=19, m=65536, t=2, p=1, "password", "somesalt".
	const known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if !CheckPassword(known, "password") {
		t.Error("the known hash is refused")
	}
	for _, bad := range []string{
		"", "x", "$argon2id$v=19$m=19456,t=2,p=1$$", strings.Replace(hash, "argon2id", "argon2i", 1),
		strings.Replace(hash, "v=19", "v=16", 1), strings.Replace(hash, "m=19456", "m=4294967295", 1),
		strings.Replace(hash, "t=2", "t=0", 1), strings.Replace(hash, "p=1", "p=0", 1), hash + "$x", hash + "!",
	} {
		if CheckPassword(bad, "correct horse") {
			t.Errorf("hash %q accepts", bad)
		}
	}
}

func TestSessionTokens(t *testing.T) {
	t.Parallel()
	access, refresh := SessionTokens("secret", "salt")
	if !IsAccessToken(access) || !IsRefreshToken(refresh) || IsAccessToken(refresh) || IsRefreshToken(access) || IsKey(access) || access[3:] == refresh[3:] {
		t.Fatalf("tokens %q and %q", access, refresh)
	}
	if a, r := SessionTokens("secret", "salt"); a != access || r != refresh {
		t.Error("the same secret and salt give other tokens")
	}
	for _, other := range [][2]string{{"secret", "salt2"}, {"secret2", "salt"}, {"secretsalt", ""}} {
		if a, r := SessionTokens(other[0], other[1]); a == access || r == refresh {
			t.Errorf("%q give the same tokens", other)
		}
	}
	if s := NewSeed(); len(s) != 43 || s == NewSeed() {
		t.Errorf("seed %q", s)
	}
}

func TestIsPortal(t *testing.T) {
	t.Parallel()
	key, token := NewPortalKey(), NewPortalToken()
	if !IsPortalKey(key) || !IsPortalToken(token) {
		t.Errorf("%q and %q are not recognised", key, token)
	}
	api, _ := NewKey(time.Now())
	for _, other := range []string{"", "PRT.", key[:len(key)-1], key + "a", api, token} {
		if IsPortalKey(other) {
			t.Errorf("%q passes for a portal key", other)
		}
	}
	for _, other := range []string{"", token[1:], token + "a", token[1:] + ".", key} {
		if IsPortalToken(other) {
			t.Errorf("%q passes for a portal token", other)
		}
	}
}
