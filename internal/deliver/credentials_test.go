package deliver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/oauth"
)

// wallet stands for a token endpoint.
type wallet struct {
	token   string
	err     error
	refused int
}

func (w *wallet) Token(context.Context, *convoy.OAuth2Auth) (oauth.Token, error) {
	return oauth.Token{Value: w.token, Type: "Bearer"}, w.err
}
func (w *wallet) Refused(*convoy.OAuth2Auth) { w.refused++ }

func TestSendOAuth2(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	s := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	w := &wallet{token: "tok"}
	out := newSending(s.URL)
	out.endpoint.Authentication = convoy.Authentication{Type: "oauth2", OAuth2: &convoy.OAuth2Auth{URL: "https://issuer.test"}}
	out.event.Headers = map[string][]string{"Authorization": {"of the event"}}
	out.tokens = w
	r, sent := out.send(t, local(t))
	if kept := sent.RequestHeaders["Authorization"]; len(kept) != 1 || kept[0] != "[redacted]" {
		t.Errorf("the attempt has the token: %q", kept)
	}
	if got := s.requests()[0].header["Authorization"]; !r.success() || len(got) != 1 || got[0] != "Bearer tok" {
		t.Errorf("sent %q, %+v", got, r)
	}
	if status = http.StatusUnauthorized; w.refused != 0 {
		t.Error("a token that was taken counts as refused")
	}
	if r, _ := out.send(t, local(t)); r.status != status || w.refused != 1 {
		t.Errorf("%+v, and %d refusals told", r, w.refused)
	}
	// Without a token nothing is sent, and the next try may have one.
	w.err = errors.New("oauth2 token endpoint answered with status 503")
	r, a := out.send(t, local(t))
	if r.err == nil || r.permanent || a.Error != w.err.Error() || len(s.requests()) != 2 {
		t.Errorf("%+v, attempt says %q, %d requests", r, a.Error, len(s.requests()))
	}
}

// pair makes a self-signed client certificate that is good until end.
func pair(t *testing.T, end time.Time) (convoy.ClientCertificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "us"}, NotBefore: end.Add(-time.Hour), NotAfter: end,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return convoy.ClientCertificate{
		Cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
	}, cert
}

func TestSendClientCertificate(t *testing.T) {
	t.Parallel()
	ours, cert := pair(t, time.Now().Add(time.Hour))
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	var connections []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		connections = append(connections, r.RemoteAddr+" "+r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.StartTLS()
	t.Cleanup(server.Close)
	base := local(t)
	base.TLSClientConfig.RootCAs = x509.NewCertPool()
	base.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	out := newSending(server.URL)
	if r, _ := out.send(t, base); r.err == nil {
		t.Fatal("the endpoint takes requests without a certificate")
	}
	out.endpoint.ClientCertificate = ours
	for range 2 {
		if r, a := out.send(t, base); !r.success() {
			t.Fatalf("%+v, %s", r, a.Error)
		}
	}
	if len(connections) != 2 || connections[0] != connections[1] || !strings.HasSuffix(connections[0], " us") {
		t.Errorf("connections %q: the second request should use the first's", connections)
	}

	old, _ := pair(t, time.Now().Add(-time.Minute))
	out.endpoint.ClientCertificate = old
	if r, a := out.send(t, base); !r.permanent || !strings.HasPrefix(a.Error, "client certificate expired on ") {
		t.Errorf("with an expired certificate: %+v, %q", r, a.Error)
	}
	out.endpoint.ClientCertificate.Key = ours.Key // of another certificate
	if _, err := out.targets.get(&convoy.Project{Config: out.project}, out.endpoint); err == nil || !strings.HasPrefix(err.Error(), "client certificate: ") {
		t.Errorf("a pair that does not fit: %v", err)
	}
}
