package testenv

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// providerKey signs, once made for all tests.
var providerKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// What an [IdentityProvider] calls its one client, and the secret of that.
const (
	ClientID     = "convoy"
	ClientSecret = "a secret of the provider's"
)

// IdentityProvider is a provider of OpenID Connect: discovery, keys, authorization
// and token endpoints, with PKCE and codes that work once.
type IdentityProvider struct {
	*httptest.Server
	t   testing.TB
	now func() time.Time

	mu sync.Mutex
	// claims are those of the next token, besides what the protocol has.
	claims map[string]any
	// key signs.
	key   *rsa.PrivateKey
	codes map[string]url.Values
	down  bool
}

// NewIdentityProvider serves one until the test ends; now is its time.
func NewIdentityProvider(t testing.TB, now func() time.Time) *IdentityProvider {
	t.Helper()
	p := &IdentityProvider{t: t, now: now, key: providerKey(), codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, 200, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &providerKey().PublicKey, KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		down := p.down
		p.mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *IdentityProvider) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.t.Error(err)
	}
}

// authorize lets everybody in and sends them back with a code.
func (p *IdentityProvider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" {
		p.answer(w, 400, map[string]string{"error": "invalid_request"})
		return
	}
	p.mu.Lock()
	code := "code-" + rand.Text()
	p.codes[code] = q
	p.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

func (p *IdentityProvider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, ok := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret) // RFC 6749, section 2.3.1
	q := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	switch {
	case !ok || id != ClientID || secret != ClientSecret:
		p.answer(w, 401, map[string]string{"error": "invalid_client"})
		return
	case q == nil, q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]), q.Get("redirect_uri") != r.FormValue("redirect_uri"):
		p.answer(w, 400, map[string]string{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{
		"iss": p.URL, "aud": ClientID, "sub": "subject-1", "nonce": q.Get("nonce"), "iat": p.now().Unix(), "exp": p.now().Add(time.Minute).Unix(),
		"email": "ada@example.com", "email_verified": true, "given_name": "Ada", "family_name": "Lovelace",
	}
	for name, v := range p.claims {
		claims[name] = v
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: "1"}}, nil)
	if err != nil {
		p.t.Error(err)
		return
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		p.t.Error(err)
		return
	}
	p.answer(w, 200, map[string]any{"access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": token})
}

// Say sets the claims of the next tokens, besides what the protocol has: who signs
// in is ada@example.com otherwise.
func (p *IdentityProvider) Say(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

// SignWith has the next tokens signed by a key; nil is the provider's own.
func (p *IdentityProvider) SignWith(key *rsa.PrivateKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = key
	if key == nil {
		p.key = providerKey()
	}
}

// GoDown has everything answered 503, or no longer.
func (p *IdentityProvider) GoDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Consent goes where a browser is sent, and returns what it comes back with.
func (p *IdentityProvider) Consent(redirect string) (code, state string) {
	p.t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, redirect, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	back, err := res.Location()
	if err != nil {
		p.t.Fatalf("%d: %v", res.StatusCode, err)
	}
	return back.Query().Get("code"), back.Query().Get("state")
}
