package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/guard"
	"convoy/internal/id"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// certificate makes a self-signed pair in PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func quote(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		cert, key := certificate(t)
		pair := `"mtls_client_cert":{"client_cert":` + quote(t, cert) + `,"client_key":` + quote(t, key) + `}`
		var e endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"url":"http://example.com","name":"a",` + pair + `}`}, 201, "Endpoint created successfully").data(t, &e)
		path := "endpoints/" + string(e.UID)
		kept := func(what string, want convoy.ClientCertificate) {
			t.Helper()
			got, err := f.store.Endpoint(t.Context(), f.project.ID, e.UID)
			if err != nil || got.ClientCertificate != want {
				t.Errorf("%s: the endpoint has %+v, %v", what, got.ClientCertificate, err)
			}
		}
		if e.ClientCert == nil || e.ClientCert.Cert != cert || e.ClientCert.Key != "[REDACTED]" {
			t.Errorf("shown as %+v", e.ClientCert)
		}
		kept("created", convoy.ClientCertificate{Cert: cert, Key: key})
		f.want(call{method: "PUT", path: path, body: `{"url":"http://example.com","name":"a"}`}, 202, "Endpoint updated successfully")
		kept("absent keeps", convoy.ClientCertificate{Cert: cert, Key: key})
		shown := `{"url":"http://example.com","name":"a","mtls_client_cert":{"client_cert":` + quote(t, cert) + `,"client_key":"[REDACTED]"}}`
		f.want(call{method: "PUT", path: path, body: shown}, 202, "Endpoint updated successfully")
		kept("sent back keeps the key", convoy.ClientCertificate{Cert: cert, Key: key})
		_, other := certificate(t)
		foreign := `{"url":"http://example.com","name":"a","mtls_client_cert":{"client_cert":` + quote(t, cert) + `,"client_key":` + quote(t, other) + `}}`
		f.want(call{method: "PUT", path: path, body: foreign}, 400, "invalid mTLS client certificate: tls: private key does not match public key")
		empty := `{"url":"http://example.com","name":"a","mtls_client_cert":{"client_cert":"","client_key":""}}`
		f.want(call{method: "PUT", path: path, body: empty}, 202, "Endpoint updated successfully").data(t, &e)
		kept("two empty texts remove", convoy.ClientCertificate{})
	})
}

func TestOAuth2(t *testing.T) {
	t.Parallel()
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("client_secret") != "s3" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"tok","token_type":"bearer","expires_in":60}`))
	}))
	t.Cleanup(issuer.Close)
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db, func(c *Config) {
			c.Guard = guard.New(guard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		})
		config := `{"url":"` + issuer.URL + `","client_id":"c","authentication_type":"shared_secret","client_secret":"s3"}`
		var e endpointView
		f.want(call{method: "POST", path: "endpoints", body: `{"url":"http://example.com","name":"a","authentication":{"type":"oauth2","oauth2":` + config + `}}`},
			201, "Endpoint created successfully")
		var list paged[endpointView]
		f.want(call{path: "endpoints"}, 200, "Endpoints fetched successfully").data(t, &list)
		e = list.Content[0]
		if o := e.Authentication.OAuth2; o == nil || o.ClientSecret != "s3" || o.URL != issuer.URL {
			t.Errorf("read back as %+v", e.Authentication)
		}
		var v testOAuth2View
		f.want(call{method: "POST", path: "endpoints/oauth2/test", body: `{"oauth2":` + config + `}`}, 200, "OAuth2 connection test successful").data(t, &v)
		if !v.Success || v.AccessToken != "tok" || v.TokenType != "Bearer" || v.ExpiresAt == nil {
			t.Errorf("got %+v", v)
		}
		wrong := strings.Replace(config, "s3", "nope", 1)
		v = testOAuth2View{}
		f.want(call{method: "POST", path: "endpoints/oauth2/test", body: `{"oauth2":` + wrong + `}`}, 200, "OAuth2 connection test failed").data(t, &v)
		if v.Success || v.Error != "oauth2 token endpoint answered with status 401: invalid_client" || v.AccessToken != "" {
			t.Errorf("got %+v", v)
		}
		for body, message := range map[string]string{
			``:              "body must not be empty",
			`{}`:            "oauth2 configuration is required",
			`{"oauth2":{}}`: "oauth2 url is required",
			`{"oauth2":{"url":"ftp://x","client_id":"c","authentication_type":"shared_secret","client_secret":"s"}}`: "oauth2 url: invalid endpoint scheme",
			`{"oauth2":{"url":"http://x.test","client_id":"c","authentication_type":"password"}}`:                    "oauth2 authentication_type must be shared_secret or client_assertion",
		} {
			f.want(call{method: "POST", path: "endpoints/oauth2/test", body: body}, 400, message)
		}
	})
}

func TestPeriodFailureRates(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		busy, idle := f.endpoint("busy"), f.endpoint("idle")
		var r store.Routed
		for i, status := range []convoy.DeliveryStatus{"Success", "Success", "Failure", "Retry", "Discarded", "Success"} {
			at := f.now.Add(-time.Duration(i) * time.Hour)
			if i == 5 {
				at = f.now.AddDate(0, 0, -20) // before the period
			}
			r.Deliveries = append(r.Deliveries, &convoy.Delivery{
				ID: convoy.DeliveryID(id.New(at)), ProjectID: f.project.ID, EventID: convoy.EventID(id.New(at)), EndpointID: busy,
				Status: status, Mode: convoy.AtLeastOnce, AcknowledgedAt: at, CreatedAt: at, UpdatedAt: at,
			})
		}
		if err := f.store.Append(t.Context(), &r, f.now, time.Hour); err != nil {
			t.Fatal(err)
		}
		var views []rateView
		f.want(call{path: "endpoints/period-failure-rates?endpointId=" + string(busy) + "&endpointId=" + string(idle) + "&endpointId=unknown"},
			200, "Endpoint period failure rates fetched successfully").data(t, &views)
		if len(views) != 3 || views[0].UID != string(busy) || *views[0].Success != 2 || *views[0].Failure != 1 || *views[0].Retry != 1 || *views[0].Rate != 0.5 {
			t.Errorf("got %+v", views)
		}
		if *views[1].Rate != 0 || *views[1].Success != 0 || *views[2].Success != 0 {
			t.Errorf("got %+v", views)
		}
		f.want(call{path: "endpoints/period-failure-rates"}, 200, "Endpoint period failure rates fetched successfully").data(t, &views)
		if len(views) != 0 {
			t.Errorf("for no endpoint: %+v", views)
		}
		f.want(call{path: "endpoints/period-failure-rates?startDate=x"}, 400, "please specify a startDate in the format 2006-01-02T15:04:05")
	})
}
