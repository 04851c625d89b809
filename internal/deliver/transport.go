package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
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
