package fuzz

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"ribd"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// FuzzUpdates: whatever the messages are, what the library reads out of them it
// can write, and reads the same again; or it says which attribute it cannot
// write.
func FuzzUpdates(f *testing.F) {
	hop := netip.MustParseAddr("192.0.2.1")
	path := ribd.ASPath{{Type: ribd.ASSequence, AS: []uint32{64512, 65550}}, {Type: ribd.ASSet, AS: []uint32{1}}}
	for i, n := range []ribd.NLRI{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		{Family: wire.IPv4VPN, Prefix: netip.MustParsePrefix("192.0.2.0/24"), RD: 1 << 32, Labels: []uint32{16, 17}},
		{Family: wire.IPv4FlowSpec, Raw: []byte{3, 3, 0x81, 6}},
		{Family: wire.L2VPNEVPN, Raw: []byte{3, 2, 1, 2}},
	} {
		u := ribd.Update{Announce: []ribd.NLRI{n}, Attributes: ribd.Attributes{NextHop: hop, ASPath: path, Communities: []ribd.Community{1}}}
		if i == 0 {
			u.Withdraw = u.Announce
		}
		for mode := range byte(8) {
			b, err := u.Encode(messageOptions(mode))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, mode)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, mode byte) {
		o := messageOptions(mode)
		came := bytes.Clone(b)
		us, err := ribd.DecodeUpdates(b, o)
		if !bytes.Equal(came, b) {
			t.Fatalf("%x was changed to %x", came, b)
		}
		if err == nil && len(b) != 0 && len(us) == 0 {
			t.Fatalf("%x: neither an update nor an error", b)
		}
		for i := range us {
			u := &us[i]
			u.Malformed = nil
			out, err := u.Encode(o)
			if err != nil {
				continue // says what cannot be written, such as nothing at all
			}
			again, err := ribd.DecodeUpdates(out, o)
			if err != nil {
				t.Fatalf("%+v is written as %x: %v", u, out, err)
			}
			var all ribd.Update
			for _, v := range again {
				if v.Malformed != nil {
					t.Fatalf("%+v is written as %x: %v", u, out, v.Malformed)
				}
				all.Withdraw, all.Announce = append(all.Withdraw, v.Withdraw...), append(all.Announce, v.Announce...)
				if all.EndOfRIB = v.EndOfRIB; len(v.Announce) != 0 {
					all.Attributes = v.Attributes
				}
			}
			if len(u.Announce) == 0 {
				u.Attributes = ribd.Attributes{}
			} else if a := &u.Attributes; flowspec.Is(u.Announce[0].Family) && !slices.ContainsFunc(a.ExtCommunities, isRedirectHop) {
				a.NextHop, a.NextHopLinkLocal = netip.Addr{}, netip.Addr{} // RFC 8955 section 4
			}
			if !sameRoutes(all.Withdraw, u.Withdraw) || !sameRoutes(all.Announce, u.Announce) ||
				all.EndOfRIB != u.EndOfRIB || !reflect.DeepEqual(all.Attributes, u.Attributes) {
				t.Fatalf("%x: %+v\nis written as %x: %+v", b, u, out, all)
			}
		}
	})
}

func isRedirectHop(c ribd.ExtCommunity) bool { return c>>48 == 0x0800 }

func messageOptions(mode byte) ribd.MessageOptions {
	o := ribd.MessageOptions{TwoOctetAS: mode&1 != 0, Extended: mode&2 != 0}
	if mode&4 != 0 {
		o.AddPath = []ribd.Family{wire.IPv4Unicast, wire.IPv4VPN, wire.IPv4FlowSpec, wire.L2VPNEVPN}
	}
	return o
}

// sameRoutes compares routes but for the labels of a withdrawal and the octets
// of a rule, which Encode makes canonical.
func sameRoutes(a, b []ribd.NLRI) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		x.Labels, y.Labels = nil, nil
		if flowspec.Is(x.Family) {
			x.Raw, y.Raw = nil, nil
		}
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}
