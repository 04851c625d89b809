package guard_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"convoy/internal/guard"
)

// names is a DNS server over in-memory connections: what it answers for a name,
// by lower-case name with the final dot.
type names map[string][]netip.Addr

// resolver returns a resolver that asks n for what /etc/hosts does not hold.
func (n names) resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go n.serve(server)
			return client, nil
		},
	}
}

// serve answers questions framed as DNS over TCP (RFC 1035, section 4.2.2),
// which Go speaks on connections that are no packet connections.
func (n names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply := n.answer(query)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// answer makes the reply to a query with one question.
func (n names) answer(query []byte) []byte {
	const header = 12
	var name strings.Builder
	end := header
	for query[end] != 0 {
		length := int(query[end])
		name.Write(query[end+1 : end+1+length])
		name.WriteByte('.')
		end += 1 + length
	}
	end++ // the root label
	kind := binary.BigEndian.Uint16(query[end:])
	question := query[header : end+4]

	addrs, known := n[strings.ToLower(name.String())]
	var records []byte
	count := uint16(0)
	for _, addr := range addrs {
		recordKind := uint16(28) // AAAA
		if addr.Is4() {
			recordKind = 1 // A
		}
		if recordKind != kind {
			continue
		}
		count++
		records = append(records, 0xc0, header) // the name of the question
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // IN, TTL 0
		records = binary.BigEndian.AppendUint16(records, uint16(len(addr.AsSlice())))
		records = append(records, addr.AsSlice()...)
	}
	flags := uint16(0x8580) // response, authoritative, recursion
	if !known {
		flags |= 3 // no such name
	}
	reply := append([]byte{}, query[:2]...)
	reply = binary.BigEndian.AppendUint16(reply, flags)
	reply = binary.BigEndian.AppendUint16(reply, 1)
	reply = binary.BigEndian.AppendUint16(reply, count)
	reply = append(reply, 0, 0, 0, 0)
	return append(append(reply, question...), records...)
}

// accepting listens on 127.0.0.1 and returns the port.
func accepting(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestDial(t *testing.T) {
	t.Parallel()
	port := accepting(t)
	four := netip.MustParseAddr("127.0.0.1")
	dns := names{
		"rebind.example.":   {four},
		"mixed.example.":    {netip.MustParseAddr("fd00::1"), four},
		"bad-four.example.": {netip.MustParseAddr("10.255.255.1"), four},
		"denied.example.":   {netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.255.255.1")},
		"six.example.":      {netip.MustParseAddr("fd00::1")},
		"mapped.example.":   {netip.MustParseAddr("::ffff:169.254.169.254")},
	}
	loopback := prefixes("127.0.0.0/8")
	tests := []struct {
		name   string
		allow  []netip.Prefix
		host   string
		denied string // part of the error's text, empty when connected
	}{
		{"address", nil, "127.0.0.1", "address 127.0.0.1 (loopback) is not allowed"},
		{"mapped address", nil, "::ffff:127.0.0.1", "(loopback) is not allowed"},
		{"unspecified address", nil, "0.0.0.0", "(unspecified) is not allowed"},
		{"no host", nil, "", "denied by the address policy"},
		{"localhost", nil, "localhost", "(loopback) is not allowed"},
		{"name", nil, "rebind.example", "address 127.0.0.1 (loopback) is not allowed"},
		{"address, allowed", loopback, "127.0.0.1", ""},
		{"mapped address, allowed", loopback, "::ffff:127.0.0.1", ""},
		{"name, allowed", loopback, "rebind.example", ""},
		{"IPv6 denied, IPv4 allowed", loopback, "mixed.example", ""},
		{"first denied, second allowed", loopback, "bad-four.example", ""},
		{"IPv6 alone", loopback, "six.example", "address fd00::1 (private network) is not allowed"},
		{"both denied", loopback, "denied.example", "(private network) is not allowed"},
		{"mapped answer", loopback, "mapped.example", "(link-local or metadata) is not allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			policy := guard.New(guard.Config{Allow: tt.allow, Resolver: dns.resolver()})
			dialer := policy.Dialer(10*time.Second, 30*time.Second)
			conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(tt.host, port))
			if tt.denied == "" {
				if err != nil {
					t.Fatalf("dial: %v", err)
				}
				if got := conn.RemoteAddr().String(); got != "127.0.0.1:"+port {
					t.Errorf("connected to %s", got)
				}
				conn.Close()
				return
			}
			if err == nil {
				conn.Close()
				t.Fatalf("connected to %s", conn.RemoteAddr())
			}
			if !errors.Is(err, guard.ErrDenied) || !strings.Contains(err.Error(), tt.denied) {
				t.Fatalf("dial = %v, want %q", err, tt.denied)
			}
		})
	}
}

func TestDialUnknownName(t *testing.T) {
	t.Parallel()
	policy := guard.New(guard.Config{Resolver: names{}.resolver()})
	_, err := policy.Dialer(10*time.Second, 0).DialContext(t.Context(), "tcp", "nobody.example:80")
	var dnsErr *net.DNSError
	if !errors.As(err, &dnsErr) || !dnsErr.IsNotFound || errors.Is(err, guard.ErrDenied) {
		t.Fatalf("dial = %v, want an unknown name", err)
	}
}

// A refusal reaches the caller of an HTTP client as such, and a redirect to a
// denied address is refused like a first request.
func TestDialUnderHTTP(t *testing.T) {
	t.Parallel()
	target := httptest.NewServer(http.RedirectHandler("http://127.0.0.2:1/", http.StatusTemporaryRedirect))
	t.Cleanup(target.Close)
	for _, tt := range []struct {
		name   string
		policy *guard.Policy
		denied string
	}{
		{"first request", guard.New(guard.Config{}), "127.0.0.1"},
		{"redirect", guard.New(guard.Config{Allow: prefixes("127.0.0.1/32")}), "127.0.0.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{DialContext: tt.policy.Dialer(10*time.Second, 0).DialContext}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			resp, err := client.Get(target.URL)
			if err == nil {
				resp.Body.Close()
				t.Fatalf("answered: %s", resp.Status)
			}
			var denied *guard.DeniedError
			if !errors.As(err, &denied) || denied.Addr.String() != tt.denied || denied.Class != guard.ClassLoopback {
				t.Fatalf("Get = %v, want %s denied", err, tt.denied)
			}
		})
	}
}
