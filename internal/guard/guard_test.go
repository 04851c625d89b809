package guard_test

import (
	"errors"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"convoy/internal/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		allow, block []string
		addr         string
		want         string // the error's text, empty when allowed
	}{
		{"public", nil, nil, "8.8.8.8", ""},
		{"private", nil, nil, "10.1.2.3", "address 10.1.2.3 (private network) is not allowed"},
		{"metadata", nil, nil, "169.254.169.254", "address 169.254.169.254 (link-local or metadata) is not allowed"},
		{"mapped", nil, nil, "::ffff:10.1.2.3", "address ::ffff:10.1.2.3 (private network) is not allowed"},
		{"zone", nil, nil, "fe80::1%eth0", "address fe80::1%eth0 (link-local or metadata) is not allowed"},

		{"allow", []string{"10.0.0.0/8"}, nil, "10.1.2.3", ""},
		{"allow, unmasked", []string{"10.9.9.9/8"}, nil, "10.1.2.3", ""},
		{"allow, mapped address", []string{"10.0.0.0/8"}, nil, "::ffff:10.1.2.3", ""},
		{"allow, mapped prefix", []string{"::ffff:10.0.0.0/104"}, nil, "10.1.2.3", ""},
		{"allow, zone", []string{"fe80::/10"}, nil, "fe80::1%eth0", ""},
		{"allow others", []string{"10.0.0.0/8"}, nil, "127.0.0.1", "address 127.0.0.1 (loopback) is not allowed"},
		{"allow, NAT64 form", []string{"10.0.0.0/8"}, nil, "64:ff9b::10.1.2.3", "address 64:ff9b::a01:203 (private network) is not allowed"},
		{"allow, NAT64 itself", []string{"64:ff9b::/96"}, nil, "64:ff9b::10.1.2.3", ""},
		{"allow 6to4", []string{"2002::/16"}, nil, "2002:808:808::1", ""},
		{"allow IPv6, mapped", []string{"::/0"}, nil, "::ffff:127.0.0.1", "address ::ffff:127.0.0.1 (loopback) is not allowed"},
		{"allow IPv6", []string{"::/0"}, nil, "::1", ""},

		{"block", nil, []string{"8.8.8.0/24"}, "8.8.8.8", "address 8.8.8.8 (block list) is not allowed"},
		{"block others", nil, []string{"8.8.8.0/24"}, "8.8.4.4", ""},
		{"block wins", []string{"10.0.0.0/8"}, []string{"10.1.0.0/16"}, "10.1.2.3", "address 10.1.2.3 (block list) is not allowed"},
		{"block wins, whatever is longer", []string{"10.1.2.3/32"}, []string{"10.0.0.0/8"}, "10.1.2.3", "address 10.1.2.3 (block list) is not allowed"},
		{"block, mapped address", nil, []string{"8.8.8.0/24"}, "::ffff:8.8.8.8", "address ::ffff:8.8.8.8 (block list) is not allowed"},
		{"block, mapped prefix", nil, []string{"::ffff:8.8.8.0/120"}, "8.8.8.8", "address 8.8.8.8 (block list) is not allowed"},
		{"block all of IPv6", nil, []string{"::/0"}, "::ffff:8.8.8.8", "address ::ffff:8.8.8.8 (block list) is not allowed"},
		{"block, NAT64 form", nil, []string{"8.8.8.0/24"}, "64:ff9b::8.8.8.8", "address 64:ff9b::808:808 (block list) is not allowed"},
		{"block, 6to4 form", []string{"2002::/16"}, []string{"8.8.8.0/24"}, "2002:808:808::1", "address 2002:808:808::1 (block list) is not allowed"},
		{"block, Teredo form", []string{"2001::/32"}, []string{"8.8.8.0/24"}, "2001::f7f7:f7f7", "address 2001::f7f7:f7f7 (block list) is not allowed"},
		{"block, zone", []string{"::/0"}, []string{"fe80::/10"}, "fe80::1%eth0", "address fe80::1%eth0 (block list) is not allowed"},
		{"block metadata beside allowing all", []string{"0.0.0.0/0"}, []string{"169.254.0.0/16"}, "169.254.169.254", "address 169.254.169.254 (block list) is not allowed"},
		{"block IPv6", nil, []string{"2606:4700::/32"}, "2606:4700::1", "address 2606:4700::1 (block list) is not allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			policy := guard.New(guard.Config{Allow: prefixes(tt.allow...), Block: prefixes(tt.block...)})
			err := policy.Allowed(netip.MustParseAddr(tt.addr))
			if tt.want == "" {
				if err != nil {
					t.Fatalf("Allowed: %v", err)
				}
				return
			}
			if !errors.Is(err, guard.ErrDenied) || err.Error() != tt.want {
				t.Fatalf("Allowed = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDeniedError(t *testing.T) {
	t.Parallel()
	policy := guard.New(guard.Config{Block: prefixes("10.0.0.0/8")})
	for addr, want := range map[string]guard.DeniedError{
		"127.0.0.1": {Class: guard.ClassLoopback},
		"10.0.0.1":  {Class: guard.ClassPrivate, Blocked: true},
	} {
		want.Addr = netip.MustParseAddr(addr)
		var got *guard.DeniedError
		if err := policy.Allowed(want.Addr); !errors.As(err, &got) || *got != want {
			t.Errorf("Allowed(%s) = %+v, want %+v", addr, got, want)
		}
	}
}

func TestZeroPolicyDenies(t *testing.T) {
	t.Parallel()
	var policy guard.Policy
	if err := policy.Allowed(netip.MustParseAddr("127.0.0.1")); !errors.Is(err, guard.ErrDenied) {
		t.Errorf("loopback: %v", err)
	}
	if err := policy.Allowed(netip.MustParseAddr("8.8.8.8")); err != nil {
		t.Errorf("public: %v", err)
	}
	if err := policy.Allowed(netip.Addr{}); !errors.Is(err, guard.ErrDenied) {
		t.Errorf("no address: %v", err)
	}
}

func TestNewPanicsOnInvalidPrefix(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	guard.New(guard.Config{Block: []netip.Prefix{{}}})
}

func TestControl(t *testing.T) {
	t.Parallel()
	policy := guard.New(guard.Config{Allow: prefixes("10.0.0.0/8")})
	tests := []struct {
		network, address string
		allowed          bool
	}{
		{"tcp4", "8.8.8.8:443", true},
		{"tcp6", "[2606:4700::1]:443", true},
		{"tcp", "10.0.0.1:80", true},
		{"tcp4", "127.0.0.1:80", false},
		{"tcp6", "[fe80::1%eth0]:80", false},
		{"tcp6", "[::ffff:127.0.0.1]:80", false},
		{"tcp4", "example.com:80", false},
		{"tcp4", "", false},
		{"udp4", "8.8.8.8:53", false},
		{"unix", "/run/docker.sock", false},
	}
	for _, tt := range tests {
		err := policy.Control(tt.network, tt.address, nil)
		if (err == nil) != tt.allowed || (err != nil && !errors.Is(err, guard.ErrDenied)) {
			t.Errorf("Control(%s, %s) = %v, want allowed %v", tt.network, tt.address, err, tt.allowed)
		}
	}
}

func BenchmarkAllowed(b *testing.B) {
	policy := guard.New(guard.Config{Allow: prefixes("10.0.0.0/8"), Block: prefixes("8.8.8.0/24")})
	for _, text := range []string{"93.184.215.14", "2606:4700::1"} {
		addr := netip.MustParseAddr(text)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if policy.Allowed(addr) != nil {
					b.Fatal("denied")
				}
			}
		})
	}
}
