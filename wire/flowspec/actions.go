package flowspec

import (
	"encoding/binary"
	"math"
	"net/netip"

	"ribd/wire"
)

// Actions is what is done with the packets that a rule matches (RFC 8955
// section 7, RFC 8956 section 6.1). The zero value does nothing: the packets
// pass. Of several communities of one kind the first counts, the others are in
// Unknown.
type Actions struct {
	// RateBytes and RatePackets are limits a second, nil where there is none; 0
	// discards. The AS numbers beside them tell who made the limit and mean
	// nothing else.
	RateBytes, RatePackets     *float32
	RateBytesAS, RatePacketsAS uint16

	// HasTrafficAction is true where the community that holds the next two is
	// there.
	HasTrafficAction bool
	Sample           bool
	// GoOn is the T bit of the traffic-action community: where it is set, the
	// rules behind this one are looked at too (RFC 8955 section 7.3).
	GoOn bool

	Redirect *Redirect
	MarkDSCP *uint8

	// Unknown are action communities that ribd does not know, and those that an
	// earlier one of their kind overrides: 8 octets each, or 20 of IPv6.
	Unknown [][]byte
}

// Terminal is true where the rules behind this one are not looked at.
func (a *Actions) Terminal() bool { return !a.GoOn }

// Discards is true where every packet is dropped.
func (a *Actions) Discards() bool {
	return a.RateBytes != nil && *a.RateBytes == 0 || a.RatePackets != nil && *a.RatePackets == 0
}

// Filters is true where packets are discarded, limited or redirected.
func (a *Actions) Filters() bool {
	return a.RateBytes != nil || a.RatePackets != nil || a.Redirect != nil
}

// Empty is true where there is no action at all.
func (a *Actions) Empty() bool {
	return !a.Filters() && !a.HasTrafficAction && !a.Sample && !a.GoOn && a.MarkDSCP == nil && len(a.Unknown) == 0
}

// Redirect sends packets elsewhere.
type Redirect struct {
	Kind RedirectKind
	// RT is the route target of RedirectRT as a route target community writes it:
	// 8 octets (types 0x00, 0x01 and 0x02, sub-type 0x02), or 20 octets of IPv6
	// (type 0x00, sub-type 0x02).
	RT []byte
	// Addr is where RedirectIP sends the packets; Copy sends a copy and lets them
	// pass.
	Addr netip.Addr
	Copy bool
}

// RedirectKind says what a Redirect names.
type RedirectKind uint8

// The kinds.
const (
	RedirectRT RedirectKind = iota // a VRF, by route target (RFC 8955 section 7.4, RFC 8956 section 6.1)
	RedirectIP                     // an address (draft-ietf-idr-flowspec-redirect-ip)
)

// String returns rt or ip.
func (k RedirectKind) String() string {
	if k == RedirectIP {
		return "ip"
	}
	return "rt"
}

// RedirectForm says how a redirect to an address is written.
type RedirectForm uint8

// The forms.
const (
	// RedirectCommunity has the address in an IPv4 address specific community
	// 0x010c, or 0x000c of IPv6 (draft-ietf-idr-flowspec-redirect-ip-02 and on).
	RedirectCommunity RedirectForm = iota
	// RedirectNextHop has a community 0x0800, and the address as next hop
	// (draft-simpson-idr-flowspec-redirect-02).
	RedirectNextHop
)

// Types of extended communities, with their sub-types.
const (
	extRateBytes     = 0x8006
	extTrafficAction = 0x8007
	extRedirectAS2   = 0x8008
	extRedirectIPv4  = 0x8108
	extRedirectAS4   = 0x8208
	extMark          = 0x8009
	extRatePackets   = 0x800c
	extRedirectToIP4 = 0x010c
	extRedirectHop   = 0x0800

	ext6RedirectToIP = 0x000c // of attribute 25
	ext6RedirectRT   = 0x000d // of attribute 25
)

// isAction is true for the types of EXTENDED_COMMUNITIES that are actions: those
// that are known, and the others of the types that RFC 8955 section 13.2 and
// the drafts on redirecting took from the registry.
func isAction(t uint16) bool {
	if t == extRedirectToIP4 {
		return true
	}
	switch t >> 8 {
	case 0x80, 0x81, 0x82: // generic transitive experimental use, parts 1 to 3
		switch t & 0xff {
		case 0x00, 0x01, 0x04, 0x05, 0x0a, 0x0b, 0x84, 0x85: // of OSPF, security groups, VPLS, E-tree, tags
			return false
		}
		return true
	case 0x07, 0x47, 0x08, 0x09: // Flow Spec: interface sets, redirect to a next hop, to an indirection id
		return true
	}
	return false
}

// isAction6 is isAction for IPV6_EXTENDED_COMMUNITIES.
func isAction6(t uint16) bool { return t == ext6RedirectToIP || t == ext6RedirectRT }

// ActionsOf reads the actions out of canonical attributes. Nothing in it aliases
// them.
func ActionsOf(attrs []byte) Actions {
	var a Actions
	counts := redirectOf(attrs)
	v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities)
	for ; len(v) >= 8; v = v[8:] {
		if t := binary.BigEndian.Uint16(v); isAction(t) && !a.read(t, v[:8], attrs, &v[0] == counts) {
			a.Unknown = append(a.Unknown, append([]byte(nil), v[:8]...))
		}
	}
	v, _ = wire.FindAttr(attrs, wire.AttrIPv6ExtCommunities)
	for ; len(v) >= 20; v = v[20:] {
		if t := binary.BigEndian.Uint16(v); isAction6(t) && !a.read6(t, v[:20], &v[0] == counts) {
			a.Unknown = append(a.Unknown, append([]byte(nil), v[:20]...))
		}
	}
	return a
}

// redirectOf finds the redirect that counts among several, by its first octet; nil:
// there is none. One to an address goes before one to a route target, and an IPv6
// address of attribute 25 before others, so that the same one counts after Apply
// has written it in another form, in another attribute. One to the unspecified
// address leads nowhere, and is none.
func redirectOf(attrs []byte) (at *byte) {
	least := redirectNone
	found := func(r redirectRank, v []byte) {
		if r < least {
			least, at = r, &v[0]
		}
	}
	v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities)
	for ; len(v) >= 8; v = v[8:] {
		switch binary.BigEndian.Uint16(v) {
		case extRedirectHop:
			if redirectHop(attrs).IsValid() {
				found(redirectAddress, v)
			}
		case extRedirectToIP4:
			if [4]byte(v[2:6]) != [4]byte{} {
				found(redirectAddress, v)
			}
		case extRedirectAS2, extRedirectIPv4, extRedirectAS4:
			found(redirectTarget, v)
		}
	}
	v, _ = wire.FindAttr(attrs, wire.AttrIPv6ExtCommunities)
	for ; len(v) >= 20; v = v[20:] {
		switch binary.BigEndian.Uint16(v) {
		case ext6RedirectToIP:
			if [16]byte(v[2:18]) != [16]byte{} {
				found(redirectAddress6, v)
			}
		case ext6RedirectRT:
			found(redirectTarget6, v)
		}
	}
	return at
}

// redirectRank says which of several redirects counts: the least.
type redirectRank uint8

const (
	redirectAddress6 redirectRank = iota
	redirectAddress
	redirectTarget
	redirectTarget6
	redirectNone
)

// redirectHop is where a redirect to the next hop goes; not valid: nothing says.
func redirectHop(attrs []byte) netip.Addr {
	hop, _ := wire.FindAttr(attrs, wire.AttrNextHop)
	if to, _ := wire.NextHopAddrs(hop); to.IsValid() && !to.IsUnspecified() {
		return to
	}
	return netip.Addr{}
}

// read reads a community of 8 octets, and is false where it is unknown, not the
// first of its kind, or a redirect that does not count.
func (a *Actions) read(t uint16, v, attrs []byte, counts bool) bool {
	switch t {
	case extRateBytes:
		return readRate(&a.RateBytes, &a.RateBytesAS, v)
	case extRatePackets:
		return readRate(&a.RatePackets, &a.RatePacketsAS, v)
	case extTrafficAction:
		if a.HasTrafficAction {
			return false
		}
		a.HasTrafficAction, a.GoOn, a.Sample = true, v[7]&1 != 0, v[7]&2 != 0
		return true
	case extMark:
		if a.MarkDSCP != nil {
			return false
		}
		dscp := v[7] & 0x3f
		a.MarkDSCP = &dscp
		return true
	case extRedirectAS2, extRedirectIPv4, extRedirectAS4:
		rt := append([]byte(nil), v...)
		rt[0], rt[1] = v[0]&^0x80, 0x02
		return a.redirect(Redirect{Kind: RedirectRT, RT: rt}, counts)
	case extRedirectToIP4:
		return a.redirect(Redirect{Kind: RedirectIP, Addr: netip.AddrFrom4([4]byte(v[2:6])), Copy: v[7]&1 != 0}, counts)
	case extRedirectHop:
		return a.redirect(Redirect{Kind: RedirectIP, Addr: redirectHop(attrs), Copy: v[7]&1 != 0}, counts)
	}
	return false
}

// read6 is read for a community of 20 octets.
func (a *Actions) read6(t uint16, v []byte, counts bool) bool {
	if t == ext6RedirectRT {
		rt := append([]byte(nil), v...)
		rt[1] = 0x02
		return a.redirect(Redirect{Kind: RedirectRT, RT: rt}, counts)
	}
	return a.redirect(Redirect{Kind: RedirectIP, Addr: netip.AddrFrom16([16]byte(v[2:18])), Copy: v[19]&1 != 0}, counts)
}

func (a *Actions) redirect(r Redirect, counts bool) bool {
	if counts {
		a.Redirect = &r
	}
	return counts
}

// readRate reads a rate: one under 0 is 0 (RFC 8955 section 7.1), one that is no
// number is none.
func readRate(to **float32, as *uint16, v []byte) bool {
	r := math.Float32frombits(binary.BigEndian.Uint32(v[4:]))
	if *to != nil || !finite(r) {
		return false
	}
	if r <= 0 { // and the negative zero
		r = 0
	}
	*to, *as = &r, binary.BigEndian.Uint16(v[2:])
	return true
}

// goodRate is false for a community of a rate that is not a number or infinite.
func goodRate(v []byte) bool {
	t := binary.BigEndian.Uint16(v)
	return t != extRateBytes && t != extRatePackets || finite(math.Float32frombits(binary.BigEndian.Uint32(v[4:])))
}

func finite(r float32) bool { return !math.IsNaN(float64(r)) && !math.IsInf(float64(r), 0) }

// GoesOn returns the T bit of canonical attributes, that of Actions.GoOn, and
// allocates nothing.
func GoesOn(attrs []byte) bool {
	v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities)
	for ; len(v) >= 8; v = v[8:] {
		if binary.BigEndian.Uint16(v) == extTrafficAction {
			return v[7]&1 != 0
		}
	}
	return false
}

// CheckActions checks the actions among canonical attributes. A rate that is
// not a number or infinite cannot be decoded as RFC 8955 section 7 says, so that
// the community is malformed (section 10, RFC 7606 section 7.14) and asks for
// TreatAsWithdraw. Off of the error is counted from the first octet of attrs. It
// is nil, and nothing is allocated, where all is well.
func CheckActions(attrs []byte) *wire.Error {
	v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities)
	start := cap(attrs) - cap(v) // v is a part of attrs
	for at := 0; len(v)-at >= 8; at += 8 {
		if goodRate(v[at : at+8]) {
			continue
		}
		return &wire.Error{Off: start + at + 4, Start: start, End: start + len(v), Field: "EXTENDED_COMMUNITIES",
			Reason: "traffic rate is not a finite number", RFC: "RFC 8955 10", Action: wire.TreatAsWithdraw,
			Code: wire.CodeUpdate, Subcode: wire.SubOptionalAttribute}
	}
	return nil
}

// CleanActions writes the actions among canonical attributes in place as they are
// to be encoded: a rate under 0 is 0 (RFC 8955 sections 7.1 and 7.2), and bits that
// nothing is said by are 0 (7.3, 7.5). It is for what is made here; to receivers it
// means the same.
func CleanActions(attrs []byte) {
	v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities)
	clean(v)
}

// clean is CleanActions for extended communities.
func clean(v []byte) {
	for ; len(v) >= 8; v = v[8:] {
		switch binary.BigEndian.Uint16(v) {
		case extRateBytes, extRatePackets:
			if r := math.Float32frombits(binary.BigEndian.Uint32(v[4:])); finite(r) && r <= 0 {
				clear(v[4:8])
			}
		case extTrafficAction:
			clear(v[2:7])
			v[7] &= 0x03
		case extMark:
			clear(v[2:7])
			v[7] &= 0x3f
		}
	}
}

// Merge adds the actions of a rule that comes after those that a holds already,
// for packets that both match. RFC 8955 section 7.7 leaves open which of two
// actions counts that interfere; here it is that of the earlier rule. Whether to
// go on is for the later one to say.
func (a *Actions) Merge(later *Actions) {
	if a.RateBytes == nil {
		a.RateBytes, a.RateBytesAS = later.RateBytes, later.RateBytesAS
	}
	if a.RatePackets == nil {
		a.RatePackets, a.RatePacketsAS = later.RatePackets, later.RatePacketsAS
	}
	if a.Redirect == nil {
		a.Redirect = later.Redirect
	}
	if a.MarkDSCP == nil {
		a.MarkDSCP = later.MarkDSCP
	}
	a.HasTrafficAction = a.HasTrafficAction || later.HasTrafficAction
	a.Sample = a.Sample || later.Sample
	a.GoOn = later.GoOn
	a.Unknown = append(a.Unknown[:len(a.Unknown):len(a.Unknown)], later.Unknown...)
}
