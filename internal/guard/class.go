package guard

import (
	"encoding/binary"
	"net/netip"
)

// Class is what an address is for, as far as the policy cares.
type Class uint8

const (
	// ClassInvalid is no address at all.
	ClassInvalid Class = iota
	// ClassPublic is global unicast: what webhooks are meant for.
	ClassPublic
	// ClassUnspecified is "this host on this network"; many systems connect it
	// to themselves.
	ClassUnspecified
	ClassLoopback
	// ClassPrivate is RFC 1918, unique local and the deprecated site-local.
	ClassPrivate
	// ClassCGNAT is the shared space between a provider and its customers
	// (RFC 6598). Clouds use it inside, one for its metadata service.
	ClassCGNAT
	// ClassLinkLocal is the local link, and with it the metadata services of
	// clouds.
	ClassLinkLocal
	ClassMulticast
	// ClassReserved is set aside for protocols, documentation, benchmarks or
	// the future.
	ClassReserved
	// ClassEmbedded is an IPv6 form that leads to an IPv4 address by a route of
	// its own, such as a tunnel, even though that IPv4 address is public.
	ClassEmbedded
)

var classNames = [...]string{
	ClassInvalid:     "invalid address",
	ClassPublic:      "public",
	ClassUnspecified: "unspecified",
	ClassLoopback:    "loopback",
	ClassPrivate:     "private network",
	ClassCGNAT:       "carrier-grade NAT",
	ClassLinkLocal:   "link-local or metadata",
	ClassMulticast:   "multicast",
	ClassReserved:    "reserved",
	ClassEmbedded:    "IPv4 embedded in IPv6",
}

// String returns the words used in errors and logs.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return classNames[ClassInvalid]
}

type classRange struct {
	prefix netip.Prefix
	class  Class
}

// Ranges that are not public, from the IANA special-purpose address registries
// (RFC 6890 and its updates). The first match counts.
var (
	ranges4 = []classRange{
		{netip.MustParsePrefix("0.0.0.0/8"), ClassUnspecified},
		{netip.MustParsePrefix("10.0.0.0/8"), ClassPrivate},
		{netip.MustParsePrefix("100.64.0.0/10"), ClassCGNAT},
		{netip.MustParsePrefix("127.0.0.0/8"), ClassLoopback},
		// Azure's platform address: public in form, answered by the host below
		// the virtual machine.
		{netip.MustParsePrefix("168.63.129.16/32"), ClassLinkLocal},
		{netip.MustParsePrefix("169.254.0.0/16"), ClassLinkLocal},
		{netip.MustParsePrefix("172.16.0.0/12"), ClassPrivate},
		{netip.MustParsePrefix("192.0.0.0/24"), ClassReserved},
		{netip.MustParsePrefix("192.0.2.0/24"), ClassReserved},
		{netip.MustParsePrefix("192.88.99.0/24"), ClassReserved},
		{netip.MustParsePrefix("192.168.0.0/16"), ClassPrivate},
		{netip.MustParsePrefix("198.18.0.0/15"), ClassReserved},
		{netip.MustParsePrefix("198.51.100.0/24"), ClassReserved},
		{netip.MustParsePrefix("203.0.113.0/24"), ClassReserved},
		{netip.MustParsePrefix("224.0.0.0/4"), ClassMulticast},
		{netip.MustParsePrefix("240.0.0.0/4"), ClassReserved},
	}
	ranges6 = []classRange{
		{netip.MustParsePrefix("::/128"), ClassUnspecified},
		{netip.MustParsePrefix("::1/128"), ClassLoopback},
		{netip.MustParsePrefix("fc00::/7"), ClassPrivate},
		{netip.MustParsePrefix("fe80::/10"), ClassLinkLocal},
		{netip.MustParsePrefix("fec0::/10"), ClassPrivate},
		{netip.MustParsePrefix("ff00::/8"), ClassMulticast},
		// Inside globalUnicast:
		{netip.MustParsePrefix("2001::/23"), ClassReserved},
		{netip.MustParsePrefix("2001:db8::/32"), ClassReserved},
		{netip.MustParsePrefix("3fff::/20"), ClassReserved},
	}
	// globalUnicast is all that IANA has opened for unicast (RFC 4291 and the
	// IPv6 address space registry); anything outside fails closed.
	globalUnicast = netip.MustParsePrefix("2000::/3")
)

// embedding is an IPv6 form that holds an IPv4 address.
type embedding struct {
	prefix netip.Prefix
	// offset of the IPv4 address in bytes.
	offset int
	// inverted means that all bits of the IPv4 address are flipped.
	inverted bool
	// transparent means that the packet goes where the IPv4 address leads, so
	// the form is as public as that address. Other forms are never public:
	// tunnels or translators of somebody's own, which no receiver needs.
	transparent bool
}

var embeddings = []embedding{
	// RFC 6052: the only way to IPv4 for hosts behind DNS64.
	{prefix: netip.MustParsePrefix("64:ff9b::/96"), offset: 12, transparent: true},
	// RFC 8215: local translators. Where the address stands depends on the
	// prefix length they chose; the longest is usual.
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), offset: 12},
	// 6to4, RFC 3056.
	{prefix: netip.MustParsePrefix("2002::/16"), offset: 2},
	// Teredo, RFC 4380: the client's address.
	{prefix: netip.MustParsePrefix("2001::/32"), offset: 12, inverted: true},
	// IPv4-translated, RFC 2765.
	{prefix: netip.MustParsePrefix("::ffff:0:0:0/96"), offset: 12},
	// IPv4-compatible, RFC 4291.
	{prefix: netip.MustParsePrefix("::/96"), offset: 12},
}

// embedded returns the IPv4 address inside a zoneless IPv6 one and the form that
// holds it. IPv4-mapped addresses are no such form: they are unmapped before.
func embedded(addr netip.Addr) (inner netip.Addr, form embedding, ok bool) {
	if addr == netip.IPv6Unspecified() || addr == netip.IPv6Loopback() {
		return netip.Addr{}, embedding{}, false
	}
	for _, e := range embeddings {
		if !e.prefix.Contains(addr) {
			continue
		}
		bytes := addr.As16()
		bits := binary.BigEndian.Uint32(bytes[e.offset:])
		if e.inverted {
			bits = ^bits
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], bits)
		return netip.AddrFrom4(b), e, true
	}
	return netip.Addr{}, embedding{}, false
}

// Classify says what addr is for. An IPv4-mapped address has the class of the
// IPv4 address, and other embeddings have it when it is not public, so that the
// class names what the address leads to. Zones are ignored. The lists of the
// policy do not matter.
func (p *Policy) Classify(addr netip.Addr) Class {
	addr = addr.WithZone("").Unmap()
	switch {
	case !addr.IsValid():
		return ClassInvalid
	case addr.Is4():
		return lookup(ranges4, addr, ClassPublic)
	}
	if inner, form, ok := embedded(addr); ok {
		class := lookup(ranges4, inner, ClassPublic)
		if class == ClassPublic && !form.transparent {
			return ClassEmbedded
		}
		return class
	}
	if globalUnicast.Contains(addr) {
		return lookup(ranges6, addr, ClassPublic)
	}
	return lookup(ranges6, addr, ClassReserved)
}

func lookup(ranges []classRange, addr netip.Addr, otherwise Class) Class {
	for _, r := range ranges {
		if r.prefix.Contains(addr) {
			return r.class
		}
	}
	return otherwise
}
