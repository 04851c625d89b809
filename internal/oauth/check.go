package oauth

import (
	"slices"
	"unicode/utf8"

	"convoy"
)

// maxText bounds each text of a configuration, in bytes, and maxKey the key.
const (
	maxText = 4096
	maxKey  = 16 << 10
)

// Check says what is wrong with a configuration; its errors are *convoy.Error of
// kind Invalid that name the field. Whether the URL may be called is the
// caller's question.
func Check(a *convoy.OAuth2Auth) error {
	type text struct{ field, value string }
	required := []text{{"url", a.URL}, {"client_id", a.ClientID}, {"authentication_type", a.AuthenticationType}}
	switch a.AuthenticationType {
	case convoy.OAuth2SharedSecret:
		required = append(required, text{"client_secret", a.ClientSecret})
	case convoy.OAuth2ClientAssertion:
		key := string(a.SigningKey)
		if key == "null" || key == "{}" {
			key = ""
		}
		required = append(required, text{"signing_key", key}, text{"issuer", a.Issuer}, text{"subject", a.Subject})
	case "":
	default:
		return convoy.E(convoy.Invalid, "oauth2 authentication_type must be "+convoy.OAuth2SharedSecret+" or "+convoy.OAuth2ClientAssertion)
	}
	for _, t := range required {
		if t.value == "" {
			return convoy.E(convoy.Invalid, "oauth2 "+t.field+" is required")
		}
	}
	texts := slices.Concat(required, []text{
		{"grant_type", a.GrantType}, {"scope", a.Scope}, {"audience", a.Audience},
		{"client_secret", a.ClientSecret}, {"issuer", a.Issuer}, {"subject", a.Subject}, {"signing_algorithm", a.SigningAlgorithm},
	})
	if m := a.FieldMapping; m != nil {
		texts = append(texts, text{"field_mapping.access_token", m.AccessToken},
			text{"field_mapping.token_type", m.TokenType}, text{"field_mapping.expires_in", m.ExpiresIn})
	}
	for _, t := range texts {
		if t.field != "signing_key" && !clean(t.value) {
			return convoy.E(convoy.Invalid, "oauth2 "+t.field+" must be text of at most 4096 bytes without control characters")
		}
	}
	if len(a.SigningKey) > maxKey {
		return convoy.E(convoy.Invalid, "oauth2 signing_key must not be longer than 16384 bytes")
	}
	if _, ok := units[a.ExpiryTimeUnit]; !ok {
		return convoy.E(convoy.Invalid, "oauth2 expiry_time_unit must be seconds, milliseconds, minutes or hours")
	}
	if a.AuthenticationType == convoy.OAuth2ClientAssertion {
		if _, _, err := signingKey(a); err != nil {
			return err
		}
	}
	return nil
}

// clean reports whether s has no control characters and is not too long.
func clean(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return len(s) <= maxText && utf8.ValidString(s)
}
