// Package guard keeps what the program dials out to on the public internet:
// deliveries, pings, notifications and the egress proxy all use its dialer, so
// that a customer's URL cannot reach the operator's own network or the cloud's
// metadata service (server-side request forgery).
//
// The deciding check is made on the address about to be connected to, after
// name resolution, so a name that changes its answer gains nothing. Checks of
// URLs are only earlier and friendlier. It decides about addresses, not about
// people, ports or request contents, and through a forward proxy it sees only
// the proxy's address.
package guard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// ErrDenied is wrapped by every refusal of an address.
var ErrDenied = errors.New("denied by the address policy")

// DeniedError says which address was refused and why.
type DeniedError struct {
	Addr  netip.Addr
	Class Class
	// Blocked is set when the operator's block list decided, not the class.
	Blocked bool
}

func (e *DeniedError) Error() string {
	reason := e.Class.String()
	if e.Blocked {
		reason = "block list"
	}
	return fmt.Sprintf("address %s (%s) is not allowed", e.Addr, reason)
}

// Unwrap returns [ErrDenied].
func (e *DeniedError) Unwrap() error { return ErrDenied }

// Config is what an operator adds to the default policy.
type Config struct {
	// Allow exempts networks from the default denials. Allowing everything
	// also opens metadata services; block those beside it.
	Allow []netip.Prefix
	// Block denies networks, whatever Allow says.
	Block []netip.Prefix
	// Resolver looks names up for [Policy.Dialer]; nil means the default one.
	Resolver *net.Resolver
}

// Policy decides which addresses may be dialled: those on the block list never,
// those on the allow list and those of [ClassPublic] always, others not. It is
// immutable and safe for concurrent use; the zero value has empty lists.
type Policy struct {
	allow, block []netip.Prefix
	resolver     *net.Resolver
}

// New makes a policy. It panics on an invalid prefix: dropping one silently
// would open what the operator meant to close.
func New(cfg Config) *Policy {
	return &Policy{
		allow:    normal(cfg.Allow),
		block:    normal(cfg.Block),
		resolver: cfg.Resolver,
	}
}

// normal rewrites prefixes of IPv4-mapped addresses to the IPv4 ones they mean.
func normal(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		if !p.IsValid() {
			panic("guard: invalid prefix in the allow or block list")
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out[i] = p.Masked()
	}
	return out
}

// Allowed returns nil if addr may be dialled, else a [*DeniedError]. An
// IPv4-mapped address counts as the IPv4 address it is, and the block list also
// covers an IPv4 address that is embedded in an IPv6 one in another way. Zones
// are ignored.
func (p *Policy) Allowed(addr netip.Addr) error {
	bare := addr.WithZone("")
	target := bare.Unmap()
	if contains(p.block, bare) || contains(p.block, target) {
		return &DeniedError{Addr: addr, Class: p.Classify(addr), Blocked: true}
	}
	if inner, _, ok := embedded(target); ok && contains(p.block, inner) {
		return &DeniedError{Addr: addr, Class: p.Classify(addr), Blocked: true}
	}
	// Allow is not compared with the mapped form: "all of IPv6" must not mean
	// loopback written as ::ffff:127.0.0.1.
	if contains(p.allow, target) {
		return nil
	}
	if class := p.Classify(addr); class != ClassPublic {
		return &DeniedError{Addr: addr, Class: class}
	}
	return nil
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Control is a [net.Dialer] Control function. It runs once per resolved address,
// before connecting, and refuses what the policy does not allow and what is not
// TCP.
func (p *Policy) Control(network, address string, _ syscall.RawConn) error {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return fmt.Errorf("network %q: %w", network, ErrDenied)
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, ErrDenied)
	}
	return p.Allowed(addr.Addr())
}

// Dialer returns a dialer whose every connection passes the policy. A host with
// both allowed and denied addresses is reached on an allowed one. Timeout bounds
// resolving and connecting together; the meaning of keepAlive is that of
// [net.Dialer].
func (p *Policy) Dialer(timeout, keepAlive time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:   timeout,
		KeepAlive: keepAlive,
		Resolver:  p.resolver,
		Control:   p.Control,
	}
}
