package oauth

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"convoy"
	"convoy/internal/id"
)

// assertionLife is for how long an assertion is good.
const assertionLife = 5 * time.Minute

// algorithms by the type of key they need (RFC 7518 §3.1).
var algorithms = map[string][]jose.SignatureAlgorithm{
	"EC": {jose.ES256, jose.ES384, jose.ES512},
	"RSA": {
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	},
}

// curves are the curves that the EC algorithms are defined for (RFC 7518 §3.4).
var curves = map[jose.SignatureAlgorithm]string{jose.ES256: "P-256", jose.ES384: "P-384", jose.ES512: "P-521"}

// minRSA is the smallest RSA key, in bits (RFC 7518 §3.3).
const minRSA = 2048

// assert makes the JWT of RFC 7523 §3.
func assert(a *convoy.OAuth2Auth, now time.Time) (string, error) {
	signer, err := signer(a)
	if err != nil {
		return "", err
	}
	audience := a.Audience
	if audience == "" {
		audience = a.URL
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: a.Issuer, Subject: a.Subject, Audience: jwt.Audience{audience}, ID: id.New(now),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("oauth2 assertion: %w", err)
	}
	return token, nil
}

func signer(a *convoy.OAuth2Auth) (jose.Signer, error) {
	alg, key, err := signingKey(a)
	if err != nil {
		return nil, err
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("oauth2 signing key: %w", err)
	}
	return s, nil
}

// signingKey checks that the key is private and fits the algorithm.
func signingKey(a *convoy.OAuth2Auth) (jose.SignatureAlgorithm, *jose.JSONWebKey, error) {
	alg := jose.SignatureAlgorithm(or(a.SigningAlgorithm, string(jose.ES256)))
	var head struct {
		Type  string `json:"kty"`
		Curve string `json:"crv"`
	}
	if err := json.Unmarshal(a.SigningKey, &head); err != nil {
		return "", nil, convoy.Wrap(convoy.Invalid, "oauth2 signing_key must be a JSON Web Key", err)
	}
	var want string
	for kty, algs := range algorithms {
		if slices.Contains(algs, alg) {
			want = kty
		}
	}
	switch {
	case want == "":
		return "", nil, convoy.E(convoy.Invalid, "oauth2 signing_algorithm must be one of "+names())
	case head.Type != want:
		return "", nil, convoy.E(convoy.Invalid, "oauth2 signing_key: kty must be "+want+" for "+string(alg))
	case want == "EC" && head.Curve != curves[alg]:
		return "", nil, convoy.E(convoy.Invalid, "oauth2 signing_key: crv must be "+curves[alg]+" for "+string(alg))
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(a.SigningKey); err != nil {
		return "", nil, convoy.Wrap(convoy.Invalid, "oauth2 signing_key must be a valid "+want+" key", err)
	}
	switch k := key.Key.(type) {
	case *ecdsa.PrivateKey:
	case *rsa.PrivateKey:
		if k.N.BitLen() < minRSA {
			return "", nil, convoy.E(convoy.Invalid, fmt.Sprintf("oauth2 signing_key must have %d bits or more", minRSA))
		}
	default:
		return "", nil, convoy.E(convoy.Invalid, "oauth2 signing_key must be a private key: d is required")
	}
	return alg, &key, nil
}

func names() string {
	var list []string
	for _, kty := range []string{"EC", "RSA"} {
		for _, alg := range algorithms[kty] {
			list = append(list, string(alg))
		}
	}
	return strings.Join(list, ", ")
}
