package api

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd/wire"
)

// readOne reads a path as POST paths does.
func readOne(t testing.TB, text string) (pathInput, *problem) {
	t.Helper()
	_, s, _ := withSessions(t)
	return readWith(s, text, takesAnnounce, false)
}

func readWith(s *Server, text string, takes inputSet, key bool) (pathInput, *problem) {
	var r pathReader
	c := &call{s: s}
	r.begin(c, takes, key)
	return r.read([]byte(text))
}

// gobgpAttrs puts attributes together with GoBGP's packet library: the oracle.
func gobgpAttrs(t testing.TB, list ...bgp.PathAttributeInterface) string {
	t.Helper()
	var b []byte
	for _, a := range list {
		v, err := a.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, v...)
	}
	return hex.EncodeToString(b)
}

func seq(typ uint8, as ...uint32) *bgp.As4PathParam { return bgp.NewAs4PathParam(typ, as) }

func TestAPathIsReadIntoTheAttributesThatItNames(t *testing.T) {
	_, s, _ := withSessions(t)
	igp, egp, incomplete := bgp.NewPathAttributeOrigin(0), bgp.NewPathAttributeOrigin(1), bgp.NewPathAttributeOrigin(2)
	path := func(p ...bgp.AsPathParamInterface) bgp.PathAttributeInterface {
		return bgp.NewPathAttributeAsPath(p)
	}
	hop := func(a string) bgp.PathAttributeInterface { return bgp.NewPathAttributeNextHop(a) }
	rt := func(s string) bgp.ExtendedCommunityInterface {
		e, err := bgp.ParseRouteTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, c := range []struct {
		json string
		want []bgp.PathAttributeInterface
	}{
		{`"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1")}},
		{`"next_hop":"self","origin":"egp","as_path":""`, []bgp.PathAttributeInterface{egp, path(), hop("0.0.0.0")}},
		{`"origin":"incomplete","next_hop":"192.0.2.1","as_path":"65001 4200000000"`, []bgp.PathAttributeInterface{incomplete, path(seq(2, 65001, 4200000000)), hop("192.0.2.1")}},
		{`"as_path":"(65002 65003) [65004,65005] 65001 {64500,64501} 64502","next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp,
			path(seq(3, 65002, 65003), seq(4, 65004, 65005), seq(2, 65001), seq(1, 64500, 64501), seq(2, 64502)), hop("192.0.2.1")}},
		{`"as_path":"{1 2, 3}{4}5","next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(seq(1, 1, 2, 3), seq(1, 4), seq(2, 5)), hop("192.0.2.1")}},
		{`"med":0,"local_pref":4294967295,"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"), bgp.NewPathAttributeMultiExitDisc(0), bgp.NewPathAttributeLocalPref(4294967295)}},
		{`"communities":["65001:100","no-export","BLACKHOLE","65001:100","0:0","llgr_stale"],"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"),
			bgp.NewPathAttributeCommunities([]uint32{65001<<16 | 100, 0xffffff01, 0xffff029a, 0, 0xffff0006})}},
		{`"large_communities":["65001:1:2","4294967295:0:4294967295"],"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"),
			bgp.NewPathAttributeLargeCommunities([]*bgp.LargeCommunity{{ASN: 65001, LocalData1: 1, LocalData2: 2}, {ASN: 4294967295, LocalData1: 0, LocalData2: 4294967295}})}},
		{`"ext_communities":["rt:65001:4294967295","rt:4200000000:7","rt:192.0.2.9:8","rt:65001L:9","0x8006000000000000"],"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"),
			bgp.NewPathAttributeExtendedCommunities([]bgp.ExtendedCommunityInterface{rt("65001:4294967295"), rt("64086.59904:7"), rt("192.0.2.9:8"),
				bgp.NewFourOctetAsSpecificExtended(bgp.EC_SUBTYPE_ROUTE_TARGET, 65001, 9, true), bgp.NewTrafficRateExtended(0, 0)})}},
		{`"atomic_aggregate":true,"aggregator":"4200000000 192.0.2.7","next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"),
			bgp.NewPathAttributeAtomicAggregate(), bgp.NewPathAttributeAggregator(uint32(4200000000), "192.0.2.7")}},
		{`"atomic_aggregate":false,"aggregator":null,"originator_id":"192.0.2.8","cluster_list":["192.0.2.9","192.0.2.9"],"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"),
			bgp.NewPathAttributeOriginatorId("192.0.2.8"), bgp.NewPathAttributeClusterList([]string{"192.0.2.9", "192.0.2.9"})}},
		{`"aigp":18446744073709551615,"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"),
			bgp.NewPathAttributeAigp([]bgp.AigpTLVInterface{bgp.NewAigpTLVIgpMetric(18446744073709551615)})}},
		{`"only_to_customer":64512,"unknown_attributes":[{"type":99,"flags":224,"value":"00ff"},{"value":"","type":98,"flags":128},{"type":97,"value":"aa"}],"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"),
			bgp.NewPathAttributeUnknown(192, 35, []byte{0, 0, 0xfc, 0}), bgp.NewPathAttributeUnknown(192, 97, []byte{0xaa}), bgp.NewPathAttributeUnknown(128, 98, nil), bgp.NewPathAttributeUnknown(224, 99, []byte{0, 255})}},
		{`"communities":[],"large_communities":[],"ext_communities":[],"cluster_list":[],"unknown_attributes":[],"med":null,"as_path":"","origin":"igp","next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1")}},
		{`"next_hop":"2001:db8::1"`, []bgp.PathAttributeInterface{igp, path(), bgp.NewPathAttributeUnknown(64, 3, netip.MustParseAddr("2001:db8::1").AsSlice())}},
		{`"next_hop":"2001:db8::1","next_hop_link_local":"fe80::1"`, []bgp.PathAttributeInterface{igp, path(), bgp.NewPathAttributeUnknown(64, 3,
			append(netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("fe80::1").AsSlice()...))}},
		{`"ext_communities":["rt:[2001:db8::1]:5","0x000d20010db800000000000000000000000100ff","rt:[2001:db8::1]:5"],"next_hop":"192.0.2.1"`, []bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1"),
			bgp.NewPathAttributeUnknown(192, 25, unhexed("000220010db80000000000000000000000010005000d20010db800000000000000000000000100ff"))}},
		{`"peer":"1.2.3.4","peer_id":"x","peer_asn":1,"source":"bgp","best":true,"best_reason":null,"rank":1,"origin_asn":5,"neighbor_asn":[{"a":[1,2.5e3,"\u00e9"]}],"attrs_id":7,"received_at":"x","stale":null,"filtered":false,"filter_reason":null,"rpki":null,"nlri_text":"x","next_hop":"192.0.2.1"`,
			[]bgp.PathAttributeInterface{igp, path(), hop("192.0.2.1")}},
	} {
		in, p := readWith(s, `{"prefix":"203.0.113.0/24",`+c.json+`}`, takesAnnounce, false)
		if p != nil {
			t.Errorf("%s: %v %s", c.json, p, p.detail)
			continue
		}
		if got, want := hex.EncodeToString(in.attrs), gobgpAttrs(t, c.want...); got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.json, got, want)
		}
		if in.prefix != netip.MustParsePrefix("203.0.113.0/24") || in.family != wire.IPv4Unicast || in.hasPathID {
			t.Errorf("%s: %+v", c.json, in)
		}
	}
}

func unhexed(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestASequenceOfOver255IsTwoSegments(t *testing.T) {
	for _, n := range []int{254, 255, 256, 511} {
		var text []string
		var a, b, c []uint32
		for i := range n {
			text = append(text, fmt.Sprint(i+1))
			switch {
			case i < 255:
				a = append(a, uint32(i+1))
			case i < 510:
				b = append(b, uint32(i+1))
			default:
				c = append(c, uint32(i+1))
			}
		}
		var want []bgp.AsPathParamInterface
		for _, s := range [][]uint32{a, b, c} {
			if s != nil {
				want = append(want, seq(2, s...))
			}
		}
		in, p := readOne(t, `{"prefix":"::/0","next_hop":"2001:db8::1","as_path":"`+strings.Join(text, " ")+`"}`)
		if p != nil {
			t.Fatal(p)
		}
		got, _ := wire.FindAttr(in.attrs, wire.AttrASPath)
		w := gobgpAttrs(t, bgp.NewPathAttributeAsPath(want))
		if !strings.HasSuffix(w, hex.EncodeToString(got)) || len(w) > 2*len(got)+8 {
			t.Errorf("%d: got %x, want %s", n, got, w)
		}
	}
}

// What answers show of any set is read into the same set.
func TestWhatAnswersShowIsReadBack(t *testing.T) {
	_, s, _ := withSessions(t)
	r := rand.New(rand.NewPCG(5, 1))
	var reader pathReader
	c := &call{s: s}
	reader.begin(c, takesAnnounce, false)
	for i := range 5000 {
		v6 := r.IntN(2) == 0
		attrs := randomAttrs(r, v6)
		var d decoded
		d.decode(0, attrs)
		prefix := "192.0.2.0/24"
		if v6 {
			prefix = "2001:db8::/32"
		}
		b := []byte(`{"prefix":"` + prefix + `"`)
		for f := firstAttr; f <= fAttrsID; f++ {
			b = d.appendField(append(b, ','), f)
		}
		b = append(b, '}')
		in, p := reader.read(b)
		if p != nil {
			t.Fatalf("round %d: %v\n%s", i, p, b)
		}
		if !bytes.Equal(in.attrs, attrs) {
			t.Fatalf("round %d: %s\n got %x\nwant %x", i, b, in.attrs, attrs)
		}
		reader.mem = reader.mem[:0]
	}
}

// randomAttrs makes a canonical set of which answers show all.
func randomAttrs(r *rand.Rand, v6 bool) (b []byte) {
	octets := func(n int) []byte {
		v := make([]byte, n)
		for i := range v {
			v[i] = byte(r.Uint32())
		}
		return v
	}
	// distinct values of n octets
	many := func(n int) []byte {
		seen := map[string]bool{}
		var v []byte
		for range 1 + r.IntN(5) {
			if o := octets(n); !seen[string(o)] {
				seen[string(o)] = true
				v = append(v, o...)
			}
		}
		return v
	}
	maybe := func(t wire.AttrType, flags byte, v []byte) {
		if r.IntN(3) == 0 {
			b = wire.AppendAttr(b, flags, t, v)
		}
	}
	b = wire.AppendAttr(b, 0x40, wire.AttrOrigin, []byte{byte(r.IntN(3))})
	var path []byte
	last := wire.SegSet
	for range r.IntN(4) {
		typ := wire.SegmentType(1 + r.IntN(4))
		if typ == wire.SegSequence && last == typ {
			continue // two sequences are one in text
		}
		last = typ
		n := 1 + r.IntN(4)
		path = append(path, byte(typ), byte(n))
		for range n {
			path = append(path, octets(3)...)
			path = append(path, byte(1+r.IntN(255)))
		}
	}
	b = wire.AppendAttr(b, 0x40, wire.AttrASPath, path)
	hop := netip.MustParseAddr("192.0.2.77").AsSlice()
	if v6 {
		hop = netip.MustParseAddr("2001:db8::77").AsSlice()
		if r.IntN(2) == 0 {
			hop = append(hop, netip.MustParseAddr("fe80::77").AsSlice()...)
		}
	}
	b = wire.AppendAttr(b, 0x40, wire.AttrNextHop, hop)
	maybe(wire.AttrMED, 0x80, octets(4))
	maybe(wire.AttrLocalPref, 0x40, octets(4))
	maybe(wire.AttrAtomicAggregate, 0x40, nil)
	maybe(wire.AttrAggregator, 0xc0, append([]byte{0, 1}, octets(6)...))
	maybe(wire.AttrCommunities, 0xc0, many(4))
	maybe(wire.AttrOriginatorID, 0x80, octets(4))
	maybe(wire.AttrClusterList, 0x80, many(4))
	ext := many(8)
	if r.IntN(2) == 0 {
		ext[0], ext[1] = byte(r.IntN(3)), byte(2+r.IntN(2))
	}
	maybe(wire.AttrExtCommunities, 0xc0, ext)
	maybe(wire.AttrTunnelEncap, 0xc0, octets(r.IntN(300)))
	ext = many(20)
	if r.IntN(2) == 0 {
		ext[0], ext[1] = 0, byte(2+r.IntN(2))
	}
	maybe(wire.AttrIPv6ExtCommunities, 0xc0, ext)
	maybe(wire.AttrAIGP, 0x80, append([]byte{1, 0, 11}, octets(8)...))
	maybe(wire.AttrLargeCommunities, 0xc0, many(12))
	maybe(wire.AttrOTC, 0xc0, []byte{1, 2, 3, 4})
	maybe(99, 0xe0, octets(r.IntN(20)))
	maybe(200, 0x80, octets(r.IntN(20)))
	return b
}

func TestFamiliesFollowFromThePrefixOrAreNamed(t *testing.T) {
	_, s, _ := withSessions(t)
	for _, c := range []struct {
		json, family, prefix, nlri, labels string
		rd                                 uint64
	}{
		{`"prefix":"192.0.2.0/24"`, "ipv4-unicast", "192.0.2.0/24", "", "", 0},
		{`"prefix":"192.0.2.1"`, "ipv4-unicast", "192.0.2.1/32", "", "", 0},
		{`"prefix":"2001:DB8::/32"`, "ipv6-unicast", "2001:db8::/32", "", "", 0},
		{`"prefix":"192.0.2.0/24","family":"ipv4-multicast"`, "ipv4-multicast", "192.0.2.0/24", "", "", 0},
		{`"prefix":"192.0.2.0/24","family":"ipv4-labelled-unicast","labels":[3]`, "ipv4-labelled-unicast", "192.0.2.0/24", "", "000031", 0},
		{`"prefix":"192.0.2.0/24","family":"ipv4-vpn","labels":[1048575,16],"rd":"65001:7"`, "ipv4-vpn", "192.0.2.0/24", "", "fffff0000101", 65001<<32 | 7},
		{`"family":"ipv6-vpn","prefix":"2001:db8::/32","labels":[16],"rd":"192.0.2.1:9"`, "ipv6-vpn", "2001:db8::/32", "", "000101", 1<<48 | 0xc0000201<<16 | 9},
		{`"family":"ipv4-flowspec","nlri":"F005 0118CB0071"`, "", "", "", "", 0},
		{`"family":"ipv4-flowspec","nlri":"f0050118cb0071"`, "ipv4-flowspec", "", "050118cb0071", "", 0},
		{`"family":"l2vpn-evpn","nlri":"0300"`, "l2vpn-evpn", "", "0300", "", 0},
	} {
		hop := "192.0.2.9"
		if strings.HasPrefix(c.family, "ipv6") {
			hop = "2001:db8::9"
		}
		in, p := readWith(s, `{`+c.json+`,"next_hop":"`+hop+`"}`, takesAnnounce, false)
		if c.family == "" {
			if p == nil {
				t.Errorf("%s: read", c.json)
			}
			continue
		}
		if p != nil {
			t.Errorf("%s: %v", c.json, p)
			continue
		}
		prefix := ""
		if in.prefix.IsValid() {
			prefix = in.prefix.String()
		}
		got := fmt.Sprintf("%v %s %x %x %d", in.family, prefix, in.nlri, in.labels, in.rd)
		if want := fmt.Sprintf("%s %s %s %s %d", c.family, c.prefix, c.nlri, c.labels, c.rd); got != want {
			t.Errorf("%s: got %s, want %s", c.json, got, want)
		}
	}
}

// A Flow Spec rule goes without a next hop, IPv6 VPN has an IPv4 one mapped.
func TestNextHopsFollowTheFamily(t *testing.T) {
	in, p := readOne(t, `{"family":"ipv4-flowspec","nlri":"050118cb0071"}`)
	if p != nil {
		t.Fatal(p)
	}
	if _, ok := wire.FindAttr(in.attrs, wire.AttrNextHop); ok {
		t.Errorf("a rule has a next hop: %x", in.attrs)
	}
	in, p = readOne(t, `{"family":"ipv6-vpn","prefix":"2001:db8::/32","labels":[16],"rd":"1:1","next_hop":"192.0.2.1"}`)
	if p != nil {
		t.Fatal(p)
	}
	if v, _ := wire.FindAttr(in.attrs, wire.AttrNextHop); netip.MustParseAddr("::ffff:192.0.2.1") != netip.AddrFrom16([16]byte(v)) {
		t.Errorf("next hop %x", v)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	_, s, _ := withSessions(t)
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, c := range []struct{ json, param, detail string }{
		{``, "body", "JSON object"},
		{`[]`, "body", "JSON object"},
		{`{}`, "prefix", "missing"},
		{`{"prefix":"10.0.0.0/8"}`, "next_hop", "NEXT_HOP is missing"},
		{`{"prefix":"10.0.0.0/8","next_hop":null}`, "next_hop", "NEXT_HOP is missing"},
		{`{"prefix":"10.0.0.0/8","next_hop":"1.2.3.4","origin":null}`, "origin", "ORIGIN is mandatory"},
		{`{"prefix":"10.0.0.0/8","next_hop":"1.2.3.4","as_path":null}`, "as_path", "AS_PATH is mandatory"},
		{`{"prefix":"10.0.0.0/8","next_hop":"1.2.3.4","origin":"foo"}`, "origin", `"igp"`},
		{`{"prefix":"10.0.0.1/8","next_hop":"1.2.3.4"}`, "prefix", "10.0.0.0/8 is right"},
		{`{"prefix":"10.0.0.0/33","next_hop":"1.2.3.4"}`, "prefix", "no prefix"},
		{`{"prefix":5,"next_hop":"1.2.3.4"}`, "prefix", `5: a prefix`},
		{`{"prefix":"10.0.0.0/8","nexthop":"1.2.3.4"}`, "nexthop", "did you mean next_hop?"},
		{`{"prefix":"10.0.0.0/8","comunities":[]}`, "comunities", "did you mean communities?"},
		{`{"prefix":"10.0.0.0/8","zzzzzzzz":[]}`, "zzzzzzzz", "no such field of a path: prefix, nlri"},
		{`{"prefix":"10.0.0.0/8","send":true}`, "send", "POST /api/v1/updates"},
		{`{"prefix":"10.0.0.0/8","prefix":"10.0.0.0/8"}`, "prefix", "twice"},
		{`{"prefix":"10.0.0.0/8","next_hop":"2001:db8::1%eth0"}`, "next_hop", "zone"},
		{`{"prefix":"10.0.0.0/8","next_hop":"224.0.0.1"}`, "next_hop", "multicast"},
		{`{"prefix":"10.0.0.0/8","next_hop":"255.255.255.255"}`, "next_hop", "no host"},
		{`{"prefix":"10.0.0.0/8","next_hop":"0.1.2.3"}`, "next_hop", "0.0.0.0/8"},
		{`{"prefix":"10.0.0.0/8","next_hop":"1.2.3.4","next_hop_link_local":"fe80::1"}`, "next_hop_link_local", "IPv6 next hop"},
		{`{"prefix":"10.0.0.0/8","next_hop":"2001:db8::1","next_hop_link_local":"2001:db8::2"}`, "next_hop_link_local", "fe80::/10"},
		{`{"prefix":"10.0.0.0/8","next_hop_link_local":"fe80::1"}`, "next_hop", "does not go alone"},
		{`{"prefix":"2001:db8::/32","next_hop":"1.2.3.4"}`, "next_hop", "IPv6 ones"},
		{`{"prefix":"10.0.0.0/8","family":"ipv6-unicast","next_hop":"2001:db8::1"}`, "prefix", "ipv6-unicast"},
		{`{"prefix":"10.0.0.0/8","family":"ipv4"}`, "family", "no such family"},
		{`{"prefix":"10.0.0.0/8","rd":"1:1"}`, "family", "rd goes with"},
		{`{"prefix":"10.0.0.0/8","labels":[1]}`, "family", "labels go with"},
		{`{"prefix":"10.0.0.0/8","family":"ipv4-vpn","labels":[16],"next_hop":"1.2.3.4"}`, "rd", "missing"},
		{`{"prefix":"10.0.0.0/8","family":"ipv4-vpn","rd":"x","next_hop":"1.2.3.4"}`, "rd", "65001:1"},
		{`{"prefix":"10.0.0.0/8","family":"ipv4-vpn","rd":"1:1","next_hop":"1.2.3.4"}`, "labels", "missing"},
		{`{"prefix":"10.0.0.0/8","family":"ipv4-unicast","rd":"1:1","next_hop":"1.2.3.4"}`, "rd", "no route distinguishers"},
		{`{"prefix":"10.0.0.0/8","family":"ipv4-unicast","labels":[1],"next_hop":"1.2.3.4"}`, "labels", "no labels"},
		{`{"prefix":"2001:db8::/128","family":"ipv6-vpn","rd":"1:1","labels":[1,2,3,4],"next_hop":"2001:db8::1"}`, "labels", "no room"},
		{`{"prefix":"10.0.0.0/8","labels":[1048576]}`, "labels", "1048575"},
		{`{"prefix":"10.0.0.0/8","labels":[1,2,3,4,5,6,7,8,9]}`, "labels", "more than 8"},
		{`{"prefix":"10.0.0.0/8","path_id":-1}`, "path_id", "0 to 4294967295"},
		{`{"prefix":"10.0.0.0/8","path_id":1.5}`, "path_id", "0 to 4294967295"},
		{`{"prefix":"10.0.0.0/8","med":4294967296}`, "med", "4294967296: a number"},
		{`{"prefix":"10.0.0.0/8","med":"5"}`, "med", "a number"},
		{`{"prefix":"10.0.0.0/8","as_path":"65001 x"}`, "as_path", `"x" is no AS number`},
		{`{"prefix":"10.0.0.0/8","as_path":"65001 {1,2"}`, "as_path", "missing after 2"},
		{`{"prefix":"10.0.0.0/8","as_path":"0"}`, "as_path", "RFC 7607"},
		{`{"prefix":"10.0.0.0/8","as_path":"1,2"}`, "as_path", "does not follow"},
		{`{"prefix":"10.0.0.0/8","as_path":"4294967296"}`, "as_path", "4294967295"},
		{`{"prefix":"10.0.0.0/8","as_path":[1]}`, "as_path", "65001 3356"},
		{`{"prefix":"10.0.0.0/8","communities":["65001:*"]}`, "communities", "pattern"},
		{`{"prefix":"10.0.0.0/8","communities":["65536:1"]}`, "communities", "65535"},
		{`{"prefix":"10.0.0.0/8","communities":"65001:1"}`, "communities", "list"},
		{`{"prefix":"10.0.0.0/8","communities":[5]}`, "communities", "quotes"},
		{`{"prefix":"10.0.0.0/8","large_communities":["1:2"]}`, "large_communities", "65001:1:2"},
		{`{"prefix":"10.0.0.0/8","ext_communities":["rt:65001:*"]}`, "ext_communities", "pattern"},
		{`{"prefix":"10.0.0.0/8","ext_communities":["rt:[::1]:70000"]}`, "ext_communities", "40 hex digits"},
		{`{"prefix":"10.0.0.0/8","ext_communities":["foo:1:1"]}`, "ext_communities", "rt, ro nor 0x"},
		{`{"prefix":"10.0.0.0/8","aggregator":"0 1.2.3.4"}`, "aggregator", "65001 192.0.2.1"},
		{`{"prefix":"10.0.0.0/8","originator_id":"::1"}`, "originator_id", "192.0.2.1"},
		{`{"prefix":"10.0.0.0/8","cluster_list":["x"]}`, "cluster_list", "192.0.2.1"},
		{`{"prefix":"10.0.0.0/8","only_to_customer":0}`, "only_to_customer", "RFC 7607"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":14,"flags":128,"value":""}]}`, "unknown_attributes", "encoder"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":8,"flags":192,"value":""}]}`, "unknown_attributes", "field of its own"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":99,"flags":64,"value":""}]}`, "unknown_attributes", "well-known"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":99,"flags":193,"value":""}]}`, "unknown_attributes", "last four"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":22,"flags":128,"value":""}]}`, "unknown_attributes", "are 192, not 128"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":128,"flags":192,"value":"00"}]}`, "unknown_attributes", "octets long"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":99,"flags":160,"value":""}]}`, "unknown_attributes", "partial"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":99,"value":""},{"type":99,"value":""}]}`, "unknown_attributes", "twice"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":99,"value":"0"}]}`, "unknown_attributes", "hex"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"type":99}]}`, "unknown_attributes", "missing"},
		{`{"prefix":"10.0.0.0/8","unknown_attributes":[{"typ":99}]}`, "unknown_attributes", "no field"},
		{`{"prefix":"10.0.0.0/8","ttl":"10"}`, "ttl", "10m"},
		{`{"prefix":"10.0.0.0/8","ttl":0}`, "ttl", "over 0"},
		{`{"prefix":"10.0.0.0/8","ttl":1e300}`, "ttl", "ten years"},
		{`{"prefix":"10.0.0.0/8","expires_at":"2001-01-01T00:00:00Z"}`, "expires_at", "past"},
		{`{"prefix":"10.0.0.0/8","expires_at":"soon"}`, "expires_at", "RFC 3339"},
		{`{"prefix":"10.0.0.0/8","expires_at":"2099-01-01T00:00:00Z","ttl":5}`, "expires_at", "place of ttl"},
		{`{"prefix":"10.0.0.0/8","peers":["9.9.9.9"]}`, "peers", "no peer 9.9.9.9"},
		{`{"prefix":"10.0.0.0/8","peers":["nobody"]}`, "peers", "nobody"},
		{`{"prefix":"10.0.0.0/8","peers":["192.0.2.2"]}`, "peers", "nothing is sent"},
		{`{"prefix":"10.0.0.0/8","peers":[]}`, "peers", "empty"},
		{`{"prefix":"10.0.0.0/8","peers":[{"peer":"192.0.2.1"}]}`, "peers", "quotes"},
		{`{"family":"ipv4-flowspec"}`, "nlri", "missing"},
		{`{"nlri":"0300"}`, "family", "nlri goes with"},
		{`{"family":"ipv4-flowspec","prefix":"10.0.0.0/8"}`, "prefix", "no prefixes"},
		{`{"family":"ipv4-flowspec","nlri":"0501"}`, "nlri", "octet"},
		{`{"family":"ipv4-flowspec","nlri":"050118cb0071050118cb0071"}`, "nlri", "more than one"},
		{`{"family":"ipv4-flowspec","nlri":"0162"}`, "nlri", "octet"},
		{`{"family":"ipv4-unicast","nlri":"0162","prefix":"10.0.0.0/8"}`, "nlri", "without prefixes"},
		{`{"prefix":"10.0.0.0/8","next_hop":"1.2.3.4"} x`, "body", "follows"},
		{`{"prefix":"10.0.0.0/8","next_hop":"1.2.3.4"`, "body", "missing"},
		{`{"prefix":"10.0.0.0/8",}`, "body", "follow a comma"},
		{`{"prefix" "10.0.0.0/8"}`, "body", "colon"},
		{`{"prefix":"10.0`, "body", "does not end"},
		{`{"peer":` + deep + `}`, "body", "nested"},
		{"{\"peer\":\"\x01\"}", "body", "control"},
		{"{\"peer\":\"\xff\"}", "body", "UTF-8"},
		{`{"peer":tru}`, "body", "no JSON"},
		{"{\"prefix\":\"10.0.0.0/8\",\"next_hop\":\"1.2.3.4\"}\x00", "body", "follows"},
	} {
		_, p := readWith(s, c.json, takesAnnounce, false)
		if p == nil {
			t.Errorf("%s: read", shown(c.json))
			continue
		}
		if p.param != c.param || !strings.Contains(p.detail, c.detail) {
			t.Errorf("%s: got %s: %s, want %s: … %s …", shown(c.json), p.param, p.detail, c.param, c.detail)
		}
	}
}

func TestEscapesInStringsAreRead(t *testing.T) {
	in, p := readOne(t, `{ "pre\u0066ix" : "10.\u0030.0.0\/8" , "next_hop" : "1.2.3.4" , "communities" : [ "no\u002dexport" ] , "path_id" : 0 , "ttl" : 1.5 }`)
	if p != nil {
		t.Fatal(p)
	}
	if in.prefix.String() != "10.0.0.0/8" || !in.hasPathID || in.pathID != 0 || in.ttl != 1500*time.Millisecond {
		t.Errorf("%+v", in)
	}
}

func TestPeersAreNamedByAddressIDOrName(t *testing.T) {
	_, s, _ := withSessions(t)
	for _, peers := range []string{`["192.0.2.1"]`, `["` + transitA + `"]`, `["transit-a","192.0.2.1"]`} {
		in, p := readWith(s, `{"prefix":"10.0.0.0/8","next_hop":"1.2.3.4","peers":`+peers+`}`, takesAnnounce, false)
		if strings.Contains(peers, "192.0.2.1") && p != nil && p.status == 409 {
			continue // a dump has a peer of that address, too
		}
		if p != nil || len(in.peers) != 1 || in.peers[0] != transitA {
			t.Errorf("%s: %v %v", peers, in.peers, p)
		}
	}
}

func TestAKeyNeedsNoAttributes(t *testing.T) {
	_, s, _ := withSessions(t)
	in, p := readWith(s, `{"prefix":"10.0.0.0/8","path_id":3}`, takesAnnounce, true)
	if p != nil || in.pathID != 3 || !in.hasPathID || in.attrs != nil {
		t.Errorf("%+v %v", in, p)
	}
	if _, p = readWith(s, `{"path_id":3}`, takesAnnounce, true); p == nil || p.param != "prefix" {
		t.Errorf("%v", p)
	}
	if in, p = readWith(s, `{"prefix":"10.0.0.0/8","withdraw":true}`, takesPreview, false); p != nil || !in.withdraw {
		t.Errorf("%+v %v", in, p)
	}
}

func FuzzPathReader(f *testing.F) {
	f.Add([]byte(`{"prefix":"10.0.0.0/8","next_hop":"1.2.3.4","as_path":"1 {2,3}","communities":["1:2"],"ttl":"5m","unknown_attributes":[{"type":99,"flags":192,"value":"00"}]}`))
	f.Add([]byte(`{"family":"ipv6-flowspec","nlri":"050118cb0071"}`))
	_, s := small(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		in, p := readWith(s, string(b), takesPreview, false)
		if p != nil {
			if p.status < 400 || p.detail == "" {
				t.Fatalf("%+v", p)
			}
			return
		}
		// What is read is canonical: ascending, each once, well framed.
		last, n := -1, 0
		for w := wire.WalkAttributes(in.attrs); w.Next(); {
			if int(w.Type()) <= last {
				t.Fatalf("not in order: %x", in.attrs)
			}
			last = int(w.Type())
			n += len(wire.AppendAttr(nil, w.Flags(), w.Type(), w.Value()))
		}
		if n != len(in.attrs) {
			t.Fatalf("not canonical: %x", in.attrs)
		}
	})
}

var benchPath = []byte(`{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1","origin":"igp","as_path":"64512 65001","med":10,"communities":["64512:1","64512:2"]}`)

func BenchmarkReadPath(b *testing.B) {
	_, s := small(b)
	var r pathReader
	c := &call{s: s}
	r.begin(c, takesAnnounce, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, p := r.read(benchPath); p != nil {
			b.Fatal(p)
		}
		r.mem = r.mem[:0]
	}
}
