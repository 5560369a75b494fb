package rules

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// FuzzMatch makes a table of whatever NLRI the octets hold, and asks it about
// whatever packets are left: it says what the naive one does, also after half of
// the rules have gone.
func FuzzMatch(f *testing.F) {
	for i, family := range families {
		m := newMaker(family, uint64(i), 4)
		var b []byte
		for range 20 {
			b = append(b, m.nlri(f)...)
		}
		for range 240 {
			b = append(b, byte(m.IntN(256)))
		}
		f.Add(uint8(i), uint8(20), b)
	}
	f.Fuzz(func(t *testing.T, number, count uint8, b []byte) {
		family := families[int(number)%len(families)]
		tbl, want := NewTable(family), truth{family: family}
		w := wire.NewNLRIRaw(b, 0, family, false)
		at := 0
		var rd uint64
		for n := 0; n < int(count) && w.Next(); n++ {
			at += len(w.Bytes())
			nlri, err := flowspec.Canonical(nil, family, w.Bytes())
			if err != nil {
				continue
			}
			if len(want.rules) == 0 {
				rd = flowspec.RD(family, nlri)
			}
			if flowspec.RD(family, nlri) == rd {
				v := Value{ID: uint64(n), Active: n%7 != 0, Terminal: n%3 == 0}
				tbl.Set(nlri, v)
				want.set(t, nlri, v)
			}
		}
		packets := fuzzPackets(b[min(at, len(b)):], flowspec.Is6(family), &want)
		var m Matches
		ask := func() {
			r := tbl.Publish()
			for i := range packets {
				same(t, r, &want, &packets[i], &m)
			}
			sameOrder(t, r, &want)
		}
		ask()
		for i := 0; i < len(want.rules); i++ {
			nlri := want.rules[i].nlri
			tbl.Delete(nlri)
			want.delete(nlri)
		}
		ask()
	})
}

// fuzzPackets makes packets of octets; their destinations are those of rules, with
// an octet changed.
func fuzzPackets(b []byte, v6 bool, want *truth) (ps []flowspec.Packet) {
	for ; len(b) >= 24; b = b[24:] {
		p := flowspec.Packet{
			Protocol: b[0], SrcPort: binary.BigEndian.Uint16(b[1:]), DstPort: binary.BigEndian.Uint16(b[3:]), ICMPType: b[5], ICMPCode: b[6],
			TCPFlags: binary.BigEndian.Uint16(b[7:]), Length: binary.BigEndian.Uint32(b[9:]) >> 8, DSCP: b[12], Fragment: flowspec.FragmentBits(b[13]),
			FlowLabel: binary.BigEndian.Uint32(b[14:]), Has: flowspec.Fields(binary.BigEndian.Uint16(b[18:])),
		}
		addr := func(find func(wire.Family, []byte) (netip.Prefix, uint8, bool), i, change byte) netip.Addr {
			a := netip.IPv4Unspecified()
			if v6 {
				a = netip.IPv6Unspecified()
			}
			if len(want.rules) > 0 {
				if q, _, ok := find(want.family, want.rules[int(i)%len(want.rules)].nlri); ok {
					a = q.Addr()
				}
			}
			x := a.AsSlice()
			x[int(change)%len(x)] ^= change
			a, _ = netip.AddrFromSlice(x)
			return a
		}
		p.Dst, p.Src = addr(flowspec.Destination, b[20], b[21]), addr(flowspec.Source, b[22], b[23])
		ps = append(ps, p)
	}
	return ps
}
