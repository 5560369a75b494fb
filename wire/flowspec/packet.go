package flowspec

import (
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
// IsF means both.
const (
	DF  FragmentBits = 1 // don't fragment; IPv4 only
	IsF FragmentBits = 2 // the offset is not 0
	FF  FragmentBits = 4 // the offset is 0, and more follow
	LF  FragmentBits = 8 // the offset is not 0, and none follow
)

// Whole returns the bits that a fragment component compares with: those of b, and
// IsF where LF is one of them.
func (b FragmentBits) Whole() FragmentBits { return b | b&LF>>2 }

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
