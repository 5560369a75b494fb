package flowspec

import (
	"encoding/binary"
	"net/netip"
)

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
