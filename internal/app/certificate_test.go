package app

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
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoy/internal/config"
)

// keyPair writes a new self-signed pair for a name into dir.
func keyPair(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// A pair that is replaced serves the next connection; one that is broken does not.
func TestCertificateReloads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := keyPair(t, dir, "one.test")
	var log strings.Builder
	c, err := newCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.every = time.Millisecond
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{TLSConfig: c.config(), ReadHeaderTimeout: time.Second}
	serving := make(chan error, 1) // one value, when serving ends
	go func() { serving <- srv.ServeTLS(l, "", "") }()
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan struct{})
	go func() { defer close(watching); c.watch(ctx) }()

	name := func() string {
		t.Helper()
		conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", l.Addr().String()) //nolint:gosec // the name is what is tested
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "one.test" {
		t.Errorf("serves %s", got)
	}
	keyPair(t, dir, "two.test")
	for deadline := time.Now().Add(10 * time.Second); name() != "two.test"; {
		if time.Now().After(deadline) {
			t.Fatal("the new pair does not serve")
		}
	}
	if err := os.WriteFile(keyFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-watching
	if _, err := c.reload(); err == nil && !strings.Contains(log.String(), "certificate not reloaded") {
		t.Error("a broken pair is not told")
	}
	if got := name(); got != "two.test" {
		t.Errorf("after a broken pair it serves %s", got)
	}
	if !strings.Contains(log.String(), "certificate reloaded") {
		t.Errorf("log: %s", log.String())
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-serving; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func TestCertificateRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := keyPair(t, dir, "one.test")
	other := t.TempDir()
	_, otherKey := keyPair(t, other, "two.test")
	long := filepath.Join(dir, "long")
	if err := os.WriteFile(long, make([]byte, maxPEM+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string][2]string{
		"no certificate": {filepath.Join(dir, "none"), keyFile}, "no key": {certFile, filepath.Join(dir, "none")},
		"another's key": {certFile, otherKey}, "too long": {long, keyFile}, "exchanged": {keyFile, certFile},
	} {
		if _, err := newCertificate(files[0], files[1], slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The listener of every role speaks TLS when told to, and nothing else.
func TestListenerTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := keyPair(t, t.TempDir(), "one.test")
	at := make(chan string, 1) // one address
	p := &process{Options: Options{Role: config.RoleScheduler, Log: slog.New(slog.DiscardHandler), Ready: func(addr string) { at <- addr }}}
	p.Config.Server.HTTP = config.HTTP{SSL: true, SSLCertFile: certFile, SSLKeyFile: keyFile}
	serve, err := p.listener(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1) // one value, when serving ends
	go func() { ended <- serve(ctx) }()
	_, port, err := net.SplitHostPort(<-at)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // names are not what is tested
	defer transport.CloseIdleConnections()
	for scheme, want := range map[string]int{"https": http.StatusTeapot, "http": http.StatusBadRequest} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://127.0.0.1:"+port, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != want {
			t.Errorf("%s: status %d, %v", scheme, res.StatusCode, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.Config.Server.HTTP.SSLKeyFile = certFile
	if _, err := p.listener(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "server.http.ssl") {
		t.Errorf("a bad pair: %v", err)
	}
}
