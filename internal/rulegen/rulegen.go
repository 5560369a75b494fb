package rulegen

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// Options say what to make.
type Options struct {
	Prefixes []netip.Prefix // of one IP version, where hosts are drawn from; nil: made up
	IPv6     bool           // where Prefixes is nil
	Rules    int
	Seed     uint64 // another seed makes other rules of the same kinds
}

// Set is the rules that were made. No two have the same NLRI.
type Set struct {
	Rules []Rule
	o     Options
}

// Rule is one rule: its NLRI, canonical, with the length field, the network that
// its destination is in (the zero one where it names none), and a packet that it
// matches.
type Rule struct {
	NLRI []byte
	Net  netip.Prefix
	Hit  Packet
}

// Packet is the fields of a packet, all known. Fragment has the bits of RFC 8955
// section 4.2.2.12.
type Packet struct {
	Src, Dst         netip.Addr
	Protocol         uint8
	SrcPort, DstPort uint16 // of UDP and TCP
	Type, Code       uint8  // of ICMP
	TCPFlags         uint16
	Length           uint16
	DSCP, Fragment   uint8
}

// New makes rules.
func New(o Options) *Set {
	s := &Set{o: o}
	r := rand.New(rand.NewPCG(o.Seed, 8955))
	if len(o.Prefixes) == 0 {
		s.o.Prefixes = madeUp(r, o.IPv6, max(16, o.Rules/2))
	}
	s.o.IPv6 = s.o.Prefixes[0].Addr().Is6()
	seen := map[string]bool{}
	g := maker{Rand: r, o: &s.o}
	for len(s.Rules) < o.Rules {
		g.victim()
		for range 1 + int(min(r.ExpFloat64()*2, 12)) {
			rule := g.rule()
			if len(s.Rules) < o.Rules && !seen[string(rule.NLRI)] {
				seen[string(rule.NLRI)] = true
				s.Rules = append(s.Rules, rule)
			}
		}
	}
	return s
}

// Packet returns the packet of a number: the same for the same number. Half of
// them match a rule that was drawn, three in ten have its destination, the
// others any.
func (s *Set) Packet(n uint64) Packet {
	r := rand.New(rand.NewPCG(n, s.o.Seed))
	p := s.Rules[r.IntN(len(s.Rules))].Hit
	g := maker{Rand: r, o: &s.o}
	switch k := r.IntN(10); {
	case k < 5:
	case k < 8:
		dst := p.Dst
		p = g.packet()
		p.Dst = dst
	default:
		p = g.packet()
	}
	return p
}

func madeUp(r *rand.Rand, v6 bool, n int) []netip.Prefix {
	all := make([]netip.Prefix, n)
	for i := range all {
		if v6 {
			var b [16]byte
			binary.BigEndian.PutUint64(b[:], 0x2400<<48|uint64(r.IntN(8))<<56|r.Uint64N(1<<34)<<16)
			all[i] = netip.PrefixFrom(netip.AddrFrom16(b), 32+4*r.IntN(5)).Masked()
		} else {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], 1<<24+r.Uint32N(222<<24))
			all[i] = netip.PrefixFrom(netip.AddrFrom4(b), 19+r.IntN(6)).Masked()
		}
	}
	return all
}

// maker draws one victim after the other, and rules for it.
type maker struct {
	*rand.Rand
	o   *Options
	at  netip.Prefix // a network that is routed
	dst netip.Addr   // a host in it
}

func (g *maker) victim() {
	g.at = g.o.Prefixes[g.IntN(len(g.o.Prefixes))]
	g.dst = g.host(g.at)
}

func (g *maker) host(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		keep := min(max(p.Bits()-8*i, 0), 8)
		b[i] |= byte(g.IntN(256)) & (0xff >> keep)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (g *maker) packet() Packet {
	p := Packet{
		Src: g.host(g.o.Prefixes[g.IntN(len(g.o.Prefixes))]), Dst: g.host(g.o.Prefixes[g.IntN(len(g.o.Prefixes))]),
		Protocol: 17, SrcPort: uint16(1024 + g.IntN(64512)), DstPort: uint16(1024 + g.IntN(64512)), Length: uint16(60 + g.IntN(1440)),
	}
	switch g.IntN(20) {
	case 0:
		p.Protocol, p.SrcPort, p.DstPort, p.Type = g.icmp(), 0, 0, 8
	case 1, 2, 3, 4, 5, 6, 7, 8:
		p.Protocol, p.TCPFlags, p.DstPort = 6, 0x10, 443
	case 9, 10, 11:
		p.SrcPort = reflectors[g.IntN(len(reflectors))].port
	}
	return p
}

func (g *maker) icmp() uint8 {
	if g.o.IPv6 {
		return 58
	}
	return 1
}

// reflectors are the services that floods are reflected from, and how long their
// answers are: more than, or where most is given from to.
var reflectors = []struct{ port, least, most uint16 }{
	{53, 0, 0}, {123, 468, 490}, {19, 512, 0}, {389, 512, 0}, {11211, 0, 0}, {1900, 512, 0}, {161, 0, 0}, {111, 1400, 0}, {137, 1000, 0},
	{520, 0, 0}, {69, 0, 0}, {427, 1400, 0}, {1434, 1400, 0}, {3283, 1000, 0}, {3389, 0, 0}, {3702, 512, 0}, {5353, 0, 0}, {5683, 0, 0},
	{10001, 1400, 0}, {27015, 0, 0}, {27960, 0, 0}, {37810, 512, 0},
}

// services are ports that floods go to.
var services = []uint16{80, 443, 22, 25, 53, 8080, 8443, 3306, 25565, 5060}

// rule draws a rule for the victim.
func (g *maker) rule() Rule {
	b := ruleBuilder{v6: g.o.IPv6, hit: g.packet()}
	b.hit.Dst = g.dst
	net := g.at
	switch n := g.IntN(100); {
	case n < 70:
		b.prefix(1, netip.PrefixFrom(g.dst, g.dst.BitLen()))
	case n < 99:
		b.prefix(1, g.at)
	default: // nothing of the destination
		net = netip.Prefix{}
		b.prefix(2, g.o.Prefixes[g.IntN(len(g.o.Prefixes))])
		b.hit.Src = g.host(b.source)
	}
	g.shape(&b)
	return Rule{NLRI: b.finish(), Net: net, Hit: b.hit}
}

func (g *maker) shape(b *ruleBuilder) {
	switch n := g.IntN(100); {
	case n < 36:
		g.reflection(b)
	case n < 45: // several of them
		b.protocol(17)
		ports := make([]uint16, 3+g.IntN(5))
		for i := range ports {
			ports[i] = reflectors[g.IntN(len(reflectors))].port
		}
		b.hit.SrcPort = ports[g.IntN(len(ports))]
		b.oneOf(6, ports)
	case n < 46: // and very many
		b.protocol(17)
		ports := make([]uint16, 100+g.IntN(100))
		for i := range ports {
			ports[i] = uint16(1024 + g.IntN(64512))
		}
		b.hit.SrcPort = ports[g.IntN(len(ports))]
		b.oneOf(6, ports)
	case n < 54:
		b.protocol(g.icmp())
		b.hit.SrcPort, b.hit.DstPort, b.hit.Type = 0, 0, 8
		b.numbers(7, op{1, 8})
	case n < 62:
		if g.IntN(2) == 0 {
			b.protocol(17)
		}
		b.hit.Fragment, b.hit.SrcPort, b.hit.DstPort, b.hit.TCPFlags = 2, 0, 0, 0
		b.list(12, op{uint8(g.IntN(2)), 2 + 8*uint64(g.IntN(2))})
		b.hit.Fragment = 0xa
	case n < 78:
		g.tcp(b)
	case n < 85:
		if b.source.IsValid() {
			g.reflection(b)
			return
		}
		b.prefix(2, g.o.Prefixes[g.IntN(len(g.o.Prefixes))])
		b.hit.Src = g.host(b.source)
		b.numbers(3, op{1, 6}, op{1, 17})
		b.hit.Protocol, b.hit.TCPFlags = 17, 0
		if g.IntN(3) == 0 {
			port := services[g.IntN(len(services))]
			b.numbers(4, op{1, uint64(port)})
			b.hit.DstPort = port
		}
	case n < 92:
		b.protocol(17)
		if g.IntN(2) == 0 {
			b.numbers(5, op{6, 53}, op{0x40 | 6, 443})
		} else {
			b.numbers(5, op{3, 1024}, op{0x40 | 5, 65535})
		}
		b.hit.DstPort = uint16(1024 + g.IntN(64512))
		if g.IntN(2) == 0 {
			b.numbers(11, op{1, 46})
			b.hit.DSCP = 46
		}
	default:
		p := []uint8{47, 50, 4, 41}[g.IntN(4)]
		b.protocol(p)
		b.hit.SrcPort, b.hit.DstPort = 0, 0
	}
}

func (g *maker) reflection(b *ruleBuilder) {
	x := reflectors[g.IntN(len(reflectors))]
	b.protocol(17)
	b.numbers(6, op{1, uint64(x.port)})
	b.hit.SrcPort, b.hit.Length = x.port, uint16(g.IntN(1400)+60)
	switch {
	case x.most != 0:
		b.numbers(10, op{3, uint64(x.least)}, op{0x40 | 5, uint64(x.most)})
		b.hit.Length = x.least
	case x.least != 0:
		b.numbers(10, op{3, uint64(x.least)})
		b.hit.Length = x.least + uint16(g.IntN(100))
	}
}

func (g *maker) tcp(b *ruleBuilder) {
	b.protocol(6)
	if g.IntN(2) == 0 {
		b.hit.DstPort = services[g.IntN(len(services))]
		b.numbers(5, op{1, uint64(b.hit.DstPort)})
	}
	switch g.IntN(4) {
	case 0: // SYN alone
		b.list(9, op{1, 0x02}, op{0x42, 0x10})
		b.hit.TCPFlags = 0x02
	case 1:
		b.list(9, op{1, 0x12})
		b.hit.TCPFlags = 0x12
	case 2:
		b.list(9, op{1, 0x04})
		b.hit.TCPFlags = 0x04
	default:
		b.list(9, op{1, 0x10})
		b.hit.TCPFlags = 0x10
	}
}

// op is an operator (RFC 8955 section 4.2.1) and its value.
type op struct {
	bits  uint8
	value uint64
}

// ruleBuilder writes components; its caller keeps them in order.
type ruleBuilder struct {
	v6     bool
	b      []byte
	hit    Packet
	source netip.Prefix
}

func (r *ruleBuilder) prefix(typ byte, p netip.Prefix) {
	r.b = append(r.b, typ, byte(p.Bits()))
	if r.v6 {
		r.b = append(r.b, 0)
	}
	r.b = append(r.b, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	if typ == 2 {
		r.source = p
	}
}

func (r *ruleBuilder) protocol(p uint8) {
	r.numbers(3, op{1, uint64(p)})
	if r.hit.Protocol = p; p != 6 {
		r.hit.TCPFlags = 0
	}
	if p == 6 {
		r.hit.TCPFlags = 0x10
	}
}

func (r *ruleBuilder) oneOf(typ byte, values []uint16) {
	slices.Sort(values)
	var ops []op
	for _, v := range slices.Compact(values) {
		ops = append(ops, op{1, uint64(v)})
	}
	r.numbers(typ, ops...)
}

func (r *ruleBuilder) numbers(typ byte, ops ...op) { r.list(typ, ops...) }

func (r *ruleBuilder) list(typ byte, ops ...op) {
	r.b = append(r.b, typ)
	for i, o := range ops {
		if i == len(ops)-1 {
			o.bits |= 0x80
		}
		if o.value > 0xff {
			r.b = append(r.b, o.bits|0x10, byte(o.value>>8), byte(o.value))
		} else {
			r.b = append(r.b, o.bits, byte(o.value))
		}
	}
}

func (r *ruleBuilder) finish() []byte {
	n := len(r.b)
	if n < 240 {
		return append([]byte{byte(n)}, r.b...)
	}
	return append([]byte{0xf0 | byte(n>>8), byte(n)}, r.b...)
}
