package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"convoy"
)

// Names of providers.
const (
	GitHub           = "github"
	Shopify          = "shopify"
	Twitter          = "twitter"
	Stripe           = "stripe"
	Slack            = "slack"
	StandardWebhooks = "standard_webhooks"
)

// provider is a third party's way of signing, of which a source gives only the
// secret.
type provider struct {
	// schemes are the ways it may sign; of several the first whose header the
	// request has counts.
	schemes []convoy.HMACVerifier
	// key makes the key of the secret; nil for its bytes.
	key func(secret string) ([]byte, error)
	// object says that what it signs as a body is always a JSON object.
	object bool
}

func sha256Scheme(header, encoding, template, timestamp string) convoy.HMACVerifier {
	return convoy.HMACVerifier{Header: header, Hash: "SHA256", Encoding: encoding, Template: template, TimestampHeader: timestamp}
}

var providers = map[string]provider{
	// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
	GitHub: {schemes: []convoy.HMACVerifier{sha256Scheme("X-Hub-Signature-256", "hex", "", "")}},
	// https://shopify.dev/docs/apps/build/webhooks/subscribe/https
	Shopify: {schemes: []convoy.HMACVerifier{sha256Scheme("X-Shopify-Hmac-SHA256", "base64", "", "")}},
	// https://developer.x.com/en/docs/x-api/enterprise/account-activity-api/guides/securing-webhooks
	Twitter: {
		schemes: []convoy.HMACVerifier{sha256Scheme("X-Twitter-Webhooks-Signature", "base64", "", "")},
		// Anybody may have a token signed with the same key; see [ChallengeResponse].
		object: true,
	},
	// https://docs.stripe.com/webhooks#verify-manually
	Stripe: {schemes: []convoy.HMACVerifier{sha256Scheme("Stripe-Signature", "hex", "{timestamp}.{body}", "")}},
	// https://docs.slack.dev/authentication/verifying-requests-from-slack
	Slack: {schemes: []convoy.HMACVerifier{sha256Scheme("X-Slack-Signature", "hex", "v0:{timestamp}:{body}", "X-Slack-Request-Timestamp")}},
	// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
	// and the same by the older names of https://docs.svix.com/receiving/verifying-payloads/how-manual
	StandardWebhooks: {
		schemes: []convoy.HMACVerifier{
			sha256Scheme("Webhook-Signature", "base64", "{header:Webhook-Id}.{timestamp}.{body}", "Webhook-Timestamp"),
			sha256Scheme("Svix-Signature", "base64", "{header:Svix-Id}.{timestamp}.{body}", "Svix-Timestamp"),
		},
		key: standardKey,
	},
}

// Providers are the names of those that are known.
func Providers() []string { return slices.Sorted(maps.Keys(providers)) }

// Preset is the way that a provider signs, without a secret; false for an
// unknown provider.
func Preset(name string) (convoy.HMACVerifier, bool) {
	p, ok := providers[name]
	if !ok {
		return convoy.HMACVerifier{}, false
	}
	return p.schemes[0], true
}

// CheckSecret says what is wrong with the secret of a known provider, if
// anything.
func CheckSecret(name, secret string) error {
	if key := providers[name].key; key != nil {
		_, err := key(secret)
		return err
	}
	return nil
}

// standardKey is what follows whsec_, in base64.
func standardKey(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return nil, convoy.E(convoy.Invalid, "secret:must be base64, with or without whsec_ before it")
	}
	return key, nil
}

// verifier makes the provider's verifier; of what a source says the secret and
// the tolerance count.
func (p *provider) verifier(c *convoy.HMACVerifier) (*Verifier, error) {
	schemes := make([]*scheme, len(p.schemes))
	for i, way := range p.schemes {
		way.Secret, way.Tolerance = c.Secret, c.Tolerance
		s, err := newScheme(&way)
		if err != nil {
			return nil, err
		}
		if p.key != nil {
			if s.key, err = p.key(c.Secret); err != nil {
				return nil, errUnknown
			}
		}
		s.object = p.object
		schemes[i] = s
	}
	return &Verifier{signed: true, check: func(r *Request, now time.Time) error {
		for _, s := range schemes {
			if len(r.Header.Values(s.header)) > 0 {
				return s.check(r, now)
			}
		}
		return NoSignature
	}}, nil
}

// maxChallenge bounds a token that we are asked to sign.
const maxChallenge = 256

// ChallengeResponse proves to Twitter that we know the secret: the HMAC of its
// token. Anybody may ask, and Twitter signs its events in the same way with the
// same secret; so that nobody can have an event signed, a token is only letters,
// digits and _-, while an event is a JSON object.
func ChallengeResponse(secret, token string) (string, error) {
	if token == "" || len(token) > maxChallenge || strings.ContainsFunc(token, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '_' && c != '-'
	}) {
		return "", convoy.E(convoy.Invalid, "crc_token:must be up to 256 letters, digits, _ and -")
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return "sha256=" + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}
