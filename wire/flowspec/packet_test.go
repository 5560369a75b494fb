package flowspec

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// packet makes a packet of which all is known.
func packet(src, dst string, protocol uint8, more func(*Packet)) Packet {
	p := Packet{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: protocol, Length: 100, Has: HasAll}
	if more != nil {
		more(&p)
	}
	return p
}

func TestMatchByTheRFCs(t *testing.T) {
	ports := func(src, dst uint16) func(*Packet) {
		return func(p *Packet) { p.SrcPort, p.DstPort = src, dst }
	}
	frag := func(b FragmentBits) func(*Packet) {
		return func(p *Packet) { p.Fragment, p.SrcPort, p.DstPort = b, 53, 53 }
	}
	flags := func(f uint16) func(*Packet) { return func(p *Packet) { p.TCPFlags = f } }
	const a4, b4, a6, b6 = "192.0.2.1", "203.0.113.5", "2001:db8::1", "2001:db8:0:1:8000::5"
	for _, c := range []struct {
		name, rule string
		p          Packet
		want       bool
	}{
		{"all components", "destination 203.0.113.0/24 source 192.0.2.0/24 protocol =udp destination-port =53", packet(a4, b4, 17, ports(9, 53)), true},
		{"one component fails", "destination 203.0.113.0/24 source 192.0.3.0/24 protocol =udp destination-port =53", packet(a4, b4, 17, ports(9, 53)), false},
		{"0/0 is any address", "destination 0.0.0.0/0", packet(a4, b4, 1, nil), true},
		{"IPv4 rule, IPv6 packet", "protocol =udp", packet(a6, b6, 17, nil), false},
		{"IPv6 rule, IPv4 packet", "ipv6-flowspec protocol =udp", packet(a4, b4, 17, nil), false},

		{"port is the source", "port =53", packet(a4, b4, 17, ports(53, 9)), true},
		{"port is the destination", "port =53", packet(a4, b4, 6, ports(9, 53)), true},
		{"port range within one of them", "port >=50&<=60", packet(a4, b4, 6, ports(9, 99)), false},
		{"ports not equal", "port !=53", packet(a4, b4, 6, ports(53, 9)), true}, // the other one
		{"source port", "source-port =53", packet(a4, b4, 17, ports(9, 53)), false},
		{"SCTP has no port here", "port =53", packet(a4, b4, 132, ports(53, 53)), false}, // RFC 8955 4.2.2.4
		{"first fragment has ports", "port =53", packet(a4, b4, 17, frag(FF)), true},
		{"other fragment has none", "port =53", packet(a4, b4, 17, frag(IsF)), false},
		{"other fragment has none, even unequal", "port !=80", packet(a4, b4, 17, frag(IsF)), false},
		{"last fragment has none", "destination-port =53", packet(a4, b4, 17, frag(LF)), false},

		{"AND before OR", "destination-port =1|>=10&<=20", packet(a4, b4, 17, ports(9, 15)), true},
		{"AND before OR, the first", "destination-port =1|>=10&<=20", packet(a4, b4, 17, ports(9, 1)), true},
		{"AND before OR, neither", "destination-port =1|>=10&<=20", packet(a4, b4, 17, ports(9, 21)), false},
		{"never", "destination-port false", packet(a4, b4, 17, ports(9, 1)), false},
		{"always", "destination-port true", packet(a4, b4, 17, ports(9, 1)), true},
		{"less", "packet-length <100", packet(a4, b4, 17, nil), false},
		{"at most", "packet-length <=100", packet(a4, b4, 17, nil), true},
		{"more", "packet-length >99", packet(a4, b4, 17, nil), true},

		{"syn of SYN+ACK", "tcp-flags =syn", packet(a4, b4, 6, flags(0x12)), true},
		{"syn alone, of SYN+ACK", "tcp-flags =syn&!ack", packet(a4, b4, 6, flags(0x12)), false},
		{"syn alone", "tcp-flags =syn&!ack", packet(a4, b4, 6, flags(0x02)), true},
		{"all of two", "tcp-flags =syn+ack", packet(a4, b4, 6, flags(0x02)), false},
		{"any of two", "tcp-flags syn+ack", packet(a4, b4, 6, flags(0x02)), true},
		{"not all of two", "tcp-flags !=syn+ack", packet(a4, b4, 6, flags(0x02)), true},
		{"none of two", "tcp-flags !syn+ack", packet(a4, b4, 6, flags(0x02)), false},
		{"octet 13", "tcp-flags =ae", packet(a4, b4, 6, flags(0x102)), true},
		{"data offset counts as 0", "tcp-flags =0xf002/2", packet(a4, b4, 6, flags(0xf002)), false},
		{"flags of UDP", "tcp-flags !syn", packet(a4, b4, 17, flags(0)), false},
		{"flags in a fragment", "tcp-flags !syn", packet(a4, b4, 6, frag(IsF)), false},

		{"a fragment other than the first", "fragment =is-fragment", packet(a4, b4, 17, frag(IsF)), true},
		{"the first is not that", "fragment =is-fragment", packet(a4, b4, 17, frag(FF)), false},
		{"any fragment", "fragment is-fragment+first-fragment", packet(a4, b4, 17, frag(FF)), true},
		{"last", "fragment =is-fragment+last-fragment", packet(a4, b4, 17, frag(IsF|LF)), true},
		{"last alone is one other than the first", "fragment =is-fragment", packet(a4, b4, 17, frag(LF)), true},
		{"last alone, not", "fragment !is-fragment", packet(a4, b4, 17, frag(LF)), false},
		{"not last", "fragment last-fragment", packet(a4, b4, 17, frag(IsF)), false},
		{"no fragment", "fragment not-a-fragment", packet(a4, b4, 17, frag(DF)), true},
		{"no fragment, of one", "fragment not-a-fragment", packet(a4, b4, 17, frag(FF)), false},
		{"don't fragment", "fragment =dont-fragment", packet(a4, b4, 17, frag(DF)), true},

		{"ICMP", "icmp-type =8 icmp-code =0", packet(a4, b4, 1, func(p *Packet) { p.ICMPType = 8 }), true},
		{"ICMP type in UDP", "icmp-type =8", packet(a4, b4, 17, func(p *Packet) { p.ICMPType = 8 }), false},
		{"ICMPv6 in IPv4", "icmp-type =8", packet(a4, b4, 58, func(p *Packet) { p.ICMPType = 8 }), false},
		{"ICMPv6", "ipv6-flowspec icmp-type =128", packet(a6, b6, 58, func(p *Packet) { p.ICMPType = 128 }), true},
		{"ICMP in IPv6", "ipv6-flowspec icmp-type =128", packet(a6, b6, 1, func(p *Packet) { p.ICMPType = 128 }), false},
		{"ICMP and ports", "icmp-type =8 port =53", packet(a4, b4, 1, func(p *Packet) { p.ICMPType = 8 }), false},

		{"DSCP", "dscp =46", packet(a4, b4, 17, func(p *Packet) { p.DSCP = 46 }), true},
		{"flow label", "flow-label =5", packet(a6, b6, 17, func(p *Packet) { p.FlowLabel = 5 }), true},
		{"offset skips bits", "destination ::1:8000:0:0:0/65 offset 48", packet(a6, b6, 17, nil), true},
		{"offset, other bits", "destination ::1:0:0:0:0/65 offset 48", packet(a6, b6, 17, nil), false},
		{"value over what there is", "port =70000/4", packet(a4, b4, 17, ports(9, 4464)), false},

		{"not known", "port =53", packet(a4, b4, 17, func(p *Packet) { p.Has &^= HasSrcPort | HasDstPort }), false},
		{"not known, unequal", "dscp !=1", packet(a4, b4, 17, func(p *Packet) { p.Has &^= HasDSCP }), false},
		{"protocol not known", "port !=53", packet(a4, b4, 17, func(p *Packet) { p.Has &^= HasProtocol }), false},
		{"fragment not known", "port =53", packet(a4, b4, 17, func(p *Packet) { p.DstPort = 53; p.Has &^= HasFragment }), true},
		{"address not known", "destination 0.0.0.0/0", packet(a4, b4, 17, func(p *Packet) { p.Dst = netip.Addr{} }), false},
	} {
		r, _, err := ParseText(c.rule)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := r.Match(&c.p); got != c.want {
			t.Errorf("%s: %q is %v for %+v", c.name, c.rule, got, c.p)
		}
	}
}

// What comes on the wire as octets and what was built match the same packets.
func TestMatchOfParsedRules(t *testing.T) {
	r := source(t)
	hits := 0
	for range 20000 {
		f := families[r.IntN(len(families))]
		rule := randomRule(r, f)
		b, _ := rule.AppendNLRI(nil)
		parsed := parse(f, b)
		for range 5 {
			p := randomPacket(r, Is6(f) != (r.IntN(20) == 0))
			got := parsed.Match(&p)
			if got != rule.Match(&p) {
				t.Fatalf("%q: %v for %+v", rule.String(), got, p)
			}
			if got {
				hits++
			}
		}
	}
	if hits < 500 {
		t.Errorf("only %d packets matched", hits)
	}
}

func TestPacketOfOctets(t *testing.T) {
	head4 := func(protocol byte, frag uint16, payload ...byte) []byte {
		b := []byte{0x45, 46 << 2, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 203, 0, 113, 5}
		binary.BigEndian.PutUint16(b[6:], frag)
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
		return append(b, payload...)
	}
	head6 := func(next byte, payload ...byte) []byte {
		b := []byte{0x6b, 0x81, 0x23, 0x45, 0, byte(len(payload)), next, 64}
		b = append(b, netip.MustParseAddr("2001:db8::1").AsSlice()...)
		b = append(b, netip.MustParseAddr("2001:db8::2").AsSlice()...)
		return append(b, payload...)
	}
	tcp := []byte{0, 53, 1, 187, 0, 0, 0, 0, 0, 0, 0, 0, 0x51, 0x12, 0, 0}
	for _, c := range []struct {
		name string
		b    []byte
		rule string
		want bool
	}{
		{"TCP", head4(6, 0x4000, tcp...), "destination 203.0.113.5/32 source 192.0.2.1/32 protocol =tcp destination-port =443 source-port =53 tcp-flags =ae+syn+ack packet-length =36 dscp =46 fragment =dont-fragment", true},
		{"later fragment", head4(17, 0x2001, 0, 53, 0, 53), "protocol =udp fragment =is-fragment&!last-fragment", true},
		{"later fragment, port", head4(17, 0x2001, 0, 53, 0, 53), "port =53", false},
		{"last fragment", head4(17, 0x0001, 0, 53, 0, 53), "fragment =is-fragment+last-fragment", true},
		{"first fragment", head4(17, 0x2000, 0, 53, 0, 53), "fragment =first-fragment port =53", true},
		{"cut off", head4(17, 0, 0, 53), "port =53", false},
		{"ICMP", head4(1, 0, 3, 1), "icmp-type =3 icmp-code =1", true},
		{"options", append([]byte{0x46, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 203, 0, 113, 5, 1, 1, 1, 1}, 0, 53, 0, 80), "source-port =53 destination-port =80", true},
		{"IPv6", head6(6, tcp...), "source 2001:db8::1/128 protocol =tcp tcp-flags =syn+ack dscp =46 flow-label =74565 packet-length =56", true},
		{"IPv6 extension headers", head6(0, append([]byte{43, 0, 0, 0, 0, 0, 0, 0, 58, 0, 0, 0, 0, 0, 0, 0}, 128, 0)...), "ipv6-flowspec protocol =icmpv6 icmp-type =echo-request", true},
		{"IPv6 fragment", head6(44, 17, 0, 0, 9, 0, 0, 0, 0, 0, 53, 0, 53), "ipv6-flowspec protocol =udp fragment =is-fragment", true},
		{"IPv6 fragment, port", head6(44, 17, 0, 0, 9, 0, 0, 0, 0, 0, 53, 0, 53), "ipv6-flowspec port =53", false},
		{"IPv6 first fragment", head6(44, 17, 0, 0, 1, 0, 0, 0, 0, 0, 53, 0, 53), "ipv6-flowspec fragment =first-fragment port =53", true},
		{"IPv6 last fragment", head6(44, 17, 0, 0, 8, 0, 0, 0, 0), "ipv6-flowspec fragment =last-fragment protocol =udp", true},
	} {
		p, ok := PacketOf(c.b)
		if !ok {
			t.Errorf("%s: not read", c.name)
			continue
		}
		r, _, err := ParseText(c.rule)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := r.Match(&p); got != c.want {
			t.Errorf("%s: %q is %v for %+v", c.name, c.rule, got, p)
		}
	}
	for _, b := range [][]byte{nil, {0x45}, make([]byte, 40), {0x40, 19: 0}, {0x4f, 19: 0}, {0x60, 38: 0}} {
		if p, ok := PacketOf(b); ok {
			t.Errorf("%x: %+v", b, p)
		}
	}
}
