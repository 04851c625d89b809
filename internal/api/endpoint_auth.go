package api

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"strings"

	"convoy"
	"convoy/internal/oauth"
	"convoy/internal/sign"
)

const (
	authAPIKey = "api_key"
	authBasic  = "basic_auth"
	authOAuth2 = "oauth2"

	// redacted stands for a password or private key in answers; sent back, it
	// keeps the old.
	redacted = "[REDACTED]"

	// maxPEM bounds a certificate chain and a key.
	maxPEM = 64 << 10
)

// oauth2Object is an OAuth 2.0 configuration in requests and answers.
type oauth2Object struct {
	URL                string               `json:"url" doc:"The token endpoint"`
	ClientID           string               `json:"client_id"`
	AuthenticationType string               `json:"authentication_type" enum:"shared_secret,client_assertion"`
	GrantType          string               `json:"grant_type,omitempty" doc:"client_credentials unless given"`
	Scope              string               `json:"scope,omitempty"`
	Audience           string               `json:"audience,omitempty"`
	ClientSecret       string               `json:"client_secret,omitempty" doc:"For shared_secret"`
	SigningKey         json.RawMessage      `json:"signing_key,omitempty" doc:"A private JSON Web Key, for client_assertion"`
	SigningAlgorithm   string               `json:"signing_algorithm,omitempty" doc:"ES256 unless given"`
	Issuer             string               `json:"issuer,omitempty" doc:"For client_assertion"`
	Subject            string               `json:"subject,omitempty" doc:"For client_assertion"`
	FieldMapping       *convoy.OAuth2Fields `json:"field_mapping,omitempty" doc:"Names in the token endpoint's answer, where they are not the standard's"`
	ExpiryTimeUnit     string               `json:"expiry_time_unit,omitempty" enum:"seconds,milliseconds,minutes,hours"`
}

// check returns the authentication that a request asks for; an absent one is
// none. old is what the endpoint has.
func (q *authenticationObject) check(old convoy.Authentication, guard urlChecker) (convoy.Authentication, error) {
	var none convoy.Authentication
	if q == nil || q.Type == "" {
		return none, nil
	}
	switch q.Type {
	case authAPIKey:
		return q.checkAPIKey()
	case authBasic:
		return q.checkBasic(old)
	case authOAuth2:
		a, err := q.OAuth2.check(guard)
		return convoy.Authentication{Type: authOAuth2, OAuth2: a}, err
	}
	return none, invalid("authentication", "unsupported type, must be api_key, basic_auth or oauth2")
}

func (q *authenticationObject) checkAPIKey() (convoy.Authentication, error) {
	var (
		none  convoy.Authentication
		found problems
	)
	switch k := q.APIKey; {
	case k == nil || k.HeaderValue == "":
		return none, convoy.E(convoy.Invalid, "api key field is required")
	case k.HeaderName == "":
		return none, convoy.E(convoy.Invalid, "api key header_name is required")
	case len(k.HeaderName) > maxName || !validHeaderName(k.HeaderName):
		found.add("header_name", "must be an HTTP header name")
	case sign.Reserved(k.HeaderName):
		found.add("header_name", textReserved)
	case len(k.HeaderValue) > maxCredential || badText(k.HeaderValue, maxCredential) != "" || !validHeaderValue(k.HeaderValue):
		found.add("header_value", "must be an HTTP header value of at most "+itoa(maxCredential)+" bytes")
	}
	return convoy.Authentication{Type: authAPIKey, APIKey: q.APIKey}, found.err()
}

func (q *authenticationObject) checkBasic(old convoy.Authentication) (convoy.Authentication, error) {
	b := q.Basic
	if b == nil {
		b = &convoy.BasicAuth{}
	}
	if b.Password == redacted && old.Basic != nil {
		b.Password = old.Basic.Password
	}
	var found problems
	found.required("username", b.Username, maxName, "basic auth username is required")
	found.required("password", b.Password, maxCredential, "basic auth password is required")
	if strings.Contains(b.Username, ":") {
		found.add("username", "must not contain a colon") // RFC 7617, section 2
	}
	return convoy.Authentication{Type: authBasic, Basic: b}, found.err()
}

func (q *oauth2Object) check(guard urlChecker) (*convoy.OAuth2Auth, error) {
	if q == nil {
		return nil, convoy.E(convoy.Invalid, "oauth2 configuration is required")
	}
	a := convoy.OAuth2Auth(*q)
	if err := oauth.Check(&a); err != nil {
		return nil, err
	}
	if err := guard.CheckURL(a.URL, false); err != nil {
		return nil, convoy.Wrap(convoy.Invalid, "oauth2 url: "+text(err), err)
	}
	return &a, nil
}

// text is what an error of ours says to its reader.
func text(err error) string {
	if ce := (*convoy.Error)(nil); errors.As(err, &ce) {
		return ce.Msg
	}
	return internalMessage
}

// clientCertObject is a client certificate in requests and answers.
type clientCertObject struct {
	Cert string `json:"client_cert,omitempty" doc:"PEM, the chain may follow"`
	Key  string `json:"client_key,omitempty" doc:"PEM; not shown in answers"`
}

// check returns the certificate that a request asks for: the old one when it
// says nothing, none when both texts are empty.
func (q *clientCertObject) check(old convoy.ClientCertificate) (convoy.ClientCertificate, error) {
	if q == nil {
		return old, nil
	}
	c := convoy.ClientCertificate{Cert: q.Cert, Key: q.Key}
	if c.Key == redacted {
		c.Key = old.Key
	}
	switch {
	case c == convoy.ClientCertificate{}:
		return c, nil
	case c.Cert == "" || c.Key == "":
		return c, convoy.E(convoy.Invalid, "mtls_client_cert requires both client_cert and client_key")
	}
	var found problems
	found.text("client_cert", c.Cert, maxPEM)
	found.text("client_key", c.Key, maxPEM)
	if err := found.err(); err != nil {
		return c, err
	}
	if _, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key)); err != nil {
		return c, convoy.Wrap(convoy.Invalid, "invalid mTLS client certificate: "+err.Error(), err)
	}
	return c, nil
}

func viewClientCert(c convoy.ClientCertificate) *clientCertObject {
	if c.Cert == "" {
		return nil
	}
	return &clientCertObject{Cert: c.Cert, Key: redacted}
}
