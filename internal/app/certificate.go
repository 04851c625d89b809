package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

const (
	// reloadEvery is how often the files of a certificate are read again.
	reloadEvery = 10 * time.Second
	// maxPEM bounds each of them.
	maxPEM = 1 << 20
)

// certificate is a key pair from files that are replaced while it serves, as
// tools that renew certificates do.
type certificate struct {
	certFile, keyFile string
	every             time.Duration
	log               *slog.Logger

	current atomic.Pointer[tls.Certificate]
	// cert and key are what the files held last, good or not.
	cert, key []byte
}

// newCertificate reads the files; what is wrong with them now is an error.
func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, every: reloadEvery, log: log}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// config is for a server.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// reload takes the pair that is in the files, and reports whether it is another.
// After an error the old one serves on.
func (c *certificate) reload() (changed bool, err error) {
	cert, err := readPEM(c.certFile)
	if err != nil {
		return false, err
	}
	key, err := readPEM(c.keyFile)
	if err != nil {
		return false, err
	}
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return false, nil
	}
	c.cert, c.key = cert, key
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return true, nil
}

func readPEM(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(b) > maxPEM {
		return nil, fmt.Errorf("%s is longer than %d bytes", file, maxPEM)
	}
	return b, nil
}

// watch reloads until ctx ends.
func (c *certificate) watch(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := c.reload()
		switch {
		case err != nil && !failing: // once, not every time
			c.log.Error("certificate not reloaded; the last good one serves on", "err", err)
		case changed:
			c.log.Info("certificate reloaded", "file", c.certFile, "not_after", c.current.Load().Leaf.NotAfter)
		}
		// Bad files that stay as they are give no error again.
		failing = err != nil
	}
}
