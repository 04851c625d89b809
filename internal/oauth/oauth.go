// Package oauth gets access tokens for endpoints that ask for one: OAuth 2.0's
// client credentials grant (RFC 6749 §4.4), with a shared secret or a signed
// assertion (RFC 7523). It knows no endpoint and sends no webhook. The token
// endpoints of our customers name fields and units as they like, which is why
// this is not golang.org/x/oauth2.
package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"convoy"
)

const (
	// requestTimeout bounds one request for a token.
	requestTimeout = 30 * time.Second
	// maxAnswer bounds a token endpoint's answer, in bytes.
	maxAnswer = 64 << 10
	// maxToken bounds what becomes a header.
	maxToken = 16 << 10
	// longest is how long a token is used at most, whatever its answer says.
	longest = time.Hour
	// early is how long before its end a token is replaced.
	early = time.Minute
	// failPause is for how long a failure answers for the next request.
	failPause = 5 * time.Second
	// maxCached bounds the tokens kept; beyond it an arbitrary one goes.
	maxCached = 16384
)

// Token is an access token.
type Token struct {
	Value string
	// Type goes before the value: "Bearer" unless the endpoint says otherwise.
	Type string
	// ExpiresAt is zero when the endpoint does not say.
	ExpiresAt time.Time
}

// Header is the value of the Authorization header.
func (t Token) Header() string { return t.Type + " " + t.Value }

// Client gets tokens and keeps them while they last. It is safe for concurrent
// use.
type Client struct {
	transport http.RoundTripper
	now       func() time.Time

	mu     sync.Mutex
	tokens map[[32]byte]*entry
}

// entry is the token of one configuration.
type entry struct {
	// asking holds one token: it guards the other fields, and one request is under
	// way at a time.
	asking chan struct{}
	token  Token
	until  time.Time
	err    error
	failed time.Time
}

// New makes a client. Transport's certificate checks must be on: what is sent
// here are secrets.
func New(transport http.RoundTripper, now func() time.Time) *Client {
	return &Client{transport: transport, now: now, tokens: make(map[[32]byte]*entry)}
}

// key identifies a configuration; a changed one has another token.
func key(a *convoy.OAuth2Auth) ([32]byte, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return [32]byte{}, fmt.Errorf("oauth2 configuration: %w", err)
	}
	return sha256.Sum256(text), nil
}

func (c *Client) entry(k [32]byte) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.tokens[k]
	if e == nil {
		for old := range maps.Keys(c.tokens) {
			if len(c.tokens) < maxCached {
				break
			}
			delete(c.tokens, old)
		}
		e = &entry{asking: make(chan struct{}, 1)}
		c.tokens[k] = e
	}
	return e
}

// Token returns a token that is good for a minute or more if the endpoint gives
// such. However many ask, one request is made.
func (c *Client) Token(ctx context.Context, a *convoy.OAuth2Auth) (Token, error) {
	k, err := key(a)
	if err != nil {
		return Token{}, err
	}
	e := c.entry(k)
	select {
	case e.asking <- struct{}{}:
	case <-ctx.Done():
		return Token{}, fmt.Errorf("oauth2 token: %w", context.Cause(ctx))
	}
	defer func() { <-e.asking }()
	now := c.now()
	if now.Before(e.until) {
		return e.token, nil
	}
	if e.err != nil && now.Sub(e.failed) < failPause {
		return Token{}, e.err
	}
	token, err := c.Fetch(ctx, a)
	if err != nil {
		if ctx.Err() == nil {
			e.err, e.failed = err, c.now()
		}
		return Token{}, err
	}
	e.token, e.err = token, nil
	e.until = c.now().Add(longest)
	if !token.ExpiresAt.IsZero() && token.ExpiresAt.Add(-early).Before(e.until) {
		e.until = token.ExpiresAt.Add(-early)
	}
	return token, nil
}

// Refused says that an endpoint did not take a token, so that the next request
// gets another.
func (c *Client) Refused(a *convoy.OAuth2Auth) {
	k, err := key(a)
	if err != nil {
		return // such a configuration never had a token
	}
	c.mu.Lock()
	delete(c.tokens, k)
	c.mu.Unlock()
}

// Fetch asks for a token now, whatever is kept.
func (c *Client) Fetch(ctx context.Context, a *convoy.OAuth2Auth) (Token, error) {
	now := c.now()
	form, err := grant(a, now)
	if err != nil {
		return Token{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, fmt.Errorf("oauth2 token request: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return Token{}, fmt.Errorf("oauth2 token request: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return Token{}, fmt.Errorf("oauth2 token answer: %w", err)
	}
	if len(answer) > maxAnswer {
		return Token{}, fmt.Errorf("oauth2 token answer is longer than %d bytes", maxAnswer)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		// The error code of RFC 6749 §5.2 is short and no secret; the rest may be.
		if code := gjson.GetBytes(answer, "error").String(); code != "" && printable(code, 64) {
			return Token{}, fmt.Errorf("oauth2 token endpoint answered with status %d: %s", res.StatusCode, code)
		}
		return Token{}, fmt.Errorf("oauth2 token endpoint answered with status %d", res.StatusCode)
	}
	return parse(answer, a, now)
}

// grant is the form of a request.
func grant(a *convoy.OAuth2Auth, now time.Time) (url.Values, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {a.ClientID}}
	for field, value := range map[string]string{"grant_type": a.GrantType, "scope": a.Scope, "audience": a.Audience} {
		if value != "" {
			form.Set(field, value)
		}
	}
	if a.AuthenticationType != convoy.OAuth2ClientAssertion {
		form.Set("client_secret", a.ClientSecret)
		return form, nil
	}
	assertion, err := assert(a, now)
	if err != nil {
		return nil, err
	}
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer") // RFC 7523 §2.2
	form.Set("client_assertion", assertion)
	return form, nil
}

// units of expires_in.
var units = map[string]time.Duration{
	"": time.Second, "seconds": time.Second, "milliseconds": time.Millisecond, "minutes": time.Minute, "hours": time.Hour,
}

// maxExpiry bounds what an endpoint may say, so that it fits a duration.
const maxExpiry = 366 * 24 * time.Hour

// parse reads an answer (RFC 6749 §5.1) with the configuration's names.
func parse(answer []byte, a *convoy.OAuth2Auth, now time.Time) (Token, error) {
	if !gjson.ValidBytes(answer) {
		return Token{}, fmt.Errorf("oauth2 token answer is not JSON")
	}
	names := convoy.OAuth2Fields{AccessToken: "access_token", TokenType: "token_type", ExpiresIn: "expires_in"}
	if m := a.FieldMapping; m != nil {
		names.AccessToken = or(m.AccessToken, names.AccessToken)
		names.TokenType = or(m.TokenType, names.TokenType)
		names.ExpiresIn = or(m.ExpiresIn, names.ExpiresIn)
	}
	fields := make(map[string]gjson.Result)
	gjson.ParseBytes(answer).ForEach(func(k, v gjson.Result) bool {
		fields[k.String()] = v
		return true
	})
	token := Token{Value: fields[names.AccessToken].String(), Type: fields[names.TokenType].String()}
	switch {
	case token.Value == "":
		return Token{}, fmt.Errorf("oauth2 token answer has no %q", names.AccessToken)
	case !printable(token.Value, maxToken):
		return Token{}, fmt.Errorf("oauth2 token answer: %q is no header value", names.AccessToken)
	case token.Type == "" || strings.EqualFold(token.Type, "bearer"):
		token.Type = "Bearer"
	case !printable(token.Type, 64):
		return Token{}, fmt.Errorf("oauth2 token answer: %q is no header value", names.TokenType)
	}
	// Some endpoints send the number as a string; gjson reads both.
	if in := fields[names.ExpiresIn].Float(); in > 0 {
		d := maxExpiry
		if unit := float64(units[a.ExpiryTimeUnit]); in*unit < float64(maxExpiry) {
			d = time.Duration(in * unit)
		}
		token.ExpiresAt = now.Add(d)
	}
	return token, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// printable reports whether s is visible ASCII of at most max bytes.
func printable(s string, max int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return len(s) <= max
}
