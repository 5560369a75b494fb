package wire

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestText(t *testing.T) {
	path := join(path4(65001), []byte{1, 2, 0, 0, 0xfb, 0xf4, 0, 0, 0xfb, 0xf5}, []byte{3, 2, 0, 0, 0xfd, 0xea, 0, 0, 0xfd, 0xeb}, []byte{4, 2, 0, 0, 0, 1, 0, 1, 0, 0})
	for _, c := range []struct{ got, want string }{
		{string(AppendASPath(nil, path)), "65001 {64500,64501} (65002 65003) [1,65536]"},
		{string(AppendASPath(nil, nil)), ""},
		{string(AppendCommunity(nil, 65001<<16|100)), "65001:100"},
		{string(AppendLargeCommunity(nil, []byte{0, 0, 0xfd, 0xe9, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})), "65001:1:4294967295"},
		{string(AppendExtCommunity(nil, 0x0002fde900000001)), "rt:65001:1"},
		{string(AppendExtCommunity(nil, 0x0003fde9ffffffff)), "ro:65001:4294967295"},
		{string(AppendExtCommunity(nil, 0x0202000000050001)), "rt:5L:1"},
		{string(AppendExtCommunity(nil, 0x0102c00002010001)), "rt:192.0.2.1:1"},
		{string(AppendExtCommunity(nil, 0x4002fde900000001)), "0x4002fde900000001"},
		{string(AppendExtCommunity(nil, 0x8006000000000000)), "0x8006000000000000"},
		{string(AppendIPv6ExtCommunity(nil, append(append([]byte{0, 2}, hop6...), 0, 5))), "rt:[2001:db8::1]:5"},
		{string(AppendIPv6ExtCommunity(nil, make([]byte, 20))), "0x0000000000000000000000000000000000000000"},
		{string(AppendAggregator(nil, []byte{0, 0, 0xfd, 0xe9, 192, 0, 2, 1})), "65001 192.0.2.1"},
		{string(AppendClusterList(nil, []byte{1, 2, 3, 4, 5, 6, 7, 8})), "1.2.3.4 5.6.7.8"},
		{string(AppendRD(nil, 0x0000fde900000001)), "65001:1"},
		{string(AppendRD(nil, 0x0001c00002010001)), "192.0.2.1:1"},
		{string(AppendRD(nil, 0x00020001000000ff)), "65536L:255"},
		{string(AppendRD(nil, 0x0003000000000001)), "0x0003000000000001"},
		{string(AppendOrigin(nil, 1)), "egp"},
		{AttrOTC.String(), "OTC"},
		{AttrType(99).String(), "attribute 99"},
		{IPv6VPN.String(), "ipv6-vpn"},
		{MakeFamily(1, 5).String(), "afi-1-safi-5"},
		{(&Error{Off: 25, Field: "NLRI", Reason: "prefix length over 32", RFC: "RFC 7606 5.3", Action: SessionReset}).Error(),
			"wire: NLRI at octet 25: prefix length over 32 (RFC 7606 5.3, session-reset)"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestASPathFacts(t *testing.T) {
	for _, c := range []struct {
		name      string
		v         []byte
		n         int
		neighbor  uint32
		neighbors bool
		origin    uint32
		origins   bool
	}{
		{"empty", nil, 0, 0, false, 0, false},
		{"sequence", path4(1, 2, 3), 3, 1, true, 3, true},
		{"ends in a set", join(path4(1), []byte{1, 1, 0, 0, 0, 9}), 2, 1, true, 0, false},
		{"starts with a set", join([]byte{1, 1, 0, 0, 0, 9}, path4(1)), 2, 0, false, 1, true},
		{"confederation first", join([]byte{3, 1, 0, 0, 0, 9}, path4(1, 2)), 2, 1, true, 2, true},
		{"confederation alone", []byte{3, 1, 0, 0, 0, 9}, 0, 0, false, 0, false},
	} {
		nb, ok1 := ASPathNeighbor(c.v)
		or, ok2 := ASPathOrigin(c.v)
		if n := ASPathLen(c.v); n != c.n || nb != c.neighbor || ok1 != c.neighbors || or != c.origin || ok2 != c.origins {
			t.Errorf("%s: got %d, %d %v, %d %v", c.name, n, nb, ok1, or, ok2)
		}
		if got, want := SummariseASPath(c.v), (ASPathSummary{c.n, c.neighbor, c.origin, c.neighbors, c.origins}); got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
	if n := ASPathContains(path4(1, 2, 1), 1); n != 2 {
		t.Errorf("got %d, want 2", n)
	}
}

func TestParseCommunity(t *testing.T) {
	for _, c := range []struct {
		in       string
		yes, no  uint32
		exact    bool
		wantText string
	}{
		{"65001:100", 65001<<16 | 100, 65001<<16 | 101, true, "65001:100"},
		{"65001:*", 65001<<16 | 7, 65002<<16 | 7, false, "65001:*"},
		{"*:666", 1<<16 | 666, 1<<16 | 667, false, "*:666"},
		{"no-export", 0xffffff01, 0xffffff02, true, "65535:65281"},
		{"NO_EXPORT", 0xffffff01, 0xffffff02, true, "65535:65281"},
		{"blackhole", 0xffff029a, 0, true, "65535:666"},
		{"graceful-shutdown", 0xffff0000, 1, true, "65535:0"},
		{"llgr-stale", 0xffff0006, 1, true, "65535:6"},
	} {
		m, err := ParseCommunity(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		_, exact := m.Value()
		if !m.Match(c.yes) || m.Match(c.no) || exact != c.exact || m.String() != c.wantText {
			t.Errorf("%s: %v", c.in, m)
		}
		v := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 3}, c.yes)
		if !m.MatchAttr(v) {
			t.Errorf("%s: not found in %x", c.in, v)
		}
	}
	for _, bad := range []string{"", ":", "1", "1:2:3", "65536:1", "1:65536", "-1:2", "x:1", "1:", "+1:2", "1 :2", "no-such"} {
		if _, err := ParseCommunity(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestParseLargeCommunity(t *testing.T) {
	v := []byte{0, 0, 0xfd, 0xe9, 0, 0, 0, 1, 0, 0, 0, 2}
	for in, want := range map[string]bool{"65001:1:2": true, "65001:*:*": true, "*:1:2": true, "*": true, "65001:1:3": false, "1:*:*": false} {
		m, err := ParseLargeCommunity(in)
		if err != nil || m.Match(v) != want || m.MatchAttr(v) != want {
			t.Errorf("%s: got %v (%v), want %v", in, m.Match(v), err, want)
		}
	}
	if m, _ := ParseLargeCommunity("65001:1:2"); string(AppendLargeCommunity(nil, v)) != m.String() {
		t.Errorf("got %s", m.String())
	}
	for _, bad := range []string{"", "1:2", "1:2:3:4", "4294967296:1:1", "a:b:c"} {
		if _, err := ParseLargeCommunity(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestParseExtCommunity(t *testing.T) {
	for _, c := range []struct {
		in      string
		yes, no uint64
	}{
		{"rt:65001:1", 0x0002fde900000001, 0x0003fde900000001},
		{"rt:400:74000", 0x0002019000012110, 0x0002019000012111},
		{"rt:65001:*", 0x0002fde9ffffffff, 0x0002fdea00000001},
		{"rt:70000:1", 0x0202000111700001, 0x0002117000000001},
		{"rt:5L:1", 0x0202000000050001, 0x0002000500000001},
		{"rt:192.0.2.1:1", 0x0102c00002010001, 0x0102c00002010002},
		{"rt:192.0.2.1:*", 0x0102c00002010009, 0x0102c00002020001},
		{"rt:*", 0x0102c00002010009, 0x0003c00002020001},
		{"rt:*:9", 0x0102c00002010009, 0x0102c00002010008},
		{"ro:*:74000", 0x0003019000012110, 0x0203019000012110},
		{"0x0002fde900000001", 0x0002fde900000001, 0x0002fde900000002},
		{"0x8006*", 0x8006000000000000, 0x8007000000000000},
	} {
		m, err := ParseExtCommunity(c.in)
		if err != nil || !m.Match(c.yes) || m.Match(c.no) {
			t.Errorf("%s: %v %v (%v)", c.in, m.Match(c.yes), m.Match(c.no), err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 { // what is written reads back
		v := r.Uint64()
		switch r.IntN(3) {
		case 0:
			v = v&(1<<48-1) | uint64(r.IntN(3))<<56 | uint64(2+r.IntN(2))<<48
		}
		m, err := ParseExtCommunity(string(AppendExtCommunity(nil, v)))
		if got, ok := m.Value(); err != nil || !ok || got != v {
			t.Fatalf("%016x: %s reads as %016x (%v)", v, AppendExtCommunity(nil, v), got, err)
		}
		if got, err := ParseRD(string(AppendRD(nil, v))); err != nil || got != v {
			t.Fatalf("%016x: %s reads as %016x (%v)", v, AppendRD(nil, v), got, err)
		}
	}
	for _, bad := range []string{"", "rt", "rt:", "rt:1", "rt:1:", "rt:x:1", "xx:1:1", "0x12", "0xzz02fde900000001", "rt:70000:65536", "rt:1.2.3:4", "rt:1:4294967296", "rt:4294967296:1"} {
		if _, err := ParseExtCommunity(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestFamilies(t *testing.T) {
	for i := range familyNames {
		f := familyNames[i].f
		if got, err := ParseFamily(f.String()); err != nil || got != f {
			t.Errorf("%v: got %v (%v)", f, got, err)
		}
		s := NewFamilySet(f)
		for j := range familyNames {
			if s.Has(familyNames[j].f) != (i == j) {
				t.Errorf("set of %v: %v", f, familyNames[j].f)
			}
		}
	}
	odd := MakeFamily(77, 200)
	if got, err := ParseFamily(odd.String()); err != nil || got != odd {
		t.Errorf("got %v (%v)", got, err)
	}
	s := NewFamilySet(odd, IPv4Unicast, odd)
	if got := s.Families(); len(got) != 2 || !s.Has(odd) || s.Has(MakeFamily(77, 201)) || s.Empty() {
		t.Errorf("got %v", got)
	}
	for _, bad := range []string{"", "ipv4", "afi-1", "afi-65536-safi-1", "afi-1-safi-256"} {
		if _, err := ParseFamily(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}
