package flowspec

import (
	"math/rand/v2"
	"net/netip"

	"ribd/wire"
)

var families = []wire.Family{wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN}

// randomRule makes a sound rule, with few values so that rules are alike.
func randomRule(r *rand.Rand, f wire.Family) Rule {
	rule := Rule{Family: f}
	if IsVPN(f) {
		rule.RD = 65000<<32 | r.Uint64N(3)
	}
	v6 := Is6(f)
	for len(rule.Components) == 0 {
		for t := TypeDestination; t <= lastType; t++ {
			if r.IntN(4) != 0 || t == TypeFlowLabel && !v6 {
				continue
			}
			c := Component{Type: t}
			if t.IsPrefix() {
				c.Prefix, c.Offset = randomPrefix(r, v6)
			} else {
				c.Ops = randomOps(r, t, v6)
			}
			rule.Components = append(rule.Components, c)
		}
	}
	return rule
}

func randomAddr(r *rand.Rand, v6 bool) netip.Addr {
	if !v6 {
		return netip.AddrFrom4([4]byte{192, 0, byte(r.IntN(3)), byte(r.IntN(256))})
	}
	a := [16]byte{0x20, 1, 0xd, 0xb8}
	a[7], a[8], a[15] = byte(r.IntN(2)), byte(r.IntN(256)), byte(r.IntN(4))
	return netip.AddrFrom16(a)
}

func randomPrefix(r *rand.Rand, v6 bool) (netip.Prefix, uint8) {
	a := randomAddr(r, v6)
	n := r.IntN(a.BitLen() + 1)
	if r.IntN(2) == 0 {
		n = a.BitLen() - r.IntN(10)
	}
	p := netip.PrefixFrom(a, n).Masked()
	if !v6 || r.IntN(3) != 0 || n == 0 {
		return p, 0
	}
	off := r.IntN(n)
	b := p.Addr().As16()
	for bit := range off {
		b[bit/8] &^= 0x80 >> (bit % 8)
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), n), uint8(off)
}

// someValues are values of numbers that packets have, too.
var someValues = []uint64{0, 1, 6, 8, 17, 53, 58, 80, 128, 255, 443, 1024, 65535, 70000}

func randomOps(r *rand.Rand, t Type, v6 bool) []Op {
	ops := make([]Op, 1+r.IntN(4))
	for i := range ops {
		o := &ops[i]
		o.And = i > 0 && r.IntN(2) == 0
		if t.IsBitmask() {
			o.Kind = Kind(r.IntN(4))
			o.Value = r.Uint64N(t.most() + 1)
		} else {
			o.Kind = Kind(r.IntN(8))
			o.Value = someValues[r.IntN(len(someValues))]
		}
		o.Value &= t.valueMask(v6)
		if o.Value >= 1<<(8*min(t.maxOctets(), 7)) {
			o.Value = 1
		}
		if n := uint8(1 << r.IntN(4)); int(n) <= t.maxOctets() && (n == 8 || o.Value>>(8*n) == 0) {
			p := *o
			if int(n) != p.octets(t) {
				o.Len = n
			}
		}
	}
	return ops
}

// randomPacket makes a packet that random rules have a chance to match.
func randomPacket(r *rand.Rand, v6 bool) Packet {
	protocols := []uint8{1, 6, 17, 58, 132}
	value := func() uint64 { return someValues[r.IntN(len(someValues))] }
	p := Packet{
		Src: randomAddr(r, v6), Dst: randomAddr(r, v6), Protocol: protocols[r.IntN(len(protocols))],
		SrcPort: uint16(value()), DstPort: uint16(value()), ICMPType: uint8(value()), ICMPCode: uint8(value()),
		TCPFlags: uint16(r.IntN(0x1000)), Length: uint32(value()), DSCP: uint8(r.IntN(64)),
		Fragment: []FragmentBits{0, 0, 0, DF, IsF, FF, IsF | LF, LF}[r.IntN(8)], FlowLabel: uint32(value()), Has: HasAll,
	}
	if r.IntN(8) == 0 {
		p.Has = Fields(r.Uint32()) & HasAll
	}
	return p
}
