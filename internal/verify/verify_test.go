package verify

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/sign"
)

func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func provided(name, secret string) *convoy.Source {
	return &convoy.Source{Provider: name, Verifier: convoy.Verifier{Type: convoy.VerifierHMAC, HMAC: &convoy.HMACVerifier{Secret: secret}}}
}

const slackBody = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar" +
	"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands" +
	"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"

// TestPublished runs what vendors and the compatibility contract publish.
func TestPublished(t *testing.T) {
	t.Parallel()
	const keep = `{"zen":"Keep it simple."}`
	for _, tt := range []struct {
		name, provider, secret, body string
		header                       http.Header
		at                           int64
	}{
		{
			// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
			"GitHub", GitHub, "It's a Secret to Everybody", "Hello, World!",
			header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), 0,
		},
		{
			"GitHub of the contract", GitHub, "gh_secret", keep,
			header("X-Hub-Signature-256", "sha256=af59d8b195b7976b01c4f112ec1bffe707ae4977442b2b38b9f060ab1eb3186c"), 0,
		},
		{
			"Shopify of the contract", Shopify, "shop_secret", keep,
			header("X-Shopify-Hmac-Sha256", "GUZXX0v1kT5/IrJ8svUZiWL3SaDmKFtVwVody3TTNZY="), 0,
		},
		{
			// https://docs.slack.dev/authentication/verifying-requests-from-slack
			"Slack", Slack, "8f742231b10e8888abcd99yyyzzz85a5", slackBody,
			header("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503", "X-Slack-Request-Timestamp", "1531420618"), 1531420618,
		},
		{
			// https://docs.svix.com/receiving/verifying-payloads/how-manual
			"Svix", StandardWebhooks, "whsec_plJ3nmyCDGBKInavdOK15jsl", `{"event_type":"ping","data":{"success":true}}`,
			header("Svix-Id", "msg_loFOjxBNrRLzqYUf", "Svix-Timestamp", "1731705121", "Svix-Signature", "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="), 1731705121,
		},
		{
			// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
			"Standard Webhooks", StandardWebhooks, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"test": 2432232314}`,
			header("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "Webhook-Timestamp", "1614265330", "Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), 1614265330,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, err := New(provided(tt.provider, tt.secret))
			if err != nil {
				t.Fatal(err)
			}
			r := &Request{Header: tt.header, Body: []byte(tt.body)}
			if err := v.Verify(r, time.Unix(tt.at, 0)); err != nil {
				t.Errorf("genuine: %v", err)
			}
			r.Body = append(r.Body, ' ')
			if err := v.Verify(r, time.Unix(tt.at, 0)); !errors.Is(err, NoMatch) {
				t.Errorf("another body: %v", err)
			}
			other, err := New(provided(tt.provider, "YW5vdGhlcg=="))
			if err != nil {
				t.Fatal(err)
			}
			r.Body = []byte(tt.body)
			if err := other.Verify(r, time.Unix(tt.at, 0)); !errors.Is(err, NoMatch) {
				t.Errorf("another secret: %v", err)
			}
			if err := v.Verify(&Request{Header: http.Header{}, Body: r.Body}, time.Unix(tt.at, 0)); !errors.Is(err, NoSignature) {
				t.Errorf("no signature: %v", err)
			}
		})
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	got, err := ChallengeResponse("tw_secret", "abc123")
	if want := "sha256=rLx3G39ygQdrviTgv+Zc4bPWb/sB9GZyGw2f++HC4RM="; err != nil || got != want {
		t.Errorf("response %q, %v, want %q", got, err, want)
	}
	// What could be taken for an event is not signed.
	for _, token := range []string{"", `{"a":1}`, "a=1", "[1]", `"x"`, " ", "é", strings.Repeat("a", maxChallenge+1)} {
		if got, err := ChallengeResponse("tw_secret", token); err == nil || got != "" {
			t.Errorf("token %q is signed: %q", token, got)
		}
	}
	v, err := New(provided(Twitter, "tw_secret"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Header: header("X-Twitter-Webhooks-Signature", got), Body: []byte("abc123")}
	if err := v.Verify(r, time.Now()); !errors.Is(err, NotAnObject) {
		t.Errorf("a token as an event: %v", err)
	}
	r.Body = []byte(`{"a":1}`)
	r.Header = header("X-Twitter-Webhooks-Signature", "sha256="+digest(t, "SHA256", "base64", "tw_secret", `{"a":1}`))
	if err := v.Verify(r, time.Now()); err != nil {
		t.Errorf("an event: %v", err)
	}
}

func digest(t *testing.T, hash, encoding, secret, text string) string {
	t.Helper()
	mac := hmac.New(sign.Hash(hash), []byte(secret))
	mac.Write([]byte(text))
	if encoding == "base64" {
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return hex.EncodeToString(mac.Sum(nil))
}

func hmacSource(change func(*convoy.HMACVerifier)) *convoy.Source {
	c := &convoy.HMACVerifier{Header: "X-Signature", Hash: "SHA256", Secret: "s3cret", Encoding: "hex"}
	change(c)
	return &convoy.Source{Verifier: convoy.Verifier{Type: convoy.VerifierHMAC, HMAC: c}}
}

func TestHMACHashes(t *testing.T) {
	t.Parallel()
	const body = `{"a":1}`
	for _, hash := range sign.Hashes() {
		for _, encoding := range []string{"hex", "base64"} {
			v, err := New(hmacSource(func(c *convoy.HMACVerifier) { c.Hash, c.Encoding = hash, encoding }))
			if err != nil {
				t.Fatal(err)
			}
			good := digest(t, hash, encoding, "s3cret", body)
			wrong := digest(t, hash, encoding, "s3cret", body+" ")
			for given, want := range map[string]error{
				good:                                nil,
				"sha256=" + good:                    nil,
				"v1=" + wrong + ",v1=" + good:       nil,
				wrong + " " + good:                  nil,
				"t=1, v0=" + wrong + ", v1=" + good: nil,
				wrong:                               NoMatch,
				"":                                  NoMatch,
				"=":                                 NoMatch,
				good[:len(good)-2]:                  NoMatch,
				"x" + good:                          NoMatch,
				strings.Repeat(wrong+",", maxSignatures) + good: NoMatch,
			} {
				if err := v.Verify(&Request{Header: header("X-Signature", given), Body: []byte(body)}, time.Now()); !errors.Is(err, want) {
					t.Errorf("%s %s %q: %v, want %v", hash, encoding, given, err, want)
				}
			}
		}
	}
}

func TestTimestamps(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 500_000_000)
	const body = `{"a":1}`
	inline := hmacSource(func(c *convoy.HMACVerifier) { c.Template = "{timestamp}.{body}" })
	apart := hmacSource(func(c *convoy.HMACVerifier) {
		c.Template, c.TimestampHeader, c.Tolerance = "{header:X-Id}:{timestamp}:{body}!", "X-Timestamp", 60
	})
	stamped := func(stamp string) http.Header {
		return header("X-Signature", "t="+stamp+",v1="+digest(t, "SHA256", "hex", "s3cret", stamp+"."+body))
	}
	separate := func(stamp string) http.Header {
		return header("X-Signature", digest(t, "SHA256", "hex", "s3cret", "7:"+stamp+":"+body+"!"), "X-Timestamp", stamp, "X-Id", "7")
	}
	without := separate("1700000000")
	without.Del("X-Id")
	for _, tt := range []struct {
		name   string
		source *convoy.Source
		header http.Header
		want   error
	}{
		{"now", inline, stamped("1700000000"), nil},
		{"milliseconds", inline, stamped("1700000000123"), nil},
		{"almost old", inline, stamped("1699999701"), nil},
		{"old", inline, stamped("1699999700"), Stale},
		{"from the future", inline, stamped("1700000301"), Stale},
		{"missing", inline, header("X-Signature", "v1=00"), NoTimestamp},
		{"empty", inline, stamped(""), NoTimestamp},
		{"negative", inline, stamped("-1"), NoTimestamp},
		{"a word", inline, stamped("now"), NoTimestamp},
		{"long", inline, stamped("170000000000000"), NoTimestamp},
		{"changed", inline, header("X-Signature", strings.Replace(stamped("1700000000").Get("X-Signature"), "t=1700000000", "t=1700000001", 1)), NoMatch},
		{"of two the first", inline, header("X-Signature", "t=1,"+stamped("1700000000").Get("X-Signature")), Stale},
		{"apart", apart, separate("1700000060"), nil},
		{"apart and old", apart, separate("1699999939"), Stale},
		{"apart and missing", apart, stamped("1700000000"), NoTimestamp},
		{"a signed header is missing", apart, without, NoHeader},
	} {
		v, err := New(tt.source)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(&Request{Header: tt.header, Body: []byte(body)}, now); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Stripe publishes the text that is signed, but no example with its secret.
func TestStripe(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	v, err := New(provided(Stripe, "whsec_test"))
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"id": "evt_1"}`
	good := digest(t, "SHA256", "hex", "whsec_test", "1700000000."+body)
	for given, want := range map[string]error{
		"t=1700000000,v1=" + good + ",v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39": nil,
		"t=1700000000,v1=00,v1=" + good: nil,
		"v1=" + good:                    NoTimestamp,
		"t=1699999000,v1=" + good:       Stale,
		"t=1700000000,v1=" + good[2:]:   NoMatch,
	} {
		if err := v.Verify(&Request{Header: header("Stripe-Signature", given), Body: []byte(body)}, now); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", given, err, want)
		}
	}
}

func TestFormSignature(t *testing.T) {
	t.Parallel()
	v, err := New(hmacSource(func(*convoy.HMACVerifier) {}))
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Body: []byte("a=1"), Data: []byte(`{"a":"1"}`), Form: true}
	for text, want := range map[string]error{"a=1": nil, `{"a":"1"}`: nil, "a=2": NoMatch} {
		r.Header = header("X-Signature", digest(t, "SHA256", "hex", "s3cret", text))
		if err := v.Verify(r, time.Now()); !errors.Is(err, want) {
			t.Errorf("signed %s: %v, want %v", text, err, want)
		}
	}
	r.Form = false
	r.Header = header("X-Signature", digest(t, "SHA256", "hex", "s3cret", `{"a":"1"}`))
	if err := v.Verify(r, time.Now()); !errors.Is(err, NoMatch) {
		t.Errorf("the data of what is no form: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	basic := func(text string) http.Header {
		return header("Authorization", "basic "+base64.StdEncoding.EncodeToString([]byte(text)))
	}
	userPassword := convoy.Verifier{Type: convoy.VerifierBasic, Basic: &convoy.BasicAuth{Username: "user", Password: "pass:word:"}}
	key := func(name string) convoy.Verifier {
		return convoy.Verifier{Type: convoy.VerifierAPIKey, APIKey: &convoy.APIKeyAuth{HeaderName: name, HeaderValue: "k3y"}}
	}
	for _, tt := range []struct {
		name     string
		verifier convoy.Verifier
		header   http.Header
		want     error
	}{
		{"none asked for", convoy.Verifier{}, nil, nil},
		{"noop", convoy.Verifier{Type: convoy.VerifierNone}, nil, nil},
		{"password with colons", userPassword, basic("user:pass:word:"), nil},
		{"another password", userPassword, basic("user:pass:word"), BadCredential},
		{"another split", userPassword, basic("user:pass:word:x"), BadCredential},
		{"no password", userPassword, basic("user"), BadCredential},
		{"no basic", userPassword, header("Authorization", "Bearer dXNlcjpwYXNzOndvcmQ6"), BadCredential},
		{"no base64", userPassword, header("Authorization", "Basic *"), BadCredential},
		{"nothing", userPassword, nil, NoCredential},
		{"key", key("x-key"), header("X-Key", "k3y"), nil},
		{"another key", key("x-key"), header("X-Key", "k3y2"), BadCredential},
		{"key in another header", key("x-key"), header("Authorization", "k3y"), NoCredential},
		{"key with a scheme", key("authorization"), header("Authorization", "Bearer k3y"), nil},
		{"bare key", key(""), header("Authorization", "k3y"), nil},
		{"scheme elsewhere", key("X-Key"), header("X-Key", "Bearer k3y"), BadCredential},
	} {
		v, err := New(&convoy.Source{Verifier: tt.verifier})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(&Request{Header: tt.header}, time.Now()); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestCredentialHeaders(t *testing.T) {
	t.Parallel()
	for want, src := range map[string]*convoy.Source{
		"[X-Key]":         {Verifier: convoy.Verifier{Type: convoy.VerifierAPIKey, APIKey: &convoy.APIKeyAuth{HeaderName: "x-key", HeaderValue: "v"}}},
		"[Authorization]": {Verifier: convoy.Verifier{Type: convoy.VerifierBasic, Basic: &convoy.BasicAuth{}}},
		"[]":              provided(GitHub, "s"),
	} {
		v, err := New(src)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(v.Credentials()); got != want {
			t.Errorf("credentials in %s, want %s", got, want)
		}
	}
}

// TestUnknown: what cannot be checked must not pass unchecked.
func TestUnknown(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]*convoy.Source{
		"type":            {Verifier: convoy.Verifier{Type: "magic"}},
		"provider":        provided("acme", "s"),
		"provider's name": provided("GitHub", "s"),
		"no secret":       provided(GitHub, ""),
		"no HMAC":         {Provider: GitHub},
		"no base64":       provided(StandardWebhooks, "*"),
		"hmac":            {Verifier: convoy.Verifier{Type: convoy.VerifierHMAC}},
		"basic":           {Verifier: convoy.Verifier{Type: convoy.VerifierBasic}},
		"key":             {Verifier: convoy.Verifier{Type: convoy.VerifierAPIKey}},
		"empty key":       {Verifier: convoy.Verifier{Type: convoy.VerifierAPIKey, APIKey: &convoy.APIKeyAuth{HeaderName: "a"}}},
		"hash":            hmacSource(func(c *convoy.HMACVerifier) { c.Hash = "sha256" }),
		"encoding":        hmacSource(func(c *convoy.HMACVerifier) { c.Encoding = "base32" }),
		"empty secret":    hmacSource(func(c *convoy.HMACVerifier) { c.Secret = "" }),
		"header":          hmacSource(func(c *convoy.HMACVerifier) { c.Header = "" }),
		"template":        hmacSource(func(c *convoy.HMACVerifier) { c.Template = "{timestamp}" }),
		"loose timestamp": hmacSource(func(c *convoy.HMACVerifier) { c.TimestampHeader = "X-T" }),
	} {
		if v, err := New(src); v != nil || convoy.KindOf(err) != convoy.Invalid {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"":                                    true,
		"{body}":                              true,
		"v0:{timestamp}:{body}":               true,
		"{header:X-A}{header:X-B}{body}}":     true,
		"{timestamp}":                         false,
		"body":                                false,
		"{body":                               false,
		"{Body}":                              false,
		"{header:}{body}":                     false,
		"{}{body}":                            false,
		strings.Repeat("{body}", 17):          false,
		"{body}" + strings.Repeat("a", 250):   true,
		"{body}" + strings.Repeat("a", 251):   false,
		"{body}{url}":                         false,
		"{header:X-A}.{timestamp}.{body}{foo": false,
	} {
		if err := CheckTemplate(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(Providers()); got != "[github shopify slack standard_webhooks stripe twitter]" {
		t.Errorf("providers %s", got)
	}
	for _, name := range Providers() {
		p, ok := Preset(name)
		if !ok || p.Header == "" || p.Hash != "SHA256" || p.Encoding == "" || p.Secret != "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if _, ok := Preset("acme"); ok {
		t.Error("an unknown provider has a preset")
	}
	if err := CheckSecret(StandardWebhooks, "whsec_?"); convoy.KindOf(err) != convoy.Invalid {
		t.Errorf("secret: %v", err)
	}
	if err := errors.Join(CheckSecret(GitHub, "?"), CheckSecret(StandardWebhooks, "whsec_YQ==")); err != nil {
		t.Error(err)
	}
}
