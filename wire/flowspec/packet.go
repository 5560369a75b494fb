package flowspec

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// Packet is what rules match: the fields of an IP packet and of the transport
// header in it.
type Packet struct {
	// Src and Dst are not IPv4-mapped. The zero Addr is not known, and no prefix
	// matches it. A rule of the other IP version matches no packet.
	Src, Dst netip.Addr

	Protocol           uint8 // of IPv6 that of the upper layer
	SrcPort, DstPort   uint16
	ICMPType, ICMPCode uint8
	TCPFlags           uint16 // octets 13 and 14 of the TCP header, without the data offset
	Length             uint32 // octets of the IP packet, header included (RFC 8955 section 4.2.2.10)
	DSCP               uint8
	Fragment           FragmentBits
	FlowLabel          uint32

	// Has says which fields are known; a component whose field is not never
	// matches. Where Fragment is not known, the packet counts as no fragment for
	// the components that look behind the IP header.
	Has Fields
}

// Fields is a set of the fields of a Packet.
type Fields uint16

// The fields that may be known.
const (
	HasProtocol Fields = 1 << iota
	HasSrcPort
	HasDstPort
	HasICMPType
	HasICMPCode
	HasTCPFlags
	HasLength
	HasDSCP
	HasFragment
	HasFlowLabel

	HasAll Fields = 1<<iota - 1
)

// FragmentBits says what fragment a packet is (RFC 8955 section 4.2.2.12, RFC
// 8956 section 3.6).
type FragmentBits uint8

// The bits. A last fragment is a fragment other than the first, too: LF without
// IsF counts as one everywhere but in the comparison itself.
const (
	DF  FragmentBits = 1 // don't fragment; IPv4 only
	IsF FragmentBits = 2 // the offset is not 0
	FF  FragmentBits = 4 // the offset is 0, and more follow
	LF  FragmentBits = 8 // the offset is not 0, and none follow
)

// fragmentNames are in the order of the bits.
var fragmentNames = [...]string{"dont-fragment", "is-fragment", "first-fragment", "last-fragment"}

// String joins the names of the bits by +: "is-fragment+last-fragment"; 0 is
// "not-a-fragment".
func (b FragmentBits) String() string {
	if b == 0 {
		return "not-a-fragment"
	}
	var names []string
	for i, n := range fragmentNames {
		if b&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, "+")
}

// IP protocol numbers that components depend on.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// transport is true where the packet has the header behind the IP header: it is
// no fragment, or the first.
func (p *Packet) transport() bool {
	return p.Has&HasProtocol != 0 && (p.Has&HasFragment == 0 || p.Fragment&(IsF|LF) == 0)
}

// Ports is true where a port component may match the packet: it is of TCP or
// UDP, and no fragment other than the first (RFC 8955 section 4.2.2.4).
func (p *Packet) Ports() bool {
	return (p.Protocol == protoTCP || p.Protocol == protoUDP) && p.transport()
}

// ICMP is true where an ICMP component of the IP version may match the packet
// (RFC 8955 section 4.2.2.7, RFC 8956 section 3.4).
func (p *Packet) ICMP(v6 bool) bool {
	if v6 {
		return p.Protocol == protoICMPv6 && p.transport()
	}
	return p.Protocol == protoICMP && p.transport()
}

// TCP is true where a TCP flags component may match the packet (RFC 8955
// section 4.2.2.9).
func (p *Packet) TCP() bool { return p.Protocol == protoTCP && p.transport() }

// Version returns 4 or 6, 0 where neither address is known.
func (p *Packet) Version() int {
	a := p.Dst
	if !a.IsValid() {
		a = p.Src
	}
	switch {
	case !a.IsValid():
		return 0
	case a.Is4():
		return 4
	}
	return 6
}

// Match is true where the packet fits every component of the rule (RFC 8955
// section 4.2). It goes through them one by one: many rules are matched by
// shard/rules. The route distinguisher is the caller's to compare.
func (r *Rule) Match(p *Packet) bool {
	v6 := Is6(r.Family)
	switch p.Version() {
	case 4:
		if v6 {
			return false
		}
	case 6:
		if !v6 {
			return false
		}
	}
	for i := range r.Components {
		if !r.Components[i].match(p, v6) {
			return false
		}
	}
	return true
}

func (c *Component) match(p *Packet, v6 bool) bool {
	has := func(f Fields) bool { return p.Has&f != 0 }
	switch c.Type {
	case TypeDestination:
		return c.matchAddr(p.Dst)
	case TypeSource:
		return c.matchAddr(p.Src)
	case TypeProtocol:
		return has(HasProtocol) && c.number(uint64(p.Protocol))
	case TypePort:
		return p.Ports() && (has(HasSrcPort) && c.number(uint64(p.SrcPort)) || has(HasDstPort) && c.number(uint64(p.DstPort)))
	case TypeDestinationPort:
		return p.Ports() && has(HasDstPort) && c.number(uint64(p.DstPort))
	case TypeSourcePort:
		return p.Ports() && has(HasSrcPort) && c.number(uint64(p.SrcPort))
	case TypeICMPType:
		return p.ICMP(v6) && has(HasICMPType) && c.number(uint64(p.ICMPType))
	case TypeICMPCode:
		return p.ICMP(v6) && has(HasICMPCode) && c.number(uint64(p.ICMPCode))
	case TypeTCPFlags:
		return p.TCP() && has(HasTCPFlags) && c.bits(uint64(p.TCPFlags&0xfff))
	case TypePacketLength:
		return has(HasLength) && c.number(uint64(p.Length))
	case TypeDSCP:
		return has(HasDSCP) && c.number(uint64(p.DSCP&0x3f))
	case TypeFragment:
		return has(HasFragment) && c.bits(uint64(p.Fragment))
	case TypeFlowLabel:
		return v6 && has(HasFlowLabel) && c.number(uint64(p.FlowLabel&0xfffff))
	}
	return false
}

// matchAddr compares the bits from Offset to the prefix's length.
func (c *Component) matchAddr(a netip.Addr) bool {
	if !a.IsValid() || a.Is4() != c.Prefix.Addr().Is4() {
		return false
	}
	if c.Offset == 0 {
		return c.Prefix.Contains(a.WithZone(""))
	}
	x, y := a.As16(), c.Prefix.Addr().As16()
	for bit := int(c.Offset); bit < c.Prefix.Bits(); bit++ {
		if (x[bit/8]^y[bit/8])&(0x80>>(bit%8)) != 0 {
			return false
		}
	}
	return true
}

// number is true where one of the alternatives fits: the comparisons that And
// joins all hold (RFC 8955 section 4.2.1.1).
func (c *Component) number(v uint64) bool {
	return c.any(func(o *Op) bool {
		return o.Kind&EQ != 0 && v == o.Value || o.Kind&GT != 0 && v > o.Value || o.Kind&LT != 0 && v < o.Value
	})
}

// bits is number for comparisons of bits (RFC 8955 section 4.2.1.2).
func (c *Component) bits(v uint64) bool {
	return c.any(func(o *Op) bool {
		ok := v&o.Value != 0
		if o.Kind&Match != 0 {
			ok = v&o.Value == o.Value
		}
		return ok != (o.Kind&Not != 0)
	})
}

func (c *Component) any(holds func(*Op) bool) bool {
	all := false
	for i := range c.Ops {
		o := &c.Ops[i]
		if i > 0 && !o.And {
			if all {
				return true
			}
			all = true
		}
		if i == 0 {
			all = true
		}
		all = all && holds(o)
	}
	return all
}

// PacketOf reads the fields out of the octets of an IP packet, from its IP
// header on; ok is false where they are too short for that. What they do not
// hold, of a packet that was cut off, is not known.
func PacketOf(b []byte) (p Packet, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return packet4(b)
	case len(b) >= 40 && b[0]>>4 == 6:
		return packet6(b)
	}
	return p, false
}

func packet4(b []byte) (p Packet, ok bool) {
	head := int(b[0]&15) * 4
	if head < 20 || head > len(b) {
		return p, false
	}
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.DSCP, p.Length, p.Protocol = b[1]>>2, uint32(binary.BigEndian.Uint16(b[2:])), b[9]
	p.Has = HasDSCP | HasLength | HasProtocol | HasFragment
	frag := binary.BigEndian.Uint16(b[6:])
	if frag&0x4000 != 0 {
		p.Fragment |= DF
	}
	p.Fragment |= fragmentOf(frag&0x1fff != 0, frag&0x2000 != 0)
	p.payload(b[head:], protoICMP)
	return p, true
}

// fragmentOf returns the bits of a fragment at offset 0 or not, with more to
// come or not.
func fragmentOf(offset, more bool) FragmentBits {
	switch {
	case offset && more:
		return IsF
	case offset:
		return IsF | LF
	case more:
		return FF
	}
	return 0
}

// packet6 walks the extension headers of RFC 8200 section 4 up to the upper
// layer.
func packet6(b []byte) (p Packet, ok bool) {
	word := binary.BigEndian.Uint32(b)
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	p.DSCP, p.FlowLabel = uint8(word>>22&0x3f), word&0xfffff
	p.Length = 40 + uint32(binary.BigEndian.Uint16(b[4:]))
	p.Has = HasDSCP | HasLength | HasFlowLabel | HasFragment
	next, at := b[6], 40
	for {
		size := 0
		switch next {
		case 0, 43, 60, 135, 139, 140: // hop-by-hop, routing, destination, mobility, HIP, shim6
			if len(b) < at+8 {
				return p, true
			}
			size = 8 + 8*int(b[at+1])
		case 51: // authentication
			if len(b) < at+8 {
				return p, true
			}
			size = 8 + 4*int(b[at+1])
		case 44:
			if len(b) < at+8 {
				return p, true
			}
			frag := binary.BigEndian.Uint16(b[at+2:])
			p.Fragment = fragmentOf(frag>>3 != 0, frag&1 != 0)
			size = 8
			if frag>>3 != 0 { // what follows is the middle of something
				p.Protocol, p.Has = b[at], p.Has|HasProtocol
				return p, true
			}
		default:
			p.Protocol, p.Has = next, p.Has|HasProtocol
			if at <= len(b) {
				p.payload(b[at:], protoICMPv6)
			}
			return p, true
		}
		next, at = b[at], at+size
		if at > len(b) {
			return p, true
		}
	}
}

// payload reads the transport header.
func (p *Packet) payload(b []byte, icmp uint8) {
	if p.Fragment&IsF != 0 {
		return
	}
	switch {
	case (p.Protocol == protoTCP || p.Protocol == protoUDP) && len(b) >= 4:
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		p.Has |= HasSrcPort | HasDstPort
		if p.Protocol == protoTCP && len(b) >= 14 {
			p.TCPFlags = binary.BigEndian.Uint16(b[12:]) & 0xfff
			p.Has |= HasTCPFlags
		}
	case p.Protocol == icmp && len(b) >= 2:
		p.ICMPType, p.ICMPCode = b[0], b[1]
		p.Has |= HasICMPType | HasICMPCode
	}
}
