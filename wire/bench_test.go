package wire

import (
	"encoding/binary"
	"testing"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// message makes an UPDATE of its parts.
func message(withdrawn, attrs, nlri []byte) []byte {
	b := make([]byte, 0, HeaderLen+4+len(withdrawn)+len(attrs)+len(nlri))
	for range 16 {
		b = append(b, 0xff)
	}
	b = append(b, 0, 0, byte(MsgUpdate))
	b = binary.BigEndian.AppendUint16(b, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	b = append(b, attrs...)
	b = append(b, nlri...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

// path4 is an AS_SEQUENCE of 4-octet AS numbers.
func path4(ases ...uint32) []byte {
	b := []byte{byte(SegSequence), byte(len(ases))}
	for _, as := range ases {
		b = binary.BigEndian.AppendUint32(b, as)
	}
	return b
}

// typicalAttrs are five attributes as most routes have them.
func typicalAttrs() []byte {
	var a []byte
	a = AppendAttr(a, FlagTransitive, AttrOrigin, []byte{0})
	a = AppendAttr(a, FlagTransitive, AttrASPath, path4(65001, 3356, 1299, 15169))
	a = AppendAttr(a, FlagTransitive, AttrNextHop, []byte{192, 0, 2, 1})
	a = AppendAttr(a, FlagOptional, AttrMED, []byte{0, 0, 0, 10})
	return AppendAttr(a, FlagOptional|FlagTransitive, AttrCommunities, []byte{0xfd, 0xe9, 0, 1, 0xfd, 0xe9, 0, 2})
}

func typical4(n int) []byte {
	var nlri []byte
	for i := range n {
		nlri = append(nlri, 24, 10, byte(i>>8), byte(i))
	}
	return message(nil, typicalAttrs(), nlri)
}

func typical6(n int) []byte {
	reach := []byte{0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}
	for i := range n {
		reach = append(reach, 48, 0x20, 1, 0xd, 0xb8, byte(i>>8), byte(i))
	}
	a := AppendAttr(nil, FlagOptional, AttrMPReach, reach)
	a = AppendAttr(a, FlagTransitive, AttrOrigin, []byte{0})
	a = AppendAttr(a, FlagTransitive, AttrASPath, path4(65001, 3356, 1299, 15169))
	a = AppendAttr(a, FlagOptional, AttrMED, []byte{0, 0, 0, 10})
	a = AppendAttr(a, FlagOptional|FlagTransitive, AttrCommunities, []byte{0xfd, 0xe9, 0, 1, 0xfd, 0xe9, 0, 2})
	return message(nil, a, nil)
}

var session4 = Session{AS4: true, External: true, Families: NewFamilySet(IPv4Unicast, IPv6Unicast)}

var sink int

func walkAll(u *Update, scratch []byte) []byte {
	sink += walk4(u.NLRI4())
	if u.HasNLRI4() {
		sink += len(u.Attributes(scratch))
	}
	if m, ok := u.Reach(); ok {
		sink += walk6(m.NLRI6())
		scratch = u.ReachAttributes(scratch)
		sink += len(scratch)
	}
	return scratch
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name string
		msg  []byte
	}{{"ipv4-1", typical4(1)}, {"ipv4-100", typical4(100)}, {"ipv6-1", typical6(1)}, {"ipv6-100", typical6(100)}} {
		b.Run(c.name+"/wire", func(b *testing.B) {
			var u Update
			scratch := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if err := u.Parse(c.msg, &session4); err != nil {
					b.Fatal(err)
				}
				scratch = walkAll(&u, scratch)
			}
		})
		b.Run(c.name+"/gobgp", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m, err := bgp.ParseBGPMessage(c.msg)
				if err != nil {
					b.Fatal(err)
				}
				sink += len(m.Body.(*bgp.BGPUpdate).NLRI)
			}
		})
	}
}

func BenchmarkAttributes(b *testing.B) {
	attrs := typicalAttrs()
	b.Run("canonical", func(b *testing.B) {
		var s scan
		for b.Loop() {
			s.start(attrs, 0)
			s.as4 = true
			s.run()
			if !s.plain {
				b.Fatal("not canonical")
			}
		}
	})
	b.Run("rib-entry", func(b *testing.B) {
		dst := make([]byte, 0, 4096)
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = AppendRIBAttributes(dst[:0], attrs, IPv4Unicast, RIBOptions{})
		}
	})
	var u Update
	msg := message(nil, twoOctetAttrs(), []byte{8, 10})
	b.Run("two-octet", func(b *testing.B) {
		dst := make([]byte, 0, 4096)
		s := Session{}
		b.ReportAllocs()
		for b.Loop() {
			u.Parse(msg, &s)
			dst = u.AppendAttributes(dst[:0])
		}
	})
}

func twoOctetAttrs() []byte {
	var a []byte
	a = AppendAttr(a, FlagTransitive, AttrOrigin, []byte{0})
	a = AppendAttr(a, FlagTransitive, AttrASPath, []byte{2, 4, 0xfd, 0xe9, 0x5b, 0xa0, 0x05, 0x13, 0x3b, 0x41})
	a = AppendAttr(a, FlagTransitive, AttrNextHop, []byte{192, 0, 2, 1})
	a = AppendAttr(a, FlagOptional, AttrMED, []byte{0, 0, 0, 10})
	return AppendAttr(a, FlagOptional|FlagTransitive, AttrAS4Path, path4(3356, 1299, 15169))
}

func BenchmarkNLRI(b *testing.B) {
	var b4, b6, b4id []byte
	for i := range 1000 {
		b4 = append(b4, 24, 10, byte(i>>8), byte(i))
		b4id = append(b4id, 0, 0, 0, 1, 24, 10, byte(i>>8), byte(i))
		b6 = append(b6, 48, 0x20, 1, 0xd, 0xb8, byte(i>>8), byte(i))
	}
	each := func(name string, run func() int) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/nlri")
		})
	}
	each("ipv4", func() int { return walk4(NewNLRI4(b4, 0, false)) })
	each("ipv4-addpath", func() int { return walk4(NewNLRI4(b4id, 0, true)) })
	each("ipv6", func() int { return walk6(NewNLRI6(b6, 0, false)) })
	each("check4", func() int { return check4(b4, false) })
	each("check6", func() int { return check6(b6, false) })
}

// The walks are functions of their own, since b.Loop keeps calls in its body
// from being inlined.
func walk4(w NLRI4) (n int) {
	for w.Next() {
		n += int(w.Addr()) + int(w.Len()) + int(w.PathID())
	}
	return n
}

func walk6(w NLRI6) (n int) {
	for w.Next() {
		n += int(w.Hi()) + int(w.Len())
	}
	return n
}
