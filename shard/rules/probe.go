package rules

import (
	"encoding/binary"
	"math"
	"net/netip"

	"ribd/wire/flowspec"
)

// probe is a packet in the form that heads are compared with. What the packet
// does not have is 0, and not in has.
type probe struct {
	source, dst address
	has         uint16
	hasDst      bool
	protocol    uint8
	dscp        uint8
	fragment    uint8
	x, y        uint16 // ports, source first, or ICMP type and code
	p, q        uint16 // the ports that are known, twice the same where one is
	length      uint16 // no more than 65535
	flags       uint16
	octets      uint32 // the length as it is
	flowLabel   uint32
}

// set reads a packet, and is false where it is of the other IP version than the
// rules.
func (b *probe) set(p *flowspec.Packet, v6 bool) bool {
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
	*b = probe{}
	b.dst, b.hasDst = addressOf(p.Dst, v6)
	source, ok := addressOf(p.Src, v6)
	if ok {
		b.source = source
		b.has |= needSource
	}
	has := p.Has
	if has&flowspec.HasProtocol != 0 {
		b.protocol = p.Protocol
		b.has |= needProtocol
	}
	switch {
	case p.Ports():
		if has&flowspec.HasSrcPort != 0 {
			b.x, b.p, b.q = p.SrcPort, p.SrcPort, p.SrcPort
			b.has |= needSourcePort | needAnyPort
		}
		if has&flowspec.HasDstPort != 0 {
			b.y, b.q = p.DstPort, p.DstPort
			if b.has&needSourcePort == 0 {
				b.p = p.DstPort
			}
			b.has |= needDestinationPort | needAnyPort
		}
		if has&flowspec.HasTCPFlags != 0 && p.TCP() {
			b.flags = p.TCPFlags & 0xfff
			b.has |= needTCPFlags
		}
	case p.ICMP(v6):
		if has&flowspec.HasICMPType != 0 {
			b.x = uint16(p.ICMPType)
			b.has |= needICMPType
		}
		if has&flowspec.HasICMPCode != 0 {
			b.y = uint16(p.ICMPCode)
			b.has |= needICMPCode
		}
	}
	if has&flowspec.HasLength != 0 {
		b.octets = p.Length
		b.length = uint16(min(p.Length, math.MaxUint16))
		b.has |= needLength
	}
	if has&flowspec.HasDSCP != 0 {
		b.dscp = p.DSCP & 0x3f
		b.has |= needDSCP
	}
	if has&flowspec.HasFragment != 0 {
		b.fragment = uint8(p.Fragment.Whole()) & 0x0f
		b.has |= needFragment
	}
	if v6 && has&flowspec.HasFlowLabel != 0 {
		b.flowLabel = p.FlowLabel & 0xfffff
		b.has |= needFlowLabel
	}
	return true
}

func addressOf(a netip.Addr, v6 bool) (address, bool) {
	if !v6 {
		if !a.Is4() {
			return address{}, false
		}
		b := a.As4()
		return address{uint64(binary.BigEndian.Uint32(b[:])) << 32, 0}, true
	}
	if !a.Is6() {
		return address{}, false
	}
	b := a.As16()
	return address{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}, true
}

// fits is true where the packet has all that the rule asks for, but for its
// destination; extra is what head.more points into.
func (h *head) fits(b *probe, extra []uint64) bool {
	return h.near(b) && (h.more&^terminalBit == 0 || b.extra(extra[h.more&^terminalBit:]))
}

// near is fits without the further conditions.
func (h *head) near(b *probe) bool {
	if h.need&^b.has != 0 || !h.protocol.has(b.protocol) || !h.y.has(b.y) || !h.x.has(b.x) {
		return false
	}
	if h.need&needSource != 0 {
		s := prefix{first: h.source, bits: h.sourceBits}
		if !s.has(b.source) {
			return false
		}
	}
	return h.length.has(b.length) && b.flags&h.flags.mask == h.flags.value &&
		b.fragment&(h.fragment>>4) == h.fragment&15 && h.dscp.has(b.dscp) &&
		(h.port.has(b.p) || h.port.has(b.q))
}

// extra is true where the packet fits further conditions.
func (b *probe) extra(w []uint64) bool {
	for w[0] != moreEnd {
		n := int(uint32(w[0]))
		list := w[1 : 1+n]
		t := flowspec.Type(w[0] >> 48)
		switch w[0] >> 56 {
		case moreSpans:
			if t == flowspec.TypePort {
				if !inSpans(list, uint64(b.p)) && !inSpans(list, uint64(b.q)) {
					return false
				}
			} else if !inSpans(list, b.number(t)) {
				return false
			}
		case moreBits:
			if !wordsHold(list, b.number(t)) {
				return false
			}
		case moreSource:
			p := prefix{first: address{list[1], list[2]}, bits: uint8(list[0]), offset: uint8(list[0] >> 8)}
			if !p.has(b.source.shift(p.offset)) {
				return false
			}
		}
		w = w[1+n:]
	}
	return true
}

// number returns the packet's field that components of t compare with.
func (b *probe) number(t flowspec.Type) uint64 {
	switch t {
	case flowspec.TypeProtocol:
		return uint64(b.protocol)
	case flowspec.TypeSourcePort, flowspec.TypeICMPType:
		return uint64(b.x)
	case flowspec.TypeDestinationPort, flowspec.TypeICMPCode:
		return uint64(b.y)
	case flowspec.TypeTCPFlags:
		return uint64(b.flags)
	case flowspec.TypePacketLength:
		return uint64(b.octets)
	case flowspec.TypeDSCP:
		return uint64(b.dscp)
	case flowspec.TypeFragment:
		return uint64(b.fragment)
	}
	return uint64(b.flowLabel)
}

// inSpans is true where v is in one of the spans, lowest<<32 | highest each.
func inSpans(list []uint64, v uint64) bool {
	for len(list) > 8 {
		if mid := len(list) / 2; v < list[mid]>>32 {
			list = list[:mid]
		} else {
			list = list[mid:]
		}
	}
	for _, s := range list {
		if v >= s>>32 && v <= s&math.MaxUint32 {
			return true
		}
	}
	return false
}

// wordsHold is bitsHold for operators that are words: bits<<56 | value.
func wordsHold(list []uint64, data uint64) bool {
	all := false
	for i, w := range list {
		op, v := byte(w>>56), w&(1<<56-1)
		if i == 0 || op&opAnd == 0 {
			if all {
				return true
			}
			all = true
		}
		hold := data&v != 0
		if op&opMatch != 0 {
			hold = data&v == v
		}
		all = all && hold != (op&opNot != 0)
	}
	return all
}
