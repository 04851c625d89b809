package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"convoy"
)

// issuer is a token endpoint.
type issuer struct {
	*httptest.Server
	mu     sync.Mutex
	forms  []url.Values
	status int
	answer string
}

func newIssuer(t *testing.T, answer string) *issuer {
	t.Helper()
	s := &issuer{status: http.StatusOK, answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := r.ParseForm(); err != nil {
			t.Errorf("form: %v", err)
		}
		s.forms = append(s.forms, r.PostForm)
		w.WriteHeader(s.status)
		_, _ = w.Write([]byte(s.answer))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *issuer) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

func (s *issuer) secret() *convoy.OAuth2Auth {
	return &convoy.OAuth2Auth{URL: s.URL, ClientID: "c", AuthenticationType: convoy.OAuth2SharedSecret, ClientSecret: "s"}
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func client(t *testing.T) (*Client, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return New(tr, c.Now), c
}

// A token is kept until a minute before its end, and for an hour at most.
func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	s := newIssuer(t, `{"access_token":"tok","token_type":"bearer","expires_in":600}`)
	c, now := client(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if token, err := c.Token(t.Context(), s.secret()); err != nil || token.Header() != "Bearer tok" {
				t.Errorf("got %q, %v", token.Header(), err)
			}
		})
	}
	wg.Wait()
	get := func(want int, what string) {
		t.Helper()
		if _, err := c.Token(t.Context(), s.secret()); err != nil {
			t.Fatal(err)
		}
		if n := s.asked(); n != want {
			t.Errorf("%s: asked %d times, want %d", what, n, want)
		}
	}
	get(1, "at once")
	now.forward(539 * time.Second)
	get(1, "before the last minute")
	now.forward(time.Second)
	get(2, "in the last minute")
	c.Refused(s.secret())
	get(3, "after a refusal")
	other := s.secret()
	other.Scope = "more"
	if _, err := c.Token(t.Context(), other); err != nil || s.asked() != 4 {
		t.Errorf("another configuration: asked %d times, %v", s.asked(), err)
	}
	s.mu.Lock()
	s.answer = `{"access_token":"tok","expires_in":999999999999999}`
	s.mu.Unlock()
	c.Refused(s.secret())
	get(5, "a long one")
	now.forward(time.Hour)
	get(6, "after an hour")
}

// A failure is not asked about again at once, and a caller that left does not
// fail the next.
func TestTokenFailure(t *testing.T) {
	t.Parallel()
	s := newIssuer(t, `{"error":"invalid_client","error_description":"secret"}`)
	s.status = http.StatusBadRequest
	c, now := client(t)
	for range 3 {
		_, err := c.Token(t.Context(), s.secret())
		if err == nil || err.Error() != "oauth2 token endpoint answered with status 400: invalid_client" {
			t.Errorf("got %v", err)
		}
	}
	if n := s.asked(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	now.forward(failPause)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Token(gone, s.secret()); err == nil {
		t.Error("a token for a caller that left")
	}
	s.mu.Lock()
	s.status, s.answer = http.StatusOK, `{"access_token":"tok"}`
	s.mu.Unlock()
	if token, err := c.Token(t.Context(), s.secret()); err != nil || token.Value != "tok" {
		t.Errorf("after the pause: %v, %v", token, err)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	mapped := &convoy.OAuth2Auth{
		FieldMapping:   &convoy.OAuth2Fields{AccessToken: "tok.en", TokenType: "kind", ExpiresIn: "ttl"},
		ExpiryTimeUnit: "minutes",
	}
	for _, tt := range []struct {
		answer string
		config *convoy.OAuth2Auth
		header string
		life   time.Duration
		err    string
	}{
		{`{"access_token":"a"}`, &convoy.OAuth2Auth{}, "Bearer a", 0, ""},
		{`{"access_token":"a","token_type":"MAC","expires_in":"60"}`, &convoy.OAuth2Auth{}, "MAC a", time.Minute, ""},
		{`{"access_token":"a","expires_in":-1}`, &convoy.OAuth2Auth{}, "Bearer a", 0, ""},
		{`{"tok.en":"b","kind":"Bearer","ttl":1.5}`, mapped, "Bearer b", 90 * time.Second, ""},
		{`{"access_token":"a"}`, mapped, "", 0, `oauth2 token answer has no "tok.en"`},
		{`{"access_token":"a\r\nX: y"}`, &convoy.OAuth2Auth{}, "", 0, `oauth2 token answer: "access_token" is no header value`},
		{`{"access_token":"a","token_type":"x y"}`, &convoy.OAuth2Auth{}, "", 0, `oauth2 token answer: "token_type" is no header value`},
		{`[]`, &convoy.OAuth2Auth{}, "", 0, `oauth2 token answer has no "access_token"`},
		{`{`, &convoy.OAuth2Auth{}, "", 0, "oauth2 token answer is not JSON"},
		{``, &convoy.OAuth2Auth{}, "", 0, "oauth2 token answer is not JSON"},
	} {
		token, err := parse([]byte(tt.answer), tt.config, now)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: %v", tt.answer, err)
			}
			continue
		}
		var life time.Duration
		if !token.ExpiresAt.IsZero() {
			life = token.ExpiresAt.Sub(now)
		}
		if err != nil || token.Header() != tt.header || life != tt.life {
			t.Errorf("%s: %q for %v, %v", tt.answer, token.Header(), life, err)
		}
	}
}

func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	s := newIssuer(t, `{"access_token":"`+strings.Repeat("x", maxAnswer)+`"}`)
	c, _ := client(t)
	if _, err := c.Fetch(t.Context(), s.secret()); err == nil || err.Error() != "oauth2 token answer is longer than 65536 bytes" {
		t.Errorf("got %v", err)
	}
}

func jwk(t *testing.T, key any) json.RawMessage {
	t.Helper()
	text, err := jose.JSONWebKey{Key: key, KeyID: "k1"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The assertion is one that its reader can check with the public key.
func TestAssertion(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		alg    string
		key    any
		public crypto.PublicKey
	}{{"", ec, ec.Public()}, {"RS256", pair, pair.Public()}, {"PS512", pair, pair.Public()}} {
		s := newIssuer(t, `{"access_token":"tok"}`)
		c, now := client(t)
		a := &convoy.OAuth2Auth{
			URL: s.URL, ClientID: "c", AuthenticationType: convoy.OAuth2ClientAssertion, SigningKey: jwk(t, tt.key),
			SigningAlgorithm: tt.alg, Issuer: "iss", Subject: "sub", Audience: "https://issuer.example", Scope: "read",
		}
		if err := Check(a); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Token(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		form := s.forms[0]
		if form.Get("grant_type") != "client_credentials" || form.Get("scope") != "read" || form.Has("client_secret") ||
			form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			t.Errorf("form %v", form)
		}
		token, err := jwt.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS512})
		if err != nil {
			t.Fatal(err)
		}
		var claims jwt.Claims
		if err := token.Claims(tt.public, &claims); err != nil {
			t.Fatal(err)
		}
		err = claims.ValidateWithLeeway(jwt.Expected{Issuer: "iss", Subject: "sub", AnyAudience: jwt.Audience{"https://issuer.example"}, Time: now.Now()}, 0)
		if err != nil || claims.ID == "" || claims.Expiry.Time().Sub(now.Now()) != assertionLife {
			t.Errorf("claims %+v, %v", claims, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := jwk(t, ec)
	assertion := func(change func(*convoy.OAuth2Auth)) *convoy.OAuth2Auth {
		a := &convoy.OAuth2Auth{
			URL: "https://x", ClientID: "c", AuthenticationType: convoy.OAuth2ClientAssertion, SigningKey: private, Issuer: "i", Subject: "s",
		}
		change(a)
		return a
	}
	for want, a := range map[string]*convoy.OAuth2Auth{
		"oauth2 url is required":                                                     {},
		"oauth2 authentication_type is required":                                     {URL: "x", ClientID: "c"},
		"oauth2 client_secret is required":                                           {URL: "x", ClientID: "c", AuthenticationType: "shared_secret"},
		"oauth2 scope must be text of at most 4096 bytes without control characters": {URL: "x", ClientID: "c", AuthenticationType: "shared_secret", ClientSecret: "s", Scope: "a\x00"},
		"oauth2 expiry_time_unit must be seconds, milliseconds, minutes or hours":    {URL: "x", ClientID: "c", AuthenticationType: "shared_secret", ClientSecret: "s", ExpiryTimeUnit: "days"},
		"oauth2 signing_key is required":                                             assertion(func(a *convoy.OAuth2Auth) { a.SigningKey = json.RawMessage(`null`) }),
		"oauth2 issuer is required":                                                  assertion(func(a *convoy.OAuth2Auth) { a.Issuer = "" }),
		"oauth2 signing_key must be a JSON Web Key":                                  assertion(func(a *convoy.OAuth2Auth) { a.SigningKey = json.RawMessage(`[1]`) }),
		"oauth2 signing_key: kty must be RSA for RS256":                              assertion(func(a *convoy.OAuth2Auth) { a.SigningAlgorithm = "RS256" }),
		"oauth2 signing_key: crv must be P-384 for ES384":                            assertion(func(a *convoy.OAuth2Auth) { a.SigningAlgorithm = "ES384" }),
		"oauth2 signing_key must be a private key: d is required":                    assertion(func(a *convoy.OAuth2Auth) { a.SigningKey = jwk(t, ec.Public()) }),
		"oauth2 signing_key must be a valid EC key": assertion(func(a *convoy.OAuth2Auth) {
			a.SigningKey = json.RawMessage(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}`)
		}),
		"oauth2 signing_algorithm must be one of ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512": assertion(func(a *convoy.OAuth2Auth) { a.SigningAlgorithm = "none" }),
	} {
		if err := Check(a); err == nil || err.Error() != want && !strings.HasPrefix(err.Error(), want) || convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := Check(assertion(func(*convoy.OAuth2Auth) {})); err != nil {
		t.Error(err)
	}
}
