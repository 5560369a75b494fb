package policy

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// newAttrs makes a table of attribute sets.
func newAttrs(t testing.TB) *rib.Attrs {
	t.Helper()
	a := rib.NewAttrs(rib.AttrsOptions{})
	t.Cleanup(a.Close)
	return a
}

// set describes an attribute set. The zero value has what an UPDATE must have.
type set struct {
	origin     byte
	path       []uint32 // a sequence
	asSet      []uint32 // after it
	nextHop    string   // 192.0.2.1 where empty, none where "-"
	med, pref  int64    // from 1, less 1 in the set; 0: none
	comm       []string
	large      []string
	ext        []string
	originator string
	clusters   []string
	otc        uint32
	extra      []byte // a whole attribute of a type over 35
}

func (s set) bytes(t testing.TB) []byte {
	t.Helper()
	var out, v []byte
	attr := func(typ wire.AttrType, flags byte) { out = wire.AppendAttr(out, flags, typ, v); v = nil }
	well, optional, transitive := wire.FlagTransitive, wire.FlagOptional, wire.FlagOptional|wire.FlagTransitive
	be := binary.BigEndian
	v = []byte{s.origin}
	attr(wire.AttrOrigin, well)
	for i, seg := range [][]uint32{s.path, s.asSet} {
		for len(seg) > 0 {
			n := min(len(seg), 255)
			v = append(v, byte(2-i), byte(n))
			for _, as := range seg[:n] {
				v = be.AppendUint32(v, as)
			}
			seg = seg[n:]
		}
	}
	attr(wire.AttrASPath, well)
	if s.nextHop != "-" {
		hop := s.nextHop
		if hop == "" {
			hop = "192.0.2.1"
		}
		v = netip.MustParseAddr(hop).AsSlice()
		attr(wire.AttrNextHop, well)
	}
	if s.med != 0 {
		v = be.AppendUint32(v, uint32(s.med-1))
		attr(wire.AttrMED, optional)
	}
	if s.pref != 0 {
		v = be.AppendUint32(v, uint32(s.pref-1))
		attr(wire.AttrLocalPref, well)
	}
	if s.comm != nil {
		for _, c := range s.comm {
			m, err := wire.ParseCommunity(c)
			check(t, err)
			n, _ := m.Value()
			v = be.AppendUint32(v, n)
		}
		attr(wire.AttrCommunities, transitive)
	}
	if s.originator != "" {
		v = netip.MustParseAddr(s.originator).AsSlice()
		attr(wire.AttrOriginatorID, optional)
	}
	if s.clusters != nil {
		for _, c := range s.clusters {
			v = append(v, netip.MustParseAddr(c).AsSlice()...)
		}
		attr(wire.AttrClusterList, optional)
	}
	if s.ext != nil {
		for _, c := range s.ext {
			m, err := wire.ParseExtCommunity(c)
			check(t, err)
			n, _ := m.Value()
			v = be.AppendUint64(v, n)
		}
		attr(wire.AttrExtCommunities, transitive)
	}
	if s.large != nil {
		for _, c := range s.large {
			m, err := wire.ParseLargeCommunity(c)
			check(t, err)
			n, _ := m.Value()
			v = append(v, n[:]...)
		}
		attr(wire.AttrLargeCommunities, transitive)
	}
	if s.otc != 0 {
		v = be.AppendUint32(v, s.otc)
		attr(wire.AttrOTC, transitive)
	}
	return append(out, s.extra...)
}

func (s set) id(t testing.TB, a *rib.Attrs) rib.AttrID {
	t.Helper()
	id, ok := a.Intern(s.bytes(t))
	if !ok {
		t.Fatal("no room")
	}
	return id
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// parse reads a configuration whose text is indented by tabs or not at all.
func parse(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text))
	check(t, err)
	return cfg
}

// compile makes a Set of a configuration.
func compile(t testing.TB, a *rib.Attrs, text string) *Set {
	t.Helper()
	s, problems := Compile(parse(t, text), a, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

// condition makes a configuration with a policy "p" that accepts where a
// condition holds.
func condition(cond string) string {
	return "groups: {customers: {}, transits: {}}\n" +
		"prefix_sets:\n  bogons: [\"10.0.0.0/8{8,32}\", \"192.168.0.0/16{16,32}\", \"2001:db8::/32{32,128}\"]\n  exact: [\"198.51.100.0/24\"]\n" +
		"policies:\n  p:\n    - if: |-\n        " + strings.ReplaceAll(cond, "\n", "\n        ") + "\n      then: accept\n"
}

// routeOf is a route to be judged.
type routeOf struct {
	family wire.Family
	prefix string
	peer   rib.PeerNum
	attrs  rib.AttrID
	pathID int64 // from 1, less 1 in the route; 0: none
}

// judge asks a filter as the RIB does: Set, and Route where that is not final.
func judge(t testing.TB, f rib.Filter, r routeOf) (v rib.Verdict, final bool) {
	t.Helper()
	if r.family == 0 {
		r.family = wire.IPv4Unicast
		if strings.Contains(r.prefix, ":") {
			r.family = wire.IPv6Unicast
		}
	}
	p := rib.Path{Peer: r.peer, Attrs: r.attrs}
	if r.pathID > 0 {
		p.PathID, p.HasPathID = uint32(r.pathID-1), true
	}
	var k trie.Key
	var n uint8
	if r.prefix != "" {
		k, n = trie.PrefixKey(netip.MustParsePrefix(r.prefix))
	}
	one := f.Route(r.family, 0, k, n, &p)
	v, final = f.Set(r.family, r.peer, r.attrs)
	if final && v != one {
		t.Errorf("Set says %+v, Route says %+v", v, one)
	}
	return one, final
}

// external is a peer for tests.
var external = PeerFacts{
	ID: "00112233", Name: "transit-a", Address: netip.MustParseAddr("192.0.2.1"), Group: "customers", Description: "second transit",
	ASN: 65001, RouterID: netip.MustParseAddr("192.0.2.1"),
}

// replace replaces the first of a text that is there.
func replace(t testing.TB, text, old, by string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("no %q in %s", old, text)
	}
	return strings.Replace(text, old, by, 1)
}
