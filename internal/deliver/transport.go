package deliver

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"convoy"
)

// TransportConfig says how endpoints are reached.
type TransportConfig struct {
	// Dialer checks every address it connects to; see package guard.
	Dialer *net.Dialer
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
	// RootCAs are accepted besides the system's; nil for none.
	RootCAs *x509.CertPool
	// PerEndpoint is how many idle connections one endpoint may keep.
	PerEndpoint int
}

// NewTransport makes the shared transport. It asks no proxy for anything: what
// leaves goes through Dialer.
func NewTransport(cfg TransportConfig) *http.Transport {
	return &http.Transport{
		DialContext:           cfg.Dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.InsecureSkipVerify, RootCAs: cfg.RootCAs}, //nolint:gosec // an explicit setting of the operator
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   cfg.PerEndpoint,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: time.Second,
		// Attempts record what was sent and received, so bodies are decoded here
		// and not by the transport, within bounds.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
}

// Showing returns a function that makes transports like base which show a client
// certificate.
func Showing(base *http.Transport) func(tls.Certificate) *http.Transport {
	return func(c tls.Certificate) *http.Transport {
		t := base.Clone()
		t.TLSClientConfig.Certificates = []tls.Certificate{c}
		return t
	}
}

// identities are the transports for endpoints that ask for a client
// certificate: one for each certificate, however many endpoints it is for, so
// that connections are reused.
type identities struct {
	// show makes a transport that shows a certificate.
	show func(tls.Certificate) *http.Transport

	mu sync.Mutex
	m  map[[32]byte]*identity
}

type identity struct {
	transport *http.Transport
	end       time.Time
}

// maxIdentities bounds the transports kept; beyond it an arbitrary one goes.
const maxIdentities = 1024

// get returns the transport that shows a certificate, and when the certificate
// ends. Its error is final: a pair that does not fit never will.
func (ids *identities) get(c convoy.ClientCertificate) (http.RoundTripper, time.Time, error) {
	k := sha256.Sum256([]byte(c.Cert + "\x00" + c.Key))
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if id := ids.m[k]; id != nil {
		return id.transport, id.end, nil
	}
	pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("client certificate: %w", err)
	}
	if ids.m == nil {
		ids.m = make(map[[32]byte]*identity)
	}
	for old, id := range ids.m {
		if len(ids.m) < maxIdentities {
			break
		}
		id.transport.CloseIdleConnections()
		delete(ids.m, old)
	}
	id := &identity{transport: ids.show(pair), end: pair.Leaf.NotAfter}
	ids.m[k] = id
	return id.transport, id.end, nil
}
