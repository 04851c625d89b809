package guard_test

import (
	"net/netip"
	"testing"

	"convoy/internal/guard"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	const (
		invalid     = guard.ClassInvalid
		public      = guard.ClassPublic
		unspecified = guard.ClassUnspecified
		loopback    = guard.ClassLoopback
		private     = guard.ClassPrivate
		cgnat       = guard.ClassCGNAT
		linkLocal   = guard.ClassLinkLocal
		multicast   = guard.ClassMulticast
		reserved    = guard.ClassReserved
		embedded    = guard.ClassEmbedded
	)
	// Of every range: the address before, the first, the last, the one after.
	tests := []struct {
		addr string
		want guard.Class
	}{
		{"0.0.0.0", unspecified},
		{"0.255.255.255", unspecified},
		{"1.0.0.0", public},
		{"8.8.8.8", public},
		{"9.255.255.255", public},
		{"10.0.0.0", private},
		{"10.255.255.255", private},
		{"11.0.0.0", public},
		{"100.63.255.255", public},
		{"100.64.0.0", cgnat},
		{"100.100.100.200", cgnat}, // Alibaba Cloud's metadata
		{"100.127.255.255", cgnat},
		{"100.128.0.0", public},
		{"126.255.255.255", public},
		{"127.0.0.0", loopback},
		{"127.0.0.1", loopback},
		{"127.255.255.255", loopback},
		{"128.0.0.0", public},
		{"168.63.129.15", public},
		{"168.63.129.16", linkLocal},
		{"168.63.129.17", public},
		{"169.253.255.255", public},
		{"169.254.0.0", linkLocal},
		{"169.254.169.254", linkLocal},
		{"169.254.255.255", linkLocal},
		{"169.255.0.0", public},
		{"172.15.255.255", public},
		{"172.16.0.0", private},
		{"172.31.255.255", private},
		{"172.32.0.0", public},
		{"191.255.255.255", public},
		{"192.0.0.0", reserved},
		{"192.0.0.192", reserved}, // Oracle Cloud's metadata
		{"192.0.0.255", reserved},
		{"192.0.1.0", public},
		{"192.0.1.255", public},
		{"192.0.2.0", reserved},
		{"192.0.2.255", reserved},
		{"192.0.3.0", public},
		{"192.88.98.255", public},
		{"192.88.99.0", reserved},
		{"192.88.99.255", reserved},
		{"192.88.100.0", public},
		{"192.167.255.255", public},
		{"192.168.0.0", private},
		{"192.168.255.255", private},
		{"192.169.0.0", public},
		{"198.17.255.255", public},
		{"198.18.0.0", reserved},
		{"198.19.255.255", reserved},
		{"198.20.0.0", public},
		{"198.51.99.255", public},
		{"198.51.100.0", reserved},
		{"198.51.100.255", reserved},
		{"198.51.101.0", public},
		{"203.0.112.255", public},
		{"203.0.113.0", reserved},
		{"203.0.113.255", reserved},
		{"203.0.114.0", public},
		{"223.255.255.255", public},
		{"224.0.0.0", multicast},
		{"239.255.255.255", multicast},
		{"240.0.0.0", reserved},
		{"255.255.255.255", reserved},

		{"::", unspecified},
		{"::1", loopback},

		// IPv4-compatible, ::/96.
		{"::2", unspecified},
		{"::a01:203", private},
		{"::7f00:1", loopback},
		{"::808:808", embedded},
		{"::ffff:ffff", reserved},
		{"::1:0:0", reserved},

		// IPv4-mapped, ::ffff:0:0/96.
		{"::fffe:ffff:ffff", reserved},
		{"::ffff:0.0.0.0", unspecified},
		{"::ffff:8.8.8.8", public},
		{"::ffff:10.1.2.3", private},
		{"::ffff:127.0.0.1", loopback},
		{"::ffff:a9fe:a9fe", linkLocal},
		{"::ffff:255.255.255.255", reserved},
		{"::1:0:0:0", reserved},

		// IPv4-translated, ::ffff:0:0:0/96.
		{"::ffff:0:0:0", unspecified},
		{"::ffff:0:808:808", embedded},
		{"::ffff:0:a9fe:a9fe", linkLocal},
		{"::ffff:0:ffff:ffff", reserved},
		{"::ffff:1:0:0", reserved},

		// NAT64, 64:ff9b::/96.
		{"64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", reserved},
		{"64:ff9b::", unspecified},
		{"64:ff9b::8.8.8.8", public},
		{"64:ff9b::10.1.2.3", private},
		{"64:ff9b::169.254.169.254", linkLocal},
		{"64:ff9b::127.0.0.1", loopback},
		{"64:ff9b::100.64.0.1", cgnat},
		{"64:ff9b::224.0.0.1", multicast},
		{"64:ff9b::255.255.255.255", reserved},
		{"64:ff9b::1:0:0", reserved},

		// Local NAT64, 64:ff9b:1::/48.
		{"64:ff9b:0:ffff:ffff:ffff:ffff:ffff", reserved},
		{"64:ff9b:1::", unspecified},
		{"64:ff9b:1::8.8.8.8", embedded},
		{"64:ff9b:1::10.1.2.3", private},
		{"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", reserved},
		{"64:ff9b:2::", reserved},

		// 6to4, 2002::/16.
		{"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public},
		{"2002::", unspecified},
		{"2002:808:808::1", embedded},
		{"2002:a01:203::1", private},
		{"2002:7f00:1::1", loopback},
		{"2002:a9fe:a9fe::", linkLocal},
		{"2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", reserved},
		{"2003::", public},

		// Teredo, 2001::/32, with the address inverted.
		{"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public},
		{"2001::", reserved},
		{"2001::f7f7:f7f7", embedded}, // 8.8.8.8
		{"2001::f5fe:fdfc", private},  // 10.1.2.3
		{"2001:0:4136:e378:8000:63bf:80ff:fffe", loopback},
		{"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", unspecified},

		// The rest of IETF protocol assignments, 2001::/23.
		{"2001:1::", reserved},
		{"2001:2::", reserved},
		{"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", reserved},
		{"2001:200::", public},
		{"2001:4860:4860::8888", public},

		// Documentation.
		{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", public},
		{"2001:db8::", reserved},
		{"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", reserved},
		{"2001:db9::", public},
		{"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public},
		{"3fff::", reserved},
		{"3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", reserved},
		{"3fff:1000::", public},

		// Outside global unicast, 2000::/3.
		{"100::", reserved},
		{"100::ffff:ffff:ffff:ffff", reserved},
		{"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", reserved},
		{"2000::", public},
		{"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public},
		{"4000::", reserved},
		{"5f00::", reserved},

		{"fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", reserved},
		{"fc00::", private},
		{"fd00:ec2::254", private}, // Amazon's metadata
		{"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", private},
		{"fe00::", reserved},
		{"fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", reserved},
		{"fe80::", linkLocal},
		{"fe80::1%eth0", linkLocal},
		{"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", linkLocal},
		{"fec0::", private},
		{"feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", private},
		{"ff00::", multicast},
		{"ff02::1%eth0", multicast},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", multicast},
		{"::1%lo", loopback},
		{"2606:4700::1%eth0", public},
	}
	policy := guard.New(guard.Config{})
	seen := map[guard.Class]bool{}
	for _, tt := range tests {
		addr := netip.MustParseAddr(tt.addr)
		if got := policy.Classify(addr); got != tt.want {
			t.Errorf("Classify(%s) = %v, want %v", tt.addr, got, tt.want)
		}
		if allowed := policy.Allowed(addr) == nil; allowed != (tt.want == public) {
			t.Errorf("Allowed(%s) = %v, want %v", tt.addr, allowed, !allowed)
		}
		if addr.Is4() {
			mapped := netip.AddrFrom16(addr.As16())
			if got := policy.Classify(mapped); got != tt.want {
				t.Errorf("Classify(%s) = %v, want %v", mapped, got, tt.want)
			}
		}
		seen[tt.want] = true
	}
	if got := policy.Classify(netip.Addr{}); got != invalid {
		t.Errorf("Classify of no address = %v", got)
	}
	for c := public; c <= embedded; c++ {
		if !seen[c] {
			t.Errorf("no address of class %v", c)
		}
	}
}

func TestClassString(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for c := guard.ClassInvalid; c <= guard.ClassEmbedded; c++ {
		names[c.String()] = true
	}
	if len(names) != int(guard.ClassEmbedded)+1 || names[""] {
		t.Errorf("names are not distinct: %v", names)
	}
	if got := guard.Class(200).String(); got != "invalid address" {
		t.Errorf("Class(200) = %q", got)
	}
}
