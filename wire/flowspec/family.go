package flowspec

import "ribd/wire"

// Is is true for the four Flow Spec families of IPv4 and IPv6. (SAFI 133 and
// 134 of other address families are not: RFC 8955 and 8956 do not define them.)
func Is(f wire.Family) bool {
	switch f {
	case wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN:
		return true
	}
	return false
}

// Is6 is true for the two of IPv6.
func Is6(f wire.Family) bool { return f == wire.IPv6FlowSpec || f == wire.IPv6FlowSpecVPN }

// IsVPN is true for the two whose NLRI have a route distinguisher.
func IsVPN(f wire.Family) bool { return f == wire.IPv4FlowSpecVPN || f == wire.IPv6FlowSpecVPN }

// Unicast returns the family that rules of f are validated against (RFC 8955
// section 6): the unicast one, or for VPN rules the VPN one. It is 0 where f is
// no Flow Spec family.
func Unicast(f wire.Family) wire.Family {
	switch f {
	case wire.IPv4FlowSpec:
		return wire.IPv4Unicast
	case wire.IPv6FlowSpec:
		return wire.IPv6Unicast
	case wire.IPv4FlowSpecVPN:
		return wire.IPv4VPN
	case wire.IPv6FlowSpecVPN:
		return wire.IPv6VPN
	}
	return 0
}

// makeFamily returns the family of an IP version, with or without a route
// distinguisher.
func makeFamily(v6, vpn bool) wire.Family {
	switch {
	case v6 && vpn:
		return wire.IPv6FlowSpecVPN
	case v6:
		return wire.IPv6FlowSpec
	case vpn:
		return wire.IPv4FlowSpecVPN
	}
	return wire.IPv4FlowSpec
}
